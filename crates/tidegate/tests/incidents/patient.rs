//! The patient: a kernel's table that is filled by ctnetlink, and what the doctor says of it.

use std::net::IpAddr;
use std::process::Command;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, bind, recv, send, socket};
use serde_json::Value;
use tidegate_wire::netlink::conntrack::{Attribute, Help, ProtoInfo, TcpInfo, message};
use tidegate_wire::netlink::frame::{Control, Subsystem};
use tidegate_wire::netlink::{Family, Flags, Header, Messages, Tuple, Writer, expect};
use tidegate_wire::proto;

use crate::stage::TIDEGATE;

/// TCP with a state, or UDP.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// The number of its state.
    Tcp(u8),
    /// Unanswered.
    Udp,
}

/// A flow that shall be in the table.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) source: IpAddr,
    pub(crate) port: u16,
    pub(crate) target: (IpAddr, u16),
    /// What is left of its life, in seconds.
    pub(crate) left: u32,
    /// Answered and assured.
    pub(crate) assured: bool,
    /// What its source is translated to.
    pub(crate) translated: Option<(IpAddr, u16)>,
    pub(crate) helper: Option<&'static str>,
}

impl Entry {
    /// TCP in a state, from a port that the number chooses.
    pub(crate) fn tcp(number: u32, state: u8, left: u32) -> Self {
        let kind = Kind::Tcp(state);
        Self { kind, assured: true, ..Self::udp(number, left) }
    }

    /// UDP without an answer.
    pub(crate) fn udp(number: u32, left: u32) -> Self {
        let any = IpAddr::from([10, 0, 0, 1]);
        let port = 1024 + (number % 60_000) as u16;
        Self {
            kind: Kind::Udp,
            source: any,
            port,
            target: (any, 1 + (number / 60_000) as u16),
            left,
            assured: false,
            translated: None,
            helper: None,
        }
    }

    fn tuples(&self) -> [Tuple; 2] {
        let number = if self.kind == Kind::Udp { proto::UDP } else { proto::TCP };
        let tuple = |(src, sport), (dst, dport)| Tuple {
            src: Some(src),
            dst: Some(dst),
            proto: Some(number),
            sport: Some(sport),
            dport: Some(dport),
            ..Tuple::default()
        };
        let here = (self.source, self.port);
        [tuple(here, self.target), tuple(self.target, self.translated.unwrap_or(here))]
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let [original, reply] = self.tuples();
        Attribute::Original(original).write(writer);
        Attribute::Reply(reply).write(writer);
        let status = CONFIRMED | if self.assured { ANSWERED } else { 0 };
        let status = status | if self.translated.is_some() { TRANSLATED } else { 0 };
        Attribute::Status(status).write(writer);
        Attribute::Timeout(self.left).write(writer);
        if let Kind::Tcp(state) = self.kind {
            let tcp = Some(TcpInfo { state: Some(state), ..TcpInfo::default() });
            Attribute::ProtoInfo(ProtoInfo { tcp, ..ProtoInfo::default() }).write(writer);
        }
        if let Some(name) = self.helper {
            Attribute::Help(Help { name: Some(name.as_bytes()), ..Help::default() }).write(writer);
        }
    }
}

/// How many flows there may be. A machine that allows millions is not what these tests are for.
pub(crate) fn limit() -> u32 {
    let max = crate::setting("max");
    assert!(
        (10_000..=600_000).contains(&max),
        "nf_conntrack_max is {max}: the tests fill the table"
    );
    max
}

/// How many there are.
pub(crate) fn count() -> u32 {
    crate::setting("count")
}

/// Makes entries; those that find no room are left out.
pub(crate) fn fill(count: u32, entry: impl Fn(u32) -> Entry) {
    let kind = Header::kind_of(Subsystem::Conntrack, message::NEW);
    request_all(count, kind, |number, writer| entry(number).write(writer));
}

/// Makes an expectation for each of so many masters, and says how many there are then.
pub(crate) fn expect_all(count: u32, master: impl Fn(u32) -> Entry) -> u32 {
    let kind = Header::kind_of(Subsystem::Expect, expect::message::NEW);
    request_all(count, kind, |number, writer| {
        let [original, _] = master(number).tuples();
        let expected =
            Tuple { sport: Some(0), dport: Some(original.sport.unwrap_or(0)), ..original.clone() };
        let ones = IpAddr::from([255; 4]);
        let mask = Tuple {
            src: Some(ones),
            dst: Some(ones),
            sport: Some(0),
            dport: Some(u16::MAX),
            ..original.clone()
        };
        expect::Attribute::Master(original).write(writer);
        expect::Attribute::Tuple(expected).write(writer);
        expect::Attribute::Mask(mask).write(writer);
        expect::Attribute::Timeout(3000).write(writer);
    });
    crate::stage::call(TIDEGATE, &["expect", "list"]).lines().count() as u32
}

/// Makes requests, some at a time, and waits for the answer to the last of each datagram.
fn request_all(count: u32, kind: u16, body: impl Fn(u32, &mut Writer<'_>)) {
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, Some(netlink::NETFILTER)).unwrap();
    bind(&socket, &SocketAddrNetlink::new(0, 0)).unwrap();
    for first in (0..count).step_by(AT_ONCE as usize) {
        let last = count.min(first + AT_ONCE) - 1;
        let mut datagram = Vec::new();
        for number in first..=last {
            let mut flags = Flags::REQUEST | Flags::CREATE;
            flags.set(Flags::ACK, number == last);
            let header = Header { kind, flags, seq: number + 1, pid: 0 };
            let family = Family { family: Family::V4, ..Family::default() };
            Writer::new(&mut datagram).message(header, family, |writer| body(number, writer));
        }
        send(&socket, &datagram, SendFlags::empty()).unwrap();
        while !is_last(&socket, last + 1) {}
    }
}

/// Reads a datagram of answers. A full table is no error, all else is.
fn is_last(socket: &impl rustix::fd::AsFd, sequence: u32) -> bool {
    let mut answer = [0; 65_536];
    let (len, _) = recv(socket, &mut answer[..], RecvFlags::empty()).unwrap();
    let mut is_last = false;
    for message in Messages::new(&answer[..len]) {
        let message = message.unwrap();
        let Some(Control::Error(code)) = message.control() else { continue };
        let full = [Errno::NOMEM, Errno::MFILE, Errno::EXIST].map(Errno::raw_os_error);
        assert!(
            code == 0 || full.contains(&code),
            "entry {}: errno {code}",
            message.header.seq - 1
        );
        is_last |= message.header.seq == sequence;
    }
    is_last
}

/// What the doctor says to people, and its status.
pub(crate) fn doctor(args: &[&str]) -> (i32, String) {
    let output =
        Command::new(TIDEGATE).args(["doctor", "--time", "600"]).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// What it says to machines. The page of the same kind is checked for its size on the way.
pub(crate) fn diagnosis() -> Value {
    for width in ["80", "120"] {
        let (status, page) = doctor(&["--no-save", "--width", width]);
        println!("{page}");
        assert_ne!(status, 3, "{page}");
        assert!(page.is_ascii() && page.lines().count() <= 30, "{page}");
        let width = width.parse().unwrap();
        let is_long =
            |line: &&str| line.len() > width && line.trim().contains(' ') && !line.contains("   ");
        assert_eq!(page.lines().find(is_long), None, "{page}");
    }
    serde_json::from_str(&doctor(&["--json"]).1).unwrap()
}

const CONFIRMED: u32 = 8;
/// Seen from both sides, and assured.
const ANSWERED: u32 = 6;
/// Source NAT, done.
const TRANSLATED: u32 = 1 << 4 | 1 << 7;
const AT_ONCE: u32 = 100;
