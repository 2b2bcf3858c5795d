//! `tidegate delete`: flows that meet conditions; first only shown.

use std::io::{self, BufWriter};

use tidegate_wire::netlink::conntrack::{Attribute, message};
use tidegate_wire::netlink::frame::Subsystem;

use super::Failure;
use super::change::{Change, family_of, flows_in, write_identity};
use crate::client::{Flow, Request};
use crate::flags::table::DeleteArgs;
use crate::message as say;
use crate::present::time_of_day;
use crate::render::flow::Printer;

/// Runs the command.
pub(crate) fn run(args: &DeleteArgs) -> Result<(), Failure> {
    let style = args.output.style().map_err(Failure::Usage)?;
    let place = args.place.place_or(args.filter.file());
    place.enter()?;
    let filter = args.filter.filter_on(&place)?;
    if filter.is_empty() {
        let what = "`delete' wants a condition; `flush' deletes all flows";
        return Err(Failure::Usage(what.to_owned()));
    }
    let change = Change { place: &place, filter: &filter, now: place.now()? };
    let mut printer = Printer::new(BufWriter::new(io::stdout().lock()), style, time_of_day());
    if !args.yes {
        change.each(|flow, _| Ok(printer.flow(flow, None)?))?;
        printer.finish()?;
        let count = printer.shown();
        say::summary(format_args!("{count} flow entries would be deleted; --yes deletes them."));
        return if count == 0 { Err(Failure::Nothing) } else { Ok(()) };
    }
    let tally = change
        .apply(request, |_, deleted| flows_in(deleted, |flow| Ok(printer.flow(flow, None)?)))?;
    printer.finish()?;
    tally.report("deleted")
}

/// Deletes just this flow, not another that took its place.
pub(crate) fn request(flow: &Flow<'_>) -> Request {
    Request::new(Subsystem::Conntrack, message::DELETE, family_of(flow)).with(|writer| {
        write_identity(flow, writer);
        if let Some(id) = flow.id {
            Attribute::Id(id).write(writer);
        }
    })
}
