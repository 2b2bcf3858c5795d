//! Segments that begin a connection or change its state, judged without the flow.
//!
//! What is decided is `advance`'s to say, as for the walk. Here the connection comes from the table's
//! cells and goes back there, and only what is accepted counts: for anything else `judge` is asked.

use super::segment::{SegmentKind, SegmentView, read};
use super::{Tcp, advance};
use crate::flow::Status;
use crate::track::{Case, Cells, Judgement, Life};
use crate::tuple::Direction;

/// Writes the memory of a connection whose first segment this is. `None`: ask `judge`, for it is no SYN or
/// not accepted.
pub(crate) fn first(
    cells: &mut Cells,
    life: &mut Life,
    payload: &[u8],
    case: &Case<'_>,
) -> Option<()> {
    let view = read(payload).ok()?;
    if view.kind != SegmentKind::Syn {
        return None;
    }
    take(Tcp::opened_by(&view), cells, life, case, &view)
}

/// Changes the memory of a connection as this segment does. `None`: ask `judge`; nothing counts that was done to
/// `life`. What is NEW to rules is taken for a SYN by their proof (`rules::express`), so of an unanswered
/// connection that was picked up midway nothing is taken here.
pub(crate) fn turn(
    cells: &mut Cells,
    life: &mut Life,
    payload: &[u8],
    case: &Case<'_>,
) -> Option<()> {
    let view = read(payload).ok()?;
    let is_new = case.dir == Direction::Original && !life.is(Status::SEEN_REPLY);
    if is_new && view.kind != SegmentKind::Syn {
        return None;
    }
    take(Tcp::unpack(cells), cells, life, case, &view)
}

/// Has a segment judged, and what is accepted remembered.
#[inline(always)]
fn take(
    mut tcp: Tcp,
    cells: &mut Cells,
    life: &mut Life,
    case: &Case<'_>,
    view: &SegmentView<'_>,
) -> Option<()> {
    let judgement = advance(&mut tcp, life, case, view);
    (judgement == Judgement::Accept).then(|| *cells = tcp.pack())
}
