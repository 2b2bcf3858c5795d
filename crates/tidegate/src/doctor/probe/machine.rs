//! The machine: kernel, memory, namespace, addresses.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;

use super::super::facts::{Memory, Whose};

/// The kernel's release.
pub(super) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// The number of the thread's network namespace.
pub(super) fn namespace() -> Option<u64> {
    fs::metadata("/proc/thread-self/ns/net").ok().map(|data| data.ino())
}

/// Whether it is the one that the machine began with: only there limits can be set. Who may not look at the first
/// process sees it in the mode of the file.
pub(super) fn is_first_namespace(inode: Option<u64>) -> bool {
    match fs::metadata("/proc/1/ns/net") {
        Ok(first) => Some(first.ino()) == inode && is_writable(),
        Err(_) => is_writable(),
    }
}

fn is_writable() -> bool {
    fs::metadata("/proc/sys/net/netfilter/nf_conntrack_max")
        .is_ok_and(|data| data.mode() & 0o200 != 0)
}

/// The machine's memory. A flow's is that of its object and of the extensions that most have; where only root may read
/// the former it is what Linux 6.18 takes.
pub(super) fn memory(table: Whose) -> Memory {
    if table != Whose::Kernel {
        return Memory::default();
    }
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes: Option<u64> =
        available.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
    let slabs = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    Memory { available: kilobytes.map(|kilobytes| kilobytes << 10), flow: object(&slabs) }
}

/// The size of a flow's object: the fourth word of its line.
fn object(slabs: &str) -> Option<u64> {
    let line = slabs.lines().find(|line| line.starts_with("nf_conntrack "))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// The maps of Cilium's own table, which are pinned where all find them; only root may look.
pub(super) fn maps(table: Whose) -> Vec<String> {
    if table != Whose::Kernel {
        return Vec::new();
    }
    let entries = fs::read_dir("/sys/fs/bpf/tc/globals").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut maps: Vec<_> = names.filter(|name| name.starts_with("cilium_ct")).collect();
    maps.sort();
    maps
}

/// The addresses of the thread's namespace.
pub(super) fn addresses(table: Whose) -> Vec<IpAddr> {
    if table != Whose::Kernel {
        return Vec::new();
    }
    let v4 = fs::read_to_string("/proc/thread-self/net/fib_trie").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    parse_addresses(&v4, &v6)
}

/// Reads `fib_trie`, where an address of this host stands in the line before `/32 host LOCAL`, and `if_inet6`.
pub(super) fn parse_addresses(v4: &str, v6: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    let mut before = "";
    for line in v4.lines() {
        if line.trim() == "/32 host LOCAL" {
            let address = before.trim().trim_start_matches("|-- ").parse::<Ipv4Addr>();
            addresses.extend(address.map(IpAddr::V4));
        }
        before = line;
    }
    addresses.extend(v6.lines().filter_map(|line| {
        let bits = u128::from_str_radix(line.split_whitespace().next()?, 16).ok()?;
        Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    }));
    addresses.sort();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_kernel_s_files() {
        let v4 = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.1\n        /32 host LOCAL\n";
        let v6 = "fd000000000000000000000000000001 02 40 00 80     eth0\n";
        let expected: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(parse_addresses(v4, v6), expected);
    }

    #[test]
    fn a_flow_s_object_is_found_among_the_slabs() {
        let slabs = "slabinfo - version: 2.1\nnf_conntrack_expect 0 0 208 19 1 : tunables\nnf_conntrack 80 144 256 16 1 : tunables 0\n";
        assert_eq!(object(slabs), Some(256));
    }
}
