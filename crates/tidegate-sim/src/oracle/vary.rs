//! What may differ in one scenario (`vary.json`).
//!
//! The kernel picks some NAT ports at random. A replay may pick others, but they must lie in the
//! same range and be paired one to one with the recorded ones over the whole scenario, so the
//! pairs are kept from packet to packet.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::Value;

/// Seconds that a time-out may differ: the kernel's clock ran up to a quarter of a second behind.
const TIMEOUT_TOLERANCE: u64 = 1;

/// The licences of a scenario, and the port pairs seen so far.
#[derive(Debug, Default)]
pub(super) struct Vary {
    free_ports: Vec<FreePorts>,
    skips: Vec<Skip>,
    timeout_tolerance: u64,
    pairs: BTreeMap<(String, String), Pairs>,
}

#[derive(Debug)]
struct FreePorts {
    address: String,
    range: RangeInclusive<u64>,
    /// Empty means all.
    protocols: Vec<String>,
    keep: Vec<u64>,
    /// Empty means all.
    only: Vec<u64>,
}

/// The recorded ports of an address and protocol, and the replay's that stand for them.
#[derive(Debug, Default)]
struct Pairs {
    by_expected: BTreeMap<u64, u64>,
    by_got: BTreeMap<u64, u64>,
}

#[derive(Debug)]
struct Skip {
    /// `None` means every packet.
    index: Option<u64>,
    field: String,
}

impl Vary {
    /// The licences in `spec`, the contents of `vary.json`; null grants none.
    pub(super) fn new(spec: &Value) -> Self {
        Self {
            free_ports: list(&spec["nat_ports"]).iter().map(FreePorts::new).collect(),
            skips: list(&spec["skip"]).iter().map(Skip::new).collect(),
            timeout_tolerance: spec["timeout_tolerance"].as_u64().unwrap_or(TIMEOUT_TOLERANCE),
            pairs: BTreeMap::new(),
        }
    }

    /// Whether any port is free. If so, packets are compared field by field instead of by bytes.
    pub(super) fn has_free_ports(&self) -> bool {
        !self.free_ports.is_empty()
    }

    /// Whether `field` of packet `index` (`None`: the end) is not to be compared.
    pub(super) fn skips(&self, index: Option<usize>, field: &str) -> bool {
        let index = index.map(|index| index as u64);
        self.skips.iter().any(|s| s.field == field && (s.index.is_none() || s.index == index))
    }

    /// Whether two time-outs in seconds count as equal.
    pub(super) fn same_timeout(&self, expected: u64, got: u64) -> bool {
        expected.abs_diff(got) <= self.timeout_tolerance
    }

    /// Judges the port or ICMP identifier `got` where `expected` was recorded. `addresses` are
    /// those it may belong to. The error says what would have been right.
    pub(super) fn judge_port(
        &mut self,
        protocol: &str,
        addresses: &[&str],
        expected: u64,
        got: u64,
    ) -> Result<(), String> {
        let is_its = |licence: &&FreePorts| licence.covers(protocol, addresses, expected);
        let licence = self.free_ports.iter().find(is_its);
        match licence {
            Some(licence) if !licence.keep.contains(&expected) => {
                let place = (protocol.to_owned(), licence.address.clone());
                self.pairs.entry(place).or_default().judge(&licence.range, expected, got)
            }
            _ if expected == got => Ok(()),
            _ => Err(expected.to_string()),
        }
    }
}

impl FreePorts {
    fn new(spec: &Value) -> Self {
        let min = spec["min"].as_u64().unwrap_or(1);
        let max = spec["max"].as_u64().unwrap_or(65535);
        Self {
            address: spec["addr"].as_str().unwrap_or_default().to_owned(),
            range: min..=max,
            protocols: list(&spec["l4"])
                .iter()
                .filter_map(|protocol| protocol.as_str().map(str::to_owned))
                .collect(),
            keep: list(&spec["keep"]).iter().filter_map(Value::as_u64).collect(),
            only: list(&spec["only"]).iter().filter_map(Value::as_u64).collect(),
        }
    }

    fn covers(&self, protocol: &str, addresses: &[&str], expected: u64) -> bool {
        let all_protocols = self.protocols.is_empty();
        let is_meant = self.only.is_empty() || self.only.contains(&expected);
        is_meant
            && addresses.contains(&self.address.as_str())
            && (all_protocols || self.protocols.iter().any(|covered| covered == protocol))
    }
}

impl Pairs {
    fn judge(
        &mut self,
        range: &RangeInclusive<u64>,
        expected: u64,
        got: u64,
    ) -> Result<(), String> {
        match (self.by_expected.get(&expected), self.by_got.get(&got)) {
            (Some(paired), _) if *paired == got => Ok(()),
            (Some(paired), _) => Err(format!("{paired}, which stands for {expected}")),
            (None, Some(other)) => Err(format!("a port of its own, not the one of {other}")),
            (None, None) if !range.contains(&expected) && expected == got => Ok(()),
            (None, None) if !range.contains(&expected) => Err(expected.to_string()),
            (None, None) if !range.contains(&got) => {
                Err(format!("a port in {}-{}", range.start(), range.end()))
            }
            (None, None) => {
                self.by_expected.insert(expected, got);
                self.by_got.insert(got, expected);
                Ok(())
            }
        }
    }
}

impl Skip {
    fn new(spec: &Value) -> Self {
        Self {
            index: spec["index"].as_u64(),
            field: spec["field"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
