//! What the file's head promises, as far as it can be seen: pairs, single bits, and the inputs that
//! networks and attackers make.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::table::key::{Key, Key4, Key6};
use crate::table::lines::Lines;

fn keys(count: u64) -> impl Iterator<Item = IndexKey> {
    (0..count).map(|number| IndexKey::new([number, !number]))
}

/// How many standard deviations a number of rare events lies away from what is expected.
fn deviation(found: u64, expected: f64) -> f64 {
    (found as f64 - expected) / expected.sqrt()
}

proptest! {
    /// The same with numbers that have room for what is cut off.
    #[test]
    fn the_sum_is_what_half_multiplication_means(seed: [u64; 2], words: [u64; 5]) {
        let key = IndexKey::new(seed);
        let cut = u128::from(u64::MAX);
        let character = |term: u64, word: u32| (u128::from(term) + u128::from(word)) & cut;
        let products = key.terms.iter().zip(words).map(|([one, other], word)| {
            character(*one, word as u32).wrapping_mul(character(*other, (word >> 32) as u32))
        });
        let sum = products.fold(u128::from(key.offset), u128::wrapping_add) as u64;
        prop_assert_eq!(key.hash(words), key.stir((sum >> 32) as u32));
    }

    #[test]
    fn stirring_can_be_undone(seed: [u64; 2], word: u32) {
        let inverse = |odd: u32| {
            (0..5).fold(odd, |x, _| x.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(x))))
        };
        let key = IndexKey::new(seed);
        let [first, second] = key.stirring;
        let back = [second, first].into_iter().fold(key.stir(word), |word, factor| {
            let mixed = word.wrapping_mul(inverse(factor as u32));
            mixed ^ mixed >> 16
        });
        prop_assert_eq!(back, word);
    }
}

#[test]
fn every_number_of_a_key_is_drawn_by_itself() {
    let key = IndexKey::new([5, 6]);
    let mut drawn: Vec<u64> = key.terms.concat();
    drawn.push(key.offset);
    let own: Vec<u64> = (0..11).map(|number| SipKey([5, 6]).hash_words([number])).collect();
    assert_eq!(drawn[10..], own[..1]);
    assert_eq!(drawn[..10], own[1..]);
    assert_ne!(key.stirring[0], key.stirring[1]);
}

/// The bench finds collisions by a hash of its own with the key of zeros: the same numbers stand there.
#[test]
fn the_key_of_zeros_gives_what_the_bench_takes_for_it() {
    let key = IndexKey::new([0, 0]);
    let v4 = Key4 { addresses: [10, 0, 0, 1, 192, 0, 2, 1], ports: [4, 210, 0, 80] };
    let mut dst = [0; 16];
    dst[..2].copy_from_slice(&[0x20, 1]);
    let v6 = Key6 { src: [0xfd; 16], dst, ports: [4, 210, 0, 80] };
    assert_eq!([v4.hash(&key, 6, 0), v6.hash(&key, 6, 0)], [195_151_747, 3_121_105_785]);
}

/// Two inputs share the upper or the lower 12 bits of their hashes as often as two random numbers.
#[test]
fn a_pair_meets_as_often_as_chance_has_it() {
    const KEYS: u64 = 20_000;
    let pairs: [(&str, [u64; 2], [u64; 2]); 10] = [
        ("the lowest bit", [7, 9], [6, 9]),
        ("the highest bit", [7, 9], [7 | 1 << 63, 9]),
        ("both words", [7, 9], [8, 8]),
        ("words exchanged", [7, 9], [9, 7]),
        ("all but one bit", [1, 0], [!0, !0]),
        ("nothing but zeros", [0, 0], [0, 1 << 32]),
        ("one more and one less", [1 << 40, 1 << 40], [(1 << 40) + 1, (1 << 40) - 1]),
        ("halves exchanged", [7 | 9 << 32, 1], [9 | 7 << 32, 1]),
        ("halves with one sum", [8 | 8 << 32, 1], [9 | 7 << 32, 1]),
        ("halves of two words exchanged", [1 | 7 << 32, 9 | 1 << 32], [1 | 9 << 32, 7 | 1 << 32]),
    ];
    for (what, one, other) in pairs {
        let (mut upper, mut lower) = (0, 0);
        for key in keys(KEYS) {
            let apart = key.hash(one) ^ key.hash(other);
            upper += u64::from(apart >> 20 == 0);
            lower += u64::from(apart & 0xfff == 0);
        }
        let expected = KEYS as f64 / 4096.0;
        assert!(deviation(upper, expected) < 5.0, "{what}: {upper} times");
        assert!(deviation(lower, expected) < 5.0, "{what}: {lower} times");
    }
}

/// Each bit of the input changes each bit of the hash half of the time.
#[test]
fn every_bit_of_the_input_counts_for_every_bit_of_the_hash() {
    const KEYS: u64 = 2_000;
    for bit in 0..128 {
        let mut flips = [0_u64; 32];
        for (number, key) in keys(KEYS).enumerate() {
            let one = [0x1234_5678_9abc_def0 ^ number as u64, 0x0fed_cba9_8765_4321];
            let mut other = one;
            other[bit / 64] ^= 1 << (bit % 64);
            let apart = key.hash(one) ^ key.hash(other);
            (0..32).for_each(|out| flips[out] += u64::from(apart >> out & 1));
        }
        let half = KEYS as f64 / 2.0;
        let worst = flips.map(|flips| deviation(flips, half).abs()).into_iter().fold(0.0, f64::max);
        assert!(worst < 4.0, "bit {bit}: {worst} deviations");
    }
}

/// Tuples as networks have them, and as somebody counts them up who wants to gather them in one place.
fn structured(count: u32) -> Vec<(&'static str, Vec<Key4>)> {
    let key = |src: u32, dst: u32, sport: u16, dport: u16| {
        let [a, b, c, d] = src.to_be_bytes();
        let [e, f, g, h] = dst.to_be_bytes();
        let ([i, j], [k, l]) = (sport.to_be_bytes(), dport.to_be_bytes());
        Key4 { addresses: [a, b, c, d, e, f, g, h], ports: [i, j, k, l] }
    };
    let all = |of: &dyn Fn(u32) -> Key4| (0..count).map(of).collect::<Vec<_>>();
    alloc::vec![
        ("ports of one client", all(&|n| key(0x0a00_0001 + (n >> 16), 9, n as u16, 443))),
        ("ports of one server", all(&|n| key(9, 0x0a00_0001 + (n >> 16), 443, n as u16))),
        ("clients in a row", all(&|n| key(0x0a00_0000 + n, 0xc633_6401, 1024, 53))),
        ("networks in a row", all(&|n| key(n << 8, 0xc633_6401, 1024, 53))),
        ("both ends together", all(&|n| key(n, !n, 5000, 5000))),
        ("both ends apart", all(&|n| key(0x6000_0000 | n, 0x1000_0000 | !n & 0xfffff, 7, 7))),
        ("ends with one sum", all(&|n| key(n, 0x0100_0000 - n, n as u16, !n as u16))),
        ("pages and steps", all(&|n| key(n << 12, n, (n & 3) as u16, 0))),
    ]
}

/// Homes of a thousand each get as many as by lot, by the upper bits as by the lower.
#[test]
fn structured_tuples_spread_evenly() {
    const HOMES: usize = 1024;
    for (what, tuples) in structured(100_000) {
        for secret in keys(4) {
            let (mut upper, mut lower) = ([0_u64; HOMES], [0_u64; HOMES]);
            for tuple in &tuples {
                let hash = tuple.hash(&secret, 6, 0);
                upper[(hash >> 22) as usize] += 1;
                lower[(hash & 1023) as usize] += 1;
            }
            let mean = tuples.len() as f64 / HOMES as f64;
            for counts in [upper, lower] {
                let squares = counts.iter().map(|n| (*n as f64 - mean).powi(2) / mean);
                // The expectation is 1,023, the deviation 45.
                let chi: f64 = squares.sum();
                assert!(chi < 1300.0, "{what}: chi-square {chi}");
            }
        }
    }
}

/// What is filed in the index stays near its home.
#[test]
fn structured_tuples_need_no_other_key() {
    for (what, tuples) in structured(200_000) {
        for secret in keys(2) {
            let mut lines = Lines::new();
            for (id, tuple) in (0..).zip(&tuples) {
                lines.insert(tuple.hash(&secret, 17, 0), id);
            }
            assert!(!lines.is_stressed(), "{what}");
        }
    }
}

#[test]
fn zone_and_protocol_and_every_byte_of_a_tuple_count() {
    for secret in keys(50) {
        let plain = Key6 { src: [1; 16], dst: [2; 16], ports: [3, 4, 5, 6] };
        let own = plain.hash(&secret, 6, 0);
        assert_eq!(own, plain.swapped().hash(&secret, 6, 0));
        assert_ne!(own, plain.hash(&secret, 17, 0));
        assert_ne!(own, plain.hash(&secret, 6, 1));
        for at in 0..16 {
            let mut other = plain;
            other.src[at] ^= 0x80;
            assert_ne!(own, other.hash(&secret, 6, 0), "byte {at} of the source");
            let mut other = plain;
            other.dst[at] ^= 1;
            assert_ne!(own, other.hash(&secret, 6, 0), "byte {at} of the destination");
        }
        for at in 0..4 {
            let mut other = plain;
            other.ports[at] ^= 1;
            assert_ne!(own, other.hash(&secret, 6, 0), "byte {at} of the ports");
        }
    }
}
