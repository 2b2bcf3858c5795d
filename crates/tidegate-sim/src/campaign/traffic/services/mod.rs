//! Services whose conversations announce others: what is said on their control channels.
//!
//! Who announces something names his own address and a port, so he has to know where he is, and who
//! answers repeats what he heard, which the router may have rewritten. So these conversations are made
//! act by act: each [`Act`] says what comes next, once the last line was heard.

mod datagrams;
mod ftp;
mod irc;
mod pptp;
mod sane;
mod sip;

use std::net::IpAddr;

use super::bytes::Upper;
use super::places::Endpoint;
use super::script::{Announced, Line, Role, exchange, payload};
use super::tcp::{self, Connection};
use crate::campaign::dice::Dice;

/// A service with a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Ftp,
    Tftp,
    Irc,
    Sip,
    SipTcp,
    Pptp,
    Amanda,
    Sane,
    NetbiosNs,
}

impl Service {
    /// Where it is offered; now and then where no helper listens.
    pub(super) fn port(self, dice: &mut Dice) -> u16 {
        let usual = match self {
            Self::Ftp => 21,
            Self::Tftp => 69,
            Self::Irc => 6667,
            Self::Sip | Self::SipTcp => 5060,
            Self::Pptp => 1723,
            Self::Amanda => 10080,
            Self::Sane => 6566,
            Self::NetbiosNs => 137,
        };
        if dice.chance(3) { usual + 1 } else { usual }
    }

    /// Whether all of it is in datagrams, which a host complains about.
    pub(super) fn has_datagrams(self) -> bool {
        matches!(self, Self::Tftp | Self::Sip | Self::Amanda | Self::NetbiosNs)
    }

    /// The beginning of a conversation.
    pub(super) fn begin(self) -> Sequel {
        match self {
            Self::Ftp => Box::new(ftp::begin),
            Self::Tftp => Box::new(datagrams::tftp),
            Self::Irc => Box::new(irc::begin),
            Self::Sip => Box::new(|scene, dice| sip::begin(Pipe::Datagrams, scene, dice)),
            Self::SipTcp => Box::new(sip::begin_stream),
            Self::Pptp => Box::new(pptp::begin),
            Self::Amanda => Box::new(datagrams::amanda),
            Self::Sane => Box::new(sane::begin),
            Self::NetbiosNs => Box::new(datagrams::netbios),
        }
    }
}

/// What those who speak know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) client: Endpoint,
    pub(super) server: Endpoint,
    /// As the server sees it.
    pub(super) client_as_seen: Endpoint,
    /// As the client sees it.
    pub(super) server_as_seen: Endpoint,
    /// What was last heard of client and server.
    pub(super) heard: &'a [Vec<u8>; 2],
}

impl Scene<'_> {
    /// Where a role is, as it knows itself.
    fn own(&self, role: Role) -> Endpoint {
        if role == Role::Client { self.client } else { self.server }
    }

    /// How it sees the other one.
    fn peer(&self, role: Role) -> Endpoint {
        if role == Role::Client { self.server_as_seen } else { self.client_as_seen }
    }
}

/// What is said next.
pub(super) struct Act {
    pub(super) lines: Vec<Line>,
    /// What comes then.
    pub(super) then: Option<Sequel>,
}

/// Makes the next act.
pub(super) type Sequel = Box<dyn FnOnce(&Scene<'_>, &mut Dice) -> Act>;

/// What messages go through.
enum Pipe {
    Datagrams,
    Stream(Connection),
}

impl Pipe {
    /// Lets `from` say something.
    fn say(
        &mut self,
        lines: &mut Vec<Line>,
        (from, text): (Role, &[u8]),
        opens: Vec<Announced>,
        dice: &mut Dice,
    ) {
        let text = garbled(text, dice);
        match self {
            Self::Datagrams => {
                lines.push(Line { from, upper: Upper::Udp(text), opens });
            }
            Self::Stream(connection) => {
                connection.send(from, &text, opens, dice);
                lines.append(&mut connection.lines);
            }
        }
    }
}

/// The last act of a conversation through a stream: it ends, or does not.
fn end(mut connection: Connection, dice: &mut Dice) -> Act {
    if dice.chance(60) {
        connection.close(dice);
    }
    Act { lines: connection.lines, then: None }
}

/// An act of a conversation through a stream, and what comes then.
fn act(
    mut connection: Connection,
    then: impl FnOnce(Connection, &Scene<'_>, &mut Dice) -> Act + 'static,
) -> Act {
    let lines = std::mem::take(&mut connection.lines);
    Act { lines, then: Some(Box::new(move |scene, dice| then(connection, scene, dice))) }
}

/// What was meant, or now and then not quite.
fn garbled(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut text = text.to_vec();
    if text.is_empty() || !dice.chance(8) {
        return text;
    }
    let at = dice.index(text.len());
    match dice.between(0..=6) {
        0 => text.truncate(at),
        1 => drop(text.remove(at)),
        2 => text[at] = dice.u8(),
        3 => text[at] ^= 0x20,
        4 => text.insert(at, *dice.pick(b" 0,|\r\n:;9\"")),
        5 => text.extend_from_within(at..),
        _ => {
            let digits = text.iter_mut().filter(|byte| byte.is_ascii_digit());
            digits.for_each(|digit| *digit = b'9');
        }
    }
    text
}

/// The port that is really used: mostly the one that was announced.
fn nearly(port: u16, dice: &mut Dice) -> u16 {
    if dice.chance(88) { port } else { port.wrapping_add(1) }
}

/// A port to be announced, now and then one that can't be.
fn some_port(dice: &mut Dice) -> u16 {
    match dice.between(0..=19) {
        0 => 0,
        1 => *dice.pick(&[1, 80, 1023, 65535]),
        _ => 44_000 + dice.between(0..=1999) as u16,
    }
}

/// The address to be announced: mostly the announcer's.
fn some_address(own: IpAddr, dice: &mut Dice) -> Option<IpAddr> {
    let stranger = if own.is_ipv4() { "10.0.1.77" } else { "fd00:1::77" };
    dice.chance(8).then(|| stranger.parse().ok()).flatten()
}

/// A connection that was announced, from that port if one is given.
fn connection_to(port: u16, from_port: Option<u16>, dice: &mut Dice) -> Announced {
    let lines = tcp::script(dice);
    Announced { from_port, addr: None, port: Some(nearly(port, dice)), lines }
}

/// Datagrams that were announced.
fn datagrams_to(port: u16, from_port: Option<u16>, dice: &mut Dice) -> Announced {
    let lines = exchange(dice, |dice| Upper::Udp(payload(dice)));
    Announced { from_port, addr: None, port: Some(port), lines }
}
