//! The schema of what is copied, by `pg_dump` and `pg_restore`.

/// Which objects the schema is made of.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Everything but our own.
    pub whole: bool,
    /// Schemas of which everything is wanted.
    pub schemas: Vec<String>,
    /// Tables (`pg_class.oid` at the source) that are wanted: those of `schemas` that are not excluded, and single ones.
    pub tables: Vec<u32>,
    /// Tables that must not be made, and what needs them neither.
    pub without: Vec<u32>,
}

use tokio_postgres::Client;

use crate::config::snapshot::DumpOptions;
use crate::error::{Error, Result};
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::wire::Wire;

/// A dumped schema.
pub struct Schema {
    /// Before the rows.
    pub before: Vec<Entry>,
    /// After the rows.
    pub after: Vec<Entry>,
    /// What was left out and why.
    pub left_out: Vec<String>,
}

/// One object.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number in the archive.
    pub id: u32,
    /// TABLE, INDEX, ...
    pub kind: String,
    /// For people.
    pub name: String,
    /// The statements.
    pub sql: String,
    /// Entries it needs.
    pub needs: Vec<u32>,
    /// Tables it locks.
    pub tables: Vec<u32>,
    /// The lock can be shared.
    pub shared: bool,
}

/// Dumps.
pub async fn dump(
    _url: &ConnInfo,
    _client: &Client,
    _snapshot: &str,
    _selection: &Selection,
    _options: &DumpOptions,
) -> Result<Schema> {
    Err(Error::fatal("no dump yet"))
}

/// Restores.
pub async fn apply_before(_wire: &mut Wire, _schema: &Schema, _options: &DumpOptions) -> Result<()> {
    Ok(())
}
