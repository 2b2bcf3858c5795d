//! What a tracker remembers, in the form that the table keeps: 51 bytes a flow.
//!
//! The table knows no protocol, and trackers don't know the table. Each protocol says here how its
//! state fits into the cells; the layout is nobody else's business. What was packed comes back the
//! same, with one exception that [`Tcp::pack`] tells.

use core::time::Duration;

use tidegate_wire::{SeqNum, proto};

use super::tcp::{Last, SegmentKind};
use super::{Gre, Peer, PeerFlags, ProtoState, Sctp, SctpState, Tcp, TcpState, Udp};
use crate::time::Instant;
use crate::tuple::Direction;

/// A tracker's memory; what lies where is up to the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Cells {
    /// Whose memory it is: the upper-layer protocol's number. In front, for a look-up reads no more.
    pub(crate) proto: u8,
    pub(crate) state: u8,
    pub(crate) window: u16,
    pub(crate) words: [u32; 10],
    pub(crate) bytes: [u8; 8],
}

impl ProtoState {
    /// The memory of a flow of protocol `proto`.
    pub(crate) fn pack(&self, proto: u8) -> Cells {
        let cells = match self {
            Self::None => Cells::default(),
            Self::Tcp(tcp) => tcp.pack(),
            Self::Udp(udp) => pack_longs([udp.stream_after.nanos(), 0]),
            Self::Sctp(sctp) => sctp.pack(),
            Self::Gre(gre) => pack_longs([gre.timeout, gre.stream_timeout].map(nanos)),
        };
        Cells { proto, ..cells }
    }

    pub(crate) fn unpack(cells: &Cells) -> Self {
        match cells.proto {
            proto::TCP => Self::Tcp(Tcp::unpack(cells)),
            proto::UDP => Self::Udp(Udp { stream_after: stream_after(cells) }),
            proto::SCTP => Self::Sctp(Sctp::unpack(cells)),
            proto::GRE => {
                let [timeout, stream_timeout] = longs(cells).map(Duration::from_nanos);
                Self::Gre(Gre { timeout, stream_timeout })
            }
            _ => Self::None,
        }
    }
}

/// See [`Udp::stream_after`].
pub(crate) fn stream_after(cells: &Cells) -> Instant {
    Instant::from_nanos(longs(cells)[0])
}

/// Makes empty cells the memory of a UDP flow.
#[inline(always)]
pub(crate) fn begin_udp(cells: &mut Cells, stream_after: Instant) {
    let nanos = stream_after.nanos();
    cells.proto = proto::UDP;
    (cells.words[0], cells.words[1]) = (nanos as u32, (nanos >> 32) as u32);
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn pack_longs([first, second]: [u64; 2]) -> Cells {
    let mut cells = Cells::default();
    let halves = [first, first >> 32, second, second >> 32];
    for (word, half) in cells.words.iter_mut().zip(halves) {
        *word = half as u32;
    }
    cells
}

fn longs(cells: &Cells) -> [u64; 2] {
    let [a, b, c, d, ..] = cells.words.map(u64::from);
    [a | b << 32, c | d << 32]
}

const KINDS: [Option<SegmentKind>; 8] = [
    None,
    Some(SegmentKind::Syn),
    Some(SegmentKind::SynAck),
    Some(SegmentKind::Fin),
    Some(SegmentKind::Ack),
    Some(SegmentKind::Rst),
    None,
    None,
];

impl Tcp {
    /// The end of the last segment is kept as its length. Of a jumbogram's, which may be longer
    /// than 16 bits say, so much is lost that its exact repetition is not told.
    #[inline(always)]
    pub(crate) fn pack(&self) -> Cells {
        let [one, other] = &self.seen;
        let last = &self.last;
        let kind = last.kind.map_or(0, |kind| kind as u8 + 1);
        let [len_low, len_high] = (last.end.since(last.seq).min(0xffff) as u16).to_le_bytes();
        let scales = one.scale & 15 | other.scale << 4;
        let [flags_one, flags_other] = [one, other].map(|peer| peer.flags.bits());
        let flags_last = last.flags.bits();
        let [a, b, c, d] = pack_peer(one);
        let [e, f, g, h] = pack_peer(other);
        Cells {
            state: self.state as u8 | kind << 4 | (last.dir as u8) << 7,
            window: last.window,
            words: [a, b, c, d, e, f, g, h, last.seq.0, last.ack.0],
            bytes: [
                len_low,
                len_high,
                self.retrans,
                scales,
                flags_one,
                flags_other,
                flags_last,
                last.scale,
            ],
            proto: proto::TCP,
        }
    }

    #[inline(always)]
    pub(crate) fn unpack(cells: &Cells) -> Self {
        let [a, b, c, d, e, f, g, h, seq, ack] = cells.words;
        let [len_low, len_high, retrans, scales, flags @ ..] = cells.bytes;
        let [flags_one, flags_other, flags_last, scale] = flags;
        let len = u32::from(u16::from_le_bytes([len_low, len_high]));
        let last = Last {
            dir: if cells.state & 0x80 == 0 { Direction::Original } else { Direction::Reply },
            kind: KINDS[usize::from(cells.state >> 4 & 7)],
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            end: SeqNum(seq) + len,
            window: cells.window,
            scale,
            flags: PeerFlags::from_bits_retain(flags_last),
        };
        let one = unpack_peer([a, b, c, d], scales & 15, flags_one);
        let other = unpack_peer([e, f, g, h], scales >> 4, flags_other);
        Self { state: TcpState::of(cells.state), seen: [one, other], retrans, last }
    }
}

fn pack_peer(peer: &Peer) -> [u32; 4] {
    [peer.end.0, peer.max_end.0, peer.max_window, peer.max_ack.0]
}

fn unpack_peer([end, max_end, max_window, max_ack]: [u32; 4], scale: u8, flags: u8) -> Peer {
    let [end, max_end, max_ack] = [end, max_end, max_ack].map(SeqNum);
    Peer { end, max_end, max_window, max_ack, scale, flags: PeerFlags::from_bits_retain(flags) }
}

const SCTP_STRAY: u32 = 1 << 2;
const SCTP_STRAY_REPLY: u32 = 1 << 3;

impl Sctp {
    fn pack(&self) -> Cells {
        let mut cells = Cells { state: self.state as u8, ..Cells::default() };
        let stray = match self.stray_heartbeat {
            None => 0,
            Some(Direction::Original) => SCTP_STRAY,
            Some(Direction::Reply) => SCTP_STRAY | SCTP_STRAY_REPLY,
        };
        let inits = u32::from(self.inits[0]) | u32::from(self.inits[1]) << 1;
        [cells.words[0], cells.words[1]] = self.tags;
        cells.words[2] = inits | stray;
        cells
    }

    fn unpack(cells: &Cells) -> Self {
        let [first, second, bits, ..] = cells.words;
        let stray =
            if bits & SCTP_STRAY_REPLY == 0 { Direction::Original } else { Direction::Reply };
        Self {
            state: SctpState::ALL.get(usize::from(cells.state)).copied().unwrap_or_default(),
            tags: [first, second],
            inits: [bits & 1 != 0, bits & 2 != 0],
            stray_heartbeat: (bits & SCTP_STRAY != 0).then_some(stray),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peers() -> impl Strategy<Value = Peer> {
        (any::<[u32; 4]>(), 0..15u8, any::<u8>())
            .prop_map(|(words, scale, flags)| unpack_peer(words, scale, flags))
    }

    fn connections() -> impl Strategy<Value = Tcp> {
        let last = (any::<[u32; 2]>(), any::<[u16; 2]>(), 0..6usize, any::<bool>(), any::<u8>());
        let last = last.prop_map(|([seq, ack], [len, window], kind, reply, flags)| Last {
            dir: if reply { Direction::Reply } else { Direction::Original },
            kind: KINDS[kind],
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            end: SeqNum(seq) + u32::from(len),
            window,
            scale: flags % 15,
            flags: PeerFlags::from_bits_retain(flags),
        });
        let state = prop::sample::select(TcpState::ALL.to_vec());
        (state, [peers(), peers()], any::<u8>(), last)
            .prop_map(|(state, seen, retrans, last)| Tcp { state, seen, retrans, last })
    }

    proptest! {
        #[test]
        fn a_connection_comes_back_as_it_went(tcp in connections()) {
            prop_assert_eq!(Tcp::unpack(&tcp.pack()), tcp);
        }

        #[test]
        fn an_association_comes_back_as_it_went(
            state in prop::sample::select(SctpState::ALL.to_vec()),
            tags: [u32; 2],
            inits: [bool; 2],
            stray in prop::sample::select(&[None, Some(Direction::Original), Some(Direction::Reply)]),
        ) {
            let sctp = Sctp { state, tags, inits, stray_heartbeat: stray };
            prop_assert_eq!(Sctp::unpack(&sctp.pack()), sctp);
        }

        #[test]
        fn times_come_back_as_they_went(first: u64, second: u64) {
            let udp = ProtoState::Udp(Udp { stream_after: Instant::from_nanos(first) });
            prop_assert!(matches!(
                ProtoState::unpack(&udp.pack(proto::UDP)),
                ProtoState::Udp(udp) if udp.stream_after.nanos() == first
            ));
            let [timeout, stream_timeout] = [first, second].map(Duration::from_nanos);
            let gre = Gre { timeout, stream_timeout };
            prop_assert!(matches!(
                ProtoState::unpack(&ProtoState::Gre(gre).pack(proto::GRE)),
                ProtoState::Gre(back) if back == gre
            ));
        }
    }
}
