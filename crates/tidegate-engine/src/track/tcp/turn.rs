//! Segments that change a connection's state, judged without the flow.
//!
//! Most are ordinary ones (`step`). Of the others what is decided is `advance`'s to say, as for the walk: the
//! connection comes from the table's cells and goes back there, and only what is accepted counts; for anything else
//! `judge` is asked.

use super::segment::{SegmentKind, read};
use super::{Tcp, advance, step};
use crate::flow::Status;
use crate::track::{Cells, Judgement, Life, Plain};
use crate::tuple::Direction;

/// Changes the memory of a connection as this segment does. `None`: ask `judge`; nothing counts that was done to
/// `life`.
#[inline(always)]
pub(super) fn turn(cells: &mut Cells, life: &mut Life, plain: &Plain<'_>) -> Option<()> {
    step::take(cells, life, plain).or_else(|| exception(cells, life, plain))
}

/// What is NEW to rules is taken for a SYN by their proof (`rules::express`), so of an unanswered connection that
/// was picked up midway nothing is taken here.
#[cold]
#[inline(never)]
fn exception(cells: &mut Cells, life: &mut Life, plain: &Plain<'_>) -> Option<()> {
    let view = read(plain.payload).ok()?;
    let is_new = plain.dir == Direction::Original && !life.is(Status::SEEN_REPLY);
    if is_new && view.kind != SegmentKind::Syn {
        return None;
    }
    let mut tcp = Tcp::unpack(cells);
    let judgement = advance(&mut tcp, life, &plain.case(), &view);
    (judgement == Judgement::Accept).then(|| *cells = tcp.pack())
}
