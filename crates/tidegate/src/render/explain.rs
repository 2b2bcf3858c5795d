//! The way of one packet, step by step.

use std::fmt;

use tidegate_engine::trace::Trace;
use tidegate_gateway::replay::run::START;
use tidegate_gateway::replay::{Arrival, Passed, Replay};
use tidegate_gateway::text::PacketLine;

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
        let port = tidegate_engine::fib::Fib::port(self.replay.world(), port);
        let since = at.saturating_sub(START).as_secs_f64();
        writeln!(f, "packet {index} at {since:.6} s, in by {}", port.name)?;
        if self.passed.outcome.is_none() {
            return writeln!(f, "  no IP datagram in it: connection tracking never sees it");
        }
        writeln!(f, "  {}", PacketLine(&self.before))?;
        if self.replay.ingress().is_aged() {
            writeln!(f, "  (its TTL was below 2 and was raised for the replay)")?;
        }
        writeln!(f)?;
        for step in &self.trace.steps {
            writeln!(f, "{step}")?;
        }
        self.fmt_left(f)
    }
}

impl Explanation<'_> {
    fn fmt_left(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.replay.outbox().left().peekable();
        if left.peek().is_none() {
            return writeln!(f, "\nnothing left");
        }
        writeln!(f)?;
        for left in left {
            let port = tidegate_engine::fib::Fib::port(self.replay.world(), left.port);
            let what = PacketLine(left.datagram);
            writeln!(f, "left by {} ({}): {what}", port.name, left.origin.name())?;
        }
        Ok(())
    }
}
