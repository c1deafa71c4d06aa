//! Events as messages of a topic: key, value and headers. Sans-I/O.
//!
//! ```text
//! key      what keeps its order: schema | schema.table | schema.table:key values
//! value    the event format, one JSON object
//! headers  source, lsn, commit_lsn, ordinal; last at the end of a transaction; of a table's: table, oid, identity (when it is the whole row)
//! ```
//!
//! (source, commit_lsn, ordinal) names an event for good. The ordinal counts a transaction's events: several rows can have one LSN. Rows of a snapshot have none, but the header `snapshot`.

use std::sync::Arc;

use crate::config::plan::PartitionKey;
use crate::event::json::Encoder;
use crate::event::{Change, Ddl, Event, Lsn, OldRow, Relation, ReplicaIdentity, RowChange, Tuple, Value};
use crate::pipeline::capture::Row;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To the partition of its key.
    ByKey,
    /// To every partition: whoever reads one must know.
    Everywhere,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) place: Place,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Headers,
}

/// What a reader needs without reading the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Headers {
    /// The system whose log the positions are of, and its database.
    pub(super) source: Arc<str>,
    /// `public.t`; empty for what is of no table.
    pub(super) table: String,
    /// `pg_class.oid` of the table at the source.
    pub(super) oid: u32,
    /// The identity of a change is the whole old row.
    pub(super) whole_row: bool,
    /// Where the change stands in the log.
    pub(super) lsn: Lsn,
    /// Where its transaction's commit record starts.
    pub(super) commit_lsn: Lsn,
    /// Which of its transaction's events; `None` = a row of a snapshot.
    pub(super) ordinal: Option<u64>,
    /// Nothing of its transaction comes behind it.
    pub(super) last: bool,
}

/// Makes messages of events, in stream order.
pub(super) struct Writer {
    encoder: Encoder,
    by: PartitionKey,
    source: Arc<str>,
    commit_lsn: Lsn,
    /// Of the next event; `None` within rows of a snapshot.
    ordinal: Option<u64>,
    /// Both of the transaction that a copy came into.
    outer: Option<(Lsn, Option<u64>)>,
    /// Waits until it is known whether it is its transaction's last.
    held: Option<Message>,
}

impl Writer {
    pub(super) fn new(by: PartitionKey, source: &str) -> Self {
        let (encoder, commit_lsn) = (Encoder::default(), Lsn::ZERO);
        Self { encoder, by, source: source.into(), commit_lsn, ordinal: None, outer: None, held: None }
    }

    /// The next event is a row of a copy.
    pub(super) fn in_copy(&self) -> bool {
        self.ordinal.is_none()
    }

    /// Adds the messages of an event; the last one so far waits for the next, or for the end of its transaction.
    pub(super) fn write(&mut self, event: &Event, out: &mut Vec<Message>) {
        match event {
            Event::Begin(transaction) => {
                if transaction.is_copy() {
                    self.outer = Some((self.commit_lsn, self.ordinal));
                }
                self.commit_lsn = transaction.commit_lsn;
                self.ordinal = (!transaction.is_copy()).then_some(0);
                self.encoder.write(event, &mut Vec::new());
            }
            Event::Change(change) => match self.split(change) {
                None => self.change(change, out),
                Some(parts) => parts.iter().for_each(|part| self.change(part, out)),
            },
            Event::Truncate(truncate) => {
                let mut lines = Vec::new();
                self.encoder.write(event, &mut lines);
                let lines = lines.split_inclusive(|byte| *byte == b'\n');
                for (relation, line) in truncate.relations.iter().zip(lines) {
                    let place =
                        if self.by == PartitionKey::PrimaryKey { Place::Everywhere } else { Place::ByKey };
                    let headers = self.headers(Some(relation), truncate.lsn);
                    self.add(place, self.key(relation, None), line.to_vec(), headers, out);
                }
            }
            Event::Ddl(ddl) => {
                let headers = self.headers(None, ddl.lsn);
                let mut line = Vec::new();
                self.encoder.write(event, &mut line);
                let schemas = schemas(ddl);
                if self.by == PartitionKey::Schema && !schemas.is_empty() {
                    // One event, however many partitions have to know of it.
                    for schema in schemas {
                        let key = schema.as_bytes().to_vec();
                        self.add(Place::ByKey, key, line.clone(), headers.clone(), out);
                    }
                } else {
                    let key = schemas.first().copied().unwrap_or_default().as_bytes().to_vec();
                    self.add(Place::Everywhere, key, line, headers, out);
                }
            }
            Event::Message(message) => {
                let headers = self.headers(None, message.lsn);
                let mut line = Vec::new();
                self.encoder.write(event, &mut line);
                self.add(Place::ByKey, message.prefix.as_bytes().to_vec(), line, headers, out);
            }
            Event::Commit(_) => {
                out.extend(self.held.take().map(|mut message| {
                    message.headers.last = true;
                    message
                }));
                self.encoder.write(event, &mut Vec::new());
                if let Some(outer) = self.outer.take() {
                    (self.commit_lsn, self.ordinal) = outer;
                }
            }
            Event::Keepalive(_) => {}
        }
    }

    fn change(&mut self, change: &Change, out: &mut Vec<Message>) {
        let relation = &change.relation;
        let headers = self.headers(Some(relation), change.lsn);
        let mut line = Vec::new();
        self.encoder.change(change, &mut line);
        match logged_schema(change) {
            Some(schema) => {
                let place = if self.by == PartitionKey::Schema { Place::ByKey } else { Place::Everywhere };
                self.add(place, schema.into_bytes(), line, headers, out);
            }
            None => self.add(Place::ByKey, self.key(relation, Some(&change.row)), line, headers, out),
        }
    }

    /// The headers of the next event.
    fn headers(&mut self, relation: Option<&Arc<Relation>>, lsn: Lsn) -> Headers {
        let ordinal = self.ordinal;
        self.ordinal = ordinal.map(|ordinal| ordinal + 1);
        Headers {
            source: Arc::clone(&self.source),
            table: relation.map(|relation| relation.to_string()).unwrap_or_default(),
            oid: relation.map_or(0, |relation| relation.oid),
            whole_row: relation.is_some_and(|relation| relation.identity == ReplicaIdentity::Full),
            lsn,
            commit_lsn: self.commit_lsn,
            ordinal,
            last: false,
        }
    }

    fn add(
        &mut self,
        place: Place,
        key: Vec<u8>,
        mut value: Vec<u8>,
        headers: Headers,
        out: &mut Vec<Message>,
    ) {
        if value.last() == Some(&b'\n') {
            value.pop();
        }
        out.extend(self.held.replace(Message { place, key, value, headers }));
    }

    /// An update that changes the key by which rows are kept in order, as the end of the old row and the beginning of the new one. Not when a value of
    /// the new row is not known: then it stays one event, under the old key.
    fn split(&self, change: &Change) -> Option<[Change; 2]> {
        if self.by != PartitionKey::PrimaryKey || change.relation.identity == ReplicaIdentity::Full {
            return None;
        }
        let RowChange::Update { old: Some(old), new } = &change.row else { return None };
        let moved = change.relation.key_columns().any(|(index, _)| old.tuple().get(index) != new.get(index));
        if !moved || new.values().any(|value| value == Value::Unchanged) {
            return None;
        }
        let part =
            |row| Change { row, relation: Arc::clone(&change.relation), ids: change.ids.clone(), ..*change };
        Some([part(RowChange::Delete { old: old.clone() }), part(RowChange::Insert { new: new.clone() })])
    }

    /// The key of a row's message, or of one that concerns the table as a whole.
    fn key(&self, relation: &Relation, row: Option<&RowChange>) -> Vec<u8> {
        if self.by == PartitionKey::Schema {
            return relation.schema.as_bytes().to_vec();
        }
        let mut key = relation.to_string().into_bytes();
        let values = match row {
            Some(RowChange::Insert { new } | RowChange::Update { old: None, new }) => Some(new),
            Some(RowChange::Update { old: Some(old), .. } | RowChange::Delete { old }) => {
                Some(OldRow::tuple(old))
            }
            None => None,
        };
        // With the whole row as identity nothing says what of it is the key.
        let has_key = relation.identity != ReplicaIdentity::Full && relation.key_columns().next().is_some();
        if let (PartitionKey::PrimaryKey, true, Some(values)) = (self.by, has_key, values) {
            add_values(relation, values, &mut key);
        }
        key
    }
}

/// `:1,2`; a comma or backslash in a value is escaped by a backslash.
fn add_values(relation: &Relation, row: &Tuple, key: &mut Vec<u8>) {
    let mut between = b':';
    for (index, _) in relation.key_columns() {
        key.push(std::mem::replace(&mut between, b','));
        if let Some(Value::Text(text)) = row.get(index) {
            for byte in text {
                if matches!(byte, b',' | b'\\') {
                    key.push(b'\\');
                }
                key.push(*byte);
            }
        }
    }
}

/// The schema that a row of `pgstream.schema_log` is about.
fn logged_schema(change: &Change) -> Option<String> {
    if (&*change.relation.schema, &*change.relation.name) != ("pgstream", "schema_log") {
        return None;
    }
    let (RowChange::Insert { new } | RowChange::Update { new, .. }) = &change.row else { return None };
    Row { relation: &change.relation, tuple: new }.text("schema_name").map(str::to_owned)
}

/// The schemas that a command touched, each once, in its order.
fn schemas(ddl: &Ddl) -> Vec<&str> {
    let mut schemas: Vec<&str> = Vec::new();
    for object in &ddl.objects {
        let schema = if object.kind == "schema" { &object.identity } else { &object.schema };
        if !schema.is_empty() && !schemas.contains(&schema.as_str()) {
            schemas.push(schema);
        }
    }
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Column, Commit, DdlObject, Timestamp, Transaction, Truncate};

    fn relation(identity: ReplicaIdentity) -> Arc<Relation> {
        let column =
            |name: &str, key| Column { name: name.into(), type_oid: 25, type_name: "text".into(), key };
        let columns = vec![column("a", true), column("b", true), column("v", false)];
        Arc::new(Relation { oid: 1, schema: "public".into(), name: "t".into(), identity, columns })
    }

    fn row(values: [&'static str; 3]) -> Tuple {
        Tuple::from_values(values.map(|value| match value {
            "unchanged" => Value::Unchanged,
            text => Value::Text(text.as_bytes()),
        }))
    }

    /// The messages of a transaction with those changes.
    fn messages(by: PartitionKey, identity: ReplicaIdentity, rows: Vec<RowChange>) -> Vec<Message> {
        let mut writer = Writer::new(by, "7/app");
        let mut out = Vec::new();
        let transaction = Transaction { xid: 5, commit_lsn: Lsn(0x500), time: Timestamp(0) };
        writer.write(&Event::Begin(transaction), &mut out);
        for row in rows {
            let change = Change { lsn: Lsn(0x100), relation: relation(identity), row, ids: None };
            writer.write(&Event::Change(change), &mut out);
        }
        writer.write(&commit(), &mut out);
        out
    }

    fn commit() -> Event {
        Event::Commit(Commit { end: Lsn(0x510), time: Timestamp(0) })
    }

    fn keys(messages: &[Message]) -> Vec<String> {
        messages.iter().map(|message| String::from_utf8_lossy(&message.key).into_owned()).collect()
    }

    fn actions(messages: &[Message]) -> String {
        messages.iter().map(|message| char::from(message.value[br#"{"action":""#.len()])).collect()
    }

    fn insert(values: [&'static str; 3]) -> RowChange {
        RowChange::Insert { new: row(values) }
    }

    #[test]
    fn a_key_is_schema_table_or_row() {
        let of = |by| keys(&messages(by, ReplicaIdentity::Default, vec![insert(["1", r"x,\y", "v"])]));
        assert_eq!(of(PartitionKey::Schema), ["public"]);
        assert_eq!(of(PartitionKey::Table), ["public.t"]);
        assert_eq!(of(PartitionKey::PrimaryKey), [r"public.t:1,x\,\\y"]);
        let whole = messages(PartitionKey::PrimaryKey, ReplicaIdentity::Full, vec![insert(["1", "2", "v"])]);
        assert_eq!(keys(&whole), ["public.t"], "nothing says what the key is");
    }

    #[test]
    fn every_event_of_a_transaction_has_a_name_of_its_own() {
        let rows = vec![insert(["1", "1", "v"]), insert(["1", "2", "v"])];
        let messages = messages(PartitionKey::Schema, ReplicaIdentity::Default, rows);
        let names: Vec<_> =
            messages.iter().map(|message| (message.headers.commit_lsn, message.headers.ordinal)).collect();
        assert_eq!(names, [(Lsn(0x500), Some(0)), (Lsn(0x500), Some(1))]);
        assert_eq!((messages[0].headers.last, messages[1].headers.last), (false, true));
        assert_eq!((&*messages[0].headers.source, messages[0].headers.table.as_str()), ("7/app", "public.t"));
    }

    #[test]
    fn a_row_whose_key_changes_ends_and_begins() {
        let moved = |new| RowChange::Update { old: Some(OldRow::Key(row(["1", "1", ""]))), new: row(new) };
        let of = |by, new| {
            let messages = messages(by, ReplicaIdentity::Default, vec![moved(new)]);
            (actions(&messages), keys(&messages).join(" "))
        };
        let both = ("DI".to_owned(), "public.t:1,1 public.t:1,2".to_owned());
        assert_eq!(of(PartitionKey::PrimaryKey, ["1", "2", "v"]), both);
        assert_eq!(of(PartitionKey::PrimaryKey, ["1", "1", "v"]).0, "U", "the key is the same");
        assert_eq!(of(PartitionKey::Table, ["1", "2", "v"]).0, "U", "one key holds both");
        let stays = ("U".to_owned(), "public.t:1,1".to_owned());
        assert_eq!(of(PartitionKey::PrimaryKey, ["1", "2", "unchanged"]), stays, "the new row is not known");
    }

    /// Its names and time go on where they were.
    #[test]
    fn a_copy_comes_into_a_transaction() {
        let mut writer = Writer::new(PartitionKey::Schema, "7/app");
        let mut out = Vec::new();
        let mut write = |event: Event| writer.write(&event, &mut out);
        let change = || {
            let relation = relation(ReplicaIdentity::Default);
            Event::Change(Change { lsn: Lsn(0x100), relation, row: insert(["1", "1", "v"]), ids: None })
        };
        let begin = |xid, at| {
            Event::Begin(Transaction { xid, commit_lsn: Lsn(at), time: Timestamp(at as i64 * 1_000_000) })
        };
        write(begin(5, 7));
        write(change());
        for event in [begin(0, 3), change(), commit(), change(), commit()] {
            write(event);
        }
        let told: Vec<_> =
            out.iter().map(|message| (message.headers.commit_lsn.0, message.headers.ordinal)).collect();
        assert_eq!(told, [(7, Some(0)), (3, None), (7, Some(1))]);
        let time = |index: usize| String::from_utf8_lossy(&out[index].value)[..60].to_owned();
        assert_eq!(time(0), time(2));
        assert_ne!(time(0), time(1));
    }

    #[test]
    fn a_truncate_reaches_every_row_of_its_table() {
        let truncate = |by| {
            let relations = vec![relation(ReplicaIdentity::Default), relation(ReplicaIdentity::Default)];
            let truncate = Truncate { lsn: Lsn(1), relations, restart_identity: false, ids: Vec::new() };
            let mut out = Vec::new();
            let mut writer = Writer::new(by, "");
            writer.write(&Event::Truncate(truncate), &mut out);
            writer.write(&commit(), &mut out);
            (actions(&out), out[0].place)
        };
        assert_eq!(truncate(PartitionKey::Table), ("TT".to_owned(), Place::ByKey));
        assert_eq!(truncate(PartitionKey::PrimaryKey), ("TT".to_owned(), Place::Everywhere));
    }

    #[test]
    fn a_command_goes_to_every_schema_it_touches() {
        let object = |kind: &str, schema: &str, identity: &str| DdlObject {
            kind: kind.into(),
            identity: identity.into(),
            schema: schema.into(),
            name: None,
            oid: 1,
            pgstream_id: None,
            dropped: false,
            original: true,
            definition: None,
            owner: None,
        };
        let ddl = |by, objects| {
            let mut out = Vec::new();
            let ddl = Ddl { objects, ..Ddl::default() };
            let mut writer = Writer::new(by, "");
            writer.write(&Event::Ddl(Arc::new(ddl)), &mut out);
            writer.write(&commit(), &mut out);
            let places: Vec<Place> = out.iter().map(|message| message.place).collect();
            (keys(&out), places)
        };
        let two =
            || vec![object("table", "a", "a.t"), object("table", "b", "b.t"), object("index", "a", "a.i")];
        let (keys, places) = ddl(PartitionKey::Schema, two());
        assert_eq!((keys, places), (vec!["a".into(), "b".into()], vec![Place::ByKey, Place::ByKey]));
        assert_eq!(ddl(PartitionKey::Table, two()).1, [Place::Everywhere]);
        assert_eq!(ddl(PartitionKey::Schema, vec![object("schema", "", "s")]).0, ["s"]);
        assert_eq!(ddl(PartitionKey::Schema, vec![object("extension", "", "e")]).1, [Place::Everywhere]);
    }
}
