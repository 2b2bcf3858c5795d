//! The command line of `retime`.

use std::path::PathBuf;

use clap::Args;

use super::filter::FilterArgs;
use super::place::PlaceArgs;
use crate::filter::timeout;

#[derive(Debug, Args)]
pub(crate) struct RetimeArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// What is left of their lives from now on, if it is more: 30s
    #[arg(long, value_name = "TIME", value_parser = timeout, required_unless_present = "undo")]
    pub(crate) to: Option<u32>,
    /// Give flows back what they had, from the file of an earlier run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "undo_to"])]
    pub(crate) undo: Option<PathBuf>,
    /// Where to keep what flows had [default: retime-TIME.undo in the current directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) undo_to: Option<PathBuf>,
    /// One JSON object
    #[arg(long, short)]
    pub(crate) json: bool,
    /// Do it; without this it is only shown what would be changed
    #[arg(long, short)]
    pub(crate) yes: bool,
}

pub(crate) const RETIME_NOTES: &str = "\
Flows whose life is cut to TIME drain unless they carry a packet before: that one gives them the whole timeout of their
state back. So idle ones go and live ones stay; LIVE counts those that may have carried one in the last five minutes,
or of which it isn't known. A flow that is gone loses its NAT binding: what comes from outside
doesn't reach it any more, what comes from inside begins anew.

Flows that may not meet a condition on idle time (see --idle) are left alone. Flows that have less than TIME left keep it.
What flows had is written to a file before anything is changed; `retime --undo FILE --yes' gives it back, less the time
that passed, to those that are still there and were not heard of since.

Exit status: 0 all is well; 1 there is no such entry, or it was not done; 2 the command line is wrong;
3 not permitted; 4 there is no such namespace, socket or table; 5 done in part: stderr says which.";
