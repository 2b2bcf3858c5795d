//! The usual segment, taken on the table's own words.
//!
//! [`Usual`] knows what nearly every segment is: an acknowledgement, with data or without, of an
//! established connection, within both windows and without selective acknowledgements. Of that it
//! changes what `judge` would change, to the bit, by the arithmetic of `words`; for whatever else `judge` is asked.
//! The property test below holds the two against each other.

use super::words::{Header, count_repeats, slide, state_after, timeout};
use super::{SegmentKind, TcpState, step, turn::turn};
use crate::limits::{Limits, Timeout};
use crate::rules::ExpressProto;
use crate::track::{Cells, Express, Life, Plain};
use crate::tuple::Direction;

const ESTABLISHED: u8 = TcpState::Established as u8;

/// Usual segments that fit.
pub(crate) enum Usual {}

impl Express for Usual {
    const PROTO: ExpressProto = ExpressProto::Tcp;
    const HEADER: usize = 20;

    /// Has ACK and none of SYN, FIN and RST.
    #[inline(always)]
    fn may_take(upper: &[u8]) -> bool {
        const FIN_SYN_RST_ACK: u8 = 0x17;
        const ACK: u8 = 0x10;
        upper.get(13).is_some_and(|flags| flags & FIN_SYN_RST_ACK == ACK)
    }

    #[inline(always)]
    fn is_up(cells: &Cells) -> bool {
        cells.state & 0x0f == ESTABLISHED
    }

    #[inline(always)]
    fn take(cells: &mut Cells, segment: &Plain<'_>) -> Option<Timeout> {
        take(cells, segment.payload, segment.dir, segment.limits)
    }

    #[inline(always)]
    fn first(cells: &mut Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()> {
        step::first(cells, life, segment)
    }

    #[inline(always)]
    fn turn(cells: &mut Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()> {
        step::take(cells, life, segment)
    }

    #[inline(always)]
    fn turn_anyhow(cells: &mut Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()> {
        turn(cells, life, segment)
    }
}

/// Never inlined, as it needs all registers there are.
#[inline(never)]
fn take(cells: &mut Cells, payload: &[u8], dir: Direction, limits: &Limits) -> Option<Timeout> {
    let header = Header::read(payload)?;
    slide(cells, dir, &header, payload)?;
    count_repeats(cells, dir, &header);
    cells.state = state_after(ESTABLISHED, SegmentKind::Ack, dir);
    Some(timeout(cells, limits, limits.timeouts.tcp.established))
}

#[cfg(test)]
mod tests;
