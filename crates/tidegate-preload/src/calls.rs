//! The functions that take the place of the C library's.
//!
//! Each asks first whether the descriptor is ours, and goes on to the C library's own if it isn't. The types are those
//! of the C library's headers. `fcntl` is declared there with a variable list of arguments; where this library runs,
//! a third one is handed over in the same way.
#![expect(
    unsafe_code,
    reason = "a C interface: descriptors, addresses and lengths of a C program's"
)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::{env, mem, process, ptr, slice};

use libc::{
    c_int, c_ulong, c_void, msghdr, size_t, sockaddr, sockaddr_nl, sockaddr_un, socklen_t, ssize_t,
};

use crate::sockets::{self, Socket};
use crate::{VARIABLE, frames, real};

/// Turns a socket for the kernel's netfilter into one for the server.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let path = env::var_os(VARIABLE).filter(|path| !path.is_empty());
    match path {
        Some(path) if (domain, protocol) == (libc::AF_NETLINK, libc::NETLINK_NETFILTER) => {
            open(&path, kind)
        }
        // SAFETY: the caller's arguments.
        _ => unsafe { real::socket()(domain, kind, protocol) },
    }
}

/// A socket that is connected to the server.
fn open(path: &OsString, kind: c_int) -> c_int {
    const FLAGS: c_int = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let Some(address) = address_of(path) else { return fail(libc::ENAMETOOLONG) };
    // SAFETY: plain numbers.
    let fd = unsafe { real::socket()(libc::AF_UNIX, libc::SOCK_SEQPACKET | kind & FLAGS, 0) };
    if fd < 0 {
        return fd;
    }
    let len = mem::size_of::<sockaddr_un>() as socklen_t;
    // SAFETY: an address of this length.
    if unsafe { real::connect()(fd, (&raw const address).cast(), len) } < 0 {
        let cause = errno();
        // SAFETY: ours, just opened.
        unsafe { real::close()(fd) };
        // What a kernel without netfilter says, for which programs have words.
        return fail(if cause == libc::ENOENT { libc::EPROTONOSUPPORT } else { cause });
    }
    let socket = sockets::all().add(fd, process::id());
    tell(fd, &frames::hello(socket.port));
    fd
}

fn address_of(path: &OsString) -> Option<sockaddr_un> {
    // SAFETY: all zeros are an address.
    let mut address: sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return None;
    }
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = *byte as libc::c_char;
    }
    Some(address)
}

/// Sends the server a message of ours. If it is gone, the program's own next call says so.
fn tell(fd: c_int, message: &[u8]) {
    let (start, len) = (message.as_ptr().cast(), message.len());
    // SAFETY: a slice of this length, and no address.
    unsafe { real::sendto()(fd, start, len, libc::MSG_NOSIGNAL, ptr::null(), 0) };
}

/// Notes port and groups.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bind(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    let Some(socket) = sockets::all().get(fd) else {
        // SAFETY: the caller's arguments.
        return unsafe { real::bind()(fd, address, len) };
    };
    if address.is_null() || (len as usize) < mem::size_of::<sockaddr_nl>() {
        return fail(libc::EINVAL);
    }
    // SAFETY: as long as such an address; it may lie anywhere.
    let wanted = unsafe { ptr::read_unaligned(address.cast::<sockaddr_nl>()) };
    let port = if wanted.nl_pid == 0 { socket.port } else { wanted.nl_pid };
    update(fd, socket, Socket { port, groups: wanted.nl_groups });
    0
}

/// Changes what is known of a socket, and tells the server.
fn update(fd: c_int, old: Socket, new: Socket) {
    sockets::all().set(fd, new);
    if old.port != new.port {
        tell(fd, &frames::hello(new.port));
    }
    if old.groups != new.groups {
        tell(fd, &frames::membership(new.groups));
    }
}

/// There is only one whom a netlink socket of ours can be connected to.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    if sockets::all().get(fd).is_some() {
        return 0;
    }
    // SAFETY: the caller's arguments.
    unsafe { real::connect()(fd, address, len) }
}

/// The address that the kernel would have given.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockname(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    match sockets::all().get(fd) {
        // SAFETY: as the caller's arguments are.
        Some(socket) => unsafe { give_address(socket, address, len) },
        // SAFETY: the caller's arguments.
        None => return unsafe { real::getsockname()(fd, address, len) },
    }
    0
}

/// # Safety
/// `address` and `len` are null, or there is room for as many bytes as `len` says.
unsafe fn give_address(socket: Socket, address: *mut sockaddr, len: *mut socklen_t) {
    // SAFETY: all zeros are an address.
    let mut own: sockaddr_nl = unsafe { mem::zeroed() };
    own.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    (own.nl_pid, own.nl_groups) = (socket.port, socket.groups);
    if address.is_null() || len.is_null() {
        return;
    }
    let size = mem::size_of::<sockaddr_nl>();
    // SAFETY: so much room there is, and no more is written than an address has.
    unsafe {
        let room = (*len as usize).min(size);
        ptr::copy_nonoverlapping((&raw const own).cast::<u8>(), address.cast(), room);
        *len = size as socklen_t;
    }
}

/// Whom it is for doesn't matter: it is for the server.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendto(
    fd: c_int,
    start: *const c_void,
    len: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_len: socklen_t,
) -> ssize_t {
    let is_ours = sockets::all().get(fd).is_some();
    let (address, address_len) = if is_ours { (ptr::null(), 0) } else { (address, address_len) };
    // SAFETY: the caller's arguments, perhaps without an address.
    unsafe { real::sendto()(fd, start, len, flags, address, address_len) }
}

/// See [`sendto`].
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(
    fd: c_int,
    start: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments; to send is to send to nobody in particular.
    unsafe { real::sendto()(fd, start, len, flags, ptr::null(), 0) }
}

/// See [`sendto`].
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if sockets::all().get(fd).is_none() || message.is_null() {
        // SAFETY: the caller's arguments.
        return unsafe { real::sendmsg()(fd, message, flags) };
    }
    // SAFETY: the caller's message, but for its address and what goes with netlink only.
    unsafe {
        let mut bare = *message;
        (bare.msg_name, bare.msg_namelen) = (ptr::null_mut(), 0);
        (bare.msg_control, bare.msg_controllen) = (ptr::null_mut(), 0);
        real::sendmsg()(fd, &raw const bare, flags)
    }
}

/// Whatever comes is from the kernel.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    start: *mut c_void,
    len: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    if sockets::all().get(fd).is_none() {
        // SAFETY: the caller's arguments.
        return unsafe { real::recvfrom()(fd, start, len, flags, address, address_len) };
    }
    // SAFETY: the caller's room.
    let got = unsafe { real::recvfrom()(fd, start, len, flags, ptr::null_mut(), ptr::null_mut()) };
    // SAFETY: no more than was written there.
    let got = unsafe { heard(fd, got, start, len, flags) };
    if got >= 0 {
        // SAFETY: the caller's room.
        unsafe { give_address(Socket::default(), address, address_len) };
    }
    got
}

/// See [`recvfrom`].
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(fd: c_int, start: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the caller's arguments; who sent it is not asked.
    unsafe { recvfrom(fd, start, len, flags, ptr::null_mut(), ptr::null_mut()) }
}

/// See [`recvfrom`].
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    if sockets::all().get(fd).is_none() || message.is_null() {
        // SAFETY: the caller's arguments.
        return unsafe { real::recvmsg()(fd, message, flags) };
    }
    // SAFETY: the caller's message, whose address is set aside meanwhile.
    unsafe {
        let (name, mut room) = ((*message).msg_name, (*message).msg_namelen);
        ((*message).msg_name, (*message).msg_namelen) = (ptr::null_mut(), 0);
        let got = real::recvmsg()(fd, message, flags);
        (*message).msg_name = name;
        let (start, len) = match (*message).msg_iovlen {
            0 => (ptr::null_mut(), 0),
            _ => ((*(*message).msg_iov).iov_base, (*(*message).msg_iov).iov_len),
        };
        let got = heard(fd, got, start, len, flags);
        if got >= 0 && !name.is_null() {
            give_address(Socket::default(), name.cast(), &raw mut room);
            (*message).msg_namelen = room;
        }
        got
    }
}

/// What the program is told of a datagram: itself, an error that it stands for, or that nobody is there any more.
///
/// # Safety
/// `got` bytes were written to `start`, as far as there is room for them.
unsafe fn heard(fd: c_int, got: ssize_t, start: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    let Ok(count) = usize::try_from(got) else { return got };
    if count == 0 {
        return fail(libc::ECONNRESET) as ssize_t;
    }
    if start.is_null() {
        return got;
    }
    // SAFETY: so much was written, or there is room for less.
    let datagram = unsafe { slice::from_raw_parts(start.cast::<u8>(), count.min(len)) };
    let Some(errno) = frames::failure(datagram) else { return got };
    if flags & libc::MSG_PEEK != 0 {
        // SAFETY: room for nothing; the datagram goes all the same.
        unsafe { real::recvfrom()(fd, ptr::null_mut(), 0, 0, ptr::null_mut(), ptr::null_mut()) };
    }
    fail(errno) as ssize_t
}

/// Groups and netlink's options go to the server, the others to the socket that there is.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    option: c_int,
    start: *const c_void,
    len: socklen_t,
) -> c_int {
    let socket = sockets::all().get(fd);
    let Some(socket) = socket.filter(|_| level == libc::SOL_NETLINK) else {
        let is_forced =
            socket.is_some() && (level, option) == (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE);
        let option = if is_forced { libc::SO_RCVBUF } else { option };
        // SAFETY: the caller's arguments.
        return unsafe { real::setsockopt()(fd, level, option, start, len) };
    };
    if start.is_null() || (len as usize) < mem::size_of::<u32>() {
        return fail(libc::EINVAL);
    }
    // SAFETY: as long as a number; it may lie anywhere.
    let value = unsafe { ptr::read_unaligned(start.cast::<u32>()) };
    let bit = value.checked_sub(1).and_then(|bit| 1_u32.checked_shl(bit));
    match (option, bit) {
        (libc::NETLINK_ADD_MEMBERSHIP, Some(bit)) => {
            update(fd, socket, Socket { groups: socket.groups | bit, ..socket });
        }
        (libc::NETLINK_DROP_MEMBERSHIP, Some(bit)) => {
            update(fd, socket, Socket { groups: socket.groups & !bit, ..socket });
        }
        (libc::NETLINK_ADD_MEMBERSHIP | libc::NETLINK_DROP_MEMBERSHIP, None) => {
            return fail(libc::EINVAL);
        }
        _ => tell(fd, &frames::option(option as u32, &value.to_ne_bytes())),
    }
    0
}

/// The socket is a netlink socket as far as the program can tell.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    option: c_int,
    start: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    if sockets::all().get(fd).is_none() {
        // SAFETY: the caller's arguments.
        return unsafe { real::getsockopt()(fd, level, option, start, len) };
    }
    let value = match (level, option) {
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_NETLINK,
        (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_DGRAM,
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => libc::NETLINK_NETFILTER,
        (libc::SOL_NETLINK, _) => return fail(libc::ENOPROTOOPT),
        // SAFETY: the caller's arguments.
        _ => return unsafe { real::getsockopt()(fd, level, option, start, len) },
    };
    // SAFETY: the caller's room, if there is enough.
    unsafe {
        if start.is_null() || len.is_null() || (*len as usize) < mem::size_of::<c_int>() {
            return fail(libc::EINVAL);
        }
        ptr::write_unaligned(start.cast::<c_int>(), value);
        *len = mem::size_of::<c_int>() as socklen_t;
    }
    0
}

/// Forgets a socket.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    sockets::all().forget(fd);
    // SAFETY: the caller's argument.
    unsafe { real::close()(fd) }
}

/// A copy of one of ours is ours.
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup(fd: c_int) -> c_int {
    // SAFETY: the caller's argument.
    let copy = unsafe { real::dup()(fd) };
    if copy >= 0 {
        sockets::all().copy(fd, copy);
    }
    copy
}

/// See [`dup`].
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int {
    // SAFETY: the caller's arguments.
    let result = unsafe { real::fcntl()(fd, command, argument) };
    if result >= 0 && matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) {
        sockets::all().copy(fd, result);
    }
    result
}

/// See [`fcntl`].
///
/// # Safety
/// As the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: c_ulong) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { fcntl(fd, command, argument) }
}

fn errno() -> c_int {
    // SAFETY: the thread's own number.
    unsafe { *libc::__errno_location() }
}

/// Fails with this errno.
fn fail(errno: c_int) -> c_int {
    // SAFETY: the thread's own number.
    unsafe { *libc::__errno_location() = errno };
    -1
}
