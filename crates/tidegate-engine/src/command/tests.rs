//! Commands: what they change, what they refuse, what is told of it, and how little a walk holds.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::ControlFlow::{Break, Continue};
use core::time::Duration;

use proptest::prelude::*;
use tidegate_wire::packet::tcp::TcpFlags;
use tidegate_wire::{Family, SeqNum, proto};

use super::*;
use crate::Settings;
use crate::event::{Event, EventKind, EventMask};
use crate::expect::{ExpectFlags, Mask};
use crate::flow::{Correction, Status};
use crate::limits::Limits;
use crate::nat::NatRange;
use crate::packet::Packet;
use crate::rules;
use crate::testkit::{Host, World, tcp, udp};
use crate::time::Instant;
use crate::track::{PeerFlags, ProtoState, TcpState};
use crate::tuple::{Direction, Tuple, Zone, ZoneScope};

fn engine(limits: Limits) -> Engine {
    Engine::new(Settings { limits, seed: 1, ..Settings::default() })
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn nth(family: Family, proto: u8, number: u16) -> Tuple {
    let tuple = udp(Host::Client, 0).tuple(family);
    Tuple { sport: number, proto, ..tuple }
}

fn creation(orig: Tuple) -> Creation<'static> {
    let with = Change { timeout: Some(100), ..Change::default() };
    let reply = orig.invert().expect("an answer");
    Creation { orig, reply, zone: Zone::default(), with, nat: [None; 2], master: None }
}

fn told(engine: &mut Engine) -> Vec<(EventKind, EventMask)> {
    core::iter::from_fn(|| engine.poll_event())
        .filter_map(Event::into_flow)
        .map(|event| (event.kind, event.changes))
        .collect()
}

const SET: EventMask = EventMask::REPLY
    .union(EventMask::ASSURED)
    .union(EventMask::HELPER)
    .union(EventMask::PROTOINFO)
    .union(EventMask::SEQADJ)
    .union(EventMask::MARK);

#[test]
fn a_flow_is_made_as_it_was_asked_for() {
    for family in Family::ALL {
        let mut engine = engine(Limits { acct: true, ..Limits::default() });
        let orig = nth(family, proto::TCP, 7);
        let flags = Some((PeerFlags::WINDOW_SCALE, PeerFlags::WINDOW_SCALE));
        let tcp = TcpChange { state: Some(3), flags: [flags; 2], scales: Some([7, 9]) };
        let with = Change {
            status: Some(Status::CONFIRMED | Status::ASSURED | Status::SEEN_REPLY),
            mark: Some((5, u32::MAX)),
            labels: Some((1 << 100, u128::MAX)),
            proto: ProtoChange::Tcp(tcp),
            ..creation(orig).with
        };
        let id = engine.create(at(1), &Creation { with, ..creation(orig) }).expect("made");
        let flow = engine.flow(id).expect("there");
        assert_eq!((flow.mark, flow.remaining(at(1)).as_secs()), (5, 100));
        assert!(flow.is(Status::ASSURED | Status::SEEN_REPLY) && flow.labels.has(100));
        let ProtoState::Tcp(tcp) = flow.proto else { panic!("{:?}", flow.proto) };
        assert_eq!((tcp.state, tcp.seen.map(|peer| peer.scale)), (TcpState::Established, [7, 9]));
        let first = SET | EventMask::NEW | EventMask::LABEL;
        assert_eq!(told(&mut engine), [(EventKind::New, first)]);
        assert_eq!((engine.stats().insert, flow.acct), (1, Some(Default::default())));
        let reply = orig.invert().expect("an answer");
        assert_eq!(engine.find(at(1), &reply, Zone::default()), Some((id, Direction::Reply)));
    }
}

/// Each row: what is wrong, and with what error.
#[test]
fn what_cannot_be_is_not_made() {
    let orig = nth(Family::V4, proto::UDP, 7);
    let good = creation(orig);
    let with = good.with;
    let other = Tuple { proto: proto::TCP, ..good.reply };
    let six = nth(Family::V6, proto::UDP, 7);
    let error = Tuple { proto: proto::ICMP, dport: Tuple::icmp_word(3, 0), ..orig };
    let rows = [
        ("no timeout", Creation { with: Change::default(), ..good }, CommandError::Invalid),
        ("two protocols", Creation { reply: other, ..good }, CommandError::Invalid),
        ("two families", Creation { reply: six, ..good }, CommandError::Invalid),
        ("no answer", Creation { orig: error, reply: error, ..good }, CommandError::Invalid),
        (
            "unconfirmed",
            Creation { with: Change { status: Some(Status::ASSURED), ..with }, ..good },
            CommandError::Busy,
        ),
        (
            "dying",
            Creation {
                with: Change { status: Some(Status::CONFIRMED | Status::DYING), ..with },
                ..good
            },
            CommandError::Busy,
        ),
        (
            "no helper of that name",
            Creation { with: Change { helper: Some(b"x"), ..with }, ..good },
            CommandError::NotSupported,
        ),
        (
            "a helper of another protocol",
            Creation { with: Change { helper: Some(b"ftp"), ..with }, ..good },
            CommandError::NotSupported,
        ),
        ("no master", Creation { master: Some(orig), ..good }, CommandError::NotFound),
    ];
    let mut engine = engine(Limits::default());
    for (what, creation, error) in rows {
        assert_eq!(engine.create(at(0), &creation), Err(error), "{what}");
        assert_eq!((engine.count(), told(&mut engine).len()), (0, 0), "{what}");
    }
    engine.create(at(0), &good).expect("made");
    assert_eq!(engine.create(at(0), &good), Err(CommandError::Exists));
    let back = creation(orig.invert().expect("an answer"));
    assert_eq!(engine.create(at(0), &back), Err(CommandError::Exists), "the other way round");
    let elsewhere = Zone { id: 3, scope: ZoneScope::Both };
    assert!(engine.create(at(0), &Creation { zone: elsewhere, ..good }).is_ok());
}

#[test]
fn a_full_table_makes_room_or_refuses() {
    let mut engine = engine(Limits { max: 1, buckets: 512, ..Limits::default() });
    let assured = Some(Status::CONFIRMED | Status::ASSURED);
    let one = creation(nth(Family::V4, proto::UDP, 1));
    let one = Creation { with: Change { status: assured, ..one.with }, ..one };
    engine.create(at(0), &one).expect("made");
    let other = engine.create(at(0), &creation(nth(Family::V4, proto::UDP, 2)));
    assert_eq!(other, Err(CommandError::NoMemory));
    assert_eq!((engine.stats().drop, engine.poll_log().is_some()), (0, true));
}

#[test]
fn a_flow_is_made_translated() {
    for family in Family::ALL {
        let mut engine = engine(Limits::default());
        let orig = nth(family, proto::UDP, 4000);
        let addr: IpAddr = match family {
            Family::V4 => Ipv4Addr::new(192, 0, 2, 7).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into(),
        };
        let range = NatRange { addrs: Some((addr, addr)), ..NatRange::default() };
        let made = Creation { nat: [Some(range), None], ..creation(orig) };
        let id = engine.create(at(0), &made).expect("made");
        let flow = engine.flow(id).expect("there");
        assert_eq!((flow.reply.dst, flow.reply.dport), (addr, 4000));
        assert!(flow.is(Status::SRC_NAT | Status::NAT_DONE) && !flow.is(Status::DST_NAT));
    }
}

#[test]
fn a_master_counts_its_children() {
    let mut engine = engine(Limits::default());
    let control = Tuple { dport: 21, ..nth(Family::V4, proto::TCP, 1) };
    let with = Change { helper: Some(b"ftp"), ..creation(control).with };
    let master = engine.create(at(0), &Creation { with, ..creation(control) }).expect("made");
    let child = Tuple { dport: 99, ..nth(Family::V4, proto::TCP, 2) };
    let made = Creation { master: Some(control), ..creation(child) };
    let id = engine.create(at(0), &made).expect("made");
    let kinds: Vec<_> = told(&mut engine).iter().map(|(_, changes)| *changes).collect();
    assert_eq!(kinds, [SET | EventMask::NEW, SET | EventMask::RELATED]);
    assert_eq!(engine.master_of(id).map(|master| master.tuple), Some(control));
    assert_eq!((engine.children_of(master), engine.children_of(id)), (1, 0));
    assert!(engine.kill(at(1), id) && !engine.kill(at(1), id));
    assert_eq!(engine.children_of(master), 0);
}

/// Each row: what is asked of a flow that was answered, with what result.
#[test]
fn a_status_bit_can_be_set_but_not_taken_back() {
    let rows = [
        ("as it is", Status::SEEN_REPLY | Status::CONFIRMED, Ok(())),
        ("assured", Status::SEEN_REPLY | Status::CONFIRMED | Status::ASSURED, Ok(())),
        ("fixed", Status::SEEN_REPLY | Status::CONFIRMED | Status::FIXED_TIMEOUT, Ok(())),
        ("not answered", Status::CONFIRMED, Err(CommandError::Busy)),
        ("unconfirmed", Status::SEEN_REPLY, Err(CommandError::Busy)),
        (
            "expected",
            Status::SEEN_REPLY | Status::CONFIRMED | Status::EXPECTED,
            Err(CommandError::Busy),
        ),
        ("translated", Status::SEEN_REPLY | Status::CONFIRMED | Status::SRC_NAT, Ok(())),
    ];
    for (what, status, expected) in rows {
        let mut engine = engine(Limits::default());
        let creation = creation(nth(Family::V4, proto::UDP, 1));
        let answered = Some(Status::CONFIRMED | Status::SEEN_REPLY);
        let with = Change { status: answered, ..creation.with };
        let id = engine.create(at(0), &Creation { with, ..creation }).expect("made");
        told(&mut engine);
        let change = Change { status: Some(status), ..Change::default() };
        assert_eq!(engine.change(at(1), id, &change), expected, "{what}");
        let flow = engine.flow(id).expect("there");
        let all = [(EventKind::Update, SET | EventMask::LABEL)];
        let events = if expected.is_ok() { &all[..] } else { &[] };
        assert_eq!(told(&mut engine), events, "{what}");
        assert!(!flow.is(Status::SRC_NAT), "{what}: only NAT sets that");
        let is_set = flow.is(status - Status::SRC_NAT);
        assert!(expected.is_err() || is_set, "{what}: {:?}", flow.status);
    }
}

#[test]
fn marks_and_labels_are_changed_under_a_mask() {
    let mut engine = engine(Limits::default());
    let id = engine.create(at(0), &creation(nth(Family::V4, proto::UDP, 1))).expect("made");
    let mut mark = |mark, mask, labels| {
        let change = Change { mark: Some((mark, mask)), labels: Some(labels), ..Change::default() };
        engine.change(at(0), id, &change).expect("changed");
        let flow = engine.flow(id).expect("there");
        (flow.mark, flow.labels.bits())
    };
    assert_eq!(mark(0xff, u32::MAX, (6, u128::MAX)), (0xff, 6));
    assert_eq!(mark(0x100, 0x10f, (1, 2)), (0x1f0, 5));
    assert_eq!(mark(0x0f, 0, (4, 0)), (0x1ff, 1), "what the mask spares is toggled");
}

#[test]
fn a_security_mark_is_kept_and_inherited() {
    for family in Family::ALL {
        let mut engine = engine(Limits::default());
        let control = Tuple { dport: 21, ..nth(family, proto::TCP, 1) };
        let with = Change { helper: Some(b"ftp"), ..creation(control).with };
        let id = engine.create(at(0), &Creation { with, ..creation(control) }).expect("made");
        told(&mut engine);
        let marked = Change { secmark: Some(7), ..Change::default() };
        engine.change(at(0), id, &marked).expect("changed");
        engine.change(at(0), id, &marked).expect("changed");
        let all = SET | EventMask::LABEL;
        let events = [(EventKind::Update, all | EventMask::SECMARK), (EventKind::Update, all)];
        assert_eq!(told(&mut engine), events, "the same mark again is no change");
        assert_eq!(engine.flow(id).map(|flow| flow.secmark), Some(7));
        let syn = tcp(Host::Server, TcpFlags::SYN, 1, 0);
        let tuple = Tuple { src: control.dst, dst: control.src, sport: 0, ..syn.tuple(family) };
        let expected = Announcing {
            master: control,
            zone: Zone::default(),
            mask: Mask { src: tuple.src, sport: 0 },
            tuple,
            flags: ExpectFlags::empty(),
            class: 0,
            function: None,
            nat: None,
        };
        engine.expect(at(0), &expected).expect("announced");
        let mut bytes = syn.bytes(family);
        let mut packet = Packet::received(&mut bytes, Host::Server.ingress());
        let child = engine.process(at(1), &mut packet, &World::new()).flow.expect("a flow");
        let child = engine.flow(child).expect("there");
        assert!(child.is(Status::EXPECTED) && child.secmark == 7, "{family}");
    }
}

#[test]
fn a_fixed_timeout_stays() {
    let mut engine = engine(Limits::default());
    let creation = creation(nth(Family::V4, proto::UDP, 1));
    let fixed = Some(Status::CONFIRMED | Status::FIXED_TIMEOUT);
    let with = Change { status: fixed, ..creation.with };
    let id = engine.create(at(0), &Creation { with, ..creation }).expect("made");
    let change = Change { timeout: Some(7), ..Change::default() };
    assert_eq!(engine.change(at(0), id, &change), Err(CommandError::NotPermitted));
    assert_eq!(engine.flow(id).map(|flow| flow.remaining(at(0)).as_secs()), Some(100));
    let longest = Change { timeout: Some(u32::MAX), ..Change::default() };
    let id = engine.create(at(0), &Creation { orig: nth(Family::V4, proto::UDP, 2), ..creation });
    assert_eq!(id, Err(CommandError::Exists), "the reply is taken");
    let two = super::tests::creation(nth(Family::V4, proto::UDP, 2));
    let id = engine.create(at(0), &two).expect("made");
    engine.change(at(0), id, &longest).expect("changed");
    assert_eq!(engine.flow(id).map(|flow| flow.remaining(at(0)).as_secs()), Some(8_589_934));
}

#[test]
fn a_helper_is_taken_off_and_never_changed() {
    let mut engine = engine(Limits::default());
    let plain = engine.create(at(0), &creation(nth(Family::V4, proto::TCP, 1))).expect("made");
    let creation = creation(nth(Family::V4, proto::TCP, 2));
    let with = Change { helper: Some(b"ftp"), ..creation.with };
    let helped = engine.create(at(0), &Creation { with, ..creation }).expect("made");
    let mut set = |id, name: &'static [u8]| {
        engine.change(at(0), id, &Change { helper: Some(name), ..Change::default() })
    };
    assert_eq!(set(plain, b"ftp"), Err(CommandError::NotSupported), "it had to be born with it");
    assert_eq!(set(plain, b""), Ok(()));
    assert_eq!(set(helped, b"ftp"), Ok(()));
    assert_eq!(set(helped, b"irc"), Err(CommandError::Busy));
    assert_eq!(set(helped, b"nobody"), Err(CommandError::NotSupported));
    assert_eq!(set(helped, b""), Ok(()));
    assert_eq!(set(helped, b"ftp"), Err(CommandError::Busy), "once off it stays off");
    assert_eq!(engine.flow(helped).and_then(|flow| flow.helper()), None);
}

#[test]
fn numbers_are_corrected_from_the_beginning_or_later() {
    let mut engine = engine(Limits::default());
    let shift = Correction { position: SeqNum(9), before: 1, after: -2 };
    let change = Change { corrections: [Some(shift), None], ..Change::default() };
    let creation = creation(nth(Family::V4, proto::TCP, 2));
    let with = Change { corrections: change.corrections, ..creation.with };
    let early = engine.create(at(0), &Creation { with, ..creation }).expect("made");
    let plain = super::tests::creation(nth(Family::V4, proto::TCP, 1));
    let late = engine.create(at(0), &plain).expect("made");
    engine.change(at(0), late, &change).expect("changed");
    let other = Change { corrections: [None, Some(shift)], ..Change::default() };
    for id in [early, late] {
        assert_eq!(engine.corrections_of(id), [shift, Correction::default()]);
        engine.change(at(0), id, &other).expect("changed");
        assert_eq!(engine.corrections_of(id), [shift; 2]);
        assert!(engine.flow(id).is_some_and(|flow| flow.is(Status::SEQ_ADJUST)));
    }
}

#[test]
fn a_counter_is_taken_once() {
    let mut engine = engine(Limits { acct: true, ..Limits::default() });
    let mut bytes = udp(Host::Client, 10).bytes(Family::V4);
    let mut packet = Packet::received(&mut bytes, Host::Client.ingress());
    let id = engine.process(at(0), &mut packet, &World::new()).flow.expect("a flow");
    let packets = |counters: [crate::flow::Counter; 2]| counters.map(|counter| counter.packets);
    assert_eq!(engine.take_counters(id).map(packets), Some([1, 0]));
    assert_eq!(engine.take_counters(id).map(packets), Some([0, 0]));
}

#[test]
fn an_expectation_is_announced_by_hand() {
    for family in Family::ALL {
        let mut engine = engine(Limits::default());
        let control = Tuple { dport: 21, ..nth(family, proto::TCP, 1) };
        let plain = Tuple { dport: 21, ..nth(family, proto::TCP, 2) };
        let with = Change { helper: Some(b"ftp"), ..creation(control).with };
        engine.create(at(0), &Creation { with, ..creation(control) }).expect("made");
        engine.create(at(0), &creation(plain)).expect("made");
        let data = Tuple { src: control.dst, dst: control.src, sport: 0, dport: 99, ..control };
        let mask = Mask { src: data.src, sport: 0 };
        let good = Announcing {
            master: control,
            zone: Zone::default(),
            tuple: data,
            mask,
            flags: ExpectFlags::empty(),
            class: 0,
            function: None,
            nat: None,
        };
        let unknown = Tuple { sport: 77, ..control };
        let rows = [
            ("no master", Announcing { master: unknown, ..good.clone() }, CommandError::NotFound),
            ("no helper", Announcing { master: plain, ..good.clone() }, CommandError::NotSupported),
            ("no class", Announcing { class: 1, ..good.clone() }, CommandError::Invalid),
            ("no such", Announcing { function: Some(b"x"), ..good.clone() }, CommandError::Invalid),
        ];
        for (what, announcing, error) in rows {
            assert_eq!(engine.expect(at(0), &announcing), Err(error), "{what}");
        }
        engine.expect(at(0), &good).expect("announced");
        let (number, _) = engine.find_expectation(at(1), &data, Zone::default()).expect("there");
        engine.renew_expectation(at(1), number, 50).expect("renewed");
        assert!(engine.find_expectation(at(50), &data, Zone::default()).is_some());
        assert!(engine.find_expectation(at(51), &data, Zone::default()).is_none(), "expired");
        assert_eq!(engine.expectations_from(0).count(), 1);
        assert!(engine.withdraw_expectation(at(1), number));
        assert!(!engine.withdraw_expectation(at(1), number));
        assert_eq!(engine.expectations_from(0).count(), 0);
    }
}

#[test]
fn timeouts_under_a_name_come_and_go() {
    let mut engine = engine(Limits::default());
    let new =
        NewPolicy { name: "long", family: Family::V4, proto: proto::UDP, timeouts: &[(2, 777)] };
    engine.put_policy(&new, OnExisting::Refuse).expect("made");
    assert_eq!(engine.put_policy(&new, OnExisting::Refuse), Err(CommandError::Exists));
    assert_eq!(engine.put_policy(&new, OnExisting::Keep), Err(CommandError::Busy));
    let six = NewPolicy { family: Family::V6, ..new };
    assert_eq!(engine.put_policy(&six, OnExisting::Replace), Err(CommandError::Invalid));
    let esp = NewPolicy { name: "esp", proto: 50, ..new };
    assert_eq!(engine.put_policy(&esp, OnExisting::Keep), Err(CommandError::NotSupported));
    let seconds = engine.policies().iter().map(|one| one.timeouts.numbered(proto::UDP));
    assert_eq!(seconds.collect::<Vec<_>>(), [Some([(1, 30), (2, 777)].into())]);
    assert_eq!(engine.remove_policy("long"), Ok(()));
    assert_eq!(engine.remove_policy("long"), Err(CommandError::NotFound));
    assert_eq!(engine.policies().iter().count(), 0);
    engine.set_timeouts(proto::UDP, &[(1, 9)]).expect("set");
    assert_eq!(engine.limits().timeouts.udp.0, 9);
}

#[test]
fn a_walk_goes_on_behind_what_was_shown_and_shows_again_what_was_not_taken() {
    let mut engine = engine(Limits::default());
    let mut ids = Vec::new();
    for family in Family::ALL {
        for number in 1..=3 {
            ids.push(engine.create(at(0), &creation(nth(family, proto::UDP, number))).unwrap());
        }
    }
    engine.kill(at(0), ids[1]);
    let mut cursor = Cursor::default();
    let mut seen = Vec::new();
    let mut calls = 0;
    while !cursor.is_at_end() {
        calls += 1;
        let mut taken = 0;
        engine.walk(at(1), &mut cursor, 2, |id, _| {
            if taken == 1 {
                return Break(());
            }
            taken += 1;
            seen.push(id);
            Continue(())
        });
        assert!(calls < 20, "it comes to its end");
    }
    ids.remove(1);
    assert_eq!(seen, ids);
    let mut none = Cursor::default();
    engine.walk(at(100), &mut none, 100, |_, _| panic!("all have expired"));
    assert!(none.is_at_end());
}

proptest! {
    /// What lives from a walk's beginning to its end is seen once, all else at most once, whatever happens between.
    #[test]
    fn a_walk_misses_nobody_who_stays(
        budget in 1_usize..50,
        changes in prop::collection::vec((any::<bool>(), 0_u16..400), 0..200),
    ) {
        let mut engine = engine(Limits::default());
        let make = |engine: &mut Engine, number: u16| {
            let family = Family::ALL[usize::from(number % 2)];
            engine.create(at(0), &creation(nth(family, proto::UDP, number + 1)))
        };
        let mut living: Vec<_> = (0..100).filter_map(|number| make(&mut engine, number).ok()).collect();
        let mut stay = living.clone();
        let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
        let mut changes = changes.into_iter();
        while !cursor.is_at_end() {
            engine.walk(at(0), &mut cursor, budget, |id, _| {
                seen.push(id);
                Continue(())
            });
            match changes.next() {
                Some((true, number)) => living.extend(make(&mut engine, number).ok()),
                Some((false, number)) if !living.is_empty() => {
                    let id = living.swap_remove(usize::from(number) % living.len());
                    engine.kill(at(0), id);
                    stay.retain(|other| *other != id);
                }
                Some(_) | None => {}
            }
        }
        let once = |id: &FlowId| seen.iter().filter(|other| *other == id).count();
        prop_assert!(stay.iter().all(|id| once(id) == 1), "one who stayed was missed or shown twice");
        prop_assert!(seen.iter().all(|id| once(id) == 1));
    }
}

/// A connection made by hand knows no windows; its packets fare the same on the express path and on the whole walk.
#[test]
fn packets_of_a_connection_made_by_hand_fare_alike_on_both_paths() {
    let text = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
                COMMIT\n";
    let rules = rules::parse(Family::V4, "rules", text).expect("rules");
    let run = |traced: bool| {
        let mut engine = engine(Limits { acct: true, ..Limits::default() });
        engine.replace_rules(&rules);
        let orig = tcp(Host::Client, TcpFlags::SYN, 0, 0).tuple(Family::V4);
        let state = TcpChange { state: Some(3), ..TcpChange::default() };
        let status = Some(Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED);
        let with = Change {
            status,
            proto: ProtoChange::Tcp(state),
            timeout: Some(900),
            ..Change::default()
        };
        let id = engine.create(at(0), &Creation { with, ..creation(orig) }).expect("made");
        let mut verdicts = Vec::new();
        for (second, from, seq, ack) in [
            (1, Host::Client, 50, 90),
            (2, Host::Server, 90, 60),
            (3, Host::Client, 60, 90),
            (4, Host::Server, 90, 70),
        ] {
            let mut bytes = tcp(from, TcpFlags::ACK, seq, ack).data(10).bytes(Family::V4);
            let mut packet = Packet::received(&mut bytes, from.ingress());
            let outcome = match traced {
                true => {
                    let trace = &mut crate::trace::Trace::default();
                    engine.process_traced(at(second), &mut packet, &World::new(), trace)
                }
                false => engine.process(at(second), &mut packet, &World::new()),
            };
            verdicts.push((outcome.verdict, outcome.conntrack));
        }
        (verdicts, alloc::format!("{:?}", engine.flow(id)))
    };
    assert_eq!(run(false), run(true));
}
