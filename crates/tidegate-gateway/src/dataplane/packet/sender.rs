//! The sending side: many frames in one call, each behind virtio's header.

use std::os::fd::{AsFd, OwnedFd};

use libc::{SO_SNDBUF, SO_SNDBUFFORCE, SOL_SOCKET};
use tidegate_wire::virtio_net::VirtioNet;

use super::super::system::{Messages, send_many, set_option};
use super::super::{Capabilities, Counters, Frame, LinkLayer, Sender};

/// What may be on its way to the interface.
const BACKLOG: i32 = 16 << 20;

/// See the module's documentation.
pub(super) struct PacketSender {
    socket: OwnedFd,
    header: LinkLayer,
    messages: Messages,
    counters: Counters,
}

impl PacketSender {
    /// Sends by a socket that is bound to an interface.
    pub(super) fn new(socket: OwnedFd, header: LinkLayer) -> Self {
        let fd = socket.as_fd();
        if set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, BACKLOG).is_err() {
            // Less room is no fault.
            let _ = set_option(fd, SOL_SOCKET, SO_SNDBUF, BACKLOG);
        }
        Self { socket, header, messages: Messages::default(), counters: Counters::default() }
    }
}

impl Sender for PacketSender {
    fn capabilities(&self) -> Capabilities {
        Capabilities { header: self.header, checksum: true, segmentation: true }
    }

    fn send(&mut self, frames: &mut [Frame<'_>]) {
        let count = frames.len();
        let datagrams = frames.iter_mut().filter_map(|frame| {
            let told = VirtioNet::of(frame.offload, frame.datagram(), frame.link_len());
            frame.behind(&told.bytes())
        });
        let datagrams: Vec<&mut [u8]> = datagrams.collect();
        self.counters.unsent += (count - datagrams.len()) as u64;
        let mut left = &datagrams[..];
        while !left.is_empty() {
            // The first that the system won't take is the one at which it stops.
            match send_many(self.socket.as_fd(), left, &mut self.messages) {
                Ok(sent) => {
                    self.counters.sent += sent as u64;
                    left = &left[sent..];
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.counters.unsent += 1;
                    left = &left[1..];
                }
            }
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
