//! The way of a packet through the hooks, as nftables' tracing tells it.
//!
//! [`PROBE`] is a table with a chain before, between and behind the hooks' own work. Its chains do
//! nothing but appear in the trace, with the packet's headers, mark and conntrack entry as they
//! are there.

use super::netlink::{Attributes, Message};

/// The chains that watch. `pre2` names conntrack, so conntrack and defragmentation are on; `mld`
/// keeps the router's own multicast reports out of the experiment.
pub(super) const PROBE: &str = "\
table inet probe {
 chain mld { type filter hook output priority -450; icmpv6 type { 131, 132, 133, 143 } drop; }
 chain pre0 { type filter hook prerouting priority -401; meta nftrace set 1; }
 chain pre1 { type filter hook prerouting priority -399; }
 chain pre2 { type filter hook prerouting priority -199; ct state new; }
 chain pre3 { type filter hook prerouting priority 1000; }
 chain in0 { type filter hook input priority -401; }
 chain in1 { type filter hook input priority 1000; }
 chain fw0 { type filter hook forward priority -401; }
 chain fw1 { type filter hook forward priority 1000; }
 chain out0 { type filter hook output priority -401; meta nftrace set 1; }
 chain out1 { type filter hook output priority -199; }
 chain out2 { type filter hook output priority 1000; }
 chain post0 { type filter hook postrouting priority -401; }
 chain post1 { type filter hook postrouting priority 1000; }
}
";

/// A packet in a chain of [`PROBE`].
#[derive(Debug, Clone)]
pub(super) struct Visit {
    /// The chain's name.
    pub(super) chain: String,
    /// The packet's mark.
    pub(super) mark: u64,
    /// The beginning of its IP header.
    pub(super) header: Vec<u8>,
    /// The kernel's name of its entry, and whether it goes in the reply direction.
    pub(super) entry: Option<(u64, bool)>,
    /// Its state, if it has any.
    pub(super) state: Option<&'static str>,
}

/// The visits in the messages of a trace, in order.
pub(super) fn visits(messages: &[Message]) -> Vec<Visit> {
    let mut visits = Vec::new();
    let mut previous = None;
    for message in messages.iter().filter(|message| message.kind == NFT_TRACE) {
        let attributes = Attributes::of_body(&message.body);
        if attributes.text(TABLE) != Some("probe") {
            continue;
        }
        let Some(chain) = attributes.text(CHAIN) else { continue };
        // A chain with a rule is told of twice: for the rule and for its end.
        let place = (chain.to_owned(), attributes.number(TRACE_ID));
        let header = attributes.find(NETWORK_HEADER);
        if header.is_none() && previous.as_ref() == Some(&place) {
            continue;
        }
        previous = Some(place);
        visits.push(visit(chain, header.unwrap_or_default(), attributes));
    }
    visits
}

fn visit(chain: &str, header: &[u8], attributes: Attributes<'_>) -> Visit {
    let is_reply = attributes.number(ENTRY_DIRECTION).unwrap_or_default() != 0;
    Visit {
        chain: chain.to_owned(),
        mark: attributes.number(MARK).unwrap_or_default(),
        header: header.to_vec(),
        entry: attributes.number(ENTRY_ID).map(|id| (id, is_reply)),
        state: attributes.number(ENTRY_STATE).and_then(state_name),
    }
}

/// The name of a bit of `NF_CT_STATE_*`.
fn state_name(bit: u64) -> Option<&'static str> {
    match bit {
        1 => Some("INVALID"),
        2 => Some("ESTABLISHED"),
        4 => Some("RELATED"),
        8 => Some("NEW"),
        64 => Some("UNTRACKED"),
        _ => None,
    }
}

const NFT_TRACE: u16 = 10 << 8 | 17;
// `enum nft_trace_attributes` of linux/netfilter/nf_tables.h.
const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const TRACE_ID: u16 = 6;
const NETWORK_HEADER: u16 = 8;
const MARK: u16 = 14;
const ENTRY_ID: u16 = 18;
const ENTRY_DIRECTION: u16 = 19;
const ENTRY_STATE: u16 = 21;
