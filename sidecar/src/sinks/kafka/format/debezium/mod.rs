//! Messages as Debezium's connector for PostgreSQL writes them (3.x, schemas disabled), for consumers made for these.
//!
//! ```text
//! key     {"id":1}                          the columns that identify the row; none: no key
//! value   {"before","after","source","transaction","op","ts_ms","ts_us","ts_ns"}      op: c u d r(ead by a copy) t m
//! ```
//!
//! [`form`] says what a column's values look like, [`value`] writes them. Proven by what a real Debezium Server wrote of the same events:
//! `tests/flows/debezium`, which also names where and why we differ.
//!
//! An update that changes the key is a delete, with its tombstone, and an insert, which name each other in a header.

mod form;
mod number;
mod text;
mod time;
mod transaction;
mod value;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::plan::{DebeziumForm, Decimals};
use crate::event::json::Encoder;
use crate::event::{
    Change, Commit, Ids, Lsn, Message, OldRow, Relation, ReplicaIdentity, RowChange, Timestamp, Transaction,
    Truncate, Tuple, Value,
};

use super::super::message::Headers;
use form::Form;
use number::{base64, string};
pub(in super::super) use transaction::Mark;
use transaction::Progress;

/// Of a change that ends a row's old key: the new one; and the other way round.
pub(in super::super) const NEW_KEY: &str = "__debezium.newkey";
pub(in super::super) const OLD_KEY: &str = "__debezium.oldkey";

/// Writes messages in Debezium's form.
pub(in super::super) struct Debezium {
    /// For what Debezium has no form of: schema changes.
    pub(super) encoder: Encoder,
    decimals: Decimals,
    /// `source` up to the value of `ts_ms`.
    head: String,
    /// `db` and its value.
    database: String,
    /// Of each table that has come, by its oid.
    tables: HashMap<u32, Table>,
    at: Transaction,
    /// Where the transaction before ended; zero = not known.
    ended: Lsn,
    progress: Option<Progress>,
}

/// A table and what its columns look like.
struct Table {
    relation: Arc<Relation>,
    forms: Arc<[Form]>,
}

/// The columns that identify a row, by their index.
type KeyColumns = Vec<usize>;

impl Debezium {
    /// `source`: system and database; `tells`: whether events tell their transaction.
    pub(super) fn new(form: &DebeziumForm, source: &str, tells: bool) -> Self {
        let text = |text: &str| {
            let mut out = Vec::new();
            string(text, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let (name, version) = (text(&form.name), env!("CARGO_PKG_VERSION"));
        Self {
            encoder: Encoder::default(),
            decimals: form.decimals,
            head: format!(
                "{{\"version\":\"{version}\",\"connector\":\"postgresql\",\"name\":{name},\"ts_ms\":"
            ),
            database: format!("\"db\":{}", text(source.split_once('/').map_or("", |(_, database)| database))),
            tables: HashMap::new(),
            at: Transaction { xid: 0, commit_lsn: Lsn::ZERO, time: Timestamp::default() },
            ended: Lsn::ZERO,
            progress: tells.then(Progress::default),
        }
    }

    pub(super) fn begin(&mut self, transaction: &Transaction) {
        self.encoder.begin(transaction);
        self.at = *transaction;
    }

    /// What says that a transaction begins, before its first event.
    pub(super) fn opens(&mut self, lsn: Lsn) -> Option<Mark> {
        let progress = self.progress.as_mut().filter(|_| !self.at.is_copy())?;
        progress.open(&self.at, lsn)
    }

    /// What says that the transaction has ended, where its beginning was said.
    pub(super) fn closes(&mut self, commit: &Commit) -> Option<Mark> {
        self.ended = if self.at.is_copy() { Lsn::ZERO } else { commit.end };
        self.progress.as_mut().and_then(|progress| progress.close(&self.at, commit.end))
    }

    /// Appends a row's value.
    pub(super) fn change(&mut self, change: &Change, headers: &Headers, out: &mut Vec<u8>) {
        let forms = self.forms(&change.relation);
        let row = |tuple: &Tuple, old: Option<&Tuple>, out: &mut Vec<u8>| {
            let cells = cells(tuple, old);
            object(&change.relation, &forms, self.decimals, cells, out);
        };
        let whole = |old: &OldRow| match old {
            OldRow::Full(tuple) => Some(tuple.clone()),
            OldRow::Key(_) => None,
        };
        let null = |out: &mut Vec<u8>| out.extend_from_slice(b"null");
        out.extend_from_slice(b"{\"before\":");
        let op = match &change.row {
            RowChange::Insert { new } => {
                null(out);
                out.extend_from_slice(b",\"after\":");
                row(new, None, out);
                if headers.ordinal.is_some() {
                    'c'
                } else {
                    'r'
                }
            }
            RowChange::Update { old, new } => {
                let old = old.as_ref().and_then(whole);
                match &old {
                    Some(old) => row(old, None, out),
                    None => null(out),
                }
                out.extend_from_slice(b",\"after\":");
                row(new, old.as_ref(), out);
                'u'
            }
            RowChange::Delete { old } => {
                row(old.tuple(), None, out);
                out.extend_from_slice(b",\"after\":");
                null(out);
                'd'
            }
        };
        self.tail(op, Some(&change.relation), headers, out);
    }

    /// Appends the value of one of a truncate's tables.
    pub(super) fn truncate(
        &mut self,
        truncate: &Truncate,
        index: usize,
        headers: &Headers,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"{\"before\":null,\"after\":null");
        self.tail('t', truncate.relations.get(index), headers, out);
    }

    /// Appends the value of a logical message.
    pub(super) fn message(&mut self, message: &Message, headers: &Headers, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail, here and below.
        let _ = write!(out, "{{\"op\":\"m\",\"ts_ms\":{},", now().as_millis());
        self.origin(None, headers, out);
        out.extend_from_slice(b",\"message\":{\"prefix\":");
        string(&message.prefix, out);
        out.extend_from_slice(b",\"content\":");
        base64(&message.content, out);
        out.extend_from_slice(b"}}");
    }

    /// From `source` to the end.
    fn tail(&mut self, op: char, relation: Option<&Arc<Relation>>, headers: &Headers, out: &mut Vec<u8>) {
        out.push(b',');
        self.origin(relation, headers, out);
        let now = now();
        let _ = write!(
            out,
            ",\"op\":\"{op}\",\"ts_ms\":{},\"ts_us\":{},\"ts_ns\":{}}}",
            now.as_millis(),
            now.as_micros(),
            now.as_nanos()
        );
    }

    /// `source` and `transaction`.
    fn origin(&mut self, relation: Option<&Arc<Relation>>, headers: &Headers, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"source\":");
        self.source(relation, headers, out);
        out.extend_from_slice(b",\"transaction\":");
        match self.progress.as_mut().filter(|_| headers.ordinal.is_some()) {
            Some(progress) => {
                progress.event(&self.at, headers.lsn, relation.map(|relation| &**relation), out)
            }
            None => out.extend_from_slice(b"null"),
        }
    }

    /// Where an event comes from.
    fn source(&self, relation: Option<&Arc<Relation>>, headers: &Headers, out: &mut Vec<u8>) {
        let micros = self.at.time.unix_micros();
        let (snapshot, lsn) = match headers.ordinal {
            Some(_) => ("false", headers.lsn.0),
            None => ("true", headers.commit_lsn.0),
        };
        let millis = micros.div_euclid(1000);
        // Writing to a Vec cannot fail, here and below.
        let _ = write!(out, "{}{millis},\"snapshot\":\"{snapshot}\",{}", self.head, self.database);
        let _ = match self.ended {
            Lsn::ZERO => write!(out, ",\"sequence\":\"[null,\\\"{lsn}\\\"]\""),
            Lsn(ended) => write!(out, ",\"sequence\":\"[\\\"{ended}\\\",\\\"{lsn}\\\"]\""),
        };
        let _ = write!(out, ",\"ts_us\":{micros},\"ts_ns\":{},\"schema\":", i128::from(micros) * 1000);
        string(relation.map_or("", |relation| &relation.schema), out);
        out.extend_from_slice(b",\"table\":");
        string(relation.map_or("", |relation| &relation.name), out);
        out.extend_from_slice(b",\"txId\":");
        let _ = match self.at.xid {
            0 => write!(out, "null"),
            xid => write!(out, "{xid}"),
        };
        let _ = write!(out, ",\"lsn\":{lsn},\"xmin\":null,\"origin\":null,\"origin_lsn\":null}}");
    }

    /// What the columns of a table look like.
    fn forms(&mut self, relation: &Arc<Relation>) -> Arc<[Form]> {
        if let Some(table) =
            self.tables.get(&relation.oid).filter(|table| Arc::ptr_eq(&table.relation, relation))
        {
            return Arc::clone(&table.forms);
        }
        let forms: Arc<[Form]> = relation.columns.iter().map(Form::of).collect();
        let table = Table { relation: Arc::clone(relation), forms: Arc::clone(&forms) };
        self.tables.insert(relation.oid, table);
        forms
    }

    /// The key of a row's message before and after; the first is `None` where it is the same, both where rows have none.
    pub(in super::super) fn keys(&mut self, change: &Change) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let columns = key_columns(&change.relation, change.ids.as_deref());
        if columns.is_empty() {
            return (None, None);
        }
        let forms = self.forms(&change.relation);
        let key = |tuple: &Tuple, old: Option<&Tuple>| {
            let mut out = Vec::new();
            let cells =
                columns.iter().filter_map(|index| Some((*index, cell(*index, tuple.get(*index)?, old))));
            object(&change.relation, &forms, self.decimals, cells, &mut out);
            out
        };
        match &change.row {
            RowChange::Insert { new } | RowChange::Update { old: None, new } => (None, Some(key(new, None))),
            RowChange::Delete { old } => (None, Some(key(old.tuple(), None))),
            RowChange::Update { old: Some(old), new } => {
                let (before, after) = (key(old.tuple(), None), key(new, Some(old.tuple())));
                (Some(before).filter(|before| *before != after), Some(after))
            }
        }
    }
}

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The key of a logical message.
pub(in super::super) fn message_key(message: &Message) -> Vec<u8> {
    let mut key = b"{\"prefix\":".to_vec();
    string(&message.prefix, &mut key);
    key.push(b'}');
    key
}

/// A row's cells with their index; a value that did not change is taken from the old row, where that is known.
fn cells<'a>(row: &'a Tuple, old: Option<&'a Tuple>) -> impl Iterator<Item = (usize, Value<'a>)> {
    row.values().enumerate().map(move |(index, value)| (index, cell(index, value, old)))
}

fn cell<'a>(index: usize, value: Value<'a>, old: Option<&'a Tuple>) -> Value<'a> {
    match (value, old) {
        (Value::Unchanged, Some(old)) => old.get(index).unwrap_or(value),
        _ => value,
    }
}

/// Appends cells as a JSON object.
fn object<'a>(
    relation: &Relation,
    forms: &[Form],
    decimals: Decimals,
    cells: impl Iterator<Item = (usize, Value<'a>)>,
    out: &mut Vec<u8>,
) {
    let mut between = b'{';
    for (index, value) in cells {
        let (Some(column), Some(form)) = (relation.columns.get(index), forms.get(index)) else { continue };
        if *form == Form::Absent {
            continue;
        }
        out.push(std::mem::replace(&mut between, b','));
        string(&column.name, out);
        out.push(b':');
        value::write(form, value, decimals, out);
    }
    if between == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

/// What identifies a row: its primary key in its order. Of a table that is identified by an index, what the source sends of an old row.
fn key_columns(relation: &Relation, ids: Option<&Ids>) -> KeyColumns {
    let sent = || relation.key_columns().map(|(index, _)| index).collect();
    let named = || ids?.key.iter().map(|column| column.index).collect::<Option<KeyColumns>>();
    match relation.identity {
        ReplicaIdentity::Index => sent(),
        ReplicaIdentity::Full => named().unwrap_or_default(),
        ReplicaIdentity::Default | ReplicaIdentity::Nothing => {
            named().filter(|named| !named.is_empty()).unwrap_or_else(sent)
        }
    }
}
