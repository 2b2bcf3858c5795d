//! A segment, checked for sanity before anything is believed.

use tidegate_wire::SeqNum;
use tidegate_wire::packet::tcp::{Tcp as Header, TcpFlags};

use super::state::PeerFlags;
use crate::track::InvalidReason;

/// What a segment is to the state machine, with the kernel's numbers
/// (`enum tcp_bit_set`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// SYN without ACK.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// FIN.
    Fin,
    /// ACK and nothing of the others.
    Ack,
    /// RST.
    Rst,
}

/// A sane segment.
pub(super) struct SegmentView<'a> {
    pub(super) tcp: Header<&'a [u8]>,
    pub(super) flags: TcpFlags,
    pub(super) kind: SegmentKind,
    /// Sequence number after its last octet; SYN and FIN count.
    pub(super) end: SeqNum,
}

/// What the options of a SYN say.
#[derive(Clone, Copy, Default)]
pub(super) struct SynOptions {
    pub(super) flags: PeerFlags,
    pub(super) scale: u8,
    /// Whether there are selective acknowledgements, too.
    pub(super) has_sack: bool,
}

const OPTION_WINDOW_SCALE: u8 = 3;
const OPTION_SACK_PERMITTED: u8 = 4;
const OPTION_SACK: u8 = 5;
/// The largest scale that RFC 7323 2.3 allows.
const MAX_SCALE: u8 = 14;

/// A segment whose checksum nobody doubts.
#[inline(always)]
pub(super) fn read(payload: &[u8]) -> Result<SegmentView<'_>, InvalidReason> {
    check(payload, || false)
}

/// Refuses what no TCP sends. Linux: `tcp_error`.
#[inline(always)]
pub(super) fn check(
    payload: &[u8],
    has_bad_checksum: impl FnOnce() -> bool,
) -> Result<SegmentView<'_>, InvalidReason> {
    let tcp = Header::new(payload).ok_or(InvalidReason::TcpShort)?;
    let header_len = tcp.header_len();
    if header_len < 20 || header_len > payload.len() {
        return Err(InvalidReason::TcpTruncated);
    }
    if has_bad_checksum() {
        return Err(InvalidReason::BadChecksum);
    }
    let flags = tcp.flags();
    let kind = classify(flags).ok_or(InvalidReason::TcpFlags)?;
    let syn_fin =
        u32::from(flags.contains(TcpFlags::SYN)) + u32::from(flags.contains(TcpFlags::FIN));
    let end = tcp.seq() + (payload.len() - header_len) as u32 + syn_fin;
    Ok(SegmentView { tcp, flags, kind, end })
}

/// The kind of a flag combination; PSH, ECE and CWR go with everything, URG
/// with all but RST and SYN/ACK.
#[inline(always)]
pub(super) fn classify(flags: TcpFlags) -> Option<SegmentKind> {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;
    const URG: u8 = 0x20;
    const SYN_ACK: u8 = SYN | ACK;
    const RST_ACK: u8 = RST | ACK;
    const FIN_ACK: u8 = FIN | ACK;
    const SYN_URG: u8 = SYN | URG;
    const FIN_ACK_URG: u8 = FIN | ACK | URG;
    const ACK_URG: u8 = ACK | URG;
    match flags.bits() & (FIN | SYN | RST | ACK | URG) {
        SYN | SYN_URG => Some(SegmentKind::Syn),
        SYN_ACK => Some(SegmentKind::SynAck),
        FIN_ACK | FIN_ACK_URG => Some(SegmentKind::Fin),
        ACK | ACK_URG => Some(SegmentKind::Ack),
        RST | RST_ACK => Some(SegmentKind::Rst),
        _ => None,
    }
}

impl SynOptions {
    /// The options that only a SYN carries; the last of a kind counts.
    pub(super) fn of<T: AsRef<[u8]>>(tcp: &Header<T>) -> Self {
        let mut found = Self::default();
        for option in tcp.options() {
            match (option.kind, option.data) {
                (OPTION_SACK_PERMITTED, []) => found.flags.insert(PeerFlags::SACK_PERM),
                (OPTION_WINDOW_SCALE, [scale]) => {
                    found.flags.insert(PeerFlags::WINDOW_SCALE);
                    found.scale = (*scale).min(MAX_SCALE);
                }
                (OPTION_SACK, _) => found.has_sack = true,
                _ => {}
            }
        }
        found
    }
}

impl SegmentView<'_> {
    pub(super) fn has(&self, flag: TcpFlags) -> bool {
        self.flags.contains(flag)
    }

    /// The highest right edge of the first SACK option (RFC 2018 3), if it is
    /// higher than the acknowledgement.
    pub(super) fn highest_sack(&self) -> SeqNum {
        let ack = self.tcp.ack();
        self.tcp
            .options()
            .find(|option| option.kind == OPTION_SACK && is_whole_blocks(option.data))
            .into_iter()
            .flat_map(|option| option.data.chunks_exact(8))
            .map(|block| SeqNum(u32::from_be_bytes([block[4], block[5], block[6], block[7]])))
            .fold(ack, SeqNum::max)
    }
}

fn is_whole_blocks(data: &[u8]) -> bool {
    !data.is_empty() && data.len().is_multiple_of(8)
}
