//! Which transaction an event is of, and how far that is: Debezium's `provide.transaction.metadata`. Sans-I/O.

use std::io::Write;

use super::number::string;
use crate::event::{Lsn, Relation, Transaction};

/// A message about a transaction itself.
pub(in super::super::super) struct Mark {
    pub(in super::super::super) key: Vec<u8>,
    pub(in super::super::super) value: Vec<u8>,
}

/// How far the transaction in hand is.
#[derive(Default)]
pub(super) struct Progress {
    open: bool,
    events: u64,
    /// Events of each table, in the order of their first.
    tables: Vec<(u32, String, u64)>,
}

impl Progress {
    /// Says that the transaction begins, once.
    pub(super) fn open(&mut self, at: &Transaction, lsn: Lsn) -> Option<Mark> {
        if std::mem::replace(&mut self.open, true) {
            return None;
        }
        (self.events, self.tables) = (0, Vec::new());
        Some(mark(at, "BEGIN", lsn, "\"event_count\":null,\"data_collections\":null"))
    }

    /// Says that it has ended, if its beginning was said. `end`: where its commit record ends.
    pub(super) fn close(&mut self, at: &Transaction, end: Lsn) -> Option<Mark> {
        if !std::mem::take(&mut self.open) {
            return None;
        }
        let tables = self.tables.iter().map(|(_, name, events)| {
            let mut table = b"{\"data_collection\":".to_vec();
            string(name, &mut table);
            // Writing to a Vec cannot fail, here and below.
            let _ = write!(table, ",\"event_count\":{events}}}");
            String::from_utf8_lossy(&table).into_owned()
        });
        let tables: Vec<String> = tables.collect();
        let counts = format!("\"event_count\":{},\"data_collections\":[{}]", self.events, tables.join(","));
        Some(mark(at, "END", end, &counts))
    }

    /// Appends what the next event says of its transaction.
    pub(super) fn event(
        &mut self,
        at: &Transaction,
        lsn: Lsn,
        relation: Option<&Relation>,
        out: &mut Vec<u8>,
    ) {
        self.events += 1;
        let oid = relation.map_or(0, |relation| relation.oid);
        let index = self.tables.iter().position(|(known, ..)| *known == oid).unwrap_or_else(|| {
            let name = relation.map_or_else(|| "message".to_owned(), ToString::to_string);
            self.tables.push((oid, name, 0));
            self.tables.len() - 1
        });
        self.tables[index].2 += 1;
        let (total, order) = (self.events, self.tables[index].2);
        let _ = write!(
            out,
            "{{\"id\":\"{}:{}\",\"total_order\":{total},\"data_collection_order\":{order}}}",
            at.xid, lsn.0
        );
    }
}

fn mark(at: &Transaction, status: &str, lsn: Lsn, counts: &str) -> Mark {
    let id = format!("{}:{}", at.xid, lsn.0);
    let millis = at.time.unix_micros().div_euclid(1000);
    Mark {
        key: format!("{{\"id\":\"{id}\"}}").into_bytes(),
        value: format!("{{\"status\":\"{status}\",\"id\":\"{id}\",{counts},\"ts_ms\":{millis}}}")
            .into_bytes(),
    }
}
