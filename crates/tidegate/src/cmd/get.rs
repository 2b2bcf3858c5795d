//! `tidegate get`: one flow, by a tuple.

use std::io;

use tidegate_wire::netlink::conntrack::{Attribute, message};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Family, Tuple};

use super::{Failure, watch};
use crate::client::{Flow, Request, Table, kept};
use crate::flags::table::GetArgs;
use crate::message as say;
use crate::render::flow::Printer;

/// Runs the command.
pub(crate) fn run(args: &GetArgs) -> Result<(), Failure> {
    let style = args.output.style().map_err(Failure::Usage)?;
    let interval = args.watch.interval().map_err(Failure::Usage)?;
    let tuple = args.tuple.tuple().map_err(Failure::Usage)?;
    let family = Family::of(args.tuple.family().map_err(Failure::Usage)?);
    let request = request(family, tuple, args.tuple.zone, args.reply);
    let place = args.place.place();
    place.enter()?;
    let mut table = Table::open(&place)?;
    watch::repeat(interval, || {
        let answer = table.ask(&request)?;
        let mut printer = Printer::new(io::stdout().lock(), style, place.now()?);
        if let Some(message) = answer.as_deref().and_then(kept) {
            printer.flow(&Flow::parse(&message)?, None)?;
        }
        printer.finish()?;
        say::summary(format_args!("{} flow entries have been shown.", printer.shown()));
        Ok(())
    })
}

/// Asks for the flow that has this tuple, as its original one or as that of its replies.
pub(crate) fn request(family: Family, tuple: Tuple, zone: Option<u16>, is_reply: bool) -> Request {
    Request::new(Subsystem::Conntrack, message::GET, family).with(|writer| {
        match is_reply {
            false => Attribute::Original(tuple).write(writer),
            true => Attribute::Reply(tuple).write(writer),
        }
        if let Some(zone) = zone {
            Attribute::Zone(zone).write(writer);
        }
    })
}
