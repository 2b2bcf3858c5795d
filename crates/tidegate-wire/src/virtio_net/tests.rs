//! The header told and understood, by rows.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::segment::tests::datagram;

const LINK: usize = 14;

fn partial(v6: bool, proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = datagram(v6, proto, payload);
    let headers = dissect(&bytes).unwrap();
    assert!(offload::begin(&mut bytes, &headers));
    bytes
}

#[test]
fn what_is_told_is_understood() {
    let segment = NonZeroU16::new(1000);
    let rows = [
        (false, proto::TCP, Offload { checksum: Checksum::Partial, segment }, GSO_TCPV4),
        (true, proto::TCP, Offload { checksum: Checksum::Partial, segment }, GSO_TCPV6),
        (true, proto::UDP, Offload { checksum: Checksum::Partial, segment }, GSO_UDP_L4),
        (false, proto::UDP, Offload { checksum: Checksum::Partial, segment: None }, GSO_NONE),
        (false, proto::UDP, Offload::NONE, GSO_NONE),
    ];
    for (v6, proto, offload, gso_type) in rows {
        let mut bytes = partial(v6, proto, &[7; 1400]);
        let header = VirtioNet::of(offload, &bytes, LINK);
        assert_eq!(header.gso_type, gso_type);
        assert_eq!(VirtioNet::parse(&header.bytes()), Some(header));
        let before = bytes.clone();
        assert_eq!(header.offload(&mut bytes, LINK), Ok(offload));
        assert_eq!(bytes, before);
    }
}

#[test]
fn what_nobody_can_leave_is_finished_at_once() {
    // The checksum of the inner header of a tunnel: no partial one of the datagram's own.
    let mut bytes = datagram(false, proto::UDP, &[1, 2, 3, 4, 5, 6, 0, 0, 9, 9]);
    let header = VirtioNet {
        flags: NEEDS_CSUM,
        csum_start: (LINK + 28) as u16,
        csum_offset: 6,
        ..VirtioNet::default()
    };
    assert_eq!(
        header.offload(&mut bytes, LINK),
        Ok(Checksum::Verified).map(|checksum| Offload { checksum, segment: None })
    );
    assert_eq!(Sum::new().bytes(&bytes[28..]).finish(), 0);
}

#[test]
fn contradictions_are_refused() {
    let mut bytes = datagram(false, proto::TCP, &[0; 10]);
    let rows = [
        ("a superframe without a size", VirtioNet { gso_type: GSO_TCPV4, ..VirtioNet::default() }),
        (
            "a kind that nobody knows",
            VirtioNet { gso_type: 3, gso_size: 9, ..VirtioNet::default() },
        ),
        (
            "a checksum in the link header",
            VirtioNet { flags: NEEDS_CSUM, csum_start: 4, ..VirtioNet::default() },
        ),
        (
            "a checksum behind the end",
            VirtioNet { flags: NEEDS_CSUM, csum_start: 600, ..VirtioNet::default() },
        ),
        (
            "a field behind the end",
            VirtioNet {
                flags: NEEDS_CSUM,
                csum_start: 34,
                csum_offset: 60000,
                ..VirtioNet::default()
            },
        ),
    ];
    for (what, header) in rows {
        assert_eq!(header.offload(&mut bytes, LINK), Err(Contradiction), "{what}");
    }
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(header in any::<[u8; HEADER_LEN]>(), mut bytes: Vec<u8>, link in 0_usize..40) {
        let header = VirtioNet::parse(&header).unwrap();
        let _ = header.offload(&mut bytes, link);
        let offload = Offload { checksum: Checksum::Partial, segment: NonZeroU16::new(3) };
        VirtioNet::of(offload, &bytes, link);
    }
}
