//! `tidegate run` and `tidegate exec` as their users meet them: the socket, its clients, signals, faults.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tidegate_wire::netlink::conntrack::{self, Attribute};
use tidegate_wire::netlink::frame::{Control, Family, Flags, Header, Subsystem};
use tidegate_wire::netlink::{Messages, Tuple, Writer, tidegate};
use tidegate_wire::packet::Ipv4;
use tidegate_wire::pcap::{Capture, InterfaceDesc, LinkType, Writer as PcapWriter};

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
        daemon.until(Self::listens);
        daemon
    }

    /// Kills it, and starts it with another stderr.
    fn start_again(&mut self, args: &[&str], stderr: Stdio) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("killed");
        process.wait().expect("gone");
        fs::remove_file(self.socket()).expect("a socket");
        self.process = Some(self.command(args).stderr(stderr).spawn().expect("it runs"));
        self.until(Self::listens);
    }

    /// The socket is there a moment before it listens.
    fn listens(&self) -> bool {
        self.socket().exists() && connected(&self.socket()).is_ok()
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

/// A connection to the socket at this path.
fn connected(path: &Path) -> rustix::io::Result<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

struct Client(OwnedFd);

impl Client {
    fn new(path: &Path) -> Self {
        Self(connected(path).expect("a server"))
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
        // Nobody can connect before it has its mode.
        let count = |daemon: &Daemon| {
            let mut command = Command::new(TIDEGATE);
            command.args(["count", "--socket"]).arg(daemon.socket()).output().expect("it runs")
        };
        daemon.until(|daemon| count(daemon).status.success());
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
    let output = Command::new(TIDEGATE)
        .current_dir(daemon.place.path())
        .args(["exec", "--socket", "socket", "--", "true"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("refused"), "nobody is behind it: {said}");
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

/// A UDP datagram from 10.0.1.2 to 10.0.2.2.
fn greeting(port: u16) -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 33, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 1, 2, 10, 0, 2, 2];
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 53, 0, 13, 0, 0]);
    bytes.extend(b"hello");
    Ipv4::new(&mut bytes[..]).expect("a datagram").fill_checksum();
    bytes
}

#[test]
fn a_pipe_without_a_writer_keeps_nobody_waiting() {
    let place = tempfile::tempdir().expect("a directory");
    let pipe = place.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("it runs").success());
    let daemon = Daemon::start(&[], &["--pcap", &pipe.display().to_string()]);
    let count = |daemon: &Daemon| {
        let mut command = Command::new(TIDEGATE);
        let counted = command.args(["count", "--socket"]).arg(daemon.socket()).output();
        String::from_utf8(counted.expect("it runs").stdout).expect("UTF-8").trim().to_owned()
    };
    assert_eq!(count(&daemon), "0", "nobody has written yet");
    let ports = [InterfaceDesc { name: "", link: LinkType::RawIp }];
    let mut file = fs::File::options().write(true).open(&pipe).expect("the pipe");
    let mut writer = PcapWriter::new(&mut file, &ports).expect("a capture");
    assert_eq!(count(&daemon), "0", "only the header has come");
    for port in [1000, 1001] {
        writer.write(0, 1_000_000_000, &greeting(port)).expect("a frame");
        daemon.until(|daemon| count(daemon) == (port - 999).to_string());
    }
    let (output, is_left) = daemon.stop(Signal::TERM);
    assert!(output.status.success() && !is_left, "{output:?}");
}

const LOGGING: &str = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p udp -j LOG --log-prefix \"asks: \" \
     --log-level 5\nCOMMIT\n";

/// What a rule logs, and what the gateway itself says, is an object a line; so is the fault that keeps it from starting.
#[test]
fn what_is_said_can_be_read_by_machines() {
    let ports = [InterfaceDesc { name: "", link: LinkType::RawIp }];
    let mut writer = PcapWriter::new(Vec::new(), &ports).expect("a capture");
    writer.write(0, 1_000_000_000, &greeting(1000)).expect("a frame");
    let capture = writer.finish().expect("a capture");
    let files = [("rules", LOGGING.as_bytes()), ("packets", &capture[..])];
    let args = ["-j", "--rules4", "rules", "--pcap", "packets"];
    let daemon = Daemon::start(&files, &args);
    daemon.until(|daemon| {
        let mut command = Command::new(TIDEGATE);
        let counted = command.args(["count", "--socket"]).arg(daemon.socket()).output();
        counted.expect("it runs").stdout == b"1\n"
    });
    let (output, _) = daemon.stop(Signal::TERM);
    let said = records(&output);
    let is_logged = |severity: u64, about: &str, message: &str| {
        let message_of = |one: &Value| one["message"].as_str().expect("text").to_owned();
        said.iter().any(|one| {
            one["severity"] == severity
                && one["about"] == about
                && message_of(one).contains(message)
        })
    };
    assert!(is_logged(5, "rule", "asks: IN="), "{said:?}");

    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("file");
    fs::write(&file, "rules4 = \"absent\"\n").expect("a file");
    let mut command = Command::new(TIDEGATE);
    let said = records(&command.args(["run", "-j"]).arg(&file).output().expect("it runs"));
    assert_eq!((said.len(), &said[0]["severity"]), (1, &Value::from(3)), "{said:?}");
    fs::write(&file, "[log]\nformat = \"json\"\n").expect("a file");
    let mut command = Command::new(TIDEGATE);
    let said = records(&command.args(["run", "--dry-run"]).arg(&file).output().expect("it runs"));
    assert!(said.len() > 5 && said.iter().all(|one| one["severity"] == 6), "{said:?}");
}

/// Each line that was said, which has a time and nothing that isn't named.
fn records(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    let records = text.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let keys: Vec<_> = record.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(keys, ["about", "message", "severity", "time"]);
        assert!(record["time"].as_str().is_some_and(|time| time.ends_with('Z')));
        record
    });
    records.collect()
}

/// Rules that never come keep a reload from its end, and nothing else from that of the gateway.
#[test]
fn it_stops_while_files_are_read() {
    let daemon = Daemon::start(&[("rules", MASQUERADE.as_bytes())], &["--rules4", "rules"]);
    let rules = daemon.place.path().join("rules");
    fs::remove_file(&rules).expect("rules");
    assert!(Command::new("mkfifo").arg(&rules).status().expect("it runs").success());
    daemon.signal(Signal::HUP);
    let mut writer = None;
    daemon.until(|_| {
        // It can be opened so once somebody reads.
        writer = rustix::fs::open(&rules, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok();
        writer.is_some()
    });
    daemon.signal(Signal::HUP);
    daemon.signal(Signal::TERM);
    daemon.until(|daemon| !daemon.socket().exists());
    let (output, _) = daemon.stop(Signal::TERM);
    assert!(output.status.success(), "{output:?}");
}

/// A start that fails must not cost the flows that the last one has saved, nor may anybody's file be lost.
#[test]
fn saved_flows_go_when_nothing_can_keep_the_gateway_from_its_work() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let metrics = taken.local_addr().expect("an address").to_string();
    let daemon = Daemon::start(&[("flows", b"precious")], &["--state", "flows"]);
    let path = |name: &str| daemon.place.path().join(name);
    Client::new(&daemon.socket()).make_flow();
    daemon.until(|_| path("flows.refused").exists());
    assert_eq!(fs::read(path("flows.refused")).expect("a file"), b"precious");
    daemon.signal(Signal::TERM);
    daemon.until(|_| path("flows").exists());
    let mode = fs::metadata(path("flows")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.until(|daemon| !daemon.socket().exists());
    let failed = daemon.command(&["--state", "flows", "--metrics", &metrics]).output();
    let failed = failed.expect("it runs");
    assert!(!failed.status.success(), "{failed:?}");
    assert!(path("flows").exists(), "{failed:?}");
    let mut again = daemon.command(&["--state", "flows"]).spawn().expect("it runs");
    daemon.until(|daemon| daemon.socket().exists() && !path("flows").exists());
    let flows = Client::new(&daemon.socket()).flows();
    again.kill().expect("it runs");
    again.wait().expect("it ends");
    assert_eq!(flows, 1);
}

#[test]
fn where_no_flows_can_be_saved_that_is_told_at_the_start() {
    let daemon = Daemon::start(&[], &["--state", "no-such-directory/flows"]);
    Client::new(&daemon.socket()).make_flow();
    let (output, _) = daemon.stop(Signal::TERM);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let [at_start, at_end] = ["warning", "error"].map(|kind| {
        said.lines().any(|line| line.contains(kind) && line.contains("no-such-directory"))
    });
    assert!(at_start && at_end, "{said}");
}

/// Runs an engine that talks to `stderr`, and has it say that a reload is at fault.
fn goes_on_with(stderr: Stdio) {
    let rules = b"*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n";
    let mut daemon = Daemon::start(&[("rules", rules)], &["--rules4", "rules"]);
    daemon.start_again(&["--rules4", "rules"], stderr);
    let client = Client::new(&daemon.socket());
    let patience = Some(Duration::from_secs(10));
    set_socket_timeout(&client.0, Timeout::Recv, patience).expect("a timeout");
    client.make_flow();
    daemon.write("rules", "nonsense\n");
    let reload = request((Subsystem::Tidegate, tidegate::message::RELOAD), Flags::ACK, |_| {});
    assert_ne!(client.ask(&reload).1, Some(0), "the rules are at fault");
    assert_eq!(client.flows(), 1);
    let (output, _) = daemon.stop(Signal::TERM);
    assert!(output.status.success(), "{output:?}");
}

/// A log on a full disk, which says so with every line.
#[test]
fn it_goes_on_though_nothing_can_be_said() {
    let full = fs::File::options().write(true).open("/dev/full").expect("a device");
    goes_on_with(full.into());
}

/// Neither packets nor the operator wait for whoever reads what is said.
#[test]
fn it_goes_on_though_nobody_reads_what_it_says() {
    let (_reader, mut full) = std::io::pipe().expect("a pipe");
    let flags = rustix::fs::fcntl_getfl(&full).expect("flags");
    rustix::fs::fcntl_setfl(&full, flags | rustix::fs::OFlags::NONBLOCK).expect("flags");
    while full.write(&[b' '; 512]).is_ok() {}
    rustix::fs::fcntl_setfl(&full, flags).expect("flags");
    goes_on_with(full.into());
}

/// Captures instead of wires, in a world of the file's: no privilege is needed.
const CAPTURES: &str = "
rules4 = \"rules\"
[control]
socket = \"socket\"
[[interface]]
name = \"lan\"
plane = \"pcap\"
read = \"lan.pcapng\"
write = \"to-lan.pcapng\"
pace = \"at-once\"
[[interface]]
name = \"wan\"
plane = \"pcap\"
write = \"to-wan.pcapng\"
[[world.link]]
name = \"lan\"
mac = \"02:00:00:00:00:01\"
addresses = [\"10.0.1.1/24\"]
[[world.link]]
name = \"wan\"
mac = \"02:00:00:00:01:01\"
addresses = [\"10.0.2.1/24\"]
[[world.neighbour]]
port = \"lan\"
address = \"10.0.1.2\"
mac = \"02:00:00:00:00:02\"
[[world.neighbour]]
port = \"wan\"
address = \"10.0.2.2\"
mac = \"02:00:00:00:01:02\"
";
const MASQUERADE: &str =
    "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n";

#[test]
fn a_gateway_between_captures() {
    let place = tempfile::tempdir().expect("a directory");
    let to_us = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let ports = [InterfaceDesc { name: "lan", link: LinkType::Ethernet }];
    let mut writer = PcapWriter::new(Vec::new(), &ports).expect("a capture");
    let frame = [&to_us[..], &greeting(1000)].concat();
    writer.write(0, 1_000_000_000, &frame).expect("a frame");
    let mut elsewhere = greeting(1001);
    elsewhere[19] = 77;
    Ipv4::new(&mut elsewhere[..]).expect("a datagram").fill_checksum();
    let frame = [&to_us[..], &elsewhere].concat();
    writer.write(0, 1_000_000_001, &frame).expect("a frame");
    let capture = writer.finish().expect("a capture");
    // The next frame is cut off: what came before it counts.
    let ports = [InterfaceDesc { name: "", link: LinkType::RawIp }];
    let mut writer = PcapWriter::new(Vec::new(), &ports).expect("a capture");
    writer.write(0, 1_000_000_002, &frame).expect("a frame");
    let more = writer.finish().expect("a capture");
    let packet = more.windows(4).rposition(|word| word == [6, 0, 0, 0]).expect("a packet");
    let capture = [&capture[..], &more[packet..packet + 16]].concat();
    for (name, bytes) in
        [("file", CAPTURES.as_bytes()), ("rules", MASQUERADE.as_bytes()), ("lan.pcapng", &capture)]
    {
        fs::write(place.path().join(name), bytes).expect("a file");
    }
    let mut command = Command::new(TIDEGATE);
    command.arg("run").arg(place.path().join("file")).stderr(Stdio::null());
    let mut process = command.spawn().expect("it runs");
    let written = |name: &str| {
        let bytes = fs::read(place.path().join(name)).unwrap_or_default();
        let mut frames = Vec::new();
        let Ok(mut capture) = Capture::open(&bytes[..]) else { return frames };
        while let Ok(Some(frame)) = capture.next_frame() {
            frames.push(frame.data.to_vec());
        }
        frames
    };
    for _ in 0..500 {
        if written("to-lan.pcapng").len() + written("to-wan.pcapng").len() >= 2 {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    process.kill().expect("it runs");
    process.wait().expect("it ends");
    let [sent] = &written("to-wan.pcapng")[..] else { panic!("one frame") };
    assert_eq!(sent[..14], [2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 1, 8, 0]);
    assert_eq!(sent[26..34], [10, 0, 2, 1, 10, 0, 2, 2], "masqueraded");
    assert_eq!(sent[42..], *b"hello");
    let [told] = &written("to-lan.pcapng")[..] else { panic!("one answer") };
    assert_eq!(told[34..36], [3, 1], "nobody is there: host unreachable");
}

/// More lines than one request carries, with something wrong in every part.
#[test]
fn lines_about_sets_that_are_wrong_are_told_by_their_numbers() {
    let daemon = Daemon::start(&[], &[]);
    let number = 4000;
    let mut lines: Vec<String> =
        (0..number).map(|host: u32| format!("add s 10.0.{}.{}", host >> 8, host & 255)).collect();
    lines[0] = "create s hash:ip".to_owned();
    for wrong in [1, 2000, 3000, 3998] {
        lines[wrong] = "add t 10.0.0.1".to_owned();
    }
    lines[3999] = format!("add s 10.0.0.1{}", " ".repeat(1 << 16));
    lines.push("add s 10.9.9.9".to_owned());
    daemon.write("lines", &lines.join("\n"));
    let sets = |file: &str| {
        let mut command = Command::new(TIDEGATE);
        command.current_dir(daemon.place.path()).args(["sets", "--socket", "socket", file]);
        let output = command.output().expect("it runs");
        (String::from_utf8(output.stderr).expect("text"), output.status.code())
    };
    let of = |line: u32| format!("tidegate: error: sets:{line}: there is no set `t'\n");
    let long = "tidegate: error: sets:4000: the line has more than 16384 bytes\n";
    let told = [2, 2001, 3001, 3999].map(of).concat() + long;
    assert_eq!(sets("lines"), (told, Some(1)));
    daemon.write("last", "add s 10.9.9.9");
    let (told, status) = sets("last");
    assert!(told.contains("sets:1") && status == Some(1), "what stands behind is done: {told}");
}
