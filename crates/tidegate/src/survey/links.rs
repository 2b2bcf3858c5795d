//! What interfaces carry: the kernel's counters of the network that the thread is in (`/proc/net/dev`).

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;
use tidegate_gateway::clock::Stopwatch;

/// What an interface carries.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct LinkRate {
    /// Its name.
    pub(crate) name: String,
    /// Packets that came and left since it was made.
    pub(crate) packets: [u64; 2],
    /// Bytes that came and left.
    pub(crate) bytes: [u64; 2],
    /// Packets a second that came and left since the last look.
    pub(crate) packet_rate: [f64; 2],
    /// Bits a second that came and left.
    pub(crate) bit_rate: [f64; 2],
}

/// Reads counters, and remembers the last.
#[derive(Debug, Default)]
pub(super) struct Meter(Option<(Stopwatch, BTreeMap<String, LinkRate>)>);

impl Meter {
    /// All interfaces but loopback; none if there are no counters to read.
    pub(super) fn read(&mut self) -> Vec<LinkRate> {
        let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
        let mut links: Vec<LinkRate> =
            text.lines().filter_map(parse).filter(|link| link.name != "lo").collect();
        if let Some((clock, before)) = &self.0 {
            let seconds = clock.elapsed().as_secs_f64().max(1e-3);
            for link in &mut links {
                if let Some(earlier) = before.get(&link.name) {
                    link.compare(earlier, seconds);
                }
            }
        }
        let known = links.iter().map(|link| (link.name.clone(), link.clone())).collect();
        self.0 = Some((Stopwatch::start(), known));
        links
    }
}

impl LinkRate {
    fn compare(&mut self, earlier: &Self, seconds: f64) {
        for way in 0..2 {
            let packets = self.packets[way].saturating_sub(earlier.packets[way]);
            let bytes = self.bytes[way].saturating_sub(earlier.bytes[way]);
            self.packet_rate[way] = packets as f64 / seconds;
            self.bit_rate[way] = bytes as f64 * 8.0 / seconds;
        }
    }
}

/// A line of an interface; the two lines of the head are none.
fn parse(line: &str) -> Option<LinkRate> {
    let (name, rest) = line.split_once(':')?;
    let numbers: Vec<u64> = rest.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [bytes, packets, .., out_bytes, out_packets, _, _, _, _, _, _] = numbers[..] else {
        return None;
    };
    let (packets, bytes) = ([packets, out_packets], [bytes, out_bytes]);
    Some(LinkRate { name: name.trim().to_owned(), packets, bytes, ..LinkRate::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_eight_numbers_each_way() {
        let rows = [
            ("Inter-|   Receive                                                |  Transmit", None),
            (
                " wan0: 1090     9    0    0    0     0          0         0     2000      11    0    0    0     0       0          0",
                Some(([9, 11], [1090, 2000])),
            ),
            (" face |bytes    packets errs drop", None),
        ];
        for (line, expected) in rows {
            let link = parse(line);
            assert_eq!(link.map(|link| (link.packets, link.bytes)), expected, "{line}");
        }
    }
}
