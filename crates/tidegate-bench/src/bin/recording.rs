//! `recording`: what it takes to keep a table's history with `tidegate record`.
//!
//! Opens connections over the loopback of a network namespace of its own, whose kernel tracks them, while the recorder
//! listens; and are deleted in the end; then says how many bytes a TCP connection and a UDP exchange took in its files, on how much processor time,
//! and how many bytes a flow takes in a snapshot of such a table. Takes root, and nft(8). Status: 0 if no event was lost.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::thread::{self, sleep};
use std::time::Duration;

use clap::Parser;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use tidegate_gateway::snapshot::{Part, Reader};

/// Measures what a recording takes.
#[derive(Debug, Parser)]
#[command(name = "recording", version, about)]
struct Args {
    /// Connections of each kind
    #[arg(long, default_value_t = 20_000)]
    connections: u32,

    /// The program to measure [default: the `tidegate` beside this one]
    #[arg(long)]
    tidegate: Option<String>,
}

fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("recording: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> io::Result<bool> {
    let beside = std::env::current_exe()?.with_file_name("tidegate").display().to_string();
    let tidegate = args.tidegate.clone().unwrap_or(beside);
    unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
    run("ip", &["link", "set", "lo", "up"])?;
    for rule in [
        "add table ip t",
        "add chain ip t out { type filter hook output priority 0; }",
        "add rule ip t out ct state new counter",
    ] {
        run("nft", &rule.split(' ').collect::<Vec<_>>())?;
    }
    let dir = std::env::temp_dir().join(format!("recording-{}", std::process::id()));
    let mut is_whole = true;
    for (kind, connect) in
        [("TCP connection", tcp as fn(u32) -> io::Result<()>), ("UDP exchange", udp)]
    {
        let row = record(&tidegate, &dir, || connect(args.connections))?;
        let each = |number: u64| number as f64 / f64::from(args.connections);
        println!(
            "{kind}: {:.1} events, {:.1} bytes, {:.1} us of processor time",
            each(row.events),
            each(row.bytes),
            row.seconds * 1e6 / f64::from(args.connections)
        );
        is_whole &= row.gaps == 0;
    }
    udp(args.connections)?;
    let file = dir.join("table.ctsnap").display().to_string();
    run(&tidegate, &["snapshot", "-o", &file])?;
    let flows = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count")?;
    let (bytes, flows) = (fs::metadata(&file)?.len(), flows.trim().parse().unwrap_or(1.0));
    println!("snapshot: {flows} flows, {:.1} bytes each", bytes as f64 / flows);
    fs::remove_dir_all(&dir)?;
    Ok(is_whole)
}

/// What a recording holds behind its first snapshot, and what it took.
#[derive(Debug, Default)]
struct Row {
    events: u64,
    gaps: u64,
    bytes: u64,
    seconds: f64,
}

fn record(tidegate: &str, dir: &Path, load: impl FnOnce() -> io::Result<()>) -> io::Result<Row> {
    let _ = fs::remove_dir_all(dir);
    let before = processor_time()?;
    let mut recorder =
        Command::new(tidegate).args(["record", "--every", "1h", "--dir"]).arg(dir).spawn()?;
    let segment = wait_for_segment(dir)?;
    let begun = fs::metadata(&segment)?.len();
    load()?;
    let delete = Command::new(tidegate).args(["delete", "-a", "127.0.0.0/8", "--yes"]).output()?;
    if !delete.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&delete.stderr).into_owned()));
    }
    // What was told is written a second later.
    sleep(Duration::from_secs(2));
    end(&mut recorder)?;
    let mut row = Row { seconds: processor_time()? - before, ..Row::default() };
    row.bytes = fs::metadata(&segment)?.len() - begun;
    let bad = |error| io::Error::other(format!("{error}"));
    let mut reader = Reader::open(&segment).map_err(bad)?;
    while let Some(part) = reader.part().map_err(bad)? {
        match part {
            Part::Events(mut events) => events
                .each(|_, _| {
                    row.events += 1;
                    Ok::<_, tidegate_gateway::snapshot::Fault>(())
                })
                .map_err(bad)?,
            Part::Gap(gap) => row.gaps += u64::from(gap.from != gap.to),
            _ => {}
        }
    }
    Ok(row)
}

fn wait_for_segment(dir: &Path) -> io::Result<std::path::PathBuf> {
    for _ in 0..500 {
        let found = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        if let Some(path) =
            found.into_iter().find(|path| path.extension().is_some_and(|e| e == "ctsnap"))
        {
            return Ok(path);
        }
        sleep(Duration::from_millis(20));
    }
    Err(io::Error::other("the recorder writes nothing"))
}

fn end(recorder: &mut Child) -> io::Result<()> {
    run("kill", &[&recorder.id().to_string()])?;
    recorder.wait().map(drop)
}

/// Connects, asks, is answered, closes: to so many destinations that ports last.
fn tcp(connections: u32) -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7000")?;
    let server = thread::spawn(move || -> io::Result<()> {
        for _ in 0..connections {
            let (mut stream, _) = listener.accept()?;
            stream.write_all(b"answer")?;
            let mut question = [0; 8];
            while stream.read(&mut question)? > 0 {}
        }
        Ok(())
    });
    for number in 0..connections {
        let mut stream = TcpStream::connect(destination(number))?;
        stream.write_all(b"question")?;
        stream.read_exact(&mut [0; 6])?;
    }
    server.join().unwrap_or_else(|_| Err(io::Error::other("the server failed")))
}

/// A question from a new port each time, and an answer.
fn udp(connections: u32) -> io::Result<()> {
    let mut server = UdpSocket::bind(destination(0))?;
    for number in 0..connections {
        if server.local_addr()? != destination(number) {
            server = UdpSocket::bind(destination(number))?;
        }
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.send_to(b"question", destination(number))?;
        let (_, from) = server.recv_from(&mut [0; 8])?;
        server.send_to(b"answer", from)?;
    }
    Ok(())
}

fn destination(number: u32) -> SocketAddr {
    let address = Ipv4Addr::from(0x7f00_0001 + number / 1000);
    SocketAddr::from((address, 7000))
}

fn run(program: &str, args: &[&str]) -> io::Result<()> {
    let status = Command::new(program).args(args).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{program} {args:?}: {status}")))
    }
}

/// Of all programs that were started and have ended, in seconds.
fn processor_time() -> io::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(io::Error::from)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
