//! Views and representations: what is written is read, what is cut is refused.

use std::string::ToString;
use std::vec::Vec;
use std::{format, vec};

use core::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::checksum::{Delta, transport};
use crate::seq::SeqNum;

fn ipv4_repr() -> Ipv4Repr {
    Ipv4Repr {
        src: [192, 0, 2, 1].into(),
        dst: [198, 51, 100, 2].into(),
        proto: 17,
        ttl: 63,
        tos: 0xb8,
        id: 0x1234,
        dont_fragment: true,
        payload_len: 8,
    }
}

#[test]
fn ipv4_is_written_as_it_is_read() {
    let mut bytes = [0xff; 28];
    ipv4_repr().emit(&mut bytes);
    let want = [
        0x45, 0xb8, 0x00, 0x1c, 0x12, 0x34, 0x40, 0x00, 0x3f, 0x11, 0x3c, 0xae, 192, 0, 2, 1, 198,
        51, 100, 2,
    ];
    assert_eq!(bytes[..20], want);
    let view = Ipv4::new(&bytes[..]).unwrap();
    assert_eq!((view.version(), view.header_len(), view.total_len()), (4, 20, 28));
    assert_eq!((view.tos(), view.id(), view.ttl(), view.proto()), (0xb8, 0x1234, 63, 17));
    assert_eq!((view.src(), view.dst()), (ipv4_repr().src, ipv4_repr().dst));
    assert!(view.dont_fragment() && !view.more_fragments() && view.fragment_offset() == 0);
    assert!(view.checksum_ok() && view.options().is_empty() && view.payload() == [0xff; 8]);
}

#[test]
fn ipv4_fragment_fields() {
    let mut bytes = [0; 28];
    ipv4_repr().emit(&mut bytes);
    let mut view = Ipv4::new(&mut bytes[..]).unwrap();
    view.set_fragment(1480, true);
    assert_eq!((view.fragment_offset(), view.more_fragments()), (1480, true));
    assert!(view.dont_fragment() && view.checksum_ok());
    view.set_fragment(0, false);
    assert!(!view.more_fragments() && view.fragment_offset() == 0 && view.checksum_ok());
}

proptest! {
    #[test]
    fn ipv4_setters_keep_the_checksum(
        ttl: u8, tos: u8, src: u32, dst: u32, len: u16, id: u16, options: [u8; 8],
    ) {
        let mut bytes = [0; 28];
        ipv4_repr().emit(&mut bytes);
        bytes[0] = 0x47;
        bytes[20..].copy_from_slice(&options);
        let mut view = Ipv4::new(&mut bytes[..]).unwrap();
        view.fill_checksum();
        prop_assert!(view.checksum_ok());
        view.set_ttl(ttl);
        view.set_tos(tos);
        view.set_src(src.into());
        view.set_dst(dst.into());
        view.set_total_len(len);
        view.set_id(id);
        let incremental = view.checksum();
        view.fill_checksum();
        prop_assert_eq!(incremental, view.checksum());
        prop_assert_eq!((view.ttl(), view.tos(), view.total_len(), view.id()), (ttl, tos, len, id));
        prop_assert_eq!((view.src().to_bits(), view.dst().to_bits()), (src, dst));
        prop_assert_eq!(view.options(), options);
    }

    #[test]
    fn a_hop_less_is_a_time_to_live_set_anew(ttl: u8, src: u32, check: u16) {
        let mut bytes = [0; 20];
        ipv4_repr().emit(&mut bytes);
        bytes[8] = ttl;
        bytes[10..12].copy_from_slice(&check.to_be_bytes());
        bytes[12..16].copy_from_slice(&src.to_be_bytes());
        let mut other = bytes;
        Ipv4::new(&mut bytes[..]).unwrap().decrement_ttl();
        if ttl > 0 {
            Ipv4::new(&mut other[..]).unwrap().set_ttl(ttl - 1);
        }
        prop_assert_eq!(bytes, other);
    }

    #[test]
    fn transport_checksums_follow_a_delta(
        old_src: u32, new_src: u32, old_port: u16, new_port: u16, payload: Vec<u8>,
    ) {
        let (dst, old): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), IpAddr::V4(old_src.into()));
        let new = IpAddr::V4(new_src.into());
        let delta = Delta::new().addr(old, new).word(old_port, new_port);

        let mut udp = vec![0; 8];
        UdpRepr { src_port: old_port, dst_port: 53, payload_len: payload.len() }.emit(&mut udp);
        udp.extend(&payload);
        let mut view = Udp::new(&mut udp[..]).unwrap();
        view.fill_checksum(old, dst);
        view.set_src_port(new_port);
        view.adjust(delta);
        let incremental = view.checksum();
        view.fill_checksum(new, dst);
        prop_assert_eq!(incremental, view.checksum());
        prop_assert_ne!(incremental, 0);

        let mut tcp = vec![0; 20];
        tcp_repr(old_port).emit(&mut tcp);
        tcp.extend(&payload);
        let mut view = Tcp::new(&mut tcp[..]).unwrap();
        view.fill_checksum(old, dst);
        view.set_src_port(new_port);
        view.adjust(delta);
        prop_assert_eq!(transport(new, dst, 6, &tcp), 0);
    }
}

#[test]
fn ipv6_is_written_as_it_is_read() {
    let repr = Ipv6Repr {
        src: "2001:db8::1".parse().unwrap(),
        dst: "2001:db8::2".parse().unwrap(),
        next_header: 58,
        hop_limit: 255,
        traffic_class: 0xb8,
        flow_label: 0xabcde,
        payload_len: 4,
    };
    let mut bytes = [0xff; 46];
    repr.emit(&mut bytes);
    assert_eq!(bytes[..8], [0x6b, 0x8a, 0xbc, 0xde, 0, 4, 58, 255]);
    let mut view = Ipv6::new(&mut bytes[..]).unwrap();
    assert_eq!((view.version(), view.traffic_class(), view.flow_label()), (6, 0xb8, 0xabcde));
    assert_eq!((view.payload_len(), view.next_header(), view.hop_limit()), (4, 58, 255));
    assert_eq!((view.src(), view.dst()), (repr.src, repr.dst));
    assert_eq!(view.payload(), [0xff; 4]);
    view.set_traffic_class(0x1c);
    view.set_flow_label(0xfff1_2345);
    view.set_payload_len(6);
    view.set_next_header(17);
    view.set_hop_limit(1);
    view.set_src(repr.dst);
    view.set_dst(repr.src);
    assert_eq!((view.version(), view.traffic_class(), view.flow_label()), (6, 0x1c, 0x12345));
    assert_eq!((view.payload_len(), view.next_header(), view.hop_limit()), (6, 17, 1));
    assert_eq!((view.src(), view.dst(), view.payload_mut().len()), (repr.dst, repr.src, 6));
}

#[test]
fn extensions_say_where_they_lie_and_who_named_them() {
    let mut bytes = [0; 72];
    (bytes[6], bytes[40], bytes[48], bytes[49], bytes[64]) = (60, 51, 44, 2, 6);
    let view = Ipv6::new(&bytes[..]).unwrap();
    let found: Vec<_> =
        view.extensions().map(|e| (e.kind, e.at, e.len, e.named_at, e.next_header)).collect();
    assert_eq!(found, [(60, 40, 8, 6, 51), (51, 48, 16, 40, 44), (44, 64, 8, 48, 6)]);
}

fn tcp_repr(src_port: u16) -> TcpRepr {
    TcpRepr {
        src_port,
        dst_port: 80,
        seq: SeqNum(0x0102_0304),
        ack: SeqNum(0x0506_0708),
        flags: TcpFlags::SYN | TcpFlags::ACK,
        window: 0x2000,
    }
}

#[test]
fn tcp_is_written_as_it_is_read() {
    let mut bytes = [0xff; 22];
    tcp_repr(4096).emit(&mut bytes);
    let want =
        [0x10, 0, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x12, 0x20, 0, 0, 0, 0, 0, 0xff, 0xff];
    assert_eq!(bytes, want);
    let mut view = Tcp::new(&mut bytes[..]).unwrap();
    assert_eq!(
        (view.src_port(), view.dst_port(), view.window(), view.urgent()),
        (4096, 80, 0x2000, 0)
    );
    assert_eq!(
        (view.seq(), view.ack(), view.header_len()),
        (SeqNum(0x0102_0304), SeqNum(0x0506_0708), 20)
    );
    assert_eq!(view.payload(), [0xff; 2]);
    view.set_src_port(1);
    view.set_dst_port(2);
    view.set_seq(SeqNum(3));
    view.set_ack(SeqNum(4));
    view.set_flags(TcpFlags::RST);
    view.set_window(5);
    view.set_checksum(6);
    assert_eq!(bytes[..20], [0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0x50, 4, 0, 5, 0, 6, 0, 0]);
}

#[test]
fn tcp_flags() {
    let flags = TcpFlags::SYN | TcpFlags::ACK;
    assert_eq!(flags.bits(), 0x12);
    assert!(
        flags.contains(TcpFlags::SYN) && flags.contains(flags) && !TcpFlags::SYN.contains(flags)
    );
    assert!(flags.intersects(TcpFlags::SYN | TcpFlags::FIN) && !flags.intersects(TcpFlags::RST));
    assert_eq!(flags.without(TcpFlags::ACK), TcpFlags::SYN);
    assert_eq!(flags.to_string(), "SYN,ACK");
    assert_eq!(TcpFlags::from_bits(0xff).to_string(), "FIN,SYN,RST,PSH,ACK,URG,ECE,CWR");
    assert_eq!(format!("{:?}", TcpFlags::empty()), "TcpFlags(NONE)");
}

fn with_options(options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    tcp_repr(1).emit(&mut bytes);
    bytes.extend(options);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes[12] = ((bytes.len() / 4) as u8) << 4;
    bytes
}

#[test]
fn tcp_option_rows() {
    // What, the bytes, the kinds found.
    let rows: [(&str, &[u8], &[u8]); 10] = [
        ("none", &[], &[]),
        (
            "a SYN of Linux",
            &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7],
            &[2, 4, 8, 3],
        ),
        ("only padding", &[1, 1, 1, 1], &[]),
        ("the end marker ends it", &[4, 2, 0, 1, 3, 3, 7, 0], &[4]),
        ("a length of 0 ends it", &[4, 2, 99, 0, 3, 3, 7, 0], &[4]),
        ("a length of 1 ends it", &[4, 2, 99, 1, 3, 3, 7, 0], &[4]),
        ("one longer than what is left ends it", &[4, 2, 3, 3], &[4]),
        ("a kind without a length ends it", &[1, 1, 1, 3], &[]),
        ("exactly to the end", &[1, 3, 3, 7], &[3]),
        ("unknown kinds pass", &[253, 4, 1, 2, 3, 3, 7, 1], &[253, 3]),
    ];
    for (what, options, kinds) in rows {
        let bytes = with_options(options);
        let view = Tcp::new(&bytes[..]).unwrap();
        assert_eq!(view.options().map(|option| option.kind).collect::<Vec<_>>(), kinds, "{what}");
    }
}

#[test]
fn tcp_window_scale_rows() {
    let rows: [(&str, &[u8], Option<u8>); 6] = [
        ("absent", &[4, 2, 1, 1], None),
        ("7", &[3, 3, 7, 1], Some(7)),
        ("more than 14 is 14", &[3, 3, 200, 1], Some(14)),
        ("of a wrong length", &[3, 4, 7, 7], None),
        ("of two the last", &[3, 3, 7, 3, 3, 9, 1, 1], Some(9)),
        ("behind the end marker", &[0, 3, 3, 7], None),
    ];
    for (what, options, scale) in rows {
        let bytes = with_options(options);
        assert_eq!(Tcp::new(&bytes[..]).unwrap().window_scale(), scale, "{what}");
    }
}

#[test]
fn tcp_sack_rows() {
    type Row = (&'static str, &'static [u8], bool, Vec<(u32, u32)>);
    let rows: [Row; 6] = [
        ("absent", &[], false, vec![]),
        ("permitted", &[4, 2], true, vec![]),
        ("permitted, of a wrong length", &[4, 3, 0], false, vec![]),
        (
            "two blocks",
            &[5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4],
            false,
            vec![(1, 2), (3, 4)],
        ),
        ("no whole number of blocks", &[5, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0], false, vec![]),
        ("no block", &[5, 2], false, vec![]),
    ];
    for (what, options, permitted, blocks) in rows {
        let bytes = with_options(options);
        let view = Tcp::new(&bytes[..]).unwrap();
        assert_eq!(view.sack_permitted(), permitted, "{what}");
        let found: Vec<_> = view.sack_blocks().map(|(left, right)| (left.0, right.0)).collect();
        assert_eq!(found, blocks, "{what}");
    }
    let bytes = with_options(&[2, 4, 5, 180]);
    assert_eq!(Tcp::new(&bytes[..]).unwrap().mss(), Some(1460));
}

#[test]
fn udp_zero_checksums() {
    let (src, dst) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let mut bytes = [0; 10];
    UdpRepr { src_port: 1, dst_port: 2, payload_len: 2 }.emit(&mut bytes);
    assert_eq!(bytes, [0, 1, 0, 2, 0, 10, 0, 0, 0, 0]);
    let mut view = Udp::new(&mut bytes[..]).unwrap();
    view.adjust(Delta::new().word(1, 7));
    assert_eq!(view.checksum(), 0, "no checksum stays none");
    view.fill_checksum(src, dst);
    let check = view.checksum();
    bytes[8..].copy_from_slice(&check.to_be_bytes());
    let mut view = Udp::new(&mut bytes[..]).unwrap();
    view.fill_checksum(src, dst);
    assert_eq!(view.checksum(), 0xffff, "a sum of zero is written as all ones");
    assert_eq!((view.src_port(), view.dst_port(), view.len()), (1, 2, 10));
    assert_eq!(view.payload(), check.to_be_bytes());
}

#[test]
fn icmp_and_icmpv6() {
    let mut bytes = [8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3];
    let mut view = Icmp::new(&mut bytes[..]).unwrap();
    view.set_id(0x0102);
    view.set_seq(0x0304);
    view.fill_checksum();
    assert!(view.checksum_ok() && !view.is_error());
    assert_eq!((view.kind(), view.code(), view.id(), view.seq()), (8, 0, 0x0102, 0x0304));
    assert_eq!((view.rest(), view.payload()), (0x0102_0304, &[1, 2, 3][..]));
    view.set_id(9);
    view.adjust(Delta::new().word(0x0102, 9));
    assert!(view.checksum_ok());
    let errors: Vec<u8> = (0..=255).filter(|kind| icmp::is_error(*kind)).collect();
    assert_eq!(errors, [3, 4, 5, 11, 12]);

    let (src, dst) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
    let mut view = Icmpv6::new(&mut bytes[..]).unwrap();
    view.set_kind(129);
    view.set_code(0);
    view.set_rest(5);
    view.fill_checksum(src, dst);
    assert_eq!((view.kind(), view.id(), view.seq(), view.is_error()), (129, 0, 5, false));
    assert_eq!(transport(src, dst, 58, &bytes), 0);
    assert!(icmpv6::is_error(127) && !icmpv6::is_error(128));
}

#[test]
fn ethernet_tags_are_skipped() {
    let (dst, src) = ([0xff; 6], [0x02, 0, 0x5e, 0x10, 0, 0x0a]);
    // What, the bytes behind the addresses, EtherType, VLAN ids, offset of the payload.
    type Row = (&'static str, &'static [u8], u16, &'static [u16], usize);
    let rows: [Row; 4] = [
        ("plain", &[8, 0, 0x45], 0x0800, &[], 14),
        ("802.1Q", &[0x81, 0, 0xa0, 5, 0x86, 0xdd, 0x60], 0x86dd, &[5], 18),
        ("802.1ad", &[0x88, 0xa8, 0, 7, 0x81, 0, 0x0f, 0xff, 8, 6], 0x0806, &[7, 4095], 22),
        ("802.3 length", &[0, 3, 1, 2, 3], 3, &[], 14),
    ];
    for (what, rest, ethertype, ids, offset) in rows {
        let bytes = [&dst[..], &src, rest].concat();
        let view = Ethernet::new(&bytes[..]).unwrap();
        assert_eq!((view.ethertype(), view.payload_offset()), (ethertype, offset), "{what}");
        assert_eq!(view.vlan_ids().collect::<Vec<_>>(), ids, "{what}");
        assert_eq!(view.payload(), &bytes[offset..], "{what}");
    }
    let mut frame = [&dst[..], &src, &[8, 0]].concat();
    let mut view = Ethernet::new(&mut frame[..]).unwrap();
    assert_eq!(
        (view.src().to_string().as_str(), view.dst()),
        ("02:00:5e:10:00:0a", MacAddr::BROADCAST)
    );
    view.set_dst(MacAddr(src));
    view.set_src(MacAddr(dst));
    assert_eq!(frame, [&src[..], &dst, &[8, 0]].concat());
    assert!(Ethernet::new(&[&dst[..], &src, &[0x81, 0, 0, 5, 8]].concat()[..]).is_none());
}

/// Calls every getter of every view.
fn read_all(bytes: &[u8]) -> usize {
    let mut seen = 0;
    if let Some(view) = Ipv4::new(bytes) {
        seen += view.options().len() + view.payload().len() + usize::from(view.checksum_ok());
        seen += usize::from(view.fragment_offset()) + view.src().octets().len();
    }
    if let Some(view) = Ipv6::new(bytes) {
        seen += view.payload().len() + view.extensions().count() + view.dst().octets().len();
    }
    if let Some(view) = Tcp::new(bytes) {
        seen += view.options().count() + view.sack_blocks().count() + view.payload().len();
        seen += usize::from(view.window_scale().is_some()) + usize::from(view.mss().is_some());
        seen += usize::from(view.sack_permitted()) + usize::from(view.urgent());
    }
    if let Some(view) = Udp::new(bytes) {
        seen += view.payload().len() + usize::from(view.checksum());
    }
    if let (Some(four), Some(six)) = (Icmp::new(bytes), Icmpv6::new(bytes)) {
        seen += four.payload().len() + six.payload().len() + usize::from(four.checksum_ok());
    }
    if let Some(view) = Ethernet::new(bytes) {
        seen += view.vlan_ids().count() + view.payload().len();
    }
    seen
}

/// Calls every setter whose place depends on a length.
fn write_all(bytes: &mut [u8]) {
    let (src, dst) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([5, 6, 7, 8]));
    if let Some(mut view) = Ipv4::new(&mut *bytes) {
        view.payload_mut().fill(3);
        view.fill_checksum();
    }
    if let Some(mut view) = Ipv6::new(&mut *bytes) {
        view.payload_mut().fill(4);
    }
    if let Some(mut view) = Tcp::new(&mut *bytes) {
        view.options_mut().fill(1);
        view.fill_checksum(src, dst);
    }
    if let Some(mut view) = Udp::new(&mut *bytes) {
        view.fill_checksum(src, dst);
    }
}

proptest! {
    #[test]
    fn no_view_panics_on_any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        for end in 0..=bytes.len() {
            read_all(&bytes[..end]);
        }
        write_all(&mut bytes);
    }
}
