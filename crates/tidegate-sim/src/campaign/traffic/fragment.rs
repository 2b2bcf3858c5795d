//! Datagrams in pieces: in order and out of it, twice, overlapping, or not all of them.

use super::bytes::complete_header_checksum;
use super::mutate::set_length;
use crate::campaign::dice::Dice;

/// The fragments of a datagram, as they may come; the datagram itself if it can't be cut.
pub(super) fn fragments(datagram: &[u8], dice: &mut Dice) -> Vec<Vec<u8>> {
    let header = if datagram[0] >> 4 == 4 { usize::from(datagram[0] & 15) * 4 } else { 40 };
    let units = datagram.len().saturating_sub(header + 1) / 8;
    if units == 0 {
        return vec![datagram.to_vec()];
    }
    let id = dice.u32();
    let cuts = cuts(units, dice);
    let mut pieces: Vec<(usize, usize)> = cuts.windows(2).map(|cut| (cut[0], cut[1])).collect();
    let end = datagram.len() - header;
    if let Some(last) = pieces.last_mut() {
        last.1 = end;
    }
    disturb(&mut pieces, dice);
    pieces.iter().map(|(from, to)| piece(datagram, header, (*from, *to), id)).collect()
}

/// Where to cut, in bytes of payload.
fn cuts(units: usize, dice: &mut Dice) -> Vec<usize> {
    let mut cuts = vec![0];
    for _ in 0..dice.between(1..=3) {
        cuts.push((1 + dice.index(units)) * 8);
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts.push(usize::MAX);
    cuts
}

fn disturb(pieces: &mut Vec<(usize, usize)>, dice: &mut Dice) {
    match dice.between(0..=9) {
        0 | 1 => pieces.reverse(),
        2 => pieces.rotate_left(1),
        3 => {
            let at = dice.index(pieces.len());
            let again = pieces[at];
            pieces.insert(dice.index(pieces.len() + 1), again);
        }
        4 => {
            pieces.remove(dice.index(pieces.len()));
        }
        5 => {
            // Begins too early, into its predecessor.
            let at = dice.index(pieces.len());
            pieces[at].0 = pieces[at].0.saturating_sub(8);
        }
        6 => {
            let at = dice.index(pieces.len());
            if pieces[at].1 > pieces[at].0 + 8 {
                let end = pieces[at].1;
                pieces.push((pieces[at].0, end - 8));
            }
        }
        _ => {}
    }
}

fn piece(datagram: &[u8], header: usize, (from, to): (usize, usize), id: u32) -> Vec<u8> {
    let payload = &datagram[header..];
    let (from, to) = (from.min(payload.len()), to.min(payload.len()));
    let more = to < payload.len();
    let mut piece = datagram[..header].to_vec();
    if datagram[0] >> 4 == 4 {
        piece[4..6].copy_from_slice(&(id as u16).to_be_bytes());
        let flags = (from / 8) as u16 | if more { 0x2000 } else { 0 };
        piece[6..8].copy_from_slice(&flags.to_be_bytes());
    } else {
        let next = std::mem::replace(&mut piece[6], 44);
        let offset = from as u16 & 0xfff8 | u16::from(more);
        piece.extend([next, 0]);
        piece.extend(offset.to_be_bytes());
        piece.extend(id.to_be_bytes());
    }
    piece.extend(&payload[from..to.max(from)]);
    let len = piece.len();
    set_length(&mut piece, len);
    complete_header_checksum(&mut piece);
    piece
}
