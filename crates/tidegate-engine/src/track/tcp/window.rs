//! The windows: whether a segment may be where it says it is.
//!
//! A box in the middle knows of each side what it sent (`end`), how far the
//! other side let it go (`max_end`) and the largest window it announced. From
//! these van Rooij derives four bounds, checked below under his numerals:
//!
//! ```text
//! I    seq <= sender.max_end                        not past the window
//! II   end >= sender.end - receiver.max_window      not older than a window
//! III  ack <= receiver.end                          not of data unseen
//! IV   ack >= receiver.end - max(66000, max_window) not too old
//! ```
//!
//! where `ack` is the highest SACK edge if the receiver may send SACKs. Old
//! segments (II, IV) pass without being believed; segments from the future (I,
//! III) are INVALID, except for a sender that overshoots by less than a window.

use tidegate_wire::SeqNum;
use tidegate_wire::packet::tcp::TcpFlags;

use super::segment::{SegmentKind, SegmentView, SynOptions};
use super::state::{Last, Peer, PeerFlags, Tcp, TcpState};
use crate::flow::ack_offset;
use crate::track::{Case, IgnoreReason, InvalidReason};
use crate::tuple::Direction;

/// How old an acknowledgement may be: a full unscaled window and a bit.
const MAX_ACK_WINDOW: u32 = 66_000;

/// Whether a segment fits.
pub(super) enum Fit {
    Accept,
    Ignore(IgnoreReason),
    Invalid(InvalidReason),
}

/// The numbers of a segment, as they are judged.
struct Edges {
    seq: SeqNum,
    end: SeqNum,
    ack: SeqNum,
    /// The highest acknowledged or SACKed octet.
    sack: SeqNum,
    window: u32,
}

/// Judges the segment and, where it fits, learns from it.
pub(super) fn fit(tcp: &mut Tcp, case: &Case<'_>, view: &SegmentView<'_>) -> Fit {
    let dir = case.dir;
    let mut edges = edges(tcp, dir, view);
    if let Some(corrections) = case.corrections {
        let offset = ack_offset(corrections, dir.opposite(), edges.ack);
        let offset = offset.wrapping_neg().cast_unsigned();
        (edges.ack, edges.sack) = (edges.ack + offset, edges.sack + offset);
    }
    if begin_side(tcp, dir, view, &edges) {
        return Fit::Accept;
    }
    forgive(&mut edges, tcp, dir, view);
    let liberal = case.limits.tcp.be_liberal || tcp.peer(dir).flags.contains(PeerFlags::BE_LIBERAL);
    match bounds(tcp, dir, &edges) {
        Fit::Accept => {}
        _ if liberal => return Fit::Accept,
        unfit => return unfit,
    }
    learn(tcp, dir, view, &edges);
    count_repeats(tcp, dir, view, &edges);
    Fit::Accept
}

fn edges(tcp: &Tcp, dir: Direction, view: &SegmentView<'_>) -> Edges {
    let ack = view.tcp.ack();
    let sacks = tcp.peer(dir.opposite()).flags.contains(PeerFlags::SACK_PERM);
    let sack = if sacks { view.highest_sack() } else { ack };
    Edges { seq: view.tcp.seq(), end: view.end, ack, sack, window: u32::from(view.tcp.window()) }
}

/// Sets a side up with its first segment, or anew with a SYN of a higher
/// number. True: a SYN of a simultaneous open, there is nothing to compare.
fn begin_side(tcp: &mut Tcp, dir: Direction, view: &SegmentView<'_>, edges: &Edges) -> bool {
    let syn = view.has(TcpFlags::SYN);
    let lone_syn = syn && !view.has(TcpFlags::ACK);
    if tcp.peer(dir).max_window == 0 {
        if syn {
            begin_with_syn(tcp, dir, view, edges);
            return lone_syn;
        }
        begin_mid_stream(tcp, dir, edges);
    } else if syn
        && edges.end.after(tcp.peer(dir).end)
        && matches!(tcp.state, TcpState::SynSent | TcpState::SynRecv)
    {
        begin_with_syn(tcp, dir, view, edges);
        return dir == Direction::Reply && lone_syn;
    }
    false
}

fn begin_with_syn(tcp: &mut Tcp, dir: Direction, view: &SegmentView<'_>, edges: &Edges) {
    let sender = tcp.peer_mut(dir);
    sender.end = edges.end;
    sender.max_end = edges.end;
    sender.max_window = edges.window.max(1);
    if view.tcp.header_len() > 20 {
        let options = SynOptions::of(view.tcp.option_bytes());
        sender.flags = sender.flags & PeerFlags::BE_LIBERAL | options.flags;
        sender.scale = options.scale;
    }
    let scaled = tcp.seen.iter().all(|peer| peer.flags.contains(PeerFlags::WINDOW_SCALE));
    // RFC 7323 2.2: both sides must offer scaling for either to use it.
    if dir == Direction::Reply && !scaled {
        tcp.seen[0].scale = 0;
        tcp.seen[1].scale = 0;
    }
}

fn begin_mid_stream(tcp: &mut Tcp, dir: Direction, edges: &Edges) {
    let sender = tcp.peer_mut(dir);
    sender.end = edges.end;
    sender.max_window = (edges.window << sender.scale).max(1);
    sender.max_end = edges.end + sender.max_window;
    let receiver = tcp.peer_mut(dir.opposite());
    if receiver.max_window == 0 {
        receiver.end = edges.sack;
        receiver.max_end = edges.sack;
    } else if edges.sack == receiver.end + 1 {
        // Likely the answer to a keep-alive whose octet we did not see.
        receiver.end += 1;
    }
}

/// Stands in for numbers that the segment does not carry, or that broken
/// senders leave out.
fn forgive(edges: &mut Edges, tcp: &Tcp, dir: Direction, view: &SegmentView<'_>) {
    let rst = view.has(TcpFlags::RST);
    let no_ack = !view.has(TcpFlags::ACK);
    if no_ack || rst && edges.ack == SeqNum(0) {
        let receiver_end = tcp.peer(dir.opposite()).end;
        edges.ack = receiver_end;
        edges.sack = receiver_end;
    }
    // The answer to a SYN: the other side has no number of its own yet.
    if rst && edges.seq == SeqNum(0) && tcp.state == TcpState::SynSent {
        edges.seq = tcp.peer(dir).end;
        edges.end = edges.seq;
    }
}

fn bounds(tcp: &mut Tcp, dir: Direction, edges: &Edges) -> Fit {
    let (sender, receiver) = (*tcp.peer(dir), *tcp.peer(dir.opposite()));
    let oldest_ack = oldest_ack(&sender, &receiver);
    let oldest_end = SeqNum(sender.end.0.wrapping_sub(receiver.max_window).wrapping_sub(1));
    let third = edges.sack.at_or_before(receiver.end);
    let fourth = edges.sack.after(oldest_ack);
    if !edges.seq.at_or_before(sender.max_end) {
        let overshot = edges.end.since(sender.max_end).wrapping_add(1);
        let second = receiver.max_window != 0 && edges.end.after(oldest_end);
        if second && third && fourth && overshot <= receiver.max_window {
            // The receiver may accept and acknowledge it: do not call that
            // acknowledgement invalid later.
            overshoot(tcp.peer_mut(dir), edges.end);
            return Fit::Ignore(IgnoreReason::TcpOvershot(overshot));
        }
        return Fit::Invalid(InvalidReason::TcpSeqOver((sender.max_end + 1).0));
    }
    if !third {
        return Fit::Invalid(InvalidReason::TcpAckOver((receiver.end + 1).0));
    }
    if receiver.max_window != 0 && !edges.end.after(oldest_end) {
        return Fit::Ignore(IgnoreReason::TcpSeqUnder(oldest_end.0));
    }
    if !fourth {
        return Fit::Ignore(IgnoreReason::TcpAckUnder(oldest_ack.0));
    }
    Fit::Accept
}

fn oldest_ack(sender: &Peer, receiver: &Peer) -> SeqNum {
    let window = sender.max_window.max(MAX_ACK_WINDOW);
    SeqNum(receiver.end.0.wrapping_sub(window).wrapping_sub(1))
}

fn overshoot(sender: &mut Peer, end: SeqNum) {
    sender.end = end;
    sender.flags.insert(PeerFlags::DATA_UNACKNOWLEDGED);
}

/// Moves the edges along with a segment that fits.
fn learn(tcp: &mut Tcp, dir: Direction, view: &SegmentView<'_>, edges: &Edges) {
    let sender = tcp.peer_mut(dir);
    // The window of a SYN is never scaled (RFC 7323 2.2).
    let scale = if view.has(TcpFlags::SYN) { 0 } else { sender.scale };
    let window = edges.window << scale;
    sender.max_window = sender.max_window.max(window.wrapping_add(edges.sack.since(edges.ack)));
    if edges.end.after(sender.end) {
        overshoot(sender, edges.end);
    }
    if view.has(TcpFlags::ACK) {
        let known = sender.flags.contains(PeerFlags::MAXACK_SET);
        sender.max_ack = if known { sender.max_ack.max(edges.ack) } else { edges.ack };
        sender.flags.insert(PeerFlags::MAXACK_SET);
    }
    let sender_max_end = sender.max_end;
    let receiver = tcp.peer_mut(dir.opposite());
    if receiver.max_window != 0 && edges.end.after(sender_max_end) {
        receiver.max_window = receiver.max_window.wrapping_add(edges.end.since(sender_max_end));
    }
    let allowed = edges.sack + window;
    if !allowed.before(receiver.max_end) {
        receiver.max_end = if window == 0 { allowed + 1 } else { allowed };
    }
    if edges.ack == receiver.end {
        receiver.flags.remove(PeerFlags::DATA_UNACKNOWLEDGED);
    }
}

/// Counts repetitions of the very same ACK: a sign that nobody answers.
fn count_repeats(tcp: &mut Tcp, dir: Direction, view: &SegmentView<'_>, edges: &Edges) {
    if view.kind != SegmentKind::Ack {
        return;
    }
    let now = Last {
        dir,
        seq: edges.seq,
        ack: edges.ack,
        end: edges.end,
        window: view.tcp.window(),
        ..tcp.last
    };
    if now == tcp.last {
        tcp.retrans = tcp.retrans.wrapping_add(1);
    } else {
        tcp.last = now;
        tcp.retrans = 0;
    }
}
