//! TCP conversations: handshake, data, end, and what goes wrong with them.

use super::bytes::{ACK, FIN, PSH, RST, SYN, Segment, Upper};
use super::script::{Announced, Line, Role};
use crate::campaign::dice::Dice;

/// The lines of a connection.
pub(super) fn script(dice: &mut Dice) -> Vec<Line> {
    let mut connection = Connection::new(dice);
    if dice.chance(88) {
        connection.open(dice);
    }
    for _ in 0..dice.between(0..=9) {
        connection.exchange(dice);
    }
    connection.close(dice);
    if dice.chance(12) {
        connection.reopen(dice);
    }
    connection.lines
}

pub(super) struct Connection {
    pub(super) lines: Vec<Line>,
    /// What client and server send next.
    next: [u32; 2],
    scales: bool,
    sacks: bool,
    stamps: bool,
}

impl Connection {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let near_the_wrap = dice.chance(15);
        let start = |dice: &mut Dice| if near_the_wrap { u32::MAX - 60 } else { dice.u32() };
        Self {
            lines: Vec::new(),
            next: [start(dice), start(dice)],
            scales: dice.chance(70),
            sacks: dice.chance(60),
            stamps: dice.chance(30),
        }
    }

    fn open(&mut self, dice: &mut Dice) {
        self.say(Role::Client, SYN, dice);
        if dice.chance(8) {
            // Both begin.
            self.say(Role::Server, SYN, dice);
            self.next = self.next.map(|next| next.wrapping_add(1));
            self.say(Role::Client, SYN | ACK, dice);
            self.say(Role::Server, ACK, dice);
            return;
        }
        self.next[0] = self.next[0].wrapping_add(1);
        if dice.chance(6) {
            return self.say(Role::Server, RST | ACK, dice);
        }
        if dice.chance(5) {
            // A challenge instead of an answer.
            self.say(Role::Server, ACK, dice);
        }
        self.say(Role::Server, SYN | ACK, dice);
        self.next[1] = self.next[1].wrapping_add(1);
        self.say(Role::Client, ACK, dice);
    }

    fn exchange(&mut self, dice: &mut Dice) {
        let from = Role::any(dice);
        let len = *dice.pick(&[0, 1, 10, 100, 500, 1300]);
        let payload = vec![b'd'; len];
        self.say_with(from, PSH | ACK, payload, dice);
        let next = &mut self.next[from.index()];
        *next = next.wrapping_add(len as u32);
        if dice.chance(75) {
            self.say(from.other(), ACK, dice);
        }
        if self.sacks && dice.chance(8) {
            let edge = self.next[from.index()];
            let mut line = self.line(from.other(), ACK, Vec::new(), dice);
            line.options = vec![1, 1, 5, 10];
            line.options.extend(edge.wrapping_add(100).to_be_bytes());
            line.options.extend(edge.wrapping_add(200).to_be_bytes());
            self.push(from.other(), line);
        }
    }

    pub(super) fn close(&mut self, dice: &mut Dice) {
        let first = Role::any(dice);
        match dice.between(0..=9) {
            0 => self.say(first, RST, dice),
            1 => self.say(first, RST | ACK, dice),
            2..=7 => self.shut_down(first, dice),
            8 => {
                // Both at once: neither has seen the other's FIN.
                self.say(first, FIN | ACK, dice);
                self.say(first.other(), FIN | ACK, dice);
                self.next = self.next.map(|next| next.wrapping_add(1));
                self.say(first, ACK, dice);
                self.say(first.other(), ACK, dice);
            }
            _ => {}
        }
    }

    fn shut_down(&mut self, first: Role, dice: &mut Dice) {
        for (at, role) in [first, first.other()].into_iter().enumerate() {
            self.say(role, FIN | ACK, dice);
            self.next[role.index()] = self.next[role.index()].wrapping_add(1);
            if at == 1 || dice.chance(70) {
                self.say(role.other(), ACK, dice);
            }
            if at == 0 && dice.chance(20) {
                self.exchange(dice);
            }
            if dice.chance(10) {
                self.say(role, RST, dice);
            }
        }
    }

    /// A new connection on the same ports, perhaps too soon.
    fn reopen(&mut self, dice: &mut Dice) {
        let leap = *dice.pick(&[1, 1000, 100_000, 0xffff_f000, 0x8000_0000]);
        self.next = self.next.map(|next| next.wrapping_add(leap));
        self.open(dice);
        self.exchange(dice);
    }

    /// Opens as it should be.
    pub(super) fn shake_hands(&mut self, dice: &mut Dice) {
        self.say(Role::Client, SYN, dice);
        self.next[0] = self.next[0].wrapping_add(1);
        self.say(Role::Server, SYN | ACK, dice);
        self.next[1] = self.next[1].wrapping_add(1);
        self.say(Role::Client, ACK, dice);
    }

    /// Sends data, mostly in one piece, mostly acknowledged. The last piece announces
    /// conversations.
    pub(super) fn send(&mut self, from: Role, data: &[u8], opens: Vec<Announced>, dice: &mut Dice) {
        let cut = if dice.chance(8) && data.len() > 1 { 1 + dice.index(data.len() - 1) } else { 0 };
        for piece in [&data[..cut], &data[cut..]].into_iter().filter(|piece| !piece.is_empty()) {
            self.say_with(from, PSH | ACK, piece.to_vec(), dice);
            if dice.chance(8) {
                // Once more.
                self.say_with(from, PSH | ACK, piece.to_vec(), dice);
            }
            let next = &mut self.next[from.index()];
            *next = next.wrapping_add(piece.len() as u32);
        }
        if let Some(last) = self.lines.last_mut() {
            last.opens = opens;
        }
        if dice.chance(70) {
            self.say(from.other(), ACK, dice);
        }
    }

    fn say(&mut self, from: Role, flags: u8, dice: &mut Dice) {
        self.say_with(from, flags, Vec::new(), dice);
    }

    fn say_with(&mut self, from: Role, flags: u8, payload: Vec<u8>, dice: &mut Dice) {
        let segment = self.line(from, flags, payload, dice);
        self.push(from, segment);
    }

    fn push(&mut self, from: Role, segment: Segment) {
        self.lines.push(Line::new(from, Upper::Tcp(segment)));
    }

    fn line(&self, from: Role, flags: u8, payload: Vec<u8>, dice: &mut Dice) -> Segment {
        let ack = if flags & ACK == 0 { 0 } else { self.next[from.other().index()] };
        let window = *dice.pick(&[65535, 29200, 8192, 501, 0]);
        let window = if dice.chance(90) { window.max(501) } else { window };
        let options = self.options(flags & SYN != 0, dice);
        Segment { flags, seq: self.next[from.index()], ack, window, options, payload }
    }

    fn options(&self, is_syn: bool, dice: &mut Dice) -> Vec<u8> {
        let mut options = Vec::new();
        if is_syn {
            let mss: u16 = *dice.pick(&[1460, 1400, 536]);
            options.extend([2, 4]);
            options.extend(mss.to_be_bytes());
            if self.sacks {
                options.extend([4, 2]);
            }
            if self.scales {
                options.extend([1, 3, 3, dice.between(0..=15) as u8]);
            }
        }
        if self.stamps {
            options.extend([1, 1, 8, 10]);
            options.extend(dice.bytes(8));
        }
        options
    }
}
