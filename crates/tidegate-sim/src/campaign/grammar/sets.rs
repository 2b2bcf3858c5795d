//! Sets that rules name, as `ipset save` writes them.

use super::matches::hosts;
use crate::campaign::dice::Dice;
use crate::campaign::traffic::places::SERVICES;

/// All sets that a rule can name, with elements that may well be met.
pub(super) fn sets(dice: &mut Dice) -> Vec<String> {
    let mut lines = Vec::new();
    for (is_v6, family, tail) in [(false, "inet", "4"), (true, "inet6", "6")] {
        for (name, kind) in HASHES {
            let options = format!("{}{}", extras(dice), maxelem(dice));
            let head = format!("create {name}{tail} {kind} family {family} hashsize 1024");
            lines.push(format!("{head}{options}"));
            for element in elements(kind, is_v6, dice) {
                lines.push(format!("add {name}{tail} {element} -exist"));
            }
        }
    }
    lines.push(format!("create ports bitmap:port range 0-9000{}", extras(dice)));
    for _ in 0..dice.between(0..=4) {
        lines.push(format!("add ports {} -exist", dice.pick(&SERVICES)));
    }
    for tail in ["4", "6"] {
        lines.push(format!("create lists{tail} list:set size 8{}", extras(dice)));
        for (name, _) in HASHES {
            if dice.chance(40) {
                lines.push(format!("add lists{tail} {name}{tail} -exist"));
            }
        }
    }
    lines
}

/// The name of a set and which addresses and ports of a packet count.
pub(super) fn reference(is_v6: bool, dice: &mut Dice) -> (String, &'static str) {
    let tail = if is_v6 { "6" } else { "4" };
    match dice.between(0..=11) {
        0 => ("ports".to_owned(), *dice.pick(&["src", "dst"])),
        1 | 2 => (format!("lists{tail}"), *dice.pick(&["src", "dst", "src,dst"])),
        3..=7 => {
            let name = *dice.pick(&["hosts", "nets"]);
            (format!("{name}{tail}"), *dice.pick(&["src", "dst"]))
        }
        _ => {
            let name = *dice.pick(&["pairs", "netports"]);
            (format!("{name}{tail}"), *dice.pick(&["src,src", "dst,dst", "src,dst"]))
        }
    }
}

/// What an element remembers besides itself. Time-outs are never reached.
fn extras(dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(&[
        "",
        "",
        " timeout 0",
        " timeout 86400",
        " counters",
        " timeout 7200 counters",
    ])
}

/// Full sets take nothing more.
fn maxelem(dice: &mut Dice) -> &'static str {
    if dice.chance(20) { " maxelem 6" } else { " maxelem 65536" }
}

fn elements(kind: &str, is_v6: bool, dice: &mut Dice) -> Vec<String> {
    let hosts = hosts(is_v6);
    let nets: [&str; 4] = if is_v6 {
        ["fd00:1::/64", "2001:db8::/32", "2001:db8:2::/48", "fd00:1::2"]
    } else {
        ["10.0.1.0/24", "203.0.113.0/25", "198.51.100.0/24", "10.0.1.2"]
    };
    let host = |dice: &mut Dice| match dice.chance(50) {
        true => *dice.pick(&hosts.lan),
        false => *dice.pick(&hosts.wan),
    };
    let port = |dice: &mut Dice| {
        let protocol = *dice.pick(&["tcp", "udp", "tcp", "sctp"]);
        format!("{protocol}:{}", dice.pick(&SERVICES))
    };
    let element = |dice: &mut Dice| match kind {
        "hash:ip" => host(dice).to_owned(),
        "hash:net" => format!("{}{}", dice.pick(&nets), but(dice)),
        "hash:ip,port" => format!("{},{}", host(dice), port(dice)),
        _ => format!("{},{}{}", dice.pick(&nets), port(dice), but(dice)),
    };
    (0..dice.between(0..=4)).map(|_| element(dice)).collect()
}

/// Whether an element is an exception.
fn but(dice: &mut Dice) -> &'static str {
    if dice.chance(15) { " nomatch" } else { "" }
}

const HASHES: [(&str, &str); 4] = [
    ("hosts", "hash:ip"),
    ("nets", "hash:net"),
    ("pairs", "hash:ip,port"),
    ("netports", "hash:net,port"),
];
