//! SCTP: associations, the tags that protect them, and their other paths.
//!
//! A packet is a list of chunks, and each of them goes the same way: its
//! verification tag ([`Sctp::verify`]), the transition table ([`table`]), the
//! tags that it announces ([`Sctp::learn`]), the new state. What a chunk changed
//! stays, even if a later one of the same packet is refused.
//!
//! The rules are those of Linux 6.18 (`nf_conntrack_proto_sctp.c`), which follow
//! RFC 9260 sections 8.4 and 8.5. An association of several addresses is one
//! flow for each pair of them: the first by its handshake, the others by
//! heartbeats.

mod state;
mod table;

#[cfg(test)]
mod tests;

use tidegate_wire::packet::sctp::{Chunk, Chunks, Sctp as Header, kind};

use self::table::transition;
use super::{InvalidReason, Judgement, MisplacedChunk, ProtoState, Segment, assure, renew};
use crate::event::EventMask;
use crate::flow::Flow;
use crate::limits::{SctpTimeouts, Timeout};
use crate::tuple::Direction;

pub use self::state::{Sctp, SctpState};

pub(super) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    match follow(flow, segment) {
        Ok(Deadline::Renewed(timeout)) => {
            renew(flow, segment, timeout.as_duration());
            Judgement::Accept
        }
        Ok(Deadline::Kept) => Judgement::Accept,
        Err(reason) => Judgement::Invalid(reason),
    }
}

/// What an accepted packet does to the flow's deadline.
enum Deadline {
    /// It is this far away again, and the packet is counted.
    Renewed(Timeout),
    /// Nothing; the packet is not counted either.
    Kept,
}

fn follow(flow: &mut Flow, segment: &Segment<'_>) -> Result<Deadline, InvalidReason> {
    let packet = Packet::check(segment)?;
    let mut sctp = match &flow.proto {
        ProtoState::Sctp(sctp) => *sctp,
        _ => open(&packet)?,
    };
    let result = sctp.follow(flow, &packet);
    flow.proto = ProtoState::Sctp(sctp);
    let timeouts = &segment.limits.timeouts.sctp;
    result.map(|kept| if kept { Deadline::Kept } else { sctp.deadline(timeouts) })
}

/// A packet whose chunks may stand together.
struct Packet<'a> {
    header: Header<&'a [u8]>,
    dir: Direction,
    kinds: Kinds,
}

impl<'a> Packet<'a> {
    /// RFC 9260 section 6.10: INIT, INIT ACK and SHUTDOWN COMPLETE stand alone.
    /// A cookie comes first.
    fn check(segment: &Segment<'a>) -> Result<Self, InvalidReason> {
        let header = Header::new(segment.payload()).ok_or(InvalidReason::SctpShort)?;
        let is_in_doubt = segment.verify_checksum && segment.headers.checksum.is_in_doubt();
        if is_in_doubt && !header.checksum_ok() {
            return Err(InvalidReason::BadChecksum);
        }
        let mut kinds = Kinds::default();
        for (index, chunk) in header.chunks().enumerate() {
            kinds.insert(chunk.kind());
            let is_cookie = matches!(chunk.kind(), kind::COOKIE_ECHO | kind::COOKIE_ACK);
            let lonely = kinds.intersects(&LONERS);
            if (is_cookie || lonely) && index > 0 || chunk.len() == 0 {
                let (number, kind, len) = (index as u32, chunk.kind(), chunk.len());
                let chunk = MisplacedChunk { number, kind, len, lonely };
                return Err(InvalidReason::SctpChunks(chunk));
            }
        }
        if header.chunks().next().is_none() {
            return Err(InvalidReason::SctpCut);
        }
        Ok(Self { header, dir: segment.dir, kinds })
    }

    fn chunks(&self) -> Chunks<'_> {
        self.header.chunks()
    }
}

/// A set of types of chunks.
#[derive(Clone, Copy, Default)]
struct Kinds(u16);

impl Kinds {
    /// Types that mean nothing to the tracker are not kept.
    fn insert(&mut self, kind: u8) {
        self.0 |= Self::bit(kind);
    }

    fn intersects(self, kinds: &[u8]) -> bool {
        kinds.iter().any(|kind| self.0 & Self::bit(*kind) != 0)
    }

    fn bit(kind: u8) -> u16 {
        1_u16.checked_shl(u32::from(kind)).unwrap_or(0)
    }
}

/// The association that a packet out of the blue may begin (RFC 9260 section
/// 8.4).
fn open(packet: &Packet<'_>) -> Result<Sctp, InvalidReason> {
    if packet.kinds.intersects(&LAST_WORDS) {
        return Err(InvalidReason::SctpNew);
    }
    let mut sctp = Sctp::default();
    for chunk in packet.chunks() {
        let begun = transition(Direction::Original, chunk.kind(), SctpState::None);
        if matches!(begun, None | Some(SctpState::None)) {
            return Err(InvalidReason::SctpNew);
        }
        match chunk.kind() {
            kind::HEARTBEAT => sctp.set_tag(Direction::Original, packet.header.tag()),
            // The SHUTDOWN COMPLETE that answers it will reflect its tag.
            kind::SHUTDOWN_ACK => sctp.set_tag(Direction::Reply, packet.header.tag()),
            _ => {}
        }
    }
    Ok(sctp)
}

/// Whether a chunk may be believed.
enum Trust {
    Full,
    /// Not yet: it passes and changes nothing.
    Pending,
}

impl Sctp {
    /// Follows the chunks one after the other. True: the deadline stays.
    fn follow(&mut self, flow: &mut Flow, packet: &Packet<'_>) -> Result<bool, InvalidReason> {
        let dir = packet.dir;
        let (tag, own) = (packet.header.tag(), self.tag(dir));
        if !packet.kinds.intersects(&TAG_RULES_OF_THEIR_OWN) && tag != own {
            return Err(InvalidReason::SctpOtherTag(tag, own, dir));
        }
        let mut kept = false;
        for chunk in packet.chunks() {
            if matches!(self.verify(packet, &chunk, kept)?, Trust::Pending) {
                kept = true;
                continue;
            }
            let from = self.state;
            let to = transition(dir, chunk.kind(), from).ok_or(InvalidReason::SctpState(
                chunk.kind(),
                dir,
                from,
            ))?;
            self.learn(dir, &chunk)?;
            // A repeated INIT must not keep an entry alive for ever.
            kept |=
                chunk.kind() == kind::INIT && (from, to) == (SctpState::Closed, SctpState::Closed);
            self.enter(flow, to);
        }
        Ok(kept)
    }

    /// The chunk's own rules for the verification tag (RFC 9260 section 8.5.1).
    /// `tolerated`: the packet has passed one wrong tag already.
    fn verify(
        &mut self,
        packet: &Packet<'_>,
        chunk: &Chunk<'_>,
        tolerated: bool,
    ) -> Result<Trust, InvalidReason> {
        let tag = packet.header.tag();
        let is_right = match chunk.kind() {
            kind::INIT => tag == 0,
            kind::ABORT | kind::SHUTDOWN_COMPLETE if chunk.reflects_tag() => {
                tag == self.tag(packet.dir.opposite())
            }
            kind::ABORT | kind::SHUTDOWN_COMPLETE | kind::COOKIE_ECHO => {
                tag == self.tag(packet.dir)
            }
            kind::HEARTBEAT | kind::HEARTBEAT_ACK => {
                let may_stray = !tolerated && !packet.kinds.intersects(&[kind::DATA]);
                return self.verify_heartbeat(packet, chunk.kind(), may_stray);
            }
            _ => true,
        };
        is_right.then_some(Trust::Full).ok_or(InvalidReason::SctpTag)
    }

    /// A path's first heartbeat tells its tag. One with another tag may be of a
    /// restarted association: it passes, and if the answer comes, it was right.
    fn verify_heartbeat(
        &mut self,
        packet: &Packet<'_>,
        kind: u8,
        may_stray: bool,
    ) -> Result<Trust, InvalidReason> {
        let (dir, tag) = (packet.dir, packet.header.tag());
        if self.tag(dir) == 0 {
            self.set_tag(dir, tag);
        } else if self.tag(dir) == tag {
            self.stray_heartbeat = None;
        } else if may_stray && kind == kind::HEARTBEAT {
            self.stray_heartbeat = Some(dir);
            return Ok(Trust::Pending);
        } else if may_stray && self.stray_heartbeat == Some(dir.opposite()) {
            self.stray_heartbeat = None;
            self.set_tag(dir, tag);
            self.set_tag(dir.opposite(), 0);
        } else {
            return Err(InvalidReason::SctpTag);
        }
        Ok(Trust::Full)
    }

    /// What the handshake tells: INIT and INIT ACK name the tag that the other
    /// side has to use. Both sides may have sent an INIT; then only an answer
    /// with the tag that is known already is one (RFC 9260 section 5.2).
    fn learn(&mut self, dir: Direction, chunk: &Chunk<'_>) -> Result<(), InvalidReason> {
        let (here, there) = (dir.index(), dir.opposite().index());
        let known = self.tags[there];
        match chunk.kind() {
            kind::INIT => {
                let tag = chunk.init_tag().ok_or(InvalidReason::SctpCut)?;
                // A repeated or stale one begins nothing.
                if self.state == SctpState::None || known != tag {
                    self.inits[there] &= !self.inits[here];
                    self.inits[here] = true;
                }
                self.tags[there] = tag;
            }
            kind::INIT_ACK => {
                let tag = chunk.init_tag().ok_or(InvalidReason::SctpCut)?;
                let is_unasked = !self.inits[there] && known != 0;
                let collides = self.inits == [true; 2];
                if known != tag && (is_unasked || collides) {
                    return Err(InvalidReason::SctpTag);
                }
                self.tags[there] = tag;
            }
            kind::COOKIE_ACK => self.inits = [false; 2],
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, flow: &mut Flow, state: SctpState) {
        if self.state == state {
            return;
        }
        self.state = state;
        flow.note(EventMask::PROTOINFO);
        if state == SctpState::Established {
            assure(flow);
        }
    }

    fn deadline(&self, timeouts: &SctpTimeouts) -> Deadline {
        Deadline::Renewed(match self.state {
            SctpState::None | SctpState::Closed => timeouts.closed,
            SctpState::CookieWait => timeouts.cookie_wait,
            SctpState::CookieEchoed => timeouts.cookie_echoed,
            SctpState::Established => timeouts.established,
            SctpState::ShutdownSent => timeouts.shutdown_sent,
            SctpState::ShutdownRecd => timeouts.shutdown_recd,
            SctpState::ShutdownAckSent => timeouts.shutdown_ack_sent,
            SctpState::HeartbeatSent => timeouts.heartbeat_sent,
        })
    }
}

/// Chunks that share their packet with no other.
const LONERS: [u8; 3] = [kind::INIT, kind::INIT_ACK, kind::SHUTDOWN_COMPLETE];

/// Chunks that begin nothing.
const LAST_WORDS: [u8; 3] = [kind::ABORT, kind::SHUTDOWN_COMPLETE, kind::COOKIE_ACK];

/// A packet with one of these is not judged by its tag as a whole.
const TAG_RULES_OF_THEIR_OWN: [u8; 7] = [
    kind::INIT,
    kind::SHUTDOWN_COMPLETE,
    kind::COOKIE_ECHO,
    kind::ABORT,
    kind::SHUTDOWN_ACK,
    kind::HEARTBEAT,
    kind::HEARTBEAT_ACK,
];
