//! The values of one row, as slices of the frame they came in.
//!
//! A [`Tuple`] keeps the encoded row untouched and hands its values out one by one: nothing is copied or allocated per
//! value. The encoding is pgoutput's TupleData without its count: per column one kind byte `n` (null), `u` (unchanged TOAST), `t` (text)
//! or `b` (binary); the last two followed by a 32-bit big-endian length and that many bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// One column's value in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// An unchanged TOASTed value: the server did not send it. Never the same as NULL.
    Unchanged,
    /// The type's text form in UTF-8, under the session settings of the replication connection.
    Text(&'a [u8]),
    /// The type's binary form.
    Binary(&'a [u8]),
}

/// A row: as many values as its relation has columns, in the relation's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuple {
    raw: Bytes,
    columns: u16,
}

/// The bytes are not a row of that many columns.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl Tuple {
    /// Cuts a row of `columns` values from the front of `input`, checking every length once so that reading cannot fail later.
    pub fn split_from(input: &mut Bytes, columns: u16) -> Result<Self, Malformed> {
        let mut rest: &[u8] = input;
        for _ in 0..columns {
            match take(&mut rest, 1)?[0] {
                b'n' | b'u' => {}
                b't' | b'b' => {
                    let length = u32::from_be_bytes(take(&mut rest, 4)?.try_into().map_err(|_| Malformed)?);
                    take(&mut rest, length as usize)?;
                }
                _ => return Err(Malformed),
            }
        }
        let used = input.len() - rest.len();
        Ok(Self { raw: input.split_to(used), columns })
    }

    /// Encodes a row from its values.
    pub fn from_values<'a>(values: impl IntoIterator<Item = Value<'a>>) -> Self {
        let (mut raw, mut columns) = (BytesMut::new(), 0);
        for value in values {
            columns += 1;
            match value {
                Value::Null => raw.put_u8(b'n'),
                Value::Unchanged => raw.put_u8(b'u'),
                Value::Text(bytes) | Value::Binary(bytes) => {
                    raw.put_u8(if matches!(value, Value::Text(_)) { b't' } else { b'b' });
                    raw.put_u32(bytes.len() as u32);
                    raw.put_slice(bytes);
                }
            }
        }
        Self { raw: raw.freeze(), columns }
    }

    /// The values in column order.
    pub fn values(&self) -> Values<'_> {
        Values { rest: &self.raw }
    }

    /// The value of the column at `index` (0-based), if the row is that wide.
    pub fn get(&self, index: usize) -> Option<Value<'_>> {
        self.values().nth(index)
    }

    /// How many values the row has.
    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    /// True for the row of a table without columns.
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// Bytes this row occupies.
    pub fn size(&self) -> usize {
        self.raw.len()
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (head, tail) = rest.split_at_checked(count).ok_or(Malformed)?;
    *rest = tail;
    Ok(head)
}

/// Iterator over the values of a [`Tuple`].
#[derive(Debug, Clone)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let kind = self.rest.first()?;
        self.rest.advance(1);
        match kind {
            b'n' => Some(Value::Null),
            b'u' => Some(Value::Unchanged),
            kind => {
                let (length, tail) = self.rest.split_first_chunk::<4>()?;
                let (bytes, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                self.rest = tail;
                Some(if *kind == b'b' { Value::Binary(bytes) } else { Value::Text(bytes) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went_in() {
        let values = [
            Value::Null,
            Value::Text(b""),
            Value::Unchanged,
            Value::Binary(&[0, 1]),
            Value::Text("ä".as_bytes()),
        ];
        let tuple = Tuple::from_values(values);
        assert_eq!(tuple.len(), 5);
        assert_eq!(tuple.values().collect::<Vec<_>>(), values);
        let mut bytes = tuple.raw.clone();
        assert_eq!(Tuple::split_from(&mut bytes, 5), Ok(tuple));
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_short_row_is_refused() {
        for bad in [&b"t"[..], b"t\0\0\0\x02a", b"x", b"t\xff\xff\xff\xff"] {
            assert_eq!(Tuple::split_from(&mut Bytes::copy_from_slice(bad), 1), Err(Malformed), "{bad:?}");
        }
    }
}
