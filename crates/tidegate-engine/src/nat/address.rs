//! Which address of a range: a hash, so that a client keeps its address.

use core::net::{IpAddr, Ipv6Addr};

use super::{Manip, NatRange};
use crate::tuple::{Tuple, Zone};

/// Writes an address of the range into the tuple. Linux:
/// `find_best_ips_proto`, with its unkeyed hash of source and destination, so
/// that the same client meets the same server under the same address, also
/// after a restart.
pub(super) fn choose(tuple: &mut Tuple, range: &NatRange, manip: Manip, zone: Zone) {
    let Some((min, max)) = range.addrs else { return };
    let chosen = match min == max {
        true => min,
        false => spread(tuple, (min, max), range.persistent, (manip, zone)),
    };
    match manip {
        Manip::Src => tuple.src = chosen,
        Manip::Dst => tuple.dst = chosen,
    }
}

fn spread(
    tuple: &Tuple,
    (min, max): (IpAddr, IpAddr),
    persistent: bool,
    (manip, zone): (Manip, Zone),
) -> IpAddr {
    let last_word = if tuple.src.is_ipv4() { 0 } else { 3 };
    let (source, destination) = (words(tuple.src), words(tuple.dst));
    let (min, max) = (words(min), words(max));
    // The kernel hashes addresses as they lie in memory: network order read
    // on a little-endian machine.
    let salt =
        if persistent { 0 } else { destination[last_word].swap_bytes() ^ u32::from(zone.id) };
    let mut hash = jhash2(source.map(u32::swap_bytes), salt);
    let mut chosen = [0; 4];
    let mut below_max = false;
    for i in 0..=last_word {
        // Until an upper word is below the maximum the lower ones are bounded.
        let (first, count) = if below_max {
            (0, u32::MAX)
        } else {
            (min[i], max[i].wrapping_sub(min[i]).wrapping_add(1))
        };
        chosen[i] = first.wrapping_add(scaled(hash, count));
        below_max |= chosen[i] != max[i];
        // The kernel chooses in place: a destination is stirred in as just chosen.
        let stirred_in = if manip == Manip::Dst { chosen[i] } else { destination[i] };
        if !persistent {
            hash ^= stirred_in.swap_bytes();
        }
    }
    address(chosen, last_word)
}

/// Maps a hash evenly to 0..count (`reciprocal_scale`).
fn scaled(hash: u32, count: u32) -> u32 {
    ((u64::from(hash) * u64::from(count)) >> 32) as u32
}

fn words(addr: IpAddr) -> [u32; 4] {
    match addr {
        IpAddr::V4(addr) => [addr.to_bits(), 0, 0, 0],
        IpAddr::V6(addr) => {
            let bits = addr.to_bits();
            [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
        }
    }
}

fn address(words: [u32; 4], last_word: usize) -> IpAddr {
    if last_word == 0 {
        return IpAddr::V4(words[0].into());
    }
    let bits = words.iter().fold(0, |bits, word| bits << 32 | u128::from(*word));
    IpAddr::V6(Ipv6Addr::from_bits(bits))
}

/// Bob Jenkins' lookup3 over four words, as Linux seeds it (`jhash2`).
fn jhash2(k: [u32; 4], salt: u32) -> u32 {
    let seed = 0xdead_beef_u32.wrapping_add(4 << 2).wrapping_add(salt);
    let [mut a, mut b, mut c] = [k[0], k[1], k[2]].map(|word| word.wrapping_add(seed));
    for (rotation, step) in [4, 6, 8, 16, 19, 4].into_iter().enumerate().map(|(i, r)| (r, i % 3)) {
        match step {
            0 => (a, c) = mix(a, b, c, rotation),
            1 => (b, a) = mix(b, c, a, rotation),
            _ => (c, b) = mix(c, a, b, rotation),
        }
    }
    a = a.wrapping_add(k[3]);
    for (rotation, step) in
        [14, 11, 25, 16, 4, 14, 24].into_iter().enumerate().map(|(i, r)| (r, i % 3))
    {
        match step {
            0 => c = finish(c, b, rotation),
            1 => a = finish(a, c, rotation),
            _ => b = finish(b, a, rotation),
        }
    }
    c
}

/// One step of the mixing: `x -= z; x ^= rol(z); z += y`.
fn mix(x: u32, y: u32, z: u32, rotation: u32) -> (u32, u32) {
    (x.wrapping_sub(z) ^ z.rotate_left(rotation), z.wrapping_add(y))
}

/// One step of the finish: `x ^= y; x -= rol(y)`.
fn finish(x: u32, y: u32, rotation: u32) -> u32 {
    (x ^ y).wrapping_sub(y.rotate_left(rotation))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux 6.18 chose for DNAT to fd00:1::a-fd00:1::28.
    #[test]
    fn the_destination_of_an_ipv6_range_is_linuxs() {
        let inside = |last: u128| IpAddr::V6((0xfd00_0001 << 96 | last).into());
        let outside = |last: u128| IpAddr::V6((0x2001_0db8_0001 << 80 | last).into());
        let addrs = Some((inside(0x0a), inside(0x28)));
        // Client, persistent, server.
        let rows = [
            (0x52, false, 0x16),
            (0xb2, false, 0x24),
            (0x7a, true, 0x23),
            (0xae, true, 0x0c),
            (0xbc, true, 0x26),
        ];
        for (client, persistent, server) in rows {
            let range = NatRange { addrs, persistent, ..NatRange::default() };
            let (src, dst) = (outside(client), outside(1));
            let mut tuple = Tuple { src, dst, sport: 1000, dport: 80, proto: 6 };
            choose(&mut tuple, &range, Manip::Dst, Zone::default());
            assert_eq!(tuple.dst, inside(server), "for {src}");
        }
    }
}
