//! The table on stdout: a line a row, as soon as it is measured.

use crate::session::Row;

/// The heading.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<20} {:<5} {:>7} {:>9} {:>8} {:>7} {:>7} {:>9} {:>8}  {}",
        "row", "", "flows", "ns", "limit ns", "/limit", "/floor", "bytes/fl", "allocs", "remarks"
    )
}

/// A row's line.
#[must_use]
pub fn line(row: &Row) -> String {
    format!(
        "{:<20} {:<5} {:>7} {:>9} {:>8} {:>7} {:>7} {:>9} {:>8}  {}",
        row.row,
        row.family,
        flows(row.flows),
        number(row.ns, 1),
        number(row.limit_ns, 1),
        number(row.ratio_limit, 1),
        number(row.ratio_floor, 2),
        number(row.bytes_per_flow, 0),
        number(row.allocs, 3),
        remarks(row),
    )
    .trim_end()
    .to_owned()
}

/// `1k`, `100k`, `10M`.
#[must_use]
pub fn flows(count: u32) -> String {
    match count {
        _ if count.is_multiple_of(1_000_000) => format!("{}M", count / 1_000_000),
        _ if count.is_multiple_of(1000) => format!("{}k", count / 1000),
        _ => count.to_string(),
    }
}

fn remarks(row: &Row) -> String {
    let mut remarks = Vec::new();
    if let Some(ratio) = row.ratio {
        remarks.push(format!("ratio {ratio:.2}"));
    }
    if let Some(ratio) = row.ratio_random {
        remarks.push(format!("to random {ratio:.2}"));
    }
    if let (Some(slowest), Some(median)) = (row.slowest_burst_ns, row.median_burst_ns) {
        remarks.push(format!("burst {:.0} us, slowest {:.0} us", median / 1e3, slowest / 1e3));
    }
    if let Some(always) = row.slowest_burst_always_ns {
        remarks.push(format!("in every run {:.0} us", always / 1e3));
    }
    if let Some(spin) = row.slowest_spin_ns {
        remarks.push(format!("arithmetic as long {:.0} us", spin / 1e3));
    }
    remarks.extend(row.note.clone());
    remarks.join("; ")
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
