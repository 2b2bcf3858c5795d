//! The wheel against a model that cannot be wrong: a sorted map of (time, order of arming).

use alloc::collections::BTreeMap;
use core::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn seconds(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

fn drain(wheel: &mut Wheel, now: Instant) -> Vec<u32> {
    core::iter::from_fn(|| wheel.pop_due(now)).collect()
}

#[test]
fn a_node_takes_24_bytes() {
    assert_eq!(size_of::<Node>(), 24);
}

#[test]
fn an_empty_wheel_has_nothing_to_say() {
    let mut wheel = Wheel::new(seconds(5));
    assert_eq!(wheel.next_due(), None);
    assert_eq!(wheel.pop_due(seconds(1_000_000_000)), None);
    assert_eq!(wheel.armed(3), None);
    wheel.disarm(3);
}

#[test]
fn a_timer_is_due_at_its_nanosecond_and_not_before() {
    for deadline in [1, 63, 64, 65, 4095, 4096, 30_000_000_000, 432_000_000_000_000, u64::MAX] {
        let mut wheel = Wheel::new(Instant::ZERO);
        wheel.arm(7, at(deadline));
        assert_eq!(wheel.pop_due(at(deadline - 1)), None, "{deadline} ns");
        assert_eq!(wheel.armed(7), Some(at(deadline)), "{deadline} ns");
        assert_eq!(wheel.pop_due(at(deadline)), Some(7), "{deadline} ns");
        assert_eq!(wheel.armed(7), None, "{deadline} ns");
        assert_eq!(wheel.pop_due(at(u64::MAX)), None, "{deadline} ns");
    }
}

#[test]
fn arming_again_replaces_the_time() {
    let mut wheel = Wheel::new(Instant::ZERO);
    wheel.arm(0, seconds(30));
    wheel.arm(0, seconds(120));
    assert_eq!(wheel.pop_due(seconds(119)), None);
    wheel.arm(0, seconds(200));
    wheel.arm(0, seconds(150));
    assert_eq!(drain(&mut wheel, seconds(1000)), [0]);
}

#[test]
fn a_disarmed_slot_stays_silent_and_its_neighbours_do_not() {
    let mut wheel = Wheel::new(Instant::ZERO);
    for slot in 0..5 {
        wheel.arm(slot, seconds(30));
    }
    for slot in [0, 2, 4, 4] {
        wheel.disarm(slot);
    }
    assert_eq!(drain(&mut wheel, seconds(30)), [1, 3]);
    assert_eq!(wheel.next_due(), None);
}

#[test]
fn equal_times_come_in_the_order_of_arming_even_from_different_distances() {
    let mut wheel = Wheel::new(Instant::ZERO);
    wheel.arm(9, seconds(3600));
    wheel.arm(1, seconds(1));
    assert_eq!(drain(&mut wheel, seconds(3599)), [1]);
    wheel.arm(4, seconds(3600));
    assert_eq!(wheel.pop_due(at(seconds(3600).nanos() - 1)), None);
    wheel.arm(2, seconds(3600));
    assert_eq!(drain(&mut wheel, seconds(3600)), [9, 4, 2]);
}

#[test]
fn a_time_in_the_past_is_due_at_once() {
    let mut wheel = Wheel::new(seconds(100));
    wheel.arm(0, seconds(100));
    wheel.arm(1, seconds(3));
    assert_eq!(wheel.armed(1), Some(seconds(3)));
    assert_eq!(wheel.next_due(), Some(seconds(100)));
    assert_eq!(drain(&mut wheel, seconds(100)), [0, 1]);
}

#[test]
fn a_time_in_the_past_does_not_overtake_what_is_due_already() {
    let mut wheel = Wheel::new(Instant::ZERO);
    wheel.arm(0, at(10));
    wheel.arm(1, at(10));
    assert_eq!(wheel.pop_due(at(20)), Some(0));
    wheel.arm(2, at(3));
    assert_eq!(drain(&mut wheel, at(20)), [1, 2]);
}

#[test]
fn a_clock_that_runs_backwards_counts_as_standing_still() {
    let mut wheel = Wheel::new(Instant::ZERO);
    assert_eq!(wheel.pop_due(seconds(50)), None);
    wheel.arm(0, seconds(51));
    assert_eq!(wheel.pop_due(seconds(10)), None);
    wheel.arm(1, seconds(20));
    assert_eq!(wheel.pop_due(seconds(10)), Some(1));
    assert_eq!(drain(&mut wheel, seconds(51)), [0]);
}

#[test]
fn a_caller_who_sleeps_until_next_due_wakes_few_times() {
    let deadline = seconds(432_000);
    let mut wheel = Wheel::new(at(123_456_789));
    wheel.arm(0, deadline);
    let mut wakes = 0;
    loop {
        let now = wheel.next_due().expect("still armed");
        assert!(now <= deadline);
        wakes += 1;
        if wheel.pop_due(now).is_some() {
            assert_eq!(now, deadline);
            break;
        }
    }
    assert!(wakes <= LEVELS, "{wakes}");
}

#[test]
fn lazily_refreshed_flows_expire_once_each_in_a_long_run() {
    let timeout = Duration::from_secs(120);
    let mut wheel = Wheel::new(Instant::ZERO);
    let mut deadlines: Vec<Instant> =
        (0..1000).map(|n| Instant::ZERO + timeout + Duration::from_micros(n)).collect();
    for (slot, deadline) in deadlines.iter().enumerate() {
        wheel.arm(slot as u32, *deadline);
    }
    let (mut now, mut expired) = (Instant::ZERO, 0);
    while let Some(due) = wheel.next_due() {
        now = now.max(due);
        // Slot n sees its last packet n seconds after the start.
        for (n, deadline) in
            deadlines.iter_mut().enumerate().filter(|(n, _)| seconds(*n as u64) >= now)
        {
            *deadline = seconds(n as u64) + timeout;
        }
        while let Some(slot) = wheel.pop_due(now) {
            let deadline = deadlines[slot as usize];
            if deadline > now {
                wheel.arm(slot, deadline);
            } else {
                expired += 1;
            }
        }
    }
    assert_eq!(expired, 1000);
}

/// What the wheel must do, done slowly.
#[derive(Default)]
struct Model {
    cursor: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), u32>,
    timers: BTreeMap<u32, ((u64, u64), u64)>,
}

impl Model {
    fn arm(&mut self, slot: u32, at: u64) {
        self.disarm(slot);
        let key = (at.max(self.cursor), self.sequence);
        self.sequence += 1;
        self.queue.insert(key, slot);
        self.timers.insert(slot, (key, at));
    }

    fn disarm(&mut self, slot: u32) {
        if let Some((key, _)) = self.timers.remove(&slot) {
            self.queue.remove(&key);
        }
    }

    fn pop_due(&mut self, now: u64) -> Option<u32> {
        let now = now.max(self.cursor);
        let due = self.queue.first_key_value().map(|(key, slot)| (*key, *slot));
        let Some(((time, _), slot)) = due.filter(|((time, _), _)| *time <= now) else {
            self.cursor = now;
            return None;
        };
        self.cursor = time;
        self.disarm(slot);
        Some(slot)
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Arm a slot for so many nanoseconds after (or, when negative, before) the present.
    Arm(u32, i128),
    Disarm(u32),
    /// Let so many nanoseconds pass, then pop at most so many slots.
    Advance(u64, usize),
}

/// Spans of every magnitude, from a nanosecond to centuries, with the edges between digits well
/// represented.
fn span() -> impl Strategy<Value = u64> {
    (0u32..64, any::<u64>(), 0u8..4).prop_map(|(bits, noise, shape)| match shape {
        0 => 1 << bits,
        1 => (1 << bits) - 1,
        _ => noise >> bits,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let slot = 0u32..24;
    prop_oneof![
        6 => (slot.clone(), span()).prop_map(|(slot, ahead)| Op::Arm(slot, ahead.into())),
        1 => (slot.clone(), span()).prop_map(|(slot, ago)| Op::Arm(slot, -i128::from(ago))),
        2 => slot.prop_map(Op::Disarm),
        2 => (span(), 0usize..4).prop_map(|(span, budget)| Op::Advance(span, budget)),
        // Most steps are short, or the clock would stand at its end after a few of them.
        4 => (0u64..1 << 44, Just(usize::MAX)).prop_map(|(span, budget)| Op::Advance(span, budget)),
        1 => (span(), Just(usize::MAX)).prop_map(|(span, budget)| Op::Advance(span >> 8, budget)),
    ]
}

fn pop_and_compare(wheel: &mut Wheel, model: &mut Model, now: u64, budget: usize) {
    for _ in 0..budget {
        let due = wheel.pop_due(at(now));
        assert_eq!(due, model.pop_due(now), "at {now} ns");
        if due.is_none() {
            let next = wheel.next_due();
            assert!(next.is_none_or(|next| next.nanos() > now), "{next:?} is not after {now}");
            break;
        }
    }
}

fn compare(wheel: &Wheel, model: &Model) {
    for slot in 0..25 {
        let armed = model.timers.get(&slot).map(|(_, time)| at(*time));
        assert_eq!(wheel.armed(slot), armed, "slot {slot}");
    }
    let earliest = model.queue.keys().next().map(|(time, _)| at(*time));
    assert_eq!(wheel.next_due().is_some(), earliest.is_some());
    assert!(wheel.next_due() <= earliest, "{:?} is after {earliest:?}", wheel.next_due());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn pops_what_the_model_pops_in_the_same_order(
        start in span(),
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut now = start;
        let mut wheel = Wheel::new(at(start));
        let mut model = Model { cursor: start, ..Model::default() };
        for op in ops {
            match op {
                Op::Arm(slot, offset) => {
                    let time = (i128::from(now) + offset).clamp(0, u64::MAX.into()) as u64;
                    wheel.arm(slot, at(time));
                    model.arm(slot, time);
                }
                Op::Disarm(slot) => {
                    wheel.disarm(slot);
                    model.disarm(slot);
                }
                Op::Advance(span, budget) => {
                    now = now.saturating_add(span);
                    pop_and_compare(&mut wheel, &mut model, now, budget);
                }
            }
            compare(&wheel, &model);
        }
        pop_and_compare(&mut wheel, &mut model, u64::MAX, usize::MAX);
        compare(&wheel, &model);
        prop_assert_eq!(wheel.next_due(), None);
    }
}
