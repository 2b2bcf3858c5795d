//! A flow as the table keeps it: 80 bytes for IPv4, 104 for IPv6.
//!
//! A [`Record`] holds what every flow has, and all that a packet of an established flow reads and
//! writes: tuple, status, deadline, the tracker's cells, and for which tick its timer is armed. A
//! multiple of 16 bytes, it lies in two neighbouring cache lines, wherever it begins. What not all flows
//! have lies beside it (`annex`): another reply tuple than the inverse, a mark, a zone. `counters`, the time
//! of birth and labels lie elsewhere, too, for they come with a switch or a rule.
//!
//! [`Flow`] is the same in the form that the rest of the engine works with; `FlowTable::load` and
//! `save` go between the two.

use super::key::Key;
use super::mapping::Mapping;
use super::newcomer::Newcomer;
use crate::event::EventMask;
use crate::flow::{Flow, Labels, Status};
use crate::path::express;
use crate::time::Instant;
use crate::track::{Cells, ProtoState};
use crate::tuple::{Direction, Zone, ZoneScope};

/// What every flow has.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Record<K> {
    pub(super) key: K,
    /// The tick, modulo 2^32, for which the timer is armed; in a vacant slot the next vacant one.
    pub(super) armed: u32,
    /// What is asked first: the deadline in nanoseconds, rounded up to a tick, and in the lowest bits, which
    /// it leaves, [`BITS`] and [`VETTED`].
    standing: u64,
    /// Whose slot it is; above [`GENERATION`] the epoch of [`Record::vetted`].
    generation: u32,
    /// The protocol, and what its tracker remembers.
    pub(crate) cells: Cells,
}

const _: () = assert!(size_of::<Record<super::key::Key4>>() == 80);
const _: () = assert!(size_of::<Record<super::key::Key6>>() == 104);

/// A tick is 2^20 ns, 1.05 ms, as Linux counts in jiffies of 1 to 10 ms.
pub(super) const TICK_BITS: u32 = 20;

/// The bits of `standing` that the deadline leaves.
const REST: u64 = (1 << TICK_BITS) - 1;
/// Those that say what a [`Record`] has and what becomes of it.
const BITS: u64 = 0xffff;
/// Those of [`Record::vetted`], two for each direction.
const VETTED: u64 = REST & !BITS;
const GENERATION_BITS: u32 = 22;
/// The bits of a generation; those above are an epoch's, of which there are 1,024.
pub(super) const GENERATION: u32 = (1 << GENERATION_BITS) - 1;

/// [`BITS`]: those of [`Status`] that change, and in the places of those that do
/// not, what the record has elsewhere.
const STATUS: u16 = !(HAS_EXTRA | IS_VACANT | HAS_COUNTERS | IS_MAPPED | IS_SILENT);
/// In place of `CONFIRMED`, which every flow of the table is.
const HAS_EXTRA: u16 = 1 << 3;
/// In place of `DYING`, which no flow of the table is: there is no flow here.
const IS_VACANT: u16 = 1 << 9;
const HAS_COUNTERS: u16 = 1 << 11;
/// The two directions have two entries in the index, as neither is found by the other's hash.
const IS_MAPPED: u16 = 1 << 14;
/// Announces nothing.
const IS_SILENT: u16 = 1 << 15;

/// What a flow that is up and running has of [`STATUS`], and what it lacks.
const USUAL: u16 = express::USUAL.bits() as u16;
const UNUSUAL: u16 = express::UNUSUAL.bits() as u16;
const NAT: u16 = Status::NAT.bits() as u16;
const _: () = assert!((USUAL | UNUSUAL | NAT) & !STATUS == 0);
/// There is no flow, or something of it lies elsewhere that says what becomes of its packets.
const ELSEWHERE: u16 = HAS_EXTRA | IS_VACANT | IS_MAPPED;
/// Somebody else is to be asked about the flow, or nobody is here; see [`Record::is_alone`].
const ACCOMPANIED: u16 = UNUSUAL | NAT | ELSEWHERE;

impl<K: Key> Record<K> {
    /// How many bytes from the beginning on a look-up reads.
    pub(super) const HEAD: usize =
        core::mem::offset_of!(Self, cells) + core::mem::offset_of!(Cells, proto) + 1;

    /// What lies in a slot that no flow has.
    pub(super) fn vacant(next_free: u32) -> Self {
        Self {
            key: K::default(),
            armed: next_free,
            standing: u64::from(IS_VACANT),
            generation: 0,
            cells: Cells::default(),
        }
    }

    /// Writes a flow here; timer, generation and vetting stay.
    pub(super) fn write(&mut self, flow: &Flow) {
        self.key = K::of(&flow.orig);
        self.set_bits(flag(is_mapped(flow), IS_MAPPED));
        self.update(flow);
    }

    /// Writes a flow here that is here already: its tuples and its zone are those that it had.
    pub(super) fn update(&mut self, flow: &Flow) {
        let is_mapped = self.bits() & IS_MAPPED;
        let has = is_mapped
            | flag(needs_extra::<K>(flow, is_mapped != 0), HAS_EXTRA)
            | flag(flow.acct.is_some(), HAS_COUNTERS)
            | flag(flow.announced.is_empty(), IS_SILENT);
        self.set_bits(flow.status.bits() as u16 & STATUS | has);
        self.set_deadline(flow.deadline);
        self.cells = flow.proto.pack(flow.orig.proto);
    }

    /// The flow, but for what lies elsewhere: what is not here is what a flow without it has.
    pub(super) fn read(&self) -> Flow {
        let orig = self.key.tuple(self.cells.proto);
        Flow {
            orig,
            reply: orig.invert().unwrap_or(orig),
            status: self.status() | Status::CONFIRMED,
            deadline: self.deadline(),
            zone: Zone::default(),
            mark: 0,
            labels: Labels::NONE,
            secmark: 0,
            policy: None,
            proto: ProtoState::unpack(&self.cells),
            acct: None,
            lifetime: None,
            masquerade_port: None,
            is_proxied: false,
            helper: None,
            master_helper: None,
            pending: EventMask::empty(),
            announced: if self.is_silent() { EventMask::empty() } else { EventMask::all() },
        }
    }

    #[inline(always)]
    fn bits(&self) -> u16 {
        (self.standing & BITS) as u16
    }

    #[inline(always)]
    fn set_bits(&mut self, bits: u16) {
        self.standing = self.standing & !BITS | u64::from(bits);
    }

    #[inline(always)]
    pub(super) fn is_vacant(&self) -> bool {
        self.bits() & IS_VACANT != 0
    }

    /// Zero if a flow is here.
    #[inline(always)]
    pub(super) fn vacancy(&self) -> u64 {
        self.standing & u64::from(IS_VACANT)
    }

    /// Whether a flow is here, and nothing of it elsewhere but counters.
    #[inline(always)]
    pub(super) fn is_plain(&self) -> bool {
        self.bits() & (IS_VACANT | HAS_EXTRA | IS_MAPPED) == 0
    }

    /// Whether a flow is here like most: [alone](Record::is_alone), answered and assured.
    #[inline(always)]
    pub(super) fn is_common(&self) -> bool {
        self.bits() & (USUAL | ACCOMPANIED) == USUAL
    }

    /// Whether the flow is answered and assured, and in nobody's special care.
    #[inline(always)]
    pub(super) fn is_usual(&self) -> bool {
        self.bits() & (USUAL | UNUSUAL) == USUAL
    }

    /// Whether a flow is here that is in nobody's special care, not translated, and has nothing elsewhere but counters, so
    /// that nobody else need be asked about it.
    #[inline(always)]
    pub(super) fn is_alone(&self) -> bool {
        self.bits() & ACCOMPANIED == 0
    }

    /// Whether a flow is here like most, but that NAT has to do with it: nothing of it is elsewhere but its [`Mapping`], and
    /// counters.
    #[inline(always)]
    pub(super) fn is_common_but_mapped(&self) -> bool {
        self.bits() & (USUAL | UNUSUAL | ELSEWHERE) == USUAL | IS_MAPPED
    }

    /// Whether something of the flow is in its `Extra`.
    #[inline(always)]
    pub(super) fn has_extra(&self) -> bool {
        self.bits() & HAS_EXTRA != 0
    }

    /// Whether the flow has a [`Mapping`]: if it is one entry for each direction, or has an `Extra`.
    #[inline(always)]
    pub(super) fn has_mapping(&self) -> bool {
        self.bits() & (IS_MAPPED | HAS_EXTRA) != 0
    }

    /// Makes the record a new tenant's, of which nothing is elsewhere but counters, with an empty status. What was here is
    /// not read, as it may be far.
    #[inline(always)]
    pub(super) fn write_newcomer(&mut self, newcomer: &Newcomer<K>, generation: u32, armed: u32) {
        let has_counters = flag(newcomer.counters.is_some(), HAS_COUNTERS);
        let bits = has_counters | flag(newcomer.announced.is_empty(), IS_SILENT);
        (self.key, self.armed) = (newcomer.key, armed);
        self.standing = tick_of(newcomer.deadline) << TICK_BITS | u64::from(bits);
        self.generation = generation & GENERATION;
        self.cells = newcomer.cells;
    }

    /// Changes the status, but for bits that no record has.
    #[inline(always)]
    pub(crate) fn set_status(&mut self, status: Status) {
        self.set_bits(self.bits() & !STATUS | status.bits() as u16 & STATUS);
    }

    /// Whether it is one entry for each direction.
    #[inline(always)]
    pub(super) fn is_mapped(&self) -> bool {
        self.bits() & IS_MAPPED != 0
    }

    #[inline(always)]
    pub(crate) fn has_counters(&self) -> bool {
        self.bits() & HAS_COUNTERS != 0
    }

    #[inline(always)]
    pub(super) fn is_silent(&self) -> bool {
        self.bits() & IS_SILENT != 0
    }

    /// Which of the slot's tenants this is.
    #[inline(always)]
    pub(super) fn generation(&self) -> u32 {
        self.generation & GENERATION
    }

    /// Whether a flow is here, and that tenant of the slot.
    #[inline(always)]
    pub(super) fn is_of(&self, generation: u32) -> bool {
        !self.is_vacant() && self.generation() == generation
    }

    /// Makes the record a new tenant's.
    pub(super) fn begin(&mut self, generation: u32) {
        self.generation = generation & GENERATION;
        self.standing &= !VETTED;
    }

    /// Whether the rules of `epoch` let all usual packets of this direction go on alike; `None` if
    /// they have not been asked.
    #[inline(always)]
    pub(crate) fn vetted(&self, epoch: u16, dir: Direction) -> Option<bool> {
        let bits = self.standing >> vetted_shift(dir) & 3;
        let is_known = self.generation >> GENERATION_BITS == u32::from(epoch) && bits & 1 != 0;
        is_known.then_some(bits & 2 != 0)
    }

    /// Notes what the rules say; see [`Record::vetted`].
    pub(super) fn set_vetted(&mut self, epoch: u16, dir: Direction, passes: bool) {
        if self.generation >> GENERATION_BITS != u32::from(epoch) {
            self.forget_vetting();
            self.generation |= u32::from(epoch) << GENERATION_BITS;
        }
        self.standing |= (1 | u64::from(passes) << 1) << vetted_shift(dir);
    }

    /// Forgets what the rules said.
    pub(super) fn forget_vetting(&mut self) {
        self.begin(self.generation);
    }

    /// The status, but for `CONFIRMED`.
    #[inline(always)]
    pub(crate) fn status(&self) -> Status {
        Status::from_bits_retain(u32::from(self.bits() & STATUS))
    }

    /// The deadline's number of ticks.
    #[inline(always)]
    pub(super) fn deadline_tick(&self) -> u64 {
        self.standing >> TICK_BITS
    }

    #[inline(always)]
    pub(crate) fn deadline(&self) -> Instant {
        Instant::from_nanos(self.standing & !REST)
    }

    #[inline(always)]
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.standing = tick_of(deadline) << TICK_BITS | self.standing & REST;
    }

    /// Whether the deadline comes later.
    #[inline(always)]
    pub(super) fn is_due_after(&self, tick: Tick) -> bool {
        self.standing > tick.0
    }

    #[inline(always)]
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        !self.is_due_after(Tick::of(now))
    }
}

/// The tick of an instant, as the highest value that `standing` can have whose deadline is no later.
#[derive(Clone, Copy)]
pub(super) struct Tick(u64);

impl Tick {
    #[inline(always)]
    pub(super) fn of(instant: Instant) -> Self {
        Self(tick_of(instant) << TICK_BITS | REST)
    }
}

/// Where the two bits of a direction are in `standing`.
#[inline(always)]
fn vetted_shift(dir: Direction) -> u32 {
    BITS.count_ones() + 2 * dir as u32
}

/// The first tick that is not before an instant; the last one there is for what is beyond it.
#[inline(always)]
pub(super) fn tick_of(instant: Instant) -> u64 {
    const BEYOND: u64 = u64::MAX >> TICK_BITS << TICK_BITS;
    (instant.nanos().min(BEYOND) + ((1 << TICK_BITS) - 1)) >> TICK_BITS
}

/// The first instant of a tick: the nanosecond after its forerunner's number.
pub(super) fn first_of(tick: u64) -> Instant {
    Instant::from_nanos(tick.checked_sub(1).map_or(0, |before| (before << TICK_BITS) + 1))
}

fn flag(is_set: bool, bit: u16) -> u16 {
    if is_set { bit } else { 0 }
}

/// Whether the reply has another hash than the original: it is not the inverse, or the zone counts
/// for one of them only.
pub(super) fn is_mapped(flow: &Flow) -> bool {
    flow.zone.scope != ZoneScope::Both && flow.zone.id != 0
        || flow.orig.invert() != Some(flow.reply)
}

/// Whether a flow has anything that neither its record holds nor, if it has one because it is mapped, its
/// [`Mapping`].
fn needs_extra<K: Key>(flow: &Flow, is_mapped: bool) -> bool {
    let needs_mapping = flow.masquerade_port.is_some();
    (if is_mapped { Mapping::<K>::is_beyond(flow) } else { needs_mapping })
        || flow.status.intersects(Status::EXPECTED | Status::HELPER)
        || flow.mark != 0
        || flow.policy.is_some()
        || flow.zone != Zone::default()
        || flow.is_proxied
        || !flow.pending.is_empty()
        || !(flow.announced.is_all() || flow.announced.is_empty())
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use core::time::Duration;

    use tidegate_wire::{Family, proto};

    use super::super::annex::Annex;
    use super::super::key::{Key4, Key6};
    use super::*;
    use crate::fib::PortId;
    use crate::testkit::{Host, flow, kept, udp};
    use crate::tuple::Tuple;

    fn back<K: Key>(flow: &Flow) -> Flow {
        let mut record: Record<K> = Record::vacant(7);
        assert!(record.is_vacant());
        record.write(flow);
        assert!(!record.is_vacant() && record.armed == 7);
        let mut back = record.read();
        assert_eq!(record.is_mapped(), is_mapped(flow));
        let mut annex: Annex<K> = Annex::default();
        annex.write(3, &record, flow);
        annex.read(3, &record, &mut back);
        back
    }

    #[test]
    fn a_flow_is_common_if_nobody_else_need_be_asked_about_it() {
        let mut record: Record<Key4> = Record::vacant(0);
        let mut common = 0;
        for bits in 0..=u16::MAX {
            record.set_bits(bits);
            let status = record.status();
            let is_usual = status.contains(express::USUAL) && !status.intersects(express::UNUSUAL);
            assert_eq!(record.is_usual(), is_usual, "{bits:#x}");
            let is_elsewhere = record.has_extra() || record.has_mapping() || record.is_vacant();
            let expected = is_usual && !status.intersects(Status::NAT) && !is_elsewhere;
            assert_eq!(record.is_common(), expected, "{bits:#x}");
            let others = express::UNUSUAL | Status::NAT;
            assert_eq!(record.is_alone(), !status.intersects(others) && !is_elsewhere, "{bits:#x}");
            let is_only_mapped = record.is_mapped() && !record.has_extra() && !record.is_vacant();
            assert_eq!(record.is_common_but_mapped(), is_usual && is_only_mapped, "{bits:#x}");
            common += u32::from(expected);
        }
        assert!(common > 0);
    }

    /// Fails unless the flow comes back from a record and an extra as it went.
    fn check(flow: &Flow) {
        let back = match flow.orig.family() {
            Family::V4 => back::<Key4>(flow),
            Family::V6 => back::<Key6>(flow),
        };
        let expected = Flow {
            status: flow.status | Status::CONFIRMED,
            deadline: kept(flow.deadline),
            acct: None,
            lifetime: None,
            ..flow.clone()
        };
        assert_eq!(alloc::format!("{back:?}"), alloc::format!("{expected:?}"));
    }

    fn plain(family: Family) -> Flow {
        let proto = ProtoState::unpack(&ProtoState::None.pack(proto::UDP));
        Flow { proto, ..flow(udp(Host::Client, 0).tuple(family)) }
    }

    #[test]
    fn every_bit_of_the_status_comes_back() {
        for family in Family::ALL {
            for bit in Status::all().iter().filter(|bit| *bit != Status::DYING) {
                check(&Flow { status: bit, ..plain(family) });
                check(&Flow { status: Status::all() - bit - Status::DYING, ..plain(family) });
            }
        }
    }

    #[test]
    fn what_few_flows_have_comes_back() {
        for family in Family::ALL {
            let scopes = [ZoneScope::Both, ZoneScope::Original, ZoneScope::Reply];
            for scope in scopes {
                check(&Flow { zone: Zone { id: 0xfff0, scope }, ..plain(family) });
            }
            for port in [0, 0xffff].map(PortId) {
                check(&Flow { masquerade_port: Some(port), ..plain(family) });
            }
            for mask in [EventMask::empty(), EventMask::MARK, EventMask::all()] {
                check(&Flow { pending: mask, ..plain(family) });
                check(&Flow { announced: mask, ..plain(family) });
                check(&Flow { announced: mask, pending: mask, mark: u32::MAX, ..plain(family) });
            }
            check(&Flow { is_proxied: true, ..plain(family) });
            check(&Flow { is_proxied: true, pending: EventMask::all(), ..plain(family) });
        }
    }

    #[test]
    fn every_translation_comes_back() {
        let ends: [fn(&mut Tuple, IpAddr); 4] = [
            |reply, other| reply.src = other,
            |reply, _| reply.sport = 7,
            |reply, other| reply.dst = other,
            |reply, _| reply.dport = 7,
        ];
        for family in Family::ALL {
            let [own, other] = [Host::Client, Host::Server].map(|host| udp(host, 1).tuple(family));
            let ping = match family {
                Family::V4 => (proto::ICMP, Tuple::icmp_word(8, 0)),
                Family::V6 => (proto::ICMPV6, Tuple::icmp_word(128, 0)),
            };
            for (proto, dport) in [(proto::UDP, 53), (proto::GRE, 9), ping] {
                let orig = Tuple { proto, dport, ..own };
                let plain =
                    Flow { proto: ProtoState::unpack(&ProtoState::None.pack(proto)), ..flow(orig) };
                for chosen in 0..1 << ends.len() {
                    let mut one = plain.clone();
                    let is_chosen = |(nth, _): &(usize, _)| chosen & 1 << nth != 0;
                    let all = ends.iter().enumerate().filter(is_chosen);
                    all.for_each(|(_, change)| change(&mut one.reply, other.dst));
                    check(&one);
                    check(&Flow { status: Status::NAT | Status::NAT_DONE, ..one.clone() });
                    check(&Flow { mark: 1, ..one.clone() });
                    check(&Flow { masquerade_port: Some(PortId(0xffff)), ..one });
                }
            }
        }
    }

    /// What a flow has that only NAT has to do with: none of what few flows have.
    #[test]
    fn a_flow_that_is_translated_at_one_end_has_no_extra() {
        check_extras::<Key4>(Family::V4, "203.0.113.1");
        check_extras::<Key6>(Family::V6, "2001:db8::1");
    }

    fn check_extras<K: Key>(family: Family, other: &str) {
        let needs = |flow: &Flow| needs_extra::<K>(flow, is_mapped(flow));
        let (other, plain) = (other.parse().unwrap(), plain(family));
        let plain = Flow { status: Status::NAT_DONE, ..plain };
        let translated = |change: fn(&mut Tuple, IpAddr)| {
            let mut one = plain.clone();
            change(&mut one.reply, other);
            one
        };
        let source = translated(|reply, other| (reply.dst, reply.dport) = (other, 7));
        let destination = translated(|reply, other| (reply.src, reply.sport) = (other, 80));
        let masqueraded = Flow { masquerade_port: Some(PortId(0)), ..source.clone() };
        assert!([&plain, &source, &destination, &masqueraded].iter().all(|flow| !needs(flow)));
        let both = translated(|reply, _| (reply.sport, reply.dport) = (7, 8));
        let marked = Flow { mark: 1, ..source };
        let kept = Flow { masquerade_port: Some(PortId(0)), ..plain.clone() };
        assert!([&both, &marked, &kept].iter().all(|flow| needs(flow)));
    }

    #[test]
    fn what_the_rules_said_lies_apart_from_deadline_and_generation() {
        let [one, other] = [Direction::Original, Direction::Reply];
        let last = Instant::from_nanos(u64::MAX >> TICK_BITS << TICK_BITS);
        for (deadline, epoch) in [(Instant::ZERO, 0), (last, 1023), (Instant::from_nanos(7), 5)] {
            let mut record: Record<Key6> = Record::vacant(0);
            record.begin(GENERATION);
            record.write(&Flow { deadline, ..plain(Family::V6) });
            assert_eq!([one, other].map(|dir| record.vetted(epoch, dir)), [None, None]);
            record.set_vetted(epoch, one, true);
            assert_eq!([one, other].map(|dir| record.vetted(epoch, dir)), [Some(true), None]);
            record.set_vetted(epoch, other, false);
            record.set_deadline(last);
            record.set_deadline(deadline);
            assert_eq!(
                [one, other].map(|dir| record.vetted(epoch, dir)),
                [Some(true), Some(false)]
            );
            assert_eq!((record.deadline(), record.generation()), (kept(deadline), GENERATION));
            assert_eq!(record.vetted(epoch ^ 1, one), None, "other rules");
            record.set_vetted(epoch ^ 1, other, true);
            assert_eq!([one, other].map(|dir| record.vetted(epoch ^ 1, dir)), [None, Some(true)]);
            record.begin(3);
            assert_eq!([one, other].map(|dir| record.vetted(epoch ^ 1, dir)), [None, None]);
            assert_eq!((record.deadline(), record.generation()), (kept(deadline), 3));
        }
    }

    #[test]
    fn a_tick_ends_with_the_nanosecond_of_its_number() {
        let rows = [(0, 0), (1, 1), (1 << 20, 1), ((1 << 20) + 1, 2), (30_000_000_000, 28_611)];
        for (nanos, tick) in rows {
            assert_eq!(tick_of(Instant::from_nanos(nanos)), tick, "{nanos} ns");
            assert!(first_of(tick).nanos() <= nanos);
        }
        for tick in [0, 1, 2, 0xffff, 0x1_0000, 1 << 40, u64::MAX >> TICK_BITS] {
            assert_eq!(tick_of(first_of(tick)), tick);
            assert_eq!(tick_of(Instant::from_nanos(tick << TICK_BITS)), tick);
        }
        let last = tick_of(Instant::from_nanos(u64::MAX));
        assert_eq!(last, u64::MAX >> TICK_BITS, "never is a tick, too");
    }

    #[test]
    fn a_deadline_is_rounded_up_and_over_when_its_tick_begins() {
        let mut record: Record<Key4> = Record::vacant(0);
        for nanos in [0, 1, 5 << 20, (5 << 20) + 1, 432_000_000_000_000, u64::MAX >> 20 << 20] {
            let deadline = Instant::from_nanos(nanos);
            record.set_deadline(deadline);
            assert_eq!(record.deadline(), kept(deadline));
            let begins = first_of(record.deadline_tick());
            assert!(record.is_expired(begins) && record.is_expired(deadline));
            let before = Instant::from_nanos(begins.nanos().saturating_sub(1));
            assert!(before == begins || !record.is_expired(before));
            for now in [begins, before, deadline, Instant::ZERO, Instant::from_nanos(u64::MAX)] {
                assert_eq!(record.is_due_after(Tick::of(now)), !record.is_expired(now));
            }
        }
        record.set_deadline(Instant::ZERO + Duration::MAX);
        assert!(!record.is_expired(Instant::ZERO + Duration::from_secs(1 << 33)), "never");
    }
}
