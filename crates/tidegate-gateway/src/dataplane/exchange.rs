//! What workers send each other: packets that another one goes on with, and what he has to know.
//!
//! Each worker has a box for packets and one for notices, and a bell. The box for packets is of a bounded size, and
//! whoever finds it full drops the packet, which is counted unless the engine has made it itself. That for notices takes
//! all of them, as none may be lost: a worker empties it with every turn, so that it never holds more than what the others
//! have done during one turn of his and, if that failed, the pause that follows.
//! Nobody ever waits for anybody, so that no two can wait for each other.
//!
//! The order in which a worker does things is told at the head of `engine/team.rs`. Notices of one worker are put into a
//! box in the order in which it said them, since whoever does so holds that worker's engine.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};

use rustix::event::{EventfdFlags, eventfd};
use tidegate_engine::Engine;
use tidegate_engine::steer::{Notice, Parcel};

/// As many packets wait for a worker.
const ROOM: usize = 1024;

/// The boxes and bells of all workers.
#[derive(Debug, Default)]
pub struct Exchange {
    addresses: Vec<Address>,
}

#[derive(Debug)]
struct Address {
    parcels: SyncSender<Parcel>,
    notices: Sender<(usize, Notice)>,
    bell: Bell,
}

/// A worker's own side of it.
#[derive(Debug)]
pub struct Mail {
    own: usize,
    exchange: Arc<Exchange>,
    parcels: Receiver<Parcel>,
    notices: Receiver<(usize, Notice)>,
}

impl Exchange {
    /// Between so many workers; with each one's side, by their numbers.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn between(workers: usize) -> io::Result<(Arc<Self>, Vec<Mail>)> {
        let (mut addresses, mut boxes) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let ((to_parcels, parcels), (to_notices, notices)) = (sync_channel(ROOM), channel());
            let bell = Bell::new()?;
            addresses.push(Address { parcels: to_parcels, notices: to_notices, bell });
            boxes.push((parcels, notices));
        }
        let exchange = Arc::new(Self { addresses });
        let mail = |(own, (parcels, notices))| Mail {
            own,
            exchange: Arc::clone(&exchange),
            parcels,
            notices,
        };
        let mails = boxes.into_iter().enumerate().map(mail).collect();
        Ok((exchange, mails))
    }

    /// A worker's bell; `None` if there is no such worker.
    #[must_use]
    pub fn bell(&self, worker: usize) -> Option<&Bell> {
        self.addresses.get(worker).map(|address| &address.bell)
    }

    /// Passes on all that a worker's engine has to tell.
    pub fn tell(&self, own: usize, engine: &mut Engine) {
        while let Some((to, notice)) = engine.poll_notice() {
            if let Some(address) = self.addresses.get(to) {
                // Who is gone needs to know nothing.
                let _ = address.notices.send((own, notice));
                address.bell.ring();
            }
        }
    }

    /// Passes on all packets that others go on with.
    pub fn hand_over(&self, engine: &mut Engine) {
        while let Some((to, parcel)) = engine.poll_parcel() {
            let Some(address) = self.addresses.get(to) else { continue };
            match address.parcels.try_send(parcel) {
                Ok(()) => address.bell.ring(),
                Err(TrySendError::Full(parcel) | TrySendError::Disconnected(parcel)) => {
                    engine.lose(&parcel);
                }
            }
        }
    }
}

impl Mail {
    /// That of an engine that is alone.
    #[must_use]
    pub fn nobody() -> Self {
        let ((_, parcels), (_, notices)) = (sync_channel(1), channel());
        Self { own: 0, exchange: Arc::default(), parcels, notices }
    }

    /// Tells an engine all that the others have said.
    #[inline]
    pub fn heed(&self, engine: &mut Engine) {
        for (from, notice) in self.notices.try_iter() {
            engine.heed(from, &notice);
        }
    }

    /// Takes the packets that have been handed over, `most` at the most.
    #[must_use]
    pub fn take(&self, most: usize) -> Vec<Parcel> {
        self.parcels.try_iter().take(most).collect()
    }

    /// See [`Exchange::tell`].
    #[inline]
    pub fn tell(&self, engine: &mut Engine) {
        self.exchange.tell(self.own, engine);
    }

    /// See [`Exchange::hand_over`].
    #[inline]
    pub fn hand_over(&self, engine: &mut Engine) {
        self.exchange.hand_over(engine);
    }
}

/// What wakes somebody who sleeps until a descriptor of his can be read.
///
/// Who rings notes it first and looks then whether the other one sleeps; who goes to sleep says so first and looks then
/// whether it was noted. So one of them sees what the other has done.
#[derive(Debug)]
pub struct Bell {
    fd: OwnedFd,
    /// Since it was last looked at.
    was_rung: AtomicBool,
    is_asleep: AtomicBool,
}

impl Bell {
    /// A bell that nobody has rung.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { fd, was_rung: AtomicBool::new(false), is_asleep: AtomicBool::new(false) })
    }

    /// Rings it.
    pub fn ring(&self) {
        self.was_rung.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::Relaxed) {
            // What can't be written has been, often enough.
            let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
        }
    }

    /// From now on only what is new counts: whoever calls it looks into all boxes afterwards.
    pub fn hush(&self) {
        // What was put there before it was rung is seen after this.
        self.was_rung.swap(false, Ordering::AcqRel);
    }

    /// Announces sleep; whether it may come. What was rung before [`Bell::hush`] has been seen to.
    #[must_use]
    pub fn doze(&self) -> bool {
        self.is_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let may_sleep = !self.was_rung.load(Ordering::Relaxed);
        if !may_sleep {
            self.is_asleep.store(false, Ordering::Relaxed);
        }
        may_sleep
    }

    /// Sleep is over.
    pub fn rise(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
    }

    /// Whether somebody sleeps by it.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.is_asleep.load(Ordering::Relaxed)
    }

    /// What becomes readable when it is rung in somebody's sleep.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
