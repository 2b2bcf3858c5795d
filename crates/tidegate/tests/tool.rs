//! The tool against the kernel of this machine, beside conntrack(8): the same table, the same command, the same lines.
//!
//! Each test has a network namespace of its own, filled with entries that conntrack(8) makes and with traffic over the
//! loopback. Takes root, or user namespaces for everybody, and conntrack, nft and ip; `.ci/run` sees to them. Not part of
//! `cargo test` without a name, which needs no privilege: `cargo test -p tidegate --test tool`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{ExitCode, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use self::stage::{TIDEGATE, command_of, new_network, play, words};

/// Seconds of every entry: no other number in what is compared lies so near below.
const LIFE: u64 = 90_000;
/// Seconds that some are given later.
const CHANGED: u64 = 4711;
/// No test takes longer, on the busiest machine.
const PATIENCE: u64 = 3000;

const TESTS: [(&str, fn()); 13] = [
    ("listings_are_equal_line_by_line", listings_are_equal_line_by_line),
    ("listings_of_nothing_are_equal", listings_of_nothing_are_equal),
    ("one_entry_is_found_by_either_tuple", one_entry_is_found_by_either_tuple),
    ("entries_are_made_alike", entries_are_made_alike),
    ("entries_are_changed_alike", entries_are_changed_alike),
    ("entries_are_deleted_alike", entries_are_deleted_alike),
    ("nothing_is_cut_without_yes", nothing_is_cut_without_yes),
    ("events_are_equal_line_by_line", events_are_equal_line_by_line),
    ("lost_events_leave_a_mark", lost_events_leave_a_mark),
    ("statistics_and_counts_are_equal", statistics_and_counts_are_equal),
    ("expectations_are_equal_line_by_line", expectations_are_equal_line_by_line),
    ("settings_are_the_namespace_s", settings_are_the_namespace_s),
    ("what_cannot_be_is_told_by_the_status", what_cannot_be_is_told_by_the_status),
];

fn main() -> ExitCode {
    play(&TESTS, new_table)
}

/// An empty table whose entries live long; the kernel counts and notes times.
fn new_table() {
    new_network();
    let life = |name: &str| format!("nf_conntrack_{name}={LIFE}");
    let mut settings: Vec<String> =
        ["acct", "timestamp"].map(|n| format!("nf_conntrack_{n}=1")).into();
    settings.extend(["udp_timeout", "udp_timeout_stream", "tcp_timeout_established"].map(life));
    settings.extend(["tcp_timeout_time_wait", "icmp_timeout", "tcp_timeout_syn_sent"].map(life));
    let words: Vec<&str> = settings.iter().map(String::as_str).collect();
    assert_eq!(tidegate(&[&["sysctl"], &words[..]].concat()).status, 0);
}

/// What a program said and how it ended.
#[derive(Debug, PartialEq)]
struct Said {
    status: i32,
    out: Vec<String>,
    err: Vec<String>,
}

fn tidegate(args: &[&str]) -> Said {
    call(TIDEGATE, args)
}

fn conntrack(args: &[&str]) -> Said {
    call("conntrack", args)
}

fn call(program: &str, args: &[&str]) -> Said {
    said(command_of(program, args).output().unwrap_or_else(|error| panic!("{program}: {error}")))
}

fn run(program: &str, args: &[&str]) {
    let said = call(program, args);
    assert_eq!(said.status, 0, "{program} {args:?}: {said:?}");
}

fn said(output: Output) -> Said {
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(normal).collect();
    Said {
        status: output.status.code().unwrap(),
        out: lines(&output.stdout),
        err: lines(&output.stderr),
    }
}

/// A line without what may differ: seconds that pass, and who says it. Whose socket caused an event is a matter of
/// luck for conntrack(8), which looks through all processes: some are gone by then.
fn normal(line: &str) -> String {
    let line = match line.split_once("): ") {
        Some((name, rest)) if name.contains("conntrack-tools") || name.contains("(tidegate") => {
            rest
        }
        _ => line,
    };
    let line = line.split(" progname=").next().unwrap();
    let mut line = line.to_owned();
    for word in ["delta-time=", "<deltatime>"] {
        let Some((before, after)) = line.split_once(word) else { continue };
        line = format!("{before}{word}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    // Expectations have no life that a setting gives.
    if let Some((seconds, rest)) = line.split_once(" proto=")
        && seconds.parse::<u64>().is_ok()
    {
        line = format!("LIFE proto={rest}");
    }
    let (mut text, mut digits) = (String::new(), String::new());
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let number = digits.parse().unwrap_or(0);
        let is_near = |life: u64| (life - PATIENCE..=life).contains(&number);
        text.push_str(match (is_near(LIFE), is_near(CHANGED)) {
            (true, _) => "LIFE",
            (_, true) => "CHANGED",
            _ => &digits,
        });
        digits.clear();
        text.push(c);
    }
    text.trim_end_matches('\n').to_owned()
}

/// Words of a command line.
/// Entries of every protocol and both families, with marks, zones, NAT and states; then traffic.
fn fill() {
    let entries = [
        "-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 80 --state ESTABLISHED -u SEEN_REPLY,ASSURED -m 5",
        "-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1001 --dport 443 --state TIME_WAIT -u SEEN_REPLY,ASSURED -m 0x105",
        "-p tcp -s 10.0.1.1 -d 10.0.0.2 --sport 1001 --dport 443 --state SYN_SENT",
        "-p tcp -s 10.0.0.3 -d 10.0.0.2 --sport 1002 --dport 22 --state CLOSE_WAIT -u SEEN_REPLY",
        "-p tcp -s 10.0.0.1 -d 10.0.0.9 --sport 1000 --dport 80 --state ESTABLISHED --src-nat 192.0.2.1:2000",
        "-p tcp -s 10.0.0.1 -d 10.0.0.9 --sport 1001 --dport 80 --state ESTABLISHED --dst-nat 10.9.9.9:8080",
        "-p tcp -s 2001:db8::1 -d 2001:db8::2 --sport 1000 --dport 80 --state LAST_ACK -u SEEN_REPLY,ASSURED",
        "-p tcp -s 2001:db8::1 -d 2001:db8:0:1::2 --sport 1001 --dport 80 --state FIN_WAIT -m 5",
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 53 -w 7",
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 53 -w 8 -u SEEN_REPLY",
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1001 --dport 53 --orig-zone 3",
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1002 --dport 53 --reply-zone 4",
        "-p udp -s fd00::1 -d ::1.2.3.4 --sport 1000 --dport 53",
        "-p udp -s fd00::1 -d ::ffff:1.2.3.4 --sport 1000 --dport 53 -u FIXED_TIMEOUT",
        "-p udp -s fd00:0:0:1::1 -d fd00:1:0:1:0:1:0:1 --sport 1000 --dport 53",
        "-p udplite -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2",
        "-p sctp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 --state COOKIE_WAIT --orig-vtag 1 --reply-vtag 2",
        "-p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 77",
        "-p icmpv6 -s fd00::1 -d fd00::2 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 78",
        "-p gre -s 10.0.0.1 -d 10.0.0.2 --srckey 1 --dstkey 0x10",
        "-p 50 -s 10.0.0.1 -d 10.0.0.2",
        "-p 2 -s 10.0.0.1 -d 224.0.0.1 -m 7",
    ];
    for entry in entries {
        insert(entry);
    }
    talk();
}

fn insert(entry: &str) {
    let life = LIFE.to_string();
    run("conntrack", &[&["-I", "-t", &life], &words(entry)[..]].concat());
}

/// Datagrams and a connection over the loopback, of which the kernel keeps track.
fn talk() {
    track();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let [here, there] = [UdpSocket::bind(address).unwrap(), UdpSocket::bind(address).unwrap()];
        here.send_to(b"question", there.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 16];
        let (_, from) = there.recv_from(&mut buffer).unwrap();
        there.send_to(b"answer", from).unwrap();
        here.recv(&mut buffer).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"question").unwrap();
    server.read_exact(&mut [0; 8]).unwrap();
    drop((client, server));
}

fn track() {
    let rules =
        "table inet t { chain c { type filter hook output priority 0; ct state invalid drop; }; }";
    run("nft", &[rules]);
}

/// The same lines in the same order on stdout, the same last words on stderr, the same status.
#[track_caller]
fn same(theirs: &str, ours: &str) {
    let [theirs_said, ours_said] = [conntrack(&words(theirs)), tidegate(&words(ours))];
    assert_eq!(theirs_said, ours_said, "conntrack {theirs} | tidegate {ours}");
}

fn listings_are_equal_line_by_line() {
    fill();
    let shown = tidegate(&["list"]).out.len();
    assert!(shown >= 25, "only {shown} entries: was there no traffic?");
    for row in LISTINGS {
        same(&format!("-L {row}"), &format!("list {row}"));
    }
}

/// What both programs understand in the same letters.
const LISTINGS: [&str; 57] = [
    "",
    "-o extended",
    "-o id",
    "-o extended,id",
    "-o ktimestamp",
    "-o extended,ktimestamp,id",
    "-o timestamp",
    "-o xml -p udp",
    "-o xml -f ipv6",
    "-f ipv4",
    "-f ipv6",
    "-f ipv6 -o extended",
    "-p tcp",
    "-p udp",
    "-p icmp",
    "-p icmpv6",
    "-p sctp",
    "-p gre",
    "-p udplite",
    "-p 50",
    "-p tcp --state ESTABLISHED",
    "-p tcp --state TIME_WAIT -o id",
    "-p tcp --state SYN_SENT",
    "-p sctp --state COOKIE_WAIT",
    "-p tcp --dport 80",
    "-p tcp --sport 1001",
    "-p tcp --orig-port-dst 443",
    "-p tcp --reply-port-src 8080",
    "-p tcp --reply-port-dst 2000",
    "-f ipv4 -p tcp --sport 1000 --dport 80",
    "-f ipv6 -p udp --dport 53",
    "-s 10.0.0.1",
    "-s 10.0.0.0/24",
    "-d 10.0.0.2 -p udp",
    "-s 10.0.0.1 -d 10.0.0.2 -p tcp",
    "-r 10.9.9.9",
    "-q 192.0.2.1",
    "-s 2001:db8::1",
    "-d 2001:db8::/63",
    "-s fd00::/16 -p udp",
    "-m 5",
    "-m 5/7",
    "-m 0x100/0x100",
    "-w 7",
    "-w 0",
    "--orig-zone 3",
    "--reply-zone 4",
    "-u ASSURED",
    "-u UNREPLIED",
    "-u SEEN_REPLY",
    "-u SEEN_REPLY,ASSURED -p tcp",
    "-n",
    "-g",
    "-n 192.0.2.1",
    "-g 10.9.9.9",
    "--any-nat",
    "-p tcp -s 127.0.0.1",
];

fn listings_of_nothing_are_equal() {
    for row in ["", "-o extended", "-o xml", "-p tcp", "-f ipv6"] {
        same(&format!("-L {row}"), &format!("list {row}"));
    }
    same("-L dying", "list --state NONE");
}

fn one_entry_is_found_by_either_tuple() {
    fill();
    let rows = [
        "-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 80",
        "-p tcp -s 10.0.0.1 -d 10.0.0.9 --sport 1001 --dport 80 -o extended,id",
        "-p tcp -s 2001:db8::1 -d 2001:db8::2 --sport 1000 --dport 80",
        "-p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 77",
        "-p udplite -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2",
    ];
    for row in rows {
        same(&format!("-G {row}"), &format!("get {row}"));
    }
    let by_reply =
        words("get --reply -p tcp -s 10.9.9.9 -d 10.0.0.1 --sport 8080 --dport 1001 -o id");
    let by_original = words("get -p tcp -s 10.0.0.1 -d 10.0.0.9 --sport 1001 --dport 80 -o id");
    assert_eq!(tidegate(&by_reply), tidegate(&by_original));
    let missing = "-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 9 --dport 9";
    let [theirs, ours] =
        [conntrack(&words(&format!("-G {missing}"))), tidegate(&words(&format!("get {missing}")))];
    assert_eq!((theirs.status, theirs.out), (ours.status, ours.out));
}

/// What conntrack(8) shows of the table, in an order of ours.
fn table() -> Vec<String> {
    let mut lines = conntrack(&["-L", "-o", "extended"]).out;
    lines.sort();
    lines
}

/// In two namespaces that begin alike, one command of each: the same words, and the same table afterwards.
#[track_caller]
fn alike(prepare: fn(), theirs: &str, ours: &str) {
    let ends = [("conntrack", theirs), (TIDEGATE, ours)].map(|(program, line)| {
        new_table();
        prepare();
        let said = call(program, &words(line));
        let mut out = said.out;
        out.sort();
        (said.status, out, said.err, table())
    });
    let [theirs_end, ours_end] = ends;
    assert_eq!(theirs_end, ours_end, "conntrack {theirs} | tidegate {ours}");
}

fn entries_are_made_alike() {
    let rows = [
        "-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 80 --state ESTABLISHED",
        "-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 80 --state SYN_SENT -u SEEN_REPLY,ASSURED -m 9",
        "-p udp -s fd00::1 -d fd00::2 --sport 1000 --dport 53 -w 5",
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 53 --orig-zone 5",
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 53 --reply-zone 5",
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 53 --src-nat 192.0.2.1:99",
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 53 --dst-nat 192.0.2.1",
        "-p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 13 --icmp-code 0 --icmp-id 7",
        "-p icmpv6 -s fd00::1 -d fd00::2 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 7",
        "-p gre -s 10.0.0.1 -d 10.0.0.2 --srckey 1 --dstkey 2",
        "-p 50 -s 10.0.0.1 -d 10.0.0.2",
    ];
    for row in rows {
        alike(|| {}, &format!("-I -t {LIFE} {row}"), &format!("insert -t {LIFE} {row}"));
    }
    let row = "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 53";
    insert(row);
    let again = tidegate(&words(&format!("insert -t 9 {row}")));
    assert_eq!((again.status, conntrack(&words(&format!("-I -t 9 {row}"))).status), (1, 1));
}

/// Entries that conntrack(8) can change: those of zones it can't.
fn prepare() {
    for (number, state) in [(1, "ESTABLISHED"), (2, "TIME_WAIT"), (3, "ESTABLISHED")] {
        insert(&format!(
            "-p tcp -s 10.0.0.{number} -d 10.0.1.1 --sport 1000 --dport 80 --state {state}"
        ));
        insert(&format!(
            "-p udp -s fd00::{number} -d fd00:1::1 --sport 1000 --dport 53 -m {number}"
        ));
    }
}

fn entries_are_changed_alike() {
    let rows = [
        ("-U -s 10.0.0.1 -m 9", "update -y -s 10.0.0.1 --set-mark 9"),
        ("-U -p tcp -s 10.0.0.2 -m 0x10/0xf0", "update -y -p tcp -s 10.0.0.2 --set-mark 0x10/0xf0"),
        ("-U -p tcp -s 10.0.0.3 -t 4711", "update -y -p tcp -s 10.0.0.3 -t 4711"),
        ("-U -s fd00::2 -u ASSURED", "update -y -s fd00::2 --set-status ASSURED"),
        ("-U -s 10.7.7.7 -m 1", "update -y -s 10.7.7.7 --set-mark 1"),
    ];
    for (theirs, ours) in rows {
        alike(prepare, theirs, ours);
    }
    // What conntrack(8) can't say. Flows take labels only if some rule speaks of labels.
    new_table();
    let rules =
        "table inet t { chain c { type filter hook output priority 0; ct label set 127; }; }";
    run("nft", &[rules]);
    prepare();
    let said = tidegate(&words("update -y --state TIME_WAIT -t 30 --add-label 3,70"));
    assert_eq!((said.status, said.out.len()), (0, 1), "{said:?}");
    let said = tidegate(&words("list -l 70 --timeout <31 -o labels"));
    assert!(said.out.len() == 1 && said.out[0].ends_with("labels=3,70"), "{said:?}");
    tidegate(&words("update -y -l 70 --del-label 3"));
    assert_eq!(tidegate(&words("list -l 3")).out, [""; 0]);
    assert_eq!(tidegate(&words("list -l 70")).out.len(), 1);
}

fn entries_are_deleted_alike() {
    let rows = [
        ("-D -s 10.0.0.1", "delete -y -s 10.0.0.1"),
        ("-D -p tcp", "delete -y -p tcp"),
        ("-D -p tcp --state TIME_WAIT", "delete -y -p tcp --state TIME_WAIT"),
        ("-D -f ipv6", "delete -y -f ipv6"),
        ("-D -m 2", "delete -y -m 2"),
        ("-D -s 10.7.7.7", "delete -y -s 10.7.7.7"),
    ];
    for (theirs, ours) in rows {
        alike(prepare, theirs, ours);
    }
    new_table();
    fill();
    let count = tidegate(&["list"]).out.len();
    let deleted = tidegate(&words("delete -y --timeout >0"));
    assert_eq!((deleted.status, deleted.out.len()), (0, count), "zones and all: {deleted:?}");
    assert_eq!(table(), [""; 0]);
}

fn nothing_is_cut_without_yes() {
    prepare();
    let before = table();
    let rows = [
        ("delete -p tcp", 0, "3 flow entries would be deleted; --yes deletes them."),
        ("update -p udp --set-mark 1", 0, "3 flow entries would be updated; --yes updates them."),
        ("flush", 0, "6 flow entries would be deleted; --yes deletes them."),
        ("flush -f ipv6", 0, "3 flow entries would be deleted; --yes deletes them."),
        ("delete -p sctp", 1, "0 flow entries would be deleted; --yes deletes them."),
    ];
    for (line, status, words_said) in rows {
        let said = tidegate(&words(line));
        assert_eq!((said.status, &said.err[..]), (status, &[words_said.to_owned()][..]), "{line}");
        assert_eq!(table(), before, "{line}");
    }
    let said = tidegate(&words("flush -f ipv6 --yes"));
    let expected =
        "connection tracking table has been emptied: 3 flow entries were there before, 0 are now.";
    assert_eq!((said.status, &said.err[..]), (0, &[expected.to_owned()][..]));
    assert_eq!(table().len(), 3, "those of IPv4 are left");
    assert_eq!(tidegate(&["flush", "-y"]).status, 0);
    assert_eq!(table(), [""; 0]);
}

/// What both programs say of what happens meanwhile.
fn listen(theirs: &str, ours: &str, cause: impl FnOnce()) -> [Vec<String>; 2] {
    let children = [("conntrack", theirs), (TIDEGATE, ours)].map(|(program, line)| {
        command_of(program, &words(line))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    sleep(Duration::from_millis(500));
    cause();
    sleep(Duration::from_millis(500));
    children.map(|child| {
        run("kill", &["-INT", &child.id().to_string()]);
        said(child.wait_with_output().unwrap()).out
    })
}

fn events_are_equal_line_by_line() {
    let rows = [
        ("-E", "events"),
        ("-E -o extended,id", "events -o extended,id"),
        ("-E -e NEW", "events -e new"),
        ("-E -e NEW,DESTROY -o id", "events -e new,destroy -o id"),
        ("-E -p udp", "events -p udp"),
        ("-E -p tcp -o extended", "events -p tcp -o extended"),
        ("-E -s 10.0.0.2", "events -s 10.0.0.2"),
        ("-E -o xml -f ipv6", "events -o xml -f ipv6"),
    ];
    for (theirs, ours) in rows {
        new_table();
        track();
        let [theirs_said, ours_said] = listen(theirs, ours, || {
            prepare();
            talk_again();
            run("conntrack", &["-D", "-p", "tcp", "-s", "10.0.0.2"]);
            run("conntrack", &["-F"]);
        });
        assert_eq!(theirs_said, ours_said, "conntrack {theirs} | tidegate {ours}");
        assert!(theirs_said.len() >= 2, "nothing happened: {theirs_said:?}");
    }
}

fn talk_again() {
    run("nft", &["delete table inet t"]);
    talk();
}

/// A listener that is stopped can't keep up with what doesn't fit its buffer, which root has more of.
fn lost_events_leave_a_mark() {
    let mut child = command_of(TIDEGATE, &words("events --gap -j"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(300));
    let id = child.id().to_string();
    run("kill", &["-STOP", &id]);
    flood(40_000);
    run("kill", &["-CONT", &id]);
    let mut out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    sleep(Duration::from_secs(3));
    run("kill", &["-INT", &id]);
    let text = reader.join().unwrap();
    child.wait().unwrap();
    assert!(text.contains(r#"{"event":"GAP","time":""#), "{} lines", text.lines().count());
}

/// So many entries, by conntrack(8) from a file.
fn flood(count: u32) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for number in 0..count {
        let source = std::net::Ipv4Addr::from_bits(0x0a00_0000 | number);
        writeln!(file, "-A -t 600 -u UNSET -s {source} -d 192.0.2.1 -r 192.0.2.1 -q {source} -p udp --sport 1 --dport 2 --reply-port-src 2 --reply-port-dst 1").unwrap();
    }
    file.flush().unwrap();
    run("conntrack", &["-R", &file.path().to_string_lossy()]);
}

fn statistics_and_counts_are_equal() {
    same("-S", "stats --per-cpu");
    same("-C", "count");
    fill();
    same("-S", "stats --per-cpu");
    same("-C", "count");
    let page = tidegate(&["stats", "--meaning", "--rate=0.1"]).out;
    assert!(page.iter().any(|line| line.starts_with("insert_failed") && line.contains("/s  ")));
    let json = tidegate(&["stats", "-j"]).out.concat();
    assert!(json.contains("\"chaintoolong\":0"), "{json}");
}

/// An FTP client announces a port.
fn expectations_are_equal_line_by_line() {
    same("-L expect", "expect list");
    let rules = "table inet t {
        ct helper ftp { type \"ftp\" protocol tcp; l3proto ip; }
        chain c { type filter hook output priority 0; tcp dport 2121 ct helper set \"ftp\"; }; }";
    run("nft", &[rules]);
    let listener = TcpListener::bind("127.0.0.1:2121").unwrap();
    let mut client = TcpStream::connect("127.0.0.1:2121").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    for line in [&b"USER somebody\r\n"[..], b"PORT 127,0,0,1,100,10\r\n"] {
        client.write_all(line).unwrap();
        server.read_exact(&mut vec![0; line.len()]).unwrap();
    }
    assert_eq!(conntrack(&["-L", "expect"]).out.len(), 1, "the helper works");
    same("-L expect", "expect list");
    same("-L expect -f ipv4", "expect list -f ipv4");
    same("-L", "list");
    assert_eq!(tidegate(&words("list --helper ftp")).out.len(), 1);
    let dry = tidegate(&words("expect delete --helper ftp"));
    assert_eq!((dry.status, dry.out.len()), (0, 1));
    assert_eq!(conntrack(&["-L", "expect"]).out.len(), 1, "a dry run");
    assert_eq!(tidegate(&words("expect delete --helper ftp --yes")).status, 0);
    assert_eq!(conntrack(&["-L", "expect"]).out.len(), 0);
}

fn settings_are_the_namespace_s() {
    let said =
        tidegate(&words("sysctl net/netfilter/nf_conntrack_udp_timeout=77 nf_conntrack_acct"));
    let expected =
        ["net.netfilter.nf_conntrack_udp_timeout = 77", "net.netfilter.nf_conntrack_acct = 1"];
    assert_eq!((said.status, &said.out[..]), (0, &expected.map(str::to_owned)[..]));
    let file = "/proc/sys/net/netfilter/nf_conntrack_udp_timeout";
    assert_eq!(fs::read_to_string(file).unwrap(), "77\n");
    let mut conf = tempfile::NamedTempFile::new().unwrap();
    writeln!(conf, "# two of ours\n\nnet.netfilter.nf_conntrack_acct = 0\n-net.netfilter.nope=1")
        .unwrap();
    writeln!(conf, "kernel.panic = 1\nnet.netfilter.nf_conntrack_udp_timeout=9").unwrap();
    let path = conf.path().to_string_lossy().into_owned();
    assert_eq!(tidegate(&["sysctl", "-p", &path, "--dry-run"]).out, [""; 0]);
    assert_eq!(fs::read_to_string(file).unwrap(), "77\n", "a dry run");
    let said = tidegate(&["sysctl", "-p", &path]);
    assert_eq!((said.status, said.out.len()), (0, 2), "{said:?}");
    assert_eq!(fs::read_to_string(file).unwrap(), "9\n");
    let said = tidegate(&words("sysctl -n nf_conntrack_acct"));
    assert_eq!(said.out, ["0"]);
    let rows = [
        ("sysctl nf_conntrack_acct=7", 1),
        ("sysctl nope", 1),
        ("sysctl nope nf_conntrack_acct", 5),
        ("sysctl ../../kernel/panic", 2),
        ("sysctl nf_conntrack_max=1", 3),
    ];
    for (line, status) in rows {
        assert_eq!(tidegate(&words(line)).status, status, "{line}");
    }
}

fn what_cannot_be_is_told_by_the_status() {
    prepare();
    let rows = [
        ("list", 0),
        ("list --netns self", 4),
        ("list --netns /proc/self/ns/net", 0),
        ("list --netns 4000000000", 4),
        ("list --netns /dev/null", 4),
        ("list --socket /nowhere", 4),
        ("list --state HAPPY", 2),
        ("list -p nonsense", 2),
        ("list -s 10.0.0.0/40", 2),
        ("list -o json,xml", 2),
        ("list --sort colour", 2),
        ("delete", 2),
        ("update -p tcp", 2),
        ("get -p tcp -s 10.0.0.1 -d fd00::1 --sport 1 --dport 1", 2),
        ("get -p tcp -s 10.0.0.1 -d 10.0.0.2", 2),
        ("get -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 1", 1),
        ("insert -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 1", 2),
        ("man nonsense", 2),
    ];
    for (line, status) in rows {
        let said = tidegate(&words(line));
        assert_eq!(said.status, status, "{line}: {said:?}");
        assert_eq!(status == 0, said.err.iter().all(|line| !line.contains("error")), "{line}");
    }
    let mut child = command_of(TIDEGATE, &["list"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a closed pipe is no error");
}
