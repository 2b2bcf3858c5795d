//! GRE: one flow for each pair of hosts, and one for each call of PPTP.
//!
//! The key of version 0 does not count: all tunnels between two hosts are one
//! flow. A call is known by the id that its receiver gave it; the sender's, which
//! only the PPTP control connection tells, is 0 unless its helper has heard it
//! (`expect::KeyMap`). Linux: `nf_conntrack_proto_gre.c`.

use core::time::Duration;

use tidegate_wire::packet::gre::{Gre as Header, PPP};

use super::{InvalidReason, Judgement, ProtoState, Segment, renew_conversation};
use crate::flow::Flow;

/// What is remembered of a GRE flow: its timeouts are those that were valid when
/// it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// Before a reply.
    pub timeout: Duration,
    /// Once both ends have spoken.
    pub stream_timeout: Duration,
}

/// The receiver's key, which is all that a packet of a call tells; `None` for what is no call.
pub(crate) fn receiver_key(payload: &[u8]) -> Result<Option<u16>, InvalidReason> {
    let call = Header::new(payload).and_then(|gre| Some((gre.call_id()?, gre.protocol())));
    match call {
        None => Ok(None),
        Some((id, PPP)) => Ok(Some(id)),
        Some(_) => Err(InvalidReason::GreProtocol),
    }
}

pub(super) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    let gre = match &flow.proto {
        ProtoState::Gre(gre) => *gre,
        _ => Gre::begun_by(segment),
    };
    flow.proto = ProtoState::Gre(gre);
    renew_conversation(flow, segment, gre.timeout, gre.stream_timeout);
    Judgement::Accept
}

impl Gre {
    fn begun_by(segment: &Segment<'_>) -> Self {
        let timeouts = &segment.limits.timeouts;
        let (timeout, stream) = (timeouts.gre, timeouts.gre_stream);
        Self { timeout: timeout.as_duration(), stream_timeout: stream.as_duration() }
    }
}

#[cfg(test)]
mod tests;
