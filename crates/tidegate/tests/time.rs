//! What was, what would be, and what is then: idle flows are drained, forecasts come true, tables of the past are shown;
//! of the kernel and of an engine.
//!
//! `cargo test -p tidegate --test time`, as root or as anybody where user namespaces are allowed.

mod stage;

use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use stage::{Program, TIDEGATE, call, new_mounts, new_network, play, until};

fn main() -> ExitCode {
    play(
        &[
            ("retime_drains_idle_flows_and_undoes_it", retime_kernel),
            ("retime_does_the_same_to_an_engine", retime_engine),
            ("a_forecast_from_one_listing_comes_true", forecast_kernel),
            ("a_forecast_of_an_engine_comes_true", forecast_engine),
            ("the_past_is_shown_after_a_crash", record_kernel),
            ("the_past_of_an_engine_is_shown", record_engine),
            ("what_is_shared_has_other_addresses", redact),
            ("what_a_doctor_shows_to_others_has_other_addresses", redact_doctor),
            ("where_a_policy_may_apply_idle_times_are_unknown", policies),
            ("a_forecast_is_drawn_as_its_name_says", plot),
        ],
        set,
    )
}

fn set() {
    new_network();
    new_mounts();
    call("mount", &["-t", "tmpfs", "tmpfs", "/tmp"]);
}

/// The kernel's table, or an engine's.
struct Table {
    words: Vec<&'static str>,
    _engine: Option<Program>,
}

const SOCKET: &str = "/tmp/engine.sock";

impl Table {
    fn kernel() -> Self {
        Self { words: Vec::new(), _engine: None }
    }

    fn engine() -> Self {
        let mut command = Command::new(TIDEGATE);
        let child =
            command.args(["run", "--control", SOCKET]).stderr(Stdio::null()).spawn().unwrap();
        let engine = Some(Program(child));
        let table = Self { words: vec!["--socket", SOCKET], _engine: engine };
        until(|| table.output(&["count"]).status.success().then_some(()));
        table
    }

    fn output(&self, args: &[&str]) -> std::process::Output {
        Command::new(TIDEGATE).args(args).args(&self.words).output().unwrap()
    }

    /// What a command printed; it must succeed.
    fn call(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a connection that has so many seconds left.
    fn insert(&self, source: &str, sport: usize, timeout: u32) {
        let (sport, timeout) = (sport.to_string(), timeout.to_string());
        self.call(&[
            "insert",
            "-p",
            "tcp",
            "-s",
            source,
            "-d",
            "192.0.2.1",
            "--sport",
            &sport,
            "--dport",
            "443",
            "--state",
            "ESTABLISHED",
            "-u",
            "ASSURED,SEEN_REPLY",
            "--timeout",
            &timeout,
        ]);
    }

    /// How many flows are listed that meet conditions.
    fn listed(&self, conditions: &[&str]) -> usize {
        self.call(&[&["list"], conditions].concat()).lines().count()
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn retime_kernel() {
    retime(&Table::kernel());
}

fn retime_engine() {
    retime(&Table::engine());
}

/// Ten flows idle for hours and ten that were just heard of, of which one source is spared.
fn retime(table: &Table) {
    for number in 0..10 {
        table.insert("10.0.0.1", 2000 + number, 432_000 - 10_000);
        table.insert("10.0.0.2", 2000 + number, 432_000 - 10);
        table.insert("10.0.0.3", 2000 + number, 432_000 - 10_000);
    }
    let choice = ["--idle", ">2h4m", "-s", "10.0.0.1", "--to", "2s"];
    let dry = json(&table.call(&[&["retime", "-j"], &choice[..]].concat()));
    assert_eq!((&dry["flows"], &dry["live"]), (&10.into(), &0.into()), "{dry}");
    assert_eq!(table.listed(&["--timeout", "<100"]), 0, "a dry run changes nothing");
    let undo = "/tmp/back.undo";
    let done = table.output(&[&["retime", "--yes", "--undo-to", undo], &choice[..]].concat());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.contains("10 flow entries have been retimed"), "{said}");
    assert!(said.contains("--undo /tmp/back.undo --yes"), "{said}");
    assert_eq!(table.listed(&["--timeout", "<=2"]), 10);
    table.call(&["retime", "--undo", undo, "--yes"]);
    assert_eq!(table.listed(&["--idle", ">9990", "-s", "10.0.0.1"]), 10, "all is as it was");
    let _ = std::fs::remove_file(undo);
    table.call(&[&["retime", "--yes", "--undo-to", undo], &choice[..]].concat());
    sleep(Duration::from_millis(3200));
    assert_eq!(table.listed(&["-s", "10.0.0.1"]), 0, "idle ones have drained");
    assert_eq!(table.listed(&[]), 20, "all others are there");
    let late = table.output(&["retime", "--undo", undo, "--yes"]);
    assert_eq!(late.status.code(), Some(1), "nothing is left to be given back to");
}

fn forecast_kernel() {
    forecast(&Table::kernel());
}

fn forecast_engine() {
    forecast(&Table::engine());
}

/// Five sources of a hundred connections each: fresh, idle for an hour, for three hours, and two that end soon. What is
/// told from one listing is compared with what is listed then.
fn forecast(table: &Table) {
    let rests = ["431990", "428400", "421200", "4", "8"];
    for group in 0..rests.len() {
        (0..100).for_each(|number| table.insert(&source(group), 2000 + number, 432_000));
    }
    for (group, rest) in rests.iter().enumerate() {
        table.call(&["update", "-s", &source(group), "--set-timeout", rest, "--yes"]);
    }
    let began = std::time::Instant::now();
    let told = json(&table.call(&["what-if", "--growth", "0", "--for", "12", "-j"]));
    for (moment, expected) in [(2_u64, 500), (6, 400), (10, 300)] {
        sleep(Duration::from_secs(moment).saturating_sub(began.elapsed()));
        let points = told["points"].as_array().unwrap();
        let point = points.iter().rfind(|point| point["seconds"].as_u64() <= Some(moment)).unwrap();
        let (predicted, measured) = (point["before"].as_f64().unwrap(), table.listed(&[]));
        println!("  in {moment} s: told {predicted}, listed {measured}");
        assert!(is_within_a_hundredth(predicted, measured) && measured == expected, "{point}");
    }
    let shorter = ["--set", "tcp_timeout_established=2h4m"];
    let told = json(&table.call(&[&["what-if", "-j"], &shorter[..]].concat()));
    let predicted =
        [told["after"]["least"].as_f64().unwrap(), told["after"]["most"].as_f64().unwrap()];
    table.call(&["sysctl", "nf_conntrack_tcp_timeout_established=7440"]);
    assert_eq!(table.listed(&[]), 300, "the setting alone changes nothing");
    table.call(&["sysctl", "nf_conntrack_tcp_timeout_established=432000"]);
    let undo = "/tmp/drained.undo";
    table.call(&["retime", "--idle", ">2h4m", "--to", "1", "--yes", "--undo-to", undo]);
    sleep(Duration::from_millis(2200));
    let measured = table.listed(&[]);
    println!("  under 2h4m: told {predicted:?}, listed {measured}");
    assert!(predicted.iter().all(|predicted| is_within_a_hundredth(*predicted, measured)));
    assert_eq!(measured, 200);
}

fn source(group: usize) -> String {
    format!("10.0.1.{}", group + 1)
}

fn is_within_a_hundredth(predicted: f64, measured: usize) -> bool {
    (predicted - measured as f64).abs() <= measured as f64 / 100.0
}

fn record_kernel() {
    record(&Table::kernel());
}

fn record_engine() {
    record(&Table::engine());
}

/// What was listed at some moments is what a recording shows of them, whose writer was killed.
fn record(table: &Table) {
    let dir = "/tmp/recording";
    // Else the kernel says nothing of flows that were there before somebody listened.
    table.call(&["sysctl", "nf_conntrack_events=1"]);
    (0..10).for_each(|number| table.insert("10.0.0.1", 2000 + number, 10_000));
    let mut command = Command::new(TIDEGATE);
    command.args(["record", "--dir", dir, "--every", "2s"]).args(&table.words);
    let mut recorder = Program(command.spawn().unwrap());
    until(|| table_of(dir, &[]).filter(|listed| listed.len() == 10));
    let mut moments = vec![moment(table)];
    for round in 1..=4 {
        (0..5).for_each(|number| table.insert("10.0.0.2", 3000 + 10 * round + number, 1000));
        table.call(&["delete", "-s", "10.0.0.1", "--sport", &(2000 + round).to_string(), "--yes"]);
        table.call(&["delete", "--sport", &(3000 + 10 * round).to_string(), "--yes"]);
        moments.push(moment(table));
    }
    sleep(Duration::from_millis(1300));
    recorder.0.kill().unwrap();
    recorder.0.wait().unwrap();
    let segments = std::fs::read_dir(dir).unwrap().count();
    assert!(segments >= 3, "{segments} files: a lock and more than one segment");
    for (time, listed) in &moments {
        let shown = table_of(dir, &["--at", time]).unwrap();
        assert_eq!(&shown, listed, "{time}");
    }
    for (kind, number) in [("new", 20), ("destroy", 8)] {
        let told = call(TIDEGATE, &["events", "--read", dir, "-e", kind]);
        assert_eq!(told.lines().count(), number, "{kind}: {told}");
    }
    let count = call(TIDEGATE, &["count", "-r", dir, "--at", &moments[2].0]);
    assert_eq!(count.trim(), moments[2].1.len().to_string());
    let late = Command::new(TIDEGATE).args(["count", "-r", dir, "--at", "-0s"]).output().unwrap();
    let said = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(said.contains("nothing is known of what happened from"), "{said}");
}

/// The present, and which flows there are: a pause before and behind keeps it apart from what happens.
fn moment(table: &Table) -> (String, Vec<String>) {
    sleep(Duration::from_millis(600));
    let time = call("date", &["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"]).trim().to_owned();
    let listed = sports(&table.call(&["list"]));
    sleep(Duration::from_millis(100));
    (time, listed)
}

/// The flows that a recording shows, if it can be read.
fn table_of(dir: &str, at: &[&str]) -> Option<Vec<String>> {
    let output = Command::new(TIDEGATE).args(["list", "--read", dir]).args(at).output().unwrap();
    output.status.success().then(|| sports(&String::from_utf8(output.stdout).unwrap()))
}

/// The sources of all flows, in order.
fn sports(listing: &str) -> Vec<String> {
    let of = |line: &str| {
        let words: Vec<_> = line.split_whitespace().filter(|word| word.starts_with('s')).collect();
        words[..2].join(" ")
    };
    let mut all: Vec<_> = listing.lines().map(of).collect();
    all.sort();
    all
}

fn redact() {
    let table = Table::kernel();
    (0..10).for_each(|number| table.insert("10.0.0.1", 2000 + number, 10_000));
    std::fs::write("/tmp/key", [9; 32]).unwrap();
    let file = "/tmp/shared.ctsnap";
    table.call(&["snapshot", "--redact=/tmp/key", "-o", file]);
    let bytes = std::fs::read(file).unwrap();
    for address in [[10, 0, 0, 1], [192, 0, 2, 1]] {
        assert!(!bytes.windows(4).any(|window| window == address), "{address:?}");
    }
    let listed = call(TIDEGATE, &["list", "-r", file, "--by", "src,dst", "-j"]);
    assert_eq!(listed.lines().count(), 1, "one source stays one: {listed}");
    assert_eq!(json(&listed)["flows"], 10);
    let again = "/tmp/again.ctsnap";
    table.call(&["snapshot", "--redact=/tmp/key", "-o", again]);
    let listed_again = call(TIDEGATE, &["list", "-r", again, "--by", "src,dst", "-j"]);
    assert_eq!(listed, listed_again, "the same key gives the same addresses");
}

/// Of a table, and of a file that was saved before: neither page nor copy names anybody.
fn redact_doctor() {
    let table = Table::kernel();
    (0..10).for_each(|number| table.insert("10.0.0.1", 2000 + number, 10_000));
    let file = "/tmp/own.ctsnap";
    table.call(&["snapshot", "-o", file]);
    std::fs::create_dir("/tmp/shared").unwrap();
    std::fs::write("/tmp/key", [9; 32]).unwrap();
    let redacted = ["--redact=/tmp/key", "--save-in", "/tmp/shared"];
    let own = json(&table.call(&["doctor", "-r", file, "-j"]));
    let shared = json(&table.call(&[&["doctor", "-r", file, "-j"], &redacted[..]].concat()));
    assert_eq!(own["who"][0]["label"], "10.0.0.1 > 192.0.2.1:443");
    assert_eq!(own["who"][0]["flows"], shared["who"][0]["flows"]);
    let untold = |report: &Value| report["blind"].to_string().contains("timeout policies");
    assert!(untold(&own) && untold(&shared), "{shared}: what isn't known of the table");
    let live = json(&table.call(&["doctor", "-j", "--no-save", "--redact=/tmp/key"]));
    for report in [&shared, &live] {
        let text = report.to_string();
        assert!(!text.contains("10.0.0.1") && !text.contains("192.0.2.1"), "{text}");
        assert!(text.contains("--redact") && report["who"][0]["flows"] == 10, "{text}");
    }
    let copy = shared["saved"].as_str().unwrap();
    assert!(copy.starts_with("/tmp/shared/incident-") && copy.ends_with("Z-redacted.ctsnap"));
    let again = json(&call(TIDEGATE, &["doctor", "-r", copy, "-j"]));
    assert_eq!(again["who"], shared["who"], "the copy shows the same");
    let bytes = std::fs::read(copy).unwrap();
    assert!(!bytes.windows(4).any(|window| window == [10, 0, 0, 1]));
}

/// Fresh flows of a policy that gives less than the settings look long idle.
fn policies() {
    let table = Table::kernel();
    (0..10).for_each(|number| table.insert("10.0.0.1", 2000 + number, 10_000));
    let idle = ["list", "--idle", ">2h4m"];
    let shorter = ["what-if", "-j", "--set", "tcp_timeout_established=2h4m"];
    let after = || {
        let told = json(&table.call(&shorter));
        ["least", "most"].map(|bound| told["after"][bound].as_f64().unwrap().round())
    };
    let medians =
        || json(&table.call(&["doctor", "-j", "--no-save"]))["who"][0]["idle_median"].clone();
    assert_eq!(table.call(&idle).lines().count(), 10);
    assert_eq!(after()[1], 0.0, "all are idle for days");
    assert!(medians().as_u64() > Some(7440));
    let policy =
        "table inet p { ct timeout x { protocol tcp; policy = { established : 20000 }; }; }";
    call("nft", &[policy]);
    assert_eq!(table.call(&idle).lines().count(), 0);
    assert_eq!(after(), [0.0, 10.0]);
    assert_eq!(medians(), Value::Null, "a doctor doesn't guess");
}

fn plot() {
    let table = Table::kernel();
    table.insert("10.0.0.1", 2000, 10_000);
    for (file, begin) in [("/tmp/p.svg", &b"<svg "[..]), ("/tmp/p.PNG", b"\x89PNG")] {
        table.call(&["what-if", "--plot", file]);
        assert!(std::fs::read(file).unwrap().starts_with(begin), "{file}");
    }
    assert_eq!(table.output(&["what-if", "--plot", "/tmp/p.gif"]).status.code(), Some(2));
}
