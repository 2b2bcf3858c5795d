//! A first glance at a datagram: is it of the plain kind that most packets are, and whose is it?
//!
//! Plain is a whole TCP or UDP datagram with right checksums, without IP options or extension headers, and
//! with a hop to spare. For those a few comparisons at fixed places say all that `wire::dissect` would, so that
//! what a batch of packets will ask of the table is known before the first of them is processed.
//! Whatever is not plain is left to the dissector, which has the last word on it.

use tidegate_wire::checksum::{is_complete, is_right};
use tidegate_wire::{Family, Headers, proto};

use super::layout::{Layout, half};
use crate::rules::ExpressProto;
use crate::table::express::Expected;
use crate::table::key::{Key4, Key6};
use crate::table::{FlowTable, Hint, Spot};

/// How many datagrams are looked at together: as many as keep the second level of the cache busy with
/// their flows.
pub(crate) const BURST: usize = 128;

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
    kind: Option<Kind>,
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

impl Glance {
    /// Nothing seen.
    pub(crate) const NOTHING: Self = Self { kind: None, hash: 0, slot: None };

    /// Looks at a datagram, and where its flow probably is.
    #[inline(always)]
    pub(crate) fn of(sight: Sight<'_>, table: &FlowTable) -> Self {
        let begun = Self::begin(sight, table);
        begun.map_or(Self::NOTHING, |(glance, expected)| Self {
            slot: table.guess(expected),
            ..glance
        })
    }

    /// Looks at some datagrams, one for each glance, and where their flows probably are, and lie. What
    /// that reads, and what processing them will, is asked for, all at once each time.
    #[inline(always)]
    pub(crate) fn all<'a>(
        glances: &mut [Self],
        spots: &mut [Spot],
        datagrams: impl Iterator<Item = Sight<'a>>,
        table: &FlowTable,
    ) {
        let mut expected = [Expected::NOWHERE; BURST];
        for ((glance, expected), sight) in glances.iter_mut().zip(&mut expected).zip(datagrams) {
            if let Some(begun) = Self::begin(sight, table) {
                (*glance, *expected) = begun;
            }
        }
        let expected = expected.get(..glances.len()).unwrap_or_default();
        table.read_ahead(expected, |number, slot, spot| {
            glances[number].slot = slot;
            spots[number] = spot;
        });
    }

    #[inline(always)]
    fn begin<'t>(sight: Sight<'_>, table: &'t FlowTable) -> Option<(Self, Expected<'t>)> {
        let (bytes, kind) = (sight.bytes, kind_of(sight)?);
        let expected = match kind.family {
            Family::V4 => table.expect(Key4::read(bytes), bytes[Key4::PROTO]),
            Family::V6 => table.expect(Key6::read(bytes), bytes[Key6::PROTO]),
        };
        Some((Self { kind: Some(kind), hash: expected.hash, slot: None }, expected))
    }

    /// What it has told of the flow.
    pub(super) fn hint(&self) -> Hint {
        Hint { hash: self.hash, slot: self.slot }
    }

    /// The headers of the datagram, if it is plain.
    pub(super) fn headers(&self, bytes: &[u8]) -> Option<Headers> {
        Some(match self.kind?.family {
            Family::V4 => Key4::headers(bytes),
            Family::V6 => Key6::headers(bytes),
        })
    }

    /// The datagram's kind, if it is plain.
    #[inline(always)]
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.kind
    }
}

/// The kind of a plain datagram.
#[inline(always)]
fn kind_of(sight: Sight<'_>) -> Option<Kind> {
    match sight.bytes.first()? {
        0x45 => {
            let header = sight.bytes.first_chunk()?;
            let payload = plain_v4(header, sight.bytes.len())?;
            let proto = sight.proto::<Key4>(header[Key4::PROTO], payload)?;
            Some(Kind { family: Family::V4, proto })
        }
        first if first >> 4 == 6 => {
            let header = sight.bytes.first_chunk()?;
            let payload = plain_v6(header, sight.bytes.len())?;
            let proto = sight.proto::<Key6>(header[Key6::PROTO], payload)?;
            Some(Kind { family: Family::V6, proto })
        }
        _ => None,
    }
}

impl Sight<'_> {
    /// The protocol, if there is a header of it, and no checksum that is wrong. UDP may have none.
    #[inline(always)]
    fn proto<K: Layout>(self, proto: u8, payload: usize) -> Option<ExpressProto> {
        let covered = self.bytes.get(K::TUPLE..K::L4 + payload)?;
        let is_right = || !self.in_doubt || is_right(covered, proto, payload as u16);
        match proto {
            proto::TCP => (payload >= 20 && is_right()).then_some(ExpressProto::Tcp),
            proto::UDP => {
                let is_whole = payload >= 8 && (half(self.bytes, K::L4 + 6) == 0 || is_right());
                is_whole.then_some(ExpressProto::Udp)
            }
            _ => None,
        }
    }
}

/// The payload's length of an IPv4 datagram without options whose header, with the ports behind it, is
/// right; `room` is how long it may be.
#[inline(always)]
fn plain_v4(header: &[u8; 24], room: usize) -> Option<usize> {
    // A right sum is the same in either byte order (RFC 1071 section 2 B).
    let word = |at: usize| {
        u64::from(u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]))
    };
    let is_right = is_complete(word(0) + word(4) + word(8) + word(12) + word(16));
    let is_fragment = half(header, 6) & 0x3fff != 0;
    let len = usize::from(half(header, 2));
    if !is_right || is_fragment || header[8] <= 1 || len > room {
        return None;
    }
    len.checked_sub(20)
}

/// The payload's length of an IPv6 datagram between ordinary addresses.
#[inline(always)]
fn plain_v6(header: &[u8; 44], room: usize) -> Option<usize> {
    let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let is_ordinary = |at: usize| header[at] != 0xff && header[at] != 0;
    if header[7] <= 1 || len + 40 > room || !is_ordinary(8) || !is_ordinary(24) {
        return None;
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use tidegate_wire::dissect;

    use super::*;
    use crate::testkit::{Host, ping, tcp, udp};
    use tidegate_wire::packet::tcp::TcpFlags;

    fn sight(bytes: &[u8]) -> Sight<'_> {
        Sight { bytes, in_doubt: true }
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
