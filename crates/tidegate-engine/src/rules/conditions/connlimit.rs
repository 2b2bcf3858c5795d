//! `-m connlimit`: how many flows a network has. Linux: `xt_connlimit`, `nf_conncount`.
//!
//! A rule keeps a list of flows for each network. Before it adds a packet's flow, it looks whether those of the list are
//! still there, and drops a limited number that are not, so that a count may lag behind as it does in the kernel. A flow
//! that is over isn't added. A network that is left without flows has the packet dropped.
//! Networks that nobody comes from any more are swept out when the entries have doubled.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt::{self, Formatter};
use core::net::IpAddr;
use core::time::Duration;

use tidegate_wire::Family;

use super::addressed::{self, Side};
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::flow::Flow;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, term, value};
use crate::rules::text::{Parsed, value as values};
use crate::table::FlowTable;
use crate::time::Instant;
use crate::track::{ProtoState, TcpState};
use crate::tuple::{Tuple, Zone};

/// `-m connlimit`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct ConnLimit {
    most: u32,
    /// Holds if there are more, not if there are at most so many.
    above: bool,
    /// Length of the prefix that makes a network.
    mask: u32,
    side: Side,
}

/// The flows of each network, by its first address and the zone.
#[derive(Clone, Debug, Default)]
pub(in crate::rules) struct Lists {
    lists: BTreeMap<(IpAddr, u16), Vec<Listed>>,
    entries: usize,
    /// What the last sweep left.
    swept: usize,
    /// When that was.
    swept_at: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    tuple: Tuple,
    zone: Zone,
}

/// Entries that may be removed for one packet.
const COLLECT_MAX: usize = 64;
/// Entries that aren't worth a sweep.
const SWEEP_MIN: usize = 1024;
/// How long a full map isn't swept again.
const SWEEP_REST: Duration = Duration::from_secs(1);
/// Entries of a rule; beyond them packets are dropped, as in the kernel without memory.
const ENTRIES_MAX: usize = 1 << 20;

impl Condition for ConnLimit {
    type State = Lists;

    const OPTIONS: &'static [OptionSpec] = &[
        term(&["--connlimit-above"]),
        term(&["--connlimit-upto"]),
        value(&["--connlimit-mask"]),
        flag(&["--connlimit-saddr"]),
        flag(&["--connlimit-daddr"]),
    ];

    const PURE: bool = false;

    fn parse(family: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let given = clause.one_of(&["--connlimit-above", "--connlimit-upto"])?;
        let given = given.ok_or_else(|| clause.missing("--connlimit-above or --connlimit-upto"))?;
        let most = values::number(given.value(), 0, u32::MAX)?;
        let above = (given.name() == "--connlimit-above") != given.negated;
        let width = addressed::width(family);
        let mask = clause.value("--connlimit-mask", |word| values::number(word, 0, width))?;
        let side = clause.one_of(&["--connlimit-saddr", "--connlimit-daddr"])?;
        let side = match side {
            Some(given) if given.name() == "--connlimit-daddr" => Side::Destination,
            _ => Side::Source,
        };
        Ok(Self { most, above, mask: mask.unwrap_or(width), side })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let option = if self.above { "above" } else { "upto" };
        write!(f, " --connlimit-{option} {} --connlimit-mask {}", self.most, self.mask)?;
        f.write_str(match self.side {
            Side::Source => " --connlimit-saddr",
            Side::Destination => " --connlimit-daddr",
        })
    }

    fn start(&self) -> Lists {
        Lists::default()
    }

    fn fit<F: Fib>(&self, lists: &mut Lists, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let (listed, over) = match ctx.flow.as_deref() {
            Some(flow) => {
                let listed = Listed { tuple: flow.orig, zone: flow.zone };
                // A flow that the packet has killed counts as it was.
                let over = is_over(flow) && listed.is_alive(ctx.flows, ctx.now).is_some();
                (listed, over)
            }
            None => match ctx.tuple() {
                Some(tuple) => known_or_not(tuple, ctx.flows, ctx.now),
                None => return Fit::Unreadable,
            },
        };
        let network = addressed::prefix_of(self.side.of(ctx.headers), self.mask);
        let packet = Packet { network: (network, listed.zone.id), flow: listed, over };
        match lists.count(packet, ctx.flows, ctx.now) {
            0 => Fit::Unreadable,
            count => ((count > self.most) == self.above).into(),
        }
    }
}

/// The flow that a packet without one would belong to by its tuple, and whether that is over.
fn known_or_not(tuple: Tuple, flows: &FlowTable, now: Instant) -> (Listed, bool) {
    let zone = Zone::default();
    let found = flows.lookup(now, &tuple, zone).and_then(|(id, _)| flows.load(id));
    match found {
        Some(flow) => (Listed { tuple: flow.orig, zone }, is_over(&flow)),
        None => (Listed { tuple, zone }, false),
    }
}

/// What a list is told of a packet.
struct Packet {
    /// With the zone.
    network: (IpAddr, u16),
    flow: Listed,
    /// The flow is over, and the packet comes after its end.
    over: bool,
}

impl Lists {
    /// How many flows the packet's network has, with its own.
    fn count(&mut self, packet: Packet, flows: &FlowTable, now: Instant) -> u32 {
        if self.wants_sweep(now) {
            self.sweep(flows, now);
        }
        let is_new = !self.lists.contains_key(&packet.network);
        if self.size() >= ENTRIES_MAX && (is_new || !packet.over) {
            return 0;
        }
        let list = self.lists.entry(packet.network).or_default();
        let before = list.len();
        match (is_new, packet.over) {
            (true, _) => list.push(packet.flow),
            (false, true) => collect(list, flows, now),
            (false, false) => add(list, packet.flow, flows, now),
        }
        self.entries = self.entries + list.len() - before;
        list.len() as u32
    }

    /// Flows or networks: a network whose flows are over stays until it is swept.
    fn size(&self) -> usize {
        self.entries.max(self.lists.len())
    }

    fn wants_sweep(&self, now: Instant) -> bool {
        let rests = |at| now.saturating_sub(at) < SWEEP_REST;
        let is_full = self.size() >= ENTRIES_MAX && !self.swept_at.is_some_and(rests);
        is_full || self.size() > SWEEP_MIN.max(2 * self.swept)
    }

    fn sweep(&mut self, flows: &FlowTable, now: Instant) {
        self.lists.retain(|_, list| {
            list.retain(|listed| listed.is_alive(flows, now) == Some(true));
            !list.is_empty()
        });
        self.entries = self.lists.values().map(Vec::len).sum();
        (self.swept, self.swept_at) = (self.size(), Some(now));
    }
}

fn add(list: &mut Vec<Listed>, flow: Listed, flows: &FlowTable, now: Instant) {
    let (mut at, mut collected) = (0, 0);
    while collected <= COLLECT_MAX && at < list.len() {
        match list[at].is_alive(flows, now) {
            Some(_) if list[at] == flow => return,
            Some(true) => at += 1,
            Some(false) | None => {
                list.remove(at);
                collected += 1;
            }
        }
    }
    list.push(flow);
}

/// Removes flows that are over or gone.
fn collect(list: &mut Vec<Listed>, flows: &FlowTable, now: Instant) {
    let mut collected = 0;
    list.retain(|listed| {
        let keep = collected > COLLECT_MAX || listed.is_alive(flows, now) == Some(true);
        collected += usize::from(!keep);
        keep
    });
}

impl Listed {
    /// Whether a flow with the tuple in either direction is in the table and not over; `None` if there is none.
    fn is_alive(&self, flows: &FlowTable, now: Instant) -> Option<bool> {
        let (id, _) = flows.lookup_noted(now, &self.tuple, self.zone)?;
        flows.load(id).map(|flow| !is_over(&flow))
    }
}

fn is_over(flow: &Flow) -> bool {
    match &flow.proto {
        ProtoState::Tcp(state) => {
            matches!(state.state, TcpState::TimeWait | TcpState::Close)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::limits::Limits;
    use crate::rand::Rng;

    #[test]
    fn networks_whose_flows_are_over_do_not_pile_up() {
        let flows = FlowTable::new(&Limits::default(), &mut Rng::new(1), Instant::ZERO);
        let mut lists = Lists::default();
        for number in 0..10_000_u32 {
            let src = IpAddr::from(Ipv4Addr::from_bits(number));
            let tuple = Tuple { src, dst: src, sport: 1, dport: 2, proto: 6 };
            // The second packet finds that the flow is gone.
            for over in [false, true] {
                let flow = Listed { tuple, zone: Zone::default() };
                lists.count(Packet { network: (src, 0), flow, over }, &flows, Instant::ZERO);
            }
        }
        assert!(lists.lists.len() <= 2 * SWEEP_MIN, "{} networks", lists.lists.len());
    }
}
