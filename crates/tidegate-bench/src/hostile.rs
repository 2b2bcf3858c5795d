//! Hostile traffic: SYNs of an attacker who knows the code and not the key.
//!
//! What collides is found as he would find it: by computing, offline, hashes of the kind that a
//! table like this has, with a key that he can only guess.

use core::hash::Hasher;
use core::net::IpAddr;
use std::hash::DefaultHasher;
use std::sync::Arc;

use tidegate_engine::tuple::Tuple;
use tidegate_wire::{Family, proto};

use crate::order::mix64;
use crate::plan::{Ends, Place, Side};
use crate::ring::{BURST, Body, Ring, SYN};
use crate::traffic::Traffic;

/// What the attacker is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Tuples that share a bucket under unkeyed hashes: one half by the engine's own with a key of zeros,
    /// one half by having the same sum and the same exclusive or of both ends, which every hash that
    /// is symmetric by such an operation maps to one value, whatever its key.
    Collisions,
    /// Random sources, random ports: as many half-open flows as the table takes.
    SynFlood,
    /// One server, one port; all that differs is what a sender can choose of himself, and he counts
    /// it up.
    OneBucket,
    /// Nothing: random sources and ports, as many flows as in the other cases, again and again. What
    /// the others are compared with.
    Nothing,
}

/// SYNs without end, of a bounded number of flows that are sent again and again.
#[derive(Clone, Debug)]
pub struct Hostile {
    aim: Aim,
    chosen: Arc<[Ends]>,
    next: u32,
    flows: u32,
}

impl Hostile {
    /// An attacker with that many flows. A flood never repeats itself.
    #[must_use]
    pub fn new(aim: Aim, family: Family, flows: u32) -> Self {
        let chosen = match aim {
            Aim::Collisions => collisions(family, flows),
            Aim::SynFlood | Aim::OneBucket | Aim::Nothing => Arc::new([]),
        };
        Self { aim, chosen, next: 0, flows }
    }

    /// How many flows he has.
    #[must_use]
    pub fn flows(&self) -> u32 {
        self.flows
    }

    #[inline]
    fn ends(&mut self) -> Ends {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        match self.aim {
            Aim::Collisions => self.chosen[number as usize % self.chosen.len()],
            Aim::SynFlood => from_anywhere(mix64(u64::from(number))),
            Aim::Nothing => from_anywhere(mix64(u64::from(number % self.flows))),
            Aim::OneBucket => counted(number % self.flows),
        }
    }
}

impl Traffic for Hostile {
    fn burst(&mut self, ring: &mut Ring) {
        ring.clear();
        for _ in 0..BURST {
            let ends = self.ends();
            ring.push(&ends, Body::Tcp { flags: SYN, seq: 1, ack: 0 });
        }
    }
}

/// Towards one server behind the router.
fn to_server(source: u32, port: u16) -> Ends {
    let client = Place { side: Side::Outsider, host: source };
    let server = Place { side: Side::Client, host: 1 };
    Ends { client, server, client_port: port, server_port: 443 }
}

/// A source in 64.0.0.0/3 (none of it is special) and any port.
fn from_anywhere(random: u64) -> Ends {
    to_server(0x4000_0000 | (random as u32 & 0x1fff_ffff), (random >> 32) as u16 | 1024)
}

/// Ports first, then the next address.
fn counted(number: u32) -> Ends {
    to_server(0x5000_0000 + (number >> 15), 32_768 + (number & 0x7fff) as u16)
}

/// Half by trying, half by construction.
fn collisions(family: Family, flows: u32) -> Arc<[Ends]> {
    let tried = found_by_trying(family, flows.min(MOST_TRIED) / 2);
    let built = (0..flows - tried.len() as u32).map(symmetric);
    tried.iter().copied().chain(built).collect()
}

/// Tuples whose unkeyed hash falls into the same of 4,096 buckets, which takes as many tries each.
fn found_by_trying(family: Family, wanted: u32) -> Vec<Ends> {
    let hash = Unkeyed::new();
    let tries = (0..).map(|number| from_anywhere(mix64(0x00c0_111d_0000_0000 | number)));
    tries.filter(|ends| hash.of(family, ends) >> 20 == 0).take(wanted as usize).collect()
}

/// The engine's hash (`table::index_key`), with the secret that it makes of zeros.
struct Unkeyed {
    offset: u64,
    terms: [[u64; 2]; 5],
    stirring: [u32; 2],
}

impl Unkeyed {
    fn new() -> Self {
        let word = |number: u64| {
            let mut hasher = DefaultHasher::new();
            hasher.write(&number.to_le_bytes());
            hasher.finish()
        };
        let terms = [1, 3, 5, 7, 9].map(|first| [word(first), word(first + 1)]);
        Self { offset: word(0), terms, stirring: [11, 12].map(|number| word(number) as u32 | 1) }
    }

    fn of(&self, family: Family, ends: &Ends) -> u32 {
        self.of_tuple(&ends.tuple(family, proto::TCP))
    }

    /// Of both ends in the order of their values, the protocol and zone 0.
    fn of_tuple(&self, tuple: &Tuple) -> u32 {
        let (Tuple { src, dst, sport, dport, proto }, family) = (*tuple, tuple.family());
        let bits = |addr| match addr {
            IpAddr::V4(addr) => u128::from(u32::from_le_bytes(addr.octets())),
            IpAddr::V6(addr) => u128::from_le_bytes(addr.octets()),
        };
        let end = |addr, port: u16| (u64::from(port.swap_bytes()), bits(addr));
        let mut sides = [end(src, sport), end(dst, dport)];
        sides.sort_unstable_by_key(|(port, bits)| match family {
            Family::V4 => (u128::from(*port), *bits),
            Family::V6 => (*bits, u128::from(*port)),
        });
        let [(low_port, low), (high_port, high)] = sides;
        let proto = u64::from(proto) << 48;
        match family {
            Family::V4 => {
                self.hash(&[low as u64 | (high as u64) << 32, low_port | high_port << 16 | proto])
            }
            Family::V6 => self.hash(&[
                low as u64,
                (low >> 64) as u64,
                high as u64,
                (high >> 64) as u64,
                low_port | high_port << 16 | proto,
            ]),
        }
    }

    fn hash(&self, words: &[u64]) -> u32 {
        let terms = self.terms.iter().zip(words);
        let sum = terms.fold(self.offset, |sum, ([low, high], word)| {
            let product =
                low.wrapping_add(word & 0xffff_ffff).wrapping_mul(high.wrapping_add(word >> 32));
            sum.wrapping_add(product)
        });
        let first = (sum >> 32) as u32;
        self.stirring.iter().fold(first, |word, factor| (word ^ word >> 16).wrapping_mul(*factor))
    }
}

/// Both ends move by the same amount in opposite directions, in bits that carry nowhere, so that
/// neither their sum nor their exclusive or changes.
fn symmetric(number: u32) -> Ends {
    let (high, low) = (number >> 12, number & 0xfff);
    let client = Place { side: Side::Outsider, host: 0x6000_0000 | (!high & 0xfffff) };
    let server = Place { side: Side::Client, host: high & 0xfffff };
    let client_port = 0x8000 | (!low & 0xfff) as u16;
    Ends { client, server, client_port, server_port: 0x8000 | low as u16 }
}

/// More takes the attacker minutes, and so it takes us.
const MOST_TRIED: u32 = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attacker_s_flows_collide_where_there_is_no_key() {
        for family in [Family::V4, Family::V6] {
            let chosen = collisions(family, 64);
            let (tried, built) = chosen.split_at(32);
            let hash = Unkeyed::new();
            assert!(tried.iter().all(|ends| hash.of(family, ends) >> 20 == 0));
            let sums = built.iter().map(|ends| {
                let (src, dst) = (ends.client.host, ends.server.host);
                let ports = (ends.client_port, ends.server_port);
                (src ^ dst, src + dst, ports.0 ^ ports.1, u32::from(ports.0) + u32::from(ports.1))
            });
            let sums: std::collections::HashSet<_> = sums.collect();
            assert_eq!(sums.len(), 1, "{family:?}");
        }
    }

    /// The engine's own test has the same numbers for its key of zeros.
    #[test]
    fn the_hash_is_still_the_engine_s() {
        let of = |src: &str, dst: &str| {
            let [src, dst] = [src, dst].map(|addr| addr.parse().expect("an address"));
            Unkeyed::new().of_tuple(&Tuple { src, dst, sport: 1234, dport: 80, proto: proto::TCP })
        };
        let v6 = of("fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd", "2001::");
        assert_eq!([of("10.0.0.1", "192.0.2.1"), v6], [195_151_747, 3_121_105_785]);
    }

    #[test]
    fn no_two_flows_of_an_attacker_are_the_same() {
        for aim in [Aim::Collisions, Aim::OneBucket] {
            let mut hostile = Hostile::new(aim, Family::V4, 5000);
            let seen: std::collections::HashSet<_> =
                (0..5000).map(|_| hostile.ends().tuple(Family::V4, proto::TCP)).collect();
            assert_eq!(seen.len(), 5000, "{aim:?}");
        }
    }
}
