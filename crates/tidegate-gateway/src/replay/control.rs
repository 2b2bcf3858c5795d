//! `control.jsonl`: what an operator does in the middle of a scenario.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use tidegate_wire::proto;

use super::fault::{Cause, Fault};

/// An action and when it is due: right before packet `before`, at that packet's
/// time; or, where that is the number of packets, after the last one.
#[derive(Clone, Debug, Deserialize)]
pub struct Control {
    /// The packet it precedes.
    pub before: u64,
    /// Seconds after the first packet; counts only after the last packet.
    pub t: Option<f64>,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
}

/// What an operator can do.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Action {
    /// Writes a setting.
    Sysctl {
        /// Its full name.
        key: String,
        /// The value, as a number or a string.
        value: serde_json::Value,
    },
    /// Deletes every flow.
    Flush,
    /// Deletes one flow by its original tuple.
    Delete(Target),
    /// Sets the mark of all flows of these original addresses.
    Mark {
        /// Upper-layer protocol, by name.
        l4: String,
        /// Original source.
        src: IpAddr,
        /// Original destination.
        dst: IpAddr,
        /// The new mark.
        mark: u32,
    },
    /// Replaces the rules of a family.
    Rules {
        /// 4 or 6.
        family: u8,
        /// A file of the scenario.
        file: String,
    },
    /// Nothing: lets time pass.
    End,
}

/// A flow named by its original tuple.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Upper-layer protocol, by name.
    pub l4: String,
    /// Original source.
    pub src: IpAddr,
    /// Original destination.
    pub dst: IpAddr,
    /// Original source port.
    #[serde(default)]
    pub sport: u16,
    /// Original destination port.
    #[serde(default)]
    pub dport: u16,
    /// Its zone.
    #[serde(default)]
    pub zone: u16,
}

impl Control {
    /// Reads `control.jsonl`, one action a line.
    pub(super) fn parse_file(file: &str, text: &str) -> Result<Vec<Self>, Fault> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let parse = |(index, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|e| Fault::at(file, index + 1, Cause::Json(e)))
        };
        lines.map(parse).collect()
    }

    /// How long after the first packet an action behind the last one is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.t.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

/// The number of a protocol that conntrack(8) knows by name.
pub(super) fn l4_number(name: &str) -> Option<u8> {
    Some(match name {
        "icmp" => proto::ICMP,
        "tcp" => proto::TCP,
        "udp" => proto::UDP,
        "gre" => proto::GRE,
        "icmpv6" => proto::ICMPV6,
        "sctp" => proto::SCTP,
        "udplite" => proto::UDPLITE,
        number => return number.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_of_the_format_is_read() {
        let text = r#"
            {"before": 3, "op": "sysctl", "key": "net.netfilter.nf_conntrack_max", "value": 5}
            {"before": 4, "op": "flush"}
            {"before": 5, "op": "delete", "l4": "tcp", "src": "10.0.1.2", "dst": "203.0.113.2", "sport": 1, "dport": 2}
            {"before": 8, "op": "mark", "l4": "udp", "src": "10.0.1.2", "dst": "203.0.113.2", "mark": 7}
            {"before": 2, "op": "rules", "family": 4, "file": "rules2.v4"}
            {"before": 9, "op": "end", "t": 12.02}
        "#;
        let controls = Control::parse_file("control.jsonl", text).unwrap();
        let befores: Vec<u64> = controls.iter().map(|control| control.before).collect();
        assert_eq!(befores, [3, 4, 5, 8, 2, 9]);
        assert!(matches!(&controls[2].action, Action::Delete(Target { sport: 1, dport: 2, .. })));
        assert_eq!(controls[5].due(), Some(Duration::from_millis(12_020)));
    }

    #[test]
    fn a_bad_action_is_named_by_its_line() {
        let text = "{\"before\": 1, \"op\": \"flush\"}\n{\"before\": 1, \"op\": \"dance\"}\n";
        let fault = Control::parse_file("x/control.jsonl", text).unwrap_err();
        assert_eq!((fault.file.as_str(), fault.line), ("x/control.jsonl", Some(2)));
    }
}
