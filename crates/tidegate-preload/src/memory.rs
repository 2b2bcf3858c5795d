//! The caller's memory: addresses, options and buffers that a program hands to a call.
//!
//! Unsafe code: lengths and pointers are what the program says, as the kernel would take them; a null pointer is no
//! memory.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::slice;

use libc::{msghdr, sockaddr, sockaddr_nl, socklen_t};

/// Length of a netlink address.
pub(crate) const ADDRESS_LEN: socklen_t = mem::size_of::<sockaddr_nl>() as socklen_t;

/// Bytes that the caller hands in.
///
/// # Safety
/// `len` bytes can be read at `start`, which may be null if there are none.
pub(crate) unsafe fn bytes<'a>(start: *const c_void, len: usize) -> &'a [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { slice::from_raw_parts(start.cast(), len) }
}

/// The netlink address that the caller hands in, if it is one.
///
/// # Safety
/// `len` bytes can be read at `address`, which may be null.
pub(crate) unsafe fn address(address: *const sockaddr, len: socklen_t) -> Option<sockaddr_nl> {
    if address.is_null() || len < ADDRESS_LEN {
        return None;
    }
    // SAFETY: it is as long as a netlink address, which any bytes are.
    let found: sockaddr_nl = unsafe { address.cast::<sockaddr_nl>().read_unaligned() };
    (c_int::from(found.nl_family) == libc::AF_NETLINK).then_some(found)
}

/// Writes a netlink address to where the caller wants one, as far as there is room, and its length.
///
/// # Safety
/// `into` and `len` are null or can be written, `into` for as many bytes as `len` says.
pub(crate) unsafe fn give_address(port: u32, into: *mut sockaddr, len: *mut socklen_t) {
    // SAFETY: zeroes are a netlink address.
    let mut address: sockaddr_nl = unsafe { MaybeUninit::zeroed().assume_init() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_pid = port;
    if into.is_null() || len.is_null() {
        return;
    }
    // SAFETY: neither is null, and no more is written than the caller has room for.
    unsafe {
        let room = (*len).min(ADDRESS_LEN) as usize;
        (&raw const address).cast::<u8>().copy_to_nonoverlapping(into.cast(), room);
        *len = ADDRESS_LEN;
    }
}

/// Gives the caller a number, as `getsockopt` does.
///
/// # Safety
/// `into` and `len` are null or can be written, `into` for as many bytes as `len` says.
pub(crate) unsafe fn give_number(number: c_int, into: *mut c_void, len: *mut socklen_t) -> bool {
    const LEN: socklen_t = mem::size_of::<c_int>() as socklen_t;
    // SAFETY: neither is null, and there is room.
    unsafe {
        if into.is_null() || len.is_null() || *len < LEN {
            return false;
        }
        into.cast::<c_int>().write_unaligned(number);
        *len = LEN;
    }
    true
}

/// The first bytes of what was received into a message's buffers.
///
/// # Safety
/// The message's buffers can be read, and hold `len` bytes.
pub(crate) unsafe fn beginning<const N: usize>(message: &msghdr, len: usize) -> ([u8; N], usize) {
    let mut found = [0; N];
    let mut filled = 0;
    if message.msg_iov.is_null() {
        return (found, filled);
    }
    // SAFETY: as the caller says, there are so many buffers there.
    let buffers = unsafe { slice::from_raw_parts(message.msg_iov, message.msg_iovlen) };
    for buffer in buffers {
        let wanted = len.min(N) - filled;
        // SAFETY: as the caller says, the buffer can be read.
        let part = unsafe { bytes(buffer.iov_base, buffer.iov_len.min(wanted)) };
        found[filled..filled + part.len()].copy_from_slice(part);
        filled += part.len();
    }
    (found, filled)
}
