//! Events as messages of a topic: key, value and headers. Sans-I/O.
//!
//! ```text
//! topic    the one for everything, or the table's own          names.rs
//! key      what keeps its order                                key.rs, or as the form has it
//! value    the event in one of the forms                       format/
//! headers  source, lsn, commit_lsn, ordinal; copies of what is in several partitions; last at the end of a transaction; of a table's: table, oid, identity (when it is the whole row)
//! ```
//!
//! (source, commit_lsn, ordinal) names an event for good. The ordinal counts a transaction's events: several rows can have one LSN. Rows of a snapshot have none, but the header `snapshot`.

use std::sync::Arc;

use super::format::debezium::{self, Mark, NEW_KEY, OLD_KEY};
use super::format::{Format, What};
use super::key::{logged_schema, schemas, Key};
use super::names::Names;
use crate::config::plan::{KafkaTarget, PartitionKey};
use crate::event::{
    Change, Ddl, Event, Lsn, OldRow, Relation, ReplicaIdentity, RowChange, Transaction, Truncate, Tuple,
    Value,
};

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To the partition of its key.
    ByKey,
    /// To every partition: whoever reads one must know.
    Everywhere,
    /// To the same partition as others with that number.
    With(u32),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its topic; `None` = the one for everything.
    pub(super) topic: Option<Arc<str>>,
    pub(super) place: Place,
    /// `None`: it has none.
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
    /// `None`: it is about a transaction, and no event of it.
    pub(super) headers: Option<Headers>,
    /// A header of its form.
    pub(super) extra: Option<Extra>,
    /// It is followed by one of the same key without a value.
    pub(super) tombstone: bool,
}

impl Message {
    /// A row of a copy.
    pub(super) fn is_copied(&self) -> bool {
        self.headers.as_ref().is_some_and(|headers| headers.ordinal.is_none())
    }
}

/// Name and value of a header.
pub(super) type Extra = (&'static str, Vec<u8>);

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
    /// The transaction's id at the source, where that is to be told.
    pub(super) xid: Option<u32>,
    /// How many events the transaction has, where that is to be told: on its last.
    pub(super) count: Option<u64>,
    /// What the value is, where it is not the event itself.
    pub(super) content_type: Option<&'static str>,
}

/// Makes messages of events, in stream order.
pub(super) struct Writer {
    format: Format,
    names: Names,
    /// The topic for what is said of transactions themselves.
    transactions: Arc<str>,
    by: PartitionKey,
    tombstones: bool,
    /// Messages tell their transaction.
    tells: bool,
    source: Arc<str>,
    /// The transaction in hand; its id is 0 within rows of a snapshot.
    commit_lsn: Lsn,
    xid: u32,
    /// Of the next event.
    ordinal: u64,
    /// Waits until it is known whether it is its transaction's last.
    held: Option<Message>,
}

impl Writer {
    pub(super) fn new(target: &KafkaTarget, source: &str) -> Self {
        Self {
            format: Format::new(target, source),
            names: Names::new(target.tables.clone()),
            transactions: format!("{}.transaction", target.topic.name).into(),
            by: target.key,
            tombstones: target.tombstones,
            tells: target.transaction_metadata,
            source: source.into(),
            commit_lsn: Lsn::ZERO,
            xid: 0,
            ordinal: 0,
            held: None,
        }
    }

    /// The transaction in hand is that of a copy.
    pub(super) fn in_copy(&self) -> bool {
        self.xid == 0
    }

    /// Adds the messages of an event; the last one so far waits for the next, or for the end of its transaction.
    pub(super) fn write(&mut self, event: &Event, out: &mut Vec<Message>) {
        match event {
            Event::Begin(transaction) => self.begin(transaction),
            Event::Change(change) => match logged_schema(change) {
                Some(schema) => self.logged(change, schema, out),
                None => self.change(change, out),
            },
            Event::Truncate(truncate) => {
                (0..truncate.relations.len()).for_each(|index| self.truncate(truncate, index, out));
            }
            Event::Ddl(ddl) => self.ddl(ddl, out),
            Event::Message(message) => {
                self.open(message.lsn, out);
                let key = match &self.format {
                    Format::Debezium(_) => debezium::message_key(message),
                    _ => message.prefix.as_bytes().to_vec(),
                };
                let made = self.make(&What::Message(message), None, message.lsn, Some(key));
                self.add(made, out);
            }
            Event::Commit(commit) => {
                out.extend(self.last());
                let mark = self.format.closes(commit);
                out.extend(mark.map(|mark| self.mark(mark)));
            }
            Event::Keepalive(_) => {}
        }
    }

    fn begin(&mut self, transaction: &Transaction) {
        (self.commit_lsn, self.xid, self.ordinal) = (transaction.commit_lsn, transaction.xid, 0);
        self.format.begin(transaction);
    }

    /// What was held, as the last of its transaction.
    fn last(&mut self) -> Option<Message> {
        let mut message = self.held.take()?;
        if let Some(headers) = &mut message.headers {
            headers.last = true;
            headers.count = headers.xid.map(|_| self.ordinal);
        }
        Some(message)
    }

    /// Before an event, what says that its transaction begins.
    fn open(&mut self, lsn: Lsn, out: &mut Vec<Message>) {
        let mark = self.format.opens(lsn);
        out.extend(mark.map(|mark| self.mark(mark)));
    }

    fn mark(&self, Mark { key, value }: Mark) -> Message {
        Message {
            topic: Some(Arc::clone(&self.transactions)),
            place: Place::ByKey,
            key: Some(key),
            value,
            headers: None,
            extra: None,
            tombstone: false,
        }
    }

    /// A row of the schema log.
    fn logged(&mut self, change: &Change, schema: String, out: &mut Vec<Message>) {
        let what = What::Logged(change);
        let message = self.make(&what, Some(&change.relation), change.lsn, Some(schema.into_bytes()));
        let place = if self.by == PartitionKey::Schema { Place::ByKey } else { Place::Everywhere };
        self.add(Message { place, ..message }, out);
    }

    fn change(&mut self, change: &Change, out: &mut Vec<Message>) {
        self.open(change.lsn, out);
        if let Format::Debezium(debezium) = &mut self.format {
            let keys = debezium.keys(change);
            return self.change_by_keys(change, keys, out);
        }
        match self.split(change) {
            None => self.change_by_order(change, out),
            Some(parts) => parts.iter().for_each(|part| self.change_by_order(part, out)),
        }
    }

    /// A row under the key that keeps its order.
    fn change_by_order(&mut self, change: &Change, out: &mut Vec<Message>) {
        let key = Key::new(self.by, &change.relation, Some(&change.row));
        self.row(change, Some(key.bytes), key.of_row, None, out);
    }

    /// A row under the key its form gives it, before and after.
    fn change_by_keys(
        &mut self,
        change: &Change,
        keys: (Option<Vec<u8>>, Option<Vec<u8>>),
        out: &mut Vec<Message>,
    ) {
        let (Some(before), Some(after)) = keys else {
            let (_, key) = keys;
            let of_row = key.is_some();
            return self.row(change, key, of_row, None, out);
        };
        let Some([gone, made]) = parts(change) else { return };
        self.row(&gone, Some(before.clone()), true, Some((NEW_KEY, after.clone())), out);
        self.row(&made, Some(after), true, Some((OLD_KEY, before)), out);
    }

    /// The message of one row's change; `of_row`: its key is that of no other row.
    fn row(
        &mut self,
        change: &Change,
        key: Option<Vec<u8>>,
        of_row: bool,
        extra: Option<Extra>,
        out: &mut Vec<Message>,
    ) {
        let place = if key.is_some() { Place::ByKey } else { Place::With(change.relation.oid) };
        let gone = of_row && matches!(change.row, RowChange::Delete { .. });
        let message = Message {
            topic: self.names.of(&change.relation),
            tombstone: self.tombstones && gone,
            place,
            extra,
            ..self.make(&What::Change(change), Some(&change.relation), change.lsn, key)
        };
        self.add(message, out);
    }

    fn truncate(&mut self, truncate: &Truncate, index: usize, out: &mut Vec<Message>) {
        let Some(relation) = truncate.relations.get(index) else { return };
        self.open(truncate.lsn, out);
        let key = match &self.format {
            Format::Debezium(_) => None,
            _ => Some(Key::new(self.by, relation, None).bytes),
        };
        let message = Message {
            topic: self.names.of(relation),
            place: if self.by == PartitionKey::PrimaryKey { Place::Everywhere } else { Place::ByKey },
            ..self.make(&What::Truncate(truncate, index), Some(relation), truncate.lsn, key)
        };
        self.add(message, out);
    }

    /// One event, however many partitions have to know of it.
    fn ddl(&mut self, ddl: &Ddl, out: &mut Vec<Message>) {
        let schemas = schemas(ddl);
        let key = schemas.first().copied().unwrap_or_default().as_bytes().to_vec();
        let one = self.by == PartitionKey::Schema && schemas.len() == 1;
        let place = if one { Place::ByKey } else { Place::Everywhere };
        let message = self.make(&What::Ddl(ddl), None, ddl.lsn, Some(key));
        self.add(Message { place, ..message }, out);
    }

    /// The message of the next event, to the partition of its key in the topic for everything.
    fn make(
        &mut self,
        what: &What<'_>,
        relation: Option<&Relation>,
        lsn: Lsn,
        key: Option<Vec<u8>>,
    ) -> Message {
        let logged = self.xid > 0;
        let headers = Headers {
            source: Arc::clone(&self.source),
            table: relation.map(|relation| relation.to_string()).unwrap_or_default(),
            oid: relation.map_or(0, |relation| relation.oid),
            whole_row: relation.is_some_and(|relation| relation.identity == ReplicaIdentity::Full),
            lsn,
            commit_lsn: self.commit_lsn,
            ordinal: logged.then_some(self.ordinal),
            last: false,
            xid: (self.tells && logged).then_some(self.xid),
            count: None,
            content_type: self.format.content_type(),
        };
        self.ordinal += 1;
        let mut value = Vec::new();
        self.format.write(what, &headers, &mut value);
        let headers = Some(headers);
        Message { topic: None, place: Place::ByKey, key, value, headers, extra: None, tombstone: false }
    }

    fn add(&mut self, message: Message, out: &mut Vec<Message>) {
        out.extend(self.held.replace(message));
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
        parts(change)
    }
}

/// An update as a delete and an insert; what did not change is taken from the old row, where that is known.
fn parts(change: &Change) -> Option<[Change; 2]> {
    let RowChange::Update { old: Some(old), new } = &change.row else { return None };
    let part =
        |row| Change { row, relation: Arc::clone(&change.relation), ids: change.ids.clone(), ..*change };
    let new = match old {
        OldRow::Full(old) => Tuple::from_values(new.values().zip(old.values()).map(|(new, old)| match new {
            Value::Unchanged => old,
            new => new,
        })),
        OldRow::Key(_) => new.clone(),
    };
    Some([part(RowChange::Delete { old: old.clone() }), part(RowChange::Insert { new })])
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
