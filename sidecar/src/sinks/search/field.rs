//! Types of PostgreSQL as fields of an index: the mapping, and values in the form that it takes. Sans-I/O.
//!
//! ```text
//! bigint, oid             long        numbers, every digit
//! numeric, real, double   double      numbers, every digit of numeric; NaN and infinities as texts
//! date, timestamp(tz)     date        ISO 8601, with zone in UTC, every digit of the second
//! time(tz)                date        10:03:18.42, with zone in UTC
//! json                    text        its text
//! vector(n)               vectors of the engine
//! all else                keyword     its text, with a field `text` for words of it
//! arrays of these         the same    lists, with their NULLs
//! ```
//!
//! Why no digit is lost: values go into the document as PostgreSQL prints them. What a field cannot hold (infinity, 24:00, a number beyond a
//! double) does not fail its document: it is in it, and is not found by that field.

use serde_json::{json, Value as Json};

use super::time;
use crate::config::plan::SearchEngine;
use crate::event::array::{elements, Element};
use crate::event::clock::zoned_time;
use crate::event::json::write_string;
use crate::event::type_name;
use crate::event::Column;

/// What a column is in an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Long,
    Double,
    Numeric,
    Boolean,
    Keyword,
    Bytes,
    Json,
    Date,
    Time,
    ZonedTime,
    Timestamp,
    ZonedTimestamp,
    Vector(u32),
}

/// A column's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) kind: Kind,
    /// Its values are lists.
    pub(super) list: bool,
}

/// Units of UTF-16 in a keyword: as many bytes as the engines take, where each is one.
pub(super) const LONGEST_KEYWORD: usize = 32766;
const TIMES: &str = "HH:mm:ss[.SSSSSS][.SSSSS][.SSSS][.SSS][.SS][.S][XXX]";

impl Field {
    /// The field of a column of the stream. A domain over a built-in type is like that type.
    pub(super) fn of(column: &Column) -> Self {
        let list = type_name::array_element(column.type_oid);
        match type_name::built_in(list.unwrap_or(column.type_oid), -1) {
            Some(name) => Self { kind: scalar(&name).unwrap_or(Kind::Keyword), list: list.is_some() },
            None => Self::named(&column.type_name).unwrap_or_else(|| Self::unknown(&column.type_name)),
        }
    }

    /// The field of a type as `format_type` prints it; `None` where the name does not say what it is: of an enum, a composite, a domain.
    pub(super) fn named(name: &str) -> Option<Self> {
        let element = name.trim_end_matches("[]");
        Some(Self { kind: scalar(element)?, list: element.len() < name.len() })
    }

    fn unknown(name: &str) -> Self {
        Self { kind: Kind::Keyword, list: name.ends_with("[]") }
    }

    /// As the index is told.
    pub(super) fn mapping(self, engine: SearchEngine, vectors: bool) -> Json {
        let date = |format: &str| json!({ "type": "date", "format": format, "ignore_malformed": true });
        match self.kind {
            Kind::Long => json!({ "type": "long" }),
            Kind::Double => json!({ "type": "double", "ignore_malformed": true }),
            Kind::Numeric => json!({ "type": "double", "ignore_malformed": true,
                "fields": { "exact": { "type": "keyword", "ignore_above": LONGEST_KEYWORD } } }),
            Kind::Boolean => json!({ "type": "boolean" }),
            Kind::Keyword | Kind::Bytes => json!({ "type": "keyword", "ignore_above": LONGEST_KEYWORD,
                "fields": { "text": { "type": "text" } } }),
            Kind::Json => json!({ "type": "text" }),
            Kind::Date => date("date"),
            Kind::Time | Kind::ZonedTime => date(TIMES),
            Kind::Timestamp | Kind::ZonedTimestamp => date("strict_date_optional_time"),
            Kind::Vector(dimension) => match engine {
                _ if !vectors => json!({ "type": "float" }),
                SearchEngine::OpenSearch => json!({ "type": "knn_vector", "dimension": dimension }),
                SearchEngine::Elasticsearch => json!({ "type": "dense_vector", "dims": dimension }),
            },
        }
    }

    /// Appends a value, of which `text` is what PostgreSQL prints.
    pub(super) fn write(self, text: &str, out: &mut Vec<u8>) {
        if !self.list {
            return self.kind.write(text, out);
        }
        match elements(text) {
            Some(elements) => self.kind.write_list(&elements, out),
            None => write_string(text, out),
        }
    }
}

/// The kind of a type that is no array, by its name.
fn scalar(name: &str) -> Option<Kind> {
    // `timestamp(3) without time zone` in its parts
    let (before, rest) = name.split_once('(').unwrap_or((name, ""));
    let (modifier, after) = rest.split_once(')').unwrap_or((rest, ""));
    Some(match (before, after.trim_start()) {
        ("smallint" | "integer" | "bigint" | "oid" | "xid" | "cid", _) => Kind::Long,
        ("real" | "double precision", _) => Kind::Double,
        ("numeric", _) => Kind::Numeric,
        ("boolean", _) => Kind::Boolean,
        ("bytea", _) => Kind::Bytes,
        ("json" | "jsonb", _) => Kind::Json,
        ("date", _) => Kind::Date,
        ("time", "with time zone") | ("time with time zone", _) => Kind::ZonedTime,
        ("time" | "time without time zone", _) => Kind::Time,
        ("timestamp", "with time zone") | ("timestamp with time zone", _) => Kind::ZonedTimestamp,
        ("timestamp" | "timestamp without time zone", _) => Kind::Timestamp,
        (vector, _) if vector.rsplit('.').next() == Some("vector") => {
            modifier.parse().map_or(Kind::Keyword, Kind::Vector)
        }
        ("character" | "character varying" | "bit" | "bit varying", _) => Kind::Keyword,
        (interval, _) if interval.starts_with("interval") => Kind::Keyword,
        (other, _) => return type_name::internal(other).map(|_| Kind::Keyword),
    })
}

impl Kind {
    fn write(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Long | Self::Double | Self::Numeric if text.bytes().any(|byte| byte.is_ascii_digit()) => {
                out.extend_from_slice(text.as_bytes());
            }
            Self::Boolean => out.extend_from_slice(if text == "t" { b"true" } else { b"false" }),
            Self::Bytes => write_string(text.strip_prefix("\\x").unwrap_or(text), out),
            Self::ZonedTime => write_string(zoned_time(text).as_deref().unwrap_or(text), out),
            Self::Timestamp => write_string(time::timestamp(text).as_deref().unwrap_or(text), out),
            Self::ZonedTimestamp => write_string(time::utc_timestamp(text).as_deref().unwrap_or(text), out),
            // Its text is a list of numbers already.
            Self::Vector(_) => out.extend_from_slice(text.as_bytes()),
            Self::Long
            | Self::Double
            | Self::Numeric
            | Self::Keyword
            | Self::Json
            | Self::Date
            | Self::Time => {
                write_string(text, out);
            }
        }
    }

    fn write_list(self, elements: &[Element], out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match element {
                Element::Null => out.extend_from_slice(b"null"),
                Element::Value(text) => self.write(text, out),
                Element::Nested(elements) => self.write_list(elements, out),
            }
        }
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(type_name: &str, text: &str) -> String {
        let mut out = Vec::new();
        Field::named(type_name).expect("a known type").write(text, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_types_name_says_what_it_is() {
        let cases = [
            ("integer", Kind::Long, false),
            ("numeric(10,2)", Kind::Numeric, false),
            ("character varying(10)[]", Kind::Keyword, true),
            ("timestamp(3) without time zone", Kind::Timestamp, false),
            ("timestamp with time zone", Kind::ZonedTimestamp, false),
            ("time(0) with time zone", Kind::ZonedTime, false),
            ("interval day to second(3)", Kind::Keyword, false),
            ("int4range", Kind::Keyword, false),
            ("jsonb[]", Kind::Json, true),
            ("public.vector(3)", Kind::Vector(3), false),
            ("\"char\"", Kind::Keyword, false),
        ];
        for (name, kind, list) in cases {
            assert_eq!(Field::named(name), Some(Field { kind, list }), "{name}");
        }
        assert_eq!(Field::named("public.mood"), None);
    }

    #[test]
    fn values_keep_every_digit() {
        let cases = [
            ("bigint", "9007199254740993", "9007199254740993"),
            ("numeric", "0.10000000000000000000000001", "0.10000000000000000000000001"),
            ("numeric", "NaN", r#""NaN""#),
            ("double precision", "-Infinity", r#""-Infinity""#),
            ("boolean", "t", "true"),
            ("bytea", "\\xdeadbeef", r#""deadbeef""#),
            ("jsonb", r#"{"a": 1}"#, r#""{\"a\": 1}""#),
            ("date", "infinity", r#""infinity""#),
            ("timestamp without time zone", "2026-11-21 10:03:18.424456", r#""2026-11-21T10:03:18.424456""#),
            ("timestamp with time zone", "2026-11-21 10:03:18+00", r#""2026-11-21T10:03:18Z""#),
            ("timestamp with time zone", "0044-03-15 10:00:00+00 BC", r#""0044-03-15 10:00:00+00 BC""#),
            ("time without time zone", "24:00:00", r#""24:00:00""#),
            ("time with time zone", "10:03:18.5+02", r#""08:03:18.5Z""#),
            ("integer[]", "{1,NULL,3}", "[1,null,3]"),
            ("integer[]", "{{1},{2}}", "[[1],[2]]"),
            ("text[]", r#"{a,NULL,"NULL","b \"c"}"#, r#"["a",null,"NULL","b \"c"]"#),
            ("vector(2)", "[1,2.5]", "[1,2.5]"),
        ];
        for (name, text, expected) in cases {
            assert_eq!(written(name, text), expected, "{name} {text}");
        }
    }
}
