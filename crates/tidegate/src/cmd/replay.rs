//! `tidegate replay`: a capture through the engine.
//!
//! One [`Replay`] is driven per scenario, by the consumer that the format asks
//! for. When the capture turns out to be damaged, what came before is shown
//! first and the fault is reported afterwards.

mod captures;

use std::io::{self, BufWriter, StdoutLock, Write};
use std::mem;
use std::path::{Path, PathBuf};

use tidegate_engine::event::Event;
use tidegate_gateway::clock::Stopwatch;
use tidegate_gateway::replay::scenario::{self, PACKETS};
use tidegate_gateway::replay::{Arrival, Census, Fault, Passed, Recorder, Replay, Scenario};

use self::captures::Captures;
use super::Failure;
use crate::flags::{Explain, Format, ReplayArgs};
use crate::message;
use crate::progress::Progress;
use crate::render::explain::Explanation;
use crate::render::stats::StatsReport;
use crate::render::summary::Summary;
use crate::render::{events, proc};

/// Runs the command.
pub(crate) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let format = args.format.unwrap_or(default_format(args));
    if args.json && !matches!(format, Format::Summary | Format::Stats) {
        return Err(Failure::Usage("--json goes with --format summary or stats".to_owned()));
    }
    if !args.input.is_dir() {
        let scenario = load_capture(args)?;
        return Session::open(args, format)?.run(scenario, file_len(&args.input));
    }
    let dirs = scenario::find(&args.input)?;
    let writes = args.write_pcap.is_some() || args.write_nflog.is_some();
    if dirs.len() > 1 && (args.explain.is_some() || writes) {
        let what = "--explain, --write-pcap and --write-nflog are for one capture at a time";
        return Err(Failure::Usage(what.to_owned()));
    }
    let mut session = Session::open(args, format)?;
    session.is_one_of_many = dirs.len() > 1;
    session.run_all(&dirs)
}

fn default_format(args: &ReplayArgs) -> Format {
    if args.input.is_dir() { Format::Jsonl } else { Format::Summary }
}

fn load_capture(args: &ReplayArgs) -> Result<Scenario, Vec<Fault>> {
    if args.input == Path::new("-") {
        let name = "stdin".to_owned();
        return Scenario::from_reader(name.clone(), name, Box::new(io::stdin()), &args.inputs());
    }
    Scenario::from_capture(&args.input, &args.inputs())
}

fn file_len(path: &Path) -> u64 {
    path.metadata().map_or(0, |data| data.len())
}

/// Where results go, for all scenarios of one call.
struct Session<'a> {
    args: &'a ReplayArgs,
    format: Format,
    out: BufWriter<StdoutLock<'static>>,
    captures: Captures,
    is_one_of_many: bool,
}

impl<'a> Session<'a> {
    fn open(args: &'a ReplayArgs, format: Format) -> Result<Self, Failure> {
        let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let captures = Captures::create(args)?;
        Ok(Self { args, format, out, captures, is_one_of_many: false })
    }

    /// Replays all scenarios; a fault in one does not keep the others back.
    fn run_all(&mut self, dirs: &[PathBuf]) -> Result<(), Failure> {
        let mut faults = Vec::new();
        for dir in dirs {
            let scenario = Scenario::from_dir(dir, &self.args.inputs()).map_err(Failure::Input);
            let len = file_len(&dir.join(PACKETS));
            match scenario.and_then(|scenario| self.run(scenario, len)) {
                Ok(()) => {}
                Err(Failure::Input(more)) => faults.extend(more),
                Err(other) => return Err(other),
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Failure::Input(faults)) }
    }

    /// Replays one scenario and shows it; a fault within comes last.
    fn run(&mut self, mut scenario: Scenario, file_len: u64) -> Result<(), Failure> {
        for warning in &scenario.warnings {
            message::warning(warning);
        }
        let summary = self.format == Format::Summary && self.args.explain.is_none();
        // Top talkers by bytes need counters; a summary shows no others.
        scenario.limits.acct |= summary;
        let wants_events = summary || matches!(self.format, Format::Jsonl | Format::Events);
        let mut replay = Replay::new(scenario, wants_events);
        replay.keep_output(self.captures.want_output());
        if self.is_one_of_many && self.format != Format::Jsonl {
            writeln!(self.out, "# {}", replay.name())?;
        }
        let mut progress = Progress::new(file_len);
        let done = self.show(&mut replay, &mut progress);
        progress.finish();
        self.out.flush()?;
        mem::take(&mut self.captures).finish()?;
        done
    }

    fn show(&mut self, replay: &mut Replay, progress: &mut Progress) -> Result<(), Failure> {
        match self.args.explain {
            Some(Explain::Packet(index)) => return self.explain(replay, index),
            Some(Explain::Traced) => return self.explain_traced(replay),
            None => {}
        }
        match self.format {
            Format::Jsonl => self.record(replay, progress),
            Format::Events => self.list_events(replay, progress),
            Format::Summary => self.summarise(replay, progress),
            Format::Proc => {
                let done = self.drive(replay, progress, |_, _, _| {});
                proc::write(&mut self.out, replay)?;
                done
            }
            Format::Expect => {
                let done = self.drive(replay, progress, |_, _, _| {});
                proc::write_expectations(&mut self.out, replay)?;
                done
            }
            Format::Stats => {
                let done = self.drive(replay, progress, |_, _, _| {});
                StatsReport::new(replay).write(&mut self.out, self.args.json)?;
                done
            }
        }
    }

    /// Runs the replay to its end, without events.
    fn drive(
        &mut self,
        replay: &mut Replay,
        progress: &mut Progress,
        mut each: impl FnMut(&Replay, &Arrival, &Passed),
    ) -> Result<(), Failure> {
        let deaf = &mut |_: Event| {};
        while let Some(arrival) = replay.arrive(deaf)? {
            self.write_left(replay)?;
            let passed = replay.pass(deaf);
            each(replay, &arrival, &passed);
            self.after_packet(replay, progress)?;
        }
        replay.finish(deaf)?;
        self.write_left(replay)
    }

    fn record(&mut self, replay: &mut Replay, progress: &mut Progress) -> Result<(), Failure> {
        let captures = &mut self.captures;
        let done = Recorder::new(&mut self.out).run(replay, |replay| {
            progress.at(replay.offset());
            captures.write(replay)
        });
        Ok(done?)
    }

    fn list_events(&mut self, replay: &mut Replay, progress: &mut Progress) -> Result<(), Failure> {
        let mut heard: Vec<Event> = Vec::new();
        loop {
            let arrived = replay.arrive(&mut |event| heard.push(event));
            events::write(&mut self.out, replay, &mut heard)?;
            if arrived?.is_none() {
                break;
            }
            self.write_left(replay)?;
            replay.pass(&mut |event| heard.push(event));
            events::write(&mut self.out, replay, &mut heard)?;
            self.after_packet(replay, progress)?;
        }
        let done = replay.finish(&mut |event| heard.push(event));
        events::write(&mut self.out, replay, &mut heard)?;
        done?;
        self.write_left(replay)
    }

    fn summarise(&mut self, replay: &mut Replay, progress: &mut Progress) -> Result<(), Failure> {
        let stopwatch = Stopwatch::start();
        let mut census = Census::default();
        let done = self.take_census(&mut census, replay, progress);
        census.finish(replay);
        progress.finish();
        let elapsed = stopwatch.elapsed();
        Summary::new(&census, replay, self.args.table_size, elapsed)
            .write(&mut self.out, self.args.json)?;
        done
    }

    fn take_census(
        &mut self,
        census: &mut Census,
        replay: &mut Replay,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        while let Some(arrival) = replay.arrive(&mut |event| census.event(&event))? {
            self.write_left(replay)?;
            let passed = replay.pass(&mut |event| census.event(&event));
            census.packet(replay, &arrival, &passed);
            self.after_packet(replay, progress)?;
        }
        replay.finish(&mut |event| census.event(&event))?;
        self.write_left(replay)
    }

    fn explain(&mut self, replay: &mut Replay, index: u64) -> Result<(), Failure> {
        let deaf = &mut |_: Event| {};
        let mut packets = 0;
        while let Some(arrival) = replay.arrive(deaf)? {
            packets += 1;
            if arrival.index < index {
                replay.pass(deaf);
                continue;
            }
            let explanation = Explanation::watch(replay, arrival);
            write!(self.out, "{explanation}")?;
            return self.after_packet(replay, &mut Progress::new(0));
        }
        let name = self.args.input.display();
        Err(Failure::Usage(format!("{name}: no packet {index}, it has {packets}, numbered from 0")))
    }

    /// Explains each packet that a TRACE rule met.
    fn explain_traced(&mut self, replay: &mut Replay) -> Result<(), Failure> {
        let mut explained = 0_u64;
        while let Some(arrival) = replay.arrive(&mut |_: Event| {})? {
            let explanation = Explanation::watch(replay, arrival);
            if explanation.trace.is_wanted() {
                let gap = if explained == 0 { "" } else { "\n" };
                write!(self.out, "{gap}{explanation}")?;
                explained += 1;
            }
            self.after_packet(replay, &mut Progress::new(0))?;
        }
        if explained == 0 {
            message::warning("no packet met a TRACE rule (raw PREROUTING or OUTPUT, -j TRACE)");
        }
        Ok(())
    }

    fn after_packet(&mut self, replay: &Replay, progress: &mut Progress) -> Result<(), Failure> {
        progress.at(replay.offset());
        self.write_left(replay)
    }

    /// Writes what left or was copied to the captures that there are to be.
    fn write_left(&mut self, replay: &Replay) -> Result<(), Failure> {
        Ok(self.captures.write(replay)?)
    }
}
