//! One worker: a session at the source, one at the target, and a range of a table after the other.
//!
//! ```text
//! source   begin, take the snapshot over, look, COPY out ---------> commit
//! target   begin ....................................... COPY in --> note the range, commit
//! ```
//!
//! Each range is a transaction of its own on both sides, so that a table of the source is never locked for longer than a range takes and a
//! failure costs one range. Looking comes after the table is locked: if its columns or its file are not those the snapshot knew, what is
//! read would not be what the snapshot means (a rewritten table reads as empty), and the table is put aside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::ledger::Ledger;
use super::plan::Planned;
use crate::config::plan::{DisableTriggers, PostgresTarget};
use crate::error::{Error, Kind, Result};
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::relay::{self, Passed, Side};
use crate::postgres::wire::{Purpose, Wire};
use crate::retry;
use crate::sinks::postgres::session;
use crate::source::snapshot::export::{Export, READ_SETTINGS};
use crate::source::snapshot::progress::Progress;
use crate::source::snapshot::ranges::{Next, Range, Ranges};

/// Connections lost in a row before the copy is given up.
const MOST_LOST: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);

/// What all workers share.
pub(super) struct Job {
    pub(super) source: ConnInfo,
    pub(super) target: PostgresTarget,
    /// Name of the exported snapshot, and what it sees, as text.
    pub(super) snapshot: (String, String),
    pub(super) tables: Vec<Planned>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) progress: Arc<Progress>,
    board: Mutex<Board>,
    changed: Notify,
}

/// Who does what, and what came of it.
pub(super) struct Board {
    ranges: Ranges,
    /// Tables that cannot be copied, and why.
    pub(super) failed: BTreeMap<usize, Error>,
    /// Tables that changed since the snapshot was taken.
    pub(super) aside: BTreeSet<usize>,
    /// Why no more can be done under this snapshot.
    pub(super) lost: Option<Error>,
}

/// Why a range was not copied.
enum Trouble {
    /// A connection was lost.
    Connection(Error),
    /// The snapshot is gone.
    Snapshot(Error),
    /// The table is not what the snapshot knew.
    Changed,
    /// This table cannot be copied.
    Table(Error),
}

/// The sessions of a worker.
struct Sessions {
    source: Wire,
    target: Wire,
}

impl Board {
    /// Tables of which everything was copied.
    pub(super) fn complete(&self) -> Vec<usize> {
        self.ranges.complete().collect()
    }
}

impl Job {
    pub(super) fn new(
        source: &ConnInfo,
        target: &PostgresTarget,
        export: &Export,
        tables: Vec<Planned>,
        ranges: Ranges,
        ledger: Arc<Ledger>,
        progress: Arc<Progress>,
    ) -> Arc<Self> {
        let board = Board { ranges, failed: BTreeMap::new(), aside: BTreeSet::new(), lost: None };
        Arc::new(Self {
            source: source.clone(),
            target: target.clone(),
            snapshot: (export.id.clone(), export.view.to_string()),
            tables,
            ledger,
            progress,
            board: Mutex::new(board),
            changed: Notify::new(),
        })
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Next {
        let mut board = self.board();
        if board.lost.is_some() {
            return Next::Nothing;
        }
        board.ranges.next()
    }
}

/// Copies ranges until none is left.
pub(super) async fn work(job: Arc<Job>) {
    let (mut sessions, mut lost) = (None, 0);
    loop {
        let changed = job.changed.notified();
        let range = match job.next() {
            Next::Range(range) => range,
            Next::Wait => {
                changed.await;
                continue;
            }
            Next::Nothing => break,
        };
        match copy(&job, &mut sessions, range).await {
            Ok(passed) => {
                lost = 0;
                done(&job, range, passed).await;
            }
            Err(trouble) => {
                if matches!(trouble, Trouble::Connection(_)) {
                    sessions = None;
                    lost += 1;
                }
                give_back(&job, range, trouble, lost > MOST_LOST);
                job.changed.notify_waiters();
                if lost > 0 {
                    retry::wait(PAUSE * lost).await;
                }
            }
        }
        job.changed.notify_waiters();
    }
    if let Some(Sessions { source, target }) = sessions {
        source.close().await;
        target.close().await;
    }
}

async fn done(job: &Job, range: Range, passed: Passed) {
    let table = &job.tables[range.table].table;
    job.progress.copied(table, passed.rows);
    let complete = job.board().ranges.done(range);
    if complete {
        if let Err(error) = job.ledger.complete(table).await {
            job.board().lost.get_or_insert(error);
            return;
        }
        tracing::debug!(table = %table.relation, "copied");
        job.progress.complete(table);
    }
}

fn give_back(job: &Job, range: Range, trouble: Trouble, enough: bool) {
    let table = &job.tables[range.table].table.relation;
    let mut board = job.board();
    match trouble {
        Trouble::Connection(error) => {
            board.ranges.again(range);
            if enough {
                board.lost.get_or_insert(error);
            } else {
                tracing::warn!(%table, "{error}; the range is copied again");
            }
        }
        Trouble::Snapshot(error) => {
            board.ranges.again(range);
            board.lost.get_or_insert(error);
        }
        Trouble::Changed => {
            board.ranges.close(range);
            if board.aside.insert(range.table) {
                tracing::info!(%table, "the table was changed after the snapshot was taken: it is copied from another one");
            }
        }
        Trouble::Table(error) => {
            board.ranges.close(range);
            if !board.failed.contains_key(&range.table) {
                tracing::error!(%table, "{error}");
                board.failed.insert(range.table, error);
            }
        }
    }
}

async fn copy(
    job: &Job,
    sessions: &mut Option<Sessions>,
    range: Range,
) -> std::result::Result<Passed, Trouble> {
    let planned = &job.tables[range.table];
    let open = match sessions {
        Some(open) => open,
        None => sessions.insert(Sessions::open(job).await?),
    };
    open.enter(job, planned).await?;
    open.target.simple_query(&planned.begin()).await.map_err(at_target)?;
    let seen = |bytes| job.progress.passed(&planned.table, bytes);
    let passed =
        match relay::copy(&mut open.source, &planned.out(range), &mut open.target, &planned.into(), seen)
            .await
        {
            Ok(passed) => passed,
            Err(side) => {
                open.roll_back(&side).await?;
                return Err(match side {
                    Side::Source(error) => at_source(error),
                    Side::Target(error) => at_target(error),
                });
            }
        };
    let note = job.ledger.range(&planned.table, range.number, passed.rows, passed.bytes);
    let end = format!("{}{note}; commit", planned.finish());
    if let Err(error) = open.target.simple_query(&end).await {
        if error.kind() != Kind::Transient || !job.is_noted(planned, range).await {
            open.target.simple_query("rollback").await.map_err(at_target)?;
            return Err(at_target(error));
        }
        // It was committed; only the answer was lost, and with it the session.
        *sessions = None;
        return Ok(passed);
    }
    open.source.simple_query("commit").await.map_err(at_source)?;
    Ok(passed)
}

impl Job {
    /// Whether a range whose commit was not answered is there nevertheless.
    async fn is_noted(&self, planned: &Planned, range: Range) -> bool {
        let ask = async {
            let mut wire = Wire::connect(&self.target.url, Purpose::Sql).await?;
            wire.simple_query(&self.ledger.has_range(&planned.table, range.number)).await
        };
        matches!(ask.await, Ok(rows) if !rows.is_empty())
    }
}

impl Sessions {
    async fn open(job: &Job) -> std::result::Result<Self, Trouble> {
        let mut source = Wire::connect(&job.source, Purpose::Sql).await.map_err(at_source)?;
        source.simple_query(READ_SETTINGS).await.map_err(at_source)?;
        let target = target(&job.target).await.map_err(at_target)?;
        Ok(Self { source, target })
    }

    /// Begins at the source: within the snapshot, and with the table as the snapshot knew it.
    async fn enter(&mut self, job: &Job, planned: &Planned) -> std::result::Result<(), Trouble> {
        let table = &planned.table;
        let (id, view) = &job.snapshot;
        let begin =
            format!("begin isolation level repeatable read read only; set transaction snapshot '{id}'");
        self.source.simple_query(&begin).await.map_err(|error| match error.kind() {
            Kind::Transient => Trouble::Connection(error.context("source")),
            _ => Trouble::Snapshot(error.context("source")),
        })?;
        let look = format!(
            "{}; select pg_catalog.pg_current_snapshot(), pg_catalog.pg_relation_filenode('{}'::pg_catalog.regclass)",
            planned.describe(),
            table.relation.oid
        );
        let answers = match self.source.answers(&look).await {
            Ok(answers) => answers,
            Err(error) => {
                if error.kind() != Kind::Transient {
                    self.source.simple_query("rollback").await.map_err(at_source)?;
                }
                return Err(at_source(error));
            }
        };
        let [columns, facts] = answers.as_slice() else {
            return Err(Trouble::Table(crate::postgres::wire::out_of_order()));
        };
        let expected = table.numbers.iter().zip(&table.types);
        let same = columns.fields.len() == table.numbers.len()
            && columns.fields.iter().zip(expected).all(|(field, (number, declared))| {
                field.table == table.relation.oid && field.number == *number && field.type_oid == *declared
            });
        let [Some(now), file] = facts.rows.first().map_or(&[][..], Vec::as_slice) else {
            return Err(Trouble::Table(crate::postgres::wire::out_of_order()));
        };
        if now != view {
            return Err(Trouble::Snapshot(Error::transient(format!(
                "a worker sees {now}, not the snapshot {view}"
            ))));
        }
        if !same || file.as_deref() != Some(table.file.to_string().as_str()) {
            self.source.simple_query("rollback").await.map_err(at_source)?;
            return Err(Trouble::Changed);
        }
        Ok(())
    }

    /// After a failed COPY that left both sessions usable.
    async fn roll_back(&mut self, side: &Side) -> std::result::Result<(), Trouble> {
        let (Side::Source(error) | Side::Target(error)) = side;
        if error.kind() == Kind::Transient {
            return Ok(());
        }
        self.source.simple_query("rollback").await.map_err(at_source)?;
        self.target.simple_query("rollback").await.map_err(at_target)?;
        Ok(())
    }
}

/// A session that writes rows: triggers and foreign keys are off where they may be.
pub(super) async fn target(target: &PostgresTarget) -> Result<Wire> {
    let mut wire = Wire::connect(&target.url, Purpose::Sql).await?;
    wire.simple_query(session::SETTINGS).await?;
    match target.disable_triggers {
        DisableTriggers::Never => {}
        DisableTriggers::Always => drop(wire.simple_query(session::REPLICA).await?),
        DisableTriggers::Auto => match wire.simple_query(session::REPLICA).await {
            Err(error) if error.code() != Some("42501") => return Err(error),
            Ok(_) | Err(_) => {}
        },
    }
    Ok(wire)
}

/// What an error of the source means for a range.
fn at_source(error: Error) -> Trouble {
    match (error.kind(), error.code()) {
        (Kind::Transient, _) => Trouble::Connection(error.context("source")),
        // undefined table, column, schema: dropped or renamed
        (_, Some("42P01" | "42703" | "3F000")) => Trouble::Changed,
        _ => Trouble::Table(error.context("source")),
    }
}

fn at_target(error: Error) -> Trouble {
    match error.kind() {
        Kind::Transient => Trouble::Connection(error.context("target")),
        _ => Trouble::Table(error.context("target")),
    }
}
