//! The command line, defined once: `--help` and the parser can't disagree.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// The oracle, the corpus and the campaign against the kernel.
#[derive(Debug, Parser)]
#[command(name = "tidegate-sim", about, max_term_width = 100, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send random traffic through this machine's kernel and through the engine, and compare
    #[command(after_help = CAMPAIGN_NOTES)]
    Campaign(CampaignArgs),
    /// Play both ends of connections through SYNPROXY with this machine's kernel and with the engine, and compare
    Synproxy {
        /// Only the scenarios whose names hold this
        #[arg(default_value = "")]
        name: String,
        /// Let both ends say what they like instead, once for each seed: numbers and ranges (`A..B`, without B)
        #[arg(long, value_name = "LIST", value_parser = seeds)]
        seeds: Option<Seeds>,
        /// Write what the kernel did into an archive like the built-in one
        #[arg(long, value_name = "OUT.tar.gz")]
        save: Option<PathBuf>,
    },
    /// Compare a replay with the recordings in a scenario directory or a tree of them
    Compare {
        /// A scenario directory or a tree of them
        #[arg(value_name = "EXPECTED_DIR")]
        expected: String,
        /// What `tidegate replay --format jsonl` wrote
        #[arg(value_name = "ACTUAL.jsonl")]
        actual: String,
        /// Demand the optional fields of records, too
        #[arg(long)]
        strict: bool,
        /// Print all differences of each scenario, not only the first
        #[arg(long)]
        all: bool,
    },
    /// Pack the scenarios under a directory the way the built-in corpus is
    Pack {
        /// A tree of scenarios
        dir: String,
        /// The archive
        #[arg(value_name = "OUT.tar.gz")]
        out: String,
    },
    /// Write the scenarios of the built-in corpus into a directory
    Unpack {
        /// Where to
        dir: String,
    },
    /// Write the example capture, its rules and its settings into a directory
    Example {
        /// Where to
        dir: String,
    },
    /// Write a large capture for measuring
    Traffic {
        /// The capture
        #[arg(value_name = "OUT.pcap")]
        out: String,
        /// How many packets
        packets: u64,
        /// Of how many flows
        flows: u32,
    },
    /// Fetch real captures from source packages of the distribution
    FetchCaptures {
        /// Where to
        dir: PathBuf,
    },
    /// Ask our rules what iptables' own tests of its matches and targets ask
    CheckExtensions {
        /// Its source's directory `extensions`
        dir: PathBuf,
    },
    /// Replay all captures under a directory; compare the flows of some with tshark
    CheckCaptures {
        /// Where they are
        dir: PathBuf,
    },
    /// Compare what the kernel's netlink and Tidegate's answer, and what conntrack(8) makes of both
    #[command(after_help = INTEROP_NOTES)]
    Interop {
        /// Where `tidegate` and `libtidegate_preload.so` are [default: beside this program]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CampaignArgs {
    /// Seeds: numbers and ranges (`A..B`, without B), with commas between
    #[arg(long, value_name = "LIST", value_parser = seeds, default_value = "1..501")]
    pub(crate) seeds: Seeds,

    /// Packets of each scenario; a third of them where there are times of silence
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(crate) packets: usize,

    /// Begin no scenario after this time, such as `60s`, `10m` or `2h`
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub(crate) limit: Option<Duration>,

    /// Save each difference as a scenario in a directory below this one
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,

    /// Scenarios at the same time
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) jobs: usize,

    /// Leave differences as they were found
    #[arg(long)]
    pub(crate) no_shrink: bool,
}

/// Ranges of seeds, in order.
#[derive(Debug, Clone)]
pub(crate) struct Seeds(pub(crate) Vec<Range<u64>>);

fn seeds(text: &str) -> Result<Seeds, String> {
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}' is not a number"));
    let range = |text: &str| match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => number(text).map(|seed| seed..seed + 1),
    };
    let ranges: Vec<Range<u64>> = text.split(',').map(range).collect::<Result<_, String>>()?;
    match ranges.iter().find(|range| range.is_empty()) {
        Some(range) => Err(format!("there is nothing in {}..{}", range.start, range.end)),
        None => Ok(Seeds(ranges)),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()]
        .parse()
        .map_err(|_| format!("`{text}' does not begin with a number"))?;
    let seconds = match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3600,
        _ => return Err(format!("`{unit}' is none of s, m and h")),
    };
    Ok(Duration::from_secs(seconds))
}

const CAMPAIGN_NOTES: &str = "\
Needs Linux 6.18, ip, ethtool, nft, ipset, nfct, iptables-legacy and ip6tables-legacy; root, or user
namespaces for everybody. While it runs the machine's nf_log_all_netns is on, if it may turn it. The same seed gives the same rules and packets, if the kernel answers the same.

Exit status: 0 nothing differs, 1 something does, 2 the kernel can't be asked.";

const INTEROP_NOTES: &str = "\
Needs Linux 6.18 and conntrack 1.4.7; root, or user namespaces for everybody.

Exit status: 0 nothing differs, 1 something does, 2 the kernel can't be asked.";
