//! Compares copies of packets that NFLOG rules made.
//!
//! What goes for packets that leave goes for their copies: those of packets that came in must be equal to the byte, and in
//! those of packets that the router made (`own` in the recording) the kernel draws an IPv4 identification or an IPv6 flow
//! label. A reset that REJECT makes is copied before its TCP checksum is finished.

use std::ops::Range;

use serde_json::Value;

use super::bytes::{hex, unhex, without_chance};
use super::compare::FieldDifference;
use super::decode::internet_checksum;

/// The fields in which the copy `got` differs from the one that was recorded.
pub(super) fn differences(expected: &Value, got: &Value) -> Vec<FieldDifference> {
    let bytes = |copy: &Value| copy["hex"].as_str().and_then(unhex);
    let (mut want, mut have) = (bytes(expected), bytes(got));
    if expected["own"] == true {
        want = want.map(|packet| without_chance(&finished(packet), false));
        have = have.map(|packet| without_chance(&packet, false));
    }
    let told = |packet: &Option<Vec<u8>>| packet.as_ref().map_or("junk".to_owned(), |p| hex(p));
    let field = |name: &str| (name.to_owned(), expected[name].to_string(), got[name].to_string());
    let bytes = ("hex".to_owned(), told(&want), told(&have));
    let is_unequal = |(_, expected, got): &FieldDifference| expected != got;
    [field("group"), field("prefix"), bytes].into_iter().filter(is_unequal).collect()
}

/// The packet with its TCP checksum finished, if so far it is the sum of nothing but the pseudo-header.
fn finished(mut packet: Vec<u8>) -> Vec<u8> {
    let Some((addresses, at)) = tcp_header(&packet) else { return packet };
    let len = ((packet.len() - at) as u32).to_be_bytes();
    let sum = |parts: [&[u8]; 2]| internet_checksum(&[parts[0], &len, &[0, TCP], parts[1]]);
    let begun = !sum([&packet[addresses.clone()], &[]]);
    if packet[at + 16..at + 18] == begun.to_be_bytes() {
        packet[at + 16..at + 18].fill(0);
        let whole = sum([&packet[addresses], &packet[at..]]);
        packet[at + 16..at + 18].copy_from_slice(&whole.to_be_bytes());
    }
    packet
}

/// Where the addresses are, and where a TCP header begins, if there is one.
fn tcp_header(packet: &[u8]) -> Option<(Range<usize>, usize)> {
    let (addresses, at) = match packet.first()? >> 4 {
        4 if packet.get(9) == Some(&TCP) => (12..20, usize::from(packet[0] & 15) * 4),
        6 if packet.get(6) == Some(&TCP) => (8..40, 40),
        _ => return None,
    };
    (at >= 20 && packet.len() >= at + 20).then_some((addresses, at))
}

const TCP: u8 = 6;
