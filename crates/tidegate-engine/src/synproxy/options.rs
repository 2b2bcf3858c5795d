//! The options of a SYN and the time stamps of all that follow, as the proxy reads, keeps and writes them.
//!
//! Nothing is remembered of a SYN, so what the client offered besides a segment size travels in the time stamp that
//! it is given, and comes back with its ACK:
//!
//! ```text
//! bits 31..6  the clock, in milliseconds
//! bit 5       ECN
//! bit 4       SACK permitted
//! bits 3..0   window scale; 15 for none
//! ```

use alloc::vec::Vec;

use tidegate_wire::checksum::Delta;
use tidegate_wire::offload::Checksum;
use tidegate_wire::packet::tcp::{self, HEADER_LEN, MAX_WINDOW_SCALE, Tcp, TcpFlags, TcpOptions};

use super::Offer;
use crate::time::Instant;
use crate::tuple::Direction;

/// The two time stamps of a segment (RFC 7323 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamps {
    /// The sender's clock.
    pub(crate) value: u32,
    /// The other end's, as last heard.
    pub(crate) echo: u32,
}

/// What a segment offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SynOptions {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) timestamps: Option<Timestamps>,
    /// By its flags, not by an option.
    pub(crate) ecn: bool,
}

const SCALE_BITS: u32 = 0x0f;
const NO_SCALE: u8 = 0x0f;
const SACK_BIT: u32 = 1 << 4;
const ECN_BIT: u32 = 1 << 5;
const CLOCK_BITS: u32 = !0x3f;

impl SynOptions {
    /// The options of a segment; of each kind the last one counts. `None`: its header is cut off.
    pub(crate) fn of(segment: &[u8]) -> Option<Self> {
        let header_len = Tcp::new(segment)?.header_len();
        let mut found = Self::default();
        for option in TcpOptions::new(segment.get(HEADER_LEN..header_len)?) {
            match (option.kind, option.data) {
                (tcp::OPT_MSS, &[high, low]) => found.mss = Some(u16::from_be_bytes([high, low])),
                (tcp::OPT_WINDOW_SCALE, &[scale]) => {
                    found.window_scale = Some(scale.min(MAX_WINDOW_SCALE));
                }
                (tcp::OPT_SACK_PERMITTED, []) => found.sack_permitted = true,
                (tcp::OPT_TIMESTAMPS, data) => {
                    found.timestamps = Timestamps::of(data).or(found.timestamps);
                }
                _ => {}
            }
        }
        Some(found)
    }

    /// What answers these of a client's SYN: what is on offer and the client understands.
    pub(crate) fn answer(self, offer: &Offer, now: Instant) -> Self {
        let mss = self.mss.and(offer.mss);
        let Some(told) = self.timestamps.filter(|_| offer.timestamps) else {
            // Without a time stamp to keep them in, nobody would remember the others.
            return Self { mss, ..Self::default() };
        };
        let window_scale = self.window_scale.filter(|_| offer.window_scale.is_some());
        let sack_permitted = self.sack_permitted && offer.sack_permitted;
        let ecn = self.ecn && offer.ecn;
        let flag = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
        let value = clock(now)
            | u32::from(window_scale.unwrap_or(NO_SCALE))
            | flag(sack_permitted, SACK_BIT)
            | flag(ecn, ECN_BIT);
        Self {
            mss,
            window_scale: window_scale.and(offer.window_scale),
            sack_permitted,
            timestamps: Some(Timestamps { value, echo: told.value }),
            ecn,
        }
    }

    /// What the client offered with the SYN, as its ACK brings it back; these are the ACK's own.
    pub(crate) fn remembered(self, mss: u16) -> Self {
        let with_size = Self { mss: Some(mss), ..self };
        let Some(Timestamps { echo, .. }) = self.timestamps else { return with_size };
        let scale = (echo & SCALE_BITS) as u8;
        let has_scale = scale != NO_SCALE || self.window_scale.is_some();
        Self {
            window_scale: has_scale.then_some(scale),
            sack_permitted: self.sack_permitted || echo & SACK_BIT != 0,
            ecn: echo & ECN_BIT != 0,
            ..with_size
        }
    }

    /// What goes with an acknowledgement: nothing but the time stamps.
    pub(crate) fn of_acknowledgement(timestamps: Option<Timestamps>) -> Self {
        Self { timestamps, ..Self::default() }
    }

    /// The flags that go with ECN (RFC 3168 section 6.1.1), of those that a SYN or its answer carries.
    pub(crate) fn ecn_flags(&self, of: TcpFlags) -> TcpFlags {
        if self.ecn { of } else { TcpFlags::empty() }
    }

    /// The options' bytes, each at a multiple of four.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        const PAD: u8 = tcp::OPT_NOP;
        let mut bytes = Vec::new();
        if let Some(mss) = self.mss {
            let [high, low] = mss.to_be_bytes();
            bytes.extend([tcp::OPT_MSS, 4, high, low]);
        }
        if let Some(Timestamps { value, echo }) = self.timestamps {
            let sack = if self.sack_permitted { [tcp::OPT_SACK_PERMITTED, 2] } else { [PAD; 2] };
            bytes.extend(sack);
            bytes.extend([tcp::OPT_TIMESTAMPS, 10]);
            bytes.extend([value, echo].map(u32::to_be_bytes).as_flattened());
        } else if self.sack_permitted {
            bytes.extend([PAD, PAD, tcp::OPT_SACK_PERMITTED, 2]);
        }
        if let Some(scale) = self.window_scale {
            bytes.extend([PAD, tcp::OPT_WINDOW_SCALE, 3, scale]);
        }
        bytes
    }
}

impl Timestamps {
    fn of(data: &[u8]) -> Option<Self> {
        let (words, []) = data.as_chunks::<4>() else { return None };
        let [value, echo] = *<&[[u8; 4]; 2]>::try_from(words).ok()?;
        Some(Self { value: u32::from_be_bytes(value), echo: u32::from_be_bytes(echo) })
    }

    /// As the other end says them.
    pub(crate) fn swapped(self) -> Self {
        Self { value: self.echo, echo: self.value }
    }
}

fn clock(now: Instant) -> u32 {
    (now.nanos() / 1_000_000) as u32 & CLOCK_BITS
}

/// Corrects the server's clock in a segment: what it says in the reply direction, what it is told in the other one. As
/// in the kernel, the checksum is corrected as if the words lay at even places, and a list that makes no sense is left
/// as it is from there on. Linux: `synproxy_tstamp_adjust`.
pub(crate) fn shift_clock(segment: &mut [u8], checksum: Checksum, dir: Direction, offset: u32) {
    let end = Tcp::new(&*segment).map_or(0, |tcp| tcp.header_len()).min(segment.len());
    let mut at = HEADER_LEN;
    while offset != 0 && at < end {
        let len = match segment[at] {
            tcp::OPT_END => return,
            tcp::OPT_NOP => 1,
            kind => {
                let len = segment.get(at + 1).map_or(0, |len| usize::from(*len));
                if at + 1 == end || at + len > end || len < 2 {
                    return;
                }
                if (kind, len) == (tcp::OPT_TIMESTAMPS, 10) {
                    shift((segment, checksum), at, dir, offset);
                }
                len
            }
        };
        at += len;
    }
}

fn shift((segment, checksum): (&mut [u8], Checksum), option: usize, dir: Direction, offset: u32) {
    let (at, offset) = match dir {
        Direction::Reply => (option + 2, offset.wrapping_neg()),
        Direction::Original => (option + 6, offset),
    };
    let Some(word) = segment.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) else {
        return;
    };
    let old = u32::from_be_bytes(*word);
    let new = old.wrapping_add(offset);
    *word = new.to_be_bytes();
    if let Some(mut tcp) = Tcp::new(segment) {
        let delta = Delta::new().dword(old, new);
        tcp.set_checksum(checksum.mended(tcp.checksum(), Delta::new(), delta));
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use alloc::vec;

    use super::*;

    const ALL: Offer = Offer {
        mss: Some(1400),
        window_scale: Some(9),
        sack_permitted: true,
        timestamps: true,
        ecn: true,
    };
    const STAMPS: Timestamps = Timestamps { value: 77, echo: 0 };

    fn now() -> Instant {
        Instant::ZERO + Duration::from_millis(0x1234_5678)
    }

    fn segment(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend_from_slice(options);
        bytes[12] = (bytes.len() as u8 / 4) << 4;
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let all = SynOptions {
            mss: Some(1400),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(STAMPS),
            ecn: false,
        };
        let rows = [
            (SynOptions::default(), 0),
            (all, 20),
            (SynOptions { sack_permitted: false, ..all }, 20),
            (SynOptions { timestamps: None, ..all }, 12),
            (SynOptions { timestamps: None, sack_permitted: false, ..all }, 8),
            (SynOptions { mss: None, window_scale: None, ..all }, 12),
        ];
        for (options, len) in rows {
            let bytes = options.bytes();
            assert_eq!(bytes.len(), len, "{options:?}");
            assert_eq!(SynOptions::of(&segment(&bytes)), Some(options));
        }
    }

    #[test]
    fn what_the_time_stamp_keeps_comes_back() {
        let all = SynOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(STAMPS),
            ecn: true,
        };
        let rows = [
            ("all", all, ALL, 0x1234_5640 | 0x37),
            ("no scale", SynOptions { window_scale: None, ..all }, ALL, 0x1234_5640 | 0x3f),
            ("no scale on offer", all, Offer { window_scale: None, ..ALL }, 0x1234_5640 | 0x3f),
            ("no SACK", SynOptions { sack_permitted: false, ..all }, ALL, 0x1234_5640 | 0x27),
            ("no ECN on offer", all, Offer { ecn: false, ..ALL }, 0x1234_5640 | 0x17),
        ];
        for (what, client, offer, value) in rows {
            let answer = client.answer(&offer, now());
            assert_eq!(answer.timestamps, Some(Timestamps { value, echo: 77 }), "{what}");
            assert_eq!(answer.window_scale.is_some(), value & 15 != 15, "{what}");
            let ack = SynOptions::of_acknowledgement(Some(Timestamps { value: 80, echo: value }));
            let remembered = ack.remembered(1440);
            assert_eq!(remembered.mss, Some(1440), "{what}");
            assert_eq!(remembered.sack_permitted, answer.sack_permitted, "{what}");
            assert_eq!(remembered.ecn, answer.ecn, "{what}");
            let scale = client.window_scale.filter(|_| offer.window_scale.is_some());
            assert_eq!(remembered.window_scale, scale, "{what}");
        }
    }

    #[test]
    fn without_time_stamps_only_the_segment_size_is_answered() {
        let client = SynOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: None,
            ecn: true,
        };
        let answer = client.answer(&ALL, now());
        assert_eq!(answer, SynOptions { mss: Some(1400), ..SynOptions::default() });
        let nothing = SynOptions { mss: None, ..client }.answer(&ALL, now());
        assert_eq!(nothing, SynOptions::default());
    }

    #[test]
    fn clocks_are_shifted_where_the_servers_is_told() {
        let stamped = |value, echo| {
            segment(&SynOptions::of_acknowledgement(Some(Timestamps { value, echo })).bytes())
        };
        for (dir, before, after) in [
            (Direction::Reply, (1000, 5), (900, 5)),
            (Direction::Original, (5, 900), (5, 1000)),
            (Direction::Reply, (50, 5), (0xffff_ffce, 5)),
        ] {
            let mut bytes = stamped(before.0, before.1);
            shift_clock(&mut bytes, Checksum::Full, dir, 100);
            let timestamps = SynOptions::of(&bytes).unwrap().timestamps;
            assert_eq!(timestamps, Some(Timestamps { value: after.0, echo: after.1 }), "{dir:?}");
        }
    }

    #[test]
    fn a_list_that_makes_no_sense_is_left_as_it_is() {
        let stamps = [8, 10, 0, 0, 0, 9, 0, 0, 0, 9];
        for head in [&[0u8, 0][..], &[5, 40], &[5, 1], &[5, 0]] {
            let options = [head, &stamps].concat();
            let mut bytes = segment(&options);
            shift_clock(&mut bytes, Checksum::Full, Direction::Reply, 1);
            assert_eq!(bytes, segment(&options), "{head:?}");
        }
        let mut short = segment(&[]);
        short[12] = 0xf0;
        shift_clock(&mut short, Checksum::Full, Direction::Reply, 1);
        assert_eq!(SynOptions::of(&short), None);
    }
}
