//! The conntrack hook, and confirmation: which flow a packet belongs to.
//!
//! Linux: `nf_conntrack_in`, `resolve_normal_ct`, `nf_conntrack_inet_error`,
//! `__nf_conntrack_confirm`.

use core::ops::ControlFlow::{Break, Continue};

use tidegate_wire::dissect::dissect_quoted;
use tidegate_wire::{Family, Headers, proto};

use super::fragment::pull_verified;
use super::remark::Remark;
use super::{Passage, Walk};
use crate::engine::Engine;
use crate::event::EventMask;
use crate::expect::KeyMap;
use crate::fib::Fib;
use crate::flow::{Draft, Flow, FlowId, Labels, Lifetime, Status};
use crate::packet::{CtInfo, Held, Tracked, Transit};
use crate::rules::Hook;
use crate::table::{ConfirmError, Hint};
use crate::trace::{Observer, Step};
use crate::track::icmp::IcmpClass;
use crate::track::{
    Doubt, InvalidReason, Judgement, ProtoState, Segment, gre, icmp, icmpv6, judge,
};
use crate::tuple::{Direction, Tuple, Zone};
use crate::verdict::DropReason;

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    /// Finds or begins the packet's flow and lets its tracker judge. INVALID is
    /// no verdict: the packet goes on, and rules decide.
    pub(super) fn conntrack(&mut self, t: &mut Transit<'_, '_>, hook: Hook) -> Passage {
        if !matches!(t.tracked, Tracked::None) {
            return Continue(());
        }
        let verify_checksum = hook == Hook::Prerouting && self.engine.limits.checksum;
        if let Some(plan) = t.plan.as_mut().filter(|_| verify_checksum) {
            pull_verified(plan, &t.headers);
        }
        match self.classify(t, verify_checksum) {
            IcmpClass::Untracked => t.tracked = Tracked::Untracked,
            IcmpClass::Invalid(reason) => self.refuse_icmp(t, reason, Doubt::Invalid(reason)),
            IcmpClass::Error(quote) => self.relate(t, quote),
            IcmpClass::Query => return self.resolve(t, verify_checksum),
        }
        Continue(())
    }

    /// ICMP messages need a look before any look-up; everything else is a query.
    pub(super) fn classify(&self, t: &Transit<'_, '_>, verify_checksum: bool) -> IcmpClass {
        let classify = match (t.headers.family, t.headers.proto, t.headers.l4) {
            (Family::V4, proto::ICMP, Some(_)) => icmp::classify,
            (Family::V6, proto::ICMPV6, Some(_)) => icmpv6::classify,
            _ => return IcmpClass::Query,
        };
        classify(&self.segment(t, Direction::Original, verify_checksum))
    }

    fn segment<'a>(
        &'a self,
        t: &'a Transit<'_, '_>,
        dir: Direction,
        verify_checksum: bool,
    ) -> Segment<'a> {
        Segment {
            datagram: &*t.packet.bytes,
            headers: &t.headers,
            dir,
            now: self.now,
            limits: &self.engine.limits,
            verify_checksum,
            corrections: None,
        }
    }

    /// An ICMP error belongs to the flow whose packet it quotes, if it goes to
    /// that packet's sender; it may come from anywhere.
    fn relate(&mut self, t: &mut Transit<'_, '_>, quote: usize) {
        let message = t.headers.payload(t.packet.bytes);
        let tuple = message
            .get(quote..)
            .and_then(|quote| quoted_tuple(t.headers.family, quote, self.keys()))
            .and_then(|tuple| tuple.invert());
        let zone = zone_of(t);
        let found = tuple.and_then(|tuple| self.find(&tuple, zone, None));
        let Some((id, dir)) = found else {
            let reason = InvalidReason::IcmpUnrelated;
            return self.refuse_icmp(t, reason, Doubt::Invalid(reason));
        };
        let Some(flow) = self.engine.table.load(id) else { return };
        let inner = flow.tuple(dir).dst;
        if inner != t.headers.dst {
            let doubt = Doubt::OuterAddress(t.headers.dst, inner);
            return self.refuse_icmp(t, InvalidReason::IcmpOuterAddress, doubt);
        }
        t.tracked = Tracked::Flow(Held { id, flow }, CtInfo::Related(dir));
        self.tell(tuple, t.tracked.flow(), &t.tracked, None);
    }

    fn resolve(&mut self, t: &mut Transit<'_, '_>, verify_checksum: bool) -> Passage {
        let tuple = match tuple_of(t.packet.bytes, &t.headers, self.keys()) {
            Ok(tuple) => tuple,
            Err(reason) => {
                self.refuse(t, None, None, reason);
                return Continue(());
            }
        };
        let zone = zone_of(t);
        // A closed connection may be begun again: then look a second time.
        for _ in 0..2 {
            match self.find(&tuple, zone, self.hint) {
                Some((id, dir)) if self.judge_known(t, &tuple, id, dir, verify_checksum) => break,
                Some(_) => {}
                None => {
                    self.begin(t, &tuple, zone, verify_checksum)?;
                    break;
                }
            }
        }
        Continue(())
    }

    pub(super) fn keys(&self) -> &KeyMap {
        &self.engine.table.expectations.keys
    }

    /// Looks a tuple up; a flow that has expired is put away on the way.
    fn find(
        &mut self,
        tuple: &Tuple,
        zone: Zone,
        hint: Option<Hint>,
    ) -> Option<(FlowId, Direction)> {
        let engine = &mut *self.engine;
        engine.table.find_or_evict(self.now, (tuple, zone), hint, &mut engine.events)
    }

    /// Lets the tracker judge a packet of a known flow. False: the flow was
    /// closed and is gone now, look again.
    fn judge_known(
        &mut self,
        t: &mut Transit<'_, '_>,
        tuple: &Tuple,
        id: FlowId,
        dir: Direction,
        verify_checksum: bool,
    ) -> bool {
        let engine = &mut *self.engine;
        if !engine.table.has(id) {
            return false;
        }
        t.tracked = Tracked::Flow(Held { id, flow: engine.table.read(id) }, CtInfo::New);
        let Tracked::Flow(held, info) = &mut t.tracked else { return true };
        *info = info_of(held.flow.status, dir);
        let before = O::WATCHES.then(|| held.flow.clone());
        let is_corrected = held.flow.is(Status::SEQ_ADJUST);
        let policies = &engine.policies;
        let own = held.flow.policy.and_then(|id| policies.limits(id, &engine.limits));
        let segment = Segment {
            datagram: &*t.packet.bytes,
            headers: &t.headers,
            dir,
            now: self.now,
            limits: own.as_ref().unwrap_or(&engine.limits),
            verify_checksum,
            corrections: is_corrected.then(|| engine.table.corrections(id)).flatten(),
        };
        let judgement = judge(&mut held.flow, &segment);
        let remark = match judgement {
            Judgement::Reopen => {
                engine.table.kill_as(id, &held.flow, self.now, &mut engine.events);
                t.tracked = Tracked::None;
                return false;
            }
            Judgement::Invalid(reason) | Judgement::Shortened(reason, _) => {
                engine.table.save(id, &held.flow);
                self.detach(t, tuple, reason);
                self.log_shortened(t, judgement);
                return true;
            }
            Judgement::Close => {
                t.estate = held.flow.is_proxied.then(|| engine.table.care(id));
                engine.table.kill_as(id, &held.flow, self.now, &mut engine.events);
                see_reply(&mut held.flow, dir);
                held.flow.status |= Status::DYING;
                None
            }
            Judgement::Accept | Judgement::Ignore(_) => {
                see_reply(&mut held.flow, dir);
                held.save(&mut engine.table);
                judgement.ignored().map(Remark::Ignored)
            }
        };
        if let Some(Remark::Ignored(reason)) = remark {
            self.log_doubt(t, Doubt::Ignored(reason));
        }
        self.tell_change(tuple, before.as_ref(), &t.tracked, remark);
        true
    }

    fn log_shortened(&mut self, t: &Transit<'_, '_>, judgement: Judgement) {
        if let Judgement::Shortened(_, shortened) = judgement {
            self.log_doubt(t, Doubt::Shortened(shortened));
        }
    }

    /// Goes on with a packet as INVALID that is not of the flow whose tuple it has.
    fn detach(&mut self, t: &mut Transit<'_, '_>, tuple: &Tuple, reason: InvalidReason) {
        let tracked = core::mem::take(&mut t.tracked);
        self.refuse(t, Some(*tuple), tracked.flow(), reason);
    }

    /// Begins a flow with this packet. Room is made before the tracker is asked,
    /// so a full table drops even what would have been INVALID.
    fn begin(
        &mut self,
        t: &mut Transit<'_, '_>,
        tuple: &Tuple,
        zone: Zone,
        verify_checksum: bool,
    ) -> Passage {
        let Some(reply) = tuple.invert() else {
            self.refuse(t, Some(*tuple), None, InvalidReason::NotAnswerable);
            return Continue(());
        };
        self.make_room(tuple, zone)?;
        let mut flow = self.blank_flow(t, *tuple, reply, zone);
        self.meet_expectation(t, &mut flow);
        let Engine { policies, limits, .. } = &*self.engine;
        let own = flow.policy.and_then(|id| policies.limits(id, limits));
        let mut segment = self.segment(t, Direction::Original, verify_checksum);
        if let Some(own) = &own {
            segment.limits = own;
        }
        let judgement = judge(&mut flow, &segment);
        match judgement {
            Judgement::Invalid(reason) | Judgement::Shortened(reason, _) => {
                self.engine.table.forget_unborn();
                self.refuse(t, Some(*tuple), None, reason);
            }
            Judgement::Accept | Judgement::Ignore(_) | Judgement::Close | Judgement::Reopen => {
                let info = info_of(flow.status, Direction::Original);
                t.tracked = Tracked::Draft(Draft(flow), info);
                self.tell_change(tuple, None, &t.tracked, None);
            }
        }
        Continue(())
    }

    fn make_room(&mut self, tuple: &Tuple, zone: Zone) -> Passage {
        if !self.is_refused && self.engine.make_room(self.now, tuple, zone) {
            return Continue(());
        }
        self.engine.stats.drop += 1;
        Break(DropReason::TableFull)
    }

    fn blank_flow(&self, t: &Transit<'_, '_>, orig: Tuple, reply: Tuple, zone: Zone) -> Flow {
        let limits = &self.engine.limits;
        let wanted = t.template.and_then(|template| template.events);
        let all = if limits.events == 0 { EventMask::empty() } else { EventMask::all() };
        Flow {
            orig,
            reply,
            status: Status::empty(),
            deadline: self.now,
            zone,
            labels: Labels::NONE,
            secmark: 0,
            policy: t.template.and_then(|template| template.policy),
            mark: 0,
            proto: ProtoState::None,
            acct: limits.acct.then(Default::default),
            lifetime: limits.timestamp.then(Lifetime::default),
            masquerade_port: None,
            is_proxied: false,
            helper: None,
            master_helper: None,
            pending: EventMask::empty(),
            announced: wanted.unwrap_or(all),
        }
    }

    /// The last hook: a helper reads the packet, a draft enters the table, and what
    /// has been noted on the flow is announced.
    pub(super) fn confirm(&mut self, t: &mut Transit<'_, '_>) -> Passage {
        if self.engine.table.has_cares() || t.estate.is_some() {
            self.assist(t)?;
        }
        if let Tracked::Draft(_, info) = t.tracked
            && info.direction() == Some(Direction::Original)
            && let Tracked::Draft(draft, info) = core::mem::take(&mut t.tracked)
        {
            t.tracked = Tracked::Flow(self.insert(draft)?, info);
        }
        if let Tracked::Flow(held, _) = &mut t.tracked
            && !held.flow.pending.is_empty()
            && self.engine.table.has(held.id)
        {
            self.engine.events.announce(self.now, held.id, &mut held.flow);
            self.forget_notes(held.id);
        }
        Continue(())
    }

    /// What a dropped packet had left for the flow's next one has been announced now.
    fn forget_notes(&mut self, id: FlowId) {
        let table = &mut self.engine.table;
        if let Some(mut flow) = table.has_notes(id).then(|| table.load(id)).flatten() {
            flow.pending = EventMask::empty();
            table.save(id, &flow);
        }
    }

    /// Linux merges two drafts of one UDP conversation that raced on two CPUs.
    /// One engine handles one packet at a time, so a tuple that is taken here
    /// is another flow's, and the packet is dropped.
    fn insert(&mut self, mut draft: Draft) -> Passage<Held> {
        let notes = core::mem::take(&mut draft.0.pending);
        let engine = &mut *self.engine;
        let hash = self.hint.map(|hint| hint.hash);
        match engine.table.confirm(self.now, &mut draft, &mut engine.rng, hash) {
            Ok(id) => {
                self.observer.note(|| Step::Confirmed);
                let mut flow = draft.0;
                engine.table.expectations.adopt(id);
                flow.note(notes | birth_of(&flow));
                Continue(Held { id, flow })
            }
            Err(ConfirmError::Taken(..)) => {
                engine.stats.drop += 1;
                engine.stats.insert_failed += 1;
                Break(DropReason::Clash)
            }
            Err(ConfirmError::ChainTooLong) => {
                engine.stats.chaintoolong += 1;
                engine.stats.insert_failed += 1;
                Break(DropReason::ChainTooLong)
            }
        }
    }
}

/// What the beginning of a flow is to those who listen.
#[inline]
fn birth_of(flow: &Flow) -> EventMask {
    let birth = if flow.is(Status::EXPECTED) { EventMask::RELATED } else { EventMask::NEW };
    if flow.helper.is_some() { birth | EventMask::HELPER } else { birth }
}

/// The zone that a CT rule chose, or the default one.
pub(super) fn zone_of(t: &Transit<'_, '_>) -> Zone {
    t.template.map_or_else(Zone::default, |template| template.zone)
}

fn see_reply(flow: &mut Flow, dir: Direction) {
    if dir == Direction::Reply && !flow.is(Status::SEEN_REPLY) {
        flow.status |= Status::SEEN_REPLY;
        flow.note(EventMask::REPLY);
    }
}

/// What rules see of an accepted packet of this flow. Every packet of the
/// original direction is NEW until there was an answer.
pub(super) fn info_of(status: Status, dir: Direction) -> CtInfo {
    match dir {
        Direction::Reply => CtInfo::Established(dir),
        Direction::Original if status.contains(Status::SEEN_REPLY) => CtInfo::Established(dir),
        Direction::Original if status.contains(Status::EXPECTED) => CtInfo::Related(dir),
        Direction::Original => CtInfo::New,
    }
}

/// The tuple of a quoted datagram, which may be cut off anywhere.
pub(super) fn quoted_tuple(family: Family, quote: &[u8], keys: &KeyMap) -> Option<Tuple> {
    tuple_of(quote, &dissect_quoted(family, quote)?, keys).ok()
}

/// The tuple of a datagram, if it has one; of PPTP's GRE without the sender's key.
pub(crate) fn tuple_in(datagram: &[u8], headers: &Headers) -> Option<Tuple> {
    tuple_of(datagram, headers, &KeyMap::default()).ok()
}

/// The tuple of a datagram: four bytes suffice for ports, eight for ICMP. The sender's key of a GRE
/// packet is looked up.
pub(super) fn tuple_of(
    datagram: &[u8],
    headers: &Headers,
    keys: &KeyMap,
) -> Result<Tuple, InvalidReason> {
    headers.l4.ok_or(InvalidReason::NoUpperLayer)?;
    let payload = headers.payload(datagram);
    let word = |at: usize| match payload.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(InvalidReason::NoUpperLayer),
    };
    let (sport, dport) = match headers.proto {
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP => (word(0)?, word(2)?),
        proto::GRE => gre::receiver_key(payload)?
            .map_or((0, 0), |key| (keys.sender((headers.src, headers.dst, key)), key)),
        proto::ICMP | proto::ICMPV6 => {
            word(6)?;
            (word(4)?, word(0)?)
        }
        _ => (0, 0),
    };
    Ok(Tuple { src: headers.src, dst: headers.dst, sport, dport, proto: headers.proto })
}
