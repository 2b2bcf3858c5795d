//! A table's own counters, read twice. Whoever may not ask the kernel's table reads what its files show to everybody.

use std::fs;

use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::stats;

use super::super::facts::Counters;
use crate::client::{ClientError, Place, Severity, Table};
use crate::cmd::count::{Counts, counts};
use crate::cmd::{self, Failure};

/// The first look.
pub(super) struct Reader {
    place: Place,
    watch: Stopwatch,
    before: Look,
}

/// Counters by name, and the number of flows.
struct Look {
    totals: Vec<(&'static str, u64)>,
    counts: Counts,
}

impl Reader {
    /// Looks for the first time.
    pub(super) fn start(place: &Place) -> Result<Self, Failure> {
        let before = look(place)?;
        Ok(Self { place: place.clone(), watch: Stopwatch::start(), before })
    }

    /// Looks for the second time. Counters are of 32 bits, and begin again at 0.
    pub(super) fn finish(self) -> Result<(Counters, Counts), Failure> {
        let (now, span) = (look(&self.place)?, self.watch.elapsed());
        let grown = now.totals.iter().zip(&self.before.totals).map(|((name, now), (_, before))| {
            (*name, u64::from((*now as u32).wrapping_sub(*before as u32)))
        });
        let growth = i64::from(now.counts.entries) - i64::from(self.before.counts.entries);
        let grown = grown.collect();
        Ok((Counters { totals: now.totals, grown, growth, span }, now.counts))
    }
}

fn look(place: &Place) -> Result<Look, Failure> {
    match ask(place) {
        Err(Failure::Table(error)) if error.severity() == Severity::Denied => {
            of_files().ok_or(Failure::Table(error))
        }
        other => other,
    }
}

fn ask(place: &Place) -> Result<Look, Failure> {
    let mut table = Table::open(place)?;
    let totals = cmd::stats::read(&mut table)?.totals();
    let counts = counts(&mut table).or_else(|error| match error {
        ClientError::Refused(_) => Ok(Counts::default()),
        other => Err(other),
    })?;
    Ok(Look { totals, counts })
}

fn of_files() -> Option<Look> {
    let text = fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack").ok()?;
    let totals = totals_of(&text);
    let entries = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").ok()?;
    let counts = Counts { entries: entries.trim().parse().ok()?, max: None };
    Some(Look { totals, counts })
}

/// A line of names, and one of hexadecimal numbers for each processor. Some have other names than in netlink.
fn totals_of(text: &str) -> Vec<(&'static str, u64)> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let rows: Vec<Vec<u64>> = lines
        .map(|line| {
            let numbers = line.split_whitespace();
            numbers.map(|word| u64::from_str_radix(word, 16).unwrap_or(0)).collect()
        })
        .collect();
    let known = stats::CONNTRACK.iter().chain(&stats::EXPECT).map(|counter| counter.name);
    let total = |name: &'static str| {
        let column = match name {
            "clash_resolve" => "clashres",
            "chaintoolong" => "chainlength",
            "error" => "icmp_error",
            other => other,
        };
        let index = names.iter().position(|known| *known == column)?;
        Some((name, rows.iter().filter_map(|row| row.get(index)).sum()))
    };
    known.filter_map(total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_all_users_has_the_same_counters_under_other_names() {
        let text =
            "entries clashres drop chainlength expect_new\n00000005 0000000a 1 2 0\n5 1 1 0 3\n";
        let expected = [("drop", 2), ("clash_resolve", 11), ("chaintoolong", 2), ("expect_new", 3)];
        assert_eq!(totals_of(text), expected);
    }
}
