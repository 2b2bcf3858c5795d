//! Plays both ends of a proxied connection: makes segments of moves, as soon as it has seen the cookie that they quote.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use std::vec;

use tidegate_wire::packet::ipv4::{self, Ipv4Repr};
use tidegate_wire::packet::ipv6::{self, Ipv6Repr};
use tidegate_wire::packet::tcp::{HEADER_LEN, Tcp, TcpFlags, TcpRepr};
use tidegate_wire::{SeqNum, dissect, proto};

use super::cases::Place;
use super::moves::{Move, Party};
use crate::campaign::experiment::{Action, Side, Step};
use crate::campaign::kernel::{Output, Source};

/// The client's first number.
pub(super) const CLIENT_SEQ: u32 = 0x1000_0000;
/// The server's: small, so that what is left of a cookie in a sum is told from chance. See [`Player::server_seq`].
pub(super) const SERVER_SEQ: u32 = 1000;
pub(super) const HALF: u32 = 1 << 31;
/// The client's first time stamp.
const CLIENT_CLOCK: u32 = 0x2000_0000;
/// The server's.
const SERVER_CLOCK: u32 = 500;

/// Both ends, with what they have learnt.
pub(super) struct Player {
    place: Place,
    moves: vec::IntoIter<Move>,
    /// What each client, by its port, was greeted with last.
    greetings: BTreeMap<u16, Greeting>,
    /// The first cookie of each.
    first: BTreeMap<u16, u32>,
}

/// What the router answers a SYN with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Greeting {
    /// The client's port.
    pub(super) port: u16,
    pub(super) cookie: u32,
    pub(super) clock: Option<u32>,
}

impl Player {
    pub(super) fn new(place: Place, moves: Vec<Move>) -> Self {
        Self { place, moves: moves.into_iter(), greetings: BTreeMap::new(), first: BTreeMap::new() }
    }

    fn hear(&mut self, datagram: &[u8]) {
        if let Some(greeting) = Greeting::of(datagram) {
            let known = self.greetings.get(&greeting.port).and_then(|known| known.clock);
            let clock = greeting.clock.or(known);
            self.greetings.insert(greeting.port, Greeting { clock, ..greeting });
            self.first.entry(greeting.port).or_insert(greeting.cookie);
        }
    }

    /// The server's first number. Who begins again while the old flow is still there is told a number that has been
    /// corrected twice, and whether that is before or behind the server's depends on the cookie. So the server's is
    /// in that half of all numbers where it is before the cookie.
    fn server_seq(&self, port: u16) -> u32 {
        SERVER_SEQ | self.first.get(&port).copied().unwrap_or_default() & HALF
    }

    fn datagram(&self, one: &Move) -> Vec<u8> {
        let ((src, sport), (dst, dport)) = self.place.ends(one.by, one.connection);
        let port = sport.max(dport);
        let heard = self.greetings.get(&port);
        let (cookie, clock) = heard.map_or((0, None), |heard| (heard.cookie, heard.clock));
        let (own, other, stamps) = match one.by {
            Party::Client => (CLIENT_SEQ, cookie, (CLIENT_CLOCK, clock.unwrap_or_default())),
            Party::Server => (self.server_seq(port), CLIENT_SEQ, (SERVER_CLOCK, CLIENT_CLOCK)),
        };
        let mut options: Vec<u8> =
            one.options.iter().flat_map(|option| option.bytes(stamps, other)).collect();
        options.resize(options.len().next_multiple_of(4), 0);
        let segment = TcpRepr {
            src_port: sport,
            dst_port: dport,
            seq: SeqNum(own.wrapping_add(one.seq)),
            ack: SeqNum(one.ack.map_or(0, |ack| other.wrapping_add(ack))),
            flags: one.flags,
            window: one.window,
        };
        let mut bytes = vec![0; HEADER_LEN + options.len() + one.data];
        segment.emit(&mut bytes);
        let data = HEADER_LEN + options.len();
        bytes[data..].iter_mut().zip((1..=250).cycle()).for_each(|(byte, number)| *byte = number);
        if let Some(mut tcp) = Tcp::new(&mut bytes[..]) {
            tcp.set_options(&options);
            tcp.fill_checksum(src, dst);
            tcp.set_checksum(tcp.checksum() ^ u16::from(one.has_bad_checksum));
        }
        [envelope(src, dst, bytes.len()), bytes].concat()
    }
}

impl Source for Player {
    fn next(&mut self, _: Duration, left: &[Output]) -> Option<Step> {
        left.iter().for_each(|output| self.hear(&output.datagram));
        let one = self.moves.next()?;
        let side = match one.by {
            Party::Client => Side::Wan,
            Party::Server => Side::Lan,
        };
        let actions = if one.is_after_flush { vec![Action::Flush] } else { Vec::new() };
        let datagram = self.datagram(&one);
        Some(Step { pause: one.pause, actions, side, datagram, patches: Vec::new() })
    }
}

impl Greeting {
    /// Reads a SYN/ACK with a closed window, as only the proxy sends it.
    pub(super) fn of(datagram: &[u8]) -> Option<Self> {
        let headers = dissect(datagram).ok().filter(|headers| headers.proto == proto::TCP)?;
        let tcp = Tcp::new(headers.payload(datagram))?;
        let is_greeting = tcp.flags().contains(TcpFlags::SYN | TcpFlags::ACK) && tcp.window() == 0;
        let stamps = tcp.options().find(|option| option.kind == 8 && option.data.len() == 8);
        let clock = stamps.and_then(|option| option.data.first_chunk().copied());
        let clock = clock.map(u32::from_be_bytes);
        is_greeting.then_some(Self { port: tcp.dst_port(), cookie: tcp.seq().0, clock })
    }
}

fn envelope(src: IpAddr, dst: IpAddr, payload_len: usize) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut bytes = vec![0; ipv4::HEADER_LEN];
            let proto = proto::TCP;
            let (ttl, tos, id, dont_fragment) = (64, 0, 1, true);
            Ipv4Repr { src, dst, proto, ttl, tos, id, dont_fragment, payload_len }.emit(&mut bytes);
            bytes
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut bytes = vec![0; ipv6::HEADER_LEN];
            let (next_header, hop_limit, traffic_class, flow_label) = (proto::TCP, 64, 0, 0);
            let header = Ipv6Repr {
                src,
                dst,
                next_header,
                hop_limit,
                traffic_class,
                flow_label,
                payload_len,
            };
            header.emit(&mut bytes);
            bytes
        }
        // A place has one family.
        _ => Vec::new(),
    }
}
