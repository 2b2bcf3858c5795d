//! The four rings between an AF_XDP socket and the kernel: each has one side that produces and one that consumes, and two
//! counters that only grow.
#![expect(unsafe_code, reason = "the rings are memory that is shared with the kernel")]

use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::system::Shared;

/// What the kernel says of a ring's places.
pub(super) type Offsets = libc::xdp_ring_offset;

/// A ring of `T`, which is an address or a descriptor: plain integers. We are on one of its sides.
pub(super) struct Ring<T> {
    memory: Shared,
    offsets: Offsets,
    size: u32,
    /// Our own counter, ahead of what the other side has been told.
    own: u32,
    kind: PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        place: u64,
        offsets: Offsets,
        size: u32,
    ) -> io::Result<Self> {
        let len = offsets.desc as usize + size as usize * size_of::<T>();
        let memory = Shared::map(socket, place, len)?;
        Ok(Self { memory, offsets, size, own: 0, kind: PhantomData })
    }

    fn counter(&self, offset: u64) -> &AtomicU32 {
        // SAFETY: the kernel keeps a counter of four bytes there, aligned, and both sides access it as an atomic.
        unsafe { AtomicU32::from_ptr(self.memory.at(offset as usize).cast()) }
    }

    fn place(&self, number: u32) -> *mut T {
        let at = (number & (self.size - 1)) as usize * size_of::<T>();
        self.memory.at(self.offsets.desc as usize + at).cast()
    }

    /// Whether the kernel waits to be told that there is something.
    pub(super) fn wants_waking(&self) -> bool {
        self.counter(self.offsets.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    /// Produces one, which is not shown yet; whether there was room.
    pub(super) fn push(&mut self, item: T) -> bool {
        let consumer = self.counter(self.offsets.consumer).load(Ordering::Acquire);
        if self.own.wrapping_sub(consumer) >= self.size {
            return false;
        }
        // SAFETY: the place is ours: the consumer is past it, and has not been shown it again.
        unsafe { self.place(self.own).write(item) };
        self.own = self.own.wrapping_add(1);
        true
    }

    /// Shows the consumer what was produced.
    pub(super) fn show(&self) {
        self.counter(self.offsets.producer).store(self.own, Ordering::Release);
    }

    /// How many were shown, and not consumed yet.
    pub(super) fn waiting(&self) -> u32 {
        self.own.wrapping_sub(self.counter(self.offsets.consumer).load(Ordering::Acquire))
    }

    /// Consumes one, if there is any.
    pub(super) fn pop(&mut self) -> Option<T> {
        let producer = self.counter(self.offsets.producer).load(Ordering::Acquire);
        if self.own == producer {
            return None;
        }
        // SAFETY: the producer has shown it, and will not write there before it is given back.
        let item = unsafe { self.place(self.own).read() };
        self.own = self.own.wrapping_add(1);
        Some(item)
    }

    /// Gives the producer back what was consumed.
    pub(super) fn give_back(&self) {
        self.counter(self.offsets.consumer).store(self.own, Ordering::Release);
    }
}
