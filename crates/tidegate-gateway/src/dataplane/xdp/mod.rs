//! AF_XDP: frames straight from the driver, before the kernel has made packets of them.
//!
//! A program on the interface turns IP frames, but neighbour discovery, to a socket; the rest stays the kernel's. Frames lie
//! in memory of ours, of which the receiver has one half and the sender the other; a frame that goes out is copied there.
//! Where the driver can, nothing else is copied (zero copy); the kernel chooses. Each worker serves a queue of its own,
//! and there must be as many.
//!
//! The program sees no checksum that a local sender has left to its card, nor a VLAN tag that was taken off. So for
//! virtual interfaces ([`Checksums::Begun`]) every checksum is taken as begun, and who sends it on finishes it; what is
//! damaged on the way to us is not noticed there.

mod half;
mod ring;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use libc::{
    SOL_XDP, XDP_MMAP_OFFSETS, XDP_OPTIONS, XDP_OPTIONS_ZEROCOPY, XDP_RX_RING, XDP_TX_RING,
    XDP_UMEM_COMPLETION_RING, XDP_UMEM_FILL_RING, XDP_UMEM_REG,
};

use self::half::{XdpReceiver, XdpSender};
use self::ring::Ring;
use super::Link;
use super::bpf::{self, Aim, Hook, Instruction, aimed};
use super::system::{Channels, Shared, bind_xdp, channels, option, set_option, xdp_socket};

/// What is to be thought of the checksums of frames that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// They are what the sender has put on the wire.
    Whole,
    /// They may be only begun.
    Begun,
}

/// Bytes of a frame's place, a power of two; how many places each half has.
const CHUNK: usize = 4096;
const CHUNKS: u32 = 2048;
/// In front of a frame that is sent: what is to be done about its checksum.
const METADATA: usize = 24;
/// How many frames one call sends, where the kernel copies (`XDP_MAX_TX_SKB_BUDGET`, since Linux 6.17).
const TX_BUDGET: u32 = 512;
const XDP_MAX_TX_SKB_BUDGET: i32 = 9;

/// What both halves of a link hold.
struct Common {
    /// Closed before the memory is given back.
    socket: OwnedFd,
    _program: Arc<Program>,
    memory: Shared,
    has_metadata: bool,
}

/// What turns frames to the sockets of an interface, as long as one of them is there.
struct Program {
    _program: OwnedFd,
    _map: OwnedFd,
}

/// Opens an interface's queues, one for each of so many workers; whether its program runs behind the driver, because that
/// has no place for it.
///
/// # Errors
/// The interface can't, or has another number of receive queues, or we may not (CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW), or
/// its frames are too long.
pub fn open(
    name: &str,
    index: u32,
    checksums: Checksums,
    workers: usize,
) -> io::Result<(Vec<Link>, bool)> {
    check_queues(name, workers as u32)?;
    let mut queues = Vec::new();
    for queue in 0..workers as u32 {
        queues.push(Queue::open(index, queue)?);
    }
    let map = bpf::socket_map(workers as u32)?;
    for (number, queue) in (0..).zip(&queues) {
        bpf::set_socket(&map, number, queue.socket.as_fd())?;
    }
    let steps = program(&map);
    let native = bpf::attach(&steps, Hook::Xdp { generic: false }, index);
    let is_generic = native.is_err();
    let program = native.or_else(|_| bpf::attach(&steps, Hook::Xdp { generic: true }, index))?;
    let program = Arc::new(Program { _program: program, _map: map });
    let links = queues.into_iter().map(|queue| queue.link(&program, checksums));
    Ok((links.collect(), is_generic))
}

/// A queue that nothing is turned to yet.
struct Queue {
    socket: OwnedFd,
    memory: Shared,
    has_metadata: bool,
    fill: Ring<u64>,
    done: Ring<u64>,
    received: Ring<libc::xdp_desc>,
    sent: Ring<libc::xdp_desc>,
}

impl Queue {
    fn open(index: u32, queue: u32) -> io::Result<Self> {
        let memory = Shared::anonymous(2 * CHUNKS as usize * CHUNK)?;
        let socket = xdp_socket()?;
        let has_metadata = register(&socket, &memory)?;
        for ring in [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING] {
            set_option(socket.as_fd(), SOL_XDP, ring, CHUNKS)?;
        }
        // An older kernel sends 32 at a time, and is asked more often.
        let _ = set_option(socket.as_fd(), SOL_XDP, XDP_MAX_TX_SKB_BUDGET, TX_BUDGET);
        let offsets: libc::xdp_mmap_offsets = option(socket.as_fd(), SOL_XDP, XDP_MMAP_OFFSETS)?;
        let fd = socket.as_fd();
        let mut fill = Ring::map(fd, libc::XDP_UMEM_PGOFF_FILL_RING, offsets.fr, CHUNKS)?;
        let done = Ring::map(fd, libc::XDP_UMEM_PGOFF_COMPLETION_RING, offsets.cr, CHUNKS)?;
        let received = Ring::map(fd, libc::XDP_PGOFF_RX_RING as u64, offsets.rx, CHUNKS)?;
        let sent = Ring::map(fd, libc::XDP_PGOFF_TX_RING as u64, offsets.tx, CHUNKS)?;
        for chunk in 0..u64::from(CHUNKS) {
            fill.push(chunk * CHUNK as u64);
        }
        fill.show();
        bind_xdp(fd, index, queue)?;
        let has_metadata = has_metadata && !is_zero_copy(fd);
        Ok(Self { socket, memory, has_metadata, fill, done, received, sent })
    }

    fn link(self, program: &Arc<Program>, checksums: Checksums) -> Link {
        let Self { socket, memory, has_metadata, fill, done, received, sent } = self;
        let _program = Arc::clone(program);
        let common = Arc::new(Common { socket, _program, memory, has_metadata });
        let receiver = XdpReceiver::new(Arc::clone(&common), fill, received, checksums);
        let sender = XdpSender::new(common, done, sent);
        Link { receiver: Box::new(receiver), sender: Box::new(sender) }
    }
}

/// Refuses an interface whose card spreads flows over more queues than there are workers, since those of the others would
/// be lost, or over fewer, since the other workers' sockets could not be bound. What a driver does not tell is taken for
/// one.
fn check_queues(name: &str, workers: u32) -> io::Result<()> {
    let Channels { receive, combined } = channels(name).unwrap_or_default();
    let queues = (receive + combined).max(1);
    if queues == workers {
        return Ok(());
    }
    let kind = if combined > 0 { "combined" } else { "rx" };
    let problem = match workers {
        1 => format!(
            "{queues} receive queues, of which AF_XDP would serve the first only: `ethtool -L {name} {kind} 1'"
        ),
        _ => format!(
            "{queues} receive queues, and AF_XDP takes one for each of {workers} workers: `ethtool -L {name} {kind} \
             {workers}', or plane = \"af-packet\""
        ),
    };
    Err(io::Error::new(io::ErrorKind::Unsupported, problem))
}

/// Whether the driver sends from our memory. Not all of those mind what a frame says about its checksum, and none tells
/// whether it does.
fn is_zero_copy(socket: BorrowedFd<'_>) -> bool {
    let told: io::Result<u32> = option(socket, SOL_XDP, XDP_OPTIONS);
    told.is_ok_and(|options| options & XDP_OPTIONS_ZEROCOPY != 0)
}

/// Shows the kernel our memory; whether frames that are sent may say what is to be done about them (since Linux 6.11).
fn register(socket: &OwnedFd, memory: &Shared) -> io::Result<bool> {
    let mut request = libc::xdp_umem_reg {
        addr: memory.at(0) as u64,
        len: memory.len() as u64,
        chunk_size: CHUNK as u32,
        headroom: 0,
        flags: libc::XDP_UMEM_TX_METADATA_LEN,
        tx_metadata_len: METADATA as u32,
    };
    if set_option(socket.as_fd(), SOL_XDP, XDP_UMEM_REG, request).is_ok() {
        return Ok(true);
    }
    (request.flags, request.tx_metadata_len) = (0, 0);
    set_option(socket.as_fd(), SOL_XDP, XDP_UMEM_REG, request).map(|()| false)
}

/// Offsets in `xdp_md`.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const QUEUE: i16 = 16;
/// `XDP_PASS`
const PASS: i32 = 2;
/// `bpf_redirect_map`
const REDIRECT_MAP: i32 = 51;

/// The part of a tag, as it lies in a frame, that is the VLAN's number.
const VID: i32 = 0x0fff_u16.to_be() as i32;

/// Turns IP but neighbour discovery to the socket of the frame's queue. A tag of VLAN 0 only gives a priority
/// (IEEE 802.1Q); frames of VLANs are those of other interfaces.
fn program(map: &OwnedFd) -> Vec<Instruction> {
    use super::host::{
        ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, FIRST_DISCOVERY, ICMPV6, LAST_DISCOVERY,
    };
    let steps = [
        (Instruction::copy(6, 1), Aim::On),
        (Instruction::load(2, 1, DATA), Aim::On),
        (Instruction::load(3, 1, DATA_END), Aim::On),
        (Instruction::copy(5, 2), Aim::On),
        (Instruction::add(5, 14), Aim::On),
        (Instruction::if_beyond(5, 3), Aim::Pass),
        (Instruction::load_half(5, 2, 12), Aim::On),
        // Behind a tag of VLAN 0 it goes on as if that weren't there.
        (Instruction::if_other(5, ETHERTYPE_VLAN).over(8), Aim::On),
        (Instruction::copy(4, 2), Aim::On),
        (Instruction::add(4, 14 + 4), Aim::On),
        (Instruction::if_beyond(4, 3), Aim::Pass),
        (Instruction::load_half(5, 2, 14), Aim::On),
        (Instruction::mask(5, VID), Aim::On),
        (Instruction::if_other(5, 0), Aim::Pass),
        (Instruction::add(2, 4), Aim::On),
        (Instruction::load_half(5, 2, 12), Aim::On),
        (Instruction::if_equal(5, ETHERTYPE_IPV4), Aim::Verdict),
        (Instruction::if_other(5, ETHERTYPE_IPV6), Aim::Pass),
        (Instruction::copy(4, 2), Aim::On),
        (Instruction::add(4, 14 + 41), Aim::On),
        (Instruction::if_beyond(4, 3), Aim::Pass),
        (Instruction::load_byte(5, 2, 14 + 6), Aim::On),
        (Instruction::if_other(5, ICMPV6), Aim::Verdict),
        (Instruction::load_byte(5, 2, 14 + 40), Aim::On),
        (Instruction::if_more(5, LAST_DISCOVERY), Aim::Verdict),
        (Instruction::if_more(5, FIRST_DISCOVERY - 1), Aim::Pass),
    ];
    let [map, rest] = Instruction::map(1, map.as_fd());
    let verdict = [
        Instruction::load(2, 6, QUEUE),
        map,
        rest,
        Instruction::set(3, PASS),
        Instruction::call(REDIRECT_MAP),
        Instruction::EXIT,
    ];
    aimed(steps.to_vec(), &verdict, &[Instruction::set(0, PASS), Instruction::EXIT])
}
