//! Settings for what shall come, as a file for `/etc/sysctl.d` that shows its arithmetic.

use std::io::{self, Write};

use super::report::{Report, Setting};
use crate::render::figures::{Count, Utc};

/// What is aimed at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Aim {
    /// How full the table shall be, in percent.
    pub(crate) fill: u8,
    /// How many times as many flows there will be.
    pub(crate) growth: f64,
}

/// Timeouts that are long enough: RFC 5382, REQ-5 asks for 2 h 4 min at least, which is what a keepalive every two hours
/// (Linux's default) takes.
pub(crate) const ADVICE: [(&str, u64); 1] = [("tcp_timeout_established", 7440)];

/// Writes the file.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write(out: &mut impl Write, report: &Report, aim: Aim) -> io::Result<()> {
    let Aim { fill, growth } = aim;
    let (before, then) = report.peak();
    let grown = then * growth;
    let wanted = grown * 100.0 / f64::from(fill);
    let size = size_of(wanted);
    let row = |number: f64| format!("{:>13}", Count(number.round() as u64).to_string());
    writeln!(out, "# For {}, listed {}.", report.table, Utc(report.time))?;
    writeln!(out, "#")?;
    let when = if report.history.is_empty() { "now" } else { "at the most of what was recorded" };
    writeln!(out, "# {}  flows {when}", row(before as f64))?;
    if !report.settings.is_empty() {
        writeln!(out, "# {}  with the timeouts below, had they been so all along", row(then))?;
    }
    writeln!(out, "# {}  times {growth}, the growth", row(grown))?;
    writeln!(out, "# {}  over {fill} %, the fill", row(wanted))?;
    writeln!(out, "# {}  up to a multiple of {STEP}, as Linux counts buckets", row(size as f64))?;
    write_memory(out, report, grown, size)?;
    writeln!(out, "#")?;
    writeln!(
        out,
        "# As many buckets as entries: each stands in two chains, so that a full table's have two on the whole."
    )?;
    let mark = write_doubt(out, report, size)?;
    writeln!(out, "{mark}net.netfilter.nf_conntrack_buckets = {size}")?;
    writeln!(out, "{mark}net.netfilter.nf_conntrack_max = {size}")?;
    report.settings.iter().try_for_each(|setting| write_timeout(out, setting))
}

/// One listing may be of a quiet hour: a lower limit than the table's is left to who knows better, and what is told is
/// the mark of a comment.
fn write_doubt(out: &mut impl Write, report: &Report, size: u64) -> io::Result<&'static str> {
    let Some(max) = report.sizes[0].max.filter(|max| size < *max && report.history.is_empty())
    else {
        return Ok("");
    };
    writeln!(
        out,
        "#\n# That is less than the {} of now, and one listing doesn't know the peak: a recording does",
        Count(max)
    )?;
    writeln!(
        out,
        "# (`tidegate record', then `tidegate plan -r DIR'). Take the marks away if this was the peak."
    )?;
    Ok("#")
}

fn write_memory(out: &mut impl Write, report: &Report, flows: f64, size: u64) -> io::Result<()> {
    let mebi = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let (expected, full) = (report.memory.of(flows, size), report.memory.of(size as f64, size));
    let entry = report.memory.entry;
    writeln!(
        out,
        "# Memory: {entry} B an entry and 8 B a bucket, extensions not counted: {} expected, {} when full.",
        mebi(expected),
        mebi(full)
    )
}

fn write_timeout(out: &mut impl Write, setting: &Setting) -> io::Result<()> {
    let Setting { name, before, after } = setting;
    if !name.contains("timeout") {
        return Ok(());
    }
    let before = before.map_or_else(|| "?".to_owned(), |seconds| seconds.to_string());
    writeln!(out, "#")?;
    if ADVICE.contains(&(name.as_str(), *after)) {
        writeln!(
            out,
            "# RFC 5382, REQ-5: 2 h 4 min at least. Who is silent for longer must send keepalives (Linux: every 2 h)."
        )?;
    }
    writeln!(
        out,
        "# It was {before}. Flows that are there keep theirs until their next packet (`tidegate retime')."
    )?;
    writeln!(out, "net.netfilter.nf_conntrack_{name} = {after}")
}

/// The size of a table for so many flows: no smaller than Linux makes it on the smallest machine.
fn size_of(wanted: f64) -> u64 {
    (wanted.ceil() as u64).max(LEAST).next_multiple_of(STEP)
}

const STEP: u64 = 512;
const LEAST: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_large_as_linux_can_make_it_exactly() {
        let rows = [(0.0, 1024), (1024.0, 1024), (1024.5, 1536), (292_968.0, 293_376)];
        for (wanted, size) in rows {
            assert_eq!(size_of(wanted), size);
        }
    }
}
