//! Who gets the frames: hardware addresses that are at hand, and packets that wait for one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tidegate_engine::fib::PortId;
use tidegate_engine::packet::Offload;
use tidegate_engine::time::Instant;
use tidegate_wire::packet::ethernet::MacAddr;

use super::world::{Neighbour, World};
use super::{Frame, HEADROOM};

/// How often the world is asked for a neighbour again, and hears that he is in use.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
/// How long a packet waits for an answer: Linux asks three times, a second apart.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many packets wait for one neighbour, and for all of them.
const QUEUE: usize = 64;
const QUEUES: usize = 1024;

/// An on-link neighbour.
pub(super) type Hop = (PortId, IpAddr);

/// Neighbours that packets were sent to of late.
#[derive(Default)]
pub(super) struct Contacts {
    known: BTreeMap<Hop, Contact>,
    /// The last one: most packets of a batch go the same way.
    last: Option<(Hop, Contact)>,
}

#[derive(Clone, Copy)]
struct Contact {
    mac: MacAddr,
    confirmed: Instant,
}

impl Contacts {
    /// Who a neighbour is; the world hears that he is in use.
    pub(super) fn find(&mut self, world: &mut impl World, hop: Hop, now: Instant) -> Neighbour {
        let is_fresh = |contact: &Contact| now.saturating_sub(contact.confirmed) < CONFIRM_EVERY;
        if let Some((last, contact)) = self.last
            && last == hop
            && is_fresh(&contact)
        {
            return Neighbour::Known(contact.mac);
        }
        if let Some(contact) = self.known.get(&hop).filter(|contact| is_fresh(contact)) {
            self.last = Some((hop, *contact));
            return Neighbour::Known(contact.mac);
        }
        let found = world.neighbour(hop.0, hop.1);
        if let Neighbour::Known(mac) = found {
            world.confirm(hop.0, hop.1);
            let contact = Contact { mac, confirmed: now };
            self.known.insert(hop, contact);
            self.last = Some((hop, contact));
        }
        found
    }
}

/// Packets that wait until it is known who their neighbour is.
#[derive(Default)]
pub(super) struct Parked {
    waiting: BTreeMap<Hop, Waiting>,
    count: usize,
}

struct Waiting {
    since: Instant,
    packets: Vec<Kept>,
}

/// A packet that waits, with room in front.
pub(super) struct Kept {
    bytes: Vec<u8>,
    offload: Offload,
}

impl Kept {
    /// A copy of a datagram.
    pub(super) fn new(datagram: &[u8], offload: Offload) -> Self {
        Self { bytes: [&[0; HEADROOM], datagram].concat(), offload }
    }

    /// The datagram, as a frame.
    pub(super) fn frame(&mut self) -> Option<Frame<'_>> {
        let place = (HEADROOM, self.bytes.len());
        let mut frame = Frame::raw(&mut self.bytes, place)?;
        frame.offload = self.offload;
        Some(frame)
    }
}

impl Parked {
    /// Keeps a packet; whether there was room for it.
    pub(super) fn keep(&mut self, hop: Hop, frame: &Frame<'_>, now: Instant) -> bool {
        let before = self.waiting.get(&hop).map_or(0, |waiting| waiting.packets.len());
        let has_room = before < QUEUE && self.count < QUEUES;
        if has_room {
            let waiting = self.waiting.entry(hop);
            let waiting = waiting.or_insert_with(|| Waiting { since: now, packets: Vec::new() });
            waiting.packets.push(Kept::new(frame.datagram(), frame.offload));
            self.count += 1;
        }
        has_room
    }

    /// Whether a neighbour is being waited for.
    pub(super) fn awaits(&self, hop: Hop) -> bool {
        self.waiting.contains_key(&hop)
    }

    /// Packets that have waited long enough, each neighbour's with what has become known of him. `Unknown`: he did not
    /// answer in time.
    pub(super) fn ready(
        &mut self,
        world: &impl World,
        now: Instant,
    ) -> Vec<(Hop, Neighbour, Vec<Kept>)> {
        let mut ready = Vec::new();
        for (hop, waiting) in &mut self.waiting {
            let found = world.neighbour(hop.0, hop.1);
            let is_late = now.saturating_sub(waiting.since) >= PATIENCE;
            if found != Neighbour::Unknown || is_late {
                ready.push((*hop, found, std::mem::take(&mut waiting.packets)));
            }
        }
        for (hop, _, packets) in &ready {
            self.waiting.remove(hop);
            self.count -= packets.len();
        }
        ready
    }
}
