//! The table's rules one by one; what it is as a whole, its models say.

mod bulk;
mod counting;
mod model;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use tidegate_wire::Family;

use super::ahead::Ahead;
use super::column::Column;
use super::express::Shelved;
use super::key::{Key as _, Key4, Key6};
use super::record::Record;
use super::*;
use crate::event::{Event, EventKind};
use crate::path::{BURST, Glance, NEAR};
use crate::testkit::{flow, kept, udp};

/// Everything about a flow.
fn described(flow: &Flow) -> String {
    alloc::format!("{flow:?}")
}

/// What the express path finds for a tuple of the default zone with this hint, and whether it would
/// have to do with it: a flow that has not expired and is plain.
fn express(
    table: &mut FlowTable,
    now: Instant,
    tuple: &Tuple,
    hint: Option<u32>,
) -> Option<(FlowId, Direction, bool)> {
    match tuple.src {
        core::net::IpAddr::V4(_) => express_by(table, now, (Key4::of(tuple), tuple.proto), hint),
        core::net::IpAddr::V6(_) => express_by(table, now, (Key6::of(tuple), tuple.proto), hint),
    }
}

fn express_by<K: Shelved>(
    table: &mut FlowTable,
    now: Instant,
    (key, proto): (K, u8),
    hint: Option<u32>,
) -> Option<(FlowId, Direction, bool)> {
    let mut glance = Glance::NOTHING;
    glance.hash = table.hash_of(key, proto);
    glance.slot = hint;
    let (found, target) = table.with_seat((key, proto), &glance, |seat| {
        let is_eligible = !seat.record.is_expired(now) && seat.is_plain();
        ((seat.id(), seat.dir, is_eligible), seat.target().tuple(proto))
    })?;
    let flow = table.load(found.0).expect("a flow that is found");
    assert_eq!(*flow.tuple(found.1), key.tuple(proto), "it is that direction's tuple");
    assert_eq!(target, flow.target(found.1));
    Some(found)
}

/// What the batch guesses for a tuple of the default zone.
fn guess(table: &FlowTable, tuple: &Tuple) -> Option<u32> {
    guesses(table, &[*tuple])[0]
}

/// The same for tuples that go together, at most a burst.
fn guesses(table: &FlowTable, tuples: &[Tuple]) -> Vec<Option<u32>> {
    let mut ahead = Ahead::new();
    for (hash, tuple) in ahead.hashes.iter_mut().zip(tuples) {
        *hash = table.hash(tuple, Zone::default(), Direction::Original);
    }
    ahead.ask(table, 0..tuples.len());
    let mut spots = [Spot::NOWHERE; BURST + NEAR];
    let mut guessed = alloc::vec![None; tuples.len()];
    ahead.read(table, tuples.len(), &mut spots, |number, slot| guessed[number] = slot);
    guessed
}

fn numbered(port: u16) -> Tuple {
    udp(crate::testkit::Host::Client, 0).ports(port, 53).tuple(Family::V4)
}

/// A flow of that client port, with 30 seconds to live.
fn draft(port: u16, status: Status) -> Draft {
    let deadline = Instant::ZERO + Duration::from_secs(30);
    Draft(Flow { status, deadline, ..flow(numbered(port)) })
}

fn table_of(buckets: u32) -> (FlowTable, Rng) {
    let mut rng = Rng::new(1);
    let limits = Limits { buckets, ..Limits::default() };
    (FlowTable::new(&limits, &mut rng, Instant::ZERO), rng)
}

/// Enters a flow of that client port.
fn enter(table: &mut FlowTable, rng: &mut Rng, port: u16, status: Status) -> FlowId {
    table.confirm(Instant::ZERO, &mut draft(port, status), rng, None).expect("room")
}

/// Whether that flow is still there when all that has expired has been put away.
fn survives(table: &mut FlowTable, now: Instant, id: FlowId) -> bool {
    table.expire(now, &mut { usize::MAX }, &mut EventQueue::new(0));
    table.has(id)
}

#[test]
fn a_chain_of_more_than_50_to_79_takes_no_more() {
    for seed in 0..20 {
        let (mut table, _) = table_of(1);
        let mut rng = Rng::new(seed);
        let refused = (1..100).find_map(|port| {
            table.confirm(Instant::ZERO, &mut draft(port, Status::empty()), &mut rng, None).err()
        });
        assert_eq!(refused, Some(ConfirmError::ChainTooLong));
        let nodes = table.len() * 2;
        assert!((51..=80).contains(&nodes), "{nodes} nodes in the chain");
    }
}

/// Early drop for a tuple.
fn make_room(table: &mut FlowTable, now: Instant, tuple: &Tuple, events: &mut EventQueue) -> usize {
    let hash = table.hash(tuple, Zone::default(), Direction::Original);
    table.early_drop(now, hash, events)
}

#[test]
fn early_drop_takes_all_that_is_not_assured_in_one_bucket() {
    let (mut table, mut rng) = table_of(1);
    let mut events = EventQueue::new(100);
    for (port, status) in [(1, Status::ASSURED), (2, Status::empty()), (3, Status::empty())] {
        enter(&mut table, &mut rng, port, status);
    }
    assert_eq!(make_room(&mut table, Instant::ZERO, &numbered(9), &mut events), 2);
    let left: Vec<u16> = table.iter().map(|(_, flow)| flow.orig.sport).collect();
    assert_eq!(left, [1]);
    assert_eq!(make_room(&mut table, Instant::ZERO, &numbered(9), &mut events), 0);
    let told: Vec<EventKind> =
        core::iter::from_fn(|| events.pop()?.into_flow()).map(|e| e.kind).collect();
    assert_eq!(told, [EventKind::Destroy, EventKind::Destroy]);
}

#[test]
fn early_drop_collects_what_has_expired_but_that_is_no_victim() {
    let (mut table, mut rng) = table_of(1);
    let mut events = EventQueue::new(100);
    enter(&mut table, &mut rng, 1, Status::ASSURED);
    enter(&mut table, &mut rng, 2, Status::empty());
    let later = Instant::ZERO + Duration::from_secs(30);
    assert_eq!(make_room(&mut table, later, &numbered(9), &mut events), 0);
    assert_eq!(table.len(), 0);
}

/// The buckets that a flow counts in: those of both tuples, if it has two entries, else that of its
/// only one, and the one half the hash space away.
fn homes(table: &FlowTable, flow: &Flow) -> [u32; 2] {
    let [original, reply] = table.hashes(flow, None);
    let original = original.expect("the original tuple is always filed");
    [original, reply.unwrap_or(original ^ 1 << 31)].map(|hash| table.buckets.of(hash))
}

#[test]
fn early_drop_looks_at_eight_buckets_from_its_own_on() {
    const BUCKETS: u32 = 64;
    for mapped in [false, true] {
        let (mut table, mut rng) = table_of(BUCKETS);
        let mut events = EventQueue::new(100);
        let mut one = draft(1, Status::empty());
        if mapped {
            one.0.reply.dport = 7;
        }
        let homes = homes(&table, &one.0);
        table.confirm(Instant::ZERO, &mut one.clone(), &mut rng, None).expect("room");
        let mut drops = 0;
        for port in 2..500 {
            let (now, asked, zone) = (Instant::ZERO, numbered(port), Zone::default());
            let own = table.buckets.of(table.hash(&asked, zone, Direction::Original));
            let near = homes.iter().any(|home| (home + BUCKETS - own) % BUCKETS < 8);
            let dropped = make_room(&mut table, now, &asked, &mut events);
            assert_eq!(dropped == 1, near, "from bucket {own}, with the flow in {homes:?}");
            if dropped == 1 {
                drops += 1;
                table.confirm(now, &mut one.clone(), &mut rng, None).expect("room");
            }
        }
        assert!((50..300).contains(&drops), "a quarter of all are near: {drops} of 498");
    }
}

/// Against a search through all flows, in tables with fewer buckets than are looked through, and with more.
#[test]
fn early_drop_takes_what_the_first_bucket_with_a_victim_has() {
    let now = Instant::ZERO + Duration::from_secs(20);
    for buckets in [1, 2, 5, 7, 9, 64] {
        let mut drops = 0;
        for seed in 0..40 {
            let (mut table, mut rng) = table_of(buckets);
            let mut dice = Rng::new(seed);
            for port in 1..24 {
                let mut one = at_random(port, &mut dice);
                table.confirm(Instant::ZERO, &mut one, &mut rng, None).expect("room");
            }
            let asked = numbered(1000 + seed as u16);
            let own = table.buckets.of(table.hash(&asked, Zone::default(), Direction::Original));
            let (mut first, mut left) = (u32::MAX, Vec::new());
            for (_, flow) in table.iter().filter(|(_, flow)| flow.deadline > now) {
                let steps = homes(&table, &flow).map(|home| (home + buckets - own) % buckets);
                let step = steps.into_iter().min().filter(|step| *step < 8);
                let step = step.filter(|_| !flow.is(Status::ASSURED));
                first = first.min(step.unwrap_or(u32::MAX));
                left.push((step, flow.orig));
            }
            let living = left.len();
            left.retain(|(step, _)| *step != Some(first));
            let dropped = make_room(&mut table, now, &asked, &mut EventQueue::new(0));
            assert_eq!(dropped, living - left.len(), "{buckets} buckets, seed {seed}");
            let living = table.iter().filter(|(_, flow)| flow.deadline > now);
            let living: Vec<Tuple> = living.map(|(_, flow)| flow.orig).collect();
            assert_eq!(living, left.into_iter().map(|(_, orig)| orig).collect::<Vec<_>>());
            drops += usize::from(dropped > 0);
        }
        assert!((5..40).contains(&drops), "{buckets} buckets: {drops} of 40");
    }
}

/// A flow of that client port: of either family, one of twenty not assured, half of them under NAT, a quarter with 10
/// seconds to live, the others with 30.
fn at_random(port: u16, dice: &mut Rng) -> Draft {
    let family = if dice.below(2) == 0 { Family::V4 } else { Family::V6 };
    let tuple = udp(crate::testkit::Host::Client, 0).ports(port, 53).tuple(family);
    let status = if dice.below(20) == 0 { Status::empty() } else { Status::ASSURED };
    let seconds = if dice.below(4) == 0 { 10 } else { 30 };
    let mut one =
        Flow { status, deadline: Instant::ZERO + Duration::from_secs(seconds), ..flow(tuple) };
    if dice.below(2) == 0 {
        one.reply.dport = 10_000 + port;
    }
    Draft(one)
}

/// An expired flow that is met twice, the only one of its segment, which is given back at the first meeting.
#[test]
fn early_drop_asks_for_no_slot_that_is_given_back() {
    const BUCKETS: u32 = 8192;
    const SEGMENT: u16 = Column::<Record<Key4>>::SEGMENT as u16;
    let (mut table, mut rng) = table_of(BUCKETS);
    let mut events = EventQueue::new(0);
    let others: Vec<FlowId> =
        (1..=SEGMENT).map(|port| enter(&mut table, &mut rng, port, Status::ASSURED)).collect();
    let near = |homes: [u32; 2]| (homes[1] + BUCKETS - homes[0]) % BUCKETS < 8;
    let translated = |port| {
        let mut one = draft(port, Status::empty());
        one.0.reply.dport = u16::MAX;
        one
    };
    let twice = (SEGMENT + 1..).map(translated).find(|one| near(homes(&table, &one.0)));
    let mut twice = twice.expect("a flow whose entries are neighbours");
    let bucket = homes(&table, &twice.0)[0];
    table.confirm(Instant::ZERO, &mut twice, &mut rng, None).expect("room");
    others.iter().for_each(|other| table.kill(*other, Instant::ZERO, &mut events));
    let own =
        |tuple: &Tuple| table.buckets.of(table.hash(tuple, Zone::default(), Direction::Original));
    let asked = (1..).map(numbered).find(|tuple| own(tuple) == bucket).expect("a neighbour");
    let later = Instant::ZERO + Duration::from_secs(31);
    assert_eq!(make_room(&mut table, later, &asked, &mut events), 0);
    assert_eq!(table.len(), 0);
}

#[test]
fn a_slot_that_is_used_again_has_another_id() {
    let (mut table, mut rng) = table_of(8);
    let mut events = EventQueue::new(100);
    let first = enter(&mut table, &mut rng, 1, Status::empty());
    table.kill(first, Instant::ZERO, &mut events);
    table.kill(first, Instant::ZERO, &mut events);
    assert_eq!(table.len(), 0, "it dies only once");
    assert!(!table.has(first));
    let second = enter(&mut table, &mut rng, 2, Status::empty());
    assert_eq!(first.slot, second.slot);
    assert!(table.load(first).is_none());
    assert!(table.load(second).is_some());

    let mut other = table.load(second).expect("it is there");
    other.mark = 7;
    table.save(first, &other);
    table.kill_as(first, &other, Instant::ZERO, &mut events);
    assert_eq!(table.load(second).map(|flow| flow.mark), Some(0), "a stale id changes nobody");
    assert_eq!(core::iter::from_fn(|| events.pop()).count(), 1);
}

#[test]
fn a_flow_lives_up_to_the_tick_of_its_deadline_and_no_longer() {
    let (mut table, mut rng) = table_of(8);
    let id = enter(&mut table, &mut rng, 1, Status::empty());
    let deadline = kept(Instant::ZERO + Duration::from_secs(30));
    assert_eq!(table.load(id).map(|flow| flow.deadline), Some(deadline));
    // A tick begins a nanosecond after the number that it has.
    let before = Instant::from_nanos(deadline.nanos() - (1 << TICK_BITS));
    let after = Instant::from_nanos(before.nanos() + 1);
    let found = |table: &FlowTable, now| table.lookup(now, &numbered(1), Zone::default());
    assert_eq!(found(&table, before), Some((id, Direction::Original)));
    assert!(survives(&mut table, before, id));
    assert_eq!(found(&table, after), None);
    assert_eq!(found(&table, deadline), None);
    assert!(!survives(&mut table, after, id));
}

#[test]
fn times_are_kept_where_they_are_wanted() {
    let (mut table, mut rng) = table_of(8);
    let mut events = EventQueue::new(100);
    let mut timed = draft(1, Status::empty());
    timed.0.lifetime = Some(Default::default());
    let start = Instant::from_nanos(5);
    let id = table.confirm(start, &mut timed, &mut rng, None).expect("room");
    let lifetime = table.load(id).and_then(|flow| flow.lifetime).expect("a lifetime");
    assert_eq!((lifetime.start, lifetime.stop), (Some(start), None));
    let late = Instant::ZERO + Duration::from_secs(40);
    table.kill(id, late, &mut events);
    let lifetime =
        events.pop().and_then(|event| event.into_flow()?.flow.lifetime).expect("a lifetime");
    assert_eq!(lifetime.start, Some(start));
    let deadline = kept(Instant::ZERO + Duration::from_secs(30));
    assert_eq!(lifetime.stop, Some(deadline), "it ended when it ran out, not when that was seen");

    let untimed = enter(&mut table, &mut rng, 2, Status::empty());
    assert_eq!(untimed.slot, id.slot);
    assert_eq!(table.load(untimed).map(|flow| flow.lifetime), Some(None), "nor inherited");
}

#[test]
fn a_flow_is_killed_as_it_is_now() {
    let (mut table, mut rng) = table_of(8);
    let mut events = EventQueue::new(100);
    let id = enter(&mut table, &mut rng, 1, Status::SRC_NAT_DONE);
    let mut flow = table.load(id).expect("it is there");
    flow.mark = 7;
    table.kill_as(id, &flow, Instant::ZERO, &mut events);
    assert_eq!(events.pop().and_then(Event::into_flow).map(|event| event.flow.mark), Some(7));
    assert_eq!((table.len(), table.lookup(Instant::ZERO, &flow.orig, flow.zone)), (0, None));
    assert_eq!(table.of_source(&flow.orig, flow.zone).count(), 0);
}

/// Whoever knows the key can have thousands of flows in a few lines; then the table takes another key.
#[test]
fn entries_that_lie_too_far_from_home_get_a_new_key() {
    let (mut table, mut rng) = table_of(1 << 20);
    let mut tuples =
        (0..u32::MAX).map(|n| Tuple { src: core::net::Ipv4Addr::from(n).into(), ..numbered(1000) });
    let key = table.key;
    let mut entered = Vec::new();
    while table.key == key {
        let hit =
            |tuple: &Tuple| table.hash(tuple, Zone::default(), Direction::Original) >> 20 == 7;
        let tuple = tuples.find(hit).expect("one in 4,096 is");
        let deadline = Instant::ZERO + Duration::from_secs(30);
        let mut draft = Draft(Flow { deadline, ..flow(tuple) });
        let id = table.confirm(Instant::ZERO, &mut draft, &mut rng, None).expect("room");
        entered.push((tuple, id));
        assert!(entered.len() < 2000, "the key is never changed");
    }
    let found = |table: &FlowTable, (tuple, id): &(Tuple, FlowId)| {
        table.lookup(Instant::ZERO, tuple, Zone::default()) == Some((*id, Direction::Original))
    };
    assert!(entered.iter().all(|entry| found(&table, entry)), "while entries move");
    let (gone, _) = entered.split_at(20);
    let mut events = EventQueue::new(0);
    gone.iter().for_each(|(_, id)| table.kill(*id, Instant::ZERO, &mut events));
    assert!(!gone.iter().any(|entry| found(&table, entry)), "taken out under either key");
    for port in 1..2000 {
        table
            .confirm(Instant::ZERO, &mut draft(port, Status::empty()), &mut rng, None)
            .expect("room");
    }
    assert!(table.retired_key.is_none() && !table.index.is_stressed());
    assert!(entered[20..].iter().all(|entry| found(&table, entry)), "all have moved");
}

#[test]
fn of_two_owners_the_newest_is_found_and_the_express_path_gives_up() {
    // The first version found whichever lay first in the index.
    for port in 1..50 {
        let (mut table, mut rng) = table_of(1 << 20);
        let old = enter(&mut table, &mut rng, port, Status::empty());
        // Its answers are the other's questions, in a zone that counts for its questions only.
        let mut draft = draft(port, Status::empty());
        (draft.0.orig, draft.0.reply) = (draft.0.reply, draft.0.orig);
        draft.0.zone = Zone { id: 5, scope: ZoneScope::Original };
        let new = table.confirm(Instant::ZERO, &mut draft, &mut rng, None).expect("no rival");
        let (now, asked, zone) = (Instant::ZERO, numbered(port), Zone::default());
        assert_eq!(table.lookup(now, &asked, zone), Some((new, Direction::Reply)));
        assert_eq!(express(&mut table, now, &asked, Some(old.slot)), None);
        table.kill(new, now, &mut EventQueue::new(0));
        assert_eq!(table.lookup(now, &asked, zone), Some((old, Direction::Original)));
        let seen = express(&mut table, now, &asked, None);
        assert_eq!(seen, Some((old, Direction::Original, true)));
    }
}

#[test]
fn reading_ahead_for_nat_takes_as_many_as_there_are_and_changes_nothing() {
    let (mut table, mut rng) = table_of(64);
    for port in 0..8 {
        enter(&mut table, &mut rng, port, Status::SRC_NAT_DONE);
    }
    let before: Vec<String> = table.iter().map(|flow| alloc::format!("{flow:?}")).collect();
    for family in Family::ALL {
        for count in [0, 1, crate::path::BURST] {
            let tuples = (0..count as u16).map(|port| {
                let tuple = udp(crate::testkit::Host::Client, 0).ports(port, 53).tuple(family);
                (tuple, tuple.invert().filter(|_| port % 2 == 0))
            });
            table.read_ahead_for_nat(tuples);
        }
    }
    assert_eq!(table.iter().map(|flow| alloc::format!("{flow:?}")).collect::<Vec<_>>(), before);
}
