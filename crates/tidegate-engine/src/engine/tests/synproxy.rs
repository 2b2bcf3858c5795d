//! SYNPROXY: what a flood costs, how long a cookie is good, which hooks there are when, and whatever else comes in. That
//! each packet is what a kernel makes of it is shown by recordings of one.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use tidegate_wire::checksum::transport;
use tidegate_wire::packet::tcp::Tcp;
use tidegate_wire::{dissect, proto};

use super::*;
use crate::packet::{Destination, Origin};
use crate::testkit::{CLIENT_PORT, SERVER_PORT};
use crate::verdict::{DropReason, Stage};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
/// Segment size, SACK, time stamps, window scale.
const OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
const PROXIED: Verdict = Verdict::Drop(DropReason::Proxied(Stage::Forward));

const RULES: &str = "\
*raw
-A PREROUTING -p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -j CT --notrack
COMMIT
*filter
-A FORWARD -p tcp -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
";

fn proxy(family: Family) -> Engine {
    let mut engine = engine(limits());
    engine.set("net.netfilter.nf_conntrack_tcp_loose", "0").unwrap();
    load(&mut engine, family, RULES);
    engine
}

fn load(engine: &mut Engine, family: Family, rules: &str) {
    engine.replace_rules(&crate::rules::parse(family, "rules", rules).unwrap());
}

/// Sequence number, acknowledgement and window of the one packet that the engine has sent.
fn sent(engine: &mut Engine) -> (u32, u32, u16) {
    let output = engine.poll_output().expect("a packet");
    assert_eq!(engine.poll_output(), None, "one packet only");
    assert_eq!(output.origin, Origin::Synproxy);
    let headers = dissect(&output.bytes).unwrap();
    let tcp = Tcp::new(headers.payload(&output.bytes)).unwrap();
    (tcp.seq().0, tcp.ack().0, tcp.window())
}

/// Has a SYN answered; the cookie.
fn cookie(engine: &mut Engine, now: Instant, family: Family, port: u16) -> u32 {
    let syn = tcp(Host::Client, SYN, 1000, 0).ports(port, SERVER_PORT).opts(&OPTIONS);
    assert_eq!(receive(engine, now, family, &syn).verdict, PROXIED);
    let (cookie, ack, window) = sent(engine);
    assert_eq!((ack, window), (1001, 0), "the SYN is acknowledged, and the window closed");
    cookie
}

fn acknowledge(engine: &mut Engine, now: Instant, family: Family, cookie: u32) -> Verdict {
    let ack = tcp(Host::Client, ACK, 1001, cookie.wrapping_add(1));
    receive(engine, now, family, &ack).verdict
}

#[test]
fn a_flood_of_syns_leaves_nothing() {
    for family in Family::ALL {
        let mut engine = proxy(family);
        for port in 1..=2000 {
            cookie(&mut engine, at(5), family, port);
        }
        assert_eq!((engine.count(), engine.stats().synproxy.syn_received), (0, 2000));
        assert!(told(&mut engine).is_empty());
        assert!(!engine.table.has_cares());
        assert_eq!(engine.next_deadline(), None);
    }
}

#[test]
fn a_cookie_is_good_for_its_minute_and_the_next() {
    let rows = [
        ("at once", 60, 60, true),
        ("at the end of the next minute", 60, 179, true),
        ("after it", 60, 180, false),
        ("after it, though given late", 119, 180, false),
        ("a day later", 60, 86_460, false),
    ];
    for family in Family::ALL {
        for (what, given, shown, is_good) in rows {
            let mut engine = proxy(family);
            let cookie = cookie(&mut engine, at(given), family, CLIENT_PORT);
            let verdict = acknowledge(&mut engine, at(shown), family, cookie);
            let refused = Verdict::Drop(DropReason::BadCookie(Stage::Forward));
            assert_eq!(verdict, if is_good { PROXIED } else { refused }, "{what}");
            assert_eq!(engine.count(), usize::from(is_good), "{what}");
            let stats = engine.stats().synproxy;
            let counted = (u64::from(is_good), u64::from(!is_good));
            assert_eq!((stats.cookie_valid, stats.cookie_invalid), counted, "{what}");
        }
    }
}

#[test]
fn engines_with_other_seeds_give_other_cookies() {
    let with_seed = |seed| {
        let mut engine = Engine::new(Settings { seed, ..Settings::default() });
        load(&mut engine, Family::V4, RULES);
        cookie(&mut engine, at(1), Family::V4, CLIENT_PORT)
    };
    assert_eq!(with_seed(7), with_seed(7));
    assert_ne!(with_seed(7), with_seed(8));
}

/// The kernel takes its hooks away with the last rule: who is known to the proxy keeps its numbers, but no more.
#[test]
fn the_hooks_go_with_the_last_rule() {
    const NONE: &str = "*filter\nCOMMIT\n";
    let rows = [("with the rule", RULES, true), ("without it", NONE, false)];
    for family in Family::ALL {
        for (what, rules, is_proxied) in rows {
            let mut engine = proxy(family);
            let cookie = cookie(&mut engine, at(1), family, CLIENT_PORT);
            acknowledge(&mut engine, at(1), family, cookie);
            let (seq, ack, _) = sent(&mut engine);
            assert_eq!((seq, ack), (1000, cookie), "the server's SYN");
            load(&mut engine, family, rules);
            let answer = tcp(Host::Server, SYN | ACK, 7000, 1001);
            let verdict = receive(&mut engine, at(1), family, &answer).verdict;
            let joined = Verdict::Drop(DropReason::Proxied(Stage::Confirm));
            assert_eq!(verdict == joined, is_proxied, "{what}: {verdict:?}");
            let both = core::iter::from_fn(|| engine.poll_output()).count();
            assert_eq!(both, if is_proxied { 2 } else { 0 }, "{what}");
            let (id, _) = engine.flows().next().unwrap();
            let offset = engine.corrections_of(id)[Direction::Reply.index()].after;
            let expected = if is_proxied { cookie.wrapping_sub(7000).cast_signed() } else { 0 };
            assert_eq!(offset, expected, "{what}");
            assert!(engine.proxy_of(id).is_some(), "{what}");
        }
    }
}

#[test]
fn the_host_itself_may_be_the_server() {
    for family in Family::ALL {
        let mut engine = proxy(family);
        load(&mut engine, family, &RULES.replace("FORWARD", "INPUT"));
        let syn = tcp(Host::Client, SYN, 1000, 0).to(Host::Router).opts(&OPTIONS);
        receive(&mut engine, at(1), family, &syn);
        let (cookie, ..) = sent(&mut engine);
        let ack = tcp(Host::Client, ACK, 1001, cookie.wrapping_add(1)).to(Host::Router);
        receive(&mut engine, at(1), family, &ack);
        let output = engine.poll_output().expect("the SYN");
        assert_eq!(output.destination, Destination::Host);
        assert_eq!(engine.count(), 1);
    }
}

proptest! {
    /// Whatever comes in, the engine goes on, and what it sends is whole.
    #[test]
    fn any_segments(
        is_v4 in any::<bool>(),
        tracks in any::<bool>(),
        segments in prop::collection::vec(
            (any::<bool>(), any::<u8>(), 0..4u32, 0..4u32, prop::collection::vec(any::<u8>(), 0..40)),
            1..20,
        ),
    ) {
        let family = if is_v4 { Family::V4 } else { Family::V6 };
        let mut engine = proxy(family);
        if tracks {
            load(&mut engine, family, &RULES.replace("--dport 80", "--dport 81").replace("INV", "NEW,INV"));
        }
        let mut cookie = 0u32;
        for (by_client, flags, seq, ack, options) in segments {
            let flags = TcpFlags::from_bits(flags);
            let options = &options[..options.len() & !3];
            let one = match by_client {
                true => tcp(Host::Client, flags, 1000 + seq, cookie.wrapping_add(ack)),
                false => tcp(Host::Server, flags, 7000 + seq, 1000 + ack),
            };
            receive(&mut engine, at(1), family, &one.opts(options));
            while let Some(output) = engine.poll_output() {
                let headers = dissect(&output.bytes).unwrap();
                let segment = headers.payload(&output.bytes);
                let sum = transport(headers.src, headers.dst, proto::TCP, segment);
                prop_assert_eq!(sum, 0, "checksum");
                let tcp = Tcp::new(segment).unwrap();
                prop_assert!(tcp.header_len() == segment.len(), "no data");
                if tcp.window() == 0 && tcp.flags().contains(SYN | ACK) {
                    cookie = tcp.seq().0;
                }
            }
            prop_assert!(engine.count() <= 1);
        }
    }
}
