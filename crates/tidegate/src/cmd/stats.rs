//! `tidegate stats`: what a table counted, how fast, and what it means.

use std::io::{self, BufWriter};
use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::expect;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::stats::{self, Counter};
use tidegate_wire::netlink::tidegate::{self, Attribute};
use tidegate_wire::netlink::{Family, Message};

use super::count::counts;
use super::{Failure, watch};
use crate::client::{ClientError, Place, Request, Table};
use crate::flags::table::StatsArgs;
use crate::render::counters::{CounterPage, PerCpu, Reason};

/// Runs the command.
pub(crate) fn run(args: &StatsArgs) -> Result<(), Failure> {
    let interval = args.watch.interval().map_err(Failure::Usage)?;
    let span = args.rate.map(Duration::try_from_secs_f64).transpose();
    let span = span.map_err(|_| Failure::Usage("--rate: this is no time".to_owned()))?;
    let place = args.place.place();
    place.enter()?;
    let mut reader = Reader { place, before: None };
    if let Some(span) = span {
        reader.read()?;
        thread::sleep(span);
    }
    watch::repeat(interval, || reader.show(args, span.or(interval).is_some()))
}

/// Reads statistics, and remembers the last.
struct Reader {
    place: Place,
    before: Option<(Stopwatch, PerCpu)>,
}

impl Reader {
    fn read(&mut self) -> Result<PerCpu, Failure> {
        let read = read(&mut Table::open(&self.place)?)?;
        self.before = Some((Stopwatch::start(), read.clone()));
        Ok(read)
    }

    fn show(&mut self, args: &StatsArgs, with_rates: bool) -> Result<(), Failure> {
        let before = self.before.take();
        let now = self.read()?;
        let elapsed = before.as_ref().map(|(clock, _)| clock.elapsed());
        let earlier = before.filter(|_| with_rates).map(|(_, earlier)| earlier);
        let mut out = BufWriter::new(io::stdout().lock());
        if args.per_cpu {
            now.write_lines(&mut out)?;
        } else {
            let counts = counts(&mut Table::open(&self.place)?)?;
            let page = CounterPage {
                entries: counts.entries,
                max: counts.max,
                reasons: reasons(&self.place, &mut Table::open(&self.place)?)?,
                now: now.totals(),
                before: earlier.map(|earlier| earlier.totals()).zip(elapsed),
            };
            page.write(&mut out, args.json, args.meaning)?;
        }
        io::Write::flush(&mut out)?;
        Ok(())
    }
}

/// Why packets were dropped or called INVALID, as only an engine knows.
pub(crate) fn reasons(place: &Place, table: &mut Table) -> Result<Vec<Reason>, ClientError> {
    let Place::Engine(_) = place else { return Ok(Vec::new()) };
    let request = Request::new(Subsystem::Tidegate, tidegate::message::REASONS, Family::default());
    let mut reasons = Vec::new();
    table.dump(&request, |message| {
        reasons.push(reason(message)?);
        Ok::<_, ClientError>(())
    })?;
    Ok(reasons)
}

/// What a table counted.
pub(crate) fn read(table: &mut Table) -> Result<PerCpu, ClientError> {
    let number = message::GET_STATS_CPU;
    let flows = per_cpu(table, Subsystem::Conntrack, number, &stats::CONNTRACK)?;
    let number = expect::message::GET_STATS_CPU;
    let expectations = per_cpu(table, Subsystem::Expect, number, &stats::EXPECT)?;
    Ok(PerCpu { flows, expectations })
}

/// The counters of each processor, by its number, in the order of `known`.
fn per_cpu(
    table: &mut Table,
    subsystem: Subsystem,
    number: u8,
    known: &[Counter],
) -> Result<Vec<(u16, Vec<u32>)>, ClientError> {
    let mut rows = Vec::new();
    table.dump(&Request::new(subsystem, number, Family::default()), |message| {
        rows.push(row(message, known)?);
        Ok::<_, ClientError>(())
    })?;
    Ok(rows)
}

fn row(message: &Message<'_>, known: &[Counter]) -> Result<(u16, Vec<u32>), ClientError> {
    let (family, attrs) = message.body()?;
    let mut values = vec![0; known.len()];
    for counter in stats::counters(attrs) {
        let (kind, value) = counter?;
        if let Some(index) = known.iter().position(|counter| counter.kind == kind) {
            values[index] = value;
        }
    }
    Ok((family.resource, values))
}

fn reason(message: &Message<'_>) -> Result<Reason, ClientError> {
    let (_, attrs) = message.body()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut reason = Reason::default();
    for attribute in tidegate::attributes(attrs) {
        match attribute? {
            Attribute::Class(class) => reason.class = text(class),
            Attribute::Name(name) => reason.name = text(name),
            Attribute::Count(count) => reason.count = count,
            _ => {}
        }
    }
    Ok(reason)
}
