//! Whose a flow is: the process that one end of it belongs to, or the container.
//!
//! Linux's table knows neither. Processes are found by their sockets (`/proc/net/tcp` and the like name a socket's inode,
//! `/proc/PID/fd` its owner), containers by the addresses of other network namespaces, which a process in them tells
//! (`/proc/PID/net`). Files are read, nothing is entered. Who isn't root sees his own processes only.

mod container;
mod socket;

use std::collections::HashMap;
use std::net::IpAddr;

use super::group::By;
use crate::client::Flow;
use tidegate_wire::netlink::Tuple;

/// Who owns what, at the time when it was looked.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    names: Vec<String>,
    sockets: HashMap<(u8, IpAddr, u16), u32>,
    /// Sockets that take what comes to any of the machine's addresses.
    listeners: HashMap<(u8, u16), u32>,
    local: Vec<IpAddr>,
    addresses: HashMap<IpAddr, u32>,
}

impl Owners {
    /// Looks for what a grouping needs.
    pub(crate) fn look(by: Option<By>) -> Self {
        let mut owners = Self::default();
        match by {
            Some(By::Process) => socket::find(&mut owners, &|process| process.name()),
            Some(By::Container) => {
                container::find(&mut owners);
                socket::find(&mut owners, &container::of_process);
            }
            _ => {}
        }
        owners
    }

    /// The number of a flow's owner.
    pub(crate) fn of(&self, flow: &Flow<'_>) -> Option<u32> {
        if self.names.is_empty() {
            return None;
        }
        let [original, reply] = &flow.tuples;
        let source = self.at(original, original.src, original.sport);
        source
            .or_else(|| self.at(original, reply.src, reply.sport))
            .or_else(|| self.at(original, original.dst, original.dport))
    }

    /// The name of an owner.
    pub(crate) fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("?", String::as_str)
    }

    fn at(&self, tuple: &Tuple, address: Option<IpAddr>, port: Option<u16>) -> Option<u32> {
        let address = address?;
        if let Some(owner) = self.addresses.get(&address) {
            return Some(*owner);
        }
        let (proto, port) = (tuple.proto?, port?);
        let listener = || {
            let is_local = address.is_loopback() || self.local.contains(&address);
            self.listeners.get(&(proto, port)).filter(|_| is_local)
        };
        self.sockets.get(&(proto, address, port)).or_else(listener).copied()
    }

    /// The number of a name, which is new or not.
    fn number(&mut self, name: String) -> u32 {
        let known = self.names.iter().position(|known| *known == name);
        let number = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        number as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(src: &str, sport: u16, dst: &str, dport: u16) -> Flow<'static> {
        let tuple = |src: &str, sport, dst: &str, dport| Tuple {
            src: src.parse().ok(),
            dst: dst.parse().ok(),
            proto: Some(6),
            sport: Some(sport),
            dport: Some(dport),
            ..Tuple::default()
        };
        let tuples = [tuple(src, sport, dst, dport), tuple(dst, dport, src, sport)];
        Flow { tuples, ..Flow::default() }
    }

    #[test]
    fn a_flow_belongs_to_whoever_has_an_end_of_it() {
        let mut owners = Owners { local: vec!["10.0.0.1".parse().unwrap()], ..Owners::default() };
        let [curl, nginx, shop] = ["curl", "nginx", "shop"].map(|name| owners.number(name.into()));
        assert_eq!(owners.number("nginx".into()), nginx);
        owners.sockets.insert((6, "10.0.0.1".parse().unwrap(), 40_000), curl);
        owners.listeners.insert((6, 80), nginx);
        owners.addresses.insert("172.17.0.2".parse().unwrap(), shop);
        let rows = [
            (flow("10.0.0.1", 40_000, "192.0.2.1", 443), Some(curl)),
            (flow("192.0.2.1", 999, "10.0.0.1", 80), Some(nginx)),
            (flow("192.0.2.1", 999, "10.0.0.9", 80), None),
            (flow("172.17.0.2", 999, "10.0.0.9", 80), Some(shop)),
            (flow("192.0.2.1", 999, "172.17.0.2", 80), Some(shop)),
        ];
        for (flow, expected) in rows {
            assert_eq!(owners.of(&flow), expected, "{flow:?}");
        }
        assert_eq!((owners.name(nginx), owners.name(99)), ("nginx", "?"));
    }
}
