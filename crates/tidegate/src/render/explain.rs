//! The way of one packet, step by step.

use std::fmt;

use tidegate_engine::event::Event;
use tidegate_engine::fib::{Fib, PortId};
use tidegate_engine::trace::Trace;
use tidegate_gateway::replay::run::START;
use tidegate_gateway::replay::{Arrival, Passed, Replay};
use tidegate_gateway::text::{PacketLine, Steps};

/// A packet that has passed, and what was noted on its way.
pub(crate) struct Explanation<'a> {
    /// The replay, right after the packet.
    pub(crate) replay: &'a Replay,
    /// The packet's arrival.
    pub(crate) arrival: Arrival,
    /// Its datagram as it arrived.
    pub(crate) before: Vec<u8>,
    /// Its steps.
    pub(crate) trace: Trace,
    /// What became of it.
    pub(crate) passed: Passed,
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arrival { index, at, port, .. } = self.arrival;
        let port = self.port_name(port);
        let since = at.saturating_sub(START).as_secs_f64();
        writeln!(f, "packet {index} at {since:.6} s, in by {port}")?;
        if self.passed.outcome.is_none() {
            return writeln!(f, "  no IP datagram in it: connection tracking never sees it");
        }
        writeln!(f, "  {}", PacketLine(&self.before))?;
        if self.replay.ingress().is_aged() {
            writeln!(f, "  (its TTL was below 2 and was raised for the replay)")?;
        }
        writeln!(f)?;
        Steps { steps: &self.trace.steps, fib: self.replay.world() }.fmt(f)?;
        self.fmt_left(f)
    }
}

impl<'a> Explanation<'a> {
    /// Lets the packet that has arrived pass, and watches it.
    pub(crate) fn watch(replay: &'a mut Replay, arrival: Arrival) -> Self {
        replay.keep_output(true);
        let before = replay.ingress().datagram().to_vec();
        let mut trace = Trace::default();
        let passed = replay.pass_traced(&mut |_: Event| {}, &mut trace);
        Self { replay, arrival, before, trace, passed }
    }

    fn port_name(&self, port: PortId) -> &str {
        &self.replay.world().port(port).name
    }

    fn fmt_left(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.replay.outbox().left().peekable();
        if left.peek().is_none() {
            return writeln!(f, "\nnothing left");
        }
        writeln!(f)?;
        for left in left {
            let (port, what) = (self.port_name(left.port), PacketLine(left.datagram));
            writeln!(f, "left by {port} ({}): {what}", left.origin.name())?;
        }
        Ok(())
    }
}
