//! The tracker of protocols that have none: addresses only, one timeout.
//!
//! Never assured, so always evictable. SCTP, GRE and UDP-Lite are tracked here,
//! without ports, until they have trackers of their own; Linux does better.

use super::{Judgement, Segment, renew};
use crate::flow::Flow;

pub(super) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    renew(flow, segment, segment.limits.timeouts.generic.as_duration());
    Judgement::Accept
}
