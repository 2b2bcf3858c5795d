//! The command line of what writes tables down.

use std::path::PathBuf;

use clap::Args;

use super::filter::FilterArgs;
use super::place::PlaceArgs;

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// The file; it is replaced when the new one is whole
    #[arg(short = 'o', long = "output", visible_alias = "write", value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

pub(crate) const SNAPSHOT_NOTES: &str = "\
The file holds what the table said, unchanged: settings, statistics, expectations, flows. Every command that reads a
table takes it with --read FILE, or -r FILE. With --read a snapshot is copied, in whole or in part.

Exit status: 0 all is well; 1 a file is at fault; 2 the command line is wrong; 3 not permitted; 4 there is no such
namespace, socket or table.";
