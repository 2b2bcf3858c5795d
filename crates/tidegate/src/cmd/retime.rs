//! `tidegate retime`: idle flows get a short rest of life, so that they drain and live ones stay.
//!
//! What is chosen goes to a file first: it is the undo, and it is what is then changed, so that both are the same flows.
//! Neither is ever in memory.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tidegate_gateway::snapshot::{Kind, Opening, Part, Reader, Writer};
use tidegate_wire::netlink::conntrack::{Attribute, message};
use tidegate_wire::netlink::frame::Subsystem;

use super::change::{Change, Tally, family_of, write_identity};
use super::{Failure, get};
use crate::client::{ClientError, Flow, Place, Request, Table, kept};
use crate::filter::Filter;
use crate::flags::retime::RetimeArgs;
use crate::message as say;
use crate::present::time_of_day;
use crate::render::classes::Classes;
use crate::render::figures::calendar;
use crate::snapshot::{Subject, create_private};
use crate::timers::{Timers, setting_of};

/// Runs the command.
pub(crate) fn run(args: &RetimeArgs) -> Result<(), Failure> {
    let place = args.place.place_or(args.filter.file());
    place.enter()?;
    if let (Place::File(saved), true) = (&place, args.yes) {
        return Err(ClientError::ReadOnly(saved.path.clone()).into());
    }
    match (&args.undo, args.to) {
        (Some(file), _) => undo(args, &place, file),
        (None, Some(to)) => retime(args, &place, to),
        (None, None) => Err(Failure::Usage("say --to TIME, or --undo FILE".to_owned())),
    }
}

fn retime(args: &RetimeArgs, place: &Place, to: u32) -> Result<(), Failure> {
    let filter = args.filter.filter_on(place)?;
    if filter.is_empty() {
        let what = "`retime' wants a condition, such as --idle '>2h4m'";
        return Err(Failure::Usage(what.to_owned()));
    }
    let choice = Choice { place, filter: &filter, to };
    if !args.yes {
        let classes = choice.each(|_| Ok(()))?;
        show(&classes, args.json)?;
        let count = classes.flows();
        say::summary(format_args!("{count} flow entries would get {to} s; --yes does it."));
        return if count == 0 { Err(Failure::Nothing) } else { Ok(()) };
    }
    let path = args.undo_to.clone().unwrap_or_else(default_undo);
    let classes = choice.write(&path)?;
    show(&classes, args.json)?;
    if classes.flows() == 0 {
        // There is nothing to undo; that an empty file stays is no harm.
        let _ = std::fs::remove_file(&path);
        say::summary("0 flow entries have been retimed.");
        return Err(Failure::Nothing);
    }
    let tally = change_all(place, &path, |_, flows, _| {
        Ok(flows.iter().map(|flow| Some(request(flow, to))).collect())
    })?;
    let (table, path) = (args.place.words(), say::quoted(&path.to_string_lossy()));
    say::note(format_args!("undo: tidegate retime{table} --undo {path} --yes"));
    tally.report("retimed")
}

fn show(classes: &Classes, json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    classes.write(&mut out, json)?;
    out.flush()?;
    Ok(())
}

/// Which flows get which rest of life.
struct Choice<'a> {
    place: &'a Place,
    filter: &'a Filter,
    to: u32,
}

impl Choice<'_> {
    /// Hands over the message of each flow that has more left.
    fn each(
        &self,
        mut take: impl FnMut(Vec<u8>) -> Result<(), Failure>,
    ) -> Result<Classes, Failure> {
        let timers = Timers::at(self.place)?;
        let (now, mut classes) = (self.place.now()?, Classes::default());
        let change = Change { place: self.place, filter: self.filter, now };
        change.each(|flow, message| {
            if flow.timeout.is_none_or(|rest| rest <= self.to) {
                return Ok(());
            }
            classes.add(flow, timers.idle(flow, now));
            take(message)
        })?;
        Ok(classes)
    }

    /// Writes them to a file, as they are.
    fn write(&self, path: &Path) -> Result<Classes, Failure> {
        let at = |error| Failure::Table(ClientError::File { path: path.to_owned(), error });
        let opening = Subject { place: self.place, filter: self.filter }.opening()?;
        let file = create_private(path).map_err(at)?;
        let mut writer = Writer::begin(BufWriter::new(file), &opening).map_err(at)?;
        let classes = self.each(|bytes| match kept(&bytes) {
            Some(message) => writer.message(Kind::Flows, &message).map_err(at),
            None => Ok(()),
        })?;
        writer.close(time_of_day()).map_err(at)?;
        let file = writer.into_inner().into_inner().map_err(|error| at(error.into_error()))?;
        file.sync_all().map_err(at)?;
        Ok(classes)
    }
}

/// Gives a flow another rest of life.
fn request(flow: &Flow<'_>, seconds: u32) -> Request {
    Request::new(Subsystem::Conntrack, message::NEW, family_of(flow)).with(|writer| {
        write_identity(flow, writer);
        Attribute::Timeout(seconds).write(writer);
    })
}

fn undo(args: &RetimeArgs, place: &Place, path: &Path) -> Result<(), Failure> {
    let mut restored = 0;
    let tally = change_all(place, path, |table, flows, opening| {
        let passed = time_of_day().saturating_sub(opening.time) / NANOS;
        let now = current(table, flows)?;
        let requests: Vec<_> = flows
            .iter()
            .zip(&now)
            .map(|(flow, now)| Some(request(flow, lost(flow, now.as_deref()?, passed)?)))
            .collect();
        restored += requests.iter().flatten().count();
        Ok(if args.yes { requests } else { Vec::new() })
    })?;
    if !args.yes {
        say::summary(format_args!(
            "{restored} flow entries would get back what they had; --yes does it."
        ));
        return if restored == 0 { Err(Failure::Nothing) } else { Ok(()) };
    }
    tally.report("given back what they had")
}

/// What the table says of these flows now.
fn current(table: &mut Table, flows: &[Flow<'_>]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let get =
        |flow: &Flow<'_>| get::request(family_of(flow), flow.tuples[0].clone(), flow.zone, false);
    let requests: Vec<_> = flows.iter().map(get).collect();
    Ok(table.exchange(&requests)?.into_iter().map(|outcome| outcome.data).collect())
}

/// What a flow would have left by itself, if it is the same flow, in the same state, and has less. One that went on to
/// another state has the timeout of that.
fn lost(flow: &Flow<'_>, now: &[u8], passed: u64) -> Option<u32> {
    let now = Flow::parse(&kept(now)?).ok()?;
    let rest = u64::from(flow.timeout?).checked_sub(passed)? as u32;
    let is_same =
        now.id == flow.id && now.state() == flow.state() && setting_of(&now) == setting_of(flow);
    (is_same && now.timeout? < rest).then_some(rest)
}

/// Makes a request for each flow of a file, some at a time: those that `requests` gives.
fn change_all(
    place: &Place,
    path: &Path,
    mut requests: impl FnMut(&mut Table, &[Flow<'_>], &Opening) -> Result<Vec<Option<Request>>, Failure>,
) -> Result<Tally, Failure> {
    let mut table = Table::open(place)?;
    let mut reader = Reader::open(path).map_err(ClientError::from)?;
    let (opening, mut tally) = (reader.opening().clone(), Tally::default());
    while let Some(part) = reader.part().map_err(ClientError::from)? {
        let Part::Flows(mut records) = part else { continue };
        let mut messages = Vec::new();
        records.each(|_, message| {
            messages.push(crate::client::keep(message));
            Ok::<_, ClientError>(())
        })?;
        for some in messages.chunks(AT_ONCE) {
            let parsed = some.iter().filter_map(|bytes| kept(bytes));
            let kept: Vec<_> = parsed.collect();
            let flows = kept.iter().map(Flow::parse).collect::<Result<Vec<_>, _>>()?;
            let requests = requests(&mut table, &flows, &opening)?;
            let requests: Vec<_> = requests.into_iter().flatten().collect();
            let nothing = vec![Vec::new(); requests.len()];
            tally.exchange(&mut table, &requests, nothing)?;
        }
    }
    Ok(tally)
}

/// A name that tells when.
fn default_undo() -> PathBuf {
    let [year, month, day, hour, minute, second, _] = calendar(time_of_day());
    format!("retime-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z.undo").into()
}

const NANOS: u64 = 1_000_000_000;
/// As many are changed at once.
const AT_ONCE: usize = 50;

#[cfg(test)]
mod tests {
    use tidegate_wire::netlink::conntrack::{ProtoInfo, TcpInfo};
    use tidegate_wire::netlink::{Family, Flags, Header, Tuple, Writer as MessageWriter};

    use super::*;

    /// A flow's message: its number, protocol, state, status and rest.
    fn told(id: u32, proto: u8, state: Option<u8>, status: u32, rest: u32) -> Vec<u8> {
        let kind = Header::kind_of(Subsystem::Conntrack, message::NEW);
        let header = Header { kind, flags: Flags::empty(), seq: 0, pid: 0 };
        let tuple = Tuple { proto: Some(proto), ..Tuple::default() };
        let tcp = state.map(|state| TcpInfo { state: Some(state), ..TcpInfo::default() });
        let mut bytes = Vec::new();
        MessageWriter::new(&mut bytes).message(header, Family::default(), |writer| {
            Attribute::Original(tuple).write(writer);
            Attribute::Id(id).write(writer);
            Attribute::Status(status).write(writer);
            Attribute::Timeout(rest).write(writer);
            Attribute::ProtoInfo(ProtoInfo { tcp, ..ProtoInfo::default() }).write(writer);
        });
        bytes
    }

    /// Each row: what it shows, what is there now, what it is given. Before, it had 430,000 s; 100 s passed.
    #[test]
    fn only_who_is_as_it_was_gets_its_life_back() {
        const ASSURED: u32 = 6;
        let rows = [
            ("idle since", told(1, 6, Some(3), ASSURED, 20), Some(429_900)),
            ("carried a packet", told(1, 6, Some(3), ASSURED, 431_990), None),
            ("it ended: TIME_WAIT", told(1, 6, Some(7), ASSURED, 100), None),
            ("it was reset: CLOSE", told(1, 6, Some(8), ASSURED, 9), None),
            ("another of its tuple", told(2, 6, Some(3), ASSURED, 20), None),
        ];
        let before = told(1, 6, Some(3), ASSURED, 430_000);
        let before = kept(&before).expect("a message");
        let before = Flow::parse(&before).expect("a flow");
        for (what, now, expected) in rows {
            assert_eq!(lost(&before, &now, 100), expected, "{what}");
        }
    }
}
