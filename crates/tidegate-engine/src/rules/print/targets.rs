//! The options of targets as iptables-save writes them, behind ` -j NAME`.

use core::fmt::{self, Formatter, Write};

use super::value;
use crate::rules::ast::{
    AddressRange, ConnmarkOperation, ConnmarkTarget, CtDirection, CtTarget, CtZone, DnatTarget,
    LogOptions, LogTarget, NatFlags, PortRange, Shift, SnatTarget, Target, ZoneId,
};
use crate::rules::names;

pub(super) fn write_options(f: &mut Formatter<'_>, target: &Target) -> fmt::Result {
    match target {
        Target::None
        | Target::Jump(_)
        | Target::Goto(_)
        | Target::Accept
        | Target::Drop
        | Target::Return
        | Target::Notrack => Ok(()),
        Target::Reject(with) => write!(f, " --reject-with {}", names::reject_name(*with)),
        Target::Log(log) => write_log(f, log),
        Target::Snat(snat) => write_snat(f, snat),
        Target::Dnat(dnat) => write_dnat(f, dnat),
        Target::Masquerade(to) => write_ports(f, to.ports, to.flags),
        Target::Redirect(to) => write_ports(f, to.ports, to.flags),
        Target::Netmap(network) => {
            f.write_str(" --to ")?;
            value::network(f, network)
        }
        Target::Mark(mark) => write!(f, " --set-xmark {:#x}/{:#x}", mark.value, mark.mask),
        Target::Connmark(connmark) => write_connmark(f, connmark),
        Target::Ct(ct) => write_ct(f, ct),
        Target::Extension(one) => one.0.write(f),
    }
}

fn write_log(f: &mut Formatter<'_>, log: &LogTarget) -> fmt::Result {
    const OPTIONS: [(&str, LogOptions); 5] = [
        (" --log-tcp-sequence", LogOptions::TCP_SEQUENCE),
        (" --log-tcp-options", LogOptions::TCP_OPTIONS),
        (" --log-ip-options", LogOptions::IP_OPTIONS),
        (" --log-uid", LogOptions::UID),
        (" --log-macdecode", LogOptions::MACDECODE),
    ];
    if !log.prefix.is_empty() {
        f.write_str(" --log-prefix ")?;
        value::text(f, &log.prefix)?;
    }
    if log.level != LogTarget::DEFAULT_LEVEL {
        write!(f, " --log-level {}", log.level)?;
    }
    let mut given = OPTIONS.into_iter().filter(|(_, option)| log.options.contains(*option));
    given.try_for_each(|(name, _)| f.write_str(name))
}

fn write_snat(f: &mut Formatter<'_>, snat: &SnatTarget) -> fmt::Result {
    f.write_str(" --to-source ")?;
    write_translation(f, snat.addresses, snat.ports)?;
    write_flags(f, snat.flags)
}

fn write_dnat(f: &mut Formatter<'_>, dnat: &DnatTarget) -> fmt::Result {
    f.write_str(" --to-destination ")?;
    write_translation(f, dnat.addresses, dnat.ports)?;
    if let Some(base) = dnat.base_port {
        write!(f, "/{base}")?;
    }
    write_flags(f, dnat.flags)
}

/// `ADDRESSES[:PORTS]`, with brackets around IPv6 addresses before ports.
fn write_translation(
    f: &mut Formatter<'_>,
    addresses: Option<AddressRange>,
    ports: Option<PortRange>,
) -> fmt::Result {
    match addresses {
        Some(range) if ports.is_some() && range.first.is_ipv6() => {
            f.write_char('[')?;
            value::short_range(f, &range)?;
            f.write_char(']')?;
        }
        Some(range) => value::short_range(f, &range)?,
        None => {}
    }
    let Some(ports) = ports else { return Ok(()) };
    f.write_char(':')?;
    value::nat_ports(f, &ports)
}

fn write_ports(f: &mut Formatter<'_>, ports: Option<PortRange>, flags: NatFlags) -> fmt::Result {
    if let Some(ports) = ports {
        f.write_str(" --to-ports ")?;
        value::nat_ports(f, &ports)?;
    }
    write_flags(f, flags)
}

fn write_flags(f: &mut Formatter<'_>, flags: NatFlags) -> fmt::Result {
    const FLAGS: [(&str, NatFlags); 3] = [
        (" --random", NatFlags::RANDOM),
        (" --random-fully", NatFlags::RANDOM_FULLY),
        (" --persistent", NatFlags::PERSISTENT),
    ];
    let mut given = FLAGS.into_iter().filter(|(_, flag)| flags.contains(*flag));
    given.try_for_each(|(name, _)| f.write_str(name))
}

fn write_connmark(f: &mut Formatter<'_>, connmark: &ConnmarkTarget) -> fmt::Result {
    match connmark.operation {
        ConnmarkOperation::Set { value, mask } => write!(f, " --set-xmark {value:#x}/{mask:#x}"),
        ConnmarkOperation::Save { nfmask, ctmask } => {
            write!(f, " --save-mark --nfmask {nfmask:#x} --ctmask {ctmask:#x}")
        }
        ConnmarkOperation::Restore { nfmask, ctmask } => {
            write!(f, " --restore-mark --nfmask {nfmask:#x} --ctmask {ctmask:#x}")
        }
    }?;
    match connmark.shift {
        Some(Shift::Left(bits)) => write!(f, " --left-shift-mark {bits}"),
        Some(Shift::Right(bits)) => write!(f, " --right-shift-mark {bits}"),
        None => Ok(()),
    }
}

fn write_ct(f: &mut Formatter<'_>, ct: &CtTarget) -> fmt::Result {
    if ct.notrack {
        f.write_str(" --notrack")?;
    }
    // A helper's name may have a dot in it, and is not quoted for that.
    if let Some(name) = &ct.helper {
        write!(f, " --helper {name}")?;
    }
    if let Some(name) = &ct.timeout {
        f.write_str(" --timeout ")?;
        value::text(f, name)?;
    }
    if !ct.events.is_empty() {
        f.write_str(" --ctevents ")?;
        value::lower_flags(f, &ct.events)?;
    }
    if !ct.expect_events.is_empty() {
        f.write_str(" --expevents ")?;
        value::lower_flags(f, &ct.expect_events)?;
    }
    ct.zone.map_or(Ok(()), |zone| write_zone(f, zone))
}

fn write_zone(f: &mut Formatter<'_>, zone: CtZone) -> fmt::Result {
    f.write_str(match zone.direction {
        None => " --zone ",
        Some(CtDirection::Original) => " --zone-orig ",
        Some(CtDirection::Reply) => " --zone-reply ",
    })?;
    match zone.id {
        ZoneId::Id(id) => write!(f, "{id}"),
        ZoneId::Mark => f.write_str("mark"),
    }
}
