//! A packet on its way from one worker to another.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::defrag::{Entry, FragmentPlan};
use crate::fib::PortId;
use crate::packet::{LinkHeader, Offload, Origin, Owner, Packet};
use crate::rules::Template;

/// A packet and how far it has come. What another worker's engine hands over is given to
/// [`Engine::accept`](crate::Engine::accept) as it is.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The datagram; behind [`Engine::accept`](crate::Engine::accept) what has become of it.
    pub bytes: Vec<u8>,
    /// See [`Packet::in_port`].
    pub in_port: Option<PortId>,
    /// See [`Packet::link`].
    pub link: Option<LinkHeader>,
    /// See [`Packet::mark`].
    pub mark: u32,
    /// See [`Packet::offload`].
    pub offload: Offload,
    pub(crate) progress: Progress,
}

/// How far a packet has come.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// To the first hook.
    Nowhere(Entry, Option<Owner>),
    /// To conntrack.
    Raw(Box<Past>),
}

/// What is known of a packet that has been to the raw table.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) entry: Entry,
    pub(crate) template: Option<Template>,
    pub(crate) plan: Option<FragmentPlan>,
    pub(crate) traced: bool,
    pub(crate) origin: Origin,
    /// Its home has offered it to somebody who doesn't want it.
    pub(crate) is_returned: bool,
    /// How often it has been.
    pub(crate) returns: u8,
    /// Whose socket sent it.
    pub(crate) owner: Option<Owner>,
}

impl Parcel {
    /// A packet that came in by a port.
    #[must_use]
    pub fn received(packet: &Packet<'_>) -> Self {
        Self::of(packet, Progress::Nowhere(Entry::Received, None))
    }

    /// One of the host's own.
    #[must_use]
    pub fn sent(packet: &Packet<'_>) -> Self {
        Self::of(packet, Progress::Nowhere(Entry::Sent, None))
    }

    /// Whether it is the host's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.entry() == Entry::Sent
    }

    /// Whether it is a packet that somebody sent, rather than an engine.
    #[must_use]
    pub fn is_passed_on(&self) -> bool {
        match &self.progress {
            Progress::Nowhere(..) => true,
            Progress::Raw(past) => past.origin == Origin::Forwarded,
        }
    }

    pub(crate) fn of(packet: &Packet<'_>, progress: Progress) -> Self {
        let Packet { in_port, link, mark, offload, .. } = *packet;
        Self { bytes: packet.bytes.to_vec(), in_port, link, mark, offload, progress }
    }

    /// The packet.
    pub fn packet(&mut self) -> Packet<'_> {
        let Self { bytes, in_port, link, mark, offload, .. } = self;
        Packet { bytes, in_port: *in_port, link: *link, mark: *mark, offload: *offload }
    }

    pub(crate) fn entry(&self) -> Entry {
        match &self.progress {
            Progress::Nowhere(entry, _) => *entry,
            Progress::Raw(past) => past.entry,
        }
    }
}
