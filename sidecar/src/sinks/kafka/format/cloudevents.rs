//! Our event as a CloudEvent 1.0, in the structured mode of its Kafka binding: the value is envelope and event in one.
//!
//! `id` is unique within `source`, and the same when an event is sent again: it is the event's name, commit position and ordinal. Rows of a snapshot
//! have no such name: theirs counts within one run, and a row that is copied again has another.

use crate::event::json::Encoder;
use crate::event::{RowChange, Timestamp, Transaction};
use crate::percent::encode;

use super::super::message::Headers;
use super::{json, What};

/// What the value is, for the header that the binding asks for.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";

/// Writes CloudEvents.
pub(in super::super) struct CloudEvents {
    encoder: Encoder,
    /// Everything up to the value of `id`.
    head: String,
    /// When the transaction in hand committed.
    time: String,
    /// Tells the rows of this run's snapshots from those of others.
    run: String,
    copied: u64,
}

impl CloudEvents {
    /// `source`: the system whose log it is, and its database.
    pub(super) fn new(source: &str) -> Self {
        let source = source.split('/').fold("/postgresql".to_owned(), |uri, part| uri + "/" + &encode(part));
        Self {
            encoder: Encoder::default(),
            head: format!("{{\"specversion\":\"1.0\",\"source\":\"{source}\",\"id\":\""),
            time: String::new(),
            run: format!("{:016x}", fastrand::u64(..)),
            copied: 0,
        }
    }

    pub(super) fn begin(&mut self, transaction: &Transaction) {
        self.encoder.begin(transaction);
        self.time = rfc3339(transaction.time);
    }

    /// Appends an event.
    pub(super) fn write(&mut self, what: &What<'_>, headers: &Headers, out: &mut Vec<u8>) {
        let id = match headers.ordinal {
            Some(ordinal) => format!("{}-{ordinal}", headers.commit_lsn),
            None => {
                self.copied += 1;
                format!("snapshot-{}-{}", self.run, self.copied)
            }
        };
        out.extend_from_slice(self.head.as_bytes());
        let (kind, time) = (kind(what), &self.time);
        out.extend_from_slice(format!("{id}\",\"type\":\"{kind}\",\"time\":\"{time}\",").as_bytes());
        if !headers.table.is_empty() {
            out.extend_from_slice(b"\"subject\":");
            // Writing to a Vec cannot fail.
            let _ = serde_json::to_writer(&mut *out, &headers.table);
            out.push(b',');
        }
        out.extend_from_slice(b"\"datacontenttype\":\"application/json\",\"data\":");
        json(&self.encoder, what, out);
        out.push(b'}');
    }
}

fn kind(what: &What<'_>) -> &'static str {
    match what {
        What::Change(change) | What::Logged(change) => match change.row {
            RowChange::Insert { .. } => "org.pgstream.row.insert",
            RowChange::Update { .. } => "org.pgstream.row.update",
            RowChange::Delete { .. } => "org.pgstream.row.delete",
        },
        What::Truncate(..) => "org.pgstream.table.truncate",
        What::Ddl(_) => "org.pgstream.schema.change",
        What::Message(_) => "org.pgstream.message",
    }
}

/// `2026-11-21T10:03:18.424456Z`
fn rfc3339(time: Timestamp) -> String {
    let text = time.to_string().replace(' ', "T");
    text.strip_suffix("+00").map(|text| format!("{text}Z")).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_uri() {
        let head = CloudEvents::new("7/my app").head;
        assert!(head.contains(r#""source":"/postgresql/7/my%20app","#), "{head}");
    }

    #[test]
    fn times_are_those_of_the_internet() {
        assert_eq!(rfc3339(Timestamp(848_570_598_424_450)), "2026-11-21T10:03:18.42445Z");
    }
}
