//! Replaces the rows of a table that is in use: what the target has of it, or of the rows that a filter chooses, is deleted and copied anew in
//! one transaction, so that no reader ever sees half of it.

use std::sync::Arc;

use super::worker::{at_target, Job, Sessions};
use crate::error::{Kind, Result};
use crate::postgres::relay::Passed;
use crate::source::snapshot::ranges::Range;
use crate::source::snapshot::session::trouble;
use crate::source::snapshot::tables::Table;
use crate::source::snapshot::work::{Copier, Trouble};

/// One worker. A range is a whole table.
pub(super) struct Replacer {
    job: Arc<Job>,
    sessions: Option<Sessions>,
}

/// The stream may hold a lock on the table while it waits for us: then one of the two must give up.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '60s'";

impl Replacer {
    pub(super) fn new(job: &Arc<Job>) -> Self {
        Self { job: Arc::clone(job), sessions: None }
    }
}

impl Copier for Replacer {
    async fn copy(&mut self, table: &Table, range: Range) -> std::result::Result<Passed, Trouble> {
        let job = Arc::clone(&self.job);
        let planned = job.planned(table)?;
        let open = Sessions::of(&mut self.sessions, &job).await?;
        open.source.enter(&job.snapshot, table).await?;
        let begin = format!("begin; {LOCK_TIMEOUT}; {}; {}", job.ledger.replace(), planned.delete());
        if let Err(error) = open.target.simple_query(&begin).await {
            if error.code() != Some("55P03") && error.kind() == Kind::Transient {
                return Err(at_target(error));
            }
            open.roll_back().await?;
            return Err(Trouble::Table(error.into_kind(Kind::Fatal).context("target")));
        }
        let passed = open.rows(&job, planned, range).await?;
        let note = match planned.filter {
            // A part of the rows says nothing of the others.
            Some(_) => String::new(),
            None => job.ledger.replaced(table, &job.view, passed) + ";",
        };
        // If the answer is lost, all of it is done once more, with the same result.
        if let Err(error) = open.target.simple_query(&format!("{note} commit")).await {
            if error.kind() != Kind::Transient {
                open.roll_back().await?;
            }
            return Err(at_target(error));
        }
        open.source.wire.simple_query("commit").await.map_err(trouble)?;
        Ok(passed)
    }

    async fn complete(&mut self, _table: &Table) -> Result<()> {
        Ok(())
    }

    fn disconnect(&mut self) {
        self.sessions = None;
    }
}
