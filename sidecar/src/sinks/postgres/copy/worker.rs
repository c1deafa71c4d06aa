//! A range of a table, from one server to the other.
//!
//! ```text
//! source   begin, take the snapshot over, look, COPY out ---------> commit
//! target   begin ....................................... COPY in --> note the range, commit
//! ```
//!
//! Each range is a transaction of its own on both sides, so that a table of the source is never locked for longer than a range takes and a
//! failure costs one range. The note in the same transaction answers the one question a lost connection can leave: was it committed?

use std::collections::HashMap;
use std::sync::Arc;

use super::ledger::Ledger;
use super::plan::Planned;
use crate::config::plan::{DisableTriggers, PostgresTarget};
use crate::error::{Error, Kind, Result};
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::relay::{self, Passed, Side};
use crate::postgres::wire::{Purpose, Wire};
use crate::sinks::postgres::session;
use crate::source::snapshot::progress::Progress;
use crate::source::snapshot::ranges::Range;
use crate::source::snapshot::session::{trouble, Handed, Session};
use crate::source::snapshot::tables::Table;
use crate::source::snapshot::view::View;
use crate::source::snapshot::work::{Copier, Trouble};

/// What all workers of a round share.
pub(super) struct Job {
    pub(super) source: ConnInfo,
    pub(super) target: PostgresTarget,
    pub(super) snapshot: Handed,
    pub(super) view: View,
    /// By oid at the source.
    pub(super) tables: HashMap<u32, Planned>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) progress: Arc<Progress>,
}

/// One worker.
pub(super) struct Worker {
    job: Arc<Job>,
    sessions: Option<Sessions>,
}

/// The sessions of a worker.
pub(super) struct Sessions {
    pub(super) source: Session,
    pub(super) target: Wire,
}

impl Worker {
    pub(super) fn new(job: &Arc<Job>) -> Self {
        Self { job: Arc::clone(job), sessions: None }
    }
}

impl Copier for Worker {
    async fn copy(&mut self, table: &Table, range: Range) -> std::result::Result<Passed, Trouble> {
        let job = Arc::clone(&self.job);
        let planned = job.planned(table)?;
        let open = Sessions::of(&mut self.sessions, &job).await?;
        open.source.enter(&job.snapshot, table).await?;
        let begin = format!("{}; {}", planned.begin(range), job.ledger.take_part(table));
        open.target.simple_query(&begin).await.map_err(at_target)?;
        let passed = open.rows(&job, planned, range).await?;
        let note = job.ledger.range(table, range.number, passed.rows, passed.bytes);
        let end = format!("{}{note}; commit", planned.finish());
        if let Err(error) = open.target.simple_query(&end).await {
            if error.kind() != Kind::Transient {
                open.roll_back().await?;
                return Err(at_target(error));
            }
            // It may have been committed all the same.
            self.sessions = None;
            return if job.is_noted(table, range).await { Ok(passed) } else { Err(at_target(error)) };
        }
        open.source.wire.simple_query("commit").await.map_err(trouble)?;
        Ok(passed)
    }

    async fn complete(&mut self, table: &Table) -> Result<()> {
        self.job.ledger.complete(table).await
    }

    fn disconnect(&mut self) {
        self.sessions = None;
    }
}

impl Job {
    /// How that table is copied.
    pub(super) fn planned(&self, table: &Table) -> std::result::Result<&Planned, Trouble> {
        let unplanned = || Error::fatal(format!("{} is not among the tables to copy", table.relation));
        self.tables.get(&table.relation.oid).ok_or_else(|| Trouble::Table(unplanned()))
    }

    /// Whether a range whose commit was not answered is there nevertheless. Waits until that can be known.
    async fn is_noted(&self, table: &Table, range: Range) -> bool {
        let ask = async {
            let mut wire = Wire::connect(&self.target.url, Purpose::Sql).await?;
            wire.simple_query(&self.ledger.has_range(table, range.number)).await
        };
        matches!(ask.await, Ok(rows) if !rows.is_empty())
    }
}

impl Sessions {
    /// Those that are open, or new ones.
    pub(super) async fn of<'a>(
        open: &'a mut Option<Self>,
        job: &Job,
    ) -> std::result::Result<&'a mut Self, Trouble> {
        match open {
            Some(open) => Ok(open),
            None => {
                let source = Session::open(&job.source).await.map_err(trouble)?;
                let target = target(&job.target).await.map_err(at_target)?;
                Ok(open.insert(Self { source, target }))
            }
        }
    }

    /// Passes the rows of a range on, within the target's transaction, which is left open.
    pub(super) async fn rows(
        &mut self,
        job: &Job,
        planned: &Planned,
        range: Range,
    ) -> std::result::Result<Passed, Trouble> {
        let seen = |bytes| job.progress.passed(&planned.table, bytes);
        let (source, target) = (&mut self.source.wire, &mut self.target);
        let side = match relay::copy(source, &planned.out(range), target, &planned.into(range), seen).await {
            Ok(passed) => return Ok(passed),
            Err(side) => side,
        };
        let trouble = match side {
            Side::Source(error) => trouble(error),
            Side::Target(error) => at_target(error),
        };
        if !matches!(trouble, Trouble::Connection(_)) {
            self.roll_back().await?;
        }
        Err(trouble)
    }

    pub(super) async fn roll_back(&mut self) -> std::result::Result<(), Trouble> {
        self.source.wire.simple_query("rollback").await.map_err(trouble)?;
        self.target.simple_query("rollback").await.map_err(at_target)?;
        Ok(())
    }
}

/// A session that writes rows: triggers and foreign keys are off where they may be.
async fn target(target: &PostgresTarget) -> Result<Wire> {
    let mut wire = Wire::connect(&target.url, Purpose::Sql).await?;
    wire.simple_query(session::SETTINGS).await?;
    if target.disable_triggers != DisableTriggers::Never {
        let tried = wire.simple_query(session::REPLICA).await.map(drop);
        session::are_off(target.disable_triggers, tried, &target.url.user)?;
    }
    Ok(wire)
}

pub(super) fn at_target(error: Error) -> Trouble {
    match error.kind() {
        Kind::Transient => Trouble::Connection(error.context("target")),
        _ => Trouble::Table(error.context("target")),
    }
}
