//! The command line of `doctor`.

use clap::Args;

use super::place::PlaceArgs;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// As JSON
    #[arg(short, long)]
    pub(crate) json: bool,

    /// Show all that the checks found, notes and rules for NOTRACK as well, on as many lines as that takes
    #[arg(short, long)]
    pub(crate) all: bool,

    /// List the table for so many seconds at most; what was seen by then is shown as partial
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) time: f64,

    /// Columns of the page [default: those of the terminal, or 120]
    #[arg(long, value_name = "COLUMNS")]
    pub(crate) width: Option<usize>,
}

pub(crate) const NOTES: &str = "\
Nothing is changed, and nothing leaves the machine. Lines to paste say how many live flows they touch: answered ones
that were idle for no longer than RFC 5382 (TCP: 2 h 4 min) and RFC 4787 (UDP: 2 min) have a NAT keep them.

Exit status, as monitoring plugins have it: 0 all is well, 1 warning, 2 critical (or the command line is wrong), 3 it
could not be told.";
