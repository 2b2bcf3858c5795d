//! Packets from and to real links.
//!
//! A *link* is one port's way to the wire, in two halves that never wait: a [`Receiver`] hands over batches of
//! [`Frame`]s, which lie in its own memory, and a [`Sender`] takes batches of such frames, whoever's memory they lie in.
//! The [`Forwarder`] between them knows no kind of link; it asks what a link can do
//! ([`Capabilities`]), and does the rest itself. What the world looks like (routes, neighbours, names) it asks of a
//! [`World`].
//!
//! Each kind of link is a file: [`packet`] for any interface, [`xdp`], [`tun`], [`pcap`] for captures, [`mem`]
//! for tests.
//!
//! Nothing here waits, and nothing is ever lost in silence: what can't be received or sent is counted.

mod bpf;
mod depart;
pub mod exchange;
pub mod feed;
pub mod forward;
pub mod frame;
mod homeward;
pub mod host;
pub mod mem;
mod neighbours;
mod nft;
pub mod packet;
pub mod pcap;
pub mod start;
mod system;
pub mod tun;
pub mod world;
pub mod xdp;

use std::io;
use std::os::fd::BorrowedFd;

pub use self::depart::Losses;
pub use self::exchange::{Bell, Exchange, Mail};
pub use self::forward::Forwarder;
pub use self::frame::{Frame, HEADROOM};
pub use self::world::{Hardware, Neighbour, StaticWorld, World};

/// What a link's far side takes off our hands, and what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether frames begin with an Ethernet header, or with the datagram itself.
    pub header: LinkLayer,
    /// Whether it sends frames whose checksum is partial, and finishes them or has them finished.
    pub checksum: bool,
    /// Whether it sends superframes.
    pub segmentation: bool,
}

/// What is in front of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// An Ethernet header, perhaps with VLAN tags.
    Ethernet,
    /// Nothing.
    Raw,
}

/// What a link has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received, and handed over.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Frames that came, and for which there was no room, as the system tells it.
    pub missed: u64,
    /// Frames that came and could not be understood: cut short, or with a header that contradicts itself.
    pub damaged: u64,
    /// Frames that the system would not take: its queue was full, or the link was down.
    pub unsent: u64,
}

impl Counters {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            sent: self.sent + other.sent,
            missed: self.missed + other.missed,
            damaged: self.damaged + other.damaged,
            unsent: self.unsent + other.unsent,
        }
    }
}

/// The half of a link by which frames come.
pub trait Receiver: Send {
    /// What can be polled for reading; readable if there are frames. `None`: frames only come when somebody puts them
    /// there by hand.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Appends what has come to `frames`, `most` at the most. All of them are the caller's until the next call, by
    /// which he gives them back.
    ///
    /// # Errors
    /// The link is gone. One that is down has no frames.
    fn receive<'a>(&'a mut self, most: usize, frames: &mut Vec<Frame<'a>>) -> io::Result<()>;

    /// It was found readable, and no frame came: takes what the system has to say instead, which would keep it so.
    fn heal(&mut self) {}

    /// Whether frames for other stations come as well, so that the port's hardware address has to decide.
    fn hears_others(&self) -> bool {
        false
    }

    /// See [`Counters`].
    fn counters(&mut self) -> Counters;
}

/// The half of a link by which frames go.
pub trait Sender: Send {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Sends whole frames: from the link header on, where the link has one, and with nothing left to do about them that
    /// is not among its capabilities. What the system won't take is dropped and counted.
    fn send(&mut self, frames: &mut [Frame<'_>]);

    /// See [`Counters`].
    fn counters(&self) -> Counters;
}

/// Both halves of a link.
pub struct Link {
    /// By which frames come.
    pub receiver: Box<dyn Receiver>,
    /// By which they go.
    pub sender: Box<dyn Sender>,
}

#[cfg(test)]
mod tests;
