//! Work that goes through the whole table: it is done some flows at a time, whenever deadlines are seen to.
//!
//! Two things cause it. A packet that found the table full has the collector come, which takes what is closing or was
//! never assured while the table is nearly full; and where an address or an interface has gone, so have the flows that
//! were masqueraded as it. A flow that comes into being meanwhile may be passed over, as in Linux.

use alloc::collections::VecDeque;
use core::net::IpAddr;
use core::time::Duration;

use super::Engine;
use crate::command::Cursor;
use crate::fib::PortId;
use crate::flow::{Flow, Status};
use crate::time::Instant;
use crate::tuple::Direction;

/// What is still to be done.
#[derive(Debug, Default)]
pub(crate) struct Errands {
    pub(super) waiting: VecDeque<Errand>,
    /// How far the first of them has come.
    cursor: Cursor,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The collector comes.
    Collect {
        /// Not before this.
        at: Instant,
    },
    /// Flows that were masqueraded on a port have no way back.
    Masquerade {
        port: PortId,
        /// As this address only.
        addr: Option<IpAddr>,
    },
}

/// How long a full table waits for the collector. Linux: at most that long, and as little as a second
/// (`GC_SCAN_INTERVAL_MAX`).
const COLLECTOR: Duration = Duration::from_secs(60);

/// More errands than this are not kept: each may look at every flow there is.
const LIMIT: usize = 1024;

impl Engine {
    /// A port has lost an address, or (`None`) has gone down: flows that were masqueraded as it end, with the events
    /// of a deletion. [`Engine::handle_timeout`] does that, from the next call on. Whether it will: too many such
    /// requests at a time are refused. Linux: `masq_inet_event`, `masq_device_event`.
    pub fn forget_masquerade(&mut self, port: PortId, addr: Option<IpAddr>) -> bool {
        let errand = Errand::Masquerade { port, addr };
        let is_kept = self.errands.waiting.len() < LIMIT;
        // One that has begun has passed flows by already.
        let begun = usize::from(self.errands.cursor != Cursor::default());
        if is_kept && !self.errands.waiting.iter().skip(begun).any(|known| *known == errand) {
            self.errands.waiting.push_back(errand);
        }
        is_kept
    }

    /// Has the collector come. Linux: `nf_conntrack_gc_work.early_drop`.
    pub(crate) fn call_collector(&mut self, now: Instant) {
        let is_called = |errand: &Errand| matches!(errand, Errand::Collect { .. });
        if !self.errands.waiting.iter().any(is_called) {
            self.errands.waiting.push_back(Errand::Collect { at: now + COLLECTOR });
        }
    }

    /// When the next errand is due; one that has begun is due at once.
    pub(super) fn next_errand(&self) -> Option<Instant> {
        let due = |errand: &Errand| match *errand {
            Errand::Collect { at } => at,
            Errand::Masquerade { .. } => Instant::ZERO,
        };
        self.errands.waiting.iter().map(due).min()
    }

    /// Looks at no more than `left` flows, and counts it down.
    pub(super) fn run_errands(&mut self, now: Instant, left: &mut usize) {
        while *left > 0
            && let Some(index) = self.due_errand(now)
        {
            // The one that is due is brought to the front, and goes on from where it was.
            self.errands.waiting.swap(0, index);
            let Some(errand) = self.errands.waiting.front().copied() else { return };
            if self.run(now, errand, left) {
                self.errands.waiting.pop_front();
                self.errands.cursor = Cursor::default();
            }
        }
    }

    /// The first one that is due; the collector waits for its time, the others for nothing.
    fn due_errand(&self, now: Instant) -> Option<usize> {
        self.errands.waiting.iter().position(|errand| match *errand {
            Errand::Collect { at } => at <= now,
            Errand::Masquerade { .. } => true,
        })
    }

    /// Goes on with an errand; whether it is done.
    fn run(&mut self, now: Instant, errand: Errand, left: &mut usize) -> bool {
        let mut cursor = self.errands.cursor;
        while *left > 0
            && !cursor.is_at_end()
            && let Some((id, flow)) = self.step_on(now, &mut cursor, left)
        {
            if self.concerns(&errand, &flow) {
                self.table.kill(id, now, &mut self.events);
            }
        }
        self.errands.cursor = cursor;
        cursor.is_at_end()
    }

    fn concerns(&self, errand: &Errand, flow: &Flow) -> bool {
        match *errand {
            Errand::Collect { .. } => {
                let is_spared = flow.is(Status::ASSURED) && !flow.proto.is_closing();
                !is_spared && self.is_nearly_full()
            }
            Errand::Masquerade { port, addr } => {
                let own = flow.tuple(Direction::Reply).dst;
                flow.masquerade_port == Some(port) && addr.is_none_or(|addr| addr == own)
            }
        }
    }

    /// Linux: `nf_conntrack_max95`.
    fn is_nearly_full(&self) -> bool {
        let most = self.flow_limit().unwrap_or(0) / 100 * 95;
        most > 0 && self.table.len() >= most
    }
}
