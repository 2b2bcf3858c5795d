//! Ends that say whatever they like: mostly what goes on with the connection, else something that was said before, too
//! early, or that nobody should say.
//!
//! Some things are left to the scripts, because the cookie decides what comes of them: a SYN while there is an entry,
//! whose answer's number is corrected like the entry's; a server that says something else before its SYN/ACK, which
//! the proxy takes for what the client was told; a client that resets before it, with an acknowledgement.

use tidegate_wire::packet::tcp::TcpFlags;

use super::moves::Opt::{Mss, Nop, Sack, SackPermitted, Scale, Stamps};
use super::moves::{
    ACK, ECN, FIN_ACK, Move, Opt, Party, RST, RST_ACK, SYN, SYN_ACK, client, server,
};
use crate::campaign::dice::Dice;

/// What is said, from a seed.
pub(super) fn moves(seed: u64) -> Vec<Move> {
    let mut talk = Talk { dice: Dice::new(!seed), ends: Default::default(), said: Vec::new() };
    for _ in 0..talk.dice.between(12..=30) {
        let one = talk.next();
        talk.said.push(one);
    }
    talk.said
}

struct Talk {
    dice: Dice,
    ends: [Ends; CONNECTIONS],
    said: Vec<Move>,
}

/// How far the two ends of a connection are: client, server.
#[derive(Default)]
struct Ends {
    is_greeted: bool,
    /// The client has said its ACK, so there may be an entry.
    has_begun: bool,
    /// The server has said its SYN/ACK.
    is_answered: bool,
    next: [u32; 2],
    clocks: [u32; 2],
}

#[derive(Clone, Copy)]
enum Kind {
    Syn,
    Ack,
    SynAck,
    Data(Party),
    Receipt(Party),
    Fin(Party),
    Rst(Party),
    KeepAlive,
    Again,
    Nonsense,
}

impl Kind {
    fn is_of_server(self) -> bool {
        const SERVER: Party = Party::Server;
        matches!(
            self,
            Self::Data(SERVER) | Self::Receipt(SERVER) | Self::Fin(SERVER) | Self::Rst(SERVER)
        )
    }
}

const CONNECTIONS: usize = 2;

const KINDS: [(u32, Kind); 14] = [
    (3, Kind::Syn),
    (10, Kind::Ack),
    (14, Kind::SynAck),
    (12, Kind::Data(Party::Client)),
    (12, Kind::Data(Party::Server)),
    (6, Kind::Receipt(Party::Client)),
    (6, Kind::Receipt(Party::Server)),
    (3, Kind::Fin(Party::Client)),
    (3, Kind::Fin(Party::Server)),
    (1, Kind::Rst(Party::Client)),
    (3, Kind::Rst(Party::Server)),
    (4, Kind::KeepAlive),
    (10, Kind::Again),
    (3, Kind::Nonsense),
];

impl Talk {
    fn next(&mut self) -> Move {
        let connection = usize::from(self.dice.chance(15));
        let kind = match (self.dice.weigh(&KINDS), &self.ends[connection]) {
            (_, Ends { is_greeted: false, .. }) => Kind::Syn,
            (kind @ (Kind::Syn | Kind::Again), _) => kind,
            (_, Ends { has_begun: false, .. }) => Kind::Ack,
            (Kind::Nonsense, _) => Kind::Nonsense,
            (kind, Ends { is_answered: false, .. }) if kind.is_of_server() => Kind::SynAck,
            (kind, _) => kind,
        };
        if let Kind::Again = kind {
            let again = self.dice.pick(&self.said).clone();
            let answered = self.ends[usize::from(again.connection)].is_answered;
            if !again.flags.contains(SYN) && (again.by == Party::Client || answered) {
                return again;
            }
        }
        self.one(kind, connection).of_connection(connection as u16)
    }

    fn one(&mut self, kind: Kind, connection: usize) -> Move {
        match kind {
            Kind::Syn => {
                let had_begun = self.ends[connection].has_begun;
                self.ends[connection] = Ends { is_greeted: true, ..Ends::default() };
                let ecn = *self.dice.pick(&[SYN, SYN, SYN | ECN]);
                let options = self.options(0, 0);
                // The router's clock must go on, or nobody could tell two SYN/ACKs' time stamps from each other.
                let syn = client(ecn, 0).with(&options).window(64_000).after(400);
                if had_begun { syn.after_flush() } else { syn }
            }
            Kind::Ack => {
                let ends = &mut self.ends[connection];
                (ends.next, ends.has_begun) = ([1, 1], true);
                self.stamped(Party::Client, ACK, 1, 1, connection)
            }
            Kind::SynAck => {
                let ends = &mut self.ends[connection];
                (ends.next, ends.is_answered) = ([1, 1], true);
                let options = self.options(0, 1);
                server(SYN_ACK, 0).ack(1).with(&options).window(20_000)
            }
            Kind::Data(party) => {
                let len = self.dice.between(1..=300);
                let one = self.said_next(party, ACK, connection).data(len as usize);
                self.ends[connection].next[index(party)] += len;
                one
            }
            Kind::Receipt(party) => {
                let one = self.said_next(party, ACK, connection);
                let ack = one.ack.unwrap_or_default();
                let block = Sack(ack + 10, ack + 10 + self.dice.between(1..=100));
                if self.dice.chance(50) { one.with(&[Nop, Nop, block]) } else { one }
            }
            Kind::Fin(party) => {
                let one = self.said_next(party, FIN_ACK, connection);
                self.ends[connection].next[index(party)] += 1;
                one
            }
            Kind::Rst(party) => {
                let answered = self.ends[connection].is_answered;
                let flags = if answered { *self.dice.pick(&[RST, RST_ACK]) } else { RST };
                self.said_next(party, flags, connection)
            }
            Kind::KeepAlive => {
                let seq = self.ends[connection].next[0].saturating_sub(1);
                self.stamped(Party::Client, ACK, seq, self.ends[connection].next[1], connection)
            }
            Kind::Again | Kind::Nonsense => self.nonsense(connection),
        }
    }

    fn said_next(&mut self, party: Party, flags: TcpFlags, connection: usize) -> Move {
        let next = self.ends[connection].next;
        let (own, other) = (next[index(party)], next[1 - index(party)]);
        self.stamped(party, flags, own, other, connection)
    }

    fn stamped(
        &mut self,
        party: Party,
        flags: TcpFlags,
        seq: u32,
        ack: u32,
        connection: usize,
    ) -> Move {
        let one = if party == Party::Client { client(flags, seq) } else { server(flags, seq) };
        let one = one.ack(ack).window(self.dice.between(0..=9000) as u16);
        let clocks = &mut self.ends[connection].clocks;
        clocks[index(party)] += 1;
        let (own, other) = (clocks[index(party)], clocks[1 - index(party)]);
        // A client that keeps its time stamp to itself has offered nothing.
        if self.dice.chance(90) { one.stamps(own, other) } else { one }
    }

    fn options(&mut self, own: u32, other: u32) -> Vec<Opt> {
        let dice = &mut self.dice;
        let mut options = Vec::new();
        if dice.chance(80) {
            options.push(Mss(*dice.pick(&[0, 536, 1300, 1440, 1460, 9000])));
        }
        if dice.chance(60) {
            options.push(SackPermitted);
        }
        if dice.chance(80) {
            options.push(Stamps(own, other));
        }
        if dice.chance(60) {
            options.extend([Nop, Scale(dice.between(0..=15) as u8)]);
        }
        options
    }

    fn nonsense(&mut self, connection: usize) -> Move {
        let answered = self.ends[connection].is_answered;
        let party = if answered && self.dice.chance(50) { Party::Server } else { Party::Client };
        let flags = TcpFlags::from_bits(self.dice.u8()).without(SYN);
        let flags = if answered { flags } else { flags.without(RST) };
        let [seq, ack] = [0, 1].map(|_| self.dice.between(0..=900));
        let data = self.dice.between(0..=20) as usize;
        self.stamped(party, flags, seq, ack, connection).data(data)
    }
}

fn index(party: Party) -> usize {
    usize::from(party == Party::Server)
}
