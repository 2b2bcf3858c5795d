//! The statistics that a network card's driver keeps, as `ethtool -S` shows them: the drivers of clouds tell there what
//! the cloud itself threw away.
//!
//! Unsafe code: the one system call, SIOCETHTOOL, that hands a buffer to a driver.
#![allow(unsafe_code)]

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::ioctl::{Updater, ioctl};
use rustix::net::{AddressFamily, SocketType};

/// All counters of all interfaces of the thread's namespace whose names speak of an allowance, as `eth0 NAME`.
pub(super) fn allowances() -> Vec<(String, u64)> {
    let Ok(socket) = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None) else {
        return Vec::new();
    };
    let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let interfaces =
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    let of = |name: &str| {
        statistics(&socket, name)
            .into_iter()
            .filter(|(counter, _)| is_allowance(counter))
            .map(|(counter, value)| (format!("{name} {counter}"), value))
            .collect::<Vec<_>>()
    };
    interfaces.flat_map(of).collect()
}

fn is_allowance(counter: &str) -> bool {
    counter.ends_with("_allowance_exceeded")
}

/// The counters of an interface; none if its driver has none.
fn statistics(socket: &OwnedFd, interface: &str) -> Vec<(String, u64)> {
    let Some(count) = count(socket, interface) else { return Vec::new() };
    // A driver may have more of them a moment later, and writes them all.
    let room = count + MARGIN;
    let mut names = vec![0_u64; 2 + room * NAME_LEN / 8];
    names[0] = u64::from(GET_STRINGS) | u64::from(STATISTICS) << 32;
    names[1] = room as u64;
    let mut values = vec![0_u64; 1 + room];
    values[0] = u64::from(GET_STATISTICS) | (room as u64) << 32;
    if !call(socket, interface, &mut names) || !call(socket, interface, &mut values) {
        return Vec::new();
    }
    // Behind command, set and count, which are three words of 32 bits.
    let bytes: Vec<u8> = names.iter().flat_map(|word| word.to_ne_bytes()).skip(12).collect();
    let name = |name: &[u8]| {
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        String::from_utf8_lossy(&name[..end]).into_owned()
    };
    bytes.chunks_exact(NAME_LEN).map(name).zip(values.into_iter().skip(1)).take(count).collect()
}

/// How many counters a driver has.
fn count(socket: &OwnedFd, interface: &str) -> Option<usize> {
    // Command and reserved word, a mask of sets, and a count for each of them that there is.
    let mut request = vec![u64::from(GET_SET_INFO), 1 << STATISTICS, 0];
    let is_done = call(socket, interface, &mut request) && request[1] != 0;
    let count = (request[2].to_ne_bytes().first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)))?;
    (is_done && (1..=MOST).contains(&count)).then_some(count as usize)
}

/// `struct ifreq` with the pointer that this request has.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    data: *mut u64,
    rest: [u64; 2],
}

fn call(socket: &OwnedFd, interface: &str, buffer: &mut [u64]) -> bool {
    let mut request = InterfaceRequest { name: [0; 16], data: buffer.as_mut_ptr(), rest: [0; 2] };
    if interface.len() >= request.name.len() {
        return false;
    }
    request.name[..interface.len()].copy_from_slice(interface.as_bytes());
    // SAFETY: the request is the kernel's `struct ifreq`, which it reads; it writes to the buffer, which outlives the
    // call and has the room that its own first words tell: as many counters as the driver said, and more.
    let done = unsafe { ioctl(socket.as_fd(), Updater::<SIOCETHTOOL, _>::new(&mut request)) };
    done.is_ok()
}

const SIOCETHTOOL: rustix::ioctl::Opcode = 0x8946;
const GET_STRINGS: u32 = 0x1b;
const GET_STATISTICS: u32 = 0x1d;
const GET_SET_INFO: u32 = 0x37;
/// `ETH_SS_STATS`.
const STATISTICS: u32 = 1;
const NAME_LEN: usize = 32;
const MARGIN: usize = 256;
/// No driver has more.
const MOST: u32 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_a_driver_has_no_counters() {
        let socket =
            rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).expect("a socket");
        assert_eq!(statistics(&socket, "lo"), []);
        assert_eq!(statistics(&socket, "none-such"), []);
        assert_eq!(statistics(&socket, "a-name-that-is-too-long"), []);
    }
}
