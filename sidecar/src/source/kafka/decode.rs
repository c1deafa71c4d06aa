//! Messages of a topic back to events. Sans-I/O.
//!
//! ```text
//! key, value, headers -> Event      the inverse of sinks/kafka/message.rs and event/json.rs
//! ```
//!
//! A message describes only the columns it carries. So that a table is not another one with each message, what is known of it is kept: a
//! message whose columns are known takes the known description, with what it does not carry unchanged. An insert carries all columns; an identity names the key.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::event::{
    Change, Column, Ddl, Event, IdColumn, Ids, Lsn, Message, OldRow, Relation, ReplicaIdentity, RowChange,
    Truncate, Tuple, Value,
};

/// The prefix of schema changes.
const DDL: &str = "pgstream.ddl";

/// What a message says beside its value.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Headers {
    /// Whose log the positions are of.
    pub source: String,
    /// Where its transaction's commit record starts; zero = not said.
    pub commit_lsn: Lsn,
    /// Which of its transaction's events.
    pub ordinal: Option<u64>,
    /// `pg_class.oid` at the source; 0 = not said.
    pub oid: u32,
    /// The identity is the whole old row.
    pub whole_row: bool,
    /// Nothing of its transaction comes behind it.
    pub last: bool,
    /// In how many partitions it is, from the first on; 0 or 1 = in this one only.
    pub copies: i32,
    /// What the value is, where it is not the event itself.
    pub content_type: Option<String>,
}

impl Headers {
    /// Takes a header up; one that is not ours is passed over.
    pub fn add(&mut self, name: &str, value: &str) {
        match name {
            "source" => value.clone_into(&mut self.source),
            "commit_lsn" => self.commit_lsn = value.parse().unwrap_or(Lsn::ZERO),
            "ordinal" => self.ordinal = value.parse().ok(),
            "oid" => self.oid = value.parse().unwrap_or(0),
            "copies" => self.copies = value.parse().unwrap_or(0),
            "last" => self.last = value == "true",
            "identity" => self.whole_row = value == "full",
            "content-type" => self.content_type = Some(value.to_owned()),
            _ => {}
        }
    }
}

/// An event as it is written.
#[derive(Deserialize)]
struct Wire<'a> {
    action: Cow<'a, str>,
    #[serde(default)]
    lsn: Cow<'a, str>,
    #[serde(default, borrow)]
    schema: Cow<'a, str>,
    #[serde(default, borrow)]
    table: Cow<'a, str>,
    #[serde(default, borrow)]
    columns: Option<Vec<Cell<'a>>>,
    #[serde(default, borrow)]
    identity: Option<Vec<Cell<'a>>>,
    #[serde(default, borrow)]
    prefix: Cow<'a, str>,
    #[serde(default, borrow)]
    content: Cow<'a, str>,
    #[serde(default, borrow)]
    metadata: Metadata<'a>,
}

/// The ids that an injector has put there.
#[derive(Default, Deserialize)]
struct Metadata<'a> {
    #[serde(default, borrow)]
    schema_id: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    table_pgstream_id: Cow<'a, str>,
    #[serde(default, borrow)]
    id_col_pgstream_id: Option<Vec<Cow<'a, str>>>,
}

/// A column of an event.
#[derive(Deserialize)]
struct Cell<'a> {
    #[serde(default, borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    type_name: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Decodes the messages of one partition.
#[derive(Debug, Default)]
pub struct Decoder {
    tables: HashMap<(String, String), Arc<Relation>>,
}

impl Decoder {
    /// The event of a message.
    ///
    /// # Errors
    /// Rejected when it is none.
    pub fn decode(&mut self, value: &[u8], headers: &Headers) -> Result<Event> {
        let wire: Wire<'_> =
            serde_json::from_slice(value).map_err(|error| match other_form(value, headers) {
                Some(form) => {
                    not(&format!("an event but {form}: only a topic of format json is read"), error)
                }
                None => not("an event", error),
            })?;
        let lsn = wire.lsn.parse().unwrap_or(Lsn::ZERO);
        if wire.action == "M" {
            return self.message(lsn, &wire);
        }
        let relation = self.relation(&wire, headers);
        let ids = ids(&relation, &wire);
        let absent = |what: &str| Error::rejected(format!("an event without {what}"));
        let new =
            |otherwise| row(&relation, wire.columns.as_ref().ok_or_else(|| absent("columns"))?, otherwise);
        let old = || old(&relation, wire.identity.as_ref().ok_or_else(|| absent("identity"))?, headers);
        let row = match &*wire.action {
            "I" => RowChange::Insert { new: new(Value::Null)? },
            "U" => RowChange::Update { new: new(Value::Unchanged)?, old: Some(old()?) },
            "D" => RowChange::Delete { old: old()? },
            "T" => {
                let (relations, ids) = (vec![relation], vec![ids]);
                return Ok(Event::Truncate(Truncate {
                    lsn,
                    relations,
                    restart_identity: false,
                    apart: true,
                    ids,
                }));
            }
            other => return Err(Error::rejected(format!("an event with the unknown action {other:?}"))),
        };
        Ok(Event::Change(Change { lsn, relation, row, ids }))
    }

    /// A schema change, or a message of somebody else's.
    fn message(&mut self, lsn: Lsn, wire: &Wire<'_>) -> Result<Event> {
        if wire.prefix != DDL {
            let content = Bytes::copy_from_slice(wire.content.as_bytes());
            return Ok(Event::Message(Message { lsn, prefix: (&*wire.prefix).into(), content }));
        }
        self.tables.clear();
        let content: Json =
            serde_json::from_str(&wire.content).map_err(|error| not("a schema change", error))?;
        Ok(Event::Ddl(Arc::new(Ddl::from_content(lsn, &content))))
    }

    /// The table of an event: the one that is known, where it fits.
    fn relation(&mut self, wire: &Wire<'_>, headers: &Headers) -> Arc<Relation> {
        let name = (wire.schema.to_string(), wire.table.to_string());
        let identity = wire.identity.as_deref().filter(|_| wire.action != "I");
        let columns = wire.columns.as_deref();
        if let Some(known) = self.tables.get(&name) {
            if fits(known, columns, identity, &wire.action, headers) {
                return Arc::clone(known);
            }
        }
        let known = self.tables.get(&name).filter(|known| headers.oid == 0 || known.oid == headers.oid);
        // An insert says all; of anything else we learn what it names.
        let base = known.filter(|_| wire.action != "I").map_or(&[][..], |known| &known.columns);
        let mut all: Vec<Column> = base.to_vec();
        for cell in columns.into_iter().chain(identity).flatten() {
            let column = Column {
                name: (&*cell.name).into(),
                type_oid: type_oid(&cell.type_name),
                type_name: (&*cell.type_name).into(),
                key: false,
            };
            match all.iter_mut().find(|other| other.name == column.name) {
                Some(other) => *other = column,
                None => all.push(column),
            }
        }
        for column in &mut all {
            column.key = match identity {
                Some(cells) => cells.iter().any(|cell| *cell.name == *column.name),
                None => known
                    .and_then(|known| known.columns.iter().find(|other| other.name == column.name))
                    .is_some_and(|other| other.key),
            };
        }
        let relation = Arc::new(Relation {
            oid: if headers.oid > 0 { headers.oid } else { number(&name) },
            schema: (&*wire.schema).into(),
            name: (&*wire.table).into(),
            identity: if headers.whole_row { ReplicaIdentity::Full } else { ReplicaIdentity::Default },
            columns: all,
        });
        self.tables.insert(name, Arc::clone(&relation));
        relation
    }
}

/// Whether what is known of a table describes an event of it.
fn fits(
    known: &Relation,
    columns: Option<&[Cell<'_>]>,
    identity: Option<&[Cell<'_>]>,
    action: &str,
    headers: &Headers,
) -> bool {
    let of = |cell: &Cell<'_>| known.columns.iter().find(|column| *column.name == *cell.name);
    let same = |cell: &Cell<'_>| of(cell).is_some_and(|column| *column.type_name == *cell.type_name);
    let whole = headers.whole_row == (known.identity == ReplicaIdentity::Full);
    (headers.oid == 0 || headers.oid == known.oid)
        && columns.into_iter().chain(identity).flatten().all(same)
        && (action != "I" || columns.is_some_and(|columns| columns.len() == known.columns.len()))
        && identity.is_none_or(|identity| {
            let keys = known.columns.iter().filter(|column| column.key).count();
            whole
                && keys == identity.len()
                && identity.iter().all(|cell| of(cell).is_some_and(|column| column.key))
        })
}

/// The ids of an event's table; none where no injector has put any.
fn ids(relation: &Relation, wire: &Wire<'_>) -> Option<Arc<Ids>> {
    let Metadata { schema_id, table_pgstream_id, id_col_pgstream_id } = &wire.metadata;
    if table_pgstream_id.is_empty() {
        return None;
    }
    let cells = || wire.columns.iter().chain(&wire.identity).flatten();
    let of = |column: &Column| cells().find(|cell| *cell.name == *column.name).map_or("", |cell| &*cell.id);
    let columns: Vec<Box<str>> = relation.columns.iter().map(|column| of(column).into()).collect();
    let key = id_col_pgstream_id
        .iter()
        .flatten()
        .map(|id| IdColumn { id: (&**id).into(), index: columns.iter().position(|column| **column == **id) });
    let key = key.collect();
    Some(Arc::new(Ids {
        schema: schema_id.as_deref().map(Arc::from),
        table: (&**table_pgstream_id).into(),
        key,
        columns,
    }))
}

/// What a value is that is no event, as far as it says so.
fn other_form<'a>(value: &[u8], headers: &'a Headers) -> Option<&'a str> {
    let debezium = [&b"{\"before\":"[..], b"{\"op\":"].iter().any(|start| value.starts_with(start));
    headers.content_type.as_deref().or(debezium.then_some("a message in Debezium's form"))
}

/// What was read is something else.
fn not(what: &str, error: serde_json::Error) -> Error {
    Error::rejected(format!("not {what}: {error}")).because(error)
}

/// A number for a table that came without one: the same in each run.
fn number((schema, table): &(String, String)) -> u32 {
    const PRIME: u32 = 16_777_619;
    let bytes = schema.bytes().chain([0]).chain(table.bytes());
    // Above all that a server gives out before its counter wraps.
    bytes.fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME)) | 0x8000_0000
}

/// The old row of an event.
fn old(relation: &Relation, identity: &[Cell<'_>], headers: &Headers) -> Result<OldRow> {
    let tuple = row(relation, identity, Value::Null)?;
    Ok(if headers.whole_row { OldRow::Full(tuple) } else { OldRow::Key(tuple) })
}

/// A row of that table; what the event does not carry is `otherwise`.
fn row(relation: &Relation, cells: &[Cell<'_>], otherwise: Value<'_>) -> Result<Tuple> {
    let mut texts = Vec::with_capacity(relation.columns.len());
    for column in &relation.columns {
        let cell = cells.iter().find(|cell| *cell.name == *column.name);
        texts.push(cell.map(|cell| text(column.type_oid, cell.value.get())).transpose()?);
    }
    Ok(Tuple::from_values(texts.iter().map(|text| match text {
        None => otherwise,
        Some(None) => Value::Null,
        Some(Some(text)) => Value::Text(text.as_bytes()),
    })))
}

/// A value's text form; `None` = NULL.
fn text(type_oid: u32, json: &str) -> Result<Option<Cow<'_, str>>> {
    Ok(Some(match json.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b't') => "t".into(),
        Some(b'f') => "f".into(),
        Some(b'"') => {
            let Text(text) = serde_json::from_str(json).map_err(|error| not("a text", error))?;
            if type_oid == BYTEA {
                format!("\\x{text}").into()
            } else {
                text
            }
        }
        Some(b'{' | b'[') | None => return Err(Error::rejected("a value that is neither text nor number")),
        Some(_) => json.into(),
    }))
}

/// A JSON text, borrowed where nothing is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

const BYTEA: u32 = 17;

/// The oid of a type whose values JSON shows in a form of their own; 25 (text) for all others.
fn type_oid(name: &str) -> u32 {
    let base = name.split_once('(').map_or(name, |(base, _)| base);
    match base {
        "boolean" => 16,
        "bytea" => BYTEA,
        "bigint" => 20,
        "smallint" => 21,
        "integer" => 23,
        "oid" => 26,
        "real" => 700,
        "double precision" => 701,
        "numeric" if !name.ends_with(']') => 1700,
        _ => 25,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json::Encoder;

    fn relation() -> Arc<Relation> {
        let column = |name: &str, type_name: &str, key| Column {
            name: name.into(),
            type_oid: type_oid(type_name),
            type_name: type_name.into(),
            key,
        };
        Arc::new(Relation {
            oid: 7,
            schema: "public".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Default,
            columns: vec![
                column("id", "bigint", true),
                column("n", "numeric(30,20)", false),
                column("b", "bytea", false),
                column("ok", "boolean", false),
                column("v", "text", false),
            ],
        })
    }

    fn change(row: RowChange) -> Event {
        Event::Change(Change { lsn: Lsn(0x1_0000_0020), relation: relation(), row, ids: None })
    }

    fn line(event: &Event) -> String {
        let mut line = Vec::new();
        Encoder::default().write(event, &mut line);
        String::from_utf8(line).expect("text")
    }

    fn key(id: &'static str) -> OldRow {
        let null = Value::Null;
        OldRow::Key(Tuple::from_values([Value::Text(id.as_bytes()), null, null, null, null]))
    }

    #[test]
    fn what_was_written_is_read() {
        let row = |v| {
            Tuple::from_values([
                Value::Text(b"9007199254740993"),
                Value::Text(b"NaN"),
                Value::Text(b"\\x00ff"),
                Value::Text(b"t"),
                v,
            ])
        };
        let mut decoder = Decoder::default();
        let headers = Headers { oid: 7, ..Headers::default() };
        for row in [
            RowChange::Insert { new: row(Value::Text("a\"\\\n\u{e4}".as_bytes())) },
            RowChange::Update { old: Some(key("1")), new: row(Value::Unchanged) },
            RowChange::Update { old: Some(key("1")), new: row(Value::Null) },
            RowChange::Delete { old: key("5") },
            RowChange::Insert { new: row(Value::Text(b"")) },
        ] {
            let event = change(row);
            let read = decoder.decode(line(&event).as_bytes(), &headers).expect("an event");
            assert_eq!(line(&read), line(&event));
        }
    }

    #[test]
    fn a_table_stays_the_same_until_it_changes() {
        let mut decoder = Decoder::default();
        let headers = Headers { oid: 7, ..Headers::default() };
        let mut read = |text: &str| match decoder.decode(text.as_bytes(), &headers).expect("an event") {
            Event::Change(change) => change.relation,
            other => panic!("{other:?}"),
        };
        let cell = |name: &str| format!(r#"{{"id":"","name":"{name}","type":"integer","value":1}}"#);
        let event = |action: &str, columns: &[&str], identity: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|name| cell(name)).collect::<Vec<_>>().join(",");
            format!(
                r#"{{"action":"{action}","lsn":"0/1","schema":"s","table":"t","columns":[{}],"identity":[{}]}}"#,
                list(columns),
                list(identity)
            )
        };
        read(&event("I", &["a", "b"], &[]));
        let known = read(&event("U", &["a", "b"], &["a"]));
        for (action, columns) in [("I", &["a", "b"][..]), ("U", &["a"]), ("D", &[])] {
            let identity: &[&str] = if action == "I" { &[] } else { &["a"] };
            assert!(Arc::ptr_eq(&known, &read(&event(action, columns, identity))), "{action}");
        }
        let wider = read(&event("I", &["a", "b", "c"], &[]));
        assert_eq!(wider.columns.len(), 3);
        assert!(wider.columns[0].key, "what was known of its key is kept");
        assert_eq!(read(&event("I", &["a", "c"], &[])).columns.len(), 2, "a column that is gone");
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for text in ["", "{", "[]", r#"{"action":"X"}"#, r#"{"action":"I","schema":"s","table":"t"}"#] {
            let refused = Decoder::default().decode(text.as_bytes(), &Headers::default());
            assert!(refused.is_err(), "{text}");
        }
    }
}
