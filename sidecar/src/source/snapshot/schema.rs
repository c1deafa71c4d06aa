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
