//! A link in memory, for tests: what is put in at one end comes out at the other.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_engine::packet::Offload;

use super::{Capabilities, Counters, Frame, HEADROOM, Link, LinkLayer, Receiver, Sender};

/// A frame on its way, with what is left to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// From the link header on, where the link has one.
    pub bytes: Vec<u8>,
    /// What is left to do about it.
    pub offload: Offload,
}

/// The far end of a link: what somebody else on it does and sees.
#[derive(Clone, Debug, Default)]
pub struct FarEnd {
    to_us: Arc<Mutex<VecDeque<Parcel>>>,
    from_us: Arc<Mutex<VecDeque<Parcel>>>,
}

impl FarEnd {
    /// Sends a frame to our end.
    pub fn send(&self, bytes: Vec<u8>, offload: Offload) {
        locked(&self.to_us).push_back(Parcel { bytes, offload });
    }

    /// The next frame that our end has sent.
    #[must_use]
    pub fn receive(&self) -> Option<Parcel> {
        locked(&self.from_us).pop_front()
    }
}

/// A link that can do this, and its far end.
#[must_use]
pub fn link(capabilities: Capabilities) -> (Link, FarEnd) {
    let far = FarEnd::default();
    let receiver = MemReceiver {
        queue: Arc::clone(&far.to_us),
        header: capabilities.header,
        taken: Vec::new(),
        counters: Counters::default(),
    };
    let sender =
        MemSender { queue: Arc::clone(&far.from_us), capabilities, counters: Counters::default() };
    (Link { receiver: Box::new(receiver), sender: Box::new(sender) }, far)
}

struct MemReceiver {
    queue: Arc<Mutex<VecDeque<Parcel>>>,
    header: LinkLayer,
    taken: Vec<Parcel>,
    counters: Counters,
}

impl Receiver for MemReceiver {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn receive<'a>(&'a mut self, most: usize, frames: &mut Vec<Frame<'a>>) -> io::Result<()> {
        self.taken.clear();
        let mut queue = locked(&self.queue);
        let count = queue.len().min(most);
        for parcel in queue.drain(..count) {
            let bytes = [&[0; HEADROOM][..], &parcel.bytes].concat();
            self.taken.push(Parcel { bytes, ..parcel });
        }
        for Parcel { bytes, offload } in &mut self.taken {
            let place = (HEADROOM, bytes.len());
            let frame = match self.header {
                LinkLayer::Ethernet => Frame::ethernet(bytes, place),
                LinkLayer::Raw => Frame::raw(bytes, place),
            };
            match frame {
                Some(mut frame) => {
                    frame.offload = *offload;
                    frames.push(frame);
                }
                None => self.counters.damaged += 1,
            }
        }
        self.counters.received += frames.len() as u64;
        Ok(())
    }

    fn counters(&mut self) -> Counters {
        self.counters
    }
}

struct MemSender {
    queue: Arc<Mutex<VecDeque<Parcel>>>,
    capabilities: Capabilities,
    counters: Counters,
}

impl Sender for MemSender {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn send(&mut self, frames: &mut [Frame<'_>]) {
        let parcels = frames
            .iter()
            .map(|frame| Parcel { bytes: frame.bytes().to_vec(), offload: frame.offload });
        locked(&self.queue).extend(parcels);
        self.counters.sent += frames.len() as u64;
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// Whoever panicked with it has left it whole.
fn locked(queue: &Mutex<VecDeque<Parcel>>) -> std::sync::MutexGuard<'_, VecDeque<Parcel>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
