//! Symptom: a UDP service is dead for some clients although its servers live: their flows are translated to one that is
//! gone, and as they go on speaking the entry never ends. Evidence: flows with destination NAT that were refreshed while
//! we looked and never answered. Advice: delete them; the next packet is translated anew.

use super::{Finding, Outcome, Severity};
use crate::doctor::advice::Step;
use crate::doctor::census::Backend;
use crate::doctor::facts::Facts;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let dead = |row: &&(Backend, u64)| of(facts, row.0).is_some_and(|(_, answered)| answered == 0);
    let worst = facts.refreshed.iter().filter(dead).max_by_key(|(_, count)| *count);
    let Some((backend, refreshed)) = worst else { return Outcome::Clear(String::new()) };
    let Backend { service, server } = backend;
    let (flows, _) = of(facts, *backend).unwrap_or_default();
    let others = facts.census.backends.largest(usize::MAX, |other, group| {
        other.service == *service && other.server != *server && group.tally.answered > 0
    });
    let mut evidence = vec![format!(
        "{} flows {service} > {server}: none answered, {refreshed} of those that were looked at twice refreshed",
        Count(flows),
    )];
    evidence.push("one-way services such as syslog look the same".to_owned());
    if let Some((other, _)) = others.first() {
        evidence.push(format!("{} does answer for the same service", other.server));
    }
    let mut options = format!("-p udp -u UNREPLIED -d {} -g {}", service.address, server.address);
    if let Some(port) = service.port {
        options += &format!(" --dport {port}");
    }
    Outcome::Found(Finding {
        check: "stale-dnat",
        severity: Severity::Warning,
        symptom: format!(
            "stale UDP DNAT: clients of {service} are led to {server}, which never answers"
        ),
        evidence,
        culprit: Some(format!("{service} > {server}")),
        steps: vec![Step {
            what: format!("free {}: their next packets are translated anew, 0 live", Count(flows)),
            command: Some(facts.scene.own("delete", &format!("{options} --yes"))),
            frees: Some(flows),
            ..Step::default()
        }],
        donts: vec![
            "restart the clients: the entry outlives them while anybody sends from the port"
                .to_owned(),
        ],
    })
}

/// Flows and answered ones of a backend.
fn of(facts: &Facts, backend: Backend) -> Option<(u64, u64)> {
    let found = facts.census.backends.largest(1, |known, _| *known == backend);
    found.first().map(|(_, group)| (group.tally.flows, group.tally.answered))
}
