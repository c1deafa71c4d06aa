//! What has been copied, kept at the target in the transactions that copy it: it is true after any crash.
//!
//! ```text
//! pgstream_sink.snapshots   one a copy that made a schema: what it saw, whether all is done
//! pgstream_sink.copies      one a table: under which snapshot, which of its ranges, complete or not
//! pgstream_sink.pending     statements that come after the rows: indexes, constraints, triggers
//! ```
//!
//! The stream reads it as well: changes that a copy already holds are passed over (by `memory`; see [`crate::pipeline::seen`]).

use std::collections::HashMap;
use std::fmt::Write;

use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::postgres::relay::Passed;
use crate::postgres::sql;
use crate::sinks::postgres::statement::literal;
use crate::source::slot::{without_slot, Identity};
use crate::source::snapshot::schema::{Entry, Schema};
use crate::source::snapshot::tables::Table;
use crate::source::snapshot::view::View;

/// The tables, made once.
pub(super) const CREATE: &str = "
create schema if not exists pgstream_sink;
create table if not exists pgstream_sink.snapshots (
  id bigint generated always as identity primary key,
  system_identifier text not null,
  database text not null,
  tables text[] not null,
  excluded text[] not null,
  view text not null,
  lsn pg_catalog.pg_lsn not null,
  session text not null,
  taken_at timestamptz not null default pg_catalog.clock_timestamp(),
  finished_at timestamptz
);
comment on table pgstream_sink.snapshots is 'Copies that made a schema here, and what their snapshot saw.';
create table if not exists pgstream_sink.copies (
  system_identifier text not null,
  database text not null,
  oid bigint not null,
  name text not null,
  view text not null,
  lsn pg_catalog.pg_lsn not null,
  ranges int[] not null default '{}',
  rows bigint not null default 0,
  bytes bigint not null default 0,
  complete boolean not null default false,
  updated_at timestamptz not null default pg_catalog.clock_timestamp(),
  primary key (system_identifier, database, oid)
) with (fillfactor = 50);
comment on table pgstream_sink.copies is 'Tables copied here: under which snapshot, and how far.';
create table if not exists pgstream_sink.pending (
  snapshot bigint not null references pgstream_sink.snapshots on delete cascade,
  id bigint not null,
  kind text not null,
  name text not null,
  sql text not null,
  needs bigint[] not null,
  tables bigint[] not null,
  shared boolean not null,
  primary key (snapshot, id)
);
comment on table pgstream_sink.pending is 'Statements of a copied schema that are run once the rows are there.';";

pub(super) const EXISTS: &str = "select pg_catalog.to_regclass('pgstream_sink.pending') is not null";

/// Whether the tables are there.
pub(super) async fn exists(client: &Client) -> Result<bool> {
    Ok(client.query_one(EXISTS, &[]).await.map_err(sql::of)?.get(0))
}

/// The database a copy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// `system_identifier` of the server.
    system: String,
    /// Database name.
    database: String,
}

impl Origin {
    /// Where that session is connected to.
    pub(super) async fn of(client: &Client) -> Result<Self> {
        let Identity { system, database, .. } = without_slot(client).await?;
        Ok(Self { system, database })
    }
}

/// A table that was copied, at least in part.
#[derive(Debug, Clone)]
pub(super) struct Copied {
    pub(super) complete: bool,
}

/// What was copied from one database to this target.
pub(super) struct Ledger {
    client: Client,
    origin: Origin,
}

impl Ledger {
    /// Makes the tables where they are missing. `client` is a session at the target.
    pub(super) async fn open(client: Client, origin: Origin) -> Result<Self> {
        if !exists(&client).await? {
            client.batch_execute(CREATE).await.map_err(sql::of).map_err(|error| {
                let context = "cannot create the tables of schema pgstream_sink, which hold what was copied";
                match error.code() {
                    Some("42501") => {
                        error.context(context).hint("grant create on the target database to this login")
                    }
                    _ => error.context(context),
                }
            })?;
        }
        let ledger = Self { client, origin };
        ledger.lock().await?;
        Ok(ledger)
    }

    /// Only one copy at a time writes to a target; the lock goes with the session.
    async fn lock(&self) -> Result<()> {
        let sql = "select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('pgstream copy', 0))";
        if self.client.query_one(sql, &[]).await.map_err(sql::of)?.get(0) {
            return Ok(());
        }
        // It may only be the rest of a process that was killed: object_in_use.
        Err(Error::transient("another pgstream copies into this target")
            .with_code("55006")
            .hint("wait for its end, or stop it"))
    }

    /// The session, for questions about the target.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Tables known here, by their oid at the source.
    pub(super) async fn copied(&self) -> Result<HashMap<u32, Copied>> {
        let sql =
            "select oid, complete from pgstream_sink.copies where system_identifier = $1 and database = $2";
        let rows =
            self.client.query(sql, &[&self.origin.system, &self.origin.database]).await.map_err(sql::of)?;
        let copied = |row: &tokio_postgres::Row| {
            let oid = u32::try_from(row.get::<_, i64>(0)).ok()?;
            Some((oid, Copied { complete: row.get(1) }))
        };
        Ok(rows.iter().filter_map(copied).collect())
    }

    /// The SQL that notes a new schema, to be run in the transaction that makes it.
    pub(super) fn schema_made(
        &self,
        tables: &[String],
        excluded: &[String],
        view: &View,
        schema: &Schema,
        rows: &[Table],
    ) -> String {
        let Origin { system, database } = &self.origin;
        let mut sql = format!(
            "insert into pgstream_sink.snapshots (system_identifier, database, tables, excluded, view, lsn, session) values \
             ({}, {}, {}, {}, {}, '{}', {});\n",
            literal(system),
            literal(database),
            texts(tables),
            texts(excluded),
            literal(&view.to_string()),
            view.end,
            literal(&schema.session)
        );
        add_all(&mut sql, schema);
        for table in rows {
            let _ = writeln!(sql, "{};", self.begin(table, view));
        }
        sql
    }

    /// The SQL that begins the copy of a table anew: what an earlier attempt left is removed.
    pub(super) fn begin(&self, table: &Table, view: &View) -> String {
        let Origin { system, database } = &self.origin;
        format!(
            "insert into pgstream_sink.copies (system_identifier, database, oid, name, view, lsn) values ({}, {}, {}, {}, {}, '{}') \
             on conflict (system_identifier, database, oid) do update set name = excluded.name, view = excluded.view, \
             lsn = excluded.lsn, ranges = '{{}}', rows = 0, bytes = 0, complete = false, updated_at = pg_catalog.clock_timestamp()",
            literal(system),
            literal(database),
            table.relation.oid,
            literal(&table.relation.to_string()),
            literal(&view.to_string()),
            view.end
        )
    }

    /// The SQL that notes a copied range, to be run in the transaction that writes its rows.
    pub(super) fn range(&self, table: &Table, number: u32, rows: u64, bytes: u64) -> String {
        format!(
            "update pgstream_sink.copies set ranges = ranges operator(pg_catalog.||) {number}, \
             rows = rows operator(pg_catalog.+) {rows}, bytes = bytes operator(pg_catalog.+) {bytes}, \
             updated_at = pg_catalog.clock_timestamp() where {}",
            self.key(table)
        )
    }

    /// The SQL that each transaction runs first which copies rows of that table. Until it ends, nobody can begin the copy anew
    /// ([`Self::take_over`]), whether its client lives or not.
    pub(super) fn take_part(&self, table: &Table) -> String {
        format!("select from pgstream_sink.copies where {} for key share", self.key(table))
    }

    /// The SQL that waits for all transactions that copy rows of that table; to be run before the rows they left are removed.
    pub(super) fn take_over(&self, table: &Table) -> String {
        format!("select from pgstream_sink.copies where {} for update", self.key(table))
    }

    /// Whether a range is noted: asked when a connection was lost while its transaction was committed, and answered when that has ended.
    pub(super) fn has_range(&self, table: &Table, number: u32) -> String {
        format!(
            "select '1' from (select ranges from pgstream_sink.copies where {} for update) c where {number} = any (c.ranges)",
            self.key(table)
        )
    }

    /// Notes that all of a table was copied. Waits for the disk, and with that for all ranges before.
    pub(super) async fn complete(&self, table: &Table) -> Result<()> {
        let sql = format!(
            "update pgstream_sink.copies set complete = true, updated_at = pg_catalog.clock_timestamp() where {}",
            self.key(table)
        );
        self.client.batch_execute(&sql).await.map_err(sql::of)
    }

    /// The SQL that each transaction runs first which replaces rows of a table in use. Until it ends, no stream begins to read what is copied.
    pub(super) fn replace(&self) -> String {
        let lock = super::memory::replacing(&self.origin.system, &self.origin.database);
        format!("select pg_catalog.pg_advisory_xact_lock_shared({lock})")
    }

    /// The SQL that notes that all rows of a table were replaced.
    pub(super) fn replaced(&self, table: &Table, view: &View, passed: Passed) -> String {
        let (begin, key, Passed { rows, bytes }) = (self.begin(table, view), self.key(table), passed);
        format!("{begin}; update pgstream_sink.copies set rows = {rows}, bytes = {bytes}, complete = true where {key}")
    }

    /// Forgets those tables: they are made anew.
    pub(super) fn forget(&self, oids: &[u32]) -> String {
        let Origin { system, database } = &self.origin;
        let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
        format!(
            "delete from pgstream_sink.copies where system_identifier = {} and database = {} and oid = any ('{{{}}}'::bigint[])",
            literal(system),
            literal(database),
            oids.join(",")
        )
    }

    fn key(&self, table: &Table) -> String {
        let Origin { system, database } = &self.origin;
        format!(
            "system_identifier = {} and database = {} and oid = {}",
            literal(system),
            literal(database),
            table.relation.oid
        )
    }

    /// Whether a copy made the schema of what those patterns ask for.
    pub(super) async fn has_schema(&self, tables: &[String], excluded: &[String]) -> Result<bool> {
        let sql = "select exists (select from pgstream_sink.snapshots \
            where system_identifier = $1 and database = $2 and tables = $3 and excluded = $4)";
        let row = self
            .client
            .query_one(sql, &[&self.origin.system, &self.origin.database, &tables, &excluded])
            .await;
        Ok(row.map_err(sql::of)?.get(0))
    }

    /// Statements that wait for the rows.
    pub(super) async fn pending(&self) -> Result<Vec<Pending>> {
        let sql = "select p.snapshot, p.id, p.kind, p.name, p.sql, p.needs, p.tables, p.shared, s.session \
            from pgstream_sink.pending p join pgstream_sink.snapshots s on s.id = p.snapshot \
            where s.system_identifier = $1 and s.database = $2 order by p.snapshot, p.id";
        let rows =
            self.client.query(sql, &[&self.origin.system, &self.origin.database]).await.map_err(sql::of)?;
        Ok(rows
            .iter()
            .map(|row| Pending {
                snapshot: row.get(0),
                id: row.get(1),
                kind: row.get(2),
                name: row.get(3),
                sql: row.get(4),
                needs: row.get(5),
                tables: row.get(6),
                shared: row.get(7),
                session: row.get(8),
            })
            .collect())
    }

    /// Notes that every snapshot without pending statements and without unfinished tables is done.
    pub(super) async fn finish(&self) -> Result<()> {
        let sql = "update pgstream_sink.snapshots s set finished_at = pg_catalog.clock_timestamp() \
            where s.system_identifier = $1 and s.database = $2 and s.finished_at is null \
            and not exists (select from pgstream_sink.pending p where p.snapshot = s.id)";
        self.client.execute(sql, &[&self.origin.system, &self.origin.database]).await.map_err(sql::of)?;
        Ok(())
    }
}

/// A statement that waits for the rows.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) snapshot: i64,
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) needs: Vec<i64>,
    pub(super) tables: Vec<i64>,
    pub(super) shared: bool,
    /// What a session runs before it.
    pub(super) session: String,
}

/// Adds a statement that waits for the rows.
fn add(
    sql: &mut String,
    (id, kind, name, text): (u32, &str, &str, &str),
    needs: &[u32],
    tables: &[u32],
    shared: bool,
) {
    let numbers = |list: &[u32]| list.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let _ = writeln!(
        sql,
        "insert into pgstream_sink.pending (snapshot, id, kind, name, sql, needs, tables, shared) values \
         ((select pg_catalog.max(id) from pgstream_sink.snapshots), {id}, {}, {}, {}, '{{{}}}', '{{{}}}', {shared});",
        literal(kind),
        literal(name),
        literal(text),
        numbers(needs),
        numbers(tables),
    );
}

/// Adds all that waits for the rows: what the schema still needs, and behind it the filling of materialized views, one after the other.
fn add_all(sql: &mut String, schema: &Schema) {
    for entry in &schema.after {
        let Entry { id, kind, name, sql: text, needs, tables, shared, .. } = entry;
        add(sql, (*id, kind, name, text), needs, tables, *shared);
    }
    let mut needs: Vec<u32> = schema.after.iter().map(|entry| entry.id).collect();
    let first = needs.iter().max().map_or(1, |id| id + 1);
    for (id, text) in (first..).zip(&schema.views) {
        add(sql, (id, "MATERIALIZED VIEW DATA", text, text), &needs, &[], false);
        needs.push(id);
    }
}

fn texts(list: &[String]) -> String {
    let list: Vec<String> = list.iter().map(|text| literal(text)).collect();
    format!("array[{}]::text[]", list.join(", "))
}
