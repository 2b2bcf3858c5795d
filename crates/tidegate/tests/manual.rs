//! What the program says of itself, and how it ends where there is no table to ask: without any privilege.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const COMMANDS: [&str; 16] = [
    "replay", "list", "get", "insert", "update", "delete", "flush", "events", "stats", "count",
    "expect", "sysctl", "explain", "doctor", "top", "exporter",
];

fn tidegate(line: &str) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .env_remove("CLICOLOR_FORCE")
        .args(line.split_whitespace())
        .output()
        .unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (status.code().unwrap(), stdout, stderr)
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let (status, script, complaint) = tidegate(&format!("completions {shell}"));
        assert_eq!((status, complaint.as_str()), (0, ""), "{shell}");
        for word in COMMANDS.into_iter().chain(["netns", "reply-dport", "set-mark"]) {
            assert!(script.contains(word), "{shell} doesn't know {word}");
        }
    }
}

/// bash is everywhere; it says at least whether it can read the script.
#[test]
fn bash_understands_its_completions() {
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    let script = tidegate("completions bash").1;
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn every_command_has_a_page_and_help() {
    let dir = TempDir::new().unwrap();
    assert_eq!(tidegate(&format!("man --dir {}", dir.path().display())).0, 0);
    for command in COMMANDS {
        let page = fs::read_to_string(dir.path().join(format!("tidegate-{command}.1"))).unwrap();
        assert!(page.contains(&format!("tidegate\\-{command}")), "{page}");
        assert_eq!(tidegate(&format!("man {command}")).1, page);
        let (status, help, _) = tidegate(&format!("{command} --help"));
        assert!(status == 0 && help.contains("Usage: tidegate "), "{command}: {help}");
    }
    let nested = fs::read_to_string(dir.path().join("tidegate-expect-list.1")).unwrap();
    assert!(nested.contains("\\-\\-netns"), "{nested}");
}

/// Each row: a command line, the exit status, a word of the complaint.
#[test]
fn what_cannot_be_is_told_by_words_and_status() {
    let rows = [
        ("list --netns nowhere", 4, "/run/netns/nowhere"),
        ("list --netns 4000000000", 4, "/proc/4000000000/ns/net"),
        ("events --socket /nowhere", 4, "control socket /nowhere"),
        ("sysctl --socket /nowhere", 4, "control socket /nowhere"),
        ("list --netns a --socket b", 2, "cannot be used with"),
        ("list --state HAPPY", 2, "there are NONE, SYN_SENT"),
        ("list -u HAPPY", 2, "there are UNREPLIED, EXPECTED"),
        ("list -s 10.0.0.0/33", 2, "at most 32 bits"),
        ("list -m red", 2, "such as 5 or 0xff"),
        ("list --timeout soon", 2, "2h4m"),
        ("list --sort colour", 2, "sorted by family, proto"),
        ("list -j -o csv", 2, "at once"),
        ("list --watch=0", 2, "a tenth of a second"),
        ("list --where dport<:0", 2, "no port is"),
        ("top --netns nowhere -1", 4, "/run/netns/nowhere"),
        ("top tcp and port", 2, "a port is missing here"),
        ("top", 2, "wants a terminal"),
        ("top --sort flows -1", 2, "flows have no column `flows'"),
        ("top --rate 0", 2, "a tenth at least"),
        ("exporter --socket /nowhere --once", 4, "control socket /nowhere"),
        ("exporter --listen here", 1, "here"),
        ("delete", 2, "`flush' deletes all flows"),
        ("update -p tcp", 2, "nothing to update"),
        ("expect delete", 2, "`expect flush'"),
        ("events --after 5", 2, "--socket"),
        ("get -p tcp -s ::1 -d 10.0.0.1 --sport 1 --dport 1", 2, "different families"),
        ("get -p udp -s 10.0.0.2 -d 10.0.0.1", 2, "--sport and --dport"),
        ("insert -p icmp -s 10.0.0.2 -d 10.0.0.1 -t 9", 2, "--icmp-type"),
        (
            "insert -p udp -s 10.0.0.2 -d 10.0.0.1 --sport 1 --dport 2 -t 9 --state CLOSE",
            2,
            "no states",
        ),
        ("sysctl net.ipv4.ip_forward=1", 2, "no setting of connection tracking"),
        ("sysctl -p /nowhere", 1, "/nowhere"),
        ("man nonsense", 2, "there is no command `nonsense'"),
    ];
    for (line, expected, word) in rows {
        let (status, out, complaint) = tidegate(line);
        assert_eq!((status, out.as_str()), (expected, ""), "{line}: {complaint}");
        assert!(complaint.contains(word), "{line}: {complaint}");
    }
}
