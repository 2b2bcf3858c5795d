//! `tidegate explain` as its users meet it: against files, against a running engine, and at fault.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

const RULES: &str = "\
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -p tcp -m tcp --dport 443 -m mark --mark 0x5 -j ACCEPT
-A FORWARD -p udp -j REJECT
COMMIT
";

/// A directory with rules and, if it was started, a daemon.
struct Place {
    dir: TempDir,
    daemon: Option<Child>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("rules"), RULES).unwrap();
        Self { dir, daemon: None }
    }

    fn with_daemon() -> Self {
        let mut place = Self::new();
        let args = ["run", "--control", "socket", "--rules4", "rules"];
        let mut command = Command::new(TIDEGATE);
        command.current_dir(place.dir.path()).args(args).stderr(Stdio::null());
        place.daemon = Some(command.spawn().unwrap());
        for _ in 0..1000 {
            if place.dir.path().join("socket").exists() {
                return place;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("there is no daemon");
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        let mut command = Command::new(TIDEGATE);
        command.current_dir(self.dir.path()).args(line.split_whitespace());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (status.code().unwrap(), stdout, stderr)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }
}

/// Each row: the packet, and what the answer ends with.
#[test]
fn rules_are_tried_before_they_are_loaded() {
    let place = Place::new();
    let rows = [
        ("-p tcp -s 10.0.0.1 -d 10.0.0.2 --dport 443", "nothing would leave\n"),
        (
            "-p tcp -s 10.0.0.1 -d 10.0.0.2 --dport 443 --mark 0x5",
            "[SYN] seq 0 ack 0 win 64240 len 0 ttl 63\n",
        ),
        ("-p udp -s 10.0.0.1 -d 10.0.0.2 --dport 53 --payload 00", "udp len 1}\n"),
        ("-p udp -s fd00::1 -d fd00::2 --dport 53 --ttl 9 --in out0", "udp len 0 ttl 8\n"),
        ("--hex 45000014000000004001000001020304", "nothing would leave\n"),
    ];
    for (packet, end) in rows {
        let (status, text, complaint) = place.run(&format!("explain --rules4 rules {packet}"));
        assert_eq!((status, complaint.as_str()), (0, ""), "{packet}");
        assert!(text.starts_with("in by ") && text.ends_with(end), "{packet}: {text}");
    }
}

#[test]
fn a_running_engine_answers_and_stays_as_it_is() {
    let place = Place::with_daemon();
    let made = "-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 22 -t 600 -u SEEN_REPLY";
    assert_eq!(place.run(&format!("insert --socket socket {made}")).0, 0);
    let before = place.run("list --socket socket -j");
    let packet = "-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 22 --flags ack";
    let (status, text, complaint) = place.run(&format!("explain --socket socket {packet}"));
    assert_eq!((status, complaint.as_str()), (0, ""));
    for part in [
        "conntrack: ESTABLISHED",
        "filter FORWARD rule 1 (line 3): ACCEPT",
        "would leave by out0 (fwd)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let other = place.run("explain --socket socket -p tcp -s 10.0.0.9 -d 10.0.0.2 --dport 22").1;
    assert!(other.contains("filter FORWARD end: DROP"), "{other}");
    assert_eq!(place.run("count --socket socket").1.trim(), "1");
    let without_age = |text: &str| text.split("\"timeout\"").next().map(str::to_owned);
    let after = place.run("list --socket socket -j");
    assert_eq!(without_age(&after.1), without_age(&before.1));
}

/// Each row: the line, the exit status, and what is said.
#[test]
fn what_can_not_be_answered_is_told_apart() {
    let place = Place::with_daemon();
    let rows = [
        ("explain", 2, "which packet?"),
        ("explain -p tcp -s 10.0.0.1", 2, "--dst"),
        ("explain -p tcp -s 10.0.0.1 -d fd00::1 --dport 1", 2, "different families"),
        ("explain --hex 4x", 2, "hexadecimal"),
        ("explain --socket socket --rules4 rules --hex 45", 2, "cannot be used with"),
        ("explain --in eth9 -p icmp -s 10.0.0.1 -d 10.0.0.2", 1, "no port eth9"),
        ("explain --socket socket --in eth9 --hex 45", 1, "no port eth9"),
        ("explain --rules4 missing --hex 45", 1, "missing"),
        ("explain --pcap missing", 1, "missing"),
        ("explain --socket nowhere --hex 45", 4, "nowhere"),
    ];
    for (line, status, words) in rows {
        let (found, text, complaint) = place.run(line);
        assert_eq!((found, text.as_str()), (status, ""), "{line}: {complaint}");
        assert!(complaint.contains(words), "{line}: {complaint}");
    }
}

#[test]
fn a_packet_of_a_capture_is_one_as_well() {
    let place = Place::new();
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/home-gateway/packets.pcap");
    let (status, text, complaint) = place.run(&format!("explain --pcap {capture} --packet 3"));
    assert_eq!((status, complaint.as_str()), (0, ""));
    assert!(text.starts_with("in by in0\n") && text.contains("PREROUTING"), "{text}");
    let (status, _, complaint) = place.run(&format!("explain --pcap {capture} --packet 99999"));
    assert!(status == 2 && complaint.contains("no packet 99999"), "{complaint}");
}
