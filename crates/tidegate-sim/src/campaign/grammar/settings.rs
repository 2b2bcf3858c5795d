//! Settings: switches, and time-outs that are either never reached or safely passed.

use crate::campaign::dice::Dice;

/// The settings of an experiment. If it `is_slow`, it has times of silence in which things expire.
pub(super) fn settings(is_slow: bool, dice: &mut Dice) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let switches = if dice.chance(70) { dice.between(0..=3) } else { 0 };
    for _ in 0..switches {
        settings.push(change(dice));
    }
    for name in TIMEOUTS {
        if dice.chance(if is_slow { 60 } else { 8 }) {
            let seconds = *dice.pick(if is_slow { &SHORT } else { &LONG });
            settings.push((full(name), seconds.to_string()));
        }
    }
    if !is_slow {
        // Three seconds, as they are, may pass on a busy machine.
        settings.extend(BRIEF.map(|name| (full(name), "30".to_owned())));
    }
    if is_slow {
        let seconds = *dice.pick(&[1, 30]);
        settings.push(("net.ipv4.ipfrag_time".to_owned(), seconds.to_string()));
        settings.push((full("frag6_timeout"), seconds.to_string()));
    }
    settings
}

/// A switch, set at random.
pub(super) fn change(dice: &mut Dice) -> (String, String) {
    let (name, values) = *dice.pick(&SWITCHES);
    (full(name), dice.pick(values).to_string())
}

fn full(name: &str) -> String {
    format!("net.netfilter.nf_conntrack_{name}")
}

const SWITCHES: [(&str, &[u32]); 8] = [
    ("tcp_loose", &[0, 1, 1]),
    ("tcp_be_liberal", &[0, 1]),
    ("tcp_ignore_invalid_rst", &[0, 1]),
    ("tcp_max_retrans", &[0, 1, 2, 3, 200]),
    ("checksum", &[0, 1]),
    ("acct", &[0, 1, 1]),
    ("timestamp", &[0, 1]),
    ("log_invalid", &[0, 6, 255]),
];

/// Seconds that pass, or do not, within a silence, and never end near one.
const SHORT: [u32; 4] = [1, 2, 5, 20];
const LONG: [u32; 5] = [20, 45, 90, 600, 86_400];

/// Those of SCTP that last three seconds if nobody sets them.
const BRIEF: [&str; 5] = [
    "sctp_timeout_cookie_echoed",
    "sctp_timeout_cookie_wait",
    "sctp_timeout_shutdown_ack_sent",
    "sctp_timeout_shutdown_recd",
    "sctp_timeout_shutdown_sent",
];

const TIMEOUTS: [&str; 29] = [
    "generic_timeout",
    "gre_timeout",
    "gre_timeout_stream",
    "icmp_timeout",
    "icmpv6_timeout",
    "udp_timeout",
    "udp_timeout_stream",
    "sctp_timeout_closed",
    "sctp_timeout_cookie_echoed",
    "sctp_timeout_cookie_wait",
    "sctp_timeout_established",
    "sctp_timeout_heartbeat_sent",
    "sctp_timeout_shutdown_ack_sent",
    "sctp_timeout_shutdown_recd",
    "sctp_timeout_shutdown_sent",
    "tcp_timeout_close",
    "tcp_timeout_close_wait",
    "tcp_timeout_established",
    "tcp_timeout_fin_wait",
    "tcp_timeout_last_ack",
    "tcp_timeout_max_retrans",
    "tcp_timeout_syn_recv",
    "tcp_timeout_syn_sent",
    "tcp_timeout_time_wait",
    "tcp_timeout_unacknowledged",
    // Twice what most conversations are made of.
    "tcp_timeout_established",
    "tcp_timeout_syn_sent",
    "udp_timeout",
    "icmp_timeout",
];
