//! What can be said of a campaign without a kernel: seeds fix everything, rules and settings are
//! ones that the engine takes, and packets are what they claim to be.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_engine::ipset::Sets;
use tidegate_engine::limits::{self, Limits, Policies};
use tidegate_engine::rules;
use tidegate_engine::time::Instant;
use tidegate_wire::{Family, dissect, proto};

use super::dice::Dice;
use super::experiment::{Action, Experiment, Ruleset, Step, files};
use super::grammar;
use super::kernel::Source;
use super::traffic::Traffic;

fn experiment(seed: u64) -> (Experiment, Vec<Step>) {
    let mut dice = Dice::new(seed);
    let (experiment, outline) = grammar::experiment(seed, PACKETS, &mut dice);
    let mut traffic = Traffic::new(dice, outline);
    // A router that lets nothing out.
    let steps = std::iter::from_fn(|| traffic.next(Duration::ZERO, &[])).collect();
    (experiment, steps)
}

#[test]
fn a_seed_fixes_rules_settings_and_packets() {
    let bytes = |seed| {
        let (experiment, steps) = experiment(seed);
        files(&experiment, &steps, &vec![Duration::ZERO; steps.len() + 1], Duration::ZERO)
    };
    for seed in 0..20 {
        assert_eq!(bytes(seed), bytes(seed), "seed {seed}");
        assert_ne!(bytes(seed)["packets.pcap"], bytes(seed + 1)["packets.pcap"], "seed {seed}");
    }
}

#[test]
fn the_engine_takes_all_rules_and_settings() {
    let mut rules_seen = 0;
    for seed in 0..400 {
        let (experiment, steps) = experiment(seed);
        let mut sets = Sets::default();
        let restored = sets.restore(Instant::ZERO, "sets", &experiment.sets.join("\n"));
        assert!(restored.is_ok(), "seed {seed}: {restored:?}");
        let mut policies = Policies::default();
        let text = experiment.policies.join("\n");
        let added = policies.add(&Limits::default(), "policies", &text);
        assert!(added.is_ok(), "seed {seed}: {added:?}");
        for (family, rules) in all_rules(&experiment, &steps) {
            let parsed = rules::parse(family, "rules", &rules.to_string());
            let parsed = parsed.unwrap_or_else(|error| panic!("seed {seed}: {error:?}\n{rules}"));
            assert!(parsed.sets().iter().all(|(_, name)| sets.has(name)), "seed {seed}");
            for (_, name, proto) in parsed.timeout_policies() {
                let id = policies.find(name).unwrap_or_else(|| panic!("seed {seed}: {name}"));
                assert!(policies.fits(id, family, proto.0), "seed {seed}: {name}");
            }
            rules_seen += rules.tables.iter().map(|table| table.rules.len()).sum::<usize>();
        }
        let settings = experiment.settings.iter().map(|(key, value)| format!("{key} = {value}\n"));
        let text: String = settings.collect();
        let report = limits::parse_file("sysctl.conf", &text, &mut Limits::default());
        assert!(report.errors.is_empty(), "seed {seed}: {text}");
    }
    assert!(rules_seen > 2000, "only {rules_seen} rules");
}

/// The rules from the beginning, and those that an operator loads later.
fn all_rules<'a>(
    experiment: &'a Experiment,
    steps: &'a [Step],
) -> impl Iterator<Item = (Family, &'a Ruleset)> {
    let first = [Family::V4, Family::V6].into_iter().zip(&experiment.rules);
    let later = steps.iter().flat_map(|step| &step.actions).filter_map(|action| match action {
        Action::Rules { family: 4, rules } => Some((Family::V4, rules)),
        Action::Rules { rules, .. } => Some((Family::V6, rules)),
        _ => None,
    });
    first.filter_map(|(family, rules)| Some((family, rules.as_ref()?))).chain(later)
}

#[test]
fn every_match_and_target_is_drawn_some_time() {
    let mut missing: BTreeSet<&str> = MATCHES.iter().chain(&TARGETS).copied().collect();
    for seed in 0..3000 {
        let (experiment, steps) = experiment(seed);
        for (_, rules) in all_rules(&experiment, &steps) {
            let text = rules.to_string();
            missing.retain(|word| !text.contains(&format!(" {word}")));
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("never drawn: {missing:?}");
}

#[test]
fn control_channels_announce_conversations() {
    let mut missing =
        BTreeSet::from(["PORT ", "EPRT ", "227 ", "229 ", "DCC ", "m=audio ", "CONNECT DATA"]);
    let has = |bytes: &[u8], word: &str| bytes.windows(word.len()).any(|w| w == word.as_bytes());
    for seed in 0..60 {
        let (_, steps) = experiment(seed);
        for step in steps {
            missing.retain(|word| !has(&step.datagram, word));
        }
    }
    assert!(missing.is_empty(), "never said: {missing:?}");
}

#[test]
fn traffic_is_of_all_protocols_families_and_conditions() {
    let (mut protocols, mut malformed, mut fragments, mut total) = (BTreeSet::new(), 0, 0, 0);
    let mut families = [0, 0];
    for seed in 0..40 {
        let (_, steps) = experiment(seed);
        assert!([PACKETS, PACKETS / 3].contains(&steps.len()), "seed {seed}");
        for step in steps {
            total += 1;
            families[usize::from(step.datagram[0] >> 4 == 6)] += 1;
            match dissect(&step.datagram) {
                Ok(headers) => {
                    fragments += usize::from(headers.fragment.is_some());
                    protocols.insert(headers.proto);
                }
                Err(_) => malformed += 1,
            }
        }
    }
    let wanted = [
        proto::TCP,
        proto::UDP,
        proto::UDPLITE,
        proto::ICMP,
        proto::ICMPV6,
        proto::SCTP,
        proto::GRE,
        proto::DCCP,
        proto::ESP,
    ];
    for protocol in wanted {
        assert!(protocols.contains(&protocol), "no packet of protocol {protocol}");
    }
    assert!(malformed * 1000 > total, "{malformed} malformed of {total}");
    assert!(fragments * 100 > total, "{fragments} fragments of {total}");
    assert!(families.iter().all(|count| count * 5 > total), "{families:?}");
}

#[test]
fn what_is_not_damaged_has_right_checksums() {
    let is_right = |step: &Step| {
        let Ok(headers) = dissect(&step.datagram) else { return false };
        let payload = headers.payload(&step.datagram);
        let sum = tidegate_wire::checksum::transport;
        headers.proto == proto::TCP && sum(headers.src, headers.dst, proto::TCP, payload) == 0
    };
    let is_tcp = |step: &&Step| {
        dissect(&step.datagram).is_ok_and(|h| h.proto == proto::TCP && h.fragment.is_none())
    };
    let (_, steps) = experiment(1);
    let tcp: Vec<&Step> = steps.iter().filter(is_tcp).collect();
    let right = tcp.iter().filter(|step| is_right(step)).count();
    assert!(tcp.len() > 20 && right * 100 > tcp.len() * 85, "{right} of {}", tcp.len());
    assert!(right < tcp.len(), "nothing is ever damaged");
}

const PACKETS: usize = 120;

const MATCHES: [&str; 47] = [
    "-m ah",
    "-m connbytes",
    "-m connlabel",
    "-m connlimit",
    "-m connmark",
    "-m conntrack",
    "-m dscp",
    "-m dst",
    "-m ecn",
    "-m esp",
    "-m frag",
    "-m hashlimit",
    "-m hbh",
    "-m helper",
    "-m hl",
    "-m icmp6",
    "-m icmp",
    "-m iprange",
    "-m ipv6header",
    "-m length",
    "-m limit",
    "-m mac",
    "-m mark",
    "-m multiport",
    "-m owner",
    "-m physdev",
    "-m pkttype",
    "-m policy",
    "-m quota",
    "-m recent",
    "-m rpfilter",
    "-m rt",
    "-m sctp",
    "-m set",
    "-m state",
    "-m statistic",
    "-m string",
    "-m tcp",
    "-m tcpmss",
    "-m time",
    "-m tos",
    "-m ttl",
    "-m u32",
    "-m udp",
    "-m addrtype",
    "-m comment",
    "-p udplite -m multiport",
];

const TARGETS: [&str; 33] = [
    "-j ACCEPT",
    "-j CHECKSUM",
    "-j CLASSIFY",
    "-j CONNMARK",
    "-j CT --ctevents",
    "-j CT --helper",
    "-j CT --notrack",
    "-j CT --timeout",
    "-j CT --zone",
    "-j DNAT",
    "-j DNPT",
    "-j DROP",
    "-j DSCP",
    "-j ECN",
    "-j HL",
    "-j HMARK",
    "-j LOG",
    "-j MARK",
    "-j MASQUERADE",
    "-j NETMAP",
    "-j NFLOG",
    "-j NFQUEUE",
    "-j NOTRACK",
    "-j REDIRECT",
    "-j REJECT",
    "-j RETURN",
    "-j SET",
    "-j SNAT",
    "-j SNPT",
    "-j TCPMSS",
    "-j TCPOPTSTRIP",
    "-j TOS",
    "-j TPROXY",
];
