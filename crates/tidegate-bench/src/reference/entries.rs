//! The floor's table: lines of eight tagged slots, and entries of one cache line each.
//!
//! Keys are whole words, the same for both directions of a flow ([`Key`]). A flow's slot is in the
//! line that its hash says or, where that is full, in the next one with room. Nothing is ever taken
//! out, and the table does not grow.

use tidegate_wire::Family;

use crate::order::Draws;
use crate::plan::{Ends, Place};
use crate::prefetch::{Cache, prefetch};

/// A tuple as words: both ends in ascending order, and the protocol.
pub type Key<const W: usize> = [u64; W];

/// A key that is built from a family's addresses.
pub trait Shape<const W: usize> {
    /// The family that fits the key.
    const FAMILY: Family;
    /// The key of a datagram's header; `None` if it is none of TCP or UDP.
    fn read(bytes: &[u8]) -> Option<Key<W>>;
    /// The key of a flow.
    fn of(ends: &Ends, proto: u8) -> Key<W>;
}

/// Two words: an end is an address and a port.
pub struct V4;

impl Shape<2> for V4 {
    const FAMILY: Family = Family::V4;

    #[inline]
    fn read(bytes: &[u8]) -> Option<Key<2>> {
        let header: &[u8; 24] = bytes.first_chunk()?;
        let proto = header[9];
        // No options, no fragment, as long as it says.
        let plain = header[0] == 0x45 && header[6] & 0x3f == 0 && header[7] == 0;
        let whole = usize::from(u16::from_be_bytes([header[2], header[3]])) <= bytes.len();
        if !(plain && whole && matches!(proto, 6 | 17)) {
            return None;
        }
        let end = |address: usize, port: usize| {
            u64::from(u32_at(header, address)) << 16 | u64::from(u16_at(header, port))
        };
        Some(pair(end(12, 20), end(16, 22), proto))
    }

    #[inline]
    fn of(ends: &Ends, proto: u8) -> Key<2> {
        let end = |place: Place, port: u16| u64::from(place.v4()) << 16 | u64::from(port);
        pair(end(ends.client, ends.client_port), end(ends.server, ends.server_port), proto)
    }
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline]
fn pair(a: u64, b: u64, proto: u8) -> Key<2> {
    [a.min(b) | u64::from(proto) << 48, a.max(b)]
}

/// Five words: both addresses, then both ports and the protocol.
pub struct V6;

impl Shape<5> for V6 {
    const FAMILY: Family = Family::V6;

    #[inline]
    fn read(bytes: &[u8]) -> Option<Key<5>> {
        let header: &[u8; 44] = bytes.first_chunk()?;
        let proto = header[6];
        let whole = usize::from(u16::from_be_bytes([header[4], header[5]])) + 40 <= bytes.len();
        if !(header[0] >> 4 == 6 && whole && matches!(proto, 6 | 17)) {
            return None;
        }
        let word =
            |at: usize| u64::from(u32_at(header, at)) << 32 | u64::from(u32_at(header, at + 4));
        let port = |at: usize| u16_at(header, at);
        let (src, dst) = ([word(8), word(16)], [word(24), word(32)]);
        Some(five((src, port(40)), (dst, port(42)), proto))
    }

    #[inline]
    fn of(ends: &Ends, proto: u8) -> Key<5> {
        let end = |place: Place, port: u16| {
            let high = place.v6_prefix()[..4].iter().fold(0, |w, part| w << 16 | u64::from(*part));
            let low = place.v6_prefix()[4..].iter().fold(0, |w, part| w << 16 | u64::from(*part));
            ([high, low << 32 | u64::from(place.host)], port)
        };
        five(end(ends.client, ends.client_port), end(ends.server, ends.server_port), proto)
    }
}

#[inline]
fn five(a: ([u64; 2], u16), b: ([u64; 2], u16), proto: u8) -> Key<5> {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let ports = u64::from(low.1) << 16 | u64::from(high.1);
    [low.0[0], low.0[1], high.0[0], high.0[1], ports << 8 | u64::from(proto)]
}

/// The state of a flow.
#[repr(align(64))]
#[derive(Clone, Copy)]
pub struct Entry<const W: usize> {
    key: Key<W>,
    last_seen: u64,
    bytes: u64,
    packets: u32,
}

impl<const W: usize> Entry<W> {
    /// Counts a packet.
    #[inline]
    pub fn see(&mut self, now: u64, len: usize) {
        self.last_seen = now;
        self.packets += 1;
        self.bytes += len as u64;
    }

    /// Whether it is that key's.
    #[inline]
    #[must_use]
    pub fn has(&self, key: &Key<W>) -> bool {
        self.key == *key
    }
}

/// Eight slots, each a tag and the number of an entry; tag 0 is free.
#[repr(align(64))]
#[derive(Clone, Copy, Default)]
struct Line {
    /// Eight tags of 16 bits, the first slot's lowest.
    tags: u128,
    numbers: [u32; 8],
}

impl Line {
    /// The first slot with a tag; 8 if there is none. All are looked at at once: no branch to be
    /// guessed wrong.
    #[inline]
    fn slot_of(&self, tag: u16) -> usize {
        let differences = self.tags ^ (u128::from(tag) * EACH);
        let zeros = differences.wrapping_sub(EACH) & !differences & (EACH << 15);
        zeros.trailing_zeros() as usize / 16
    }

    #[inline]
    fn tag(&self, slot: usize) -> u16 {
        (self.tags >> (16 * slot)) as u16
    }

    fn take(&mut self, slot: usize, tag: u16, number: u32) {
        self.tags |= u128::from(tag) << (16 * slot);
        self.numbers[slot] = number;
    }
}

/// The index and its entries.
pub struct Entries<const W: usize> {
    secret: [u64; 6],
    lines: Vec<Line>,
    /// The flows, by number.
    pub entries: Vec<Entry<W>>,
}

impl<const W: usize> Entries<W> {
    /// A table of those keys; from a quarter to half of the slots are used.
    #[must_use]
    pub fn new(keys: impl ExactSizeIterator<Item = Key<W>>) -> Self {
        let lines = (keys.len() / 4).next_power_of_two().max(1);
        let mut draws = Draws(0x005e_c2e7);
        let secret = [(); 6].map(|()| draws.next_number());
        let entries = Vec::with_capacity(keys.len());
        let mut table = Self { secret, lines: vec![Line::default(); lines], entries };
        keys.for_each(|key| table.insert(key));
        table
    }

    fn insert(&mut self, key: Key<W>) {
        let hash = self.hash(&key);
        let number = self.entries.len() as u32;
        self.entries.push(Entry { key, last_seen: 0, bytes: 0, packets: 0 });
        let mut line = self.line(hash);
        loop {
            let free = self.lines[line].slot_of(0);
            if free < 8 {
                self.lines[line].take(free, tag(hash), number);
                return;
            }
            line = (line + 1) & (self.lines.len() - 1);
        }
    }

    /// The keyed hash: products of secret and key, folded.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &Key<W>) -> u64 {
        let mut hash = 0;
        for (pair, secret) in key.chunks(2).zip(self.secret.chunks(2)) {
            let second = pair.get(1).copied().unwrap_or_default();
            hash ^= fold(pair[0] ^ secret[0], second ^ secret[1]);
        }
        fold(hash ^ self.secret[0], self.secret[5])
    }

    /// Asks for the line of a hash.
    #[inline]
    pub fn ask_line(&self, hash: u64, cache: Cache) {
        prefetch(&self.lines[self.line(hash)], cache);
    }

    /// The first entry of the hash's line that has its tag, asked for.
    #[inline]
    #[must_use]
    pub fn candidate(&self, hash: u64, cache: Cache) -> Option<u32> {
        let line = &self.lines[self.line(hash)];
        let number = *line.numbers.get(line.slot_of(tag(hash)))?;
        prefetch(&self.entries[number as usize], cache);
        Some(number)
    }

    /// The entry of a key, wherever it is.
    #[inline(never)]
    #[must_use]
    pub fn search(&self, key: &Key<W>) -> Option<u32> {
        let hash = self.hash(key);
        let mut line = self.line(hash);
        loop {
            let slots = &self.lines[line];
            for (slot, number) in slots.numbers.iter().enumerate() {
                if slots.tag(slot) == tag(hash) && self.entries[*number as usize].has(key) {
                    return Some(*number);
                }
            }
            if slots.slot_of(0) < 8 {
                return None;
            }
            line = (line + 1) & (self.lines.len() - 1);
        }
    }

    #[inline]
    fn line(&self, hash: u64) -> usize {
        hash as usize & (self.lines.len() - 1)
    }
}

#[inline]
fn tag(hash: u64) -> u16 {
    (hash >> 48) as u16 | 1
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// One in each of eight tags.
const EACH: u128 = 0x0001_0001_0001_0001_0001_0001_0001_0001;
