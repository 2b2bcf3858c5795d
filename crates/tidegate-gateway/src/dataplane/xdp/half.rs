//! The two halves of an AF_XDP link.
//!
//! A place in the memory belongs to the kernel from when it is shown in the fill ring, or in the ring of what is to be sent,
//! until it comes back in the ring of what was received, or of what is done. The receiver's places are the lower half of
//! the memory, the sender's the upper one: neither ever touches the other's.
#![expect(unsafe_code, reason = "frames lie in memory that is shared with the kernel")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::slice;
use std::sync::Arc;

use libc::{SOL_XDP, XDP_STATISTICS, xdp_desc, xdp_statistics};
use rustix::net::{SendFlags, send};
use tidegate_engine::packet::Checksum;
use tidegate_wire::virtio_net::VirtioNet;
use tidegate_wire::{dissect, offload, proto};

use super::super::system::option;
use super::super::{Capabilities, Counters, Frame, LinkLayer, Receiver, Sender};
use super::ring::Ring;
use super::{CHUNK, CHUNKS, Checksums, Common, METADATA};

/// In front of a frame that is sent.
const ROOM: usize = 64;
/// How often the kernel is asked to go on sending.
const KICKS: usize = 64;

pub(super) struct XdpReceiver {
    common: Arc<Common>,
    fill: Ring<u64>,
    received: Ring<xdp_desc>,
    held: Vec<u64>,
    checksums: Checksums,
    counters: Counters,
}

impl XdpReceiver {
    pub(super) fn new(
        common: Arc<Common>,
        fill: Ring<u64>,
        received: Ring<xdp_desc>,
        checksums: Checksums,
    ) -> Self {
        let (held, counters) = (Vec::new(), Counters::default());
        Self { common, fill, received, held, checksums, counters }
    }

    fn give_back(&mut self) {
        for chunk in self.held.drain(..) {
            // There is room for all the places that there are.
            self.fill.push(chunk);
        }
        self.fill.show();
    }
}

impl Receiver for XdpReceiver {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.common.socket.as_fd())
    }

    fn receive<'a>(&'a mut self, most: usize, frames: &mut Vec<Frame<'a>>) -> io::Result<()> {
        self.give_back();
        for _ in 0..most {
            let Some(arrived) = self.received.pop() else { break };
            let (at, len) = (arrived.addr as usize % CHUNK, arrived.len as usize);
            let chunk = arrived.addr - at as u64;
            self.held.push(chunk);
            // SAFETY: the place is ours until it is back in the fill ring, which happens when the next batch is asked
            // for: then this frame, which borrows from us, is gone. The kernel names each place once.
            let bytes =
                unsafe { slice::from_raw_parts_mut(self.common.memory.at(chunk as usize), CHUNK) };
            match Frame::ethernet(bytes, (at, at + len)) {
                Some(mut frame) => {
                    if self.checksums == Checksums::Begun {
                        begin(&mut frame);
                    }
                    self.counters.received += 1;
                    frames.push(frame);
                }
                None => self.counters.damaged += 1,
            }
        }
        self.received.give_back();
        Ok(())
    }

    fn hears_others(&self) -> bool {
        true
    }

    fn counters(&mut self) -> Counters {
        let told: io::Result<xdp_statistics> =
            option(self.common.socket.as_fd(), SOL_XDP, XDP_STATISTICS);
        let missed = told
            .map_or(0, |told| told.rx_dropped + told.rx_ring_full + told.rx_fill_ring_empty_descs);
        Counters { missed, ..self.counters }
    }
}

/// Takes a checksum as begun, whatever it is.
fn begin(frame: &mut Frame<'_>) {
    let Ok(headers) = dissect(frame.datagram()) else { return };
    let has_none = headers.proto == proto::UDP
        && headers.payload(frame.datagram()).get(6..8).is_none_or(|field| field == [0, 0]);
    let is_ours = matches!(headers.proto, proto::TCP | proto::UDP) && !has_none;
    if is_ours && headers.fragment.is_none() && offload::begin(frame.datagram_mut(), &headers) {
        frame.offload.checksum = Checksum::Partial;
    }
}

pub(super) struct XdpSender {
    common: Arc<Common>,
    done: Ring<u64>,
    sent: Ring<xdp_desc>,
    free: Vec<u64>,
    counters: Counters,
}

impl XdpSender {
    pub(super) fn new(common: Arc<Common>, done: Ring<u64>, sent: Ring<xdp_desc>) -> Self {
        let half = u64::from(CHUNKS);
        let free = (half..2 * half).map(|number| number * CHUNK as u64).collect();
        Self { common, done, sent, free, counters: Counters::default() }
    }

    fn reclaim(&mut self) {
        while let Some(addr) = self.done.pop() {
            self.free.push(addr - addr % CHUNK as u64);
        }
        self.done.give_back();
    }

    /// Copies a frame to a place and produces its descriptor; whether there was room.
    fn put(&mut self, frame: &Frame<'_>) -> bool {
        let len = frame.bytes().len();
        if len > CHUNK - ROOM {
            return false;
        }
        let Some(chunk) = self.free.pop() else { return false };
        // SAFETY: a free place is ours until it is shown to the kernel, and no reference to it is kept.
        let bytes =
            unsafe { slice::from_raw_parts_mut(self.common.memory.at(chunk as usize), CHUNK) };
        bytes[ROOM..ROOM + len].copy_from_slice(frame.bytes());
        let mut options = 0;
        if frame.offload.checksum.is_partial() {
            let told = VirtioNet::of(frame.offload, frame.datagram(), frame.link_len());
            let metadata = &mut bytes[ROOM - METADATA..ROOM];
            metadata.fill(0);
            let flags = u64::from(libc::XDP_TXMD_FLAGS_CHECKSUM);
            metadata[..8].copy_from_slice(&flags.to_ne_bytes());
            metadata[8..10].copy_from_slice(&told.csum_start.to_ne_bytes());
            metadata[10..12].copy_from_slice(&told.csum_offset.to_ne_bytes());
            options = libc::XDP_TX_METADATA;
        }
        let descriptor = xdp_desc { addr: chunk + ROOM as u64, len: len as u32, options };
        let has_room = self.sent.push(descriptor);
        if !has_room {
            self.free.push(chunk);
        }
        has_room
    }

    /// Has the kernel send what it was shown. Where it copies, it does so within the call, some at a time.
    fn kick(&mut self) {
        for _ in 0..KICKS {
            if self.sent.waiting() == 0 || !self.sent.wants_waking() {
                return;
            }
            if let Err(error) = send(&self.common.socket, &[], SendFlags::DONTWAIT)
                && !matches!(
                    error,
                    rustix::io::Errno::AGAIN | rustix::io::Errno::BUSY | rustix::io::Errno::INTR
                )
            {
                // What waits is tried again with the next batch.
                return;
            }
        }
    }
}

impl Sender for XdpSender {
    fn capabilities(&self) -> Capabilities {
        let (header, checksum) = (LinkLayer::Ethernet, self.common.has_metadata);
        Capabilities { header, checksum, segmentation: false }
    }

    fn send(&mut self, frames: &mut [Frame<'_>]) {
        self.reclaim();
        for frame in frames {
            match self.put(frame) {
                true => self.counters.sent += 1,
                false => self.counters.unsent += 1,
            }
        }
        self.sent.show();
        self.kick();
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
