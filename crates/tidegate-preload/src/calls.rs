//! The functions that a program finds in place of libc's. For sockets that are not ours they are libc's.
//!
//! Unsafe code: each has the C type of the function whose name it has, and is called as that.
#![allow(unsafe_code)]
// What a caller must see to is what the manual page of the function says.
#![allow(clippy::missing_safety_doc)]

use std::ffi::{c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::ptr;

use libc::{
    AF_NETLINK, AF_UNIX, MSG_NOSIGNAL, MSG_PEEK, NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP,
    NETLINK_NETFILTER, SO_DOMAIN, SO_PROTOCOL, SO_RCVBUF, SO_RCVBUFFORCE, SO_SNDBUF,
    SO_SNDBUFFORCE, SO_TYPE, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, SOL_NETLINK, SOL_SOCKET,
    msghdr, size_t, sockaddr, sockaddr_un, socklen_t, ssize_t,
};

use crate::libc_own::{self, errno, fail};
use crate::memory;
use crate::notice::{self, FAILURE_LEN};
use crate::sockets::{self, Socket, Sockets};

/// A netlink socket of netfilter becomes a connection to the engine.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let is_netfilter = domain == AF_NETLINK && protocol == NETLINK_NETFILTER;
    match sockets::path().filter(|_| is_netfilter) {
        Some(path) => open(kind, path.as_bytes()),
        None => {
            // SAFETY: the caller's own arguments.
            let descriptor = unsafe { libc_own::socket()(domain, kind, protocol) };
            // One of ours may have had this number, and have been closed without a call that is seen here.
            Sockets::lock().forget(descriptor);
            descriptor
        }
    }
}

fn open(kind: c_int, path: &[u8]) -> c_int {
    // SAFETY: zeroes are an address.
    let mut address: sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = AF_UNIX as libc::sa_family_t;
    if path.len() >= address.sun_path.len() {
        return fail(libc::ENAMETOOLONG);
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = *from as _;
    }
    let flags = kind & (SOCK_NONBLOCK | SOCK_CLOEXEC);
    // SAFETY: no memory is handed over.
    let descriptor = unsafe { libc_own::socket()(AF_UNIX, SOCK_SEQPACKET | flags, 0) };
    if descriptor < 0 {
        return descriptor;
    }
    let len = mem::size_of::<sockaddr_un>() as socklen_t;
    // SAFETY: the address is that long and lives.
    if unsafe { libc_own::connect()(descriptor, (&raw const address).cast(), len) } < 0 {
        return refuse(descriptor);
    }
    introduce(descriptor, kind & !flags);
    descriptor
}

/// Nobody is there: to a program, a kernel without ctnetlink.
fn refuse(descriptor: c_int) -> c_int {
    let why = errno();
    // SAFETY: no memory is handed over.
    unsafe { libc_own::close()(descriptor) };
    fail(match why {
        libc::ENOENT | libc::ECONNREFUSED => libc::EPROTONOSUPPORT,
        other => other,
    })
}

fn introduce(descriptor: c_int, kind: c_int) {
    let port = Sockets::lock().add(descriptor, kind);
    tell(descriptor, &notice::hello(port));
}

/// Tells the engine something. If it can't be told, the connection is broken, which the next call finds out.
fn tell(descriptor: c_int, notice: &[u8]) {
    // SAFETY: the bytes live; there is no address.
    unsafe {
        libc_own::sendto()(
            descriptor,
            notice.as_ptr().cast(),
            notice.len(),
            MSG_NOSIGNAL,
            ptr::null(),
            0,
        )
    };
}

/// Of an address the groups count, and the number if there is one.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn bind(
    descriptor: c_int,
    to: *const sockaddr,
    len: socklen_t,
) -> c_int {
    let Some(socket) = Sockets::find(descriptor) else {
        // SAFETY: the caller's own arguments.
        return unsafe { libc_own::bind()(descriptor, to, len) };
    };
    // SAFETY: as the caller says.
    let Some(address) = (unsafe { memory::address(to, len) }) else { return fail(libc::EINVAL) };
    let port = if address.nl_pid == 0 { socket.port } else { address.nl_pid };
    Sockets::lock().set(descriptor, Socket { port, groups: address.nl_groups, ..socket });
    if port != socket.port {
        tell(descriptor, &notice::hello(port));
    }
    if address.nl_groups != socket.groups {
        tell(descriptor, &notice::membership(address.nl_groups));
    }
    0
}

/// There is one whom a netlink socket can be connected to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn connect(
    descriptor: c_int,
    to: *const sockaddr,
    len: socklen_t,
) -> c_int {
    match Sockets::find(descriptor) {
        Some(_) => 0,
        // SAFETY: the caller's own arguments.
        None => unsafe { libc_own::connect()(descriptor, to, len) },
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getsockname(
    descriptor: c_int,
    into: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    let Some(socket) = Sockets::find(descriptor) else {
        // SAFETY: the caller's own arguments.
        return unsafe { libc_own::getsockname()(descriptor, into, len) };
    };
    // SAFETY: as the caller says.
    unsafe { memory::give_address(socket.port, into, len) };
    0
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getpeername(
    descriptor: c_int,
    into: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    if Sockets::find(descriptor).is_none() {
        // SAFETY: the caller's own arguments.
        return unsafe { libc_own::getpeername()(descriptor, into, len) };
    }
    // SAFETY: as the caller says. The kernel's address is 0.
    unsafe { memory::give_address(0, into, len) };
    0
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getsockopt(
    descriptor: c_int,
    level: c_int,
    name: c_int,
    into: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let socket = Sockets::find(descriptor);
    let number = match (socket, level, name) {
        (Some(socket), SOL_SOCKET, SO_TYPE) => socket.kind,
        (Some(_), SOL_SOCKET, SO_DOMAIN) => AF_NETLINK,
        (Some(_), SOL_SOCKET, SO_PROTOCOL) => NETLINK_NETFILTER,
        (Some(_), SOL_NETLINK, _) => return fail(libc::ENOPROTOOPT),
        // SAFETY: the caller's own arguments.
        _ => return unsafe { libc_own::getsockopt()(descriptor, level, name, into, len) },
    };
    // SAFETY: as the caller says.
    if unsafe { memory::give_number(number, into, len) } { 0 } else { fail(libc::EINVAL) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn setsockopt(
    descriptor: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    let socket = Sockets::find(descriptor);
    // Buffers beyond the system's limit are for netlink; a connection to the engine does with the limit.
    let name = match (socket, level, name) {
        (Some(_), SOL_SOCKET, SO_RCVBUFFORCE) => SO_RCVBUF,
        (Some(_), SOL_SOCKET, SO_SNDBUFFORCE) => SO_SNDBUF,
        (Some(socket), SOL_NETLINK, _) => {
            // SAFETY: as the caller says.
            let value = unsafe { memory::bytes(value, len as usize) };
            return set_netlink(descriptor, socket, name, value);
        }
        _ => name,
    };
    // SAFETY: the caller's own memory.
    unsafe { libc_own::setsockopt()(descriptor, level, name, value, len) }
}

fn set_netlink(descriptor: c_int, socket: Socket, name: c_int, value: &[u8]) -> c_int {
    let Some(number) = value.first_chunk().map(|value| u32::from_ne_bytes(*value)) else {
        return fail(libc::EINVAL);
    };
    if !matches!(name, NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP) {
        tell(descriptor, &notice::option(name as u32, value));
        return 0;
    }
    // Groups are numbered from 1; netfilter has fewer than 32.
    let bit = number.checked_sub(1).and_then(|bit| 1_u32.checked_shl(bit));
    let Some(bit) = bit else { return fail(libc::EINVAL) };
    let is_added = name == NETLINK_ADD_MEMBERSHIP;
    let groups = if is_added { socket.groups | bit } else { socket.groups & !bit };
    Sockets::lock().set(descriptor, Socket { groups, ..socket });
    tell(descriptor, &notice::membership(groups));
    0
}

/// Whom it is to is no question.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sendto(
    descriptor: c_int,
    from: *const c_void,
    size: size_t,
    flags: c_int,
    to: *const sockaddr,
    len: socklen_t,
) -> ssize_t {
    let (flags, to, len) = match Sockets::find(descriptor) {
        Some(_) => (flags | MSG_NOSIGNAL, ptr::null(), 0),
        None => (flags, to, len),
    };
    // SAFETY: the caller's own memory.
    unsafe { libc_own::sendto()(descriptor, from, size, flags, to, len) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn send(
    descriptor: c_int,
    from: *const c_void,
    size: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's own memory.
    unsafe { sendto(descriptor, from, size, flags, ptr::null(), 0) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sendmsg(
    descriptor: c_int,
    message: *const msghdr,
    flags: c_int,
) -> ssize_t {
    if Sockets::find(descriptor).is_none() || message.is_null() {
        // SAFETY: the caller's own arguments.
        return unsafe { libc_own::sendmsg()(descriptor, message, flags) };
    }
    // SAFETY: it isn't null; the copy lives as long as the call.
    unsafe {
        let mut copy = *message;
        copy.msg_name = ptr::null_mut();
        copy.msg_namelen = 0;
        libc_own::sendmsg()(descriptor, &raw const copy, flags | MSG_NOSIGNAL)
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn recvfrom(
    descriptor: c_int,
    into: *mut c_void,
    size: size_t,
    flags: c_int,
    from: *mut sockaddr,
    len: *mut socklen_t,
) -> ssize_t {
    if Sockets::find(descriptor).is_none() {
        // SAFETY: the caller's own arguments.
        return unsafe { libc_own::recvfrom()(descriptor, into, size, flags, from, len) };
    }
    // SAFETY: the caller's own memory, into which so much was received as is looked at.
    unsafe {
        let null = (ptr::null_mut(), ptr::null_mut());
        let count = libc_own::recvfrom()(descriptor, into, size, flags, null.0, null.1);
        let held = usize::try_from(count).unwrap_or(0).min(size).min(FAILURE_LEN);
        let count = judge(descriptor, count, memory::bytes(into, held), flags);
        if count >= 0 {
            memory::give_address(0, from, len);
        }
        count
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn recv(
    descriptor: c_int,
    into: *mut c_void,
    size: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's own memory.
    unsafe { recvfrom(descriptor, into, size, flags, ptr::null_mut(), ptr::null_mut()) }
}

/// Libraries insist on the kernel's address, and on its length.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn recvmsg(
    descriptor: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    if Sockets::find(descriptor).is_none() || message.is_null() {
        // SAFETY: the caller's own arguments.
        return unsafe { libc_own::recvmsg()(descriptor, message, flags) };
    }
    // SAFETY: it isn't null, and is the caller's own, as are the buffers that it names.
    unsafe {
        let message = &mut *message;
        let (name, mut len) = (message.msg_name, message.msg_namelen);
        message.msg_name = ptr::null_mut();
        message.msg_namelen = 0;
        let count = libc_own::recvmsg()(descriptor, message, flags);
        message.msg_name = name;
        message.msg_namelen = len;
        let held = usize::try_from(count).unwrap_or(0);
        let (beginning, held) = memory::beginning::<FAILURE_LEN>(message, held);
        let count = judge(descriptor, count, &beginning[..held], flags);
        if count >= 0 {
            memory::give_address(0, name.cast(), &raw mut len);
            message.msg_namelen = if name.is_null() { 0 } else { len };
        }
        count
    }
}

/// What a receiving call returns: it fails at the connection's end, and where the engine says so.
fn judge(descriptor: c_int, count: ssize_t, beginning: &[u8], flags: c_int) -> ssize_t {
    if count == 0 {
        return fail(libc::ECONNRESET) as ssize_t;
    }
    let Some(errno) = notice::failure(beginning).filter(|_| count > 0) else { return count };
    if flags & MSG_PEEK != 0 {
        // It was only looked at, and must not be found again.
        let mut taken = [0_u8; FAILURE_LEN];
        let null = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the buffer lives and is that long.
        unsafe {
            libc_own::recvfrom()(
                descriptor,
                taken.as_mut_ptr().cast(),
                taken.len(),
                0,
                null.0,
                null.1,
            )
        };
    }
    fail(errno) as ssize_t
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    Sockets::lock().forget(descriptor);
    // SAFETY: no memory is handed over.
    unsafe { libc_own::close()(descriptor) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn dup(descriptor: c_int) -> c_int {
    // SAFETY: no memory is handed over.
    copied(descriptor, unsafe { libc_own::dup()(descriptor) })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn dup2(descriptor: c_int, to: c_int) -> c_int {
    // SAFETY: no memory is handed over.
    copied(descriptor, unsafe { libc_own::dup2()(descriptor, to) })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn dup3(descriptor: c_int, to: c_int, flags: c_int) -> c_int {
    // SAFETY: no memory is handed over.
    copied(descriptor, unsafe { libc_own::dup3()(descriptor, to, flags) })
}

fn copied(from: c_int, to: c_int) -> c_int {
    if to >= 0 && to != from {
        Sockets::lock().copy(from, to);
    }
    to
}

/// In C it has one argument or none behind `command`, of any type that fits a register, where all of them are passed.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the caller's own arguments.
    let result = unsafe { libc_own::fcntl()(descriptor, command, argument) };
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => copied(descriptor, result),
        _ => result,
    }
}

/// The same: the C library has two names for it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fcntl64(
    descriptor: c_int,
    command: c_int,
    argument: usize,
) -> c_int {
    // SAFETY: the caller's own arguments.
    unsafe { fcntl(descriptor, command, argument) }
}
