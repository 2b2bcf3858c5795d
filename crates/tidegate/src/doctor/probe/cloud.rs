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
    interfaces.flat_map(|name| allowances_of(&socket, name)).collect()
}

fn allowances_of(driver: &impl Driver, interface: &str) -> Vec<(String, u64)> {
    let all = statistics(driver, interface).into_iter();
    let allowances = all.filter(|(counter, _)| is_allowance(counter));
    allowances.map(|(counter, value)| (format!("{interface} {counter}"), value)).collect()
}

fn is_allowance(counter: &str) -> bool {
    counter.ends_with("_allowance_exceeded")
}

/// Who answers what `ethtool` asks: words of 64 bits that begin with the request, and are written over with the answer.
trait Driver {
    /// Whether there was an answer.
    fn call(&self, interface: &str, buffer: &mut [u64]) -> bool;
}

impl Driver for OwnedFd {
    fn call(&self, interface: &str, buffer: &mut [u64]) -> bool {
        call(self, interface, buffer)
    }
}

/// The counters of an interface; none if its driver has none.
fn statistics(driver: &impl Driver, interface: &str) -> Vec<(String, u64)> {
    let Some(count) = count(driver, interface) else { return Vec::new() };
    // A driver may have more of them a moment later, and writes them all.
    let room = count + MARGIN;
    let mut names = vec![0_u64; 2 + room * NAME_LEN / 8];
    names[0] = u64::from(GET_STRINGS) | u64::from(STATISTICS) << 32;
    names[1] = room as u64;
    let mut values = vec![0_u64; 1 + room];
    values[0] = u64::from(GET_STATISTICS) | (room as u64) << 32;
    if !driver.call(interface, &mut names) || !driver.call(interface, &mut values) {
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
fn count(driver: &impl Driver, interface: &str) -> Option<usize> {
    // Command and reserved word, a mask of sets, and a count for each of them that there is.
    let mut request = vec![u64::from(GET_SET_INFO), 1 << STATISTICS, 0];
    let is_done = driver.call(interface, &mut request) && request[1] != 0;
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

    /// What `ethtool -S` shows of a card of Amazon's cloud (ENA, `drivers/net/ethernet/amazon/ena`), cut short.
    const ENA: &str = "\
     total_resets: 0
     tx_timeout: 0
     suspend: 0
     bw_in_allowance_exceeded: 1271
     bw_out_allowance_exceeded: 20
     pps_allowance_exceeded: 3
     conntrack_allowance_exceeded: 98765432101
     linklocal_allowance_exceeded: 0
     conntrack_allowance_available: 136812
     queue_0_tx_cnt: 5512
     queue_0_rx_bad_desc_num: 0
";

    /// A driver that answers as a real one does, with what was recorded of it.
    struct Recorded(Vec<(&'static str, u64)>);

    impl Recorded {
        fn of(text: &'static str) -> Self {
            let pairs = text.lines().filter_map(|line| line.trim().split_once(": "));
            Self(pairs.map(|(name, value)| (name, value.parse().expect("a number"))).collect())
        }
    }

    impl Driver for Recorded {
        fn call(&self, interface: &str, buffer: &mut [u64]) -> bool {
            let count = self.0.len() as u64;
            match buffer[0] as u32 {
                GET_SET_INFO => buffer[2] = count,
                GET_STATISTICS => {
                    buffer[0] = u64::from(GET_STATISTICS) | count << 32;
                    self.0.iter().zip(&mut buffer[1..]).for_each(|(row, word)| *word = row.1);
                }
                GET_STRINGS => {
                    let mut bytes: Vec<u8> = buffer.iter().flat_map(|w| w.to_ne_bytes()).collect();
                    bytes[8..12].copy_from_slice(&(count as u32).to_ne_bytes());
                    for ((name, _), room) in self.0.iter().zip(bytes[12..].chunks_mut(NAME_LEN)) {
                        room[..name.len()].copy_from_slice(name.as_bytes());
                    }
                    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
                    buffer.iter_mut().zip(bytes.chunks(8)).for_each(|(to, from)| *to = word(from));
                }
                _ => return false,
            }
            interface == "ens5"
        }
    }

    #[test]
    fn a_clouds_allowances_are_read_and_nothing_else() {
        let driver = Recorded::of(ENA);
        let all = statistics(&driver, "ens5");
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(all, driver.0);
        let expected = [
            ("ens5 bw_in_allowance_exceeded", 1271),
            ("ens5 bw_out_allowance_exceeded", 20),
            ("ens5 pps_allowance_exceeded", 3),
            ("ens5 conntrack_allowance_exceeded", 98_765_432_101),
            ("ens5 linklocal_allowance_exceeded", 0),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(allowances_of(&driver, "ens5"), expected);
        assert_eq!(allowances_of(&driver, "lo"), []);
    }

    #[test]
    fn an_interface_without_a_driver_has_no_counters() {
        let socket =
            rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).expect("a socket");
        assert_eq!(statistics(&socket, "lo"), []);
        assert_eq!(statistics(&socket, "none-such"), []);
        assert_eq!(statistics(&socket, "a-name-that-is-too-long"), []);
    }
}
