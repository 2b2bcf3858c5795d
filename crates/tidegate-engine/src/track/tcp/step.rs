//! Segments that take an ordinary connection a step on, judged on the table's own words.
//!
//! A SYN, the SYN/ACK to it, the ACK of that, a FIN from each side and the last ACK: in order, within both windows, and
//! with nothing of the exceptions that `Tcp::examine` knows. Of these comes the same as of `advance`, by the
//! arithmetic of `words`; for whatever else `turn` unpacks the connection and asks `advance`.
//! The property tests below hold the two against each other.

use tidegate_wire::packet::tcp::Tcp as TcpHeader;
use tidegate_wire::proto;

use super::segment::{SegmentKind, SynOptions, classify};
use super::state::PeerFlags;
use super::words::{Header, Side, count_repeats, fits, learn, slide, state_after, timeout};
use super::{Step, TcpState, Transition, state_timeout, transition};
use crate::event::EventMask;
use crate::flow::Status;
use crate::track::{Cells, Life, Plain};
use crate::tuple::Direction;

/// What `Tcp::examine` makes exceptions for.
const EXCEPTIONS: u8 = PeerFlags::CHALLENGE_ACK.union(PeerFlags::SIMULTANEOUS_OPEN).bits();
const SACK_PERM: u8 = PeerFlags::SACK_PERM.bits();
const WINDOW_SCALE: u8 = PeerFlags::WINDOW_SCALE.bits();
const BE_LIBERAL: u8 = PeerFlags::BE_LIBERAL.bits();

/// Writes the memory of a connection that this SYN begins. `None`: it is none.
#[inline(always)]
pub(super) fn first(cells: &mut Cells, life: &mut Life, plain: &Plain<'_>) -> Option<()> {
    let (tcp, header) = (TcpHeader::new(plain.payload)?, Header::read(plain.payload)?);
    if classify(tcp.flags())? != SegmentKind::Syn {
        return None;
    }
    let end = header.end.wrapping_add(1);
    let window = u32::from(header.window).max(1);
    let options = SynOptions::of(header.options(plain.payload));
    // What `window` makes of the side that has not spoken: it may send so much from number 0 on.
    let silent = [0, window, 0, 0];
    let (sides, _) = cells.words.as_chunks_mut();
    [sides[0], sides[1]] = [[end, end, window, 0], silent];
    [cells.bytes[3], cells.bytes[4]] = [options.scale, options.flags.bits()];
    cells.proto = proto::TCP;
    let step = Step { from: TcpState::None, to: TcpState::SynSent };
    enter(cells, life, plain, SegmentKind::Syn, step);
    Some(())
}

/// Changes the memory of a connection as this segment does. `None`: nothing has changed, ask `advance`.
#[inline(always)]
pub(super) fn take(cells: &mut Cells, life: &mut Life, plain: &Plain<'_>) -> Option<()> {
    let (tcp, header) = (TcpHeader::new(plain.payload)?, Header::read(plain.payload)?);
    match classify(tcp.flags())? {
        SegmentKind::SynAck => answer(cells, life, plain, header),
        kind @ (SegmentKind::Ack | SegmentKind::Fin) => go_on(cells, life, plain, header, kind),
        SegmentKind::Syn | SegmentKind::Rst => None,
    }
}

/// The answer to a SYN begins its sender's side.
#[inline(always)]
fn answer(cells: &mut Cells, life: &mut Life, plain: &Plain<'_>, header: Header) -> Option<()> {
    let (sides, _) = cells.words.as_chunks_mut();
    let (opener, silent) = (Side::of(sides[0]), Side::of(sides[1]));
    let is_first = TcpState::of(cells.state) == TcpState::SynSent && silent.window == 0;
    if !is_first || plain.dir != Direction::Reply {
        return None;
    }
    let header = Header { end: header.end.wrapping_add(1), ..header };
    let window = u32::from(header.window);
    let begun = Side { end: header.end, max_end: header.end, window: window.max(1), ..silent };
    let options = SynOptions::of(header.options(plain.payload));
    let [_, _, _, scales, flags, own_flags, ..] = &mut cells.bytes;
    if *flags & SACK_PERM != 0 && options.has_sack || !fits(begun, opener, &header) {
        return None;
    }

    // Nothing has changed so far.
    sides[1] = begun.words();
    if header.len > 20 {
        *own_flags = *own_flags & BE_LIBERAL | options.flags.bits();
        *scales = *scales & 15 | options.scale << 4;
    }
    // RFC 7323 2.2: both sides must offer scaling for either to use it.
    if *flags & *own_flags & WINDOW_SCALE == 0 {
        *scales = 0;
    }
    learn(cells, Direction::Reply, &header, window);
    let step = Step { from: TcpState::SynSent, to: TcpState::SynRecv };
    enter(cells, life, plain, SegmentKind::SynAck, step);
    Some(())
}

/// What comes after that, until both sides have said that they are done.
#[inline(always)]
fn go_on(
    cells: &mut Cells,
    life: &mut Life,
    plain: &Plain<'_>,
    header: Header,
    kind: SegmentKind,
) -> Option<()> {
    let from = TcpState::of(cells.state);
    let Transition::To(to) = transition(plain.dir, kind, from) else { return None };
    if !life.is(Status::SEEN_REPLY) || cells.bytes[6] & EXCEPTIONS != 0 {
        return None;
    }
    let fin = u32::from(kind == SegmentKind::Fin);
    let header = Header { end: header.end.wrapping_add(fin), ..header };
    slide(cells, plain.dir, &header, plain.payload)?;

    // Nothing stops it any more.
    let step = Step { from, to };
    if kind == SegmentKind::Ack {
        count_repeats(cells, plain.dir, &header);
    }
    if step.begins_closing() {
        cells.bytes[4 + plain.dir.index()] |= PeerFlags::CLOSE_INIT.bits();
    }
    if step.proves_established() && !life.is(Status::ASSURED) {
        life.status |= Status::ASSURED;
        life.note(EventMask::ASSURED);
    }
    enter(cells, life, plain, kind, step);
    Some(())
}

/// Takes the step; see `super::enter`.
#[inline(always)]
fn enter(cells: &mut Cells, life: &mut Life, plain: &Plain<'_>, kind: SegmentKind, step: Step) {
    cells.state = state_after(step.to as u8, kind, plain.dir);
    if step.from != step.to {
        life.note(EventMask::PROTOINFO);
    }
    let own = state_timeout(&plain.limits.timeouts.tcp, step.to);
    life.renew(plain.now, timeout(cells, plain.limits, own));
}

#[cfg(test)]
mod tests;
