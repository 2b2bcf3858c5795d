//! `patch.json`: fields of a packet that follow what an earlier packet became.
//!
//! This is how recorded answers follow a port that NAT chose by itself. Only
//! IPv4 is patched, and the upper-layer checksum is computed anew.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_wire::checksum::{Sum, transport};
use tidegate_wire::packet::Ipv4;
use tidegate_wire::{dissect, proto};

use super::fault::{Cause, Fault};

/// One field of one packet, and where its value comes from.
#[derive(Clone, Debug, Deserialize)]
pub struct Patch {
    /// The packet that is changed.
    pub index: u64,
    /// Which field is changed.
    pub set: Field,
    /// Where the value comes from.
    pub from: Origin,
}

/// A field of an output packet of this same replay.
#[derive(Clone, Debug, Deserialize)]
pub struct Origin {
    /// The packet that caused the output.
    pub index: u64,
    /// Which of its output packets, from 0.
    #[serde(default)]
    pub out: usize,
    /// Which field.
    pub field: Field,
}

/// A 16-bit field of the upper layer, or of that of a quoted datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Field {
    /// Source port.
    #[serde(rename = "sport")]
    SrcPort,
    /// Destination port.
    #[serde(rename = "dport")]
    DstPort,
    /// ICMP identifier.
    #[serde(rename = "id")]
    Id,
    /// Source port of the quoted datagram.
    #[serde(rename = "inner.sport")]
    InnerSrcPort,
    /// Destination port of the quoted datagram.
    #[serde(rename = "inner.dport")]
    InnerDstPort,
    /// ICMP identifier of the quoted datagram.
    #[serde(rename = "inner.id")]
    InnerId,
}

/// All patches of a scenario, and the output packets that they refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct Patches {
    file: String,
    by_packet: BTreeMap<u64, Vec<Patch>>,
    /// Output of the packets that patches refer to, as it comes in.
    outputs: BTreeMap<u64, Vec<Vec<u8>>>,
}

impl Patches {
    /// Reads `patch.json`.
    pub(super) fn parse_file(file: &str, text: &str) -> Result<Self, Fault> {
        let list: Vec<Patch> = serde_json::from_str(text)
            .map_err(|error| Fault::at(file, error.line(), Cause::Json(error)))?;
        let mut patches = Self { file: file.to_owned(), ..Self::default() };
        for patch in list {
            patches.outputs.entry(patch.from.index).or_default();
            patches.by_packet.entry(patch.index).or_default().push(patch);
        }
        Ok(patches)
    }

    /// Whether a patch refers to the output of packet `index`.
    pub(super) fn want_output_of(&self, index: u64) -> bool {
        self.outputs.contains_key(&index)
    }

    /// Remembers the output of packet `index`.
    pub(super) fn note_output<'a>(&mut self, index: u64, out: impl Iterator<Item = &'a [u8]>) {
        if let Some(outputs) = self.outputs.get_mut(&index) {
            outputs.extend(out.map(<[u8]>::to_vec));
        }
    }

    /// Changes packet `index` as the patches want it.
    pub(super) fn apply(&self, index: u64, datagram: &mut [u8]) -> Result<(), Fault> {
        for patch in self.by_packet.get(&index).map_or(&[][..], Vec::as_slice) {
            self.apply_one(patch, datagram).ok_or_else(|| {
                let (index, from) = (patch.index, patch.from.index);
                Fault::of(&self.file, Cause::Patch { index, from })
            })?;
        }
        Ok(())
    }

    fn apply_one(&self, patch: &Patch, datagram: &mut [u8]) -> Option<()> {
        let source = self.outputs.get(&patch.from.index)?.get(patch.from.out)?;
        let at = patch.from.field.place_in(source)?;
        let value = *source.get(at..)?.first_chunk::<2>()?;
        let at = patch.set.place_in(datagram)?;
        datagram.get_mut(at..at + 2)?.copy_from_slice(&value);
        fill_checksum(datagram)
    }
}

impl Field {
    fn place_in(self, datagram: &[u8]) -> Option<usize> {
        let outer = Ipv4::new(datagram)?.header_len();
        let inner = outer + ICMP_HEADER;
        let quoted = || Some(inner + Ipv4::new(datagram.get(inner..)?)?.header_len());
        Some(match self {
            Self::SrcPort => outer,
            Self::DstPort => outer + 2,
            Self::Id => outer + 4,
            Self::InnerSrcPort => quoted()?,
            Self::InnerDstPort => quoted()? + 2,
            Self::InnerId => quoted()? + 4,
        })
    }
}

/// Computes the upper-layer checksum of a whole IPv4 datagram.
fn fill_checksum(datagram: &mut [u8]) -> Option<()> {
    let headers = dissect(datagram).ok()?;
    let segment = datagram.get_mut(headers.l4?..headers.len)?;
    let at = match headers.proto {
        proto::ICMP => 2,
        proto::TCP => 16,
        proto::UDP => 6,
        _ => return None,
    };
    segment.get_mut(at..at + 2)?.fill(0);
    let sum = match headers.proto {
        proto::ICMP => Sum::new().bytes(segment).finish(),
        proto => transport(headers.src, headers.dst, proto, segment),
    };
    let sum = if sum == 0 && headers.proto == proto::UDP { 0xffff } else { sum };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

const ICMP_HEADER: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// 10.0.1.2:40000 > 203.0.113.2:53 UDP with five bytes of data.
    const QUERY: &str = "45000021000040003f11f4c70a000102cb0071029c400035000d9b717175657279";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digits).collect()
    }

    #[test]
    fn a_port_follows_an_earlier_output_and_the_checksum_holds() {
        let text = r#"[{"index":1,"set":"dport","from":{"index":0,"field":"sport"}}]"#;
        let mut patches = Patches::parse_file("patch.json", text).unwrap();
        assert!(patches.want_output_of(0));
        let source = bytes(QUERY);
        patches.note_output(0, std::iter::once(&source[..]));
        let mut packet = bytes(QUERY);
        patches.apply(1, &mut packet).unwrap();
        assert_eq!(packet[22..24], 40000u16.to_be_bytes());
        let headers = dissect(&packet).unwrap();
        assert_eq!(transport(headers.src, headers.dst, headers.proto, headers.payload(&packet)), 0);
    }

    #[test]
    fn a_patch_without_a_source_is_a_fault() {
        let text = r#"[{"index":1,"set":"dport","from":{"index":0,"field":"sport"}}]"#;
        let patches = Patches::parse_file("patch.json", text).unwrap();
        let fault = patches.apply(1, &mut bytes(QUERY)).unwrap_err();
        assert!(matches!(fault.cause, Cause::Patch { index: 1, from: 0 }));
    }
}
