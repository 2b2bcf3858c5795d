//! Numbers as people read them.

use std::fmt;
use std::time::Duration;

/// A whole number with its thousands apart: `1,234,567`.
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// So many of something: `1 flow`, `1,234 flows`.
pub(crate) struct Many(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, what) = self;
        write!(f, "{} {what}{}", Count(*count), if *count == 1 { "" } else { "s" })
    }
}

/// Bytes in the unit that fits: `1.5 MB`.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&scaled(self.0 as f64, ["B", "kB", "MB", "GB", "TB"]))
    }
}

/// Bits a second in the unit that fits: `33.8 Mbit/s`.
pub(crate) struct BitRate(pub(crate) f64);

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&scaled(self.0, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]))
    }
}

fn scaled(value: f64, units: [&str; 5]) -> String {
    let mut rest = value;
    let mut index = 0;
    while rest >= 999.95 && index + 1 < units.len() {
        rest /= 1000.0;
        index += 1;
    }
    let decimals = usize::from(index > 0);
    format!("{rest:.decimals$} {}", units[index])
}

/// A time span in its two largest units: `2 h 5 min`.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let text = match seconds {
            0 => format!("{:.1} ms", self.0.as_secs_f64() * 1e3),
            1..60 => format!("{:.1} s", self.0.as_secs_f64()),
            60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
            3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
            _ if seconds / YEAR > 100 => "more than a century".to_owned(),
            _ if seconds > 2 * YEAR => format!("{} years", seconds / YEAR),
            _ => format!("{} {} h", Many(seconds / 86_400, "day"), seconds / 3600 % 24),
        };
        f.pad(&text)
    }
}

const YEAR: u64 = 365 * 86_400;

/// Nanoseconds since 1970 as a date and time in UTC: `2026-01-31 04:05:06 UTC`.
pub(crate) struct Utc(pub(crate) u64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000_000;
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

/// Nanoseconds since 1970 as RFC 3339 has it, in UTC: `2026-01-31T04:05:06.123456Z`.
pub(crate) struct Rfc3339(pub(crate) u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000_000, self.0 / 1000 % 1_000_000);
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// Nanoseconds since 1970 as asctime(3) has it, in UTC: `Sat Jan 31 04:05:06 2026`.
pub(crate) struct Asctime(pub(crate) u64);

impl fmt::Display for Asctime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000_000;
        let days = seconds / 86_400;
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let (weekday, month) = (WEEKDAYS[(days % 7) as usize], MONTHS[month as usize - 1]);
        write!(f, "{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}")
    }
}

/// From the one of 1970-01-01 on.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time span in its two largest units, without blanks, as it can be typed: `2h5m`.
pub(crate) struct Brief(pub(crate) Duration);

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (large, small) = match seconds {
            0..60 => return write!(f, "{seconds}s"),
            60..3600 => ((seconds / 60, "m"), (seconds % 60, "s")),
            3600..86_400 => ((seconds / 3600, "h"), (seconds / 60 % 60, "m")),
            _ => ((seconds / 86_400, "d"), (seconds / 3600 % 24, "h")),
        };
        write!(f, "{}{}", large.0, large.1)?;
        if small.0 > 0 { write!(f, "{}{}", small.0, small.1) } else { Ok(()) }
    }
}

/// Nanoseconds since 1970 as year, month, day, hour, minute, second and day of the week (1: Sunday), in UTC.
pub(crate) fn calendar(nanos: u64) -> [u64; 7] {
    let seconds = nanos / 1_000_000_000;
    let days = seconds / 86_400;
    let (year, month, day) = civil(days);
    let [hour, minute, second] = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60];
    // The first day was a Thursday.
    [year, month, day, hour, minute, second, (days + 4) % 7 + 1]
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian
/// calendar: years are taken to begin in March, so that the leap day is the
/// last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let rows = [
            (Count(0).to_string(), "0"),
            (Count(999).to_string(), "999"),
            (Count(1_234_567).to_string(), "1,234,567"),
            (Many(1, "flow").to_string(), "1 flow"),
            (Many(2000, "flow").to_string(), "2,000 flows"),
            (Bytes(999).to_string(), "999 B"),
            (Bytes(1500).to_string(), "1.5 kB"),
            (Bytes(999_990_000).to_string(), "1.0 GB"),
            (BitRate(33_800_000.0).to_string(), "33.8 Mbit/s"),
            (Span(Duration::from_micros(12_300)).to_string(), "12.3 ms"),
            (Span(Duration::from_millis(59_940)).to_string(), "59.9 s"),
            (Span(Duration::from_secs(61)).to_string(), "1 min 1 s"),
            (Span(Duration::from_secs(7500)).to_string(), "2 h 5 min"),
            (Span(Duration::from_secs(90_000)).to_string(), "1 day 1 h"),
            (Brief(Duration::from_secs(59)).to_string(), "59s"),
            (Brief(Duration::from_secs(7500)).to_string(), "2h5m"),
            (Brief(Duration::from_secs(432_000)).to_string(), "5d"),
            (Asctime(951_782_400_000_000_000).to_string(), "Tue Feb 29 00:00:00 2000"),
            (Asctime(0).to_string(), "Thu Jan  1 00:00:00 1970"),
            (Rfc3339(951_782_400_000_001_999).to_string(), "2000-02-29T00:00:00.000001Z"),
            (Utc(0).to_string(), "1970-01-01 00:00:00 UTC"),
            (Utc(951_782_400_000_000_000).to_string(), "2000-02-29 00:00:00 UTC"),
            (Utc(1_767_225_599_999_999_999).to_string(), "2025-12-31 23:59:59 UTC"),
        ];
        for (shown, expected) in rows {
            assert_eq!(shown, expected);
        }
    }
}
