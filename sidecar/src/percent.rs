//! Percent-encoding, as addresses have it.

use std::string::FromUtf8Error;

/// A part of a path: all but letters, digits and `-._~` is encoded.
pub fn encode(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let bytes = part.bytes();
    bytes
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The text that was encoded; a `%` not followed by two hexadecimal digits stands for itself.
///
/// # Errors
/// The bytes are not UTF-8.
pub fn decode(text: &str) -> Result<String, FromUtf8Error> {
    let bytes = text.as_bytes();
    let (mut out, mut index) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(index) {
        let escape = (byte == b'%')
            .then(|| bytes.get(index + 1..index + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escape.unwrap_or(byte));
        index += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_a_url_is_decoded() {
        for (text, expected) in
            [("admin", "admin"), ("p%40ss%3Aw", "p@ss:w"), ("100%", "100%"), ("%zz", "%zz")]
        {
            assert_eq!(decode(text).as_deref(), Ok(expected));
        }
        assert!(decode("%ff").is_err());
    }

    #[test]
    fn a_part_of_a_path_is_encoded() {
        assert_eq!(encode("s~20~2/ä"), "s~20~2%2F%C3%A4");
    }
}
