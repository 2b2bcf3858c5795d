//! `tidegate top` in a pseudo-terminal: keys go in, and what a terminal would show is read back. On the kernel's table and
//! on an engine's.
//!
//! Each test has a network of its own. Takes root, or user namespaces for everybody; ip and nft, which `.ci/run`
//! sees to. Not part of `cargo test` without a name: `cargo test -p tidegate --test top`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::write;
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

use self::stage::{Program, TIDEGATE, call, new_network, play, until, words};

const TESTS: [(&str, fn()); 6] = [
    ("keys_and_filters_on_the_kernels_table", keys_and_filters_on_the_kernels_table),
    ("rates_and_processes_of_live_traffic", rates_and_processes_of_live_traffic),
    ("containers_are_found_by_their_addresses", containers_are_found_by_their_addresses),
    ("an_engines_table", an_engines_table),
    ("one_page_goes_through_a_pipe", one_page_goes_through_a_pipe),
    ("a_signal_leaves_the_terminal_as_it_was", a_signal_leaves_the_terminal_as_it_was),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(SEAT) {
        return take_seat();
    }
    play(&TESTS, new_network)
}

/// What the test calls itself with, to become the program on the terminal.
const SEAT: &str = "take-seat";

/// Makes the terminal on stdin the controlling one of a session of its own, where it is in the foreground, and becomes
/// the program.
fn take_seat() -> ExitCode {
    rustix::process::setsid().expect("a session");
    ioctl_tiocsctty(std::io::stdin()).expect("a controlling terminal");
    let error = Command::new(TIDEGATE).args(std::env::args().skip(2)).exec();
    panic!("{TIDEGATE}: {error}");
}

/// A program on a terminal.
struct Seat {
    program: Program,
    terminal: OwnedFd,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

const SIZE: (u16, u16) = (24, 130);

impl Seat {
    fn take(args: &[&str]) -> Self {
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let slave = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize { ws_row: SIZE.0, ws_col: SIZE.1, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let program = Command::new(std::env::current_exe().unwrap())
            .arg(SEAT)
            .args(args)
            .env("TERM", "xterm-256color")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn();
        let output = listen(terminal.try_clone().unwrap());
        let screen = vt100::Parser::new(SIZE.0, SIZE.1, 0);
        Self { program: Program(program.unwrap()), terminal, output, screen }
    }

    fn press(&self, keys: &str) {
        write(&self.terminal, keys.as_bytes()).unwrap();
    }

    /// What the terminal shows by now.
    fn lines(&mut self) -> Vec<String> {
        while let Ok(bytes) = self.output.try_recv() {
            self.screen.process(&bytes);
        }
        let screen = self.screen.screen();
        screen.rows(0, SIZE.1).map(|row| row.trim_end().to_owned()).collect()
    }

    /// Waits until all of these parts are shown.
    fn shows(&mut self, parts: &[&str]) -> Vec<String> {
        for _ in 0..500 {
            let lines = self.lines();
            if parts.iter().all(|part| lines.iter().any(|line| line.contains(part))) {
                return lines;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{parts:?} isn't shown on {:#?}", self.lines());
    }

    /// Waits until the program has ended.
    fn end(&mut self) -> Option<i32> {
        until(|| self.program.0.try_wait().unwrap()).code()
    }
}

/// What comes from a terminal, until nobody is on the other side.
fn listen(terminal: OwnedFd) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut terminal = fs::File::from(terminal);
        let mut bytes = [0; 4096];
        while let Ok(len) = terminal.read(&mut bytes) {
            if len == 0 || send.send(bytes[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    receive
}

/// Four flows: to a web server by IPv4 and IPv6, to a name server, one that is translated.
fn fill(insert: impl Fn(&str)) {
    let flows = [
        "-p tcp -s 10.0.0.1 -d 10.1.0.1 --sport 1001 --dport 80 --state ESTABLISHED -t 90000 -u ASSURED,SEEN_REPLY",
        "-p tcp -s 2001:db8::1 -d 2001:db8::80 --sport 1002 --dport 80 --state TIME_WAIT -t 70000 -u ASSURED,SEEN_REPLY",
        "-p udp -s 10.0.0.2 -d 10.1.0.53 --sport 1003 --dport 53 -t 50000",
        "-p tcp -s 10.0.0.3 -d 192.0.2.1 --sport 1004 --dport 443 --state ESTABLISHED -t 80000 -u ASSURED,SEEN_REPLY -m 7",
    ];
    flows.into_iter().for_each(insert);
}

fn keys_and_filters_on_the_kernels_table() {
    fill(|flow| drop(call(TIDEGATE, &[&["insert"], &words(flow)[..]].concat())));
    let mut seat = Seat::take(&["top", "--sort", "src"]);
    let lines = seat.shows(&["10.0.0.1:1001", "[2001:db8::1]:1002", "tcp 3", "udp 1", "h help"]);
    assert!(lines[0].starts_with("tidegate top  kernel  20"), "{lines:#?}");
    assert!(lines[1].starts_with("table 4 of "), "{lines:#?}");
    let titles = "SOURCE              DESTINATION        PROTO  STATE          LEFT  PACKETS  BYTES  PACKETS/S  BYTES/S  MARK  TRANSLATED TO";
    let first = lines.iter().position(|line| line == titles);
    let first = first.unwrap_or_else(|| panic!("{lines:#?}"));
    let shown: Vec<Vec<&str>> =
        lines[first + 1..first + 5].iter().map(|line| words(line)[..4].to_vec()).collect();
    let expected = [
        ["10.0.0.1:1001", "10.1.0.1:80", "tcp", "ESTABLISHED"],
        ["10.0.0.2:1003", "10.1.0.53:53", "udp", "UNREPLIED"],
        ["10.0.0.3:1004", "192.0.2.1:443", "tcp", "ESTABLISHED"],
        ["[2001:db8::1]:1002", "[2001:db8::80]:80", "tcp", "TIME_WAIT"],
    ];
    assert_eq!(shown, expected);
    seat.press("s10.0.0.0/8\r");
    seat.shows(&["only source 10.0.0.0/8", "flows 3"]);
    seat.press("D443\r");
    seat.shows(&["source 10.0.0.0/8, destination port 443", "flows 1"]);
    seat.press("s\rD\r");
    seat.shows(&["flows 4"]);
    seat.press("/state established ( dport = :443 or ip6\r");
    seat.shows(&["this parenthesis is not closed", "                  ^"]);
    seat.press(" )\r");
    seat.shows(&["only filter state established ( dport = :443 or ip6 )", "flows 1"]);
    seat.press("/\r");
    seat.shows(&["flows 4"]);
    seat.press("rbb");
    seat.shows(&["sorted by dst"]);
    seat.press("ggg");
    seat.shows(&["tcp 80", "tcp 443", "udp 53", "3 groups", "50.0 %"]);
    seat.press("\r");
    seat.shows(&[
        "only filter proto 6 dport = 80",
        "flows 2",
        "10.0.0.1:1001",
        "[2001:db8::1]:1002",
    ]);
    seat.press("x");
    seat.shows(&["delete tcp 10.0.0.1:1001 > 10.1.0.1:80 ESTABLISHED? (y/n)"]);
    seat.press("n");
    seat.shows(&["nothing was deleted"]);
    assert_eq!(call(TIDEGATE, &["count"]).trim(), "4");
    seat.press("xy");
    seat.shows(&["flows 1", "[2001:db8::1]:1002"]);
    assert_eq!(call(TIDEGATE, &["count"]).trim(), "3");
    // Nobody could continue the leader of a session, so it isn't stopped; the screen comes back all the same.
    seat.press("\x1a");
    thread::sleep(Duration::from_secs(1));
    seat.press("h");
    seat.shows(&["any key ends this"]);
    seat.press("qq");
    assert_eq!(seat.end(), Some(0));
}

/// Answers whatever comes, on a thread of its own.
fn echo(address: &str) {
    let socket = UdpSocket::bind(address).unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..len], from);
        }
    });
}

fn rates_and_processes_of_live_traffic() {
    fs::write("/proc/sys/net/netfilter/nf_conntrack_acct", "1").unwrap();
    let rules =
        "table ip t { chain c { type filter hook input priority 0; ct state new accept; }; }";
    call("nft", &[rules]);
    echo("127.0.0.1:5300");
    let client = UdpSocket::bind("127.0.0.1:5301").unwrap();
    thread::spawn(move || {
        // 1028 bytes there and back: 205.6 kB/s without the moments that are lost.
        while client.send_to(&[0; 1000], "127.0.0.1:5300").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let mut seat = Seat::take(&["top", "--sort=-bps", "udp"]);
    let lines = seat.shows(&["127.0.0.1:5301", "Mbit/s"]);
    let line = lines.iter().find(|line| line.contains("127.0.0.1:5301")).unwrap();
    let shown = words(line);
    let rate: f64 = shown[shown.len() - 2].parse().unwrap();
    assert!(line.ends_with(" kB") && (20.0..=220.0).contains(&rate), "{line}");
    seat.press("ggggg");
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let owner = format!("{} {}", name.trim_end(), std::process::id());
    seat.shows(&["PROCESS", &owner]);
    seat.press("q");
    assert_eq!(seat.end(), Some(0));
}

/// A network namespace in which a process lives is told by its addresses, of both families.
fn containers_are_found_by_their_addresses() {
    fill(|flow| drop(call(TIDEGATE, &[&["insert"], &words(flow)[..]].concat())));
    let live = "ip link set lo up && ip addr add 10.0.0.1/32 dev lo && ip addr add 2001:db8::1/128 dev lo nodad && exec sleep 60";
    let container =
        Program(Command::new("unshare").args(["-n", "sh", "-c", live]).spawn().unwrap());
    let name = format!("sleep {}", container.0.id());
    // Its second address comes a moment after its first.
    until(|| {
        let page = call(TIDEGATE, &["top", "-1", "--by", "container"]);
        let flows_of = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| words(line).first().copied())
        };
        let is_so = flows_of(&name) == Some("2") && flows_of("(nobody here)") == Some("2");
        is_so.then_some(())
    });
}

fn an_engines_table() {
    let place = TempDir::new().unwrap();
    let socket = place.path().join("socket");
    let daemon = Command::new(TIDEGATE).arg("run").arg("--control").arg(&socket).spawn();
    let _daemon = Program(daemon.unwrap());
    until(|| socket.exists().then_some(()));
    let socket = socket.to_str().unwrap();
    fill(|flow| {
        drop(call(TIDEGATE, &[&["insert", "--socket", socket], &words(flow)[..]].concat()))
    });
    let mut seat = Seat::take(&["top", "--socket", socket, "--sort", "src"]);
    seat.shows(&["tidegate top  engine ", "10.0.0.1:1001", "[2001:db8::1]:1002", "tcp 3"]);
    seat.press("/port 53 or 443\r");
    seat.shows(&["flows 2", "10.0.0.2:1003", "10.0.0.3:1004"]);
    seat.press("xy");
    seat.shows(&["flows 1"]);
    assert_eq!(call(TIDEGATE, &["count", "--socket", socket]).trim(), "3");
    seat.press("q");
    assert_eq!(seat.end(), Some(0));
}

fn one_page_goes_through_a_pipe() {
    fill(|flow| drop(call(TIDEGATE, &[&["insert"], &words(flow)[..]].concat())));
    let page = call(TIDEGATE, &["top", "-1", "--sort", "src", "tcp"]);
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!(lines.len(), 9, "{page}");
    assert!(lines[3].contains("no rates: nobody counts (nf_conntrack_acct is 0)"), "{page}");
    assert!(
        lines[6].starts_with("10.0.0.1:1001") && lines[8].starts_with("[2001:db8::1]:1002"),
        "{page}"
    );
    assert!(!page.contains('\x1b') && lines.iter().all(|line| !line.ends_with(' ')), "{page:?}");
    let groups = call(TIDEGATE, &["top", "-1", "--by", "state", "--rows", "1"]);
    assert!(
        groups.trim_end().lines().last().unwrap().starts_with("tcp ESTABLISHED      2  50.0 %"),
        "{groups}"
    );
    let status =
        Command::new(TIDEGATE).arg("top").stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(2), "a screen wants a terminal");
}

fn a_signal_leaves_the_terminal_as_it_was() {
    for signal in ["TERM", "INT", "QUIT"] {
        let mut seat = Seat::take(&["top"]);
        seat.shows(&["h help"]);
        assert!(seat.screen.screen().alternate_screen());
        call("kill", &["-s", signal, &seat.program.0.id().to_string()]);
        assert_eq!(seat.end(), Some(0), "{signal}");
        until(|| {
            seat.lines();
            let screen = seat.screen.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        });
    }
}
