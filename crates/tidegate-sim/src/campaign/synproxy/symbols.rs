//! Puts names in the place of what nobody can foretell: cookies, and the router's clock.
//!
//! The number of the first SYN/ACK that the router sends becomes 0xc0c10000, that of the second one 0xc0c20000 and so
//! on, and every number of the record that is near one of them is as near to its name. The same goes for time stamps
//! (0x75010000…), but for their lowest six bits, which say something, and for sums and differences with either. What
//! isn't related to a cookie as it should be is not near it, and so stands out. Checksums that were right stay right,
//! and wrong ones wrong, all in the same way.

use serde_json::{Value, json};
use tidegate_wire::packet::tcp::Tcp;
use tidegate_wire::{checksum, dissect, proto};

use super::player::{CLIENT_SEQ, Greeting, HALF};
use crate::oracle::hex;

/// How far from a cookie a number may be that has to do with it: octets and milliseconds of a short scenario.
const NEAR: u32 = 1 << 12;
const CLOCK_BITS: u32 = !0x3f;

/// What was drawn so far, in order.
#[derive(Debug, Default)]
pub(super) struct Symbols(Vec<Greeting>);

/// What a number may be near to.
#[derive(Clone, Copy)]
enum Drawn {
    Cookie,
    Clock,
}

/// Names of the first cookie and the first clock; those that follow are 2^16 apart.
const COOKIE: u32 = 0xc0c1_0000;
const CLOCK: u32 = 0x7501_0000;

impl Symbols {
    /// Replaces all that is drawn in a packet's record, or the state at the end.
    pub(super) fn replace(&mut self, record: &mut Value) {
        for field in ["out", "late_out"] {
            for output in record[field].as_array_mut().into_iter().flatten() {
                let Some(mut datagram) = output["hex"].as_str().and_then(bytes_of) else {
                    continue;
                };
                self.0.extend(Greeting::of(&datagram));
                self.replace_in(&mut datagram);
                output["hex"] = hex(&datagram).into();
            }
        }
        self.replace_in_entry(&mut record["ct"]);
        for other in record["others"].as_array_mut().into_iter().flatten() {
            self.replace_in_entry(&mut other["ct"]);
        }
        for entry in record["table"].as_array_mut().into_iter().flatten() {
            self.replace_in_entry(entry);
        }
    }

    fn replace_in_entry(&self, entry: &mut Value) {
        let port = entry["orig"]["sport"].as_u64().unwrap_or_default() as u16;
        let its = entry["synproxy"]["its"].as_u64().unwrap_or_default() as u32;
        let known = self.greeting_of(its, port);
        for dir in ["orig", "reply"] {
            let Some(correction) = entry.get_mut("seqadj").and_then(|of| of.get_mut(dir)) else {
                continue;
            };
            for field in ["before", "after"] {
                let offset = correction[field].as_i64().unwrap_or_default() as i32;
                let named = self.name(offset.cast_unsigned(), Drawn::Cookie, port, known);
                correction[field] = json!(named.cast_signed());
            }
        }
        let Some(proxy) = entry.get_mut("synproxy") else { return };
        for (field, drawn) in
            [("isn", Drawn::Cookie), ("its", Drawn::Clock), ("tsoff", Drawn::Clock)]
        {
            let value = proxy[field].as_u64().unwrap_or_default() as u32;
            proxy[field] = json!(self.name(value, drawn, port, known));
        }
    }

    /// A number with the names of what is drawn in it, or as it is if it has nothing to do with that. `port` is the
    /// client's, `only` the number of the greeting that is meant, if that is known.
    fn name(&self, value: u32, drawn: Drawn, port: u16, only: Option<usize>) -> u32 {
        let away = |distance: u32| distance.cast_signed().unsigned_abs();
        let greetings = self.0.iter().enumerate().rev();
        let meant = greetings
            .filter(|(at, greeting)| greeting.port == port && only.is_none_or(|only| only == *at));
        let bases = meant.filter_map(|(at, greeting)| {
            let (base, name) = match drawn {
                Drawn::Cookie => (greeting.cookie, COOKIE),
                Drawn::Clock => (greeting.clock? & CLOCK_BITS, CLOCK),
            };
            // The server's numbers may be in the other half of all.
            Some([base, base ^ HALF].map(|base| (base, name + ((at as u32) << 16))))
        });
        let bases: Vec<(u32, u32)> = bases.flatten().collect();
        let differences = bases.iter().map(|(base, name)| (value.wrapping_sub(*base), name));
        // Of two that are alike the later one is meant.
        let nearest = differences.min_by_key(|(difference, _)| away(*difference));
        if let Some((difference, name)) = nearest.filter(|(one, _)| away(*one) < NEAR) {
            return difference.wrapping_add(*name);
        }
        let mut sums = bases.iter().map(|(base, name)| (value.wrapping_add(*base), name));
        if let Some((sum, name)) = sums.find(|(sum, _)| away(*sum) < NEAR) {
            return sum.wrapping_sub(*name);
        }
        // Numbers of the server's, and the difference of the client's and the server's.
        let other = value ^ HALF;
        let is_known = away(other) < NEAR || away(other.wrapping_sub(CLIENT_SEQ)) < NEAR;
        if is_known { other } else { value }
    }

    /// The SYN/ACK with which a client was told its first time stamp, if there was one.
    fn greeting_of(&self, its: u32, port: u16) -> Option<usize> {
        let told = |greeting: &Greeting| greeting.clock.map(|clock| clock & CLOCK_BITS);
        let is_its = |greeting: &Greeting| told(greeting) == Some(its & CLOCK_BITS);
        self.0.iter().rposition(|greeting| greeting.port == port && is_its(greeting))
    }

    fn replace_in(&self, datagram: &mut [u8]) {
        let Some(headers) = dissect(datagram).ok().filter(|headers| headers.proto == proto::TCP)
        else {
            return;
        };
        let (src, dst, len) = (headers.src, headers.dst, headers.len);
        let Some(segment) = headers.l4.and_then(|at| datagram.get_mut(at..len)) else { return };
        let is_right = checksum::transport(src, dst, proto::TCP, segment) == 0;
        let end = Tcp::new(&*segment).map_or(0, |tcp| tcp.header_len()).min(segment.len());
        let port = Tcp::new(&*segment).map_or(0, |tcp| tcp.src_port().max(tcp.dst_port()));
        let rename = |segment: &mut [u8], at: usize, drawn: Drawn| {
            let word = segment.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>());
            if let Some(word) = word {
                *word = self.name(u32::from_be_bytes(*word), drawn, port, None).to_be_bytes();
            }
        };
        [4, 8].into_iter().for_each(|at| rename(segment, at, Drawn::Cookie));
        let mut at = 20;
        while at + 1 < end {
            let (kind, len) = (segment[at], usize::from(segment[at + 1]));
            match kind {
                0 => break,
                1 => {
                    at += 1;
                    continue;
                }
                5 => {
                    (at + 2..at + len).step_by(4).for_each(|at| rename(segment, at, Drawn::Cookie))
                }
                8 => [at + 2, at + 6].into_iter().for_each(|at| rename(segment, at, Drawn::Clock)),
                _ => {}
            }
            at += len.max(2);
        }
        if let Some(mut tcp) = Tcp::new(segment) {
            tcp.fill_checksum(src, dst);
            if !is_right {
                tcp.set_checksum(!tcp.checksum());
            }
        }
    }
}

pub(super) fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_gets_a_name() {
        let greeting = |port, cookie| Greeting { port, cookie, clock: Some(cookie + 5) };
        let drawn = [(1, 0xb000_0000), (1, 0xc800_0000), (1, 0xc800_0000), (2, 0xa000_0000)];
        let symbols = Symbols(drawn.map(|(port, cookie)| greeting(port, cookie)).to_vec());
        let rows: [(&str, i64, i64); 9] = [
            ("the first", 0xb000_0000, 0xc0c1_0000),
            ("behind it", 0xb000_0001, 0xc0c1_0001),
            ("less a thousand", 0xb000_0000 - 1000, 0xc0c1_0000 - 1000),
            ("of two that are alike the later", 0xc800_0003, 0xc0c3_0003),
            ("taken from a thousand", 1000 - 0xb000_0000, 1000 - 0xc0c1_0000),
            ("of a server in the other half", 0x3000_0001, 0xc0c1_0001),
            ("another connection's", 0xa000_0000, 0xa000_0000),
            ("another", 0x1000_0001, 0x1000_0001),
            ("too far", 0xb000_1000, 0xb000_1000),
        ];
        for (what, value, expected) in rows {
            assert_eq!(
                symbols.name(value as u32, Drawn::Cookie, 1, None),
                expected as u32,
                "{what}"
            );
        }
        assert_eq!(
            symbols.name(0xb000_0007, Drawn::Clock, 1, None),
            0x7501_0007,
            "without six bits"
        );
    }
}
