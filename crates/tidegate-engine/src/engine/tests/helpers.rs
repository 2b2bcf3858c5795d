//! Helpers: whatever a payload holds, wherever it is cut, translated or not, in both families, the
//! engine goes on, says why it drops a packet, and what it sends is whole.

use alloc::string::{String, ToString};
use alloc::vec;
use core::net::IpAddr;

use proptest::prelude::{any, prop, prop_assert, proptest};
use tidegate_wire::checksum::transport;
use tidegate_wire::packet::tcp::TcpRepr;
use tidegate_wire::packet::udp::UdpRepr;
use tidegate_wire::{SeqNum, dissect, proto};

use super::rehearsal::rehearsed;
use super::*;
use crate::fib::{AddrType, Port, PortId, Route, RouteQuery};
use crate::helper::{Helper, HelperFault};
use crate::packet::Destination;
use crate::testkit::{LAN, WAN, fill_checksum, ip_datagram};
use crate::tuple::Tuple;
use crate::verdict::DropReason;

mod h323;
mod log;
mod snmp;

/// A control connection of the client's, with a helper.
struct Conversation {
    engine: Engine,
    now: Instant,
    proto: u8,
    /// As it is before and behind the router.
    orig: Tuple,
    reply: Tuple,
    /// What the client and the server send next.
    seq: [u32; 2],
}

/// A packet's fate, and what left in its place.
struct Sent {
    outcome: Outcome,
    bytes: Vec<u8>,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

impl Conversation {
    /// Begins one, and has both ends speak.
    fn begin(helper: Helper, family: Family, proto: u8, translated: bool) -> Self {
        let mut engine = engine(limits());
        engine.replace_rules(&rules(helper, family, proto, translated));
        let [src, dst] = [Host::Client, Host::Server].map(|host| host.address(family));
        let orig = Tuple { src, dst, sport: 5060, dport: 5060, proto };
        let reply = orig.invert().unwrap();
        let mut conversation = Self { engine, now: at(1), proto, orig, reply, seq: [1000, 5000] };
        if proto == proto::TCP {
            conversation.segment(CLIENT, TcpFlags::SYN, &[]);
            conversation.reply = conversation.engine.flows().next().unwrap().1.reply;
            conversation.segment(SERVER, TcpFlags::SYN | TcpFlags::ACK, &[]);
            conversation.segment(CLIENT, TcpFlags::ACK, &[]);
        }
        conversation
    }

    fn say(&mut self, who: usize, payload: &[u8]) -> Sent {
        let sent = match self.proto {
            proto::TCP => self.segment(who, TcpFlags::ACK | TcpFlags::PSH, payload),
            _ => self.datagram(who, payload),
        };
        if let Some((_, flow)) = self.engine.flows().find(|(_, flow)| flow.orig == self.orig) {
            self.reply = flow.reply;
        }
        sent
    }

    fn segment(&mut self, who: usize, flags: TcpFlags, payload: &[u8]) -> Sent {
        let tuple = self.tuple(who);
        let (seq, ack) = (SeqNum(self.seq[who]), SeqNum(self.seq[1 - who]));
        let ack = if flags.contains(TcpFlags::ACK) { ack } else { SeqNum(0) };
        let header = TcpRepr {
            src_port: tuple.sport,
            dst_port: tuple.dport,
            seq,
            ack,
            flags,
            window: 60_000,
        };
        let mut segment = vec![0; 20];
        header.emit(&mut segment);
        segment.extend(payload);
        self.seq[who] += payload.len() as u32 + u32::from(flags.contains(TcpFlags::SYN));
        self.send(who, segment)
    }

    fn datagram(&mut self, who: usize, payload: &[u8]) -> Sent {
        let Tuple { sport: src_port, dport: dst_port, .. } = self.tuple(who);
        let mut datagram = vec![0; 8];
        UdpRepr { src_port, dst_port, payload_len: payload.len() }.emit(&mut datagram);
        datagram.extend(payload);
        self.send(who, datagram)
    }

    fn tuple(&self, who: usize) -> Tuple {
        if who == CLIENT { self.orig } else { self.reply }
    }

    fn send(&mut self, who: usize, mut segment: Vec<u8>) -> Sent {
        let Tuple { src, dst, .. } = self.tuple(who);
        fill_checksum(src, dst, self.proto, &mut segment, false);
        let mut bytes = ip_datagram((src, dst), self.proto, 64, &segment);
        let port = if who == CLIENT { LAN } else { WAN };
        let mut packet = Packet::received(&mut bytes, port);
        let outcome = rehearsed(&mut self.engine, self.now, &mut packet, &World::new());
        if let Verdict::Queued(_) = outcome.verdict {
            bytes = self.engine.poll_output().expect("what is queued").bytes;
        }
        Sent { outcome, bytes }
    }

    fn expected(&self) -> usize {
        self.engine.expectations().count()
    }
}

fn rules(helper: Helper, family: Family, proto: u8, translated: bool) -> crate::rules::Ruleset {
    let proto = if proto == proto::TCP { "tcp" } else { "udp" };
    let mut text = alloc::format!(
        "*raw\n-A PREROUTING -p {proto} --dport 5060 -j CT --helper {}\nCOMMIT\n",
        helper.name()
    );
    if translated {
        text.push_str("*nat\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n");
    }
    crate::rules::parse(family, "test", &text).expect("good rules")
}

/// What a conversation may hold: who says it, and what.
type Words = Vec<(usize, Vec<u8>)>;

/// Conversations that announce something, for each helper and protocol.
fn conversations(family: Family, translated: bool) -> Vec<(Helper, u8, Words)> {
    let own = Host::Client.address(family);
    let mut all = vec![
        (Helper::Ftp, proto::TCP, ftp(own)),
        (Helper::Ftp, proto::TCP, vec![line(), (SERVER, b"229 ok (|||4000|)\r\n".to_vec())]),
        (Helper::Tftp, proto::UDP, vec![(CLIENT, b"\x00\x01file\x00octet\x00".to_vec())]),
        (Helper::Sip, proto::UDP, sip(own)),
        (Helper::Sip, proto::TCP, sip(own)),
        (
            Helper::Amanda,
            proto::UDP,
            vec![
                (CLIENT, b"REQ".to_vec()),
                (SERVER, b"REP CONNECT DATA 5001 MESG 5002 INDEX 65535\n".to_vec()),
            ],
        ),
        (
            Helper::Sane,
            proto::TCP,
            vec![
                (CLIENT, vec![0, 0, 0, 7, 0, 0, 0, 1]),
                (SERVER, vec![0, 0, 0, 0, 0, 0, 0x20, 0x21, 5]),
            ],
        ),
        (Helper::Ras, proto::UDP, vec![(CLIENT, h323::registration(family))]),
        (Helper::Q931, proto::TCP, vec![(CLIENT, h323::connect(family))]),
    ];
    if let IpAddr::V4(own) = own {
        let offer = alloc::format!("PRIVMSG al :\x01DCC SEND f {} 4000 9\x01\n", own.to_bits());
        all.push((Helper::Irc, proto::TCP, vec![(CLIENT, offer.into_bytes())]));
        all.push((Helper::Pptp, proto::TCP, pptp(if translated { 5060 } else { 0x1111 })));
    }
    all
}

fn line() -> (usize, Vec<u8>) {
    (SERVER, b"220 ready\r\n".to_vec())
}

fn ftp(own: IpAddr) -> Words {
    let command = match own {
        IpAddr::V4(_) => alloc::format!("EPRT |1|{own}|4000|\r\n"),
        IpAddr::V6(_) => alloc::format!("EPRT |2|{own}|4000|\r\n"),
    };
    vec![(CLIENT, b"USER x\r\n".to_vec()), (CLIENT, command.into_bytes())]
}

fn sip(own: IpAddr) -> Words {
    let (host, family) = match own {
        IpAddr::V4(_) => (own.to_string(), "IP4"),
        IpAddr::V6(_) => (alloc::format!("[{own}]"), "IP6"),
    };
    let body = alloc::format!(
        "v=0\r\no=b 1 1 IN {family} {own}\r\nc=IN {family} {own}\r\nm=audio 4000 RTP/AVP 0\r\n"
    );
    let head = |first: &str, method: &str, len: usize| {
        alloc::format!(
            "{first} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;rport=1;maddr={host}\r\nFrom: <sip:b@{host}>\r\n\
             CSeq: 1 {method}\r\nContact: <sip:b@{host}:5060>;expires=60\r\nContent-Length: {len}\r\n\r\n"
        )
    };
    let invite = head("INVITE sip:a@x", "INVITE", body.len()) + &body;
    vec![
        (CLIENT, invite.into_bytes()),
        (CLIENT, head("REGISTER sip:a@x", "REGISTER", 0).into_bytes()),
        (SERVER, b"SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n".to_vec()),
    ]
}

/// `seen` is the client's call id as the server sees it.
fn pptp(seen: u16) -> Words {
    let [high, low] = seen.to_be_bytes();
    let message = |kind: u8, head: &[u8], len: usize| {
        let mut bytes = vec![0, 0, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, kind, 0, 0];
        bytes.extend(head);
        bytes.resize(12 + len, 0);
        bytes
    };
    vec![
        (CLIENT, message(1, &[1, 0], 144)),
        (SERVER, message(2, &[1, 0, 1], 144)),
        (CLIENT, message(7, &[0x11, 0x11], 156)),
        (SERVER, message(8, &[0x22, 0x22, high, low, 1], 20)),
    ]
}

/// Fails unless the packet went on whole, or was dropped for a counted reason.
fn check(conversation: &Conversation, sent: &Sent, what: &str) {
    match sent.outcome.verdict {
        Verdict::Forward { .. } | Verdict::Queued(_) => {
            let headers = dissect(&sent.bytes).expect("a datagram");
            let sum =
                transport(headers.src, headers.dst, headers.proto, headers.payload(&sent.bytes));
            assert_eq!(sum, 0, "{what}: checksum");
        }
        Verdict::Drop(reason @ DropReason::Helper(_)) => {
            assert!(conversation.engine.stats().drops[reason.index()] > 0, "{what}");
        }
        other => panic!("{what}: {other:?}"),
    }
    assert!(conversation.expected() <= 9, "{what}");
}

#[test]
fn conversations_announce_what_they_should() {
    for family in Family::ALL {
        for translated in [false, true] {
            for (helper, proto, words) in conversations(family, translated) {
                let mut conversation = Conversation::begin(helper, family, proto, translated);
                for (who, payload) in &words {
                    let what = alloc::format!("{helper:?} {family:?} {translated}");
                    let sent = conversation.say(*who, payload);
                    check(&conversation, &sent, &what);
                }
                let expects = conversation.expected() > 0;
                assert!(expects, "{helper:?} {family:?} {proto} translated: {translated}");
            }
        }
    }
}

#[test]
fn every_payload_may_be_cut_at_every_byte() {
    for family in Family::ALL {
        for translated in [false, true] {
            for (helper, proto, words) in conversations(family, translated) {
                for (nth, (_, payload)) in words.iter().enumerate() {
                    for len in 0..payload.len() {
                        let mut conversation =
                            Conversation::begin(helper, family, proto, translated);
                        for (who, payload) in &words[..nth] {
                            conversation.say(*who, payload);
                        }
                        let sent = conversation.say(words[nth].0, &payload[..len]);
                        let what = alloc::format!("{helper:?} {family:?}, {nth}: {len} bytes");
                        check(&conversation, &sent, &what);
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_in_a_payload_can_hurt(
        which in any::<prop::sample::Index>(),
        v6: bool,
        translated: bool,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
        again in 1..4usize,
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let all = conversations(family, translated);
        let (helper, proto, words) = which.get(&all);
        let mut conversation = Conversation::begin(*helper, family, *proto, translated);
        for _ in 0..again {
            for (who, payload) in words {
                let mut payload = payload.clone();
                for (place, byte, how) in &edits {
                    let at = place.index(payload.len());
                    match how {
                        0 => payload[at] = *byte,
                        1 => payload.insert(at, *byte),
                        _ => payload.truncate(at.max(1)),
                    }
                }
                let sent = conversation.say(*who, &payload);
                check(&conversation, &sent, "edited");
            }
        }
        prop_assert!(conversation.engine.count() <= 3);
    }
}

#[test]
fn a_packet_that_has_outgrown_the_way_is_answered() {
    for family in Family::ALL {
        let mut conversation = Conversation::begin(Helper::Sip, family, proto::UDP, true);
        let (_, mut invite) = sip(Host::Client.address(family)).remove(0);
        let space = 1500 - if family == Family::V4 { 28 } else { 48 };
        invite.resize(space, b'x');
        let text = String::from_utf8(invite).unwrap();
        let len = text.len() - text.find("v=0").unwrap();
        let text = text.replacen("Length: 1", &alloc::format!("Length: {len}\r\nX: "), 1);
        let sent = conversation.say(CLIENT, &text.as_bytes()[..space]);
        let reason = DropReason::Helper(HelperFault::TooBig);
        assert_eq!(sent.outcome.verdict, Verdict::Drop(reason), "{family:?}");
        let answer = conversation.engine.poll_output().expect("too big");
        let is_lan = matches!(answer.destination, Destination::Port { port: LAN, .. });
        assert!(is_lan, "{family:?}: {:?}", answer.destination);
    }
}

#[test]
fn a_flood_of_announcements_is_bounded() {
    let mut engine = engine(Limits { expect_max: 20, ..limits() });
    engine.replace_rules(&rules(Helper::Tftp, Family::V4, proto::UDP, false));
    let mut refused = 0;
    for port in 1..=1000 {
        let [src, dst] = [Host::Client, Host::Server].map(|host| host.address(Family::V4));
        let mut datagram = vec![0; 8];
        UdpRepr { src_port: port, dst_port: 5060, payload_len: 3 }.emit(&mut datagram);
        datagram.extend(b"\x00\x01f");
        fill_checksum(src, dst, proto::UDP, &mut datagram, false);
        let mut bytes = ip_datagram((src, dst), proto::UDP, 64, &datagram);
        let outcome = receive_bytes(&mut engine, at(1), &mut bytes, Host::Client);
        let fault = DropReason::Helper(HelperFault::NotExpected);
        refused += usize::from(outcome.verdict == Verdict::Drop(fault));
    }
    assert_eq!((engine.expectations().count(), refused, engine.count()), (20, 980, 20));
    let line = engine.poll_log().expect("a complaint");
    assert_eq!(line.text, "nf_conntrack: expectation table full");
    assert!(engine.next_deadline() <= Some(at(301)));
    engine.handle_timeout(at(301), usize::MAX, &World::new());
    assert_eq!(engine.expectations().count(), 0);
}

/// A world with a network that has a broadcast address.
struct Lan(World);

impl Fib for Lan {
    fn route(&self, query: &RouteQuery) -> Route {
        if query.dst == broadcast() {
            return Route::Forward { port: LAN, next_hop: query.dst };
        }
        self.0.route(query)
    }

    fn addr_type(&self, addr: IpAddr, port: Option<PortId>) -> AddrType {
        if addr == broadcast() { AddrType::Broadcast } else { self.0.addr_type(addr, port) }
    }

    fn port(&self, port: PortId) -> &Port {
        self.0.port(port)
    }

    fn source_for(&self, peer: IpAddr, port: Option<PortId>) -> Option<IpAddr> {
        self.0.source_for(peer, port)
    }

    fn primary_address(&self, port: PortId, family: Family) -> Option<IpAddr> {
        self.0.primary_address(port, family)
    }

    fn broadcast_mask(&self, _: PortId, addr: IpAddr) -> Option<IpAddr> {
        (addr == broadcast()).then(|| "255.255.255.0".parse().unwrap())
    }
}

fn broadcast() -> IpAddr {
    "10.0.1.255".parse().unwrap()
}

/// An empty datagram.
fn datagram(src: IpAddr, dst: IpAddr, ports: (u16, u16)) -> Vec<u8> {
    let mut datagram = vec![0; 8];
    UdpRepr { src_port: ports.0, dst_port: ports.1, payload_len: 0 }.emit(&mut datagram);
    fill_checksum(src, dst, proto::UDP, &mut datagram, false);
    ip_datagram((src, dst), proto::UDP, 64, &datagram)
}

/// Has the router ask all its neighbours, at a port where a helper hears it.
fn ask_all(engine: &mut Engine, helper: &str, port: u16) {
    let text =
        alloc::format!("*raw\n-A OUTPUT -p udp --dport {port} -j CT --helper {helper}\nCOMMIT\n");
    engine.replace_rules(&crate::rules::parse(Family::V4, "test", &text).unwrap());
    let mut query = datagram(Host::Router.address(Family::V4), broadcast(), (port, port));
    engine.send_local(at(1), &mut Packet::local(&mut query), &Lan(World::new()));
}

#[test]
fn whoever_hears_a_broadcast_may_answer() {
    let fib = Lan(World::new());
    let mut engine = engine(limits());
    ask_all(&mut engine, "netbios-ns", 137);
    let own = Host::Router.address(Family::V4);
    let expectation = engine.expectations().next().expect("answers").clone();
    assert_eq!((expectation.tuple.sport, expectation.deadline), (137, at(4)));
    let rows = [
        ("a neighbour", "10.0.1.9", 137, true),
        ("another neighbour", "10.0.1.10", 137, true),
        ("from another port", "10.0.1.11", 138, false),
        ("a stranger", "10.0.2.9", 137, false),
    ];
    for (who, addr, port, is_related) in rows {
        let mut answer = datagram(addr.parse().unwrap(), own, (port, 137));
        let outcome = engine.process(at(2), &mut Packet::received(&mut answer, LAN), &fib);
        let found = matches!(outcome.conntrack, Some(CtInfo::Related(_)));
        assert_eq!(found, is_related, "{who}");
    }
    assert_eq!(engine.expectation_stats().new, 2);
}

#[test]
fn a_forged_offer_is_complained_about_and_announces_nothing() {
    let mut conversation = Conversation::begin(Helper::Irc, Family::V4, proto::TCP, false);
    let offer = b"PRIVMSG al :\x01DCC SEND f 167772419 4000 9\x01\n";
    let sent = conversation.say(CLIENT, offer);
    check(&conversation, &sent, "forged");
    assert_eq!(conversation.expected(), 0);
    let line = conversation.engine.poll_log().expect("a complaint");
    let told = "nf_conntrack_irc: Forged DCC command from 10.0.1.2: 10.0.1.3:4000";
    assert_eq!(line.text, told);
}

/// Each row: a setting, the helper whose it is, what is said of a stranger's address, and how many flows are then expected
/// with each value. FTP expects one, SIP two media and a call.
#[test]
fn settings_say_whom_a_helper_lets_in() {
    let stranger = |family| match family {
        Family::V4 => "10.0.1.77".parse().unwrap(),
        Family::V6 => "fd00:1::77".parse().unwrap(),
    };
    let rows = [
        ("nf_conntrack_ftp.loose", Helper::Ftp, proto::TCP, [0, 1]),
        ("nf_conntrack_sip.sip_direct_media", Helper::Sip, proto::UDP, [2, 0]),
    ];
    for family in Family::ALL {
        for (key, helper, proto, expected) in rows {
            for (value, expected) in ["0", "1"].into_iter().zip(expected) {
                let mut conversation = Conversation::begin(helper, family, proto, false);
                conversation.engine.set(key, value).expect("a setting");
                let own = stranger(family);
                let words = if helper == Helper::Ftp { ftp(own) } else { sip(own) };
                for (who, payload) in &words[..words.len().min(2)] {
                    conversation.say(*who, payload);
                }
                assert_eq!(conversation.expected(), expected, "{key} = {value} {family:?}");
            }
        }
    }
}

/// The source of what is expected, and whether it is all of an address.
fn sources(conversation: &Conversation) -> Vec<bool> {
    conversation.engine.expectations().map(|one| !one.mask.src.is_unspecified()).collect()
}

#[test]
fn settings_say_whose_calls_are_expected() {
    let rows = [
        ("nf_conntrack_sip.sip_direct_signalling", "0", [true, true, false]),
        ("nf_conntrack_sip.sip_direct_media", "0", [false, false, true]),
        ("nf_conntrack_sip.sip_direct_media", "1", [true, true, true]),
    ];
    for family in Family::ALL {
        for (key, value, are_named) in rows {
            let mut call = Conversation::begin(Helper::Sip, family, proto::UDP, false);
            call.engine.set(key, value).expect("a setting");
            for (who, payload) in &sip(Host::Client.address(family))[..2] {
                call.say(*who, payload);
            }
            assert_eq!(sources(&call), are_named, "{key} = {value} {family:?}");
        }
        for (value, is_named) in [("0", false), ("1", true)] {
            let mut ras = Conversation::begin(Helper::Ras, family, proto::UDP, false);
            ras.engine.set("nf_conntrack_h323.gkrouted_only", value).expect("a setting");
            ras.say(CLIENT, &h323::registration(family));
            assert_eq!(sources(&ras), [is_named], "gatekeeper only: {value} {family:?}");
        }
    }
}

/// Each row: a setting, its value, a helper and its protocol, and what then becomes of its conversation: how many flows are
/// expected, and in how many seconds the conversation ends.
#[test]
fn settings_say_how_much_and_how_long() {
    const ALWAYS: u64 = u32::MAX as u64;
    let offer = b"PRIVMSG al :\x01DCC SEND f 167772418 4000 9\x01\n".to_vec();
    let offers: Words = (0..9)
        .map(|n| (CLIENT, String::from_utf8_lossy(&offer).replace("4000", &(4000 + n).to_string())))
        .map(|(who, text)| (who, text.into_bytes()))
        .collect();
    let amanda =
        vec![(CLIENT, b"REQ".to_vec()), (SERVER, b"CONNECT DATA 5000 MESG 5001\n".to_vec())];
    let call = sip(Host::Client.address(Family::V4))[..1].to_vec();
    let [limited, registered] = [true, false].map(|is_limited| {
        let registration = h323::registration(Family::V4);
        let registration = if is_limited { registration } else { h323::unlimited(registration) };
        vec![(CLIENT, registration), (SERVER, h323::registration_confirmed())]
    });
    let rows = [
        ("nf_conntrack_irc.max_dcc_channels", "3", Helper::Irc, proto::TCP, &offers, 3, 300),
        ("nf_conntrack_irc.max_dcc_channels", "8", Helper::Irc, proto::TCP, &offers, 8, 300),
        ("nf_conntrack_amanda.master_timeout", "60", Helper::Amanda, proto::UDP, &amanda, 2, 60),
        ("nf_conntrack_amanda.master_timeout", "300", Helper::Amanda, proto::UDP, &amanda, 2, 300),
        ("nf_conntrack_sip.sip_timeout", "77", Helper::Sip, proto::UDP, &call, 2, 77),
        ("nf_conntrack_sip.sip_timeout", "4294967295", Helper::Sip, proto::UDP, &call, 2, ALWAYS),
        ("nf_conntrack_h323.default_rrq_ttl", "77", Helper::Ras, proto::UDP, &registered, 1, 77),
        ("nf_conntrack_h323.default_rrq_ttl", "300", Helper::Ras, proto::UDP, &registered, 1, 300),
        ("nf_conntrack_h323.default_rrq_ttl", "77", Helper::Ras, proto::UDP, &limited, 1, 600),
    ];
    for (key, value, helper, proto, words, expected, seconds) in rows {
        let mut conversation = Conversation::begin(helper, Family::V4, proto, false);
        conversation.engine.set(key, value).expect("a setting");
        for (who, payload) in words {
            conversation.say(*who, payload);
        }
        assert_eq!(conversation.expected(), expected, "{key} = {value}");
        let (_, flow) = conversation.engine.flows().next().unwrap();
        let left = flow.deadline.saturating_sub(at(1)).as_secs();
        assert_eq!(left, seconds, "{key} = {value}");
    }
}

/// An engine with a setting, after the client offered a file.
fn offered(key: &str, value: &str) -> Engine {
    let mut irc = Conversation::begin(Helper::Irc, Family::V4, proto::TCP, false);
    irc.engine.set(key, value).expect("a setting");
    irc.say(CLIENT, b"PRIVMSG al :\x01DCC SEND f 167772418 4000 9\x01\n");
    irc.engine
}

/// An engine with a setting, after the router asked all its neighbours.
fn asked(key: &str, value: &str, (helper, port): (&str, u16)) -> Engine {
    let mut engine = engine(limits());
    engine.set(key, value).expect("a setting");
    ask_all(&mut engine, helper, port);
    engine
}

#[test]
fn settings_say_how_long_something_is_expected() {
    type After = fn(&str, &str) -> Engine;
    let rows: [(&str, After, u64); 3] = [
        ("nf_conntrack_irc.dcc_timeout", offered, 300),
        ("nf_conntrack_netbios_ns.timeout", |key, value| asked(key, value, ("netbios-ns", 137)), 3),
        ("nf_conntrack_snmp.timeout", |key, value| asked(key, value, ("snmp", 161)), 30),
    ];
    for (key, after, default) in rows {
        for seconds in [default, 45] {
            let engine = after(key, &seconds.to_string());
            let deadlines: Vec<_> = engine.expectations().map(|one| one.deadline).collect();
            assert_eq!(deadlines, [at(1 + seconds)], "{key} = {seconds}");
        }
    }
}
