//! A table as the source described it at one point of the stream. It travels with every change as an `Arc`: no stage looks a
//! schema up later.

/// How the source identifies the old row of an update or delete (`pg_class.relreplident`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key, when there is one.
    Default,
    /// Nothing: updates and deletes are not published.
    Nothing,
    /// The whole old row.
    Full,
    /// A chosen unique index.
    Index,
}

/// A column, in the order of the stream (attribute order; dropped and generated columns left out).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name as in the catalogue, unquoted.
    pub name: Box<str>,
    /// `pg_type.oid` at the source; for a domain over a built-in type, that of the type below it.
    pub type_oid: u32,
    /// Type as `format_type` prints it at the source: `character varying(10)`, `public.mood[]`.
    pub type_name: Box<str>,
    /// Part of the replica identity.
    pub key: bool,
}

/// A table of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid` at the source: survives renames, changes when a table is made anew.
    pub oid: u32,
    /// Schema name, unquoted.
    pub schema: Box<str>,
    /// Table name, unquoted.
    pub name: Box<str>,
    /// What identifies the old row.
    pub identity: ReplicaIdentity,
    /// The columns of its rows.
    pub columns: Vec<Column>,
}

impl Relation {
    /// The columns that identify a row, with their index in the row.
    pub fn key_columns(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, column)| column.key)
    }

    /// The index of the column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &*column.name == name)
    }
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.schema)?;
        f.write_str(".")?;
        f.write_str(&self.name)
    }
}
