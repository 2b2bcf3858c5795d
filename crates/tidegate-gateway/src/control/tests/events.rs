//! Events: who hears of what, who brought it about, and what becomes of one who doesn't listen.

use tidegate_wire::Family::{V4, V6};
use tidegate_wire::netlink::conntrack::{group, message};
use tidegate_wire::netlink::tidegate::{self, Attribute as Own, Condition, Field};

use super::*;

fn own(number: u8, attributes: &[Own<'_>]) -> Vec<u8> {
    request((Subsystem::Tidegate, number), Flags::ACK, 0, |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    })
}

fn bits(groups: &[u32]) -> u32 {
    groups.iter().map(|group| 1 << (group - 1)).sum()
}

fn listen(lab: &mut Lab, groups: &[u32]) -> SessionId {
    let id = lab.server.open(Access::ReadOnly);
    let join = own(tidegate::message::MEMBERSHIP, &[Own::Groups(bits(groups))]);
    assert_eq!(lab.errno(id, &join), 0);
    id
}

/// What an own message says.
fn said(answer: &Answer) -> Vec<Own<'_>> {
    let message = tidegate_wire::netlink::Message { header: answer.0, payload: &answer.1 };
    tidegate::attributes(message.body().expect("a body").1)
        .map(|attribute| attribute.expect("an attribute"))
        .collect()
}

/// Events and gaps of a listener: the numbers, first and last.
fn numbers(answers: &[Answer]) -> Vec<(u64, u64)> {
    let number = |answer: &Answer| {
        let said = said(answer);
        let first = said.iter().find_map(|one| match one {
            Own::Sequence(number) => Some(*number),
            _ => None,
        })?;
        let last = said.iter().find_map(|one| match one {
            Own::Last(number) => Some(*number),
            _ => None,
        });
        Some((first, last.unwrap_or(first)))
    };
    answers.iter().filter_map(number).collect()
}

#[test]
fn each_group_hears_its_events() {
    let mut lab = Lab::new();
    let rows = [&[group::NEW][..], &[group::UPDATE], &[group::DESTROY], &[1, 2, 3]];
    let listeners: Vec<_> = rows.iter().map(|groups| listen(&mut lab, groups)).collect();
    let id = lab.admin();
    let create = Flags::CREATE | Flags::EXCL;
    let flow = [original(V4, 7), reply(V4, 7), Attribute::Timeout(50)];
    lab.ask(id, &about(message::NEW, create, Family::V4, &flow));
    let mark = [original(V4, 7), Attribute::Mark(5)];
    lab.ask(id, &about(message::NEW, Flags::empty(), Family::V4, &mark));
    lab.ask(id, &about(message::DELETE, Flags::empty(), Family::V4, &mark[..1]));
    let heard: Vec<Vec<_>> = listeners
        .iter()
        .map(|id| {
            let all = messages(&lab.datagrams(*id));
            all.iter().map(|(header, _)| (header.kind, header.flags, header.pid)).collect()
        })
        .collect();
    let (new, change) = ((0x100, create, PORT), (0x100, Flags::empty(), PORT));
    let gone = (0x102, Flags::empty(), PORT);
    assert_eq!(heard, [vec![new], vec![change], vec![gone], vec![new, change, gone]]);
}

#[test]
fn who_wants_an_echo_hears_of_it_once() {
    let mut lab = Lab::new();
    let deaf = lab.admin();
    let flow = |port| [original(V6, port), reply(V6, port), Attribute::Timeout(50)];
    let create = Flags::CREATE | Flags::ECHO;
    let answers = lab.ask(deaf, &about(message::NEW, create, Family::V6, &flow(1)));
    assert_eq!(ports(&answers), [1], "who doesn't listen, too");
    let join = own(tidegate::message::MEMBERSHIP, &[Own::Groups(bits(&[group::NEW]))]);
    lab.ask(deaf, &join);
    let answers = lab.ask(deaf, &about(message::NEW, create, Family::V6, &flow(2)));
    assert_eq!(ports(&answers), [2], "not twice");
    let other = listen(&mut lab, &[group::NEW]);
    lab.ask(deaf, &about(message::NEW, create, Family::V6, &flow(3)));
    assert_eq!(ports(&messages(&lab.datagrams(other))), [3]);
}

#[test]
fn a_listener_who_does_not_read_costs_little_and_learns_what_it_missed() {
    let mut lab = Lab::with(Limits::default(), 100);
    let id = lab.server.open(Access::ReadOnly);
    let all = own(tidegate::message::SUBSCRIBE, &[Own::Groups(bits(&[1, 2, 3]))]);
    assert_eq!(lab.errno(id, &all), 0);
    lab.flow(V4, 1, Change::default());
    for port in 2..=5000 {
        lab.flow(V4, port, Change::default());
        lab.server.gather(&mut lab.engine, lab.now);
        // The first ones wait to be sent already.
        if port == 10 {
            assert!(lab.server.next_for(id).is_some());
        }
    }
    let heard = numbers(&messages(&lab.datagrams(id)));
    let spans: Vec<_> = heard.iter().filter(|(first, last)| first != last).collect();
    assert_eq!(spans, [&(11, 4900)], "one gap: {heard:?}");
    let mut next = 1;
    for (first, last) in &heard {
        assert_eq!(*first, next, "no event is passed over in silence");
        next = last + 1;
    }
    assert_eq!(next, 5001);
}

#[test]
fn a_listener_goes_on_where_it_was() {
    let mut lab = Lab::with(Limits::default(), 10);
    lab.flows(V4, 1..=20, Change::default());
    lab.server.gather(&mut lab.engine, lab.now);
    let subscribe =
        |last| own(tidegate::message::SUBSCRIBE, &[Own::Groups(bits(&[1])), Own::Sequence(last)]);
    let rows = [(15, vec![(16, 16), (17, 17), (18, 18), (19, 19), (20, 20)]), (20, vec![])];
    for (last, expected) in rows {
        let id = lab.server.open(Access::ReadOnly);
        let answers = lab.ask(id, &subscribe(last));
        assert_eq!(error_of(&answers[0]), Some(0));
        assert_eq!(numbers(&answers[1..]), expected, "behind {last}");
    }
    let id = lab.server.open(Access::ReadOnly);
    let answers = lab.ask(id, &subscribe(3));
    assert_eq!(numbers(&answers[1..2]), [(4, 10)], "these are forgotten");
    assert_eq!(answers.len(), 12);
    assert_eq!(lab.errno(id, &subscribe(21)), 34, "of another run");
}

#[test]
fn a_listener_with_conditions_hears_of_no_others() {
    let mut lab = Lab::new();
    let id = lab.server.open(Access::ReadOnly);
    let condition = Condition::between(Field::OriginalSourcePort, 5, 6);
    let wanted = [Own::Groups(bits(&[1, 3])), Own::Condition(condition)];
    lab.ask(id, &own(tidegate::message::SUBSCRIBE, &wanted));
    let ids: Vec<_> = (1..=9).map(|port| lab.flow(V6, port, Change::default())).collect();
    lab.engine.kill(lab.now, ids[5]);
    lab.engine.kill(lab.now, ids[8]);
    let answers = messages(&lab.datagrams(id));
    assert_eq!(numbers(&answers), [(5, 5), (6, 6), (10, 10)]);
    let last = said(&answers[2]);
    assert!(last.contains(&Own::Kind(0x102 << 16)), "{last:?}");
    let body = last.iter().any(|one| matches!(one, Own::Body(list) if list.len() > 100));
    assert!(body, "{last:?}");
    lab.ask(id, &own(tidegate::message::SUBSCRIBE, &[Own::Groups(0)]));
    lab.flow(V6, 5 + 100, Change::default());
    lab.server.gather(&mut lab.engine, lab.now);
    assert!(!lab.server.has_for(id), "it doesn't listen any more");
}

/// Each row: what the client has said of itself before it fell behind, and what it is told.
#[test]
fn one_who_listens_as_to_a_kernel_is_told_of_an_overrun_as_by_a_kernel() {
    let hello = own(tidegate::message::HELLO, &[Own::Number(PORT)]);
    let value = 1_u32.to_ne_bytes();
    let option = own(tidegate::message::OPTION, &[Own::Number(5), Own::Value(&value)]);
    let failure = Header::kind_of(Subsystem::Tidegate, tidegate::message::FAILURE);
    let rows = [
        ("a plain socket", vec![], Some(4)),
        ("a shim", vec![hello.clone()], Some(failure)),
        ("one who doesn't want to know", vec![hello, option], None),
    ];
    for (what, before, expected) in rows {
        let mut lab = Lab::with(Limits::default(), 5);
        let id = listen(&mut lab, &[group::NEW]);
        before.iter().for_each(|request| assert_eq!(lab.errno(id, request), 0));
        lab.flows(V4, 1..=20, Change::default());
        lab.server.gather(&mut lab.engine, lab.now);
        let answers = messages(&lab.datagrams(id));
        let told = answers.iter().map(|(header, _)| header.kind).find(|kind| *kind != 0x100);
        assert_eq!(told, expected, "{what}");
        assert_eq!(ports(&answers).len(), 5, "{what}: those that are left follow");
    }
}
