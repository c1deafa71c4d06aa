//! Where we are in the source: an [`Lsn`], and the [`Position`] of one event.

use std::fmt;
use std::str::FromStr;

/// A byte position in the source's write-ahead log, printed as PostgreSQL does: `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before everything; also "not known".
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Lsn {
    /// Each event is told with its own, so this does without the formatter's machinery.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'/'; 17];
        let slash = hex_before(&mut text, 17, self.0 & 0xFFFF_FFFF) - 1;
        let start = hex_before(&mut text, slash, self.0 >> 32);
        text[slash] = b'/';
        f.write_str(std::str::from_utf8(&text[start..]).map_err(|_| fmt::Error)?)
    }
}

/// Writes a number of at most 32 bits so that it ends before `end`; where it starts.
fn hex_before(text: &mut [u8; 17], end: usize, mut number: u64) -> usize {
    let mut start = end;
    loop {
        start -= 1;
        text[start] = b"0123456789ABCDEF"[(number & 15) as usize];
        number >>= 4;
        if number == 0 {
            return start;
        }
    }
}

/// The text was not two hexadecimal numbers of at most 32 bits around a slash.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidLsn;

impl fmt::Display for InvalidLsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a log position (expected two hexadecimal numbers around a slash, as in 16/B374D848)")
    }
}

impl std::error::Error for InvalidLsn {}

impl FromStr for Lsn {
    type Err = InvalidLsn;

    fn from_str(text: &str) -> Result<Self, InvalidLsn> {
        let half = |part: &str| {
            let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain.then(|| u32::from_str_radix(part, 16).ok()).flatten().ok_or(InvalidLsn)
        };
        let (high, low) = text.split_once('/').ok_or(InvalidLsn)?;
        Ok(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

/// A point in time as PostgreSQL counts it: microseconds since 2000-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

const UNIX_TO_PG_SECONDS: i64 = 946_684_800;

impl Timestamp {
    /// The current time of this machine.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(since.as_micros() as i64 - UNIX_TO_PG_SECONDS * 1_000_000)
    }

    /// Microseconds since 1970-01-01 00:00:00 UTC.
    pub fn unix_micros(self) -> i64 {
        self.0.saturating_add(UNIX_TO_PG_SECONDS * 1_000_000)
    }
}

impl fmt::Display for Timestamp {
    /// `2026-11-21 10:03:18.424456+00`, trailing zeros of the fraction left out, as PostgreSQL prints a timestamptz in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days + UNIX_TO_PG_SECONDS / 86_400);
        write!(f, "{year:04}-{month:02}-{day:02} ")?;
        write!(f, "{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)?;
        if micros != 0 {
            let fraction = format!("{micros:06}");
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("+00")
    }
}

/// Days since 1970-01-01 to a date of the proleptic Gregorian calendar (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsn_text_round_trips() {
        for text in ["0/0", "0/10", "1/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().map(|lsn| lsn.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "/", "1/", "/1", "+1/2", "1/2/3", "x/1", "100000000/0"] {
            assert_eq!(bad.parse::<Lsn>(), Err(InvalidLsn), "{bad}");
        }
    }

    #[test]
    fn timestamps_print_like_postgres() {
        assert_eq!(Timestamp(0).to_string(), "2000-01-01 00:00:00+00");
        assert_eq!(Timestamp(-1).to_string(), "1999-12-31 23:59:59.999999+00");
        assert_eq!(Timestamp(848_570_598_424_450).to_string(), "2026-11-21 10:03:18.42445+00");
    }
}
