//! Why there is any connection tracking: the rules that pulled it in, and whose they are. Listing rules never does.

use super::{Finding, Outcome, Severity};
use crate::doctor::facts::Facts;
use crate::render::figures::Count;

/// How names of chains and tables begin, and who gives such names.
const SERVICES: [(&str, &str); 13] = [
    ("DOCKER", "Docker"),
    ("KUBE-", "kube-proxy"),
    ("cali-", "Calico"),
    ("CILIUM_", "Cilium"),
    ("FLANNEL-", "flannel"),
    ("CNI-", "CNI plugins"),
    ("NETAVARK", "Podman"),
    ("LIBVIRT_", "libvirt"),
    ("firewalld", "firewalld"),
    ("ufw-", "ufw"),
    ("ufw6-", "ufw"),
    ("f2b-", "fail2ban"),
    ("ts-", "Tailscale"),
];

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let users = &facts.rules.users;
    let Some(first) = users.first() else {
        let is_there = facts.room.count > 0 && (facts.rules.has_iptables || facts.rules.has_nft);
        return Outcome::Clear(if is_there {
            "no rule needs tracking".to_owned()
        } else {
            String::new()
        });
    };
    let count = Count(users.len() as u64);
    let whose = match services(users) {
        names if names.is_empty() => String::new(),
        names => format!(", by their names of {}", names.join(", ")),
    };
    Outcome::Found(Finding {
        check: "origin",
        severity: Severity::Note,
        symptom: format!("rules that turn connection tracking on: {count}{whose}"),
        evidence: users.iter().take(3).cloned().collect(),
        culprit: Some(first.clone()),
        ..Finding::default()
    })
}

/// Who made rules, as far as names of chains and tables tell.
fn services(rules: &[String]) -> Vec<&'static str> {
    let is_of = |prefix: &str| {
        rules.iter().flat_map(|rule| rule.split(' ')).any(|word| word.starts_with(prefix))
    };
    let mut names: Vec<_> =
        SERVICES.iter().filter(|(prefix, _)| is_of(prefix)).map(|(_, name)| *name).collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_tell_whose_rules_they_are() {
        let rows: [(&[&str], &[&str]); 4] = [
            (&["iptables -t filter -A INPUT -m state --state NEW -j ACCEPT"], &[]),
            (&["iptables -t nat -A POSTROUTING -s 172.17.0.0/16 -j DOCKER-USER"], &["Docker"]),
            (
                &[
                    "nft inet firewalld filter_INPUT: ct state new",
                    "iptables -t nat -A KUBE-SERVICES",
                ],
                &["kube-proxy", "firewalld"],
            ),
            (&["iptables -A ufw-before-input", "ip6tables -A ufw6-before-input"], &["ufw"]),
        ];
        for (rules, expected) in rows {
            let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
            assert_eq!(services(&rules), expected, "{rules:?}");
        }
    }
}
