//! Rows as documents: their id and their source. Sans-I/O.
//!
//! ```text
//! _id      <table id>_17   or, of a key of several columns, <table id>_17-a\-b
//! _source  {"_table":"<table id>","<column id>":value,...}
//! ```
//!
//! A column that is the whole key is left out of the source: it is in the id. Where the id is a digest of the key, because it would be too long or
//! because that is asked for, the column is in the source.
//!
//! Why no two rows have one id: table ids are unique, and in a key of several columns a `-` that belongs to a value is told from one between values by
//! a backslash; numbers and uuids need none, since it is clear where they end.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::field::{Field, Kind, LONGEST_KEYWORD};
use super::pending::{Op, What};
use crate::event::json::write_string;
use crate::event::{Column, Ids, OldRow, Relation, ReplicaIdentity, RowChange, Tuple, Value};

/// The engines take no longer id, in bytes.
const LONGEST_ID: usize = 512;

/// How rows of one table become documents.
#[derive(Debug)]
pub(super) struct Shape {
    /// Where they go.
    pub(super) index: Arc<str>,
    table: Box<str>,
    /// By column of the relation; `None` where its id is not known.
    columns: Vec<Option<Property>>,
    key: Vec<Part>,
    hash: bool,
}

/// A column in a document.
#[derive(Debug)]
struct Property {
    name: Box<str>,
    field: Field,
    /// It is the whole key.
    is_key: bool,
}

/// A column of the key.
#[derive(Debug)]
struct Part {
    index: usize,
    /// Its values need no escapes: it is the whole key, or a `-` in them belongs to a number or a uuid.
    plain: bool,
}

/// A document's id.
struct Id {
    text: String,
    hashed: bool,
}

impl Shape {
    /// Of a table and its ids; `None` when nothing identifies its rows.
    pub(super) fn new(relation: &Relation, ids: &Ids, index: Arc<str>, hash: bool) -> Option<Self> {
        let key: Vec<usize> = match relation.identity {
            // Of an old row the stream has only these.
            ReplicaIdentity::Index => relation.key_columns().map(|(index, _)| index).collect(),
            ReplicaIdentity::Default | ReplicaIdentity::Nothing | ReplicaIdentity::Full => {
                ids.key.iter().map(|column| column.index).collect::<Option<_>>()?
            }
        };
        let first = *key.first()?;
        let property = |(at, column): (usize, &Column)| {
            let name = ids.columns.get(at).filter(|id| !id.is_empty())?.clone();
            Some(Property { name, field: Field::of(column), is_key: key.len() == 1 && at == first })
        };
        let columns: Vec<_> = relation.columns.iter().enumerate().map(property).collect();
        let is_plain = |column: &Column| {
            let number = matches!(Field::of(column).kind, Kind::Long | Kind::Double | Kind::Numeric);
            number || &*column.type_name == "uuid"
        };
        let part = |index: &usize| {
            let plain = key.len() == 1 || relation.columns.get(*index).is_some_and(is_plain);
            Part { index: *index, plain }
        };
        let key = key.iter().map(part).collect();
        Some(Self { index, table: ids.table.clone(), columns, key, hash })
    }

    /// Whether documents have the ids they had with the other.
    pub(super) fn has_key_of(&self, other: &Self) -> bool {
        self.key_names().eq(other.key_names())
    }

    fn key_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.key.iter().map(|part| Some(&*self.columns.get(part.index)?.as_ref()?.name))
    }

    /// The properties that the index must have.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, Field)> {
        self.columns.iter().flatten().map(|property| (&*property.name, property.field))
    }

    /// Fields of a row whose texts have characters of several bytes, and may so have too many bytes for a keyword.
    pub(super) fn too_long(&self, row: &RowChange) -> Vec<&str> {
        let (RowChange::Insert { new } | RowChange::Update { new, .. }) = row else { return Vec::new() };
        if new.size() <= LONGEST_KEYWORD {
            return Vec::new();
        }
        let is_long = |value: &Value<'_>| matches!(value, Value::Text(text) if text.len() > LONGEST_KEYWORD && !text.is_ascii());
        let columns = self.columns.iter().zip(new.values()).filter(|(_, value)| is_long(value));
        let keyword = |property: &Property| property.field.kind == Kind::Keyword;
        columns
            .filter_map(|(property, _)| property.as_ref().filter(|one| keyword(one)))
            .map(|one| &*one.name)
            .collect()
    }

    /// What a change does to documents; `None` when a row's identity is not in it.
    pub(super) fn operations(&self, row: &RowChange, version: u64) -> Option<(Op, Option<Op>)> {
        match row {
            RowChange::Insert { new } => Some((self.put(new, None, None, version)?, None)),
            RowChange::Update { old, new } => {
                let before = match old {
                    Some(old) => Some(self.id(old.tuple())?),
                    None => None,
                };
                let full = match old {
                    Some(OldRow::Full(row)) => Some(row),
                    Some(OldRow::Key(_)) | None => None,
                };
                let put = self.put(new, full, before.as_ref(), version)?;
                let moved = before.filter(|before| before.text != put.id);
                Some((put, moved.map(|id| self.remove(id, version))))
            }
            RowChange::Delete { old } => Some((self.remove(self.id(old.tuple())?, version), None)),
        }
    }

    fn remove(&self, id: Id, version: u64) -> Op {
        Op { index: Arc::clone(&self.index), id: id.text, version, what: What::Remove }
    }

    /// The document of a row. What did not change comes from the old row, where that is known, or else from the document `before`.
    fn put(&self, row: &Tuple, old: Option<&Tuple>, before: Option<&Id>, version: u64) -> Option<Op> {
        let id = self.id(row)?;
        let (mut source, mut missing) =
            (Vec::with_capacity(row.size() + 48 * self.columns.len()), Vec::new());
        source.extend_from_slice(b"{\"_table\":");
        write_string(&self.table, &mut source);
        let mut olds = old.map(Tuple::values);
        for (property, value) in self.columns.iter().zip(row.values()) {
            let old = olds.as_mut().and_then(Iterator::next);
            let Some(property) = property else { continue };
            if property.is_key && !id.hashed {
                continue;
            }
            let value = if value == Value::Unchanged { old.unwrap_or(value) } else { value };
            if value == Value::Unchanged {
                missing.push(property.name.clone());
                continue;
            }
            source.push(b',');
            write_string(&property.name, &mut source);
            source.push(b':');
            match value {
                Value::Text(text) => property.field.write(&String::from_utf8_lossy(text), &mut source),
                Value::Null | Value::Unchanged | Value::Binary(_) => source.extend_from_slice(b"null"),
            }
        }
        let from = before.filter(|_| !missing.is_empty()).map(|before| before.text.clone());
        let what = What::Put { source, missing, from };
        Some(Op { index: Arc::clone(&self.index), id: id.text, version, what })
    }

    fn id(&self, row: &Tuple) -> Option<Id> {
        let mut key = String::new();
        for (at, part) in self.key.iter().enumerate() {
            let Some(Value::Text(text)) = row.get(part.index) else { return None };
            if at > 0 {
                key.push('-');
            }
            let text = String::from_utf8_lossy(text);
            if part.plain {
                key.push_str(&text);
                continue;
            }
            for letter in text.chars() {
                if matches!(letter, '-' | '\\') {
                    key.push('\\');
                }
                key.push(letter);
            }
        }
        let hashed = self.hash || self.table.len() + 1 + key.len() > LONGEST_ID;
        if hashed {
            key = hex(&Sha256::digest(key.as_bytes()));
        }
        Some(Id { text: format!("{}_{key}", self.table), hashed })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
