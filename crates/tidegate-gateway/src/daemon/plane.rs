//! Where a daemon's packets come from, and where they go.

use std::io::Read;
use std::os::fd::BorrowedFd;

use serde::Deserialize;
use tidegate_engine::Engine;
use tidegate_engine::fib::{Fib, PortId};
use tidegate_engine::time::Instant;
use tidegate_wire::pcap::{Capture, CaptureError, Frame};

use crate::dataplane::Mail;
use crate::dataplane::feed::{FedFrame, Feed};
use crate::replay::ingress::Ingress;
use crate::replay::topology::{Passage, World};
use crate::replay::{Cause, Fault};

/// A source of packets, with the world that they come from. It hands them to the engine itself, as it thinks best, and
/// sends what leaves.
pub trait DataPlane {
    /// What answers the engine's questions about routes.
    type World: Fib;

    /// The world as it is now.
    fn world(&self) -> &Self::World;

    /// From now on it is one of several workers', who write to each other by this. Whose packets can't be shared is never
    /// asked to.
    fn join(&mut self, _mail: Mail) {}

    /// The port of a name; without one, that by which packets usually come.
    fn port(&self, name: Option<&str>) -> Option<PortId>;

    /// Takes packets that are there through the engine, `most` at the most, and sends what the engine has for others;
    /// how many there were.
    ///
    /// # Errors
    /// No more can be read; what was read has been processed.
    fn turn(&mut self, engine: &mut Engine, now: Instant, most: usize) -> Result<usize, Fault>;

    /// Why there can be no more packets, if there can't: whoever goes on would only seem to work.
    fn lost(&mut self) -> Option<Fault> {
        None
    }

    /// What an operator should know of where packets come from and go to, once each.
    fn remarks(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The number of a port's interface, as the world knows it.
    fn index(&self, port: PortId) -> u32 {
        u32::from(port.0) + 1
    }

    /// When it must have a turn, even if there are no packets.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// When there will be more packets, if none is there now.
    fn readiness(&self) -> Readiness<'_>;

    /// Which of the descriptors of [`DataPlane::readiness`], in their order, have been found ready since. What was not
    /// need not be looked at with every turn.
    fn woken(&mut self, _ready: &[bool]) {}
}

/// When there will be packets.
#[derive(Clone, Debug)]
pub enum Readiness<'a> {
    /// At this time.
    At(Instant),
    /// When one of these can be read.
    When(Vec<BorrowedFd<'a>>),
    /// Never.
    Never,
}

/// No packets at all: an engine for what an operator does by hand.
#[derive(Debug)]
pub struct NoPackets {
    world: World,
    mail: Mail,
}

impl Default for NoPackets {
    fn default() -> Self {
        Self { world: World::Passage(Passage::default()), mail: Mail::nobody() }
    }
}

impl DataPlane for NoPackets {
    type World = World;

    fn world(&self) -> &World {
        &self.world
    }

    fn join(&mut self, mail: Mail) {
        self.mail = mail;
    }

    fn port(&self, name: Option<&str>) -> Option<PortId> {
        self.world.port_of(name)
    }

    fn turn(&mut self, engine: &mut Engine, _: Instant, _: usize) -> Result<usize, Fault> {
        self.mail.heed(engine);
        discard(engine);
        Ok(0)
    }

    fn readiness(&self) -> Readiness<'_> {
        Readiness::Never
    }
}

/// How fast a capture is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// As fast as the engine takes it.
    AtOnce,
    /// As it was recorded.
    AsRecorded,
}

/// The packets of a capture, each of them forwarded, as in a replay of a plain capture. What leaves goes nowhere.
pub struct CapturePlane {
    world: World,
    source: Source,
    /// How messages call it.
    file: String,
    pace: Pace,
    /// The packet that comes next, and when.
    next: Option<(Ingress, Instant)>,
    /// The time of the first packet in the capture, and of its arrival here.
    began: Option<(u64, Instant)>,
    is_at_end: bool,
}

/// Where a capture is read.
enum Source {
    /// Here, without waiting for anybody.
    Capture(Capture<Box<dyn Read + Send>>),
    /// By a thread, which keeps the pace as well.
    Feed(Feed),
}

impl Source {
    /// The next frame, handed to `take`; whether there was one. `None`: there will be no more.
    fn next(&mut self, take: impl FnOnce(&Frame<'_>)) -> Result<Option<bool>, CaptureError> {
        match self {
            Self::Capture(capture) => {
                let frame = capture.next_frame()?;
                Ok(frame.map(|frame| take(&frame)).map(|()| true))
            }
            Self::Feed(feed) => match feed.take().transpose()? {
                Some(FedFrame { time, link, data, orig_len }) => {
                    take(&Frame { time, link, interface: 0, data: &data, orig_len });
                    Ok(Some(true))
                }
                None => Ok((!feed.is_at_end()).then_some(false)),
            },
        }
    }
}

impl CapturePlane {
    /// The packets of a capture that messages call `file`.
    #[must_use]
    pub fn new(capture: Capture<Box<dyn Read + Send>>, file: String, pace: Pace) -> Self {
        Self::of(Source::Capture(capture), file, pace)
    }

    /// The packets that a thread reads, at its pace.
    #[must_use]
    pub fn fed(feed: Feed, file: String) -> Self {
        Self::of(Source::Feed(feed), file, Pace::AtOnce)
    }

    fn of(source: Source, file: String, pace: Pace) -> Self {
        let world = World::Passage(Passage::default());
        Self { world, source, file, pace, next: None, began: None, is_at_end: false }
    }

    /// Reads the next packet; its buffer is used again.
    fn read(&mut self, mut buffer: Ingress, now: Instant) -> Result<(), Fault> {
        let (world, mut time) = (&self.world, 0);
        let found = self.source.next(|frame| {
            time = frame.time;
            buffer.take(frame, world);
        });
        match found {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return Ok(()),
            Ok(None) => {
                self.is_at_end = true;
                return Ok(());
            }
            Err(error) => {
                self.is_at_end = true;
                return Err(Fault::of(&self.file, Cause::Capture(error)));
            }
        }
        let (first, start) = *self.began.get_or_insert((time, now));
        let offset = std::time::Duration::from_nanos(time.saturating_sub(first));
        let due = match self.pace {
            Pace::AtOnce => now,
            Pace::AsRecorded => start + offset,
        };
        self.next = Some((buffer, due));
        Ok(())
    }
}

impl DataPlane for CapturePlane {
    type World = World;

    fn world(&self) -> &World {
        &self.world
    }

    fn port(&self, name: Option<&str>) -> Option<PortId> {
        self.world.port_of(name)
    }

    fn turn(&mut self, engine: &mut Engine, now: Instant, most: usize) -> Result<usize, Fault> {
        let mut count = 0;
        while count < most && !self.is_at_end {
            if self.next.is_none() {
                self.read(Ingress::default(), now)?;
            }
            let Some((mut ingress, _)) = self.next.take_if(|(_, due)| *due <= now) else { break };
            if ingress.is_ip() {
                engine.process(now, &mut ingress.packet(), &self.world);
                discard(engine);
            }
            count += 1;
            self.read(ingress, now)?;
        }
        Ok(count)
    }

    fn readiness(&self) -> Readiness<'_> {
        match (&self.next, &self.source) {
            (Some((_, due)), _) => Readiness::At(*due),
            (None, Source::Feed(feed)) if !self.is_at_end => Readiness::When(vec![feed.fd()]),
            (None, Source::Capture(_) | Source::Feed(_)) => Readiness::Never,
        }
    }
}

/// Lets go of what would be sent.
fn discard(engine: &mut Engine) {
    while engine.poll_output().is_some() {}
}
