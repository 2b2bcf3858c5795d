//! Peers that were measured on another day, with other programs. They are no part of this run.
//!
//! One core of an AMD EPYC (Zen 4) virtual machine on 2026-11-22, medians; nanoseconds per packet
//! of an established flow, inside the tracker alone. That machine's speed moves by half from hour to
//! hour, so only the order of magnitude can be compared with a run of today; its own limit and floor
//! stand below for that.

/// A peer: its name, nanoseconds at 1k, 100k, 1M and 10M flows, bytes per flow.
struct Peer {
    name: &'static str,
    ns: [Option<u16>; 4],
    bytes: Option<u16>,
}

/// The table as text.
#[must_use]
pub fn table() -> String {
    let mut text =
        "\nRecorded elsewhere, NOT in this run (2026-11-22, ns per established packet):\n"
            .to_owned();
    text += &line("", ["1k", "100k", "1M", "10M"].map(str::to_owned), "bytes/flow");
    for peer in PEERS {
        let cell = |value: Option<u16>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
        text += &line(peer.name, peer.ns.map(cell), &cell(peer.bytes));
    }
    text
}

fn line(name: &str, [a, b, c, d]: [String; 4], bytes: &str) -> String {
    format!("  {name:<58} {a:>5} {b:>5} {c:>5} {d:>5} {bytes:>11}\n")
}

const fn peer(name: &'static str, ns: [u16; 4], bytes: u16) -> Peer {
    const fn known(value: u16) -> Option<u16> {
        if value == 0 { None } else { Some(value) }
    }
    let ns = [known(ns[0]), known(ns[1]), known(ns[2]), known(ns[3])];
    Peer { name, ns, bytes: known(bytes) }
}

/// 0 is "not measured".
const PEERS: &[Peer] = &[
    peer("limit there: two dependent lines, L2 window", [3, 3, 7, 10], 0),
    peer("floor there: burst 128, 2 MB pages", [9, 9, 14, 16], 84),
    peer("VPP 26.10 stateful ACL (no TCP window)", [16, 87, 105, 0], 256),
    peer("VPP 26.10 NAT44-ED", [37, 370, 400, 0], 563),
    peer("Open vSwitch d6a632a9 user-space conntrack, UDP", [84, 340, 545, 895], 355),
    peer("the same, heap on huge pages", [77, 325, 433, 632], 355),
    peer("Open vSwitch, TCP", [86, 355, 595, 941], 355),
    peer("Linux 6.18 conntrack, UDP, tracked minus notrack, 2M buckets", [109, 551, 740, 0], 264),
    peer("Linux 6.18 conntrack, TCP, 2M buckets", [225, 725, 789, 0], 264),
    peer("BPF LRU hash map with counters", [34, 290, 428, 0], 0),
    peer("DPDK 22.11 rte_hash, look-up alone, bulk of 32, 2 MB pages", [16, 44, 38, 49], 0),
];
