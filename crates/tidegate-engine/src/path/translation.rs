//! What NAT makes of a plain datagram: one end of it another, and its checksums right.
//!
//! Which end that is, and what becomes of it, the table knows (`table::mapping`). Here are the datagram's bytes. That
//! these are what `nat::rewrite` makes of them `engine/tests/express.rs` and the tests below hold.

use core::net::IpAddr;

use tidegate_wire::checksum::replaced;
use tidegate_wire::offload::Checksum;

use super::layout::{Layout, chunk, put};
use crate::flow::Status;
use crate::rules::ExpressProto;
use crate::table::express::{Build, Seat};
use crate::table::mapping::Translation;

/// What the upper layer is, and how its checksum stands.
#[derive(Clone, Copy)]
pub(super) struct Upper {
    pub(super) proto: ExpressProto,
    pub(super) checksum: Checksum,
}

/// What becomes of a packet, if its flow is translated, as nobody is without a nat table.
#[inline(always)]
pub(super) fn translation<K: Layout>(
    status: Status,
    seat: &Seat<'_, K>,
    has_nat: bool,
) -> Option<Translation<K>> {
    let may_be = match seat.build {
        Build::Common | Build::Alone => false,
        Build::Translated => true,
        Build::Any => status.intersects(Status::NAT),
    };
    if may_be && has_nat { seat.translation(status) } else { None }
}

/// Where a packet of this key goes then.
#[inline(always)]
pub(super) fn destination<K: Layout>(key: K, translation: Option<&Translation<K>>) -> IpAddr {
    K::address(translation.map_or_else(|| key.end(true), |translation| translation.dst(key)))
}

/// Translates a datagram, with its checksums, and takes a hop off if it is to be.
#[inline(always)]
pub(super) fn rewrite<K: Layout>(
    bytes: &mut [u8],
    how: Upper,
    translation: Translation<K>,
    takes_hop: bool,
) {
    let of_address = rewrite_end::<K>(bytes, how, translation.is_dst, translation.flips);
    // The checksum is written once: who reads what was just written waits.
    K::mend_header(bytes, of_address, takes_hop);
    if let Some(src) = translation.src {
        rewrite_source::<K>(bytes, how, src);
    }
}

#[cold]
#[inline(never)]
fn rewrite_source<K: Layout>(bytes: &mut [u8], how: Upper, src: K::End) {
    let of_address = rewrite_end::<K>(bytes, how, false, src);
    K::mend_header(bytes, of_address, false);
}

/// Turns over some bits of one end of a datagram, and mends the upper layer's checksum; by how much the addresses have
/// changed. A UDP checksum of zero means that there is none; one that becomes zero is sent as all ones (RFC 768).
#[inline(always)]
fn rewrite_end<K: Layout>(bytes: &mut [u8], how: Upper, is_dst: bool, flips: K::End) -> u16 {
    let (of_address, ports) = K::flip_end(bytes, is_dst, flips);
    let field = match how.proto {
        ExpressProto::Tcp => K::L4 + 16,
        ExpressProto::Udp => K::L4 + 6,
    };
    let check = chunk(bytes, field);
    if how.checksum.is_partial() {
        put(bytes, field, partial(check, of_address));
        return of_address;
    }
    match (how.proto, check, replaced(check, ports, of_address)) {
        (ExpressProto::Udp, [0, 0], _) => {}
        (ExpressProto::Udp, _, [0, 0]) => put(bytes, field, [0xff; 2]),
        (_, _, replaced) => put(bytes, field, replaced),
    }
    of_address
}

/// A partial checksum knows of no ports, is not complemented, and a zero in it is nothing special.
#[inline(never)]
fn partial([a, b]: [u8; 2], change: u16) -> [u8; 2] {
    replaced([!a, !b], [0; 2], change).map(|byte| !byte)
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use tidegate_wire::packet::ipv4::Ipv4;
    use tidegate_wire::packet::tcp::TcpFlags;
    use tidegate_wire::{Family, dissect};

    use super::*;
    use crate::nat::{Manip, rewrite as walk};
    use crate::table::key::{Key4, Key6};
    use crate::testkit::{Host, tcp, udp};
    use crate::tuple::{Direction, Tuple};

    /// What is in the checksum's field: anything, and oftener what is special to somebody.
    fn fields() -> impl Strategy<Value = [u8; 2]> {
        prop_oneof![any::<[u8; 2]>(), Just([0; 2]), Just([0xff; 2])]
    }

    fn states() -> impl Strategy<Value = Checksum> {
        prop::sample::select(&[Checksum::Full, Checksum::Verified, Checksum::Partial])
    }

    fn statuses() -> impl Strategy<Value = (Status, Direction)> {
        let statuses = [Status::empty(), Status::SRC_NAT, Status::DST_NAT, Status::NAT];
        let directions = &[Direction::Original, Direction::Reply];
        (prop::sample::select(statuses.to_vec()), prop::sample::select(directions))
    }

    /// What both ends become; who is not told anything keeps it.
    fn targets() -> impl Strategy<Value = [(Option<u128>, Option<u16>); 2]> {
        any::<[(Option<u128>, Option<u16>); 2]>()
    }

    fn express<K: Layout>(
        bytes: &mut [u8],
        how: Upper,
        target: &Tuple,
        (status, dir, takes_hop): (Status, Direction, bool),
    ) {
        match Translation::told((K::read(bytes), K::of(target)), status, dir) {
            Some(translation) => rewrite::<K>(bytes, how, translation, takes_hop),
            None if takes_hop => K::take_hop(bytes),
            None => {}
        }
    }

    fn take_hop(bytes: &mut [u8], family: Family) {
        match family {
            Family::V4 => Ipv4::new(bytes).expect("a header").decrement_ttl(),
            Family::V6 => bytes[7] -= 1,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_datagram_becomes_what_the_walk_makes_of_it(
            (is_v6, is_udp, len) in (any::<bool>(), any::<bool>(), 0..40usize),
            (field, state) in (fields(), states()),
            (status, dir) in statuses(),
            takes_hop in any::<bool>(),
            ends in targets(),
        ) {
            let family = if is_v6 { Family::V6 } else { Family::V4 };
            let segment = tcp(Host::Client, TcpFlags::ACK, 1, 2).data(len);
            let datagram = if is_udp { udp(Host::Client, len) } else { segment };
            let mut bytes = datagram.bytes(family);
            let mut headers = dissect(&bytes).expect("a sound datagram");
            let at = headers.l4.expect("an upper layer") + if is_udp { 6 } else { 16 };
            bytes[at..at + 2].copy_from_slice(&field);
            headers.checksum = state;
            let address = |bits: u128| match family {
                Family::V4 => IpAddr::from(Ipv4Addr::from(bits as u32)),
                Family::V6 => Ipv6Addr::from(bits).into(),
            };
            let own = datagram.tuple(family);
            let [(src, sport), (dst, dport)] = ends;
            let (src, dst) = (src.map_or(own.src, address), dst.map_or(own.dst, address));
            let (sport, dport) = (sport.unwrap_or(own.sport), dport.unwrap_or(own.dport));
            let target = Tuple { src, dst, sport, dport, ..own };

            let mut walked = bytes.clone();
            for manip in [Manip::Dst, Manip::Src] {
                // The hop is between the two hooks.
                if takes_hop && manip == Manip::Src {
                    take_hop(&mut walked, family);
                }
                if manip.applies_to(status, dir) {
                    let done = walk::end(&mut walked, &mut headers, &target, manip);
                    prop_assert_eq!(done, Ok(()));
                }
            }
            let proto = if is_udp { ExpressProto::Udp } else { ExpressProto::Tcp };
            let how = Upper { proto, checksum: state };
            match family {
                Family::V4 => express::<Key4>(&mut bytes, how, &target, (status, dir, takes_hop)),
                Family::V6 => express::<Key6>(&mut bytes, how, &target, (status, dir, takes_hop)),
            }
            prop_assert_eq!(bytes, walked);
        }
    }
}
