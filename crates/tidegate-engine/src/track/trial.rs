//! A tracker on its own: one flow, and a table of packets put before it.
//!
//! After every row all that a tracker can change is compared: its judgement, the
//! flow's status, protocol state and tags, what is left of its life, both
//! counters, the changes noted for events. A row names what changes; what it
//! does not name must be as before, and a second older: one passes before each
//! packet. What a caller does is done here: a draft that is refused is gone, one
//! that is accepted is confirmed, and an accepted answer is remembered.
//!
//! The last column is a list of words: the new state (with its PROTOINFO event),
//! the seconds left, `+assured` (with its event), `orig=` and `reply=` for the
//! tags, in hex. An accepted packet that names no seconds neither renews the
//! deadline nor counts.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use tidegate_wire::offload::Checksum;
use tidegate_wire::{Family, Headers};

use super::{InvalidReason, Judgement, ProtoState, Segment, judge};
use crate::event::EventMask;
use crate::flow::{Counter, Flow, Status};
use crate::limits::Limits;
use crate::testkit::flow;
use crate::time::Instant;
use crate::tuple::{Direction, Tuple};

/// The upper layer's bytes, which may depend on the addresses.
pub(super) type Payload = Box<dyn Fn(IpAddr, IpAddr) -> Vec<u8>>;

/// One packet and what becomes of it.
pub(super) struct Row {
    what: &'static str,
    dir: Direction,
    payload: Payload,
    judgement: Judgement,
    then: &'static str,
}

/// A packet of the original direction that is accepted.
pub(super) fn orig(what: &'static str, payload: Payload, then: &'static str) -> Row {
    Row { what, dir: Direction::Original, payload, judgement: Judgement::Accept, then }
}

/// A packet of the reply direction that is accepted.
pub(super) fn reply(what: &'static str, payload: Payload, then: &'static str) -> Row {
    Row { what, dir: Direction::Reply, payload, judgement: Judgement::Accept, then }
}

impl Row {
    /// It is refused instead.
    pub(super) fn refused(self, reason: InvalidReason) -> Self {
        Self { judgement: Judgement::Invalid(reason), ..self }
    }
}

/// Plays the rows under the kernel's defaults, in both families.
pub(super) fn play(proto: u8, rows: &[Row]) {
    play_under(proto, &[], rows);
}

/// Plays the rows under other settings.
pub(super) fn play_under(proto: u8, settings: &[(&str, &str)], rows: &[Row]) {
    let mut limits = Limits::default();
    for (key, value) in settings {
        limits.set(key, value).expect("a setting that exists");
    }
    for family in Family::ALL {
        let mut trial = Trial::new(family, proto, limits);
        for row in rows {
            trial.play(row);
        }
    }
}

/// What a tracker can change of a flow.
#[derive(Clone, Debug, PartialEq)]
struct View {
    status: Status,
    state: Option<&'static str>,
    tags: [u32; 2],
    left: Duration,
    acct: Option<[Counter; 2]>,
    noted: EventMask,
}

impl View {
    fn of(flow: &Flow, now: Instant) -> Self {
        Self {
            status: flow.status,
            state: flow.proto.name(),
            tags: match &flow.proto {
                ProtoState::Sctp(sctp) => sctp.tags,
                _ => [0; 2],
            },
            left: flow.remaining(now),
            acct: flow.acct,
            noted: flow.pending,
        }
    }

    fn change(&mut self, word: &'static str, dir: Direction, len: usize) {
        let hex = |digits| u32::from_str_radix(digits, 16).expect("a tag in hex");
        if word == "+assured" {
            self.status |= Status::ASSURED;
            self.noted |= EventMask::ASSURED;
        } else if let Some(tag) = word.strip_prefix("orig=") {
            self.tags[0] = hex(tag);
        } else if let Some(tag) = word.strip_prefix("reply=") {
            self.tags[1] = hex(tag);
        } else if let Ok(seconds) = word.parse() {
            self.left = Duration::from_secs(seconds);
            let counter = &mut self.acct.as_mut().expect("counters")[dir.index()];
            counter.packets += 1;
            counter.bytes += len as u64;
        } else {
            assert_ne!(self.state, Some(word), "a row names what changes");
            self.state = Some(word);
            self.noted |= EventMask::PROTOINFO;
        }
    }
}

struct Trial {
    limits: Limits,
    blank: Flow,
    flow: Flow,
    now: Instant,
    expected: View,
}

impl Trial {
    fn new(family: Family, proto: u8, limits: Limits) -> Self {
        let blank = blank(family, proto);
        let (now, expected) = (Instant::ZERO, View::of(&blank, Instant::ZERO));
        Self { limits, flow: blank.clone(), blank, now, expected }
    }

    fn play(&mut self, row: &Row) {
        self.now += Duration::from_secs(1);
        self.flow.pending = EventMask::empty();
        let (judgement, len) = self.put(row);
        self.settle(row.dir, judgement);
        let seen = View::of(&self.flow, self.now);

        let expected = &mut self.expected;
        expected.noted = EventMask::empty();
        expected.left = expected.left.saturating_sub(Duration::from_secs(1));
        row.then.split_whitespace().for_each(|word| expected.change(word, row.dir, len));
        if row.judgement == Judgement::Accept {
            expected.status |= settled(row.dir);
        }
        let what = alloc::format!("\n\n{:?}: {}\n", self.flow.orig.family(), row.what);
        assert_eq!((judgement, &seen), (row.judgement, &self.expected), "{what}");
    }

    fn put(&mut self, row: &Row) -> (Judgement, usize) {
        let tuple = *self.flow.tuple(row.dir);
        let bytes = (row.payload)(tuple.src, tuple.dst);
        let headers = Headers {
            family: tuple.family(),
            src: tuple.src,
            dst: tuple.dst,
            proto: tuple.proto,
            l4: Some(0),
            len: bytes.len(),
            ip_header_len: 0,
            fragment: None,
            checksum: Checksum::Full,
        };
        let segment = Segment {
            datagram: &bytes,
            headers: &headers,
            dir: row.dir,
            now: self.now,
            limits: &self.limits,
            verify_checksum: self.limits.checksum,
            corrections: None,
        };
        (judge(&mut self.flow, &segment), bytes.len())
    }

    fn settle(&mut self, dir: Direction, judgement: Judgement) {
        if judgement == Judgement::Accept {
            self.flow.status |= settled(dir);
        } else if !self.flow.is(Status::CONFIRMED) {
            self.flow = self.blank.clone();
        }
    }
}

/// What the caller adds to the status for an accepted packet.
fn settled(dir: Direction) -> Status {
    match dir {
        Direction::Original => Status::CONFIRMED,
        Direction::Reply => Status::CONFIRMED | Status::SEEN_REPLY,
    }
}

fn blank(family: Family, proto: u8) -> Flow {
    let [src, dst]: [IpAddr; 2] = match family {
        Family::V4 => [[10, 0, 1, 2], [203, 0, 113, 2]].map(|addr| Ipv4Addr::from(addr).into()),
        Family::V6 => [0xfd00_0001_u128 << 96 | 2, 0x2001_0db8_u128 << 96 | 2]
            .map(|addr| Ipv6Addr::from_bits(addr).into()),
    };
    let orig = Tuple { src, dst, sport: 0, dport: 0, proto };
    Flow { acct: Some(Default::default()), ..flow(orig) }
}
