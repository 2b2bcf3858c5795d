//! Conversations of eight kinds between hosts on both sides of a router, and what is left of them in its tables.
//!
//! Both ends answer what they really receive, so that a conversation comes to its end only if each of its packets was
//! delivered, under addresses and ports that are its own. The [translating](Rules::Translating) rules let nobody in from
//! outside but by port forwarding, as an answer or as a helper expects it; a packet that its owner doesn't know is lost,
//! and with it the conversation. Under the others flows may begin, and change, without the rules being asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_engine::flow::Status;
use tidegate_engine::rand::Rng;
use tidegate_engine::tuple::Tuple;
use tidegate_engine::{Engine, rules};
use tidegate_wire::checksum::{Sum, transport};
use tidegate_wire::packet::ipv4::{self, Ipv4Repr};
use tidegate_wire::packet::ipv6::{self, Ipv6Repr};
use tidegate_wire::packet::tcp::{self, Tcp, TcpFlags, TcpRepr};
use tidegate_wire::packet::udp::{self, Udp, UdpRepr};
use tidegate_wire::{Family, SeqNum, dissect, proto};

/// What the router is told to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rules {
    /// To translate, and to let in what belongs to what went out.
    #[default]
    Translating,
    /// To let pass what may begin, and what an FTP helper expects.
    Helping,
    /// Nothing.
    None,
}

impl Rules {
    pub(crate) const ALL: [Self; 3] = [Self::Translating, Self::Helping, Self::None];

    fn text(self) -> &'static str {
        match self {
            Self::Translating => RULES_V4,
            Self::Helping => HELPING_V4,
            Self::None => "",
        }
    }
}

const HELPING_V4: &str = "*raw
-A PREROUTING -p tcp --dport 21 -j CT --helper ftp
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -p icmp -j ACCEPT
-A FORWARD -p udp -j ACCEPT
-A FORWARD -p tcp -m multiport --dports 21,80 -j ACCEPT
COMMIT
";

const RULES_V4: &str = "*raw
:PREROUTING ACCEPT
-A PREROUTING -p tcp --dport 21 -j CT --helper ftp
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -i in0 -p icmp -j ACCEPT
-A FORWARD -i in0 -p udp -j ACCEPT
-A FORWARD -i in0 -p tcp -m multiport --dports 21,80 -j ACCEPT
-A FORWARD -i out0 -m conntrack --ctstate DNAT -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT
-A PREROUTING -i out0 -p tcp --dport 8080 -j DNAT --to-destination 10.0.1.200:80
-A POSTROUTING -o out0 -j MASQUERADE
COMMIT
";

pub(crate) fn rules_of(rules: Rules, family: Family) -> rules::Ruleset {
    let text = match family {
        Family::V4 => rules.text().to_owned(),
        Family::V6 => {
            rules.text().replace("icmp", "icmpv6").replace("10.0.1.200:80", "[fd00:1::200]:80")
        }
    };
    rules::parse(family, "rules", &text).expect("rules")
}

/// What two ends talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    Tcp,
    /// Begun outside, through a forwarded port.
    Forwarded,
    Udp,
    /// UDP in two fragments each.
    Fragments,
    Ping,
    /// UDP whose server is not there, and says so.
    Refused,
    FtpPassive,
    FtpActive,
}

const TALKS: [Talk; 8] = [
    Talk::Tcp,
    Talk::Forwarded,
    Talk::Udp,
    Talk::Fragments,
    Talk::Ping,
    Talk::Refused,
    Talk::FtpPassive,
    Talk::FtpActive,
];

type Endpoint = (IpAddr, u16);

/// One half of a connection: who sends, and to whom as far as he knows.
#[derive(Clone, Copy, Debug)]
struct Line {
    own: Endpoint,
    peer: Endpoint,
}

impl Line {
    fn of_received(datagram: &[u8]) -> Self {
        let headers = dissect(datagram).expect("a datagram");
        let payload = headers.payload(datagram);
        let word = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
        let (src, dst) = match headers.proto {
            proto::ICMP | proto::ICMPV6 => (word(4), word(4)),
            _ => (word(0), word(2)),
        };
        Self { own: (headers.dst, dst), peer: (headers.src, src) }
    }
}

fn ip(src: IpAddr, dst: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    let payload_len = payload.len();
    let mut bytes = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let (ttl, tos, id, dont_fragment) = (64, 0, 77, false);
            let mut bytes = vec![0; ipv4::HEADER_LEN];
            Ipv4Repr { src, dst, proto, ttl, tos, id, dont_fragment, payload_len }.emit(&mut bytes);
            bytes
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let (hop_limit, traffic_class, flow_label, next_header) = (64, 0, 0, proto);
            let mut bytes = vec![0; ipv6::HEADER_LEN];
            Ipv6Repr { src, dst, next_header, hop_limit, traffic_class, flow_label, payload_len }
                .emit(&mut bytes);
            bytes
        }
        _ => unreachable!("of one family"),
    };
    bytes.extend(payload);
    bytes
}

fn segment(line: Line, flags: TcpFlags, (seq, ack): (u32, u32), data: &[u8]) -> Vec<u8> {
    let (src_port, dst_port) = (line.own.1, line.peer.1);
    let (seq, ack) = (SeqNum(seq), SeqNum(ack));
    let mut bytes = vec![0; tcp::HEADER_LEN];
    TcpRepr { src_port, dst_port, seq, ack, flags, window: 64_000 }.emit(&mut bytes);
    bytes.extend(data);
    Tcp::new(&mut bytes[..]).expect("a segment").fill_checksum(line.own.0, line.peer.0);
    ip(line.own.0, line.peer.0, proto::TCP, &bytes)
}

fn udp_of(line: Line, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; udp::HEADER_LEN];
    let (src_port, dst_port) = (line.own.1, line.peer.1);
    UdpRepr { src_port, dst_port, payload_len: data.len() }.emit(&mut bytes);
    bytes.extend(data);
    Udp::new(&mut bytes[..]).expect("a datagram").fill_checksum(line.own.0, line.peer.0);
    ip(line.own.0, line.peer.0, proto::UDP, &bytes)
}

fn icmp_of(line: Line, kinds: (u8, u8), code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let v4 = line.own.0.is_ipv4();
    let mut bytes = vec![if v4 { kinds.0 } else { kinds.1 }, code, 0, 0];
    bytes.extend(rest);
    bytes.extend(body);
    let proto = if v4 { proto::ICMP } else { proto::ICMPV6 };
    let sum = match v4 {
        true => Sum::new().bytes(&bytes).finish(),
        false => transport(line.own.0, line.peer.0, proto, &bytes),
    };
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(line.own.0, line.peer.0, proto, &bytes)
}

/// Cuts an IPv4 datagram in two; IPv6 ones stay whole here.
fn in_two(datagram: Vec<u8>) -> Vec<Vec<u8>> {
    if datagram[0] >> 4 != 4 {
        return vec![datagram];
    }
    let (header, data) = datagram.split_at(ipv4::HEADER_LEN);
    let piece = |at: usize, data: &[u8], more: u8| {
        let mut bytes = [header, data].concat();
        let len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        bytes[6..8].copy_from_slice(&[more, (at / 8) as u8]);
        bytes[10..12].fill(0);
        let sum = Sum::new().bytes(&bytes[..ipv4::HEADER_LEN]).finish();
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    vec![piece(24, &data[24..], 0), piece(0, &data[..24], 0x20)]
}

/// A conversation and how far it has come.
struct Conversation {
    rules: Rules,
    talk: Talk,
    client: IpAddr,
    server: IpAddr,
    /// The client's, wherever it has one.
    port: u16,
    step: usize,
    /// The half of a fragmented datagram that has come.
    pieces: Vec<Vec<u8>>,
}

const ACK: TcpFlags = TcpFlags::ACK;
const SYN: TcpFlags = TcpFlags::SYN;
const PSH: TcpFlags = TcpFlags::PSH;

impl Conversation {
    fn family(&self) -> Family {
        Family::of(self.client)
    }

    fn router(&self) -> IpAddr {
        match self.family() {
            Family::V4 => Ipv4Addr::new(203, 0, 113, 1).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1).into(),
        }
    }

    /// The client, as the server sees it.
    fn seen_client(&self) -> IpAddr {
        if self.rules == Rules::Translating { self.router() } else { self.client }
    }

    /// What is sent first.
    fn open(&self) -> Vec<Vec<u8>> {
        let port = self.port;
        let to = |port| (self.server, port);
        let line = |peer| Line { own: (self.client, port), peer };
        match self.talk {
            Talk::Tcp => vec![segment(line(to(80)), SYN, (100, 0), &[])],
            Talk::Forwarded => {
                let forwarded = self.rules == Rules::Translating;
                let peer = if forwarded { (self.router(), 8080) } else { to(80) };
                vec![segment(line(peer), SYN, (100, 0), &[])]
            }
            Talk::Udp => vec![udp_of(line(to(53)), b"question")],
            Talk::Refused => vec![udp_of(line(to(9)), b"anybody there?")],
            Talk::Fragments => in_two(udp_of(line(to(5000)), &[b'x'; 64])),
            Talk::Ping => vec![icmp_of(line(to(0)), (8, 128), 0, id_of(port), b"ping")],
            Talk::FtpPassive | Talk::FtpActive => {
                vec![segment(line(to(21)), SYN, (100, 0), &[])]
            }
        }
    }

    /// What is said to a datagram that has come; `None` at the end.
    fn answer(&mut self, received: &[u8]) -> Option<Vec<Vec<u8>>> {
        let line = Line::of_received(received);
        let step = self.step;
        self.step += 1;
        match self.talk {
            Talk::Tcp | Talk::Forwarded => handshake(line, step).map(|one| vec![one]),
            Talk::Udp => (step < 4).then(|| vec![udp_of(line, b"answer")]),
            Talk::Fragments => (step < 4).then(|| in_two(udp_of(line, &[b'y'; 64]))),
            Talk::Ping => self.ping(line, step),
            Talk::Refused => (step == 0).then(|| {
                vec![icmp_of(
                    line,
                    (3, 1),
                    if line.own.0.is_ipv4() { 3 } else { 4 },
                    [0; 4],
                    received,
                )]
            }),
            Talk::FtpPassive | Talk::FtpActive => self.ftp(line, step, received),
        }
    }

    fn ping(&self, line: Line, step: usize) -> Option<Vec<Vec<u8>>> {
        let kinds = if step.is_multiple_of(2) { (0, 129) } else { (8, 128) };
        (step < 4).then(|| vec![icmp_of(line, kinds, 0, id_of(line.own.1), b"ping")])
    }

    fn ftp(&mut self, line: Line, step: usize, received: &[u8]) -> Option<Vec<Vec<u8>>> {
        let is_passive = self.talk == Talk::FtpPassive;
        let next = match step {
            0 => segment(line, SYN | ACK, (500, 101), &[]),
            // A helper looks behind the ends of lines only.
            1 => segment(line, PSH | ACK, (101, 501), b"USER a\r\n"),
            2 => segment(line, PSH | ACK, (501, 109), b"220 hi\r\n"),
            3 if is_passive => segment(line, PSH | ACK, (109, 509), b"EPSV\r\n"),
            3 => {
                let (family, port) =
                    (1 + u8::from(self.client.is_ipv6()), 41_000 + line.own.1 % 1000);
                let text = format!("EPRT |{family}|{}|{port}|\r\n", self.client);
                segment(line, PSH | ACK, (109, 509), text.as_bytes())
            }
            4 if is_passive => {
                let port = 30_000 + self.port % 1000;
                let text = format!("229 Entering Extended Passive Mode (|||{port}|)\r\n");
                segment(line, PSH | ACK, (509, 115), text.as_bytes())
            }
            4 => {
                let (own, peer) = ((self.server, 20), (self.seen_client(), port_told(received)));
                segment(Line { own, peer }, SYN, (900, 0), &[])
            }
            5 if is_passive => {
                let own = (self.client, 45_000 + self.port % 1000);
                let peer = (self.server, port_told(received));
                segment(Line { own, peer }, SYN, (900, 0), &[])
            }
            _ => {
                let first = if is_passive { 6 } else { 5 };
                return handshake_from(line, step - first, 900).map(|one| vec![one]);
            }
        };
        Some(vec![next])
    }
}

/// The port in EPRT or the answer to EPSV.
fn port_told(datagram: &[u8]) -> u16 {
    let headers = dissect(datagram).expect("a datagram");
    let segment = headers.payload(datagram);
    let text = String::from_utf8(segment[tcp::HEADER_LEN..].to_vec()).expect("text");
    text.split('|').nth(3).expect("a port").parse().expect("a port")
}

fn id_of(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [high, low, 0, 1]
}

/// SYN has come: the rest of a short connection.
fn handshake(line: Line, step: usize) -> Option<Vec<u8>> {
    handshake_from(line, step, 100)
}

fn handshake_from(line: Line, step: usize, first: u32) -> Option<Vec<u8>> {
    Some(match step {
        0 => segment(line, SYN | ACK, (500, first + 1), &[]),
        1 => segment(line, PSH | ACK, (first + 1, 501), b"hello"),
        2 => segment(line, PSH | ACK, (501, first + 6), b"welcome"),
        3 => segment(line, ACK, (first + 6, 508), &[]),
        _ => return None,
    })
}

impl Conversation {
    /// How many datagrams have to arrive.
    fn length(&self) -> usize {
        match self.talk {
            Talk::Tcp | Talk::Forwarded | Talk::Udp | Talk::Fragments | Talk::Ping => 5,
            Talk::Refused => 2,
            Talk::FtpPassive => 6 + 5,
            Talk::FtpActive => 5 + 5,
        }
    }
}

/// All conversations, and whose datagrams are whose.
#[derive(Default)]
pub(crate) struct Crowd {
    rules: Rules,
    conversations: Vec<Conversation>,
    by_host: BTreeMap<IpAddr, usize>,
}

/// Two hosts who are about to talk.
pub(crate) struct Pair {
    pub(crate) host: u16,
    pub(crate) talk: Talk,
    pub(crate) family: Family,
    pub(crate) port: u16,
}

/// Some of each kind, as drawn by lot.
pub(crate) fn pairs(lot: &mut Rng) -> impl Iterator<Item = Pair> {
    (2..50).map(|host| {
        let talk = TALKS[lot.below(TALKS.len() as u32) as usize];
        let family = if lot.below(2) == 0 { Family::V4 } else { Family::V6 };
        // Some share a port, as if they had been started alike.
        let port = if lot.below(3) == 0 { 40_000 } else { 40_000 + host };
        Pair { host, talk, family, port }
    })
}

impl Crowd {
    /// One around a router with these rules.
    pub(crate) fn around(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Begins a conversation of two hosts of its own; what is sent.
    pub(crate) fn begin(&mut self, pair: &Pair) -> Vec<Vec<u8>> {
        let Pair { host, talk, family, port } = *pair;
        let (inside, outside): (IpAddr, IpAddr) = match family {
            Family::V4 => (
                Ipv4Addr::from_bits(0x0a00_0100 + u32::from(host)).into(),
                Ipv4Addr::from_bits(0xcb00_7100 + u32::from(host)).into(),
            ),
            Family::V6 => (
                Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, host).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, host).into(),
            ),
        };
        let (client, server) =
            if talk == Talk::Forwarded { (outside, inside) } else { (inside, outside) };
        let rules = self.rules;
        let new = Conversation { rules, talk, client, server, port, step: 0, pieces: Vec::new() };
        let first = new.open();
        self.by_host.insert(client, self.conversations.len());
        self.by_host.insert(server, self.conversations.len());
        self.conversations.push(new);
        first
    }

    /// A datagram has come to whom it is for; what is sent then.
    pub(crate) fn receive(&mut self, datagram: Vec<u8>) -> Vec<Vec<u8>> {
        let headers = dissect(&datagram).expect("a datagram");
        let forwarded = |dst: IpAddr| dst.to_string().ends_with("200");
        // Behind the forwarded port there is one server for all.
        let host = if forwarded(headers.dst) { headers.src } else { headers.dst };
        let number = *self.by_host.get(&host).unwrap_or_else(|| panic!("nobody is {host}"));
        let one = &mut self.conversations[number];
        if headers.fragment.is_some_and(|fragment| !fragment.is_atomic()) {
            one.pieces.push(datagram);
            if one.pieces.len() < 2 {
                return Vec::new();
            }
            let pieces = std::mem::take(&mut one.pieces);
            let first = pieces.into_iter().find(|piece| piece[6] & 0x1f == 0 && piece[7] == 0);
            return one.answer(&first.expect("the first fragment")).unwrap_or_default();
        }
        one.answer(&datagram).unwrap_or_default()
    }

    /// Whether all have come to their end.
    #[allow(dead_code, reason = "who drives the turns himself knows")]
    pub(crate) fn is_done(&self) -> bool {
        self.conversations.iter().all(|one| one.step >= one.length())
    }

    /// All have come to their end, and none went on behind it.
    pub(crate) fn check(&self, whose: &str) {
        for one in &self.conversations {
            let (talk, client) = (one.talk, one.client);
            assert_eq!(one.step, one.length(), "{whose}: {talk:?} of {client}");
        }
    }
}

/// Whether a datagram comes from inside.
pub(crate) fn is_from_inside(datagram: &[u8]) -> bool {
    match dissect(datagram).expect("a datagram").src {
        IpAddr::V4(src) => src.octets()[0] == 10,
        IpAddr::V6(src) => src.octets()[0] == 0xfd,
    }
}

/// A flow without the ports that were drawn.
pub(crate) type Listed = (Tuple, Tuple, u32, Option<&'static str>);

/// Every flow of every worker.
pub(crate) fn listing<'a>(engines: impl Iterator<Item = &'a Engine>) -> Vec<Listed> {
    let flows = engines.flat_map(Engine::flows);
    let mut all: Vec<_> = flows
        .map(|(_, flow)| {
            let is_echo = matches!(flow.orig.proto, proto::ICMP | proto::ICMPV6);
            let sport = if is_echo { 0 } else { flow.reply.sport };
            let reply = Tuple { dport: 0, sport, ..flow.reply };
            // Whether another port was taken is told by these.
            let is_helped = flow.status.intersects(Status::HELPER | Status::EXPECTED);
            let drawn = if is_helped { Status::NAT | Status::SEQ_ADJUST } else { Status::SRC_NAT };
            let status = flow.status.difference(drawn);
            let is_expected = flow.is(Status::EXPECTED);
            let dport = if is_expected { 0 } else { flow.orig.dport };
            let orig = Tuple { dport, ..flow.orig };
            (orig, reply, status.bits(), flow.proto.name())
        })
        .collect();
    all.sort();
    all
}
