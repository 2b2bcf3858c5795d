//! Connections, and segments near the numbers that they know, for the property tests of `express` and `step`.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use tidegate_wire::packet::tcp::TcpFlags;
use tidegate_wire::{Family, Headers};

use super::{Tcp, TcpState};
use crate::flow::{Flow, Status};
use crate::limits::Limits;
use crate::testkit::{Host, flow, tcp};
use crate::time::Instant;
use crate::track::{Cells, Plain, ProtoState, Segment};
use crate::tuple::Direction;

/// A segment near the numbers that a connection knows.
#[derive(Clone, Debug)]
pub(super) struct Near {
    pub(super) seq: i32,
    pub(super) ack: i32,
    pub(super) data: usize,
    pub(super) window: u16,
    pub(super) flags: TcpFlags,
    pub(super) options: &'static [u8],
    pub(super) dir: Direction,
}

const MSS: [u8; 4] = [2, 4, 5, 0xb4];
/// NOPs and a timestamp: what hosts put into every segment once both have offered it.
pub(super) const TIMESTAMP: &[u8] = &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
/// As Linux begins: MSS, SACK permitted, a timestamp, a NOP, a window scale of 7.
pub(super) const OFFER: &[u8] = &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

fn options() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        &[] as &[u8],
        TIMESTAMP,
        OFFER,
        &MSS,
        // A scale beyond what RFC 7323 allows; one of a wrong length; two of them.
        &[3, 3, 15, 1],
        &[3, 4, 1, 1],
        &[3, 3, 2, 3, 3, 5],
        // SACK permitted, of a wrong length.
        &[4, 3, 0, 1],
        // Blocks: near numbers that are near 0, far ones, one that is cut, behind a timestamp.
        &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 1, 0],
        &[1, 1, 5, 10, 0x7f, 0, 0, 1, 0x7f, 0, 1, 0],
        &[1, 1, 5, 9, 0, 0, 0, 1, 0, 0, 1, 0],
        &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 1, 0],
        // As long as a timestamp, and none; nothing that makes sense.
        &[1, 1, 8, 9, 0, 0, 0, 1, 0, 0, 0, 0],
        &[8, 0, 1, 1],
    ])
}

pub(super) fn near() -> impl Strategy<Value = Near> {
    let offset = || prop_oneof![Just(0), -3..3i32, -70_000..70_000i32];
    let flags = prop_oneof![
        8 => Just(TcpFlags::ACK),
        2 => Just(TcpFlags::ACK.union(TcpFlags::PSH)),
        1 => Just(TcpFlags::ACK.union(TcpFlags::URG)),
        4 => Just(TcpFlags::ACK.union(TcpFlags::FIN)),
        1 => Just(TcpFlags::ACK.union(TcpFlags::FIN).union(TcpFlags::URG)),
        1 => Just(TcpFlags::RST),
        2 => Just(TcpFlags::SYN),
        4 => Just(TcpFlags::ACK.union(TcpFlags::SYN)),
        1 => Just(TcpFlags::FIN),
    ];
    let window = prop_oneof![Just(0), Just(1), any::<u16>()];
    let dir = prop_oneof![Just(Direction::Original), Just(Direction::Reply)];
    (offset(), offset(), 0..60usize, window, flags, options(), dir).prop_map(
        |(seq, ack, data, window, flags, options, dir)| {
            let data = if data < 20 { 0 } else { data };
            Near { seq, ack, data, window, flags, options, dir }
        },
    )
}

/// A connection in one of these states: numbers anywhere, windows of every kind, flags that go together or not.
pub(super) fn connection(states: &'static [TcpState]) -> impl Strategy<Value = Tcp> {
    let windows = || prop_oneof![Just(0u32), Just(1), 1..70_000u32, any::<u32>()];
    // Far from the end, and so near that a segment goes beyond.
    let max_ends = || prop_oneof![-70_000..70_000i32, -60..60i32];
    let side = (any::<u32>(), max_ends(), windows(), -70_000..70_000i32, 0..15u8, any::<u8>());
    let sides = [side.clone(), side];
    (prop::sample::select(states), sides, any::<u8>(), 0..5u8).prop_map(
        |(state, sides, bits, retrans)| {
            let mut cells = Cells { state: state as u8 | bits & 0xc0, ..Cells::default() };
            let mut rest = u32::from(retrans) << 16;
            for (side, (end, max_end, window, max_ack, scale, flags)) in
                sides.into_iter().enumerate()
            {
                let near = |offset: i32| end.wrapping_add_signed(offset);
                let words = [end, near(max_end), window, near(max_ack)];
                cells.words[side * 4..side * 4 + 4].copy_from_slice(&words);
                rest |= u32::from(scale) << (24 + 4 * side);
                cells.bytes[4 + side] = flags;
            }
            cells.bytes[..4].copy_from_slice(&rest.to_le_bytes());
            Tcp::unpack(&cells)
        },
    )
}

/// The datagram that this segment is.
pub(super) fn bytes(tcp_state: &Tcp, near: &Near, family: Family) -> Vec<u8> {
    let [sender, receiver] = match near.dir {
        Direction::Original => [0, 1],
        Direction::Reply => [1, 0],
    };
    let seq = tcp_state.seen[sender].end.0.wrapping_add_signed(near.seq);
    let ack = tcp_state.seen[receiver].end.0.wrapping_add_signed(near.ack);
    let from = if near.dir == Direction::Original { Host::Client } else { Host::Server };
    let segment = tcp(from, near.flags, seq, ack).data(near.data).win(near.window);
    segment.opts(near.options).bytes(family)
}

/// The flow of a connection, as the judge knows it.
pub(super) fn flow_of(proto: ProtoState, status: Status, family: Family) -> Flow {
    let orig = tcp(Host::Client, TcpFlags::ACK, 0, 0).tuple(family);
    Flow { status, proto, ..flow(orig) }
}

/// A datagram as the judge sees it.
pub(super) fn segment<'a>(
    (datagram, headers): (&'a [u8], &'a Headers),
    dir: Direction,
    now: Instant,
    limits: &'a Limits,
) -> Segment<'a> {
    Segment { datagram, headers, dir, now, limits, verify_checksum: true, corrections: None }
}

/// A segment as the express paths see it.
pub(super) fn plain<'a>(segment: &Segment<'a>) -> Plain<'a> {
    let Segment { dir, now, limits, .. } = *segment;
    Plain { payload: segment.payload(), dir, now, limits }
}
