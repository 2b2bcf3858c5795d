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

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;
const OPTION_WINDOW_SCALE: u8 = 3;
const OPTION_SACK_PERMITTED: u8 = 4;
const OPTION_SACK: u8 = 5;
const OPTION_TIMESTAMP: u8 = 8;
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
    const KINDS: [Option<SegmentKind>; 64] = {
        let mut kinds = [None; 64];
        let mut flags = 0;
        while flags < kinds.len() {
            kinds[flags] = kind_of(flags as u8);
            flags += 1;
        }
        kinds
    };
    KINDS[usize::from(flags.bits()) % KINDS.len()]
}

const fn kind_of(flags: u8) -> Option<SegmentKind> {
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
    match flags & (FIN | SYN | RST | ACK | URG) {
        SYN | SYN_URG => Some(SegmentKind::Syn),
        SYN_ACK => Some(SegmentKind::SynAck),
        FIN_ACK | FIN_ACK_URG => Some(SegmentKind::Fin),
        ACK | ACK_URG => Some(SegmentKind::Ack),
        RST | RST_ACK => Some(SegmentKind::Rst),
        _ => None,
    }
}

impl SynOptions {
    /// The options that only a SYN carries; the last of a kind counts. `options` is what lies between the fixed header
    /// and the payload.
    #[inline(always)]
    pub(super) fn of(options: &[u8]) -> Self {
        Self::of_words(options).unwrap_or_else(|| Self::one_by_one(options))
    }

    /// Those that lie in words of four bytes, as Linux, Windows, the BSDs and macOS write them.
    #[inline(always)]
    fn of_words(options: &[u8]) -> Option<Self> {
        let (mut words, _) = options.as_chunks();
        let mut found = Self::default();
        while let [word, rest @ ..] = words {
            words = rest;
            match *word {
                [OPTION_MSS, 4, _, _] => {}
                [OPTION_NOP, OPTION_WINDOW_SCALE, 3, scale] => found.offer_scale(scale),
                [OPTION_NOP, OPTION_NOP, OPTION_SACK_PERMITTED, 2] => found.offer_sack(),
                [OPTION_NOP, OPTION_NOP, OPTION_TIMESTAMP, 10] => words = words.get(2..)?,
                [OPTION_SACK_PERMITTED, 2, OPTION_TIMESTAMP, 10] => {
                    found.offer_sack();
                    words = words.get(2..)?;
                }
                [OPTION_SACK_PERMITTED, 2, OPTION_END, _] => {
                    found.offer_sack();
                    return Some(found);
                }
                _ => return None,
            }
        }
        Some(found)
    }

    #[inline(always)]
    fn offer_sack(&mut self) {
        self.flags.insert(PeerFlags::SACK_PERM);
    }

    #[inline(always)]
    fn offer_scale(&mut self, scale: u8) {
        self.flags.insert(PeerFlags::WINDOW_SCALE);
        self.scale = scale.min(MAX_SCALE);
    }

    /// [`SynOptions::of`], wherever they lie.
    #[inline(never)]
    fn one_by_one(mut options: &[u8]) -> Self {
        let mut found = Self::default();
        loop {
            options = match options {
                [OPTION_NOP, rest @ ..] => rest,
                [OPTION_SACK_PERMITTED, 2, rest @ ..] => {
                    found.offer_sack();
                    rest
                }
                [OPTION_WINDOW_SCALE, 3, scale, rest @ ..] => {
                    found.offer_scale(*scale);
                    rest
                }
                [OPTION_END, ..] | [] | [_] => return found,
                [kind, len, ..] => {
                    // One that is cut, or says that it is shorter than this, ends the list.
                    let Some(rest) = options.get(usize::from(*len)..).filter(|_| *len >= 2) else {
                        return found;
                    };
                    found.has_sack |= *kind == OPTION_SACK;
                    rest
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// What hosts send, and pieces of it.
    const PIECES: [&[u8]; 19] = [
        &[2, 4, 5, 0xb4],
        &[1, 3, 3, 9],
        &[1, 1, 4, 2],
        &[4, 2, 0, 0],
        &[1, 1, 8, 10, 0, 0, 0, 1, 4, 2, 3, 3],
        &[4, 2, 8, 10, 0, 0, 0, 1, 1, 1, 4, 2],
        &[1],
        &[1, 1],
        &[0],
        &[3, 3, 7],
        &[3, 3, 15],
        &[3, 2],
        &[4, 2],
        &[4, 3, 0],
        &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0],
        &[5, 10, 0, 0, 0, 1, 0, 0, 1, 0],
        &[5, 1],
        &[254, 4, 4, 2],
        &[3],
    ];

    proptest! {
        /// Of whatever options: those that `wire` finds one by one.
        #[test]
        fn options_are_those_that_are_there(
            pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..8),
            cut in 0..40usize,
        ) {
            let mut options: Vec<u8> = pieces.concat();
            options.truncate(cut);
            options.resize(options.len().next_multiple_of(4), 0);
            let mut segment = [0; 80];
            segment[12] = ((20 + options.len()) * 4) as u8;
            segment[20..20 + options.len()].copy_from_slice(&options);
            let header = Header::new(&segment[..]).expect("long enough");
            let (found, all) = (SynOptions::of(header.option_bytes()), || header.options());
            let scales = all().filter(|option| option.kind == 3 && option.data.len() == 1);
            let scale = scales.last().map(|option| option.data[0].min(14));
            let offers_sack = all().any(|option| option.kind == 4 && option.data.is_empty());
            prop_assert_eq!(found.scale, scale.unwrap_or(0));
            prop_assert_eq!(found.flags.contains(PeerFlags::WINDOW_SCALE), scale.is_some());
            prop_assert_eq!(found.flags.contains(PeerFlags::SACK_PERM), offers_sack);
            prop_assert_eq!(found.has_sack, all().any(|option| option.kind == 5));
        }
    }
}
