//! What the hosts of a case say: conversations that mostly make sense, and all that may disturb them.

use core::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::select;
use tidegate_wire::checksum::Sum;
use tidegate_wire::packet::tcp::{TcpFlags, TcpRepr};
use tidegate_wire::{Family, SeqNum, proto};

use super::net::{CLIENT, NOWHERE, ON_WAN, OTHER_CLIENT, ROUTER, SERVER, address};
use crate::Engine;
use crate::flow::Status;
use crate::testkit::{fill_checksum, icmp_message, ip_datagram, tcp_segment, udp_datagram};
use crate::tuple::Tuple;
use alloc::vec;
use alloc::vec::Vec;

/// What may happen next. Conversations are taken modulo what there is.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A handshake, or only its first packet.
    Open {
        talk: usize,
        is_answered: bool,
        options: Options,
    },
    Send {
        talk: usize,
        shape: Shape,
    },
    /// Many packets of both directions.
    Burst {
        talk: usize,
        shape: Shape,
        count: usize,
    },
    Ping {
        v6: bool,
        id: u16,
    },
    /// An ICMP error about a conversation.
    Error {
        talk: usize,
    },
    Wait {
        nanos: u64,
    },
    EndOfBatch,
    Expire {
        budget: usize,
    },
    /// The way out changes.
    Reroute,
    /// An operator marks a flow.
    Mark {
        nth: usize,
        mark: u32,
    },
    Rules {
        nth: usize,
    },
    Set {
        key: &'static str,
        value: u32,
    },
    Flush,
}

/// One packet, as it differs from what would be expected.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) reply: bool,
    flags: TcpFlags,
    len: usize,
    /// How far off its numbers are.
    seq: i32,
    ack: i32,
    window: u16,
    options: Options,
    flaw: Flaw,
    ttl: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Options {
    None,
    /// Of a SYN: segment size, SACK and window scale.
    Opening,
    /// Of a SYN: window scale.
    Scale,
    Timestamps,
    Sack,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    Checksum,
    NoChecksum,
    IpChecksum,
    IpOptions,
    Padding,
    /// In two pieces.
    Fragments,
    /// Bytes at the end are missing.
    Cut,
    /// A data offset that makes no sense.
    Offset,
    /// A UDP header that speaks of fewer bytes than there are, or of more.
    ShortUdp,
    LongUdp,
}

impl Shape {
    fn plain(reply: bool, flags: TcpFlags) -> Self {
        let (seq, ack, window, ttl) = (0, 0, 10_000, 64);
        let (options, flaw) = (Options::None, Flaw::None);
        Self { reply, flags, len: 0, seq, ack, window, options, flaw, ttl }
    }

    /// One of a burst, which goes to and fro, and is in order but for the one in the middle.
    pub(super) fn nth(&self, nth: usize) -> Self {
        let reply = self.reply != (nth % 3 == 2);
        let (len, options) = ((self.len + nth) % 1400, self.options);
        if nth == 10 {
            return Self { reply, len, ..self.clone() };
        }
        Self { len, options, ..Self::plain(reply, TcpFlags::ACK) }
    }
}

/// A handshake, or what is the like of one.
pub(super) fn opening(is_answered: bool, options: Options) -> Vec<Shape> {
    let syn = Shape { options, ..Shape::plain(false, TcpFlags::SYN) };
    let answer = Shape { reply: true, flags: TcpFlags::SYN | TcpFlags::ACK, ..syn.clone() };
    let shapes = vec![syn, answer, Shape::plain(false, TcpFlags::ACK)];
    shapes.into_iter().take(if is_answered { 3 } else { 1 }).collect()
}

fn flags() -> impl Strategy<Value = TcpFlags> {
    let ack = TcpFlags::ACK;
    prop_oneof![
        40 => Just(ack),
        20 => Just(ack | TcpFlags::PSH),
        1 => Just(TcpFlags::FIN | ack),
        1 => select(vec![TcpFlags::RST, TcpFlags::RST | ack, TcpFlags::SYN, TcpFlags::SYN | ack]),
        1 => select(vec![ack | TcpFlags::URG, ack | TcpFlags::ECE, ack | TcpFlags::CWR | TcpFlags::URG, TcpFlags::FIN, TcpFlags::SYN | TcpFlags::FIN]),
    ]
}

fn shapes() -> impl Strategy<Value = Shape> {
    let off = || prop_oneof![20 => Just(0), 2 => -1500..1500i32, 1 => any::<i32>()];
    let window = prop_oneof![8 => Just(10_000u16), 1 => Just(0), 1 => any::<u16>()];
    let options = select(vec![
        Options::None,
        Options::None,
        Options::None,
        Options::None,
        Options::None,
        Options::Timestamps,
        Options::Sack,
        Options::Both,
        Options::Opening,
    ]);
    let flaw = prop_oneof![
        30 => Just(Flaw::None),
        1 => Just(Flaw::Checksum),
        1 => select(vec![
            Flaw::NoChecksum, Flaw::IpChecksum, Flaw::IpOptions, Flaw::Padding, Flaw::Fragments,
            Flaw::Cut, Flaw::Offset, Flaw::ShortUdp, Flaw::LongUdp,
        ]),
    ];
    let len = prop_oneof![4 => 0..30usize, 2 => 900..1100usize, 1 => 1300..1600usize];
    let ttl = prop_oneof![12 => Just(64u8), 1 => 0..3u8];
    (any::<bool>(), flags(), len, (off(), off()), window, (options, flaw, ttl)).prop_map(
        |(reply, flags, len, (seq, ack), window, (options, flaw, ttl))| Shape {
            reply,
            flags,
            len,
            seq,
            ack,
            window,
            options,
            flaw,
            ttl,
        },
    )
}

const SETTINGS: [&str; 6] = [
    "net.netfilter.nf_conntrack_checksum",
    "net.netfilter.nf_conntrack_acct",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_udp_timeout_stream",
    "net.netfilter.nf_conntrack_events",
];

pub(super) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let waits = prop_oneof![
        4 => 0..100_000_000u64,
        4 => 1_000_000_000..5_000_000_000u64,
        1 => 0..400_000_000_000u64,
    ];
    let talk = 0..4usize;
    let openings = select(&[Options::None, Options::Scale, Options::Opening]);
    let commands = prop_oneof![
        1 => (0..9usize, 0..8u32).prop_map(|(nth, mark)| Op::Mark { nth, mark }),
        1 => any::<usize>().prop_map(|nth| Op::Rules { nth }),
        6 => (select(&SETTINGS), select(&[0, 1, 1, 100, 432_000])).prop_map(|(key, value)| Op::Set { key, value }),
        1 => Just(Op::Flush),
        3 => Just(Op::Reroute),
    ];
    let burst = (talk.clone(), shapes(), prop_oneof![9 => 2..30usize, 1 => 100..300usize]);
    let op = prop_oneof![
        12 => (talk.clone(), prop::bool::weighted(0.95), openings)
            .prop_map(|(talk, is_answered, options)| Op::Open { talk, is_answered, options }),
        40 => (talk.clone(), shapes()).prop_map(|(talk, shape)| Op::Send { talk, shape }),
        4 => burst.prop_map(|(talk, shape, count)| Op::Burst { talk, shape, count }),
        1 => (any::<bool>(), 0..3u16).prop_map(|(v6, id)| Op::Ping { v6, id }),
        1 => talk.prop_map(|talk| Op::Error { talk }),
        8 => waits.prop_map(|nanos| Op::Wait { nanos }),
        2 => Just(Op::EndOfBatch),
        2 => (0..20usize).prop_map(|budget| Op::Expire { budget }),
        2 => commands,
    ];
    prop::collection::vec(op, 1..150)
}

/// A conversation, and how far it has come.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    family: Family,
    /// As its first packet has it.
    orig: Tuple,
    pub(super) from_lan: bool,
    /// The next number of each side.
    next: [u32; 2],
}

/// A few conversations.
pub(super) fn talks() -> impl Strategy<Value = Vec<Talk>> {
    let (tcp, udp) = (proto::TCP, proto::UDP);
    let kind = select(vec![
        (tcp, (CLIENT, 4000), (SERVER, 80)),
        (tcp, (CLIENT, 4000), (SERVER, 443)),
        (tcp, (OTHER_CLIENT, 4000), (SERVER, 80)),
        (tcp, (SERVER, 5000), (ON_WAN, 8080)),
        (tcp, (CLIENT, 4001), (ROUTER, 22)),
        (tcp, (CLIENT, 4002), (NOWHERE, 80)),
        (udp, (CLIENT, 4000), (SERVER, 53)),
        (udp, (CLIENT, 4000), (SERVER, 443)),
        (udp, (OTHER_CLIENT, 4000), (SERVER, 53)),
        (udp, (CLIENT, 4003), (ROUTER, 53)),
    ]);
    let talk = (kind, any::<bool>()).prop_map(|((proto, (client, sport), (server, dport)), v6)| {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let [src, dst] = [client, server].map(|number| address(family, number));
        let orig = Tuple { src, dst, sport, dport, proto };
        Talk { family, orig, from_lan: client != SERVER, next: [1000, 0xffff_f000] }
    });
    prop::collection::vec(talk, 1..5)
}

impl Talk {
    /// The tuple of its answers, as its flow has it now.
    pub(super) fn answer(&self, engine: &Engine) -> Tuple {
        let flow = engine.flows().find(|(_, flow)| flow.orig == self.orig);
        let inverse = || self.orig.invert().expect("ports can be exchanged");
        flow.map_or_else(inverse, |(_, flow)| flow.reply)
    }

    /// Whether its flow is up and running.
    pub(super) fn is_up(&self, engine: &Engine) -> bool {
        let flow = engine.flows().find(|(_, flow)| flow.orig == self.orig);
        flow.is_some_and(|(_, flow)| {
            let state = flow.proto.name();
            flow.is(Status::SEEN_REPLY) && (state.is_none() || state == Some("ESTABLISHED"))
        })
    }

    /// Whether the router itself answers.
    pub(super) fn is_local(&self, answer: &Tuple) -> bool {
        [ROUTER, ON_WAN].iter().any(|number| answer.src == address(self.family, *number))
    }

    /// The packet, in one piece or two.
    pub(super) fn datagrams(&mut self, shape: &Shape, answer: &Tuple) -> Vec<Vec<u8>> {
        let tuple = if shape.reply { *answer } else { self.orig };
        let mut segment = match tuple.proto {
            proto::TCP => self.segment(shape, &tuple),
            _ => datagram(shape, &tuple),
        };
        fill_checksum(
            tuple.src,
            tuple.dst,
            tuple.proto,
            &mut segment,
            shape.flaw == Flaw::Checksum,
        );
        if shape.flaw == Flaw::NoChecksum {
            let at = if tuple.proto == proto::TCP { 16 } else { 6 };
            segment[at..at + 2].fill(0);
        }
        let ends = (tuple.src, tuple.dst);
        if shape.flaw == Flaw::Fragments {
            return fragments(ends, &tuple, shape.ttl, &segment);
        }
        let mut bytes = ip_datagram(ends, tuple.proto, shape.ttl, &segment);
        match shape.flaw {
            Flaw::IpChecksum => bytes[10] ^= 1,
            Flaw::IpOptions => add_option(&mut bytes),
            Flaw::Padding => bytes.extend([0; 7]),
            Flaw::Cut => bytes.truncate(bytes.len() - 1),
            _ => {}
        }
        vec![bytes]
    }

    fn segment(&mut self, shape: &Shape, tuple: &Tuple) -> Vec<u8> {
        let (own, other) = (usize::from(shape.reply), usize::from(!shape.reply));
        if shape.flags.contains(TcpFlags::SYN) && !shape.flags.contains(TcpFlags::ACK) {
            self.next[own] = self.next[own].wrapping_add(100_000);
        }
        let seq = SeqNum(self.next[own].wrapping_add_signed(shape.seq));
        let ack = SeqNum(self.next[other].wrapping_add_signed(shape.ack));
        let has_ack = shape.flags.contains(TcpFlags::ACK);
        let header = TcpRepr {
            src_port: tuple.sport,
            dst_port: tuple.dport,
            seq,
            ack: if has_ack { ack } else { SeqNum(0) },
            flags: shape.flags,
            window: shape.window,
        };
        let ends = shape.flags.intersects(TcpFlags::SYN | TcpFlags::FIN);
        let len = if shape.flags.contains(TcpFlags::SYN) { 0 } else { shape.len };
        if shape.seq == 0 && !matches!(shape.flaw, Flaw::Checksum | Flaw::Cut | Flaw::Offset) {
            self.next[own] = self.next[own].wrapping_add(len as u32 + u32::from(ends));
        }
        let mut segment = tcp_segment(&header, &options(shape.options, ack), len);
        if shape.flaw == Flaw::Offset {
            segment[12] = 0xf0;
        }
        segment
    }

    /// "Host unreachable", about a packet of the original direction as it looks outside.
    pub(super) fn error(&self, answer: &Tuple) -> Vec<u8> {
        let sent = answer.invert().expect("ports can be exchanged");
        let mut segment = udp_datagram((sent.sport, sent.dport), 20);
        segment[6..8].fill(0);
        let quote = ip_datagram((sent.src, sent.dst), sent.proto, 60, &segment);
        let (kind, proto) = match self.family {
            Family::V4 => (3, proto::ICMP),
            Family::V6 => (1, proto::ICMPV6),
        };
        icmp((address(self.family, SERVER), sent.src), proto, &icmp_message(kind, 0, 0, &quote))
    }
}

fn datagram(shape: &Shape, tuple: &Tuple) -> Vec<u8> {
    let mut datagram = udp_datagram((tuple.sport, tuple.dport), shape.len);
    let len = match shape.flaw {
        Flaw::ShortUdp => datagram.len() as u16 - 1,
        Flaw::LongUdp => datagram.len() as u16 + 1,
        _ => return datagram,
    };
    datagram[4..6].copy_from_slice(&len.to_be_bytes());
    datagram
}

/// An echo request of a client.
pub(super) fn ping(family: Family, id: u16) -> Vec<u8> {
    let (kind, proto) = match family {
        Family::V4 => (8, proto::ICMP),
        Family::V6 => (128, proto::ICMPV6),
    };
    let ends = (address(family, CLIENT), address(family, SERVER));
    icmp(ends, proto, &icmp_message(kind, 0, u32::from(id) << 16 | 1, b"ping"))
}

fn icmp(ends: (IpAddr, IpAddr), proto: u8, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    fill_checksum(ends.0, ends.1, proto, &mut message, false);
    ip_datagram(ends, proto, 64, &message)
}

/// Options in whole words; SACK tells of bytes behind those that are acknowledged.
fn options(which: Options, ack: SeqNum) -> Vec<u8> {
    let stamps = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8];
    let mut sack = vec![1, 1, 5, 10];
    sack.extend((ack + 100).0.to_be_bytes());
    sack.extend((ack + 200).0.to_be_bytes());
    match which {
        Options::None => Vec::new(),
        Options::Opening => vec![2, 4, 5, 180, 4, 2, 3, 3, 7, 1, 1, 1],
        Options::Scale => vec![3, 3, 2, 0],
        Options::Timestamps => stamps.to_vec(),
        Options::Sack => sack,
        Options::Both => [&stamps[..], &sack].concat(),
    }
}

/// The IPv4 header gets a word of options, which mean nothing.
fn add_option(bytes: &mut Vec<u8>) {
    if bytes[0] == 0x45 {
        bytes.splice(20..20, [1, 1, 1, 0]);
        bytes[0] = 0x46;
        let len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        fix_header(bytes, 24);
    }
}

fn fix_header(bytes: &mut [u8], len: usize) {
    bytes[10..12].fill(0);
    let sum = Sum::new().bytes(&bytes[..len]).finish();
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Two fragments, cut behind the first 8 or 24 bytes.
fn fragments(ends: (IpAddr, IpAddr), tuple: &Tuple, ttl: u8, segment: &[u8]) -> Vec<Vec<u8>> {
    let cut = if tuple.proto == proto::TCP { 24 } else { 8 }.min(segment.len() / 8 * 8);
    let piece = |offset: u16, more: bool, bytes: &[u8]| match ends.0 {
        IpAddr::V4(_) => {
            let mut datagram = ip_datagram(ends, tuple.proto, ttl, bytes);
            let field = (offset / 8) | (u16::from(more) << 13);
            datagram[6..8].copy_from_slice(&field.to_be_bytes());
            fix_header(&mut datagram, 20);
            datagram
        }
        IpAddr::V6(_) => {
            let mut payload = vec![tuple.proto, 0];
            payload.extend((offset | u16::from(more)).to_be_bytes());
            payload.extend([0, 0, 0, 7]);
            payload.extend(bytes);
            ip_datagram(ends, 44, ttl, &payload)
        }
    };
    vec![piece(0, true, &segment[..cut]), piece(cut as u16, false, &segment[cut..])]
}
