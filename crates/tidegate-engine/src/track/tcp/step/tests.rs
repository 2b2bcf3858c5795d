//! Steps on the table's words against the judge of all segments.

use proptest::prelude::*;
use tidegate_wire::packet::tcp::TcpFlags;
use tidegate_wire::{Family, dissect};

use super::super::Tcp;
use super::super::samples::{
    Near, OFFER, TIMESTAMP, bytes, connection, flow_of, near, plain, segment,
};
use super::*;
use crate::limits::Limits;
use crate::time::Instant;
use crate::track::{Judgement, ProtoState};

/// When all this happens.
const NOW: Instant = Instant::from_nanos(1 << 40);

/// A connection that is in the table, and its flow's status.
#[derive(Clone, Debug)]
struct Known {
    tcp: Tcp,
    status: Status,
}

fn known() -> impl Strategy<Value = Known> {
    let statuses = [
        Status::empty(),
        Status::SEEN_REPLY,
        Status::ASSURED,
        Status::SEEN_REPLY.union(Status::ASSURED),
    ];
    let last = (any::<u8>(), 0..6u8, any::<bool>());
    let status = prop::sample::select(statuses.to_vec());
    (connection(&TcpState::ALL), last, any::<bool>(), status).prop_map(
        |(tcp, (flags, kind, is_ordinary), is_silent, status)| {
            let mut cells = tcp.pack();
            cells.state = cells.state & 0x8f | kind << 4;
            cells.bytes[6] = if is_ordinary { 0 } else { flags };
            if is_silent {
                cells.words[4..8].fill(0);
                cells.bytes[5] = 0;
            }
            Known { tcp: Tcp::unpack(&cells), status: status | Status::CONFIRMED }
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    (any::<bool>(), any::<bool>(), 0..4u8).prop_map(|(be_liberal, loose, max_retrans)| {
        let mut limits = Limits::default();
        (limits.tcp.be_liberal, limits.tcp.loose) = (be_liberal, loose);
        limits.tcp.max_retrans = max_retrans;
        limits
    })
}

/// What both make of a segment; what is remembered after it, if it was taken here.
fn compare(
    known: &Known,
    near: &Near,
    limits: &Limits,
    family: Family,
) -> Result<Option<Known>, TestCaseError> {
    let datagram = bytes(&known.tcp, near, family);
    let headers = dissect(&datagram).expect("well formed");
    let segment = segment((&datagram, &headers), near.dir, NOW, limits);
    let is_first = !known.status.contains(Status::CONFIRMED);
    let mut cells = if is_first { Cells::default() } else { known.tcp.pack() };
    let (before, mut life) = (cells, Life::new(known.status, Instant::ZERO));
    let how = if is_first { first } else { take };
    if how(&mut cells, &mut life, &plain(&segment)).is_none() {
        prop_assert_eq!(cells, before);
        prop_assert_eq!((life.status, life.deadline), (known.status, Instant::ZERO));
        prop_assert!(life.pending.is_empty() && !life.counts);
        return Ok(None);
    }
    let proto = if is_first { ProtoState::None } else { ProtoState::Tcp(known.tcp) };
    let mut flow = flow_of(proto, known.status, family);
    prop_assert_eq!(crate::track::judge(&mut flow, &segment), Judgement::Accept);
    prop_assert_eq!(flow.proto.pack(proto::TCP), cells);
    prop_assert_eq!((flow.status, flow.deadline), (life.status, life.deadline));
    prop_assert_eq!(flow.pending, life.pending);
    prop_assert!(life.counts);
    life.see(near.dir);
    Ok(Some(Known { tcp: Tcp::unpack(&cells), status: life.status | Status::CONFIRMED }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8000))]

    #[test]
    fn whatever_it_takes_the_judge_would_take_the_same_way(
        (known, near) in (known(), near()),
        limits in limits(),
        v6: bool,
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        if let Some(next) = compare(&known, &near, &limits, family)? {
            // Without data it is the very same segment again.
            compare(&next, &near, &limits, family)?;
        }
    }

    #[test]
    fn whatever_begins_here_the_judge_would_begin_the_same_way(
        near in near(),
        limits in limits(),
        v6: bool,
    ) {
        let near = Near { dir: Direction::Original, ..near };
        let unknown = Known { tcp: Tcp::default(), status: Status::empty() };
        compare(&unknown, &near, &limits, if v6 { Family::V6 } else { Family::V4 })?;
    }
}

/// The six segments of a connection, and the states after each.
fn connection_of_six() -> [(Near, TcpState); 6] {
    const SYN_ACK: TcpFlags = TcpFlags::SYN.union(TcpFlags::ACK);
    const FIN_ACK: TcpFlags = TcpFlags::FIN.union(TcpFlags::ACK);
    use Direction::{Original, Reply};
    [
        (Original, TcpFlags::SYN, TcpState::SynSent),
        (Reply, SYN_ACK, TcpState::SynRecv),
        (Original, TcpFlags::ACK, TcpState::Established),
        (Original, FIN_ACK, TcpState::FinWait),
        (Reply, FIN_ACK, TcpState::LastAck),
        (Original, TcpFlags::ACK, TcpState::TimeWait),
    ]
    .map(|(dir, flags, state)| {
        let options = if flags.contains(TcpFlags::SYN) { OFFER } else { TIMESTAMP };
        (Near { seq: 0, ack: 0, data: 0, window: 500, flags, options, dir }, state)
    })
}

#[test]
fn an_ordinary_connection_is_taken_from_beginning_to_end() {
    for family in [Family::V4, Family::V6] {
        let mut known = Known { tcp: Tcp::default(), status: Status::empty() };
        for (near, state) in connection_of_six() {
            let taken = compare(&known, &near, &Limits::default(), family);
            known = taken.expect("no difference").expect("taken");
            assert_eq!(known.tcp.state, state, "{family:?}");
        }
        assert!(known.status.contains(Status::SEEN_REPLY | Status::ASSURED));
    }
}
