//! What the kernel says of interfaces in /proc and nowhere else: settings, and groups that the host listens to.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use tidegate_engine::fib::PortId;

use crate::fib::link::{Links, Settings};

/// How an interface judges sources, with what holds for all. What can't be read is not set.
pub(super) fn settings(name: &str) -> Settings {
    let value = |scope: &str, key: &str| -> u8 {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{scope}/{key}"));
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    let most = |key| value("all", key).max(value(name, key));
    Settings {
        rp_filter: most("rp_filter"),
        accept_local: most("accept_local") != 0,
        route_localnet: most("route_localnet") != 0,
        send_redirects: most("send_redirects") != 0,
    }
}

/// The groups that the host listens to.
pub(super) fn groups(links: &Links) -> BTreeSet<(PortId, IpAddr)> {
    let read = |name| fs::read_to_string(name).unwrap_or_default();
    let v4 = groups_v4(&read("/proc/net/igmp"));
    let v6 = groups_v6(&read("/proc/net/igmp6"));
    let known = |(index, group)| links.port(index).map(|port| (port, group));
    v4.into_iter().chain(v6).filter_map(known).collect()
}

/// A line for each interface, and below it one for each group, indented.
fn groups_v4(text: &str) -> Vec<(u32, IpAddr)> {
    let mut index = None;
    let mut found = Vec::new();
    for line in text.lines().skip(1) {
        let Some(word) = line.split_whitespace().next() else { continue };
        if line.starts_with(char::is_whitespace) {
            let group = u32::from_str_radix(word, 16).map(|bits| IpAddr::from(bits.to_ne_bytes()));
            found.extend(index.zip(group.ok()));
        } else {
            index = word.parse().ok();
        }
    }
    found
}

/// A line for each group: number and name of the interface, group.
fn groups_v6(text: &str) -> Vec<(u32, IpAddr)> {
    let read = |line: &str| {
        let mut words = line.split_whitespace();
        let index = words.next()?.parse().ok()?;
        let group = u128::from_str_radix(words.nth(1)?, 16).ok()?;
        Some((index, Ipv6Addr::from_bits(group).into()))
    };
    text.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_with_their_interfaces() {
        let text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                    1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                    7\teth0      :     2      V3\n\t\t\t\t120000E0     1 0:00000000\t\t0\n\
                    \t\t\t\t010000E0     1 0:00000000\t\t0\n";
        let found = groups_v4(text);
        let little = cfg!(target_endian = "little");
        let group = |last| {
            let bits = [224, 0, 0, last];
            IpAddr::from(if little { bits } else { [last, 0, 0, 224] })
        };
        assert_eq!(found, [(1, group(1)), (7, group(18)), (7, group(1))]);
        let text = "2    eth0            ff0200000000000000000001ff000001     1 00000004 0\n";
        let group: IpAddr = "ff02::1:ff00:1".parse().expect("an address");
        assert_eq!(groups_v6(text), [(2, group)]);
    }
}
