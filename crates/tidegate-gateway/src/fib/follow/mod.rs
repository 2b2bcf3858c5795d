//! A world that stays equal to the kernel's, by rtnetlink.
//!
//! All there is is asked for once, and from then on the kernel tells what changes ([`Mirror::catch_up`]). Routes and
//! neighbours, which may be many, are changed one by one as notices come. When interfaces, addresses or rules change,
//! which is rare, they are asked for anew as a whole, and so are routes then, since the kernel does not tell of those
//! that go with an interface. The same happens after notices were lost.
//!
//! Neighbours are found by the kernel: [`Mirror::ask`] has it look for one, or make sure that it is still there.

mod decode;
mod proc;
mod socket;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage as Notice;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::RouteMessage;
use tidegate_engine::fib::PortId;
use tidegate_engine::time::Instant;
use tidegate_wire::Family;

use self::decode::Entry;
use self::socket::{Kind, Socket, Told};
use super::link::Address;
use super::neighbour::Neighbour;
use super::remembered::Remembered;
use super::{Caveat, World};

/// The kernel's world, and its messages about it.
#[derive(Debug)]
pub struct Mirror {
    world: World,
    news: Socket,
    asker: Socket,
    stale: Stale,
    caveats: BTreeSet<Caveat>,
    /// Caveats that were told already.
    told: BTreeSet<Caveat>,
    /// When the groups are looked at again, of which there are no notices.
    groups_due: Instant,
    losses: u64,
    pub(super) remembered: Remembered,
}

/// Something that happened, for those who keep more than the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An interface has lost an address: it may have got it back since.
    AddressGone(PortId, IpAddr),
    /// An interface was switched off.
    Down(PortId),
    /// An interface was switched on.
    Up(PortId),
    /// There is an interface that was not there before.
    Added(PortId),
    /// An interface is gone.
    Removed(PortId),
    /// An interface has another name or another MTU.
    Altered(PortId),
    /// A neighbour was found, or will not be.
    Neighbour(PortId, IpAddr),
}

/// What has to be asked for anew.
#[derive(Clone, Copy, Debug, Default)]
struct Stale {
    links: bool,
    addresses: bool,
    rules: bool,
    routes: [bool; 2],
    neighbours: bool,
}

impl Stale {
    const ALL: Self =
        Self { links: true, addresses: true, rules: true, routes: [true; 2], neighbours: true };
}

impl Mirror {
    /// Asks the kernel for all there is in this network namespace.
    ///
    /// # Errors
    /// There are no sockets to be had, or the kernel does not answer.
    pub fn open() -> io::Result<Self> {
        let mut mirror = Self {
            world: World::default(),
            news: Socket::listening()?,
            asker: Socket::asking()?,
            stale: Stale::ALL,
            caveats: BTreeSet::new(),
            told: BTreeSet::new(),
            groups_due: Instant::ZERO,
            losses: 0,
            remembered: Remembered::default(),
        };
        mirror.refresh(&mut Vec::new())?;
        Ok(mirror)
    }

    /// The world as it was when last caught up with.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What can be read as soon as there is something to catch up with.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.news.fd()
    }

    /// How often notices were lost, and all was asked for anew.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// What has become known since the last call of how the answers differ from the kernel's.
    pub fn caveats(&mut self) -> Vec<Caveat> {
        let new: Vec<Caveat> = self.caveats.difference(&self.told).cloned().collect();
        self.told.extend(new.iter().cloned());
        new
    }

    /// Takes over what has changed, and adds to `changes` what others must know of it.
    ///
    /// # Errors
    /// The kernel does not answer; what is known is old.
    pub fn catch_up(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        loop {
            match self.news.receive()? {
                socket::Received::Nothing => break,
                socket::Received::Lost => {
                    self.losses += 1;
                    self.remembered.forget();
                    self.stale = Stale::ALL;
                }
                socket::Received::Messages(messages) => {
                    self.remembered.forget();
                    for told in messages {
                        match told {
                            Told::Notice(notice, flags) => self.take(&notice, flags, changes),
                            Told::Settings => self.stale.links = true,
                            Told::Unread(error) => self.note(Caveat::Message(error)),
                        }
                    }
                }
            }
        }
        let outcome = self.refresh(changes);
        if outcome.is_err() {
            self.remembered.forget();
            self.stale = Stale::ALL;
        }
        outcome
    }

    /// Has the kernel find a neighbour, or make sure that it is where it was.
    ///
    /// # Errors
    /// The kernel refuses: the interface is gone, or we may not.
    pub fn ask(&mut self, port: PortId, addr: IpAddr) -> io::Result<()> {
        let index = self.world.links.link(port).index;
        self.asker.send_neighbour(index, addr)?;
        let known = match self.world.neighbours.find(port, addr) {
            Some(Neighbour::At(mac) | Neighbour::Stale(mac)) => Neighbour::At(mac),
            Some(Neighbour::Asked | Neighbour::Failed) | None => Neighbour::Asked,
        };
        self.world.neighbours.set(port, addr, known);
        Ok(())
    }

    /// Takes a neighbour for absent of whom the kernel has said nothing since he was asked for: it may have refused, which
    /// it doesn't tell.
    pub(super) fn give_up(&mut self, port: PortId, addr: IpAddr) {
        if self.world.neighbours.find(port, addr) == Some(Neighbour::Asked) {
            self.world.neighbours.set(port, addr, Neighbour::Failed);
        }
    }

    /// Looks which groups the host listens to, every few seconds.
    pub(super) fn look_at_groups(&mut self, now: Instant) {
        if now >= self.groups_due {
            self.groups_due = now + GROUPS_EVERY;
            self.world.groups = proc::groups(&self.world.links);
            self.remembered.forget();
        }
    }

    /// Something that differs from the kernel's answers.
    pub(super) fn note(&mut self, caveat: Caveat) {
        self.caveats.insert(caveat);
    }

    fn take(&mut self, notice: &Notice, flags: u16, changes: &mut Vec<Change>) {
        match notice {
            Notice::NewLink(link) => self.take_link(link, changes),
            Notice::DelLink(link) if decode::is_of_host(link) => {
                self.lose_link(link.header.index, changes);
            }
            Notice::NewAddress(_) => self.stale.addresses = true,
            Notice::DelAddress(message) => {
                if let Some((index, address)) = decode::address(message) {
                    self.lose_address(index, &address, changes);
                }
                self.stale.addresses = true;
            }
            Notice::NewRule(_) | Notice::DelRule(_) => self.stale.rules = true,
            Notice::NewRoute(message) => self.take_route(message, flags),
            Notice::DelRoute(message) => self.lose_route(message),
            Notice::NewNeighbour(message) => {
                if let Some((port, addr, neighbour)) = decode::neighbour(&self.world, message) {
                    match neighbour {
                        Some(neighbour) => self.world.neighbours.set(port, addr, neighbour),
                        None => self.world.neighbours.remove(port, addr),
                    }
                    changes.push(Change::Neighbour(port, addr));
                }
            }
            Notice::DelNeighbour(message) => {
                if let Some((port, addr, _)) = decode::neighbour(&self.world, message) {
                    self.world.neighbours.remove(port, addr);
                }
            }
            _ => {}
        }
    }

    /// That an interface was off for a moment is told, even if it is on again by now.
    fn take_link(&mut self, message: &LinkMessage, changes: &mut Vec<Change>) {
        if !decode::is_of_host(message) {
            return;
        }
        self.stale.links = true;
        let Some(port) = self.world.links.port(message.header.index) else { return };
        if !decode::is_up(message)
            && let Some(link) = self.world.links.link_mut(port)
            && link.is_up
        {
            link.is_up = false;
            changes.push(Change::Down(port));
        }
    }

    fn lose_link(&mut self, index: u32, changes: &mut Vec<Change>) {
        self.stale.links = true;
        let Some(port) = self.world.links.port(index) else { return };
        if self.world.links.link(port).is_up {
            changes.push(Change::Down(port));
        }
        self.world.remove_link(index);
        changes.push(Change::Removed(port));
    }

    fn lose_address(&mut self, index: u32, gone: &Address, changes: &mut Vec<Change>) {
        let Some(port) = self.world.links.port(index) else { return };
        let mut addresses = self.world.links.link(port).addresses.clone();
        let before = addresses.len();
        addresses.retain(|known| (known.local, known.prefix) != (gone.local, gone.prefix));
        if addresses.len() < before {
            self.world.set_addresses(port, addresses);
            changes.push(Change::AddressGone(port, gone.local));
        }
    }

    fn take_route(&mut self, message: &RouteMessage, flags: u16) {
        let family = match decode::route(&self.world, message) {
            Ok(Entry { table, prefix, route, is_own }) => {
                if is_own {
                    self.world.has_own_routes = true;
                }
                let family = prefix.family();
                let tables = self.world.tables_mut(family);
                match tables.count(table, &prefix, route.metric) {
                    0 => return tables.add(table, &prefix, route),
                    1 if flags & NLM_F_REPLACE != 0 && flags & NLM_F_APPEND == 0 => {
                        return tables.replace(table, &prefix, route);
                    }
                    _ => family,
                }
            }
            Err(decode::Unfit::Caveat(caveat)) => {
                self.caveats.insert(caveat);
                return;
            }
            Err(decode::Unfit::NotHere) => return,
        };
        self.stale.routes[super::index_of(family)] = true;
    }

    fn lose_route(&mut self, message: &RouteMessage) {
        let Ok(Entry { table, prefix, route, .. }) = decode::route(&self.world, message) else {
            return;
        };
        if !self.world.tables_mut(prefix.family()).remove(table, &prefix, &route) {
            self.stale.routes[super::index_of(prefix.family())] = true;
        }
    }

    /// Asks for what is stale.
    fn refresh(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        let stale = std::mem::take(&mut self.stale);
        let is_moved = stale.links || stale.addresses;
        if stale.links {
            self.ask_for_links(changes)?;
        }
        if is_moved {
            self.ask_for_addresses(changes)?;
            self.world.groups = proc::groups(&self.world.links);
        }
        for family in [Family::V4, Family::V6] {
            if stale.rules {
                self.ask_for_rules(family)?;
            }
            if is_moved || stale.routes[super::index_of(family)] {
                self.ask_for_routes(family)?;
            }
        }
        if stale.neighbours {
            self.ask_for_neighbours()?;
        }
        Ok(())
    }

    fn ask_for_links(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        let mut seen = BTreeSet::new();
        for notice in self.dump(Kind::Links)? {
            let Notice::NewLink(message) = notice else { continue };
            let link = decode::link(&message);
            let index = link.index;
            seen.insert(index);
            let known =
                self.world.links.port(index).map(|port| self.world.links.link(port).clone());
            let Some(port) = self.world.set_link(link) else {
                self.caveats.insert(Caveat::TooManyLinks);
                continue;
            };
            let now = self.world.links.link(port);
            match known {
                None => changes.push(Change::Added(port)),
                Some(known) => {
                    let changed = [
                        (known.is_up && !now.is_up, Change::Down(port)),
                        (!known.is_up && now.is_up, Change::Up(port)),
                        (known.port != now.port || known.mac != now.mac, Change::Altered(port)),
                    ];
                    changes
                        .extend(changed.into_iter().filter(|(is_so, _)| *is_so).map(|(_, it)| it));
                }
            }
        }
        let gone: Vec<u32> = self.world.links.iter().map(|(_, link)| link.index).collect();
        for index in gone.into_iter().filter(|index| !seen.contains(index)) {
            self.lose_link(index, changes);
        }
        self.stale.links = false;
        Ok(())
    }

    fn ask_for_addresses(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        let notices = self.dump(Kind::Addresses)?;
        let ports: Vec<(PortId, u32)> =
            self.world.links.iter().map(|(port, link)| (port, link.index)).collect();
        let found: Vec<(u32, Address)> = notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::NewAddress(message) => decode::address(message),
                _ => None,
            })
            .collect();
        for (port, index) in ports {
            let of = found.iter().filter(|(at, _)| *at == index).map(|(_, address)| *address);
            let addresses: Vec<Address> = of.collect();
            let old = self.world.links.link(port).addresses.iter();
            let gone = old.filter(|old| !addresses.iter().any(|new| new.local == old.local));
            changes.extend(gone.map(|old| Change::AddressGone(port, old.local)));
            self.world.set_addresses(port, addresses);
        }
        Ok(())
    }

    fn ask_for_rules(&mut self, family: Family) -> io::Result<()> {
        let notices = self.dump(Kind::Rules(family))?;
        let mut rules = Vec::new();
        for notice in notices {
            let Notice::NewRule(message) = notice else { continue };
            match decode::rule(&message) {
                Ok(rule) => rules.push(rule),
                Err(caveat) => {
                    self.caveats.insert(caveat);
                }
            }
        }
        rules.sort_by_key(|rule| rule.priority);
        self.world.set_rules(family, rules);
        Ok(())
    }

    fn ask_for_routes(&mut self, family: Family) -> io::Result<()> {
        let notices = self.dump(Kind::Routes(family))?;
        let mut tables = super::Tables::default();
        let mut has_own_routes = false;
        for notice in notices {
            let Notice::NewRoute(message) = notice else { continue };
            match decode::route(&self.world, &message) {
                Ok(Entry { table, prefix, route, is_own }) => {
                    has_own_routes |= is_own;
                    tables.add(table, &prefix, route);
                }
                Err(decode::Unfit::Caveat(caveat)) => {
                    self.caveats.insert(caveat);
                }
                Err(decode::Unfit::NotHere) => {}
            }
        }
        *self.world.tables_mut(family) = tables;
        if family == Family::V4 {
            self.world.has_own_routes = has_own_routes;
        }
        Ok(())
    }

    fn ask_for_neighbours(&mut self) -> io::Result<()> {
        let notices = self.dump(Kind::Neighbours)?;
        self.world.neighbours.clear();
        for notice in notices {
            if let Notice::NewNeighbour(message) = notice
                && let Some((port, addr, Some(known))) = decode::neighbour(&self.world, &message)
            {
                self.world.neighbours.set(port, addr, known);
            }
        }
        Ok(())
    }

    /// All the kernel has of a kind.
    fn dump(&mut self, kind: Kind) -> io::Result<Vec<Notice>> {
        let (notices, unread) = self.asker.dump(kind)?;
        self.caveats.extend(unread.into_iter().map(Caveat::Message));
        Ok(notices)
    }
}

/// So often the groups are looked at.
const GROUPS_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
