//! Texts with a structure of their own: arrays, points and hstore. Sans-I/O.

use std::iter::Peekable;
use std::str::Chars;

use super::number::{base64, float};

/// An element of an array's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// NULL.
    Null,
    /// A value, unquoted.
    Value(String),
    /// An array inside an array.
    Nested(Vec<Element>),
}

/// The elements of `{a,"b c",NULL,{d}}`; `None` when it is no array.
pub(super) fn elements(text: &str) -> Option<Vec<Element>> {
    // An array that does not begin at 1 says so: `[0:1]={1,2}`.
    let text = if text.starts_with('[') { text.split_once('=')?.1 } else { text };
    let mut letters = text.chars().peekable();
    let elements = nested(&mut letters)?;
    letters.next().is_none().then_some(elements)
}

/// From `{` to its `}`.
fn nested(letters: &mut Peekable<Chars<'_>>) -> Option<Vec<Element>> {
    letters.next_if_eq(&'{')?;
    let mut elements = Vec::new();
    if letters.next_if_eq(&'}').is_some() {
        return Some(elements);
    }
    loop {
        elements.push(match letters.peek()? {
            '{' => Element::Nested(nested(letters)?),
            '"' => Element::Value(quoted(letters)?),
            _ => match plain(letters)? {
                null if null == "NULL" => Element::Null,
                value => Element::Value(value),
            },
        });
        match letters.next()? {
            ',' => {}
            '}' => return Some(elements),
            _ => return None,
        }
    }
}

/// From quote to quote; a backslash stands before what means itself.
fn quoted(letters: &mut Peekable<Chars<'_>>) -> Option<String> {
    letters.next_if_eq(&'"')?;
    let mut value = String::new();
    loop {
        match letters.next()? {
            '"' => return Some(value),
            '\\' => value.push(letters.next()?),
            letter => value.push(letter),
        }
    }
}

fn plain(letters: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut value = String::new();
    while let Some(letter) = letters.next_if(|letter| !matches!(letter, ',' | '}')) {
        value.push(if letter == '\\' { letters.next()? } else { letter });
    }
    Some(value)
}

/// `"k"=>"v", "n"=>NULL` as a JSON object; `None` when it is no hstore.
pub(super) fn hstore(text: &str) -> Option<String> {
    let mut letters = text.chars().peekable();
    let mut object = serde_json::Map::new();
    while letters.peek().is_some() {
        let key = quoted(&mut letters)?;
        letters.next_if_eq(&'=')?;
        letters.next_if_eq(&'>')?;
        let value = match letters.peek()? {
            '"' => quoted(&mut letters)?.into(),
            _ => {
                while letters.next_if(char::is_ascii_alphabetic).is_some() {}
                serde_json::Value::Null
            }
        };
        object.insert(key, value);
        while letters.next_if(|letter| matches!(letter, ',' | ' ')).is_some() {}
    }
    Some(serde_json::Value::Object(object).to_string())
}

/// Appends the point `(1.5,-2)`. False: it is none.
pub(super) fn point(text: &str, out: &mut Vec<u8>) -> bool {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let Some((x, y)) = inner.and_then(|inner| inner.split_once(',')) else { return false };
    let (Ok(east), Ok(north)) = (x.parse::<f64>(), y.parse::<f64>()) else { return false };
    // Well-known binary: little-endian, type 1, two numbers.
    let mut wkb = vec![1, 1, 0, 0, 0];
    wkb.extend_from_slice(&east.to_le_bytes());
    wkb.extend_from_slice(&north.to_le_bytes());
    out.extend_from_slice(b"{\"x\":");
    float(x, out);
    out.extend_from_slice(b",\"y\":");
    float(y, out);
    out.extend_from_slice(b",\"wkb\":");
    base64(&wkb, out);
    out.extend_from_slice(b",\"srid\":null}");
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Element {
        Element::Value(text.into())
    }

    #[test]
    fn arrays_come_apart() {
        let expected = [value("a"), value("b c"), value("NULL"), Element::Null, value("q\"\\"), value("")];
        assert_eq!(elements(r#"{a,"b c","NULL",NULL,"q\"\\",""}"#), Some(expected.into()));
        let nested = |text| Element::Nested(vec![value(text)]);
        assert_eq!(elements("[0:1][1:1]={{1},{2}}"), Some(vec![nested("1"), nested("2")]));
        assert_eq!(elements("{}"), Some(Vec::new()));
        for bad in ["", "{", "{a", "a", "{\"a}", "{a}b"] {
            assert_eq!(elements(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_hstore_is_an_object() {
        let json = hstore(r#""k"=>"v 1", "q\"q"=>NULL"#).expect("an hstore");
        assert_eq!(json, r#"{"k":"v 1","q\"q":null}"#);
        assert_eq!(hstore("").as_deref(), Some("{}"));
        assert_eq!(hstore("k=>v"), None);
    }

    #[test]
    fn a_point_has_its_binary_form() {
        let mut out = Vec::new();
        assert!(point("(1.5,-2)", &mut out));
        let expected = r#"{"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null}"#;
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
