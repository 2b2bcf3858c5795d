//! What a measurement costs: processor time of the bench itself, of the gateway's process and of soft interrupts, and
//! what else the machine was busy with.

use std::fs;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;
use tidegate_gateway::clock::Stopwatch;

/// The processor time of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Option<ClockId>);

impl Clock {
    /// That of the process of this number.
    pub(crate) fn of(pid: u32) -> Self {
        Self(ClockId::pid_cpu_clock_id(Pid::from_raw(pid as i32)).ok())
    }

    fn now(self) -> Duration {
        let time = self.0.and_then(|clock| clock.now().ok());
        time.map_or(Duration::ZERO, Duration::from)
    }
}

/// All clocks at a moment.
#[derive(Debug)]
pub(crate) struct Account {
    begin: Stopwatch,
    gateway: Option<Clock>,
    at: Reading,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    bench: Duration,
    gateway: Duration,
    machine: Ticks,
}

/// Hundredths of seconds of all processors since the start of the machine.
#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    busy: u64,
    softirq: u64,
    stolen: u64,
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Seconds by the clock on the wall.
    pub(crate) wall: f64,
    /// Processor seconds of the bench: of both hosts, and of what runs in their context.
    pub(crate) bench: f64,
    /// Those of the gateway's process.
    pub(crate) gateway: f64,
    /// Those of soft interrupts, of the whole machine, as sampled.
    pub(crate) softirq: f64,
    /// Those of everybody else: processors that were busy, and not with us.
    pub(crate) others: f64,
}

impl Account {
    /// Begins to count.
    pub(crate) fn open(gateway: Option<Clock>) -> Self {
        Self { begin: Stopwatch::start(), gateway, at: Reading::now(gateway) }
    }

    /// What was spent since.
    pub(crate) fn close(&self) -> Spent {
        let (then, now) = (self.at, Reading::now(self.gateway));
        let seconds = |ticks: u64| ticks as f64 / 100.0;
        let (bench, gateway) = (now.bench - then.bench, now.gateway.saturating_sub(then.gateway));
        let ours = (bench + gateway).as_secs_f64();
        let machine = now.machine;
        let busy = machine.busy - then.machine.busy + machine.stolen - then.machine.stolen;
        Spent {
            wall: self.begin.elapsed().as_secs_f64(),
            bench: bench.as_secs_f64(),
            gateway: gateway.as_secs_f64(),
            softirq: seconds(machine.softirq - then.machine.softirq),
            others: (seconds(busy) - ours).max(0.0),
        }
    }
}

impl Reading {
    fn now(gateway: Option<Clock>) -> Self {
        let bench = Clock::of(std::process::id()).now();
        let gateway = gateway.map_or(Duration::ZERO, Clock::now);
        Self { bench, gateway, machine: Ticks::now() }
    }
}

impl Ticks {
    /// user nice system idle iowait irq softirq steal
    fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let words: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let word = |at: usize| words.get(at).copied().unwrap_or(0);
        let busy = word(0) + word(1) + word(2) + word(5) + word(6);
        Self { busy, softirq: word(6), stolen: word(7) }
    }
}
