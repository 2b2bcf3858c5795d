//! The receiving side: a ring of slots that the kernel fills, one frame each (`TPACKET_V2`).
//!
//! A slot belongs to the kernel while its status is 0, and to us from when the kernel sets [`USER`] until we set 0
//! again. We hold the slots of a batch until the next one is asked for.
#![expect(unsafe_code, reason = "the ring is memory that is shared with the kernel")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{PACKET_RX_RING, PACKET_STATISTICS, SO_RCVBUF, SO_RCVBUFFORCE, SOL_PACKET, SOL_SOCKET};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{RecvFlags, recv};
use tidegate_wire::virtio_net::{self, VirtioNet};

use super::super::system::{Shared, bind_packet, option, set_option};
use super::super::{Counters, Frame, HEADROOM, LinkLayer, Receiver};

/// A slot holds any frame of an ordinary link.
const SLOT: usize = 2048;
const SLOTS: usize = 4096;
const BLOCK: usize = 1 << 16;
/// Where the socket can't have room for longer ones, a slot holds those as well.
const LARGE_SLOT: usize = 1 << 17;
const LARGE_SLOTS: usize = 128;
/// For the frames that no slot holds.
const BACKLOG: i32 = 16 << 20;
/// The longest superframe, with its link header.
const LONGEST: usize = 65_536 + 32;

/// `TP_STATUS_USER`: the slot is ours.
const USER: u32 = 1;
/// `TP_STATUS_COPY`: the whole frame waits on the socket.
const COPY: u32 = 1 << 1;
/// `TP_STATUS_VLAN_VALID`: a VLAN tag was taken off.
const VLAN: u32 = 1 << 4;

/// Where the header of a slot, `tpacket2_hdr`, has what; a `sockaddr_ll` follows it.
const LEN: usize = 4;
const SNAP_LEN: usize = 8;
const MAC: usize = 12;
const VLAN_TCI: usize = 24;
const HEADER_LEN: usize = 32;
const PACKET_TYPE: usize = HEADER_LEN + 10;

/// See the module's documentation.
pub(super) struct RingReceiver {
    socket: OwnedFd,
    ring: Shared,
    header: LinkLayer,
    slot: usize,
    slots: usize,
    /// The slot that is filled next, and how many before it are ours.
    next: usize,
    held: usize,
    /// For frames that no slot holds.
    large: Vec<Vec<u8>>,
    counters: Counters,
}

impl RingReceiver {
    /// Makes a ring for a socket, and lets it hear all protocols.
    pub(super) fn new(socket: OwnedFd, index: u32, header: LinkLayer) -> io::Result<Self> {
        let has_room = set_option(socket.as_fd(), SOL_SOCKET, SO_RCVBUFFORCE, BACKLOG).is_ok();
        if !has_room {
            set_option(socket.as_fd(), SOL_SOCKET, SO_RCVBUF, BACKLOG)?;
        }
        let (slot, slots, block) =
            if has_room { (SLOT, SLOTS, BLOCK) } else { (LARGE_SLOT, LARGE_SLOTS, LARGE_SLOT) };
        let request = libc::tpacket_req {
            tp_block_size: block as u32,
            tp_block_nr: (slots * slot / block) as u32,
            tp_frame_size: slot as u32,
            tp_frame_nr: slots as u32,
        };
        set_option(socket.as_fd(), SOL_PACKET, PACKET_RX_RING, request)?;
        let ring = Shared::map(socket.as_fd(), 0, slot * slots)?;
        bind_packet(socket.as_fd(), index, libc::ETH_P_ALL as u16)?;
        let (large, counters) = (Vec::new(), Counters::default());
        Ok(Self { socket, ring, header, slot, slots, next: 0, held: 0, large, counters })
    }

    fn status(ring: &Shared, at: usize) -> &AtomicU32 {
        // SAFETY: a slot begins with its status, is aligned to more than four bytes, and both sides only ever
        // access it as an atomic.
        unsafe { AtomicU32::from_ptr(ring.at(at).cast()) }
    }

    fn give_back(&mut self) {
        for nth in 0..self.held {
            let slot = (self.next + self.slots - self.held + nth) % self.slots;
            Self::status(&self.ring, slot * self.slot).store(0, Ordering::Release);
        }
        self.held = 0;
    }
}

/// What the header of a slot says.
struct Arrival {
    status: u32,
    len: usize,
    snap_len: usize,
    mac: usize,
    vlan: u16,
    packet_type: u8,
}

impl Arrival {
    fn read(slot: &[u8], status: u32) -> Self {
        let word =
            |at: usize| u32::from_ne_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]]);
        let half = |at: usize| u16::from_ne_bytes([slot[at], slot[at + 1]]);
        Self {
            status,
            len: word(LEN) as usize,
            snap_len: word(SNAP_LEN) as usize,
            mac: half(MAC).into(),
            vlan: half(VLAN_TCI),
            packet_type: slot[PACKET_TYPE],
        }
    }

    /// Whether it is for us: sent to us or to all, and not to a VLAN, which is another interface.
    fn is_ours(&self) -> bool {
        let tag = self.status & VLAN != 0 && self.vlan & 0x0fff != 0;
        matches!(
            self.packet_type,
            libc::PACKET_HOST | libc::PACKET_BROADCAST | libc::PACKET_MULTICAST
        ) && !tag
    }
}

impl Receiver for RingReceiver {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn receive<'a>(&'a mut self, most: usize, frames: &mut Vec<Frame<'a>>) -> io::Result<()> {
        self.give_back();
        let most = most.min(self.slots / 2);
        self.large.resize(self.large.len().max(most), Vec::new());
        let Self { socket, ring, large, counters, header, slot, slots, next, held } = self;
        let mut large = large.iter_mut();
        while *held < most {
            let at = *next * *slot;
            let status = Self::status(ring, at).load(Ordering::Acquire);
            if status & USER == 0 {
                break;
            }
            // SAFETY: the slot is ours until its status is 0, which is set when the next batch is asked for: then the
            // frames of this one, which borrow from us, are gone. No two frames have the same slot, as we hold at most
            // half of the ring. The status itself is not among these bytes.
            let bytes = unsafe { slice::from_raw_parts_mut(ring.at(at + LEN), *slot - LEN) };
            *next = (*next + 1) % *slots;
            *held += 1;
            let arrival = Arrival::read_behind_status(bytes, status);
            let buffer = if arrival.status & COPY != 0 { large.next() } else { None };
            let frame = match (arrival.is_ours(), buffer) {
                (is_ours, Some(buffer)) => {
                    let frame = fetch(socket.as_fd(), *header, buffer);
                    if !is_ours { continue } else { frame }
                }
                (false, None) => continue,
                (true, None) => in_slot(bytes, &arrival, *header),
            };
            match frame {
                Some(frame) => {
                    counters.received += 1;
                    frames.push(frame);
                }
                None => counters.damaged += 1,
            }
        }
        Ok(())
    }

    fn heal(&mut self) {
        // An interface that was set down leaves an error on the socket, which is readable until somebody asks.
        let _ = socket_error(&self.socket);
    }

    fn counters(&mut self) -> Counters {
        let told: io::Result<libc::tpacket_stats> =
            option(self.socket.as_fd(), SOL_PACKET, PACKET_STATISTICS);
        if let Ok(told) = told {
            self.counters.missed += u64::from(told.tp_drops);
        }
        self.counters
    }
}

impl Arrival {
    /// [`Arrival::read`], of a slot without its first four bytes.
    fn read_behind_status(bytes: &[u8], status: u32) -> Self {
        let mut slot = [0; HEADER_LEN + 16];
        let len = slot.len();
        slot[LEN..].copy_from_slice(&bytes[..len - LEN]);
        Self::read(&slot, status)
    }
}

/// A frame that lies in its slot; `bytes` are those behind the status.
fn in_slot<'a>(bytes: &'a mut [u8], arrival: &Arrival, header: LinkLayer) -> Option<Frame<'a>> {
    if arrival.snap_len < arrival.len {
        return None;
    }
    let head = arrival.mac.checked_sub(LEN)?;
    let told = VirtioNet::parse(bytes.get(head.checked_sub(virtio_net::HEADER_LEN)?..head)?)?;
    framed(bytes, (head, head + arrival.len), told, header)
}

/// A frame that waits on the socket, perhaps behind an error, which is told first.
fn fetch<'a>(
    socket: BorrowedFd<'_>,
    header: LinkLayer,
    buffer: &'a mut Vec<u8>,
) -> Option<Frame<'a>> {
    buffer.resize(HEADROOM + LONGEST, 0);
    let told_at = HEADROOM - virtio_net::HEADER_LEN;
    let mut take = || recv(socket, &mut buffer[told_at..], RecvFlags::DONTWAIT | RecvFlags::TRUNC);
    let taken = match take() {
        Err(error) if error != Errno::AGAIN => take(),
        taken => taken,
    };
    let (_, len) = taken.ok()?;
    let told = VirtioNet::parse(&buffer[told_at..])?;
    framed(buffer, (HEADROOM, told_at + len), told, header)
}

fn framed(
    buffer: &mut [u8],
    place: (usize, usize),
    told: VirtioNet,
    header: LinkLayer,
) -> Option<Frame<'_>> {
    let mut frame = match header {
        LinkLayer::Ethernet => Frame::ethernet(buffer, place)?,
        LinkLayer::Raw => Frame::raw(buffer, place)?,
    };
    if frame.is_ip() {
        frame.take_offload(&told, place.0).ok()?;
    }
    Some(frame)
}
