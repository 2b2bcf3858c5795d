//! `tidegate exporter` before a real parser: promtool reads its pages of the kernel's table and of an engine's, and the
//! alert rules.
//!
//! Each test has a network of its own. Takes root, or user namespaces for everybody; ip and promtool, which
//! `.ci/run` sees to. Not part of `cargo test` without a name: `cargo test -p tidegate --test exporter`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};

use tempfile::TempDir;

use self::stage::{Program, TIDEGATE, call, command_of, new_network, play, until, words};

const TESTS: [(&str, fn()); 5] = [
    ("promtool_reads_the_kernels_page", promtool_reads_the_kernels_page),
    ("promtool_reads_an_engines_page", promtool_reads_an_engines_page),
    ("promtool_reads_the_rules", promtool_reads_the_rules),
    ("many_scrapes_share_a_pass", many_scrapes_share_a_pass),
    ("a_table_that_is_gone_is_told_of", a_table_that_is_gone_is_told_of),
];

fn main() -> ExitCode {
    play(&TESTS, new_network)
}

const FLOWS: [&str; 4] = [
    "-p tcp -s 10.0.0.1 -d 10.1.0.1 --sport 1001 --dport 80 --state ESTABLISHED -t 90000 -u ASSURED,SEEN_REPLY",
    "-p tcp -s 2001:db8::1 -d 2001:db8::80 --sport 1002 --dport 80 --state TIME_WAIT -t 70000 -u ASSURED,SEEN_REPLY",
    "-p udp -s 10.0.0.2 -d 10.1.0.53 --sport 1003 --dport 53 -t 50000",
    "-p udp -s 10.0.0.2 -d 10.1.0.53 --sport 1004 --dport 53 -t 50000",
];

fn fill(place: &[&str]) {
    for flow in FLOWS {
        call(TIDEGATE, &[&["insert"], place, &words(flow)[..]].concat());
    }
}

/// What promtool says to a page; it must find nothing.
fn check(page: &str) {
    let mut promtool = command_of("promtool", &["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success() && said.is_empty(), "{said}\n{page}");
}

/// The numbers of a page, by what stands before them.
fn numbers(page: &str) -> BTreeMap<&str, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, n)| (name, n.parse().unwrap()))
        .collect()
}

fn expect(page: &str, rows: &[(&str, f64)]) {
    let numbers = numbers(page);
    for (name, value) in rows {
        assert_eq!(numbers.get(name), Some(value), "{name}: {page}");
    }
}

const COMMON: [(&str, f64); 8] = [
    ("node_nf_conntrack_entries", 4.0),
    ("node_nf_conntrack_stat_drop", 0.0),
    ("tidegate_conntrack_flows{family=\"ipv4\",protocol=\"tcp\",state=\"ESTABLISHED\"}", 1.0),
    ("tidegate_conntrack_flows{family=\"ipv4\",protocol=\"udp\",state=\"UNREPLIED\"}", 2.0),
    ("tidegate_conntrack_source_flows{source=\"10.0.0.2\"}", 2.0),
    ("tidegate_conntrack_source_flows{source=\"other\"}", 0.0),
    ("tidegate_conntrack_status_flows{status=\"unreplied\"}", 2.0),
    ("tidegate_table_up", 1.0),
];

fn promtool_reads_the_kernels_page() {
    fill(&[]);
    let page = call(TIDEGATE, &["exporter", "--once"]);
    check(&page);
    expect(&page, &COMMON);
    let max = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").unwrap();
    expect(&page, &[("node_nf_conntrack_entries_limit", max.trim().parse().unwrap())]);
    let page = call(TIDEGATE, &["exporter", "--once", "--top", "1"]);
    expect(&page, &[("tidegate_conntrack_source_flows{source=\"other\"}", 2.0)]);
    let page = call(TIDEGATE, &["exporter", "--once", "--openmetrics"]);
    assert!(page.ends_with("# EOF\n") && page.contains("# TYPE tidegate_build info\n"), "{page}");
}

/// An engine with a page of its own.
struct Engine {
    place: TempDir,
    daemon: Program,
}

impl Engine {
    fn start() -> Self {
        let place = TempDir::new().unwrap();
        let socket = place.path().join("socket");
        let daemon = Command::new(TIDEGATE)
            .arg("run")
            .arg("--control")
            .arg(&socket)
            .args(["--metrics", "127.0.0.1:9465"])
            .spawn();
        let engine = Self { daemon: Program(daemon.unwrap()), place };
        until(|| socket.exists().then_some(()));
        engine
    }

    fn socket(&self) -> String {
        self.place.path().join("socket").display().to_string()
    }
}

/// The head and the body of an answer, once somebody listens.
fn ask(address: &str, path: &str, headers: &str) -> (String, String) {
    let mut stream = until(|| TcpStream::connect(address).ok());
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn promtool_reads_an_engines_page() {
    let engine = Engine::start();
    let socket = engine.socket();
    fill(&["--socket", &socket]);
    let (head, page) = ask("127.0.0.1:9465", "/metrics", "");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    check(&page);
    expect(&page, &COMMON);
    assert!(page.contains("tidegate_packets_total{class=\"drop\",reason="), "{page}");
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let (head, page) = ask("127.0.0.1:9465", "/metrics", accept);
    assert!(head.contains("Content-Type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert!(ask("127.0.0.1:9465", "/nowhere", "").0.starts_with("HTTP/1.1 404"));
    // The same page, asked for by another process.
    let other = call(TIDEGATE, &["exporter", "--once", "--socket", &socket]);
    check(&other);
    expect(&other, &COMMON);
}

fn promtool_reads_the_rules() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/prometheus/tidegate.rules.yml");
    let said = call("promtool", &["check", "rules", rules]);
    assert!(said.contains("SUCCESS: 9 rules found"), "{said}");
}

fn many_scrapes_share_a_pass() {
    fill(&[]);
    let exporter = Command::new(TIDEGATE).args(["exporter", "--cache", "3600"]).spawn();
    let mut exporter = Program(exporter.unwrap());
    ask("127.0.0.1:9465", "/metrics", "");
    let scrapes: Vec<_> =
        (0..20).map(|_| std::thread::spawn(|| ask("127.0.0.1:9465", "/metrics", "").1)).collect();
    for scrape in scrapes {
        let page = scrape.join().unwrap();
        expect(
            &page,
            &[("tidegate_exporter_passes_total", 1.0), ("node_nf_conntrack_entries", 4.0)],
        );
    }
    let pid = exporter.0.id().to_string();
    call("kill", &[&pid]);
    assert_eq!(until(|| exporter.0.try_wait().unwrap()).code(), Some(0));
}

fn a_table_that_is_gone_is_told_of() {
    let mut engine = Engine::start();
    let socket = engine.socket();
    let exporter = Command::new(TIDEGATE)
        .args(["exporter", "--socket", &socket, "--listen", "127.0.0.1:9466", "--cache", "0"])
        .stderr(Stdio::null())
        .spawn();
    let _exporter = Program(exporter.unwrap());
    let (_, page) = ask("127.0.0.1:9466", "/metrics", "");
    expect(&page, &[("tidegate_table_up", 1.0)]);
    engine.daemon.end();
    let (_, page) = ask("127.0.0.1:9466", "/metrics", "");
    check(&page);
    expect(&page, &[("tidegate_table_up", 0.0)]);
    assert!(!page.contains("node_nf_conntrack_entries"), "{page}");
    let status = Command::new(TIDEGATE).args(["exporter", "--once", "--socket", &socket]).output();
    assert_eq!(status.unwrap().status.code(), Some(4));
}
