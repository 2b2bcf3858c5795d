//! The wheel against a model that cannot be wrong: a sorted list of deadlines.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Beyond every tick that an instant has.
const END: u64 = 1 << 44;
/// No deadline of the trial is farther ahead: half a day, or there would be too many looks at it.
const FAR: u64 = 1 << 25;

/// Slots with their deadlines, and for which tick they are armed.
#[derive(Default)]
struct Kept(BTreeMap<u32, (u64, u32)>);

impl Timers for Kept {
    fn timer(&mut self, slot: u32) -> Option<Timer<'_>> {
        self.0.get_mut(&slot).map(|(deadline, armed)| Timer { deadline: *deadline, armed })
    }

    fn set_armed(&mut self, slot: u32, tick: u32) {
        self.0.get_mut(&slot).expect("a slot that is armed").1 = tick;
    }
}

impl Kept {
    fn armed(&mut self, slot: u32) -> Option<u32> {
        self.timer(slot).map(|timer| *timer.armed)
    }
}

/// A wheel and its slots.
struct Clock {
    wheel: Wheel,
    kept: Kept,
}

impl Clock {
    fn new(start: u64) -> Self {
        Self { wheel: Wheel::new(start), kept: Kept::default() }
    }

    /// The slot gets a new tenant.
    fn arm(&mut self, slot: u32, deadline: u64) {
        self.kept.0.insert(slot, (deadline, 0));
        self.wheel.arm(&mut self.kept, slot, deadline);
    }

    /// A packet renews a slot's deadline, as the table does it.
    fn renew(&mut self, slot: u32, deadline: u64) {
        let Some(timer) = self.kept.0.get_mut(&slot) else { return };
        timer.0 = deadline;
        if self.wheel.is_late(timer.1, deadline) {
            self.wheel.arm(&mut self.kept, slot, deadline);
        }
    }

    fn end(&mut self, slot: u32) {
        self.kept.0.remove(&slot);
    }

    /// The next slot that is due.
    fn next(&mut self, now: u64, steps: &mut usize) -> Option<u32> {
        let mut due = [0];
        let found = self.wheel.pop_due(&mut self.kept, now, steps, &mut due);
        (found == 1).then_some(due[0])
    }

    /// The next slot that is due, which is over then.
    fn pop_in(&mut self, now: u64, steps: &mut usize) -> Option<u32> {
        let slot = self.next(now, steps)?;
        self.end(slot);
        Some(slot)
    }

    fn pop(&mut self, now: u64) -> Option<u32> {
        let mut steps = usize::MAX;
        self.pop_in(now, &mut steps)
    }

    fn drain(&mut self, now: u64) -> Vec<u32> {
        core::iter::from_fn(|| self.pop(now)).collect()
    }
}

#[test]
fn an_empty_wheel_has_nothing_to_say() {
    let mut clock = Clock::new(5);
    assert_eq!(clock.wheel.next_due(), None);
    assert_eq!(clock.pop(END), None);
    assert_eq!(clock.wheel.next_due(), None);
}

#[test]
fn a_timer_is_due_at_its_tick_and_not_before() {
    for deadline in [1, 255, 256, 257, 65_535, 65_536, 28_611, HORIZON, HORIZON + 1, 411_987_305] {
        let mut clock = Clock::new(0);
        clock.arm(7, deadline);
        assert_eq!(clock.pop(deadline - 1), None, "{deadline}");
        assert!(clock.wheel.next_due().is_some_and(|due| due <= deadline), "{deadline}");
        assert_eq!(clock.pop(deadline), Some(7), "{deadline}");
        assert_eq!((clock.pop(END), clock.wheel.next_due()), (None, None), "{deadline}");
    }
}

#[test]
fn a_later_deadline_needs_no_arming_and_a_closer_one_does() {
    let mut clock = Clock::new(0);
    clock.arm(0, 30);
    assert!(!clock.wheel.is_late(30, 30) && !clock.wheel.is_late(30, 120));
    clock.renew(0, 120);
    assert_eq!(clock.kept.armed(0), Some(30));
    assert_eq!(clock.pop(119), None);
    assert_eq!(clock.kept.armed(0), Some(120), "it was looked at");
    clock.renew(0, 200);
    assert!(clock.wheel.is_late(120, 119));
    clock.renew(0, 119);
    assert_eq!(clock.drain(1000), [0], "once, though it is filed twice");
    assert_eq!(clock.wheel.next_due(), None);
}

#[test]
fn what_is_armed_for_the_horizon_is_not_late_for_what_is_beyond() {
    let start = u64::from(u32::MAX) - HORIZON / 2;
    let mut clock = Clock::new(start);
    for (deadline, armed) in [
        (start + HORIZON - 1, start + HORIZON - 1),
        (start + HORIZON, start + HORIZON),
        (start + HORIZON + 1, start + HORIZON),
        // So far ahead that the difference is negative in 32 bits.
        (start + 3_000_000_000, start + HORIZON),
    ] {
        clock.arm(0, deadline);
        assert_eq!(clock.kept.armed(0), Some(armed as u32));
        assert!(!clock.wheel.is_late(armed as u32, deadline), "{deadline}");
        assert!(clock.wheel.is_late(armed as u32, armed - 1), "{deadline}, over the 32 bits too");
    }
}

#[test]
fn a_stale_entry_is_thrown_away() {
    let mut clock = Clock::new(0);
    for slot in 0..5 {
        clock.arm(slot, 300);
    }
    for slot in [0, 2, 4] {
        clock.end(slot);
    }
    // A new tenant is not hit by the old one's timer.
    clock.arm(2, 700);
    assert_eq!(clock.drain(300), [1, 3]);
    assert_eq!(clock.drain(699), []);
    assert_eq!(clock.drain(700), [2]);
    assert_eq!(clock.wheel.next_due(), None);
}

#[test]
fn stale_entries_do_not_pile_up() {
    let mut clock = Clock::new(0);
    for now in 0..10_000 {
        clock.arm(7, now + 100);
        assert_eq!(clock.pop(now), None);
    }
    assert!(clock.wheel.chunks.all.len() < 130, "one for each bucket in use");
}

#[test]
fn equal_times_come_in_the_order_of_arming_even_from_different_distances() {
    let mut clock = Clock::new(0);
    clock.arm(9, 70_000);
    clock.arm(1, 2);
    assert_eq!(clock.drain(69_990), [1]);
    clock.arm(4, 70_000);
    assert_eq!(clock.pop(69_999), None);
    clock.arm(2, 70_000);
    assert_eq!(clock.drain(70_000), [9, 4, 2]);
}

#[test]
fn a_time_in_the_past_is_due_at_once() {
    let mut clock = Clock::new(100);
    clock.arm(0, 100);
    clock.arm(1, 3);
    assert_eq!(clock.wheel.next_due(), Some(100));
    assert_eq!(clock.drain(100), [0, 1]);
}

#[test]
fn a_time_in_the_past_does_not_overtake_what_is_due_already() {
    let mut clock = Clock::new(0);
    clock.arm(0, 10);
    clock.arm(1, 10);
    assert_eq!(clock.pop(20), Some(0));
    clock.arm(2, 3);
    assert_eq!(clock.drain(20), [1, 2]);
}

#[test]
fn a_clock_that_runs_backwards_counts_as_standing_still() {
    let mut clock = Clock::new(0);
    assert_eq!(clock.pop(50), None);
    clock.arm(0, 51);
    assert_eq!(clock.pop(10), None);
    clock.arm(1, 20);
    assert_eq!(clock.pop(10), Some(1));
    assert_eq!(clock.drain(51), [0]);
}

#[test]
fn opening_a_large_bucket_can_be_spread_over_many_calls() {
    let mut clock = Clock::new(0);
    for slot in 0..1000 {
        clock.arm(slot, 70_000);
    }
    let mut calls = 0;
    let mut popped = Vec::new();
    loop {
        let mut steps = 1;
        let due = clock.pop_in(70_000, &mut steps);
        popped.extend(due);
        if due.is_none() && steps == 1 {
            break;
        }
        assert_eq!(steps, 0, "a call that does something counts it");
        assert!(due.is_some() || clock.wheel.next_due().is_some_and(|next| next <= 70_000));
        calls += 1;
    }
    assert_eq!(popped, (0..1000).collect::<Vec<u32>>());
    assert_eq!(calls, 3000, "two moves for each, and its end");
}

#[test]
fn a_caller_who_sleeps_until_next_due_wakes_few_times() {
    for deadline in [250_000, 411_987_305] {
        let mut clock = Clock::new(123_456);
        clock.arm(0, deadline);
        let (mut now, mut wakes) = (0, 0);
        while let Some(due) = clock.wheel.next_due() {
            assert!(now < due && due <= deadline);
            (now, wakes) = (due, wakes + 1);
            assert_eq!(clock.pop(now).is_some(), now == deadline);
        }
        let looks = deadline / HORIZON + 1;
        assert!(wakes <= looks * 3, "{wakes} wakes for {looks} looks");
    }
}

#[test]
fn lazily_refreshed_flows_expire_once_each_in_a_long_run() {
    const TIMEOUT: u64 = 114_441;
    // Slot n sees a packet whenever anybody looks, until so many seconds have passed.
    let last_packet = |slot: u32| u64::from(slot) * 954;
    let mut clock = Clock::new(0);
    for slot in 0..1000 {
        clock.arm(slot, TIMEOUT);
    }
    let (mut now, mut expired) = (0, [0; 1000]);
    while let Some(due) = clock.wheel.next_due() {
        now = now.max(due);
        (0..1000).for_each(|slot| clock.renew(slot, now.min(last_packet(slot)) + TIMEOUT));
        for slot in clock.drain(now) {
            expired[slot as usize] += 1;
            assert_eq!(now, last_packet(slot) + TIMEOUT, "{slot}");
        }
    }
    assert_eq!(expired, [1; 1000]);
}

#[derive(Clone, Debug)]
enum Op {
    /// A slot gets a new tenant, for so many ticks after (or, when negative, before) the present.
    Arm(u32, i64),
    /// Its deadline changes likewise.
    Renew(u32, i64),
    End(u32),
    /// Let so many ticks pass, and take at most so many steps.
    Advance(u64, usize),
}

/// Spans of every magnitude, from a millisecond to centuries, with the edges between digits, and of
/// the horizon, well represented.
fn span() -> impl Strategy<Value = u64> {
    let any_size = (0u32..44, any::<u64>(), 0u8..4).prop_map(|(bits, noise, shape)| match shape {
        0 => 1 << bits,
        1 => (1 << bits) - 1,
        _ => noise >> 20 >> (44 - bits),
    });
    prop_oneof![4 => any_size, 1 => HORIZON - 2..HORIZON + 3, 2 => 0..2 * HORIZON]
}

fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => span().prop_map(|ahead| (ahead % FAR).cast_signed()),
        1 => span().prop_map(|ago| -(ago % FAR).cast_signed())
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let slot = 0u32..24;
    prop_oneof![
        6 => (slot.clone(), offset()).prop_map(|(slot, offset)| Op::Arm(slot, offset)),
        6 => (slot.clone(), offset()).prop_map(|(slot, offset)| Op::Renew(slot, offset)),
        2 => slot.prop_map(Op::End),
        2 => (span(), 0usize..4).prop_map(|(span, steps)| Op::Advance(span % FAR, steps)),
        // Most steps are short, or the clock would stand at its end after a few of them.
        4 => (0..2 * HORIZON, Just(usize::MAX)).prop_map(|(span, steps)| Op::Advance(span, steps)),
        1 => (0..1u64 << 34, Just(usize::MAX)).prop_map(|(span, steps)| Op::Advance(span, steps)),
    ]
}

/// Takes all that is due, of which `few` are over at a time, as the table does it, with so many places for them; who came,
/// and how many steps are left.
fn take_all(
    clock: &mut Clock,
    now: u64,
    mut steps: usize,
    (few, room): (usize, usize),
) -> (Vec<u32>, usize) {
    let mut gone = Vec::new();
    loop {
        let mut due = alloc::vec![0; few];
        let mut count = 0;
        for places in due.chunks_mut(room) {
            let found = clock.wheel.pop_due(&mut clock.kept, now, &mut steps, places);
            count += found;
            if found < places.len() {
                break;
            }
        }
        // One that was armed twice may come twice.
        gone.extend(due[..count].iter().filter(|slot| clock.kept.0.remove(slot).is_some()));
        if count < few {
            return (gone, steps);
        }
    }
}

/// The wheel, and all it has to know: who has which deadline.
struct Trial {
    clock: Clock,
    now: u64,
    deadlines: BTreeMap<u32, u64>,
}

impl Trial {
    fn apply(&mut self, op: &Op) {
        let at = |offset| self.now.saturating_add_signed(offset).min(END);
        match *op {
            Op::Arm(slot, offset) => {
                self.deadlines.insert(slot, at(offset));
                self.clock.arm(slot, at(offset));
            }
            Op::Renew(slot, offset) => {
                let deadline = at(offset);
                self.deadlines.entry(slot).and_modify(|own| *own = deadline);
                self.clock.renew(slot, deadline);
            }
            Op::End(slot) => {
                self.deadlines.remove(&slot);
                self.clock.end(slot);
            }
            Op::Advance(span, steps) => {
                self.now = self.now.saturating_add(span).min(END);
                self.pop(steps);
            }
        }
    }

    /// Pops as many as that many steps allow: only who is due, each once, in the order of the
    /// ticks that they are armed for; and in the end everybody.
    fn pop(&mut self, mut steps: usize) {
        let mut last = None;
        while let Some(slot) = self.clock.next(self.now, &mut steps) {
            let armed = self.clock.kept.armed(slot).expect("a slot with a timer");
            let is_ordered = last.is_none_or(|last| armed.wrapping_sub(last).cast_signed() >= 0);
            assert!(is_ordered, "{last:?} was before {armed}");
            last = Some(armed);
            self.clock.end(slot);
            let deadline = self.deadlines.remove(&slot);
            assert!(deadline.is_some_and(|deadline| deadline <= self.now), "{slot}: {deadline:?}");
        }
        if steps > 0 {
            let overdue = self.deadlines.iter().find(|(_, deadline)| **deadline <= self.now);
            assert_eq!(overdue, None, "at {}", self.now);
            let next = self.clock.wheel.next_due();
            assert!(next.is_none_or(|next| next > self.now), "{next:?} is not after {}", self.now);
        }
    }

    fn check(&self) {
        let next = self.clock.wheel.next_due();
        if let Some(first) = self.deadlines.values().min() {
            // What is overdue is due at the present.
            let first = (*first).max(self.now);
            assert!(next.is_some_and(|next| next <= first), "{next:?} is after {first}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn everybody_is_popped_when_due_and_nobody_else(
        start in span(),
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut trial = Trial { clock: Clock::new(start), now: start, deadlines: BTreeMap::new() };
        for op in ops {
            trial.apply(&op);
            trial.check();
        }
        // To the end, from one deadline to the next.
        while let Some(due) = trial.clock.wheel.next_due() {
            let first = trial.deadlines.values().min().copied().unwrap_or(due);
            trial.now = trial.now.max(due).max(first);
            trial.pop(usize::MAX);
        }
        prop_assert!(trial.deadlines.is_empty());
    }

    #[test]
    fn how_many_are_taken_at_a_time_changes_neither_their_order_nor_the_steps(
        start in span(),
        ops in proptest::collection::vec(op(), 1..120),
        few in 1usize..80,
        room in 2usize..80,
    ) {
        let mut clocks = [Clock::new(start), Clock::new(start)];
        let mut now = start;
        for op in ops {
            let at = |offset| now.saturating_add_signed(offset).min(END);
            match op {
                Op::Arm(slot, offset) => clocks.iter_mut().for_each(|one| one.arm(slot, at(offset))),
                Op::Renew(slot, offset) => {
                    clocks.iter_mut().for_each(|one| one.renew(slot, at(offset)));
                }
                Op::End(slot) => clocks.iter_mut().for_each(|one| one.end(slot)),
                Op::Advance(span, steps) => {
                    now = now.saturating_add(span).min(END);
                    let [one, other] = &mut clocks;
                    let taken = take_all(one, now, steps, (few, 1));
                    prop_assert_eq!(taken, take_all(other, now, steps, (few, room)));
                    prop_assert_eq!(one.wheel.next_due(), other.wheel.next_due());
                }
            }
        }
    }
}
