//! The command line of `tidegate-bench`.

use std::path::PathBuf;

use clap::Parser;

/// Measures the engine beside what memory allows, the least work possible, and hash maps.
#[derive(Debug, Parser)]
#[command(name = "tidegate-bench", version, about, max_term_width = 100)]
pub struct Flags {
    /// Sizes of 1k and 100k, fewer and shorter passes
    #[arg(long)]
    pub quick: bool,

    /// Also 100 million flows (needs some 30 GB)
    #[arg(long)]
    pub huge: bool,

    /// Write all rows to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Draw time and memory over the number of flows into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Only rows of this name, or whose name contains this word; several are separated by commas
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub rows: Vec<String>,

    /// These numbers of flows, as in 1k,100k,1M
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = size)]
    pub sizes: Vec<u32>,
}

impl Flags {
    /// The numbers of flows to measure.
    #[must_use]
    pub fn sizes(&self) -> Vec<u32> {
        let mut sizes = match (self.sizes.is_empty(), self.quick) {
            (false, _) => self.sizes.clone(),
            (true, true) => vec![1000, 100_000],
            (true, false) => vec![1000, 100_000, 1_000_000, 10_000_000],
        };
        if self.huge && !sizes.contains(&HUGE) {
            sizes.push(HUGE);
        }
        sizes
    }
}

fn size(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number: u32 = digits.parse().map_err(|_| format!("`{text}' is no size"))?;
    let size = number.checked_mul(unit).filter(|size| (256..=1_000_000_000).contains(size));
    size.ok_or_else(|| format!("{text} is not between 256 and 1000M"))
}

const HUGE: u32 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_have_a_unit() {
        let rows = [("1000", Some(1000)), ("1k", Some(1000)), ("10M", Some(10_000_000))];
        let faulty =
            [("", None), ("k", None), ("1G", None), ("0", None), ("-1k", None), ("9000M", None)];
        for (text, expected) in rows.into_iter().chain(faulty) {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }
}
