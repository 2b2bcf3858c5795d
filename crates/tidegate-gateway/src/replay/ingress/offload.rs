//! Checksums that a sender had left to its network card.
//!
//! A capture taken on the sending host sees packets before the card does: the
//! IPv4 header checksum may still be zero, and the TCP or UDP checksum may be
//! the bare sum of the pseudo header, which the card completes on its way out.
//! What the network got was right, so these two, and no other wrong checksums,
//! are completed here as the card did.

use std::net::IpAddr;

use tidegate_wire::checksum::{pseudo_header, transport};
use tidegate_wire::packet::{Ipv4, Ipv6, ipv6};
use tidegate_wire::proto;

/// Completes the checksums of a whole datagram without padding; whether there
/// was one to complete.
pub(super) fn complete(datagram: &mut [u8]) -> bool {
    let header = complete_header(datagram);
    complete_transport(datagram).unwrap_or(false) || header
}

fn complete_header(datagram: &mut [u8]) -> bool {
    let is_ipv4 = datagram.first().is_some_and(|byte| byte >> 4 == 4);
    let Some(mut header) = Ipv4::new(datagram).filter(|_| is_ipv4) else { return false };
    let is_left = header.checksum() == 0 && !header.checksum_ok();
    if is_left {
        header.fill_checksum();
    }
    is_left
}

fn complete_transport(datagram: &mut [u8]) -> Option<bool> {
    let Segment { src, dst, proto, start } = Segment::of(datagram)?;
    let at = match proto {
        proto::TCP => 16,
        proto::UDP => 6,
        _ => return None,
    };
    let segment = datagram.get_mut(start..)?;
    let field = u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?]);
    if field != pseudo_header(src, dst, proto, segment.len()).partial() {
        return Some(false);
    }
    segment[at..at + 2].fill(0);
    let sum = transport(src, dst, proto, segment);
    let sum = if sum == 0 && proto == proto::UDP { 0xffff } else { sum };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    // One right checksum in 65536 looks like the bare sum by chance.
    Some(sum != field)
}

/// Where a datagram that is not a fragment and has no extension headers carries
/// its upper layer.
struct Segment {
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    start: usize,
}

impl Segment {
    fn of(datagram: &[u8]) -> Option<Self> {
        match datagram.first()? >> 4 {
            4 => {
                let header = Ipv4::new(datagram)?;
                let whole = header.fragment_offset() == 0 && !header.more_fragments();
                let (src, dst) = (header.src().into(), header.dst().into());
                let (proto, start) = (header.proto(), header.header_len());
                whole.then_some(Self { src, dst, proto, start })
            }
            6 => {
                let header = Ipv6::new(datagram)?;
                let (src, dst) = (header.src().into(), header.dst().into());
                let proto = header.next_header();
                Some(Self { src, dst, proto, start: ipv6::HEADER_LEN })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10.0.1.2:40000 > 203.0.113.2:53 UDP with five bytes of data.
    fn query() -> Vec<u8> {
        let hex = "45000021000040003f11f4c70a000102cb0071029c400035000dcc717175657279";
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digits).collect()
    }

    #[test]
    fn what_was_left_to_the_card_is_completed() {
        let mut datagram = query();
        datagram[10..12].fill(0);
        let [src, dst]: [IpAddr; 2] = ["10.0.1.2", "203.0.113.2"].map(|addr| addr.parse().unwrap());
        let partial = pseudo_header(src, dst, proto::UDP, 13).partial();
        datagram[26..28].copy_from_slice(&partial.to_be_bytes());
        assert!(complete(&mut datagram));
        assert_eq!(datagram, query());
    }

    #[test]
    fn other_wrong_checksums_stay_wrong() {
        let mut datagram = query();
        assert!(!complete(&mut datagram));
        datagram[11] ^= 1;
        datagram[27] ^= 1;
        let wrong = datagram.clone();
        assert!(!complete(&mut datagram));
        assert_eq!(datagram, wrong);
        for len in 0..datagram.len() {
            complete(&mut datagram[..len]);
        }
    }
}
