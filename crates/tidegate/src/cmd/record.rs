//! `tidegate record`: keeps a table's history on disk, for whoever comes when it is over.

use std::sync::Arc;
use std::time::Duration;

use super::{Failure, events, snapshot};
use crate::flags::snapshot::RecordArgs;
use crate::record::recorder::Recorder;

/// Runs the command.
pub(crate) fn run(args: &RecordArgs) -> Result<(), Failure> {
    let place = args.place.place();
    place.enter()?;
    let recorder = Recorder {
        place,
        dir: args.dir.clone(),
        every: Duration::from_secs(args.every.into()),
        keep: args.keep,
        events: !args.no_events,
        redactor: snapshot::redactor(args.redact.as_ref())?.map(Arc::new),
    };
    recorder.run(&events::stop_flag()?)
}
