//! SYN cookies: a first sequence number that says by itself that we sent it, to whom, when, and which segment size
//! the client had offered.
//!
//! ```text
//! cookie = H1(addresses, ports) + client's number + (minutes << 24) + (H2(addresses, ports, minutes) + index) mod 2^24
//! ```
//!
//! as D. J. Bernstein proposed (<https://cr.yp.to/syncookies.html>) and Linux computes it (`secure_tcp_syn_cookie`).
//! A cookie is good in the minute in which it was given and in the next one.

use core::net::IpAddr;
use core::time::Duration;

use tidegate_wire::SeqNum;

use crate::table::hash::SipKey;
use crate::time::Instant;

/// Where a segment goes, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quad {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
}

/// The secrets of an engine's cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CookieKeys([SipKey; 2]);

/// The segment sizes that a cookie can say: IPv4's, from what is often seen, and IPv6's, from usual MTUs.
const SIZES: [[u16; 4]; 2] = [[536, 1300, 1440, 1460], [1220, 1420, 1440, 8940]];
/// How many minutes a cookie is good for, the one in which it was given among them.
const LIFETIME: u32 = 2;
const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_SHIFT: u32 = 24;
const LOW: u32 = (1 << MINUTE_SHIFT) - 1;
/// Keeps what is made of the seed here apart from all else that is.
const DOMAIN: u64 = u64::from_be_bytes(*b"synproxy");

impl CookieKeys {
    /// Keys from an engine's seed, by a function that has no way back: who learns a key learns no seed.
    pub(crate) fn new(seed: u64) -> Self {
        let root = SipKey([seed, DOMAIN]);
        let word = |number: u64| root.hash_words([number]);
        Self([SipKey([word(0), word(1)]), SipKey([word(2), word(3)])])
    }

    /// The number with which to answer a SYN that has the number `seq` and offers segments of `mss` bytes.
    pub(crate) fn issue(&self, now: Instant, quad: &Quad, seq: SeqNum, mss: u16) -> SeqNum {
        let sizes = sizes_of(quad);
        let index = sizes.iter().rposition(|size| mss >= *size).unwrap_or(0) as u32;
        let minutes = minutes(now);
        let high = self.hash(0, quad, 0).wrapping_add(seq.0).wrapping_add(minutes << MINUTE_SHIFT);
        SeqNum(high.wrapping_add(self.hash(1, quad, minutes).wrapping_add(index) & LOW))
    }

    /// The segment size that a cookie says, if it is ours, of this client, and not too old; `seq` is the number of the
    /// SYN that it answered.
    pub(crate) fn check(
        &self,
        now: Instant,
        quad: &Quad,
        seq: SeqNum,
        cookie: SeqNum,
    ) -> Option<u16> {
        let now = minutes(now);
        let stripped = cookie.0.wrapping_sub(self.hash(0, quad, 0)).wrapping_sub(seq.0);
        let age = now.wrapping_sub(stripped >> MINUTE_SHIFT) & (u32::MAX >> MINUTE_SHIFT);
        if age >= LIFETIME {
            return None;
        }
        let index = stripped.wrapping_sub(self.hash(1, quad, now.wrapping_sub(age))) & LOW;
        sizes_of(quad).get(index as usize).copied()
    }

    fn hash(&self, which: usize, quad: &Quad, minutes: u32) -> u32 {
        let ports = u64::from(quad.src_port) << 16 | u64::from(quad.dst_port);
        let rest = ports << 32 | u64::from(minutes);
        let key = &self.0[which];
        match (quad.src, quad.dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let [src, dst] = [src, dst].map(|address| address.to_bits());
                let half = |address: u128| [(address >> 64) as u64, address as u64];
                let ([a, b], [c, d]) = (half(src), half(dst));
                key.hash_words([a, b, c, d, rest]) as u32
            }
            (src, dst) => {
                let [src, dst] = [src, dst].map(|address| match address {
                    IpAddr::V4(address) => u64::from(address.to_bits()),
                    IpAddr::V6(_) => 0,
                });
                key.hash_words([src << 32 | dst, rest]) as u32
            }
        }
    }
}

fn sizes_of(quad: &Quad) -> &'static [u16; 4] {
    &SIZES[usize::from(quad.src.is_ipv6())]
}

fn minutes(now: Instant) -> u32 {
    (now.nanos() / MINUTE.as_nanos() as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQ: SeqNum = SeqNum(0xffff_fff0);

    fn quad(family: usize) -> Quad {
        let [src, dst] = [["10.0.0.1", "192.0.2.1"], ["2001:db8::1", "2001:db8::2"]][family];
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        Quad { src, dst, src_port: 40_000, dst_port: 443 }
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_cookie_says_the_size_that_was_offered_rounded_down() {
        let rows = [
            (0, 0, 536),
            (0, 535, 536),
            (0, 1299, 536),
            (0, 1300, 1300),
            (0, 1452, 1440),
            (0, 1460, 1460),
            (0, 65_535, 1460),
            (1, 0, 1220),
            (1, 1420, 1420),
            (1, 1440, 1440),
            (1, 8939, 1440),
            (1, 9000, 8940),
        ];
        let keys = CookieKeys::new(1);
        for (family, offered, said) in rows {
            let quad = quad(family);
            let cookie = keys.issue(at(100), &quad, SEQ, offered);
            assert_eq!(keys.check(at(100), &quad, SEQ, cookie), Some(said), "{quad:?} {offered}");
        }
    }

    #[test]
    fn a_cookie_is_good_until_the_next_minute_ends() {
        let keys = CookieKeys::new(2);
        for (given, asked, is_good) in [
            (60, 60, true),
            (60, 179, true),
            (119, 179, true),
            (60, 180, false),
            (119, 180, false),
            (119, 119 + 60 * 256, true),
            // From the future.
            (120, 119, false),
        ] {
            let cookie = keys.issue(at(given), &quad(0), SEQ, 1460);
            let size = keys.check(at(asked), &quad(0), SEQ, cookie);
            // After 256 minutes the number of the minute is the same, but not its hash.
            let expected = (is_good && asked < 1000).then_some(1460);
            assert_eq!(size, expected, "given at {given}, asked at {asked}");
        }
    }

    #[test]
    fn a_cookie_is_of_one_client_one_connection_and_one_engine() {
        let keys = CookieKeys::new(3);
        for family in [0, 1] {
            let own = quad(family);
            let cookie = keys.issue(at(5), &own, SEQ, 1460);
            let check = |quad: Quad, seq, cookie| keys.check(at(5), &quad, seq, cookie);
            assert!(check(own, SEQ, cookie).is_some());
            assert_eq!(check(Quad { src: own.dst, ..own }, SEQ, cookie), None);
            assert_eq!(check(Quad { dst: own.src, ..own }, SEQ, cookie), None);
            assert_eq!(check(Quad { src_port: 40_001, ..own }, SEQ, cookie), None);
            assert_eq!(check(Quad { dst_port: 80, ..own }, SEQ, cookie), None);
            // A number next to it only tells another size, as in the kernel.
            assert_eq!(check(own, SEQ + 1, cookie), Some(sizes_of(&own)[2 - family]));
            assert_eq!(check(own, SEQ + 4, cookie), None);
            assert_eq!(check(own, SEQ, cookie + (1 << 20)), None);
            assert_eq!(CookieKeys::new(4).check(at(5), &own, SEQ, cookie), None);
        }
    }
}
