//! Listening to flows that come: how many, from whom.
//!
//! A flow that began while nobody listened ends without an event, so those that go are not listened to: they are those
//! that came, less the growth of the table.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::conntrack::{group, message};

use super::super::census::{Heavy, Source};
use super::super::facts::Arrivals;
use crate::client::{ClientError, Flow, Heard, Place, Table};

/// Listens for a while, on a thread of its own, in the namespace of the calling one.
pub(super) fn listen(
    place: Place,
    span: Duration,
) -> Option<JoinHandle<Result<Arrivals, ClientError>>> {
    thread::Builder::new().spawn(move || hear(&place, span)).ok()
}

fn hear(place: &Place, span: Duration) -> Result<Arrivals, ClientError> {
    let mut table = Table::subscribe(place, 1 << (group::NEW - 1), None, |_| {})?;
    let watch = Stopwatch::start();
    let mut heard = Arrivals { new: 0, span, is_lossy: false, sources: Heavy::new(ROOM) };
    while watch.elapsed() < span && heard.new < ENOUGH {
        table.listen(|news| heard.take(&news))?;
    }
    heard.span = watch.elapsed();
    Ok(heard)
}

impl Arrivals {
    fn take(&mut self, news: &Heard<'_>) -> Result<(), ClientError> {
        match news {
            Heard::Gap(_) => self.is_lossy = true,
            Heard::Message(message, _) => {
                let is_new =
                    message.header.subsystem().is_some_and(|(_, kind)| kind == message::NEW);
                let flow = Flow::parse(message)?;
                if let Some(source) = flow.tuples[0].src.filter(|_| is_new) {
                    self.new += 1;
                    self.sources.count(Source::of(source));
                }
            }
        }
        Ok(())
    }
}

/// Sources that are sure to be told apart.
const ROOM: usize = 1024;
/// After so many the rate is known.
const ENOUGH: u64 = 100_000;
