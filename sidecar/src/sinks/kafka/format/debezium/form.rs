//! What a column's values look like in Debezium's messages, by the column's type: chosen once a table. Sans-I/O.
//!
//! As Debezium has it by default: `time.precision.mode=adaptive`, `binary.handling.mode=bytes`, `interval.handling.mode=numeric`,
//! `hstore.handling.mode=json`, `include.unknown.datatypes=false`.

use crate::event::{type_name, Column};

/// What a column's values look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Debezium knows no such type, and leaves the column out.
    Absent,
    /// `true`, `false`
    Bool,
    /// A whole number.
    Whole,
    /// One of two bytes.
    Small,
    /// A number with a point; what is none as a text.
    Float,
    /// The unscaled number in base64; with its scale where the type says none.
    Decimal(Option<u32>),
    /// The same of an amount in cents.
    Money,
    /// A text as PostgreSQL has it.
    Text,
    /// The same of a UUID.
    Uuid,
    /// Base64.
    Bytes,
    /// One bit: `true`, `false`.
    Bit,
    /// Bits, the last one first, as bytes in base64.
    Bits,
    /// Days since 1970.
    Date,
    /// Since midnight.
    Time(Unit),
    /// `08:03:18.5Z`
    ZonedTime,
    /// Since 1970.
    Timestamp(Unit),
    /// `2026-11-21T08:03:18.424456Z`, with so many digits of the second.
    ZonedTimestamp(usize),
    /// Microseconds; a month has 30.4375 days.
    Interval,
    /// `{"x","y","wkb","srid"}`
    Point,
    /// A JSON object as a text.
    Hstore,
    /// A JSON array.
    Array(Box<Form>),
}

/// What a time is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Up to three digits of the second are kept.
    Millis,
    /// All six are.
    Micros,
}

impl Form {
    /// Of a column's values.
    pub(super) fn of(column: &Column) -> Self {
        let name = &*column.type_name;
        if let Some(element) = type_name::array_element(column.type_oid) {
            return match element {
                // name, xml: nobody has made a form of their arrays.
                19 | 142 => Self::Absent,
                element => Self::array(Self::scalar(element, name.trim_end_matches("[]"))),
            };
        }
        // Types that are not built in are known by their names.
        match (Self::scalar(column.type_oid, name), name.strip_suffix("[]")) {
            (Self::Absent, Some(element)) if !is_built_in(column.type_oid) => {
                Self::array(Self::named(element))
            }
            (Self::Absent, None) if !is_built_in(column.type_oid) => Self::named(name),
            (form, _) => form,
        }
    }

    fn array(element: Self) -> Self {
        match element {
            // These have no arrays there.
            Self::Absent | Self::Money | Self::Interval | Self::Bit | Self::Bits | Self::Point => {
                Self::Absent
            }
            element => Self::Array(Box::new(element)),
        }
    }

    /// Of a type that is not built in: an enum's values are texts, and no more is known of any other.
    fn named(name: &str) -> Self {
        match name.rsplit('.').next() {
            Some("hstore") => Self::Hstore,
            _ => Self::Text,
        }
    }

    /// Of a built-in type that is no array.
    fn scalar(oid: u32, name: &str) -> Self {
        match oid {
            16 => Self::Bool,
            20 | 23 | 26 => Self::Whole,
            21 => Self::Small,
            700 | 701 => Self::Float,
            1700 => Self::Decimal(scale(name)),
            790 => Self::Money,
            // "char" name text json xml bpchar varchar jsonb
            18 | 19 | 25 | 114 | 142 | 1042 | 1043 | 3802 => Self::Text,
            2950 => Self::Uuid,
            // macaddr8 macaddr inet cidr, ranges, tsvector
            774 | 829 | 869 | 650 | 3904 | 3906 | 3908 | 3910 | 3912 | 3926 | 3614 => Self::Text,
            17 => Self::Bytes,
            1560 | 1562 if modifier(name) == Some(1) || name == "bit" => Self::Bit,
            1560 | 1562 => Self::Bits,
            1082 => Self::Date,
            1083 => Self::Time(unit(name)),
            1266 => Self::ZonedTime,
            1114 => Self::Timestamp(unit(name)),
            1184 => Self::ZonedTimestamp(modifier(name).map_or(6, |digits| digits as usize)),
            1186 => Self::Interval,
            600 => Self::Point,
            _ => Self::Absent,
        }
    }
}

/// Object ids below are given out to types that come with the server.
fn is_built_in(oid: u32) -> bool {
    const FIRST_OTHER: u32 = 16_384;
    oid < FIRST_OTHER
}

/// The first number in parentheses: `timestamp(3) without time zone`.
fn modifier(name: &str) -> Option<u32> {
    let (_, behind) = name.split_once('(')?;
    behind.split([',', ')']).next()?.parse().ok()
}

/// The scale of `numeric(10,2)`.
fn scale(name: &str) -> Option<u32> {
    let (_, behind) = name.strip_prefix("numeric(")?.split_once(',')?;
    behind.strip_suffix(')')?.parse().ok()
}

fn unit(name: &str) -> Unit {
    match modifier(name) {
        Some(0..=3) => Unit::Millis,
        _ => Unit::Micros,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(type_oid: u32, type_name: &str) -> Form {
        Form::of(&Column { name: "c".into(), type_oid, type_name: type_name.into(), key: false })
    }

    #[test]
    fn modifiers_choose() {
        assert_eq!(form(1700, "numeric(10,2)"), Form::Decimal(Some(2)));
        assert_eq!(form(1700, "numeric"), Form::Decimal(None));
        assert_eq!(form(1700, "public.price"), Form::Decimal(None));
        assert_eq!(form(1114, "timestamp(3) without time zone"), Form::Timestamp(Unit::Millis));
        assert_eq!(form(1083, "time without time zone"), Form::Time(Unit::Micros));
        assert_eq!(form(1560, "bit"), Form::Bit);
        assert_eq!(form(1560, "bit(1)"), Form::Bit);
        assert_eq!(form(1562, "bit varying"), Form::Bits);
    }

    #[test]
    fn what_is_not_built_in_goes_by_its_name() {
        assert_eq!(form(99_999, "public.mood"), Form::Text);
        assert_eq!(form(99_999, "public.mood[]"), Form::Array(Box::new(Form::Text)));
        assert_eq!(form(99_999, "public.hstore"), Form::Hstore);
        assert_eq!(form(1231, "numeric(5,2)[]"), Form::Array(Box::new(Form::Decimal(Some(2)))));
        assert_eq!(form(603, "box"), Form::Absent);
        assert_eq!(form(1187, "interval[]"), Form::Absent);
        assert_eq!(form(1003, "name[]"), Form::Absent);
    }
}
