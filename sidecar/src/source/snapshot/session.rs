//! A session that reads ranges of tables under an exported snapshot.

use super::export::READ_SETTINGS;
use super::tables::Table;
use super::work::Trouble;
use crate::error::{Error, Kind, Result};
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::wire::{out_of_order, Purpose, Wire};

/// A snapshot as workers take it over.
#[derive(Debug, Clone)]
pub struct Handed {
    /// The name it was exported under.
    pub id: String,
    /// What it sees, as text.
    pub view: String,
}

/// A session at the source.
pub struct Session {
    /// The session itself, for COPY.
    pub wire: Wire,
}

impl Session {
    /// Connects, with nothing that cuts a read short.
    pub async fn open(url: &ConnInfo) -> Result<Self> {
        let mut wire = Wire::connect(url, Purpose::Sql).await?;
        wire.simple_query(READ_SETTINGS).await?;
        Ok(Self { wire })
    }

    /// Begins a transaction within the snapshot, and locks the table as the snapshot knew it. Looking comes after the lock: what is seen then
    /// stays until the transaction ends.
    pub async fn enter(&mut self, snapshot: &Handed, table: &Table) -> std::result::Result<(), Trouble> {
        let begin = format!(
            "begin isolation level repeatable read read only; set transaction snapshot '{}'",
            snapshot.id
        );
        self.wire.simple_query(&begin).await.map_err(|error| match error.kind() {
            Kind::Transient => Trouble::Connection(error.context("source")),
            _ => Trouble::Snapshot(error.context("source")),
        })?;
        let same = self.look(snapshot, table).await;
        if !matches!(same, Ok(true) | Err(Trouble::Connection(_))) {
            self.wire.simple_query("rollback").await.map_err(trouble)?;
        }
        match same {
            Ok(true) => Ok(()),
            Ok(false) => Err(Trouble::Changed),
            Err(trouble) => Err(trouble),
        }
    }

    /// Whether the table still is what the snapshot knew.
    async fn look(&mut self, snapshot: &Handed, table: &Table) -> std::result::Result<bool, Trouble> {
        // A description of columns without rows comes from the catalogue as it is now, and so does the number of the file; an ordinary
        // query of the catalogue would show what the snapshot sees.
        let look = format!(
            "select {} from only {} limit 0; \
             select pg_catalog.pg_current_snapshot(), pg_catalog.pg_relation_filenode('{}'::pg_catalog.regclass)",
            table.columns(),
            table.name(),
            table.relation.oid
        );
        let answers = self.wire.answers(&look).await.map_err(trouble)?;
        let [columns, facts] = answers.as_slice() else { return Err(Trouble::Table(out_of_order())) };
        let [Some(now), file] = facts.rows.first().map_or(&[][..], Vec::as_slice) else {
            return Err(Trouble::Table(out_of_order()));
        };
        if *now != snapshot.view {
            let text = format!("a worker sees {now}, not the snapshot {}", snapshot.view);
            return Err(Trouble::Snapshot(Error::transient(text)));
        }
        let expected = table.numbers.iter().zip(&table.types);
        let same = columns.fields.len() == table.numbers.len()
            && columns.fields.iter().zip(expected).all(|(field, (number, declared))| {
                (field.table, field.number, field.type_oid) == (table.relation.oid, *number, *declared)
            });
        Ok(same && file.as_deref() == Some(table.file.to_string().as_str()))
    }
}

/// What an error of the source means for a range.
pub fn trouble(error: Error) -> Trouble {
    match (error.kind(), error.code()) {
        (Kind::Transient, _) => Trouble::Connection(error.context("source")),
        // undefined table, column, schema: dropped or renamed
        (_, Some("42P01" | "42703" | "3F000")) => Trouble::Changed,
        _ => Trouble::Table(error.context("source")),
    }
}
