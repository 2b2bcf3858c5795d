//! A first glance at a datagram: is it of the plain kind that most packets are, and whose is it?
//!
//! Plain is a whole TCP or UDP datagram without IP options or extension headers, with a hop to
//! spare. For those a few comparisons at fixed places say all that `wire::dissect` would, so that
//! what a batch of packets will ask of the table is known before the first of them is processed.
//! Whatever is not plain is left to the dissector, which has the last word on it.

use tidegate_wire::checksum::is_complete;
use tidegate_wire::{Family, Headers, proto};

use super::layout::{Layout, half};
use crate::rules::ExpressProto;
use crate::table::express::Expected;
use crate::table::key::{Key4, Key6};
use crate::table::{FlowTable, Hint};

/// How many datagrams are looked at together: as many as keep the second level of the cache busy with
/// their flows.
pub(crate) const BURST: usize = 128;

/// What a glance tells.
#[derive(Clone, Copy)]
pub(crate) struct Glance {
    kind: Option<Kind>,
    /// The hash of its tuple in the default zone.
    pub(crate) hash: u32,
    /// Where its flow probably is.
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

    /// Looks at a datagram, and at nothing else.
    #[inline(always)]
    pub(crate) fn of(bytes: &[u8], table: &FlowTable) -> Self {
        Self::begin(bytes, table).map_or(Self::NOTHING, |(glance, _)| glance)
    }

    /// Looks at some datagrams, one for each glance, and where their flows probably are. What that
    /// reads, and what processing them will, is asked for, all at once each time.
    #[inline(always)]
    pub(crate) fn all<'a>(
        glances: &mut [Self],
        datagrams: impl Iterator<Item = &'a [u8]>,
        table: &FlowTable,
    ) {
        let mut expected = [Expected::NOWHERE; BURST];
        for ((glance, expected), bytes) in glances.iter_mut().zip(&mut expected).zip(datagrams) {
            if let Some(begun) = Self::begin(bytes, table) {
                (*glance, *expected) = begun;
            }
        }
        for (glance, expected) in glances.iter_mut().zip(&expected) {
            glance.slot = table.read_ahead(*expected);
        }
        for glance in glances.iter_mut().filter(|glance| glance.slot.is_none()) {
            glance.slot = glance.kind.and_then(|_| table.read_further_ahead(glance.hash));
        }
    }

    #[inline(always)]
    fn begin<'t>(bytes: &[u8], table: &'t FlowTable) -> Option<(Self, Expected<'t>)> {
        let kind @ Kind { family, proto } = kind_of(bytes)?;
        let expected = match family {
            Family::V4 => table.expect(Key4::read(bytes), proto.number()),
            Family::V6 => table.expect(Key6::read(bytes), proto.number()),
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
fn kind_of(bytes: &[u8]) -> Option<Kind> {
    let (family, proto, payload) = match bytes.first()? {
        0x45 => {
            let header = bytes.first_chunk()?;
            (Family::V4, header[9], plain_v4(header, bytes.len())?)
        }
        first if first >> 4 == 6 => {
            let header = bytes.first_chunk()?;
            (Family::V6, header[6], plain_v6(header, bytes.len())?)
        }
        _ => return None,
    };
    let proto = match proto {
        proto::TCP if payload >= 20 => ExpressProto::Tcp,
        proto::UDP if payload >= 8 => ExpressProto::Udp,
        _ => return None,
    };
    Some(Kind { family, proto })
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
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
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

    #[test]
    fn what_is_plain_reads_as_the_dissector_reads_it() {
        for family in [Family::V4, Family::V6] {
            let segment = tcp(Host::Client, TcpFlags::ACK, 1, 2).data(9);
            for (datagram, proto) in
                [(segment, ExpressProto::Tcp), (udp(Host::Server, 5), ExpressProto::Udp)]
            {
                let bytes = datagram.bytes(family);
                assert_eq!(kind_of(&bytes), Some(Kind { family, proto }));
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
                assert_eq!(kind_of(&bytes[..len]), None, "cut to {len} bytes");
            }
            assert_eq!(kind_of(&ping(Host::Client, 1).bytes(family)), None);
            assert_eq!(kind_of(&udp(Host::Client, 5).ttl(1).bytes(family)), None);
        }
        let mut bytes = udp(Host::Client, 5).bytes(Family::V4);
        bytes[10] ^= 1;
        assert_eq!(kind_of(&bytes), None, "a wrong header checksum");
    }
}
