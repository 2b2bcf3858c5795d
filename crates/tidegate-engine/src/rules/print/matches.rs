//! Matches as iptables-save writes them: ` -m NAME` and the options in the tool's order.

use core::fmt::{self, Formatter, Write};

use super::{always, term, value};
use crate::rules::ast::{
    AddrtypeMatch, ConntrackMatch, CtDirection, IprangeMatch, LimitIface, LimitMatch, Match,
    Multiport, PortSide, Protocol, TcpFlagTest, TcpMatch, Term, UdpMatch,
};

pub(super) fn write(f: &mut Formatter<'_>, one: &Match) -> fmt::Result {
    write!(f, " -m {}", name(one))?;
    match one {
        Match::Tcp(tcp) => write_tcp(f, tcp),
        Match::Udp(udp) => write_udp(f, udp),
        Match::Icmp(pattern) => always(f, "--icmp-type", pattern, value::icmp),
        Match::Icmp6(pattern) => always(f, "--icmpv6-type", pattern, value::icmp),
        Match::State(states) => always(f, "--state", states, value::flags),
        Match::Conntrack(conntrack) => write_conntrack(f, conntrack),
        Match::Mark(mark) | Match::Connmark(mark) => always(f, "--mark", mark, value::mark),
        Match::Helper(name) => always(f, "--helper", name, |f, name| value::text(f, name)),
        Match::Comment(comment) => {
            f.write_str(" --comment ")?;
            value::text(f, comment)
        }
        Match::Multiport(list) => write_multiport(f, list),
        Match::Limit(limit) => write_limit(f, limit),
        Match::Addrtype(addrtype) => write_addrtype(f, addrtype),
        Match::Mac(mac) => always(f, "--mac-source", mac, value::ethernet),
        Match::Iprange(iprange) => write_iprange(f, iprange),
        Match::Extension(one) => one.0.write(f),
    }
}

fn name(one: &Match) -> &'static str {
    match one {
        Match::Tcp(_) => "tcp",
        Match::Udp(_) => "udp",
        Match::Icmp(_) => "icmp",
        Match::Icmp6(_) => "icmp6",
        Match::State(_) => "state",
        Match::Conntrack(_) => "conntrack",
        Match::Mark(_) => "mark",
        Match::Connmark(_) => "connmark",
        Match::Helper(_) => "helper",
        Match::Comment(_) => "comment",
        Match::Multiport(_) => "multiport",
        Match::Limit(_) => "limit",
        Match::Addrtype(_) => "addrtype",
        Match::Mac(_) => "mac",
        Match::Iprange(_) => "iprange",
        Match::Extension(one) => one.name(),
    }
}

fn write_tcp(f: &mut Formatter<'_>, tcp: &TcpMatch) -> fmt::Result {
    term(f, "--sport", &tcp.source, value::ports)?;
    term(f, "--dport", &tcp.destination, value::ports)?;
    term(f, "--tcp-option", &tcp.option, |f, kind| write!(f, "{kind}"))?;
    term(f, "--tcp-flags", &tcp.flags, flag_test)
}

fn flag_test(f: &mut Formatter<'_>, test: &TcpFlagTest) -> fmt::Result {
    value::flags(f, &test.mask)?;
    f.write_char(' ')?;
    value::flags(f, &test.set)
}

fn write_udp(f: &mut Formatter<'_>, udp: &UdpMatch) -> fmt::Result {
    term(f, "--sport", &udp.source, value::ports)?;
    term(f, "--dport", &udp.destination, value::ports)
}

fn write_conntrack(f: &mut Formatter<'_>, one: &ConntrackMatch) -> fmt::Result {
    term(f, "--ctstate", &one.state, value::flags)?;
    term(f, "--ctproto", &one.protocol, |f, Protocol(number)| write!(f, "{number}"))?;
    term(f, "--ctorigsrc", &one.addresses.original_source, value::host_or_network)?;
    term(f, "--ctorigdst", &one.addresses.original_destination, value::host_or_network)?;
    term(f, "--ctreplsrc", &one.addresses.reply_source, value::host_or_network)?;
    term(f, "--ctrepldst", &one.addresses.reply_destination, value::host_or_network)?;
    term(f, "--ctorigsrcport", &one.ports.original_source, value::ports)?;
    term(f, "--ctorigdstport", &one.ports.original_destination, value::ports)?;
    term(f, "--ctreplsrcport", &one.ports.reply_source, value::ports)?;
    term(f, "--ctrepldstport", &one.ports.reply_destination, value::ports)?;
    term(f, "--ctstatus", &one.status, value::flags)?;
    term(f, "--ctexpire", &one.expire, value::seconds)?;
    match one.direction {
        Some(CtDirection::Original) => f.write_str(" --ctdir ORIGINAL"),
        Some(CtDirection::Reply) => f.write_str(" --ctdir REPLY"),
        None => Ok(()),
    }
}

fn write_multiport(f: &mut Formatter<'_>, list: &Term<Multiport>) -> fmt::Result {
    let option = match list.value.side {
        PortSide::Source => "--sports",
        PortSide::Destination => "--dports",
        PortSide::Either => "--ports",
    };
    always(f, option, list, |f, list| {
        for (at, ports) in list.ports.iter().enumerate() {
            if at > 0 {
                f.write_char(',')?;
            }
            value::ports(f, ports)?;
        }
        Ok(())
    })
}

fn write_limit(f: &mut Formatter<'_>, limit: &LimitMatch) -> fmt::Result {
    f.write_str(" --limit ")?;
    value::rate(f, limit.interval)?;
    if limit.burst == LimitMatch::DEFAULT_BURST {
        return Ok(());
    }
    write!(f, " --limit-burst {}", limit.burst)
}

fn write_addrtype(f: &mut Formatter<'_>, addrtype: &AddrtypeMatch) -> fmt::Result {
    term(f, "--src-type", &addrtype.source, value::flags)?;
    term(f, "--dst-type", &addrtype.destination, value::flags)?;
    match addrtype.limit_iface {
        Some(LimitIface::In) => f.write_str(" --limit-iface-in"),
        Some(LimitIface::Out) => f.write_str(" --limit-iface-out"),
        None => Ok(()),
    }
}

fn write_iprange(f: &mut Formatter<'_>, iprange: &IprangeMatch) -> fmt::Result {
    term(f, "--src-range", &iprange.source, value::full_range)?;
    term(f, "--dst-range", &iprange.destination, value::full_range)
}
