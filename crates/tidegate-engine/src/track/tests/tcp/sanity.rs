//! What no TCP sends: flags, lengths, checksums.

use alloc::vec::Vec;

use super::*;
use crate::track::tests::script::Judged::Invalid;
use crate::track::tests::script::exchange;

const PSH: u8 = 0x08;
const URG: u8 = 0x20;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// The combinations that make sense, once PSH, ECE and CWR are left out.
fn valid_flags() -> [u8; 9] {
    let urg = TcpFlags::from_bits(URG);
    [SYN, SYN | urg, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | urg, ACK, ACK | urg]
        .map(TcpFlags::bits)
}

#[test]
fn every_combination_of_flags_as_a_first_segment() {
    for bits in 0..=u8::MAX {
        let core = bits & !(PSH | ECE | CWR);
        let (judged, then) = match core & !URG {
            _ if !valid_flags().contains(&core) => (Invalid("tcp_flags"), ""),
            flags if flags == SYN.bits() => (New, "SYN_SENT 120"),
            flags if flags == ACK.bits() => {
                (New, "ESTABLISHED 300 client+sack client+liberal server+sack server+liberal")
            }
            _ => (Invalid("tcp_new"), ""),
        };
        let segment = c(TcpFlags::from_bits(bits), 1001, 5001);
        exchange().play(&[row("any flags first", segment, judged, then)]);
    }
}

#[test]
fn every_invalid_combination_leaves_an_established_flow_alone() {
    let nonsense =
        (0..=u8::MAX).filter(|bits| !valid_flags().contains(&(bits & !(PSH | ECE | CWR))));
    let rows: Vec<Row> = nonsense
        .map(|bits| c(TcpFlags::from_bits(bits), 1001, 5001))
        .map(|segment| row("nonsense", segment, Invalid("tcp_flags"), ""))
        .collect();
    exchange().play(&established(&rows));
}

#[test]
#[rustfmt::skip]
fn headers_that_are_not_all_there() {
    let syn = || c(SYN, 1000, 0);
    exchange().play(&[
        row("ports, and nothing else",       syn().edited(|l4| l4.truncate(4)),  Invalid("tcp_short"), ""),
        row("not even ports",                syn().edited(|l4| l4.truncate(3)),  Invalid("no_upper_layer"), ""),
        row("no payload at all",             syn().edited(Vec::clear),           Invalid("no_upper_layer"), ""),
        row("a byte is missing",             syn().edited(|l4| l4.truncate(19)), Invalid("tcp_short"), ""),
        row("the header says it has 16",     syn().edited(|l4| l4[12] = 0x40),   Invalid("tcp_truncated"), ""),
        row("the header says it has none",   syn().edited(|l4| l4[12] = 0),      Invalid("tcp_truncated"), ""),
        row("the header says it has 24",     syn().edited(|l4| l4[12] = 0x60),   Invalid("tcp_truncated"), ""),
        row("reserved bits don't matter",    syn().edited(|l4| l4[12] |= 0x0f),  New,                      "SYN_SENT 120"),
    ]);
}

#[test]
#[rustfmt::skip]
fn checksums() {
    let data = || c(ACK, 1001, 5001).data(4);
    exchange().play(&established(&[
        row("a wrong one is INVALID",        data().corrupt(),            Invalid("bad_checksum"), ""),
        row("a wrong RST closes nothing",    s(RST, 5001, 0).corrupt(),   Invalid("bad_checksum"), ""),
        row("a right one",                   data(),                      Established, "300 client+unacked"),
    ]));
    exchange().play(&[
        row("a wrong one opens nothing",     c(SYN, 1000, 0).corrupt(),   Invalid("bad_checksum"), ""),
    ]);
    exchange().with("net.netfilter.nf_conntrack_checksum", "0").play(&[
        row("unless nobody looks",           c(SYN, 1000, 0).corrupt(),   New, "SYN_SENT 120"),
    ]);
}

#[test]
#[rustfmt::skip]
fn options_are_read_as_far_as_they_make_sense() {
    let syn = |options| c(SYN, 1000, 0).opts(options);
    for (what, segment, then) in [
        ("none",                          syn(&[]),                        "SYN_SENT 120"),
        ("scale and SACK",                syn(&[3, 3, 7, 4, 2]),           "SYN_SENT 120 client+scale client.scale=7 client+sack"),
        ("padding in front",              syn(&[1, 1, 1, 3, 3, 7]),        "SYN_SENT 120 client+scale client.scale=7"),
        ("more scale than there is",      syn(&[3, 3, 200]),               "SYN_SENT 120 client+scale client.scale=14"),
        ("the last scale counts",         syn(&[3, 3, 7, 3, 3, 2]),        "SYN_SENT 120 client+scale client.scale=2"),
        ("nothing after the end",         syn(&[0, 3, 3, 7]),              "SYN_SENT 120"),
        ("a silly length ends it",        syn(&[2, 0, 3, 3, 7]),           "SYN_SENT 120"),
        ("what is longer than the list",  syn(&[2, 40, 3, 3, 7]),          "SYN_SENT 120"),
        ("a scale of no octet",           syn(&[3, 2, 4, 2]),              "SYN_SENT 120 client+sack"),
        ("a scale of two octets",         syn(&[3, 4, 7, 7, 4, 2]),        "SYN_SENT 120 client+sack"),
        ("SACK-permitted with data",      syn(&[4, 3, 0, 3, 3, 7]),        "SYN_SENT 120 client+scale client.scale=7"),
        ("options nobody knows",          syn(&[254, 4, 1, 2, 4, 2]),      "SYN_SENT 120 client+sack"),
    ] {
        exchange().play(&[row(what, segment, New, then)]);
    }
}
