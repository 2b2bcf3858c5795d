//! Compares packets that came out.
//!
//! Bytes must be equal, save for what the kernel draws at random: IPv6 fragment identifications,
//! and in packets that the router itself made the IPv4 identification and the IPv6 flow label.
//! Where a scenario leaves NAT ports free, the decoded fields are compared instead, with every
//! checksum verified.

use std::fmt;

use serde_json::Value;

use super::compare::FieldDifference;
use super::decode::{Fields, decode, extension_header, internet_checksum};
use super::vary::Vary;

/// An entry of the list `out` of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// `lan` or `wan`, where it left.
    pub(super) port: String,
    is_forwarded: bool,
    bytes: Vec<u8>,
}

impl Output {
    /// Reads an entry; `None` if its bytes are not hexadecimal digits.
    pub(super) fn new(entry: &Value) -> Option<Self> {
        Some(Self {
            port: entry["port"].as_str()?.to_owned(),
            is_forwarded: entry["by"].as_str().is_none_or(|by| by == "fwd"),
            bytes: without_padding(&unhex(entry["hex"].as_str()?)?).to_vec(),
        })
    }

    /// The fields in which `got` differs from this recorded packet.
    pub(super) fn differences(&self, got: &Self, vary: &mut Vary) -> Vec<FieldDifference> {
        if vary.has_free_ports() {
            return self.field_differences(got, vary);
        }
        let expected = without_chance(&self.bytes, self.is_forwarded);
        let got = without_chance(&got.bytes, self.is_forwarded);
        if expected == got {
            return Vec::new();
        }
        let decoded = unequal_fields(&decode(&expected), &decode(&got));
        if decoded.is_empty() {
            return vec![("hex".to_owned(), hex(&expected), hex(&got))];
        }
        decoded
    }

    fn field_differences(&self, got: &Self, vary: &mut Vary) -> Vec<FieldDifference> {
        let (mut expected, mut got) = (decode(&self.bytes), decode(&got.bytes));
        let mut differences = Vec::new();
        for prefix in ["", "inner."] {
            judge_ports(prefix, &expected, &mut got, vary, &mut differences);
        }
        let random: &[&str] =
            if self.is_forwarded { &["fragid"] } else { &["fragid", "ipid", "flow"] };
        for field in random {
            expected.remove(*field);
            got.remove(*field);
        }
        differences.extend(unequal_fields(&expected, &got));
        differences
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = decode(&self.bytes);
        let text = |name: &str| fields.get(name).map(|value| value.to_string().replace('"', ""));
        let host = |address: &str, port: &str| match (text(address), text(port)) {
            (Some(address), Some(port)) => format!("{address}:{port}"),
            (address, _) => address.unwrap_or_default(),
        };
        write!(f, "{} > {}", host("src", "sport"), host("dst", "dport"))?;
        for name in ["proto", "tcpflags", "seq", "type", "code", "id", "frag", "raw"] {
            if let Some(value) = text(name) {
                write!(f, " {name} {value}")?;
            }
        }
        Ok(())
    }
}

/// Judges the ports at the level `prefix`, and puts the expected ones into `got`.
fn judge_ports(
    prefix: &str,
    expected: &Fields,
    got: &mut Fields,
    vary: &mut Vary,
    differences: &mut Vec<FieldDifference>,
) {
    let text = |name: &str| expected.get(&format!("{prefix}{name}")).and_then(Value::as_str);
    let protocol = text("proto").unwrap_or_default();
    let (source, destination) = (text("src").unwrap_or_default(), text("dst").unwrap_or_default());
    let owners: [(&str, &[&str]); 3] =
        [("sport", &[source]), ("dport", &[destination]), ("id", &[source, destination])];
    for (name, addresses) in owners {
        let name = format!("{prefix}{name}");
        let port = |fields: &Fields| fields.get(&name).and_then(Value::as_u64);
        let (Some(want), Some(have)) = (port(expected), port(got)) else { continue };
        if let Err(right) = vary.judge_port(protocol, addresses, want, have) {
            differences.push((name.clone(), right, have.to_string()));
        }
        got.insert(name, want.into());
    }
}

fn unequal_fields(expected: &Fields, got: &Fields) -> Vec<FieldDifference> {
    let missing = Value::Null;
    let value = |fields: &Fields, name: &str| fields.get(name).unwrap_or(&missing).to_string();
    let added = got.keys().filter(|name| !expected.contains_key(*name));
    let names = expected.keys().chain(added);
    let unequal = names.filter(|name| expected.get(*name) != got.get(*name));
    unequal.map(|name| (name.clone(), value(expected, name), value(got, name))).collect()
}

/// Cuts off what lies behind the end that the IP header tells.
fn without_padding(packet: &[u8]) -> &[u8] {
    let word = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let end = match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => word(2),
        Some(6) if packet.len() >= 40 => 40 + word(4),
        _ => return packet,
    };
    if end >= 20 { packet.get(..end).unwrap_or(packet) } else { packet }
}

/// The packet with zeros where the kernel draws at random.
pub(super) fn without_chance(packet: &[u8], is_forwarded: bool) -> Vec<u8> {
    let mut packet = packet.to_vec();
    match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 && !is_forwarded => clear_ipv4_id(&mut packet),
        Some(6) if packet.len() >= 40 => {
            if !is_forwarded {
                packet[1] &= 0xf0;
                packet[2..4].fill(0);
            }
            clear_fragment_id(&mut packet);
        }
        _ => {}
    }
    packet
}

/// A wrong header checksum must stay visible, and then so does the identification.
fn clear_ipv4_id(packet: &mut [u8]) {
    let header_len = usize::from(packet[0] & 15) * 4;
    let header = packet.get(..header_len).unwrap_or(packet);
    if internet_checksum(&[header]) == 0 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
}

fn clear_fragment_id(packet: &mut [u8]) {
    const FRAGMENT: u8 = 44;
    let (mut kind, mut at) = (packet[6], 40);
    while let Some((next, len)) = extension_header(kind, &packet[at..]) {
        if kind == FRAGMENT {
            packet[at + 4..at + 8].fill(0);
            return;
        }
        (kind, at) = (next, packet.len().min(at + len));
    }
}

/// The bytes that hexadecimal digits tell; `None` if they are none.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let (pairs, odd) = digits.as_ref()?.as_chunks::<2>();
    odd.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
