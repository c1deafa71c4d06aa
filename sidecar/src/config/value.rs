//! From text to value: durations, sizes, lists and the rest, in all the spellings people use.

use std::time::Duration;

use super::setting::Kind;
use crate::postgres::conninfo::ConnInfo;

/// A checked value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, and words of a choice in lower case.
    Text(String),
    /// A PostgreSQL server.
    Postgres(ConnInfo),
    /// True or false.
    Bool(bool),
    /// A span of time.
    Duration(Duration),
    /// A number of bytes or of things.
    Number(u64),
    /// A ratio.
    Ratio(f64),
    /// Several words.
    List(Vec<String>),
    /// A structure that its feature reads itself; true when there is something in it.
    Tree(bool),
}

/// What was typed: one text or several.
#[derive(Debug, Clone)]
pub enum Typed {
    /// One text.
    Text(String),
    /// A yaml list.
    List(Vec<String>),
    /// Something deeper; true when there is something in it.
    Tree(bool),
}

/// Reads a value. The message says what is expected and never repeats what may be a secret.
pub fn parse(kind: Kind, typed: Typed) -> Result<Value, String> {
    let text = match (kind, typed) {
        (Kind::Tree, Typed::Tree(filled)) => return Ok(Value::Tree(filled)),
        (Kind::Tree, Typed::Text(text)) => return Ok(Value::Tree(!text.is_empty())),
        (Kind::Tree, Typed::List(list)) => return Ok(Value::Tree(!list.is_empty())),
        (Kind::List, Typed::List(list)) => return Ok(Value::List(list)),
        (Kind::List, Typed::Text(text)) => return words(&text).map(Value::List),
        (Kind::Presence, Typed::Tree(_)) => return Ok(Value::Bool(true)),
        (_, Typed::Text(text)) => text,
        (_, Typed::List(_) | Typed::Tree(_)) => return Err(format!("expected {}", expected(kind))),
    };
    let value = match kind {
        Kind::BoolOrUrl if boolean(&text).is_some() => boolean(&text).map(Value::Bool),
        Kind::PostgresUrl | Kind::BoolOrUrl => {
            return text
                .parse()
                .map(Value::Postgres)
                .map_err(|error: crate::postgres::conninfo::Invalid| error.to_string())
        }
        Kind::Text | Kind::Url | Kind::List | Kind::Tree => Some(Value::Text(text.clone())),
        Kind::Bool | Kind::Presence => boolean(&text).map(Value::Bool),
        Kind::BoolOrAuto if text.eq_ignore_ascii_case("auto") => Some(Value::Text("auto".into())),
        Kind::BoolOrAuto => boolean(&text).map(Value::Bool),
        Kind::Millis => duration(&text, Duration::from_millis(1)).map(Value::Duration),
        Kind::Seconds => duration(&text, Duration::from_secs(1)).map(Value::Duration),
        Kind::Size => size(&text).map(Value::Number),
        Kind::Count => text.parse().ok().map(Value::Number),
        Kind::Ratio => text.parse().ok().filter(|ratio: &f64| ratio.is_finite()).map(Value::Ratio),
        Kind::Choice(words) => {
            words.iter().find(|word| word.eq_ignore_ascii_case(&text)).map(|word| Value::Text((*word).into()))
        }
    };
    value.ok_or_else(|| format!("{} is not {}", shown(&text), expected(kind)))
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::Bool | Kind::Presence => "true or false".into(),
        Kind::BoolOrAuto => "one of true, false, auto".into(),
        Kind::BoolOrUrl => "true, false or a URL".into(),
        Kind::Millis => "a duration (5s, 250ms, 1m30s; a bare number is milliseconds)".into(),
        Kind::Seconds => "a duration (5s, 250ms, 1m30s; a bare number is seconds)".into(),
        Kind::Size => "a size (64MiB, 1MB; a bare number is bytes)".into(),
        Kind::Count => "a whole number, 0 or more".into(),
        Kind::Ratio => "a number".into(),
        Kind::List => "a list of words".into(),
        Kind::Text | Kind::Url | Kind::PostgresUrl => "a text".into(),
        Kind::Tree => "a structure".into(),
    }
}

/// A value for a message; something that looks like an address may hold a password and is left out.
fn shown(text: &str) -> String {
    if text.contains("://") || text.contains('@') || text.contains('=') || text.chars().count() > 40 {
        "the value".into()
    } else {
        format!("{text:?}")
    }
}

fn boolean(text: &str) -> Option<bool> {
    Some(match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" | "on" => true,
        "false" | "f" | "0" | "no" | "n" | "off" => false,
        _ => return None,
    })
}

/// `5s`, `1m30s`, `1.5h`, or a bare number of `unit`.
pub fn duration(text: &str, unit: Duration) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number * unit.as_secs_f64());
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number
            * match rest[..letters].trim() {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" | "sec" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    (!text.is_empty()).then(|| seconds(total))?
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// `64MiB`, `1MB`, `1.5G`, or bytes. `KB` is 1000, `K` and `KiB` are 1024.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let factor: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    if let Ok(whole) = text[..digits].parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let bytes = number * factor as f64;
    (bytes <= (1_u64 << 52) as f64).then_some(bytes as u64)
}

/// Words separated by spaces or commas; double quotes keep both inside a word.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        quoted ^= c == '"';
        if !quoted && (c.is_whitespace() || c == ',') {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        } else {
            word.push(c);
        }
    }
    if quoted {
        return Err("a double quote is not closed".into());
    }
    words.extend((!word.is_empty()).then_some(word));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, text: &str) -> Result<Value, String> {
        parse(kind, Typed::Text(text.into()))
    }

    #[test]
    fn durations() {
        let millis = |text| match read(Kind::Millis, text) {
            Ok(Value::Duration(duration)) => Some(duration.as_millis()),
            _ => None,
        };
        for (text, expected) in [
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("5000", 5_000),
            ("0", 0),
            ("1.5s", 1_500),
            ("1h", 3_600_000),
            ("1min", 60_000),
            ("100us", 0),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        for text in ["", "s", "5 parsecs", "-5s", "5s5", "1e400", "NaN", "inf"] {
            assert_eq!(millis(text), None, "{text}");
        }
        assert_eq!(read(Kind::Seconds, "5"), Ok(Value::Duration(Duration::from_secs(5))));
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("1572864", 1_572_864),
            ("64MiB", 64 << 20),
            ("100 MiB", 100 << 20),
            ("1MB", 1_000_000),
            ("1.5k", 1536),
            ("2g", 2 << 30),
            ("0", 0),
        ] {
            assert_eq!(read(Kind::Size, text), Ok(Value::Number(expected)), "{text}");
        }
        for text in ["", "MiB", "-1", "5 apples", "99999999999999999999", "18446744073709551615k", "1..5"] {
            assert!(read(Kind::Size, text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists() {
        let list = |text: &str| match read(Kind::List, text) {
            Ok(Value::List(list)) => list,
            other => panic!("{other:?}"),
        };
        assert_eq!(list("test_schema.* test"), ["test_schema.*", "test"]);
        assert_eq!(list(" a.b,c\n, d "), ["a.b", "c", "d"]);
        assert_eq!(list(r#""my, table".x y"#), [r#""my, table".x"#, "y"]);
        assert!(read(Kind::List, r#"a "b"#).is_err());
    }

    #[test]
    fn secrets_are_not_repeated() {
        for kind in
            [Kind::PostgresUrl, Kind::Bool, Kind::Millis, Kind::Size, Kind::Count, Kind::Choice(&["a"])]
        {
            for text in ["mysql://u:hunter2@h/d", "password=hunter2 x", "u:hunter2@h"] {
                let error = read(kind, text).expect_err("refused");
                assert!(!error.contains("hunter2"), "{kind:?}: {error}");
            }
        }
    }
}
