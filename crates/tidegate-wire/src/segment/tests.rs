//! Superframes and their pieces, by properties; and datagrams for the tests beside.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::checksum::transport;

/// A whole datagram with a full checksum; TCP has sequence number 1000 and all of PSH, FIN and CWR.
pub(crate) fn datagram(v6: bool, proto: u8, payload: &[u8]) -> Vec<u8> {
    let (ip_len, upper_len) = (if v6 { 40 } else { 20 }, if proto == proto::TCP { 20 } else { 8 });
    let mut bytes = vec![0; ip_len + upper_len];
    bytes.extend_from_slice(payload);
    let len = bytes.len();
    if v6 {
        bytes[0] = 0x60;
        bytes[6..8].copy_from_slice(&[proto, 64]);
        bytes[8..24].fill(0x20);
        bytes[24..40].fill(0x21);
        Ipv6::new(&mut bytes[..]).unwrap().set_payload_len((len - 40) as u16);
    } else {
        bytes[0] = 0x45;
        bytes[8..10].copy_from_slice(&[64, proto]);
        bytes[12..20].copy_from_slice(&[10, 0, 0, 1, 192, 0, 2, 1]);
        let mut ip = Ipv4::new(&mut bytes[..]).unwrap();
        ip.set_total_len(len as u16);
        ip.set_id(0xffff);
        ip.fill_checksum();
    }
    let upper = &mut bytes[ip_len..];
    upper[..4].copy_from_slice(&[0x30, 0x39, 0, 80]);
    if proto == proto::TCP {
        upper[4..8].copy_from_slice(&1000_u32.to_be_bytes());
        upper[12..14].copy_from_slice(&[0x50, 0x80 | 0x18 | 0x01]);
    } else {
        let len = upper.len() as u16;
        upper[4..6].copy_from_slice(&len.to_be_bytes());
    }
    let headers = dissect(&bytes).unwrap();
    assert!(offload::finish(&mut bytes, &headers));
    bytes
}

fn cut(bytes: &[u8], size: u16, checksum: Checksum) -> Vec<Vec<u8>> {
    let offload = Offload { checksum: Checksum::Partial, segment: NonZeroU16::new(size) };
    let mut segments = Segments::new(bytes, offload, checksum).unwrap();
    let mut pieces = Vec::new();
    loop {
        let mut piece = Vec::new();
        if !segments.next_into(&mut piece) {
            return pieces;
        }
        pieces.push(piece);
    }
}

proptest! {
    /// Pieces are sound datagrams no longer than asked for, and their payloads make up that of the superframe.
    #[test]
    fn pieces_make_up_the_superframe(
        (v6, proto) in (any::<bool>(), prop_oneof![Just(proto::TCP), Just(proto::UDP)]),
        payload in prop::collection::vec(any::<u8>(), 0..3000),
        size in 1_u16..1500,
    ) {
        let bytes = datagram(v6, proto, &payload);
        let mut all = Vec::new();
        for (number, piece) in cut(&bytes, size, Checksum::Full).into_iter().enumerate() {
            let headers = dissect(&piece).unwrap();
            prop_assert_eq!(headers.len, piece.len());
            let upper = headers.payload(&piece);
            prop_assert_eq!(transport(headers.src, headers.dst, proto, upper), 0);
            let data = if proto == proto::TCP { 20 } else { 8 };
            prop_assert!(upper.len() - data <= usize::from(size));
            if proto == proto::TCP {
                let tcp = Tcp::new(upper).unwrap();
                prop_assert_eq!(tcp.seq().0, 1000 + all.len() as u32);
                prop_assert_eq!(tcp.flags().contains(TcpFlags::CWR), number == 0);
                let is_last = all.len() + upper.len() - data == payload.len();
                prop_assert_eq!(tcp.flags().contains(TcpFlags::FIN | TcpFlags::PSH), is_last);
            } else {
                prop_assert_eq!(usize::from(Udp::new(upper).unwrap().len()), upper.len());
            }
            if !v6 {
                prop_assert_eq!(Ipv4::new(&piece[..]).unwrap().id(), 0xffff_u16.wrapping_add(number as u16));
            }
            all.extend_from_slice(&upper[data..]);
        }
        prop_assert_eq!(all, payload);
    }

    #[test]
    fn partial_pieces_finish_to_the_full_ones(payload in prop::collection::vec(any::<u8>(), 1..500), v6: bool) {
        let bytes = datagram(v6, proto::TCP, &payload);
        let full = cut(&bytes, 100, Checksum::Full);
        let mut partial = cut(&bytes, 100, Checksum::Partial);
        for piece in &mut partial {
            let headers = dissect(piece).unwrap();
            offload::finish(piece, &headers);
        }
        prop_assert_eq!(partial, full);
    }
}

#[test]
fn what_is_no_superframe_is_not_cut() {
    let bytes = datagram(false, proto::TCP, b"hello");
    assert!(Segments::new(&bytes, Offload::NONE, Checksum::Full).is_none());
    let offload = Offload { checksum: Checksum::Full, segment: NonZeroU16::new(1) };
    let mut icmp = bytes.clone();
    icmp[9] = proto::ICMP;
    Ipv4::new(&mut icmp[..]).unwrap().fill_checksum();
    assert!(Segments::new(&icmp, offload, Checksum::Full).is_none());
    let src: IpAddr = dissect(&bytes).unwrap().src;
    assert_eq!(src, IpAddr::from([10, 0, 0, 1]));
}
