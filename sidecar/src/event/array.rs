//! Arrays as PostgreSQL prints them.

use std::iter::Peekable;
use std::str::Chars;

/// An element of an array's text.
#[derive(Debug, PartialEq, Eq)]
pub enum Element {
    /// NULL.
    Null,
    /// A value, unquoted.
    Value(String),
    /// An array inside an array.
    Nested(Vec<Element>),
}

/// The elements of `{a,"b c",NULL,{d}}`; `None` when it is no array.
pub fn elements(text: &str) -> Option<Vec<Element>> {
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

/// From quote to quote; a backslash stands before what means itself. `None` when it does not begin or end so.
pub fn quoted(letters: &mut Peekable<Chars<'_>>) -> Option<String> {
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
}
