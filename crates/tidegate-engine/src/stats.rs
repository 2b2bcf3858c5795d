//! Counters, under the kernel's names.
//!
//! `found` counts tuples that NAT found taken, not look-ups; `insert` counts
//! only insertions by command, as Linux does. Drops and INVALID packets are
//! counted by reason as well, which Linux does not do.

use crate::synproxy::SynproxyStats;
use crate::track::InvalidReason;
use crate::verdict::DropReason;

/// All counters of one engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// NAT asked for a tuple that was taken.
    pub found: u64,
    /// Packets that conntrack judged invalid.
    pub invalid: u64,
    /// Flows inserted by command.
    pub insert: u64,
    /// Flows that could not be confirmed.
    pub insert_failed: u64,
    /// Packets that conntrack dropped.
    pub drop: u64,
    /// Flows evicted to make room.
    pub early_drop: u64,
    /// ICMP errors that belong to no flow, and malformed ICMP.
    pub error: u64,
    /// Clashes resolved at confirmation.
    pub clash_resolve: u64,
    /// Confirmations refused because of the length of a hash chain.
    pub chaintoolong: u64,
    /// What SYNPROXY did.
    pub synproxy: SynproxyStats,
    /// Dropped packets by [`DropReason::index`].
    pub drops: [u64; DropReason::COUNT],
    /// INVALID packets by [`InvalidReason::index`].
    pub invalid_reasons: [u64; InvalidReason::COUNT],
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            found: 0,
            invalid: 0,
            insert: 0,
            insert_failed: 0,
            drop: 0,
            early_drop: 0,
            error: 0,
            clash_resolve: 0,
            chaintoolong: 0,
            synproxy: SynproxyStats::default(),
            drops: [0; DropReason::COUNT],
            invalid_reasons: [0; InvalidReason::COUNT],
        }
    }
}

impl Stats {
    /// The counters that `conntrack -S` prints, with their names, in its order.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 10] {
        [
            ("found", self.found),
            ("invalid", self.invalid),
            ("insert", self.insert),
            ("insert_failed", self.insert_failed),
            ("drop", self.drop),
            ("early_drop", self.early_drop),
            ("error", self.error),
            ("search_restart", 0),
            ("clash_resolve", self.clash_resolve),
            ("chaintoolong", self.chaintoolong),
        ]
    }
}
