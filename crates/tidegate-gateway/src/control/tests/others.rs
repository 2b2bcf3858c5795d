//! Expectations, timeouts, statistics, settings.

use tidegate_wire::Family::{V4, V6};
use tidegate_wire::netlink::tidegate::{self, Attribute as Own};
use tidegate_wire::netlink::{expect, stats, timeout};

use super::*;

fn control(family: tidegate_wire::Family) -> Tuple {
    Tuple { proto: proto::TCP, dport: 21, ..tuple(family) }
}

fn data(family: tidegate_wire::Family) -> Tuple {
    let Tuple { src, dst, .. } = tuple(family);
    Tuple { src: dst, dst: src, sport: 0, dport: 999, proto: proto::TCP }
}

fn expecting(
    number: u8,
    flags: Flags,
    family: u8,
    attributes: &[expect::Attribute<'_>],
) -> Vec<u8> {
    request((Subsystem::Expect, number), flags, family, |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    })
}

#[test]
fn expectations_are_made_listed_and_withdrawn() {
    for (family, number) in [(V4, Family::V4), (V6, Family::V6)] {
        let mut lab = Lab::new();
        let id = lab.admin();
        let orig = control(family);
        let with = Change { helper: Some(b"ftp"), timeout: Some(100), ..Change::default() };
        let reply = orig.invert().expect("an answer");
        let zone = Zone::default();
        let creation = Creation { orig, reply, zone, with, nat: [None; 2], master: None };
        lab.engine.create(lab.now, &creation).expect("made");
        let told = super::super::tuple::told;
        let mask = Tuple { sport: 0, dport: 0xffff, ..data(family) };
        let all = [
            expect::Attribute::Tuple(told(&data(family))),
            expect::Attribute::Mask(told(&mask)),
            expect::Attribute::Master(told(&orig)),
        ];
        let create = Flags::CREATE | Flags::EXCL | Flags::ACK;
        let ask = |lab: &mut Lab, message, flags, count| {
            lab.errno(id, &expecting(message, flags, number, &all[..count]))
        };
        assert_eq!(ask(&mut lab, expect::message::NEW, create, 2), 22, "no master");
        assert_eq!(ask(&mut lab, expect::message::NEW, create, 3), 0);
        assert_eq!(ask(&mut lab, expect::message::NEW, create, 3), 17, "there is one");
        let listed = lab.ask(id, &expecting(expect::message::GET, Flags::DUMP, 0, &[]));
        assert!(listed.len() == 2 && is_done(&listed[1]));
        let shown =
            lab.ask(id, &expecting(expect::message::GET, Flags::empty(), number, &all[..1]));
        assert_eq!(shown[0].1, listed[0].1);
        let none = lab.ask(id, &expecting(expect::message::GET, Flags::DUMP, number ^ 8, &[]));
        assert_eq!(none.len(), 1, "of another family");
        assert_eq!(ask(&mut lab, expect::message::DELETE, Flags::ACK, 1), 0);
        assert_eq!(ask(&mut lab, expect::message::DELETE, Flags::ACK, 1), 2);
        let stats = expecting(expect::message::GET_STATS_CPU, Flags::DUMP, 0, &[]);
        let answer = lab.ask(id, &stats);
        let message =
            tidegate_wire::netlink::Message { header: answer[0].0, payload: &answer[0].1 };
        let counts = stats::counters(message.body().expect("a body").1).flatten();
        assert_eq!(counts.collect::<Vec<_>>(), [(1, 0), (2, 1), (3, 1)]);
    }
}

fn policy(number: u8, flags: Flags, attributes: &[timeout::Attribute<'_>]) -> Vec<u8> {
    request((Subsystem::Timeout, number), flags | Flags::ACK, 0, |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    })
}

#[test]
fn timeout_policies_come_and_go() {
    use timeout::Attribute as Said;
    let mut lab = Lab::new();
    let id = lab.admin();
    let all = [
        Said::Name(b"long"),
        Said::Network(2),
        Said::Proto(proto::UDP),
        Said::Timeouts(vec![(2, 500)]),
    ];
    let rows = [
        ("half a policy", timeout::message::NEW, Flags::CREATE, &all[..3], 22),
        ("a policy", timeout::message::NEW, Flags::CREATE | Flags::EXCL, &all[..], 0),
        ("again", timeout::message::NEW, Flags::CREATE | Flags::EXCL, &all[..], 17),
        ("changed", timeout::message::NEW, Flags::REPLACE, &all[..], 0),
        ("everybody's", timeout::message::DEFAULT_SET, Flags::empty(), &all[2..], 0),
        ("nobody's", timeout::message::DELETE, Flags::empty(), &[Said::Name(b"x")][..], 2),
    ];
    for (what, number, flags, attributes, errno) in rows {
        assert_eq!(lab.errno(id, &policy(number, flags, attributes)), errno, "{what}");
    }
    let listed = lab.ask(id, &policy(timeout::message::GET, Flags::DUMP, &[]));
    let message = tidegate_wire::netlink::Message { header: listed[0].0, payload: &listed[0].1 };
    let said: Vec<_> = timeout::attributes(message.body().expect("a body").1)
        .map(|one| one.expect("one"))
        .collect();
    assert_eq!(said[0], Said::Name(b"long"));
    assert_eq!(said[4], Said::Timeouts(vec![(1, 30), (2, 500)]));
    let default = policy(timeout::message::DEFAULT_GET, Flags::empty(), &all[1..3]);
    let answers = lab.ask(id, &default);
    assert_eq!(answers[0].0.kind, 0x803, "as the kernel marks it");
    assert_eq!(lab.engine.limits().timeouts.udp_stream.0, 500);
    assert_eq!(lab.errno(id, &policy(timeout::message::DELETE, Flags::empty(), &all[..1])), 0);
    let esp = [Said::Network(2), Said::Proto(50)];
    let default = policy(timeout::message::DEFAULT_GET, Flags::empty(), &esp);
    assert_eq!(lab.errno(id, &default), 95);
}

fn own(number: u8, flags: Flags, attributes: &[Own<'_>]) -> Vec<u8> {
    request((Subsystem::Tidegate, number), flags, 0, |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    })
}

#[test]
fn sets_change_line_by_line() {
    let mut lab = Lab::new();
    let id = lab.admin();
    let lines = |text: &'static str, before| {
        let body = [Own::Number(before), Own::Value(text.as_bytes())];
        own(tidegate::message::SETS, Flags::DUMP | Flags::ACK, &body)
    };
    assert_eq!(lab.ask(id, &lines("create s hash:ip\nadd s 192.0.2.7", 0)).len(), 1, "done");
    let now = Instant::ZERO;
    assert_eq!(lab.engine.sets().len(now, "s"), Some(1));

    let said = lab.ask(id, &lines("add s 192.0.2.8\nadd s many\nadd t 192.0.2.7", 40));
    let texts: Vec<String> = said.iter().filter_map(text_of).collect();
    let wrong =
        ["sets:42: `many' is not an address of the set's family", "sets:43: there is no set `t'"];
    assert_eq!(texts, wrong);
    assert_eq!(said.len(), 3, "and an error");
    assert_eq!(lab.engine.sets().len(now, "s"), Some(2), "the line before is done");
}

fn text_of((header, payload): &(Header, Vec<u8>)) -> Option<String> {
    let message = tidegate_wire::netlink::Message { header: *header, payload };
    let attributes = tidegate::attributes(message.body().ok()?.1);
    attributes.flatten().find_map(|attribute| match attribute {
        Own::Text(line) => Some(String::from_utf8_lossy(line).into_owned()),
        _ => None,
    })
}

#[test]
fn settings_are_read_and_written_under_their_names() {
    const NAME: &[u8] = b"net.netfilter.nf_conntrack_max";
    let mut lab = Lab::new();
    let id = lab.admin();
    let set = |name, value| {
        own(tidegate::message::SET, Flags::ACK, &[Own::Name(name), Own::Value(value)])
    };
    assert_eq!(lab.errno(id, &set(NAME, b"500")), 0);
    assert_eq!(lab.errno(id, &set(NAME, b"many")), 22);
    assert_eq!(lab.errno(id, &set(b"net.netfilter.nf_conntrack_count", b"1")), 2);
    assert_eq!(lab.engine.limits().max, 500);
    let one = lab.ask(id, &own(tidegate::message::SETTINGS, Flags::DUMP, &[Own::Name(NAME)]));
    let message = tidegate_wire::netlink::Message { header: one[0].0, payload: &one[0].1 };
    let said: Vec<_> = tidegate::attributes(message.body().expect("a body").1).flatten().collect();
    assert_eq!(said, [Own::Name(NAME), Own::Value(b"500")]);
    let all = lab.ask(id, &own(tidegate::message::SETTINGS, Flags::DUMP, &[]));
    assert_eq!(all.len(), Limits::names().count() + 1);
}

#[test]
fn reasons_are_counted_by_name() {
    let mut lab = Lab::new();
    let id = lab.server.open(Access::ReadOnly);
    let answers = lab.ask(id, &own(tidegate::message::REASONS, Flags::DUMP, &[]));
    let expected =
        tidegate_engine::verdict::DropReason::COUNT + tidegate_engine::track::InvalidReason::COUNT;
    assert_eq!(answers.len(), expected + 1);
    assert!(is_done(answers.last().expect("an end")));
}

#[test]
fn a_cpu_is_told_like_a_kernels() {
    let mut lab = Lab::new();
    lab.flow(V4, 1, Change::default());
    let id = lab.admin();
    let number = conntrack::message::GET_STATS_CPU;
    let answers = lab.ask(id, &request((Subsystem::Conntrack, number), Flags::DUMP, 0, |_| {}));
    let message = tidegate_wire::netlink::Message { header: answers[0].0, payload: &answers[0].1 };
    let counts: Vec<_> = stats::counters(message.body().expect("a body").1).flatten().collect();
    let kinds: Vec<u16> = stats::CONNTRACK.iter().map(|counter| counter.kind).collect();
    assert_eq!(counts.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), kinds);
    assert_eq!(counts[2], (8, 1), "one insertion");
    for number in [conntrack::message::GET_DYING, conntrack::message::GET_UNCONFIRMED] {
        let all = lab.ask(id, &request((Subsystem::Conntrack, number), Flags::DUMP, 0, |_| {}));
        assert!(all.len() == 1 && is_done(&all[0]));
    }
}
