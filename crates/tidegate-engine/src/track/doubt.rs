//! What Linux writes about a packet that it doesn't believe, under `nf_conntrack_log_invalid`.
//!
//! Not every reason has words: some packets are refused in silence. Numbers that the kernel prints
//! as they lie in the packet come out in the byte order of a little-endian machine, as they do there,
//! and a timeout in the ticks of a kernel of 250 Hz.

use alloc::string::{String, ToString};
use core::net::IpAddr;

use tidegate_wire::proto;

use super::tcp::SegmentKind;
use super::{IgnoreReason, InvalidReason};
use crate::limits::Timeout;
use crate::tuple::Direction;

/// Ticks in a second.
const HZ: u64 = 250;

/// What there is to write about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doubt {
    /// A packet is INVALID.
    Invalid(InvalidReason),
    /// It passes, but is not believed.
    Ignored(IgnoreReason),
    /// It ends its flow's long life.
    Shortened(Shortened),
    /// An ICMP error goes to the first address, but is about a packet of the second.
    OuterAddress(IpAddr, IpAddr),
}

/// Both sides of a connection have sent a FIN or RST that doesn't fit: it will not live as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortened {
    /// What this side sent.
    pub(crate) kind: SegmentKind,
    /// Which side that is.
    pub(crate) dir: Direction,
    /// What the other one had sent.
    pub(crate) answers: SegmentKind,
    /// How long the connection may live yet.
    pub(crate) timeout: Timeout,
}

impl Doubt {
    /// The kernel's words about a packet of this protocol, if it has any.
    pub(crate) fn text(self, protocol: u8) -> Option<String> {
        Some(match self {
            Self::Invalid(reason) => return invalid(reason, protocol),
            Self::Ignored(reason) => reason.to_string(),
            Self::Shortened(Shortened { kind, dir, answers, timeout }) => {
                let (kind, dir, answers) = (kind as u8, dir.index(), answers as u8);
                let ticks = u64::from(timeout.0) * HZ;
                alloc::format!(
                    "packet (index {kind}, dir {dir}) response for index {answers} lower timeout to {ticks}"
                )
            }
            Self::OuterAddress(outer, inner) => {
                let [outer, inner] = [outer, inner].map(in_full);
                alloc::format!("outer daddr {outer} != inner {inner}")
            }
        })
    }
}

fn invalid(reason: InvalidReason, protocol: u8) -> Option<String> {
    use InvalidReason as Is;
    Some(match reason {
        Is::NoUpperLayer
        | Is::NotAnswerable
        | Is::TcpShort
        | Is::TcpNotLoose
        | Is::IcmpNew
        | Is::IcmpUnrelated
        | Is::IcmpOuterAddress
        | Is::SctpCut
        | Is::SctpNew
        | Is::SctpTag
        | Is::GreProtocol => return None,
        Is::BadChecksum => bad_checksum(protocol).to_string(),
        Is::TcpTruncated
        | Is::TcpFlags
        | Is::TcpNew
        | Is::TcpState(..)
        | Is::TcpRst
        | Is::TcpSeqOver(_)
        | Is::TcpAckOver(_)
        | Is::UdpShort
        | Is::UdpLength
        | Is::IcmpShort
        | Is::IcmpType
        | Is::IcmpShortRedirect
        | Is::IcmpRedirect
        | Is::IcmpRedirectOptions
        | Is::UdpLiteCoverage
        | Is::UdpLiteNoChecksum
        | Is::SctpShort
        | Is::SctpChunks(_)
        | Is::SctpOtherTag(..)
        | Is::SctpState(..) => reason.to_string(),
    })
}

fn bad_checksum(protocol: u8) -> &'static str {
    match protocol {
        proto::ICMP => "bad hw icmp checksum",
        proto::ICMPV6 => "ICMPv6 checksum failed",
        proto::SCTP => "nf_ct_sctp: bad CRC",
        _ => "bad checksum",
    }
}

/// An address as `printk` writes it: IPv6 with all its zeros.
fn in_full(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| alloc::format!("{group:04x}"));
            groups.join(":")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_kernels() {
        let reply = Direction::Reply;
        let shortened = Shortened {
            kind: SegmentKind::Fin,
            dir: reply,
            answers: SegmentKind::Fin,
            timeout: Timeout(300),
        };
        let [outer, inner] = ["fd00::1", "fd00:1::2"].map(|text| text.parse().expect("an address"));
        let rows = [
            (
                Doubt::Shortened(shortened),
                proto::TCP,
                "packet (index 2, dir 1) response for index 2 lower timeout to 75000",
            ),
            (
                Doubt::OuterAddress(outer, inner),
                proto::ICMPV6,
                "outer daddr fd00:0000:0000:0000:0000:0000:0000:0001 != inner fd00:0001:0000:0000:0000:0000:0000:0002",
            ),
            (
                Doubt::Invalid(InvalidReason::SctpOtherTag(0x9999, 0x2222, reply)),
                proto::SCTP,
                "verification tag check failed 99990000 vs 22220000 for dir 1",
            ),
            (Doubt::Invalid(InvalidReason::BadChecksum), proto::ICMP, "bad hw icmp checksum"),
        ];
        for (doubt, protocol, expected) in rows {
            assert_eq!(doubt.text(protocol).as_deref(), Some(expected));
        }
        let silent = Doubt::Invalid(InvalidReason::TcpNotLoose);
        assert_eq!(silent.text(proto::TCP), None);
    }
}
