//! The usual segment against the judge of all segments.

use alloc::vec::Vec;

use proptest::prelude::*;
use tidegate_wire::packet::tcp::TcpFlags;
use tidegate_wire::{Family, dissect};

use super::*;
use crate::flow::{Flow, Status};
use crate::testkit::{Host, flow, tcp};
use crate::time::Instant;
use crate::track::{Judgement, ProtoState, Segment, Tcp};

/// A segment near the numbers that a connection knows.
#[derive(Clone, Debug)]
struct Near {
    seq: i32,
    ack: i32,
    data: usize,
    window: u16,
    flags: TcpFlags,
    timestamps: bool,
    dir: Direction,
}

fn near() -> impl Strategy<Value = Near> {
    let offset = || prop_oneof![Just(0), -3..3i32, -70_000..70_000i32];
    let flags = prop_oneof![
        8 => Just(TcpFlags::ACK),
        2 => Just(TcpFlags::ACK.union(TcpFlags::PSH)),
        1 => Just(TcpFlags::ACK.union(TcpFlags::URG)),
        1 => Just(TcpFlags::ACK.union(TcpFlags::FIN)),
        1 => Just(TcpFlags::RST),
        1 => Just(TcpFlags::SYN),
    ];
    let window = prop_oneof![Just(0), Just(1), any::<u16>()];
    let dir = prop_oneof![Just(Direction::Original), Just(Direction::Reply)];
    (offset(), offset(), 0..60usize, window, flags, any::<bool>(), dir).prop_map(
        |(seq, ack, data, window, flags, timestamps, dir)| {
            let data = if data < 20 { 0 } else { data };
            Near { seq, ack, data, window, flags, timestamps, dir }
        },
    )
}

/// A connection that is up: numbers anywhere, windows of every kind.
fn up() -> impl Strategy<Value = Tcp> {
    let windows = || prop_oneof![Just(0u32), Just(1), 1..70_000u32, any::<u32>()];
    let side =
        (any::<u32>(), -70_000..70_000i32, windows(), -70_000..70_000i32, 0..15u8, any::<u8>());
    let sides = [side.clone(), side];
    (sides, any::<u8>(), 0..5u8).prop_map(|(sides, bits, retrans)| {
        let mut cells =
            Cells { state: TcpState::Established as u8 | bits & 0xc0, ..Cells::default() };
        let mut rest = u32::from(retrans) << 16;
        for (side, (end, max_end, window, max_ack, scale, flags)) in sides.into_iter().enumerate() {
            let near = |offset: i32| end.wrapping_add_signed(offset);
            cells.words[side * 4..side * 4 + 4].copy_from_slice(&[
                end,
                near(max_end),
                window,
                near(max_ack),
            ]);
            rest |= u32::from(scale) << (24 + 4 * side);
            cells.bytes[4 + side] = flags;
        }
        cells.bytes[..4].copy_from_slice(&rest.to_le_bytes());
        Tcp::unpack(&cells)
    })
}

fn bytes(tcp_state: &Tcp, near: &Near, family: Family) -> Vec<u8> {
    let [sender, receiver] = match near.dir {
        Direction::Original => [0, 1],
        Direction::Reply => [1, 0],
    };
    let seq = tcp_state.seen[sender].end.0.wrapping_add_signed(near.seq);
    let ack = tcp_state.seen[receiver].end.0.wrapping_add_signed(near.ack);
    let from = if near.dir == Direction::Original { Host::Client } else { Host::Server };
    let segment = tcp(from, near.flags, seq, ack).data(near.data).win(near.window);
    let options: &[u8] = if near.timestamps { &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] } else { &[] };
    segment.opts(options).bytes(family)
}

fn established(tcp_state: Tcp, family: Family) -> Flow {
    let status = Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED;
    let orig = tcp(Host::Client, TcpFlags::ACK, 0, 0).tuple(family);
    Flow { status, proto: ProtoState::Tcp(tcp_state), ..flow(orig) }
}

fn plain<'a>(segment: &Segment<'a>) -> Plain<'a> {
    let Segment { dir, now, limits, .. } = *segment;
    Plain { payload: segment.payload(), dir, now, limits }
}

/// What both make of a segment; whether the express path took it.
fn compare(tcp_state: Tcp, near: &Near, family: Family) -> Result<bool, TestCaseError> {
    let limits = Limits::default();
    let datagram = bytes(&tcp_state, near, family);
    let headers = dissect(&datagram).expect("well formed");
    let now = Instant::from_nanos(1 << 40);
    let segment = Segment {
        datagram: &datagram,
        headers: &headers,
        dir: near.dir,
        now,
        limits: &limits,
        verify_checksum: true,
        corrections: None,
    };
    let plain = plain(&segment);
    let mut cells = tcp_state.pack();
    let before = cells;
    let is_candidate = Usual::may_take(plain.payload) && Usual::is_up(&cells);
    let Some(timeout) = is_candidate.then(|| Usual::take(&mut cells, &plain)).flatten() else {
        prop_assert_eq!(cells, before);
        return Ok(false);
    };
    let mut flow = established(tcp_state, family);
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
        (tcp_state, near) in (up(), near()),
        v6: bool,
    ) {
        compare(tcp_state, &near, if v6 { Family::V6 } else { Family::V4 })?;
    }
}

#[test]
fn it_takes_data_and_acknowledgements_in_order() {
    for family in [Family::V4, Family::V6] {
        for (data, dir) in
            [(0, Direction::Original), (40, Direction::Original), (40, Direction::Reply)]
        {
            let mut cells = Cells { state: TcpState::Established as u8, ..Cells::default() };
            cells.words[..8].copy_from_slice(&[5000, 9000, 4000, 100, 100, 4100, 4000, 5000]);
            let near = Near {
                seq: 0,
                ack: 0,
                data,
                window: 500,
                flags: TcpFlags::ACK,
                timestamps: false,
                dir,
            };
            let taken = compare(Tcp::unpack(&cells), &near, family).expect("no difference");
            assert!(taken, "{family:?} {data} {dir:?}");
        }
    }
}
