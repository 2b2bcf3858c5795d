//! A dump that is received while it is worked through.
//!
//! The kernel lists its table within the system calls of whoever asks, and a file is unpacked by whoever reads it. So a
//! thread that only receives has the next messages ready while the caller counts those before: on two processors
//! both take as long as the longer of them, not as their sum.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

use tidegate_wire::netlink::{Message, Messages, Writer};

use super::error::ClientError;
use super::{Request, Table};

impl Table {
    /// As [`Table::dump`], received by a thread of its own. It is ahead by a bounded number of messages.
    ///
    /// # Errors
    /// The table refuses, the conversation breaks off, `each` wants no more, or there is no thread to be had.
    pub(crate) fn dump_ahead<E: From<ClientError>>(
        &mut self,
        request: &Request,
        mut each: impl FnMut(&Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (full, batches) = sync_channel(AHEAD);
        let (back, spent) = sync_channel(AHEAD + 1);
        std::thread::scope(|scope| {
            let receive = || self.receive(request, Batches { full, spent, open: Vec::new() });
            let ear = Builder::new().spawn_scoped(scope, receive).map_err(ClientError::Broken)?;
            let worked = work(batches, &back, &mut each);
            let received = ear.join().unwrap_or(Err(ClientError::Closed));
            worked.and(received.map_err(E::from))
        })
    }

    fn receive(&mut self, request: &Request, mut batches: Batches) -> Result<(), ClientError> {
        self.dump(request, |message| batches.put(message))?;
        batches.hand_over()
    }
}

/// Messages on their way from one thread to the other, some at a time.
struct Batches {
    full: SyncSender<Vec<u8>>,
    /// Buffers that come back.
    spent: Receiver<Vec<u8>>,
    open: Vec<u8>,
}

impl Batches {
    fn put(&mut self, message: &Message<'_>) -> Result<(), ClientError> {
        Writer::new(&mut self.open).raw(message.header, message.payload);
        if self.open.len() < BATCH { Ok(()) } else { self.hand_over() }
    }

    fn hand_over(&mut self) -> Result<(), ClientError> {
        let mut next = self.spent.try_recv().unwrap_or_default();
        next.clear();
        next.reserve(BATCH + BATCH / 8);
        let full = std::mem::replace(&mut self.open, next);
        // Who wants no more hangs up.
        self.full.send(full).map_err(|_| ClientError::Closed)
    }
}

fn work<E: From<ClientError>>(
    batches: Receiver<Vec<u8>>,
    back: &SyncSender<Vec<u8>>,
    each: &mut impl FnMut(&Message<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for batch in batches {
        for message in Messages::new(&batch) {
            each(&message.map_err(ClientError::from)?)?;
        }
        // If there is no room for it, it isn't needed.
        let _ = back.try_send(batch);
    }
    Ok(())
}

/// So many batches wait at most.
const AHEAD: usize = 8;
/// Bytes of a batch: some hundred flows.
const BATCH: usize = 64 << 10;
