//! Events as `conntrack -E -o timestamp` prints them, under the capture's clock.

use std::io::{self, Write};

use tidegate_engine::event::Event;
use tidegate_gateway::replay::Replay;
use tidegate_gateway::text::Announcement;

/// Writes the events that were heard, and forgets them.
pub(crate) fn write(
    out: &mut impl Write,
    replay: &Replay,
    heard: &mut Vec<Event>,
) -> io::Result<()> {
    for event in heard.drain(..) {
        // `conntrack -E` is about flows; it takes another call to hear of expectations.
        let Event::Flow(event) = event else { continue };
        let at = replay.wall_clock(event.at);
        let (seconds, micros) = (at / 1_000_000_000, at / 1000 % 1_000_000);
        writeln!(out, "[{seconds}.{micros:06}]\t{}", Announcement(&event))?;
    }
    Ok(())
}
