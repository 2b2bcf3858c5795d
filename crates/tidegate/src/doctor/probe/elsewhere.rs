//! Losses that are none of connection tracking's: sockets, backlogs, network cards, the cloud's own tables. Read twice.

use std::collections::BTreeMap;
use std::fs;

use tidegate_gateway::clock::Stopwatch;

use super::super::facts::{Rise, Whose, per_second};
use super::cloud;

/// The first look.
pub(super) struct Reader {
    watch: Stopwatch,
    table: Whose,
    before: BTreeMap<String, u64>,
}

impl Reader {
    /// Looks for the first time.
    pub(super) fn start(table: Whose) -> Self {
        let before = if table == Whose::Kernel { read() } else { BTreeMap::new() };
        Self { watch: Stopwatch::start(), table, before }
    }

    /// Looks for the second time.
    pub(super) fn finish(self) -> Vec<Rise> {
        if self.table != Whose::Kernel {
            return Vec::new();
        }
        let (now, span) = (read(), self.watch.elapsed());
        let rise = |(name, total): (String, u64)| {
            let grown = total.saturating_sub(self.before.get(&name).copied().unwrap_or(total));
            let (meaning, advice) = meaning_of(&name);
            Rise { rate: per_second(grown, span), name, meaning, advice, total }
        };
        now.into_iter().map(rise).collect()
    }
}

fn read() -> BTreeMap<String, u64> {
    let file = |name: &str| {
        fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
    };
    let mut all = BTreeMap::new();
    for name in ["snmp", "netstat"] {
        all.extend(
            pairs_of_lines(&file(name)).filter(|(name, _)| WATCHED.iter().any(|row| row.0 == name)),
        );
    }
    let dropped = file("softnet_stat");
    let dropped = dropped
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok());
    all.insert("softnet dropped".to_owned(), dropped.sum());
    all.insert(
        "interfaces rx_dropped".to_owned(),
        file("dev").lines().filter_map(received_dropped).sum(),
    );
    all.extend(cloud::allowances());
    all
}

/// `Udp: A B` and below `Udp: 1 2`: `Udp.A` is 1.
fn pairs_of_lines(text: &str) -> impl Iterator<Item = (String, u64)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut pairs = Vec::new();
    for lines in lines.chunks_exact(2) {
        let [names, values] = [lines[0], lines[1]].map(str::split_whitespace);
        let group = lines[0].split(':').next().unwrap_or_default();
        let pair =
            |(name, value): (&str, &str)| Some((format!("{group}.{name}"), value.parse().ok()?));
        pairs.extend(names.zip(values).skip(1).filter_map(pair));
    }
    pairs.into_iter()
}

/// Of a line `eth0: bytes packets errs drop ...`.
fn received_dropped(line: &str) -> Option<u64> {
    line.split_once(':')?.1.split_whitespace().nth(3)?.parse().ok()
}

fn meaning_of(name: &str) -> (&'static str, &'static str) {
    let is_it = |row: &&(&str, &str, &str)| name.ends_with(row.0);
    WATCHED.iter().find(is_it).map_or(("", ""), |(_, meaning, advice)| (*meaning, *advice))
}

/// Name, what it counts, what to do.
const WATCHED: [(&str, &str, &str); 14] = [
    (
        "Udp.RcvbufErrors",
        "datagrams that came to a socket whose buffer was full",
        "ss -uamn shows whose (d...); raise net.core.rmem_max and the program's SO_RCVBUF, or read faster",
    ),
    (
        "Udp.SndbufErrors",
        "datagrams that a full queue didn't take",
        "raise net.core.wmem_max, or send slower",
    ),
    (
        "Udp6.RcvbufErrors",
        "datagrams that came to a socket whose buffer was full",
        "ss -uamn shows whose",
    ),
    (
        "Ip.ReasmFails",
        "datagrams of which fragments are missing",
        "raise net.ipv4.ipfrag_high_thresh; look for an MTU that is too small",
    ),
    (
        "TcpExt.ListenOverflows",
        "connections that a listener's full backlog refused",
        "ss -ltn shows whose (Recv-Q > Send-Q); raise its backlog and net.core.somaxconn",
    ),
    (
        "TcpExt.TCPReqQFullDrop",
        "handshakes that a full queue refused",
        "raise net.ipv4.tcp_max_syn_backlog; sysctl -w net.ipv4.tcp_syncookies=1",
    ),
    (
        "TcpExt.IPReversePathFilter",
        "packets from where they shouldn't come (rp_filter)",
        "look at net.ipv4.conf.*.rp_filter and the routes",
    ),
    (
        "softnet dropped",
        "packets that a processor had no time for",
        "raise net.core.netdev_max_backlog; spread interrupts (RPS)",
    ),
    (
        "interfaces rx_dropped",
        "packets that an interface dropped",
        "ip -s -s link shows which; raise its ring: ethtool -G",
    ),
    (
        "conntrack_allowance_exceeded",
        "packets that the cloud's own connection tracking dropped",
        "nothing on this machine helps: a larger instance, or security groups that don't track",
    ),
    (
        "pps_allowance_exceeded",
        "packets beyond the instance's packets per second",
        "a larger instance, or fewer and larger packets",
    ),
    ("bw_in_allowance_exceeded", "packets beyond the instance's bandwidth", "a larger instance"),
    ("bw_out_allowance_exceeded", "packets beyond the instance's bandwidth", "a larger instance"),
    (
        "linklocal_allowance_exceeded",
        "packets to the cloud's own DNS, time and metadata beyond its limit",
        "a DNS cache on this machine",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_below_their_names() {
        let text = "Udp: InDatagrams RcvbufErrors\nUdp: 7 3\nTcpExt: ListenOverflows\nTcpExt: 5\n";
        let expected =
            [("Udp.InDatagrams", 7), ("Udp.RcvbufErrors", 3), ("TcpExt.ListenOverflows", 5)];
        assert_eq!(
            pairs_of_lines(text).collect::<Vec<_>>(),
            expected.map(|(name, value)| (name.to_owned(), value))
        );
    }

    #[test]
    fn each_allowance_of_a_cloud_has_a_meaning() {
        for name in ["bw_in", "bw_out", "pps", "conntrack", "linklocal"] {
            let (meaning, advice) = meaning_of(&format!("ens5 {name}_allowance_exceeded"));
            assert!(!meaning.is_empty() && !advice.is_empty(), "{name}");
        }
    }

    #[test]
    fn dropped_packets_stand_in_the_fourth_place() {
        assert_eq!(received_dropped("  eth0: 1000 10 0 7 0 0 0 0 5 5 0 9 0 0 0 0"), Some(7));
        assert_eq!(received_dropped("Inter-|   Receive"), None);
    }
}
