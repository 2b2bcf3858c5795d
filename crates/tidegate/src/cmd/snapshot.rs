//! `tidegate snapshot`: writes a table to a file, for later, for elsewhere, or for others.

use std::path::PathBuf;

use super::Failure;
use crate::client::ClientError;
use crate::flags::snapshot::SnapshotArgs;
use crate::message as say;
use crate::redact::Redactor;
use crate::snapshot::Subject;

/// Runs the command.
pub(crate) fn run(args: &SnapshotArgs) -> Result<(), Failure> {
    let place = args.place.place_or(args.filter.file());
    place.enter()?;
    let filter = args.filter.filter_on(&place)?;
    let redactor = redactor(args.redact.as_ref())?;
    let subject = Subject { place: &place, filter: &filter };
    let closing = match &redactor {
        None => subject.save(&args.output)?,
        Some(redactor) => subject.save_redacted(&args.output, redactor)?,
    };
    let path = args.output.display();
    say::summary(format_args!("{} flow entries have been written to {path}.", closing.flows));
    Ok(())
}

/// Who makes addresses unrecognisable, if that is wished for.
pub(super) fn redactor(wish: Option<&Option<PathBuf>>) -> Result<Option<Redactor>, Failure> {
    let Some(path) = wish else { return Ok(None) };
    let at = |error| ClientError::File { path: path.clone().unwrap_or_default(), error };
    Ok(Some(Redactor::of_file(path.as_deref()).map_err(at)?))
}
