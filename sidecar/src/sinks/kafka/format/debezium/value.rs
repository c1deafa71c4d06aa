//! One value in its form. Sans-I/O.

use super::form::Form;
use super::number::{base64, bits, decimal, float, money, string};
use super::text::{hstore, point};
use super::time;
use crate::config::plan::Decimals;
use crate::event::array::{elements, Element};
use crate::event::clock::zoned_time;
use crate::event::Value;

/// Stands for a large value that an update did not change, and so is not known.
const UNKNOWN: &str = "__debezium_unavailable_value";

/// The UUID that Java makes of it.
const UNKNOWN_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";

const NULL: &[u8] = b"null";

/// Appends a value.
pub(super) fn write(form: &Form, value: Value<'_>, decimals: Decimals, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Binary(_) => out.extend_from_slice(NULL),
        Value::Unchanged => unknown(form, out),
        Value::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => known(form, text, decimals, out),
            Err(_) => string(&String::from_utf8_lossy(bytes), out),
        },
    }
}

fn known(form: &Form, text: &str, decimals: Decimals, out: &mut Vec<u8>) {
    match form {
        Form::Absent => out.extend_from_slice(NULL),
        Form::Bool => flag(text == "t", out),
        Form::Bit => flag(text == "1", out),
        Form::Whole | Form::Small => out.extend_from_slice(text.as_bytes()),
        Form::Float => float(text, out),
        Form::Decimal(scale) => decimal(text, *scale, decimals, out),
        Form::Money => money(text, decimals, out),
        Form::Text | Form::Uuid => string(text, out),
        Form::Bytes => base64(&bytes(text), out),
        Form::Bits => bits(text, out),
        Form::Date => counted(time::date(text), out),
        Form::Time(unit) => counted(time::time(text, *unit), out),
        Form::Timestamp(unit) => counted(time::timestamp(text, *unit), out),
        Form::Interval => counted(time::interval(text), out),
        // Infinity stays what it is called.
        Form::ZonedTime => string(zoned_time(text).as_deref().unwrap_or(text), out),
        Form::ZonedTimestamp(digits) => {
            string(time::zoned_timestamp(text, *digits).as_deref().unwrap_or(text), out);
        }
        Form::Point => {
            if !point(text, out) {
                out.extend_from_slice(NULL);
            }
        }
        Form::Hstore => string(hstore(text).as_deref().unwrap_or(text), out),
        Form::Array(element) => match elements(text) {
            Some(elements) => array(element, &elements, decimals, out),
            None => out.extend_from_slice(NULL),
        },
    }
}

fn array(form: &Form, elements: &[Element], decimals: Decimals, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match element {
            Element::Null => out.extend_from_slice(NULL),
            Element::Value(text) => known(form, text, decimals, out),
            Element::Nested(elements) => array(form, elements, decimals, out),
        }
    }
    out.push(b']');
}

/// What is not known, in the form of its column as far as that can hold it.
fn unknown(form: &Form, out: &mut Vec<u8>) {
    match form {
        Form::Text | Form::Hstore => string(UNKNOWN, out),
        Form::Bytes => base64(UNKNOWN.as_bytes(), out),
        Form::Array(element) => match **element {
            Form::Whole | Form::Date => {
                let numbers: Vec<String> = UNKNOWN.bytes().map(|byte| byte.to_string()).collect();
                out.extend_from_slice(format!("[{}]", numbers.join(",")).as_bytes());
            }
            Form::Text => out.extend_from_slice(format!("[\"{UNKNOWN}\"]").as_bytes()),
            Form::Uuid => out.extend_from_slice(format!("[\"{UNKNOWN_UUID}\"]").as_bytes()),
            _ => out.extend_from_slice(NULL),
        },
        _ => out.extend_from_slice(NULL),
    }
}

fn flag(on: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if on { b"true" } else { b"false" });
}

fn counted(number: Option<i64>, out: &mut Vec<u8>) {
    match number {
        Some(number) => out.extend_from_slice(number.to_string().as_bytes()),
        None => out.extend_from_slice(NULL),
    }
}

/// The bytes of `\xdeadbeef`.
fn bytes(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    let digits = text.strip_prefix("\\x").unwrap_or_default().as_bytes();
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
