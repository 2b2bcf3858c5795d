//! Sockets, and the processes that hold them.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::proto;

use super::{Owners, container};

/// A process.
pub(super) struct Process {
    /// Its number.
    pub(super) id: u32,
}

impl Process {
    /// What it is called: its name and number.
    pub(super) fn name(&self) -> Option<String> {
        Some(format!("{} {}", self.program()?, self.id))
    }

    /// The program's name.
    pub(super) fn program(&self) -> Option<String> {
        self.read("comm").map(|name| name.trim_end().to_owned())
    }

    /// One of its files.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/{name}", self.id)).ok()
    }

    /// What a link of it says.
    pub(super) fn link(&self, name: &str) -> Option<String> {
        let target = fs::read_link(format!("/proc/{}/{name}", self.id)).ok()?;
        target.into_os_string().into_string().ok()
    }

    /// The inodes of its sockets.
    fn sockets(&self) -> impl Iterator<Item = u64> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.id)).into_iter().flatten().flatten();
        files.filter_map(|file| inode(fs::read_link(file.path()).ok()?.to_str()?))
    }
}

/// All processes that can be seen, in the order of their numbers.
pub(super) fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut ids: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    ids.into_iter().map(|id| Process { id }).collect()
}

/// Finds the sockets of this namespace, and gives each to what `name` calls the process that holds it.
pub(super) fn find(owners: &mut Owners, name: &dyn Fn(&Process) -> Option<String>) {
    let mut sockets = HashMap::new();
    for (file, number) in FILES {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        let found = text.lines().skip(1).filter_map(socket);
        sockets.extend(found.map(|(inode, address, port)| (inode, (number, address, port))));
    }
    owners.local = container::own_addresses();
    for process in processes() {
        let held: Vec<_> = process.sockets().filter_map(|inode| sockets.remove(&inode)).collect();
        if held.is_empty() {
            continue;
        }
        let Some(owner) = name(&process) else { continue };
        let owner = owners.number(owner);
        for (number, address, port) in held {
            if address.is_unspecified() {
                owners.listeners.insert((number, port), owner);
            } else {
                owners.sockets.insert((number, address, port), owner);
            }
        }
    }
}

/// The inode, local address and port in a line of `/proc/net/tcp`.
fn socket(line: &str) -> Option<(u64, IpAddr, u16)> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    let inode = words.nth(7)?.parse().ok().filter(|inode| *inode != 0)?;
    Some((inode, hex_address(address)?, u16::from_str_radix(port, 16).ok()?))
}

/// An address as the kernel prints it there: words of 32 bits, each in the machine's order.
fn hex_address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for word in text.as_bytes().chunks(8) {
        let number = u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(number.to_ne_bytes());
    }
    if let Ok(bytes) = <[u8; 4]>::try_from(&bytes[..]) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[..]).ok()?);
    Some(address.to_ipv4_mapped().map_or(address.into(), IpAddr::V4))
}

/// The number in `socket:[123]`.
fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

const FILES: [(&str, u8); 6] = [
    ("tcp", proto::TCP),
    ("tcp6", proto::TCP),
    ("udp", proto::UDP),
    ("udp6", proto::UDP),
    ("udplite", proto::UDPLITE),
    ("udplite6", proto::UDPLITE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_socket_is_read_from_its_line() {
        let rows = [
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0",
                Some((12345, "127.0.0.1", 8080)),
            ),
            (
                "   1: B80D0120000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0",
                Some((77, "2001:db8::1", 443)),
            ),
            (
                "   2: 0000000000000000FFFF00000101A8C0:0016 0000000000000000FFFF00000201A8C0:C000 01 00000000:00000000 00:00000000 00000000     0        0 78 1 0",
                Some((78, "192.168.1.1", 22)),
            ),
            (
                "   3: 0100007F:1F90 0100007F:C000 06 00000000:00000000 03:00000000 00000000 0 0 0 3 0",
                None,
            ),
            ("nonsense", None),
        ];
        for (line, expected) in rows {
            let expected = expected.map(|(inode, text, port)| (inode, text.parse().unwrap(), port));
            assert_eq!(socket(line), expected, "{line}");
        }
        assert_eq!(inode("socket:[42]"), Some(42));
        assert_eq!(inode("pipe:[42]"), None);
    }
}
