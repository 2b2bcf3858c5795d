//! A flow, an expectation or an event as a JSON object. Names are those of `tidegate replay --format jsonl`.

use std::io;
use std::net::IpAddr;

use serde::Serialize;
use tidegate_wire::netlink::Tuple;
use tidegate_wire::netlink::conntrack::{Counters, SeqAdj};
use tidegate_wire::proto;

use super::words::Words;
use super::{Kind, Occasion, utc};
use crate::client::labels::Labels;
use crate::client::names;
use crate::client::{Expected, Flow};

#[derive(Serialize)]
struct FlowRecord<'a> {
    #[serde(flatten)]
    event: EventRecord,
    l3: &'static str,
    l4: &'static str,
    l4num: u8,
    orig: TupleRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<TupleRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp: Option<SctpRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<LabelRecord<'a>>,
    zone: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_orig: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_reply: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    helper: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secctx: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    master: Option<TupleRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seqadj: Option<Pair<ShiftRecord>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acct: Option<Pair<[u64; 2]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tstamp: Option<TimesRecord>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "use")]
    uses: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
}

#[derive(Default, Serialize)]
struct EventRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    portid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<(u64, u64)>,
}

#[derive(Default, Serialize)]
struct TupleRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    src: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    srckey: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dstkey: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    kind: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u16>,
}

#[derive(Serialize)]
struct Pair<T> {
    orig: T,
    reply: T,
}

#[derive(Serialize)]
struct TcpRecord {
    wscale: [u8; 2],
    flags: [u8; 2],
}

#[derive(Serialize)]
struct SctpRecord {
    vtag: [u32; 2],
}

#[derive(Default, Serialize)]
struct ShiftRecord {
    pos: u32,
    before: i32,
    after: i32,
}

#[derive(Serialize)]
struct TimesRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LabelRecord<'a> {
    Name(&'a str),
    Bit(u16),
}

#[derive(Serialize)]
struct ExpectedRecord {
    #[serde(flatten)]
    event: EventRecord,
    l3: &'static str,
    l4: &'static str,
    l4num: u8,
    timeout: u32,
    tuple: TupleRecord,
    mask: TupleRecord,
    master: TupleRecord,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<&'static str>,
    class: u32,
    zone: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    helper: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
}

/// Writes a flow's line.
pub(super) fn write(
    words: &mut Words,
    flow: &Flow<'_>,
    on: Option<Occasion>,
    labels: &Labels,
) -> io::Result<()> {
    serde_json::to_writer(&mut words.0, &FlowRecord::new(flow, on, labels))?;
    words.end();
    Ok(())
}

/// Writes an expectation's line.
pub(super) fn write_expected(
    words: &mut Words,
    expected: &Expected<'_>,
    on: Option<Occasion>,
) -> io::Result<()> {
    let proto = expected.tuple.proto.unwrap_or(0);
    let record = ExpectedRecord {
        event: EventRecord::new(on),
        l3: names::family(expected.family),
        l4: names::protocol(proto),
        l4num: proto,
        timeout: expected.timeout.unwrap_or(0),
        tuple: TupleRecord::new(&expected.tuple, proto),
        mask: TupleRecord::new(&expected.mask, proto),
        master: TupleRecord::new(&expected.master, proto),
        flags: expected.flag_names().collect(),
        class: expected.class.unwrap_or(0),
        zone: expected.zone.unwrap_or(0),
        helper: expected.helper.map(lossy),
        id: expected.id,
    };
    serde_json::to_writer(&mut words.0, &record)?;
    words.end();
    Ok(())
}

/// Writes the line of a gap.
pub(super) fn write_gap(words: &mut Words, time: u64, lost: Option<(u64, u64)>) -> io::Result<()> {
    let event = Some(Kind::Gap.name());
    let record = EventRecord { event, time: Some(utc(time)), lost, ..EventRecord::default() };
    serde_json::to_writer(&mut words.0, &record)?;
    words.end();
    Ok(())
}

impl<'a> FlowRecord<'a> {
    fn new(flow: &Flow<'_>, on: Option<Occasion>, labels: &'a Labels) -> Self {
        let [orig, reply] = &flow.tuples;
        let label = |bit| labels.name(bit).map_or(LabelRecord::Bit(bit), LabelRecord::Name);
        let proto = flow.proto();
        Self {
            event: EventRecord::new(on),
            l3: names::family(flow.family),
            l4: names::protocol(proto),
            l4num: proto,
            orig: TupleRecord::new(orig, proto),
            reply: reply.src.map(|_| TupleRecord::new(reply, proto)),
            status: flow.status.map(|bits| names::status(bits).collect()),
            timeout: flow.timeout,
            state: flow.state(),
            tcp: TcpRecord::new(flow),
            sctp: SctpRecord::new(flow),
            mark: flow.mark,
            labels: flow.label_bits().map(label).collect(),
            zone: flow.zone.unwrap_or(0),
            zone_orig: orig.zone,
            zone_reply: reply.zone,
            helper: flow.helper.filter(|name| !name.is_empty()).map(lossy),
            secctx: flow.context.map(lossy),
            master: flow.master.as_ref().map(|m| TupleRecord::new(m, m.proto.unwrap_or(0))),
            seqadj: pair(&flow.shifts, ShiftRecord::new),
            acct: pair(&flow.counters, counted),
            tstamp: flow.times.as_ref().map(|times| TimesRecord {
                start: times.start.map(utc),
                stop: times.stop.map(utc),
            }),
            uses: flow.uses,
            id: flow.id,
        }
    }
}

impl EventRecord {
    fn new(on: Option<Occasion>) -> Self {
        on.map_or(Self::default(), |Occasion { kind, time, port, number }| Self {
            event: Some(kind.name()),
            time: Some(utc(time)),
            portid: (port != 0).then_some(port),
            number,
            lost: None,
        })
    }
}

impl TupleRecord {
    fn new(tuple: &Tuple, proto: u8) -> Self {
        let Tuple { src, dst, sport, dport, .. } = *tuple;
        let ends = Self { src, dst, ..Self::default() };
        if let Some(icmp) = tuple.icmp {
            return Self { kind: icmp.kind, code: icmp.code, id: icmp.id, ..ends };
        }
        match proto {
            proto::GRE => Self { srckey: sport, dstkey: dport, ..ends },
            _ => Self { sport, dport, ..ends },
        }
    }
}

impl TcpRecord {
    fn new(flow: &Flow<'_>) -> Option<Self> {
        let tcp = flow.info.tcp.as_ref()?;
        // The lower byte is a mask.
        let flags = |flags: Option<u16>| flags.map(|flags| (flags >> 8) as u8);
        Some(Self {
            wscale: [tcp.scale_original?, tcp.scale_reply?],
            flags: [flags(tcp.flags_original)?, flags(tcp.flags_reply)?],
        })
    }
}

impl SctpRecord {
    fn new(flow: &Flow<'_>) -> Option<Self> {
        let sctp = flow.info.sctp.as_ref()?;
        Some(Self { vtag: [sctp.tag_original?, sctp.tag_reply?] })
    }
}

impl ShiftRecord {
    fn new(shift: &SeqAdj) -> Self {
        Self {
            pos: shift.position.unwrap_or(0),
            before: shift.before.unwrap_or(0).cast_signed(),
            after: shift.after.unwrap_or(0).cast_signed(),
        }
    }
}

fn counted(counters: &Counters) -> [u64; 2] {
    [counters.packets.unwrap_or(0), counters.bytes.unwrap_or(0)]
}

/// What is said of the directions, if it is said of one.
fn pair<T, R: Default>(of: &[Option<T>; 2], record: fn(&T) -> R) -> Option<Pair<R>> {
    let [orig, reply] = of.each_ref().map(|value| value.as_ref().map(record));
    (orig.is_some() || reply.is_some())
        .then(|| Pair { orig: orig.unwrap_or_default(), reply: reply.unwrap_or_default() })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
