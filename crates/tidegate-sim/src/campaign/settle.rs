//! What hangs on the moment at which the kernel saw a packet, and is no difference.
//!
//! That moment is measured, but not to the point: all that is certain of it is a [`Reading`]. An entry that expires within
//! it was still there for one who read the clock early, and gone for one who read it late. So if the engine differs, it is
//! told other times, each within its reading and none before the one ahead of it. If it does with some of them all that
//! the kernel did, the record is no evidence of a difference. What differs with all times that were tried stays one, and so does
//! every difference that no reading reaches. Nor does a reading settle anything that is wider than [`SHARP`], as of a packet during
//! which the machine stood still: a time-out that is wrong by as much would go for one.

use std::time::Duration;

use super::kernel::Reading;

/// Where something differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The first packet whose record differs; the number of packets is the end.
    pub(super) packet: usize,
    /// Earlier packets that have to do with it.
    pub(super) concerned: Vec<usize>,
}

/// The times within `readings`, of the packets and of the end, with which the first difference comes last of all that were
/// tried. `judge` tells where that is, or `None` if nothing differs.
pub(super) fn settle(
    readings: &[Reading],
    judge: &mut dyn FnMut(&[Duration]) -> Option<Doubt>,
) -> Vec<Duration> {
    let mut times: Vec<Duration> = readings.iter().map(|reading| reading.likely).collect();
    let mut doubt = judge(&times);
    let mut attempts = 0;
    while let Some(at) = doubt.take() {
        for other in others(readings, &times, &at) {
            attempts += 1;
            let next = judge(&other);
            if next.as_ref().is_none_or(|next| next.packet > at.packet) {
                (times, doubt) = (other, next);
                break;
            }
        }
        if attempts > ATTEMPTS {
            break;
        }
    }
    times
}

/// Other times to try: those of the packet behind the difference, which ends what is told of it; of the packet itself; of
/// what it has to do with; and of that and the packet behind, one early and one late.
fn others(readings: &[Reading], times: &[Duration], doubt: &Doubt) -> Vec<Vec<Duration>> {
    let last = readings.len().saturating_sub(1);
    let behind = last.min(doubt.packet + 1);
    let moved = |packet: usize, time| moved(times, packet, time);
    let is_sharp = |packet: &usize| readings[*packet].width() <= SHARP;
    let concerned = || doubt.concerned.iter().copied().filter(is_sharp);
    let next = [behind, last.min(doubt.packet)].into_iter().filter(is_sharp);
    let singles = next.chain(concerned()).flat_map(|packet| {
        let Reading { earliest, latest, .. } = readings[packet];
        [earliest, latest, (earliest + latest) / 2].map(|time| moved(packet, time))
    });
    let pairs = concerned().filter(|_| is_sharp(&behind)).flat_map(|packet| {
        let (first, second) = (readings[packet], readings[behind]);
        let apart = self::moved(&moved(packet, first.earliest), behind, second.latest);
        let together = self::moved(&moved(packet, first.latest), behind, second.earliest);
        [apart, together]
    });
    singles.chain(pairs).collect()
}

/// The times with another one for `packet`. Those before it that would be later come then, too, and so do those behind it
/// that would be earlier; both are within their readings, as readings begin and end in the packets' order.
fn moved(times: &[Duration], packet: usize, time: Duration) -> Vec<Duration> {
    let before = times[..packet].iter().map(|earlier| *earlier.min(&time));
    let behind = times[packet + 1..].iter().map(|later| *later.max(&time));
    before.chain([time]).chain(behind).collect()
}

/// Three ticks, where 250 are a second, and 20 ms.
pub(super) const SHARP: Duration = Duration::from_millis(32);
/// Enough for a dozen differences.
const ATTEMPTS: usize = 300;

#[cfg(test)]
mod tests;
