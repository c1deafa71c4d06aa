//! Numbers as Debezium writes them: unscaled bytes in base64, bits, and what has a point. Sans-I/O.

use std::io::Write;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;

use crate::config::plan::Decimals;

/// Appends a numeric; `scale`: that of the type, if it has one. `NaN` and infinities have no such form but as a text.
pub(super) fn decimal(text: &str, scale: Option<u32>, decimals: Decimals, out: &mut Vec<u8>) {
    let is_number = text.bytes().any(|byte| byte.is_ascii_digit());
    match decimals {
        Decimals::Precise if !is_number => out.extend_from_slice(b"null"),
        Decimals::Double if is_number => float(text, out),
        Decimals::String | Decimals::Double => string(text, out),
        Decimals::Precise => {
            let (number, given) = match (text.split_once('.'), scale) {
                (Some((whole, fraction)), None) => {
                    let fraction = fraction.trim_end_matches('0');
                    (format!("{whole}{fraction}"), fraction.len())
                }
                (Some((whole, fraction)), Some(_)) => (format!("{whole}{fraction}"), fraction.len()),
                (None, _) => (text.to_owned(), 0),
            };
            if scale.is_some() {
                return base64(&unscaled(&number), out);
            }
            // Writing to a Vec cannot fail, here and below.
            let _ = write!(out, "{{\"scale\":{given},\"value\":");
            base64(&unscaled(&number), out);
            out.push(b'}');
        }
    }
}

/// Appends an amount of money, whatever signs its locale puts around its digits.
pub(super) fn money(text: &str, decimals: Decimals, out: &mut Vec<u8>) {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let digits = format!("{digits:0>3}");
    let sign = if text.contains(['-', '(']) { "-" } else { "" };
    let (whole, cents) = digits.split_at(digits.len() - 2);
    decimal(&format!("{sign}{whole}.{cents}"), Some(2), decimals, out);
}

/// Appends a number with a point; what is none as a text.
pub(super) fn float(text: &str, out: &mut Vec<u8>) {
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return string(text, out);
    }
    out.extend_from_slice(text.as_bytes());
    if !text.contains(['.', 'e', 'E']) {
        out.extend_from_slice(b".0");
    }
}

/// Appends bits, `10110`, the last one first.
pub(super) fn bits(text: &str, out: &mut Vec<u8>) {
    let mut bytes: Vec<u8> = Vec::with_capacity(text.len() / 8 + 1);
    for (index, bit) in text.bytes().rev().enumerate() {
        if index % 8 == 0 {
            bytes.push(0);
        }
        if let (b'1', Some(byte)) = (bit, bytes.last_mut()) {
            *byte |= 1 << (index % 8);
        }
    }
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    base64(&bytes[..used], out);
}

/// A whole number as its shortest two's complement, the highest byte first.
fn unscaled(digits: &str) -> Vec<u8> {
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits),
    };
    // In words of 32 bits, the lowest first: nine digits at a time.
    let mut words: Vec<u32> = Vec::with_capacity(digits.len() / 9 + 1);
    for chunk in digits.as_bytes().chunks(9) {
        let value =
            chunk.iter().fold(0, |value: u64, digit| value * 10 + u64::from(digit.wrapping_sub(b'0')));
        let mut carry = value;
        for word in &mut words {
            let next = u64::from(*word) * 10_u64.pow(chunk.len() as u32) + carry;
            (*word, carry) = (next as u32, next >> 32);
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    if negative {
        let mut carry = true;
        for word in &mut words {
            (*word, carry) = (!*word).overflowing_add(u32::from(carry));
        }
    }
    let mut bytes: Vec<u8> = words.iter().rev().flat_map(|word| word.to_be_bytes()).collect();
    let fill = if negative && !words.is_empty() { 0xFF } else { 0 };
    let leading = bytes.iter().take_while(|byte| **byte == fill).count();
    bytes.drain(..leading);
    if bytes.first().is_none_or(|first| (first & 0x80 != 0) != (fill != 0)) {
        bytes.insert(0, fill);
    }
    bytes
}

/// Appends bytes as a JSON string in base64.
pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Appends a JSON string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    /// What Debezium has written of these.
    #[test]
    fn decimals() {
        let precise = |text: &str, scale| written(|out| decimal(text, scale, Decimals::Precise, out));
        assert_eq!(precise("123.4500", None), r#"{"scale":2,"value":"MDk="}"#);
        assert_eq!(precise("12300", None), r#"{"scale":0,"value":"MAw="}"#);
        assert_eq!(precise("-0.000000000000000000001", None), r#"{"scale":21,"value":"/w=="}"#);
        assert_eq!(precise("12.30", Some(2)), r#""BM4=""#);
        assert_eq!(precise("-99999999.99", Some(2)), r#""/av0HAE=""#);
        assert_eq!(precise("12345678901234567890", Some(0)), r#""AKtUqYzrHwrS""#);
        assert_eq!(precise("0", Some(0)), r#""AA==""#);
        assert_eq!(precise("-128", Some(0)), r#""gA==""#);
        assert_eq!(precise("-4294967296", Some(0)), r#""/wAAAAA=""#);
        assert_eq!(precise("4294967296000000000", Some(0)), r#""O5rKAAAAAAA=""#);
        assert_eq!(written(|out| decimal("1.50", None, Decimals::String, out)), r#""1.50""#);
        assert_eq!(written(|out| decimal("150", None, Decimals::Double, out)), "150.0");
    }

    #[test]
    fn amounts() {
        let money = |text: &str| written(|out| super::money(text, Decimals::Precise, out));
        assert_eq!(money("$12.34"), r#""BNI=""#);
        assert_eq!(money("-$92,233,720,368,547,758.08"), r#""gAAAAAAAAAA=""#);
        assert_eq!(money("$0.00"), r#""AA==""#);
    }

    #[test]
    fn bits_come_last_first() {
        let bits = |text: &str| written(|out| super::bits(text, out));
        assert_eq!(bits("10110"), r#""Fg==""#);
        assert_eq!(bits("1011000000000001"), r#""AbA=""#);
        assert_eq!(bits("00000"), r#""""#);
    }
}
