//! Which fragments come together, when, and at what cost. The packets are put together by hand
//! here, so that no code under test makes its own input.

use alloc::string::String;
use alloc::vec::Vec;

use tidegate_wire::packet::{Ipv4, Ipv4Repr, Ipv6, Ipv6Repr};
use tidegate_wire::{dissect, proto};

use super::*;
use crate::limits::Timeout;

mod families;
mod properties;
mod refragmenting;

const M: bool = true;
const L: bool = false;

/// A defragmenter, its settings and the time.
struct Bench {
    defrag: Defrag,
    limits: Limits,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let limits = Limits { frag_source_percent: 100, ..Limits::default() };
        Self { defrag: Defrag::new(), limits, now: Instant::ZERO }
    }

    fn give(&mut self, bytes: &[u8]) -> Admission {
        self.give_at(RECEIVED, bytes)
    }

    fn give_at(&mut self, place: Place, bytes: &[u8]) -> Admission {
        let headers = dissect(bytes).expect("a well-formed packet");
        self.defrag.admit(self.now, &self.limits, place, bytes, &headers)
    }

    fn complete(&mut self, fragments: &[Vec<u8>]) -> Datagram {
        let mut answers: Vec<_> = fragments.iter().map(|bytes| self.give(bytes)).collect();
        match answers.pop() {
            Some(Admission::Complete(datagram)) => datagram,
            other => panic!("not complete: {answers:?} {other:?}"),
        }
    }

    fn expire_at(&mut self, secs: u64) -> Vec<Expired> {
        self.now = seconds(secs);
        core::iter::from_fn(|| self.defrag.expire(self.now)).collect()
    }
}

const RECEIVED: Place = Place { entry: Entry::Received, zone: 0, port: Some(1) };

fn seconds(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

fn v4(proto: u8, data: &[u8]) -> Vec<u8> {
    let repr = Ipv4Repr {
        src: "192.0.2.1".parse().unwrap(),
        dst: "198.51.100.2".parse().unwrap(),
        proto,
        ttl: 64,
        tos: 0x20,
        id: 0x1234,
        dont_fragment: false,
        payload_len: data.len(),
    };
    let mut bytes = [&[0; 20], data].concat();
    repr.emit(&mut bytes);
    bytes
}

fn v6(next_header: u8, data: &[u8]) -> Vec<u8> {
    let repr = Ipv6Repr {
        src: "2001:db8::1".parse().unwrap(),
        dst: "2001:db8:1::2".parse().unwrap(),
        next_header,
        hop_limit: 64,
        traffic_class: 0x20,
        flow_label: 0xabcde,
        payload_len: data.len(),
    };
    let mut bytes = [&[0; 40], data].concat();
    repr.emit(&mut bytes);
    bytes
}

/// The fragment of an IPv4 datagram that has the bytes `from..to` of its payload.
fn piece_v4(datagram: &[u8], from: usize, to: usize, more: bool) -> Vec<u8> {
    let header_len = usize::from(datagram[0] & 15) * 4;
    let data = &datagram[header_len..][from..to];
    let mut bytes = [&datagram[..header_len], data].concat();
    let position = (from / 8) as u16 | u16::from(more) << 13;
    bytes[6..8].copy_from_slice(&position.to_be_bytes());
    let len = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    Ipv4::new(&mut *bytes).unwrap().fill_checksum();
    bytes
}

/// The fragment of an IPv6 datagram that has the bytes `from..to` behind its 40-byte header.
fn piece_v6(datagram: &[u8], from: usize, to: usize, more: bool) -> Vec<u8> {
    let position = from as u16 | u16::from(more);
    let [high, low] = position.to_be_bytes();
    let fragment = [datagram[6], 0, high, low, 0, 0, 0, 9];
    let mut bytes = [&datagram[..40], &fragment, &datagram[40..][from..to]].concat();
    bytes[6] = proto::IPV6_FRAGMENT;
    let len = bytes.len() - 40;
    Ipv6::new(&mut *bytes).unwrap().set_payload_len(len as u16);
    bytes
}

fn cut_v4(datagram: &[u8], cuts: &[(usize, usize, bool)]) -> Vec<Vec<u8>> {
    cuts.iter().map(|(from, to, more)| piece_v4(datagram, *from, *to, *more)).collect()
}

fn cut_v6(datagram: &[u8], cuts: &[(usize, usize, bool)]) -> Vec<Vec<u8>> {
    cuts.iter().map(|(from, to, more)| piece_v6(datagram, *from, *to, *more)).collect()
}

fn word(admission: &Admission) -> &'static str {
    match admission {
        Admission::Whole => "whole",
        Admission::Held => "held",
        Admission::Complete(_) => "complete",
        Admission::Refused(error) => error.name(),
    }
}

fn answers(fragments: &[Vec<u8>]) -> String {
    let mut bench = Bench::new();
    let words: Vec<_> = fragments.iter().map(|bytes| word(&bench.give(bytes))).collect();
    words.join(" ")
}

#[test]
fn what_fits_together() {
    #[rustfmt::skip]
    #[expect(clippy::type_complexity, reason = "a table")]
    let rows: &[(&str, &[(usize, usize, bool)], &str, &str)] = &[
        ("in order",
            &[(0, 64, M), (64, 128, M), (128, 208, L)], "held held complete", "held held complete"),
        ("backwards",
            &[(128, 208, L), (64, 128, M), (0, 64, M)], "held held complete", "held held complete"),
        ("the last one is not enough",
            &[(0, 64, M), (128, 208, L)], "held held", "held held"),
        ("the same fragment twice",
            &[(0, 64, M), (0, 64, M), (64, 208, L)], "held duplicate complete", "held duplicate complete"),
        ("a fragment within another",
            &[(64, 128, M), (72, 120, M), (0, 64, M), (128, 208, L)],
            "held duplicate held complete", "held duplicate held complete"),
        ("a fragment within two that came one after the other",
            &[(0, 64, M), (64, 128, M), (32, 96, M), (128, 208, L)],
            "held held duplicate complete", "held held duplicate complete"),
        ("a fragment within two that came the other way round",
            &[(64, 128, M), (0, 64, M), (32, 96, M), (128, 208, L)],
            "held held overlap held", "held held overlap held"),
        ("a fragment within two that lie before another",
            &[(192, 208, L), (0, 64, M), (64, 128, M), (32, 96, M)],
            "held held held overlap", "held held held overlap"),
        ("a fragment that reaches into the one before",
            &[(0, 64, M), (56, 136, M), (136, 208, L)], "held overlap held", "held overlap held"),
        ("a fragment that reaches into the one behind",
            &[(64, 208, L), (0, 72, M), (0, 64, M)], "held overlap held", "held overlap held"),
        ("a fragment that covers another",
            &[(64, 128, M), (56, 136, M), (0, 64, M)], "held overlap held", "held overlap held"),
        ("a last fragment that ends before what is there",
            &[(64, 128, M), (8, 64, L), (0, 64, M), (128, 208, L)],
            "held bad-length held held", "held bad-length held complete"),
        ("two last fragments with different ends",
            &[(64, 108, L), (64, 96, L), (0, 64, M)], "held bad-length held", "held bad-length complete"),
        ("a fragment behind the last",
            &[(64, 108, L), (104, 112, M), (0, 64, M)], "held bad-length held", "held bad-length complete"),
        ("a fragment without data",
            &[(64, 64, M), (0, 64, M), (64, 208, L)], "bad-length held complete", "bad-length held complete"),
        ("a last fragment without data tells the end, but only IPv6 remembers",
            &[(0, 208, M), (208, 208, L), (0, 208, M)], "held bad-length held", "held bad-length duplicate"),
        ("the same before all others",
            &[(208, 208, L), (0, 208, M)], "bad-length held", "bad-length complete"),
        ("more follow an odd length: IPv4 trims it, IPv6 lets it pass and forgets the rest",
            &[(0, 60, M), (56, 208, L)], "held complete", "whole held"),
        ("the same behind the first",
            &[(0, 64, M), (64, 100, M), (96, 208, L)], "held held complete", "held whole held"),
        ("what comes behind the end begins anew",
            &[(0, 64, M), (64, 208, L), (64, 208, L), (0, 64, M)],
            "held complete held complete", "held complete held complete"),
    ];
    let data = payload(208);
    for (what, cuts, want_v4, want_v6) in rows {
        assert_eq!(answers(&cut_v4(&v4(proto::UDP, &data), cuts)), *want_v4, "IPv4: {what}");
        assert_eq!(answers(&cut_v6(&v6(proto::UDP, &data), cuts)), *want_v6, "IPv6: {what}");
    }
}

#[test]
fn what_is_no_fragment_goes_on() {
    assert_eq!(
        answers(&[v4(proto::UDP, &payload(100)), v6(proto::UDP, &payload(100))]),
        "whole whole"
    );
}

#[test]
fn what_never_meets() {
    let elsewhere = |entry, zone, port| Place { entry, zone, port };
    let (data, cuts) = (payload(208), [(0, 64, M), (64, 208, L)]);
    let unicast = cut_v6(&v6(proto::UDP, &data), &cuts);
    let on_link: Vec<_> = ["fe80::2", "ff02::2"]
        .map(|dst| {
            let mut datagram = v6(proto::UDP, &data);
            Ipv6::new(&mut *datagram).unwrap().set_dst(dst.parse().unwrap());
            cut_v6(&datagram, &cuts)
        })
        .into();
    let rows = [
        ("the other hook", &unicast, elsewhere(Entry::Sent, 0, Some(1)), "held"),
        ("another zone", &unicast, elsewhere(Entry::Received, 3, Some(1)), "held"),
        (
            "another port, which means nothing",
            &unicast,
            elsewhere(Entry::Received, 0, Some(2)),
            "complete",
        ),
        ("another link", &on_link[0], elsewhere(Entry::Received, 0, Some(2)), "held"),
        ("another link's group", &on_link[1], elsewhere(Entry::Received, 0, Some(2)), "held"),
        ("the same link", &on_link[0], RECEIVED, "complete"),
    ];
    for (what, fragments, place, want) in rows {
        let mut bench = Bench::new();
        bench.give(&fragments[0]);
        assert_eq!(word(&bench.give_at(place, &fragments[1])), want, "{what}");
    }
}

#[test]
fn only_ipv4_tells_protocols_apart() {
    let (udp, tcp) = (payload(208), payload(208));
    let v4s =
        [piece_v4(&v4(proto::UDP, &udp), 0, 64, M), piece_v4(&v4(proto::TCP, &tcp), 64, 208, L)];
    let v6s =
        [piece_v6(&v6(proto::UDP, &udp), 0, 64, M), piece_v6(&v6(proto::TCP, &tcp), 64, 208, L)];
    assert_eq!(answers(&v4s), "held held");
    assert_eq!(answers(&v6s), "held complete");
}

#[test]
fn a_queue_lives_from_its_first_fragment_on() {
    let mut bench = Bench::new();
    bench.limits.ipfrag_time = Timeout(30);
    bench.limits.frag6_timeout = Timeout(20);
    let (four, six) = (v4(proto::UDP, &payload(208)), v6(proto::UDP, &payload(208)));
    let first = piece_v4(&four, 0, 64, M);
    bench.give(&piece_v4(&four, 128, 208, L));
    assert_eq!(bench.defrag.next_deadline(), Some(seconds(30)));
    bench.now = seconds(5);
    bench.give(&piece_v6(&six, 64, 208, L));
    assert_eq!(bench.defrag.next_deadline(), Some(seconds(25)));
    bench.limits.ipfrag_time = Timeout(1);
    bench.give(&first);

    assert_eq!(bench.expire_at(24), []);
    let v6_without_first = Expired { family: Family::V6, place: RECEIVED, first_fragment: None };
    assert_eq!(bench.expire_at(25), [v6_without_first]);
    assert_eq!(bench.expire_at(29), []);
    let v4_with_first =
        Expired { family: Family::V4, place: RECEIVED, first_fragment: Some(first) };
    assert_eq!(bench.expire_at(30), [v4_with_first]);
    assert_eq!(bench.defrag.next_deadline(), None);
    assert_eq!(word(&bench.give(&piece_v4(&four, 64, 128, M))), "held", "too late, a new queue");
}

#[test]
fn the_longest_due_goes_first() {
    let mut bench = Bench::new();
    bench.limits.ipfrag_time = Timeout(9);
    bench.limits.frag6_timeout = Timeout(3);
    bench.give(&piece_v4(&v4(proto::UDP, &payload(64)), 0, 32, M));
    bench.give(&piece_v6(&v6(proto::UDP, &payload(64)), 0, 32, M));
    let families: Vec<_> = bench.expire_at(10).iter().map(|expired| expired.family).collect();
    assert_eq!(families, [Family::V6, Family::V4]);
}

#[test]
fn memory_is_bounded_and_given_back() {
    let mut bench = Bench::new();
    bench.limits.ipfrag_high_thresh = 512 + 2 * (512 + 20 + 64);
    let datagram = v4(proto::UDP, &payload(208));
    let fragment = |from, to, more| piece_v4(&datagram, from, to, more);
    assert_eq!(word(&bench.give(&fragment(0, 64, M))), "held");
    assert_eq!(bench.defrag.held(Family::V4), 512 + 512 + 20 + 64);
    assert_eq!(word(&bench.give(&fragment(0, 64, M))), "duplicate");
    assert_eq!(bench.defrag.held(Family::V4), 512 + 512 + 20 + 64, "a duplicate costs nothing");
    assert_eq!(word(&bench.give(&fragment(64, 136, M))), "full", "8 bytes too many");
    assert_eq!(word(&bench.give(&fragment(64, 128, M))), "held");
    assert_eq!(word(&bench.give(&fragment(128, 208, L))), "full", "not even to complete it");
    assert_eq!(word(&bench.give(&piece_v6(&v6(proto::UDP, &payload(64)), 0, 32, M))), "held");
    assert_eq!(bench.expire_at(100).len(), 2);
    assert_eq!(bench.defrag.held(Family::V4), 0);
    assert_eq!(bench.defrag.held(Family::V6), 0);
    assert_eq!(word(&bench.give(&fragment(128, 208, L))), "held");
}

/// A fragment of some datagram of its own, from 10.0.0.`host` or fd00:0:0:`host`::`id`.
fn stray(family: Family, host: u8, id: u16) -> Vec<u8> {
    match family {
        Family::V4 => {
            let mut bytes = piece_v4(&v4(proto::UDP, &payload(64)), 0, 32, M);
            let mut ip = Ipv4::new(&mut bytes[..]).expect("a header");
            ip.set_src([10, 0, 0, host].into());
            ip.set_id(id);
            bytes
        }
        Family::V6 => {
            let mut bytes = piece_v6(&v6(proto::UDP, &payload(64)), 0, 32, M);
            let src = [0xfd00, 0, 0, host.into(), 0, 0, 0, id];
            Ipv6::new(&mut bytes[..]).expect("a header").set_src(src.into());
            bytes
        }
    }
}

#[test]
fn a_source_has_its_share_and_no_more() {
    for family in Family::ALL {
        let mut bench = Bench::new();
        bench.limits.frag_source_percent = 25;
        let taken = |bench: &mut Bench, host| {
            let flood = (0..20_000).map(|id| word(&bench.give(&stray(family, host, id))) == "held");
            flood.filter(|held| *held).count()
        };
        let first = taken(&mut bench, 1);
        assert_eq!(word(&bench.give(&stray(family, 1, 20_001))), "source-full");
        let share = bench.defrag.held(family);
        assert!(share <= 1 << 20 && share > 1020 << 10, "{share} of 4 MiB");
        assert_eq!([2, 3, 4].map(|host| taken(&mut bench, host)), [first; 3]);
        assert!(taken(&mut bench, 5) < 4, "now it is full for everybody");
        bench.expire_at(100);
        assert_eq!(bench.defrag.held(family), 0);
        assert_eq!(taken(&mut bench, 1), first, "what is over is forgotten");
        bench.limits.frag_source_percent = 0;
        assert!(taken(&mut bench, 1) > 0, "switched off");
    }
}

#[test]
fn a_datagram_begins_anew_behind_too_many_others_of_its_source() {
    let datagram = v4(proto::UDP, &payload(96));
    let fragment = |from, to, more| piece_v4(&datagram, from, to, more);
    let [a, b, c, d] = Ipv4::new(&datagram[..]).expect("a header").src().octets();
    let other = |id: u16, host: u8| {
        let mut bytes = stray(Family::V4, 1, 1000 + id);
        Ipv4::new(&mut bytes[..]).expect("a header").set_src([a, b, c, host].into());
        bytes
    };
    // Others of its source, others of another one, and what becomes of the datagram.
    let rows = [(63, 0, "complete"), (64, 0, "held"), (0, 200, "complete"), (63, 9, "complete")];
    for (own, foreign, expected) in rows {
        let mut bench = Bench::new();
        assert_eq!(word(&bench.give(&fragment(0, 64, M))), "held");
        let others = (0..own).map(|id| other(id, d));
        for stray in others.chain((0..foreign).map(|id| other(id, d ^ 1))) {
            assert_eq!(word(&bench.give(&stray)), "held");
        }
        assert_eq!(word(&bench.give(&fragment(64, 96, L))), expected, "{own} and {foreign}");
    }
    let mut bench = Bench::new();
    bench.limits.ipfrag_max_dist = 0;
    bench.give(&fragment(0, 64, M));
    (0..200).for_each(|id| drop(bench.give(&other(id, d))));
    assert_eq!(word(&bench.give(&fragment(64, 96, L))), "complete", "any distance");
}

#[test]
fn a_datagram_that_begins_anew_lives_as_long_again() {
    let datagram = v4(proto::UDP, &payload(96));
    let mut bench = Bench::new();
    bench.limits.ipfrag_max_dist = 1;
    bench.give(&piece_v4(&datagram, 0, 64, M));
    bench.now = seconds(20);
    (0..2).for_each(|id| {
        let mut bytes = piece_v4(&datagram, 0, 64, M);
        Ipv4::new(&mut bytes[..]).expect("a header").set_id(7000 + id);
        bench.give(&bytes);
    });
    assert_eq!(word(&bench.give(&piece_v4(&datagram, 64, 96, L))), "held");
    assert_eq!(bench.expire_at(49).len(), 0);
    bench.now = seconds(49);
    assert_eq!(word(&bench.give(&piece_v4(&datagram, 0, 64, M))), "complete");
    assert_eq!(bench.expire_at(50).len(), 2);
    assert_eq!(bench.defrag.held(Family::V4), 0);
}

#[test]
fn a_budget_of_zero_refuses_all() {
    let mut bench = Bench::new();
    bench.limits.ipfrag_high_thresh = 0;
    bench.limits.frag6_high_thresh = 0;
    assert_eq!(word(&bench.give(&piece_v4(&v4(proto::UDP, &payload(64)), 0, 32, M))), "full");
    assert_eq!(word(&bench.give(&piece_v6(&v6(proto::UDP, &payload(64)), 0, 32, M))), "full");
    assert_eq!(bench.defrag.next_deadline(), None);
}

#[test]
fn every_error_has_its_place_and_name() {
    for (place, error) in FragmentError::ALL.into_iter().enumerate() {
        assert_eq!(error.index(), place);
        let namesakes = FragmentError::ALL.iter().filter(|other| other.name() == error.name());
        assert_eq!(namesakes.count(), 1);
    }
}
