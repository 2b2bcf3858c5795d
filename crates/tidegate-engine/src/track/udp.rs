//! UDP: thirty seconds, and two minutes once it proves to be a conversation.
//!
//! A flow that was answered and is still alive two seconds after its first
//! packet is a stream: it gets the longer timeout and becomes assured. A query
//! with its answer never does. Linux: `nf_conntrack_udp_packet`.

use core::time::Duration;

use tidegate_wire::packet::udp::Udp as Header;

use super::{
    Cells, Express, InvalidReason, Judgement, Life, Plain, ProtoState, Segment, assure, renew,
};
use crate::flow::{Flow, Status};
use crate::limits::Timeout;
use crate::rules::ExpressProto;
use crate::time::Instant;

/// How long after its first packet a flow must be alive to count as a stream.
const STREAM_AFTER: Duration = Duration::from_secs(2);

/// What is remembered of a UDP flow.
#[derive(Clone, Copy, Debug)]
pub struct Udp {
    /// Answered packets after this instant make a stream.
    pub stream_after: Instant,
}

pub(super) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    if let Err(reason) = check(segment) {
        return Judgement::Invalid(reason);
    }
    let stream_after = stream_after(flow, segment.now);
    let is_stream = flow.is(Status::SEEN_REPLY) && segment.now > stream_after;
    let timeouts = &segment.limits.timeouts;
    let timeout = if is_stream { timeouts.udp_stream } else { timeouts.udp };
    renew(flow, segment, timeout.as_duration());
    if is_stream {
        assure(flow);
    }
    Judgement::Accept
}

/// Datagrams of a flow that was answered and is assured, which do no more than renew it.
pub(crate) enum Usual {}

impl Express for Usual {
    const PROTO: ExpressProto = ExpressProto::Udp;
    const HEADER: usize = 8;

    #[inline(always)]
    fn may_take(_: &[u8]) -> bool {
        true
    }

    #[inline(always)]
    fn is_up(_: &Cells) -> bool {
        true
    }

    #[inline(always)]
    fn take(cells: &mut Cells, segment: &Plain<'_>) -> Option<Timeout> {
        usual(cells, segment)
    }

    #[inline(always)]
    fn first(cells: &mut Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()> {
        super::cells::begin_udp(cells, segment.now + STREAM_AFTER);
        turn(cells, life, segment)
    }

    #[inline(always)]
    fn turn(cells: &mut Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()> {
        turn(cells, life, segment)
    }

    #[inline(always)]
    fn turn_anyhow(cells: &mut Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()> {
        turn(cells, life, segment)
    }
}

/// For how long a right datagram renews a flow that was answered.
#[inline(always)]
fn usual(cells: &Cells, segment: &Plain<'_>) -> Option<Timeout> {
    let header: &[u8; 8] = segment.payload.first_chunk()?;
    let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let is_whole = (8..=segment.payload.len()).contains(&len);
    if !is_whole {
        return None;
    }
    let timeouts = &segment.limits.timeouts;
    let is_stream = segment.now > super::cells::stream_after(cells);
    Some(if is_stream { timeouts.udp_stream } else { timeouts.udp })
}

/// What a datagram does to a flow that is not a stream yet, or not an answered one. `None`: ask
/// [`judge`].
#[inline]
fn turn(cells: &Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()> {
    let usual = usual(cells, segment)?;
    let is_stream = life.is(Status::SEEN_REPLY) && segment.now > super::cells::stream_after(cells);
    let timeout = if is_stream { usual } else { segment.limits.timeouts.udp };
    life.renew(segment.now, timeout);
    if is_stream {
        life.assure();
    }
    Some(())
}

fn stream_after(flow: &mut Flow, now: Instant) -> Instant {
    match flow.proto {
        ProtoState::Udp(udp) => udp.stream_after,
        _ => {
            let stream_after = now + STREAM_AFTER;
            flow.proto = ProtoState::Udp(Udp { stream_after });
            stream_after
        }
    }
}

/// A checksum of zero means that there is none, in IPv6 too: Linux forwards
/// such packets and leaves RFC 6935's exceptions to the hosts.
fn check(segment: &Segment<'_>) -> Result<(), InvalidReason> {
    let payload = segment.payload();
    let header = Header::new(payload).ok_or(InvalidReason::UdpShort)?;
    let len = usize::from(header.len());
    if len > payload.len() || len < 8 {
        return Err(InvalidReason::UdpLength);
    }
    if header.checksum() != 0 && segment.has_bad_checksum() {
        return Err(InvalidReason::BadChecksum);
    }
    Ok(())
}
