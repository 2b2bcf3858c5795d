//! An expectation as ctnetlink tells it. Linux: `ctnetlink_exp_dump_expect`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_engine::expect::{Expectation, unspecified};
use tidegate_engine::time::Instant;
use tidegate_engine::tuple::Tuple;
use tidegate_wire::Family;
use tidegate_wire::netlink::Writer;
use tidegate_wire::netlink::expect::{Attribute, Nat};

use super::tuple::told;

/// All that is said of an expectation, of which the number `id` is shown.
pub(super) fn describe(writer: &mut Writer<'_>, now: Instant, one: &Expectation, id: u32) {
    let Expectation { tuple, mask, master, flags, class, .. } = one;
    Attribute::Tuple(told(tuple)).write(writer);
    let ones = all_ones(tuple.family());
    let covered =
        Tuple { src: mask.src, dst: ones, sport: mask.sport, dport: u16::MAX, proto: tuple.proto };
    Attribute::Mask(told(&covered)).write(writer);
    Attribute::Master(told(&master.tuple)).write(writer);
    translation(writer, one);
    let seconds = u32::try_from(one.remaining(now).as_secs()).unwrap_or(u32::MAX);
    Attribute::Timeout(seconds).write(writer);
    Attribute::Id(id).write(writer);
    Attribute::Flags(flags.bits().into()).write(writer);
    Attribute::Class((*class).into()).write(writer);
    if let Some(helper) = master.helper {
        Attribute::Helper(helper.name().as_bytes()).write(writer);
    }
    if let Some(name) = one.function() {
        Attribute::Function(name.as_bytes()).write(writer);
    }
}

/// Where the expected flow shall go really.
fn translation(writer: &mut Writer<'_>, one: &Expectation) {
    let (addr, port) = one.saved;
    let nobody = unspecified(Family::of(addr));
    if addr == nobody && port == 0 {
        return;
    }
    let proto = one.master.tuple.proto;
    let tuple = Tuple { src: addr, dst: nobody, sport: port, dport: 0, proto };
    let dir = Some(one.dir.index() as u32);
    Attribute::Nat(Nat { dir, tuple: Some(told(&tuple)), unknown: Vec::new() }).write(writer);
}

fn all_ones(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::BROADCAST.into(),
        Family::V6 => Ipv6Addr::from_bits(u128::MAX).into(),
    }
}
