//! `tidegate snapshot`: writes a table to a file, for later, for elsewhere, or for others.

use super::Failure;
use crate::flags::snapshot::SnapshotArgs;
use crate::message as say;
use crate::snapshot::Subject;

/// Runs the command.
pub(crate) fn run(args: &SnapshotArgs) -> Result<(), Failure> {
    let place = args.place.place_or(args.filter.file());
    place.enter()?;
    let filter = args.filter.filter_on(&place)?;
    let closing = Subject { place: &place, filter: &filter }.save(&args.output)?;
    let path = args.output.display();
    say::summary(format_args!("{} flow entries have been written to {path}.", closing.flows));
    Ok(())
}
