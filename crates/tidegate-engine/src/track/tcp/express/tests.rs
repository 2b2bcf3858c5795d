//! The usual segment against the judge of all segments.

use proptest::prelude::*;
use tidegate_wire::packet::tcp::TcpFlags;
use tidegate_wire::{Family, dissect};

use super::super::samples::{
    Near, OFFER, TIMESTAMP, bytes, connection, flow_of, near, plain, segment,
};
use super::super::{PeerFlags, Tcp};
use super::*;
use crate::flow::Status;
use crate::time::Instant;
use crate::track::{Judgement, ProtoState};

/// What both make of a segment; whether the express path took it.
fn compare(tcp_state: Tcp, near: &Near, family: Family) -> Result<bool, TestCaseError> {
    let limits = Limits::default();
    let datagram = bytes(&tcp_state, near, family);
    let headers = dissect(&datagram).expect("well formed");
    let now = Instant::from_nanos(1 << 40);
    let segment = segment((&datagram, &headers), near.dir, now, &limits);
    let plain = plain(&segment);
    let mut cells = tcp_state.pack();
    let before = cells;
    let is_candidate = Usual::may_take(plain.payload) && Usual::is_up(&cells);
    let Some(timeout) = is_candidate.then(|| Usual::take(&mut cells, &plain)).flatten() else {
        prop_assert_eq!(cells, before);
        return Ok(false);
    };
    let status = Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED;
    let mut flow = flow_of(ProtoState::Tcp(tcp_state), status, family);
    let judgement = crate::track::judge(&mut flow, &segment);
    prop_assert_eq!(judgement, Judgement::Accept);
    prop_assert_eq!(flow.proto.pack(6), cells);
    prop_assert_eq!(flow.deadline, now.after_seconds(timeout.0));
    prop_assert!(flow.pending.is_empty(), "{:?}", flow.pending);
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn whatever_it_takes_the_judge_would_take_the_same_way(
        (tcp_state, near) in (connection(&[TcpState::Established]), near()),
        v6: bool,
    ) {
        compare(tcp_state, &near, if v6 { Family::V6 } else { Family::V4 })?;
    }
}

/// A connection with windows of 4,000 that has sent 5,000 and 100.
fn running(flags: PeerFlags) -> Tcp {
    let mut cells = Cells { state: TcpState::Established as u8, ..Cells::default() };
    cells.words[..8].copy_from_slice(&[5000, 9000, 4000, 100, 100, 4100, 4000, 5000]);
    cells.bytes[4..6].fill(flags.bits());
    Tcp::unpack(&cells)
}

fn next(dir: Direction, data: usize) -> Near {
    Near { seq: 0, ack: 0, data, window: 500, flags: TcpFlags::ACK, options: &[], dir }
}

#[test]
fn it_takes_data_and_acknowledgements_in_order() {
    for family in [Family::V4, Family::V6] {
        for (data, dir) in
            [(0, Direction::Original), (40, Direction::Original), (40, Direction::Reply)]
        {
            let tcp_state = running(PeerFlags::empty());
            let taken = compare(tcp_state, &next(dir, data), family).expect("no difference");
            assert!(taken, "{family:?} {data} {dir:?}");
        }
    }
}

#[test]
fn of_sides_that_may_acknowledge_selectively_it_takes_timestamps_and_nothing_else() {
    let block: &[u8] = &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 1, 0];
    for family in [Family::V4, Family::V6] {
        for (options, is_usual) in [(TIMESTAMP, true), (block, false), (OFFER, false)] {
            let near = Near { options, ..next(Direction::Reply, 40) };
            let taken = compare(running(PeerFlags::SACK_PERM), &near, family);
            assert_eq!(taken.expect("no difference"), is_usual, "{family:?} {options:?}");
        }
    }
}
