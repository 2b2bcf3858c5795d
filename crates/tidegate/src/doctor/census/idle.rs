//! How long flows have been idle: what is left of a flow's life tells it, as every packet sets that to its state's
//! timeout.
//!
//! The edges between the classes of a histogram are the very times that an advice can name, so that what the advice
//! would touch is counted and not estimated.

use std::collections::BTreeMap;

use tidegate_wire::proto;

use crate::client::Flow;
use crate::client::names::bit;

/// RFC 5382, REQ-5: a NAT keeps an idle TCP connection for 2 hours and 4 minutes at least.
pub(crate) const TCP_PATIENCE: u32 = 7440;
/// RFC 4787, REQ-5: a NAT keeps an idle UDP mapping for 2 minutes at least.
pub(crate) const UDP_PATIENCE: u32 = 120;

/// The times that advice may name, in seconds.
pub(crate) const EDGES: [u32; 14] = [
    10,
    30,
    60,
    UDP_PATIENCE,
    300,
    600,
    1800,
    3600,
    TCP_PATIENCE,
    14_400,
    43_200,
    86_400,
    172_800,
    345_600,
];

/// Flows by the time for which they have been idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Idle {
    counts: [u32; EDGES.len() + 1],
}

impl Idle {
    /// Counts a flow that has been idle for so many seconds.
    pub(super) fn add(&mut self, seconds: u32) {
        let class = EDGES.partition_point(|edge| seconds > *edge);
        self.counts[class] += 1;
    }

    /// How many have been idle for longer than one of the [`EDGES`].
    pub(crate) fn beyond(&self, edge: u32) -> u64 {
        let first = EDGES.partition_point(|known| *known < edge) + 1;
        self.counts.iter().skip(first).map(|count| u64::from(*count)).sum()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// A time in seconds that half of them exceed, to within the class it lies in; `None` of nothing.
    pub(crate) fn median(&self) -> Option<u32> {
        let half = self.count().div_ceil(2);
        let mut before = 0;
        for (class, count) in self.counts.iter().enumerate() {
            let count = u64::from(*count);
            if count > 0 && before + count >= half {
                let from = if class == 0 { 0 } else { u64::from(EDGES[class - 1]) };
                let to = EDGES.get(class).map_or(from * 5 / 4, |edge| u64::from(*edge));
                return Some((from + (to - from) * (half - before) / count) as u32);
            }
            before += count;
        }
        None
    }
}

/// How long a table lets flows idle, by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeouts {
    seconds: BTreeMap<String, u32>,
}

impl Timeouts {
    /// Those among a table's settings.
    pub(crate) fn of(settings: &[(String, String)]) -> Self {
        let timeout = |(name, value): &(String, String)| {
            let name = name.strip_prefix(PREFIX).filter(|name| name.contains("timeout"))?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self { seconds: settings.iter().filter_map(timeout).collect() }
    }

    /// The timeout of a name without `nf_conntrack_`, such as `tcp_timeout_established`.
    pub(crate) fn named(&self, name: &str) -> Option<u32> {
        self.seconds.get(name).copied()
    }

    /// What a packet sets a flow's life to, in the state that it is in.
    fn life(&self, flow: &Flow<'_>) -> Option<u32> {
        let assured = flow.has(bit::ASSURED);
        let name = match flow.proto() {
            proto::TCP => return self.named(tcp_name(flow.state()?)),
            proto::UDP | proto::UDPLITE if assured => "udp_timeout_stream",
            proto::UDP | proto::UDPLITE => "udp_timeout",
            proto::ICMP => "icmp_timeout",
            proto::ICMPV6 => "icmpv6_timeout",
            proto::GRE if assured => "gre_timeout_stream",
            proto::GRE => "gre_timeout",
            proto::SCTP => {
                let state = flow.state()?.to_ascii_lowercase();
                return self.named(&format!("sctp_timeout_{state}"));
            }
            _ => "generic_timeout",
        };
        self.named(name)
    }

    /// For how many seconds a flow has been idle. `None` if that can't be told: its life is longer than the setting
    /// allows (a policy, or a setting that changed), or so short that another timer runs (unacknowledged data,
    /// retransmissions, a retimed flow).
    pub(super) fn idle(&self, flow: &Flow<'_>) -> Option<u32> {
        let (life, left) = (self.life(flow)?, flow.timeout?);
        let hurried = ["tcp_timeout_unacknowledged", "tcp_timeout_max_retrans"];
        let hurried = hurried.iter().filter_map(|name| self.named(name)).max().unwrap_or(0);
        if flow.proto() == proto::TCP && life > hurried && left <= hurried {
            return None;
        }
        life.checked_sub(left)
    }
}

/// The setting that belongs to a state of TCP.
fn tcp_name(state: &str) -> &'static str {
    match state {
        "SYN_RECV" => "tcp_timeout_syn_recv",
        "ESTABLISHED" => "tcp_timeout_established",
        "FIN_WAIT" => "tcp_timeout_fin_wait",
        "CLOSE_WAIT" => "tcp_timeout_close_wait",
        "LAST_ACK" => "tcp_timeout_last_ack",
        "TIME_WAIT" => "tcp_timeout_time_wait",
        "CLOSE" => "tcp_timeout_close",
        _ => "tcp_timeout_syn_sent",
    }
}

const PREFIX: &str = "net.netfilter.nf_conntrack_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_for_longer_than_an_edge_is_counted_exactly() {
        let mut idle = Idle::default();
        [0, 10, 11, 7440, 7441, 500_000].into_iter().for_each(|seconds| idle.add(seconds));
        for (edge, expected) in [(10, 4), (TCP_PATIENCE, 2), (345_600, 1)] {
            assert_eq!(idle.beyond(edge), expected, "{edge}");
        }
        assert_eq!(idle.count(), 6);
    }

    #[test]
    fn the_median_lies_in_the_class_of_the_middle_one() {
        let mut idle = Idle::default();
        assert_eq!(idle.median(), None);
        [5, 20_000, 20_001, 20_002].into_iter().for_each(|seconds| idle.add(seconds));
        let median = idle.median().expect("there are some");
        assert!((14_400..=43_200).contains(&median), "{median}");
    }
}
