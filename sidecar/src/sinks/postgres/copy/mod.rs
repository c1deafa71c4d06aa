//! A copy into PostgreSQL.
//!
//! ```text
//! schema   what the rows need       one transaction, with the note that it was made and what is still to come
//! rows     ranges of tables         many workers, each range a transaction with its note      (again under a new snapshot
//! after    indexes, constraints     many workers, each statement a transaction with its note     for what was left)
//! ```
//!
//! Why it is exact: all rows of a table come from one snapshot, each range once (`ledger`), and what an earlier attempt left of an
//! unfinished table is removed in the transaction that begins it anew. A table counts as copied when its last range is on disk.

mod after;
mod again;
mod ledger;
pub(in crate::sinks::postgres) mod memory;
mod plan;
mod replace;
mod worker;

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::Client;

use crate::config::plan::{PostgresTarget, Source};
use crate::config::snapshot::{Parts, SchemaSource, Snapshot};
use crate::error::{Error, Kind, Result};
use crate::postgres::sql;
use crate::postgres::wire::{Purpose, Wire};
use crate::snapshot::Outcome;
use crate::source::snapshot::export::Export;
use crate::source::snapshot::hold;
use crate::source::snapshot::progress::Progress;
use crate::source::snapshot::ranges::Ranges;
use crate::source::snapshot::schema;
use crate::source::snapshot::tables::{self, Asked, Found, Patterns, Table};
use crate::source::snapshot::work::{Done, Work};

use ledger::{Ledger, Origin};
use plan::{Planned, Rules, Verdict};
use worker::{Job, Worker};

/// Snapshots taken for what was left, before it is given up until the next run.
const MOST_ROUNDS: u32 = 10;

/// A copy into one target.
pub struct Copy<'a> {
    source: &'a Source,
    target: &'a PostgresTarget,
    snapshot: &'a Snapshot,
    ledger: Arc<Ledger>,
    patterns: Patterns,
    progress: Arc<Progress>,
    outcome: &'a mut Outcome,
    /// A stream follows.
    streams: bool,
    /// Only tables are copied that were begun before.
    only_begun: bool,
}

impl<'a> Copy<'a> {
    /// Connects to the target and makes its ledger.
    pub async fn open(
        source: &'a Source,
        target: &'a PostgresTarget,
        snapshot: &'a Snapshot,
        progress: Arc<Progress>,
        outcome: &'a mut Outcome,
    ) -> Result<Self> {
        let patterns = Patterns::new(snapshot)?;
        let at_source = sql::connect(&source.url).await.map_err(|error| error.context("source"))?;
        let origin = Origin::of(&at_source).await.map_err(|error| error.context("source"))?;
        if let SchemaSource::Dump(options) = &snapshot.schema {
            if options.create_database && schema::create_database(&at_source, &target.url).await? {
                tracing::info!(database = %target.url.dbname, "database created");
            }
        }
        let client = sql::connect(&target.url).await.map_err(|error| error.context("target"))?;
        let ledger = Ledger::open(client, origin).await.map_err(|error| error.context("target"))?;
        let ledger = Arc::new(ledger);
        Ok(Self {
            source,
            target,
            snapshot,
            ledger,
            patterns,
            progress,
            outcome,
            streams: false,
            only_begun: false,
        })
    }

    /// Copies everything. `slot`: what comes after is streamed, and the transaction id that was next when the slot was made (see
    /// [`Export::take`]).
    ///
    /// # Errors
    /// What concerns the copy as a whole; what concerns single tables is in the outcome.
    pub async fn run(mut self, slot: Option<u64>) -> Result<()> {
        self.outcome.failed.clear();
        let mut asked = Vec::new();
        let Snapshot { tables, excluded, .. } = self.snapshot;
        // Tables that came since then come by the stream.
        self.streams = slot.is_some();
        self.only_begun = slot.is_some() && self.ledger.has_schema(tables, excluded).await?;
        let source = |error: Error| error.context("source");
        let mut why = None;
        for round in 0.. {
            if round > MOST_ROUNDS {
                return Err(why.unwrap_or_else(changed_again));
            }
            let export = Export::take(&self.source.url, slot, None).await.map_err(source)?;
            let found = tables::find(&export.client, &self.patterns).await.map_err(source)?;
            if !self.schema(&export, &found).await? {
                continue;
            }
            let first = asked.is_empty();
            if first {
                asked.clone_from(&found.asked);
            }
            why = match self.snapshot.parts {
                Parts::Schema => None,
                Parts::Full | Parts::Data => self.rows(&export, found.tables, first).await?,
            };
            if why.is_none() {
                break;
            }
        }
        self.finish(&asked).await
    }

    /// What comes after the rows.
    async fn finish(self, asked: &[Asked]) -> Result<()> {
        self.sequences().await?;
        let settings = match &self.snapshot.schema {
            SchemaSource::Dump(options) => options.index_settings.as_slice(),
            SchemaSource::SchemaLog => &[],
        };
        let failed = after::run(self.target, &self.ledger, settings, self.snapshot.workers.all).await;
        self.outcome.failed.extend(failed.map_err(|error| error.context("target"))?);
        if self.outcome.copied > 0 {
            after::analyze(self.target, asked, self.snapshot.workers.all).await?;
        }
        self.ledger.finish().await
    }

    /// Makes the schema, where it is not there. False when it was changed meanwhile: another snapshot is needed.
    async fn schema(&mut self, export: &Export, found: &Found) -> Result<bool> {
        let SchemaSource::Dump(options) = &self.snapshot.schema else { return Ok(true) };
        if self.only_begun || self.outcome.schema || self.snapshot.parts == Parts::Data {
            return Ok(true);
        }
        let there = if options.clean { HashSet::new() } else { there(self.ledger.client(), found).await? };
        if !there.is_empty() && there.len() == found.asked.len() {
            tracing::debug!("all tables are at the target: the schema is not copied");
            self.outcome.schema = true;
            return Ok(true);
        }
        let held = hold::tables(&self.source.url, &self.patterns, found).await;
        let Some(held) = held.map_err(|error| error.context("source"))? else {
            tracing::info!("tables were changed just now: taking another snapshot");
            return Ok(false);
        };
        let mut selection = found.selection.clone();
        // What cannot be read is said with its rows.
        let unreadable = found.asked.iter().filter(|table| !table.readable).map(|table| table.oid);
        let there: HashSet<u32> = there.into_iter().chain(unreadable).collect();
        selection.tables.retain(|oid| !there.contains(oid));
        selection.without.extend(&there);
        let (url, id) = (&self.source.url, export.id.as_str());
        let mut made = schema::dump(url, &export.client, id, &selection, options)
            .await
            .map_err(|error| error.context("source"))?;
        drop(held);
        for line in &made.left_out {
            tracing::warn!("left out: {line}");
        }
        let mut wire =
            Wire::connect(&self.target.url, Purpose::Sql).await.map_err(|error| error.context("target"))?;
        let target = |error: Error| error.context("target");
        let mut warnings = schema::create_tablespaces(self.ledger.client(), &made).await.map_err(target)?;
        wire.simple_query("begin").await?;
        warnings.extend(schema::apply_before(&mut wire, &mut made, options).await.map_err(target)?);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let forget = self.ledger.forget(&selection.tables);
        let note = self.ledger.schema_made(
            &self.snapshot.tables,
            &self.snapshot.excluded,
            &export.view,
            &made,
            &found.tables,
        );
        wire.simple_query(&format!("{forget}; {note} commit"))
            .await
            .map_err(|error| error.context("target"))?;
        wire.close().await;
        tracing::info!(tables = selection.tables.len(), "schema copied");
        self.outcome.schema = true;
        Ok(true)
    }

    /// Copies what is not copied yet, under one snapshot. Answers why something is left for another one.
    async fn rows(&mut self, export: &Export, tables: Vec<Table>, first: bool) -> Result<Option<Error>> {
        let planned = self.planned(tables, first).await?;
        if planned.is_empty() {
            return Ok(None);
        }
        if first {
            self.progress.expect(planned.iter().map(|planned| &planned.table));
        }
        export.settle().await.map_err(|error| error.context("source"))?;
        let planned = self.begin(planned, export).await?;
        let tables: Vec<Table> = planned.iter().map(|planned| planned.table.clone()).collect();
        let Snapshot { range, workers, .. } = self.snapshot;
        let ranges = Ranges::new(&tables, *range, *workers, export.cuts().await?);
        let job = self.job(export, planned);
        let workers = (0..workers.all).map(|_| Worker::new(&job)).collect();
        let done = Work::new(tables.clone(), ranges, Arc::clone(&self.progress)).run(workers).await?;
        Ok(self.note(done, &tables))
    }

    fn job(&self, export: &Export, planned: Vec<Planned>) -> Arc<Job> {
        Arc::new(Job {
            source: self.source.url.clone(),
            target: self.target.clone(),
            snapshot: export.handed(),
            view: export.view.clone(),
            tables: planned.into_iter().map(|planned| (planned.table.relation.oid, planned)).collect(),
            ledger: Arc::clone(&self.ledger),
            progress: Arc::clone(&self.progress),
        })
    }

    /// Notes what came of a round. Answers why something is left for another snapshot.
    fn note(&mut self, done: Done, tables: &[Table]) -> Option<Error> {
        self.outcome.copied += done.complete.len();
        self.outcome.done.extend(done.complete.iter().map(|index| tables[*index].relation.oid));
        for (index, error) in done.failed {
            self.outcome.failed.push((tables[index].relation.to_string(), error));
        }
        if let Some(error) = done.lost {
            tracing::warn!("{error}: unfinished tables are copied from another snapshot");
            return Some(error);
        }
        (!done.aside.is_empty()).then(changed_again)
    }

    /// The tables to copy now.
    async fn planned(&mut self, tables: Vec<Table>, first: bool) -> Result<Vec<Planned>> {
        let failed: HashSet<String> = self.outcome.failed.iter().map(|(name, _)| name.clone()).collect();
        let open = |table: &Table| {
            !self.outcome.done.contains(&table.relation.oid) && !failed.contains(&table.relation.to_string())
        };
        let tables: Vec<Table> = tables.into_iter().filter(open).collect();
        let rules = Rules {
            repeat: self.snapshot.repeat,
            exact: self.snapshot.parts == Parts::Full,
            on_conflict: self.target.on_conflict,
            filter: None,
            replace: false,
        };
        self.judged(tables, &rules, first).await
    }

    /// Those of the tables that the target takes.
    async fn judged(&mut self, mut tables: Vec<Table>, rules: &Rules, first: bool) -> Result<Vec<Planned>> {
        let copied = self.ledger.copied().await?;
        if self.only_begun {
            tables.retain(|table| copied.contains_key(&table.relation.oid));
        }
        let verdicts = plan::judge(self.ledger.client(), &tables, &copied, rules).await?;
        let mut planned = Vec::new();
        for (table, verdict) in tables.iter().zip(verdicts) {
            let relation = &table.relation;
            let mut fail = |why: String| {
                tracing::error!(table = %relation, "{why}");
                self.outcome.failed.push((relation.to_string(), Error::fatal(why)));
            };
            match verdict {
                Verdict::Copy(one) => planned.push(*one),
                Verdict::Done if first => self.outcome.before += 1,
                Verdict::Done => {}
                // Made after the schema was copied.
                Verdict::Missing if !first => {}
                Verdict::Missing => fail("the target has no such table: copy the schema as well".into()),
                // The stream will make it as it is; then it is copied.
                Verdict::Other if self.streams => {
                    tracing::info!(table = %relation, "changed since its schema was copied: its rows follow with the stream");
                }
                Verdict::Other => {
                    fail(format!("{relation} has other columns at the target: {}", plan::REMEDY))
                }
                Verdict::Cannot(why) => fail(why),
            }
        }
        Ok(planned)
    }

    /// Notes that these tables are begun, each with what an earlier attempt left of it removed in the same transaction.
    async fn begin(&mut self, planned: Vec<Planned>, export: &Export) -> Result<Vec<Planned>> {
        let mut begun = Vec::with_capacity(planned.len());
        for planned in planned {
            let remove = planned.remove.as_ref().map(|sql| format!("{sql}; ")).unwrap_or_default();
            let note = self.ledger.begin(&planned.table, &export.view);
            // A worker that was killed may have left a transaction that still ends well.
            let wait = self.ledger.take_over(&planned.table);
            let sql = format!("begin; {wait}; {remove}{note}; commit");
            match self.ledger.client().batch_execute(&sql).await.map_err(sql::of) {
                Ok(()) => begun.push(planned),
                Err(error) if error.kind() == Kind::Transient => return Err(error.context("target")),
                Err(error) => {
                    let _ = self.ledger.client().batch_execute("rollback").await;
                    self.outcome.failed.push((planned.table.relation.to_string(), error.context("target")));
                }
            }
        }
        Ok(begun)
    }

    /// Moves the target's sequences to the source's values.
    async fn sequences(&self) -> Result<()> {
        let source = sql::connect(&self.source.url).await.map_err(|error| error.context("source"))?;
        let at_source = |error: Error| error.context("source");
        let used = crate::source::sequences(&source).await.map_err(at_source)?;
        let unused = crate::source::unused_sequences(&source).await.map_err(at_source)?;
        let target = |error: Error| error.context("target");
        let mut session = super::session::Session::open(self.target).await.map_err(target)?;
        super::sequences::set(&mut session, &used).await.map_err(target)?;
        super::sequences::begin(&mut session, &unused).await.map_err(target)?;
        session.close().await;
        Ok(())
    }
}

fn changed_again() -> Error {
    Error::transient("tables were changed again and again while they were copied")
}

/// The tables that the target has already.
async fn there(client: &Client, found: &Found) -> Result<HashSet<u32>> {
    let schemas: Vec<&str> = found.asked.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = found.asked.iter().map(|table| table.name.as_str()).collect();
    let sql = "select w.n from unnest($1::text[], $2::text[]) with ordinality w (schema, name, n) \
        join pg_catalog.pg_namespace s on s.nspname = w.schema \
        join pg_catalog.pg_class c on c.relnamespace = s.oid and c.relname = w.name";
    let rows = client.query(sql, &[&schemas, &names]).await.map_err(sql::of)?;
    let oid = |row: &tokio_postgres::Row| {
        Some(found.asked.get(usize::try_from(row.get::<_, i64>(0)).ok()?.checked_sub(1)?)?.oid)
    };
    Ok(rows.iter().filter_map(oid).collect())
}
