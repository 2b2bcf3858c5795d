//! The world of a live gateway: interfaces, addresses, routes and neighbours, and what an engine is answered about them.
//!
//! ```text
//!   rtnetlink --> follow --+                      +--> Fib: what the engine asks
//!                          +--> World (no I/O) ---+
//!   a TOML file -> fixed --+                      +--> neighbour, next hop: what a forwarder asks
//! ```
//!
//! - [`World`] answers as the kernel's routing would: `ipv4` and `ipv6` hold what each family decides about a packet,
//!   `source` which address the host speaks from. It is told things and never asks anybody.
//! - [`link`], [`table`], [`policy`] and [`neighbour`] are what it is made of.
//! - [`follow`] keeps one equal to the kernel's; [`fixed`] makes one from a file. `live` is what a forwarder sees of both.
//!
//! One difference is meant: whether the kernel itself forwards (`ip_forward`, `forwarding`) makes none, as it is Tidegate
//! that does. What of the kernel's routing isn't known here is told as a [`Caveat`], not passed over.

pub mod fixed;
pub mod follow;
mod ipv4;
mod ipv6;
pub mod link;
mod live;
pub mod neighbour;
pub mod policy;
mod remembered;
mod source;
pub mod table;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use tidegate_engine::fib::{AddrType, Fib, Port, PortId, Route as Way, RouteQuery};
use tidegate_wire::Family;

use self::link::{Link, Links};
use self::neighbour::Neighbours;
use self::policy::{Action, Flow, MAIN, Out, Rule};
use self::table::{Hop, Kind, Route, Tables};

/// What there is, as far as routing goes.
#[derive(Clone, Debug)]
pub struct World {
    links: Links,
    tables: [Tables; 2],
    rules: [Vec<Rule>; 2],
    /// The groups that the host listens to, and where.
    groups: BTreeSet<(PortId, IpAddr)>,
    neighbours: Neighbours,
    /// The host's own IPv4 addresses, in order.
    own: Vec<Ipv4Addr>,
    /// Somebody has made routes to addresses of the host's, so that not all of those are on interfaces.
    has_own_routes: bool,
    /// Whether IPv4's policy rules are those of the start. Linux: `fib4_has_custom_rules`.
    has_usual_rules: bool,
}

/// What makes the answers differ from the kernel's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caveat {
    /// A policy rule with this priority asks for what isn't known here: it is passed over.
    Rule(u32, &'static str),
    /// A route in this table has what isn't known here: it is passed over.
    Route(u32, &'static str),
    /// There are more interfaces than an engine can number.
    TooManyLinks,
    /// The kernel doesn't let us ask for neighbours.
    NoAsking(String),
    /// A message of the kernel's can't be read.
    Message(String),
}

impl std::fmt::Display for Caveat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rule(priority, what) => {
                write!(f, "policy rule {priority} is passed over: {what} is not served")
            }
            Self::Route(table, what) => {
                write!(f, "a route of table {table} is passed over: {what} is not served")
            }
            Self::TooManyLinks => f.write_str("there are more than 65,535 interfaces"),
            Self::NoAsking(error) => write!(f, "neighbours can't be asked for: {error}"),
            Self::Message(error) => write!(f, "a message of the kernel's can't be read: {error}"),
        }
    }
}

/// Where a lookup ended.
enum Found<'a> {
    Route(&'a Route, Option<&'a Hop>),
    Throw,
}

impl Found<'_> {
    fn refuses(&self) -> bool {
        let kinds = [Kind::Blackhole, Kind::Unreachable, Kind::Prohibit];
        matches!(self, Self::Route(route, _) if kinds.contains(&route.kind))
    }
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// None was found.
    None,
    /// A route or a rule refuses.
    Kind(Kind),
}

impl Default for World {
    fn default() -> Self {
        Self {
            links: Links::default(),
            tables: Default::default(),
            rules: [policy::usual(false), policy::usual(true)],
            groups: BTreeSet::new(),
            neighbours: Neighbours::default(),
            own: Vec::new(),
            has_own_routes: false,
            has_usual_rules: true,
        }
    }
}

impl World {
    /// The interfaces.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Adds an interface or changes one; its addresses stay.
    pub fn set_link(&mut self, link: Link) -> Option<PortId> {
        self.links.set(link)
    }

    /// Takes an interface away, and its neighbours.
    pub fn remove_link(&mut self, index: u32) -> Option<PortId> {
        let port = self.links.remove(index)?;
        self.neighbours.forget(port);
        self.note_own_addresses();
        Some(port)
    }

    /// Gives an interface its addresses.
    pub fn set_addresses(&mut self, port: PortId, addresses: Vec<link::Address>) {
        if let Some(link) = self.links.link_mut(port) {
            link.addresses = addresses;
        }
        self.note_own_addresses();
    }

    fn note_own_addresses(&mut self) {
        let addresses =
            self.links.addresses(Family::V4).filter_map(|(_, address)| match address.local {
                IpAddr::V4(addr) => Some(addr),
                IpAddr::V6(_) => None,
            });
        self.own = addresses.collect();
        self.own.sort_unstable();
    }

    /// Sets the policy rules of a family.
    pub fn set_rules(&mut self, family: Family, rules: Vec<Rule>) {
        self.rules[index_of(family)] = rules;
        self.has_usual_rules = are_usual(&self.rules[0]);
    }

    /// The routes of a family.
    #[must_use]
    pub fn tables(&self, family: Family) -> &Tables {
        &self.tables[index_of(family)]
    }

    /// The same, to be changed.
    pub fn tables_mut(&mut self, family: Family) -> &mut Tables {
        &mut self.tables[index_of(family)]
    }

    /// Says whether there are routes to addresses of the host's that no interface has.
    pub fn set_has_own_routes(&mut self, has: bool) {
        self.has_own_routes = has;
    }

    /// Sets which groups the host listens to, and where.
    pub fn set_groups(&mut self, groups: BTreeSet<(PortId, IpAddr)>) {
        self.groups = groups;
    }

    /// Who is where on the networks around.
    #[must_use]
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// The same, to be changed.
    pub fn neighbours_mut(&mut self) -> &mut Neighbours {
        &mut self.neighbours
    }

    fn is_joined(&self, port: PortId, group: IpAddr) -> bool {
        self.groups.contains(&(port, group))
    }

    /// The route for a packet, by the policy rules.
    fn look_up(&self, flow: &Flow<'_>) -> Result<(&Route, Option<&Hop>), Refusal> {
        let rules = &self.rules[index_of(Family::of(flow.dst))];
        let mut from = 0;
        while let Some(rule) = rules.get(from) {
            from += 1;
            if !rule.holds(flow) {
                continue;
            }
            match rule.action {
                Action::Table(table) => match self.look_into(table, flow, rule.suppress) {
                    Some(Found::Route(route, hop)) => return accepted(route, hop),
                    Some(Found::Throw) | None => {}
                },
                // Never back: the kernel refuses such rules.
                Action::Goto(priority) => {
                    from = from.max(rules.partition_point(|rule| rule.priority < priority));
                }
                Action::Nop => {}
                Action::Blackhole => return Err(Refusal::Kind(Kind::Blackhole)),
                Action::Unreachable => return Err(Refusal::Kind(Kind::Unreachable)),
                Action::Prohibit => return Err(Refusal::Kind(Kind::Prohibit)),
            }
        }
        Err(Refusal::None)
    }

    fn look_into(&self, table: u32, flow: &Flow<'_>, suppress: Option<u8>) -> Option<Found<'_>> {
        let tables = &self.tables[index_of(Family::of(flow.dst))];
        let number = number_of(flow.src, flow.dst);
        let fits = |routes| chosen(routes, flow.out, number);
        let (length, found) = tables.find(table, flow.dst, fits)?;
        // As long as nobody has changed the rules, IPv4's tables `local` and `main` are one.
        let is_one = table == policy::LOCAL && flow.dst.is_ipv4() && self.has_usual_rules;
        let main = if is_one { tables.find(MAIN, flow.dst, fits) } else { None };
        let (length, found) = match main {
            Some((longer, other)) if longer > length => (longer, other),
            _ => (length, found),
        };
        let length = if flow.dst.is_ipv4() { length.saturating_sub(96) } else { length };
        // A route that refuses does so, however short its prefix (`fib_rules_lookup`).
        let is_suppressed = suppress.is_some_and(|shortest| length <= shortest) && !found.refuses();
        (!is_suppressed).then_some(found)
    }
}

/// Whether these are the rules that IPv4 starts with.
fn are_usual(rules: &[Rule]) -> bool {
    let tables = [policy::LOCAL, MAIN, policy::DEFAULT].map(Action::Table);
    let is_usual = |(rule, action): (&Rule, Action)| *rule == Rule::for_all(rule.priority, action);
    rules.len() == 3 && rules.iter().zip(tables).all(is_usual)
}

/// What a route that was found says, if it is one that refuses.
fn accepted<'a>(
    route: &'a Route,
    hop: Option<&'a Hop>,
) -> Result<(&'a Route, Option<&'a Hop>), Refusal> {
    match route.kind {
        Kind::Blackhole | Kind::Unreachable | Kind::Prohibit => Err(Refusal::Kind(route.kind)),
        Kind::Unicast
        | Kind::Local
        | Kind::Broadcast
        | Kind::Anycast
        | Kind::Multicast
        | Kind::Throw => Ok((route, hop)),
    }
}

/// Which of the routes of a prefix is taken: the first with the smallest metric that can be. IPv6 takes one that leads
/// back where the packet came from for better than others of the same metric (`rt6_score_route`).
fn chosen(routes: &[Route], out: Out, flow: u64) -> Option<Found<'_>> {
    let any = |_: &Hop| true;
    match out {
        Out::Any => routes.iter().find_map(|route| fitting(route, flow, any)),
        Out::Only(port) => {
            routes.iter().find_map(|route| fitting(route, flow, |hop| hop.port == port))
        }
        Out::Rather(port) => routes.chunk_by(|a, b| a.metric == b.metric).find_map(|equals| {
            let leads_back = |route: &&Route| route.hops.iter().any(|hop| hop.port == port);
            let back = equals.iter().filter(leads_back);
            let back =
                back.into_iter().find_map(|route| fitting(route, flow, |hop| hop.port == port));
            back.or_else(|| equals.iter().find_map(|route| fitting(route, flow, any)))
        }),
    }
}

fn fitting(route: &Route, flow: u64, may: impl Fn(&Hop) -> bool) -> Option<Found<'_>> {
    match route.kind {
        Kind::Throw => Some(Found::Throw),
        Kind::Blackhole | Kind::Unreachable | Kind::Prohibit => Some(Found::Route(route, None)),
        Kind::Unicast | Kind::Local | Kind::Broadcast | Kind::Anycast | Kind::Multicast => {
            route.hop(flow, may).map(|hop| Found::Route(route, Some(hop)))
        }
    }
}

/// A number that all packets between two addresses share, for routes with several ways out. Linux by default looks at
/// the same addresses, with a key of its own: which of the ways it takes can't be known.
fn number_of(src: IpAddr, dst: IpAddr) -> u64 {
    let bits = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    };
    let fold = |wide: u128| (wide >> 64) as u64 ^ wide as u64;
    let mixed = fold(bits(src)).rotate_left(32) ^ fold(bits(dst));
    (mixed ^ mixed >> 29).wrapping_mul(MIX) >> 16
}

/// Odd, and without a pattern: the golden ratio in 64 bits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl Fib for World {
    fn route(&self, query: &RouteQuery) -> Way {
        match (query.src, query.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.route_v4(query, src, dst),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.route_v6(query, src, dst),
            // Not possible in one packet.
            _ => Way::Unreachable,
        }
    }

    fn addr_type(&self, addr: IpAddr, port: Option<PortId>) -> AddrType {
        match addr {
            IpAddr::V4(addr) => self.type_of_v4(addr, port),
            IpAddr::V6(addr) => self.type_of_v6(addr, port),
        }
    }

    fn port(&self, port: PortId) -> &Port {
        &self.links.link(port).port
    }

    fn source_for(&self, peer: IpAddr, port: Option<PortId>) -> Option<IpAddr> {
        match peer {
            IpAddr::V4(peer) => self.source_for_v4(peer, port).map(IpAddr::V4),
            IpAddr::V6(peer) => self.source_for_v6(peer, port).map(IpAddr::V6),
        }
    }

    /// IPv6: the first that is good everywhere. Linux: `nf_nat_redirect_ipv4`, `nf_nat_redirect_ipv6`.
    fn primary_address(&self, port: PortId, family: Family) -> Option<IpAddr> {
        let mut addresses = self.links.link(port).addresses.iter();
        let is_usable =
            |address: &&link::Address| Family::of(address.local) == family && !address.is_tentative;
        addresses.find(is_usable).map(|address| address.local)
    }

    fn broadcast_mask(&self, port: PortId, addr: IpAddr) -> Option<IpAddr> {
        let of = |address: &&link::Address| address.broadcast.map(IpAddr::V4) == Some(addr);
        let address = self.links.link(port).addresses.iter().find(of)?;
        let mask = u32::MAX.checked_shl(32 - u32::from(address.prefix)).unwrap_or(0);
        Some(Ipv4Addr::from_bits(mask).into())
    }
}

fn index_of(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

/// Where a packet goes that no route was found for.
fn refused(refusal: Refusal) -> Way {
    match refusal {
        Refusal::None | Refusal::Kind(Kind::Unreachable | Kind::Prohibit) => Way::Unreachable,
        Refusal::Kind(_) => Way::Blackhole,
    }
}

#[cfg(test)]
mod tests;
