//! `tidegate expect`: the expectations of a table.

use std::io::{self, BufWriter};

use tidegate_wire::Family as IpFamily;
use tidegate_wire::netlink::Family;
use tidegate_wire::netlink::expect::{Attribute, message};
use tidegate_wire::netlink::frame::Subsystem;

use super::{Failure, watch};
use crate::client::{ClientError, Expected, Place, Request, Table};
use crate::flags::table::{
    ExpectCommand, ExpectDeleteArgs, ExpectFilterArgs, ExpectFlushArgs, ExpectListArgs,
};
use crate::message as say;
use crate::present::time_of_day;
use crate::render::flow::{Printer, Shape, Style};

/// Runs the command.
pub(crate) fn run(command: &ExpectCommand) -> Result<(), Failure> {
    match command {
        ExpectCommand::List(args) => list(args),
        ExpectCommand::Delete(args) => delete(args),
        ExpectCommand::Flush(args) => flush(args),
    }
}

fn list(args: &ExpectListArgs) -> Result<(), Failure> {
    let interval = args.watch.interval().map_err(Failure::Usage)?;
    let shape = if args.json { Shape::Json } else { Shape::Text };
    let place = args.place.place();
    place.enter()?;
    watch::repeat(interval, || {
        let count = show(&place, &args.filter, shape, |_| {})?;
        say::summary(format_args!("{count} expectations have been shown."));
        Ok(())
    })
}

/// Shows those that are meant, hands them over as well, and says how many there are.
fn show(
    place: &Place,
    filter: &ExpectFilterArgs,
    shape: Shape,
    mut take: impl FnMut(&Expected<'_>),
) -> Result<u64, Failure> {
    let out = BufWriter::new(io::stdout().lock());
    let mut printer = Printer::new(out, Style { shape, ..Style::default() }, time_of_day());
    let family = filter.family.map_or(Family::default(), |family| Family::of(family.into()));
    let request = Request::new(Subsystem::Expect, message::GET, family);
    Table::open(place)?.dump(&request, |message| {
        let expected = Expected::parse(message)?;
        if is_meant(&expected, filter) {
            take(&expected);
            printer.expected(&expected, None)?;
        }
        Ok::<_, Failure>(())
    })?;
    printer.flush()?;
    Ok(printer.shown())
}

fn is_meant(expected: &Expected<'_>, filter: &ExpectFilterArgs) -> bool {
    let ExpectFilterArgs { family, helper, dport } = filter;
    family.is_none_or(|family| IpFamily::from(family).number() == expected.family)
        && helper.as_ref().is_none_or(|name| expected.helper == Some(name.as_bytes()))
        && dport.is_none_or(|port| expected.tuple.dport == Some(port))
}

fn delete(args: &ExpectDeleteArgs) -> Result<(), Failure> {
    let ExpectFilterArgs { family, helper, dport } = &args.filter;
    if family.is_none() && helper.is_none() && dport.is_none() {
        let what = "`expect delete' wants a condition; `expect flush' deletes all expectations";
        return Err(Failure::Usage(what.to_owned()));
    }
    let place = args.place.place();
    place.enter()?;
    let mut requests = Vec::new();
    let count =
        show(&place, &args.filter, Shape::Text, |expected| requests.push(deletion(expected)))?;
    if !args.yes {
        say::summary(format_args!("{count} expectations would be deleted; --yes deletes them."));
        return if count == 0 { Err(Failure::Nothing) } else { Ok(()) };
    }
    let outcomes = Table::open(&place)?.exchange(&requests)?;
    let deleted = outcomes.iter().filter(|outcome| outcome.error.is_none()).count();
    say::summary(format_args!("{deleted} expectations have been deleted."));
    let mut errors = outcomes.iter().filter_map(|outcome| outcome.error);
    let refusal = errors.find(|errno| *errno != rustix::io::Errno::NOENT);
    match refusal {
        Some(errno) if deleted > 0 => {
            let why = io::Error::from(errno);
            Err(Failure::Partly(format!("not all expectations were deleted: {why}")))
        }
        Some(errno) => Err(ClientError::Refused(errno).into()),
        None if deleted == 0 => Err(Failure::Nothing),
        None => Ok(()),
    }
}

fn deletion(expected: &Expected<'_>) -> Request {
    let family = Family { family: expected.family, ..Family::default() };
    Request::new(Subsystem::Expect, message::DELETE, family).with(|writer| {
        Attribute::Tuple(expected.tuple.clone()).write(writer);
        if let Some(zone) = expected.zone {
            Attribute::Zone(zone).write(writer);
        }
        if let Some(id) = expected.id {
            Attribute::Id(id).write(writer);
        }
    })
}

fn flush(args: &ExpectFlushArgs) -> Result<(), Failure> {
    let place = args.place.place();
    place.enter()?;
    let mut table = Table::open(&place)?;
    let mut count: u64 = 0;
    let all = Request::new(Subsystem::Expect, message::GET, Family::default());
    table.dump(&all, |_| {
        count += 1;
        Ok::<_, Failure>(())
    })?;
    if !args.yes {
        say::summary(format_args!("{count} expectations would be deleted; --yes deletes them."));
        return if count == 0 { Err(Failure::Nothing) } else { Ok(()) };
    }
    table.ask(&Request::new(Subsystem::Expect, message::DELETE, Family::default()))?;
    say::summary("expectation table has been emptied.");
    Ok(())
}
