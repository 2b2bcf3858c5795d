//! TCP: the state machine, the windows, and what a middle box may believe.
//!
//! Every segment goes the same way: sanity (`check`), the transition table
//! (`table`), the exceptions that the table cannot say (`Tcp::examine`: a
//! reopened connection, SYNs let through on suspicion, which resets to trust),
//! the windows (`window`), and only then the new state and its timeout.
//!
//! The rules are those of Linux 6.18 (`nf_conntrack_proto_tcp.c`), which follow
//! Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter".

mod express;
mod reset;
#[cfg(test)]
mod samples;
mod segment;
mod state;
mod step;
mod table;
mod turn;
mod window;
mod words;

use core::time::Duration;

use self::reset::Reset;
use self::segment::{SegmentView, SynOptions, check};
use self::table::{Transition, transition};
use self::window::Fit;
use super::{Case, IgnoreReason, InvalidReason, Judgement, Life, ProtoState, Segment, Shortened};
use crate::event::EventMask;
use crate::flow::{Flow, Status};
use crate::limits::{Limits, TcpTimeouts, Timeout};
use crate::tuple::Direction;

pub(crate) use self::express::Usual;
pub use self::segment::SegmentKind;
pub(crate) use self::state::Last;
pub use self::state::{Peer, PeerFlags, Tcp, TcpState};

pub(super) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    let view = match check(segment.payload(), || segment.has_bad_checksum()) {
        Ok(view) => view,
        Err(reason) => return Judgement::Invalid(reason),
    };
    if !flow.is(Status::CONFIRMED) {
        match open(&view, segment.limits) {
            Ok(tcp) => flow.proto = ProtoState::Tcp(tcp),
            Err(reason) => return Judgement::Invalid(reason),
        }
    }
    let mut life = Life::of(flow);
    let judgement = match &mut flow.proto {
        ProtoState::Tcp(tcp) => advance(tcp, &mut life, &segment.case(), &view),
        other => {
            let mut tcp = Tcp::default();
            let judgement = advance(&mut tcp, &mut life, &segment.case(), &view);
            *other = ProtoState::Tcp(tcp);
            judgement
        }
    };
    life.write_to(flow, segment);
    judgement
}

/// The state of a connection whose first segment this is.
fn open(view: &SegmentView<'_>, limits: &Limits) -> Result<Tcp, InvalidReason> {
    match transition(Direction::Original, view.kind, TcpState::None) {
        Transition::To(TcpState::SynSent) => Ok(Tcp::opened_by(view)),
        Transition::To(_) if limits.tcp.loose => Ok(Tcp::picked_up_by(view)),
        Transition::To(_) => Err(InvalidReason::TcpNotLoose),
        Transition::Ignore | Transition::Invalid => Err(InvalidReason::TcpNew),
    }
}

fn advance(tcp: &mut Tcp, life: &mut Life, case: &Case<'_>, view: &SegmentView<'_>) -> Judgement {
    let next = match tcp.examine(life, case, view) {
        Next::Decided(judgement) => return judgement,
        Next::Within(next) => next,
        Next::Check(next) => match window::fit(tcp, case, view) {
            Fit::Accept => next,
            Fit::Ignore(reason) => return Judgement::Ignore(reason),
            Fit::Invalid(reason) => {
                return match suspect(tcp, life, case, view.kind) {
                    Some(shortened) => Judgement::Shortened(reason, shortened),
                    None => Judgement::Invalid(reason),
                };
            }
        },
    };
    enter(tcp, life, case, view, next)
}

/// A change of state that a segment proposes.
#[derive(Clone, Copy)]
struct Step {
    from: TcpState,
    to: TcpState,
}

/// What is still to be asked about a segment.
enum Next {
    /// Nothing.
    Decided(Judgement),
    /// Nothing: take the step without looking at the windows.
    Within(Step),
    /// Whether it fits the windows.
    Check(Step),
}

impl Tcp {
    /// Applies the table, and the exceptions that it cannot say.
    fn examine(&mut self, life: &Life, case: &Case<'_>, view: &SegmentView<'_>) -> Next {
        let (dir, from) = (case.dir, self.state);
        let to = match transition(dir, view.kind, from) {
            Transition::Invalid if life.is_proxied && self.is_keep_alive(dir, view) => {
                return Next::Decided(Judgement::Accept);
            }
            Transition::Invalid => {
                let reason = InvalidReason::TcpState(view.kind, dir, from);
                return Next::Decided(Judgement::Invalid(reason));
            }
            Transition::Ignore => return self.ignore(dir, view),
            Transition::To(to) => to,
        };
        match to {
            TcpState::SynSent if from >= TcpState::TimeWait => self.reopen(dir, view),
            TcpState::TimeWait if self.is_challenge_ack(dir, view) => {
                self.last.flags.remove(PeerFlags::CHALLENGE_ACK);
                Next::Decided(Judgement::Ignore(IgnoreReason::TcpChallengeAck))
            }
            TcpState::SynSent2 => {
                self.last.flags.insert(PeerFlags::SIMULTANEOUS_OPEN);
                Next::Check(Step { from, to })
            }
            TcpState::SynRecv if self.completes_simultaneous_open(dir, view) => {
                Next::Check(Step { from, to: TcpState::Established })
            }
            TcpState::Close if view.kind == SegmentKind::Rst => {
                self.examine_reset(life.status, case, view)
            }
            to => Next::Check(Step { from, to }),
        }
    }

    /// A client that SYNPROXY told that its server is there asks for it, while the server has not answered. The packet
    /// is the flow's, for SYNPROXY to send the SYN again.
    fn is_keep_alive(&self, dir: Direction, view: &SegmentView<'_>) -> bool {
        let original = Direction::Original;
        self.state == TcpState::SynSent
            && view.kind == SegmentKind::Ack
            && (dir, self.last.dir) == (original, original)
            && view.tcp.seq() + 1 == self.peer(original).end
    }

    fn examine_reset(&self, status: Status, case: &Case<'_>, view: &SegmentView<'_>) -> Next {
        let from = self.state;
        match self.judge_reset(status, case, view) {
            Reset::Refuse => Next::Decided(Judgement::Invalid(InvalidReason::TcpRst)),
            Reset::Pass { closes, within_window } => {
                let to = if closes { TcpState::Close } else { from };
                let step = Step { from, to };
                if within_window { Next::Check(step) } else { Next::Within(step) }
            }
        }
    }

    /// A SYN after the end. RFC 9293 3.6.1 allows reopening from TIME_WAIT; an
    /// aborted connection may be reopened by the side that aborted it.
    fn reopen(&mut self, dir: Direction, view: &SegmentView<'_>) -> Next {
        let was_closed = self.seen.iter().any(|peer| peer.flags.contains(PeerFlags::CLOSE_INIT));
        let was_aborted = self.last.dir == dir && self.last.kind == Some(SegmentKind::Rst);
        if was_closed || was_aborted {
            return Next::Decided(Judgement::Reopen);
        }
        self.ignore(dir, view)
    }

    /// A segment out of step with us. It passes, and is remembered: if the peer
    /// confirms it, we are the ones who were wrong.
    fn ignore(&mut self, dir: Direction, view: &SegmentView<'_>) -> Next {
        if self.answers_ignored_syn(dir, view) {
            self.resynchronise(dir);
            return Next::Check(Step { from: TcpState::SynSent, to: TcpState::SynRecv });
        }
        let from = self.state;
        self.remember_ignored(dir, view);
        let reason = IgnoreReason::TcpState(view.kind, dir, from);
        Next::Decided(Judgement::Ignore(reason))
    }

    fn answers_ignored_syn(&self, dir: Direction, view: &SegmentView<'_>) -> bool {
        view.kind == SegmentKind::SynAck
            && self.last.kind == Some(SegmentKind::Syn)
            && self.last.dir != dir
            && view.tcp.ack() == self.last.end
    }

    /// Takes the values of the SYN that was let through; the other side starts
    /// afresh with the SYN/ACK at hand.
    fn resynchronise(&mut self, dir: Direction) {
        self.last.flags.remove(PeerFlags::CHALLENGE_ACK);
        let last = self.last;
        let opener = self.peer_mut(last.dir);
        opener.end = last.end;
        opener.max_end = last.end;
        opener.max_window = u32::from(last.window).max(1);
        opener.scale = last.scale;
        opener.flags = last.flags;
        let answerer = self.peer_mut(dir);
        *answerer = Peer { flags: answerer.flags & PeerFlags::BE_LIBERAL, ..Peer::default() };
    }

    fn remember_ignored(&mut self, dir: Direction, view: &SegmentView<'_>) {
        let last = &mut self.last;
        last.kind = Some(view.kind);
        last.dir = dir;
        last.seq = view.tcp.seq();
        last.end = view.end;
        last.window = view.tcp.window();
        if view.kind == SegmentKind::Syn && dir == Direction::Original {
            let options = SynOptions::of(view.tcp.option_bytes());
            last.flags = options.flags;
            last.scale = options.scale;
            // The next ACK from the other side may be a challenge to this SYN
            // (RFC 5961 4.2) and must not be taken for the last ACK.
            if self.state == TcpState::LastAck {
                last.flags.insert(PeerFlags::CHALLENGE_ACK);
            }
        }
        if self.state == TcpState::SynSent
            && view.kind == SegmentKind::Ack
            && dir == Direction::Reply
        {
            self.last.ack = view.tcp.ack();
        }
    }

    fn is_challenge_ack(&self, dir: Direction, view: &SegmentView<'_>) -> bool {
        self.state == TcpState::LastAck
            && view.kind == SegmentKind::Ack
            && self.last.dir != dir
            && self.last.kind == Some(SegmentKind::Syn)
            && self.last.flags.contains(PeerFlags::CHALLENGE_ACK)
    }

    fn completes_simultaneous_open(&self, dir: Direction, view: &SegmentView<'_>) -> bool {
        dir == Direction::Reply
            && view.kind == SegmentKind::Ack
            && self.last.flags.contains(PeerFlags::SIMULTANEOUS_OPEN)
    }
}

/// A FIN or RST from each side, both out of window: the connection is most
/// likely over, and we are out of step. Do not keep it for five days.
fn suspect(
    tcp: &mut Tcp,
    life: &mut Life,
    case: &Case<'_>,
    kind: SegmentKind,
) -> Option<Shortened> {
    let closes = |kind: &SegmentKind| matches!(kind, SegmentKind::Rst | SegmentKind::Fin);
    if !life.is(Status::ASSURED) || life.is(Status::FIXED_TIMEOUT) || !closes(&kind) {
        return None;
    }
    let dir = case.dir;
    let answered = tcp.last.kind.filter(|last| tcp.last.dir != dir && closes(last));
    let Some(answers) = answered else {
        tcp.last.kind = Some(kind);
        tcp.last.dir = dir;
        return None;
    };
    let timeout = case.limits.timeouts.tcp.unacknowledged;
    let remaining = life.deadline.saturating_sub(case.now);
    if remaining < Duration::from_secs(120) || remaining <= timeout.as_duration() {
        return None;
    }
    life.deadline = case.now + timeout.as_duration();
    Some(Shortened { kind, dir, answers, timeout })
}

/// Takes the step: the segment is in window and believed.
fn enter(
    tcp: &mut Tcp,
    life: &mut Life,
    case: &Case<'_>,
    view: &SegmentView<'_>,
    step: Step,
) -> Judgement {
    tcp.last.kind = Some(view.kind);
    tcp.last.dir = case.dir;
    tcp.state = step.to;
    if step.begins_closing() {
        tcp.peer_mut(case.dir).flags.insert(PeerFlags::CLOSE_INIT);
    }
    if step.from != step.to {
        life.note(EventMask::PROTOINFO);
    }
    let timeouts = &case.limits.timeouts.tcp;
    let mut timeout = tcp.timeout(view.kind, case.limits);
    if !life.is(Status::SEEN_REPLY) {
        if view.kind == SegmentKind::Rst {
            life.counts = true;
            return Judgement::Close;
        }
        // A repeated SYN must not keep a half-open entry alive for ever.
        if view.kind == SegmentKind::Syn && step.from == TcpState::SynSent {
            return Judgement::Accept;
        }
        if step.to == TcpState::Established {
            timeout = timeout.min(timeouts.unacknowledged);
        }
    } else if step.proves_established() && !life.is(Status::ASSURED) {
        life.status |= Status::ASSURED;
        life.note(EventMask::ASSURED);
    }
    life.renew(case.now, timeout);
    Judgement::Accept
}

impl Step {
    /// The first FIN.
    fn begins_closing(self) -> bool {
        self.from != self.to && self.to == TcpState::FinWait
    }

    /// An ACK after SYN_RECV, or an answer on a connection that was picked up.
    fn proves_established(self) -> bool {
        self.to == TcpState::Established
            && matches!(self.from, TcpState::SynRecv | TcpState::Established)
    }
}

impl Tcp {
    /// The first of the special timeouts that applies and is shorter than the
    /// state's own, or the state's own.
    fn timeout(&self, kind: SegmentKind, limits: &Limits) -> Timeout {
        let timeouts = &limits.timeouts.tcp;
        let own = state_timeout(timeouts, self.state);
        let unacknowledged =
            self.seen.iter().any(|peer| peer.flags.contains(PeerFlags::DATA_UNACKNOWLEDGED));
        if self.retrans >= limits.tcp.max_retrans && own > timeouts.max_retrans {
            timeouts.max_retrans
        } else if kind == SegmentKind::Rst {
            timeouts.close
        } else if unacknowledged && own > timeouts.unacknowledged {
            timeouts.unacknowledged
        } else if self.last.window == 0 && own > timeouts.max_retrans {
            timeouts.max_retrans
        } else {
            own
        }
    }
}

fn state_timeout(timeouts: &TcpTimeouts, state: TcpState) -> Timeout {
    match state {
        TcpState::None | TcpState::SynSent => timeouts.syn_sent,
        TcpState::SynSent2 => TcpTimeouts::SYN_SENT2,
        TcpState::SynRecv => timeouts.syn_recv,
        TcpState::Established => timeouts.established,
        TcpState::FinWait => timeouts.fin_wait,
        TcpState::CloseWait => timeouts.close_wait,
        TcpState::LastAck => timeouts.last_ack,
        TcpState::TimeWait => timeouts.time_wait,
        TcpState::Close => timeouts.close,
    }
}

/// A reset of our own was sent about this flow (REJECT): it is over, whatever
/// the peers think. Linux: `nf_conntrack_tcp_set_closing`.
pub(crate) fn close_by_reset(flow: &mut Flow, now: crate::time::Instant, limits: &Limits) {
    let ProtoState::Tcp(tcp) = &mut flow.proto else { return };
    let was = core::mem::replace(&mut tcp.state, TcpState::Close);
    if was != TcpState::Close && !flow.is(Status::FIXED_TIMEOUT) {
        flow.deadline = now + limits.timeouts.tcp.close.as_duration();
        flow.note(EventMask::PROTOINFO);
    }
}
