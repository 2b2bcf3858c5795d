//! Which options there are: the matches and targets that a family has, and the words each of them takes.
//!
//! The tables are the whole grammar of a rule. The first name of an option is the one by which the code asks for it;
//! the others are its synonyms.

use tidegate_wire::Family;

use super::without;
use crate::rules::ast::Protocol;
use crate::rules::conditions;
use crate::rules::effects;
use crate::rules::error::GrammarError;

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::rules) struct OptionSpec {
    pub(in crate::rules) names: &'static [&'static str],
    pub(in crate::rules) negatable: bool,
    /// How many words follow it.
    pub(in crate::rules) values: usize,
}

impl OptionSpec {
    pub(in crate::rules) fn name(&self) -> &'static str {
        self.names[0]
    }
}

/// An option without value.
pub(in crate::rules) const fn flag(names: &'static [&'static str]) -> OptionSpec {
    OptionSpec { names, negatable: false, values: 0 }
}

/// An option with a value.
pub(in crate::rules) const fn value(names: &'static [&'static str]) -> OptionSpec {
    OptionSpec { names, negatable: false, values: 1 }
}

/// An option with a value that may have `!` before it.
pub(in crate::rules) const fn term(names: &'static [&'static str]) -> OptionSpec {
    OptionSpec { names, negatable: true, values: 1 }
}

/// The options that every rule can have, but for those that begin a match or target.
pub(in crate::rules) const GENERAL: &[OptionSpec] = &[
    term(&["-s", "--source", "--src"]),
    term(&["-d", "--destination", "--dst"]),
    term(&["-i", "--in-interface"]),
    term(&["-o", "--out-interface"]),
    term(&["-p", "--protocol", "--proto"]),
    OptionSpec { names: &["-f", "--fragment", "--fragments"], negatable: true, values: 0 },
    OptionSpec { names: &["-c", "--set-counters"], negatable: false, values: 2 },
];

/// The matches that the engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) enum MatchName {
    Tcp,
    Udp,
    Icmp,
    Icmp6,
    State,
    Conntrack,
    Mark,
    Connmark,
    Helper,
    Comment,
    Multiport,
    Limit,
    Addrtype,
    Mac,
    Iprange,
    Extension(conditions::Name),
}

impl MatchName {
    /// The match of this name in the family.
    pub(in crate::rules) fn find(family: Family, name: &str) -> Result<Self, GrammarError> {
        Ok(match (name, family) {
            ("tcp", _) => Self::Tcp,
            ("udp", _) => Self::Udp,
            ("icmp", Family::V4) => Self::Icmp,
            ("icmp6" | "icmpv6" | "ipv6-icmp", Family::V6) => Self::Icmp6,
            ("state", _) => Self::State,
            ("conntrack", _) => Self::Conntrack,
            ("mark", _) => Self::Mark,
            ("connmark", _) => Self::Connmark,
            ("helper", _) => Self::Helper,
            ("comment", _) => Self::Comment,
            ("multiport", _) => Self::Multiport,
            ("limit", _) => Self::Limit,
            ("addrtype", _) => Self::Addrtype,
            ("mac", _) => Self::Mac,
            ("iprange", _) => Self::Iprange,
            _ => return Self::find_extension(family, name),
        })
    }

    fn find_extension(family: Family, name: &str) -> Result<Self, GrammarError> {
        match conditions::Name::find(family, name) {
            Some(name) => Ok(Self::Extension(name)),
            None => Err(without::no_match(family, name)),
        }
    }

    /// The match that `-p` brings along when an option of it follows.
    pub(in crate::rules) fn implied(family: Family, protocol: Protocol) -> Option<Self> {
        match (protocol, family) {
            (Protocol::TCP, _) => Some(Self::Tcp),
            (Protocol::UDP, _) => Some(Self::Udp),
            (Protocol::ICMP, Family::V4) => Some(Self::Icmp),
            (Protocol::ICMPV6, Family::V6) => Some(Self::Icmp6),
            (Protocol(number), _) => {
                let (_, word) = IMPLIED.into_iter().find(|(known, _)| *known == number)?;
                conditions::Name::find(family, word).map(Self::Extension)
            }
        }
    }

    pub(in crate::rules) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Icmp6 => "icmp6",
            Self::State => "state",
            Self::Conntrack => "conntrack",
            Self::Mark => "mark",
            Self::Connmark => "connmark",
            Self::Helper => "helper",
            Self::Comment => "comment",
            Self::Multiport => "multiport",
            Self::Limit => "limit",
            Self::Addrtype => "addrtype",
            Self::Mac => "mac",
            Self::Iprange => "iprange",
            Self::Extension(name) => name.word(),
        }
    }

    pub(in crate::rules) fn options(self) -> &'static [OptionSpec] {
        match self {
            Self::Tcp => TCP,
            Self::Udp => PORTS,
            Self::Icmp => const { &[term(&["--icmp-type"])] },
            Self::Icmp6 => const { &[term(&["--icmpv6-type"])] },
            Self::State => const { &[term(&["--state"])] },
            Self::Conntrack => CONNTRACK,
            Self::Mark | Self::Connmark => const { &[term(&["--mark"])] },
            Self::Helper => const { &[term(&["--helper"])] },
            Self::Comment => const { &[value(&["--comment"])] },
            Self::Multiport => MULTIPORT,
            Self::Limit => const { &[value(&["--limit"]), value(&["--limit-burst"])] },
            Self::Addrtype => ADDRTYPE,
            Self::Mac => const { &[term(&["--mac-source"])] },
            Self::Iprange => const { &[term(&["--src-range"]), term(&["--dst-range"])] },
            Self::Extension(name) => name.options(),
        }
    }
}

/// Protocols whose matches `-p` brings along, beside those above: ESP, AH and SCTP.
const IMPLIED: [(u8, &str); 3] = [(50, "esp"), (51, "ah"), (132, "sctp")];

const PORTS: &[OptionSpec] =
    &[term(&["--sport", "--source-port"]), term(&["--dport", "--destination-port"])];

const TCP: &[OptionSpec] = &[
    term(&["--sport", "--source-port"]),
    term(&["--dport", "--destination-port"]),
    term(&["--tcp-option"]),
    OptionSpec { names: &["--tcp-flags"], negatable: true, values: 2 },
    OptionSpec { names: &["--syn"], negatable: true, values: 0 },
];

const CONNTRACK: &[OptionSpec] = &[
    term(&["--ctstate"]),
    term(&["--ctproto"]),
    term(&["--ctorigsrc"]),
    term(&["--ctorigdst"]),
    term(&["--ctreplsrc"]),
    term(&["--ctrepldst"]),
    term(&["--ctorigsrcport"]),
    term(&["--ctorigdstport"]),
    term(&["--ctreplsrcport"]),
    term(&["--ctrepldstport"]),
    term(&["--ctstatus"]),
    term(&["--ctexpire"]),
    value(&["--ctdir"]),
];

const MULTIPORT: &[OptionSpec] = &[
    term(&["--sports", "--source-ports"]),
    term(&["--dports", "--destination-ports"]),
    term(&["--ports"]),
];

const ADDRTYPE: &[OptionSpec] = &[
    term(&["--src-type"]),
    term(&["--dst-type"]),
    flag(&["--limit-iface-in"]),
    flag(&["--limit-iface-out"]),
];

/// The targets with options that the engine has, and those without that are not verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) enum TargetName {
    Reject,
    Log,
    Snat,
    Dnat,
    Masquerade,
    Redirect,
    Netmap,
    Mark,
    Connmark,
    Ct,
    Notrack,
    Extension(effects::Name),
}

impl TargetName {
    /// The target of this name in the family.
    pub(in crate::rules) fn find(family: Family, name: &str) -> Result<Self, GrammarError> {
        Ok(match name {
            "REJECT" => Self::Reject,
            "LOG" => Self::Log,
            "SNAT" => Self::Snat,
            "DNAT" => Self::Dnat,
            "MASQUERADE" => Self::Masquerade,
            "REDIRECT" => Self::Redirect,
            "NETMAP" => Self::Netmap,
            "MARK" => Self::Mark,
            "CONNMARK" => Self::Connmark,
            "CT" => Self::Ct,
            "NOTRACK" => Self::Notrack,
            _ => match effects::Name::find(family, name) {
                Some(name) => Self::Extension(name),
                None => return Err(without::no_target(family, name)),
            },
        })
    }

    pub(in crate::rules) fn options(self) -> &'static [OptionSpec] {
        match self {
            Self::Reject => const { &[value(&["--reject-with"])] },
            Self::Log => LOG,
            Self::Snat => SNAT,
            Self::Dnat => DNAT,
            Self::Masquerade => MASQUERADE,
            Self::Redirect => const { &[value(&["--to-ports", "--to-port"]), flag(&["--random"])] },
            Self::Netmap => const { &[value(&["--to"])] },
            Self::Mark => &MARKING[..5],
            Self::Connmark => MARKING,
            Self::Ct => CT,
            Self::Notrack => &[],
            Self::Extension(name) => name.options(),
        }
    }
}

const LOG: &[OptionSpec] = &[
    value(&["--log-level"]),
    value(&["--log-prefix"]),
    flag(&["--log-tcp-sequence"]),
    flag(&["--log-tcp-options"]),
    flag(&["--log-ip-options"]),
    flag(&["--log-uid"]),
    flag(&["--log-macdecode"]),
];

const SNAT: &[OptionSpec] = &[
    value(&["--to-source", "--to"]),
    flag(&["--random"]),
    flag(&["--random-fully"]),
    flag(&["--persistent"]),
];

const DNAT: &[OptionSpec] =
    &[value(&["--to-destination", "--to"]), flag(&["--random"]), flag(&["--persistent"])];

const MASQUERADE: &[OptionSpec] =
    &[value(&["--to-ports", "--to-port"]), flag(&["--random"]), flag(&["--random-fully"])];

/// CONNMARK's options, which begin with the five that MARK has.
const MARKING: &[OptionSpec] = &[
    value(&["--set-xmark"]),
    value(&["--set-mark"]),
    value(&["--and-mark"]),
    value(&["--or-mark"]),
    value(&["--xor-mark"]),
    flag(&["--save-mark"]),
    flag(&["--restore-mark"]),
    value(&["--mask"]),
    value(&["--nfmask"]),
    value(&["--ctmask"]),
    value(&["--left-shift-mark"]),
    value(&["--right-shift-mark"]),
];

const CT: &[OptionSpec] = &[
    flag(&["--notrack"]),
    value(&["--helper"]),
    value(&["--timeout"]),
    value(&["--ctevents"]),
    value(&["--expevents"]),
    value(&["--zone"]),
    value(&["--zone-orig"]),
    value(&["--zone-reply"]),
];
