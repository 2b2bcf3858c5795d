//! The soak: connections made and closed through a live gateway while its rules are read again and again, and flows of
//! the kernel's own stacks that last from the beginning to the end.
//!
//! It fails unless all connections were made, every reload was done, every byte of the lasting flows came back as it was
//! sent, the gateway's memory stayed flat once the table was full, and its table is empty in the end.

mod lasting;

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;

use self::lasting::Lasting;
use crate::Args;
use crate::handshakes::{Pair, Tally};
use crate::hosts::Hosts;
use crate::router::{Gateway, Kind};

/// Between two reloads.
const RELOAD_EVERY: Duration = Duration::from_secs(10);
/// Every so many connections one is aborted by a reset.
const ABORTS: u64 = 8;
/// As long as connections last that are over, the table is still filling.
const FILLING: Duration = Duration::from_secs(12);
/// So much memory may grow after the first tenth, or the filling: what a heap does anyway.
const SLACK_KB: u64 = 4096;
/// Past the longest timeout of the settings.
const UNTIL_EMPTY: Duration = Duration::from_secs(60);
/// Flows that were given up end as soon as those that weren't, and lasting ones are used more often than that.
const SETTINGS: &str = "net.netfilter.nf_conntrack_max = 262144
net.netfilter.nf_conntrack_tcp_timeout_established = 30
net.netfilter.nf_conntrack_tcp_timeout_syn_sent = 10
net.netfilter.nf_conntrack_tcp_timeout_syn_recv = 10
net.netfilter.nf_conntrack_tcp_timeout_fin_wait = 10
net.netfilter.nf_conntrack_tcp_timeout_close_wait = 10
net.netfilter.nf_conntrack_tcp_timeout_last_ack = 10
net.netfilter.nf_conntrack_tcp_timeout_time_wait = 10
net.netfilter.nf_conntrack_tcp_timeout_close = 5
net.netfilter.nf_conntrack_udp_timeout = 10
net.netfilter.nf_conntrack_udp_timeout_stream = 20
";

/// What the watcher has seen.
#[derive(Default)]
struct Watched {
    reloads: u64,
    refused: u64,
    /// Resident kilobytes once the table was full, and the most since.
    settled: u64,
    most: u64,
}

/// See the module's documentation.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let kind = args.gateways.first().copied().unwrap_or(Kind::Packet);
    let program = args.program()?;
    let hosts = Hosts::build(kind.workers())?;
    let gateway = Gateway::start_with(kind, &hosts, &program, SETTINGS)?;
    gateway.release()?;
    hosts.greet()?;
    let (is_over, ended) = (AtomicBool::new(false), AtomicU64::new(0));
    let (tally, watched, exchanged) = thread::scope(|scope| {
        let lasting = scope.spawn(|| Lasting::open(&hosts)?.keep_on(&is_over));
        let watcher = scope.spawn(|| watch(args, &gateway, &program, (&is_over, &ended)));
        let tally = connect(args, &hosts, &ended);
        is_over.store(true, Ordering::Relaxed);
        let watched = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let lasting = lasting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, io::Error>((tally?, watched?, lasting?))
    })?;
    let left = drained(&gateway, &program)?;
    println!("{tally:?}");
    println!("{} reloads, {} of them refused", watched.reloads, watched.refused);
    println!("{exchanged} exchanges of lasting flows, all as they should be");
    println!(
        "resident: {} kB with a full table, at most {} kB since",
        watched.settled, watched.most
    );
    println!("{left} flows left");
    judge(args, tally, &watched, left)
}

fn judge(args: &Args, tally: Tally, watched: &Watched, left: u64) -> io::Result<()> {
    let good = tally.closed + tally.aborted;
    let rows = [
        (good >= args.soak_connections, "connections are missing"),
        (tally.refused == 0, "connections were refused"),
        (tally.given_up * 1000 <= good, "more than one in a thousand was given up"),
        (watched.reloads > 0 && watched.refused == 0, "reloads were refused, or there were none"),
        (watched.most <= watched.settled + SLACK_KB, "memory has grown"),
        (left == 0, "the table is not empty"),
    ];
    let faults: Vec<&str> = rows.iter().filter(|row| !row.0).map(|row| row.1).collect();
    if faults.is_empty() {
        println!("all of it holds");
        return Ok(());
    }
    Err(io::Error::other(faults.join("; ")))
}

/// Makes and closes connections, evenly over the time that there is.
fn connect(args: &Args, hosts: &Hosts, ended: &AtomicU64) -> io::Result<Tally> {
    let mut pair = Pair::open(hosts)?;
    let begin = Stopwatch::start();
    let (all, seconds) = (args.soak_connections, args.seconds as f64);
    pair.keep_on(ABORTS, |tally| {
        ended.store(tally.ended(), Ordering::Relaxed);
        let elapsed = begin.elapsed().as_secs_f64();
        let is_late = elapsed > seconds * 3.0;
        let due = (all as f64 * elapsed / seconds) as u64;
        let bad = tally.ended() - tally.closed - tally.aborted;
        let is_done = tally.closed + tally.aborted >= all;
        (!is_done && !is_late).then_some(due.min(all + bad))
    })?;
    Ok(pair.tally)
}

/// Has rules read again, and looks at the gateway's memory.
fn watch(
    args: &Args,
    gateway: &Gateway,
    program: &Path,
    (is_over, ended): (&AtomicBool, &AtomicU64),
) -> io::Result<Watched> {
    let mut watched = Watched::default();
    let (begin, mut reloaded) = (Stopwatch::start(), Stopwatch::start());
    let tenth = Duration::from_secs(args.seconds) / 10;
    let filled = tenth.max(FILLING).min(tenth * 6);
    let every = RELOAD_EVERY.min(tenth.max(Duration::from_secs(1)));
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(200));
        let resident = resident(gateway)?;
        if begin.elapsed() >= filled {
            watched.settled = if watched.settled == 0 { resident } else { watched.settled };
            watched.most = watched.most.max(resident);
        }
        if reloaded.elapsed() < every {
            continue;
        }
        reloaded = Stopwatch::start();
        watched.reloads += 1;
        gateway.change_rules(watched.reloads)?;
        let mut reload = Command::new(program);
        let is_done = reload.arg("reload").arg("--socket").arg(gateway.socket()).status()?;
        watched.refused += u64::from(!is_done.success());
        let (seconds, ended) = (begin.elapsed().as_secs(), ended.load(Ordering::Relaxed));
        let flows = flows(gateway, program)?;
        eprintln!("{seconds:>4} s: {ended} connections, {flows} flows, {resident} kB");
    }
    Ok(watched)
}

/// Resident kilobytes.
fn resident(gateway: &Gateway) -> io::Result<u64> {
    let pid = gateway.pid().ok_or_else(|| io::Error::other("the soak is for tidegate"))?;
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let word = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    word.ok_or_else(|| io::Error::other("the gateway has ended"))
}

/// How many flows the table holds.
fn flows(gateway: &Gateway, program: &Path) -> io::Result<u64> {
    let output =
        Command::new(program).arg("count").arg("--socket").arg(gateway.socket()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = text.split_whitespace().next().map(|word| word.replace(',', ""));
    let count = first.and_then(|word| word.parse().ok());
    count.ok_or_else(|| io::Error::other(format!("tidegate count says: {text}")))
}

/// How many flows are left when all have had their time.
fn drained(gateway: &Gateway, program: &Path) -> io::Result<u64> {
    let begin = Stopwatch::start();
    loop {
        let left = flows(gateway, program)?;
        if left == 0 || begin.elapsed() > UNTIL_EMPTY {
            return Ok(left);
        }
        thread::sleep(Duration::from_secs(1));
    }
}
