//! The calendar, and when a range of times holds.

use tidegate_wire::Family;

use super::*;
use crate::rules;
use crate::rules::ast::Match;
use crate::rules::conditions::Kind;

fn time(options: &str) -> Time {
    let text = alloc::format!("*filter\n-A INPUT -m time {options}\nCOMMIT\n");
    let ruleset = rules::parse(Family::V4, "row", &text).unwrap();
    let first = ruleset.rules().next().unwrap().matches[0].clone();
    match first {
        Match::Extension(one) => match one.0 {
            Kind::Time(time) => time,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn days_and_dates_belong_together() {
    let rows = [
        (0, (1970, 1, 1)),
        (59, (1970, 3, 1)),
        (11_016, (2000, 2, 29)),
        (20_613, (2026, 6, 9)),
        (49_709, (2106, 2, 6)),
    ];
    for (day, date) in rows {
        assert_eq!(civil(day), date);
        assert_eq!(day_of(date.0, date.1, date.2), day);
    }
    for day in 0..50_000 {
        let (year, month, of_month) = civil(day);
        assert_eq!(day_of(year, month, of_month), day);
    }
}

/// Each row: options, a time (UTC), whether they hold. 9 June 2026 was a Tuesday.
#[test]
fn when_a_range_holds() {
    let rows = [
        ("--timestart 10:00 --timestop 12:00", "2026-06-09T10:00:00", true),
        ("--timestart 10:00 --timestop 12:00", "2026-06-09T12:00:01", false),
        ("--timestart 22:00 --timestop 6:00", "2026-06-09T23:00:00", true),
        ("--timestart 22:00 --timestop 6:00", "2026-06-09T05:59:59", true),
        ("--timestart 22:00 --timestop 6:00", "2026-06-09T07:00:00", false),
        ("--weekdays Tue", "2026-06-09T00:00:00", true),
        ("--weekdays Mon", "2026-06-09T00:00:00", false),
        ("! --weekdays Mon", "2026-06-09T00:00:00", true),
        ("--weekdays Mon --timestart 22:00 --timestop 6:00", "2026-06-09T05:00:00", false),
        (
            "--weekdays Mon --timestart 22:00 --timestop 6:00 --contiguous",
            "2026-06-09T05:00:00",
            true,
        ),
        ("--monthdays 9", "2026-06-09T05:00:00", true),
        ("--monthdays 8,10", "2026-06-09T05:00:00", false),
        ("--monthdays 31", "2027-01-31T23:59:59", true),
        ("--datestart 2026-06-09", "2026-06-08T23:59:59", false),
        ("--datestart 2026-06-09", "2026-06-09T00:00:00", true),
        ("--datestop 2026-06-09T12:00", "2026-06-09T12:00:00", true),
        ("--datestop 2026-06-09T12:00", "2026-06-09T12:00:01", false),
    ];
    for (options, at, expected) in rows {
        assert_eq!(time(options).holds(date(at).unwrap().into()), expected, "{options} at {at}");
    }
}
