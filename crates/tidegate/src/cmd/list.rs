//! `tidegate list`: the flows of a table.
//!
//! Each flow is shown as soon as it comes, and forgotten. Only who wants them sorted or counted pays for
//! remembering: all of them, or the N first.

use std::io::{self, BufWriter, StdoutLock, Write};

use tidegate_gateway::memory;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Family, tidegate};

use super::{Failure, watch};
use crate::client::{Flow, Place, Request, Table, kept};
use crate::filter::Filter;
use crate::flags::table::{Column, ListArgs, SortKey};
use crate::message as say;
use crate::render::flow::{Printer, Shape, Style};
use crate::render::groups::Groups;
use crate::render::ranking::Ranking;

/// Runs the command.
pub(crate) fn run(args: &ListArgs) -> Result<(), Failure> {
    let style = args.output.style().map_err(Failure::Usage)?;
    let interval = args.watch.interval().map_err(Failure::Usage)?;
    let place = args.place.place_or(args.filter.file());
    place.enter()?;
    warn_of_what_is_not_kept(args, &place);
    let filter = args.filter.filter_on(&place)?;
    // The command line's definition took more than a listing does.
    memory::trim();
    let listing = Listing { args, place, filter, style };
    watch::repeat(interval, || listing.show())
}

/// Conditions on what nobody counts are never met; the kernel's settings say so.
fn warn_of_what_is_not_kept(args: &ListArgs, place: &Place) {
    let Place::Kernel(_) = place else { return };
    let sorts = |column| args.sort.iter().any(|key| key.column == column);
    let counts = args.filter.needs_counters()
        || sorts(Column::Bytes)
        || sorts(Column::Packets)
        || (args.top.is_some() && args.sort.is_empty() && args.by.is_empty());
    let ages = args.filter.needs_age() || sorts(Column::Age);
    for (is_needed, name) in [(counts, "nf_conntrack_acct"), (ages, "nf_conntrack_timestamp")] {
        let path = format!("/proc/sys/net/netfilter/{name}");
        let is_off = std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "0");
        if is_needed && is_off {
            say::warning(format_args!("{name} is 0: flows that began under it don't have that"));
        }
    }
}

struct Listing<'a> {
    args: &'a ListArgs,
    place: Place,
    filter: Filter,
    style: Style,
}

/// Where flows are written to.
type Out = BufWriter<StdoutLock<'static>>;

impl Listing<'_> {
    fn show(&self) -> Result<(), Failure> {
        let out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        if !self.args.by.is_empty() {
            return self.show_groups(out);
        }
        let mut printer = Printer::new(out, self.style, self.place.now()?);
        let sort = self.order();
        let done = if sort.is_empty() {
            self.stream(&mut printer)
        } else {
            self.rank(&mut printer, &sort)
        };
        // What came before a failure is shown all the same.
        printer.finish()?;
        done?;
        say::summary(format_args!("{} flow entries have been shown.", printer.shown()));
        Ok(())
    }

    fn order(&self) -> Vec<SortKey> {
        let largest_first = SortKey { column: Column::Bytes, descends: true };
        match self.args.top {
            Some(_) if self.args.sort.is_empty() => vec![largest_first],
            _ => self.args.sort.clone(),
        }
    }

    fn stream(&self, printer: &mut Printer<Out>) -> Result<(), Failure> {
        self.each(|flow, _| Ok(printer.flow(flow, None)?))
    }

    fn rank(&self, printer: &mut Printer<Out>, sort: &[SortKey]) -> Result<(), Failure> {
        let now = self.place.now()?;
        let mut ranking = Ranking::new(sort, self.args.top);
        self.each(|flow, bytes| {
            ranking.add(flow, now, bytes);
            Ok(())
        })?;
        for bytes in ranking.into_sorted() {
            let Some(message) = kept(&bytes) else { continue };
            printer.flow(&Flow::parse(&message)?, None)?;
        }
        Ok(())
    }

    fn show_groups(&self, mut out: Out) -> Result<(), Failure> {
        let now = self.place.now()?;
        let mut groups = Groups::new(&self.args.by);
        self.each(|flow, _| {
            groups.add(flow, now);
            Ok(())
        })?;
        let count = groups.flows();
        groups.write(&mut out, self.args.top, self.style.shape == Shape::Json)?;
        out.flush()?;
        say::summary(format_args!("{count} flow entries have been counted."));
        Ok(())
    }

    /// Hands over each flow that is meant, with a way to keep its message.
    fn each(
        &self,
        mut take: impl FnMut(&Flow<'_>, &dyn Fn() -> Vec<u8>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let number = if self.args.zero { message::GET_CTRZERO } else { message::GET };
        let now = self.place.now()?;
        let request = request(&self.place, &self.filter, number);
        Table::open(&self.place)?.dump(&request, |message| {
            let flow = Flow::parse(message)?;
            if !self.filter.accepts(&flow, now) {
                return Ok(());
            }
            take(&flow, &|| crate::client::keep(message))
        })
    }
}

/// The request for the flows that a filter means. An engine is asked in its own words, which say more, unless the
/// kernel's request is of a kind of its own.
pub(crate) fn request(place: &Place, filter: &Filter, number: u8) -> Request {
    match place {
        Place::Engine(_) if number == message::GET => {
            Request::new(Subsystem::Tidegate, tidegate::message::LIST, Family::default())
                .with(|writer| filter.write_conditions(writer))
        }
        _ => Request::new(Subsystem::Conntrack, number, filter.family())
            .with(|writer| filter.push(writer)),
    }
}

/// As much is written at once.
const BUFFER: usize = 8 << 10;
