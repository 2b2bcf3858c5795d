//! What two hosts have to say to each other, in order, whatever happens to it on the way.

use std::net::IpAddr;

use super::bytes::Upper;
use super::services::Service;
use super::{sctp, tcp};
use crate::campaign::dice::Dice;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The one who began.
    Client,
    /// The other.
    Server,
}

impl Role {
    /// Either.
    pub(super) fn any(dice: &mut Dice) -> Self {
        if dice.chance(50) { Self::Client } else { Self::Server }
    }

    pub(super) fn other(self) -> Self {
        if self == Self::Client { Self::Server } else { Self::Client }
    }

    /// 0 or 1.
    pub(super) fn index(self) -> usize {
        usize::from(self == Self::Server)
    }
}

/// One packet of a conversation.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) from: Role,
    pub(super) upper: Upper,
    /// The conversations that it announces.
    pub(super) opens: Vec<Announced>,
}

impl Line {
    pub(super) fn new(from: Role, upper: Upper) -> Self {
        Self { from, upper, opens: Vec::new() }
    }
}

/// A conversation that another one announces: the other side connects to who announced it.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    /// From which port, if it is said.
    pub(super) from_port: Option<u16>,
    /// To which address, if it isn't that of who announced it.
    pub(super) addr: Option<IpAddr>,
    /// To which port, if it isn't the one from which it was announced.
    pub(super) port: Option<u16>,
    /// What is said there; the client is who connects.
    pub(super) lines: Vec<Line>,
}

/// The kinds of conversations. A new protocol's control channel is a row here and in [`script`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Udp,
    UdpLite,
    Echo,
    Query,
    Sctp,
    Gre,
    Generic,
    Helped(Service),
}

/// How often each kind is spoken.
pub(super) const KINDS: [(u32, Kind); 17] = [
    (45, Kind::Tcp),
    (18, Kind::Udp),
    (5, Kind::UdpLite),
    (9, Kind::Echo),
    (3, Kind::Query),
    (10, Kind::Sctp),
    (5, Kind::Gre),
    (5, Kind::Generic),
    (14, Kind::Helped(Service::Ftp)),
    (3, Kind::Helped(Service::Tftp)),
    (5, Kind::Helped(Service::Irc)),
    (7, Kind::Helped(Service::Sip)),
    (4, Kind::Helped(Service::SipTcp)),
    (5, Kind::Helped(Service::Pptp)),
    (3, Kind::Helped(Service::Amanda)),
    (3, Kind::Helped(Service::Sane)),
    (1, Kind::Helped(Service::NetbiosNs)),
];

/// A conversation of some kind. Those with a helper begin only: who speaks has to know first how he
/// is seen ([`services`](super::services)).
pub(super) fn script(kind: Kind, dice: &mut Dice) -> Vec<Line> {
    match kind {
        Kind::Helped(_) => Vec::new(),
        Kind::Tcp => tcp::script(dice),
        Kind::Sctp => sctp::script(dice),
        Kind::Udp => exchange(dice, |dice| Upper::Udp(payload(dice))),
        Kind::UdpLite => exchange(dice, udplite),
        Kind::Echo => questions(dice, (8, 128), (0, 129)),
        Kind::Query => {
            let (question, answer) = *dice.pick(&[(13, 14), (15, 16), (17, 18)]);
            questions(dice, (question, 128), (answer, 129))
        }
        Kind::Gre => exchange(dice, gre),
        Kind::Generic => {
            let proto = *dice.pick(&[2, 4, 33, 41, 50, 51, 89, 112, 115, 200, 253, 255]);
            exchange(dice, move |dice| Upper::Other(proto, payload(dice)))
        }
    }
}

pub(super) fn exchange(dice: &mut Dice, upper: impl Fn(&mut Dice) -> Upper) -> Vec<Line> {
    let mut lines = vec![Line::new(Role::Client, upper(dice))];
    for _ in 0..dice.between(0..=7) {
        let from = Role::any(dice);
        lines.push(Line::new(from, upper(dice)));
    }
    lines
}

pub(super) fn payload(dice: &mut Dice) -> Vec<u8> {
    let len = *dice.pick(&[0, 1, 8, 20, 300, 1200]);
    dice.bytes(len)
}

fn udplite(dice: &mut Dice) -> Upper {
    let payload = payload(dice);
    let cover = *dice.pick(&[0, 8, 8 + (payload.len() / 2) as u16]);
    Upper::UdpLite(cover, payload)
}

fn questions(dice: &mut Dice, question: (u8, u8), answer: (u8, u8)) -> Vec<Line> {
    let mut lines = Vec::new();
    for seq in 0..dice.between(1..=5) as u16 {
        let payload = payload(dice);
        let say = |from, kinds, payload| Line::new(from, Upper::Echo { kinds, seq, payload });
        lines.push(say(Role::Client, question, payload.clone()));
        if dice.chance(80) {
            lines.push(say(Role::Server, answer, payload));
        }
    }
    lines
}

/// GRE of version 0 or 1, with and without a key (RFC 2784, 2637).
fn gre(dice: &mut Dice) -> Upper {
    let mut bytes = match dice.between(0..=3) {
        0 => vec![0, 0, 8, 0],
        1 => vec![0x20, 0, 8, 0, 0, 0, 0, dice.between(1..=3) as u8],
        2 => vec![0x30, 1, 0x88, 0x0b, 0, 4, 0, dice.between(1..=3) as u8, 0, 0, 0, 1],
        _ => vec![dice.u8(), dice.u8() & 0x87, 8, 0],
    };
    bytes.extend(payload(dice));
    Upper::Other(47, bytes)
}
