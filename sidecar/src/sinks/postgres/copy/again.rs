//! Copies to a target that has the tables already: rows are replaced, each table in one transaction.

use std::collections::HashSet;
use std::sync::Arc;

use super::plan::Rules;
use super::replace::Replacer;
use super::{changed_again, memory, there, Copy, MOST_ROUNDS};
use crate::config::plan::{OnConflict, PostgresTarget};
use crate::config::snapshot::{DumpOptions, RangeSize, SchemaSource, Snapshot};
use crate::error::{Error, Kind, Result};
use crate::postgres::sql;
use crate::source::snapshot::export::Export;
use crate::source::snapshot::ranges::Ranges;
use crate::source::snapshot::schema;
use crate::source::snapshot::tables::{self, Found, Table};
use crate::source::snapshot::work::Work;

impl Copy<'_> {
    /// Copies everything anew to a target that has it in some former state: rows are replaced where the definitions are still the same, and
    /// otherwise all is dropped and made again.
    pub async fn again(mut self, slot: Option<u64>) -> Result<()> {
        self.streams = slot.is_some();
        let source = |error: Error| error.context("source");
        for _ in 0..MOST_ROUNDS {
            let export = Export::take(&self.source.url, slot, None).await.map_err(source)?;
            let found = tables::find(&export.client, &self.patterns).await.map_err(source)?;
            if !self.is_same(&export, &found).await? {
                tracing::info!("the target's schema is not that of the source: it is made anew");
                return self.run_over(slot).await;
            }
            export.settle().await.map_err(source)?;
            self.progress.expect(found.tables.iter());
            match self.replaced(&export, found.tables, None).await? {
                None => {
                    self.outcome.again = true;
                    drop(export);
                    return self.finish(&found.asked).await;
                }
                Some(why) => tracing::info!("{why}: taking another snapshot"),
            }
        }
        Err(changed_again())
    }

    /// Drops what the target has and copies everything.
    async fn run_over(self, slot: Option<u64>) -> Result<()> {
        let SchemaSource::Dump(options) = &self.snapshot.schema else { return self.run(slot).await };
        let schema = SchemaSource::Dump(Box::new(DumpOptions { clean: true, ..*options.clone() }));
        let snapshot = Snapshot { schema, ..self.snapshot.clone() };
        Box::pin(Copy { snapshot: &snapshot, ..self }.run(slot)).await
    }

    /// Whether what was asked for has the same schema on both sides.
    async fn is_same(&self, export: &Export, found: &Found) -> Result<bool> {
        let SchemaSource::Dump(options) = &self.snapshot.schema else { return Ok(true) };
        let target = |error: Error| error.context("target");
        let there = Export::take(&self.target.url, None, None).await.map_err(target)?;
        let known = match tables::find(&there.client, &self.patterns).await {
            Ok(known) => known,
            // A table that is asked for by name is not there.
            Err(error) if error.kind() == Kind::Fatal && error.code().is_none() => return Ok(false),
            Err(error) => return Err(target(error)),
        };
        let options = DumpOptions { dump_file: None, ..*options.clone() };
        let ours =
            schema::dump(&self.source.url, &export.client, &export.id, &found.selection, &options).await?;
        let theirs = schema::dump(&self.target.url, &there.client, &there.id, &known.selection, &options)
            .await
            .map_err(target)?;
        Ok(ours.definitions() == theirs.definitions())
    }

    /// Replaces the rows of tables that a stream writes, by those that `export` shows; tables that are not there are made.
    ///
    /// # Errors
    /// Transient when a table was changed meanwhile: another snapshot is needed. What concerns single tables is in the outcome.
    pub async fn replace(mut self, export: Export, found: Found, filter: Option<String>) -> Result<()> {
        if !self.schema(&export, &found).await? {
            return Err(changed_again());
        }
        if let Some(error) = self.replaced(&export, found.tables, filter).await? {
            return Err(error);
        }
        drop(export);
        self.finish(&found.asked).await
    }

    /// Replaces the rows of those tables, each in one transaction. Answers why another snapshot is needed.
    async fn replaced(
        &mut self,
        export: &Export,
        tables: Vec<Table>,
        filter: Option<String>,
    ) -> Result<Option<Error>> {
        let rules =
            Rules { repeat: true, exact: false, on_conflict: OnConflict::Error, filter, replace: true };
        let tables: Vec<Table> =
            tables.into_iter().filter(|table| !self.outcome.done.contains(&table.relation.oid)).collect();
        let planned = self.judged(tables, &rules, true).await?;
        let tables: Vec<Table> = planned.iter().map(|planned| planned.table.clone()).collect();
        let ranges = Ranges::new(&tables, RangeSize::Pages(u64::MAX), self.snapshot.workers, false);
        let job = self.job(export, planned);
        let workers = (0..self.snapshot.workers.all.min(tables.len())).map(|_| Replacer::new(&job)).collect();
        let done = Work::new(tables.clone(), ranges, Arc::clone(&self.progress)).run(workers).await?;
        Ok(self.note(done, &tables))
    }

    /// Tables that no copy has brought to the target and that it does not have under their names.
    pub async fn missing(target: &PostgresTarget, found: &Found) -> Result<HashSet<u32>> {
        let client = sql::connect(&target.url).await.map_err(|error| error.context("target"))?;
        let there = there(&client, found).await?;
        let known = memory::known(&client).await?;
        let missing = |oid: &u32| !there.contains(oid) && !known.contains(oid);
        Ok(found.asked.iter().map(|table| table.oid).filter(missing).collect())
    }
}
