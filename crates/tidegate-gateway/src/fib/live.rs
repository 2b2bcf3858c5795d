//! What a forwarder sees of a world: [`Mirror`], which follows the kernel's, and [`FixedWorld`], which stays as it is.

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use tidegate_engine::Engine;
use tidegate_engine::fib::{AddrType, Fib, Port, PortId, Route, RouteQuery};
use tidegate_engine::time::Instant;
use tidegate_wire::Family;
use tidegate_wire::packet::MacAddr;

use super::fixed::FixedWorld;
use super::follow::{Change, Mirror};
use super::neighbour::{Neighbour as Known, group_address};
use super::{Caveat, World};
use crate::dataplane::{Hardware, Neighbour, World as Around};

impl World {
    fn hardware(&self, port: PortId) -> Hardware {
        let link = self.links().link(port);
        let is_up = link.is_up && link.has_carrier;
        Hardware { index: link.index, address: link.mac, is_up }
    }

    fn neighbour(&self, port: PortId, next_hop: IpAddr) -> Neighbour {
        if let Some(address) = group_address(next_hop) {
            return Neighbour::Known(address);
        }
        if self.links().link(port).needs_no_neighbours {
            return Neighbour::Known(MacAddr([0; 6]));
        }
        match self.neighbours().find(port, next_hop) {
            Some(Known::At(mac) | Known::Stale(mac)) => Neighbour::Known(mac),
            Some(Known::Asked) | None => Neighbour::Unknown,
            Some(Known::Failed) => Neighbour::Absent,
        }
    }
}

impl Around for Mirror {
    /// Flows that were masqueraded as an address that is gone, or on an interface that is switched off, end. Linux:
    /// `masq_inet_event`, `masq_inet6_event`, `masq_device_event`.
    fn turn(&mut self, engine: &mut Engine, now: Instant) -> io::Result<()> {
        let mut changes = Vec::new();
        self.catch_up(&mut changes)?;
        for change in &changes {
            match *change {
                Change::AddressGone(port, addr) => {
                    engine.forget_masquerade(port, Some(addr));
                }
                Change::Down(port) => {
                    engine.forget_masquerade(port, None);
                }
                Change::Up(_)
                | Change::Added(_)
                | Change::Removed(_)
                | Change::Altered(_)
                | Change::Neighbour(..) => {}
            }
        }
        self.look_at_groups(now);
        Ok(())
    }

    fn remarks(&mut self) -> Vec<String> {
        self.caveats().iter().map(ToString::to_string).collect()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(Mirror::fd(self))
    }

    fn ports(&self) -> u16 {
        self.world().links().count()
    }

    fn hardware(&self, port: PortId) -> Hardware {
        let hardware = self.world().hardware(port);
        let is_there = self.world().links().port(hardware.index) == Some(port);
        Hardware { index: if is_there { hardware.index } else { 0 }, ..hardware }
    }

    fn neighbour(&self, port: PortId, next_hop: IpAddr) -> Neighbour {
        self.world().neighbour(port, next_hop)
    }

    fn ask(&mut self, port: PortId, next_hop: IpAddr) {
        if let Err(error) = Mirror::ask(self, port, next_hop) {
            self.note(Caveat::NoAsking(error.to_string()));
        }
    }

    fn give_up(&mut self, port: PortId, next_hop: IpAddr) {
        Mirror::give_up(self, port, next_hop);
    }

    fn confirm(&mut self, port: PortId, next_hop: IpAddr) {
        if let Some(Known::Stale(_)) = self.world().neighbours().find(port, next_hop) {
            Around::ask(self, port, next_hop);
        }
    }
}

impl Around for FixedWorld {
    fn turn(&mut self, _: &mut Engine, _: Instant) -> io::Result<()> {
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn ports(&self) -> u16 {
        self.world().links().count()
    }

    fn hardware(&self, port: PortId) -> Hardware {
        self.world().hardware(port)
    }

    /// Who is not in the file is not there.
    fn neighbour(&self, port: PortId, next_hop: IpAddr) -> Neighbour {
        match self.world().neighbour(port, next_hop) {
            Neighbour::Unknown => Neighbour::Absent,
            known => known,
        }
    }

    fn ask(&mut self, _: PortId, _: IpAddr) {}

    fn confirm(&mut self, _: PortId, _: IpAddr) {}
}

/// Both answer an engine by the world in them.
macro_rules! answer_by_world {
    ($($kind:ty),*) => {$(
        impl Fib for $kind {
            fn route(&self, query: &RouteQuery) -> Route {
                self.remembered.route(query, || self.world().route(query))
            }

            fn addr_type(&self, addr: IpAddr, port: Option<PortId>) -> AddrType {
                self.world().addr_type(addr, port)
            }

            fn port(&self, port: PortId) -> &Port {
                self.world().port(port)
            }

            fn source_for(&self, peer: IpAddr, port: Option<PortId>) -> Option<IpAddr> {
                self.world().source_for(peer, port)
            }

            fn primary_address(&self, port: PortId, family: Family) -> Option<IpAddr> {
                self.world().primary_address(port, family)
            }

            fn broadcast_mask(&self, port: PortId, addr: IpAddr) -> Option<IpAddr> {
                self.world().broadcast_mask(port, addr)
            }
        }
    )*};
}

answer_by_world!(Mirror, FixedWorld);
