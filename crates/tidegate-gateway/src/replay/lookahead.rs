//! A few packets ahead: frames are read in batches, so that the engine can have
//! the flows of a whole batch fetched from memory at once.
//!
//! Batches change nothing but speed: packets come out one by one, in the order of
//! the capture, and a fault comes out after the packets before it.

use std::io::Read;

use tidegate_engine::Engine;
use tidegate_wire::pcap::{Capture, CaptureError, LinkType};

use super::ingress::Ingress;
use super::topology::World;

/// How many frames are read at once.
const BATCH: usize = 32;

/// Where packets come from.
pub(super) struct Lookahead {
    capture: Capture<Box<dyn Read>>,
    /// A batch, with the capture times of its frames in nanoseconds since 1970.
    batch: Vec<(u64, Ingress)>,
    /// How many of the batch are filled.
    filled: usize,
    /// The next of them to come out.
    next: usize,
    /// What ended reading, if it has ended.
    end: Option<Result<(), CaptureError>>,
    /// The link types seen so far, in the order of their first frames.
    links: Vec<LinkType>,
}

impl Lookahead {
    pub(super) fn new(capture: Capture<Box<dyn Read>>) -> Self {
        let batch = (0..BATCH).map(|_| (0, Ingress::default())).collect();
        Self { capture, batch, filled: 0, next: 0, end: None, links: Vec::new() }
    }

    /// Moves to the next packet and tells its time; `None` after the last one.
    pub(super) fn advance(
        &mut self,
        engine: &Engine,
        world: &World,
    ) -> Result<Option<u64>, CaptureError> {
        if self.next == self.filled {
            self.fill(world);
            let batch = self.batch[..self.filled].iter().map(|(_, ingress)| ingress);
            engine.prepare(batch.filter(|ingress| ingress.is_ip()).map(Ingress::datagram));
        }
        match self.batch[..self.filled].get(self.next) {
            Some((time, _)) => {
                self.next += 1;
                Ok(Some(*time))
            }
            None => self.end.replace(Ok(())).unwrap_or(Ok(())).map(|()| None),
        }
    }

    fn fill(&mut self, world: &World) {
        (self.filled, self.next) = (0, 0);
        while self.filled < BATCH && self.end.is_none() {
            match self.capture.next_frame() {
                Ok(Some(frame)) => {
                    if !self.links.contains(&frame.link) {
                        self.links.push(frame.link);
                    }
                    let (time, ingress) = &mut self.batch[self.filled];
                    *time = frame.time;
                    ingress.take(&frame, world);
                    self.filled += 1;
                }
                Ok(None) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error)),
            }
        }
    }

    /// The packet that [`Lookahead::advance`] moved to.
    pub(super) fn current(&self) -> &Ingress {
        &self.batch[self.next.saturating_sub(1)].1
    }

    pub(super) fn current_mut(&mut self) -> &mut Ingress {
        &mut self.batch[self.next.saturating_sub(1)].1
    }

    pub(super) fn links(&self) -> &[LinkType] {
        &self.links
    }

    /// How far into the capture reading has come, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.capture.offset()
    }
}
