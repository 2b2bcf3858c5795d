//! Helpers: what reads a control connection's payload, announces the flows it speaks of, and rewrites
//! their addresses where the connection is translated.
//!
//! A helper is attached by rule only (`CT --helper`). It runs at the last hook, before the flow is
//! confirmed, so a packet that rules drop announces nothing. Each protocol is one file and one
//! function, from a `Hearing` to go on or a [`HelperFault`], for which the packet is dropped; what
//! it remembers is a variant of `Memory`. Helpers know neither hooks nor rules.
//!
//! The parsers are as strict and as lax as those of Linux 6.18 (`nf_conntrack_ftp.c` and its like).

mod amanda;
mod broadcast;
mod fault;
mod ftp;
mod h323;
mod hearing;
mod irc;
mod message;
mod pptp;
mod sane;
mod sip;
mod snmp;
mod text;
mod tftp;

use core::time::Duration;

use tidegate_wire::{Family, proto};

use crate::flow::Flow;
use crate::limits::{HelperLimits, Timeout};
use crate::tuple::Tuple;

pub use self::fault::{HelperFault, Part, Purpose};
pub(crate) use self::hearing::Hearing;
pub(crate) use self::message::Message;

/// The helpers, by the protocol that they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// RFC 959, RFC 2428.
    Ftp,
    /// RFC 1350.
    Tftp,
    /// Direct client connections, announced in private messages of RFC 2812.
    Irc,
    /// RFC 3261, with the sessions of RFC 8866.
    Sip,
    /// RFC 2637.
    Pptp,
    /// The Amanda backup service.
    Amanda,
    /// Network scanners.
    Sane,
    /// Name queries by broadcast, RFC 1002.
    NetbiosNs,
    /// Queries by broadcast, and the addresses in their answers, RFC 1157.
    Snmp,
    /// The addresses in traps, RFC 1157.
    SnmpTrap,
    /// H.225.0: registration, admission and status.
    Ras,
    /// H.225.0: call signalling.
    Q931,
    /// H.245.
    H245,
}

/// Goes on, or has the packet dropped.
pub(crate) type Outcome = Result<(), HelperFault>;

/// What a helper remembers of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Nothing.
    #[default]
    None,
    Ftp(ftp::Lines),
    Sip(sip::Dialog),
    Pptp(pptp::Call),
    Sane(sane::Request),
    H323(h323::Call),
}

/// How many expectations of a class may wait, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The class's name, where the helper has several.
    pub(crate) name: &'static str,
    pub(crate) most: usize,
    pub(crate) timeout: Duration,
}

const fn policy(name: &'static str, most: usize, seconds: u64) -> Policy {
    Policy { name, most, timeout: Duration::from_secs(seconds) }
}

const fn waiting(most: usize, timeout: Timeout) -> Policy {
    Policy { name: "", most, timeout: timeout.as_duration() }
}

const BOTH: &[Family] = &[Family::V4, Family::V6];
const ONLY_V4: &[Family] = &[Family::V4];

impl Helper {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Ftp,
        Self::Tftp,
        Self::Irc,
        Self::Sip,
        Self::Pptp,
        Self::Amanda,
        Self::Sane,
        Self::NetbiosNs,
        Self::Snmp,
        Self::SnmpTrap,
        Self::Ras,
        Self::Q931,
        Self::H245,
    ];

    /// The name that `CT --helper` wants.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Tftp => "tftp",
            Self::Irc => "irc",
            Self::Sip => "sip",
            Self::Pptp => "pptp",
            Self::Amanda => "amanda",
            Self::Sane => "sane",
            Self::NetbiosNs => "netbios-ns",
            Self::Snmp => "snmp",
            Self::SnmpTrap => "snmp_trap",
            Self::Ras => "RAS",
            Self::Q931 => "Q.931",
            Self::H245 => "H.245",
        }
    }

    /// The helper of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|helper| helper.name() == name)
    }

    /// Whether it reads this protocol in this family.
    #[must_use]
    pub fn reads(self, family: Family, proto: u8) -> bool {
        let (families, protos) = self.language();
        families.contains(&family) && protos.contains(&proto)
    }

    /// The name of a class of its expectations, where it has several.
    #[must_use]
    pub fn class_name(self, class: u8) -> &'static str {
        self.policy(class, &HelperLimits::default()).name
    }

    /// How many classes of expectations it has.
    pub(crate) fn classes(self) -> u8 {
        if self == Self::Sip { sip::IMAGE + 1 } else { 1 }
    }

    fn language(self) -> (&'static [Family], &'static [u8]) {
        match self {
            Self::Ftp | Self::Sane | Self::Q931 => (BOTH, &[proto::TCP]),
            // Linux registers H.245 for UDP by mistake.
            Self::Tftp | Self::Amanda | Self::Ras | Self::H245 => (BOTH, &[proto::UDP]),
            Self::Sip => (BOTH, &[proto::UDP, proto::TCP]),
            Self::Irc | Self::Pptp => (ONLY_V4, &[proto::TCP]),
            Self::NetbiosNs | Self::Snmp | Self::SnmpTrap => (ONLY_V4, &[proto::UDP]),
        }
    }

    /// What is allowed of a class of its expectations.
    pub(crate) fn policy(self, class: u8, limits: &HelperLimits) -> Policy {
        match (self, class) {
            (Self::Ftp | Self::Tftp | Self::Sane, _) => policy("", 1, 300),
            (Self::Irc, _) => waiting(limits.irc_offers.into(), limits.irc_timeout),
            (Self::Pptp, _) => policy("", 2, 300),
            (Self::Amanda, _) => policy("", 4, 180),
            (Self::Sip, sip::AUDIO) => policy("audio", 4, 180),
            (Self::Sip, sip::VIDEO) => policy("video", 4, 180),
            (Self::Sip, sip::IMAGE) => policy("image", 2, 180),
            (Self::Sip, _) => policy("signalling", 1, 180),
            (Self::NetbiosNs, _) => waiting(1, limits.netbios_timeout),
            (Self::Snmp, _) => waiting(1, limits.snmp_timeout),
            (Self::SnmpTrap, _) => policy("", 0, 180),
            (Self::Ras, _) => policy("", h323::RAS_MOST, h323::SECONDS),
            (Self::Q931, _) => policy("", h323::Q931_MOST, h323::SECONDS),
            (Self::H245, _) => policy("", h323::H245_MOST, h323::SECONDS),
        }
    }

    /// Reads a packet.
    pub(crate) fn hear(self, hearing: &mut Hearing<'_, '_>) -> Outcome {
        match self {
            Self::Ftp => ftp::hear(hearing),
            Self::Tftp => tftp::hear(hearing),
            Self::Irc => irc::hear(hearing),
            Self::Sip => sip::hear(hearing),
            Self::Pptp => pptp::hear(hearing),
            Self::Amanda => amanda::hear(hearing),
            Self::Sane => sane::hear(hearing),
            Self::NetbiosNs => broadcast::hear(hearing, hearing.parameters().netbios_timeout, 137),
            Self::Snmp => {
                broadcast::hear(hearing, hearing.parameters().snmp_timeout, 161)?;
                snmp::hear(hearing)
            }
            Self::SnmpTrap => snmp::hear(hearing),
            Self::Ras => h323::hear_ras(hearing),
            Self::Q931 => h323::hear_q931(hearing),
            Self::H245 => h323::hear_h245(hearing),
        }
    }
}

impl Memory {
    /// What a helper remembers at first.
    pub(crate) fn of(helper: Helper) -> Self {
        match helper {
            Helper::Ftp => Self::Ftp(ftp::Lines::default()),
            Helper::Sip => Self::Sip(sip::Dialog::default()),
            Helper::Pptp => Self::Pptp(pptp::Call::default()),
            Helper::Sane => Self::Sane(sane::Request::default()),
            Helper::Ras | Helper::Q931 | Helper::H245 => Self::H323(h323::Call::default()),
            Helper::Tftp
            | Helper::Irc
            | Helper::Amanda
            | Helper::NetbiosNs
            | Helper::Snmp
            | Helper::SnmpTrap => Self::None,
        }
    }

    /// The flows that end with the conversation.
    pub(crate) fn siblings(&self, flow: &Flow) -> [Option<Tuple>; 2] {
        match self {
            Self::Pptp(call) => call.siblings(flow).map(Some),
            Self::None | Self::Ftp(_) | Self::Sip(_) | Self::Sane(_) | Self::H323(_) => {
                [None, None]
            }
        }
    }
}
