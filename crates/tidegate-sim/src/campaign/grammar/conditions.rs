//! The less frequent matches. A new one is a row of [`CONDITIONS`].
//!
//! None hangs on how fast packets follow each other: rates are so slow that nothing comes back while
//! an experiment lasts, and lists forget nothing.

use super::matches::{Proto, hosts, maybe_not};
use super::rules::Place;
use super::sets;
use crate::campaign::dice::Dice;
use crate::campaign::traffic::places::SERVICES;

/// One of them, if the one that was drawn may stand there.
pub(super) fn condition(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let row: Condition = *dice.pick(&CONDITIONS);
    row(place, proto, dice)
}

/// A row: makes the words of one match, if it may stand there.
type Condition = fn(&Place, Option<Proto>, &mut Dice) -> Option<String>;

const CONDITIONS: [Condition; 38] = [
    set,
    set,
    set,
    connlimit,
    connbytes,
    connbytes,
    helper,
    helper,
    hashlimit,
    hashlimit,
    recent,
    recent,
    owner,
    tcpmss,
    length,
    hops,
    tos,
    dscp,
    ecn,
    pkttype,
    physdev,
    policy,
    statistic,
    statistic,
    string,
    string,
    time,
    quota,
    rpfilter,
    connlabel,
    connlabel,
    u32,
    ah,
    fragment,
    options,
    routing,
    header_list,
    expiry,
];

fn set(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let (name, directions) = sets::reference(place.is_v6, dice);
    let more = match dice.between(0..=9) {
        0 => " --return-nomatch",
        1 => " ! --update-counters",
        2 => " --packets-gt 3",
        3 => " --bytes-lt 500 ! --update-counters",
        _ => "",
    };
    Some(format!("-m set{}--match-set {name} {directions}{more}", maybe_not(dice)))
}

/// Of first packets alone: what the kernel does with the flows of later ones hangs on whether its
/// clock has ticked since it last looked at the list.
fn connlimit(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let kind = *dice.pick(&["above", "upto"]);
    let mask = *dice.pick(if place.is_v6 { &[128, 64, 0] } else { &[32, 24, 0] });
    let side = *dice.pick(&["saddr", "daddr"]);
    let most = dice.between(0..=9);
    let has_states = place.table != "raw";
    has_states.then(|| format!(
        "-m conntrack --ctstate NEW -m connlimit --connlimit-{kind} {most} --connlimit-mask {mask} --connlimit-{side}"
    ))
}

fn connbytes(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let (mode, range) = match dice.between(0..=2) {
        0 => ("packets", *dice.pick(&["2:4", "3", "0:1"])),
        1 => ("bytes", *dice.pick(&["100:2000", "1500", "0:99"])),
        _ => ("avgpkt", *dice.pick(&["60:400", "300"])),
    };
    let direction = *dice.pick(&["original", "reply", "both"]);
    Some(format!(
        "-m connbytes{}--connbytes {range} --connbytes-mode {mode} --connbytes-dir {direction}",
        maybe_not(dice)
    ))
}

fn helper(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let name = *dice.pick(&["ftp", "tftp", "irc", "sip", "pptp", "amanda", "sane"]);
    Some(format!("-m helper{}--helper {name}", maybe_not(dice)))
}

fn hashlimit(place: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let kind = *dice.pick(&["above", "upto"]);
    let rate = match dice.between(0..=3) {
        0 => "--hashlimit-burst 4kb",
        1 => "--hashlimit-burst 1",
        2 => "--hashlimit-burst 3",
        _ => "--hashlimit-burst 12",
    };
    let amount = if rate.ends_with("kb") { "16b/s" } else { "1/hour" };
    let has_ports = proto.is_some_and(Proto::has_ports);
    let mode = match has_ports && dice.chance(40) {
        true => *dice.pick(&["srcip,srcport", "dstip,dstport", "srcip,srcport,dstip,dstport"]),
        false => *dice.pick(&["srcip", "dstip", "srcip,dstip"]),
    };
    let mask = *dice.pick(if place.is_v6 { &[128, 64] } else { &[32, 24] });
    let mask = if mode.contains("srcip") && dice.chance(30) {
        format!(" --hashlimit-srcmask {mask}")
    } else {
        String::new()
    };
    Some(format!(
        "-m hashlimit --hashlimit-{kind} {amount} {rate} --hashlimit-mode {mode}{mask} \
         --hashlimit-name h{} --hashlimit-htable-expire 600000",
        dice.between(0..=999)
    ))
}

fn recent(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = match dice.between(0..=7) {
        0..=2 => "--set",
        3 => "--rcheck",
        4 => "--rcheck --seconds 600 --hitcount 3",
        5 => "--update --hitcount 4",
        6 => "--update --seconds 900 --rttl",
        _ => "--remove",
    };
    let mask = match (dice.chance(25), place.is_v6) {
        (false, _) => "",
        (true, true) => " --mask ffff:ffff:ffff:ffff::",
        (true, false) => " --mask 255.255.255.0",
    };
    let side = *dice.pick(&["--rsource", "--rdest"]);
    let list = dice.between(0..=1);
    Some(format!("-m recent{}{what} --name r{list}{mask} {side}", maybe_not(dice)))
}

fn owner(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = *dice.pick(&["--socket-exists", "--uid-owner 0", "--gid-owner 0-5"]);
    let is_outward = matches!(place.chain.as_str(), "OUTPUT" | "POSTROUTING");
    is_outward.then(|| format!("-m owner{}{what}", maybe_not(dice)))
}

fn tcpmss(_: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let span = *dice.pick(&["1400:1460", "536", "0:1000"]);
    (proto == Some(Proto::Tcp)).then(|| format!("-m tcpmss{}--mss {span}", maybe_not(dice)))
}

fn length(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let span = *dice.pick(&["40", "0:60", "100:1500", "28:48"]);
    Some(format!("-m length{}--length {span}", maybe_not(dice)))
}

fn hops(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let name = if place.is_v6 { "hl" } else { "ttl" };
    let (what, number) = *dice.pick(&[("eq", 64), ("lt", 60), ("gt", 2), ("eq", 63)]);
    let not = if what == "eq" { maybe_not(dice) } else { " " };
    Some(format!("-m {name}{not}--{name}-{what} {number}"))
}

fn tos(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let bits = *dice.pick(&["0x00/0xff", "0x10/0x3f", "0x00/0x03", "0x08/0x08"]);
    Some(format!("-m tos{}--tos {bits}", maybe_not(dice)))
}

fn dscp(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let class = dice.pick(&["--dscp 0x00", "--dscp 0x2e", "--dscp-class AF11"]);
    Some(format!("-m dscp{}{class}", maybe_not(dice)))
}

fn ecn(_: &Place, proto: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = match (proto, dice.between(0..=3)) {
        (Some(Proto::Tcp), 0) => "--ecn-tcp-ece",
        (Some(Proto::Tcp), 1) => "--ecn-tcp-cwr",
        (_, 2) => "--ecn-ip-ect 0",
        _ => "--ecn-ip-ect 2",
    };
    Some(format!("-m ecn{}{what}", maybe_not(dice)))
}

fn pkttype(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let kind = *dice.pick(&["unicast", "multicast", "broadcast"]);
    Some(format!("-m pkttype{}--pkt-type {kind}", maybe_not(dice)))
}

fn physdev(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = *dice.pick(&["--physdev-in in0", "--physdev-is-in", "--physdev-is-bridged"]);
    place.has_input().then(|| format!("-m physdev{}{what}", maybe_not(dice)))
}

fn policy(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let direction = match (place.has_input(), place.has_output()) {
        (true, _) => "in",
        (false, true) => "out",
        (false, false) => return None,
    };
    let kind = *dice.pick(&["none", "ipsec"]);
    Some(format!("-m policy --dir {direction} --pol {kind}"))
}

fn statistic(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let not = maybe_not(dice);
    if dice.chance(10) {
        let always = *dice.pick(&["0", "1"]);
        return Some(format!("-m statistic --mode random{not}--probability {always}"));
    }
    let every = dice.between(1..=7);
    let packet = dice.between(0..=every - 1);
    Some(format!("-m statistic --mode nth{not}--every {every} --packet {packet}"))
}

fn string(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let algorithm = *dice.pick(&["bm", "kmp"]);
    let what = *dice.pick(&[
        "--string dddd",
        "--string PORT",
        "--string sip:",
        "--string octet",
        "--hex-string \"|0d0a|\"",
        "--hex-string \"|00|\"",
    ]);
    let case = if dice.chance(25) { " --icase" } else { "" };
    let span = *dice.pick(&["", "", " --from 30", " --to 60", " --from 20 --to 45"]);
    Some(format!("-m string{}{what} --algo {algorithm}{case}{span}", maybe_not(dice)))
}

/// Far from where the day is cut, so that the hour of the experiment hardly matters.
fn time(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = match dice.between(0..=5) {
        0 => "--timestart 06:30 --timestop 18:30",
        1 => "--timestart 18:30 --timestop 06:30 --contiguous",
        2 => "--weekdays Mon,Wed,Fri",
        3 => "--monthdays 1,5,10,15,20,25,30",
        4 => "--datestart 2020-01-01T00:00:00 --datestop 2037-12-31T00:00:00",
        _ => "--datestop 2021-01-01T00:00:00",
    };
    Some(format!("-m time {what}"))
}

fn quota(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let bytes = *dice.pick(&[100, 1000, 5000]);
    Some(format!("-m quota{}--quota {bytes}", maybe_not(dice)))
}

fn rpfilter(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let is_there = place.chain == "PREROUTING" && matches!(place.table, "raw" | "mangle");
    let what = *dice.pick(&["", " --loose", " --invert", " --accept-local", " --validmark"]);
    is_there.then(|| format!("-m rpfilter{what}"))
}

fn connlabel(_: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let label = *dice.pick(&[0, 5, 64, 127]);
    let set = if dice.chance(60) { " --set" } else { "" };
    Some(format!("-m connlabel{}--label {label}{set}", maybe_not(dice)))
}

fn u32(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let test = match place.is_v6 {
        true => *dice.pick(&["4&0xff00=0x0600", "40&0xffff=0x50:0x1f90", "0>>20&0xff=0:3"]),
        false => *dice.pick(&[
            "6&0xff=6",
            "0>>22&0x3c@0>>16=40000:40003",
            "4&0x1fff=0&&0&0xffff=0x0:0x64",
            "0>>22&0x3c@12>>26&0x3c@0=0x64646464",
        ]),
    };
    Some(format!("-m u32{}--u32 \"{test}\"", maybe_not(dice)))
}

fn ah(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let index = *dice.pick(&["0:2147483647", "5"]);
    place.is_v6.then(|| format!("-m ah{}--ahspi {index}", maybe_not(dice)))
}

fn fragment(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = *dice.pick(&["--fragfirst", "--fragmore", "--fraglast", "--fragid 0:2147483647"]);
    place.is_v6.then(|| format!("-m frag {what}"))
}

fn options(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = *dice.pick(&[
        "dst --dst-len 8",
        "hbh --hbh-len 8",
        "dst --dst-opts 1:4",
        "hbh --hbh-opts 1:4",
    ]);
    place.is_v6.then(|| format!("-m {what}"))
}

fn routing(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let what = *dice.pick(&["--rt-type 0", "--rt-segsleft 0", "--rt-len 8"]);
    place.is_v6.then(|| format!("-m rt{}{what}", maybe_not(dice)))
}

fn header_list(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let list = *dice.pick(&["dst", "hop", "prot", "route", "dst,prot", "auth"]);
    let soft = if dice.chance(60) { " --soft" } else { "" };
    place.is_v6.then(|| format!("-m ipv6header{}--header {list}{soft}", maybe_not(dice)))
}

/// Of the most frequent match, options that are less so. Time-outs are far from the bounds.
fn expiry(place: &Place, _: Option<Proto>, dice: &mut Dice) -> Option<String> {
    let hosts = hosts(place.is_v6);
    let what = match dice.between(0..=3) {
        0 => "--ctexpire 0:40000".to_owned(),
        1 => format!("--ctorigdst {}", dice.pick(&hosts.wan)),
        2 => format!("--ctreplsrcport {}", dice.pick(&SERVICES)),
        _ => "--ctstatus EXPECTED".to_owned(),
    };
    Some(format!("-m conntrack{}{what}", maybe_not(dice)))
}
