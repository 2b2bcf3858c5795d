//! ICMP errors about packets that were seen, and about some that were not.

use super::bytes::{Envelope, addresses, datagram, upper_layer};
use super::places::stranger;
use crate::campaign::dice::Dice;
use crate::campaign::experiment::Side;

/// An error about `quoted`, which was seen on `side`, to its sender.
pub(super) fn error(quoted: &[u8], side: Side, dice: &mut Dice) -> Option<Vec<u8>> {
    let (src, dst) = addresses(quoted)?;
    let mut quote = quoted.to_vec();
    if dice.chance(15) {
        // About a conversation that never was.
        let (at, _) = upper_layer(quoted)?;
        let port = quote.get_mut(at + 1)?;
        *port = port.wrapping_add(77);
    }
    quote.truncate(quote_len(quoted, dice));
    let from = if dice.chance(60) { stranger(src, side) } else { dst };
    let is_v4 = src.is_ipv4();
    let (kind, code) = if is_v4 { *dice.pick(&ERRORS_V4) } else { *dice.pick(&ERRORS_V6) };
    let rest = if dice.chance(30) { [0, 0, 5, 0xdc] } else { [0; 4] };
    let message = [&[kind, code, 0, 0][..], &rest, &quote].concat();
    let envelope = Envelope {
        src: from,
        dst: src,
        proto: if is_v4 { 1 } else { 58 },
        ttl: 64,
        tos: 0xc0,
        id: dice.u16(),
        dont_fragment: false,
    };
    Some(datagram(&envelope, &message))
}

fn quote_len(quoted: &[u8], dice: &mut Dice) -> usize {
    let header = if quoted[0] >> 4 == 4 { 20 } else { 40 };
    match dice.between(0..=9) {
        0 => header + dice.index(9),
        1 => dice.index(header),
        2..=5 => header + 8,
        _ => 520,
    }
}

const ERRORS_V4: [(u8, u8); 9] =
    [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (4, 0), (11, 0), (11, 1), (12, 0)];
const ERRORS_V6: [(u8, u8); 6] = [(1, 0), (1, 4), (2, 0), (3, 0), (4, 1), (100, 0)];
