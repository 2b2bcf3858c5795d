//! Which program has most sockets with an address: asked of the kernel (`NETLINK_SOCK_DIAG`), as `ss -p` does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::Messages;
use tidegate_wire::netlink::frame::Control;
use tidegate_wire::proto;

use super::super::foreign;
use super::namespaces::processes;

/// The program and process of the socket that has this local address in the thread's namespace, of those most that are
/// looked at.
pub(super) fn program(address: IpAddr) -> Option<String> {
    let watch = Stopwatch::start();
    let mut inodes = BTreeSet::new();
    for protocol in [proto::TCP, proto::UDP] {
        inodes.extend(sockets(address, protocol, &watch).unwrap_or_default());
    }
    if inodes.is_empty() {
        return None;
    }
    let mut programs: BTreeMap<u32, usize> = BTreeMap::new();
    for process in processes() {
        if watch.elapsed() > PATIENCE {
            break;
        }
        let count = inodes_of(process).filter(|inode| inodes.contains(inode)).count();
        if count > 0 {
            programs.insert(process, count);
        }
    }
    let (process, _) =
        programs.into_iter().max_by_key(|(process, count)| (*count, u32::MAX - process))?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(format!("{}, pid {process}", foreign::name(&name)))
}

/// The inodes of the sockets that a process holds.
fn inodes_of(process: u32) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

/// The inodes of the sockets with a local address.
fn sockets(address: IpAddr, protocol: u8, watch: &Stopwatch) -> rustix::io::Result<Vec<u32>> {
    let diag = Some(netlink::SOCK_DIAG);
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        diag,
    )?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    rustix::net::send(&socket, &request(address, protocol), SendFlags::empty())?;
    let (mut inodes, mut datagram) = (Vec::new(), vec![0; DATAGRAM]);
    loop {
        let (len, _) = rustix::net::recv(&socket, &mut datagram[..], RecvFlags::empty())?;
        for message in Messages::new(&datagram[..len]) {
            let Ok(message) = message else { return Ok(inodes) };
            match message.control() {
                Some(Control::Done(_) | Control::Error(_)) => return Ok(inodes),
                Some(_) => {}
                None => inodes.extend(inode_of(message.payload, address)),
            }
        }
        if inodes.len() >= MOST || watch.elapsed() > PATIENCE {
            return Ok(inodes);
        }
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`: all sockets in all states.
fn request(address: IpAddr, protocol: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(REQUEST_LEN as usize);
    bytes.extend(REQUEST_LEN.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_AND_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([if address.is_ipv4() { V4 } else { V6 }, protocol, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.resize(REQUEST_LEN as usize, 0);
    bytes
}

/// The inode in `struct inet_diag_msg`, if the socket has the address.
fn inode_of(payload: &[u8], address: IpAddr) -> Option<u32> {
    let source: [u8; 16] = payload.get(8..24)?.try_into().ok()?;
    let is_it = match address {
        IpAddr::V4(v4) => Ipv4Addr::from_octets(*source.first_chunk()?) == v4,
        IpAddr::V6(v6) => Ipv6Addr::from_octets(source).to_bits() >> 64 == v6.to_bits() >> 64,
    };
    let inode = u32::from_ne_bytes(payload.get(68..72)?.try_into().ok()?);
    (is_it && inode != 0).then_some(inode)
}

const REQUEST_LEN: u32 = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_AND_DUMP: u16 = 0x301;
const V4: u8 = 2;
const V6: u8 = 10;
const DATAGRAM: usize = 32 << 10;
/// So many tell whose they are.
const MOST: usize = 4096;
const PATIENCE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn our_own_socket_is_ours() {
        let socket = UdpSocket::bind("127.77.66.55:0").expect("a socket on the loopback");
        let found = program(socket.local_addr().expect("it is bound").ip()).expect("it is found");
        assert!(found.ends_with(&format!("pid {}", std::process::id())), "{found}");
        assert_eq!(program("127.77.66.54".parse().expect("an address")), None);
    }
}
