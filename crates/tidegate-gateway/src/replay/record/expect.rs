//! An expectation as a JSON object: one of the `expects` of the scenario format.

use serde::Serialize;
use tidegate_engine::expect::Expectation;
use tidegate_engine::time::Instant;
use tidegate_engine::tuple::{Direction, Tuple};

use super::flow::TupleRecord;
use crate::text::expect::{flag_names, mask};
use crate::text::l4_name;

/// An expectation at an instant.
#[derive(Debug, Serialize)]
pub(super) struct ExpectationRecord {
    l3: &'static str,
    l4: &'static str,
    l4num: u8,
    tuple: TupleRecord,
    mask: TupleRecord,
    master: TupleRecord,
    timeout: u64,
    helper: Option<&'static str>,
    class: u8,
    flags: Vec<&'static str>,
    /// Never told by the kernel.
    zone: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    nat: Option<NatRecord>,
}

/// The destination that the payload named.
#[derive(Debug, Serialize)]
struct NatRecord {
    #[serde(flatten)]
    tuple: TupleRecord,
    dir: &'static str,
}

impl ExpectationRecord {
    pub(super) fn new(of: &Expectation, now: Instant) -> Self {
        let proto = of.tuple.proto;
        Self {
            l3: of.tuple.family().name(),
            l4: l4_name(proto),
            l4num: proto,
            tuple: TupleRecord::new(&of.tuple),
            mask: TupleRecord::new(&mask(of).to_tuple(proto)),
            master: TupleRecord::new(&of.master.tuple),
            timeout: of.remaining(now).as_secs(),
            helper: of.master.helper.map(|helper| helper.name()),
            class: of.class,
            flags: flag_names(of.flags),
            zone: 0,
            nat: nat(of),
        }
    }
}

/// What the kernel tells of it: a tuple of the master's protocol.
fn nat(of: &Expectation) -> Option<NatRecord> {
    let (src, sport) = of.saved;
    if src.is_unspecified() && sport == 0 {
        return None;
    }
    let dst = tidegate_engine::expect::unspecified(of.tuple.family());
    let tuple = Tuple { src, dst, sport, dport: 0, proto: of.master.tuple.proto };
    let dir = match of.dir {
        Direction::Original => "orig",
        Direction::Reply => "reply",
    };
    Some(NatRecord { tuple: TupleRecord::new(&tuple), dir })
}
