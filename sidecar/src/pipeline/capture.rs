//! pgstream's own tables to schema events: an insert into `pgstream.ddl_log` is a DDL command, one into `pgstream.schema_log` a new version
//! of a schema. Everything else of ours is bookkeeping and ends here.
//!
//! ```text
//! insert pgstream.ddl_log     ->  Ddl
//! insert pgstream.schema_log  ->  passed on as it is, where the sink wants it; the version it logs, for the records of the slot
//! other pgstream tables       ->  nothing
//! ```
//!
//! Only our SECURITY DEFINER function can write `ddl_log` at the source, so what comes out of here as DDL was really run there.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::event::ddl::settings;
use crate::event::{Change, Ddl, DdlObject, Event, Lsn, Relation, RowChange, Tuple, Value};

/// A version of a schema, as the stream tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The schema, unquoted.
    pub schema: String,
    /// Its version.
    pub version: i64,
    /// Where the commit record of its transaction starts.
    pub commit: Lsn,
}

/// The capture stage.
#[derive(Debug)]
pub struct Capture {
    schema_log: bool,
    commit: Lsn,
    logged: Vec<Logged>,
    requested: bool,
}

impl Capture {
    /// `schema_log`: whether the sink takes rows of that table.
    pub fn new(schema_log: bool) -> Self {
        Self { schema_log, commit: Lsn::ZERO, logged: Vec::new(), requested: false }
    }

    /// The versions logged by the events since the last call.
    pub fn logged(&mut self) -> Vec<Logged> {
        std::mem::take(&mut self.logged)
    }

    /// Whether a copy was requested since the last call.
    pub fn requested(&mut self) -> bool {
        std::mem::take(&mut self.requested)
    }

    /// One event in, at most one out.
    pub fn apply(&mut self, event: Event) -> Result<Option<Event>> {
        if let Event::Begin(transaction) = &event {
            self.commit = transaction.commit_lsn;
        }
        Ok(match event {
            Event::Change(change) if is_ours(&change.relation.schema) => self.own(change)?,
            Event::Truncate(mut truncate) => {
                truncate.relations.retain(|relation| !is_ours(&relation.schema));
                (!truncate.relations.is_empty()).then_some(Event::Truncate(truncate))
            }
            event => Some(event),
        })
    }

    fn own(&mut self, change: Change) -> Result<Option<Event>> {
        if &*change.relation.name == "snapshot_requests" {
            if let RowChange::Insert { new } | RowChange::Update { new, .. } = &change.row {
                let row = Row { relation: &change.relation, tuple: new };
                self.requested |= row.text("status") == Some("requested");
            }
        }
        let RowChange::Insert { new } = &change.row else { return Ok(None) };
        Ok(match (&*change.relation.schema, &*change.relation.name) {
            ("pgstream", "ddl_log") => Some(Event::Ddl(Arc::new(ddl(&change, new)?))),
            ("pgstream", "schema_log") => {
                let row = Row { relation: &change.relation, tuple: new };
                let version = row.text("version").and_then(|version| version.parse().ok());
                let commit = self.commit;
                self.logged.extend(version.map(|version| Logged {
                    schema: row.owned("schema_name"),
                    version,
                    commit,
                }));
                self.schema_log.then_some(Event::Change(change))
            }
            _ => None,
        })
    }
}

/// The schemas that hold our own tables, at a source or at a target that is a source as well.
pub(crate) fn is_ours(schema: &str) -> bool {
    matches!(schema, "pgstream" | "pgstream_sink")
}

/// The log of versions of schemas.
pub(crate) fn is_schema_log(relation: &Relation) -> bool {
    (&*relation.schema, &*relation.name) == ("pgstream", "schema_log")
}

/// A row of one of our tables by column name.
pub(crate) struct Row<'a> {
    pub(crate) relation: &'a Relation,
    pub(crate) tuple: &'a Tuple,
}

impl<'a> Row<'a> {
    pub(crate) fn text(&self, column: &str) -> Option<&'a str> {
        match self.tuple.get(self.relation.column(column)?)? {
            Value::Text(text) => std::str::from_utf8(text).ok(),
            Value::Null | Value::Unchanged | Value::Binary(_) => None,
        }
    }

    fn owned(&self, column: &str) -> String {
        self.text(column).unwrap_or_default().to_owned()
    }

    fn flag(&self, column: &str) -> bool {
        self.text(column) == Some("t")
    }

    fn json(&self, column: &str) -> Result<Json> {
        let Some(text) = self.text(column) else { return Ok(Json::Null) };
        serde_json::from_str(text).map_err(|error| {
            Error::fatal(format!("pgstream.ddl_log.{column} is not what this version writes: {error}"))
                .hint("upgrade the SQL side: pgstream init")
        })
    }
}

fn ddl(change: &Change, tuple: &Tuple) -> Result<Ddl> {
    let row = Row { relation: &change.relation, tuple };
    let settings = settings(&row.json("settings")?);
    let objects = match row.json("objects")? {
        Json::Array(objects) => objects.iter().map(DdlObject::of).collect(),
        _ => Vec::new(),
    };
    Ok(Ddl {
        lsn: change.lsn,
        id: row.text("id").and_then(|id| id.parse().ok()).unwrap_or(0),
        command_tag: row.owned("command_tag"),
        sql: row.text("sql").map(str::to_owned),
        exact: row.flag("exact"),
        depth: row.text("depth").and_then(|depth| depth.parse().ok()).unwrap_or(0),
        role: row.owned("role"),
        search_path: row.owned("search_path"),
        settings,
        objects,
        tables: row.json("tables")?,
        rewrite: row.flag("rewrite"),
        error: row.text("error").map(str::to_owned),
        partial: false,
    })
}
