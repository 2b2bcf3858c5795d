//! Segments that begin a connection or change its state, judged without the flow.
//!
//! What is decided is `advance`'s to say, as for the walk. Here the connection comes from the table's
//! cells and goes back there, and only what is accepted counts: for anything else `judge` is asked.

use super::segment::{SegmentKind, read};
use super::{Tcp, advance};
use crate::track::{Cells, Judgement, Life, Plain};

/// The memory of a connection whose first segment this is. `None`: ask `judge`, for it is no SYN or
/// not accepted.
pub(crate) fn first(life: &mut Life, segment: &Plain<'_>) -> Option<Cells> {
    let view = read(segment.payload).ok()?;
    if view.kind != SegmentKind::Syn {
        return None;
    }
    let mut tcp = Tcp::opened_by(&view);
    let judgement = advance(&mut tcp, life, &segment.case(), &view);
    (judgement == Judgement::Accept).then(|| tcp.pack())
}

/// The memory of a connection after this segment. `None`: ask `judge`; nothing counts that was done to
/// `life`.
pub(crate) fn turn(cells: &Cells, life: &mut Life, segment: &Plain<'_>) -> Option<Cells> {
    let view = read(segment.payload).ok()?;
    let mut tcp = Tcp::unpack(cells);
    let judgement = advance(&mut tcp, life, &segment.case(), &view);
    (judgement == Judgement::Accept).then(|| tcp.pack())
}
