//! Times of a day as PostgreSQL prints them.

/// Microseconds of a second, and of a day.
pub const SECOND: i64 = 1_000_000;
/// See [`SECOND`].
pub const DAY: i64 = 86_400 * SECOND;

/// `08:03:18.5Z`, whatever the zone was.
pub fn zoned_time(text: &str) -> Option<String> {
    let at = text.rfind(['+', '-'])?;
    let (local, zone) = text.split_at(at);
    let offset = clock(&zone[1..])?;
    let offset = if zone.starts_with('-') { -offset } else { offset };
    let micros = (clock(local)? - offset).rem_euclid(DAY);
    let fraction = format!("{:06}", micros % SECOND);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{}{point}{fraction}Z", hours(micros)))
}

/// Microseconds of `10:03:18.424456`; seconds and minutes may be missing.
pub fn clock(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut micros = 0;
    for (part, unit) in whole.split(':').zip([3600, 60, 1]) {
        micros += part.parse::<i64>().ok()? * unit * SECOND;
    }
    let fraction = format!("{fraction:0<6}");
    Some(micros + fraction.parse::<i64>().ok()?)
}

/// `10:03:18`
pub fn hours(micros: i64) -> String {
    let seconds = micros / SECOND;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_become_utc() {
        assert_eq!(zoned_time("10:03:18.5+02").as_deref(), Some("08:03:18.5Z"));
        assert_eq!(zoned_time("23:59:59.999999-15:30").as_deref(), Some("15:29:59.999999Z"));
        assert_eq!(zoned_time("10:03:18"), None);
    }
}
