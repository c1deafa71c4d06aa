//! Ranges as events: what sinks get that take events, in the same form as the stream's.
//!
//! Rows are read in COPY's text format under the session settings of the stream, so a value has the same text in a copy and in a change.
//! Each piece is a transaction of inserts of its own, `0/0` being the position of a row that no log record brought.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::frontend;

use super::export::Export;
use super::progress::Progress;
use super::ranges::Range;
use super::session::{trouble, Handed, Session};
use super::tables::Table;
use super::work::{Copier, Trouble};
use crate::error::{Error, Kind, Result};
use crate::event::{Change, Commit, Event, Lsn, Relation, RowChange, Timestamp, Transaction, Tuple, Value};
use crate::pipeline::channel::Sender;
use crate::pipeline::Run;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::relay::Passed;
use crate::postgres::wire::{out_of_order, server_message};

/// Events of a piece are sent on at this size.
const PIECE_BYTES: usize = 256 << 10;

/// A worker that turns ranges into events.
pub struct Reader {
    source: ConnInfo,
    snapshot: Handed,
    end: Lsn,
    out: Sender<Run>,
    progress: Arc<Progress>,
    session: Option<Session>,
}

impl Reader {
    /// Reads under that snapshot; runs of events go `out`.
    pub fn new(source: &ConnInfo, export: &Export, out: Sender<Run>, progress: Arc<Progress>) -> Self {
        let (snapshot, end) = (export.handed(), export.at);
        Self { source: source.clone(), snapshot, end, out, progress, session: None }
    }

    /// Reads a range.
    async fn read(&mut self, table: &Table, range: Range) -> std::result::Result<Passed, Trouble> {
        let Some(session) = &mut self.session else { return Err(Trouble::Table(out_of_order())) };
        let wire = &mut session.wire;
        let relation = &table.relation;
        let sent = frontend::query(&table.copy_out(range, "text", None), &mut wire.writer.buffer);
        sent.map_err(|error| Trouble::Table(Error::fatal(error.to_string()).because(error)))?;
        wire.writer.flush().await.map_err(trouble)?;
        let (mut passed, mut piece, mut failed) = (Passed { rows: 0, bytes: 0 }, Piece::default(), None);
        loop {
            let frame = wire.reader.next().await.map_err(trouble)?;
            match frame.tag {
                b'd' => {
                    passed.rows += 1;
                    passed.bytes += frame.body.len() as u64;
                    self.progress.passed(table, frame.body.len() as u64);
                    let row = row(&frame.body, relation.columns.len()).map_err(Trouble::Table)?;
                    piece.push(relation, row);
                    if piece.bytes >= PIECE_BYTES {
                        piece.send(self.end, &self.out).await.map_err(Trouble::Snapshot)?;
                    }
                }
                b'E' => failed = Some(server_message(&frame)),
                b'Z' => break,
                _ => {}
            }
        }
        if let Some(error) = failed {
            return Err(trouble(error));
        }
        piece.send(self.end, &self.out).await.map_err(Trouble::Snapshot)?;
        Ok(passed)
    }
}

impl Copier for Reader {
    async fn copy(&mut self, table: &Table, range: Range) -> std::result::Result<Passed, Trouble> {
        if self.session.is_none() {
            self.session = Some(Session::open(&self.source).await.map_err(trouble)?);
        }
        let Some(session) = &mut self.session else { return Err(Trouble::Table(out_of_order())) };
        session.enter(&self.snapshot, table).await?;
        let passed = self.read(table, range).await;
        let lost = matches!(passed, Err(Trouble::Connection(_)));
        if let Some(session) = self.session.as_mut().filter(|_| !lost) {
            session.wire.simple_query("rollback").await.map_err(trouble)?;
        }
        // What was sent on cannot be taken back: the range is not read a second time.
        match passed {
            Err(Trouble::Connection(error)) => Err(Trouble::Table(error.into_kind(Kind::Fatal))),
            passed => passed,
        }
    }

    async fn complete(&mut self, _table: &Table) -> Result<()> {
        Ok(())
    }

    fn disconnect(&mut self) {
        self.session = None;
    }
}

/// Rows that go on together.
#[derive(Default)]
struct Piece {
    rows: Vec<(Arc<Relation>, Tuple)>,
    bytes: usize,
}

impl Piece {
    fn push(&mut self, relation: &Arc<Relation>, row: Tuple) {
        self.bytes += row.size();
        self.rows.push((Arc::clone(relation), row));
    }

    /// As one transaction; nothing when there are no rows.
    async fn send(&mut self, end: Lsn, out: &Sender<Run>) -> Result<()> {
        let (rows, bytes) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.bytes));
        if rows.is_empty() {
            return Ok(());
        }
        out.send(Run { events: transaction(rows, end), ..Run::default() }, bytes)
            .await
            .map_err(|_| Error::stopped())
    }
}

/// Rows as a transaction of inserts.
pub fn transaction(rows: Vec<(Arc<Relation>, Tuple)>, end: Lsn) -> Vec<Event> {
    let time = Timestamp::now();
    let begin = Event::Begin(Transaction { xid: 0, commit_lsn: end, time });
    let insert = |(relation, new)| {
        Event::Change(Change { lsn: Lsn::ZERO, relation, row: RowChange::Insert { new }, ids: None })
    };
    let commit = Event::Commit(Commit { end, time });
    std::iter::once(begin).chain(rows.into_iter().map(insert)).chain(std::iter::once(commit)).collect()
}

/// A line of COPY's text format as a row of that many values.
///
/// # Errors
/// Fatal when it has another number of them.
fn row(line: &Bytes, columns: usize) -> Result<Tuple> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if columns == 0 {
        return Ok(Tuple::from_values([]));
    }
    let (mut plain, mut ends) = (BytesMut::with_capacity(line.len()), Vec::with_capacity(columns));
    for field in line.split(|byte| *byte == b'\t') {
        if field == b"\\N" {
            ends.push(None);
            continue;
        }
        unescape(field, &mut plain);
        ends.push(Some(plain.len()));
    }
    if ends.len() != columns {
        return Err(Error::fatal("a row of a copy has another number of columns than its table"));
    }
    let mut start = 0;
    Ok(Tuple::from_values(ends.into_iter().map(|end| match end {
        None => Value::Null,
        Some(end) => Value::Text(&plain[std::mem::replace(&mut start, end)..end]),
    })))
}

/// Undoes COPY's escapes.
fn unescape(field: &[u8], out: &mut BytesMut) {
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (escaped, after) = match rest[at + 1..].split_first() {
            Some((escaped, after)) => (*escaped, after),
            None => (b'\\', &rest[rest.len()..]),
        };
        out.extend_from_slice(&[match escaped {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => other,
        }]);
        rest = after;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(line: &[u8], columns: usize) -> Vec<Option<Vec<u8>>> {
        let row = row(&Bytes::copy_from_slice(line), columns).expect("a row");
        let value = |value| match value {
            Value::Text(text) => Some(text.to_vec()),
            Value::Null | Value::Unchanged | Value::Binary(_) => None,
        };
        row.values().map(value).collect()
    }

    #[test]
    fn lines_of_a_copy() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(values(b"1\t\\N\t\n", 3), [text("1"), None, text("")]);
        assert_eq!(values(b"a\\tb\\\\N\\n\t\\\\x00\n", 2), [text("a\tb\\N\n"), text("\\x00")]);
        assert_eq!(values(b"\n", 0), []);
        assert!(row(&Bytes::from_static(b"1\t2\n"), 3).is_err());
    }

    proptest! {
        #[test]
        fn every_text_survives(texts in proptest::collection::vec(".*", 1..5)) {
            let escape = |text: &String| {
                let mut out = String::new();
                for c in text.chars() {
                    match c {
                        '\\' => out.push_str("\\\\"),
                        '\n' => out.push_str("\\n"),
                        '\r' => out.push_str("\\r"),
                        '\t' => out.push_str("\\t"),
                        '\u{8}' => out.push_str("\\b"),
                        '\u{c}' => out.push_str("\\f"),
                        '\u{b}' => out.push_str("\\v"),
                        c => out.push(c),
                    }
                }
                out
            };
            let line = texts.iter().map(escape).collect::<Vec<_>>().join("\t") + "\n";
            let back = values(line.as_bytes(), texts.len());
            prop_assert_eq!(back, texts.into_iter().map(|text| Some(text.into_bytes())).collect::<Vec<_>>());
        }
    }
}
