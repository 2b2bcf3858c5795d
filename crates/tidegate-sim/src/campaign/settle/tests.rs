//! Times are only ever chosen within their readings, and only what they decide is settled.

use std::cell::RefCell;

use super::*;

const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// Ten packets, 100 ms apart, and the end: each seen between 5 ms before the likely time and 2 ms after it.
fn readings() -> Vec<Reading> {
    let reading = |number: u64| {
        let likely = ms(1000 + 100 * number);
        Reading { earliest: likely - ms(5), likely, latest: likely + ms(2) }
    };
    (0..11).map(reading).collect()
}

/// Where the records differ of a kernel that saw packets at `kernel`, and an engine that is told `times`: an entry that
/// packet 2 made ends `timeout` later, which is told of the packet before the first one that comes then.
fn entry(kernel: &[Duration], timeout: Duration, times: &[Duration]) -> Option<Doubt> {
    let told = |times: &[Duration]| {
        let ends = times[2] + timeout;
        times.iter().position(|time| *time >= ends).map(|packet| packet - 1)
    };
    let (there, here) = (told(kernel), told(times));
    let packet = [there, here].into_iter().flatten().min()?;
    (there != here).then(|| Doubt { packet, concerned: vec![2] })
}

/// The kernel's times: the likely ones, but these.
fn kernel(but: &[(usize, Duration)]) -> Vec<Duration> {
    let mut times: Vec<Duration> = readings().iter().map(|reading| reading.likely).collect();
    for (packet, time) in but {
        times[*packet] = *time;
    }
    times
}

#[test]
fn what_a_reading_decides_is_settled_and_nothing_else() {
    let rows = [
        ("no difference", vec![], ms(250), true),
        ("due with packet 5, which the kernel saw before", vec![(5, ms(1497))], ms(300), true),
        ("due 2 ms after packet 5, which it saw later", vec![(5, ms(1502))], ms(302), true),
        ("due before packet 5, but packet 2 came late", vec![(2, ms(1202))], ms(299), true),
        ("both", vec![(2, ms(1202)), (5, ms(1496))], ms(295), true),
        ("packet 5 before all readings", vec![(5, ms(1490))], ms(291), false),
        ("packet 5 after all readings", vec![(5, ms(1510))], ms(309), false),
        ("packet 2 before all readings", vec![(2, ms(1180))], ms(310), false),
    ];
    for (what, but, timeout, is_settled) in rows {
        let kernel = kernel(&but);
        let mut judge = |times: &[Duration]| entry(&kernel, timeout, times);
        let times = settle(&readings(), &mut judge);
        assert_eq!(entry(&kernel, timeout, &times).is_none(), is_settled, "{what}");
    }
}

#[test]
fn a_reading_that_is_too_wide_settles_nothing() {
    let kernel = kernel(&[(5, ms(1496))]);
    let rows = [("as wide as may be", SHARP, true), ("wider", SHARP + ms(1), false)];
    for (what, width, is_settled) in rows {
        let mut readings = readings();
        readings[5].earliest = readings[5].latest - width;
        let mut judge = |times: &[Duration]| entry(&kernel, ms(298), times);
        let times = settle(&readings, &mut judge);
        assert_eq!(entry(&kernel, ms(298), &times).is_none(), is_settled, "{what}");
    }
}

#[test]
fn a_difference_that_hangs_on_no_time_stays() {
    let always = |_: &[Duration]| Some(Doubt { packet: 4, concerned: vec![0, 1] });
    let times = settle(&readings(), &mut { always });
    assert_eq!(times, kernel(&[]), "and no time is moved for it");
}

#[test]
fn one_that_is_settled_does_not_hide_the_next() {
    let mut judge = |times: &[Duration]| match times[4] < ms(1400) {
        true => Some(Doubt { packet: 7, concerned: vec![] }),
        false => Some(Doubt { packet: 3, concerned: vec![] }),
    };
    let times = settle(&readings(), &mut judge);
    assert_eq!(judge(&times).map(|doubt| doubt.packet), Some(7));
}

#[test]
fn all_times_that_are_tried_are_possible() {
    let readings = readings();
    let tried = RefCell::new(0);
    // Overlapping readings, as of packets that follow each other at once.
    let close: Vec<Reading> = readings
        .iter()
        .enumerate()
        .map(|(number, _)| {
            let likely = ms(1000) + Duration::from_micros(300) * number as u32;
            Reading { earliest: likely - ms(5), likely, latest: likely + ms(1) }
        })
        .collect();
    for readings in [readings, close] {
        let mut judge = |times: &[Duration]| {
            *tried.borrow_mut() += 1;
            assert!(times.is_sorted(), "{times:?}");
            let is_possible =
                |(time, r): (&Duration, &Reading)| (r.earliest..=r.latest).contains(time);
            assert!(times.iter().zip(&readings).all(is_possible), "{times:?}");
            let packet = *tried.borrow() / 3 % 11;
            Some(Doubt { packet, concerned: (0..packet).rev().collect() })
        };
        settle(&readings, &mut judge);
    }
    assert!(*tried.borrow() > 100, "{} times tried", tried.borrow());
}
