//! Taking over a flow of another engine's table.

use super::flow::{apply, check_tuples, deadline};
use super::{Change, CommandError, Creation, Done};
use crate::engine::Engine;
use crate::fib::PortId;
use crate::flow::{Counter, FlowId, Status};
use crate::synproxy::Proxy;
use crate::time::Instant;

/// A flow as another engine had it.
#[derive(Clone, Copy, Debug)]
pub struct Resumed<'a> {
    /// Its tuples, in which it is translated already; its zone, helper, mark, labels and corrections, what its tracker
    /// remembers, how long it has still to live, and its master. A helper or a master that isn't there is left out.
    pub flow: Creation<'a>,
    /// Its status.
    pub status: Status,
    /// What it has counted, if it counts.
    pub counters: Option<[Counter; 2]>,
    /// What SYNPROXY remembers, if it is behind that.
    pub proxy: Option<Proxy>,
    /// The interface that it is masqueraded on.
    pub masquerade_port: Option<PortId>,
}

/// What is taken over of a status; the rest follows from the flow itself.
const KEPT: Status = Status::EXPECTED
    .union(Status::SEEN_REPLY)
    .union(Status::ASSURED)
    .union(Status::NAT)
    .union(Status::NAT_DONE)
    .union(Status::SEQ_ADJUST)
    .union(Status::FIXED_TIMEOUT)
    .union(Status::HELPER);

impl Engine {
    /// Takes over a flow that another engine had, and announces nothing: nothing has happened to it. Windows of TCP are
    /// learnt anew from its next packets. Unlike [`Engine::create`] it ends no other flow to make room.
    ///
    /// # Errors
    /// [`CommandError::NoMemory`], [`CommandError::Invalid`] (no timeout, protocols that differ, what can't be answered),
    /// [`CommandError::Range`] (no such state), [`CommandError::Exists`], [`CommandError::NoSpace`].
    pub fn resume(&mut self, now: Instant, what: &Resumed<'_>) -> Done<FlowId> {
        let Creation { orig, reply, zone, with, master, .. } = &what.flow;
        check_tuples(orig, reply)?;
        if !self.has_room() {
            return Err(CommandError::NoMemory);
        }
        let timeout = with.timeout.ok_or(CommandError::Invalid)?;
        let mut flow = self.plain_flow(now, (*orig, *reply, *zone));
        let mut care = self.begin_care(&mut flow, with.helper).unwrap_or_default();
        flow.status |= what.status & KEPT;
        flow.deadline = deadline(now, timeout);
        flow.masquerade_port = what.masquerade_port;
        flow.acct = flow.acct.map(|none| what.counters.unwrap_or(none));
        care.corrections = with.corrections.map(Option::unwrap_or_default);
        if let Some(proxy) = what.proxy {
            (flow.is_proxied, care.proxy) = (true, proxy);
        }
        apply(&mut flow, &Change { helper: None, timeout: None, status: None, ..*with })?;
        if let Some(master) = master {
            // It may have ended since.
            let _ = self.attach(now, &mut flow, &mut care, master);
        }
        self.insert(now, flow, care).map(|(id, _)| id)
    }
}
