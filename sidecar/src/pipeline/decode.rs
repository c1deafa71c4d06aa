//! pgoutput (protocol 1, text) to events. Sans-I/O: bytes in, events out, no panic on any bytes.
//!
//! ```text
//! B  (R | Y | I | U | D | T | M | O)*  C      ->   Begin  (Change | Truncate | Message)*  Commit
//! ```
//!
//! Why it is right: the server describes a table (`R`) before its first row and again after each change of it, *at the point of the stream where it
//! changed*. So a row is always decoded by the description it was written under, whatever the catalogue says by now.
//! What cannot be understood is an error, never a guess: a wrong decode would be a silent loss.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::error::{Error, Result};
use crate::event::type_name;
use crate::event::{
    Change, Column, Commit, Event, Lsn, Message, OldRow, Relation, ReplicaIdentity, RowChange, Timestamp,
    Transaction, Truncate, Tuple,
};

/// Decoder state: what the server has described so far on this connection.
#[derive(Debug, Default)]
pub struct Decoder {
    relations: HashMap<u32, Arc<Relation>>,
    types: HashMap<u32, Described>,
    in_transaction: bool,
}

/// A type that is not built in: its name and, for a domain, the built-in type below it.
#[derive(Debug)]
pub struct Described {
    name: Box<str>,
    base: Option<u32>,
}

impl Described {
    /// The type of that name. The server names the type below a domain, so a built-in one here means a domain.
    pub fn new(schema: &str, name: &str) -> Self {
        let built_in = matches!(schema, "" | "pg_catalog").then(|| type_name::internal(name)).flatten();
        match built_in.and_then(|base| Some((base, type_name::built_in(base, -1)?))) {
            Some((base, name)) => Self { name: name.into(), base: Some(base) },
            None => Self { name: qualified(schema, name).into(), base: None },
        }
    }
}

/// A column of that type; `described` where the type is not built in.
pub fn column(
    name: Box<str>,
    type_oid: u32,
    modifier: i32,
    key: bool,
    described: Option<&Described>,
) -> Column {
    let type_name = type_name::built_in(type_oid, modifier)
        .map(Into::into)
        .or_else(|| described.map(|described| described.name.clone()))
        .unwrap_or_else(|| type_oid.to_string().into());
    let type_oid = described.and_then(|described| described.base).unwrap_or(type_oid);
    Column { name, type_oid, type_name, key }
}

/// A message that does not follow the protocol.
struct Malformed(&'static str);

type Parsed<T> = std::result::Result<T, Malformed>;

impl Decoder {
    /// Decodes one message. `None`: it only described a table or type.
    ///
    /// # Errors
    /// Fatal, naming the position, when the bytes are not pgoutput.
    pub fn decode(&mut self, lsn: Lsn, payload: Bytes) -> Result<Option<Event>> {
        self.message(lsn, Reader(payload)).map_err(|Malformed(what)| {
            Error::fatal(format!("cannot decode the stream at {lsn}: {what}"))
                .hint("the slot must use the pgoutput plugin; report this with the server's version")
        })
    }

    /// A keepalive says that everything before `end` was sent. Inside a transaction it says nothing we could use.
    pub fn keepalive(&self, end: Lsn) -> Option<Event> {
        (!self.in_transaction).then_some(Event::Keepalive(end))
    }

    fn message(&mut self, lsn: Lsn, mut input: Reader) -> Parsed<Option<Event>> {
        let event = match input.u8()? {
            b'B' => self.begin(&mut input)?,
            b'C' => self.commit(&mut input)?,
            b'I' => {
                let relation = self.relation(input.u32()?)?;
                input.expect(b'N')?;
                let new = input.tuple(&relation)?;
                Event::Change(Change { lsn, relation, row: RowChange::Insert { new }, ids: None })
            }
            b'U' => self.update(lsn, &mut input)?,
            b'D' => {
                let relation = self.relation(input.u32()?)?;
                let kind = input.u8()?;
                let old = input.old_row(kind, &relation)?;
                Event::Change(Change { lsn, relation, row: RowChange::Delete { old }, ids: None })
            }
            b'T' => self.truncate(lsn, &mut input)?,
            b'M' => {
                let transactional = input.u8()? & 1 == 1;
                let lsn = Lsn(input.u64()?);
                let prefix = input.text()?;
                let length = input.u32()? as usize;
                let content = input.bytes(length)?;
                if !transactional {
                    return Ok(None); // outside of any order with the rows; not part of the event format
                }
                Event::Message(Message { lsn, prefix, content })
            }
            b'R' => return self.describe(&mut input).map(|()| None),
            b'Y' => return self.describe_type(&mut input).map(|()| None),
            b'O' => return Ok(None),
            _ => return Err(Malformed("unknown message type")),
        };
        input.end()?;
        Ok(Some(event))
    }

    fn begin(&mut self, input: &mut Reader) -> Parsed<Event> {
        if std::mem::replace(&mut self.in_transaction, true) {
            return Err(Malformed("a transaction begins inside another"));
        }
        let (commit_lsn, time, xid) = (Lsn(input.u64()?), Timestamp(input.u64()? as i64), input.u32()?);
        Ok(Event::Begin(Transaction { xid, commit_lsn, time }))
    }

    fn commit(&mut self, input: &mut Reader) -> Parsed<Event> {
        if !std::mem::replace(&mut self.in_transaction, false) {
            return Err(Malformed("a commit without a transaction"));
        }
        input.u8()?;
        input.u64()?;
        let (end, time) = (Lsn(input.u64()?), Timestamp(input.u64()? as i64));
        Ok(Event::Commit(Commit { end, time }))
    }

    fn update(&mut self, lsn: Lsn, input: &mut Reader) -> Parsed<Event> {
        let relation = self.relation(input.u32()?)?;
        let kind = input.u8()?;
        let old = match kind {
            b'N' => None,
            kind => {
                let old = input.old_row(kind, &relation)?;
                input.expect(b'N')?;
                Some(old)
            }
        };
        let new = input.tuple(&relation)?;
        Ok(Event::Change(Change { lsn, relation, row: RowChange::Update { old, new }, ids: None }))
    }

    fn truncate(&mut self, lsn: Lsn, input: &mut Reader) -> Parsed<Event> {
        let count = input.u32()?;
        let restart_identity = input.u8()? & 2 != 0;
        let mut relations = Vec::new();
        for _ in 0..count {
            relations.push(self.relation(input.u32()?)?);
        }
        Ok(Event::Truncate(Truncate { lsn, relations, restart_identity, apart: false, ids: Vec::new() }))
    }

    fn relation(&self, oid: u32) -> Parsed<Arc<Relation>> {
        if !self.in_transaction {
            return Err(Malformed("a change outside of a transaction"));
        }
        self.relations.get(&oid).cloned().ok_or(Malformed("a change of a table that was not described"))
    }

    fn describe(&mut self, input: &mut Reader) -> Parsed<()> {
        let oid = input.u32()?;
        let schema = input.text()?;
        let schema = if schema.is_empty() { "pg_catalog".into() } else { schema };
        let table = input.text()?;
        let identity = match input.u8()? {
            b'd' => ReplicaIdentity::Default,
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            _ => return Err(Malformed("unknown replica identity")),
        };
        let count = input.u16()?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let key = input.u8()? & 1 == 1;
            let name = input.text()?;
            let (type_oid, modifier) = (input.u32()?, input.u32()? as i32);
            let mut column = column(name, type_oid, modifier, key, self.types.get(&type_oid));
            // pgoutput tells only the type below a domain; of our own one the name is known.
            if (&*schema, &*table, &*column.name) == ("pgstream", "schema_log", "id") {
                column.type_name = "pgstream.xid".into();
            }
            columns.push(column);
        }
        input.end()?;
        self.relations.insert(oid, Arc::new(Relation { oid, schema, name: table, identity, columns }));
        Ok(())
    }

    fn describe_type(&mut self, input: &mut Reader) -> Parsed<()> {
        let oid = input.u32()?;
        let (schema, name) = (input.text()?, input.text()?);
        input.end()?;
        self.types.insert(oid, Described::new(&schema, &name));
        Ok(())
    }
}

/// A user's type as `format_type` has it when `public` is in the search path. An array type is its element's name after an underscore.
fn qualified(schema: &str, name: &str) -> String {
    let (name, suffix) = match name.strip_prefix('_') {
        Some(element) => (element, "[]"),
        None => (name, ""),
    };
    match schema {
        "" | "pg_catalog" | "public" => format!("{}{suffix}", quote(name)),
        schema => format!("{}.{}{suffix}", quote(schema), quote(name)),
    }
}

/// An identifier as SQL needs it: quoted unless it is plain lower case.
pub fn quote(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Reads fields off the front of a message.
struct Reader(Bytes);

impl Reader {
    fn u8(&mut self) -> Parsed<u8> {
        self.0.try_get_u8().map_err(|_| SHORT)
    }

    fn u16(&mut self) -> Parsed<u16> {
        self.0.try_get_u16().map_err(|_| SHORT)
    }

    fn u32(&mut self) -> Parsed<u32> {
        self.0.try_get_u32().map_err(|_| SHORT)
    }

    fn u64(&mut self) -> Parsed<u64> {
        self.0.try_get_u64().map_err(|_| SHORT)
    }

    fn bytes(&mut self, length: usize) -> Parsed<Bytes> {
        if length > self.0.len() {
            return Err(SHORT);
        }
        Ok(self.0.split_to(length))
    }

    fn text(&mut self) -> Parsed<Box<str>> {
        let end = memchr::memchr(0, &self.0).ok_or(SHORT)?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        std::str::from_utf8(&text).map(Into::into).map_err(|_| Malformed("a name is not UTF-8"))
    }

    fn expect(&mut self, kind: u8) -> Parsed<()> {
        if self.u8()? == kind {
            Ok(())
        } else {
            Err(Malformed("a row of an unknown kind"))
        }
    }

    fn old_row(&mut self, kind: u8, relation: &Relation) -> Parsed<OldRow> {
        match kind {
            b'K' => Ok(OldRow::Key(self.tuple(relation)?)),
            b'O' => Ok(OldRow::Full(self.tuple(relation)?)),
            _ => Err(Malformed("a row of an unknown kind")),
        }
    }

    fn tuple(&mut self, relation: &Relation) -> Parsed<Tuple> {
        let count = self.u16()?;
        if usize::from(count) != relation.columns.len() {
            return Err(Malformed("a row is not as wide as its table"));
        }
        Tuple::split_from(&mut self.0, count).map_err(|_| Malformed("a row is cut off"))
    }

    fn end(&self) -> Parsed<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed("a message is longer than it should be"))
        }
    }
}

const SHORT: Malformed = Malformed("a message is cut off");

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
