//! Texts with a structure of their own: points and hstore. Sans-I/O.

use super::number::{base64, float};
use crate::event::array::quoted;

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
