//! The event format: one JSON object per event, keys in a fixed order (`docs/event-format.md`).
//!
//! Values are written from the type's text form without going through a number: no digit is ever lost. Numbers are bare, `NaN` and
//! infinities (which JSON lacks) are strings, booleans and NULL are JSON's own, bytea is hex without `\x`, everything else is a string in
//! PostgreSQL's text form. A TOASTed value that did not change is absent.

use std::io::Write as _;

use super::{
    type_name, Change, Ddl, Event, Ids, Lsn, Message, OldRow, Relation, RowChange, Transaction, Truncate,
    Tuple, Value,
};

const BYTEA: u32 = 17;
const BOOL: u32 = 16;

/// The end of a line without ids.
const NO_METADATA: &str = r#""metadata":{"schema_id":null,"table_pgstream_id":"","id_col_pgstream_id":null,"version_col_pgstream_id":""}}"#;

/// Writes events as lines of JSON. Keeps the time of the transaction it is in.
#[derive(Debug, Default)]
pub struct Encoder {
    time: String,
}

impl Encoder {
    /// Appends the line of one event, newline included. Begin, commit and keepalive have none.
    pub fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Begin(transaction) => self.begin(transaction),
            Event::Change(change) => self.change(change, out),
            Event::Truncate(truncate) => {
                (0..truncate.relations.len()).for_each(|index| self.truncate(truncate, index, out));
            }
            Event::Ddl(ddl) => self.ddl(ddl, out),
            Event::Message(message) => self.logical(message, out),
            Event::Commit(_) | Event::Keepalive(_) => {}
        }
    }

    /// Events from here on are of that transaction.
    pub fn begin(&mut self, transaction: &Transaction) {
        self.time = transaction.time.to_string();
    }

    /// Appends the line of one of a truncate's tables.
    pub fn truncate(&self, truncate: &Truncate, index: usize, out: &mut Vec<u8>) {
        let Some(relation) = truncate.relations.get(index) else { return };
        self.head('T', truncate.lsn, relation, out);
        out.extend_from_slice(b"null,\"identity\":null,");
        write_metadata(truncate.ids.get(index).and_then(Option::as_deref), out);
        out.push(b'\n');
    }

    /// Appends the line of a schema change.
    pub fn ddl(&self, ddl: &Ddl, out: &mut Vec<u8>) {
        self.message(ddl.lsn, "pgstream.ddl", &ddl.content().to_string(), out);
    }

    /// Appends the line of a logical message.
    pub fn logical(&self, message: &Message, out: &mut Vec<u8>) {
        self.message(message.lsn, &message.prefix, &String::from_utf8_lossy(&message.content), out);
    }

    /// Appends the line of one row's change.
    pub fn change(&self, change: &Change, out: &mut Vec<u8>) {
        let (action, columns, identity) = match &change.row {
            RowChange::Insert { new } => ('I', Some(new), None),
            RowChange::Update { old, new } => ('U', Some(new), Some((old.as_ref(), Some(new)))),
            RowChange::Delete { old } => ('D', None, Some((Some(old), None))),
        };
        let ids = change.ids.as_deref();
        out.reserve(room(change));
        self.head(action, change.lsn, &change.relation, out);
        write_columns(&change.relation, ids, columns, out);
        out.extend_from_slice(b",\"identity\":");
        write_identity(&change.relation, ids, identity, out);
        out.push(b',');
        write_metadata(ids, out);
        out.push(b'\n');
    }

    /// What all lines have.
    fn begin_line(&self, action: char, lsn: Lsn, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{{\"action\":\"{action}\",\"timestamp\":\"{}\",\"lsn\":\"{lsn}\",", self.time);
    }

    /// Everything up to the value of `columns`.
    fn head(&self, action: char, lsn: Lsn, relation: &Relation, out: &mut Vec<u8>) {
        self.begin_line(action, lsn, out);
        out.extend_from_slice(b"\"schema\":");
        write_string(&relation.schema, out);
        out.extend_from_slice(b",\"table\":");
        write_string(&relation.name, out);
        out.extend_from_slice(b",\"columns\":");
    }

    fn message(&self, lsn: Lsn, prefix: &str, content: &str, out: &mut Vec<u8>) {
        self.begin_line('M', lsn, out);
        out.extend_from_slice(
            b"\"schema\":\"\",\"table\":\"\",\"columns\":null,\"identity\":null,\"prefix\":",
        );
        write_string(prefix, out);
        out.extend_from_slice(b",\"content\":");
        write_string(content, out);
        out.push(b',');
        out.extend_from_slice(NO_METADATA.as_bytes());
        out.push(b'\n');
    }
}

/// About how long the line of a change is: a buffer that grows step by step is copied at each step.
fn room(change: &Change) -> usize {
    const LINE: usize = 320;
    const COLUMN: usize = 48;
    let columns = change.relation.columns.iter();
    let names: usize = columns.map(|column| COLUMN + column.name.len() + column.type_name.len()).sum();
    let values = match &change.row {
        RowChange::Insert { new } | RowChange::Update { old: None, new } => new.size(),
        RowChange::Update { old: Some(old), new } => old.tuple().size() + new.size(),
        RowChange::Delete { old } => old.tuple().size(),
    };
    LINE + names + values
}

fn write_columns(relation: &Relation, ids: Option<&Ids>, row: Option<&Tuple>, out: &mut Vec<u8>) {
    let Some(row) = row else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'[');
    let mut first = true;
    for (index, (column, value)) in relation.columns.iter().zip(row.values()).enumerate() {
        write_column(column_id(ids, index), column, value, &mut first, out);
    }
    out.push(b']');
}

/// The old row as sent; for an update that did not send one, the key columns of the new row, which then are the old ones.
fn write_identity(
    relation: &Relation,
    ids: Option<&Ids>,
    rows: Option<(Option<&OldRow>, Option<&Tuple>)>,
    out: &mut Vec<u8>,
) {
    let Some((old, new)) = rows else {
        out.extend_from_slice(b"null");
        return;
    };
    let (row, keys_only) = match (old, new) {
        (Some(OldRow::Full(row)), _) => (Some(row), false),
        (Some(OldRow::Key(row)), _) => (Some(row), true),
        (None, new) => (new, true),
    };
    out.push(b'[');
    let mut first = true;
    let values = row.into_iter().flat_map(Tuple::values);
    for (index, (column, value)) in relation.columns.iter().zip(values).enumerate() {
        if column.key || !keys_only {
            write_column(column_id(ids, index), column, value, &mut first, out);
        }
    }
    out.push(b']');
}

fn column_id(ids: Option<&Ids>, index: usize) -> &str {
    ids.map_or("", |ids| ids.column(index))
}

/// The end of a line: what the ids of its table are.
fn write_metadata(ids: Option<&Ids>, out: &mut Vec<u8>) {
    let Some(ids) = ids else {
        out.extend_from_slice(NO_METADATA.as_bytes());
        return;
    };
    out.extend_from_slice(b"\"metadata\":{\"schema_id\":");
    match &ids.schema {
        Some(id) => write_string(id, out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"table_pgstream_id\":");
    write_string(&ids.table, out);
    out.extend_from_slice(b",\"id_col_pgstream_id\":");
    if ids.key.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        for (index, column) in ids.key.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            write_string(&column.id, out);
        }
        out.push(b']');
    }
    out.extend_from_slice(b",\"version_col_pgstream_id\":\"\"}}");
}

fn write_column(id: &str, column: &super::Column, value: Value<'_>, first: &mut bool, out: &mut Vec<u8>) {
    if value == Value::Unchanged {
        return;
    }
    if !std::mem::take(first) {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"id\":");
    write_string(id, out);
    out.extend_from_slice(b",\"name\":");
    write_string(&column.name, out);
    out.extend_from_slice(b",\"type\":");
    write_string(&column.type_name, out);
    out.extend_from_slice(b",\"value\":");
    match value {
        Value::Text(text) => write_value(column.type_oid, text, out),
        Value::Null | Value::Unchanged | Value::Binary(_) => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

fn write_value(type_oid: u32, text: &[u8], out: &mut Vec<u8>) {
    match type_oid {
        BOOL => out.extend_from_slice(if text == b"t" { b"true" } else { b"false" }),
        BYTEA => write_string(&String::from_utf8_lossy(text.strip_prefix(b"\\x").unwrap_or(text)), out),
        oid if type_name::is_number(oid) && text.iter().any(u8::is_ascii_digit) => {
            out.extend_from_slice(text)
        }
        _ => match std::str::from_utf8(text) {
            Ok(text) => write_string(text, out),
            Err(_) => write_string(&String::from_utf8_lossy(text), out),
        },
    }
}

/// A JSON string; only what JSON demands is escaped.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(out, text);
    }
}

/// Nothing of it is to be escaped. It looks at all bytes, whatever it finds: that is what lets the compiler look at many at a time.
fn is_plain(text: &[u8]) -> bool {
    !text.iter().fold(false, |found, byte| found | (*byte < b' ') | (*byte == b'"') | (*byte == b'\\'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Column, IdColumn, ReplicaIdentity};

    fn column(name: &str, type_oid: u32, type_name: &str, key: bool) -> Column {
        Column { name: name.into(), type_oid, type_name: type_name.into(), key }
    }

    fn relation() -> Arc<Relation> {
        Arc::new(Relation {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Default,
            columns: vec![
                column("id", 20, "bigint", true),
                column("n", 1700, "numeric", false),
                column("b", 17, "bytea", false),
                column("ok", 16, "boolean", false),
                column("note", 25, "text", false),
            ],
        })
    }

    fn line(row: RowChange) -> String {
        written(Event::Change(Change { lsn: Lsn(0x1_0000_0020), relation: relation(), row, ids: None }))
    }

    fn written(event: Event) -> String {
        let mut encoder = Encoder { time: "2026-11-21 10:03:18+00".into() };
        let mut out = Vec::new();
        encoder.write(&event, &mut out);
        String::from_utf8(out).expect("utf-8")
    }

    #[test]
    fn an_insert_keeps_every_digit() {
        let new = Tuple::from_values([
            Value::Text(b"9007199254740993"),
            Value::Text(b"0.10000000000000000000000001"),
            Value::Text(b"\\xdeadbeef"),
            Value::Text(b"t"),
            Value::Text("a\"<&>\n".as_bytes()),
        ]);
        let expected = concat!(
            r#"{"action":"I","timestamp":"2026-11-21 10:03:18+00","lsn":"1/20","schema":"public","table":"t","columns":["#,
            r#"{"id":"","name":"id","type":"bigint","value":9007199254740993},"#,
            r#"{"id":"","name":"n","type":"numeric","value":0.10000000000000000000000001},"#,
            r#"{"id":"","name":"b","type":"bytea","value":"deadbeef"},"#,
            r#"{"id":"","name":"ok","type":"boolean","value":true},"#,
            r#"{"id":"","name":"note","type":"text","value":"a\"<&>\n"}],"identity":null,"#,
            r#""metadata":{"schema_id":null,"table_pgstream_id":"","id_col_pgstream_id":null,"version_col_pgstream_id":""}}"#,
            "\n",
        );
        assert_eq!(line(RowChange::Insert { new }), expected);
    }

    #[test]
    fn every_character_comes_back() {
        let all: String = (0..0x250).filter_map(char::from_u32).collect();
        for text in
            [all.as_str(), "", "plain", "a quote at the end\"", "\\", "\u{1f}", "\u{20}", "\u{7f}", "é\n"]
        {
            let mut out = Vec::new();
            write_string(text, &mut out);
            assert_eq!(serde_json::from_slice::<String>(&out).expect("JSON"), text);
            assert_eq!(out, serde_json::to_vec(text).expect("JSON"));
        }
    }

    #[test]
    fn an_update_names_its_row_and_leaves_unchanged_values_out() {
        let new = Tuple::from_values([
            Value::Text(b"1"),
            Value::Text(b"NaN"),
            Value::Unchanged,
            Value::Null,
            Value::Unchanged,
        ]);
        let line = line(RowChange::Update { old: None, new });
        assert!(line.contains(r#""identity":[{"id":"","name":"id","type":"bigint","value":1}]"#), "{line}");
        assert!(
            line.contains(r#""value":"NaN"}"#) && !line.contains("note") && line.contains(r#""value":null}"#),
            "{line}"
        );
    }

    /// The last column has no id that is known.
    fn ids(key: &[&str]) -> Option<Arc<Ids>> {
        let key = key.iter().map(|id| IdColumn { id: (*id).into(), index: None }).collect();
        let columns = ["x-1", "x-2", "x-3", "x-4", ""].map(Into::into).into();
        Some(Arc::new(Ids { schema: Some("s".into()), table: "x".into(), key, columns }))
    }

    #[test]
    fn ids_go_with_columns_identity_and_metadata() {
        let row = RowChange::Delete {
            old: OldRow::Full(Tuple::from_values([
                Value::Text(b"7"),
                Value::Unchanged,
                Value::Null,
                Value::Text(b"f"),
                Value::Text(b"n"),
            ])),
        };
        let change = Change { lsn: Lsn(1), relation: relation(), row, ids: ids(&["x-1", "x-4"]) };
        let expected = concat!(
            r#"{"action":"D","timestamp":"2026-11-21 10:03:18+00","lsn":"0/1","schema":"public","table":"t","columns":null,"identity":["#,
            r#"{"id":"x-1","name":"id","type":"bigint","value":7},{"id":"x-3","name":"b","type":"bytea","value":null},"#,
            r#"{"id":"x-4","name":"ok","type":"boolean","value":false},{"id":"","name":"note","type":"text","value":"n"}],"#,
            r#""metadata":{"schema_id":"s","table_pgstream_id":"x","id_col_pgstream_id":["x-1","x-4"],"version_col_pgstream_id":""}}"#,
            "\n",
        );
        assert_eq!(written(Event::Change(change)), expected);
    }

    #[test]
    fn each_table_of_a_truncate_has_its_own() {
        let relations = vec![relation(), relation()];
        let truncate = Truncate {
            lsn: Lsn(1),
            relations,
            restart_identity: false,
            apart: false,
            ids: vec![ids(&[]), None],
        };
        let lines = written(Event::Truncate(truncate));
        let ends: Vec<&str> =
            lines.lines().filter_map(|line| line.split_once("\"metadata\":")).map(|parts| parts.1).collect();
        assert_eq!(
            ends,
            [
                r#"{"schema_id":"s","table_pgstream_id":"x","id_col_pgstream_id":null,"version_col_pgstream_id":""}}"#,
                r#"{"schema_id":null,"table_pgstream_id":"","id_col_pgstream_id":null,"version_col_pgstream_id":""}}"#,
            ]
        );
    }

    #[test]
    fn a_delete_has_no_columns() {
        let key = |id: &'static [u8]| {
            Tuple::from_values([Value::Text(id), Value::Null, Value::Null, Value::Null, Value::Null])
        };
        let line = line(RowChange::Delete { old: OldRow::Key(key(b"7")) });
        assert!(
            line.contains(r#""columns":null,"identity":[{"id":"","name":"id","type":"bigint","value":7}]"#),
            "{line}"
        );
    }
}
