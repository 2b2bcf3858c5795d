//! What a session has to send: datagrams in order, and how many bytes they are.

use std::collections::VecDeque;

use tidegate_wire::netlink::Writer;

/// The longest datagram that gathers messages: conntrack(8) reads no longer ones.
const LONGEST: usize = 4096;

/// Datagrams that wait.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the last one may take more messages.
    is_open: bool,
    /// Kept for its memory.
    scratch: Vec<u8>,
}

/// So much may wait before nothing more is read or listed for the client.
const MARK: usize = 1 << 16;

impl Outbox {
    /// Whether enough waits already.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MARK
    }

    /// Adds what `write` writes as a datagram of its own.
    pub(super) fn send(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut datagram = Vec::new();
        write(&mut Writer::new(&mut datagram));
        self.push(datagram);
        self.is_open = false;
    }

    /// Adds the messages that `write` writes to those of the last datagram, if there is room.
    pub(super) fn gather(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        self.scratch.clear();
        write(&mut Writer::new(&mut self.scratch));
        let len = self.scratch.len();
        let fits = |last: &&mut Vec<u8>| last.len() + len <= LONGEST;
        match self.queue.back_mut().filter(|_| self.is_open).filter(fits) {
            Some(last) => {
                last.extend_from_slice(&self.scratch);
                self.bytes += len;
            }
            None => {
                let mut datagram = Vec::with_capacity(LONGEST.max(len));
                datagram.extend_from_slice(&self.scratch);
                self.push(datagram);
                self.is_open = true;
            }
        }
    }

    fn push(&mut self, datagram: Vec<u8>) {
        self.bytes += datagram.len();
        self.queue.push_back(datagram);
    }

    /// The next one to be sent.
    pub(super) fn front(&self) -> Option<&[u8]> {
        self.queue.front().map(Vec::as_slice)
    }

    /// The next one was sent.
    pub(super) fn pop(&mut self) {
        if let Some(datagram) = self.queue.pop_front() {
            self.bytes -= datagram.len();
        }
        self.is_open &= !self.queue.is_empty();
    }
}
