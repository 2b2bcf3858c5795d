//! TUN interfaces: datagrams that the kernel routes to an interface of ours, and back.
//!
//! One call a datagram, behind virtio's header: superframes and partial checksums pass as they are.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use libc::{IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TUN, IFF_VNET_HDR};
use rustix::fs::{Mode, OFlags};
use tidegate_engine::steer::Steering;
use tidegate_wire::virtio_net::{self, VirtioNet};

use super::homeward;
use super::system::{attach_tun, raise_interface, set_tun_offload, steer_tun};
use super::{Capabilities, Counters, Frame, HEADROOM, Link, LinkLayer, Receiver, Sender};

/// Where TUN interfaces come from; the module `tun` makes it.
const DEVICE: &str = "/dev/net/tun";
/// `TUN_F_CSUM`, `TUN_F_TSO4`, `TUN_F_TSO6`, `TUN_F_TSO_ECN`.
const TCP_OFFLOAD: u32 = 0x0f;
/// `TUN_F_USO4`, `TUN_F_USO6`: since Linux 6.2.
const UDP_OFFLOAD: u32 = 0x60;
/// The longest superframe.
const LONGEST: usize = 65_536 + 40;

/// Which of an interface's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// The only one that there can be.
    Only,
    /// The first of as many as are opened.
    First,
    /// Another one of them.
    Further,
}

/// Makes an interface, or takes over one that was made for us (`ip tuntap add`); what it is called. It has a queue, and a
/// link, for each worker; without `steering` there is one. What comes by it begins with `comes`: who turns frames away to
/// it may leave their headers on.
///
/// # Errors
/// There is no `/dev/net/tun`, or we may not (CAP_NET_ADMIN), or the name belongs to something else, or to an interface
/// that was made for one worker or for several.
pub fn open(
    name: &str,
    comes: LinkLayer,
    steering: Option<&Steering>,
) -> io::Result<(Vec<Link>, String)> {
    let Some(steering) = steering else {
        let (_, link, name) = open_one(name, Queue::Only, comes)?;
        return Ok((vec![link], name));
    };
    let (device, first, name) = open_one(name, Queue::First, comes).map_err(|error| {
        if error.kind() != io::ErrorKind::InvalidInput {
            return error;
        }
        let problem =
            "has one queue: `ip tuntap add mode tun multi_queue' makes one for several workers";
        io::Error::new(io::ErrorKind::InvalidInput, problem)
    })?;
    let mut links = vec![first];
    for _ in 1..steering.workers() {
        links.push(open_one(&name, Queue::Further, comes)?.1);
    }
    // Without it the kernel spreads flows as it likes, and not as somebody told it who had the interface before.
    let program = homeward::load(steering).ok();
    let _ = steer_tun(device.as_fd(), program.as_ref());
    Ok((links, name))
}

fn open_one(
    name: &str,
    queue: Queue,
    comes: LinkLayer,
) -> io::Result<(Arc<OwnedFd>, Link, String)> {
    let mode = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open(DEVICE, mode, Mode::empty()).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("{DEVICE}: {error}"))
    })?;
    let mut flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    if queue != Queue::Only {
        flags |= IFF_MULTI_QUEUE;
    }
    let name = attach_tun(device.as_fd(), name, flags as i16)?;
    if set_tun_offload(device.as_fd(), TCP_OFFLOAD | UDP_OFFLOAD).is_err() {
        set_tun_offload(device.as_fd(), TCP_OFFLOAD)?;
    }
    let device = Arc::new(device);
    let receiver = TunReceiver {
        device: Arc::clone(&device),
        queue,
        comes,
        buffers: Vec::new(),
        counters: Counters::default(),
    };
    let sender = TunSender { device: Arc::clone(&device), counters: Counters::default() };
    Ok((device, Link { receiver: Box::new(receiver), sender: Box::new(sender) }, name))
}

/// Switches an interface on.
///
/// # Errors
/// There is none, or we may not.
pub fn raise(name: &str, mtu: u32) -> io::Result<()> {
    raise_interface(name, mtu)
}

struct TunReceiver {
    device: Arc<OwnedFd>,
    queue: Queue,
    comes: LinkLayer,
    buffers: Vec<Vec<u8>>,
    counters: Counters,
}

impl Drop for TunReceiver {
    /// The first takes the program along that chooses among all of them: an interface that stays would keep it.
    fn drop(&mut self) {
        if self.queue == Queue::First {
            // Where there is none there is nothing to take.
            let _ = steer_tun(self.device.as_fd(), None);
        }
    }
}

impl Receiver for TunReceiver {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.device.as_fd())
    }

    fn receive<'a>(&'a mut self, most: usize, frames: &mut Vec<Frame<'a>>) -> io::Result<()> {
        self.buffers.resize_with(self.buffers.len().max(most), Vec::new);
        for buffer in &mut self.buffers[..most] {
            buffer.resize(HEADROOM + LONGEST, 0);
            let told_at = HEADROOM - virtio_net::HEADER_LEN;
            let len = match rustix::io::read(&self.device, &mut buffer[told_at..]) {
                Ok(len) => len,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => break,
                // The interface is down: nothing comes by it.
                Err(rustix::io::Errno::IO) => break,
                Err(error) => return Err(error.into()),
            };
            match arrived(buffer, (HEADROOM, told_at + len), self.comes) {
                Some(frame) => {
                    self.counters.received += 1;
                    frames.push(frame);
                }
                None => self.counters.damaged += 1,
            }
        }
        Ok(())
    }

    fn counters(&mut self) -> Counters {
        self.counters
    }
}

fn arrived(buffer: &mut [u8], place: (usize, usize), comes: LinkLayer) -> Option<Frame<'_>> {
    let told = VirtioNet::parse(&buffer[place.0 - virtio_net::HEADER_LEN..])?;
    let mut frame = match comes {
        LinkLayer::Ethernet => Frame::ethernet(buffer, place)?,
        LinkLayer::Raw => Frame::raw(buffer, place)?,
    };
    frame.take_offload(&told, place.0).ok()?;
    Some(frame)
}

struct TunSender {
    device: Arc<OwnedFd>,
    counters: Counters,
}

impl Sender for TunSender {
    fn capabilities(&self) -> Capabilities {
        Capabilities { header: LinkLayer::Raw, checksum: true, segmentation: true }
    }

    fn send(&mut self, frames: &mut [Frame<'_>]) {
        for frame in frames {
            let told = VirtioNet::of(frame.offload, frame.datagram(), 0);
            let bytes = frame.behind(&told.bytes());
            match bytes.map(|bytes| rustix::io::write(&self.device, bytes)) {
                Some(Ok(_)) => self.counters.sent += 1,
                Some(Err(_)) | None => self.counters.unsent += 1,
            }
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
