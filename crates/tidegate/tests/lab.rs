//! The lab, as a user starts it: that its checks hold with each gateway, and that they can fail; that a command's status
//! is passed on; that nothing is left of it; and its page in a browser.
//!
//! Takes root, or user namespaces for everybody, and chromium, iproute2 and iptables (for the control experiment):
//!
//!     cargo test -p tidegate --test lab

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use stage::{Program, TIDEGATE, command_of, play, until};

fn main() -> ExitCode {
    play(
        &[
            ("kernel", every_check_holds_with_the_kernel),
            ("packet", every_check_holds_with_packet_sockets),
            ("xdp", every_check_holds_with_af_xdp),
            ("auto", every_check_holds_with_what_fits),
            ("nobody", anybody_may_have_a_lab),
            ("udp", a_rule_against_udp_is_seen),
            ("open", a_gate_that_is_left_open_is_seen),
            ("masquerade", a_gateway_that_hides_nobody_is_seen),
            ("broken", a_gateway_that_ends_is_no_success),
            ("status", a_command_s_status_is_the_lab_s),
            ("left", nothing_is_left),
            ("interrupt", an_interrupt_ends_it_with_a_summary),
            ("early", a_signal_ends_it_whenever_it_comes),
            ("colour", no_escape_where_none_is_wanted),
            ("page", a_browser_shows_the_page),
        ],
        || {},
    )
}

fn every_check_holds_with_the_kernel() {
    all_hold(&["--gateway", "kernel"]);
}

fn every_check_holds_with_packet_sockets() {
    all_hold(&["--gateway-arg=--plane=packet"]);
}

fn every_check_holds_with_af_xdp() {
    all_hold(&["--gateway-arg=--plane=xdp"]);
}

fn every_check_holds_with_what_fits() {
    all_hold(&[]);
}

#[track_caller]
fn all_hold(options: &[&str]) {
    let (status, summary) = summary_of(&mut lab(options));
    assert_eq!(failed(&summary), Vec::<String>::new(), "{summary:#}");
    assert_eq!((status, &summary["holds"]), (Some(0), &Value::Bool(true)));
    let checks = summary["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 22, "eleven checks of two families");
    assert!(summary["survey"]["entries"].as_u64().unwrap() > 50, "flows are in the table");
}

/// Becomes nobody in a world where everybody may open /dev/net/tun, as udev has it: where there is no udev, nobody but root
/// may.
const AS_NOBODY: &str = "mount -t tmpfs tun /dev/net && mknod -m 666 /dev/net/tun c 10 200 && \
    exec setpriv --clear-groups --reuid=65534 --regid=65534 \"$@\"";

/// Root has many ways that others haven't.
fn anybody_may_have_a_lab() {
    let dir = tempfile::Builder::new().prefix("lab-test.").tempdir().unwrap();
    let program = dir.path().join("tidegate");
    fs::copy(TIDEGATE, &program).unwrap();
    set_mode(dir.path(), 0o1777);
    set_mode(&program, 0o755);
    for gateway in ["kernel", "tidegate"] {
        let mut command = command_of("unshare", &["--mount", "sh", "-c", AS_NOBODY, "sh"]);
        command.env("TMPDIR", dir.path()).arg(&program).args(["lab", "--json", "--seconds=2"]);
        let (status, summary) = summary_of(command.args(["--gateway", gateway]));
        assert_eq!(failed(&summary), Vec::<String>::new(), "{gateway}: {summary:#}");
        assert_eq!(status, Some(0), "{gateway}");
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Each row of a rule that is put in, before which one, and the checks that fail for it; with both gateways.
#[track_caller]
fn is_seen(rule: &str, before: &str, expected: &[&str]) {
    let rules = include_str!("../src/lab/rules.v4");
    let at = rules.find(before).expect("the rule is there");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.v4");
    fs::write(&file, format!("{}{rule}\n{}", &rules[..at], &rules[at..])).unwrap();
    for gateway in ["kernel", "tidegate"] {
        let (status, summary) = summary_of(lab(&["--gateway", gateway]).arg("--rules4").arg(&file));
        assert_eq!(failed(&summary), expected, "{gateway}: {summary:#}");
        assert_eq!(status, Some(1), "{gateway}");
    }
}

fn a_rule_against_udp_is_seen() {
    let expected = ["dns questions ipv4", "outside refused ipv4", "udp in fragments ipv4"];
    is_seen("-A FORWARD -p udp -j DROP", "-A FORWARD -m conntrack --ctstate INVALID", &expected);
}

fn a_gate_that_is_left_open_is_seen() {
    is_seen("-A FORWARD -j ACCEPT", "-A FORWARD -j REFUSE", &["outside refused ipv4"]);
}

fn a_gateway_that_hides_nobody_is_seen() {
    let rule = "-A POSTROUTING -o wan0 -j ACCEPT";
    is_seen(rule, "-A POSTROUTING -o wan0 -j MASQUERADE", &["masquerade ipv4"]);
}

fn a_gateway_that_ends_is_no_success() {
    let output = lab(&["--gateway-arg=--no-such-option"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("the gateway ended"), "{said}");
    assert!(said.contains("--no-such-option"), "the gateway's own words: {said}");
    let output = lab(&["--rules4", "/nowhere/rules"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/rules"));
}

/// Each row: a command, its status, what it prints.
fn a_command_s_status_is_the_lab_s() {
    let rows = [
        ("true", Some(0), ""),
        ("exit 7", Some(7), ""),
        ("kill -TERM $$", Some(143), ""),
        ("getent ahostsv4 server | head -1 | cut -d' ' -f1", Some(0), "203.0.113.2\n"),
        (
            "ls /sys/class/net/eth0 >/dev/null 2>&1; cat /proc/net/dev | grep -c eth0",
            Some(0),
            "1\n",
        ),
    ];
    for (line, status, expected) in rows {
        let mut command = Command::new(TIDEGATE);
        let output = command.args(["lab", "--", "sh", "-c", line]).output().unwrap();
        assert_eq!(output.status.code(), status, "{line}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), expected, "{line}");
    }
    let output = Command::new(TIDEGATE).args(["lab", "--", "no-such-program"]).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
}

/// Each row: a signal to the first process, after which the lab must be gone with all that is in it.
fn nothing_is_left() {
    for signal in ["TERM", "KILL"] {
        let mut lab = begin(&["lab", "--seconds", "60"]);
        let control = until(|| lab.control());
        let dir = PathBuf::from(&control).parent().unwrap().to_owned();
        assert!(!processes_of(&dir).is_empty(), "the gateway runs");
        let pid = lab.program.0.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        until(|| lab.program.0.try_wait().unwrap());
        until(|| processes_of(&dir).is_empty().then_some(()));
        if signal == "TERM" {
            assert!(!dir.exists(), "the files are gone");
        }
        // Nobody can do that for a process that is killed.
        let _ = fs::remove_dir_all(dir);
    }
}

/// Processes whose command line names the directory.
fn processes_of(dir: &Path) -> Vec<String> {
    let name = dir.to_str().unwrap();
    let of = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(of);
    lines.map(|line| text(&line)).filter(|line| line.contains(name)).collect()
}

fn an_interrupt_ends_it_with_a_summary() {
    let mut lab = begin(&["lab"]);
    until(|| lab.control());
    sleep(Duration::from_secs(3));
    // As a terminal does: to all of the group.
    let group = format!("-{}", lab.program.0.id());
    assert!(Command::new("kill").args(["-s", "INT", "--", &group]).status().unwrap().success());
    let status = until(|| lab.program.0.try_wait().unwrap());
    let said = fs::read_to_string(&lab.out).unwrap();
    assert!(said.contains("every check held"), "{said}");
    assert_eq!(status.code(), Some(0));
}

/// While it is being built and while a command runs: nothing is left, and the status says so. A program that doesn't listen
/// is not waited for in vain.
fn a_signal_ends_it_whenever_it_comes() {
    hear([SIGHUP, SIGINT, SIGTERM]);
    let deaf = "trap '' TERM; echo here; while true; do sleep 1; done";
    for (signal, status) in [("TERM", 143), ("INT", 143), ("HUP", 143)] {
        for millis in [0, 10, 50, 100, 200, 400, 800, 1600] {
            let place = tempfile::tempdir().unwrap();
            let mut command = command_of(TIDEGATE, &["lab", "--no-page", "--", "sleep", "600"]);
            command.env("TMPDIR", place.path()).stderr(Stdio::null()).process_group(0);
            let mut lab = Program(command.spawn().unwrap());
            sleep(Duration::from_millis(millis));
            let pid = lab.0.id().to_string();
            assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
            let ended = ended(&mut lab, place.path());
            // At once it may not even have begun.
            let is_told = ended.code() == Some(status) || millis < 50 && ended.code().is_none();
            assert!(is_told, "{signal} after {millis} ms: {ended}");
            until(|| processes_of(place.path()).is_empty().then_some(()));
            let left: Vec<_> = fs::read_dir(place.path()).unwrap().flatten().collect();
            assert!(left.is_empty() || ended.code().is_none(), "{signal}, {millis} ms: {left:?}");
        }
    }
    let place = tempfile::tempdir().unwrap();
    let mut command = command_of(TIDEGATE, &["lab", "--no-page", "--", "sh", "-c", deaf]);
    let out = place.path().join("out");
    command.stdout(fs::File::create(&out).unwrap()).stderr(Stdio::null()).process_group(0);
    let mut lab = Program(command.spawn().unwrap());
    until(|| fs::read_to_string(&out).unwrap().contains("here").then_some(()));
    let pid = lab.0.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    assert_eq!(until(|| lab.0.try_wait().unwrap()).code(), Some(137), "it was killed");
}

/// What is ignored here, as under nohup(1) and behind a shell's `&`, a program that is begun here ignores, too, until it is
/// ready to handle it. What is handled here it doesn't inherit.
fn hear(signals: [i32; 3]) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    for signal in signals.into_iter().filter(|signal| ignored >> (signal - 1) & 1 != 0) {
        signal_hook::flag::register(signal, Arc::default()).unwrap();
    }
}

/// The lab gives a gateway ten seconds to end before it kills it, so it is given more.
fn ended(lab: &mut Program, dir: &Path) -> ExitStatus {
    for _ in 0..1500 {
        if let Some(status) = lab.0.try_wait().unwrap() {
            return status;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("it goes on: {:#?}", waits_of(dir));
}

/// What processes whose command line names the directory wait for, and those that began them.
fn waits_of(dir: &Path) -> Vec<String> {
    let name = dir.to_str().unwrap();
    let told = |place: &Path, file: &str| text(&fs::read(place.join(file)).unwrap_or_default());
    let of = |entry: fs::DirEntry| {
        let place = entry.path();
        let line = told(&place, "cmdline").replace('\0', " ");
        let names = line.contains(name) || told(&place, "environ").contains(name);
        names.then(|| format!("{line}: {} {}", told(&place, "wchan"), told(&place, "stat")))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

fn no_escape_where_none_is_wanted() {
    let output = lab_of(&["--seconds", "2"]).output().unwrap();
    let said = text(&output.stdout);
    assert!(said.contains("every check held"), "{said}");
    assert!(!said.contains('\x1b'), "no escape in a file");
    let line = format!("{TIDEGATE} lab --seconds 2");
    let typescript = |no_colour: &str| {
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
        if !no_colour.is_empty() {
            command.env("NO_COLOR", no_colour);
        }
        text(&command.stdin(Stdio::null()).output().unwrap().stdout)
    };
    assert!(typescript("").contains("\x1b[32m"), "a terminal has colours");
    let plain = typescript("1");
    assert!(!plain.contains("\x1b[32m") && plain.contains("every check held"), "{plain}");
}

fn a_browser_shows_the_page() {
    let mut lab = begin(&["lab", "--seconds", "60"]);
    until(|| lab.control());
    let page = until(|| lab.page());
    sleep(Duration::from_secs(4));
    let dom = browse(&page);
    for expected in [
        "data-ready=\"yes\"",
        "lab, gateway: tidegate",
        "tcp upload",
        "<span class=\"ok\">holds</span>",
        "of 262,144",
        // A transfer of whichever family's are the largest.
        ":9000",
        "drop reject",
    ] {
        assert!(dom.contains(expected), "{expected}: {dom}");
    }
    let asked = "?proto=tcp&src=203.0.113.2&dst=203.0.113.1&dport=8080&in=wan0";
    let dom = browse(&format!("{page}{asked}"));
    for expected in ["PREROUTING", "10.77.1.2", "verdict: forward"] {
        assert!(dom.contains(expected), "{expected}: {dom}");
    }
    lab.program.end();
}

/// What a browser makes of a page, after a while of its own time.
fn browse(page: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let data = format!("--user-data-dir={}", profile.path().display());
    let mut command = command_of("chromium", &["--headless", "--no-sandbox", "--disable-gpu"]);
    command.args([&data, "--virtual-time-budget=4000", "--dump-dom", page]);
    let output = command.output().expect("chromium is installed");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A lab that goes on.
struct Going {
    program: Program,
    out: PathBuf,
    _dir: tempfile::TempDir,
}

impl Going {
    /// The path of the gateway's control socket, once it is told.
    fn control(&mut self) -> Option<String> {
        self.word_behind("--socket ")
    }

    fn page(&mut self) -> Option<String> {
        self.word_behind("page is ")
    }

    fn word_behind(&mut self, words: &str) -> Option<String> {
        let said = fs::read_to_string(self.out.with_extension("err")).unwrap();
        if let Ok(Some(status)) = self.program.0.try_wait() {
            panic!("the lab ended ({status}): {said}");
        }
        let (_, rest) = said.split_once(words)?;
        rest.split_once('\n').map(|(word, _)| word.to_owned())
    }
}

fn begin(words: &[&str]) -> Going {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let err = fs::File::create(out.with_extension("err")).unwrap();
    let mut command = Command::new(TIDEGATE);
    command.args(words).stdout(fs::File::create(&out).unwrap()).stderr(err).process_group(0);
    let child: Child = command.spawn().unwrap();
    Going { program: Program(child), out, _dir: dir }
}

/// A lab of some seconds that tells machines what it came to.
fn lab(options: &[&str]) -> Command {
    let mut command = lab_of(&["--json", "--seconds", "3"]);
    command.args(options);
    command
}

fn lab_of(options: &[&str]) -> Command {
    let mut command = command_of(TIDEGATE, &["lab"]);
    command.args(options);
    command
}

fn summary_of(command: &mut Command) -> (Option<i32>, Value) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let summary = serde_json::from_slice(&stdout);
    let summary = summary.unwrap_or_else(|error| panic!("{error}: {}", text(&stderr)));
    (status.code(), summary)
}

/// The names of checks that don't hold, in alphabetical order.
fn failed(summary: &Value) -> Vec<String> {
    let name = |check: &Value| {
        format!("{} {}", check["check"].as_str().unwrap(), check["family"].as_str().unwrap())
    };
    let checks = summary["checks"].as_array().unwrap().iter();
    let mut names: Vec<_> = checks.filter(|check| check["holds"] == false).map(name).collect();
    names.sort();
    names
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
