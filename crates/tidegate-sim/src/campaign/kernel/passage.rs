//! What a packet's way through the hooks says of its class, its verdict and what left.

use serde_json::{Value, json};
use tidegate_gateway::text::PacketLine;

use super::record::Output;
use super::trace::Visit;
use crate::campaign::experiment::Side;
use crate::oracle::hex;

/// A packet's way, judged.
#[derive(Debug)]
pub(super) struct Passage {
    /// Its conntrack state at PREROUTING.
    pub(super) state: Option<&'static str>,
    /// Its direction there.
    pub(super) direction: Option<&'static str>,
    /// The kernel's name of its entry.
    pub(super) entry: Option<u64>,
    /// `forward`, `local`, `reject`, `consumed` or `drop`.
    pub(super) verdict: &'static str,
    /// Where it ended.
    pub(super) stage: &'static str,
    /// Its mark at the end of its way.
    pub(super) mark: u64,
    /// What left because of it.
    pub(super) outputs: Vec<Output>,
    /// Whether the router sent a packet to itself on the way.
    pub(super) is_to_itself: bool,
    /// Who makes what was not forwarded.
    author: &'static str,
}

impl Passage {
    /// Judges a packet by where it was seen and what left; `None` if the kernel tells too little.
    pub(super) fn new(visits: &[Visit], left: Vec<(Side, Vec<u8>)>) -> Option<Self> {
        let classified = visits.iter().find(|visit| visit.chain == "pre2");
        let state = classified.map(|visit| visit.state.unwrap_or("INVALID"));
        let entry = classified.and_then(|visit| visit.entry);
        if state.is_some_and(|state| !["INVALID", "UNTRACKED"].contains(&state)) && entry.is_none()
        {
            return None;
        }
        let last = last_header(visits);
        let mut outputs: Vec<Output> = left
            .into_iter()
            .map(|(side, datagram)| {
                let is_forwarded = last.is_some_and(|header| is_of_flow(header, &datagram));
                Output { side, datagram, is_forwarded }
            })
            .collect();
        outputs.sort_by_key(|output| output.side);
        let is_out = outputs.iter().any(|output| output.is_forwarded);
        let stage = stage(visits, is_out, last.is_some());
        let author = author(stage);
        let is_answered = outputs.iter().any(|output| !output.is_forwarded);
        let verdict = match stage {
            "out" => "forward",
            "local" => "local",
            "defrag" => "consumed",
            _ if author == "reject" && is_answered => "reject",
            _ => "drop",
        };
        let direction = entry.map(|(_, is_reply)| if is_reply { "REPLY" } else { "ORIGINAL" });
        let (entry, mark) = (entry.map(|(id, _)| id), mark(visits, last));
        let is_to_itself = is_to_itself(visits);
        Some(Self { state, direction, entry, verdict, stage, mark, outputs, is_to_itself, author })
    }

    /// An output in the words of the format.
    pub(super) fn output_value(&self, output: &Output) -> Value {
        json!({
            "port": output.side.name(),
            "by": if output.is_forwarded { "fwd" } else { self.author },
            "hex": hex(&output.datagram),
            "txt": PacketLine(&output.datagram).to_string(),
        })
    }
}

/// Whether what the router made came in again, by its loopback interface.
fn is_to_itself(visits: &[Visit]) -> bool {
    let mut chains = visits.iter().map(|visit| visit.chain.as_str());
    chains.any(|chain| chain == "out0") && chains.any(|chain| chain == "pre0")
}

/// The header with which the packet itself left POSTROUTING. Packets that the router makes
/// meanwhile come there by OUTPUT.
fn last_header(visits: &[Visit]) -> Option<&[u8]> {
    let mut is_forwarded = false;
    let mut is_made_here = false;
    let mut header = None;
    for visit in visits {
        match visit.chain.as_str() {
            "fw1" => is_forwarded = true,
            "post1" if is_forwarded && !is_made_here => header = Some(visit.header.as_slice()),
            _ => {}
        }
        is_made_here = visit.chain.starts_with("out") || is_made_here && visit.chain == "post0";
    }
    header
}

fn is_of_flow(header: &[u8], datagram: &[u8]) -> bool {
    // Headers that the trace could not read.
    let (Some(first), Some(other)) = (header.first(), datagram.first()) else { return true };
    let alike = |range: std::ops::Range<usize>| header.get(range.clone()) == datagram.get(range);
    match (first >> 4, other >> 4) {
        (4, 4) => alike(12..20) && alike(9..10),
        (6, 6) => alike(8..40) && (alike(6..7) || datagram.get(6) == Some(&FRAGMENT_HEADER)),
        _ => false,
    }
}

fn stage(visits: &[Visit], is_out: bool, left_postrouting: bool) -> &'static str {
    let seen = |chain: &str| visits.iter().any(|visit| visit.chain == chain);
    match () {
        () if !seen("pre0") => "rx",
        () if !seen("pre1") => "defrag",
        () if !seen("pre2") => "raw",
        () if !seen("pre3") => "prerouting",
        () if seen("in1") => "local",
        () if seen("in0") => "input",
        () if !seen("fw0") => "routing",
        () if !seen("fw1") => "forward",
        () if is_out => "out",
        () if left_postrouting => "confirm",
        () => "postrouting",
    }
}

fn author(stage: &str) -> &'static str {
    match stage {
        "local" => "local",
        "input" | "forward" | "postrouting" => "reject",
        _ => "router",
    }
}

fn mark(visits: &[Visit], last: Option<&[u8]>) -> u64 {
    let is_own = |visit: &&Visit| {
        let hook = &visit.chain[..3.min(visit.chain.len())];
        ["pre", "fw0", "fw1", "in0", "in1"].contains(&hook)
            || visit.chain == "post1" && Some(visit.header.as_slice()) == last
    };
    visits.iter().rfind(is_own).map_or(0, |visit| visit.mark)
}

const FRAGMENT_HEADER: u8 = 44;

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: what it shows, the chains that a packet and what it brings about are seen in, in their order.
    #[test]
    fn a_router_speaks_to_itself_if_what_it_makes_comes_in() {
        let rows = [
            ("forwarded", "pre0 pre2 fw1 post1", false),
            ("delivered", "pre0 pre2 in1", false),
            ("refused with a reset", "pre0 pre2 fw1 out0 out2 post0 post1", false),
            ("refused, to an address of the router's own", "pre0 fw1 out0 post0 pre0 in1", true),
            ("nothing was seen", "", false),
        ];
        for (what, chains, expected) in rows {
            let visit = |chain: &str| Visit {
                chain: chain.to_owned(),
                mark: 0,
                header: Vec::new(),
                entry: None,
                state: None,
            };
            let visits: Vec<_> = chains.split_whitespace().map(visit).collect();
            assert_eq!(is_to_itself(&visits), expected, "{what}");
        }
    }
}
