//! `gateway`: what `tidegate run` carries between two hosts, beside the kernel's own router with the same rules.
//!
//! Builds client, gateway and server in namespaces of their own, joined by virtual cables, and has the gateways take
//! turns: A B C A B C. Every turn builds everything anew. `docs/gateway-bench.md` tells what is measured, and how.
//! Takes root, and `ip`, `nft` and `iptables-legacy-restore` (or `iptables-restore`).

mod account;
mod addresses;
mod bulk;
mod connections;
mod flood;
mod handshakes;
mod hosts;
mod interrupt;
mod latency;
mod report;
mod router;
mod segment;
mod soak;
mod wire;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::hosts::Hosts;
use self::report::{Report, Row};
use self::router::{Gateway, Kind};

/// Measures the live gateway beside the kernel's router, in turns.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, about, max_term_width = 100)]
struct Args {
    /// One round of short measurements
    #[arg(long)]
    quick: bool,

    /// Rounds, of which each row shows the median [default: 5]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,

    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Only these gateways: plain (the kernel without rules), kernel, kernel-spread, packet, packet-busy, xdp; and, if they
    /// are named, packet-2, xdp-2 (two workers)
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = Kind::named)]
    gateways: Vec<Kind>,

    /// The gateway that all others are compared with
    #[arg(long, value_name = "NAME", default_value = "kernel", value_parser = Kind::named)]
    base: Kind,

    /// Only these measurements: udp, handshakes, connections, bulk, latency
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = Measure::named)]
    measures: Vec<Measure>,

    /// How long a measurement takes, in milliseconds [default: 1500, with --quick 500]
    #[arg(long, value_name = "MILLISECONDS")]
    millis: Option<u64>,

    /// Run this shell command after a measurement has begun, with PID in its environment, such as a profiler
    #[arg(long, value_name = "COMMAND")]
    beside: Option<String>,

    /// Instead: connections made and closed while rules are reloaded, and then a look at what is left
    #[arg(long)]
    soak: bool,

    /// How long the soak takes
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    seconds: u64,

    /// How many connections the soak makes and closes
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    soak_connections: u64,

    /// The program to measure [default: the `tidegate` beside this one]
    #[arg(long, value_name = "FILE")]
    tidegate: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// Short datagrams, as fast as they go.
    Udp,
    /// TCP connections of hosts that take next to no processor time.
    Handshakes,
    /// TCP connections of the kernel's stack.
    Connections,
    /// One TCP stream.
    Bulk,
    /// A datagram there and back.
    Latency,
}

impl Measure {
    const ALL: [Self; 5] =
        [Self::Udp, Self::Handshakes, Self::Connections, Self::Bulk, Self::Latency];

    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Handshakes => "handshakes",
            Self::Connections => "connections",
            Self::Bulk => "bulk",
            Self::Latency => "latency",
        }
    }

    fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|measure| measure.name() == name);
        found.ok_or_else(|| "udp, handshakes, connections, bulk, latency".to_owned())
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let run = || if args.soak { soak::run(&args) } else { compare(&args) };
    let done = interrupt::watch().and_then(|()| run());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Args {
    fn program(&self) -> io::Result<PathBuf> {
        match &self.tidegate {
            Some(program) => Ok(program.clone()),
            None => Ok(std::env::current_exe()?.with_file_name("tidegate")),
        }
    }

    fn kinds(&self) -> Vec<Kind> {
        if self.gateways.is_empty() { Kind::USUAL.to_vec() } else { self.gateways.clone() }
    }

    fn measures(&self) -> Vec<Measure> {
        if self.measures.is_empty() { Measure::ALL.to_vec() } else { self.measures.clone() }
    }

    fn length(&self) -> Duration {
        Duration::from_millis(self.millis.unwrap_or(if self.quick { 500 } else { 1500 }))
    }
}

/// Every measurement with every gateway, in turns.
fn compare(args: &Args) -> io::Result<()> {
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 5 });
    let mut report = Report::beside(args.base.name());
    for round in 1..=rounds {
        for measure in args.measures() {
            for kind in args.kinds() {
                let row = turn(args, measure, kind)?;
                eprintln!("round {round} of {rounds}: {row}");
                report.add(row);
            }
        }
    }
    println!("{report}");
    match &args.json {
        Some(path) => std::fs::write(path, report.json()?),
        None => Ok(()),
    }
}

/// One measurement with a gateway that is made for it.
fn turn(args: &Args, measure: Measure, kind: Kind) -> io::Result<Row> {
    let hosts = Hosts::build(kind.workers())?;
    let gateway = Gateway::start(kind, &hosts, &args.program()?)?;
    hosts.greet()?;
    let beside = gateway.beside(args.beside.as_deref())?;
    let (hosts, length) = (&hosts, args.length());
    let row = match measure {
        Measure::Udp => flood::run(hosts, &gateway, length),
        Measure::Handshakes => handshakes::run(hosts, &gateway, length),
        Measure::Connections => connections::run(hosts, &gateway, length),
        Measure::Bulk => bulk::run(hosts, &gateway, length),
        Measure::Latency => latency::run(hosts, &gateway, length),
    }?;
    if let Some(mut beside) = beside {
        beside.wait()?;
    }
    Ok(Row { measure: measure.name(), gateway: kind.name(), ..row })
}
