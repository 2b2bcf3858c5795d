//! `-m time`: the date, the day and the hour. Linux: `xt_time`.
//!
//! Time is UTC unless `--kerneltz` asks for the zone of the settings. The engine has no clock: what the time is by the
//! wall follows from the packet's instant and an offset that the caller sets.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::error::{Expected, Fault, GrammarError, ValueError};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, value};
use crate::rules::text::{Parsed, value as values};

/// `-m time`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Time {
    /// Seconds since 1970.
    dates: (u32, u32),
    /// Seconds since midnight; the first may be behind the last.
    hours: (u32, u32),
    /// Bit 1 is Monday's.
    weekdays: u8,
    /// Bit 1 is the first day's.
    monthdays: u32,
    /// What goes on after midnight belongs to the day before.
    contiguous: bool,
    local: bool,
}

const DAY: u32 = 86_400;
const ALL_WEEKDAYS: u8 = 0xfe;
const ALL_MONTHDAYS: u32 = 0xffff_fffe;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Condition for Time {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        value(&["--datestart"]),
        value(&["--datestop"]),
        value(&["--timestart"]),
        value(&["--timestop"]),
        OptionSpec { names: &["--monthdays"], negatable: true, values: 1 },
        OptionSpec { names: &["--weekdays"], negatable: true, values: 1 },
        flag(&["--contiguous"]),
        flag(&["--kerneltz", "--localtz"]),
        flag(&["--utc"]),
    ];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let weekdays = clause.term("--weekdays", weekdays)?;
        let monthdays = clause.term("--monthdays", monthdays)?;
        let time = Self {
            dates: (
                clause.value("--datestart", date)?.unwrap_or(0),
                clause.value("--datestop", date)?.unwrap_or(i32::MAX as u32),
            ),
            hours: (
                clause.value("--timestart", hour)?.unwrap_or(0),
                clause.value("--timestop", hour)?.unwrap_or(DAY - 1),
            ),
            weekdays: weekdays.map_or(ALL_WEEKDAYS, |term| {
                if term.negated { !term.value & ALL_WEEKDAYS } else { term.value }
            }),
            monthdays: monthdays.map_or(ALL_MONTHDAYS, |term| {
                if term.negated { !term.value & ALL_MONTHDAYS } else { term.value }
            }),
            contiguous: clause.flag("--contiguous"),
            local: clause.flag("--kerneltz"),
        };
        if time.weekdays == 0 || time.monthdays == 0 {
            return Err(Fault::new("time", ValueError::NeverMatches));
        }
        clause.one_of(&["--kerneltz", "--utc"])?;
        if time.contiguous && time.hours.0 < time.hours.1 {
            let needs = "--timestart behind --timestop";
            return Err(Fault::new("--contiguous", GrammarError::Missing { option: needs }));
        }
        Ok(time)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.hours != (0, DAY - 1) {
            f.write_str(" --timestart ")?;
            write_hour(f, self.hours.0)?;
            f.write_str(" --timestop ")?;
            write_hour(f, self.hours.1)?;
        }
        self.write_days(f)?;
        for (option, date) in [("--datestart", self.dates.0), ("--datestop", self.dates.1)] {
            if date != 0 {
                write!(f, " {option} ")?;
                write_date(f, date)?;
            }
        }
        f.write_str(if self.local { " --kerneltz" } else { "" })?;
        f.write_str(if self.contiguous { " --contiguous" } else { "" })
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        self.holds(ctx.wall.seconds(ctx.now, self.local)).into()
    }
}

impl Time {
    /// Seconds since 1970, in the zone that counts.
    fn holds(&self, mut now: i64) -> bool {
        let dates = i64::from(self.dates.0)..=i64::from(self.dates.1);
        if !dates.contains(&now) {
            return false;
        }
        let (start, stop) = self.hours;
        let hour = now.rem_euclid(DAY.into()) as u32;
        if start < stop {
            if !(start..=stop).contains(&hour) {
                return false;
            }
        } else if hour < start && hour > stop {
            return false;
        } else if self.contiguous && hour <= stop {
            now -= i64::from(DAY);
        }
        let day = now.div_euclid(DAY.into());
        self.weekdays & 1 << weekday(day) != 0 && self.monthdays & 1 << civil(day).2 != 0
    }

    fn write_days(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.monthdays != ALL_MONTHDAYS {
            let days = (1..=31).filter(|day| self.monthdays & 1 << day != 0);
            for (number, day) in days.enumerate() {
                f.write_str(if number == 0 { " --monthdays " } else { "," })?;
                write!(f, "{day}")?;
            }
        }
        if self.weekdays != ALL_WEEKDAYS {
            let days = (1..=7).zip(WEEKDAYS).filter(|(day, _)| self.weekdays & 1 << day != 0);
            for (number, (_, name)) in days.enumerate() {
                f.write_str(if number == 0 { " --weekdays " } else { "," })?;
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

/// From 1 for Monday to 7; day 0, 1 January 1970, was a Thursday.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7) + 1
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: years begin in March, so that the leap day is
/// the last of one, and repeat after 400.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let january = month >= 10;
    let month = if january { month - 9 } else { month + 3 };
    (year + era * 400 + i64::from(january), month, of_month)
}

/// The day since 1970 of a date; the inverse of [`civil`].
fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `YYYY[-MM[-DD[Thh[:mm[:ss]]]]]`
fn date(word: &str) -> Parsed<u32> {
    let wrong = || Fault::expected(word, Expected::Form("a date, YYYY-MM-DDThh:mm:ss, until 2106"));
    let (date, time) = word.split_once('T').unwrap_or((word, "0"));
    let mut parts = date.split('-').map(|part| values::decimal(part, 9999));
    let mut part = |absent, from, to| {
        let number = parts.next().unwrap_or(Some(absent));
        number.filter(|number| (from..=to).contains(number)).ok_or_else(wrong)
    };
    let (year, month, day) = (part(0, 1970, 2106)?, part(1, 1, 12)?, part(1, 1, 31)?);
    let seconds = i64::from(seconds(time).ok_or_else(wrong)?);
    let day = day_of(year.into(), month.into(), day.into());
    u32::try_from(day * i64::from(DAY) + seconds).map_err(|_| wrong())
}

fn hour(word: &str) -> Parsed<u32> {
    let form = Expected::Form("a time, hh:mm[:ss]");
    seconds(word).filter(|_| word.contains(':')).ok_or_else(|| Fault::expected(word, form))
}

/// `hh[:mm[:ss]]`
fn seconds(word: &str) -> Option<u32> {
    let mut parts = word.split(':');
    let mut part = |most: u32| parts.next().map_or(Some(0), |part| values::decimal(part, most));
    let (hour, minute, second) = (part(23)?, part(59)?, part(59)?);
    parts.next().is_none().then_some(hour * 3600 + minute * 60 + second)
}

/// By number from 1 for Monday, or by the first two letters of the name.
fn weekdays(word: &str) -> Parsed<u8> {
    let number = |item: &str| {
        let name = item.get(..2)?;
        let named = |day: &&str| day[..2].eq_ignore_ascii_case(name);
        WEEKDAYS.iter().position(named).map(|at| at as u32 + 1)
    };
    let mut days = 0;
    for item in word.split(',') {
        let day = values::decimal(item, 7).filter(|day| *day > 0).or_else(|| number(item));
        days |= 1 << day.ok_or_else(|| Fault::expected(item, Expected::Form("a weekday")))?;
    }
    Ok(days)
}

fn monthdays(word: &str) -> Parsed<u32> {
    let day = |item| values::number(item, 1, 31);
    word.split(',').try_fold(0, |days, item| Ok(days | 1 << day(item)?))
}

fn write_hour(f: &mut Formatter<'_>, seconds: u32) -> fmt::Result {
    write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn write_date(f: &mut Formatter<'_>, seconds: u32) -> fmt::Result {
    let (year, month, day) = civil((seconds / DAY).into());
    write!(f, "{year:04}-{month:02}-{day:02}T")?;
    write_hour(f, seconds % DAY)
}

#[cfg(test)]
mod tests;
