//! The words for numbers: those of conntrack(8) where it has one.

use tidegate_gateway::text::l4_name;
use tidegate_wire::proto;

/// The name of an upper-layer protocol; `unknown` for most.
pub(crate) fn protocol(number: u8) -> &'static str {
    match number {
        proto::DCCP => "dccp",
        _ => l4_name(number),
    }
}

/// A protocol's number, from its name or itself.
pub(crate) fn protocol_number(word: &str) -> Option<u8> {
    let named = |(number, name): &(u8, &str)| (*name == word).then_some(*number);
    word.parse().ok().or_else(|| PROTOCOLS.iter().find_map(named))
}

/// The name of an address family.
pub(crate) fn family(number: u8) -> &'static str {
    match number {
        2 => "ipv4",
        10 => "ipv6",
        _ => "unknown",
    }
}

/// The name of a TCP state (`enum tcp_conntrack`).
pub(crate) fn tcp_state(number: u8) -> Option<&'static str> {
    TCP_STATES.get(usize::from(number)).copied()
}

/// The number of a TCP state.
pub(crate) fn tcp_state_number(name: &str) -> Option<u8> {
    position(&TCP_STATES, name)
}

/// The name of an SCTP state (`enum sctp_conntrack`).
pub(crate) fn sctp_state(number: u8) -> Option<&'static str> {
    SCTP_STATES.get(usize::from(number)).copied()
}

/// The number of an SCTP state.
pub(crate) fn sctp_state_number(name: &str) -> Option<u8> {
    position(&SCTP_STATES, name)
}

/// The names of the status bits that are set.
pub(crate) fn status(bits: u32) -> impl Iterator<Item = &'static str> {
    STATUS.iter().filter(move |(bit, _)| bits & bit != 0).map(|(_, name)| *name)
}

/// The bit of a status.
pub(crate) fn status_bit(name: &str) -> Option<u32> {
    STATUS.iter().find(|(_, known)| *known == name).map(|(bit, _)| *bit)
}

/// All states of trackers, those of TCP first.
pub(crate) fn states() -> impl Iterator<Item = &'static str> {
    let sctp = SCTP_STATES.into_iter().filter(|name| !TCP_STATES.contains(name));
    TCP_STATES.into_iter().chain(sctp)
}

fn position(names: &[&str], name: &str) -> Option<u8> {
    names.iter().position(|known| *known == name).map(|index| index as u8)
}

/// Status bits (`enum ip_conntrack_status`).
pub(crate) mod bit {
    /// The flow was expected.
    pub(crate) const EXPECTED: u32 = 1;
    /// An answer was seen.
    pub(crate) const SEEN_REPLY: u32 = 1 << 1;
    /// It is not evicted early.
    pub(crate) const ASSURED: u32 = 1 << 2;
    /// It is in the table.
    pub(crate) const CONFIRMED: u32 = 1 << 3;
    /// Its source is translated.
    pub(crate) const SRC_NAT: u32 = 1 << 4;
    /// Its destination is translated.
    pub(crate) const DST_NAT: u32 = 1 << 5;
    /// A flow table carries it.
    pub(crate) const OFFLOAD: u32 = 1 << 14;
    /// A network card carries it.
    pub(crate) const HW_OFFLOAD: u32 = 1 << 15;
}

const STATUS: [(u32, &str); 16] = [
    (bit::EXPECTED, "EXPECTED"),
    (bit::SEEN_REPLY, "SEEN_REPLY"),
    (bit::ASSURED, "ASSURED"),
    (bit::CONFIRMED, "CONFIRMED"),
    (bit::SRC_NAT, "SRC_NAT"),
    (bit::DST_NAT, "DST_NAT"),
    (1 << 6, "SEQ_ADJUST"),
    (1 << 7, "SRC_NAT_DONE"),
    (1 << 8, "DST_NAT_DONE"),
    (1 << 9, "DYING"),
    (1 << 10, "FIXED_TIMEOUT"),
    (1 << 11, "TEMPLATE"),
    (1 << 12, "NAT_CLASH"),
    (1 << 13, "HELPER"),
    (bit::OFFLOAD, "OFFLOAD"),
    (bit::HW_OFFLOAD, "HW_OFFLOAD"),
];

const TCP_STATES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

const SCTP_STATES: [&str; 10] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
    "HEARTBEAT_ACKED",
];

const PROTOCOLS: [(u8, &str); 14] = [
    (proto::ICMP, "icmp"),
    (proto::IGMP, "igmp"),
    (proto::IPIP, "ipip"),
    (proto::TCP, "tcp"),
    (proto::UDP, "udp"),
    (proto::DCCP, "dccp"),
    (proto::GRE, "gre"),
    (proto::ESP, "esp"),
    (proto::AH, "ah"),
    (proto::ICMPV6, "icmpv6"),
    (proto::ICMPV6, "ipv6-icmp"),
    (proto::SCTP, "sctp"),
    (proto::UDPLITE, "udplite"),
    (89, "ospf"),
];
