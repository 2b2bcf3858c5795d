//! A first glance at a datagram: is it of the plain kind that most packets are, and whose is it?
//!
//! Plain is a whole TCP or UDP datagram with right checksums, without IP options or extension headers, and
//! with a hop to spare. For those a few comparisons at fixed places say all that `wire::dissect` would, so that
//! what a batch of packets will ask of the table is known before the first of them is processed.
//! Whatever is not plain is left to the dissector, which has the last word on it.

use core::num::NonZeroU8;

use tidegate_wire::checksum::{is_complete, is_right, little_endian};
use tidegate_wire::{Family, Headers, proto};

use super::layout::{Layout, half};
use crate::rules::ExpressProto;
use crate::table::ahead::Ahead;
use crate::table::key::{Key4, Key6};
use crate::table::{FlowTable, Hint, Spot};
use crate::track::{Express, tcp, udp};

/// How many datagrams are looked at together: as many as keep the second level of the cache busy with
/// their flows.
pub(crate) const BURST: usize = 128;

/// How many packets before its own a flow is brought near.
pub(crate) const NEAR: usize = 4;

/// Where the flows of a burst lie; behind the last is nothing, which can be brought near as well.
pub(crate) type Spots = [Spot; BURST + NEAR];

/// A datagram that is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether its upper layer's checksum is to be verified.
    pub(crate) in_doubt: bool,
}

/// What a glance tells.
#[derive(Clone, Copy)]
pub(crate) struct Glance {
    lane: Option<Lane>,
    /// The hash of its tuple in the default zone.
    pub(crate) hash: u32,
    /// Where its flow probably is; `None` if probably nowhere.
    pub(crate) slot: Option<u32>,
}

/// The kinds of plain datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) family: Family,
    pub(crate) proto: ExpressProto,
}

/// A datagram's [`Kind`], and whether it may be a usual one of a flow that is up: all in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane(NonZeroU8);

impl Lane {
    const IS_USUAL: u8 = 1;
    const IS_UDP: u8 = 2;
    const IS_V6: u8 = 4;
    const IS_PLAIN: NonZeroU8 = NonZeroU8::MIN.saturating_add(7);

    #[inline(always)]
    pub(super) const fn of(kind: Kind, is_usual: bool) -> Self {
        let proto = if matches!(kind.proto, ExpressProto::Udp) { Self::IS_UDP } else { 0 };
        let family = if matches!(kind.family, Family::V6) { Self::IS_V6 } else { 0 };
        // Three bits of their own.
        Self(Self::IS_PLAIN.saturating_add(family + proto + is_usual as u8))
    }

    #[inline(always)]
    pub(super) fn kind(self) -> Kind {
        let has = |bit| self.0.get() & bit != 0;
        Kind {
            family: if has(Self::IS_V6) { Family::V6 } else { Family::V4 },
            proto: if has(Self::IS_UDP) { ExpressProto::Udp } else { ExpressProto::Tcp },
        }
    }

    /// The lane of those of its kind that may be usual ones.
    #[inline(always)]
    fn either_way(self) -> Self {
        Self(self.0 | Self::IS_USUAL)
    }
}

impl Glance {
    /// Nothing seen.
    pub(crate) const NOTHING: Self = Self { lane: None, hash: 0, slot: None };

    /// Looks at a datagram, and where its flow probably is.
    #[inline(always)]
    pub(crate) fn of(sight: Sight<'_>, table: &FlowTable) -> Self {
        let begun = Self::begin(sight, table);
        begun.map_or(Self::NOTHING, |(lane, hash)| Self {
            lane: Some(lane),
            hash,
            slot: table.guess(hash),
        })
    }

    /// Looks at some datagrams, no more than `count`, and where their flows probably are, and lie. What
    /// that reads, and what processing them will, is asked for, all at once each time. Not inlined, as it needs all
    /// registers there are.
    #[inline(never)]
    pub(crate) fn all<'a>(
        glances: &mut [Self; BURST],
        spots: &mut Spots,
        count: usize,
        mut datagrams: impl Iterator<Item = Sight<'a>>,
        table: &FlowTable,
    ) {
        let mut ahead = Ahead::new();
        ahead.begin(table, count, |group, hashes| {
            let glances = glances.get_mut(group).unwrap_or_default();
            Self::begin_all(glances.iter_mut().zip(hashes).zip(&mut datagrams), table);
            true
        });
        ahead.read(table, count, spots, |number, slot| glances[number].slot = slot);
    }

    /// Looks at some datagrams, and notes their hashes twice. Not inlined, as it needs all registers there are.
    #[inline(never)]
    fn begin_all<'a, 'g>(
        datagrams: impl Iterator<Item = ((&'g mut Self, &'g mut u32), Sight<'a>)>,
        table: &FlowTable,
    ) {
        for ((glance, place), sight) in datagrams {
            if let Some((lane, hash)) = Self::begin(sight, table) {
                (glance.lane, glance.hash) = (Some(lane), hash);
                *place = hash;
            }
        }
    }

    #[inline(always)]
    fn begin(sight: Sight<'_>, table: &FlowTable) -> Option<(Lane, u32)> {
        let header: &[u8; 24] = sight.bytes.first_chunk()?;
        let (words, _) = header.as_chunks();
        let first = u64::from_le_bytes(words[0]);
        if first & ALIKE_V4 == PLAIN_V4 {
            is_plain_v4(header).then_some(())?;
            Self::begin_with::<Key4>(sight, table)
        } else if first & 0xf0 == 0x60 {
            is_plain_v6(sight.bytes.first_chunk()?).then_some(())?;
            Self::begin_with::<Key6>(sight, table)
        } else {
            None
        }
    }

    /// [`Glance::begin`], of a datagram whose IP header is plain.
    #[inline(always)]
    fn begin_with<K: Layout>(sight: Sight<'_>, table: &FlowTable) -> Option<(Lane, u32)> {
        // The same twice, so that all that hangs on the protocol is a constant.
        match *sight.bytes.get(K::PROTO)? {
            proto::TCP => Self::begin_as::<K, tcp::Usual>(sight, table),
            proto::UDP => Self::begin_as::<K, udp::Usual>(sight, table),
            _ => None,
        }
    }

    #[inline(always)]
    fn begin_as<K: Layout, P: Express>(sight: Sight<'_>, table: &FlowTable) -> Option<(Lane, u32)> {
        let Sight { bytes, in_doubt } = sight;
        let (express, proto, len) = (P::PROTO, P::PROTO.number(), K::len(bytes));
        if len < K::L4 + P::HEADER || len > bytes.len() {
            return None;
        }
        let (covered, upper) = (&bytes[K::TUPLE..len], &bytes[K::L4..]);
        // UDP may have no checksum.
        let has_sum = express == ExpressProto::Tcp || half(upper, 6) != 0;
        if in_doubt && has_sum && !is_right(covered, proto, (len - K::L4) as u16) {
            return None;
        }
        let hash = table.hash_of(K::read(bytes), proto);
        let kind = Kind { family: K::FAMILY, proto: express };
        Some((Lane::of(kind, P::may_take(upper)), hash))
    }

    /// What it has told of the flow.
    pub(super) fn hint(&self) -> Hint {
        Hint { hash: self.hash, slot: self.slot }
    }

    /// The headers of the datagram, if it is plain.
    pub(super) fn headers(&self, bytes: &[u8]) -> Option<Headers> {
        Some(match self.kind()?.family {
            Family::V4 => Key4::headers(bytes),
            Family::V6 => Key6::headers(bytes),
        })
    }

    /// Whether the datagram is plain and of this kind.
    #[inline(always)]
    pub(super) fn is_of(&self, kind: Kind) -> bool {
        self.lane.is_some_and(|lane| lane.either_way() == Lane::of(kind, true))
    }

    /// Whether it is of this kind, and may be a usual one of a flow that is up, for that is probably there.
    #[inline(always)]
    pub(super) fn is_express(&self, kind: Kind) -> bool {
        self.lane == Some(Lane::of(kind, true)) && self.slot.is_some()
    }

    /// The datagram's kind, if it is plain.
    #[inline(always)]
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.lane.map(Lane::kind)
    }
}

/// What the first eight bytes of all plain IPv4 datagrams have in common: version and header length, neither more
/// fragments behind nor others before.
const PLAIN_V4: u64 = 0x45;
/// In which bits.
const ALIKE_V4: u64 = u64::from_le_bytes([0xff, 0, 0, 0, 0, 0, 0x3f, 0xff]);

/// Whether the header of an IPv4 datagram that is [`PLAIN_V4`] is right, and has a hop to spare.
#[inline(always)]
fn is_plain_v4(header: &[u8; 24]) -> bool {
    // A right sum is the same in either byte order (RFC 1071 section 2 B).
    is_complete(little_endian(&header[..20])) && header[8] > 1
}

/// Whether an IPv6 datagram goes between ordinary addresses, and has a hop to spare.
#[inline(always)]
fn is_plain_v6(header: &[u8; 44]) -> bool {
    let is_ordinary = |at: usize| header[at] != 0xff && header[at] != 0;
    header[7] > 1 && is_ordinary(8) && is_ordinary(24)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use tidegate_wire::dissect;

    use super::*;
    use crate::limits::Limits;
    use crate::rand::Rng;
    use crate::testkit::{Host, ping, tcp, udp};
    use crate::time::Instant;
    use tidegate_wire::packet::tcp::TcpFlags;

    fn kind_of(sight: Sight<'_>) -> Option<Kind> {
        let table = FlowTable::new(&Limits::default(), &mut Rng::new(1), Instant::ZERO);
        Glance::of(sight, &table).kind()
    }

    fn sight(bytes: &[u8]) -> Sight<'_> {
        Sight { bytes, in_doubt: true }
    }

    fn kinds() -> impl Iterator<Item = Kind> {
        let protos = [ExpressProto::Tcp, ExpressProto::Udp];
        let of = move |family| protos.into_iter().map(move |proto| Kind { family, proto });
        Family::ALL.into_iter().flat_map(of)
    }

    #[test]
    fn a_lane_says_what_it_was_made_of() {
        let mut lanes = Vec::new();
        for kind in kinds() {
            for is_usual in [false, true] {
                let lane = Lane::of(kind, is_usual);
                assert_eq!((lane.kind(), lane == lane.either_way()), (kind, is_usual));
                assert!(!lanes.contains(&lane), "a lane of its own");
                lanes.push(lane);
                let glance = Glance { lane: Some(lane), slot: Some(0), ..Glance::NOTHING };
                assert!(!Glance { slot: None, ..glance }.is_express(kind), "nobody is there");
                for other in kinds() {
                    assert_eq!(glance.is_of(other), other == kind);
                    assert_eq!(glance.is_express(other), is_usual && other == kind);
                }
            }
        }
    }

    #[test]
    fn what_is_plain_reads_as_the_dissector_reads_it() {
        for family in [Family::V4, Family::V6] {
            let segment = tcp(Host::Client, TcpFlags::ACK, 1, 2).data(9);
            for (datagram, proto) in
                [(segment, ExpressProto::Tcp), (udp(Host::Server, 5), ExpressProto::Udp)]
            {
                let bytes = datagram.bytes(family);
                assert_eq!(kind_of(sight(&bytes)), Some(Kind { family, proto }));
                let headers = match family {
                    Family::V4 => Key4::headers(&bytes),
                    Family::V6 => Key6::headers(&bytes),
                };
                assert_eq!(Ok(headers), dissect(&bytes));
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        for family in [Family::V4, Family::V6] {
            let bytes = udp(Host::Client, 5).bytes(family);
            for len in 0..bytes.len() {
                assert_eq!(kind_of(sight(&bytes[..len])), None, "cut to {len} bytes");
            }
            assert_eq!(kind_of(sight(&ping(Host::Client, 1).bytes(family))), None);
            assert_eq!(kind_of(sight(&udp(Host::Client, 5).ttl(1).bytes(family))), None);
        }
        let mut bytes = udp(Host::Client, 5).bytes(Family::V4);
        bytes[10] ^= 1;
        assert_eq!(kind_of(sight(&bytes)), None, "a wrong header checksum");
        for family in [Family::V4, Family::V6] {
            for datagram in [udp(Host::Client, 5), tcp(Host::Server, TcpFlags::ACK, 1, 2).data(9)] {
                let mut bytes = datagram.bytes(family);
                *bytes.last_mut().expect("some byte") ^= 4;
                assert_eq!(kind_of(sight(&bytes)), None, "a wrong checksum");
                assert!(kind_of(Sight { bytes: &bytes, in_doubt: false }).is_some());
            }
        }
    }
}
