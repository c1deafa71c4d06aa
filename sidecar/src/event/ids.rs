//! Stable ids of a table and its columns: they survive renames, and no two tables ever have the same.

use std::sync::Arc;

/// The ids that go with the changes of one table, as of a position of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// Id of the schema's version: of the row of `pgstream.schema_log`. `None` where its schema was never logged.
    pub schema: Option<Arc<str>>,
    /// Id of the table.
    pub table: Box<str>,
    /// The columns that identify a row for readers, in order: the primary key, else a unique column that is never NULL, else none.
    pub key: Vec<IdColumn>,
    /// Id of each column of the relation, in its order; empty where it is not known.
    pub columns: Vec<Box<str>>,
}

/// A column that identifies a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdColumn {
    /// Its id.
    pub id: Box<str>,
    /// Its index in the relation; `None` for a generated column, which the stream does not carry.
    pub index: Option<usize>,
}

impl Ids {
    /// Id of the column at `index` of the relation.
    pub fn column(&self, index: usize) -> &str {
        self.columns.get(index).map_or("", |id| id)
    }
}
