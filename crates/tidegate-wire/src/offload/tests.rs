//! Checksums that are begun and finished in either order, by properties.

use std::net::IpAddr;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::checksum::transport;
use crate::segment::tests::datagram;
use crate::{dissect, proto};

proptest! {
    /// Whether it is finished before or after an address, a port and the length change: the same bytes.
    #[test]
    fn a_partial_checksum_finished_later_is_the_full_one(
        (v6, proto) in (any::<bool>(), prop_oneof![Just(proto::TCP), Just(proto::UDP)]),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        (addr, port) in any::<(u128, u16)>(),
    ) {
        let mut full = datagram(v6, proto, &payload);
        let headers = dissect(&full).unwrap();
        let mut partial = full.clone();
        prop_assert!(begin(&mut partial, &headers));
        let mut finished = partial.clone();
        prop_assert!(finish(&mut finished, &headers));
        prop_assert_eq!(&finished, &full);

        for (bytes, state) in [(&mut full, Checksum::Full), (&mut partial, Checksum::Partial)] {
            move_source(bytes, &headers, state, (addr, port));
        }
        let headers = dissect(&partial).unwrap();
        finish(&mut partial, &headers);
        prop_assert_eq!(partial, full);
    }
}

fn move_source(bytes: &mut [u8], headers: &Headers, state: Checksum, (addr, port): (u128, u16)) {
    let new: IpAddr = match headers.src {
        IpAddr::V4(_) => std::net::Ipv4Addr::from_bits(addr as u32).into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::from_bits(addr >> 8).into(),
    };
    match new {
        IpAddr::V4(new) => crate::packet::Ipv4::new(&mut *bytes).unwrap().set_src(new),
        IpAddr::V6(new) => crate::packet::Ipv6::new(&mut *bytes).unwrap().set_src(new),
    }
    let covered = Delta::new().addr(headers.src, new);
    let l4 = headers.l4.unwrap();
    if headers.proto == proto::TCP {
        let mut tcp = Tcp::new(&mut bytes[l4..]).unwrap();
        let rest = Delta::new().word(tcp.src_port(), port);
        tcp.set_src_port(port);
        tcp.set_checksum(state.mended(tcp.checksum(), covered, rest));
    } else {
        let mut udp = Udp::new(&mut bytes[l4..]).unwrap();
        let rest = Delta::new().word(udp.src_port(), port);
        udp.set_src_port(port);
        let mended = state.mended(udp.checksum(), covered, rest);
        udp.set_checksum(if mended == 0 && !state.is_partial() { 0xffff } else { mended });
    }
}

#[test]
fn what_is_finished_verifies() {
    for (v6, proto) in [(false, proto::TCP), (true, proto::TCP), (false, proto::UDP)] {
        let bytes: Vec<u8> = datagram(v6, proto, b"odd");
        let headers = dissect(&bytes).unwrap();
        assert_eq!(transport(headers.src, headers.dst, proto, headers.payload(&bytes)), 0);
    }
}

#[test]
fn the_longest_segment_counts_headers() {
    let rows =
        [(false, proto::TCP, 40 + 100), (true, proto::TCP, 60 + 100), (true, proto::UDP, 48 + 100)];
    for (v6, proto, want) in rows {
        let bytes = datagram(v6, proto, &[0; 1000]);
        let offload = Offload { checksum: Checksum::Partial, segment: NonZeroU16::new(100) };
        let headers = dissect(&bytes).unwrap();
        assert_eq!(offload.longest_segment(&bytes, &headers), Some(want));
        assert_eq!(Offload::NONE.longest_segment(&bytes, &headers), None);
    }
}
