//! The less frequent targets. A new one is a row of the list of its table.

use super::matches::Proto;
use super::rules::Place;
use super::sets;
use super::targets::Target;
use crate::campaign::dice::Dice;
use crate::campaign::kernel::{NFLOG_GROUPS, log_prefix};

/// Rows for every table.
pub(super) const EVERYWHERE: [(u32, Target); 3] = [(3, log), (3, nflog), (4, set)];

/// Rows for the mangle table.
pub(super) const MANGLE: [(u32, Target); 13] = [
    (4, tos),
    (3, dscp),
    (4, hops),
    (2, ecn),
    (5, tcpmss),
    (4, strip),
    (2, classify),
    (1, checksum),
    (5, hmark),
    (3, prefix),
    (1, tproxy),
    (1, nfqueue),
    (2, tos),
];

/// What a packet must be for a target, besides what the rule asks.
pub(super) fn demand(target: &str) -> &'static str {
    match target.starts_with("TCPMSS") {
        true => "-p tcp -m tcp --tcp-flags SYN,RST SYN",
        false => "",
    }
}

fn log(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let prefix = format!("{}{} ", log_prefix(&place.experiment), place.table);
    let mut words = format!("LOG --log-prefix \"{prefix}\"");
    for option in ["tcp-sequence", "tcp-options", "ip-options", "uid", "macdecode"] {
        if dice.chance(30) {
            words += &format!(" --log-{option}");
        }
    }
    if dice.chance(30) {
        words += &format!(" --log-level {}", dice.pick(&[5, 6, 7]));
    }
    Some(words)
}

fn nflog(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let groups: Vec<u16> = NFLOG_GROUPS.collect();
    let mut words = format!("NFLOG --nflog-group {}", dice.pick(&groups));
    if dice.chance(50) {
        words += " --nflog-prefix \"a copy\"";
    }
    if dice.chance(30) {
        words += &format!(" --nflog-size {}", dice.pick(&[0, 1, 20, 64, 2000]));
    }
    Some(words)
}

fn set(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let (name, directions) = sets::reference(place.is_v6, dice);
    Some(match dice.between(0..=4) {
        0 => format!("SET --del-set {name} {directions}"),
        1 => format!("SET --add-set {name} {directions} --exist --timeout 7200"),
        2 => format!("SET --add-set {name} {directions} --exist"),
        _ => format!("SET --add-set {name} {directions}"),
    })
}

fn tos(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    Some(format!(
        "TOS {}",
        dice.pick(&[
            "--set-tos 0x10/0xff",
            "--set-tos 0x88/0x3f",
            "--and-tos 0x0f",
            "--or-tos 0x81",
            "--xor-tos 0x1c",
        ])
    ))
}

fn dscp(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let class = dice.pick(&["--set-dscp 0x2e", "--set-dscp 0", "--set-dscp-class AF11"]);
    Some(format!("DSCP {class}"))
}

fn hops(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let (target, option) = if place.is_v6 { ("HL", "hl") } else { ("TTL", "ttl") };
    let (what, number) = *dice.pick(&[
        ("set", 1),
        ("set", 64),
        ("set", 200),
        ("inc", 1),
        ("inc", 250),
        ("dec", 1),
        ("dec", 62),
    ]);
    Some(format!("{target} --{option}-{what} {number}"))
}

fn ecn(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = match dice.between(0..=3) {
        0 => "--ecn-ip-ect 2",
        1 => "--ecn-tcp-cwr 1",
        2 => "--ecn-tcp-ece 0",
        _ => "--ecn-tcp-remove",
    };
    (!place.is_v6 && proto == Some(Proto::Tcp)).then(|| format!("ECN {what}"))
}

fn tcpmss(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    if place.has_output() && dice.chance(40) {
        return Some("TCPMSS --clamp-mss-to-pmtu".to_owned());
    }
    Some(format!("TCPMSS --set-mss {}", dice.pick(&[536, 1000, 1300, 1460, 9000])))
}

fn strip(_: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let list = *dice.pick(&["wscale", "sack-permitted,sack", "timestamp", "2", "mss,wscale,5"]);
    (proto == Some(Proto::Tcp)).then(|| format!("TCPOPTSTRIP --strip-options {list}"))
}

fn classify(place: &Place, _: Option<Proto>, _: &mut Dice) -> Option<String> {
    place.has_output().then(|| "CLASSIFY --set-class 1:a".to_owned())
}

fn checksum(_: &Place, _: Option<Proto>, _: &mut Dice) -> Option<String> {
    Some("CHECKSUM --checksum-fill".to_owned())
}

/// Of ports only those that nobody draws: the entry's original ones.
fn hmark(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = match dice.between(0..=3) {
        0 => "--hmark-tuple src,dst".to_owned(),
        1 => "--hmark-tuple ct,src,dst,sport,dport".to_owned(),
        2 if place.is_v6 => "--hmark-src-prefix 64 --hmark-dst-prefix 48".to_owned(),
        2 => "--hmark-src-prefix 24 --hmark-dst-prefix 24".to_owned(),
        _ => "--hmark-tuple src,dst,proto".to_owned(),
    };
    let modulus = *dice.pick(&[3, 1000, 4_000_000_000u32]);
    let offset = if dice.chance(30) { " --hmark-offset 100" } else { "" };
    let key = dice.between(1..=0xffff);
    Some(format!("HMARK {what} --hmark-mod {modulus}{offset} --hmark-rnd {key:#x}"))
}

fn prefix(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let (from, to) = *dice.pick(&[
        ("fd00:1::/64", "2001:db8:7::/64"),
        ("2001:db8:7::/64", "fd00:1::/64"),
        ("fd00:1::/48", "2001:db8:1::/48"),
    ]);
    let target = match place.chain.as_str() {
        "POSTROUTING" | "INPUT" => "SNPT",
        "PREROUTING" | "OUTPUT" => "DNPT",
        _ => return None,
    };
    place.is_v6.then(|| format!("{target} --src-pfx {from} --dst-pfx {to}"))
}

fn tproxy(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let mark = if dice.chance(50) { " --tproxy-mark 0x1/0x1" } else { "" };
    let is_there = place.chain == "PREROUTING" && proto.is_some_and(Proto::has_ports);
    is_there.then(|| format!("TPROXY --on-port 3129{mark}"))
}

fn nfqueue(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let bypass = if dice.chance(70) { " --queue-bypass" } else { "" };
    Some(format!("NFQUEUE --queue-num {}{bypass}", dice.between(0..=3)))
}
