//! SCTP associations, in and out of order.

use super::bytes::Upper;
use super::script::{Line, Role};
use crate::campaign::dice::Dice;

/// The lines of an association.
pub(super) fn script(dice: &mut Dice) -> Vec<Line> {
    let mut association = Association { lines: Vec::new(), tags: [dice.u32() | 1, dice.u32() | 1] };
    if dice.chance(85) {
        association.open(dice);
    }
    for _ in 0..dice.between(0..=4) {
        association.exchange(dice);
    }
    association.close(dice);
    association.lines
}

struct Association {
    lines: Vec<Line>,
    /// Verification tags that client and server want to see.
    tags: [u32; 2],
}

impl Association {
    fn open(&mut self, dice: &mut Dice) {
        let [client, server] = self.tags.map(init);
        self.say_with_tag(Role::Client, 0, chunk(INIT, 0, &client));
        if dice.chance(10) {
            self.say_with_tag(Role::Client, 0, chunk(INIT, 0, &client));
        }
        self.say(
            Role::Server,
            chunk(INIT_ACK, 0, &[server, vec![0, 7, 0, 8, 1, 2, 3, 4]].concat()),
        );
        self.say(Role::Client, chunk(COOKIE_ECHO, 0, b"cook"));
        self.say(Role::Server, chunk(COOKIE_ACK, 0, b""));
    }

    fn exchange(&mut self, dice: &mut Dice) {
        let from = Role::any(dice);
        match dice.between(0..=5) {
            0 => {
                self.say(from, chunk(HEARTBEAT, 0, b"\0\x01\0\x08abcd"));
                self.say(from.other(), chunk(HEARTBEAT_ACK, 0, b"\0\x01\0\x08abcd"));
            }
            1 => self.say(from, chunk(dice.u8(), dice.u8(), b"what is this?")),
            2 => {
                let wrong = dice.u32();
                self.say_with_tag(from, wrong, chunk(DATA, 3, &[0; 16]));
            }
            3 => self.say(from, [chunk(DATA, 3, &[0; 20]), chunk(DATA, 3, &[0; 16])].concat()),
            _ => {
                self.say(from, chunk(DATA, 3, b"\0\0\0\x01\0\0\0\0\0\0\0\0payload!"));
                self.say(from.other(), chunk(SACK, 0, b"\0\0\0\x01\0\x01\0\0\0\0\0\0"));
            }
        }
    }

    fn close(&mut self, dice: &mut Dice) {
        let first = Role::any(dice);
        match dice.between(0..=5) {
            0 => self.say(first, chunk(ABORT, 0, b"")),
            1 => {
                // With the T bit the tag is the receiver's own.
                let tag = self.tags[first.index()];
                self.say_with_tag(first, tag, chunk(ABORT, 1, b""));
            }
            2 => self.say(first, [chunk(DATA, 3, &[0; 16]), chunk(ABORT, 0, b"")].concat()),
            3 => {}
            _ => {
                self.say(first, chunk(SHUTDOWN, 0, &[0; 4]));
                self.say(first.other(), chunk(SHUTDOWN_ACK, 0, b""));
                self.say(first, chunk(SHUTDOWN_COMPLETE, 0, b""));
            }
        }
    }

    fn say(&mut self, from: Role, chunks: Vec<u8>) {
        self.say_with_tag(from, self.tags[from.other().index()], chunks);
    }

    fn say_with_tag(&mut self, from: Role, tag: u32, chunks: Vec<u8>) {
        self.lines.push(Line::new(from, Upper::Sctp(tag, chunks)));
    }
}

fn init(tag: u32) -> Vec<u8> {
    [&tag.to_be_bytes()[..], &[0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]].concat()
}

fn chunk(kind: u8, flags: u8, data: &[u8]) -> Vec<u8> {
    let len = (4 + data.len()) as u16;
    let mut bytes = [&[kind, flags], &len.to_be_bytes()[..], data].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

// Chunk types of RFC 9260.
const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const HEARTBEAT_ACK: u8 = 5;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;
