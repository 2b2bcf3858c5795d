//! Routing tables: what longest prefix leads where.
//!
//! Both families lie in the same kind of table. An IPv4 prefix is an IPv6 one below `::ffff:0:0/96`; as each table is
//! of one family, neither sees the other's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use prefix_trie::PrefixMap;
use tidegate_engine::fib::PortId;
use tidegate_wire::Family;

/// What becomes of packets to a prefix. Linux: `RTN_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They are sent on.
    Unicast,
    /// They are the host's.
    Local,
    /// They are everybody's on a network of the host's.
    Broadcast,
    /// They are the host's, and others have the same address.
    Anycast,
    /// They are those's who want them.
    Multicast,
    /// They are let fall.
    Blackhole,
    /// They are refused.
    Unreachable,
    /// They are forbidden.
    Prohibit,
    /// This table has nothing to say about them.
    Throw,
}

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The interface.
    pub port: PortId,
    /// The router there; without one, the destination itself is there.
    pub gateway: Option<IpAddr>,
    /// How much of the traffic it takes, if there are others.
    pub weight: u16,
    /// It can't be used now.
    pub is_dead: bool,
}

/// A route, but for its prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it does.
    pub kind: Kind,
    /// Among those to the same prefix the smallest is taken.
    pub metric: u32,
    /// How far the destination is, as the kernel counts.
    pub scope: u8,
    /// Where to.
    pub hops: Vec<Hop>,
    /// The address from which the host speaks.
    pub source: Option<IpAddr>,
}

impl Route {
    /// The hop by which packets of `flow` go, any number that is the same for all of them; of those that `may` be used.
    pub(super) fn hop(&self, flow: u64, may: impl Fn(&Hop) -> bool) -> Option<&Hop> {
        let usable = || self.hops.iter().filter(|hop| !hop.is_dead && may(hop));
        let total: u64 = usable().map(|hop| u64::from(hop.weight)).sum();
        let mut at = if total > 1 { flow % total } else { 0 };
        usable().find(|hop| {
            let is_it = at < u64::from(hop.weight);
            at = at.saturating_sub(hop.weight.into());
            is_it
        })
    }
}

/// A prefix of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    family: Family,
    net: Ipv6Net,
}

impl Prefix {
    /// The first `length` bits of an address; `None` if it hasn't so many.
    #[must_use]
    pub fn new(addr: IpAddr, length: u8) -> Option<Self> {
        let family = Family::of(addr);
        let length = match family {
            Family::V4 if length > 32 => return None,
            Family::V4 => length + 96,
            Family::V6 => length,
        };
        Some(Self { family, net: Ipv6Net::new(wide(addr), length).ok()?.trunc() })
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }
}

fn wide(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    }
}

/// An address as the longest prefix there is.
fn whole(addr: IpAddr) -> Ipv6Net {
    Ipv6Net::from(wide(addr))
}

/// All tables of a family.
#[derive(Clone, Default)]
pub struct Tables {
    tables: BTreeMap<u32, PrefixMap<Ipv6Net, Vec<Route>>>,
}

impl Tables {
    /// Adds a route behind those of the same prefix and metric.
    pub fn add(&mut self, table: u32, prefix: &Prefix, route: Route) {
        let routes = self.tables.entry(table).or_default().entry(prefix.net).or_default();
        let place = routes.partition_point(|other| other.metric <= route.metric);
        routes.insert(place, route);
    }

    /// Puts a route in the place of the first one of the same prefix and metric.
    pub fn replace(&mut self, table: u32, prefix: &Prefix, route: Route) {
        let routes = self.tables.entry(table).or_default().entry(prefix.net).or_default();
        match routes.iter_mut().find(|other| other.metric == route.metric) {
            Some(other) => *other = route,
            None => self.add(table, prefix, route),
        }
    }

    /// Takes a route away; whether it was there.
    pub fn remove(&mut self, table: u32, prefix: &Prefix, route: &Route) -> bool {
        let Some(trie) = self.tables.get_mut(&table) else { return false };
        let Some(routes) = trie.get_mut(&prefix.net) else { return false };
        let Some(at) = routes.iter().position(|other| is_same(other, route)) else { return false };
        routes.remove(at);
        if routes.is_empty() {
            trie.remove(&prefix.net);
        }
        true
    }

    /// How many routes have this prefix and metric.
    #[must_use]
    pub fn count(&self, table: u32, prefix: &Prefix, metric: u32) -> usize {
        let routes = self.tables.get(&table).and_then(|trie| trie.get(&prefix.net));
        routes.map_or(0, |routes| routes.iter().filter(|route| route.metric == metric).count())
    }

    /// How many prefixes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.values().map(PrefixMap::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What `choose` takes of the routes to `addr`, which it is shown from the longest prefix to the shortest, those of a
    /// prefix at a time; and the prefix length in [`Tables`]' terms, in which an IPv4 prefix is 96 longer.
    pub(super) fn find<'a, T>(
        &'a self,
        table: u32,
        addr: IpAddr,
        choose: impl Fn(&'a [Route]) -> Option<T>,
    ) -> Option<(u8, T)> {
        let trie = self.tables.get(&table)?;
        let (net, routes) = trie.get_lpm(&whole(addr))?;
        if let Some(found) = choose(routes) {
            return Some((net.prefix_len(), found));
        }
        let covering: Vec<_> = trie.cover(&whole(addr)).collect();
        let shorter = covering.into_iter().rev().skip(1);
        shorter.filter_map(|(net, routes)| Some((net.prefix_len(), choose(routes)?))).next()
    }
}

/// Whether a notice about `gone` means `route`. The kernel names the hops of what it takes away, but for those routes
/// that have none.
fn is_same(route: &Route, gone: &Route) -> bool {
    let way = |route: &Route| -> Vec<(PortId, Option<IpAddr>)> {
        route.hops.iter().map(|hop| (hop.port, hop.gateway)).collect()
    };
    route.metric == gone.metric
        && route.kind == gone.kind
        && (way(route) == way(gone) || gone.hops.is_empty())
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = self.tables.iter().map(|(table, trie)| (table, trie.len()));
        f.debug_map().entries(sizes).finish()
    }
}
