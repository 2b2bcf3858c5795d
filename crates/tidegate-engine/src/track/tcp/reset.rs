//! Resets: the one segment that an attacker wants believed.
//!
//! An RST must continue exactly where its sender left off (RFC 5961 3.2 wants
//! the same of hosts); one that is only inside the window is passed on without
//! closing the flow, so that the receiver's challenge ACK can settle it.

use tidegate_wire::SeqNum;

use super::segment::{SegmentKind, SegmentView};
use super::state::{PeerFlags, Tcp, TcpState};
use crate::flow::Status;
use crate::track::Case;
use crate::tuple::Direction;

/// How far to trust a reset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    /// INVALID.
    Refuse,
    /// It passes.
    Pass {
        /// And ends the connection.
        closes: bool,
        /// Only if it fits the windows.
        within_window: bool,
    },
}

/// Closes the flow if it is in window.
const CHECK: Reset = Reset::Pass { closes: true, within_window: true };
/// Passes if it is in window, and closes nothing.
const DOUBT: Reset = Reset::Pass { closes: false, within_window: true };

impl Tcp {
    pub(super) fn judge_reset(
        &self,
        status: Status,
        case: &Case<'_>,
        view: &SegmentView<'_>,
    ) -> Reset {
        // The tuple may have been used again behind our back; do not cling to
        // numbers that are out of date.
        if self.state.is_closing() {
            return Reset::Pass { closes: true, within_window: false };
        }
        let trust = self.compare_with_ack(status, case, view);
        if trust.is_some_and(|trust| trust != DOUBT) {
            return trust.unwrap_or(CHECK);
        }
        let within_window = !self.answers_what_was_ignored(status, case.dir, view);
        Reset::Pass { closes: trust.is_none(), within_window }
    }

    /// Compares with the peer's highest acknowledgement; `None` where that is
    /// not known, or out of date because a SYN was let through.
    fn compare_with_ack(
        &self,
        status: Status,
        case: &Case<'_>,
        view: &SegmentView<'_>,
    ) -> Option<Reset> {
        let peer = self.peer(case.dir.opposite());
        if !peer.flags.contains(PeerFlags::MAXACK_SET) || self.last.kind == Some(SegmentKind::Syn) {
            return None;
        }
        let seq = view.tcp.seq();
        // Linux: nf_conntrack_tcp_established, which a flow that was picked up is not at first.
        let established = self.state == TcpState::Established && status.contains(Status::ASSURED);
        // The answer to a SYN that was let through.
        if seq == SeqNum(0) && !established {
            return Some(CHECK);
        }
        if seq.before(peer.max_ack) && !case.limits.tcp.ignore_invalid_rst {
            return Some(Reset::Refuse);
        }
        let continues_last = self.last.kind == Some(SegmentKind::Ack)
            && self.last.dir == case.dir
            && seq == self.last.end;
        if !established || seq == peer.max_ack || continues_last {
            return Some(CHECK);
        }
        Some(DOUBT)
    }

    /// A reset that answers a SYN or an ACK which we let through as ignored.
    fn answers_what_was_ignored(
        &self,
        status: Status,
        dir: Direction,
        view: &SegmentView<'_>,
    ) -> bool {
        let last = &self.last;
        let syn = status.contains(Status::SEEN_REPLY)
            && last.kind == Some(SegmentKind::Syn)
            && last.dir != dir;
        let ack = !status.contains(Status::ASSURED) && last.kind == Some(SegmentKind::Ack);
        if (syn || ack) && view.tcp.ack() == last.end {
            return true;
        }
        // A reset after the challenge ACK that answered our SYN.
        self.state == TcpState::SynSent
            && last.kind == Some(SegmentKind::Ack)
            && last.dir == Direction::Reply
            && view.tcp.seq() == last.ack
    }
}
