//! Keys of our own: what keeps its order. Sans-I/O.
//!
//! ```text
//! schema         public
//! table          public.t
//! primary_key    public.t:17,4      of a table whose key is known, else public.t
//! ```

use crate::config::plan::PartitionKey;
use crate::event::{Change, Ddl, OldRow, Relation, ReplicaIdentity, RowChange, Tuple, Value};
use crate::pipeline::capture::{is_schema_log, Row};

/// A message's key.
pub(super) struct Key {
    pub(super) bytes: Vec<u8>,
    /// It is that of one row, and of no other.
    pub(super) of_row: bool,
}

impl Key {
    /// The key of a row's message, or of one that concerns the table as a whole.
    pub(super) fn new(by: PartitionKey, relation: &Relation, row: Option<&RowChange>) -> Self {
        if by == PartitionKey::Schema {
            return Self { bytes: relation.schema.as_bytes().to_vec(), of_row: false };
        }
        let mut bytes = relation.to_string().into_bytes();
        let values = row.map(identifying);
        // With the whole row as identity nothing says what of it is the key.
        let has_key = relation.identity != ReplicaIdentity::Full && relation.key_columns().next().is_some();
        let (PartitionKey::PrimaryKey, true, Some(values)) = (by, has_key, values) else {
            return Self { bytes, of_row: false };
        };
        add_values(relation, values, &mut bytes);
        Self { bytes, of_row: true }
    }
}

/// What of a change says which row it is.
fn identifying(row: &RowChange) -> &Tuple {
    match row {
        RowChange::Insert { new } | RowChange::Update { old: None, new } => new,
        RowChange::Update { old: Some(old), .. } | RowChange::Delete { old } => OldRow::tuple(old),
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
pub(super) fn logged_schema(change: &Change) -> Option<String> {
    if !is_schema_log(&change.relation) {
        return None;
    }
    let (RowChange::Insert { new } | RowChange::Update { new, .. }) = &change.row else { return None };
    Row { relation: &change.relation, tuple: new }.text("schema_name").map(str::to_owned)
}

/// The schemas that a command touched, each once, in its order.
pub(super) fn schemas(ddl: &Ddl) -> Vec<&str> {
    let mut schemas: Vec<&str> = Vec::new();
    for object in &ddl.objects {
        let schema = if object.kind == "schema" { &object.identity } else { &object.schema };
        if !schema.is_empty() && !schemas.contains(&schema.as_str()) {
            schemas.push(schema);
        }
    }
    schemas
}
