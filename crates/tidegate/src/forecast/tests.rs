//! Tables made by hand, of which it can be reckoned what they would hold.

use tidegate_wire::netlink::Tuple;
use tidegate_wire::netlink::conntrack::{ProtoInfo, TcpInfo};

use super::*;

fn timers(established: u64) -> Timers {
    let named = |(name, value): (&str, u64)| {
        (format!("{}{name}", crate::timers::PREFIX), value.to_string())
    };
    Timers::of(&[("tcp_timeout_established", established), ("udp_timeout", 30)].map(named))
}

fn question(after: u64, growth: f64) -> Question {
    let moments = vec![0, 100, 10_000];
    Question { before: timers(432_000), after: timers(after), moments, growth }
}

fn connection(rest: u32) -> Flow<'static> {
    let tuple = Tuple { proto: Some(6), ..Tuple::default() };
    let tcp = TcpInfo { state: Some(3), ..TcpInfo::default() };
    Flow {
        tuples: [tuple.clone(), tuple],
        info: ProtoInfo { tcp: Some(tcp), ..ProtoInfo::default() },
        status: Some(0xe),
        timeout: Some(rest),
        ..Flow::default()
    }
}

/// Of connections that have been idle so long.
fn study(question: Question, idle: &[u32]) -> Findings {
    let mut study = Study::new(question);
    idle.iter().for_each(|idle| study.add(&connection(432_000 - idle), 0));
    study.findings()
}

fn exactly(number: f64) -> Bounds {
    Bounds { least: number, most: number }
}

#[test]
fn a_shorter_timeout_would_have_ended_those_that_are_idle_for_longer() {
    let findings = study(question(7440, 0.0), &[0, 10, 7439, 7440, 7441, 100_000]);
    assert_eq!((findings.before, findings.after), (6, exactly(4.0)));
    let at = |index: usize| findings.points[index];
    assert_eq!((at(0).before, at(0).alone, at(0).after), (6.0, exactly(6.0), exactly(4.0)));
    // Of the four, those with 0 s and 1 s left are gone after 100 s, and all after hours; by the settings alone none.
    assert_eq!((at(1).after, at(1).alone), (exactly(2.0), exactly(6.0)));
    assert_eq!((at(2).after, at(2).before), (exactly(0.0), 6.0));
}

#[test]
fn as_many_come_as_end() {
    let findings = study(question(7440, 1.0), &[0, 10, 5000, 100_000]);
    assert!(findings.points.iter().all(|point| point.before == 4.0));
    assert!(findings.points.iter().all(|point| point.after == exactly(3.0)));
    let twice = study(question(7440, 2.0), &[0, 10, 5000, 100_000]);
    assert_eq!(twice.points[2].after, exactly(6.0), "all were replaced by twice as many");
}

#[test]
fn a_longer_timeout_would_have_kept_as_many_as_are_about_to_end() {
    // One ends each 1000 s.
    let idle: Vec<u32> = (0..432).map(|number| number * 1000).collect();
    let findings = study(question(532_000, 1.0), &idle);
    assert_eq!(findings.before, 432);
    let more = findings.after.least - 432.0;
    assert!((99.0..=101.0).contains(&more), "{more}");
}

#[test]
fn what_is_not_known_exactly_is_told_within_bounds() {
    let of = |established: u64| {
        let named = |(name, value): (&str, u64)| {
            (format!("{}{name}", crate::timers::PREFIX), value.to_string())
        };
        let settings =
            [("tcp_timeout_unacknowledged", 300), ("tcp_timeout_established", established)];
        Timers::of(&settings.map(named))
    };
    let (before, after) = (of(432_000), of(7440));
    let mut study = Study::new(Question { before, after, moments: vec![0], growth: 0.0 });
    // It has data under way, or has been silent for five days.
    study.add(&connection(200), 0);
    let findings = study.findings();
    assert_eq!((findings.after, findings.vague), (Bounds { least: 0.0, most: 1.0 }, 1));
}
