//! Deadlines: flows die at theirs, and the caller is never told too late.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::event::FlowEvent;
use crate::testkit::kept;

#[test]
fn a_budget_bounds_the_work() {
    let mut engine = engine(limits());
    for port in 1..=10 {
        receive(&mut engine, at(0), Family::V4, &udp(Host::Client, 0).ports(port, 53));
    }
    assert_eq!(engine.handle_timeout(at(29), 100, &World::new()), 0);
    // The wheel looks at each of them twice: half a minute away it is not filed to the tick.
    let looks = |_| {
        let looked = engine.handle_timeout(at(30), 3, &World::new());
        (looked, engine.count())
    };
    let seen: Vec<(usize, usize)> = (0..8).map(looks).collect();
    let expected = [(3, 10), (3, 10), (3, 10), (3, 8), (3, 5), (3, 2), (2, 0), (0, 0)];
    assert_eq!(seen, expected);
    assert_eq!(engine.next_deadline(), None);
}

fn lives_long(event: &FlowEvent) -> bool {
    event.flow.deadline > at(3600)
}

proptest! {
    #[test]
    fn who_sleeps_until_the_next_deadline_sees_every_flow_die_at_its_own(
        calls in prop::collection::vec((0..15usize, any::<bool>(), 0..40_000u64), 1..40),
    ) {
        let (mut engine, mut now) = (engine(limits()), Instant::ZERO);
        for (nth, v6, wait) in calls {
            now += Duration::from_millis(wait);
            engine.handle_timeout(now, usize::MAX, &World::new());
            let family = if v6 { Family::V6 } else { Family::V4 };
            receive(&mut engine, now, family, &samples()[nth]);
            let first = engine.flows().map(|(_, flow)| flow.deadline).min();
            prop_assert_eq!(engine.next_deadline().is_some(), first.is_some());
            prop_assert!(engine.next_deadline() <= first);
        }
        while engine.poll_event().is_some() {}
        let (alive, mut wakes) = (engine.count(), 0);
        while let Some(due) = engine.next_deadline() {
            engine.handle_timeout(due, usize::MAX, &World::new());
            wakes += 1;
        }
        let deaths: Vec<FlowEvent> =
            core::iter::from_fn(|| engine.poll_event()?.into_flow()).collect();
        prop_assert_eq!(deaths.len(), alive);
        prop_assert!(deaths.iter().all(|event| event.kind == EventKind::Destroy));
        // All instants of a tick are one to the table, so nobody dies a tick before his deadline.
        prop_assert!(deaths.iter().all(|event| kept(event.at) == event.flow.deadline));
        // A flow is looked at at least every five minutes, an established connection 1400 times
        // in its five days, and the wheel may ask for two wakes more for each look.
        let days = deaths.iter().filter(|event| lives_long(event)).count();
        let most = 3 * (8 * alive + 1400 * days);
        prop_assert!(wakes <= most, "{} wakes for {} flows", wakes, alive);
    }
}

#[test]
fn a_flow_that_has_expired_is_put_away_by_whoever_finds_it() {
    let mut engine = engine(limits());
    let query = udp(Host::Client, 0);
    let first = receive(&mut engine, at(0), Family::V4, &query);
    let second = receive(&mut engine, at(30), Family::V4, &query);
    assert_eq!(second.conntrack, Some(CtInfo::New));
    assert_ne!(first.flow, second.flow);
    let (new, gone) = (EventMask::NEW, EventMask::DESTROY);
    let port = crate::testkit::CLIENT_PORT;
    let expected = [
        (EventKind::New, new, port),
        (EventKind::Destroy, gone, port),
        (EventKind::New, new, port),
    ];
    assert_eq!(told(&mut engine), expected);
}

#[test]
fn times_of_life_are_kept_where_they_are_wanted() {
    let mut engine = engine(Limits { timestamp: true, ..limits() });
    receive(&mut engine, at(3), Family::V6, &udp(Host::Client, 0));
    engine.handle_timeout(at(50), 2, &World::new());
    let ended = core::iter::from_fn(|| engine.poll_event()?.into_flow()).last().expect("an event");
    let lifetime = ended.flow.lifetime.expect("a lifetime");
    assert_eq!((lifetime.start, lifetime.stop), (Some(at(3)), Some(kept(at(33)))));
}
