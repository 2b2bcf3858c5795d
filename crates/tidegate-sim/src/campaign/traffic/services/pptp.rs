//! PPTP (RFC 2637): a call, set up by a control connection, whose packets are GRE.

use super::{Act, Pipe, Scene, act, end};
use crate::campaign::dice::Dice;
use crate::campaign::traffic::bytes::Upper;
use crate::campaign::traffic::script::{Announced, Line, Role, payload};
use crate::campaign::traffic::tcp::Connection;

/// The control connection starts, and the client asks for a call.
pub(super) fn begin(_: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut connection = Connection::new(dice);
    connection.shake_hands(dice);
    let mut pipe = Pipe::Stream(connection);
    let mut lines = Vec::new();
    if dice.chance(90) {
        let request = [&[1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0][..], &[0; 128]].concat();
        let reply = [&[1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0][..], &[0; 128]].concat();
        pipe.say(&mut lines, (Role::Client, &message(START_REQUEST, &request)), vec![], dice);
        pipe.say(&mut lines, (Role::Server, &message(START_REPLY, &reply)), vec![], dice);
    }
    let call = dice.u16();
    let request = [&call.to_be_bytes()[..], &[0, 1], &[0; 24], &[0; 128]].concat();
    pipe.say(&mut lines, (Role::Client, &message(CALL_REQUEST, &request)), vec![], dice);
    let Pipe::Stream(connection) = pipe else { return Act { lines, then: None } };
    let next =
        act(connection, move |connection, scene, dice| answer(call, connection, scene, dice));
    Act { lines, ..next }
}

/// The server answers the call as it was heard; then there is GRE in both directions.
fn answer(own: u16, connection: Connection, scene: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut pipe = Pipe::Stream(connection);
    let mut lines = Vec::new();
    let heard = scene.heard[Role::Client.index()].get(12..14).and_then(|id| id.first_chunk());
    let client = heard.map_or(own, |id| u16::from_be_bytes(*id));
    let server = dice.u16();
    let result = if dice.chance(90) { 1 } else { 2 };
    let calls = [server.to_be_bytes(), client.to_be_bytes()].concat();
    let body = [&calls[..], &[result, 0, 0, 0, 0, 0, 0xfa, 0, 0, 64, 0, 0, 0, 0, 0, 0]].concat();
    let packets = packets((client, server), dice);
    let opens = Announced { from_port: None, addr: None, port: None, lines: packets };
    pipe.say(&mut lines, (Role::Server, &message(CALL_REPLY, &body)), vec![opens], dice);
    if dice.chance(40) {
        let link =
            [&server.to_be_bytes()[..], &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]];
        pipe.say(&mut lines, (Role::Client, &message(SET_LINK, &link.concat())), vec![], dice);
    }
    if dice.chance(40) {
        let clear = [&own.to_be_bytes()[..], &[0, 0]].concat();
        pipe.say(&mut lines, (Role::Client, &message(CLEAR_REQUEST, &clear)), vec![], dice);
        let gone = [&server.to_be_bytes()[..], &[1, 0, 0, 0, 0, 0], &[0; 128]].concat();
        pipe.say(&mut lines, (Role::Server, &message(DISCONNECT, &gone)), vec![], dice);
    }
    let Pipe::Stream(connection) = pipe else { return Act { lines, then: None } };
    lines.extend(end(connection, dice).lines);
    Act { lines, then: None }
}

/// Packets of a call in both directions, each with the call that its receiver has chosen, and now
/// and then another one.
fn packets((client, server): (u16, u16), dice: &mut Dice) -> Vec<Line> {
    let mut lines = Vec::new();
    for number in 0..dice.between(1..=8) {
        let from = if number == 0 { Role::Client } else { Role::any(dice) };
        let call = if from == Role::Client { server } else { client };
        let call = if dice.chance(90) { call } else { call.wrapping_add(1) };
        let data = payload(dice);
        let len = (data.len() as u16).to_be_bytes();
        let head = [&[0x30, 1, 0x88, 0x0b][..], &len, &call.to_be_bytes(), &number.to_be_bytes()];
        lines.push(Line::new(from, Upper::Other(47, [head.concat(), data].concat())));
    }
    lines
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = (12 + body.len() as u16).to_be_bytes();
    [&len[..], &[0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, kind, 0, 0], body].concat()
}

// Control message types of RFC 2637, section 2.
const START_REQUEST: u8 = 1;
const START_REPLY: u8 = 2;
const CALL_REQUEST: u8 = 7;
const CALL_REPLY: u8 = 8;
const CLEAR_REQUEST: u8 = 12;
const DISCONNECT: u8 = 13;
const SET_LINK: u8 = 15;
