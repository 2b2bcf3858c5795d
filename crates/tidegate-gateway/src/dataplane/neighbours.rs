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
/// So many are remembered before those are forgotten who must be asked for again anyway: an IPv6 network has room for more
/// than any memory.
const CONTACTS: usize = 4096;
/// How often the world is asked for one who doesn't answer, a second apart: a kernel asks him three times itself, and says
/// then what came of it, unless it has refused.
const TRIES: u32 = 4;
const ASK_EVERY: Duration = Duration::from_secs(1);
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
            if self.known.len() >= CONTACTS {
                self.known.retain(|_, contact| is_fresh(contact));
            }
            self.known.insert(hop, contact);
            self.last = Some((hop, contact));
        }
        found
    }
}

/// Packets that have waited for a neighbour, and his address, if he has answered.
pub(super) type Ready = (Hop, Option<MacAddr>, Vec<Kept>);

/// Packets that wait until it is known who their neighbour is.
#[derive(Default)]
pub(super) struct Parked {
    waiting: BTreeMap<Hop, Waiting>,
    count: usize,
}

struct Waiting {
    /// How often he was asked for, and when it is time to look again.
    tries: u32,
    due: Instant,
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
    /// Keeps a packet, and has the neighbour asked for whom nobody has waited for yet; whether there was room for it.
    pub(super) fn keep(
        &mut self,
        world: &mut impl World,
        hop: Hop,
        frame: &Frame<'_>,
        now: Instant,
    ) -> bool {
        let before = self.waiting.get(&hop).map_or(0, |waiting| waiting.packets.len());
        let has_room = before < QUEUE && self.count < QUEUES;
        if has_room {
            let waiting = self.waiting.entry(hop).or_insert_with(|| {
                world.ask(hop.0, hop.1);
                // Who is known to be absent for good is so at once.
                let is_absent = world.neighbour(hop.0, hop.1) == Neighbour::Absent;
                let due = if is_absent { now } else { now + ASK_EVERY };
                Waiting { tries: 1, due, packets: Vec::new() }
            });
            waiting.packets.push(Kept::new(frame.datagram(), frame.offload));
            self.count += 1;
        }
        has_room
    }

    /// When something must be done, even if nobody answers.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.due).min()
    }

    /// Packets that have waited long enough, each neighbour's with his address; `None`: he does not answer. Who is still
    /// expected to is asked for again.
    pub(super) fn ready(&mut self, world: &mut impl World, now: Instant) -> Vec<Ready> {
        let mut ready = Vec::new();
        for (hop, waiting) in &mut self.waiting {
            let mac = match world.neighbour(hop.0, hop.1) {
                Neighbour::Known(mac) => Some(mac),
                Neighbour::Unknown if now < waiting.due => continue,
                Neighbour::Unknown if waiting.tries < TRIES => {
                    world.ask(hop.0, hop.1);
                    (waiting.tries, waiting.due) = (waiting.tries + 1, now + ASK_EVERY);
                    continue;
                }
                Neighbour::Unknown => {
                    world.give_up(hop.0, hop.1);
                    None
                }
                Neighbour::Absent => None,
            };
            ready.push((*hop, mac, std::mem::take(&mut waiting.packets)));
        }
        for (hop, _, packets) in &ready {
            self.waiting.remove(hop);
            self.count -= packets.len();
        }
        ready
    }
}
