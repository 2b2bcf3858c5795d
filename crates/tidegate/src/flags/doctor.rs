//! The command line of `doctor`.

use std::path::PathBuf;

use clap::Args;

use super::place::PlaceArgs;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// The same as --read
    #[arg(short = 'r', value_name = "FILE", conflicts_with_all = ["netns", "socket", "read"])]
    pub(crate) file: Option<PathBuf>,

    /// As JSON
    #[arg(short, long)]
    pub(crate) json: bool,

    /// Show all that the checks found, notes and rules for NOTRACK as well, on as many lines as that takes
    #[arg(short, long)]
    pub(crate) all: bool,

    /// List a live table for so many seconds at most; what was seen by then is shown as partial [default: 3]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) time: Option<f64>,

    /// Columns of the page [default: those of the terminal, or 120]
    #[arg(long, value_name = "COLUMNS")]
    pub(crate) width: Option<usize>,

    /// Where the table is saved if something is wrong with it [default: the current directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) save_in: Option<PathBuf>,

    /// Show and save other addresses, for those who shall look at it: under the key in this file, or under one that nobody
    /// knows. Of a table in a file a copy is saved
    #[arg(long, value_name = "KEYFILE", num_args = 0..=1, require_equals = true)]
    pub(crate) redact: Option<Option<PathBuf>>,

    /// Don't save it
    #[arg(long, conflicts_with = "save_in")]
    pub(crate) no_save: bool,
}

pub(crate) const NOTES: &str = "\
Nothing is changed, and nothing leaves the machine. Lines to paste say how many live flows they touch: answered ones
that were idle for no longer than RFC 5382 (TCP: 2 h 4 min) and RFC 4787 (UDP: 2 min) have a NAT keep them.

Exit status, as monitoring plugins have it: 0 all is well, 1 warning, 2 critical (or the command line is wrong), 3 it
could not be told.";
