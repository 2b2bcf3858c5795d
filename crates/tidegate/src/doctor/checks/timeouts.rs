//! Timeouts against what the RFCs ask of a NAT: too short ones cut flows that live, and too long ones fill the table.

use super::{Finding, Outcome, Severity};
use crate::doctor::facts::Facts;
use crate::render::figures::Brief;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let rows = ADVICE.iter().filter(|_| facts.rules.translates);
    let short = rows.filter_map(|(name, least, source)| {
        let seconds = facts.timeout(name).filter(|seconds| seconds < least)?;
        Some(format!("nf_conntrack_{name}={seconds} is below the {least} s of {source}"))
    });
    let mut evidence: Vec<String> = short.collect();
    let established = facts.timeout("tcp_timeout_established").filter(|seconds| *seconds > LONG);
    if let Some(seconds) = established {
        let days = Brief(std::time::Duration::from_secs(seconds));
        evidence.push(format!("nf_conntrack_tcp_timeout_established={seconds} ({days}): RFC 5382 asks for 7440, a day is plenty"));
    }
    if evidence.is_empty() {
        return Outcome::Clear("timeouts as the RFCs ask".to_owned());
    }
    let symptom = "timeouts differ from the RFCs' advice".to_owned();
    Outcome::Found(Finding {
        check: "timeouts",
        severity: Severity::Note,
        symptom,
        evidence,
        ..Finding::default()
    })
}

/// A setting, what it must be at least where sources are translated, and who says so.
const ADVICE: [(&str, u64, &str); 6] = [
    ("tcp_timeout_established", 7440, "RFC 5382, REQ-5"),
    ("tcp_timeout_syn_recv", 240, "RFC 5382, REQ-5 (transitory)"),
    ("tcp_timeout_fin_wait", 240, "RFC 5382, REQ-5 (transitory)"),
    ("udp_timeout", 120, "RFC 4787, REQ-5"),
    ("udp_timeout_stream", 120, "RFC 4787, REQ-5"),
    ("icmp_timeout", 60, "RFC 5508, REQ-2"),
];
const LONG: u64 = 86_400;
