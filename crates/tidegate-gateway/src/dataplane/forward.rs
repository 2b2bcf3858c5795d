//! The forwarder: batches from links through an engine to links.
//!
//! A turn takes in what the world has become, then a batch of each link, each as a whole through the engine and out; then
//! the host's own packets, and what the engine has to say itself. Verdicts decide, nobody else: a packet that is for the
//! host goes to the host's link, and what comes from there begins at OUTPUT.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use tidegate_engine::Engine;
use tidegate_engine::fib::PortId;
use tidegate_engine::packet::Packet;
use tidegate_engine::time::Instant;
use tidegate_engine::verdict::Verdict;

use super::depart::{Departures, Losses};
use super::exchange::Mail;
use super::host::Fence;
use super::world::{World, port_named};
use super::{Counters, Frame, Link, Receiver};
use crate::daemon::{DataPlane, Readiness};
use crate::replay::{Cause, Fault};

/// Packets that go through the engine together.
const BATCH: usize = 64;
/// While packets come all the time, the world and the host are looked at this often, unless they are known to be ready:
/// each look is a call of the system. Links are rings in memory, which cost nothing to look at.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How often the fence is looked at under load.
const LOOK_AT_FENCE: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub struct Forwarder<W> {
    world: W,
    receivers: Vec<Attached>,
    host: Option<Box<dyn Receiver>>,
    departures: Departures,
    /// What other workers have for us, and we for them.
    mail: Mail,
    verdicts: Vec<Verdict>,
    /// Room for a batch, empty between batches.
    room: Vec<Frame<'static>>,
    packet_room: Vec<Packet<'static>>,
    /// When the world and the host were last looked at, and which of them must be now.
    looked: Option<Instant>,
    is_world_ready: bool,
    is_host_ready: bool,
    fence: Option<Fence>,
    /// When the fence is looked at, at the latest.
    fence_due: Instant,
    /// Of links that are gone, one for each turn.
    faults: VecDeque<Fault>,
    /// Why packets can no longer be forwarded.
    lost: Option<Fault>,
}

/// A port's receiver.
struct Attached {
    port: PortId,
    receiver: Box<dyn Receiver>,
    /// The interface's number.
    index: u32,
    /// It is gone: this is told once.
    is_gone: bool,
    /// It was found readable.
    is_ready: bool,
}

impl<W: World> Forwarder<W> {
    /// A forwarder between no links.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new(world: W) -> io::Result<Self> {
        Ok(Self {
            world,
            receivers: Vec::new(),
            host: None,
            departures: Departures::default(),
            mail: Mail::nobody(),
            verdicts: Vec::with_capacity(BATCH),
            room: Vec::with_capacity(BATCH),
            packet_room: Vec::with_capacity(BATCH),
            looked: None,
            is_world_ready: true,
            is_host_ready: true,
            fence: None,
            fence_due: Instant::ZERO,
            faults: VecDeque::new(),
            lost: None,
        })
    }

    /// Adds a port's link.
    ///
    /// # Errors
    /// It can't be waited for.
    pub fn add(&mut self, port: PortId, link: Link) -> io::Result<()> {
        let (receiver, index) = (link.receiver, self.world.hardware(port).index);
        let (is_gone, is_ready) = (false, false);
        self.receivers.push(Attached { port, receiver, index, is_gone, is_ready });
        self.departures.add(port, link.sender);
        Ok(())
    }

    /// Sets the link to the host's own stack.
    ///
    /// # Errors
    /// It can't be waited for.
    pub fn set_host(&mut self, link: Link) -> io::Result<()> {
        self.host = Some(link.receiver);
        self.departures.set_host(link.sender);
        Ok(())
    }

    /// Hands over what keeps the kernel from going around the host's link: one of several workers looks after it.
    pub fn set_fence(&mut self, fence: Fence) {
        self.fence = Some(fence);
    }

    /// The world.
    pub fn world_mut(&mut self) -> &mut W {
        &mut self.world
    }

    /// Whether the kernel is kept from acting on the same packets.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.fence.is_some()
    }

    /// What could not leave.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.departures.losses()
    }

    /// What each port's link has done.
    pub fn counters(&mut self) -> Vec<(PortId, Counters)> {
        let Self { receivers, departures, .. } = self;
        let both = |one: &mut Attached| {
            (one.port, one.receiver.counters().and(departures.counters(one.port)))
        };
        receivers.iter_mut().map(both).collect()
    }

    /// A batch of one link's; how many frames there were.
    fn take(
        &mut self,
        at: usize,
        most: usize,
        engine: &mut Engine,
        now: Instant,
    ) -> io::Result<usize> {
        let Self { world, receivers, departures, mail, verdicts, room, packet_room, .. } = self;
        let Attached { port, receiver, .. } = &mut receivers[at];
        let mut frames = emptied(mem::take(room));
        let own = if receiver.hears_others() { world.hardware(*port).address } else { None };
        receiver.receive(most, &mut frames)?;
        let count = frames.len();
        frames.retain(|frame| frame.is_ip() && own.is_none_or(|own| frame.is_for(own)));
        verdicts.clear();
        mail.heed(engine);
        let mut offloads = [Default::default(); BATCH];
        let mut packets = vacated(mem::take(packet_room));
        packets.extend(frames.iter_mut().map(|frame| frame.packet(*port)));
        engine.process_batch(now, &mut packets, world, |packet, outcome| {
            offloads[verdicts.len()] = packet.offload;
            verdicts.push(outcome.verdict);
        });
        *packet_room = vacated(packets);
        for (frame, offload) in frames.iter_mut().zip(offloads) {
            frame.offload = offload;
        }
        mail.tell(engine);
        departures.send(&mut frames, verdicts, world, now);
        mail.hand_over(engine);
        *room = emptied(frames);
        Ok(count)
    }

    /// A batch of the host's own.
    fn take_own(&mut self, engine: &mut Engine, now: Instant) -> io::Result<usize> {
        let Self { world, host, departures, mail, verdicts, .. } = self;
        let Some(host) = host else { return Ok(0) };
        let mut frames: Vec<Frame<'_>> = Vec::with_capacity(BATCH);
        host.receive(BATCH, &mut frames)?;
        mail.heed(engine);
        verdicts.clear();
        for frame in &mut frames {
            let mut packet = frame.local_packet();
            verdicts.push(engine.send_local(now, &mut packet, world).verdict);
            frame.offload = packet.offload;
        }
        mail.tell(engine);
        departures.send(&mut frames, verdicts, world, now);
        mail.hand_over(engine);
        Ok(frames.len())
    }

    /// Goes on with packets that other workers have handed over; how many there were.
    fn take_parcels(&mut self, most: usize, engine: &mut Engine, now: Instant) -> usize {
        let mut count = 0;
        while count < most {
            let mut parcels = self.mail.take(BATCH);
            if parcels.is_empty() {
                break;
            }
            count += parcels.len();
            let Self { world, departures, mail, verdicts, .. } = self;
            mail.heed(engine);
            let accepted = parcels.iter_mut().map(|one| engine.accept(now, one, world).verdict);
            verdicts.clear();
            verdicts.extend(accepted);
            mail.tell(engine);
            departures.send_parcels(&parcels, verdicts, world, now);
            mail.hand_over(engine);
            self.send_outputs(engine, now);
        }
        count
    }

    /// Sends what has waited for its neighbour, or tells the sender that there is none.
    fn retry(&mut self, engine: &mut Engine, now: Instant) {
        self.mail.heed(engine);
        for mut kept in self.departures.retry(&mut self.world, now) {
            if let Some(mut frame) = kept.frame() {
                engine.report_unreachable(now, &mut frame.local_packet(), &self.world);
            }
        }
        self.send_outputs(engine, now);
    }

    /// Sends what the engine has made itself.
    fn send_outputs(&mut self, engine: &mut Engine, now: Instant) {
        self.mail.tell(engine);
        while let Some(output) = engine.poll_output() {
            self.departures.send_output(output, &mut self.world, now);
        }
        self.mail.hand_over(engine);
    }

    /// Whether it is time to look at all there is. What nobody can wait for is looked at always.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_late = self.looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_EVERY);
        let is_mute = self.host.as_ref().is_some_and(|host| host.fd().is_none());
        if is_late {
            self.looked = Some(now);
        }
        is_late || is_mute
    }

    fn look_at_world(&mut self, engine: &mut Engine, now: Instant) -> io::Result<()> {
        self.is_world_ready = false;
        let changed = self.world.turn(engine, now);
        self.look_for_removed();
        changed
    }

    /// An interface that was removed takes its link and its fence along; one that is made again has neither.
    fn look_for_removed(&mut self) {
        let removed =
            self.receivers.iter().find(|one| self.world.hardware(one.port).index != one.index);
        if let Some(Attached { port, .. }) = removed {
            let error = io::Error::other("the interface was removed");
            self.lost = Some(Fault::of(&self.world.port(*port).name, Cause::Io(error)));
        }
    }

    /// Without its fence the kernel answers and forwards the same packets. Its end wakes us, so that it suffices to look
    /// when little is going on, and now and then otherwise.
    fn look_at_fence(&mut self, now: Instant, is_idle: bool) {
        if !is_idle && now < self.fence_due {
            return;
        }
        self.fence_due = now + LOOK_AT_FENCE;
        if self.fence.as_mut().is_some_and(Fence::has_ended) {
            let error =
                io::Error::other("what kept the kernel away from the same packets has ended");
            self.lost = Some(Fault::of("nft", Cause::Io(error)));
        }
    }

    /// A batch of each link's; the most that one of them had.
    fn take_all(&mut self, most: usize, engine: &mut Engine, now: Instant) -> usize {
        let mut count = 0;
        for at in 0..self.receivers.len() {
            let mut taken = 0;
            while taken < most && !self.receivers[at].is_gone {
                let outcome = self.take(at, BATCH, engine, now);
                self.send_outputs(engine, now);
                match outcome {
                    Ok(frames) if frames < BATCH => {
                        taken += frames;
                        break;
                    }
                    Ok(frames) => taken += frames,
                    Err(error) => {
                        // Nobody listens any longer for what is gone, which would be ready for ever.
                        self.receivers[at].is_gone = true;
                        let fault = self.fault(at, error);
                        self.faults.push_back(fault);
                    }
                }
            }
            let one = &mut self.receivers[at];
            if mem::take(&mut one.is_ready) && taken == 0 {
                one.receiver.heal();
            }
            count = count.max(taken);
        }
        count
    }

    fn fault(&self, at: usize, error: io::Error) -> Fault {
        let port = self.receivers[at].port;
        Fault::of(&self.world.port(port).name, Cause::Io(error))
    }
}

/// The room that frames took, for others.
fn emptied<'a>(mut frames: Vec<Frame<'_>>) -> Vec<Frame<'a>> {
    frames.clear();
    // Collecting what is consumed keeps its room.
    frames.into_iter().map_while(|_| None).collect()
}

/// See [`emptied`].
fn vacated<'a>(mut packets: Vec<Packet<'_>>) -> Vec<Packet<'a>> {
    packets.clear();
    packets.into_iter().map_while(|_| None).collect()
}

impl<W: World> DataPlane for Forwarder<W> {
    type World = W;

    fn world(&self) -> &W {
        &self.world
    }

    fn join(&mut self, mail: Mail) {
        self.mail = mail;
    }

    fn port(&self, name: Option<&str>) -> Option<PortId> {
        match name {
            Some(name) => port_named(&self.world, name),
            None => self.receivers.first().map(|one| one.port),
        }
    }

    fn turn(&mut self, engine: &mut Engine, now: Instant, most: usize) -> Result<usize, Fault> {
        let is_due = self.is_due(now);
        let changed = match is_due || self.is_world_ready {
            true => self.look_at_world(engine, now),
            false => Ok(()),
        };
        self.retry(engine, now);
        let mut count = self.take_all(most, engine, now);
        count = count.max(self.take_parcels(most, engine, now));
        if is_due || self.is_host_ready {
            match self.take_own(engine, now) {
                Ok(own) => {
                    count = count.max(own);
                    self.is_host_ready = own == BATCH;
                }
                Err(error) => self.lost = Some(Fault::of("the host's link", Cause::Io(error))),
            }
        }
        self.send_outputs(engine, now);
        self.look_at_fence(now, count == 0);
        changed.map_err(|error| Fault::of("rtnetlink", Cause::Io(error)))?;
        self.faults.pop_front().map_or(Ok(count.min(most)), Err)
    }

    fn lost(&mut self) -> Option<Fault> {
        self.lost.take()
    }

    fn index(&self, port: PortId) -> u32 {
        self.world.hardware(port).index
    }

    fn remarks(&mut self) -> Vec<String> {
        self.world.remarks()
    }

    fn due(&self) -> Option<Instant> {
        self.departures.due()
    }

    fn readiness(&self) -> Readiness<'_> {
        let host = self.host.as_ref().and_then(|host| host.fd());
        let mut fds: Vec<BorrowedFd<'_>> = self.world.fd().into_iter().chain(host).collect();
        let served = self.receivers.iter().filter(|one| !one.is_gone);
        fds.extend(served.filter_map(|one| one.receiver.fd()));
        // Whoever wakes by it finds nothing to do, and looks at the fence as he does whenever there is little to do.
        fds.extend(self.fence.as_ref().and_then(Fence::fd));
        Readiness::When(fds)
    }

    fn woken(&mut self, ready: &[bool]) {
        let Self { world, host, receivers, .. } = self;
        let mut ready = ready.iter().copied();
        let mut next = |has_fd: bool| has_fd && ready.next().unwrap_or(false);
        self.is_world_ready |= next(world.fd().is_some());
        self.is_host_ready |= next(host.as_ref().is_some_and(|host| host.fd().is_some()));
        for one in receivers.iter_mut().filter(|one| !one.is_gone) {
            one.is_ready = next(one.receiver.fd().is_some());
        }
    }
}
