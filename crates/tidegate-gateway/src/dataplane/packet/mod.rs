//! Packet sockets (`AF_PACKET`): the plane for any interface of any Linux.
//!
//! Frames come by a ring that is shared with the kernel, and go many at a time by `sendmmsg`. Both sides speak virtio's
//! header, so that superframes and partial checksums pass as they are. What is longer than a slot of the ring waits on
//! the socket, and is fetched one by one.
//!
//! A packet socket sees a copy: that the kernel doesn't act on the same packets is the business of
//! [`host`](super::host).

mod group;
mod ring;
mod sender;

use std::io;

use libc::{PACKET_IGNORE_OUTGOING, PACKET_VERSION, PACKET_VNET_HDR, SOL_PACKET};
use tidegate_engine::steer::Steering;

use self::group::Group;
use self::ring::RingReceiver;
use self::sender::PacketSender;
use super::system::{bind_packet, packet_socket, set_option};
use super::{Link, LinkLayer};

/// Not in every libc: a packet that is sent skips the queueing discipline of its interface.
const PACKET_QDISC_BYPASS: i32 = 20;
const PACKET_COPY_THRESH: i32 = 7;

/// The mark of what is sent here, by which a fence knows it: nftables see it although it skips the queueing discipline.
pub(super) const OWN_MARK: u32 = 0x7469_6465;

/// Opens an interface.
///
/// # Errors
/// There is none of this number, or packet sockets are forbidden (CAP_NET_RAW).
pub fn open(index: u32, header: LinkLayer) -> io::Result<Link> {
    open_one(index, header, &mut Group::alone())
}

/// Opens an interface for all workers, who share its frames: all of a flow's come to one of them, to its owner if the
/// kernel takes a program that knows him. Without `steering` there is one.
///
/// # Errors
/// See [`open`].
pub fn share(index: u32, header: LinkLayer, steering: Option<&Steering>) -> io::Result<Vec<Link>> {
    let mut group = Group::of(steering);
    let links = (0..group.workers()).map(|_| open_one(index, header, &mut group));
    let links: Vec<Link> = links.collect::<io::Result<_>>()?;
    group.begin()?;
    Ok(links)
}

fn open_one(index: u32, header: LinkLayer, group: &mut Group) -> io::Result<Link> {
    let receiver = packet_socket()?;
    group.silence(&receiver)?;
    let fd = std::os::fd::AsFd::as_fd(&receiver);
    set_option(fd, SOL_PACKET, PACKET_VERSION, libc::tpacket_versions::TPACKET_V2 as i32)?;
    set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1_i32)?;
    set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1_i32)?;
    set_option(fd, SOL_PACKET, PACKET_COPY_THRESH, 1_i32)?;
    let socket = receiver.try_clone()?;
    let receiver = RingReceiver::new(receiver, index, header)?;
    group.join(socket)?;

    let sender = packet_socket()?;
    let fd = std::os::fd::AsFd::as_fd(&sender);
    set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1_i32)?;
    set_option(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1_i32)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_MARK, OWN_MARK)?;
    bind_packet(fd, index, 0)?;
    let sender = PacketSender::new(sender, header);
    Ok(Link { receiver: Box::new(receiver), sender: Box::new(sender) })
}
