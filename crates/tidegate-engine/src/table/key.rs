//! Tuples as the table keeps and hashes them: four words and a half for IPv4, thirteen for IPv6.
//!
//! A flow that is not translated has one entry in the index for both of its directions, so a tuple
//! and its inverse must have the same hash: the two ends are hashed in the order of their values,
//! and an ICMP answer as the question that it answers. The zone's number is part of what is hashed,
//! as in Linux (`hash_conntrack_raw`).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::checksum::Sum;

use super::hash::SipKey;
use crate::tuple::Tuple;

/// A tuple of one family, without its protocol.
pub(crate) trait Key: Copy + Eq + Default {
    /// What a tuple of the family says; the other family's is a mistake, and gives zeros.
    fn of(tuple: &Tuple) -> Self;
    /// The tuple again.
    fn tuple(self, proto: u8) -> Tuple;
    /// Source and destination address.
    fn addresses(self) -> (IpAddr, IpAddr);
    /// The tuple with its ends exchanged, which is the inverse wherever there are ports.
    fn swapped(self) -> Self;
    /// The sum of a pseudo header's addresses (RFC 9293 section 3.1, RFC 8200 section 8.1).
    fn address_sum(self) -> Sum;
    /// The same for both orders of the ends.
    fn hash(self, key: &SipKey, proto: u8, zone: u16) -> u32;
}

/// An IPv4 tuple.
#[derive(Clone, Copy, Debug, Default, Eq)]
#[repr(C)]
pub(crate) struct Key4 {
    pub(crate) src: u32,
    pub(crate) dst: u32,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
}

/// An IPv6 tuple; addresses as words, the first one highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Key6 {
    pub(crate) src: [u32; 4],
    pub(crate) dst: [u32; 4],
    pub(crate) sport: u16,
    pub(crate) dport: u16,
}

impl PartialEq for Key4 {
    /// All at once: one branch instead of four.
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let ports = (self.sport ^ other.sport) | (self.dport ^ other.dport);
        (self.src ^ other.src) | (self.dst ^ other.dst) | u32::from(ports) == 0
    }
}

impl Key for Key4 {
    fn of(tuple: &Tuple) -> Self {
        let bits = |addr| match addr {
            IpAddr::V4(addr) => Ipv4Addr::to_bits(addr),
            IpAddr::V6(_) => 0,
        };
        let Tuple { src, dst, sport, dport, .. } = *tuple;
        Self { src: bits(src), dst: bits(dst), sport, dport }
    }

    #[inline(always)]
    fn addresses(self) -> (IpAddr, IpAddr) {
        (Ipv4Addr::from_bits(self.src).into(), Ipv4Addr::from_bits(self.dst).into())
    }

    #[inline(always)]
    fn tuple(self, proto: u8) -> Tuple {
        let (src, dst) = self.addresses();
        Tuple { src, dst, sport: self.sport, dport: self.dport, proto }
    }

    #[inline(always)]
    fn swapped(self) -> Self {
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport }
    }

    #[inline(always)]
    fn address_sum(self) -> Sum {
        Sum::new().dword(self.src).dword(self.dst)
    }

    #[inline(always)]
    fn hash(self, key: &SipKey, proto: u8, zone: u16) -> u32 {
        let end = |addr: u32, port: u16| u64::from(addr) << 16 | u64::from(port);
        let (one, other) = (end(self.src, self.sport), end(self.dst, self.dport));
        let (low, high) = (one.min(other), one.max(other));
        // Fifteen bytes: two ends of six, protocol and zone.
        let first = low | u64::from(zone) << 48;
        (key.hash_with_rest([first], high | u64::from(proto) << 48, 7) >> 32) as u32
    }
}

impl Key for Key6 {
    fn of(tuple: &Tuple) -> Self {
        let words = |addr| match addr {
            IpAddr::V4(_) => [0; 4],
            IpAddr::V6(addr) => words_of(Ipv6Addr::to_bits(addr)),
        };
        let Tuple { src, dst, sport, dport, .. } = *tuple;
        Self { src: words(src), dst: words(dst), sport, dport }
    }

    #[inline(always)]
    fn addresses(self) -> (IpAddr, IpAddr) {
        let addr = |words| Ipv6Addr::from_bits(bits_of(words)).into();
        (addr(self.src), addr(self.dst))
    }

    #[inline(always)]
    fn tuple(self, proto: u8) -> Tuple {
        let (src, dst) = self.addresses();
        Tuple { src, dst, sport: self.sport, dport: self.dport, proto }
    }

    #[inline(always)]
    fn swapped(self) -> Self {
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport }
    }

    #[inline(always)]
    fn address_sum(self) -> Sum {
        self.src.into_iter().chain(self.dst).fold(Sum::new(), Sum::dword)
    }

    #[inline(always)]
    fn hash(self, key: &SipKey, proto: u8, zone: u16) -> u32 {
        let (one, other) = ((bits_of(self.src), self.sport), (bits_of(self.dst), self.dport));
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        // Thirty-nine bytes: two addresses, two ports, protocol and zone.
        let rest = u64::from(low.1)
            | u64::from(high.1) << 16
            | u64::from(zone) << 32
            | u64::from(proto) << 48;
        let halves = |bits: u128| [bits as u64, (bits >> 64) as u64];
        let ([a, b], [c, d]) = (halves(low.0), halves(high.0));
        (key.hash_with_rest([a, b, c, d], rest, 7) >> 32) as u32
    }
}

/// The hash of a tuple in a zone, the same as that of its inverse.
pub(super) fn hash(key: &SipKey, tuple: &Tuple, zone: u16) -> u32 {
    let tuple = tuple.question();
    match tuple.src {
        IpAddr::V4(_) => Key4::of(&tuple).hash(key, tuple.proto, zone),
        IpAddr::V6(_) => Key6::of(&tuple).hash(key, tuple.proto, zone),
    }
}

#[inline(always)]
fn bits_of([a, b, c, d]: [u32; 4]) -> u128 {
    u128::from(a) << 96 | u128::from(b) << 64 | u128::from(c) << 32 | u128::from(d)
}

fn words_of(bits: u128) -> [u32; 4] {
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tuples() -> impl Strategy<Value = Tuple> {
        let v4 = any::<[u32; 2]>().prop_map(|ends| ends.map(|bits| Ipv4Addr::from(bits).into()));
        let v6 = any::<[u128; 2]>().prop_map(|ends| ends.map(|bits| Ipv6Addr::from(bits).into()));
        let ends = prop_oneof![v4, v6];
        let protos = prop::sample::select(&[1, 6, 17, 47, 58, 132, 136, 200]);
        (ends, any::<[u16; 2]>(), protos).prop_map(|([src, dst], [sport, dport], proto)| Tuple {
            src,
            dst,
            sport,
            dport,
            proto,
        })
    }

    proptest! {
        #[test]
        fn a_tuple_comes_back_as_it_went(tuple in tuples()) {
            let back = match tuple.src {
                IpAddr::V4(_) => Key4::of(&tuple).tuple(tuple.proto),
                IpAddr::V6(_) => Key6::of(&tuple).tuple(tuple.proto),
            };
            prop_assert_eq!(back, tuple);
        }

        #[test]
        fn a_tuple_and_its_inverse_have_one_hash(tuple in tuples(), zone: u16, key: [u64; 2]) {
            let key = SipKey(key);
            if let Some(inverse) = tuple.invert() {
                prop_assert_eq!(hash(&key, &tuple, zone), hash(&key, &inverse, zone));
            }
        }

        #[test]
        fn everything_in_a_tuple_counts(tuple in tuples(), key: [u64; 2]) {
            let key = SipKey(key);
            let own = hash(&key, &tuple, 0);
            let others = [
                Tuple { sport: tuple.sport ^ 1, ..tuple },
                Tuple { dport: tuple.dport ^ 0x1000, ..tuple },
                Tuple { proto: tuple.proto ^ 8, ..tuple },
            ];
            prop_assert!(others.iter().all(|other| hash(&key, other, 0) != own));
            prop_assert!(hash(&key, &tuple, 1) != own);
        }
    }
}
