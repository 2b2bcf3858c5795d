//! The conntrack hook, and confirmation: which flow a packet belongs to.
//!
//! Linux: `nf_conntrack_in`, `resolve_normal_ct`, `nf_conntrack_inet_error`,
//! `__nf_conntrack_confirm`.

use core::ops::ControlFlow::{Break, Continue};

use tidegate_wire::dissect::dissect_quoted;
use tidegate_wire::{Family, Headers, proto};

use super::{Passage, Walk};
use crate::engine::Engine;
use crate::event::EventMask;
use crate::fib::Fib;
use crate::flow::{Draft, Flow, FlowId, Labels, Lifetime, Status};
use crate::packet::{CtInfo, Held, Tracked, Transit};
use crate::rules::Hook;
use crate::table::ConfirmError;
use crate::trace::{Observer, Step};
use crate::track::icmp::IcmpClass;
use crate::track::{
    IgnoreReason, InvalidReason, Judgement, ProtoState, Segment, gre, icmp, icmpv6, judge,
};
use crate::tuple::{Direction, Tuple, Zone};
use crate::verdict::DropReason;

/// What is remarkable about how a packet was judged.
#[derive(Clone, Copy)]
enum Remark {
    Invalid(InvalidReason),
    Ignored(IgnoreReason),
}

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    /// Finds or begins the packet's flow and lets its tracker judge. INVALID is
    /// no verdict: the packet goes on, and rules decide.
    pub(super) fn conntrack(&mut self, t: &mut Transit<'_, '_>, hook: Hook) -> Passage {
        if !matches!(t.tracked, Tracked::None) {
            return Continue(());
        }
        let verify_checksum = hook == Hook::Prerouting && self.engine.limits.checksum;
        match self.classify(t, verify_checksum) {
            IcmpClass::Untracked => t.tracked = Tracked::Untracked,
            IcmpClass::Invalid(reason) => self.refuse_icmp(reason),
            IcmpClass::Error(quote) => self.relate(t, quote),
            IcmpClass::Query => return self.resolve(t, verify_checksum),
        }
        Continue(())
    }

    /// ICMP messages need a look before any look-up; everything else is a query.
    fn classify(&self, t: &Transit<'_, '_>, verify_checksum: bool) -> IcmpClass {
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
        }
    }

    /// An ICMP error belongs to the flow whose packet it quotes, if it goes to
    /// that packet's sender; it may come from anywhere.
    fn relate(&mut self, t: &mut Transit<'_, '_>, quote: usize) {
        let message = t.headers.payload(t.packet.bytes);
        let tuple = message
            .get(quote..)
            .and_then(|quote| quoted_tuple(t.headers.family, quote))
            .and_then(|tuple| tuple.invert());
        let zone = zone_of(t);
        let found = tuple.and_then(|tuple| self.find(&tuple, zone, None));
        let Some((id, dir)) = found else {
            return self.refuse_icmp(InvalidReason::IcmpUnrelated);
        };
        let Some(flow) = self.engine.table.load(id) else { return };
        if flow.tuple(dir).dst != t.headers.dst {
            return self.refuse_icmp(InvalidReason::IcmpOuterAddress);
        }
        t.tracked = Tracked::Flow(Held { id, flow }, CtInfo::Related(dir));
        self.tell(tuple, t.tracked.flow(), &t.tracked, None);
    }

    fn refuse_icmp(&mut self, reason: InvalidReason) {
        self.engine.stats.error += 1;
        self.engine.stats.invalid_reasons[reason.index()] += 1;
        self.tell(None, None, &Tracked::None, Some(Remark::Invalid(reason)));
    }

    fn refuse(&mut self, tuple: Option<Tuple>, flow: Option<&Flow>, reason: InvalidReason) {
        self.engine.stats.invalid += 1;
        self.engine.stats.invalid_reasons[reason.index()] += 1;
        self.tell(tuple, flow, &Tracked::None, Some(Remark::Invalid(reason)));
    }

    fn resolve(&mut self, t: &mut Transit<'_, '_>, verify_checksum: bool) -> Passage {
        let tuple = match tuple_of(t.packet.bytes, &t.headers) {
            Ok(tuple) => tuple,
            Err(reason) => {
                self.refuse(None, None, reason);
                return Continue(());
            }
        };
        let zone = zone_of(t);
        // A closed connection may be begun again: then look a second time.
        for _ in 0..2 {
            match self.find(&tuple, zone, self.hash) {
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

    /// Looks a tuple up, whose hash in the default zone may be known; a flow that has expired is put
    /// away on the way.
    fn find(
        &mut self,
        tuple: &Tuple,
        zone: Zone,
        hash: Option<u32>,
    ) -> Option<(FlowId, Direction)> {
        let engine = &mut *self.engine;
        engine.table.find_or_evict(self.now, (tuple, zone), hash, &mut engine.events)
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
        let Some(flow) = engine.table.load(id) else { return false };
        let info = info_of(&flow, dir);
        t.tracked = Tracked::Flow(Held { id, flow }, info);
        let Tracked::Flow(held, _) = &mut t.tracked else { return true };
        let before = O::WATCHES.then(|| held.flow.clone());
        let policies = &engine.policies;
        let own = held.flow.policy.and_then(|id| policies.limits(id, &engine.limits));
        let segment = Segment {
            datagram: &*t.packet.bytes,
            headers: &t.headers,
            dir,
            now: self.now,
            limits: own.as_ref().unwrap_or(&engine.limits),
            verify_checksum,
        };
        let judgement = judge(&mut held.flow, &segment);
        let remark = match judgement {
            Judgement::Reopen => {
                engine.table.kill_as(id, &held.flow, self.now, &mut engine.events);
                t.tracked = Tracked::None;
                return false;
            }
            Judgement::Invalid(reason) => {
                engine.table.save(id, &held.flow);
                let tracked = core::mem::take(&mut t.tracked);
                self.refuse(Some(*tuple), tracked.flow(), reason);
                return true;
            }
            Judgement::Close => {
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
        self.tell_change(tuple, before.as_ref(), &t.tracked, remark);
        true
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
            self.refuse(Some(*tuple), None, InvalidReason::NotAnswerable);
            return Continue(());
        };
        self.make_room(tuple, zone)?;
        let mut flow = self.blank_flow(t, *tuple, reply, zone);
        let Engine { policies, limits, .. } = &*self.engine;
        let own = flow.policy.and_then(|id| policies.limits(id, limits));
        let mut segment = self.segment(t, Direction::Original, verify_checksum);
        if let Some(own) = &own {
            segment.limits = own;
        }
        let judgement = judge(&mut flow, &segment);
        match judgement {
            Judgement::Invalid(reason) => self.refuse(Some(*tuple), None, reason),
            Judgement::Accept | Judgement::Ignore(_) | Judgement::Close | Judgement::Reopen => {
                t.tracked = Tracked::Draft(Draft(flow), CtInfo::New);
                self.tell_change(tuple, None, &t.tracked, None);
            }
        }
        Continue(())
    }

    fn make_room(&mut self, tuple: &Tuple, zone: Zone) -> Passage {
        let engine = &mut *self.engine;
        let max = engine.limits.max as usize;
        if max == 0 || engine.table.len() < max {
            return Continue(());
        }
        let evicted = engine.table.early_drop(self.now, tuple, zone, &mut engine.events);
        if evicted > 0 {
            engine.stats.early_drop += evicted as u64;
            return Continue(());
        }
        engine.stats.drop += 1;
        engine.log.table_full(self.now);
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
            policy: t.template.and_then(|template| template.policy),
            mark: 0,
            proto: ProtoState::None,
            acct: limits.acct.then(Default::default),
            lifetime: limits.timestamp.then(Lifetime::default),
            masquerade_port: None,
            pending: EventMask::empty(),
            announced: wanted.unwrap_or(all),
        }
    }

    /// The last hook: a draft enters the table, and what has been noted on the
    /// flow is announced.
    pub(super) fn confirm(&mut self, t: &mut Transit<'_, '_>) -> Passage {
        match core::mem::take(&mut t.tracked) {
            Tracked::Draft(draft, info) if info.direction() == Some(Direction::Original) => {
                t.tracked = Tracked::Flow(self.insert(draft)?, info);
            }
            tracked => t.tracked = tracked,
        }
        if let Tracked::Flow(held, _) = &mut t.tracked
            && !held.flow.pending.is_empty()
            && self.engine.table.has(held.id)
        {
            self.engine.events.announce(self.now, held.id, &mut held.flow);
        }
        Continue(())
    }

    /// Linux merges two drafts of one UDP conversation that raced on two CPUs.
    /// One engine handles one packet at a time, so a tuple that is taken here
    /// is another flow's, and the packet is dropped.
    fn insert(&mut self, mut draft: Draft) -> Passage<Held> {
        let notes = core::mem::take(&mut draft.0.pending);
        let engine = &mut *self.engine;
        match engine.table.confirm(self.now, &mut draft, &mut engine.rng, self.hash) {
            Ok(id) => {
                self.observer.note(|| Step::Confirmed);
                let mut flow = draft.0;
                flow.note(notes | EventMask::NEW);
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

    fn tell(
        &mut self,
        tuple: Option<Tuple>,
        flow: Option<&Flow>,
        after: &Tracked,
        remark: Option<Remark>,
    ) {
        if O::WATCHES {
            self.tell_step(tuple, flow, flow, after.info(), remark);
        }
    }

    fn tell_change(
        &mut self,
        tuple: &Tuple,
        before: Option<&Flow>,
        after: &Tracked,
        remark: Option<Remark>,
    ) {
        if O::WATCHES {
            self.tell_step(Some(*tuple), before, after.flow(), after.info(), remark);
        }
    }

    fn tell_step(
        &mut self,
        tuple: Option<Tuple>,
        before: Option<&Flow>,
        after: Option<&Flow>,
        info: CtInfo,
        remark: Option<Remark>,
    ) {
        let now = self.now;
        let text = |flow: &Flow| alloc::format!("{}", flow.summary(now));
        let remark = remark.map(|remark| match remark {
            Remark::Invalid(reason) => alloc::format!("{reason}"),
            Remark::Ignored(reason) => alloc::format!("{reason}"),
        });
        let (before, after) = (before.map(text), after.map(text));
        self.observer.note(|| Step::Conntrack { tuple, before, after, info, remark });
    }
}

/// The zone that a CT rule chose, or the default one.
fn zone_of(t: &Transit<'_, '_>) -> Zone {
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
fn info_of(flow: &Flow, dir: Direction) -> CtInfo {
    match dir {
        Direction::Reply => CtInfo::Established(dir),
        Direction::Original if flow.is(Status::SEEN_REPLY) => CtInfo::Established(dir),
        Direction::Original if flow.is(Status::EXPECTED) => CtInfo::Related(dir),
        Direction::Original => CtInfo::New,
    }
}

/// The tuple of a quoted datagram, which may be cut off anywhere.
fn quoted_tuple(family: Family, quote: &[u8]) -> Option<Tuple> {
    tuple_of(quote, &dissect_quoted(family, quote)?).ok()
}

/// The tuple of a datagram, if it has one.
pub(crate) fn tuple_in(datagram: &[u8], headers: &Headers) -> Option<Tuple> {
    tuple_of(datagram, headers).ok()
}

/// The tuple of a datagram: four bytes suffice for ports, eight for ICMP.
fn tuple_of(datagram: &[u8], headers: &Headers) -> Result<Tuple, InvalidReason> {
    headers.l4.ok_or(InvalidReason::NoUpperLayer)?;
    let payload = headers.payload(datagram);
    let word = |at: usize| match payload.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(InvalidReason::NoUpperLayer),
    };
    let (sport, dport) = match headers.proto {
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP => (word(0)?, word(2)?),
        proto::GRE => gre::keys(payload)?,
        proto::ICMP | proto::ICMPV6 => {
            word(6)?;
            (word(4)?, word(0)?)
        }
        _ => (0, 0),
    };
    Ok(Tuple { src: headers.src, dst: headers.dst, sport, dport, proto: headers.proto })
}
