//! Other network namespaces: their addresses, and what they are called.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;

use super::Owners;
use super::socket::{Process, processes};

/// Finds the addresses of all other network namespaces in which there is a process.
pub(super) fn find(owners: &mut Owners) {
    let own = fs::read_link("/proc/thread-self/ns/net").ok();
    let own = own.and_then(|link| link.into_os_string().into_string().ok());
    let mut known: BTreeSet<String> = own.into_iter().collect();
    for process in processes() {
        let Some(namespace) = process.link("ns/net") else { continue };
        if !known.insert(namespace.clone()) {
            continue;
        }
        let owner = owners.number(name(&process, &namespace));
        for address in addresses(&|name| process.read(&format!("net/{name}"))) {
            owners.addresses.insert(address, owner);
        }
    }
}

/// The container that a process of our own namespace is in.
pub(super) fn of_process(process: &Process) -> Option<String> {
    another_container(&process.read("cgroup")?)
}

/// The container in these cgroups, unless we are in it ourselves.
fn another_container(cgroups: &str) -> Option<String> {
    let own = fs::read_to_string("/proc/self/cgroup").ok();
    let own = own.and_then(|cgroups| container_id(&cgroups));
    container_id(cgroups).filter(|container| own.as_ref() != Some(container))
}

/// The addresses of the thread's own namespace.
pub(super) fn own_addresses() -> Vec<IpAddr> {
    addresses(&|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).ok())
}

/// What a namespace is called: by its container, as `ip netns' does, or by a program in it.
fn name(process: &Process, namespace: &str) -> String {
    let program = process.program().unwrap_or_default();
    match process.read("cgroup").and_then(|text| another_container(&text)) {
        Some(container) => format!("{container} ({program})"),
        None => named_namespace(namespace).unwrap_or_else(|| format!("{program} {}", process.id)),
    }
}

/// The name that `ip netns' gave to a namespace, of which a link says `net:` and its inode.
fn named_namespace(namespace: &str) -> Option<String> {
    let inode: u64 = namespace.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
    let entries = fs::read_dir("/run/netns").ok()?.flatten();
    let mut named =
        entries.filter(|entry| fs::metadata(entry.path()).is_ok_and(|m| m.ino() == inode));
    named.next()?.file_name().into_string().ok()
}

/// The container's number in a process's cgroups, cut to the twelve digits that its tools show; of Kubernetes' pods
/// without any, the pod's.
fn container_id(cgroups: &str) -> Option<String> {
    let paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut parts = paths.flat_map(|path| path.rsplit('/'));
    parts.find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let part = part.strip_suffix(".slice").unwrap_or(part);
        let last = part.rsplit(['-', ':']).next().unwrap_or(part);
        let is_id = last.len() >= 32 && last.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            return Some(last[..12].to_owned());
        }
        let pod = part.rfind("pod").map(|at| &part[at..]).filter(|pod| pod.len() > 30);
        pod.map(str::to_owned).or_else(|| part.strip_prefix("lxc.payload.").map(str::to_owned))
    })
}

fn addresses(read: &dyn Fn(&str) -> Option<String>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    all.extend(local_v4(&read("fib_trie").unwrap_or_default()));
    all.extend(v6(&read("if_inet6").unwrap_or_default()));
    all.retain(|address| !address.is_loopback());
    all.sort_unstable();
    all.dedup();
    all
}

/// Addresses of which `/proc/net/fib_trie` says that they are the host's own.
fn local_v4(text: &str) -> impl Iterator<Item = IpAddr> {
    let mut last: Option<Ipv4Addr> = None;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        }
        line.starts_with("/32 host LOCAL").then_some(last)?.map(IpAddr::V4)
    })
}

/// The addresses in `/proc/net/if_inet6`, but for those that every link has.
fn v6(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        let address = Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?);
        (!address.is_unicast_link_local()).then_some(IpAddr::V6(address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_number_stands_in_the_cgroups() {
        let id = "0123456789abcdef".repeat(4);
        let pod = "pod0a1b2c3d_0000_4000_8000_0123456789ab";
        let rows = [
            (format!("0::/system.slice/docker-{id}.scope\n"), Some("0123456789ab")),
            (format!("12:pids:/docker/{id}\n0::/\n"), Some("0123456789ab")),
            (
                format!(
                    "0::/kubepods.slice/kubepods-burstable-{pod}.slice/cri-containerd-{id}.scope"
                ),
                Some("0123456789ab"),
            ),
            (format!("0::/kubepods.slice/kubepods-burstable-{pod}.slice"), Some(pod)),
            (format!("0::/machine.slice/libpod-{id}.scope/container"), Some("0123456789ab")),
            ("0::/lxc.payload.web/init.scope".to_owned(), Some("web")),
            ("0::/user.slice/user-1000.slice/session-2.scope".to_owned(), None),
            (String::new(), None),
        ];
        for (text, expected) in rows {
            assert_eq!(container_id(&text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn own_addresses_are_told_from_networks() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.1.0.0/24 2 0 2\n        |-- 10.1.0.0\n           /24 link UNICAST\n        |-- 10.1.0.7\n           /32 host LOCAL\n        |-- 10.1.0.255\n           /32 link BROADCAST\n     |-- 127.0.0.1\n           /32 host LOCAL\n";
        let inet6 = "fe800000000000000000000000000001 02 40 20 80 eth0\n20010db8000000000000000000000007 02 40 00 80 eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        let read = |name: &str| Some(if name == "fib_trie" { trie } else { inet6 }.to_owned());
        let expected: Vec<IpAddr> =
            ["10.1.0.7", "2001:db8::7"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(addresses(&read), expected);
    }
}
