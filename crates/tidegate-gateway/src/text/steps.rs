//! A packet's way, step by step, for people: one that it took, or one that it would take.

use std::fmt;

use tidegate_engine::fib::{Fib, PortId, Route};
use tidegate_engine::packet::{Destination, Origin};
use tidegate_engine::trace::Step;
use tidegate_engine::verdict::Verdict;
use tidegate_engine::{Caveat, Rehearsal};

use super::PacketLine;

/// Steps, a line or a few each. Unlike all else here it ends in a line feed.
pub struct Steps<'a, F> {
    /// The steps.
    pub steps: &'a [Step],
    /// What knows the ports' names.
    pub fib: &'a F,
}

impl<F: Fib> fmt::Display for Steps<'_, F> {
    /// The steps of packets that the engine made on the way stand indented, up to their own verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_own = false;
        for step in self.steps {
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
}

impl<F: Fib> Steps<'_, F> {
    fn route(&self, route: &Route) -> String {
        match route {
            Route::Local { broadcast: false } => "route: to the router itself".to_owned(),
            Route::Local { broadcast: true } => "route: to the router among others".to_owned(),
            Route::Forward { port, next_hop } => {
                format!("route: out by {} to {next_hop}", self.fib.port(*port).name)
            }
            Route::Unreachable => "route: none".to_owned(),
            Route::Blackhole => "route: refused".to_owned(),
        }
    }
}

/// What would become of a packet. It ends in a line feed, too.
pub struct Prospect<'a, F> {
    /// The packet as it would come.
    pub datagram: &'a [u8],
    /// By which port.
    pub port: PortId,
    /// What would become of it.
    pub rehearsal: &'a Rehearsal,
    /// What knows the ports' names.
    pub fib: &'a F,
}

impl<F: Fib> fmt::Display for Prospect<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { datagram, port, rehearsal, fib } = self;
        writeln!(f, "in by {}", fib.port(*port).name)?;
        writeln!(f, "  {}\n", PacketLine(datagram))?;
        Steps { steps: &rehearsal.trace.steps, fib: *fib }.fmt(f)?;
        writeln!(f)?;
        self.fmt_left(f)?;
        match rehearsal.caveat {
            None => Ok(()),
            Some(caveat @ (Caveat::Fragment | Caveat::Crowd)) => writeln!(f, "\nnote: {caveat}"),
        }
    }
}

impl<F: Fib> Prospect<'_, F> {
    fn fmt_left(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rehearsal { outcome, datagram, outputs, .. } = self.rehearsal;
        let own = match outcome.verdict {
            Verdict::Forward { port, .. } => Some((port, "fwd", datagram)),
            Verdict::Drop(_) | Verdict::Local | Verdict::Held | Verdict::Queued(_) => None,
        };
        let others = outputs.iter().filter_map(|output| match output.destination {
            Destination::Port { port, .. } => Some((port, name(output.origin), &output.bytes)),
            Destination::Host => None,
        });
        let mut left = own.into_iter().chain(others).peekable();
        if left.peek().is_none() {
            return writeln!(f, "nothing would leave");
        }
        for (port, why, bytes) in left {
            let port = &self.fib.port(port).name;
            writeln!(f, "would leave by {port} ({why}): {}", PacketLine(bytes))?;
        }
        Ok(())
    }
}

/// As records have it.
fn name(origin: Origin) -> &'static str {
    match origin {
        Origin::Forwarded => "fwd",
        Origin::Reject => "reject",
        Origin::Router => "router",
        Origin::Synproxy => "SYNPROXY",
    }
}
