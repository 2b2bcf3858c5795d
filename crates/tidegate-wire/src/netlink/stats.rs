//! Statistics (`CTA_STATS_…`): of one CPU, or of all.
//!
//! Of each CPU there is a message, whose [`Family::resource`](super::Family) is its number; attributes are counters.
//! Those of expectations come, by an old mistake of the kernel's, as messages of the conntrack subsystem, with the
//! number that the request had in its own.

use super::attr::{AttrError, Attrs};
use super::frame::Writer;

/// A counter of one CPU, under the name that conntrack(8) gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its attribute.
    pub kind: u16,
    /// Its name.
    pub name: &'static str,
}

/// Those of flows, in the order in which the kernel sends them.
pub const CONNTRACK: [Counter; 10] = [
    Counter { kind: 2, name: "found" },
    Counter { kind: 4, name: "invalid" },
    Counter { kind: 8, name: "insert" },
    Counter { kind: 9, name: "insert_failed" },
    Counter { kind: 10, name: "drop" },
    Counter { kind: 11, name: "early_drop" },
    Counter { kind: 12, name: "error" },
    Counter { kind: 13, name: "search_restart" },
    Counter { kind: 14, name: "clash_resolve" },
    Counter { kind: 15, name: "chaintoolong" },
];

/// Those of expectations.
pub const EXPECT: [Counter; 3] = [
    Counter { kind: 1, name: "expect_new" },
    Counter { kind: 2, name: "expect_create" },
    Counter { kind: 3, name: "expect_delete" },
];

/// How many flows there are, and may be: the attributes of the global statistics.
pub const ENTRIES: u16 = 1;
/// See [`ENTRIES`].
pub const MAX_ENTRIES: u16 = 2;

/// The counters of a message: attribute and number.
///
/// # Errors
/// Each item: the list is cut, or a value has not four bytes.
pub fn counters(attrs: Attrs<'_>) -> impl Iterator<Item = Result<(u16, u32), AttrError>> {
    attrs.map(|attr| attr.and_then(|attr| Ok((attr.kind, attr.u32()?))))
}

impl Writer<'_> {
    /// Writes a counter.
    pub fn counter(&mut self, kind: u16, count: u32) {
        self.u32(kind, count);
    }
}
