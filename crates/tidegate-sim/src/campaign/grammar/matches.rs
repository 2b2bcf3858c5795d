//! What a rule asks of a packet. A new match is a row of [`MATCHES`].

use super::conditions::condition;
use super::rules::Place;
use crate::campaign::dice::Dice;
use crate::campaign::traffic::places::{Hosts, SERVICES, V4, V6};

/// The matches of a rule in `place`: none, or a few that may well be met together.
pub(super) fn matches(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> String {
    let mut words = Vec::new();
    if dice.chance(25) {
        words.push(address(place, dice));
    }
    if dice.chance(25) {
        words.extend(interface(place, dice));
    }
    words.extend(proto.map(|proto| proto.words(place.is_v6, dice)));
    for _ in 0..dice.between(0..=2) {
        let word = if dice.chance(50) {
            condition(place, proto, dice)
        } else {
            let row: Match = *dice.pick(&MATCHES);
            row(place, dice)
        };
        words.extend(word.filter(|text| !is_doubled(&words, text)));
    }
    words.join(" ")
}

/// One word of a kind is enough: iptables takes none of these twice, and asks for a module once.
fn is_doubled(words: &[String], text: &str) -> bool {
    let name = |text: &str| text.split(' ').take(2).collect::<Vec<_>>().join(" ");
    words.iter().any(|word| word.contains(&name(text)))
}

/// A row: makes the words of one match, if it may stand there.
type Match = fn(&Place, &mut Dice) -> Option<String>;

const MATCHES: [Match; 10] =
    [state, conntrack, conntrack, mark, connmark, limit, address_type, mac, range, comment];

/// Protocols whose ports or types can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proto {
    Tcp,
    Udp,
    Icmp,
    Sctp,
    UdpLite,
    Gre,
    Esp,
    Ah,
}

/// How often a rule is about each.
pub(super) const PROTOS: [(u32, Proto); 8] = [
    (50, Proto::Tcp),
    (25, Proto::Udp),
    (10, Proto::Icmp),
    (6, Proto::Sctp),
    (4, Proto::UdpLite),
    (5, Proto::Gre),
    (2, Proto::Esp),
    (2, Proto::Ah),
];

impl Proto {
    /// Whether NAT can be told ports for it.
    pub(super) fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }

    fn words(self, is_v6: bool, dice: &mut Dice) -> String {
        let ports = |name: &str, dice: &mut Dice| format!("-p {name}{}", ports(name, dice));
        match self {
            Self::Tcp if dice.chance(15) => {
                let flags = *dice.pick(&["SYN,RST,ACK,FIN SYN", "ALL NONE", "ACK ACK", "RST RST"]);
                format!("-p tcp -m tcp{}--tcp-flags {flags}", maybe_not(dice))
            }
            Self::Tcp => ports("tcp", dice),
            Self::Udp => ports("udp", dice),
            Self::Icmp if is_v6 => {
                let kind = *dice.pick(&[1, 3, 128, 129]);
                format!("-p icmpv6 -m icmp6{}--icmpv6-type {kind}", maybe_not(dice))
            }
            Self::Icmp => {
                let kind = *dice.pick(&["0", "3", "3/3", "8", "11", "255"]);
                format!("-p icmp -m icmp{}--icmp-type {kind}", maybe_not(dice))
            }
            Self::Sctp => format!("-p sctp{}", sctp(dice)),
            Self::UdpLite if dice.chance(50) => {
                format!("-p udplite -m multiport --dports 22,80,443,{}", dice.pick(&SERVICES))
            }
            Self::UdpLite => "-p udplite".to_owned(),
            Self::Gre => "-p gre".to_owned(),
            Self::Esp => format!("-p esp -m esp{}--espspi 0:2147483647", maybe_not(dice)),
            Self::Ah if is_v6 => "-p ah".to_owned(),
            Self::Ah => format!("-p ah -m ah{}--ahspi 0:2147483647", maybe_not(dice)),
        }
    }
}

fn sctp(dice: &mut Dice) -> String {
    let not = maybe_not(dice);
    match dice.between(0..=4) {
        0 => format!(" -m sctp{not}--dport {}", dice.pick(&SERVICES)),
        1 => format!(" -m sctp{not}--chunk-types any INIT,DATA"),
        2 => format!(" -m sctp{not}--chunk-types only DATA"),
        3 => format!(" -m sctp{not}--chunk-types all SHUTDOWN,DATA"),
        _ => String::new(),
    }
}

pub(super) fn maybe_not(dice: &mut Dice) -> &'static str {
    if dice.chance(12) { " ! " } else { " " }
}

fn ports(name: &str, dice: &mut Dice) -> String {
    let port = *dice.pick(&SERVICES);
    let not = maybe_not(dice);
    match dice.between(0..=5) {
        0 => String::new(),
        1 => format!(" -m {name}{not}--sport 1024:65535"),
        2 => format!(" -m multiport{not}--dports 22,80,443,5000:8100"),
        3 => format!(" -m multiport{not}--ports {port},40000:40003"),
        4 => format!(" -m {name}{not}--dport 1:{port}"),
        _ => format!(" -m {name}{not}--dport {port}"),
    }
}

pub(super) fn hosts(is_v6: bool) -> &'static Hosts {
    if is_v6 { &V6 } else { &V4 }
}

fn address(place: &Place, dice: &mut Dice) -> String {
    let hosts = hosts(place.is_v6);
    let nets = if place.is_v6 {
        ["fd00:1::/64", "2001:db8::/32"]
    } else {
        ["10.0.1.0/24", "203.0.113.0/24"]
    };
    let what = match dice.between(0..=3) {
        0 => *dice.pick(&hosts.lan),
        1 => *dice.pick(&hosts.wan),
        _ => *dice.pick(&nets),
    };
    let not = if dice.chance(12) { "! " } else { "" };
    format!("{not}{} {what}", dice.pick(&["-s", "-d"]))
}

fn interface(place: &Place, dice: &mut Dice) -> Option<String> {
    let name = *dice.pick(&["in0", "out0", "in+"]);
    let not = if dice.chance(12) { "! " } else { "" };
    let mut options = Vec::new();
    if place.has_input() {
        options.push("-i");
    }
    if place.has_output() {
        options.push("-o");
    }
    (!options.is_empty()).then(|| format!("{not}{} {name}", dice.pick(&options)))
}

fn state(_: &Place, dice: &mut Dice) -> Option<String> {
    let states = *dice.pick(&STATES);
    Some(format!("-m state{}--state {states}", maybe_not(dice)))
}

fn conntrack(place: &Place, dice: &mut Dice) -> Option<String> {
    let not = maybe_not(dice);
    let hosts = hosts(place.is_v6);
    let words = match dice.between(0..=9) {
        0..=3 => {
            format!("--ctstate {}", dice.pick(&[STATES[0], STATES[1], "SNAT", "DNAT", "NEW,SNAT"]))
        }
        4 => format!("--ctstatus {}", dice.pick(&["NONE", "SEEN_REPLY", "ASSURED", "CONFIRMED"])),
        5 => return Some(format!("-m conntrack --ctdir {}", dice.pick(&["ORIGINAL", "REPLY"]))),
        6 => format!("--ctproto {}", dice.pick(&[6, 17, 132])),
        7 => format!("--ctorigsrc {}", dice.pick(&hosts.lan)),
        8 => format!("--ctrepldst {}", dice.pick(&[hosts.router[1], hosts.lan[0]])),
        _ => format!("--ctorigdstport {}", dice.pick(&SERVICES)),
    };
    Some(format!("-m conntrack{not}{words}"))
}

const STATES: [&str; 7] =
    ["NEW", "RELATED,ESTABLISHED", "INVALID", "ESTABLISHED", "RELATED", "UNTRACKED", "INVALID,NEW"];

fn mark(_: &Place, dice: &mut Dice) -> Option<String> {
    Some(format!("-m mark{}--mark {}", maybe_not(dice), dice.pick(&MARKS)))
}

fn connmark(_: &Place, dice: &mut Dice) -> Option<String> {
    Some(format!("-m connmark{}--mark {}", maybe_not(dice), dice.pick(&MARKS)))
}

const MARKS: [&str; 4] = ["0x0", "0x1", "0x1/0x1", "0x6/0xf"];

/// So slow that no token comes back while an experiment lasts.
fn limit(_: &Place, dice: &mut Dice) -> Option<String> {
    Some(format!("-m limit --limit 1/hour --limit-burst {}", dice.between(1..=30)))
}

fn address_type(place: &Place, dice: &mut Dice) -> Option<String> {
    // IPv6 knows no broadcast.
    let fourth = if place.is_v6 { "UNSPEC" } else { "BROADCAST" };
    let kind = *dice.pick(&["LOCAL", "UNICAST", "MULTICAST", fourth]);
    Some(format!("-m addrtype{}--{} {kind}", maybe_not(dice), dice.pick(&["src-type", "dst-type"])))
}

fn mac(place: &Place, dice: &mut Dice) -> Option<String> {
    let source = *dice.pick(&["02:00:00:00:01:02", "02:00:00:00:02:02"]);
    place.has_link_header().then(|| format!("-m mac{}--mac-source {source}", maybe_not(dice)))
}

fn range(place: &Place, dice: &mut Dice) -> Option<String> {
    let range = if place.is_v6 { "fd00:1::2-fd00:1::3" } else { "10.0.1.2-10.0.1.3" };
    Some(format!(
        "-m iprange{}--{} {range}",
        maybe_not(dice),
        dice.pick(&["src-range", "dst-range"])
    ))
}

fn comment(_: &Place, _: &mut Dice) -> Option<String> {
    Some("-m comment --comment \"drawn at random\"".to_owned())
}
