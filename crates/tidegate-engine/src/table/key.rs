//! Tuples as the table keeps and hashes them: 12 bytes for IPv4, 36 for IPv6, in the order in which
//! datagrams have them, so that reading one is a copy.
//!
//! A flow that is not translated has one entry in the index for both of its directions, so a tuple
//! and its inverse must have the same hash: the two ends are hashed in the order of their values,
//! and an ICMP answer as the question that it answers. The zone's number is part of what is hashed,
//! as in Linux (`hash_conntrack_raw`).

use core::hint::{cold_path, select_unpredictable};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::BitXor;

use wide::u8x16;

use super::index_key::IndexKey;
use crate::tuple::{Tuple, has_ports};

/// A tuple of one family, without its protocol.
pub(crate) trait Key: Copy + Eq + Default {
    /// One of the two ends.
    type End: Copy + Eq + Default + BitXor<Output = Self::End>;
    /// Whether a tuple is of the family.
    fn is_of(tuple: &Tuple) -> bool;
    /// What a tuple of the family says, if it has ports.
    #[inline(always)]
    fn with_ports(tuple: &Tuple) -> Option<Self> {
        (HAS_PORTS[usize::from(tuple.proto)] && Self::is_of(tuple)).then(|| Self::of(tuple))
    }
    /// What a tuple of the family says; the other family's is a mistake, and gives zeros.
    fn of(tuple: &Tuple) -> Self;
    /// The tuple again.
    fn tuple(self, proto: u8) -> Tuple;
    /// Source and destination address.
    fn addresses(self) -> (IpAddr, IpAddr);
    /// The tuple with its ends exchanged, which is the inverse wherever there are ports.
    fn swapped(self) -> Self;
    /// Its source and its destination.
    fn ends(self) -> [Self::End; 2];
    /// The tuple with some bits of its destination, or else its source, turned over.
    fn flipped(self, is_dst: bool, flips: Self::End) -> Self;
    /// Its destination, or else its source.
    fn end(&self, is_dst: bool) -> Self::End;
    /// The first of two ends, or else the second; without a branch.
    fn one_of(is_first: bool, first: Self::End, second: Self::End) -> Self::End;
    /// The address of an end.
    fn address(end: Self::End) -> IpAddr;
    /// Zero if it is this one; found out without a branch.
    fn difference(self, other: &Self) -> u64;
    /// The same for both orders of the ends.
    fn hash(self, key: &IndexKey, proto: u8, zone: u16) -> u32;
}

/// An address of the family and a port: their bytes as little-endian numbers, which go through registers as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, packed)]
pub(crate) struct End<A> {
    pub(crate) address: A,
    pub(crate) port: u16,
}

/// The bits that two ends do not have in common; or the end that is as much another.
impl<A: BitXor<Output = A>> BitXor for End<A> {
    type Output = Self;

    #[inline(always)]
    fn bitxor(self, other: Self) -> Self {
        Self { address: self.address ^ other.address, port: self.port ^ other.port }
    }
}

impl<A: Copy> End<A> {
    /// See [`Key::one_of`].
    #[inline(always)]
    fn one_of(is_first: bool, first: Self, second: Self) -> Self {
        let address = select_unpredictable(is_first, first.address, second.address);
        Self { address, port: select_unpredictable(is_first, first.port, second.port) }
    }
}

/// An IPv4 tuple, as a datagram without options has it from byte 12 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Key4 {
    /// Source and destination address.
    pub(crate) addresses: [u8; 8],
    /// Source and destination port.
    pub(crate) ports: [u8; 4],
}

/// An IPv6 tuple, as a datagram without extension headers has it from byte 8 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Key6 {
    pub(crate) src: [u8; 16],
    pub(crate) dst: [u8; 16],
    /// Source and destination port.
    pub(crate) ports: [u8; 4],
}

impl Key for Key4 {
    type End = End<u32>;

    #[inline(always)]
    fn is_of(tuple: &Tuple) -> bool {
        matches!((tuple.src, tuple.dst), (IpAddr::V4(_), IpAddr::V4(_)))
    }

    #[inline(always)]
    fn of(tuple: &Tuple) -> Self {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (tuple.src, tuple.dst) else {
            return Self::default();
        };
        let [src, dst] = [src, dst].map(|addr| u64::from(u32::from_le_bytes(addr.octets())));
        Self { addresses: (src | dst << 32).to_le_bytes(), ports: ports_of(tuple) }
    }

    #[inline(always)]
    fn tuple(self, proto: u8) -> Tuple {
        let (src, dst) = self.addresses();
        tuple(src, dst, self.ports, proto)
    }

    #[inline(always)]
    fn addresses(self) -> (IpAddr, IpAddr) {
        let [a, b, c, d, e, f, g, h] = self.addresses;
        (Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into())
    }

    #[inline(always)]
    fn swapped(self) -> Self {
        let addresses = u64::from_le_bytes(self.addresses).rotate_left(32).to_le_bytes();
        Self { addresses, ports: swapped(self.ports) }
    }

    #[inline(always)]
    fn ends(self) -> [Self::End; 2] {
        [self.end(false), self.end(true)]
    }

    #[inline(always)]
    fn flipped(self, is_dst: bool, flips: Self::End) -> Self {
        let addresses = u64::from(flips.address) << (32 * u32::from(is_dst));
        let addresses = (u64::from_le_bytes(self.addresses) ^ addresses).to_le_bytes();
        Self { addresses, ports: flipped(self.ports, is_dst, flips.port) }
    }

    #[inline(always)]
    fn end(&self, is_dst: bool) -> Self::End {
        let address = u64::from_le_bytes(self.addresses) >> (32 * u32::from(is_dst));
        End { address: address as u32, port: port_of(self.ports, is_dst) }
    }

    #[inline(always)]
    fn one_of(is_first: bool, first: Self::End, second: Self::End) -> Self::End {
        End::one_of(is_first, first, second)
    }

    #[inline(always)]
    fn address(end: Self::End) -> IpAddr {
        Ipv4Addr::from_octets(end.address.to_le_bytes()).into()
    }

    #[inline(always)]
    fn difference(self, other: &Self) -> u64 {
        let addresses = u64::from_le_bytes(self.addresses) ^ u64::from_le_bytes(other.addresses);
        let ports = u32::from_le_bytes(self.ports) ^ u32::from_le_bytes(other.ports);
        addresses | u64::from(ports)
    }

    #[inline(always)]
    fn hash(self, key: &IndexKey, proto: u8, zone: u16) -> u32 {
        let addresses = u64::from_le_bytes(self.addresses);
        let ports = u32::from_le_bytes(self.ports);
        let exchanged = (addresses.rotate_left(32), ports.rotate_left(16));
        // By port, and by address where that is the same.
        let order =
            |(addresses, ports): (u64, u32)| u128::from(addresses) | u128::from(ports) << 64;
        let is_behind = order((addresses, ports)) < order(exchanged);
        let addresses = select_unpredictable(is_behind, exchanged.0, addresses);
        let ports = u64::from(select_unpredictable(is_behind, exchanged.1, ports));
        key.hash([addresses, ports | u64::from(zone) << 32 | u64::from(proto) << 48])
    }
}

impl Key for Key6 {
    type End = End<u128>;

    #[inline(always)]
    fn is_of(tuple: &Tuple) -> bool {
        matches!((tuple.src, tuple.dst), (IpAddr::V6(_), IpAddr::V6(_)))
    }

    #[inline(always)]
    fn of(tuple: &Tuple) -> Self {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (tuple.src, tuple.dst) else {
            return Self::default();
        };
        Self { src: src.octets(), dst: dst.octets(), ports: ports_of(tuple) }
    }

    #[inline(always)]
    fn tuple(self, proto: u8) -> Tuple {
        let (src, dst) = self.addresses();
        tuple(src, dst, self.ports, proto)
    }

    #[inline(always)]
    fn addresses(self) -> (IpAddr, IpAddr) {
        (Ipv6Addr::from_octets(self.src).into(), Ipv6Addr::from_octets(self.dst).into())
    }

    #[inline(always)]
    fn swapped(self) -> Self {
        Self { src: self.dst, dst: self.src, ports: swapped(self.ports) }
    }

    #[inline(always)]
    fn ends(self) -> [Self::End; 2] {
        [self.end(false), self.end(true)]
    }

    #[inline(always)]
    fn flipped(self, is_dst: bool, flips: Self::End) -> Self {
        let ports = flipped(self.ports, is_dst, flips.port);
        let flip = |address| (u128::from_le_bytes(address) ^ flips.address).to_le_bytes();
        // One kind of translation is by far the most common, so this is a branch.
        if is_dst {
            Self { dst: flip(self.dst), ports, ..self }
        } else {
            Self { src: flip(self.src), ports, ..self }
        }
    }

    #[inline(always)]
    fn end(&self, is_dst: bool) -> Self::End {
        let address = u128::from_le_bytes(if is_dst { self.dst } else { self.src });
        End { address, port: port_of(self.ports, is_dst) }
    }

    #[inline(always)]
    fn one_of(is_first: bool, first: Self::End, second: Self::End) -> Self::End {
        End::one_of(is_first, first, second)
    }

    #[inline(always)]
    fn address(end: Self::End) -> IpAddr {
        Ipv6Addr::from_octets(end.address.to_le_bytes()).into()
    }

    #[inline(always)]
    fn difference(self, other: &Self) -> u64 {
        // As vectors: half the instructions that it takes by words.
        let alike = |one, other| u8x16::new(one).simd_eq(u8x16::new(other));
        let addresses = alike(self.src, other.src) & alike(self.dst, other.dst);
        let ports = u32::from_le_bytes(self.ports) ^ u32::from_le_bytes(other.ports);
        u64::from(addresses.to_bitmask() ^ u32::from(u16::MAX) | ports)
    }

    #[inline(always)]
    fn hash(self, key: &IndexKey, proto: u8, zone: u16) -> u32 {
        let ports = u32::from_le_bytes(self.ports);
        let (src, dst) = (u128::from_le_bytes(self.src), u128::from_le_bytes(self.dst));
        let is_behind = is_behind((src, ports & 0xffff), (dst, ports >> 16));
        let (low, high) = in_order(is_behind, src, dst);
        let ports = ports.rotate_left(16 * u32::from(is_behind));
        let halves = |bits: u128| [bits as u64, (bits >> 64) as u64];
        let ([a, b], [c, d]) = (halves(low), halves(high));
        let rest = u64::from(ports) | u64::from(zone) << 32;
        key.hash([a, b, c, d, rest | u64::from(proto) << 48])
    }
}

/// Whether one end comes behind the other, by address and port. Hardly anybody speaks with himself, and without the ports
/// it is one comparison that borrows.
#[inline(always)]
fn is_behind((address, port): (u128, u32), (other_address, other_port): (u128, u32)) -> bool {
    if address == other_address {
        cold_path();
        return other_port < port;
    }
    other_address < address
}

/// Both, exchanged if they are to be; without a branch, for nobody can guess it.
#[inline(always)]
fn in_order(is_exchanged: bool, one: u128, other: u128) -> (u128, u128) {
    let difference = (one ^ other) & 0u128.wrapping_sub(u128::from(is_exchanged));
    (one ^ difference, other ^ difference)
}

/// [`Tuple::has_ports`] by protocol.
static HAS_PORTS: [bool; 256] = {
    let mut table = [false; 256];
    let mut proto = 0;
    while proto < 256 {
        table[proto] = has_ports(proto as u8);
        proto += 1;
    }
    table
};

#[inline(always)]
fn ports_of(tuple: &Tuple) -> [u8; 4] {
    // Both lie side by side in a tuple: one word is read, and its bytes turned round in each half.
    let ports = u32::from(tuple.sport) | u32::from(tuple.dport) << 16;
    ports.swap_bytes().rotate_left(16).to_le_bytes()
}

#[inline(always)]
fn swapped(ports: [u8; 4]) -> [u8; 4] {
    u32::from_le_bytes(ports).rotate_left(16).to_le_bytes()
}

/// The ports with some bits of the destination's, or else of the source's, turned over.
#[inline(always)]
fn flipped(ports: [u8; 4], is_dst: bool, flips: u16) -> [u8; 4] {
    (u32::from_le_bytes(ports) ^ u32::from(flips) << (16 * u32::from(is_dst))).to_le_bytes()
}

/// The port of the destination, or else of the source.
#[inline(always)]
fn port_of(ports: [u8; 4], is_dst: bool) -> u16 {
    (u32::from_le_bytes(ports) >> (16 * u32::from(is_dst))) as u16
}

#[inline(always)]
fn tuple(src: IpAddr, dst: IpAddr, [a, b, c, d]: [u8; 4], proto: u8) -> Tuple {
    let (sport, dport) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Tuple { src, dst, sport, dport, proto }
}

/// The hash of a tuple in a zone, the same as that of its inverse.
#[inline(always)]
pub(super) fn hash(key: &IndexKey, tuple: &Tuple, zone: u16) -> u32 {
    if tuple.has_ports() { hash_of(key, tuple, zone) } else { hash_of_question(key, tuple, zone) }
}

#[inline(never)]
fn hash_of_question(key: &IndexKey, tuple: &Tuple, zone: u16) -> u32 {
    hash_of(key, &tuple.question(), zone)
}

#[inline(always)]
fn hash_of(key: &IndexKey, tuple: &Tuple, zone: u16) -> u32 {
    match tuple.src {
        IpAddr::V4(_) => Key4::of(tuple).hash(key, tuple.proto, zone),
        IpAddr::V6(_) => Key6::of(tuple).hash(key, tuple.proto, zone),
    }
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
        fn a_tuple_and_its_inverse_have_one_hash(
            mut tuple in tuples(),
            is_same: [bool; 2],
            zone: u16,
            key: [u64; 2],
        ) {
            let key = IndexKey::new(key);
            let [has_one_address, has_one_port] = is_same;
            tuple.dst = if has_one_address { tuple.src } else { tuple.dst };
            tuple.dport = if has_one_port { tuple.sport } else { tuple.dport };
            if let Some(inverse) = tuple.invert() {
                prop_assert_eq!(hash(&key, &tuple, zone), hash(&key, &inverse, zone));
            }
        }

        #[test]
        fn a_key_differs_from_every_other_one(tuple in tuples(), at in 0..36_usize, bit in 0..8_u32) {
            fn check<K: Key>(key: K, other: K) -> bool {
                key.difference(&key) == 0 && key.difference(&other) != 0 && other.difference(&key) != 0
            }
            let turn = |bytes: &mut [u8], at: usize| bytes[at % bytes.len()] ^= 1 << bit;
            if tuple.src.is_ipv4() {
                let mut other = Key4::of(&tuple);
                if at < 24 { turn(&mut other.addresses, at) } else { turn(&mut other.ports, at) }
                prop_assert!(check(Key4::of(&tuple), other));
            } else {
                let mut other = Key6::of(&tuple);
                match at {
                    0..16 => turn(&mut other.src, at),
                    16..32 => turn(&mut other.dst, at),
                    _ => turn(&mut other.ports, at),
                }
                prop_assert!(check(Key6::of(&tuple), other));
            }
        }

        #[test]
        fn ends_are_in_the_order_of_address_and_port(
            ends: [(u128, u16); 2],
            is_near: bool,
            is_same: bool,
        ) {
            let [one, (address, port)] = ends.map(|(address, port)| (address, u32::from(port)));
            let near = one.0.wrapping_add(address % 3).wrapping_sub(1);
            let address = if is_same { one.0 } else if is_near { near } else { address };
            let other = (address, port);
            prop_assert_eq!(is_behind(one, other), one > other);
            prop_assert_eq!(is_behind(other, one), other > one);
            prop_assert!(!is_behind(one, one));
        }

        #[test]
        fn everything_in_a_tuple_counts(tuple in tuples(), key: [u64; 2]) {
            let key = IndexKey::new(key);
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
