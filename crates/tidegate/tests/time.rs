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
