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
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| u64::from(header[address + i]));
            let [e, f] = [0, 1].map(|i| u64::from(header[port + i]));
            a << 40 | b << 32 | c << 24 | d << 16 | e << 8 | f
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
        let word = |at: usize| u64::from_be_bytes(*header[at..].first_chunk().unwrap_or(&[0; 8]));
        let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
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

/// Eight slots: a tag in the upper half, the number of an entry in the lower; 0 is free.
#[repr(align(64))]
#[derive(Clone, Copy, Default)]
struct Line([u64; 8]);

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
        let number = self.entries.len() as u64;
        self.entries.push(Entry { key, last_seen: 0, bytes: 0, packets: 0 });
        let mut line = self.line(hash);
        loop {
            if let Some(slot) = self.lines[line].0.iter_mut().find(|slot| **slot == 0) {
                *slot = tag(hash) | number;
                return;
            }
            line = (line + 1) & (self.lines.len() - 1);
        }
    }

    /// The keyed hash: products of secret and key, folded.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &Key<W>) -> u64 {
        let mut hash = self.secret[5];
        for (pair, secret) in key.chunks(2).zip(self.secret.chunks(2)) {
            let second = pair.get(1).copied().unwrap_or_default();
            hash = fold(pair[0] ^ secret[0] ^ hash, second ^ secret[1]);
        }
        fold(hash ^ self.secret[4], 0x9e37_79b9_7f4a_7c15)
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
        let tag = tag(hash);
        let mut found = None;
        // All eight are looked at: no branch to be guessed wrong.
        for slot in self.lines[self.line(hash)].0 {
            if slot & TAG == tag {
                found = Some(slot as u32);
            }
        }
        if let Some(number) = found {
            prefetch(&self.entries[number as usize], cache);
        }
        found
    }

    /// The entry of a key, wherever it is.
    #[inline(never)]
    #[must_use]
    pub fn search(&self, key: &Key<W>) -> Option<u32> {
        let hash = self.hash(key);
        let mut line = self.line(hash);
        loop {
            for slot in self.lines[line].0 {
                if slot & TAG == tag(hash) && self.entries[slot as u32 as usize].has(key) {
                    return Some(slot as u32);
                }
            }
            if self.lines[line].0.contains(&0) {
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
fn tag(hash: u64) -> u64 {
    (hash | 1 << 63) & TAG
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

const TAG: u64 = 0xffff_ffff << 32;
