//! The program from outside: what it prints, what it complains of, and its exit
//! status.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tidegate_wire::packet::{Ipv4Repr, Tcp, TcpFlags, TcpRepr, Udp, UdpRepr};
use tidegate_wire::pcap::{Capture, InterfaceDesc, LinkType, Writer, link};
use tidegate_wire::{SeqNum, proto};

const CLIENT: [u8; 4] = [192, 0, 2, 10];
const SERVER: [u8; 4] = [198, 51, 100, 1];

/// A directory of its own for each test, and the program run in it.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.current_dir(self.0.path()).env_remove("CLICOLOR_FORCE").arg("replay").args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Finished {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        Finished { status: status.code().expect("no signal ended it"), stdout, stderr }
    }
}

struct Finished {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Finished {
    /// All of stdout, of a run without a complaint.
    fn clean(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "stdout: {}", self.stdout);
        self.stdout
    }
}

fn datagram(src: [u8; 4], dst: [u8; 4], ttl: u8, proto: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4Repr {
        src: src.into(),
        dst: dst.into(),
        proto,
        ttl,
        tos: 0,
        id: 1,
        dont_fragment: true,
        payload_len: payload.len(),
    };
    let mut bytes = vec![0; 20];
    header.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

fn tcp(from_client: bool, port: u16, flags: TcpFlags, seq: u32, ack: u32) -> Vec<u8> {
    let (src, dst) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    let (src_port, dst_port) = if from_client { (port, 80) } else { (80, port) };
    let (seq, ack) = (SeqNum(seq), SeqNum(ack));
    let mut segment = vec![0; 20];
    TcpRepr { src_port, dst_port, seq, ack, flags, window: 65535 }.emit(&mut segment);
    let [from, to] = [src, dst].map(std::net::IpAddr::from);
    Tcp::new(&mut segment[..]).unwrap().fill_checksum(from, to);
    datagram(src, dst, 64, proto::TCP, &segment)
}

fn udp(from_client: bool, port: u16, ttl: u8, len: usize) -> Vec<u8> {
    let (src, dst) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    let (src_port, dst_port) = if from_client { (port, 53) } else { (53, port) };
    let mut bytes = vec![0; 8 + len];
    UdpRepr { src_port, dst_port, payload_len: len }.emit(&mut bytes);
    let [from, to] = [src, dst].map(std::net::IpAddr::from);
    Udp::new(&mut bytes[..]).unwrap().fill_checksum(from, to);
    datagram(src, dst, ttl, proto::UDP, &bytes)
}

/// A handshake and a question with its answer, a tenth of a second apart each.
fn conversation() -> Vec<Vec<u8>> {
    vec![
        tcp(true, 4000, TcpFlags::SYN, 100, 0),
        tcp(false, 4000, TcpFlags::SYN | TcpFlags::ACK, 500, 101),
        tcp(true, 4000, TcpFlags::ACK, 101, 501),
        udp(true, 5353, 64, 20),
        udp(false, 5353, 1, 40),
    ]
}

fn capture(datagrams: &[Vec<u8>]) -> Vec<u8> {
    let interfaces = [InterfaceDesc { name: "eth0", link: LinkType::RawIp }];
    let mut writer = Writer::new(Vec::new(), &interfaces).unwrap();
    for (index, datagram) in datagrams.iter().enumerate() {
        let time = 1_700_000_000_000_000_000 + index as u64 * 100_000_000;
        writer.write(0, time, datagram).unwrap();
    }
    writer.finish().unwrap()
}

/// A request for a file, whose answer comes from another port.
fn tftp_request() -> Vec<u8> {
    let file = b"\x00\x01file\x00octet\x00";
    let mut bytes = vec![0; 8];
    UdpRepr { src_port: 4000, dst_port: 69, payload_len: file.len() }.emit(&mut bytes);
    bytes.extend_from_slice(file);
    let [from, to] = [CLIENT, SERVER].map(std::net::IpAddr::from);
    Udp::new(&mut bytes[..]).unwrap().fill_checksum(from, to);
    datagram(CLIENT, SERVER, 64, proto::UDP, &bytes)
}

#[test]
fn expect_shows_what_helpers_expect() {
    let bench = Bench::new();
    bench.write("tftp.pcapng", capture(&[tftp_request()]));
    let rules = "*raw\n-A PREROUTING -p udp --dport 69 -j CT --helper tftp\nCOMMIT\n";
    bench.write("rules.v4", rules);
    let run = |format| ["tftp.pcapng", "--rules4", "rules.v4", "--format", format];
    let line = format!(
        "300 l3proto = 2 proto=17 src={} dst={} sport=0 dport=4000 tftp\n",
        std::net::IpAddr::from(SERVER),
        std::net::IpAddr::from(CLIENT)
    );
    assert_eq!(bench.run(&run("expect")).clean(), line);
    let stats = bench.run(&run("stats")).clean();
    assert!(stats.contains("expect_new 0\nexpect_create 1\nexpect_delete 0\n"), "{stats}");
}

fn with_conversation() -> Bench {
    let bench = Bench::new();
    bench.write("talk.pcapng", capture(&conversation()));
    bench
}

#[test]
fn proc_shows_the_table_in_the_kernels_words() {
    let shown = with_conversation().run(&["talk.pcapng", "--format", "proc"]).clean();
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.10 dst=198.51.100.1 sport=4000 dport=80 \
             src=198.51.100.1 dst=192.0.2.10 sport=80 dport=4000 [ASSURED] mark=0 zone=0 use=2",
            "ipv4     2 udp      17 30 src=192.0.2.10 dst=198.51.100.1 sport=5353 dport=53 \
             src=198.51.100.1 dst=192.0.2.10 sport=53 dport=5353 mark=0 zone=0 use=2",
        ]
    );
}

#[test]
fn events_are_those_of_conntrack_with_the_captures_time() {
    let shown = with_conversation().run(&["talk.pcapng", "--format", "events"]).clean();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines[0],
        "[1700000000.000000]\t    [NEW] tcp      6 120 SYN_SENT src=192.0.2.10 dst=198.51.100.1 sport=4000 \
         dport=80 [UNREPLIED] src=198.51.100.1 dst=192.0.2.10 sport=80 dport=4000"
    );
    assert!(lines[4].starts_with("[1700000000.400000]\t [UPDATE] udp"), "{}", lines[4]);
    assert_eq!(lines.len(), 5);
}

#[test]
fn stats_are_lines_of_name_and_value() {
    let shown = with_conversation().run(&["talk.pcapng", "--format", "stats"]).clean();
    for line in ["entries 2", "invalid 0", "dropped.malformed 0", "invalid.bad_checksum 0"] {
        assert!(shown.lines().any(|found| found == line), "{line} in {shown}");
    }
    let json = with_conversation().run(&["talk.pcapng", "--format", "stats", "--json"]).clean();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["entries"], 2);
    assert_eq!(value["conntrack"]["early_drop"], 0);
}

#[test]
fn a_capture_is_summarised_by_default() {
    let shown = with_conversation().run(&["talk.pcapng"]).clean();
    for part in [
        "talk.pcapng\n",
        "5 packets, 236 B, raw IP, over 400.0 ms",
        "from 2023-11-14 22:13:20 UTC",
        "NEW 2, ESTABLISHED 3",
        "1 packet with a TTL below 2: raised to 2",
        "2 flows, begun by 1 host; 2 in the table at the end",
        "192.0.2.10",
        "at most 2 flows",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    assert!(!shown.contains('\x1b'), "no colours into a pipe");
    let json = with_conversation().run(&["talk.pcapng", "-j"]).clean();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["flows"]["kinds"]["tcp"]["ESTABLISHED"], 1);
    assert_eq!(value["talkers"]["by_bytes"][0]["packets"], 5);
    assert_eq!(value["table"]["forecast"]["size"], 262_144);
}

#[test]
fn records_tell_what_became_of_each_packet() {
    let shown = with_conversation().run(&["talk.pcapng", "--format", "jsonl"]).clean();
    let parse = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let records: Vec<serde_json::Value> = shown.lines().map(parse).collect();
    assert_eq!(records.len(), 5);
    assert_eq!(records[1]["ctstate"], "ESTABLISHED");
    assert_eq!(records[1]["dir"], "REPLY");
    assert_eq!(
        records[2]["ct"]["status"],
        serde_json::json!(["SEEN_REPLY", "ASSURED", "CONFIRMED"])
    );
    assert_eq!(records[3]["out"][0]["port"], "wan");
}

#[test]
fn explain_tells_the_way_of_one_packet() {
    let shown = with_conversation().run(&["talk.pcapng", "--explain", "1"]).clean();
    assert!(shown.starts_with("packet 1 at 0.100000 s, in by in0\n"), "{shown}");
    for part in [
        "198.51.100.1:80 > 192.0.2.10:4000 tcp",
        "PREROUTING",
        "conntrack: ESTABLISHED",
        "left by out0",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    let beyond = with_conversation().run(&["talk.pcapng", "--explain", "5"]);
    assert_eq!(beyond.status, 2);
    assert!(beyond.stderr.contains("no packet 5, it has 5"), "{}", beyond.stderr);
}

#[test]
fn what_left_can_be_read_again() {
    let bench = with_conversation();
    bench.run(&["talk.pcapng", "--format", "stats", "--write-pcap", "out.pcapng"]).clean();
    let mut written = Capture::open(File::open(bench.path("out.pcapng")).unwrap()).unwrap();
    let mut count = 0;
    while let Some(frame) = written.next_frame().unwrap() {
        let ttl = if count == 4 { 1 } else { 63 };
        assert_eq!((frame.interface, frame.data[8]), (1, ttl), "packet {count} left by out0");
        assert_eq!(frame.time, 1_700_000_000_000_000_000 + count * 100_000_000);
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn copied_packets_can_be_read_and_replayed_again() {
    let bench = with_conversation();
    let rules = "*filter\n-A FORWARD -p udp -j NFLOG --nflog-group 7 --nflog-prefix \"dns \"\n\
                 -A FORWARD -p tcp -j NFLOG --nflog-size 20\nCOMMIT\n";
    bench.write("rules.v4", rules);
    let args = ["talk.pcapng", "--rules4", "rules.v4", "--format", "stats"];
    bench.run(&[&args[..], &["--write-nflog", "copied.pcapng"]].concat()).clean();
    let mut copied = Capture::open(File::open(bench.path("copied.pcapng")).unwrap()).unwrap();
    let mut groups = Vec::new();
    while let Some(frame) = copied.next_frame().unwrap() {
        assert_eq!(frame.link, LinkType::Nflog);
        let payload = link::datagram(frame.link, frame.data).datagram.unwrap();
        groups.push((frame.data[3], payload.len(), payload[9]));
    }
    assert_eq!(groups, [(0, 20, 6), (0, 20, 6), (0, 20, 6), (7, 48, 17), (7, 68, 17)]);
    let again = bench.run(&["copied.pcapng", "--format", "proc"]).clean();
    assert!(again.contains("udp      17 30 src=192.0.2.10 dst=198.51.100.1"), "{again}");
}

#[test]
fn traced_packets_are_explained() {
    let bench = with_conversation();
    bench.write("rules.v4", "*raw\n-A PREROUTING -p udp --sport 5353 -j TRACE\nCOMMIT\n");
    let args = ["talk.pcapng", "--rules4", "rules.v4", "--explain", "traced"];
    let shown = bench.run(&args).clean();
    let heads: Vec<&str> = shown.lines().filter(|line| line.starts_with("packet ")).collect();
    assert_eq!(heads, ["packet 3 at 0.300000 s, in by in0"]);
    assert!(shown.contains("raw PREROUTING rule 1 (line 2): TRACE"), "{shown}");
    bench.write("rules.v4", "*raw\nCOMMIT\n");
    let nothing = bench.run(&args);
    assert_eq!((nothing.status, nothing.stdout.as_str()), (0, ""));
    assert!(nothing.stderr.contains("no packet met a TRACE rule"), "{}", nothing.stderr);
    let odd = bench.run(&["talk.pcapng", "--explain", "all"]);
    assert_eq!(odd.status, 2);
    assert!(odd.stderr.contains("neither a packet's number nor `traced'"), "{}", odd.stderr);
}

#[test]
fn labels_have_names() {
    let bench = with_conversation();
    let rules = "*filter\n-A FORWARD -m connlabel --label web --set\nCOMMIT\n";
    bench.write("rules.v4", rules);
    bench.write("connlabel.conf", "5 web\n");
    bench.write("wrong.conf", "# names\n500 web\n");
    let args = ["talk.pcapng", "--rules4", "rules.v4", "--format", "jsonl", "--labels"];
    let shown = bench.run(&[&args[..], &["connlabel.conf"]].concat()).clean();
    assert!(shown.contains("\"labels\":\"20000000000000000000000000000000\""), "{shown}");
    let wrong = bench.run(&[&args[..], &["wrong.conf"]].concat());
    assert_eq!(wrong.status, 1);
    assert!(wrong.stderr.contains("wrong.conf:2: `500' is not a number"), "{}", wrong.stderr);
}

#[test]
fn a_truncated_capture_is_shown_as_far_as_it_goes() {
    let bench = Bench::new();
    let whole = capture(&conversation());
    bench.write("cut.pcapng", &whole[..whole.len() - 10]);
    let run = bench.run(&["cut.pcapng", "--format", "proc"]);
    assert_eq!(run.status, 1);
    assert_eq!(run.stdout.lines().count(), 2, "{}", run.stdout);
    assert!(run.stderr.contains("cut.pcapng: cut short"), "{}", run.stderr);
    assert!(run.stderr.contains("packet 4"), "{}", run.stderr);
    assert!(run.stderr.contains("byte "), "{}", run.stderr);
    for len in 0..whole.len() {
        bench.write("cut.pcapng", &whole[..len]);
        if len % 16 == 0 {
            let run = bench.run(&["cut.pcapng"]);
            assert!(run.status < 2, "cut to {len} bytes: {}", run.stderr);
        }
    }
}

#[test]
fn input_files_at_fault_are_named_with_their_line() {
    let bench = with_conversation();
    bench.write(
        "rules.v4",
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT --frobnicate -j ACCEPT\nCOMMIT\n",
    );
    bench.write("sysctl.conf", "# ours\nnet.netfilter.nf_conntrack_maxx = 5\n");
    bench.write("other.conf", "net.ipv4.ip_forward = 1\n");
    bench.write("junk.pcap", "this is no capture at all");
    let rows: [(&[&str], i32, &str); 8] = [
        (&["talk.pcapng", "--rules4", "rules.v4"], 1, "rules.v4:3: "),
        (&["talk.pcapng", "--sysctl", "sysctl.conf"], 1, "sysctl.conf:2: "),
        (&["talk.pcapng", "--sysctl", "none.conf"], 1, "none.conf: "),
        (&["junk.pcap"], 1, "junk.pcap: neither pcap nor pcapng"),
        (&["none.pcap"], 1, "none.pcap: "),
        (&["."], 1, "no packets.pcap here"),
        (&["talk.pcapng", "--format", "xml"], 2, "--format"),
        (&["talk.pcapng", "--json", "--format", "proc"], 2, "--json goes with"),
    ];
    for (args, status, part) in rows {
        let run = bench.run(args);
        assert_eq!(run.status, status, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{args:?}: {part:?} in {}", run.stderr);
        assert_eq!(run.stdout, "", "{args:?}");
    }
    let run = bench.run(&["talk.pcapng", "--sysctl", "other.conf", "--format", "stats"]);
    assert_eq!(run.status, 0, "a setting of somebody else is no error: {}", run.stderr);
    assert!(run.stderr.contains("warning"), "{}", run.stderr);
    assert!(run.stderr.contains("other.conf:1: "), "{}", run.stderr);
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let bench = Bench::new();
    let many: Vec<Vec<u8>> = (0..20_000).map(|port| udp(true, port, 64, 8)).collect();
    bench.write("many.pcapng", capture(&many));
    for format in ["events", "jsonl", "proc"] {
        let mut command = bench.command(&["many.pcapng", "--format", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{format}: {:?}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{format}");
    }
}

#[test]
fn a_tree_of_scenarios_is_replayed_whole() {
    let bench = Bench::new();
    for name in ["b", "a"] {
        fs::create_dir(bench.path(name)).unwrap();
        bench.write(&format!("{name}/packets.pcap"), capture(&conversation()));
    }
    fs::create_dir(bench.path("broken")).unwrap();
    bench.write("broken/packets.pcap", capture(&conversation()));
    bench.write("broken/topology.conf", "mtu in0 1500\nspeed in0 10\n");
    let run = bench.run(&["."]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("broken/topology.conf:2: "), "{}", run.stderr);
    let names: Vec<String> = run.stdout.lines().map(scenario_of).collect();
    assert_eq!(names, [vec!["a"; 6], vec!["b"; 6]].concat());
}

fn scenario_of(line: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(line).unwrap();
    record["scenario"].as_str().unwrap().to_owned()
}

#[test]
fn a_capture_may_come_from_stdin() {
    let bench = with_conversation();
    let file = File::open(Path::new(&bench.path("talk.pcapng"))).unwrap();
    let output = bench.command(&["-", "--format", "proc"]).stdin(file).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
}
