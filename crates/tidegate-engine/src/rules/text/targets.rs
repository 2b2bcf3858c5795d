//! A target's clause to its value.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;

use tidegate_wire::Family;

use super::clause::{Clause, Given};
use super::options::TargetName;
use super::{Parsed, value};
use crate::rules::ast::{
    AddressRange, ConnmarkOperation, ConnmarkTarget, CtDirection, CtEvents, CtTarget, CtZone,
    DnatTarget, ExpectEvents, IcmpReject, Icmpv6Reject, LogOptions, LogTarget, MarkTarget,
    MasqueradeTarget, NatFlags, PortRange, RedirectTarget, RejectWith, Shift, SnatTarget, Target,
    TargetExtension, ZoneId,
};
use crate::rules::error::{Expected, Fault, ValueError};
use crate::rules::names;

/// Bytes that a log prefix may have.
const LOG_PREFIX_MAX: usize = 29;

/// Reads the options of a target.
pub(super) fn build(family: Family, name: TargetName, clause: &Clause<'_>) -> Parsed<Target> {
    Ok(match name {
        TargetName::Reject => Target::Reject(reject(family, clause)?),
        TargetName::Log => Target::Log(log(clause)?),
        TargetName::Snat => Target::Snat(snat(family, clause)?),
        TargetName::Dnat => Target::Dnat(dnat(family, clause)?),
        TargetName::Masquerade => Target::Masquerade(MasqueradeTarget {
            ports: clause.value("--to-ports", value::nat_ports)?,
            flags: nat_flags(clause),
        }),
        TargetName::Redirect => Target::Redirect(RedirectTarget {
            ports: clause.value("--to-ports", value::nat_ports)?,
            flags: nat_flags(clause),
        }),
        TargetName::Netmap => Target::Netmap(
            clause.need("--to", |word| value::full_network(family, word))?.value.masked(),
        ),
        TargetName::Mark => Target::Mark(set_mark(clause)?),
        TargetName::Connmark => Target::Connmark(connmark(clause)?),
        TargetName::Ct => Target::Ct(ct(clause)?),
        TargetName::Notrack => Target::Notrack,
        TargetName::Extension(name) => {
            Target::Extension(Box::new(TargetExtension(name.parse(family, clause)?)))
        }
    })
}

fn reject(family: Family, clause: &Clause<'_>) -> Parsed<RejectWith> {
    let fits = |with: &RejectWith| match with {
        RejectWith::TcpReset => true,
        RejectWith::Icmp(_) => family == Family::V4,
        RejectWith::Icmpv6(_) => family == Family::V6,
    };
    let with = clause.value("--reject-with", |word| {
        names::reject(word).find(fits).ok_or_else(|| Fault::expected(word, Expected::RejectType))
    })?;
    Ok(with.unwrap_or(match family {
        Family::V4 => RejectWith::Icmp(IcmpReject::PortUnreachable),
        Family::V6 => RejectWith::Icmpv6(Icmpv6Reject::PortUnreachable),
    }))
}

fn log(clause: &Clause<'_>) -> Parsed<LogTarget> {
    const OPTIONS: [(&str, LogOptions); 5] = [
        ("--log-tcp-sequence", LogOptions::TCP_SEQUENCE),
        ("--log-tcp-options", LogOptions::TCP_OPTIONS),
        ("--log-ip-options", LogOptions::IP_OPTIONS),
        ("--log-uid", LogOptions::UID),
        ("--log-macdecode", LogOptions::MACDECODE),
    ];
    let given = OPTIONS.into_iter().filter(|(name, _)| clause.flag(name));
    Ok(LogTarget {
        level: clause.value("--log-level", log_level)?.unwrap_or(LogTarget::DEFAULT_LEVEL),
        prefix: clause.value("--log-prefix", log_prefix)?.unwrap_or_default(),
        options: given.fold(LogOptions::empty(), |set, (_, option)| set | option),
    })
}

fn log_level(word: &str) -> Parsed<u8> {
    value::byte(word)
        .filter(|level| *level <= 7)
        .or_else(|| names::log_level(word))
        .ok_or_else(|| Fault::expected(word, Expected::LogLevel))
}

fn log_prefix(word: &str) -> Parsed<String> {
    match word.len() {
        0 => Err(Fault::expected(word, Expected::Text)),
        1..=LOG_PREFIX_MAX => Ok(word.to_owned()),
        _ => Err(Fault::new(word, ValueError::TooLong { max: LOG_PREFIX_MAX })),
    }
}

fn nat_flags(clause: &Clause<'_>) -> NatFlags {
    const FLAGS: [(&str, NatFlags); 3] = [
        ("--random", NatFlags::RANDOM),
        ("--random-fully", NatFlags::RANDOM_FULLY),
        ("--persistent", NatFlags::PERSISTENT),
    ];
    let given = FLAGS.into_iter().filter(|(name, _)| clause.flag(name));
    given.fold(NatFlags::empty(), |set, (_, flag)| set | flag)
}

fn snat(family: Family, clause: &Clause<'_>) -> Parsed<SnatTarget> {
    let to = clause.need("--to-source", |word| {
        let (addresses, ports) = addresses_and_ports(family, word)?;
        Ok(SnatTarget {
            addresses,
            ports: ports.map(value::nat_ports).transpose()?,
            flags: nat_flags(clause),
        })
    })?;
    Ok(to.value)
}

fn dnat(family: Family, clause: &Clause<'_>) -> Parsed<DnatTarget> {
    let to = clause.need("--to-destination", |word| {
        let (addresses, ports) = addresses_and_ports(family, word)?;
        let ports = ports.map(shifted_ports).transpose()?;
        Ok(DnatTarget {
            addresses,
            ports: ports.map(|(ports, _)| ports),
            base_port: ports.and_then(|(_, base)| base),
            flags: nat_flags(clause),
        })
    })?;
    Ok(to.value)
}

/// `ADDRESS[-ADDRESS][:PORTS]` or `:PORTS`; with ports, IPv6 addresses stand in brackets.
fn addresses_and_ports(family: Family, word: &str) -> Parsed<(Option<AddressRange>, Option<&str>)> {
    let (addresses, ports) = match family {
        Family::V4 => word.split_once(':').map_or((word, None), |(a, p)| (a, Some(p))),
        Family::V6 => bracketed(word)?,
    };
    if addresses.is_empty() && ports.is_some() {
        return Ok((None, ports));
    }
    Ok((Some(value::address_range(family, addresses, value::address)?), ports))
}

fn bracketed(word: &str) -> Parsed<(&str, Option<&str>)> {
    let Some(inside) = word.strip_prefix('[') else {
        // `::1` is an address, `:80` are ports.
        let ports = word.strip_prefix(':').filter(|rest| !rest.starts_with(':'));
        return Ok(ports.map_or((word, None), |ports| ("", Some(ports))));
    };
    match inside.split_once(']') {
        Some((addresses, "")) => Ok((addresses, None)),
        Some((addresses, ports)) if ports.starts_with(':') => Ok((addresses, Some(&ports[1..]))),
        _ => Err(Fault::expected(word, Expected::AddressRange)),
    }
}

/// `PORT` or `FIRST-LAST[/BASE]`
fn shifted_ports(word: &str) -> Parsed<(PortRange, Option<u16>)> {
    match word.split_once('/') {
        Some((range, base)) if range.contains('-') => match value::port(base)? {
            0 => Err(Fault::expected(base, Expected::Port)),
            base => Ok((value::nat_ports(range)?, Some(base))),
        },
        _ => Ok((value::nat_ports(word)?, None)),
    }
}

fn set_mark(clause: &Clause<'_>) -> Parsed<MarkTarget> {
    const CHOICE: [&str; 5] =
        ["--set-xmark", "--set-mark", "--and-mark", "--or-mark", "--xor-mark"];
    let given = clause.one_of(&CHOICE)?;
    let given = given.ok_or_else(|| {
        clause.missing("--set-xmark, --set-mark, --and-mark, --or-mark or --xor-mark")
    })?;
    let (value, mask) = marking(given)?;
    Ok(MarkTarget { value, mask })
}

/// An option that sets a mark as the value and mask of `--set-xmark`.
fn marking(given: &Given<'_>) -> Parsed<(u32, u32)> {
    let word = given.value();
    Ok(match given.name() {
        "--set-xmark" => value::masked_mark(word)?,
        "--set-mark" => {
            let (value, mask) = value::masked_mark(word)?;
            (value, mask | value)
        }
        "--and-mark" => (0, !value::mark(word)?),
        "--or-mark" => {
            let bits = value::mark(word)?;
            (bits, bits)
        }
        _ => (value::mark(word)?, 0),
    })
}

fn connmark(clause: &Clause<'_>) -> Parsed<ConnmarkTarget> {
    const CHOICE: [&str; 7] = [
        "--set-xmark",
        "--set-mark",
        "--and-mark",
        "--or-mark",
        "--xor-mark",
        "--save-mark",
        "--restore-mark",
    ];
    let given = clause.one_of(&CHOICE)?;
    let given =
        given.ok_or_else(|| clause.missing("an operation such as --set-mark or --save-mark"))?;
    for mask in ["--nfmask", "--ctmask"] {
        clause.one_of(&["--mask", mask])?;
    }
    let operation = match given.name() {
        "--save-mark" => {
            let (nfmask, ctmask) = copy_masks(clause)?;
            ConnmarkOperation::Save { nfmask, ctmask }
        }
        "--restore-mark" => {
            let (nfmask, ctmask) = copy_masks(clause)?;
            ConnmarkOperation::Restore { nfmask, ctmask }
        }
        _ => set_connmark(clause, given)?,
    };
    Ok(ConnmarkTarget { operation, shift: shift(clause)? })
}

/// A mask that follows the operation replaces the operation's own; one before it is forgotten.
fn set_connmark(clause: &Clause<'_>, operation: &Given<'_>) -> Parsed<ConnmarkOperation> {
    let (value, mut mask) = marking(operation)?;
    let behind = clause.given().iter().skip_while(|given| given.name() != operation.name());
    for given in behind.filter(|given| matches!(given.name(), "--mask" | "--ctmask")) {
        mask = value::mark(given.value())?;
    }
    Ok(ConnmarkOperation::Set { value, mask })
}

/// The masks of the packet's and the flow's mark.
fn copy_masks(clause: &Clause<'_>) -> Parsed<(u32, u32)> {
    let both = clause.value("--mask", value::mark)?.unwrap_or(u32::MAX);
    Ok((
        clause.value("--nfmask", value::mark)?.unwrap_or(both),
        clause.value("--ctmask", value::mark)?.unwrap_or(both),
    ))
}

/// Of two shifts the last counts.
fn shift(clause: &Clause<'_>) -> Parsed<Option<Shift>> {
    let mut shift = None;
    for given in clause.given() {
        let direction: fn(u8) -> Shift = match given.name() {
            "--left-shift-mark" => Shift::Left,
            "--right-shift-mark" => Shift::Right,
            _ => continue,
        };
        let bits = value::byte(given.value()).filter(|bits| *bits < 32);
        shift = match bits {
            None => {
                return Err(Fault::expected(given.value(), Expected::Number { min: 0, max: 31 }));
            }
            Some(0) => None,
            Some(bits) => Some(direction(bits)),
        };
    }
    Ok(shift)
}

fn ct(clause: &Clause<'_>) -> Parsed<CtTarget> {
    let name = |word: &str| match word {
        "" => Err(Fault::expected(word, Expected::Text)),
        _ => Ok(word.to_owned()),
    };
    let events = clause.value("--ctevents", |word| lower_case(word).and_then(ct_events))?;
    let expect = clause.value("--expevents", |word| lower_case(word).and_then(expect_events))?;
    Ok(CtTarget {
        notrack: clause.flag("--notrack"),
        helper: clause.value("--helper", name)?,
        timeout: clause.value("--timeout", name)?,
        events: events.unwrap_or_default(),
        expect_events: expect.unwrap_or_default(),
        zone: zone(clause)?,
    })
}

/// Events are the one list whose names are in lower case only.
fn lower_case(word: &str) -> Parsed<&str> {
    if word.bytes().any(|c| c.is_ascii_uppercase()) {
        return Err(Fault::expected(word, Expected::Events));
    }
    Ok(word)
}

fn ct_events(word: &str) -> Parsed<CtEvents> {
    value::flags(word, Expected::Events)
}

fn expect_events(word: &str) -> Parsed<ExpectEvents> {
    value::flags(word, Expected::Events)
}

/// The three options share one zone: the last gives the number, and each of the one-way options adds its direction,
/// both together being no restriction.
fn zone(clause: &Clause<'_>) -> Parsed<Option<CtZone>> {
    let mut id = None;
    let mut mark = false;
    for given in clause.given().iter().filter(|given| given.name().starts_with("--zone")) {
        match given.value() {
            "mark" => mark = true,
            word => id = zone_number(word)?,
        }
    }
    let direction = match (clause.flag("--zone-orig"), clause.flag("--zone-reply")) {
        (true, false) => Some(CtDirection::Original),
        (false, true) => Some(CtDirection::Reply),
        _ => None,
    };
    let id = if mark { Some(ZoneId::Mark) } else { id.map(ZoneId::Id) };
    Ok(id.map(|id| CtZone { direction, id }))
}

/// A zone's number, none for zone 0.
fn zone_number(word: &str) -> Parsed<Option<u16>> {
    let number = value::number(word, 0, u16::MAX.into()).ok();
    let number = number.and_then(|number| u16::try_from(number).ok());
    let number = number.ok_or_else(|| Fault::expected(word, Expected::Zone))?;
    Ok(Some(number).filter(|number| *number != 0))
}
