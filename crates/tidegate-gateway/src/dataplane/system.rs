//! What the planes need of the system that no library offers safely: options of packet sockets, requests to TUN, many
//! frames in one call, memory shared with the kernel.
//!
//! # Safety
//! Every function here hands the kernel addresses of values that live for the length of the call, with their own
//! sizes. [`Shared`] is memory that the kernel writes to as well; who makes references into it must know when.
#![expect(
    unsafe_code,
    reason = "system calls that no library offers safely; each has its reasons beside it"
)]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use libc::{c_int, c_void};

/// Turns a system call's answer into a result.
fn checked(answer: c_int) -> io::Result<c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// A value that may be handed to the kernel as bytes, and be made of any bytes.
///
/// # Safety
/// It has no padding that matters, no reference, and every pattern of bits is one of its values.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: an integer.
unsafe impl Plain for i32 {}
// SAFETY: integers; the address in it outlives the socket that it is told to.
unsafe impl Plain for libc::xdp_umem_reg {}
// SAFETY: integers.
unsafe impl Plain for libc::xdp_mmap_offsets {}
// SAFETY: integers.
unsafe impl Plain for libc::xdp_statistics {}
// SAFETY: integers.
unsafe impl Plain for libc::tpacket_req {}
// SAFETY: integers.
unsafe impl Plain for libc::tpacket_stats {}

/// A filter of a socket's (`sock_fprog`).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Filter {
    len: u16,
    steps: *const libc::sock_filter,
}

// SAFETY: the address in it is of a constant.
unsafe impl Plain for Filter {}

impl Filter {
    /// Lets nothing pass.
    pub(super) const fn nothing() -> Self {
        // `BPF_RET | BPF_K`
        const STEPS: &[libc::sock_filter] = &[libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0 }];
        Self { len: 1, steps: STEPS.as_ptr() }
    }
}

/// `setsockopt`
pub(super) fn set_option<T: Plain>(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: T,
) -> io::Result<()> {
    let (at, len) = (ptr::from_ref(&value).cast::<c_void>(), size_of::<T>() as u32);
    // SAFETY: `value` lives until the call is over, and `len` is its size.
    checked(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, at, len) }).map(drop)
}

/// `getsockopt`
pub(super) fn option<T: Plain>(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<T> {
    // SAFETY: a plain value may be all zeros.
    let mut value: T = unsafe { zeroed() };
    let mut len = size_of::<T>() as u32;
    let at = ptr::from_mut(&mut value).cast::<c_void>();
    // SAFETY: the kernel writes at most `len` bytes, and any bytes make a plain value.
    checked(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, at, &raw mut len) })?;
    Ok(value)
}

/// A packet socket that hears nothing yet.
pub(super) fn packet_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no address is handed over.
    let fd = checked(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the descriptor was just made and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a packet socket to an interface, of which it hears this protocol; 0 is none.
pub(super) fn bind_packet(fd: BorrowedFd<'_>, index: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: the address is integers, and may be all zeros.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index as i32;
    let at = ptr::from_ref(&address).cast::<libc::sockaddr>();
    // SAFETY: `address` lives until the call is over, and the length is its own.
    checked(unsafe { libc::bind(fd.as_raw_fd(), at, size_of::<libc::sockaddr_ll>() as u32) })
        .map(drop)
}

/// An AF_XDP socket.
pub(super) fn xdp_socket() -> io::Result<OwnedFd> {
    // SAFETY: no address is handed over.
    let fd =
        checked(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just made and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds an AF_XDP socket to a queue of an interface.
pub(super) fn bind_xdp(fd: BorrowedFd<'_>, index: u32, queue: u32) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: libc::XDP_USE_NEED_WAKEUP,
        sxdp_ifindex: index,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let at = ptr::from_ref(&address).cast::<libc::sockaddr>();
    // SAFETY: `address` lives until the call is over, and the length is its own.
    checked(unsafe { libc::bind(fd.as_raw_fd(), at, size_of::<libc::sockaddr_xdp>() as u32) })
        .map(drop)
}

/// The name of the driver that an interface belongs to.
pub(super) fn driver(name: &str) -> io::Result<String> {
    const ETHTOOL_GDRVINFO: u32 = 3;
    // `ethtool_drvinfo`: a command, and then names of 32 bytes.
    let mut info = [0_u32; 49];
    info[0] = ETHTOOL_GDRVINFO;
    ethtool(name, &mut info)?;
    let bytes = info[1..9].iter().flat_map(|word| word.to_ne_bytes());
    Ok(bytes.take_while(|byte| *byte != 0).map(char::from).collect())
}

/// How many queues an interface uses for receiving.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Channels {
    /// Those that only receive.
    pub(super) receive: u32,
    /// Those that send as well.
    pub(super) combined: u32,
}

/// See [`Channels`].
pub(super) fn channels(name: &str) -> io::Result<Channels> {
    const ETHTOOL_GCHANNELS: u32 = 0x3c;
    // `ethtool_channels`: a command, then how many receive, send, do other things, do both; at most, and now.
    let mut info = [0_u32; 9];
    info[0] = ETHTOOL_GCHANNELS;
    ethtool(name, &mut info)?;
    Ok(Channels { receive: info[5], combined: info[8] })
}

/// Asks an interface's driver; `info` begins with the command, and is as long as the command's answer.
fn ethtool<const WORDS: usize>(name: &str, info: &mut [u32; WORDS]) -> io::Result<()> {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    let (family, kind) = (rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM);
    let socket = rustix::net::socket(family, kind, None)?;
    // SAFETY: the request is bytes and integers, and may be all zeros.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = info.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL reads one `ifreq`, and writes the command's answer where that says: the callers have room for it.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) }).map(drop)
}

/// Attaches to the TUN interface of a name, or makes one; what it is called then.
pub(super) fn attach_tun(fd: BorrowedFd<'_>, name: &str, flags: i16) -> io::Result<String> {
    // SAFETY: the request is bytes and integers, and may be all zeros.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`.
    checked(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let name = request.ifr_name.iter().take_while(|byte| **byte != 0);
    Ok(name.map(|byte| char::from(*byte as u8)).collect())
}

/// Says which offloads the reader of a TUN interface takes.
pub(super) fn set_tun_offload(fd: BorrowedFd<'_>, offload: u32) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    let answer =
        unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offload)) };
    checked(answer).map(drop)
}

/// Has a program choose the queue by which a packet comes from a TUN interface, or the kernel, as it likes.
pub(super) fn steer_tun(fd: BorrowedFd<'_>, program: Option<&OwnedFd>) -> io::Result<()> {
    // `_IOR('T', 224, int)`
    const TUNSETSTEERINGEBPF: libc::c_ulong = 0x8004_54e0;
    let number = program.map_or(-1, |program| program.as_raw_fd());
    // SAFETY: TUNSETSTEERINGEBPF reads an integer, the program's descriptor, or -1 for none.
    checked(unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETSTEERINGEBPF, &raw const number) }).map(drop)
}

/// Switches an interface on, with this MTU, and without a queue of its own.
pub(super) fn raise_interface(name: &str, mtu: u32) -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: the request is bytes and integers, and may be all zeros.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_mtu = mtu as c_int;
    // SAFETY: SIOCSIFMTU reads one `ifreq`.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFMTU, &raw const request) })?;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(())
}

/// `sendmmsg`: one message for each of these; how many were sent. `messages` is room that is used again.
pub(super) fn send_many(
    fd: BorrowedFd<'_>,
    datagrams: &[&mut [u8]],
    messages: &mut Messages,
) -> io::Result<usize> {
    messages.vectors.clear();
    messages.headers.clear();
    for datagram in datagrams {
        let (iov_base, iov_len) = (datagram.as_ptr().cast_mut().cast::<c_void>(), datagram.len());
        messages.vectors.push(libc::iovec { iov_base, iov_len });
    }
    for vector in &mut messages.vectors {
        // SAFETY: a header is integers and addresses, and may be all zeros.
        let mut header: libc::mmsghdr = unsafe { zeroed() };
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        messages.headers.push(header);
    }
    let (at, count) = (messages.headers.as_mut_ptr(), messages.headers.len() as u32);
    // SAFETY: there are `count` headers, each with one vector, which is a datagram that is borrowed until the
    // call is over; the kernel only reads them.
    let sent = checked(unsafe { libc::sendmmsg(fd.as_raw_fd(), at, count, libc::MSG_DONTWAIT) })?;
    Ok(sent as usize)
}

/// Room for [`send_many`].
#[derive(Default)]
pub(super) struct Messages {
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: between two calls the addresses in it are nobody's: they are written anew before they are used.
unsafe impl Send for Messages {}

/// Memory that is shared with the kernel.
#[derive(Debug)]
pub(super) struct Shared {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is an address and a length, of memory that is mapped for all threads alike until it is dropped.
unsafe impl Send for Shared {}
// SAFETY: it hands out addresses only, never references: whoever makes those must know who else does.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps what a descriptor offers at this place.
    pub(super) fn map(fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a new mapping at a place of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(ptr::null_mut(), len, protection, flags, fd, offset) }?;
        NonNull::new(start.cast())
            .map(|start| Self { start, len })
            .ok_or(io::ErrorKind::OutOfMemory.into())
    }

    /// Memory of nobody else's yet.
    pub(super) fn anonymous(len: usize) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::POPULATE);
        // SAFETY: a new mapping at a place of the kernel's choice overlaps nothing.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), len, protection, flags) }?;
        NonNull::new(start.cast())
            .map(|start| Self { start, len })
            .ok_or(io::ErrorKind::OutOfMemory.into())
    }

    /// Where it is. Whoever makes references of this must know that the kernel leaves the place alone meanwhile.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.len, "{offset} is not in {} bytes", self.len);
        // SAFETY: the offset is within the mapping.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// How many bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and all references into it are borrowed from it.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
