//! `reload`: how long packets wait while a gateway reads its rules again.
//!
//! Runs a daemon without interfaces. Each of its workers asks for a turn every 100 microseconds, as if packets came then, and
//! takes down the longest time between two. Between reloads that is what the machine makes of it; beside a reload it is how
//! long packets wait for it. Takes no privilege. Status: 0 unless the daemon can't run.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, sleep};
use std::time::Duration;

use clap::Parser;
use nix::sys::signal::{Signal, raise};
use tidegate_bench::rulesets::Rules;
use tidegate_engine::Engine;
use tidegate_engine::fib::PortId;
use tidegate_engine::time::Instant;
use tidegate_gateway::clock::Stopwatch;
use tidegate_gateway::control::socket::{Endpoint, Policy};
use tidegate_gateway::daemon::{Daemon, DataPlane, NoPackets, Readiness, Signals};
use tidegate_gateway::dataplane::Mail;
use tidegate_gateway::replay::{Fault, Inputs};
use tidegate_wire::Family;

/// Measures how long packets wait for a reload of 10,000 rules.
#[derive(Debug, Parser)]
#[command(name = "reload", version, about)]
struct Args {
    /// Numbers of workers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    workers: Vec<usize>,

    /// Reloads
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<(), Box<dyn Error>> {
    let file = |end: &str| std::env::temp_dir().join(format!("reload-{}{end}", std::process::id()));
    let (rules, socket) = (file(".v4"), file(".socket"));
    std::fs::write(&rules, Rules::TenThousandNat.text(Family::V4).unwrap_or_default())?;
    let outcome = compare(args, (&rules, &socket));
    std::fs::remove_file(rules)?;
    outcome
}

fn compare(args: &Args, files: (&Path, &Path)) -> Result<(), Box<dyn Error>> {
    println!("milliseconds: the median, and the least of {} rounds", args.rounds);
    println!("workers   longest wait without     beside a reload   until it is done");
    for workers in &args.workers {
        let columns = rounds(args, *workers, files)?;
        let columns = columns.map(|[median, least]| format!("  {median:9.2} {least:8.2}"));
        println!("{workers:7}   {}", columns.concat());
    }
    Ok(())
}

/// The median and the least of all rounds: of the longest wait without and beside a reload, and of how long it took in all.
fn rounds(
    args: &Args,
    workers: usize,
    (rules, socket): (&Path, &Path),
) -> Result<[[f64; 2]; 3], Box<dyn Error>> {
    let inputs = Inputs { rules4: Some(rules.to_path_buf()), ..Inputs::default() };
    let longest = Arc::new(AtomicU64::new(0));
    let planes = (0..workers).map(|_| Gaps::new(&longest)).collect();
    let endpoint = Endpoint::bind(socket, Policy::default())?;
    let daemon = Daemon::new(inputs, (endpoint, planes), 7, 16);
    let (mut daemon, _) = daemon.map_err(|faults| format!("{faults:?}"))?;
    let mut signals = Signals::take_over()?;
    let (reloaded, reloads) = channel();
    thread::scope(|scope| {
        let daemon = scope.spawn(move || {
            daemon.run(&mut signals, move |outcome| {
                let _ = reloaded.send(outcome.is_ok());
            })
        });
        let medians = watch(args.rounds, &longest, &reloads);
        raise(Signal::SIGTERM)?;
        daemon.join().map_err(|_| "the daemon has panicked")?;
        medians
    })
}

fn watch(
    rounds: u32,
    longest: &AtomicU64,
    reloads: &Receiver<bool>,
) -> Result<[[f64; 2]; 3], Box<dyn Error>> {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut seen = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        sleep(PAUSE);
        longest.store(0, Ordering::Relaxed);
        sleep(PAUSE);
        seen[0].push(longest.swap(0, Ordering::Relaxed));
        let start = Stopwatch::start();
        raise(Signal::SIGHUP)?;
        if !reloads.recv()? {
            return Err("the rules of this program are refused".into());
        }
        seen[2].push(start.elapsed().as_nanos() as u64);
        sleep(PAUSE);
        seen[1].push(longest.load(Ordering::Relaxed));
    }
    Ok(seen.map(|mut waits| {
        waits.sort_unstable();
        [waits[waits.len() / 2], waits[0]].map(|wait| wait as f64 / 1e6)
    }))
}

/// A plane without packets that takes down how long it waits between turns.
struct Gaps {
    plane: NoPackets,
    /// When the last turn was over, and when the next is wanted.
    over: Option<Stopwatch>,
    next: Instant,
    /// Nanoseconds, of whichever worker.
    longest: Arc<AtomicU64>,
}

/// How often packets come.
const EVERY: Duration = Duration::from_micros(100);

impl Gaps {
    fn new(longest: &Arc<AtomicU64>) -> Self {
        let (plane, longest) = (NoPackets::default(), Arc::clone(longest));
        Self { plane, over: None, next: Instant::ZERO, longest }
    }
}

impl DataPlane for Gaps {
    type World = <NoPackets as DataPlane>::World;

    fn world(&self) -> &Self::World {
        self.plane.world()
    }

    fn port(&self, name: Option<&str>) -> Option<PortId> {
        self.plane.port(name)
    }

    fn join(&mut self, mail: Mail) {
        self.plane.join(mail);
    }

    fn turn(&mut self, engine: &mut Engine, now: Instant, most: usize) -> Result<usize, Fault> {
        if let Some(over) = &self.over {
            self.longest.fetch_max(over.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        let count = self.plane.turn(engine, now, most);
        (self.over, self.next) = (Some(Stopwatch::start()), now + EVERY);
        count
    }

    fn readiness(&self) -> Readiness<'_> {
        Readiness::At(self.next)
    }
}
