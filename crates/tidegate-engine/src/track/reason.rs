//! Why a packet is INVALID, or was let through without being believed.
//!
//! Every INVALID packet has one of these reasons, and each is counted. The
//! texts are those that Linux writes with `nf_conntrack_log_invalid`, where it
//! writes anything; `doubt` knows where.

use core::fmt;

use super::sctp::SctpState;
use super::tcp::{SegmentKind, TcpState};
use crate::tuple::Direction;

/// Why a packet is INVALID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidReason {
    /// No upper-layer header can be found.
    NoUpperLayer,
    /// An ICMP type that nothing answers.
    NotAnswerable,
    /// No whole TCP header, without its options.
    TcpShort,
    /// A TCP header that is shorter than it says, or says that it is too short.
    TcpTruncated,
    /// The upper-layer checksum is wrong.
    BadChecksum,
    /// A flag combination that no TCP sends.
    TcpFlags,
    /// Not a segment that begins or continues a connection.
    TcpNew,
    /// Mid-stream, and `nf_conntrack_tcp_loose` is off.
    TcpNotLoose,
    /// The state machine has no place for the segment.
    TcpState(SegmentKind, Direction, TcpState),
    /// RST below what the peer has acknowledged.
    TcpRst,
    /// SEQ is over this bound: past the receiver's window.
    TcpSeqOver(u32),
    /// ACK is over this bound: data not seen yet.
    TcpAckOver(u32),
    /// No whole UDP or UDP-Lite header.
    UdpShort,
    /// The UDP length is more than there is, or less than a header.
    UdpLength,
    /// No whole ICMP header.
    IcmpShort,
    /// An ICMP type above 18.
    IcmpType,
    /// An ICMP message that begins nothing: an answer nobody asked for.
    IcmpNew,
    /// An ICMP error about no known flow, or with an unreadable quote.
    IcmpUnrelated,
    /// An ICMP error sent to somebody else than the quoted packet's sender.
    IcmpOuterAddress,
    /// A redirect that is cut short.
    IcmpShortRedirect,
    /// A redirect with a wrong source address or hop limit.
    IcmpRedirect,
    /// A redirect that doesn't quote anything.
    IcmpRedirectOptions,
    /// A UDP-Lite checksum that covers less than the header or more than there
    /// is.
    UdpLiteCoverage,
    /// UDP-Lite without a checksum.
    UdpLiteNoChecksum,
    /// No whole SCTP header.
    SctpShort,
    /// No SCTP chunks, or a cut one.
    SctpCut,
    /// An SCTP chunk that may not stand here, or has no length.
    SctpChunks(MisplacedChunk),
    /// Not a packet that begins an SCTP association.
    SctpNew,
    /// The verification tag is not what it must be with one of these chunks.
    SctpTag,
    /// The verification tag, which comes first, is not the one of the association
    /// in this direction.
    SctpOtherTag(u32, u32, Direction),
    /// The state machine has no place for the chunk of this type.
    SctpState(u8, Direction, SctpState),
    /// GRE of version 1 that does not carry PPP.
    GreProtocol,
}

/// An SCTP chunk that may not stand where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MisplacedChunk {
    /// Its place among the packet's chunks, from 0.
    pub number: u32,
    /// Its type.
    pub kind: u8,
    /// Its length, in bytes.
    pub len: u16,
    /// There has been one that must stand alone.
    pub lonely: bool,
}

impl InvalidReason {
    /// How many reasons there are.
    pub const COUNT: usize = 32;

    /// The counters' names, by index.
    pub const NAMES: [&'static str; Self::COUNT] = [
        "no_upper_layer",
        "not_answerable",
        "tcp_short",
        "tcp_truncated",
        "bad_checksum",
        "tcp_flags",
        "tcp_new",
        "tcp_not_loose",
        "tcp_state",
        "tcp_rst",
        "tcp_seq_over",
        "tcp_ack_over",
        "udp_short",
        "udp_length",
        "icmp_short",
        "icmp_type",
        "icmp_new",
        "icmp_unrelated",
        "icmp_outer_address",
        "icmp_short_redirect",
        "icmp_redirect",
        "icmp_redirect_options",
        "udplite_coverage",
        "udplite_no_checksum",
        "sctp_short",
        "sctp_cut",
        "sctp_chunks",
        "sctp_new",
        "sctp_tag",
        "sctp_other_tag",
        "sctp_state",
        "gre_protocol",
    ];

    /// A dense index below [`InvalidReason::COUNT`]; values are not told apart.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::NoUpperLayer => 0,
            Self::NotAnswerable => 1,
            Self::TcpShort => 2,
            Self::TcpTruncated => 3,
            Self::BadChecksum => 4,
            Self::TcpFlags => 5,
            Self::TcpNew => 6,
            Self::TcpNotLoose => 7,
            Self::TcpState(..) => 8,
            Self::TcpRst => 9,
            Self::TcpSeqOver(_) => 10,
            Self::TcpAckOver(_) => 11,
            Self::UdpShort => 12,
            Self::UdpLength => 13,
            Self::IcmpShort => 14,
            Self::IcmpType => 15,
            Self::IcmpNew => 16,
            Self::IcmpUnrelated => 17,
            Self::IcmpOuterAddress => 18,
            Self::IcmpShortRedirect => 19,
            Self::IcmpRedirect => 20,
            Self::IcmpRedirectOptions => 21,
            Self::UdpLiteCoverage => 22,
            Self::UdpLiteNoChecksum => 23,
            Self::SctpShort => 24,
            Self::SctpCut => 25,
            Self::SctpChunks(_) => 26,
            Self::SctpNew => 27,
            Self::SctpTag => 28,
            Self::SctpOtherTag(..) => 29,
            Self::SctpState(..) => 30,
            Self::GreProtocol => 31,
        }
    }

    /// The counter's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

impl fmt::Display for InvalidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUpperLayer => f.write_str("no upper-layer header"),
            Self::NotAnswerable => f.write_str("no answer to this ICMP type"),
            Self::TcpShort => f.write_str("no whole header"),
            Self::TcpTruncated => f.write_str("truncated packet"),
            Self::BadChecksum => f.write_str("bad checksum"),
            Self::TcpFlags => f.write_str("invalid tcp flag combination"),
            Self::TcpNew => f.write_str("invalid new"),
            Self::TcpNotLoose => f.write_str("mid-stream and tcp_loose is off"),
            Self::TcpState(kind, dir, state) => {
                let (kind, dir, state) = (*kind as u8, dir.index(), state.name());
                write!(f, "packet (index {kind}) in dir {dir} invalid, state {state}")
            }
            Self::TcpRst => f.write_str("invalid rst"),
            Self::TcpSeqOver(bound) => {
                write!(f, "SEQ is over upper bound {bound} (over the window of the receiver)")
            }
            Self::TcpAckOver(bound) => {
                write!(f, "ACK is over upper bound {bound} (ACKed data not seen yet)")
            }
            Self::UdpShort | Self::IcmpShort => f.write_str("short packet"),
            Self::UdpLength => f.write_str("truncated/malformed packet"),
            Self::IcmpType => f.write_str("invalid icmp type"),
            Self::IcmpNew => f.write_str("begins no flow"),
            Self::IcmpUnrelated => f.write_str("about no known flow"),
            Self::IcmpOuterAddress => f.write_str("outer daddr is not the flow's"),
            Self::IcmpShortRedirect => f.write_str("short redirect"),
            Self::IcmpRedirect => f.write_str("invalid saddr or hoplimit for redirect"),
            Self::IcmpRedirectOptions => f.write_str("redirect without options"),
            Self::UdpLiteCoverage => f.write_str("invalid checksum coverage"),
            Self::UdpLiteNoChecksum => f.write_str("checksum missing"),
            Self::SctpShort => f.write_str("nf_ct_sctp: short packet"),
            Self::SctpCut => f.write_str("no whole chunks"),
            Self::SctpChunks(MisplacedChunk { number, kind, len, lonely }) => {
                let (len, flag) = (len.swap_bytes(), u8::from(*lonely));
                write!(f, "do_basic_checks failed. ")?;
                write!(f, "chunk num {number}, type {kind}, len {len} flag {flag}")
            }
            Self::SctpNew => f.write_str("begins no association"),
            Self::SctpTag => f.write_str("wrong verification tag"),
            Self::SctpOtherTag(tag, own, dir) => {
                let (tag, own, dir) = (tag.swap_bytes(), own.swap_bytes(), dir.index());
                write!(f, "verification tag check failed {tag:x} vs {own:x} for dir {dir}")
            }
            Self::SctpState(kind, dir, state) => {
                let (dir, state) = (dir.index(), *state as u8);
                write!(f, "Invalid, old_state {state}, dir {dir}, type {kind}")
            }
            Self::GreProtocol => f.write_str("version 1 without PPP"),
        }
    }
}

/// Why a packet was let through as part of its flow without being believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoreReason {
    /// Out of step with the state machine; the receiver will tell.
    TcpState(SegmentKind, Direction, TcpState),
    /// An answer to a stray SYN, not the last ACK (RFC 5961).
    TcpChallengeAck,
    /// This many bytes more than the window allowed.
    TcpOvershot(u32),
    /// Data already acknowledged, below this bound.
    TcpSeqUnder(u32),
    /// An old ACK, below this bound.
    TcpAckUnder(u32),
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TcpState(kind, dir, state) => {
                let (kind, dir, state) = (*kind as u8, dir.index(), state.name());
                write!(f, "packet (index {kind}) in dir {dir} ignored, state {state}")
            }
            Self::TcpChallengeAck => f.write_str("challenge-ack ignored"),
            Self::TcpOvershot(bytes) => write!(f, "{bytes} bytes more than expected"),
            Self::TcpSeqUnder(bound) => {
                write!(f, "SEQ is under lower bound {bound} (already ACKed data retransmitted)")
            }
            Self::TcpAckUnder(bound) => {
                write!(f, "ignored ACK under lower bound {bound} (possible overly delayed)")
            }
        }
    }
}
