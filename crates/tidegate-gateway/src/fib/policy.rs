//! Policy rules: which tables are asked, and in which order.

use std::net::IpAddr;

use tidegate_engine::fib::PortId;

/// The table of the host's own addresses.
pub const LOCAL: u32 = 255;
/// The ordinary table.
pub const MAIN: u32 = 254;
/// The table for what nobody else knows a way for.
pub const DEFAULT: u32 = 253;

/// What a rule asks of a packet, and what it does then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its place among the others.
    pub priority: u32,
    /// Where the packet comes from: an address and how many bits of it count.
    pub from: Option<(IpAddr, u8)>,
    /// Where it goes to.
    pub to: Option<(IpAddr, u8)>,
    /// The name of the interface that it came in by; the host's own packets come from `lo`.
    pub iif: Option<String>,
    /// The mark, and which bits of it count.
    pub mark: Option<(u32, u32)>,
    /// Asks for something that no packet here has: an outgoing interface that a socket is bound to.
    pub is_for_sockets: bool,
    /// Holds for all packets but these.
    pub is_inverted: bool,
    /// A route with a prefix as short as this, or shorter, doesn't count.
    pub suppress: Option<u8>,
    /// What it does.
    pub action: Action,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Asks a table.
    Table(u32),
    /// Goes on at the rule of this priority.
    Goto(u32),
    /// Nothing.
    Nop,
    /// Lets the packet fall.
    Blackhole,
    /// Refuses it.
    Unreachable,
    /// Forbids it.
    Prohibit,
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow<'a> {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// The name of the interface that it came in by, `lo` for the host's own.
    pub(super) iif: &'a str,
    pub(super) mark: u32,
    /// Which interface routes lead out by.
    pub(super) out: Out,
}

/// What is asked of a route's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// Nothing.
    Any,
    /// Of equals one by this interface is taken.
    Rather(PortId),
    /// Only routes by this interface count.
    Only(PortId),
}

impl Rule {
    /// A rule for all packets.
    #[must_use]
    pub fn for_all(priority: u32, action: Action) -> Self {
        Self {
            priority,
            from: None,
            to: None,
            iif: None,
            mark: None,
            is_for_sockets: false,
            is_inverted: false,
            suppress: None,
            action,
        }
    }

    pub(super) fn holds(&self, flow: &Flow<'_>) -> bool {
        let is_in = |network: Option<(IpAddr, u8)>, addr| {
            network.is_none_or(|(net, length)| is_within(addr, net, length))
        };
        let holds = !self.is_for_sockets
            && is_in(self.from, flow.src)
            && is_in(self.to, flow.dst)
            && self.iif.as_deref().is_none_or(|name| name == flow.iif)
            && self.mark.is_none_or(|(mark, mask)| (mark ^ flow.mark) & mask == 0);
        holds != self.is_inverted
    }
}

fn is_within(addr: IpAddr, net: IpAddr, length: u8) -> bool {
    let bits = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()) << 96,
        IpAddr::V6(addr) => addr.to_bits(),
    };
    addr.is_ipv4() == net.is_ipv4()
        && super::link::common_bits(bits(addr), bits(net)) >= u32::from(length)
}

/// The rules that a kernel starts with: `v6` has no table `default`.
#[must_use]
pub fn usual(v6: bool) -> Vec<Rule> {
    let mut rules = vec![
        Rule::for_all(0, Action::Table(LOCAL)),
        Rule::for_all(32_766, Action::Table(MAIN)),
        Rule::for_all(32_767, Action::Table(DEFAULT)),
    ];
    if v6 {
        rules.pop();
    }
    rules
}
