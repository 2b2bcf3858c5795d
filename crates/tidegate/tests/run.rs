//! `tidegate run` and `tidegate exec` as their users meet them: the socket, its clients, signals, faults.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidegate_wire::netlink::conntrack::{self, Attribute};
use tidegate_wire::netlink::frame::{Control, Family, Flags, Header, Subsystem};
use tidegate_wire::netlink::{Messages, Tuple, Writer, tidegate};

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// A daemon in a directory of its own.
struct Daemon {
    process: Option<Child>,
    place: TempDir,
}

impl Daemon {
    fn start(files: &[(&str, &[u8])], args: &[&str]) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        for (name, bytes) in files {
            fs::write(place.path().join(name), bytes).expect("a file");
        }
        let mut daemon = Self { process: None, place };
        daemon.process = Some(daemon.command(args).spawn().expect("it runs"));
        daemon.until(|daemon| daemon.socket().exists());
        daemon
    }

    /// What starts it, in its directory.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(TIDEGATE);
        command.current_dir(self.place.path()).args(["run", "--control", "socket"]).args(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("socket")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.place.path().join(name), text).expect("a file");
    }

    fn until(&self, mut is_so: impl FnMut(&Self) -> bool) {
        for _ in 0..1000 {
            if is_so(self) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("it doesn't come to pass");
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        let pid = Pid::from_raw(process.id() as i32).expect("a process");
        kill_process(pid, signal).expect("a signal");
    }

    /// Tells it to stop, and returns what it said.
    fn stop(mut self, signal: Signal) -> (Output, bool) {
        self.signal(signal);
        let process = self.process.take().expect("it runs");
        let output = process.wait_with_output().expect("it ends");
        (output, self.socket().exists())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill().expect("killed");
            process.wait().expect("gone");
        }
    }
}

struct Client(OwnedFd);

impl Client {
    fn new(path: &Path) -> Self {
        let kind = SocketType::SEQPACKET;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
        let socket = socket.expect("a socket");
        connect(&socket, &SocketAddrUnix::new(path).expect("a path")).expect("a server");
        Self(socket)
    }

    /// The kinds of the messages that answer, and the errno, if there is one.
    fn ask(&self, request: &[u8]) -> (Vec<(u16, Vec<u8>)>, Option<i32>) {
        send(&self.0, request, SendFlags::NOSIGNAL).expect("sent");
        let mut all = Vec::new();
        loop {
            let mut buffer = vec![0; 1 << 16];
            let (_, len) = recv(&self.0, &mut buffer[..], RecvFlags::empty()).expect("an answer");
            assert!(len > 0, "the server has hung up");
            for message in Messages::new(&buffer[..len]).map(|message| message.expect("whole")) {
                match message.control() {
                    Some(Control::Done(_)) => return (all, None),
                    Some(Control::Error(errno)) => return (all, Some(errno)),
                    _ => all.push((message.header.kind, message.payload.to_vec())),
                }
            }
        }
    }

    fn flows(&self) -> usize {
        let list = request((Subsystem::Conntrack, conntrack::message::GET), Flags::DUMP, |_| {});
        self.ask(&list).0.len()
    }

    fn make_flow(&self) {
        let [src, dst] = ["10.0.0.1", "10.0.0.2"].map(|addr| addr.parse().ok());
        let one =
            Tuple { src, dst, proto: Some(17), sport: Some(1), dport: Some(2), ..Tuple::default() };
        let other = Tuple { src: dst, dst: src, sport: Some(2), dport: Some(1), ..one.clone() };
        let flags = Flags::CREATE | Flags::ACK;
        let make = request((Subsystem::Conntrack, conntrack::message::NEW), flags, |writer| {
            Attribute::Original(one).write(writer);
            Attribute::Reply(other).write(writer);
            Attribute::Timeout(600).write(writer);
        });
        assert_eq!(self.ask(&make).1, Some(0));
    }

    fn setting(&self, name: &str) -> String {
        let number = tidegate::message::SETTINGS;
        let ask = request((Subsystem::Tidegate, number), Flags::DUMP, |writer| {
            tidegate::Attribute::Name(name.as_bytes()).write(writer);
        });
        let (messages, _) = self.ask(&ask);
        String::from_utf8_lossy(&messages[0].1).into_owned()
    }
}

fn request(
    (subsystem, number): (Subsystem, u8),
    flags: Flags,
    write: impl FnOnce(&mut Writer<'_>),
) -> Vec<u8> {
    let kind = Header::kind_of(subsystem, number);
    let header = Header { kind, flags: flags | Flags::REQUEST, seq: 1, pid: 0 };
    let mut bytes = Vec::new();
    let family = Family { family: Family::V4, ..Family::default() };
    Writer::new(&mut bytes).message(header, family, write);
    bytes
}

#[test]
fn it_serves_until_it_is_told_to_stop() {
    for signal in [Signal::TERM, Signal::INT] {
        let daemon = Daemon::start(&[], &[]);
        let client = Client::new(&daemon.socket());
        client.make_flow();
        assert_eq!(client.flows(), 1);
        let (output, is_left) = daemon.stop(signal);
        assert!(output.status.success() && !is_left, "{output:?}");
    }
}

#[test]
fn the_socket_has_the_mode_that_was_asked_for() {
    for (args, mode) in [(&[][..], 0o600), (&["--mode", "660"][..], 0o660)] {
        let daemon = Daemon::start(&[], args);
        let found = fs::metadata(daemon.socket()).expect("a socket").permissions().mode();
        assert_eq!(found & 0o777, mode);
    }
}

#[test]
fn a_reload_changes_rules_and_settings_and_loses_no_flow() {
    const MAX: &str = "net.netfilter.nf_conntrack_max";
    let rules = b"*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n";
    let settings = format!("{MAX} = 1000\n");
    let files = [("rules", &rules[..]), ("sysctl", settings.as_bytes())];
    let daemon = Daemon::start(&files, &["--rules4", "rules", "--sysctl", "sysctl"]);
    let client = Client::new(&daemon.socket());
    client.make_flow();
    assert!(client.setting(MAX).contains("1000"));
    daemon.write("sysctl", &format!("{MAX} = 2000\n"));
    daemon.signal(Signal::HUP);
    daemon.until(|_| client.setting(MAX).contains("2000"));
    // A fault in one file, and nothing of the other is taken over.
    daemon.write("sysctl", &format!("{MAX} = 3000\n"));
    daemon.write("rules", "*filter\n-A NOWHERE -j ACCEPT\nCOMMIT\n");
    daemon.signal(Signal::HUP);
    sleep(Duration::from_millis(300));
    assert!(client.setting(MAX).contains("2000"));
    assert_eq!(client.flows(), 1);
    let (output, _) = daemon.stop(Signal::TERM);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("rules:2"), "{said}");
}

#[test]
fn there_is_one_server_for_a_socket() {
    let daemon = Daemon::start(&[], &[]);
    let second = daemon.command(&[]).output().expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && said.contains("another server"), "{said}");
    assert_eq!(Client::new(&daemon.socket()).flows(), 0, "the first one still serves");
}

#[test]
fn what_a_dead_server_left_is_no_obstacle_but_a_file_is() {
    let mut daemon = Daemon::start(&[], &[]);
    daemon.signal(Signal::KILL);
    daemon.process.take().expect("it ran").wait().expect("gone");
    assert!(daemon.socket().exists(), "its socket is left");
    daemon.process = Some(daemon.command(&[]).spawn().expect("it runs"));
    daemon.until(|daemon| {
        let kind = SocketType::SEQPACKET;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
        let address = SocketAddrUnix::new(daemon.socket()).expect("a path");
        connect(socket.expect("a socket"), &address).is_ok()
    });
    let other = tempfile::tempdir().expect("a directory");
    fs::write(other.path().join("socket"), "text").expect("a file");
    let refused = Command::new(TIDEGATE)
        .current_dir(other.path())
        .args(["run", "--control", "socket"])
        .output()
        .expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(fs::read(other.path().join("socket")).expect("a file"), b"text");
}

#[test]
fn faults_of_files_are_told_with_their_places() {
    let place = tempfile::tempdir().expect("a directory");
    fs::write(place.path().join("sysctl"), "net.netfilter.nf_conntrack_nonsense = 1\n")
        .expect("a file");
    let output = Command::new(TIDEGATE)
        .current_dir(place.path())
        .args(["run", "--control", "socket", "--sysctl", "sysctl"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("sysctl:1"), "{said}");
    assert!(!place.path().join("socket").exists());
}

#[test]
fn a_client_that_speaks_nonsense_is_hung_up_on_and_nobody_else() {
    let daemon = Daemon::start(&[], &[]);
    let (good, bad) = (Client::new(&daemon.socket()), Client::new(&daemon.socket()));
    send(&bad.0, b"nonsense, and too short", SendFlags::NOSIGNAL).expect("sent");
    let mut buffer = [0; 100];
    let ended = recv(&bad.0, &mut buffer[..], RecvFlags::empty());
    assert!(ended.map_or(true, |(_, len)| len == 0), "the connection is over");
    assert_eq!(good.flows(), 0);
}

/// Each row: what the file is, its bytes, its mode, and what is said of it.
#[test]
fn programs_that_would_speak_to_the_kernel_are_not_run() {
    let mut elf = vec![0; 120];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    let rows = [
        ("a static program", elf, 0o755, 126, "statically linked"),
        ("of another user", b"#!/bin/sh\n".to_vec(), 0o4755, 126, "gains privileges"),
        ("no program", b"text".to_vec(), 0o755, 126, "no program"),
        ("a good one, no server", b"#!/bin/sh\n".to_vec(), 0o755, 4, "control socket socket: No"),
    ];
    let place = tempfile::tempdir().expect("a directory");
    for (what, bytes, mode, status, expected) in rows {
        let program = place.path().join("program");
        fs::write(&program, bytes).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("a mode");
        let output = Command::new(TIDEGATE)
            .current_dir(place.path())
            .args(["exec", "--socket", "socket", "--", "./program"])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{what}");
        assert!(said.contains(expected), "{what}: {said}");
    }
}
