//! A small packet decoder of the judge's own: bytes into named fields.
//!
//! Checksums become `ok` or `bad`, so that packets with different ports can be compared field by
//! field. It is no part of the engine's parser on purpose. Whatever it can't read is shown as
//! bytes, so that of a packet with right checksums nothing escapes the comparison.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::bytes::hex;

/// Values by field name; those of a packet quoted in an ICMP error begin with `inner.`.
pub(super) type Fields = BTreeMap<String, Value>;

/// Decodes a packet from its IP header on.
pub(super) fn decode(packet: &[u8]) -> Fields {
    let mut decoder = Decoder { fields: Fields::new(), prefix: "" };
    decoder.network(packet);
    decoder.fields
}

struct Decoder {
    fields: Fields,
    /// Empty, or `inner.` for a quoted packet, which may be cut off and whose transport checksum
    /// can't be verified.
    prefix: &'static str,
}

/// What the transport layer needs to know of the layer below.
struct Segment<'a> {
    /// Source and destination address.
    addresses: &'a [u8],
    protocol: u8,
    body: &'a [u8],
    is_whole: bool,
}

impl Decoder {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(format!("{}{name}", self.prefix), value.into());
    }

    fn is_quoted(&self) -> bool {
        !self.prefix.is_empty()
    }

    fn network(&mut self, packet: &[u8]) {
        match packet.first().map(|first| first >> 4) {
            Some(4) if packet.len() >= 20 => self.ipv4(packet),
            Some(6) if packet.len() >= 40 => self.ipv6(packet),
            _ => self.set("raw", hex(packet)),
        }
    }

    fn ipv4(&mut self, packet: &[u8]) {
        let header_len = (usize::from(packet[0] & 15) * 4).min(packet.len());
        let (total_len, fragment) = (word(packet, 2), word(packet, 6));
        self.set("src", Ipv4Addr::from(array(packet, 12)).to_string());
        self.set("dst", Ipv4Addr::from(array(packet, 16)).to_string());
        self.set("proto", protocol_name(packet[9]));
        self.set("ttl", packet[8]);
        self.set("tos", packet[1]);
        self.set("ipid", word(packet, 4));
        self.set("flags", fragment >> 14);
        self.set("len", total_len);
        self.set("ipcsum", verdict(internet_checksum(&[&packet[..header_len]]) == 0));
        self.set("ipopts", hex(packet.get(20..header_len).unwrap_or_default()));
        let (offset, more) = ((fragment & 0x1fff) * 8, fragment & 0x2000 != 0);
        let is_fragment = offset != 0 || more;
        if is_fragment {
            self.set("frag", fragment_text(offset, more));
        }
        let end = if self.is_quoted() { packet.len() } else { usize::from(total_len) };
        let body = packet.get(header_len..end.min(packet.len())).unwrap_or_default();
        let addresses = &packet[12..20];
        self.beginning(
            offset,
            Segment { addresses, protocol: packet[9], body, is_whole: !is_fragment },
        );
    }

    fn ipv6(&mut self, packet: &[u8]) {
        self.set("src", Ipv6Addr::from(array(packet, 8)).to_string());
        self.set("dst", Ipv6Addr::from(array(packet, 24)).to_string());
        self.set("ttl", packet[7]);
        self.set("tos", word(packet, 0) >> 4 & 0xff);
        self.set("flow", long(packet, 0) & 0xf_ffff);
        self.set("len", word(packet, 4));
        let payload_len = if self.is_quoted() { packet.len() } else { word(packet, 4).into() };
        let mut body = &packet[40..packet.len().min(40 + payload_len)];
        let (mut protocol, mut offset, mut is_whole) = (packet[6], 0, true);
        while let Some((next, len)) = extension_header(protocol, body) {
            if protocol == FRAGMENT {
                offset = word(body, 2) & 0xfff8;
                is_whole = false;
                self.set("frag", fragment_text(offset, body[3] & 1 != 0));
                self.set("fragid", long(body, 4));
            } else {
                self.set(&format!("ext{protocol}"), hex(&body[..len.min(body.len())]));
            }
            (protocol, body) = (next, body.get(len..).unwrap_or_default());
            if offset != 0 {
                break;
            }
        }
        self.set("proto", protocol_name(protocol));
        self.beginning(offset, Segment { addresses: &packet[8..40], protocol, body, is_whole });
    }

    /// Only the first fragment has a transport header.
    fn beginning(&mut self, offset: u16, segment: Segment<'_>) {
        if offset != 0 {
            self.set("payload", hex(segment.body));
            return;
        }
        let body = segment.body;
        match segment.protocol {
            TCP if body.len() >= 20 => self.tcp(body),
            TCP if self.is_quoted() && body.len() >= 8 => {
                self.ports(body);
                self.set("seq", long(body, 4));
                self.set("payload", hex(&body[8..]));
            }
            UDP | UDPLITE if body.len() >= 8 => {
                self.ports(body);
                self.set("ulen", word(body, 4));
                self.set("payload", hex(&body[8..]));
            }
            ICMP | ICMPV6 if body.len() >= 8 => self.icmp(segment.protocol, body),
            SCTP if body.len() >= 12 => {
                self.ports(body);
                self.set("vtag", long(body, 4));
                self.set("payload", hex(&body[12..]));
            }
            _ => self.set("payload", hex(body)),
        }
        if segment.is_whole
            && !self.is_quoted()
            && let Some(outcome) = checksum_outcome(&segment)
        {
            self.set("csum", outcome);
        }
    }

    fn ports(&mut self, body: &[u8]) {
        self.set("sport", word(body, 0));
        self.set("dport", word(body, 2));
    }

    fn tcp(&mut self, body: &[u8]) {
        let header_len = usize::from(body[12] >> 4) * 4;
        let payload = header_len.clamp(20, body.len());
        self.ports(body);
        self.set("seq", long(body, 4));
        self.set("ack", long(body, 8));
        self.set("doff", body[12] >> 4);
        self.set("rsv", body[12] & 15);
        self.set("tcpflags", tcp_flags(body[13]));
        self.set("win", word(body, 14));
        self.set("urg", word(body, 18));
        self.set("opts", hex(&body[20..payload]));
        self.set("payload", hex(&body[payload..]));
    }

    fn icmp(&mut self, protocol: u8, body: &[u8]) {
        self.set("type", body[0]);
        self.set("code", body[1]);
        let (is_error, has_id) = match protocol {
            ICMP => (
                matches!(body[0], 3 | 4 | 5 | 11 | 12),
                matches!(body[0], 0 | 8 | 13 | 14 | 15 | 16 | 17 | 18),
            ),
            _ => (body[0] < 128, matches!(body[0], 128 | 129)),
        };
        if has_id {
            self.set("id", word(body, 4));
            self.set("seq", word(body, 6));
        } else {
            self.set("rest", hex(&body[4..8]));
        }
        if is_error && !self.is_quoted() {
            self.prefix = "inner.";
            self.network(&body[8..]);
            self.prefix = "";
        } else {
            self.set("payload", hex(&body[8..]));
        }
    }
}

/// The protocol behind the IPv6 extension header `kind` that `bytes` begin with, and the header's
/// length. `None` if `kind` is no extension header, or `bytes` are too short for one.
pub(super) fn extension_header(kind: u8, bytes: &[u8]) -> Option<(u8, usize)> {
    match kind {
        _ if bytes.len() < 8 => None,
        FRAGMENT => Some((bytes[0], 8)),
        HOP_BY_HOP | ROUTING | DESTINATION => Some((bytes[0], (usize::from(bytes[1]) + 1) * 8)),
        _ => None,
    }
}

fn protocol_name(protocol: u8) -> String {
    let name = match protocol {
        ICMP => "icmp",
        TCP => "tcp",
        UDP => "udp",
        ICMPV6 => "icmpv6",
        SCTP => "sctp",
        UDPLITE => "udplite",
        _ => return protocol.to_string(),
    };
    name.to_owned()
}

fn fragment_text(offset: u16, more: bool) -> String {
    format!("{offset}{}", if more { "+" } else { "" })
}

fn tcp_flags(flags: u8) -> String {
    let set = "FSRPAUEC".chars().enumerate().filter(|(bit, _)| flags >> bit & 1 != 0);
    set.map(|(_, letter)| letter).collect()
}

fn verdict(is_right: bool) -> &'static str {
    if is_right { "ok" } else { "bad" }
}

/// `ok`, `bad`, or `none` where the sender may leave it out; `None` without a known checksum.
fn checksum_outcome(segment: &Segment<'_>) -> Option<&'static str> {
    let body = segment.body;
    let is_right = match segment.protocol {
        TCP if body.len() >= 20 => segment.sum(body) == 0,
        UDP if body.len() >= 8 && word(body, 6) == 0 => return Some("none"),
        UDP if body.len() >= 8 => segment.sum(body) == 0,
        UDPLITE if body.len() >= 8 => {
            let coverage = match usize::from(word(body, 4)) {
                0 => body.len(),
                covered => covered.min(body.len()),
            };
            segment.sum(&body[..coverage]) == 0
        }
        ICMP if body.len() >= 8 => internet_checksum(&[body]) == 0,
        ICMPV6 if body.len() >= 8 => segment.sum(body) == 0,
        SCTP if body.len() >= 12 => {
            let without = [&body[..8], &[0; 4], &body[12..]].concat();
            crc32c(&without).to_le_bytes() == body[8..12]
        }
        _ => return None,
    };
    Some(verdict(is_right))
}

impl Segment<'_> {
    /// The checksum of `covered` and the pseudo-header (RFC 8200, section 8.1; the one of IPv4
    /// sums up to the same).
    fn sum(&self, covered: &[u8]) -> u16 {
        let len = (self.body.len() as u32).to_be_bytes();
        internet_checksum(&[self.addresses, &len, &[0, self.protocol], covered])
    }
}

/// The Internet checksum (RFC 1071) over `parts`, of which all but the last have even lengths.
pub(super) fn internet_checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = words
        .map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low)))
        .sum();
    let folded = (0..3).fold(sum, |sum, _| (sum >> 16) + (sum & 0xffff));
    !(folded as u16)
}

/// CRC-32C (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0x82f6_3b78))
    });
    !crc
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

/// The `N` bytes at `at`. The callers have checked that they are there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut found = [0; N];
    found.copy_from_slice(&bytes[at..at + N]);
    found
}

const HOP_BY_HOP: u8 = 0;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;
const DESTINATION: u8 = 60;
const SCTP: u8 = 132;
const UDPLITE: u8 = 136;

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo request, and a UDP datagram over IPv6.
    const ECHO: [u8; 28] = [
        0x45, 0, 0, 28, 0, 1, 0x40, 0, 64, 1, 0x26, 0xde, 10, 0, 0, 1, 10, 0, 0, 2, 8, 0, 0xf7,
        0xf5, 0, 7, 0, 3,
    ];

    fn udp6() -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 9, UDP, 64];
        packet.extend([0x20; 16]);
        packet.extend([0x30; 16]);
        packet.extend([0, 1, 0, 2, 0, 9, 0, 0, b'x']);
        packet
    }

    #[test]
    fn checksums_become_words() {
        let whole = decode(&ECHO);
        assert_eq!((&whole["ipcsum"], &whole["csum"]), (&"ok".into(), &"ok".into()));
        for (at, field) in [(8, "ipcsum"), (27, "csum")] {
            let mut broken = ECHO;
            broken[at] ^= 1;
            assert_eq!(decode(&broken)[field], "bad", "byte {at}");
        }
        assert_eq!(decode(&udp6())["csum"], "none");
        let mut wrong = udp6();
        wrong[47] = 1;
        assert_eq!(decode(&wrong)["csum"], "bad");
    }

    #[test]
    fn crc32c_of_the_check_string() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn quoted_packets_show_as_inner_fields() {
        let mut error = vec![0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1];
        error.extend([11, 0, 0, 0, 0, 0, 0, 0]);
        error.extend(ECHO);
        let fields = decode(&error);
        assert_eq!(fields["type"], 11);
        assert_eq!(fields["inner.id"], 7);
        assert_eq!(fields["inner.ipcsum"], "ok");
        assert!(!fields.contains_key("inner.csum"));
    }

    #[test]
    fn no_byte_beside_padding_escapes() {
        for packet in [ECHO.to_vec(), udp6(), vec![0x45, 1], vec![0x60; 44]] {
            for at in 0..packet.len() {
                let mut changed = packet.clone();
                changed[at] ^= 0x01;
                assert_ne!(decode(&changed), decode(&packet), "byte {at} of {packet:02x?}");
            }
        }
    }

    #[test]
    fn truncated_packets_are_no_fault() {
        for packet in [ECHO.to_vec(), udp6()] {
            for len in 0..packet.len() {
                assert!(!decode(&packet[..len]).is_empty() || len == 0);
            }
        }
    }
}
