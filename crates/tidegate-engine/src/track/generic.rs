//! The tracker of protocols that have none: addresses only, one timeout.
//!
//! Never assured, so always evictable.

use super::{Judgement, Segment, renew};
use crate::flow::Flow;

pub(super) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    renew(flow, segment, segment.limits.timeouts.generic.as_duration());
    Judgement::Accept
}
