//! What a ruleset says, as values: tables of chains of rules.
//!
//! Only meaning is kept, not spelling: an option that was given its default, a pattern that matches everything or a
//! host written as a /32 look the same as what they mean, so printing and reading again changes nothing. The one trace
//! of the text is [`Rule::line`].
//!
//! Plain data: no packet, no evaluation, no text format.

mod matches;
mod targets;

pub use super::conditions::MatchExtension;
pub use super::effects::TargetExtension;
pub use matches::{
    AddressRange, AddressTypes, AddrtypeMatch, ConntrackMatch, CtAddresses, CtDirection, CtPorts,
    CtStates, CtStatus, IcmpPattern, IprangeMatch, LimitIface, LimitMatch, MarkPattern, Match,
    Multiport, PortRange, PortSide, SecondsRange, TcpFlagTest, TcpFlags, TcpMatch, UdpMatch,
};
pub use targets::{
    ConnmarkOperation, ConnmarkTarget, CtEvents, CtTarget, CtZone, DnatTarget, ExpectEvents,
    IcmpReject, Icmpv6Reject, LogOptions, LogTarget, MarkTarget, MasqueradeTarget, NatFlags,
    RedirectTarget, RejectWith, Shift, SnatTarget, Target, ZoneId,
};

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::Family;

/// The tables of one address family, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// The family whose packets the rules see; every address in them is of it.
    pub family: Family,
    /// At most one of each kind.
    pub tables: Vec<Table>,
}

impl Ruleset {
    /// All rules, in the order of the text.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules)
    }

    /// The timeout policies that rules name, each with the line and the rule's protocol.
    pub fn timeout_policies(&self) -> impl Iterator<Item = (u32, &str, Protocol)> {
        self.rules().filter_map(|rule| match &rule.target {
            Target::Ct(ct) => Some((rule.line, ct.timeout.as_deref()?, rule.spec.protocol?.value)),
            _ => None,
        })
    }

    /// The sets that rules name, each with the line.
    pub fn sets(&self) -> Vec<(u32, &str)> {
        self.tables.iter().flat_map(Table::sets).collect()
    }
}

/// One table. A table that isn't in the ruleset has no hooks at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which one.
    pub kind: TableKind,
    /// Built-in chains in the order of [`TableKind::hooks`], then user chains by name.
    pub chains: Vec<Chain>,
}

impl Table {
    /// The sets that its rules name, each with the line.
    pub fn sets(&self) -> Vec<(u32, &str)> {
        let mut named = Vec::new();
        for rule in self.chains.iter().flat_map(|chain| &chain.rules) {
            let matches = rule.matches.iter().filter_map(|one| match one {
                Match::Extension(one) => one.set_name(),
                _ => None,
            });
            named.extend(matches.map(|name| (rule.line, name)));
            if let Target::Extension(target) = &rule.target {
                named.extend(target.set_names().into_iter().map(|name| (rule.line, name)));
            }
        }
        named
    }

    /// Whether a rule asks how much flows have carried (`-m connbytes`), and so wants them counted.
    pub fn counts_flows(&self) -> bool {
        let rules = self.chains.iter().flat_map(|chain| &chain.rules);
        let mut matches = rules.flat_map(|rule| &rule.matches);
        matches.any(|one| matches!(one, Match::Extension(one) if one.name() == "connbytes"))
    }

    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }
}

/// The five tables, in the order in which a hook calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    /// Before connection tracking.
    Raw,
    /// Alterations, after tracking.
    Mangle,
    /// Translation: sees the first packet of a flow only.
    Nat,
    /// Filtering.
    Filter,
    /// Filtering by mandatory access control, after `filter`.
    Security,
}

impl TableKind {
    /// All tables.
    pub const ALL: [Self; 5] = [Self::Raw, Self::Mangle, Self::Nat, Self::Filter, Self::Security];

    /// The name in rule files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Mangle => "mangle",
            Self::Nat => "nat",
            Self::Filter => "filter",
            Self::Security => "security",
        }
    }

    /// The hooks at which the table has a built-in chain, in the kernel's order.
    pub fn hooks(self) -> &'static [Hook] {
        match self {
            Self::Raw => &[Hook::Prerouting, Hook::Output],
            Self::Mangle => &Hook::ALL,
            Self::Nat => &[Hook::Prerouting, Hook::Input, Hook::Output, Hook::Postrouting],
            Self::Filter | Self::Security => &[Hook::Input, Hook::Forward, Hook::Output],
        }
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where in a packet's path a built-in chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// On arrival, before routing.
    Prerouting,
    /// To the local stack.
    Input,
    /// Through the router.
    Forward,
    /// From the local stack.
    Output,
    /// On departure, after routing.
    Postrouting,
}

impl Hook {
    /// All hooks in the kernel's order.
    pub const ALL: [Self; 5] =
        [Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting];

    /// The name of its built-in chains.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A chain, built-in or the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Unique in its table, at most 28 bytes.
    pub name: String,
    /// What happens at the end of a built-in chain; `None` for a user chain, which returns.
    pub policy: Option<Policy>,
    /// Packets that met the policy; zero for user chains.
    pub counters: Counters,
    /// In order of evaluation.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// The hook that calls it, if it is built-in.
    pub fn hook(&self) -> Option<Hook> {
        self.policy?;
        Hook::ALL.into_iter().find(|hook| hook.name() == self.name)
    }
}

/// The verdict at the end of a built-in chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The packet goes on.
    Accept,
    /// The packet ends here.
    Drop,
}

/// How often a rule or policy was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes of these packets, from the network header on.
    pub bytes: u64,
}

/// One rule: if `spec` and all `matches` hold, count the packet and do what `target` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Line of the text it came from, from 1.
    pub line: u32,
    /// Counters to start with.
    pub counters: Counters,
    /// The conditions that every rule can have.
    pub spec: Spec,
    /// Further conditions, evaluated in this order after `spec` and only as long as they hold.
    pub matches: Vec<Match>,
    /// What to do.
    pub target: Target,
}

/// The conditions on addresses, interfaces, protocol and fragments; the default matches every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// `-s`. A network that holds every address is kept only if negated.
    pub source: Option<Term<Network>>,
    /// `-d`, likewise.
    pub destination: Option<Term<Network>>,
    /// `-i`, likewise for `+`.
    pub in_interface: Option<Term<Interface>>,
    /// `-o`, likewise.
    pub out_interface: Option<Term<Interface>>,
    /// `-p`; never 0, which means every protocol.
    pub protocol: Option<Term<Protocol>>,
    /// `-f`, IPv4 only.
    pub fragment: Option<Fragment>,
}

/// A value to compare with, with or without `!` before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term<T> {
    /// Whether the condition holds where the value does not match.
    pub negated: bool,
    /// The value.
    pub value: T,
}

impl<T> Term<T> {
    /// The condition's outcome, given whether the value matched.
    pub fn holds(&self, matched: bool) -> bool {
        matched != self.negated
    }
}

/// Addresses that agree with `address` in the bits of `mask`. Both are of the ruleset's family.
///
/// In `-s` and `-d` the mask may have holes. There and in NETMAP the address has no bits outside the mask;
/// `-m conntrack` keeps them, without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address.
    pub address: IpAddr,
    /// The bits that count.
    pub mask: IpAddr,
}

impl Network {
    /// The length of the mask's prefix; `None` if the mask has holes.
    pub fn prefix_len(&self) -> Option<u32> {
        let (ones, zeros, width) = match self.mask {
            IpAddr::V4(mask) => {
                (mask.to_bits().leading_ones(), mask.to_bits().trailing_zeros(), 32)
            }
            IpAddr::V6(mask) => {
                (mask.to_bits().leading_ones(), mask.to_bits().trailing_zeros(), 128)
            }
        };
        (ones + zeros == width).then_some(ones)
    }

    /// Whether the network holds every address.
    pub fn is_any(&self) -> bool {
        self.mask.is_unspecified()
    }

    /// The same network, its address without bits outside the mask.
    pub fn masked(self) -> Self {
        let address = match (self.address, self.mask) {
            (IpAddr::V4(address), IpAddr::V4(mask)) => {
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask.to_bits()))
            }
            (IpAddr::V6(address), IpAddr::V6(mask)) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask.to_bits()))
            }
            (address, _) => address,
        };
        Self { address, ..self }
    }

    /// Whether the address is in the network; one of the other family never is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, self.mask, address) {
            (IpAddr::V4(base), IpAddr::V4(mask), IpAddr::V4(address)) => {
                (base.to_bits() ^ address.to_bits()) & mask.to_bits() == 0
            }
            (IpAddr::V6(base), IpAddr::V6(mask), IpAddr::V6(address)) => {
                (base.to_bits() ^ address.to_bits()) & mask.to_bits() == 0
            }
            _ => false,
        }
    }
}

/// An interface by name, or all whose names begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// At most 15 bytes; may be empty with `wildcard`.
    pub name: String,
    /// Whether the text ended in `+`: `name` is a prefix.
    pub wildcard: bool,
}

impl Interface {
    /// Whether the pattern is `+`, which stands for every interface, and for none at all.
    pub fn is_any(&self) -> bool {
        self.wildcard && self.name.is_empty()
    }

    /// Whether an interface's name fits; a packet without an interface at that hook has the empty name.
    pub fn matches(&self, name: &str) -> bool {
        if self.wildcard { name.starts_with(self.name.as_str()) } else { name == self.name }
    }
}

/// An IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDPLITE: Self = Self(136);
}

/// `-f`: which packets of a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// `-f`: second and later fragments.
    Later,
    /// `! -f`: first fragments and whole datagrams.
    FirstOrWhole,
}
