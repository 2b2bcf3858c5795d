//! How long a flow has been idle, told by the rest of its life.
//!
//! Each packet gives a flow the whole timeout of its state, and from then on the rest falls by a second a second. So
//! what is missing from the whole is the time since the last packet, if the whole is known. It isn't where a policy, a
//! program or a flow table gave another timeout, and it is one of two where TCP has unacknowledged data or sees
//! retransmissions; so what is told are bounds. A setting that was raised since a flow's last packet makes it look
//! longer idle than it is; one that was lowered makes its rest larger than the whole, which is seen, and told as unknown.

use std::collections::BTreeMap;

use tidegate_wire::proto;

use crate::client::{ClientError, Flow, Place, Policies, Settings, names};
use crate::filter::Between;
use crate::message as say;

/// The timeouts that a table gives, by the names of their settings behind `net.netfilter.nf_conntrack_`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timers {
    seconds: BTreeMap<String, u64>,
    /// The longer of the two that TCP may have instead of its state's.
    longest_short: u64,
    /// Whose flows may have other timeouts.
    policies: Policies,
}

/// How long a flow has been idle, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idle {
    /// So long at least.
    pub(crate) least: u64,
    /// So long at most; `None` if nobody knows.
    pub(crate) most: Option<u64>,
}

impl Idle {
    /// Whether it lies in a range, whatever it is between its bounds.
    pub(crate) fn is_within(self, range: Between) -> bool {
        range.holds(self.least) && range.holds(self.most.unwrap_or(u64::MAX))
    }
}

impl Timers {
    /// Those of a table. It is said if nobody knows whether it has timeout policies.
    ///
    /// # Errors
    /// It gives no answer.
    pub(crate) fn at(place: &Place) -> Result<Self, ClientError> {
        let timers = Self::of(&Settings::of(place)?.all()?);
        let policies = Policies::of(place)?;
        if policies.is_none() {
            say::note(format_args!("{UNTOLD}"));
        }
        Ok(timers.under(policies.unwrap_or_default()))
    }

    /// The same where a table has these timeout policies.
    pub(crate) fn under(self, policies: Policies) -> Self {
        Self { policies, ..self }
    }

    /// Those among a table's settings, if it has no timeout policies.
    pub(crate) fn of(settings: &[(String, String)]) -> Self {
        let timer = |(name, value): &(String, String)| {
            let name = name.strip_prefix(PREFIX).filter(|name| name.contains("timeout"))?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        let seconds = settings.iter().filter_map(timer).collect();
        Self { seconds, ..Self::default() }.settled()
    }

    fn settled(mut self) -> Self {
        let shorts = [RETRANSMITTING, UNACKNOWLEDGED].map(|name| self.value(name).unwrap_or(0));
        self.longest_short = shorts.into_iter().fold(0, u64::max);
        self
    }

    /// The value of a setting such as `tcp_timeout_established`.
    pub(crate) fn value(&self, name: &str) -> Option<u64> {
        self.seconds.get(name).copied()
    }

    /// Gives a setting another value.
    pub(crate) fn set(&mut self, name: &str, seconds: u64) {
        self.seconds.insert(name.to_owned(), seconds);
        *self = std::mem::take(self).settled();
    }

    /// The whole timeout that a packet gives a flow in its state.
    pub(crate) fn whole(&self, flow: &Flow<'_>) -> Option<u64> {
        let whole = self.value(setting_of(flow)?)?;
        let is_picked_up = flow.state() == Some("ESTABLISHED") && !flow.has(names::bit::ASSURED);
        let short = if is_picked_up { self.value(UNACKNOWLEDGED) } else { None };
        Some(short.map_or(whole, |short| whole.min(short)))
    }

    /// How long a flow has been idle at `now`, in nanoseconds since 1970.
    pub(crate) fn idle(&self, flow: &Flow<'_>, now: u64) -> Idle {
        let age = flow.age(now);
        let unknown = Idle { least: 0, most: age };
        let (Some(rest), Some(whole)) = (flow.timeout.map(u64::from), self.whole(flow)) else {
            return unknown;
        };
        // A policy's timeout takes the place of the setting's, and a flow doesn't tell whether it has one.
        if self.policies.may_apply(flow.proto()) {
            return unknown;
        }
        let is_ours = [FIXED_TIMEOUT, names::bit::OFFLOAD, names::bit::HW_OFFLOAD];
        if is_ours.iter().any(|bit| flow.has(*bit)) {
            return unknown;
        }
        let of = |whole: u64| whole.checked_sub(rest);
        let Some(most) = of(whole) else { return unknown };
        let short = |name| self.value(name).map(|short| short.min(whole)).and_then(of);
        let shorts = [RETRANSMITTING, UNACKNOWLEDGED].into_iter();
        // Of others, and where the rest is longer than any of them, there is one timer only.
        let may_be_short = flow.proto() == proto::TCP && rest <= self.longest_short;
        let least = shorts.filter(|_| may_be_short).filter_map(short).fold(most, u64::min);
        let within_age = |seconds: u64| age.map_or(seconds, |age| seconds.min(age));
        Idle { least: within_age(least), most: Some(within_age(most)) }
    }
}

/// The setting that gives a flow its timeout, in its state.
pub(crate) fn setting_of(flow: &Flow<'_>) -> Option<&'static str> {
    let is_assured = flow.has(names::bit::ASSURED);
    Some(match (flow.proto(), flow.state()) {
        (proto::TCP, Some(state)) => of_tcp(state)?,
        (proto::SCTP, Some(state)) => of_sctp(state)?,
        (proto::TCP | proto::SCTP, None) => return None,
        (proto::UDP | proto::UDPLITE, _) if is_assured => "udp_timeout_stream",
        (proto::UDP | proto::UDPLITE, _) => "udp_timeout",
        (proto::GRE, _) if is_assured => "gre_timeout_stream",
        (proto::GRE, _) => "gre_timeout",
        (proto::ICMP, _) => "icmp_timeout",
        (proto::ICMPV6, _) => "icmpv6_timeout",
        _ => "generic_timeout",
    })
}

fn of_tcp(state: &str) -> Option<&'static str> {
    Some(match state {
        // The second has no setting of its own, and the same default.
        "SYN_SENT" | "SYN_SENT2" => "tcp_timeout_syn_sent",
        "SYN_RECV" => "tcp_timeout_syn_recv",
        "ESTABLISHED" => "tcp_timeout_established",
        "FIN_WAIT" => "tcp_timeout_fin_wait",
        "CLOSE_WAIT" => "tcp_timeout_close_wait",
        "LAST_ACK" => "tcp_timeout_last_ack",
        "TIME_WAIT" => "tcp_timeout_time_wait",
        "CLOSE" => "tcp_timeout_close",
        _ => return None,
    })
}

fn of_sctp(state: &str) -> Option<&'static str> {
    Some(match state {
        "CLOSED" => "sctp_timeout_closed",
        "COOKIE_WAIT" => "sctp_timeout_cookie_wait",
        "COOKIE_ECHOED" => "sctp_timeout_cookie_echoed",
        "ESTABLISHED" => "sctp_timeout_established",
        "SHUTDOWN_SENT" => "sctp_timeout_shutdown_sent",
        "SHUTDOWN_RECD" => "sctp_timeout_shutdown_recd",
        "SHUTDOWN_ACK_SENT" => "sctp_timeout_shutdown_ack_sent",
        "HEARTBEAT_SENT" => "sctp_timeout_heartbeat_sent",
        _ => return None,
    })
}

/// What is to be said of a table in a file.
pub(crate) const UNTOLD: &str =
    "a file doesn't tell of timeout policies: idle times hold if the table had none";
/// What settings of connection tracking begin with.
pub(crate) const PREFIX: &str = "net.netfilter.nf_conntrack_";
const UNACKNOWLEDGED: &str = "tcp_timeout_unacknowledged";
const RETRANSMITTING: &str = "tcp_timeout_max_retrans";
/// `IPS_FIXED_TIMEOUT`.
const FIXED_TIMEOUT: u32 = 1 << 10;

#[cfg(test)]
mod tests {
    use tidegate_wire::netlink::Tuple;
    use tidegate_wire::netlink::conntrack::{ProtoInfo, TcpInfo, Timestamp};

    use super::*;

    const ASSURED: u32 = names::bit::ASSURED | names::bit::SEEN_REPLY;

    fn flow(protocol: u8, state: Option<u8>, status: u32, rest: u32) -> Flow<'static> {
        let tuple = Tuple { proto: Some(protocol), ..Tuple::default() };
        let tcp = state.map(|state| TcpInfo { state: Some(state), ..TcpInfo::default() });
        Flow {
            tuples: [tuple.clone(), tuple],
            info: ProtoInfo { tcp, ..ProtoInfo::default() },
            status: Some(status),
            timeout: Some(rest),
            ..Flow::default()
        }
    }

    fn timers() -> Timers {
        let settings = [
            ("tcp_timeout_established", "432000"),
            ("tcp_timeout_unacknowledged", "300"),
            ("tcp_timeout_max_retrans", "300"),
            ("tcp_timeout_time_wait", "120"),
            ("udp_timeout", "30"),
            ("udp_timeout_stream", "120"),
        ];
        let named = |(name, value): (&str, &str)| (format!("{PREFIX}{name}"), value.to_owned());
        Timers::of(&settings.map(named))
    }

    /// Each row: what it shows, the flow, how long it has been idle at least and at most.
    #[test]
    fn what_is_missing_from_the_timeout_is_the_idle_time() {
        let rows = [
            ("a fresh connection", flow(6, Some(3), ASSURED, 431_999), 1, Some(1)),
            ("one of three hours", flow(6, Some(3), ASSURED, 421_200), 10_800, Some(10_800)),
            (
                "with data under way, or all but timed out",
                flow(6, Some(3), ASSURED, 250),
                50,
                Some(431_750),
            ),
            ("picked up, no answer yet", flow(6, Some(3), 0, 250), 50, Some(50)),
            ("the rest is more than the whole", flow(6, Some(7), ASSURED, 500), 0, None),
            ("a timeout that was fixed", flow(6, Some(7), ASSURED | FIXED_TIMEOUT, 20), 0, None),
            ("a flow table has it", flow(17, None, ASSURED | 1 << 14, 20), 0, None),
            ("UDP without an answer", flow(17, None, 0, 20), 10, Some(10)),
            ("a stream of UDP", flow(17, None, ASSURED, 20), 100, Some(100)),
        ];
        for (what, flow, least, most) in rows {
            assert_eq!(timers().idle(&flow, 0), Idle { least, most }, "{what}");
        }
    }

    /// Fresh flows under a policy that gives less than the settings look long idle.
    #[test]
    fn where_a_policy_may_apply_nothing_is_known() {
        let tcp = Timers { policies: Policies::from_iter([proto::TCP]), ..timers() };
        let unknown = Idle { least: 0, most: None };
        assert_eq!(tcp.idle(&flow(6, Some(3), ASSURED, 3600), 0), unknown);
        let other = Idle { least: 10, most: Some(10) };
        assert_eq!(tcp.idle(&flow(17, None, 0, 20), 0), other, "of another protocol");
    }

    #[test]
    fn no_flow_is_idle_longer_than_it_lives() {
        let mut flow = flow(6, Some(3), ASSURED, 250);
        flow.times = Some(Timestamp { start: Some(1_000_000_000), ..Timestamp::default() });
        let now = 101_000_000_000;
        assert_eq!(timers().idle(&flow, now), Idle { least: 50, most: Some(100) });
    }
}
