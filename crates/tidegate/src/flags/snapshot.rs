//! The command line of what writes tables down.

use std::path::PathBuf;

use clap::Args;

use super::filter::FilterArgs;
use super::place::PlaceArgs;
use crate::filter::{amount, timeout};
use crate::record::DEFAULT_DIR;

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// The file; it is replaced when the new one is whole
    #[arg(short = 'o', long = "output", visible_alias = "write", value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Write other addresses, under the key in this file or under one that nobody knows
    #[arg(long, value_name = "KEYFILE", num_args = 0..=1, require_equals = true)]
    pub(crate) redact: Option<Option<PathBuf>>,
}

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Where to: it is made if it isn't there
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Time between two snapshots
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "15m")]
    pub(crate) every: u32,
    /// Bytes that all may have; the oldest goes first
    #[arg(long, value_name = "BYTES", value_parser = amount, default_value = "1G")]
    pub(crate) keep: u64,
    /// Only snapshots: nothing of what happens between
    #[arg(long)]
    pub(crate) no_events: bool,
    /// Write other addresses, under the key in this file or under one that nobody knows
    #[arg(long, value_name = "KEYFILE", num_args = 0..=1, require_equals = true)]
    pub(crate) redact: Option<Option<PathBuf>>,
}

pub(crate) const RECORD_NOTES: &str = "\
Every command that reads a table takes --at TIME, and --read DIR if the recording lies elsewhere: it shows the table as it
was then. Where something was missed it says so. Recording ends with SIGINT or SIGTERM; a crash costs the last second.

Exit status: 0 it was told to stop; 1 a file is at fault, or somebody records there already; 2 the command line is wrong;
3 not permitted; 4 there is no such namespace, socket or table.";

pub(crate) const SNAPSHOT_NOTES: &str = "\
The file holds what the table said, unchanged: settings, statistics, expectations, flows. Every command that reads a
table takes it with --read FILE, or -r FILE. With --read a snapshot is copied, in whole or in part.

Exit status: 0 all is well; 1 a file is at fault; 2 the command line is wrong; 3 not permitted; 4 there is no such
namespace, socket or table.";
