//! Programs that nobody here wrote, on an engine: iptstate on a terminal, conntrackd, and node_exporter over the files
//! of `tidegate procfs`; and those files beside the kernel's own.
//!
//! Each test has a network and a mount namespace of its own. Takes root, or user namespaces for everybody and a
//! `/dev/fuse` that everybody may open; ip, conntrack, script, iptstate, conntrackd and prometheus-node-exporter, which
//! `.ci/run` sees to; and the shim beside the program (`cargo build -p tidegate-preload`). Not part of `cargo test`
//! without a name: `cargo test -p tidegate --test programs`. conntrackd is watched for a minute, or as many seconds as
//! `TIDEGATE_CONNTRACKD_SECONDS` says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_gateway::clock::Stopwatch;

use self::stage::{
    Program, TIDEGATE, call, command_of, new_mounts, new_network, play, until, words,
};

const TESTS: [(&str, fn()); 4] = [
    ("files_of_the_kernels_table_are_the_kernels", files_of_the_kernels_table_are_the_kernels),
    ("node_exporter_reads_the_engine", node_exporter_reads_the_engine),
    ("iptstate_shows_the_engines_flows", iptstate_shows_the_engines_flows),
    ("conntrackd_follows_the_engine", conntrackd_follows_the_engine),
];

fn main() -> ExitCode {
    play(&TESTS, || {
        new_network();
        new_mounts();
    })
}

fn files_of_the_kernels_table_are_the_kernels() {
    for name in ["acct", "timestamp"] {
        fs::write(format!("/proc/sys/net/netfilter/nf_conntrack_{name}"), "1").unwrap();
    }
    // None of GRE: made by a message, it has no timeouts of its own in the kernel, which no message tells.
    let flows = [
        "-p tcp -s 10.0.0.1 -d 10.1.0.1 --sport 101 --dport 80 --state ESTABLISHED -t 90000 -u ASSURED,SEEN_REPLY -m 7",
        "-p tcp -s fe80::1 -d 2001:db8::1 --sport 1 --dport 2 --state SYN_SENT -t 90000",
        "-p udp -s 10.0.0.1 -d 10.1.0.1 --sport 53 --dport 53 -t 90000 -w 9",
        "-p udp -s 10.0.0.2 -d 10.1.0.1 --sport 5 --dport 6 -t 90000 --src-nat 192.0.2.1:7 --orig-zone 3",
        "-p icmp -s 10.0.0.1 -d 10.1.0.1 --icmp-type 8 --icmp-code 0 --icmp-id 77 -t 90000",
        "-p icmpv6 -s fe80::1 -d fe80::2 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 7 -t 90000",
        "-p sctp -s 10.0.0.1 -d 10.1.0.1 --sport 7 --dport 8 --state ESTABLISHED --orig-vtag 1 --reply-vtag 2 -t 90000",
    ];
    for flow in flows {
        call("conntrack", &[&["-I"], &words(flow)[..]].concat());
    }
    let files = Files::mount(&[]);
    let same = ["net/nf_conntrack", "net/nf_conntrack_expect", "net/stat/nf_conntrack"];
    for name in same {
        // A second may pass between the two.
        let look = || (sorted(&read(Path::new("/proc").join(name))), sorted(&files.read(name)));
        let (kernels, ours) = (0..5).map(|_| look()).find(|(a, b)| a == b).unwrap_or_else(look);
        assert_eq!(kernels, ours, "{name}");
    }
    assert_eq!(files.read("net/nf_conntrack").lines().count(), flows.len());
    let settings = "sys/net/netfilter/nf_conntrack_tcp_timeout_established";
    files.write(settings, "12345\n").unwrap();
    assert_eq!(fs::read_to_string(Path::new("/proc").join(settings)).unwrap(), "12345\n");
    assert_eq!(files.write(settings, "x\n").unwrap_err().raw_os_error(), Some(22));
    let more = "sys/net/nf_conntrack_max";
    assert_eq!(files.place.join(more).exists(), Path::new("/proc").join(more).exists());
}

fn node_exporter_reads_the_engine() {
    let engine = Engine::start();
    for number in 1..=30 {
        engine.insert(number, 90_000);
    }
    let files = Files::mount(&["--socket", engine.socket()]);
    files.write("sys/net/netfilter/nf_conntrack_max", "4321\n").unwrap();
    let place = format!("--path.procfs={}", files.place.display());
    let exporter = Command::new("prometheus-node-exporter")
        .args([&place, "--collector.disable-defaults", "--collector.conntrack"])
        .args(["--web.listen-address=127.0.0.1:9100"])
        .stderr(Stdio::null())
        .spawn();
    let _exporter = Program(exporter.expect("prometheus-node-exporter is installed"));
    let metrics = until(|| metrics("127.0.0.1:9100"));
    let expected =
        [("entries", 30.0), ("entries_limit", 4321.0), ("stat_insert", 30.0), ("stat_drop", 0.0)];
    for (name, value) in expected {
        let name = format!("node_nf_conntrack_{name}");
        assert_eq!(metrics.get(&name), Some(&value), "{name} in {metrics:?}");
    }
    assert_eq!(files.read("sys/net/netfilter/nf_conntrack_count"), "30\n");
}

/// The numbers of a page for Prometheus, once somebody serves it.
fn metrics(address: &str) -> Option<BTreeMap<String, f64>> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let number = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Some(page.lines().filter_map(number).collect())
}

fn iptstate_shows_the_engines_flows() {
    let engine = Engine::start();
    engine.insert(1, 90_000);
    engine.insert(2, 90_000);
    // In the foreground: else a shell that forks for it leaves it no right to the terminal.
    let command = format!(
        "stty rows 40 cols 150; TERM=xterm timeout --foreground 3 {TIDEGATE} exec --socket {} -- iptstate",
        engine.socket()
    );
    let mut script = command_of("script", &["-qec", &command, "/dev/null"]);
    let screen = script.stdin(Stdio::null()).output().unwrap();
    let screen = String::from_utf8_lossy(&screen.stdout).into_owned();
    for part in ["10.0.0.1:1000", "10.0.0.2:1000", "10.1.0.1:80", "ESTABLISHED", "24:59:"] {
        assert!(screen.contains(part), "{part} on {screen:?}");
    }
}

/// Flows come, change, expire and are deleted as long as it is watched; then both have counted the same.
fn conntrackd_follows_the_engine() {
    let engine = Engine::start();
    let config = engine.place.path().join("conntrackd.conf");
    let lines = "General {\nHashSize 8192\nHashLimit 65536\nSyslog off\nLogFile off\nLockFile DIR/lock\n\
                 UNIX {\nPath DIR/ctl\n}\nNetlinkBufferSize 1048576\n\
                 NetlinkBufferSizeMaxGrowth 8388608\n}\nStats {\nLogFile off\n}\n";
    let dir = engine.place.path().display().to_string();
    fs::write(&config, lines.replace("DIR", &dir)).unwrap();
    let config = config.to_str().unwrap();
    let follower = engine.exec(&["conntrackd", "-C", config]).stdout(Stdio::null()).spawn();
    let _follower = Program(follower.unwrap());
    let asked = |what: &str| command_of("conntrackd", &["-C", config, what]).output().unwrap();
    until(|| asked("-s").status.success().then_some(()));
    let load = engine.work_for(watched());
    sleep(Duration::from_secs(4));
    let said = String::from_utf8(asked("-s").stdout).unwrap();
    let counted = |name: &str| {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().find_map(|word| word.parse::<u64>().ok())
    };
    let active = engine.count();
    println!("{load:?}, {active} of {} flows left", load.inserted);
    assert!(load.inserted > 100 && load.deleted > 10 && active > 0, "too little happened");
    assert_eq!(counted("connections created"), Some(load.inserted), "{said}");
    assert_eq!(counted("current active connections"), Some(active), "{said}");
    assert_eq!(counted("connections updated"), Some(load.updated), "{said}");
    assert_eq!(counted("connections destroyed"), Some(load.inserted - active), "{said}");
    assert_eq!(engine.stat("insert"), load.inserted);
}

fn watched() -> Duration {
    let seconds = std::env::var("TIDEGATE_CONNTRACKD_SECONDS");
    Duration::from_secs(seconds.map_or(60, |text| text.parse().expect("a number of seconds")))
}

/// An engine that is kept going.
struct Engine {
    place: TempDir,
    _daemon: Program,
}

/// What was done to it.
#[derive(Debug, Default)]
struct Load {
    inserted: u64,
    updated: u64,
    deleted: u64,
}

impl Engine {
    fn start() -> Self {
        let place = TempDir::new().unwrap();
        let socket = place.path().join("socket");
        let daemon = Command::new(TIDEGATE).arg("run").arg("--control").arg(&socket).spawn();
        let engine = Self { place, _daemon: Program(daemon.unwrap()) };
        until(|| socket.exists().then_some(()));
        engine
    }

    fn socket(&self) -> &str {
        Box::leak(self.place.path().join("socket").display().to_string().into_boxed_str())
    }

    fn tool(&self, command: &str, args: &str) -> String {
        let args = [&[command, "--socket", self.socket()][..], &words(args)].concat();
        call(TIDEGATE, &args)
    }

    fn exec(&self, program: &[&str]) -> Command {
        command_of(TIDEGATE, &[&["exec", "--socket", self.socket(), "--"], program].concat())
    }

    /// A flow from `10.0.x.y`.
    fn insert(&self, number: u64, seconds: u64) {
        let (high, low) = (number / 250, number % 250);
        let flow = format!(
            "-p tcp -s 10.0.{high}.{low} -d 10.1.0.1 --sport 1000 --dport 80 -t {seconds} -u SEEN_REPLY,ASSURED"
        );
        self.tool("insert", &flow);
    }

    fn work_for(&self, time: Duration) -> Load {
        let (stopwatch, mut load) = (Stopwatch::start(), Load::default());
        while stopwatch.elapsed() < time {
            load.inserted += 1;
            let number = load.inserted;
            // Each third one expires soon.
            self.insert(number, if number.is_multiple_of(3) { 2 } else { 90_000 });
            let source = format!("-s 10.0.{}.{} --yes", number / 250, number % 250);
            if number.is_multiple_of(2) {
                self.tool("update", &format!("{source} --set-mark {number}"));
                load.updated += 1;
            }
            if number.is_multiple_of(5) && !number.is_multiple_of(3) {
                self.tool("delete", &source);
                load.deleted += 1;
            }
            sleep(Duration::from_millis(20));
        }
        load
    }

    fn count(&self) -> u64 {
        self.tool("count", "").trim().parse().unwrap()
    }

    fn stat(&self, name: &str) -> u64 {
        let page: Value = serde_json::from_str(&self.tool("stats", "--json")).unwrap();
        find(&page, name).unwrap_or_else(|| panic!("{name} in {page}"))
    }
}

/// A number in a page, wherever it is.
fn find(page: &Value, name: &str) -> Option<u64> {
    let fields = page.as_object()?;
    let own = fields.get(name).and_then(|value| value.as_u64().or_else(|| value["now"].as_u64()));
    own.or_else(|| fields.values().find_map(|value| find(value, name)))
}

/// A table's files.
struct Files {
    place: PathBuf,
    _dir: TempDir,
    server: Program,
}

impl Files {
    fn mount(which: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let place = dir.path().to_owned();
        let server = Command::new(TIDEGATE).arg("procfs").arg(&place).args(which).spawn();
        let files = Self { place, _dir: dir, server: Program(server.unwrap()) };
        until(|| files.place.join("sys").exists().then_some(()));
        files
    }

    fn read(&self, name: &str) -> String {
        read(self.place.join(name))
    }

    fn write(&self, name: &str, value: &str) -> std::io::Result<()> {
        fs::write(self.place.join(name), value)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // It unmounts them when it is told to end.
        self.server.end();
    }
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
