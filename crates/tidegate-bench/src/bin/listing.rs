//! `listing`: what it takes to list the kernel's table with `tidegate list` and with conntrack(8), in turns.
//!
//! Fills a network namespace of its own with flows, has both programs list them, whole and filtered, and says how
//! long each took, on how much processor time and memory, and whether they showed the same. Takes root: the
//! kernel's limit is raised for the while. Status: 0 if `tidegate` was nowhere slower, and showed the same.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::ptrace;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::conntrack::{Attribute, ProtoInfo, TcpInfo, message};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Family, Flags, Header, Messages, Tuple, Writer};
use tidegate_wire::proto;

/// Lists a kernel's table with two programs.
#[derive(Debug, Parser)]
#[command(name = "listing", version, about)]
struct Args {
    /// Flows in the table
    #[arg(long, default_value_t = 1_000_000)]
    flows: u32,

    /// Runs of each program for each row
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Run this shell command beside the flows instead, such as one that measures `tidegate top`
    #[arg(long, value_name = "COMMAND")]
    run: Option<String>,

    /// Flows are counted for (nf_conntrack_acct)
    #[arg(long)]
    acct: bool,

    /// The program to measure [default: the `tidegate` beside this one]
    #[arg(long)]
    tidegate: Option<String>,

    /// Only what `tidegate doctor` takes, beside conntrack(8) and a program that only receives
    #[arg(long)]
    doctor: bool,

    /// Receive the table of this namespace and look at nothing: the floor for all who list it
    #[arg(long, hide = true)]
    receive: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match if args.receive { receive() } else { measure(&args) } {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("listing: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cost {
    seconds: f64,
    /// Of which a processor worked.
    processor: f64,
    /// The most memory that it had at a time, shared or not.
    kilobytes: u64,
    /// Its own at the end, without what it shares with others.
    own: u64,
}

/// A row: what it lists, as arguments of both programs.
const ROWS: [(&str, &[&str]); 8] = [
    ("(none)", &[]),
    ("`-o extended,id`", &["-o", "extended,id"]),
    ("`-o xml`", &["-o", "xml"]),
    ("`-p udp`", &["-p", "udp"]),
    ("`-p tcp --state TIME_WAIT`", &["-p", "tcp", "--state", "TIME_WAIT"]),
    ("`-f ipv4 -p tcp --dport 443`", &["-f", "ipv4", "-p", "tcp", "--dport", "443"]),
    ("`-s 10.0.3.7`", &["-s", "10.0.3.7"]),
    ("`-m 7`", &["-m", "7"]),
];

fn measure(args: &Args) -> io::Result<bool> {
    let _limit = Raised::to(args.flows.saturating_add(args.flows / 8))?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    if args.acct {
        fs::write(ACCT, "1")?;
    }
    let clock = Stopwatch::start();
    fill(args.flows)?;
    eprintln!("{} flows made in {:.1} s", args.flows, clock.elapsed().as_secs_f64());
    if let Some(command) = &args.run {
        return Ok(Command::new("sh").args(["-c", command]).status()?.success());
    }
    let own = std::env::current_exe()?.with_file_name("tidegate");
    let own = args.tidegate.clone().unwrap_or_else(|| own.to_string_lossy().into_owned());
    if args.doctor {
        return examine(&own, args.rounds);
    }
    let mut is_good = true;
    println!("| arguments | seconds | | CPU | | ratio | memory kB | | own kB | | same lines |");
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (name, arguments) in ROWS {
        let programs =
            [[&["conntrack", "-L"], arguments].concat(), [&[&own, "list"], arguments].concat()];
        let [theirs, ours] = in_turns(&programs, args.rounds)?;
        let is_same = same(&programs)?;
        println!(
            "| {name} | {:.2} | **{:.2}** | {:.2} | **{:.2}** | {:.2} | {} | **{}** | {} | **{}** | {} |",
            theirs.seconds,
            ours.seconds,
            theirs.processor,
            ours.processor,
            ours.processor / theirs.processor,
            theirs.kilobytes,
            ours.kilobytes,
            theirs.own,
            ours.own,
            if is_same { "yes" } else { "NO" },
        );
        is_good &= is_same && ours.seconds <= theirs.seconds * TOLERANCE;
    }
    Ok(is_good)
}

/// What a verdict takes, with the evidence saved and without, beside those who only list: A B C D A B C D.
fn examine(own: &str, rounds: usize) -> io::Result<bool> {
    let dir = std::env::temp_dir().to_string_lossy().into_owned();
    let this = std::env::current_exe()?.to_string_lossy().into_owned();
    let programs: [(&str, &[&str]); 4] = [
        ("only receives", &[&this, "--receive"]),
        ("`conntrack -L`", &["conntrack", "-L"]),
        ("`tidegate doctor --no-save`", &[own, "doctor", "--time", "600", "--no-save"]),
        ("`tidegate doctor`", &[own, "doctor", "--time", "600", "--save-in", &dir]),
    ];
    let mut costs = [const { Vec::new() }; 4];
    for _ in 0..rounds.max(1) {
        for ((_, program), costs) in programs.iter().zip(&mut costs) {
            costs.push(cost(program)?);
        }
    }
    let costs = costs.map(|costs| median(&costs));
    println!("| | seconds | CPU | CPU, of conntrack's | memory kB |");
    println!("|---|---|---|---|---|");
    for ((name, _), Cost { seconds, processor, kilobytes, .. }) in programs.iter().zip(&costs) {
        let ratio = processor / costs[1].processor;
        println!("| {name} | {seconds:.2} | {processor:.2} | {ratio:.2} | {kilobytes} |");
    }
    let is_good = |cost: &Cost| cost.seconds < DOCTOR_SECONDS && cost.kilobytes < DOCTOR_KILOBYTES;
    Ok(costs[2..].iter().all(is_good))
}

/// Asks the kernel for its table, and forgets it.
fn receive() -> io::Result<bool> {
    let socket = netfilter()?;
    let kind = Header::kind_of(Subsystem::Conntrack, message::GET);
    let header = Header { kind, flags: Flags::REQUEST | Flags::DUMP, seq: 1, pid: 0 };
    let mut request = Vec::new();
    Writer::new(&mut request).message(header, Family::default(), |_| {});
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut datagram = vec![0; 32 << 10];
    loop {
        let len = recv(socket.as_raw_fd(), &mut datagram, MsgFlags::empty())?;
        let mut messages = Messages::new(&datagram[..len]).flatten();
        if len == 0 || messages.any(|message| message.control().is_some()) {
            return Ok(true);
        }
    }
}

fn netfilter() -> io::Result<OwnedFd> {
    let kind = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
    Ok(socket(AddressFamily::Netlink, kind.0, kind.1, SockProtocol::NetlinkNetFilter)?)
}

/// The medians of both, A B A B.
fn in_turns(programs: &[Vec<&str>; 2], rounds: usize) -> io::Result<[Cost; 2]> {
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..rounds.max(1) {
        for (program, costs) in programs.iter().zip(&mut costs) {
            costs.push(cost(program)?);
        }
    }
    Ok(costs.map(|costs| median(&costs)))
}

fn median(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Cost {
        seconds: middle(|cost| cost.seconds),
        processor: middle(|cost| cost.processor),
        kilobytes: middle(|cost| cost.kilobytes as f64) as u64,
        own: middle(|cost| cost.own as f64) as u64,
    }
}

fn cost(program: &[&str]) -> io::Result<Cost> {
    let before = children_time()?;
    // It waits to be watched, for it may be over at once.
    let child = Command::new("sh")
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .args(program)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let child = Pid::from_raw(child.id().cast_signed());
    waitpid(child, Some(WaitPidFlag::WUNTRACED))?;
    ptrace::seize(child, ptrace::Options::PTRACE_O_TRACEEXIT)?;
    let clock = Stopwatch::start();
    kill(child, Signal::SIGCONT)?;
    let (kilobytes, own) = watch_to_the_end(child)?;
    let seconds = clock.elapsed().as_secs_f64();
    Ok(Cost { seconds, processor: children_time()? - before, kilobytes, own })
}

/// What memory a program had when it ended: it is held there for a moment.
fn watch_to_the_end(child: Pid) -> io::Result<(u64, u64)> {
    let mut memory = (0, 0);
    loop {
        let signal = match waitpid(child, None)? {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(memory),
            WaitStatus::PtraceEvent(..) => {
                let status = fs::read_to_string(format!("/proc/{child}/status"))?;
                memory = of_status(&status).unwrap_or(memory);
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
        ptrace::cont(child, signal)?;
    }
}

/// `VmHWM` and `RssAnon`.
fn of_status(text: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some((field("VmHWM:")?, field("RssAnon:")?))
}

/// Processor seconds of all programs that have ended.
fn children_time() -> io::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// Whether both show the same lines in the same order, but for the seconds that are left.
fn same(programs: &[Vec<&str>; 2]) -> io::Result<bool> {
    let [theirs, ours] = programs.each_ref().map(|program| digest(program));
    Ok(theirs? == ours?)
}

fn digest(program: &[&str]) -> io::Result<(usize, u64)> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let out = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let (mut lines, mut hasher) = (0, DefaultHasher::new());
    for line in BufReader::new(out).lines() {
        without_seconds(&line?).hash(&mut hasher);
        lines += 1;
    }
    child.wait()?;
    Ok((lines, hasher.finish()))
}

/// The seconds stand behind the protocol's number, or in an element.
fn without_seconds(line: &str) -> String {
    if let Some((before, after)) = line.split_once("<timeout>") {
        let rest = after.split_once("</timeout>").map_or(after, |(_, rest)| rest);
        return format!("{before}{rest}");
    }
    let words = line.split_whitespace();
    let mut numbers = 0;
    let is_kept = |word: &&str| {
        numbers += usize::from(word.bytes().all(|byte| byte.is_ascii_digit()));
        !(numbers == seconds_at(line) && word.bytes().all(|byte| byte.is_ascii_digit()))
    };
    words.filter(is_kept).collect::<Vec<_>>().join(" ")
}

/// Which of a line's bare numbers the seconds are.
fn seconds_at(line: &str) -> usize {
    if line.starts_with("ipv") { 3 } else { 2 }
}

/// The kernel's limit, raised until this is dropped.
struct Raised {
    before: String,
    /// The limit is of all namespaces, but only the first may change it.
    namespace: File,
}

const ACCT: &str = "/proc/sys/net/netfilter/nf_conntrack_acct";
const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

impl Raised {
    fn to(flows: u32) -> io::Result<Self> {
        let before = fs::read_to_string(LIMIT)?;
        if before.trim().parse::<u32>().is_ok_and(|limit| limit < flows) {
            fs::write(LIMIT, flows.to_string())?;
        }
        Ok(Self { before, namespace: File::open("/proc/thread-self/ns/net")? })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let back = setns(&self.namespace, CloneFlags::CLONE_NEWNET);
        if back.map_err(io::Error::from).and_then(|()| fs::write(LIMIT, &self.before)).is_err() {
            eprintln!("listing: {LIMIT} was {}", self.before.trim());
        }
    }
}

fn fill(flows: u32) -> io::Result<()> {
    let socket = netfilter()?;
    for first in (0..flows).step_by(AT_ONCE) {
        let mut datagram = Vec::new();
        let last = flows.min(first.saturating_add(AT_ONCE as u32));
        (first..last).for_each(|number| write_flow(&mut datagram, number, number + 1 == last));
        send(socket.as_raw_fd(), &datagram, MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let len = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let errno = answer[..len].get(16..20).and_then(|code| code.first_chunk());
        if let Some(code) = errno.map(|code| i32::from_ne_bytes(*code)).filter(|code| *code != 0) {
            return Err(io::Error::from_raw_os_error(-code));
        }
    }
    Ok(())
}

/// One in four is of IPv6, one in three of UDP; states, marks and destinations vary.
fn write_flow(datagram: &mut Vec<u8>, number: u32, is_last: bool) {
    let address = |host: u32| -> IpAddr {
        match number % 4 {
            0 => Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(host)).into(),
            _ => Ipv4Addr::from_bits(0x0a00_0000 | host).into(),
        }
    };
    let (source, target) = (address(number / 64), address(0x80_0000 | (number % 251)));
    let sport = 1024 + (number % 64) as u16 * 997 + (number % 7) as u16;
    let dport = [80, 443, 53, 8080, 22][number as usize % 5];
    let is_udp = number.is_multiple_of(3);
    let protocol = if is_udp { proto::UDP } else { proto::TCP };
    let tuple = |src, dst, sport, dport| Tuple {
        src: Some(src),
        dst: Some(dst),
        proto: Some(protocol),
        sport: Some(sport),
        dport: Some(dport),
        ..Tuple::default()
    };
    let family = Family::of(tidegate_wire::Family::of(source));
    let mut flags = Flags::REQUEST | Flags::CREATE;
    flags.set(Flags::ACK, is_last);
    let kind = Header::kind_of(Subsystem::Conntrack, message::NEW);
    Writer::new(datagram).message(Header { kind, flags, seq: 1, pid: 0 }, family, |writer| {
        Attribute::Original(tuple(source, target, sport, dport)).write(writer);
        Attribute::Reply(tuple(target, source, dport, sport)).write(writer);
        Attribute::Status(CONFIRMED | if number.is_multiple_of(10) { 0 } else { ANSWERED })
            .write(writer);
        Attribute::Timeout(86_400 + number % 1000).write(writer);
        Attribute::Mark(number % 1000).write(writer);
        if !is_udp {
            // ESTABLISHED, and one in a hundred TIME_WAIT.
            let state = Some(if number % 100 == 1 { 7 } else { 3 });
            let tcp = Some(TcpInfo { state, ..TcpInfo::default() });
            Attribute::ProtoInfo(ProtoInfo { tcp, ..ProtoInfo::default() }).write(writer);
        }
    });
}

/// Two runs of the same program differ by as much.
const TOLERANCE: f64 = 1.1;
const CONFIRMED: u32 = 8;
/// Seen from both sides, and assured.
const ANSWERED: u32 = 6;
const AT_ONCE: usize = 100;
/// The goal for a million flows.
const DOCTOR_SECONDS: f64 = 3.0;
const DOCTOR_KILOBYTES: u64 = 64 << 10;
