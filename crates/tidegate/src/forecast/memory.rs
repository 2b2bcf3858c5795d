//! What a table takes: entries of the size that the system's allocator says, and buckets.

use std::fs;

use serde::Serialize;

/// What an entry and a bucket take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Bytes of an entry, without its extensions.
    pub(crate) entry: u64,
    /// Whether that was read from `/proc/slabinfo`, not assumed.
    pub(crate) is_measured: bool,
}

impl Memory {
    /// That of the running kernel, if it may be asked (root), else of Linux 6.18 on 64 bits.
    pub(crate) fn of_system() -> Self {
        let text = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        match object_size(&text) {
            Some(entry) => Self { entry, is_measured: true },
            None => Self { entry: ASSUMED, is_measured: false },
        }
    }

    /// Bytes of so many flows in a table of so many buckets.
    pub(crate) fn of(self, flows: f64, buckets: u64) -> u64 {
        (flows * self.entry as f64) as u64 + buckets * BUCKET
    }
}

/// Reads `nf_conntrack 1234 1300 256 ...`: the fourth word is an object's size.
fn object_size(slabinfo: &str) -> Option<u64> {
    let is_ours = |line: &&str| line.split_whitespace().next() == Some("nf_conntrack");
    slabinfo.lines().find(is_ours)?.split_whitespace().nth(3)?.parse().ok()
}

const ASSUMED: u64 = 256;
/// A pointer.
const BUCKET: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_the_fourth_word_of_its_line() {
        let text = "slabinfo - version: 2.1\nnf_conntrack_expect 0 0 224 36\nnf_conntrack 5 32 320 25 2 : x\n";
        assert_eq!(object_size(text), Some(320));
        assert_eq!(object_size("nothing\n"), None);
    }

    #[test]
    fn entries_and_buckets_add_up() {
        let memory = Memory { entry: 256, is_measured: true };
        assert_eq!(memory.of(262_144.0, 262_144), (64 + 2) << 20);
    }
}
