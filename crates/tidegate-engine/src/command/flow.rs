//! Making, changing and deleting a flow.

use core::time::Duration;

use tidegate_wire::proto;

use super::{CommandError, Done};
use crate::engine::Engine;
use crate::event::{EventMask, ExpectMask};
use crate::flow::{
    Care, Correction, Counter, Draft, Flow, FlowId, Labels, Lifetime, Master, Status,
};
use crate::helper::{Helper, Memory};
use crate::nat::bind::Binder;
use crate::nat::{Manip, NatRange};
use crate::table::ConfirmError;
use crate::time::Instant;
use crate::track::{PeerFlags, ProtoState, Sctp, SctpState, Tcp, TcpState};
use crate::tuple::{Direction, Tuple, Zone};

/// What is to be different about a flow; what is absent stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// The name of its helper; empty: none.
    pub helper: Option<&'a [u8]>,
    /// Seconds from now on.
    pub timeout: Option<u32>,
    /// Status bits. Some can only be set, most not even that; see [`Engine::change`].
    pub status: Option<Status>,
    /// What the tracker remembers.
    pub proto: ProtoChange,
    /// The mark, and which of its bits are replaced; others are toggled.
    pub mark: Option<(u32, u32)>,
    /// How sequence numbers are corrected, by [`Direction::index`]. Linux takes no notice of it for flows that neither
    /// were made by hand nor are translated and have a helper.
    pub corrections: [Option<Correction>; 2],
    /// Labels, label 0 in the lowest bit, and which of them are replaced; others are toggled.
    pub labels: Option<(u128, u128)>,
    /// The security mark. No netlink message carries it.
    pub secmark: Option<u32>,
}

/// What is to be different about a tracker's memory. That of another protocol than the flow's is left alone.
#[derive(Clone, Copy, Debug, Default)]
pub enum ProtoChange {
    /// Nothing.
    #[default]
    None,
    /// Of TCP.
    Tcp(TcpChange),
    /// Of SCTP: the state (`enum sctp_conntrack`), and the verification tags of both directions; all of it, or else it
    /// is refused.
    Sctp(Option<(u8, [u32; 2])>),
}

/// What is to be different about a TCP connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpChange {
    /// The state (`enum tcp_conntrack`).
    pub state: Option<u8>,
    /// Flags of both sides, and which of them are meant.
    pub flags: [Option<(PeerFlags, PeerFlags)>; 2],
    /// The window scales of both sides; they only count if both have announced one.
    pub scales: Option<[u8; 2]>,
}

/// A flow to be made.
#[derive(Clone, Copy, Debug)]
pub struct Creation<'a> {
    /// The tuple of its original direction.
    pub orig: Tuple,
    /// That of its replies, of the same protocol; need not be the inverse of `orig`.
    pub reply: Tuple,
    /// Its zone.
    pub zone: Zone,
    /// All else; a timeout must be among it.
    pub with: Change<'a>,
    /// What it shall be mapped to, besides: source and destination.
    pub nat: [Option<NatRange>; 2],
    /// The original tuple of the flow that it belongs to.
    pub master: Option<Tuple>,
}

/// The longest timeout that Linux takes, with 250 ticks a second.
const MAX_TIMEOUT: u32 = i32::MAX as u32 / 250;

/// Everything but the beginning and the labels, which ctnetlink announces after each of its commands.
const TOLD: EventMask = EventMask::REPLY
    .union(EventMask::ASSURED)
    .union(EventMask::HELPER)
    .union(EventMask::PROTOINFO)
    .union(EventMask::SEQADJ)
    .union(EventMask::MARK);

impl Engine {
    /// Makes a flow. Linux: `ctnetlink_create_conntrack`.
    ///
    /// # Errors
    /// [`CommandError::NoMemory`], [`CommandError::Invalid`] (no timeout, protocols that differ, what can't be answered),
    /// [`CommandError::NotSupported`] (no such helper), [`CommandError::Busy`] (status), [`CommandError::NotFound`] (no
    /// such master), [`CommandError::Exists`], [`CommandError::NoSpace`].
    pub fn create(&mut self, now: Instant, what: &Creation<'_>) -> Done<FlowId> {
        let Creation { orig, reply, zone, with, nat, .. } = what;
        check_tuples(orig, reply)?;
        if !self.make_room(now, orig, *zone) {
            return Err(CommandError::NoMemory);
        }
        let timeout = with.timeout.ok_or(CommandError::Invalid)?;
        let mut flow = self.plain_flow(now, (*orig, *reply, *zone));
        let mut care = self.begin_care(&mut flow, with.helper)?;
        self.map(now, &mut flow, nat);
        flow.deadline = deadline(now, timeout);
        let rest = Change { helper: None, timeout: None, ..*with };
        care.corrections = corrected(&mut flow, care.corrections, &rest);
        apply(&mut flow, &rest)?;
        if let Some(master) = &what.master {
            self.attach(now, &mut flow, &mut care, master)?;
        }
        self.enter(now, flow, care, with.labels.is_some())
    }

    pub(super) fn plain_flow(
        &self,
        now: Instant,
        (orig, reply, zone): (Tuple, Tuple, Zone),
    ) -> Flow {
        let limits = &self.limits;
        let all = if limits.events == 0 { EventMask::empty() } else { EventMask::all() };
        let proto = match orig.proto {
            proto::TCP => ProtoState::Tcp(Tcp::default()),
            proto::SCTP => ProtoState::Sctp(Sctp::default()),
            _ => ProtoState::None,
        };
        Flow {
            orig,
            reply,
            status: Status::CONFIRMED,
            deadline: now,
            zone,
            mark: 0,
            labels: Labels::NONE,
            secmark: 0,
            policy: None,
            proto,
            acct: limits.acct.then(Default::default),
            lifetime: limits.timestamp.then(Lifetime::default),
            masquerade_port: None,
            is_proxied: false,
            helper: None,
            master_helper: None,
            pending: EventMask::empty(),
            announced: all,
        }
    }

    pub(super) fn begin_care(&self, flow: &mut Flow, helper: Option<&[u8]>) -> Done<Care> {
        let mut care = Care::default();
        if let Some(name) = helper {
            let helper = helper_named(name, flow).ok_or(CommandError::NotSupported)?;
            flow.status |= Status::HELPER;
            flow.helper = Some(helper);
            care.memory = Memory::of(helper);
            let is_told = self.limits.events != 0;
            care.expect_events = if is_told { ExpectMask::all() } else { ExpectMask::empty() };
        }
        Ok(care)
    }

    /// If either end is to be mapped, the other is bound to itself.
    fn map(&mut self, now: Instant, flow: &mut Flow, [src, dst]: &[Option<NatRange>; 2]) {
        if src.is_none() && dst.is_none() {
            return;
        }
        let Self { table, events, rng, stats, .. } = self;
        let found = &mut stats.found;
        let mut binder = Binder { table, events, rng, found, now, is_steered: true };
        for (range, manip) in [(dst, Manip::Dst), (src, Manip::Src)] {
            match range {
                Some(range) => binder.bind(flow, range, manip),
                None => binder.bind_null(flow, manip),
            }
        }
    }

    pub(super) fn attach(
        &self,
        now: Instant,
        flow: &mut Flow,
        care: &mut Care,
        master: &Tuple,
    ) -> Done {
        let found = self.table.lookup(now, master, flow.zone);
        let (id, _) = found.ok_or(CommandError::NotFound)?;
        let master = self.table.read(id);
        flow.status |= Status::EXPECTED;
        flow.master_helper = master.helper;
        care.master = Some(Master { id, tuple: master.orig, helper: master.helper });
        Ok(())
    }

    fn enter(&mut self, now: Instant, flow: Flow, care: Care, tells_labels: bool) -> Done<FlowId> {
        let (id, mut flow) = self.insert(now, flow, care)?;
        let is_expected = flow.is(Status::EXPECTED);
        flow.note(TOLD | if is_expected { EventMask::RELATED } else { EventMask::NEW });
        if tells_labels {
            flow.note(EventMask::LABEL);
        }
        self.events.announce(now, id, &mut flow);
        Ok(id)
    }

    /// Enters a flow into the table.
    pub(super) fn insert(&mut self, now: Instant, flow: Flow, care: Care) -> Done<(FlowId, Flow)> {
        self.table.set_care(FlowId::UNBORN, care);
        let mut draft = Draft(flow);
        let entered = self.table.confirm(now, &mut draft, &mut self.rng, None);
        self.table.forget_unborn();
        let id = match entered {
            Ok(id) => id,
            Err(ConfirmError::Taken(..)) => return Err(CommandError::Exists),
            Err(ConfirmError::ChainTooLong) => {
                self.stats.chaintoolong += 1;
                return Err(CommandError::NoSpace);
            }
        };
        self.stats.insert += 1;
        Ok((id, draft.0))
    }

    /// Changes a flow, in this order: helper, timeout, status, tracker's memory, mark, corrections, labels. What comes
    /// before an error has been done, and is not announced. Linux: `ctnetlink_change_conntrack`.
    ///
    /// Of the status, SEEN_REPLY, ASSURED, FIXED_TIMEOUT and HELPER can be set; not even they can be taken back. Bits
    /// that only the kernel sets must be as they are, or are not looked at.
    ///
    /// # Errors
    /// [`CommandError::NotFound`], [`CommandError::Busy`] (status, another helper), [`CommandError::NotSupported`]
    /// (helper), [`CommandError::NotPermitted`] (timeout), [`CommandError::Invalid`] (tracker's memory).
    pub fn change(&mut self, now: Instant, id: FlowId, change: &Change<'_>) -> Done {
        let mut flow = self.table.load(id).ok_or(CommandError::NotFound)?;
        if let Some(name) = change.helper {
            self.change_helper(now, id, &mut flow, name)?;
        }
        let done = apply_timeout(now, &mut flow, change).and_then(|()| apply(&mut flow, change));
        let mut care = self.table.care(id);
        if done.is_ok() {
            care.corrections = corrected(&mut flow, care.corrections, change);
        }
        if flow.helper.is_none() {
            care.memory = Memory::None;
        }
        if Care::is_of(&flow) {
            self.table.set_care(id, care);
        }
        if done.is_ok() {
            flow.note(TOLD | EventMask::LABEL);
            self.events.announce(now, id, &mut flow);
        }
        self.table.save(id, &flow);
        done
    }

    fn change_helper(&mut self, now: Instant, id: FlowId, flow: &mut Flow, name: &[u8]) -> Done {
        let is_same = flow.helper.is_some_and(|helper| helper.name().as_bytes() == name);
        if flow.is(Status::EXPECTED) {
            return if is_same { Ok(()) } else { Err(CommandError::Busy) };
        }
        if name.is_empty() {
            if flow.helper.take().is_some() {
                self.table.expectations.orphan(id, now, &mut self.events);
            }
            return Ok(());
        }
        helper_named(name, flow).ok_or(CommandError::NotSupported)?;
        if !flow.is(Status::HELPER) {
            return Err(CommandError::NotSupported);
        }
        if is_same { Ok(()) } else { Err(CommandError::Busy) }
    }

    /// Deletes a flow; whether it was there.
    pub fn kill(&mut self, now: Instant, id: FlowId) -> bool {
        let was_there = self.table.has(id);
        self.table.kill(id, now, &mut self.events);
        was_there
    }

    /// What a flow has counted, if it counts; it begins at zero again.
    pub fn take_counters(&mut self, id: FlowId) -> Option<[Counter; 2]> {
        let mut flow = self.table.load(id)?;
        let counters = flow.acct.replace(Default::default())?;
        self.table.save(id, &flow);
        Some(counters)
    }

    /// Makes room for a flow of this tuple; whether there is any. Linux: `__nf_conntrack_alloc`.
    pub(crate) fn make_room(&mut self, now: Instant, tuple: &Tuple, zone: Zone) -> bool {
        self.has_room()
            || self.make_room_near(now, self.table.hash(tuple, zone, Direction::Original))
    }

    /// [`Engine::make_room`] in a full table, for a flow whose original tuple has this hash.
    pub(crate) fn make_room_near(&mut self, now: Instant, hash: u32) -> bool {
        self.table.post.iter_mut().for_each(|post| post.was_short = true);
        let evicted = self.table.early_drop(now, hash, &mut self.events);
        self.stats.early_drop += evicted as u64;
        if evicted == 0 {
            self.log.table_full(now);
            self.call_collector(now);
        }
        evicted > 0
    }
}

/// Whether both can be answered, and are of one kind.
pub(super) fn check_tuples(orig: &Tuple, reply: &Tuple) -> Done {
    let is_answered = orig.invert().is_some() && reply.invert().is_some();
    let fits = orig.proto == reply.proto && orig.family() == reply.family();
    if is_answered && fits { Ok(()) } else { Err(CommandError::Invalid) }
}

fn helper_named(name: &[u8], flow: &Flow) -> Option<Helper> {
    let helper = Helper::of_name(str::from_utf8(name).ok()?)?;
    helper.reads(flow.orig.family(), flow.orig.proto).then_some(helper)
}

pub(super) fn deadline(now: Instant, timeout: u32) -> Instant {
    now + Duration::from_secs(timeout.min(MAX_TIMEOUT).into())
}

fn apply_timeout(now: Instant, flow: &mut Flow, change: &Change<'_>) -> Done {
    let Some(timeout) = change.timeout else { return Ok(()) };
    if flow.is(Status::FIXED_TIMEOUT) {
        return Err(CommandError::NotPermitted);
    }
    flow.deadline = deadline(now, timeout);
    Ok(())
}

pub(super) fn apply(flow: &mut Flow, change: &Change<'_>) -> Done {
    if let Some(status) = change.status {
        flow.status = checked(flow.status, status)?;
    }
    apply_proto(&mut flow.proto, &change.proto)?;
    if let Some((mark, mask)) = change.mark {
        flow.mark = flow.mark & !mask ^ mark;
    }
    if let Some(secmark) = change.secmark.filter(|secmark| *secmark != flow.secmark) {
        flow.secmark = secmark;
        flow.note(EventMask::SECMARK);
    }
    if let Some((labels, mask)) = change.labels {
        flow.labels = Labels::of_bits(flow.labels.bits() & !mask ^ labels);
    }
    Ok(())
}

/// Linux: `nf_ct_change_status_common`.
fn checked(old: Status, new: Status) -> Done<Status> {
    const FINAL: Status = Status::EXPECTED.union(Status::CONFIRMED).union(Status::DYING);
    const KEPT: Status = Status::SEEN_REPLY.union(Status::ASSURED);
    const SETTABLE: Status = KEPT.union(Status::FIXED_TIMEOUT).union(Status::HELPER);
    let differs = (old ^ new).intersects(FINAL);
    let is_taken_back = (old & KEPT).difference(new) != Status::empty();
    if differs || is_taken_back {
        return Err(CommandError::Busy);
    }
    Ok(old | new & SETTABLE)
}

fn apply_proto(proto: &mut ProtoState, change: &ProtoChange) -> Done {
    match (proto, change) {
        (ProtoState::Tcp(tcp), ProtoChange::Tcp(change)) => apply_tcp(tcp, change),
        (ProtoState::Sctp(sctp), ProtoChange::Sctp(all)) => {
            let (state, tags) = all.as_ref().ok_or(CommandError::Invalid)?;
            let state = SctpState::ALL.get(usize::from(*state)).ok_or(CommandError::Range)?;
            (sctp.state, sctp.tags) = (*state, *tags);
            Ok(())
        }
        (_, ProtoChange::None | ProtoChange::Tcp(_) | ProtoChange::Sctp(_)) => Ok(()),
    }
}

/// Linux: `nlattr_to_tcp`.
fn apply_tcp(tcp: &mut Tcp, change: &TcpChange) -> Done {
    const MAX_SCALE: u8 = 14;
    if let Some(state) = change.state {
        tcp.state = *TcpState::ALL.get(usize::from(state)).ok_or(CommandError::Range)?;
    }
    for (peer, flags) in tcp.seen.iter_mut().zip(change.flags) {
        if let Some((flags, mask)) = flags {
            peer.flags = peer.flags.difference(mask) | flags & mask;
        }
    }
    let have_scales = tcp.seen.iter().all(|peer| peer.flags.contains(PeerFlags::WINDOW_SCALE));
    if let Some(scales) = change.scales.filter(|_| have_scales) {
        for (peer, scale) in tcp.seen.iter_mut().zip(scales) {
            peer.scale = scale.min(MAX_SCALE);
        }
    }
    Ok(())
}

/// Linux: `ctnetlink_change_seq_adj`.
fn corrected(flow: &mut Flow, old: [Correction; 2], change: &Change<'_>) -> [Correction; 2] {
    if change.corrections.iter().any(Option::is_some) {
        flow.status |= Status::SEQ_ADJUST;
    }
    [Direction::Original, Direction::Reply]
        .map(Direction::index)
        .map(|dir| change.corrections[dir].unwrap_or(old[dir]))
}
