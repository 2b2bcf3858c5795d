//! What a rule does. A new target is a row in the list of its table.

use super::effects;
use super::matches::Proto;
use super::policies;
use super::rules::Place;
use crate::campaign::dice::Dice;

/// The target of a rule in `place`, and whether the rule has to name a protocol for it.
pub(super) fn target(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> String {
    let rows: &[(u32, Target)] = match place.table {
        _ if dice.chance(15) => &effects::EVERYWHERE,
        "raw" => &RAW,
        "mangle" if dice.chance(50) => &effects::MANGLE,
        "mangle" => &MANGLE,
        "nat" if place.is_source_nat() => &SOURCE_NAT,
        "nat" => &DESTINATION_NAT,
        _ => &FILTER,
    };
    loop {
        let row = dice.weigh(rows);
        if let Some(words) = row(place, proto, dice) {
            return words;
        }
    }
}

/// A row: makes the words of one target, if it may stand there.
pub(super) type Target = fn(&Place, Option<Proto>, &mut Dice) -> Option<String>;

const RAW: [(u32, Target); 8] = [
    (2, notrack),
    (6, ct_zone),
    (3, ct_events),
    (5, ct_timeout),
    (2, ct_all),
    (3, mark),
    (1, drop),
    (2, accept),
];
const MANGLE: [(u32, Target); 5] = [(6, mark), (8, connmark), (1, drop), (2, accept), (1, return_)];
const FILTER: [(u32, Target); 5] = [(6, accept), (2, drop), (4, reject), (1, return_), (2, mark)];
const SOURCE_NAT: [(u32, Target); 5] =
    [(6, masquerade), (5, snat), (2, netmap), (1, accept), (1, return_)];
const DESTINATION_NAT: [(u32, Target); 5] =
    [(7, dnat), (3, redirect), (2, netmap), (1, accept), (1, return_)];

fn accept(_: &Place, _: Option<Proto>, _: &mut Dice) -> Option<String> {
    Some("ACCEPT".to_owned())
}

fn drop(_: &Place, _: Option<Proto>, _: &mut Dice) -> Option<String> {
    Some("DROP".to_owned())
}

fn return_(_: &Place, _: Option<Proto>, _: &mut Dice) -> Option<String> {
    Some("RETURN".to_owned())
}

fn reject(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    // What the router says to itself ends here at the loopback interface that there isn't.
    if !matches!(place.chain.as_str(), "INPUT" | "FORWARD") {
        return None;
    }
    let with = match proto {
        Some(Proto::Tcp) if dice.chance(60) => "tcp-reset",
        _ if place.is_v6 => *dice.pick(&[
            "icmp6-port-unreachable",
            "icmp6-adm-prohibited",
            "icmp6-addr-unreachable",
            "icmp6-no-route",
        ]),
        _ => *dice.pick(&[
            "icmp-port-unreachable",
            "icmp-admin-prohibited",
            "icmp-host-unreachable",
            "icmp-net-unreachable",
            "icmp-proto-unreachable",
        ]),
    };
    Some(format!("REJECT --reject-with {with}"))
}

fn mark(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    Some(format!(
        "MARK --set-xmark {}",
        dice.pick(&["0x1/0xffffffff", "0x6/0xf", "0x1/0x0", "0x0/0x2"])
    ))
}

fn connmark(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    Some(match dice.between(0..=2) {
        0 => "CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff".to_owned(),
        1 => "CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff".to_owned(),
        _ => format!("CONNMARK --set-xmark {}/0xffffffff", dice.pick(&["0x1", "0x6"])),
    })
}

fn notrack(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    Some((*dice.pick(&["NOTRACK", "CT --notrack"])).to_owned())
}

fn ct_zone(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let zone = dice.between(1..=2);
    Some(match dice.between(0..=3) {
        0 => format!("CT --zone-orig {zone}"),
        1 => "CT --zone mark".to_owned(),
        _ => format!("CT --zone {zone}"),
    })
}

fn ct_events(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    Some(format!("CT --ctevents {}", dice.pick(&EVENTS)))
}

/// Beginning and end always: who watches the table would have to walk all of it otherwise.
pub(super) const EVENTS: [&str; 4] = [
    "new,related,destroy",
    "new,related,destroy,assured",
    "new,related,destroy,mark,reply",
    "new,related,destroy,protoinfo",
];

fn ct_timeout(place: &Place, proto: Option<Proto>, _: &mut Dice) -> Option<String> {
    Some(format!("CT --timeout {}", policies::name(place.is_v6, proto?)?))
}

/// Several things at once; now and then even an entry's beginning and end are kept back.
fn ct_all(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let policy = policies::name(place.is_v6, proto?)?;
    let events = if dice.chance(80) { *dice.pick(&EVENTS) } else { "destroy,mark" };
    let zone = dice.between(1..=2);
    Some(format!("CT --timeout {policy} --ctevents {events} --zone-reply {zone}"))
}

fn masquerade(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    if place.chain != "POSTROUTING" {
        return None;
    }
    let has_ports = proto.is_some_and(Proto::has_ports);
    Some(if has_ports && dice.chance(10) {
        "MASQUERADE --to-ports 20000-59999".to_owned()
    } else {
        "MASQUERADE".to_owned()
    })
}

fn snat(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let has_ports = proto.is_some_and(Proto::has_ports);
    let to = match (place.is_v6, place.chain.as_str()) {
        (_, "INPUT") => *dice.pick(if place.is_v6 {
            &["fd00:1::3", "2001:db8:1::77"]
        } else {
            &["10.0.1.3", "203.0.113.77"]
        }),
        (true, _) => *dice.pick(&["2001:db8:1::1", "2001:db8:1::50"]),
        (false, _) => *dice.pick(&["203.0.113.1", "203.0.113.50", "203.0.113.50-203.0.113.53"]),
    };
    Some(if has_ports && dice.chance(10) && !place.is_v6 {
        format!("SNAT --to-source {to}:20000-59999")
    } else {
        format!("SNAT --to-source {to}")
    })
}

fn dnat(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let has_ports = proto.is_some_and(Proto::has_ports);
    let to = match place.is_v6 {
        true => *dice.pick(&["fd00:1::9", "fd00:1::2", "2001:db8:1::3"]),
        false => *dice.pick(&["10.0.1.9", "10.0.1.2", "203.0.113.3", "10.0.1.2-10.0.1.4"]),
    };
    Some(match (has_ports && dice.chance(50), place.is_v6) {
        (true, true) => format!("DNAT --to-destination [{to}]:80"),
        (true, false) if dice.chance(10) => format!("DNAT --to-destination {to}:8000-8010"),
        (true, false) => format!("DNAT --to-destination {to}:80"),
        (false, _) => format!("DNAT --to-destination {to}"),
    })
}

fn redirect(_: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let has_ports = proto.is_some_and(Proto::has_ports);
    Some(if has_ports && dice.chance(60) {
        format!("REDIRECT --to-ports {}", dice.pick(&[8080, 53, 3128]))
    } else {
        "REDIRECT".to_owned()
    })
}

fn netmap(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let nets = match (place.is_v6, place.is_source_nat()) {
        (false, true) => ["203.0.113.64/28", "203.0.113.128/25"],
        (false, false) => ["10.0.1.0/24", "10.0.1.0/29"],
        (true, true) => ["2001:db8:1::/64", "2001:db8:1::100/120"],
        (true, false) => ["fd00:1::/64", "fd00:1::/124"],
    };
    Some(format!("NETMAP --to {}", dice.pick(&nets)))
}
