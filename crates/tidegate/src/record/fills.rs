//! How full a table was: what each snapshot of a recording counted, without a look at its flows.

use std::path::Path;

use tidegate_gateway::snapshot::Opening;

use super::segments;
use crate::client::{Place, Saved, Table};
use crate::cmd::count::counts;

/// How full it was at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// In nanoseconds since 1970.
    pub(crate) time: u64,
    /// In thousandths of the limit.
    pub(crate) permille: u64,
}

/// Those of a directory between two moments, the oldest first, of the tables that are meant. What can't be read is
/// passed over: it is no part of what is asked.
pub(crate) fn fills(dir: &Path, span: [u64; 2], is_meant: impl Fn(&Opening) -> bool) -> Vec<Fill> {
    let fill = |path: &std::path::PathBuf| {
        let saved = Saved::new(path, None);
        let opening = saved.opening().ok()?;
        if !(span[0]..=span[1]).contains(&opening.time) || !is_meant(&opening) {
            return None;
        }
        let counts = counts(&mut Table::open(&Place::File(saved)).ok()?).ok()?;
        let max = counts.max.filter(|max| *max > 0)?;
        let permille = u64::from(counts.entries) * 1000 / u64::from(max);
        Some(Fill { time: opening.time, permille })
    };
    segments(dir).unwrap_or_default().iter().filter_map(fill).collect()
}

/// What 95 of a hundred didn't exceed; `None` of too few.
pub(crate) fn ninety_fifth(fills: &[Fill]) -> Option<u64> {
    let mut all: Vec<u64> = fills.iter().map(|fill| fill.permille).collect();
    all.sort_unstable();
    let rank = (all.len() * 95).div_ceil(100);
    all.get(rank.checked_sub(1)?).copied().filter(|_| all.len() >= FEWEST)
}

/// Of fewer the 95th percentile says no more than the highest.
const FEWEST: usize = 4;
