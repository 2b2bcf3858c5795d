//! `tidegate count`: how many flows there are, and may be.

use std::io::{self, Write};

use serde::Serialize;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Family, stats};

use super::{Failure, watch};
use crate::client::{ClientError, Request, Table, kept};
use crate::flags::table::CountArgs;

/// How many flows there are and may be.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// There are.
    pub(crate) entries: u32,
    /// There may be, if the table says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<u32>,
}

/// Runs the command.
pub(crate) fn run(args: &CountArgs) -> Result<(), Failure> {
    let interval = args.watch.interval().map_err(Failure::Usage)?;
    let place = args.place.place();
    place.enter()?;
    let mut table = Table::open(&place)?;
    watch::repeat(interval, || {
        let counts = counts(&mut table)?;
        let mut out = io::stdout().lock();
        match (args.json, counts.max) {
            (true, _) => writeln!(out, "{}", serde_json::to_string(&counts).unwrap_or_default())?,
            (false, Some(max)) if args.max => writeln!(out, "{} of {max}", counts.entries)?,
            (false, _) => writeln!(out, "{}", counts.entries)?,
        }
        out.flush()?;
        Ok(())
    })
}

/// Asks a table.
pub(crate) fn counts(table: &mut Table) -> Result<Counts, ClientError> {
    let request = Request::new(Subsystem::Conntrack, message::GET_STATS, Family::default());
    let answer = table.ask(&request)?;
    let mut counts = Counts::default();
    let Some(message) = answer.as_deref().and_then(kept) else { return Ok(counts) };
    let (_, attrs) = message.body()?;
    for counter in stats::counters(attrs) {
        match counter? {
            (stats::ENTRIES, count) => counts.entries = count,
            (stats::MAX_ENTRIES, count) => counts.max = Some(count),
            _ => {}
        }
    }
    Ok(counts)
}
