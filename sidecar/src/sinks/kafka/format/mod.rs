//! The forms of a message: what makes a value of an event.
//!
//! ```text
//! event ──> json          our own, docs/event-format.md
//!       ──> cloudevents   the same inside an envelope
//!       ──> debezium      as Debezium's connector writes it, schema changes as our own
//! ```
//!
//! A form is one variant of [`Format`] and one file beside this one. Avro or Protobuf with a schema registry would be another: its `begin` and
//! `write` are what these are, and what it has to ask the registry (the id of a schema that is new) it asks in
//! [`Kafka::write`](super::Kafka::write), where the topic of a message is looked for as well: there may be waited. It is chosen once a message,
//! never once a column.

mod cloudevents;
pub(super) mod debezium;

use crate::config::plan::{KafkaFormat, KafkaTarget};
use crate::event::json::Encoder;
use crate::event::{Change, Commit, Ddl, Lsn, Message, Transaction, Truncate};

use super::message::Headers;
use cloudevents::CloudEvents;
use debezium::{Debezium, Mark};

/// What a message is about.
pub(super) enum What<'a> {
    /// A row.
    Change(&'a Change),
    /// A row of the schema log: it says how a schema is now.
    Logged(&'a Change),
    /// The table at that index was emptied.
    Truncate(&'a Truncate, usize),
    /// A schema change.
    Ddl(&'a Ddl),
    /// A logical message.
    Message(&'a Message),
}

/// A form in use.
pub(super) enum Format {
    /// Our own.
    Json(Encoder),
    /// Ours, inside an envelope.
    CloudEvents(CloudEvents),
    /// Debezium's.
    Debezium(Box<Debezium>),
}

impl Format {
    /// `source`: the system whose log it is, and its database.
    pub(super) fn new(target: &KafkaTarget, source: &str) -> Self {
        match &target.format {
            KafkaFormat::Json => Self::Json(Encoder::default()),
            KafkaFormat::CloudEvents => Self::CloudEvents(CloudEvents::new(source)),
            KafkaFormat::Debezium(form) => {
                Self::Debezium(Box::new(Debezium::new(form, source, target.transaction_metadata)))
            }
        }
    }

    /// Events from here on are of that transaction.
    pub(super) fn begin(&mut self, transaction: &Transaction) {
        match self {
            Self::Json(encoder) => encoder.begin(transaction),
            Self::CloudEvents(events) => events.begin(transaction),
            Self::Debezium(debezium) => debezium.begin(transaction),
        }
    }

    /// What a value is, where that is to be said.
    pub(super) fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) | Self::Debezium(_) => None,
            Self::CloudEvents(_) => Some(cloudevents::CONTENT_TYPE),
        }
    }

    /// Appends the value of an event.
    pub(super) fn write(&mut self, what: &What<'_>, headers: &Headers, out: &mut Vec<u8>) {
        match self {
            Self::Json(encoder) => json(encoder, what, out),
            Self::CloudEvents(events) => events.write(what, headers, out),
            Self::Debezium(debezium) => match what {
                What::Change(change) => debezium.change(change, headers, out),
                What::Truncate(truncate, index) => debezium.truncate(truncate, *index, headers, out),
                What::Message(message) => debezium.message(message, headers, out),
                What::Logged(_) | What::Ddl(_) => json(&debezium.encoder, what, out),
            },
        }
    }

    /// What says that a transaction begins, before its first event: a message of its own.
    pub(super) fn opens(&mut self, lsn: Lsn) -> Option<Mark> {
        match self {
            Self::Debezium(debezium) => debezium.opens(lsn),
            Self::Json(_) | Self::CloudEvents(_) => None,
        }
    }

    /// What says that a transaction has ended.
    pub(super) fn closes(&mut self, commit: &Commit) -> Option<Mark> {
        match self {
            Self::Debezium(debezium) => debezium.closes(commit),
            Self::Json(_) | Self::CloudEvents(_) => None,
        }
    }
}

/// Appends our own form, without the end of the line.
fn json(encoder: &Encoder, what: &What<'_>, out: &mut Vec<u8>) {
    match what {
        What::Change(change) | What::Logged(change) => encoder.change(change, out),
        What::Truncate(truncate, index) => encoder.truncate(truncate, *index, out),
        What::Ddl(ddl) => encoder.ddl(ddl, out),
        What::Message(message) => encoder.logical(message, out),
    }
    if out.last() == Some(&b'\n') {
        out.pop();
    }
}
