//! The tool against a control socket: a server of the test's own answers from a script, so that it can also do what a real
//! engine rarely does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, accept, bind, listen, recv,
    send, socket,
};
use tempfile::TempDir;
use tidegate_wire::netlink::conntrack::{Attribute, message};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::tidegate::{self, Attribute as Own, Condition, Field};
use tidegate_wire::netlink::{Attrs, Family, Flags, Header, Message, Messages, Tuple, Writer};

/// A server that answers each message by what the script says, and then hangs up.
fn serve(path: &Path, script: fn(&Message<'_>) -> Vec<Vec<u8>>) -> JoinHandle<Vec<Vec<u8>>> {
    let listener = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&listener, 4).unwrap();
    thread::spawn(move || {
        let mut heard = Vec::new();
        // The last client of every test says `count`.
        while !heard.last().is_some_and(|datagram: &Vec<u8>| is_count(datagram)) {
            attend(&accept(&listener).unwrap(), script, &mut heard);
        }
        heard
    })
}

fn attend(client: &OwnedFd, script: fn(&Message<'_>) -> Vec<Vec<u8>>, heard: &mut Vec<Vec<u8>>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok((len, _)) = recv(client, &mut buffer[..], RecvFlags::empty()) {
        if len == 0 {
            return;
        }
        heard.push(buffer[..len].to_vec());
        for message in Messages::new(&buffer[..len]) {
            for answer in script(&message.unwrap()) {
                if answer.is_empty() || send(client, &answer, SendFlags::NOSIGNAL).is_err() {
                    return;
                }
            }
        }
    }
}

fn is_count(datagram: &[u8]) -> bool {
    let header = Messages::new(datagram).next().unwrap().unwrap().header;
    header.subsystem() == Some((Subsystem::Conntrack as u8, message::GET_STATS))
}

fn kind(of: &Message<'_>) -> (u8, u8) {
    of.header.subsystem().unwrap()
}

fn written(body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    body(&mut Writer::new(&mut bytes));
    bytes
}

fn header(subsystem: Subsystem, number: u8, seq: u32, flags: Flags) -> Header {
    Header { kind: Header::kind_of(subsystem, number), flags, seq, pid: 0 }
}

fn done(to: &Message<'_>) -> Vec<u8> {
    written(|writer| writer.done(to.header.seq, 0))
}

fn refuse(to: &Message<'_>, errno: i32) -> Vec<u8> {
    written(|writer| writer.error(to, errno, true))
}

fn write_flow(writer: &mut Writer<'_>, last: u8) {
    let tuple = |src: [u8; 4], dst: [u8; 4]| Tuple {
        src: Some(src.into()),
        dst: Some(dst.into()),
        proto: Some(50),
        ..Tuple::default()
    };
    let (here, there) = ([10, 0, 0, last], [192, 0, 2, 1]);
    Attribute::Original(tuple(here, there)).write(writer);
    Attribute::Reply(tuple(there, here)).write(writer);
    Attribute::Status(8).write(writer);
    Attribute::Timeout(99).write(writer);
}

fn flow(seq: u32, last: u8) -> Vec<u8> {
    let header = header(Subsystem::Conntrack, message::NEW, seq, Flags::MULTI);
    written(|writer| {
        writer.message(header, Family::of(::tidegate_wire::Family::V4), |w| write_flow(w, last))
    })
}

fn own(number: u8, seq: u32, attributes: &[Own<'_>]) -> Vec<u8> {
    let header = header(Subsystem::Tidegate, number, seq, Flags::MULTI);
    let family = Family::of(::tidegate_wire::Family::V4);
    written(|writer| {
        writer.message(header, family, |w| attributes.iter().for_each(|one| one.write(w)));
    })
}

fn event(number: u64, last: u8) -> Vec<u8> {
    let kind = u32::from(Header::kind_of(Subsystem::Conntrack, message::NEW)) << 16;
    let flags = u32::from((Flags::CREATE | Flags::EXCL).bits());
    let body = written(|writer| write_flow(writer, last));
    let attributes =
        [Own::Sequence(number), Own::Time(number), Own::Kind(kind | flags), Own::Body(&body)];
    own(tidegate::message::EVENT, 0, &attributes)
}

/// The program with a socket of its own, and what the server heard.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("control")
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .env_remove("CLICOLOR_FORCE")
            .args(line.split_whitespace())
            .arg("--socket")
            .arg(self.socket())
            .output()
            .unwrap();
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (status.code().unwrap(), stdout, stderr)
    }
}

fn answer_listings(to: &Message<'_>) -> Vec<Vec<u8>> {
    let seq = to.header.seq;
    match kind(to) {
        // More than was asked for: an engine may ignore conditions.
        (127, tidegate::message::LIST) => {
            vec![flow(seq, 1), flow(seq + 9, 7), flow(seq, 2), done(to)]
        }
        (1, message::GET_STATS) => vec![refuse(to, 1)],
        _ => vec![refuse(to, 95)],
    }
}

#[test]
fn a_listing_is_asked_for_in_the_engine_s_words_and_tried_again() {
    let bench = Bench::new();
    let server = serve(&bench.socket(), answer_listings);
    let line = |last| {
        format!(
            "unknown  50 99 src=10.0.0.{last} dst=192.0.2.1 [UNREPLIED] src=192.0.2.1 dst=10.0.0.{last}\n"
        )
    };
    let (status, out, _) = bench.run("list");
    assert_eq!((status, out), (0, line(1) + &line(2)), "the answer to another question is none");
    let (status, out, complaint) = bench.run("list -s 10.0.0.2/31 --timeout <2m");
    assert_eq!((status, out), (0, line(2)));
    assert!(complaint.contains("1 flow entries have been shown."), "{complaint}");
    let (status, _, complaint) = bench.run("count");
    assert!(status == 3 && complaint.contains("not permitted"), "{status} {complaint}");
    let heard = server.join().unwrap();
    let message = Messages::new(&heard[1]).next().unwrap().unwrap();
    let conditions: Vec<_> =
        tidegate::attributes(message.body().unwrap().1).map(Result::unwrap).collect();
    let expected = [
        Condition::between(Field::Family, 2, 2),
        Condition::between(Field::OriginalSource, 0x0a00_0002, 0x0a00_0003),
        Condition::between(Field::Timeout, 0, 119),
    ];
    assert_eq!(conditions, expected.map(Own::Condition));
}

fn answer_subscriptions(to: &Message<'_>) -> Vec<Vec<u8>> {
    match kind(to) {
        (127, tidegate::message::SUBSCRIBE) => {
            let lost = [Own::Sequence(3), Own::Last(900)];
            let gap = own(tidegate::message::GAP, 0, &lost);
            // Nothing more is to be sent: the server hangs up.
            vec![refuse(to, 0), event(2, 1), gap, event(901, 2), Vec::new()]
        }
        _ => vec![refuse(to, 95)],
    }
}

#[test]
fn lost_events_are_told_by_their_numbers() {
    let bench = Bench::new();
    let server = serve(&bench.socket(), answer_subscriptions);
    let (status, out, complaint) = bench.run("events --gap --after 1 -e new");
    let line = |last| {
        format!(
            "    [NEW] unknown  50 99 src=10.0.0.{last} dst=192.0.2.1 [UNREPLIED] src=192.0.2.1 dst=10.0.0.{last}\n"
        )
    };
    let gap = "    [GAP] events 3 to 900 were lost here\n";
    assert_eq!((status, out), (1, line(1) + gap + &line(2)), "{complaint}");
    assert!(complaint.contains("the engine closed the conversation"), "{complaint}");
    let (_, out, _) = bench.run("events --gap -j -c 1");
    assert!(out.contains("\"event\":\"NEW\"") && out.contains("\"number\":2"), "{out}");
    let (_, out, complaint) = bench.run("events");
    assert_eq!(out, line(1) + &line(2));
    assert!(complaint.contains("events were lost (3 to 900)"), "{complaint}");
    bench.run("count");
    let heard = server.join().unwrap();
    let message = Messages::new(&heard[0]).next().unwrap().unwrap();
    let (_, attrs): (_, Attrs<'_>) = message.body().unwrap();
    let said: Vec<_> = tidegate::attributes(attrs).map(Result::unwrap).collect();
    assert_eq!(said, [Own::Groups(1), Own::Sequence(1)]);
}

fn answer_settings(to: &Message<'_>) -> Vec<Vec<u8>> {
    let name = "net.netfilter.nf_conntrack_acct";
    match kind(to) {
        (127, tidegate::message::SETTINGS) => {
            let pair = [Own::Name(name.as_bytes()), Own::Value(b"1")];
            vec![own(tidegate::message::SETTINGS, to.header.seq, &pair), done(to)]
        }
        (127, tidegate::message::SET) => vec![refuse(to, 22)],
        _ => vec![refuse(to, 95)],
    }
}

#[test]
fn settings_are_the_engine_s() {
    let bench = Bench::new();
    let server = serve(&bench.socket(), answer_settings);
    let rows = [
        ("sysctl", 0, "net.netfilter.nf_conntrack_acct = 1\n"),
        ("sysctl -n nf_conntrack_acct", 0, "1\n"),
        ("sysctl nf_conntrack_max", 1, ""),
        ("sysctl nf_conntrack_acct=7", 1, ""),
        ("count", 1, ""),
    ];
    for (line, status, out) in rows {
        let (found, shown, complaint) = bench.run(line);
        assert_eq!((found, shown.as_str()), (status, out), "{line}: {complaint}");
    }
    server.join().unwrap();
}

/// What a broken or hostile server sends.
fn answer_nonsense(to: &Message<'_>) -> Vec<Vec<u8>> {
    let seq = to.header.seq;
    let mut cut = flow(seq, 1);
    cut.truncate(cut.len() - 5);
    let mut long = flow(seq, 1);
    long[0] = 255;
    match kind(to) {
        (127, tidegate::message::LIST) => vec![flow(seq, 1), cut],
        (1, message::GET) => vec![long],
        (2, 1) => vec![vec![1, 2, 3]],
        _ => vec![Vec::new()],
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_an_error_and_nothing_else() {
    let bench = Bench::new();
    let server = serve(&bench.socket(), answer_nonsense);
    for line in ["list", "get -p 50 -s 10.0.0.1 -d 10.0.0.2", "expect list", "count"] {
        let (status, _, complaint) = bench.run(line);
        assert_eq!(status, 1, "{line}: {complaint}");
        assert!(complaint.contains("can't be read") || complaint.contains("closed"), "{complaint}");
    }
    server.join().unwrap();
}
