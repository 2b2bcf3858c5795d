//! Every target that changes something, by rows.

use alloc::vec;

use super::super::ast::{
    ConnmarkOperation, ConnmarkTarget, CtDirection, CtEvents, CtStates, CtTarget, CtZone,
    ExpectEvents, Hook, LogOptions, LogTarget, MarkTarget, Match, Policy, Shift, Table, TableKind,
    Target, ZoneId,
};
use super::super::eval::Template;
use super::super::eval::scene::{Scene, builtin, forward, is, not, program, query, rule};
use super::super::program::Program;
use crate::event::{EventMask, ExpectMask};
use crate::flow::Status;
use crate::packet::CtInfo;
use crate::tuple::{Zone, ZoneScope};

fn raw(targets: &[Target]) -> Program {
    let rules = targets.iter().map(|target| rule(vec![], target.clone())).collect();
    let chains = vec![builtin(Hook::Prerouting, Policy::Accept, rules)];
    program(&Table { kind: TableKind::Raw, chains })
}

#[test]
fn mark_clears_and_flips() {
    let rows = [
        ("--set-mark 5", 5, u32::MAX, 0xff00, 5),
        ("--or-mark 5", 5, 5, 0xff01, 0xff05),
        ("--and-mark 0xf0", 0, !0xf0, 0xff, 0xf0),
        ("--xor-mark 3", 3, 0, 0xff01, 0xff02),
        ("--set-mark 1/0xff", 1, 0xff, 0xabcd, 0xab01),
    ];
    for (what, value, mask, before, after) in rows {
        let mut scene = query(1, 2);
        scene.mark = before;
        let target = Target::Mark(MarkTarget { value, mask });
        scene.run(&mut forward(vec![rule(vec![], target)]), Hook::Forward);
        assert_eq!(scene.mark, after, "{what}");
    }
}

#[test]
fn connmark_sets_saves_and_restores() {
    use ConnmarkOperation::{Restore, Save, Set};
    let all = u32::MAX;
    let rows = [
        ("set", Set { value: 7, mask: all }, None, (0x11, 0x22), (0x11, 7)),
        ("set some bits", Set { value: 1, mask: 0xf }, None, (0x11, 0x22), (0x11, 0x21)),
        (
            "set and shift the whole",
            Set { value: 1, mask: 0xf },
            Some(Shift::Left(4)),
            (0, 0x22),
            (0, 0x210),
        ),
        ("save", Save { nfmask: all, ctmask: all }, None, (0x11, 0x22), (0x11, 0x11)),
        ("save some bits", Save { nfmask: 0xf, ctmask: 0xff }, None, (0x15, 0xa22), (0x15, 0xa05)),
        (
            "save shifted",
            Save { nfmask: 0xf0, ctmask: all },
            Some(Shift::Right(4)),
            (0xabc, 0),
            (0xabc, 0xb),
        ),
        ("restore", Restore { nfmask: all, ctmask: all }, None, (0x11, 0x22), (0x22, 0x22)),
        (
            "restore some bits",
            Restore { nfmask: 0xff, ctmask: 0xf },
            None,
            (0xa11, 0x25),
            (0xa05, 0x25),
        ),
        (
            "restore shifted out",
            Restore { nfmask: all, ctmask: all },
            Some(Shift::Left(31)),
            (1, 2),
            (0, 2),
        ),
    ];
    for (what, operation, shift, (packet, flow), after) in rows {
        let mut scene = query(1, 2).tracked(CtInfo::New, Status::CONFIRMED, 30);
        scene.mark = packet;
        scene.flow.as_mut().unwrap().mark = flow;
        let target = Target::Connmark(ConnmarkTarget { operation, shift });
        scene.run(&mut forward(vec![rule(vec![], target)]), Hook::Forward);
        let flow_now = scene.flow.as_ref().unwrap();
        assert_eq!((scene.mark, flow_now.mark), after, "{what}");
        let noted = flow_now.pending.contains(EventMask::MARK);
        assert_eq!(noted, flow != flow_now.mark, "{what}: an event if and only if it changed");
    }
}

#[test]
fn connmark_without_a_flow_does_nothing() {
    let operation = ConnmarkOperation::Restore { nfmask: u32::MAX, ctmask: u32::MAX };
    let target = Target::Connmark(ConnmarkTarget { operation, shift: None });
    let mut scene = Scene { mark: 5, ..query(1, 2) };
    scene.run(&mut forward(vec![rule(vec![], target)]), Hook::Forward);
    assert_eq!(scene.mark, 5);
}

fn ct(ct: CtTarget) -> Target {
    Target::Ct(ct)
}

fn zone_target(direction: Option<CtDirection>, id: ZoneId) -> Target {
    ct(CtTarget { zone: Some(CtZone { direction, id }), ..CtTarget::default() })
}

#[test]
fn ct_makes_templates() {
    let zone = |id, scope| Template { zone: Zone { id, scope }, ..Template::default() };
    let events = |flows, expectations| Template {
        events: Some(flows),
        expect_events: Some(expectations),
        ..Template::default()
    };
    let some = CtTarget { events: CtEvents::NEW | CtEvents::MARK, ..CtTarget::default() };
    let expectations = CtTarget { expect_events: ExpectEvents::NEW, ..CtTarget::default() };
    let rows = [
        ("nothing said", ct(CtTarget::default()), Some(Template::default()), false),
        ("a zone", zone_target(None, ZoneId::Id(5)), Some(zone(5, ZoneScope::Both)), false),
        (
            "of one direction",
            zone_target(Some(CtDirection::Reply), ZoneId::Id(5)),
            Some(zone(5, ZoneScope::Reply)),
            false,
        ),
        (
            "by mark",
            zone_target(Some(CtDirection::Original), ZoneId::Mark),
            Some(zone(0x2345, ZoneScope::Original)),
            false,
        ),
        (
            "events",
            ct(some),
            Some(events(EventMask::NEW | EventMask::MARK, ExpectMask::empty())),
            false,
        ),
        (
            "events of expectations only",
            ct(expectations),
            Some(events(EventMask::empty(), ExpectMask::NEW)),
            false,
        ),
        ("--notrack", ct(CtTarget { notrack: true, ..CtTarget::default() }), None, true),
        ("NOTRACK", Target::Notrack, None, true),
    ];
    for (what, target, template, untracked) in rows {
        let mut scene = Scene { mark: 0x1_2345, ..query(1, 2) };
        scene.run(&mut raw(&[target]), Hook::Prerouting);
        assert_eq!((scene.template, scene.untracked), (template, untracked), "{what}");
    }
}

#[test]
fn the_first_word_on_tracking_counts() {
    let (five, six) = (zone_target(None, ZoneId::Id(5)), zone_target(None, ZoneId::Id(6)));
    let rows = [
        ("two zones", [five.clone(), six], false, (Some(5), false)),
        ("NOTRACK behind a zone", [five.clone(), Target::Notrack], false, (Some(5), false)),
        ("a zone behind NOTRACK", [Target::Notrack, five.clone()], false, (None, true)),
        ("too late", [five, Target::Notrack], true, (None, false)),
    ];
    for (what, targets, has_entry, expected) in rows {
        let mut scene = Scene { has_entry, ..query(1, 2) };
        scene.run(&mut raw(&targets), Hook::Prerouting);
        let zone = scene.template.map(|template| template.zone.id);
        assert_eq!((zone, scene.untracked), expected, "{what}");
    }
}

#[test]
fn a_zone_by_mark_is_that_of_the_mark_at_the_end_of_the_table() {
    let mark = Target::Mark(MarkTarget { value: 9, mask: u32::MAX });
    let mut scene = Scene { mark: 4, ..query(1, 2) };
    scene.run(&mut raw(&[zone_target(None, ZoneId::Mark), mark]), Hook::Prerouting);
    assert_eq!(scene.template.map(|template| template.zone.id), Some(9));
}

#[test]
fn rules_behind_ct_see_a_new_packet_and_behind_notrack_an_untracked_one() {
    let rows = [
        (ct(CtTarget::default()), CtStates::NEW),
        (Target::Notrack, CtStates::UNTRACKED),
        (Target::None, CtStates::INVALID),
    ];
    for (target, state) in rows {
        let hit = rule(vec![Match::State(is(state))], Target::None);
        let miss = rule(vec![Match::State(not(state))], Target::None);
        let rules = vec![rule(vec![], target.clone()), hit, miss];
        let chains = vec![builtin(Hook::Prerouting, Policy::Accept, rules)];
        let mut program = program(&Table { kind: TableKind::Raw, chains });
        query(1, 2).run(&mut program, Hook::Prerouting);
        let packets = [1, 2].map(|rule| program.state.counters[rule].packets);
        assert_eq!(packets, [1, 0], "{target:?}");
    }
}

#[test]
fn log_writes_and_goes_on() {
    let log = LogTarget { level: 6, prefix: "p: ".into(), options: LogOptions::empty() };
    let mut scene = query(1000, 53);
    scene.bytes.extend([0; 18]);
    scene.mark = 0x2a;
    let rules = vec![rule(vec![], Target::Log(log)), rule(vec![], Target::None)];
    let mut program = forward(rules);
    scene.run(&mut program, Hook::Forward);
    assert_eq!(program.state.counters[1].packets, 1);
    let line = scene.log.pop().unwrap();
    assert_eq!(line.level, 6);
    assert_eq!(
        line.text,
        "p: IN=lan0 OUT=wan0 MAC=02:00:00:00:00:01:02:00:00:00:00:02:08:00 SRC=10.0.0.2 DST=192.0.2.80 LEN=28 \
         TOS=0x00 PREC=0x00 TTL=64 ID=0 PROTO=UDP SPT=1000 DPT=53 LEN=8 MARK=0x2a"
    );
}
