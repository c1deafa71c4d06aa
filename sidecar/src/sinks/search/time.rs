//! Dates and times as the engines read them: ISO 8601, with zone in UTC. What is none of these (infinity, years of five digits or BC)
//! is `None`, and stays as PostgreSQL prints it.

/// `2026-11-21T10:03:18.424456`
pub(super) fn timestamp(text: &str) -> Option<String> {
    let (date, time) = text.split_once(' ')?;
    let is_plain =
        date.len() == 10 && time.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    is_plain.then(|| format!("{date}T{time}"))
}

/// `2026-11-21T10:03:18.424456Z`: what we read is printed in UTC.
pub(super) fn utc_timestamp(text: &str) -> Option<String> {
    timestamp(text.strip_suffix("+00")?).map(|text| text + "Z")
}
