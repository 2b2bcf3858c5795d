//! Expectations and timeout policies.

use super::*;

fn expectation(
    what: &str,
    number: u8,
    flags: Flags,
    family: u8,
    attributes: &[expect::Attribute<'_>],
) -> Request {
    let bytes = build((Subsystem::Expect, number), flags | Flags::ACK, family, |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    });
    Request { what: what.to_owned(), bytes }
}

pub(super) fn expectations() -> Vec<Request> {
    use expect::Attribute as E;
    use expect::message as m;
    let expected = back(&tuple(V4, proto::TCP, 999, 0));
    let mask = Tuple {
        src: "255.255.255.255".parse().ok(),
        dst: "255.255.255.255".parse().ok(),
        sport: Some(0),
        dport: Some(0xffff),
        ..expected.clone()
    };
    let control = tuple(V4, proto::TCP, 1, 21);
    let plain = tuple(V4, proto::TCP, 1, 80);
    let all = |master: &Tuple, more: &[E<'static>]| -> Vec<E<'static>> {
        let first = [E::Tuple(expected.clone()), E::Mask(mask.clone()), E::Master(master.clone())];
        first.into_iter().chain(more.iter().cloned()).collect()
    };
    let create =
        |what: &str, attributes: &[E<'_>]| expectation(what, m::NEW, CREATE, V4, attributes);
    let named = [E::Tuple(expected.clone())];
    vec![
        create("half an expectation", &all(&control, &[])[..2]),
        create("of a master that isn't", &all(&tuple(V4, proto::TCP, 321, 1), &[])),
        create("of a master without a helper", &all(&plain, &[])),
        create("of no class", &all(&control, &[E::Class(3)])),
        create("of no function", &all(&control, &[E::Function(b"x")])),
        create("an expectation", &all(&control, &[E::Flags(1)])),
        create("again", &all(&control, &[])),
        expectation("all expected", m::GET, Flags::DUMP, Family::ANY, &[]),
        expectation("those of IPv6", m::GET, Flags::DUMP, V6, &[]),
        expectation("those of a master", m::GET, Flags::DUMP, V4, &[E::Master(control)]),
        expectation("one expected", m::GET, NONE, V4, &named),
        expectation("nobody expected", m::GET, NONE, V4, &[E::Tuple(plain.clone())]),
        expectation("none named", m::GET, NONE, V4, &[]),
        expectation("withdrawn", m::DELETE, NONE, V4, &named),
        expectation("withdrawn twice", m::DELETE, NONE, V4, &named),
        expectation("none left", m::DELETE, NONE, V4, &[]),
    ]
}

pub(super) fn timeouts() -> Vec<Request> {
    use timeout::Attribute as T;
    use timeout::message as m;
    let request = |what: &str, number, flags, attributes: &[T<'_>]| {
        let bytes = build((Subsystem::Timeout, number), flags | Flags::ACK, 0, |writer| {
            attributes.iter().for_each(|attribute| attribute.write(writer));
        });
        Request { what: what.to_owned(), bytes }
    };
    let of = |proto: u8, timeouts: Vec<(u16, u32)>| {
        vec![T::Name(b"long"), T::Network(2), T::Proto(proto), T::Timeouts(timeouts)]
    };
    let udp = || of(proto::UDP, vec![(2, 77)]);
    let default = |proto: u8| {
        let what = format!("everybody's timeouts of {proto}");
        request(&what, m::DEFAULT_GET, NONE, &[T::Network(2), T::Proto(proto)])
    };
    let protocols = [proto::TCP, proto::UDP, proto::UDPLITE, proto::ICMP, proto::ICMPV6, 255, 50];
    let defaults = protocols.into_iter().map(default);
    let named = [
        request("half a policy", m::NEW, CREATE, &udp()[..3]),
        request("a policy", m::NEW, CREATE, &udp()),
        request("a policy that there is", m::NEW, CREATE, &udp()),
        request("one that may stay", m::NEW, Flags::CREATE, &udp()),
        request("one in its place", m::NEW, Flags::CREATE | Flags::REPLACE, &udp()),
        request("one of another kind", m::NEW, Flags::REPLACE, &of(proto::TCP, vec![(1, 5)])),
        request("one of no protocol", m::NEW, CREATE, &of(50, vec![(1, 5)])[1..]),
        request("all policies", m::GET, Flags::DUMP, &[]),
        request("that policy", m::GET, NONE, &[T::Name(b"long")]),
        request("another policy", m::GET, NONE, &[T::Name(b"short")]),
        request("no policy", m::GET, NONE, &[]),
        request("another policy goes", m::DELETE, NONE, &[T::Name(b"short")]),
        request("that policy goes", m::DELETE, NONE, &[T::Name(b"long")]),
        request("all policies go", m::DELETE, NONE, &[]),
        request("nobody's timeouts", m::DEFAULT_SET, NONE, &[]),
    ];
    named.into_iter().chain(defaults).collect()
}
