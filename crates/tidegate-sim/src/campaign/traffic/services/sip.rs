//! SIP with sessions of SDP (RFC 3261, RFC 8866), in datagrams and in a stream.

use std::net::IpAddr;

use super::{Act, Pipe, Scene, Sequel, act, datagrams_to, some_address};
use crate::campaign::dice::Dice;
use crate::campaign::traffic::script::{Announced, Line, Role};
use crate::campaign::traffic::tcp::Connection;

/// The same through a stream.
pub(super) fn begin_stream(_: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut connection = Connection::new(dice);
    connection.shake_hands(dice);
    act(connection, |connection, scene, dice| begin(Pipe::Stream(connection), scene, dice))
}

/// The client registers, or calls.
pub(super) fn begin(pipe: Pipe, scene: &Scene<'_>, dice: &mut Dice) -> Act {
    let dialog = Dialog {
        number: dice.between(1..=9999),
        transport: if matches!(pipe, Pipe::Stream(_)) { "TCP" } else { "UDP" },
        sequence: 1,
        rounds: dice.between(1..=4),
    };
    request(dialog, pipe, scene, dice)
}

/// What both remember of their conversation.
#[derive(Debug, Clone, Copy)]
struct Dialog {
    number: u32,
    transport: &'static str,
    sequence: u32,
    rounds: u32,
}

fn request(dialog: Dialog, mut pipe: Pipe, scene: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut lines = Vec::new();
    let method = match dialog.sequence {
        1 => *dice.pick(&["INVITE", "INVITE", "INVITE", "REGISTER", "OPTIONS"]),
        _ => *dice.pick(&["INVITE", "BYE", "ACK", "CANCEL", "UPDATE", "PRACK", "REGISTER"]),
    };
    let from = if dialog.sequence == 1 || dice.chance(75) { Role::Client } else { Role::Server };
    let has_session = matches!(method, "INVITE" | "UPDATE" | "PRACK" | "ACK") && dice.chance(85);
    let session = has_session.then(|| Session::new(scene.own(from).addr, dice));
    let text = Request { dialog, method, from, session: session.as_ref() }.text(scene, dice);
    let opens = session.map_or(Vec::new(), |session| session.opens);
    pipe.say(&mut lines, (from, text.as_bytes()), opens, dice);
    let then: Sequel =
        Box::new(move |scene, dice| answer(dialog, (from, method), pipe, scene, dice));
    Act { lines, then: Some(then) }
}

/// The other one answers what it heard, perhaps in several steps.
fn answer(
    dialog: Dialog,
    (from, method): (Role, &str),
    mut pipe: Pipe,
    scene: &Scene<'_>,
    dice: &mut Dice,
) -> Act {
    let mut lines: Vec<Line> = Vec::new();
    let by = from.other();
    let heard = String::from_utf8_lossy(&scene.heard[from.index()]).into_owned();
    for status in statuses(method, dice) {
        let has_session =
            matches!(method, "INVITE" | "UPDATE" | "PRACK") && status.starts_with(['1', '2']);
        let session =
            (has_session && dice.chance(80)).then(|| Session::new(scene.own(by).addr, dice));
        let text = response(status, &heard, session.as_ref(), (by, scene), dice);
        let opens = session.map_or(Vec::new(), |session| session.opens);
        pipe.say(&mut lines, (by, text.as_bytes()), opens, dice);
    }
    if dialog.rounds == 0 {
        return Act { lines, then: None };
    }
    let next = Dialog { sequence: dialog.sequence + 1, rounds: dialog.rounds - 1, ..dialog };
    let then: Sequel = Box::new(move |scene, dice| request(next, pipe, scene, dice));
    Act { lines, then: Some(then) }
}

fn statuses(method: &str, dice: &mut Dice) -> &'static [&'static str] {
    match (method, dice.between(0..=5)) {
        ("ACK", _) | (_, 0) => &[],
        ("INVITE", 1) => &["180 Ringing", "200 OK"],
        ("INVITE", 2) => &["100 Trying", "183 Session Progress", "200 OK"],
        ("INVITE", 3) => &["486 Busy Here"],
        _ => &["200 OK"],
    }
}

struct Request<'a> {
    dialog: Dialog,
    method: &'a str,
    from: Role,
    session: Option<&'a Session>,
}

impl Request<'_> {
    fn text(&self, scene: &Scene<'_>, dice: &mut Dice) -> String {
        let Dialog { number, transport, sequence, .. } = self.dialog;
        let (own, peer) = (scene.own(self.from), scene.peer(self.from));
        let (host, to) = (bracketed(own.addr), bracketed(peer.addr));
        let port = if dice.chance(80) { own.port } else { 5060 };
        let method = self.method;
        let names = if dice.chance(85) { &NAMES } else { &SHORT_NAMES };
        let [via, from, to_name, call, contact] = names;
        let mut text = format!("{method} sip:al@{to} SIP/2.0\r\n");
        text += &format!("{via}: SIP/2.0/{transport} {host}:{port};branch=z9hG4bK{number}\r\n");
        text += &format!("{from}: <sip:bob@{host}>;tag=1\r\n{to_name}: <sip:al@{to}>\r\n");
        text += &format!("{call}: {number}@{host}\r\nCSeq: {sequence} {method}\r\n");
        text += &contacts(contact, method, &host, port, dice);
        if dice.chance(10) {
            text += &format!("Route: <sip:{host};lr>\r\n");
        }
        text + &body(self.session)
    }
}

fn contacts(name: &str, method: &str, host: &str, port: u16, dice: &mut Dice) -> String {
    if method == "REGISTER" {
        let expires = *dice.pick(&[3600, 1800, 0]);
        let header = if dice.chance(30) { "Expires: 900\r\n" } else { "" };
        return format!("{name}: <sip:bob@{host}:{port}>;expires={expires}\r\n{header}");
    }
    match dice.between(0..=5) {
        0 => String::new(),
        1 => format!("{name}: <sip:bob@{host}>\r\n"),
        _ => format!("{name}: <sip:bob@{host}:{port}>\r\n"),
    }
}

/// Repeats the headers that were heard.
fn response(
    status: &str,
    heard: &str,
    session: Option<&Session>,
    (by, scene): (Role, &Scene<'_>),
    dice: &mut Dice,
) -> String {
    let own = scene.own(by);
    let mut text = format!("SIP/2.0 {status}\r\n");
    let repeated = heard.split("\r\n\r\n").next().unwrap_or_default().lines().skip(1);
    for line in repeated.filter(|line| REPEATED.iter().any(|name| line.starts_with(name))) {
        let tag = if line.starts_with(['T', 't']) { ";tag=2" } else { "" };
        text += &format!("{line}{tag}\r\n");
    }
    let is_registered = heard.starts_with("REGISTER");
    let contacts = heard.lines().filter(|line| is_registered && line.starts_with("Contact"));
    for line in contacts {
        text += &format!("{line}\r\n");
    }
    if !is_registered && dice.chance(80) {
        text += &format!("Contact: <sip:al@{}:{}>\r\n", bracketed(own.addr), own.port);
    }
    text + &body(session)
}

fn body(session: Option<&Session>) -> String {
    match session {
        Some(Session { text, .. }) => {
            format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        }
        None => "Content-Length: 0\r\n\r\n".to_owned(),
    }
}

/// A description of a session, and what it announces.
#[derive(Debug)]
struct Session {
    text: String,
    opens: Vec<Announced>,
}

impl Session {
    fn new(own: IpAddr, dice: &mut Dice) -> Self {
        let stranger = some_address(own, dice);
        let addr = stranger.unwrap_or(own);
        let family = if addr.is_ipv4() { "IP4" } else { "IP6" };
        let place = format!("IN {family} {addr}");
        let mut text = format!("v=0\r\no=bob 1 1 {place}\r\ns=-\r\n");
        let is_common = dice.chance(80);
        if is_common {
            text += &format!("c={place}\r\n");
        }
        text += "t=0 0\r\n";
        let mut opens = Vec::new();
        for _ in 0..dice.weigh(&[(60, 1), (25, 2), (10, 3), (5, 0)]) {
            let media = *dice.pick(&["audio", "audio", "video", "image"]);
            let port = match dice.between(0..=19) {
                0 => 0,
                1 => 1023,
                _ => 30_000 + dice.between(0..=999) as u16 * 2,
            };
            let kind = if media == "image" { "udptl t38" } else { "RTP/AVP 0" };
            text += &format!("m={media} {port} {kind}\r\n");
            if !is_common || dice.chance(10) {
                text += &format!("c={place}\r\n");
            }
            for offset in 0..=1 {
                let child = datagrams_to(port.wrapping_add(offset), None, dice);
                let is_used = dice.chance(45);
                opens.extend(is_used.then_some(Announced { addr: stranger, ..child }));
            }
        }
        Self { text, opens }
    }
}

fn bracketed(addr: IpAddr) -> String {
    if addr.is_ipv4() { addr.to_string() } else { format!("[{addr}]") }
}

const NAMES: [&str; 5] = ["Via", "From", "To", "Call-ID", "Contact"];
const SHORT_NAMES: [&str; 5] = ["v", "f", "t", "i", "m"];
const REPEATED: [&str; 9] = ["Via", "From", "To", "Call-ID", "CSeq", "v:", "f:", "t:", "i:"];
