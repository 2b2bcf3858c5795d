//! What senders, links and attackers do to packets.

use super::bytes::{
    ACK, FIN, RST, SYN, Segment, complete_checksums, complete_header_checksum, upper_layer,
};
use crate::campaign::dice::Dice;

/// Changes a field of a TCP segment; checksums will be right.
pub(super) fn segment(segment: &mut Segment, dice: &mut Dice) {
    match dice.between(0..=9) {
        0 | 1 => segment.seq = segment.seq.wrapping_add(*dice.pick(&LEAPS)),
        2 | 3 => segment.ack = segment.ack.wrapping_add(*dice.pick(&LEAPS)),
        4 => segment.flags = dice.u8(),
        5 => segment.window = *dice.pick(&[0, 1, 65535]),
        6 => {
            segment.flags = RST | if dice.chance(50) { ACK } else { 0 };
            segment.seq = segment.seq.wrapping_add(*dice.pick(&[0, 0, 1, 100, 100_000_000]));
        }
        7 => (segment.flags, segment.seq) = (SYN, dice.u32()),
        8 => segment.flags |= FIN,
        _ => {
            let len = *dice.pick(&[4, 8, 20]);
            segment.options = dice.bytes(len).iter().map(|byte| byte % 12).collect();
        }
    }
}

/// How far sequence numbers may be off.
const LEAPS: [u32; 10] = [
    1,
    1u32.wrapping_neg(),
    1000,
    1000u32.wrapping_neg(),
    66_000,
    66_000u32.wrapping_neg(),
    70_000,
    100_000_000,
    1 << 31,
    0x7fff_ffff,
];

/// Damages a datagram.
pub(super) fn damage(datagram: &mut Vec<u8>, dice: &mut Dice) {
    match dice.between(0..=9) {
        0 | 1 => break_checksum(datagram, dice),
        2 | 3 => flip_upper(datagram, dice),
        4 => cut(datagram, dice),
        5 => age(datagram, dice),
        6 => retype(datagram, dice),
        7 => datagram.extend(dice.bytes(7)),
        8 => mislead(datagram, dice),
        _ => extend(datagram, dice),
    }
}

/// The upper layer's checksum, or that of the IPv4 header.
fn break_checksum(datagram: &mut [u8], dice: &mut Dice) {
    let Some((at, proto)) = upper_layer(datagram) else { return };
    let place = match proto {
        6 => at + 16,
        17 | 136 => at + 6,
        132 => at + 8,
        _ => at + 2,
    };
    let is_header = dice.chance(15) && datagram[0] >> 4 == 4;
    let place = if is_header { 10 } else { place };
    if let Some(byte) = datagram.get_mut(place) {
        *byte ^= 0x5a;
    }
    if proto == 17 && dice.chance(30) && !is_header {
        // UDP without a checksum.
        datagram[place..place + 2].fill(0);
    }
}

/// A byte of the upper layer's header, with or without the checksum being made right.
fn flip_upper(datagram: &mut [u8], dice: &mut Dice) {
    let Some((at, _)) = upper_layer(datagram) else { return };
    let len = datagram.len().saturating_sub(at).min(24);
    if len == 0 {
        return;
    }
    datagram[at + dice.index(len)] ^= 1 << dice.between(0..=7);
    if dice.chance(80) {
        complete_checksums(datagram);
    }
}

/// Cuts the end off; the lengths in the IP header follow, or do not.
fn cut(datagram: &mut Vec<u8>, dice: &mut Dice) {
    let header = if datagram[0] >> 4 == 4 { 20 } else { 40 };
    let len = header + dice.index(datagram.len() - header + 1).min(30);
    datagram.truncate(len);
    if dice.chance(85) {
        set_length(datagram, len);
        complete_header_checksum(datagram);
    }
}

fn age(datagram: &mut [u8], dice: &mut Dice) {
    let at = if datagram[0] >> 4 == 4 { 8 } else { 7 };
    datagram[at] = *dice.pick(&[0, 1, 2, 255]);
    complete_header_checksum(datagram);
}

/// Another protocol's number over the same bytes.
fn retype(datagram: &mut [u8], dice: &mut Dice) {
    let (at, ours) = if datagram[0] >> 4 == 4 { (9, 1) } else { (6, 58) };
    datagram[at] = *dice.pick(&[ours, 6, 17, 33, 47, 50, 132, 136, 200]);
    if dice.chance(70) {
        complete_checksums(datagram);
    }
    complete_header_checksum(datagram);
}

/// Lengths that are not those of the packet.
fn mislead(datagram: &mut [u8], dice: &mut Dice) {
    let len = datagram.len() as u32;
    let told = *dice.pick(&[0, 8, len.saturating_sub(4), len.saturating_sub(1), len + 1, len + 40]);
    match upper_layer(datagram) {
        Some((at, 17)) if dice.chance(60) && at + 8 <= datagram.len() => {
            datagram[at + 4..at + 6].copy_from_slice(&(told as u16).to_be_bytes());
        }
        Some((at, 6)) if dice.chance(60) && at + 13 <= datagram.len() => {
            datagram[at + 12] = dice.u8() & 0xf0;
            complete_checksums(datagram);
        }
        _ => set_length(datagram, told as usize),
    }
    complete_header_checksum(datagram);
}

/// IPv6 extension headers, or IPv4 options that nobody works on.
fn extend(datagram: &mut Vec<u8>, dice: &mut Dice) {
    if datagram[0] >> 4 == 4 {
        let options = *dice.pick(&[[1, 1, 1, 0], [148, 4, 0, 0], [1, 1, 1, 1]]);
        datagram.splice(20..20, options);
        datagram[0] = 0x46;
    } else {
        let header = *dice.pick(&[0, 60, 43]);
        let next = std::mem::replace(&mut datagram[6], header);
        let body: [u8; 7] =
            if header == 43 { [0, 0, 0, 0, 0, 0, 0] } else { [0, 1, 4, 0, 0, 0, 0] };
        datagram.splice(40..40, [&[next][..], &body].concat());
    }
    let len = datagram.len();
    set_length(datagram, len);
    complete_header_checksum(datagram);
}

/// Writes the length of the whole datagram into its header.
pub(super) fn set_length(datagram: &mut [u8], len: usize) {
    let (at, len) = if datagram[0] >> 4 == 4 { (2, len) } else { (4, len.saturating_sub(40)) };
    datagram[at..at + 2].copy_from_slice(&(len as u16).to_be_bytes());
}
