//! Timeout policies that rules give to flows, as `nfct` takes them.

use super::matches::Proto;
use crate::campaign::dice::Dice;

/// All policies that a rule can name. Nothing expires while an experiment lasts.
pub(super) fn policies(dice: &mut Dice) -> Vec<String> {
    let mut lines = Vec::new();
    for (family, tail) in [("inet", "4"), ("inet6", "6")] {
        for (name, protocol, states) in POLICIES {
            let mut line = format!("add timeout {name}{tail} {family} {protocol}");
            for state in states {
                // What nobody tells lasts three seconds with SCTP.
                if protocol == "tcp" && *state != states[0] && dice.chance(40) {
                    continue;
                }
                line += &format!(" {state} {}", dice.between(20..=9000));
            }
            lines.push(line);
        }
    }
    lines
}

/// The name of a policy for flows of a protocol, of four letters: iptables-save prints no more.
pub(super) fn name(is_v6: bool, proto: Proto) -> Option<String> {
    let name = match proto {
        Proto::Tcp => "tcp",
        Proto::Udp => "udp",
        Proto::Sctp => "sct",
        Proto::Gre => "gre",
        Proto::Icmp | Proto::UdpLite | Proto::Esp | Proto::Ah => return None,
    };
    Some(format!("{name}{}", if is_v6 { "6" } else { "4" }))
}

const POLICIES: [(&str, &str, &[&str]); 4] = [
    (
        "tcp",
        "tcp",
        &[
            "established",
            "syn_sent",
            "syn_recv",
            "fin_wait",
            "close_wait",
            "last_ack",
            "time_wait",
            "close",
            "retrans",
            "unacknowledged",
        ],
    ),
    ("udp", "udp", &["unreplied", "replied"]),
    ("gre", "gre", &["unreplied", "replied"]),
    (
        "sct",
        "sctp",
        &[
            "established",
            "closed",
            "cookie_wait",
            "cookie_echoed",
            "shutdown_sent",
            "shutdown_recd",
            "shutdown_ack_sent",
        ],
    ),
];
