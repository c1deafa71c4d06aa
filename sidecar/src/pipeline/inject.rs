//! Stable ids for changes: which table and columns a row is of, whatever they are called by now.
//!
//! ```text
//! start:  documents as of the start, newest first  --+
//! stream: insert pgstream.ddl_log    (its tables)  --+--> by table oid: descriptions, the most trusted first
//!         insert pgstream.schema_log (document)    --+    by schema: id of its newest row
//!                                                                     |
//! Change, Truncate of a table  ------------ the first description that fits its columns ----> with ids
//! ```
//!
//! Why the ids are those of the row's position: what is learned here is learned in the order of the log, and a DDL command writes its rows
//! before any row that needs them. No stage asks the source, whose catalogue may be further.
//!
//! Why not simply the newest document: two transactions that change a schema at the same time do not see each other, so the document that
//! is committed last may miss, or have as it was, what the other has changed. But a table is changed by one of them at a time: what
//! `ddl_log` says of the tables a command touched is true, and is believed first. A document adds what is not known, and
//! descriptions to fall back to. A document that comes without a command (`pgstream.refresh_schema`) mends what went unlogged: it is believed
//! first. And a description counts only when its columns are those of the stream, which always are the true ones. Of two with the same
//! names the later one is known by its numbers: columns are only ever added with larger ones.
//!
//! What gets no ids: rows of `create table as`, which stand before the command that made their table, and tables that
//! nothing was logged of. They go on without, with one warning a table.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::capture::{is_ours, Row};
use crate::error::{Error, Result};
use crate::event::{Change, Event, IdColumn, Ids, Relation, RowChange};

/// Descriptions kept of a table.
const MOST: usize = 4;

/// A version of a schema: a row of `pgstream.schema_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: String,
    /// The schema, unquoted.
    pub schema: String,
    /// All tables of it, as JSON text.
    pub text: String,
    /// It is known to stand before the start.
    pub past: bool,
}

/// The stage.
#[derive(Debug, Default)]
pub struct Injector {
    schemas: HashMap<String, Arc<str>>,
    tables: HashMap<u32, Vec<Table>>,
    /// Ids as they were made since something was learned, and for which description of the table by the stream.
    made: HashMap<u32, (Arc<Relation>, Option<Arc<Ids>>)>,
    warned: HashSet<u32>,
    /// The transaction holds a command.
    command: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Tables {
    #[serde(default)]
    tables: Option<Vec<Table>>,
}

/// A table, as a command or a document describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Table {
    #[serde(deserialize_with = "oid")]
    oid: u32,
    pgstream_id: Box<str>,
    #[serde(default)]
    columns: Vec<Column>,
    #[serde(default)]
    primary_key_columns: Vec<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Column {
    pgstream_id: Box<str>,
    name: Box<str>,
    #[serde(default)]
    nullable: bool,
    #[serde(default)]
    unique: bool,
    #[serde(default)]
    generated: bool,
}

impl Column {
    /// Its number in the table: the end of its id.
    fn number(&self) -> u64 {
        self.pgstream_id.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
    }
}

#[derive(Debug, Deserialize)]
struct Object {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(deserialize_with = "oid")]
    oid: u32,
    #[serde(default)]
    dropped: bool,
}

/// An oid is a string in JSON that PostgreSQL makes.
pub(crate) fn oid<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl Injector {
    /// Begins with the documents as of the start, the newest of each schema first; older and newer ones of it behind.
    ///
    /// # Errors
    /// Fatal when one cannot be understood.
    pub fn new(documents: &[Document]) -> Result<Self> {
        let mut injector = Self::default();
        for document in documents {
            if !injector.schemas.contains_key(&document.schema) {
                injector.schemas.insert(document.schema.clone(), document.id.as_str().into());
            }
            for table in read::<Tables>(&document.text, "schema_log.schema")?.tables.unwrap_or_default() {
                injector.also(table, document.past);
            }
        }
        Ok(injector)
    }

    /// Learns what an event tells of tables. To be given every event of the stream, before our own tables are taken out of it.
    ///
    /// # Errors
    /// Fatal when a row of ours cannot be understood.
    pub fn learn(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Begin(_) => self.command = false,
            Event::Change(Change { relation, row: RowChange::Insert { new }, .. })
                if &*relation.schema == "pgstream" =>
            {
                let row = Row { relation, tuple: new };
                match &*relation.name {
                    "ddl_log" => self.command(row)?,
                    "schema_log" => self.document(row)?,
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives an event its ids.
    pub fn mark(&mut self, event: &mut Event) {
        match event {
            Event::Change(change) => change.ids = self.ids(&change.relation),
            Event::Truncate(truncate) => {
                truncate.ids = truncate.relations.iter().map(|relation| self.ids(relation)).collect();
            }
            Event::Begin(_) | Event::Ddl(_) | Event::Message(_) | Event::Commit(_) | Event::Keepalive(_) => {}
        }
    }

    /// What a command says of the tables it touched is true whatever was said before.
    fn command(&mut self, row: Row<'_>) -> Result<()> {
        self.made.clear();
        self.command = true;
        if let Some(text) = row.text("tables") {
            for table in read::<Option<Vec<Table>>>(text, "ddl_log.tables")?.unwrap_or_default() {
                self.tables.insert(table.oid, vec![table]);
            }
        }
        if let Some(text) = row.text("objects") {
            for object in read::<Option<Vec<Object>>>(text, "ddl_log.objects")?.unwrap_or_default() {
                if object.dropped && object.kind == "table" {
                    self.tables.remove(&object.oid);
                    self.warned.remove(&object.oid);
                }
            }
        }
        Ok(())
    }

    fn document(&mut self, row: Row<'_>) -> Result<()> {
        self.made.clear();
        let (Some(id), Some(schema)) = (row.text("id"), row.text("schema_name")) else { return Ok(()) };
        self.schemas.insert(schema.to_owned(), id.into());
        let tables = read::<Tables>(row.text("schema").unwrap_or("{}"), "schema_log.schema")?;
        for table in tables.tables.unwrap_or_default() {
            if self.command {
                self.also(table, true);
            } else {
                let known = self.tables.entry(table.oid).or_default();
                known.retain(|other| *other != table);
                let place = known.iter().take_while(|other| other.is_later_than(&table)).count();
                known.insert(place, table);
                known.truncate(MOST);
            }
        }
        Ok(())
    }

    /// A description behind those that are there, except earlier ones. When there are too many, the last of them goes.
    fn also(&mut self, table: Table, past: bool) {
        let known = self.tables.entry(table.oid).or_default();
        if !known.contains(&table) {
            known.truncate(MOST - 1);
            let earlier = known.iter().position(|other| past && table.is_later_than(other));
            known.insert(earlier.unwrap_or(known.len()), table);
        }
    }

    fn ids(&mut self, relation: &Arc<Relation>) -> Option<Arc<Ids>> {
        if let Some((made_for, ids)) = self.made.get(&relation.oid) {
            if Arc::ptr_eq(made_for, relation) {
                return ids.clone();
            }
        }
        if is_ours(&relation.schema) {
            return None;
        }
        let ids = self.make(relation).map(Arc::new);
        let complete = ids.as_ref().is_some_and(|ids| ids.columns.iter().all(|id| !id.is_empty()));
        if !complete && self.warned.insert(relation.oid) {
            tracing::warn!(
                "{relation}: no ids are known {}; its events go on without (if it lasts: select pgstream.refresh_schema('{}'))",
                if ids.is_some() { "of some columns" } else { "of this table" },
                relation.schema
            );
        }
        self.made.insert(relation.oid, (Arc::clone(relation), ids.clone()));
        ids
    }

    fn make(&self, relation: &Relation) -> Option<Ids> {
        let known = self.tables.get(&relation.oid)?;
        let table = known.iter().find(|table| table.fits(relation)).or(known.first())?;
        let key = table
            .key()
            .into_iter()
            .map(|column| IdColumn { id: column.pgstream_id.clone(), index: relation.column(&column.name) });
        let id = |name: &str| table.column(name).map(|column| column.pgstream_id.clone()).unwrap_or_default();
        Some(Ids {
            schema: self.schemas.get(&*relation.schema).cloned(),
            table: table.pgstream_id.clone(),
            key: key.collect(),
            columns: relation.columns.iter().map(|column| id(&column.name)).collect(),
        })
    }
}

impl Table {
    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| &*column.name == name)
    }

    /// The columns that rows of the stream have.
    fn stored(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// Both have their columns in attribute order.
    fn fits(&self, relation: &Relation) -> bool {
        self.stored().map(|column| &column.name).eq(relation.columns.iter().map(|column| &column.name))
    }

    /// Of the same names, with columns that were added after those: what is left of the older ones only moves up.
    fn is_later_than(&self, other: &Self) -> bool {
        self.stored().map(|column| &column.name).eq(other.stored().map(|column| &column.name))
            && self.stored().map(Column::number).gt(other.stored().map(Column::number))
    }

    /// What identifies a row: see [`Ids::key`]. Of several unique columns the first by id, as a text.
    fn key(&self) -> Vec<&Column> {
        if !self.primary_key_columns.is_empty() {
            return self.primary_key_columns.iter().filter_map(|name| self.column(name)).collect();
        }
        let unique = self.columns.iter().filter(|column| column.unique && !column.nullable);
        unique.min_by_key(|column| &column.pgstream_id).into_iter().collect()
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Error::fatal(format!("pgstream.{what} is not what this version writes: {error}"))
            .hint("upgrade the SQL side: pgstream init")
    })
}

#[cfg(test)]
#[path = "inject_tests.rs"]
mod tests;
