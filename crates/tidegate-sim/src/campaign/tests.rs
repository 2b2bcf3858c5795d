//! What can be said of a campaign without a kernel: seeds fix everything, rules and settings are
//! ones that the engine takes, and packets are what they claim to be.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_engine::limits::{self, Limits};
use tidegate_engine::rules;
use tidegate_wire::{Family, dissect, proto};

use super::dice::Dice;
use super::experiment::{Experiment, Step, files};
use super::grammar;
use super::kernel::Source;
use super::traffic::Traffic;

fn experiment(seed: u64) -> (Experiment, Vec<Step>) {
    let mut dice = Dice::new(seed);
    let (experiment, packets, incidents) = grammar::experiment(seed, PACKETS, &mut dice);
    let mut traffic = Traffic::new(dice, packets, incidents, None);
    // A router that lets nothing out.
    let steps = std::iter::from_fn(|| traffic.next(Duration::ZERO, &[])).collect();
    (experiment, steps)
}

#[test]
fn a_seed_fixes_rules_settings_and_packets() {
    let bytes = |seed| {
        let (experiment, steps) = experiment(seed);
        files(&experiment, &steps, &vec![Duration::ZERO; steps.len() + 1])
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
        let (experiment, _) = experiment(seed);
        for (family, rules) in [Family::V4, Family::V6].into_iter().zip(&experiment.rules) {
            let Some(rules) = rules else { continue };
            let parsed = rules::parse(family, "rules", &rules.to_string());
            assert!(parsed.is_ok(), "seed {seed}: {:?}\n{rules}", parsed.err());
            rules_seen += rules.tables.iter().map(|table| table.rules.len()).sum::<usize>();
        }
        let settings = experiment.settings.iter().map(|(key, value)| format!("{key} = {value}\n"));
        let text: String = settings.collect();
        let report = limits::parse_file("sysctl.conf", &text, &mut Limits::default());
        assert!(report.errors.is_empty(), "seed {seed}: {text}");
    }
    assert!(rules_seen > 2000, "only {rules_seen} rules");
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
