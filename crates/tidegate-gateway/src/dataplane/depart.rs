//! Frames on their way out: who gets them, what is still to be done about them, and by which link they go.

use std::mem;

use tidegate_engine::fib::PortId;
use tidegate_engine::packet::{Checksum, Destination, Output};
use tidegate_engine::steer::Parcel;
use tidegate_engine::time::Instant;
use tidegate_engine::verdict::Verdict;
use tidegate_wire::segment::Segments;
use tidegate_wire::{dissect, offload};

use super::neighbours::{Contacts, Hop, Kept, Parked};
use super::world::{Neighbour, World};
use super::{Capabilities, Counters, Frame, HEADROOM, LinkLayer, Sender};

/// What could not leave, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Its port has no link.
    pub no_link: u64,
    /// It was for the host, which has no link.
    pub no_host: u64,
    /// Nobody answers for its neighbour.
    pub no_neighbour: u64,
    /// Too many wait for their neighbours already.
    pub no_room: u64,
    /// It came by a broadcast, and must not go on (RFC 1812 section 5.3.4).
    pub broadcast: u64,
    /// What was left to do about it could not be done.
    pub unfinished: u64,
}

/// A way out.
type Way = u16;
/// No way out.
const NOWHERE: Way = Way::MAX;
/// To the host.
const HOST: Way = Way::MAX - 1;

/// All ways out.
#[derive(Default)]
pub(super) struct Departures {
    senders: Vec<Box<dyn Sender>>,
    /// Which of them is a port's.
    of_port: Vec<Option<Way>>,
    host: Option<Box<dyn Sender>>,
    contacts: Contacts,
    parked: Parked,
    pieces: Vec<Vec<u8>>,
    losses: Losses,
}

impl Departures {
    pub(super) fn add(&mut self, port: PortId, sender: Box<dyn Sender>) {
        let at = usize::from(port.0);
        self.of_port.resize(self.of_port.len().max(at + 1), None);
        self.of_port[at] = Some(self.senders.len() as Way);
        self.senders.push(sender);
    }

    pub(super) fn set_host(&mut self, sender: Box<dyn Sender>) {
        self.host = Some(sender);
    }

    pub(super) fn losses(&self) -> Losses {
        self.losses
    }

    pub(super) fn counters(&self, port: PortId) -> Counters {
        let way = self.of_port.get(usize::from(port.0)).copied().flatten();
        way.map_or(Counters::default(), |way| self.senders[usize::from(way)].counters())
    }

    /// Sends packets as their verdicts say.
    pub(super) fn send(
        &mut self,
        frames: &mut [Frame<'_>],
        verdicts: &[Verdict],
        world: &mut impl World,
        now: Instant,
    ) {
        for (frame, verdict) in frames.iter_mut().zip(verdicts) {
            frame.way = self.way(frame, *verdict, world, now);
        }
        if !frames.is_sorted_by_key(|frame| frame.way) {
            frames.sort_by_key(|frame| frame.way);
        }
        for frames in frames.chunk_by_mut(|one, other| one.way == other.way) {
            self.emit(frames[0].way, frames);
        }
    }

    /// Sends packets that another worker has handed over as their verdicts say.
    pub(super) fn send_parcels(
        &mut self,
        parcels: &[Parcel],
        verdicts: &[Verdict],
        world: &mut impl World,
        now: Instant,
    ) {
        let leaves =
            |verdict: &Verdict| matches!(verdict, Verdict::Forward { .. } | Verdict::Local);
        let leaving = || parcels.iter().zip(verdicts).filter(|(_, verdict)| leaves(verdict));
        let mut kept: Vec<Kept> =
            leaving().map(|(parcel, _)| Kept::new(&parcel.bytes, parcel.offload)).collect();
        let framed = kept.iter_mut().zip(leaving()).filter_map(|(kept, (parcel, verdict))| {
            let mut frame = kept.frame()?;
            frame.link = parcel.link;
            Some((frame, *verdict))
        });
        let (mut frames, verdicts): (Vec<Frame<'_>>, Vec<Verdict>) = framed.unzip();
        self.send(&mut frames, &verdicts, world, now);
    }

    /// Sends a packet of the engine's own.
    pub(super) fn send_output(&mut self, output: Output, world: &mut impl World, now: Instant) {
        let verdict = match output.destination {
            Destination::Port { port, next_hop } => Verdict::Forward { port, next_hop },
            Destination::Host => Verdict::Local,
        };
        let mut kept = Kept::new(&output.bytes, output.offload);
        if let Some(frame) = kept.frame() {
            self.send(&mut [frame], &[verdict], world, now);
        }
    }

    /// When [`Departures::retry`] must be called, even if nothing comes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.parked.due()
    }

    /// Sends what has waited for its neighbour; hands over what can't be sent as there is none.
    pub(super) fn retry(&mut self, world: &mut impl World, now: Instant) -> Vec<Kept> {
        let mut given_up = Vec::new();
        for ((port, next_hop), found, packets) in self.parked.ready(world, now) {
            if found.is_none() {
                self.losses.no_neighbour += packets.len() as u64;
                given_up.extend(packets);
                continue;
            }
            for mut kept in packets {
                if let Some(frame) = kept.frame() {
                    self.send(&mut [frame], &[Verdict::Forward { port, next_hop }], world, now);
                }
            }
        }
        given_up
    }

    /// Where a packet goes; its link header is written.
    fn way(
        &mut self,
        frame: &mut Frame<'_>,
        verdict: Verdict,
        world: &mut impl World,
        now: Instant,
    ) -> Way {
        match verdict {
            Verdict::Forward { port, next_hop } => {
                frame.trim();
                self.way_out(frame, (port, next_hop), world, now)
            }
            Verdict::Local if self.host.is_some() => {
                frame.trim();
                HOST
            }
            Verdict::Local => {
                self.losses.no_host += 1;
                NOWHERE
            }
            Verdict::Held | Verdict::Queued(_) | Verdict::Drop(_) => NOWHERE,
        }
    }

    fn way_out(
        &mut self,
        frame: &mut Frame<'_>,
        hop: Hop,
        world: &mut impl World,
        now: Instant,
    ) -> Way {
        let Some(way) = self.of_port.get(usize::from(hop.0.0)).copied().flatten() else {
            self.losses.no_link += 1;
            return NOWHERE;
        };
        if frame.link.is_some_and(|link| link.dst.is_multicast()) {
            self.losses.broadcast += 1;
            return NOWHERE;
        }
        if self.senders[usize::from(way)].capabilities().header == LinkLayer::Raw {
            return way;
        }
        let Some(own) = world.hardware(hop.0).address else {
            self.losses.no_link += 1;
            return NOWHERE;
        };
        match self.contacts.find(world, hop, now) {
            Neighbour::Known(mac) if frame.put_ethernet(mac, own) => way,
            Neighbour::Known(_) => {
                self.losses.unfinished += 1;
                NOWHERE
            }
            // One who was absent may have come.
            Neighbour::Unknown | Neighbour::Absent => {
                let is_kept = self.parked.keep(world, hop, frame, now);
                self.losses.no_room += u64::from(!is_kept);
                NOWHERE
            }
        }
    }

    /// Sends frames by their way, in order, and does before what the link can't.
    fn emit(&mut self, way: Way, frames: &mut [Frame<'_>]) {
        let sender = match way {
            NOWHERE => return,
            HOST => self.host.as_mut(),
            way => self.senders.get_mut(usize::from(way)),
        };
        let Some(sender) = sender else { return };
        let capabilities = sender.capabilities();
        if !capabilities.checksum {
            frames.iter_mut().for_each(finish);
        }
        let mut rest = frames;
        while !rest.is_empty() {
            let is_long =
                |frame: &Frame<'_>| frame.offload.segment.is_some() && !capabilities.segmentation;
            let whole = rest.iter().position(is_long).unwrap_or(rest.len());
            let (run, others) = mem::take(&mut rest).split_at_mut(whole);
            if !run.is_empty() {
                sender.send(run);
            }
            if let Some((long, others)) = others.split_first_mut() {
                if !cut(&mut **sender, capabilities, long, &mut self.pieces) {
                    self.losses.unfinished += 1;
                }
                rest = others;
            }
        }
    }
}

/// Finishes the checksum of a frame that is no superframe: their pieces have checksums of their own.
fn finish(frame: &mut Frame<'_>) {
    if !frame.offload.checksum.is_partial() || frame.offload.segment.is_some() {
        return;
    }
    if let Ok(headers) = dissect(frame.datagram()) {
        offload::finish(frame.datagram_mut(), &headers);
        frame.offload.checksum = Checksum::Full;
    }
}

/// Sends the pieces of a superframe; whether it could be cut.
fn cut(
    sender: &mut dyn Sender,
    capabilities: Capabilities,
    long: &Frame<'_>,
    buffers: &mut Vec<Vec<u8>>,
) -> bool {
    let checksum = if capabilities.checksum { Checksum::Partial } else { Checksum::Full };
    let Some(mut segments) = Segments::new(long.datagram(), long.offload, checksum) else {
        return false;
    };
    let header = &long.bytes()[..long.link_len()];
    let mut count = 0;
    loop {
        if count == buffers.len() {
            buffers.push(Vec::new());
        }
        let buffer = &mut buffers[count];
        buffer.clear();
        buffer.resize(HEADROOM, 0);
        buffer.extend_from_slice(header);
        if !segments.next_into(buffer) {
            break;
        }
        count += 1;
    }
    let pieces = buffers[..count].iter_mut().filter_map(|buffer| {
        let end = buffer.len();
        let mut piece = Frame::prepared(buffer, (HEADROOM, HEADROOM + header.len(), end))?;
        piece.offload.checksum = checksum;
        Some(piece)
    });
    let mut pieces: Vec<Frame<'_>> = pieces.collect();
    sender.send(&mut pieces);
    true
}
