//! What a snapshot copies and how: the part of a [`super::plan::Plan`] under `source.postgres.snapshot`.

use std::path::PathBuf;

use crate::postgres::conninfo::ConnInfo;

/// A copy of existing data.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Schema, rows, or both.
    pub parts: Parts,
    /// Patterns of the tables to copy. Never empty.
    pub tables: Vec<String>,
    /// Patterns of the tables among them that are left out.
    pub excluded: Vec<String>,
    /// Patterns of the tables among them that are made without rows.
    pub schema_only: Vec<String>,
    /// How much runs at a time.
    pub workers: Workers,
    /// Size of a range of a table: what one worker copies in one go.
    pub range: RangeSize,
    /// How the schema comes to the target.
    pub schema: SchemaSource,
    /// Where requests are recorded. `None`: nowhere.
    pub recorder: Option<ConnInfo>,
    /// Copy again what was copied before.
    pub repeat: bool,
    /// Show progress bars, where standard error is a terminal.
    pub bars: bool,
}

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Schema and rows.
    Full,
    /// Only the schema.
    Schema,
    /// Only rows, into tables that are there.
    Data,
}

/// Limits of what runs at a time.
#[derive(Debug, Clone, Copy)]
pub struct Workers {
    /// Schemas.
    pub schemas: usize,
    /// Tables of a schema.
    pub tables: usize,
    /// Ranges of a table.
    pub ranges: usize,
    /// All together, and also the most connections to one server.
    pub all: usize,
}

/// Size of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSize {
    /// Bytes on disk, oversized values included.
    Bytes(u64),
    /// Pages of the table.
    Pages(u64),
}

/// How the schema comes to the target.
#[derive(Debug, Clone)]
pub enum SchemaSource {
    /// As schema events, made of the newest document of each schema.
    SchemaLog,
    /// By `pg_dump` and `pg_restore`.
    Dump(Box<DumpOptions>),
}

/// Options of a schema that is dumped and restored.
#[derive(Debug, Clone, Default)]
pub struct DumpOptions {
    /// Drop at the target what is copied, first.
    pub clean: bool,
    /// Make the target database if it is not there.
    pub create_database: bool,
    /// Copy the roles that what is copied needs.
    pub roles: Roles,
    /// Copy all roles and tablespaces of the server, not only those needed.
    pub all_globals: bool,
    /// Role that restores, by SET ROLE.
    pub role: Option<String>,
    /// Leave owners out.
    pub no_owner: bool,
    /// Leave grants out.
    pub no_privileges: bool,
    /// Label providers whose security labels are left out; `*` = all.
    pub excluded_security_labels: Vec<String>,
    /// Fill materialized views at the end.
    pub refresh_views: bool,
    /// Settings of the sessions that make indexes and constraints, name and value.
    pub index_settings: Vec<(String, String)>,
    /// Only objects of these types (see [`OBJECT_TYPES`]); empty = all.
    pub include_types: Vec<String>,
    /// No objects of these types.
    pub exclude_types: Vec<String>,
    /// Also write the dump to this file.
    pub dump_file: Option<PathBuf>,
}

/// Whether roles are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Roles {
    /// With their passwords.
    Enabled,
    /// Without passwords.
    #[default]
    NoPasswords,
    /// Not at all.
    Disabled,
}

/// The object types that `include_object_types` and `exclude_object_types` know.
pub const OBJECT_TYPES: &[&str] = &[
    "tables",
    "sequences",
    "types",
    "indexes",
    "constraints",
    "functions",
    "views",
    "materialized_views",
    "triggers",
    "event_triggers",
    "policies",
    "rules",
    "comments",
    "extensions",
    "collations",
    "text_search",
];
