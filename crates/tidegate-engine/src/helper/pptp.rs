//! PPTP: the control connection agrees on a call, whose packets are GRE with a key for each end.
//!
//! The client is taken to be the one who opened the control connection, and one call is remembered.
//! Behind a translated client the call gets another id: the client's port. Linux:
//! `nf_conntrack_pptp.c`, `nf_nat_pptp.c`.

use tidegate_wire::proto;

use super::{Hearing, HelperFault, Memory, Outcome};
use crate::expect::{Announcement, Binding, Expectation};
use crate::flow::Flow;
use crate::tuple::{Direction, Tuple};

/// What is known of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    session: Session,
    state: State,
    /// The ids as the server sees them: the client's and its own.
    client_id: u16,
    server_id: u16,
    /// The client's own id, and the server's, where the connection is translated.
    inside: (u16, u16),
}

/// The states of the control session, in the kernel's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Session {
    #[default]
    None,
    Error,
    StopRequested,
    Requested,
    Confirmed,
}

/// The states of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    OutRequested,
    OutConfirmed,
    InRequested,
    InReplied,
    InConfirmed,
    Clearing,
}

/// Messages, by their numbers.
const START_REQUEST: u16 = 1;
const START_REPLY: u16 = 2;
const STOP_REQUEST: u16 = 3;
const STOP_REPLY: u16 = 4;
const ECHO_REQUEST: u16 = 5;
const ECHO_REPLY: u16 = 6;
const OUT_CALL_REQUEST: u16 = 7;
const OUT_CALL_REPLY: u16 = 8;
const IN_CALL_REQUEST: u16 = 9;
const IN_CALL_REPLY: u16 = 10;
const IN_CALL_CONNECT: u16 = 11;
const CALL_CLEAR: u16 = 12;
const CALL_DISCONNECT: u16 = 13;
const WAN_ERROR: u16 = 14;
const SET_LINK_INFO: u16 = 15;

/// How long each message must be behind its header, by its number (RFC 2637 section 2).
const LENGTHS: [usize; 16] = [0, 144, 144, 4, 4, 0, 0, 156, 20, 208, 12, 16, 4, 136, 28, 12];
/// The headers of all messages.
const HEADER_LEN: usize = 12;
const CONTROL: u16 = 1;
const MAGIC: u32 = 0x1a2b_3c4d;
/// The result that means success, in every answer.
const OK: u8 = 1;

/// A control message.
struct Control {
    kind: u16,
    /// The first words of its body: ids for the most part.
    words: [u16; 2],
    /// The fifth byte, and the third: results.
    fifth: u8,
    third: u8,
}

pub(super) fn hear(hearing: &mut Hearing<'_, '_>) -> Outcome {
    if !hearing.is_established() {
        return Ok(());
    }
    let Some(control) = Control::parse(hearing.message.data()) else { return Ok(()) };
    let followed = match hearing.dir {
        Direction::Original => outbound(hearing, &control),
        Direction::Reply => inbound(hearing, &control),
    };
    if followed.is_none() || !hearing.is_translated() {
        return Ok(());
    }
    match hearing.dir {
        Direction::Original => rewrite_outbound(hearing, &control),
        Direction::Reply => rewrite_inbound(hearing, &control),
    }
}

impl Control {
    fn parse(data: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes([*data.get(at)?, *data.get(at + 1)?]));
        let magic = u32::from(word(4)?) << 16 | u32::from(word(6)?);
        if word(2)? != CONTROL || magic != MAGIC {
            return None;
        }
        let (kind, _) = (word(8)?, word(10)?);
        let body = &data[HEADER_LEN..];
        let needed = LENGTHS.get(usize::from(kind)).copied().unwrap_or(0);
        if body.len() < needed {
            return None;
        }
        let byte = |at: usize| body.get(at).copied().unwrap_or(0);
        let words = [0, 2].map(|at| word(HEADER_LEN + at).unwrap_or(0));
        Some(Self { kind, words, fifth: byte(4), third: byte(2) })
    }
}

fn call(hearing: &mut Hearing<'_, '_>) -> Call {
    match hearing.care.memory {
        Memory::Pptp(call) => call,
        _ => Call::default(),
    }
}

fn remember(hearing: &mut Hearing<'_, '_>, call: Call) {
    hearing.care.memory = Memory::Pptp(call);
}

/// A message of the client. `None` if it doesn't fit in: then it passes as it is.
fn outbound(hearing: &mut Hearing<'_, '_>, control: &Control) -> Option<()> {
    let mut call = call(hearing);
    let is_up = call.session == Session::Confirmed;
    match control.kind {
        START_REQUEST if call.session == Session::None => call.session = Session::Requested,
        STOP_REQUEST => call.session = Session::StopRequested,
        OUT_CALL_REQUEST if is_up => {
            call.state = State::OutRequested;
            call.client_id = control.words[0];
        }
        IN_CALL_REPLY
            if matches!(call.state, State::InRequested | State::InReplied)
                && call.server_id == control.words[1] =>
        {
            if control.fifth == OK {
                call.state = State::InReplied;
                call.client_id = control.words[0];
            } else {
                call.state = State::None;
            }
        }
        CALL_CLEAR if is_up => call.state = State::Clearing,
        SET_LINK_INFO | ECHO_REQUEST | ECHO_REPLY => {}
        _ => return None,
    }
    remember(hearing, call);
    Some(())
}

/// A message of the server; see [`outbound`].
fn inbound(hearing: &mut Hearing<'_, '_>, control: &Control) -> Option<()> {
    let mut call = call(hearing);
    let is_up = call.session == Session::Confirmed;
    let [first, second] = control.words;
    match control.kind {
        START_REPLY if call.session >= Session::Requested => {
            call.session = if control.third == OK { Session::Confirmed } else { Session::Error };
        }
        STOP_REPLY if call.session <= Session::StopRequested => {
            let ok = control.words[0] >> 8 == u16::from(OK);
            call.session = if ok { Session::None } else { Session::Error };
        }
        OUT_CALL_REPLY
            if is_up
                && matches!(call.state, State::OutRequested | State::OutConfirmed)
                && call.client_id == second =>
        {
            if control.fifth == OK {
                (call.state, call.server_id) = (State::OutConfirmed, first);
                call = expect_call(hearing, call);
            } else {
                call.state = State::None;
            }
        }
        IN_CALL_REQUEST if is_up => (call.state, call.server_id) = (State::InRequested, first),
        IN_CALL_CONNECT
            if is_up
                && matches!(call.state, State::InReplied | State::InConfirmed)
                && call.client_id == first =>
        {
            call.state = State::InConfirmed;
            call = expect_call(hearing, call);
        }
        CALL_DISCONNECT => {
            call.state = State::None;
            end_call(hearing, &call);
        }
        WAN_ERROR | SET_LINK_INFO | ECHO_REQUEST | ECHO_REPLY => {}
        _ => return None,
    }
    remember(hearing, call);
    Some(())
}

/// Expects the call's packets of both directions, and learns their keys. If one can't be expected,
/// none is.
fn expect_call(hearing: &mut Hearing<'_, '_>, mut call: Call) -> Call {
    if hearing.is_translated() {
        call.inside.1 = call.server_id;
    }
    let [one, other] = call.expectations(hearing);
    if hearing.relate(&one).is_err() {
        return call;
    }
    if hearing.relate(&other).is_err() {
        hearing.unexpect(&one);
        return call;
    }
    let (id, keys) = (hearing.id, &mut hearing.engine.table.expectations.keys);
    if !keys.learn(id, Direction::Original, &one.tuple) {
        hearing.unexpect(&other);
        hearing.unexpect(&one);
    } else if !keys.learn(id, Direction::Reply, &other.tuple) {
        keys.forget(id);
        hearing.unexpect(&other);
        hearing.unexpect(&one);
    }
    call
}

fn end_call(hearing: &mut Hearing<'_, '_>, call: &Call) {
    let (id, siblings) = (hearing.id, call.siblings(hearing.flow));
    let engine = &mut *hearing.engine;
    engine.table.expectations.keys.forget(id);
    for tuple in siblings {
        engine.table.end_sibling(&tuple, hearing.flow, hearing.now, &mut engine.events);
    }
}

impl Call {
    /// The call's packets, as they look where they come in.
    fn expectations(&self, hearing: &Hearing<'_, '_>) -> [Expectation; 2] {
        let is_translated = hearing.is_translated();
        let inside = if is_translated { self.inside } else { (self.client_id, self.server_id) };
        let ends = [
            (Direction::Original, inside.0, self.server_id, self.client_id),
            (Direction::Reply, inside.1, self.client_id, inside.0),
        ];
        ends.map(|(dir, sport, dport, saved)| {
            let Tuple { src, dst, .. } = *hearing.flow.tuple(dir);
            let (src, sport, proto) = (Some(src), Some(sport), proto::GRE);
            let mut expectation =
                hearing.announce(0, &Announcement { src, sport, dst, dport, proto });
            expectation.binding = Some(Binding::Pptp);
            if is_translated {
                (expectation.dir, expectation.saved.1) = (dir, saved);
            }
            expectation
        })
    }

    /// The tuples of the call's flows.
    pub(super) fn siblings(&self, control: &Flow) -> [Tuple; 2] {
        let gre = |tuple: &Tuple, sport, dport| Tuple { sport, dport, proto: proto::GRE, ..*tuple };
        [
            gre(&control.orig, self.client_id, self.server_id),
            gre(&control.reply, self.server_id, self.client_id),
        ]
    }

    /// What Linux takes for the tuple that is expected in the other direction than `dir`, if the
    /// connection is translated. For that of the client it looks for the ids in the wrong place, and
    /// finds none.
    pub(crate) fn counterpart(&self, control: &Flow, dir: Direction) -> Tuple {
        let other = control.tuple(dir.opposite());
        let (sport, dport) = match dir {
            Direction::Original => (self.server_id, self.client_id),
            Direction::Reply => (0, 0),
        };
        Tuple { sport, dport, proto: proto::GRE, ..*other }
    }
}

/// Puts the client's port in the place of its call id.
fn rewrite_outbound(hearing: &mut Hearing<'_, '_>, control: &Control) -> Outcome {
    let mut call = call(hearing);
    match control.kind {
        OUT_CALL_REQUEST => {
            call.inside.0 = call.client_id;
            call.client_id = hearing.flow.reply.dport;
            remember(hearing, call);
        }
        IN_CALL_REPLY | CALL_CLEAR => {}
        _ => return Ok(()),
    }
    put(hearing, 0, call.client_id)
}

/// Puts the client's call id back.
fn rewrite_inbound(hearing: &mut Hearing<'_, '_>, control: &Control) -> Outcome {
    let at = match control.kind {
        OUT_CALL_REPLY => 2,
        IN_CALL_CONNECT | WAN_ERROR | CALL_DISCONNECT | SET_LINK_INFO => 0,
        _ => return Ok(()),
    };
    let id = call(hearing).inside.0;
    put(hearing, at, id)
}

fn put(hearing: &mut Hearing<'_, '_>, at: usize, id: u16) -> Result<(), HelperFault> {
    let at = HEADER_LEN + at;
    hearing.replace(at..at + 2, &id.to_be_bytes())
}
