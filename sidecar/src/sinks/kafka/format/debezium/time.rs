//! Dates, times and intervals: from PostgreSQL's text to what Debezium counts. Sans-I/O.
//!
//! Texts are those of `DateStyle=ISO`, `IntervalStyle=postgres`, UTC: what a replication connection of ours and a copy ask for.
//! Infinity has the numbers that Debezium gives it; where a text is written, `None`.

use std::io::Write;

use super::form::Unit;
use crate::event::clock::{clock, hours, DAY, SECOND};

/// The twelfth part of 365.25 days.
const MONTH: i64 = 2_629_800 * SECOND;

/// A time of a day of the calendar.
struct Moment {
    /// Where 1 BC is 0.
    year: i64,
    month: i64,
    day: i64,
    /// Microseconds since midnight.
    clock: i64,
}

/// Days since 1970.
pub(super) fn date(text: &str) -> Option<i64> {
    match text {
        "infinity" => Some(-2_147_472_692),
        "-infinity" => Some(-2_147_472_691),
        _ => moment(text).map(|moment| moment.days()),
    }
}

/// Since midnight.
pub(super) fn time(text: &str, unit: Unit) -> Option<i64> {
    clock(text).map(|micros| unit.of(micros))
}

/// Since 1970.
pub(super) fn timestamp(text: &str, unit: Unit) -> Option<i64> {
    match text {
        "infinity" => return Some(unit.of(9_223_372_036_825_200_000)),
        "-infinity" => return Some(unit.of(-9_223_372_036_832_400_000)),
        _ => {}
    }
    let moment = moment(text)?;
    Some(unit.of(moment.days().checked_mul(DAY)?.checked_add(moment.clock)?))
}

/// `2026-11-21T08:03:18.424456Z`, with so many digits of the second.
pub(super) fn zoned_timestamp(text: &str, digits: usize) -> Option<String> {
    let Moment { year, month, day, clock } = moment(text)?;
    let sign = match year {
        ..0 => "-",
        0..10_000 => "",
        _ => "+",
    };
    let mut text = format!("{sign}{:04}-{month:02}-{day:02}T{}", year.abs(), hours(clock)).into_bytes();
    if digits > 0 {
        let fraction = format!("{:06}", clock % SECOND);
        // Writing to a Vec cannot fail.
        let _ = write!(text, ".{}", &fraction[..digits.min(6)]);
    }
    text.push(b'Z');
    String::from_utf8(text).ok()
}

/// Microseconds of an interval, `1 year 2 mons 3 days 04:05:06.789`; as many as fit.
pub(super) fn interval(text: &str) -> Option<i64> {
    let mut micros: i128 = 0;
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (negative, word) = (word.starts_with('-'), word.trim_start_matches(['-', '+']));
            let clock = i128::from(clock(word)?);
            micros += if negative { -clock } else { clock };
            continue;
        }
        let unit = match words.next()? {
            "year" | "years" => 12 * MONTH,
            "mon" | "mons" => MONTH,
            "day" | "days" => DAY,
            _ => return None,
        };
        micros += i128::from(word.trim_start_matches('+').parse::<i64>().ok()?) * i128::from(unit);
    }
    Some(i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX }))
}

impl Unit {
    fn of(self, micros: i64) -> i64 {
        match self {
            Self::Millis => micros.div_euclid(1000),
            Self::Micros => micros,
        }
    }
}

impl Moment {
    /// Since 1970, of the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
    fn days(&self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = (self.month + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }
}

/// `2026-11-21 10:03:18.424456+00 BC`; without a time, midnight.
fn moment(text: &str) -> Option<Moment> {
    let (text, before_christ) = text.strip_suffix(" BC").map_or((text, false), |text| (text, true));
    let text = text.strip_suffix("+00").unwrap_or(text);
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let year = if before_christ { 1 - year } else { year };
    Some(Moment { year, month, day, clock: clock(time)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Debezium has written of these.
    #[test]
    fn times_are_counted() {
        assert_eq!(date("2026-11-21"), Some(20_778));
        assert_eq!(date("0001-01-01"), Some(-719_162));
        assert_eq!(date("infinity"), Some(-2_147_472_692));
        assert_eq!(timestamp("infinity", Unit::Millis), Some(9_223_372_036_825_200));
        assert_eq!(timestamp("0044-03-15 12:00:00.123456 BC", Unit::Micros), Some(-63_517_780_799_876_544));
        assert_eq!(time("10:03:18.424456", Unit::Micros), Some(36_198_424_456));
        assert_eq!(time("23:59:59.999", Unit::Millis), Some(86_399_999));
        assert_eq!(timestamp("2026-11-21 10:03:18.424456", Unit::Micros), Some(1_795_255_398_424_456));
        assert_eq!(timestamp("1969-12-31 23:59:59", Unit::Millis), Some(-1000));
        assert_eq!(timestamp("0001-01-01 00:00:00", Unit::Micros), Some(-62_135_596_800_000_000));
    }

    #[test]
    fn zones_become_utc() {
        let timestamp = |text, digits| zoned_timestamp(text, digits).expect("a time");
        assert_eq!(timestamp("2026-11-21 08:03:18.424456+00", 6), "2026-11-21T08:03:18.424456Z");
        assert_eq!(timestamp("2026-11-21 10:03:18.42+00", 3), "2026-11-21T10:03:18.420Z");
        assert_eq!(timestamp("1969-12-31 23:59:59+00", 0), "1969-12-31T23:59:59Z");
        assert_eq!(timestamp("0044-03-15 12:00:00+00 BC", 3), "-0043-03-15T12:00:00.000Z");
        assert_eq!(zoned_timestamp("-infinity", 6), None);
    }

    #[test]
    fn intervals_are_counted() {
        assert_eq!(interval("1 year 2 mons 3 days 04:05:06.789"), Some(37_091_106_789_000));
        assert_eq!(interval("-1 days +00:00:01.25"), Some(-86_398_750_000));
        assert_eq!(interval("00:00:00"), Some(0));
        assert_eq!(interval("-178000 years"), Some(-5_617_252_800_000_000_000));
    }
}
