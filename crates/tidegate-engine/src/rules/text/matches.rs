//! A match's clause to its value.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;

use tidegate_wire::Family;

use super::clause::Clause;
use super::options::MatchName;
use super::{Parsed, value};
use crate::rules::ast::{
    AddressTypes, AddrtypeMatch, ConntrackMatch, CtAddresses, CtDirection, CtPorts, CtStates,
    CtStatus, IcmpPattern, IprangeMatch, LimitIface, LimitMatch, Match, MatchExtension, Multiport,
    PortRange, PortSide, SecondsRange, TcpFlagTest, TcpFlags, TcpMatch, Term, UdpMatch,
};
use crate::rules::error::{Expected, Fault, ValueError};
use crate::rules::names;

/// Bytes that a comment may have.
const COMMENT_MAX: usize = 255;
/// Bytes that a helper's name may have.
const HELPER_MAX: usize = 29;

/// Reads the options of a match.
pub(super) fn build(family: Family, name: MatchName, clause: &Clause<'_>) -> Parsed<Match> {
    Ok(match name {
        MatchName::Tcp => Match::Tcp(tcp(clause)?),
        MatchName::Udp => Match::Udp(UdpMatch {
            source: ports(clause, "--sport")?,
            destination: ports(clause, "--dport")?,
        }),
        MatchName::Icmp => Match::Icmp(clause.need("--icmp-type", icmp)?),
        MatchName::Icmp6 => Match::Icmp6(clause.need("--icmpv6-type", icmpv6)?),
        MatchName::State => Match::State(clause.need("--state", states)?),
        MatchName::Conntrack => Match::Conntrack(conntrack(family, clause)?),
        MatchName::Mark => Match::Mark(clause.need("--mark", value::mark_pattern)?),
        MatchName::Connmark => Match::Connmark(clause.need("--mark", value::mark_pattern)?),
        MatchName::Helper => Match::Helper(clause.need("--helper", helper)?),
        MatchName::Comment => Match::Comment(clause.need("--comment", comment)?.value),
        MatchName::Multiport => Match::Multiport(multiport(clause)?),
        MatchName::Limit => Match::Limit(limit(clause)?),
        MatchName::Addrtype => Match::Addrtype(addrtype(clause)?),
        MatchName::Mac => Match::Mac(clause.need("--mac-source", value::ethernet)?),
        MatchName::Iprange => Match::Iprange(iprange(family, clause)?),
        MatchName::Extension(name) => {
            Match::Extension(Box::new(MatchExtension(name.parse(family, clause)?)))
        }
    })
}

fn helper(word: &str) -> Parsed<String> {
    if word.len() > HELPER_MAX {
        return Err(Fault::expected(word, Expected::Text));
    }
    Ok(word.to_owned())
}

fn tcp(clause: &Clause<'_>) -> Parsed<TcpMatch> {
    let option = |word: &str| {
        let kind = value::byte(word).filter(|kind| *kind != 0);
        kind.ok_or_else(|| Fault::expected(word, Expected::Number { min: 1, max: 255 }))
    };
    Ok(TcpMatch {
        source: ports(clause, "--sport")?,
        destination: ports(clause, "--dport")?,
        option: clause.term("--tcp-option", option)?,
        flags: tcp_flags(clause)?,
    })
}

fn tcp_flags(clause: &Clause<'_>) -> Parsed<Option<Term<TcpFlagTest>>> {
    let Some(given) = clause.one_of(&["--tcp-flags", "--syn"])? else { return Ok(None) };
    let test = match given.values {
        [mask, set] => TcpFlagTest { mask: value::tcp_flags(mask)?, set: value::tcp_flags(set)? },
        _ => TcpFlagTest {
            mask: TcpFlags::FIN | TcpFlags::SYN | TcpFlags::RST | TcpFlags::ACK,
            set: TcpFlags::SYN,
        },
    };
    let always = test.mask.is_empty() && test.set.is_empty();
    Ok(Some(given.term(test)).filter(|term| term.negated || !always))
}

fn ports(clause: &Clause<'_>, option: &str) -> Parsed<Option<Term<PortRange>>> {
    let ports = clause.term(option, value::port_range)?;
    Ok(ports.filter(|term| term.negated || term.value != PortRange::ANY))
}

fn icmp(word: &str) -> Parsed<IcmpPattern> {
    match names::icmp(word).or_else(|| icmp_numbers(word)) {
        // To the kernel's IPv4 match type 255 means every type, whatever the code.
        Some(IcmpPattern::Type(255) | IcmpPattern::TypeCode(255, _)) => Ok(IcmpPattern::Any),
        pattern => pattern.ok_or_else(|| Fault::expected(word, Expected::IcmpType)),
    }
}

fn icmpv6(word: &str) -> Parsed<IcmpPattern> {
    let pattern = names::icmpv6(word).or_else(|| icmp_numbers(word));
    pattern.ok_or_else(|| Fault::expected(word, Expected::Icmpv6Type))
}

fn icmp_numbers(word: &str) -> Option<IcmpPattern> {
    match word.split_once('/') {
        Some((kind, code)) => Some(IcmpPattern::TypeCode(value::byte(kind)?, value::byte(code)?)),
        None => Some(IcmpPattern::Type(value::byte(word)?)),
    }
}

fn states(word: &str) -> Parsed<CtStates> {
    let states: CtStates = value::flags(word, Expected::CtStates)?;
    if states.intersects(CtStates::SNAT | CtStates::DNAT) {
        return Err(Fault::expected(word, Expected::CtStates));
    }
    Ok(states)
}

fn conntrack(family: Family, clause: &Clause<'_>) -> Parsed<ConntrackMatch> {
    if clause.given().is_empty() {
        return Err(clause.missing("at least one option"));
    }
    let network = |option| clause.term(option, |word| value::full_network(family, word));
    let ports = |option| clause.term(option, value::any_port_range);
    Ok(ConntrackMatch {
        state: clause.term("--ctstate", |word| value::flags(word, Expected::CtStates))?,
        protocol: clause.term("--ctproto", value::protocol)?,
        addresses: CtAddresses {
            original_source: network("--ctorigsrc")?,
            original_destination: network("--ctorigdst")?,
            reply_source: network("--ctreplsrc")?,
            reply_destination: network("--ctrepldst")?,
        },
        ports: CtPorts {
            original_source: ports("--ctorigsrcport")?,
            original_destination: ports("--ctorigdstport")?,
            reply_source: ports("--ctreplsrcport")?,
            reply_destination: ports("--ctrepldstport")?,
        },
        status: clause.term("--ctstatus", ct_status)?,
        expire: clause.term("--ctexpire", seconds)?,
        direction: clause.value("--ctdir", direction)?,
    })
}

/// NONE among other names adds nothing.
fn ct_status(word: &str) -> Parsed<CtStatus> {
    let mut status = CtStatus::empty();
    for name in word.split(',').filter(|name| !name.eq_ignore_ascii_case("NONE")) {
        status |= value::flags::<CtStatus>(name, Expected::CtStatus)?;
    }
    Ok(status)
}

/// `SECONDS`, `FIRST:LAST`, `:LAST` or `FIRST:`, in this order or not.
fn seconds(word: &str) -> Parsed<SecondsRange> {
    let read = |word: &str| value::number(word, 0, u32::MAX);
    let Some((first, last)) = word.split_once(':') else {
        let seconds = read(word)?;
        return Ok(SecondsRange { first: seconds, last: seconds });
    };
    Ok(SecondsRange {
        first: if first.is_empty() { 0 } else { read(first)? },
        last: if last.is_empty() { u32::MAX } else { read(last)? },
    })
}

fn direction(word: &str) -> Parsed<CtDirection> {
    match word.to_ascii_uppercase().as_str() {
        "ORIGINAL" => Ok(CtDirection::Original),
        "REPLY" => Ok(CtDirection::Reply),
        _ => Err(Fault::expected(word, Expected::CtDirection)),
    }
}

fn comment(word: &str) -> Parsed<String> {
    if word.len() > COMMENT_MAX {
        return Err(Fault::new(word, ValueError::TooLong { max: COMMENT_MAX }));
    }
    Ok(word.to_owned())
}

fn multiport(clause: &Clause<'_>) -> Parsed<Term<Multiport>> {
    let given = clause.one_of(&["--sports", "--dports", "--ports"])?;
    let given = given.ok_or_else(|| clause.missing("--sports, --dports or --ports"))?;
    let side = match given.name() {
        "--sports" => PortSide::Source,
        "--dports" => PortSide::Destination,
        _ => PortSide::Either,
    };
    Ok(given.term(Multiport { side, ports: value::port_list(given.value())? }))
}

fn limit(clause: &Clause<'_>) -> Parsed<LimitMatch> {
    let burst = clause.value("--limit-burst", |word| value::number(word, 1, 10_000))?;
    Ok(LimitMatch {
        interval: clause.value("--limit", value::rate)?.unwrap_or(LimitMatch::DEFAULT_INTERVAL),
        burst: burst.unwrap_or(LimitMatch::DEFAULT_BURST),
    })
}

fn addrtype(clause: &Clause<'_>) -> Parsed<AddrtypeMatch> {
    let types = |word: &str| value::flags::<AddressTypes>(word, Expected::AddressTypes);
    let limit_iface = clause.one_of(&["--limit-iface-in", "--limit-iface-out"])?;
    let addrtype = AddrtypeMatch {
        source: clause.term("--src-type", types)?,
        destination: clause.term("--dst-type", types)?,
        limit_iface: limit_iface.map(|given| match given.name() {
            "--limit-iface-in" => LimitIface::In,
            _ => LimitIface::Out,
        }),
    };
    if addrtype.source.is_none() && addrtype.destination.is_none() {
        return Err(clause.missing("--src-type or --dst-type"));
    }
    Ok(addrtype)
}

fn iprange(family: Family, clause: &Clause<'_>) -> Parsed<IprangeMatch> {
    if clause.given().is_empty() {
        return Err(clause.missing("--src-range or --dst-range"));
    }
    let range = |option| {
        clause.term(option, |word| value::address_range(family, word, value::short_address))
    };
    Ok(IprangeMatch { source: range("--src-range")?, destination: range("--dst-range")? })
}
