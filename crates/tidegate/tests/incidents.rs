//! The doctor at real incidents, staged in namespaces on the kernel of this machine: verdict, culprit and advice are what
//! they should be, and then the advice is carried out, line by line as it is printed, and what it foretold comes true
//! within ten per cent.
//!
//! `cargo test -p tidegate --test incidents`, as root or as anybody where user namespaces are allowed. The limit on
//! flows is the machine's and is left alone: tables are filled up to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "incidents/patient.rs"]
mod patient;
mod stage;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use serde_json::Value;

use self::patient::{Entry, count, diagnosis, doctor, expect_all, fill, limit};
use self::stage::{Program, call, new_mounts, new_network, play, until};

const TESTS: [(&str, fn()); 10] = [
    ("a_healthy_table_takes_one_line", a_healthy_table_takes_one_line),
    ("one_source_fills_the_table_with_idle_connections", idle_connections),
    ("dns_is_flooded_and_never_answers", dns_flood),
    ("a_syn_flood", syn_flood),
    ("a_proxy_leaves_time_wait_behind", time_wait),
    ("nat_ports_to_one_server_are_used_up", nat_ports),
    ("only_another_namespace_is_full", another_namespace),
    ("clients_are_led_to_a_dead_server", stale_dnat),
    ("the_expectation_table_is_full", expectations),
    ("packets_are_lost_elsewhere", elsewhere),
];

fn main() -> ExitCode {
    play(&TESTS, set)
}

/// A network of its own, in which the kernel tracks, and a directory for what commands leave.
fn set() {
    new_network();
    new_mounts();
    call("mount", &["-t", "tmpfs", "tmpfs", "/tmp"]);
    std::env::set_current_dir("/tmp").unwrap();
    nft("table inet t { chain c { type filter hook output priority 0; ct state invalid drop; }; }");
}

fn nft(rules: &str) {
    call("nft", &[rules]);
}

fn a_healthy_table_takes_one_line() {
    let (status, page) = doctor(&[]);
    assert_eq!(status, 0, "{page}");
    assert_eq!(page.lines().count(), 1, "{page}");
    assert!(page.starts_with("OK  0.0 % (") && page.contains("0 refused"), "{page}");
    assert_eq!(fs::read_dir("/tmp").unwrap().count(), 0, "there is nothing to keep");
}

/// Three quarters are one source's, idle for three hours; new flows are refused.
fn idle_connections() {
    let (max, hog) = (limit(), limit() * 3 / 4);
    let idle = |number| Entry {
        source: v4("10.42.7.19"),
        target: (after("203.0.113.9", number / 60_000), 443),
        ..Entry::tcp(number, 3, 432_000 - 11_520)
    };
    fill(hog, idle);
    let others = |number: u32| Entry {
        source: after("10.67.0.0", number % 4112),
        port: 1024 + (number / 4112) as u16,
        target: (v4("203.0.113.200"), 443),
        ..Entry::tcp(number, 3, 431_990)
    };
    fill(max - hog - 500, others);
    // No assured flow gives way to those that come now.
    let flood = Flood::of_flows(500);
    until(|| (count() >= max - 50).then_some(()));
    fill_up(max, others);
    let report = diagnosis();
    flood.end();
    assert_eq!(report["status"], "critical", "{report:#}");
    assert_eq!(report["findings"][0]["check"], "table", "{report:#}");
    assert!(report["flow"]["refused"].as_f64().unwrap() > 10.0, "{report:#}");
    let who = &report["who"][0];
    assert_eq!(who["label"], "10.42.7.19 > many");
    assert_eq!(
        (who["flows"].as_u64(), who["class"].as_str()),
        (Some(hog.into()), Some("ESTABLISHED"))
    );
    assert!((7440..=14_400).contains(&who["idle_median"].as_u64().unwrap()), "{who}");
    let drain = step(&report, "retime", "--idle '>2h4m' --to 30s");
    assert_eq!((frees(drain), drain["live"].as_u64()), (u64::from(hog), Some(0)));
    let raise = step(&report, "nf_conntrack_max=", "");
    assert!(raise["undo"].as_str().unwrap().ends_with(&format!("={max}")), "{raise}");
    let cap = step(&report, "connlimit", "-s 10.42.7.19");
    assert!(cap["undo"].as_str().unwrap().contains(" -D "), "{cap}");
    paste_and_undo(cap);
    cap_by_nft("10.42.7.19");
    assert!(donts(&report).contains("conntrack -F"), "{report:#}");
    let saved = report["saved"].as_str().unwrap();
    assert!(fs::metadata(saved).unwrap().len() > 100_000);
    same_from_the_file(saved, &report);
    let before = count();
    carry_out(drain);
    sleep(Duration::from_secs(32));
    freed(before, frees(drain));
}

/// What was saved gives the same verdict afterwards.
fn same_from_the_file(file: &str, report: &Value) {
    let (_, text) = doctor(&["-r", file, "--json"]);
    let again: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(again["who"][0], report["who"][0]);
    assert_eq!(again["status"], "critical", "{again:#}");
    let drains = [report, &again].map(|report| step(report, "retime", "--idle")["frees"].clone());
    assert_eq!(drains[0], drains[1]);
}

fn fill_up(max: u32, entry: impl Fn(u32) -> Entry) {
    let mut number = max * 2;
    while count() < max && number < max * 2 + 2000 {
        fill(1, |_| entry(number));
        number += 1;
    }
}

/// A resolver that is gone: entries of many clients, and more of them all the time.
fn dns_flood() {
    let flows = limit() * 2 / 5;
    let question = |number: u32| Entry {
        source: after("10.42.0.0", number % 60_000),
        port: 1024 + (number / 60_000) as u16,
        target: (v4("10.96.0.10"), 53),
        ..Entry::udp(number, 29_000)
    };
    fill(flows, question);
    let flood = Flood::of_flows(1000);
    let report = diagnosis();
    assert_eq!(report["findings"][0]["check"], "unreplied", "{report:#}");
    let culprit = report["findings"][0]["culprit"].as_str().unwrap();
    assert!(culprit.starts_with("10.42.") && culprit.ends_with("> 10.96.0.10:53"), "{culprit}");
    let delete = step(&report, "delete", "-d 10.96.0.10 --dport 53");
    assert_eq!((frees(delete), delete["live"].as_u64()), (flows.into(), Some(0)));
    let shorter = step(&report, "udp_timeout=10", "");
    carry_out(delete);
    let left = listed(&["-d", "10.96.0.10"]);
    near("freed", u64::from(flows) - left, frees(delete));
    // Whoever comes from now on lives for ten seconds: after some more the number no longer changes.
    carry_out(shorter);
    sleep(Duration::from_secs(35));
    let left = listed(&["-p", "udp"]);
    flood.end();
    near("settled", left, shorter["settles"].as_u64().unwrap());
    let notrack = find(&report, "notrack");
    let rules = notrack["steps"][0]["command"].as_str().unwrap();
    for part in ["-t raw -I PREROUTING", "-t raw -I OUTPUT", "--ctstate UNTRACKED -j ACCEPT"] {
        assert!(rules.contains(part), "{rules}");
    }
    paste_and_undo(&notrack["steps"][1]);
}

/// A step that is carried out as the page has it, and taken back.
fn paste_and_undo(step: &Value) {
    for line in [&step["command"], &step["undo"]] {
        carry_out_line(line.as_str().unwrap());
    }
}

/// Where there is no `iptables` the cap is a rule of nft's: it is hidden by a directory that has nothing but nft.
fn cap_by_nft(source: &str) {
    let nft = call("sh", &["-c", "command -v nft"]);
    let dir = std::path::Path::new(nft.trim()).parent().unwrap().to_str().unwrap();
    fs::create_dir_all("/tmp/only-nft").unwrap();
    fs::copy(nft.trim(), "/tmp/only-nft/nft").unwrap();
    call("mount", &["--bind", "/tmp/only-nft", dir]);
    let (_, text) = doctor(&["--json", "--no-save"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    paste_and_undo(step(&report, "nft ", source));
    call("umount", &[dir]);
}

fn syn_flood() {
    let flows = limit() * 2 / 5;
    // Handshakes that were answered and then forgotten, 20 of 60 seconds ago, by sources that don't exist.
    let syn = |number: u32| Entry {
        source: Ipv4Addr::from_bits(number.wrapping_mul(2_654_435_761)).into(),
        target: (v4("10.0.0.80"), 80),
        assured: false,
        ..Entry::tcp(number, 2, 40)
    };
    fill(flows, syn);
    let report = diagnosis();
    assert_eq!(report["findings"][0]["check"], "half-open", "{report:#}");
    assert_eq!(report["findings"][0]["culprit"], "many > 10.0.0.80:80");
    let drain = step(&report, "retime", "--idle '>10s' --to 1s");
    let before = count();
    carry_out(drain);
    sleep(Duration::from_secs(3));
    freed(before, frees(drain));
}

fn time_wait() {
    let flows = limit() * 2 / 5;
    let ended = |number: u32| Entry {
        source: v4("10.0.0.5"),
        target: (after("10.0.1.0", number / 60_000), 8080),
        ..Entry::tcp(number, 7, 60)
    };
    fill(flows, ended);
    let report = diagnosis();
    assert_eq!(report["findings"][0]["check"], "time-wait", "{report:#}");
    assert!(report["findings"][0]["culprit"].as_str().unwrap().starts_with("10.0.0.5 > "));
    let drain = step(&report, "retime", "--state TIME_WAIT");
    let shorter = step(&report, "tcp_timeout_time_wait=30", "");
    assert_eq!(shorter["settles"].as_u64(), Some(u64::from(flows) / 4));
    let before = count();
    carry_out(drain);
    sleep(Duration::from_secs(3));
    freed(before, frees(drain));
}

/// Hundred ports toward one server, all of them taken by connections that nobody uses.
fn nat_ports() {
    call("ip", &["address", "add", "198.51.100.1/32", "dev", "lo"]);
    nft(
        "table ip n { chain p { type nat hook postrouting priority 100; ip daddr 127.0.0.9 tcp dport 8080 snat to 198.51.100.1:4000-4099; }; }",
    );
    let dead = |number: u32| Entry {
        source: v4("10.0.0.7"),
        target: (v4("127.0.0.9"), 8080),
        translated: Some((v4("198.51.100.1"), 4000 + number as u16)),
        ..Entry::tcp(number, 3, 432_000 - 11_520)
    };
    fill(100, dead);
    let server = TcpListener::bind("127.0.0.9:8080").unwrap();
    let there = server.local_addr().unwrap();
    let attempt = || TcpStream::connect_timeout(&there, Duration::from_millis(700));
    let flood =
        Flood::new(move || drop(TcpStream::connect_timeout(&there, Duration::from_millis(50))));
    let report = diagnosis();
    flood.end();
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["check"], &finding["severity"]),
        (&"ports".into(), &"critical".into()),
        "{report:#}"
    );
    assert_eq!(finding["culprit"], "198.51.100.1 > 127.0.0.9:8080");
    assert!(finding["symptom"].as_str().unwrap().ends_with("100 of 100"), "{finding}");
    assert!(
        report["summary"].as_str().unwrap().contains("the table is not your problem"),
        "{report:#}"
    );
    assert!(attempt().is_err(), "there is no port");
    let drain = step(&report, "retime", "-n 198.51.100.1 -r 127.0.0.9 --reply-sport 8080");
    assert_eq!(frees(drain), 100);
    carry_out(drain);
    sleep(Duration::from_secs(3));
    let made: Vec<TcpStream> = (0..110).map_while(|_| attempt().ok()).collect();
    near("connections", made.len() as u64, frees(drain));
}

/// The neighbour's table is full, ours is empty.
fn another_namespace() {
    let mut neighbour =
        Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().map(Program).unwrap();
    let idle = |number| Entry {
        source: v4("10.42.7.19"),
        target: (after("203.0.113.9", number / 60_000), 443),
        ..Entry::tcp(number, 3, 432_000 - 11_520)
    };
    fill(limit(), idle);
    new_network();
    let report = diagnosis();
    let process = neighbour.0.id().to_string();
    assert_eq!(
        (&report["status"], &report["count"]),
        (&"critical".into(), &0.into()),
        "{report:#}"
    );
    let finding = &report["findings"][0];
    assert_eq!(finding["check"], "namespace");
    assert!(
        finding["culprit"].as_str().unwrap().contains(&format!("sleep, pid {process}")),
        "{finding}"
    );
    assert_eq!(report["who"][0]["label"], "10.42.7.19 > many");
    let drain = step(&report, "retime", &format!("--netns {process}"));
    let there = || {
        let shown = call(stage::TIDEGATE, &["count", "--netns", &process]);
        shown.trim().parse::<u32>().unwrap()
    };
    let before = there();
    carry_out(drain);
    sleep(Duration::from_secs(32));
    call(stage::TIDEGATE, &["list", "--netns", &process, "-p", "udp"]);
    near("freed", u64::from(before - there()), frees(drain));
    neighbour.end();
}

/// A server that is gone, and a client that speaks on from the same port.
fn stale_dnat() {
    let rule = |server: &str| {
        nft(&format!(
            "table ip d {{ chain o {{ type nat hook output priority -100; ip daddr 127.0.0.50 udp dport 53 dnat to {server}:53; }}; }}"
        ));
    };
    rule("127.0.0.52");
    let silent = UdpSocket::bind("127.0.0.52:53").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let clients: Vec<UdpSocket> =
        (0..20).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let all: Vec<UdpSocket> =
        clients.iter().chain([&client]).map(|socket| socket.try_clone().unwrap()).collect();
    let speak = move || {
        all.iter().for_each(|socket| drop(socket.send_to(b"?", "127.0.0.50:53")));
        sleep(Duration::from_millis(300));
    };
    speak();
    call("nft", &["delete", "table", "ip", "d"]);
    rule("127.0.0.51");
    let server = UdpSocket::bind("127.0.0.51:53").unwrap();
    let answer = Flood::new(move || {
        let mut question = [0; 16];
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        if let Ok((_, from)) = server.recv_from(&mut question) {
            server.send_to(b"!", from).unwrap();
        }
    });
    let others = UdpSocket::bind("127.0.0.1:0").unwrap();
    others.send_to(b"?", "127.0.0.50:53").unwrap();
    others.recv(&mut [0; 16]).unwrap();
    let flood = Flood::new(speak);
    let report = diagnosis();
    let finding = &report["findings"][0];
    assert_eq!(finding["check"], "stale-dnat", "{report:#}");
    assert_eq!(finding["culprit"], "127.0.0.50:53 > 127.0.0.52:53");
    seen_by_others_as_well("stale-dnat");
    let delete = step(&report, "delete", "-g 127.0.0.52");
    assert_eq!((frees(delete), delete["live"].as_u64()), (21, Some(0)));
    client.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    assert!(client.recv(&mut [0; 16]).is_err(), "nobody answers yet");
    carry_out(delete);
    let heard = |socket: &&UdpSocket| {
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.recv(&mut [0; 16]).is_ok()
    };
    let cured = clients.iter().chain([&client]).filter(heard).count();
    flood.end();
    answer.end();
    drop(silent);
    near("cured", cured as u64, frees(delete));
}

/// With other addresses it is the same finding: the table was asked about its own.
fn seen_by_others_as_well(check: &str) {
    let (_, text) = doctor(&["--json", "--no-save", "--redact"]);
    assert!(!text.contains("127.0.0."), "{text}");
    let shared: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shared["findings"][0]["check"], check, "{shared:#}");
}

fn expectations() {
    let max: u32 = setting("expect_max");
    let master = |number: u32| Entry {
        source: after("10.7.0.0", number / 60_000),
        target: (v4("10.0.0.21"), 21),
        helper: Some("ftp"),
        ..Entry::tcp(number, 3, 431_990)
    };
    fill(max + 1, master);
    assert_eq!(expect_all(max, master), max);
    let report = diagnosis();
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["check"], &finding["severity"]),
        (&"expectations".into(), &"critical".into()),
        "{report:#}"
    );
    assert!(finding["culprit"].as_str().unwrap().contains("ftp"), "{finding}");
    assert_eq!(expect_all(max + 1, master), max, "there is no room for one more");
    let raise = step(&report, &format!("nf_conntrack_expect_max={}", max * 4), "");
    assert!(raise["undo"].as_str().unwrap().ends_with(&format!("={max}")));
    let flush = step(&report, "expect flush", "--yes");
    let shown = || call(stage::TIDEGATE, &["expect", "list"]).lines().count() as u64;
    let before = shown();
    carry_out(flush);
    near("ended", before - shown(), frees(flush));
    assert_eq!(expect_all(max + 1, master), max, "there is room again");
}

/// A program that doesn't read its datagrams.
fn elsewhere() {
    let lazy = UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = lazy.local_addr().unwrap();
    let here = UdpSocket::bind("127.0.0.1:0").unwrap();
    let flood = Flood::new(move || {
        here.send_to(&[0; 1000], there).unwrap();
        sleep(Duration::from_millis(1));
    });
    sleep(Duration::from_millis(500));
    let report = diagnosis();
    let finding = &report["findings"][0];
    assert_eq!(finding["check"], "elsewhere", "{report:#}");
    assert_eq!(finding["culprit"], "Udp.RcvbufErrors");
    assert!(
        report["summary"].as_str().unwrap().starts_with("the table is not your problem"),
        "{report:#}"
    );
    let advice = &finding["steps"][0];
    let what = advice["what"].as_str().unwrap();
    assert!(what.contains("rmem_max") && what.contains("read faster"), "{report:#}");
    assert!(advice.get("command").is_none(), "advice in words is no line to paste: {report:#}");
    assert!(finding["evidence"][0].as_str().unwrap().contains("buffer"), "{report:#}");
    // The advice is to read faster.
    let reader = Flood::new(move || {
        lazy.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let _ = lazy.recv(&mut [0; 2000]);
    });
    sleep(Duration::from_millis(500));
    let (status, page) = doctor(&["--no-save"]);
    flood.end();
    reader.end();
    assert_eq!(status, 0, "{page}");
}

/// Something that goes on until it is ended.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Flood {
    fn new(mut act: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let act = move || {
            while !is_over.load(Ordering::Relaxed) {
                act();
            }
        };
        Self { stop, thread: thread::spawn(act) }
    }

    /// New UDP flows on the loopback that nobody answers, so many a second.
    fn of_flows(rate: u32) -> Self {
        let sink = UdpSocket::bind("127.0.0.1:9").unwrap();
        let (socket, start) = (UdpSocket::bind("127.0.0.1:0").unwrap(), std::time::Instant::now());
        let mut sent = 0_u32;
        Self::new(move || {
            let _ = &sink;
            let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u32;
            while sent < due {
                // An address of 127/8 and a port for each.
                let address = Ipv4Addr::from_bits(0x7f80_0000 | (sent / 50_000) << 8 | 1);
                let to = SocketAddr::from((address, 10_000 + (sent % 50_000) as u16));
                let _ = socket.send_to(b"?", to);
                sent += 1;
            }
            sleep(Duration::from_millis(2));
        })
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn v4(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

/// The address that is so many behind one.
fn after(text: &str, number: u32) -> std::net::IpAddr {
    let first: Ipv4Addr = text.parse().unwrap();
    Ipv4Addr::from_bits(first.to_bits() + number).into()
}

fn setting(name: &str) -> u32 {
    let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// The step whose command has these words.
#[track_caller]
fn step<'a>(report: &'a Value, word: &str, other: &str) -> &'a Value {
    let is_it = |step: &&Value| {
        let command = step["command"].as_str().unwrap_or_default();
        command.contains(word) && command.contains(other)
    };
    let found = report["steps"].as_array().unwrap().iter().find(is_it);
    found.unwrap_or_else(|| panic!("no step with {word} {other}: {report:#}"))
}

#[track_caller]
fn find<'a>(report: &'a Value, check: &str) -> &'a Value {
    let found = report["findings"].as_array().unwrap().iter().find(|found| found["check"] == check);
    found.unwrap_or_else(|| panic!("no finding of {check}: {report:#}"))
}

fn donts(report: &Value) -> String {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["donts"].to_string())
        .collect()
}

fn frees(step: &Value) -> u64 {
    step["frees"].as_u64().unwrap()
}

/// How many flows a listing shows.
fn listed(args: &[&str]) -> u64 {
    call(stage::TIDEGATE, &[&["list"], args].concat()).lines().count() as u64
}

/// Pastes the line.
fn carry_out(step: &Value) {
    carry_out_line(step["command"].as_str().unwrap());
}

fn carry_out_line(line: &str) {
    let dir = std::path::Path::new(stage::TIDEGATE).parent().unwrap();
    let path = format!("{}:{}:/usr/sbin:/sbin", dir.display(), std::env::var("PATH").unwrap());
    let mut child = Command::new("sh")
        .env("PATH", path)
        .args(["-e", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{line}: {said}");
}

#[track_caller]
fn freed(before: u32, foretold: u64) {
    // What has ended is counted until somebody looks.
    call(stage::TIDEGATE, &["list", "-p", "icmp"]);
    near("freed", u64::from(before.saturating_sub(count())), foretold);
}

/// Within ten per cent.
#[track_caller]
fn near(what: &str, happened: u64, foretold: u64) {
    println!("{what}: foretold {foretold}, happened {happened}");
    assert!(
        happened.abs_diff(foretold) * 10 <= foretold,
        "{what}: foretold {foretold}, happened {happened}"
    );
}
