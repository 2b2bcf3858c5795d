//! The way of one packet, step by step.

use std::fmt;

use tidegate_engine::event::Event;
use tidegate_engine::fib::{Fib, PortId, Route};
use tidegate_engine::trace::{Step, Trace};
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
        self.fmt_steps(f)?;
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

    /// The steps of packets that the engine made on the way stand indented, up
    /// to their own verdict.
    fn fmt_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_own = false;
        for step in &self.trace.steps {
            let text = match step {
                Step::Routed(route) => format!("  {}", self.route(route)),
                step => step.to_string(),
            };
            let indent = if is_own { "    " } else { "" };
            for line in text.lines() {
                writeln!(f, "{indent}{line}")?;
            }
            is_own = match step {
                Step::Generated(_) => true,
                Step::Verdict(_) => false,
                _ => is_own,
            };
        }
        Ok(())
    }

    fn route(&self, route: &Route) -> String {
        match route {
            Route::Local { broadcast: false } => "route: to the router itself".to_owned(),
            Route::Local { broadcast: true } => "route: to the router among others".to_owned(),
            Route::Forward { port, next_hop } => {
                format!("route: out by {} to {next_hop}", self.port_name(*port))
            }
            Route::Unreachable => "route: none".to_owned(),
            Route::Blackhole => "route: refused".to_owned(),
        }
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
