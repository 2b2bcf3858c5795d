//! A flow as a JSON object: the `ct` of the scenario format.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use tidegate_engine::Engine;
use tidegate_engine::flow::{Correction, Counter, Flow, FlowId, Labels, Status};
use tidegate_engine::synproxy::Proxy;
use tidegate_engine::time::Instant;
use tidegate_engine::track::{ProtoState, Sctp, Tcp};
use tidegate_engine::tuple::{Tuple, ZoneScope};
use tidegate_wire::proto;

use super::Hex;
use crate::text::l4_name;

/// How long after a packet the kernel's table is read, at the least, where a scenario is recorded.
const READING: Duration = Duration::from_millis(1);

/// A flow at an instant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowRecord {
    l3: &'static str,
    l4: &'static str,
    l4num: u8,
    orig: TupleRecord,
    reply: TupleRecord,
    status: Vec<&'static str>,
    timeout: u64,
    /// The same as who reads the table a moment later finds it: of what was just set to ten seconds nine are left.
    #[serde(skip)]
    read_later: u64,
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp: Option<SctpRecord>,
    mark: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<String>,
    zone: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_orig: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_reply: Option<u16>,
    helper: Option<&'static str>,
    master: Option<MasterRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seqadj: Option<BTreeMap<&'static str, CorrectionRecord>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    synproxy: Option<ProxyRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acct: Option<AcctRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tstamp: Option<LifetimeRecord>,
}

impl FlowRecord {
    /// The record of `flow` as it is at `now`, without what the engine keeps apart from it.
    fn new(flow: &Flow, now: Instant) -> Self {
        let shown = |scope| flow.zone.scope == scope && flow.zone.id != 0;
        let zone = |scope| shown(scope).then_some(flow.zone.id);
        Self {
            l3: flow.orig.family().name(),
            l4: l4_name(flow.orig.proto),
            l4num: flow.orig.proto,
            orig: TupleRecord::new(&flow.orig),
            reply: TupleRecord::new(&flow.reply),
            status: status_names(flow.status),
            timeout: flow.remaining(now).as_secs(),
            read_later: flow.remaining(now).saturating_sub(READING).as_secs(),
            state: flow.proto.name(),
            tcp: match &flow.proto {
                ProtoState::Tcp(tcp) => Some(TcpRecord::new(tcp)),
                _ => None,
            },
            sctp: match &flow.proto {
                ProtoState::Sctp(Sctp { tags, .. }) => Some(SctpRecord { vtag: *tags }),
                _ => None,
            },
            mark: flow.mark,
            labels: (flow.labels != Labels::NONE)
                .then(|| Hex(&flow.labels.bits().to_le_bytes()).to_string()),
            zone: zone(ZoneScope::Both).unwrap_or(0),
            zone_orig: zone(ZoneScope::Original),
            zone_reply: zone(ZoneScope::Reply),
            helper: flow.helper().map(|helper| helper.name()),
            master: None,
            seqadj: None,
            synproxy: None,
            acct: flow.acct.map(AcctRecord::new),
            tstamp: flow.lifetime.map(|lifetime| LifetimeRecord {
                start: lifetime.start.is_some(),
                stop: lifetime.stop.is_some(),
            }),
        }
    }

    /// The record of `flow`, which is `engine`'s of that id, as it is at `now`.
    #[must_use]
    pub fn of(engine: &Engine, id: FlowId, flow: &Flow, now: Instant) -> Self {
        Self {
            master: engine.master_of(id).map(|master| MasterRecord::new(&master.tuple)),
            seqadj: corrections(&engine.corrections_of(id)),
            synproxy: engine.proxy_of(id).map(ProxyRecord::new),
            ..Self::new(flow, now)
        }
    }

    /// Whether an answer was seen.
    pub(super) fn is_replied(&self) -> bool {
        self.status.contains(&"SEEN_REPLY")
    }

    /// Whether it changed otherwise than by ageing. Whole seconds may round
    /// differently from one look to the next. A deadline that is moved by less than a second is not seen where two
    /// looks find the same number.
    pub(super) fn differs_from(&self, earlier: &Self) -> bool {
        let Self { timeout, read_later, .. } = *earlier;
        let aged = Self { timeout, read_later, ..self.clone() };
        let ageing = self.read_later <= read_later && read_later - self.read_later < 2;
        aged != *earlier || !ageing
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TupleRecord {
    src: IpAddr,
    dst: IpAddr,
    #[serde(flatten)]
    words: Words,
}

/// What a protocol adds to the addresses.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Words {
    Ports {
        sport: u16,
        dport: u16,
    },
    Keys {
        srckey: u16,
        dstkey: u16,
    },
    Icmp {
        #[serde(rename = "type")]
        kind: u8,
        code: u8,
        id: u16,
    },
    None {},
}

impl TupleRecord {
    pub(super) fn new(tuple: &Tuple) -> Self {
        let words = match tuple.proto {
            proto::ICMP | proto::ICMPV6 => {
                let (kind, code) = (tuple.icmp_type(), tuple.icmp_code());
                Words::Icmp { kind, code, id: tuple.sport }
            }
            proto::GRE => Words::Keys { srckey: tuple.sport, dstkey: tuple.dport },
            _ if tuple.has_ports() => Words::Ports { sport: tuple.sport, dport: tuple.dport },
            _ => Words::None {},
        };
        Self { src: tuple.src, dst: tuple.dst, words }
    }
}

/// The original tuple of a flow's master.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct MasterRecord {
    l4: &'static str,
    #[serde(flatten)]
    tuple: TupleRecord,
}

impl MasterRecord {
    fn new(tuple: &Tuple) -> Self {
        Self { l4: l4_name(tuple.proto), tuple: TupleRecord::new(tuple) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct CorrectionRecord {
    pos: u32,
    before: i32,
    after: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ProxyRecord {
    isn: u32,
    its: u32,
    tsoff: u32,
}

impl ProxyRecord {
    fn new(proxy: Proxy) -> Self {
        Self { isn: proxy.isn.0, its: proxy.its, tsoff: proxy.clock_offset }
    }
}

/// The directions whose sequence numbers were ever corrected.
fn corrections(of: &[Correction; 2]) -> Option<BTreeMap<&'static str, CorrectionRecord>> {
    let named = ["orig", "reply"].into_iter().zip(of);
    let told: BTreeMap<_, _> = named
        .filter(|(_, correction)| **correction != Correction::default())
        .map(|(name, Correction { position, before, after })| {
            (name, CorrectionRecord { pos: position.0, before: *before, after: *after })
        })
        .collect();
    (!told.is_empty()).then_some(told)
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct TcpRecord {
    wscale: [u8; 2],
    flags: [u8; 2],
}

impl TcpRecord {
    fn new(tcp: &Tcp) -> Self {
        let [orig, reply] = &tcp.seen;
        Self { wscale: [orig.scale, reply.scale], flags: [orig.flags.bits(), reply.flags.bits()] }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct SctpRecord {
    vtag: [u32; 2],
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct AcctRecord {
    orig: [u64; 2],
    reply: [u64; 2],
}

impl AcctRecord {
    fn new(acct: [Counter; 2]) -> Self {
        let [orig, reply] = acct.map(|counter| [counter.packets, counter.bytes]);
        Self { orig, reply }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct LifetimeRecord {
    start: bool,
    stop: bool,
}

fn status_names(status: Status) -> Vec<&'static str> {
    let names = STATUS_NAMES.iter().filter(|(bit, _)| status.contains(*bit));
    names.map(|(_, name)| *name).collect()
}

const STATUS_NAMES: [(Status, &str); 13] = [
    (Status::EXPECTED, "EXPECTED"),
    (Status::SEEN_REPLY, "SEEN_REPLY"),
    (Status::ASSURED, "ASSURED"),
    (Status::CONFIRMED, "CONFIRMED"),
    (Status::SRC_NAT, "SRC_NAT"),
    (Status::DST_NAT, "DST_NAT"),
    (Status::SEQ_ADJUST, "SEQ_ADJUST"),
    (Status::SRC_NAT_DONE, "SRC_NAT_DONE"),
    (Status::DST_NAT_DONE, "DST_NAT_DONE"),
    (Status::DYING, "DYING"),
    (Status::FIXED_TIMEOUT, "FIXED_TIMEOUT"),
    (Status::NAT_CLASH, "NAT_CLASH"),
    (Status::HELPER, "HELPER"),
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::replay::topology::{Passage, World};
    use tidegate_engine::fib::PortId;
    use tidegate_engine::{Packet, Settings};

    /// A flow that an engine made of a datagram from 10.0.1.2 to 203.0.113.1.
    fn some_flow() -> Flow {
        let hex = "45000021000040003f11f4c70a000102cb0071029c400035000dcc717175657279";
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let mut bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
        let mut engine = Engine::new(Settings::default());
        let mut packet = Packet::received(&mut bytes, PortId(0));
        let passage = World::Passage(Passage::default());
        let outcome = engine.process(Instant::ZERO, &mut packet, &passage);
        engine.flow(outcome.flow.unwrap()).unwrap()
    }

    #[test]
    fn a_flow_changes_when_its_deadline_moves_for_others_to_see() {
        let later = |millis| Instant::ZERO + Duration::from_millis(millis);
        let renewed = |at| {
            let mut flow = some_flow();
            flow.deadline = later(at) + Duration::from_secs(10);
            flow
        };
        let is_seen = |begun: u64, looked: u64, renewal: u64| {
            let before = FlowRecord::new(&renewed(begun), later(looked));
            FlowRecord::new(&renewed(renewal), later(renewal)).differs_from(&before)
        };
        assert!(!is_seen(0, 0, 0), "nothing has happened");
        assert!(!is_seen(0, 20, 21), "nine seconds are left, and nine again");
        assert!(is_seen(0, 1_500, 1_501), "eight, and nine again");
        let aged = |millis| FlowRecord::new(&renewed(0), later(millis));
        assert!(!aged(1_200).differs_from(&aged(300)), "it aged by a second");
        assert!(aged(2_200).differs_from(&aged(300)), "by two, while one packet passed");
        let mut marked = renewed(0);
        marked.mark = 1;
        assert!(FlowRecord::new(&marked, later(300)).differs_from(&aged(300)));
    }
}
