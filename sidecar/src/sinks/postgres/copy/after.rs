//! What comes after the rows: indexes, constraints and triggers, then statistics; several at a time.
//!
//! A statement is ready when all it needs are done. Two statements on one table run together only when their locks allow it (several
//! CREATE INDEX do), so nobody waits for a lock with a worker in hand, and no two foreign keys deadlock. Each statement and the
//! note that it is done are one transaction: after a crash, the rest is done.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::ledger::{Ledger, Pending};
use crate::config::plan::PostgresTarget;
use crate::error::{Error, Kind, Result};
use crate::postgres::wire::{Purpose, Wire};
use crate::run::Tasks;
use crate::sinks::postgres::session;
use crate::sinks::postgres::statement::{ident, literal};
use crate::source::snapshot::schema;
use crate::source::snapshot::tables::Asked;

/// Memory for an index build, where the server's own setting is lower: what a build needs depends on the table, not on the server's usual work.
const MAINTENANCE: &str =
    "select pg_catalog.set_config('maintenance_work_mem', '256MB', false) from pg_catalog.pg_settings \
    where name = 'maintenance_work_mem' and setting::bigint < 262144";
const MOST_ATTEMPTS: u32 = 6;

/// Statements to run.
pub(super) struct Work {
    target: PostgresTarget,
    settings: Vec<(String, String)>,
    list: Vec<Pending>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    running: HashSet<usize>,
    done: HashSet<usize>,
    failed: Vec<(usize, Error)>,
    lost: Option<Error>,
}

enum Next {
    Run(usize),
    Wait,
    Nothing,
}

/// Runs what waits for the rows. Answers what failed: name and why; what needs those is left pending as well.
pub(super) async fn run(
    target: &PostgresTarget,
    ledger: &Ledger,
    settings: &[(String, String)],
    workers: usize,
) -> Result<Vec<(String, Error)>> {
    let list = ledger.pending().await?;
    if list.is_empty() {
        return Ok(Vec::new());
    }
    tracing::info!(statements = list.len(), "making indexes and constraints");
    let workers = workers.min(list.len());
    let work = Arc::new(Work {
        target: target.clone(),
        settings: settings.to_vec(),
        list,
        state: Mutex::default(),
        changed: Notify::new(),
    });
    Tasks::start((0..workers).map(|_| worker(Arc::clone(&work)))).all().await?;
    let mut state = work.state.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.lost.take() {
        return Err(error);
    }
    let mut failed = Vec::new();
    for (index, error) in std::mem::take(&mut state.failed) {
        failed.push((work.list[index].label(), error));
    }
    let left = work.list.len() - state.done.len() - failed.len();
    if left > 0 {
        tracing::warn!(statements = left, "left for the next run: they need what failed");
    }
    Ok(failed)
}

impl Pending {
    fn label(&self) -> String {
        format!("{} {}", self.kind.to_lowercase(), self.name)
    }

    fn conflicts(&self, other: &Self) -> bool {
        !(self.shared && other.shared) && self.tables.iter().any(|table| other.tables.contains(table))
    }
}

impl Work {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Next {
        let mut state = self.state();
        if state.lost.is_some() {
            return Next::Nothing;
        }
        let failed = |index: &usize| state.failed.iter().any(|(failed, _)| failed == index);
        let open =
            |index: &usize| !state.done.contains(index) && !failed(index) && !state.running.contains(index);
        let undone = |id: &i64, snapshot: i64| {
            let index = self.list.iter().position(|other| other.id == *id && other.snapshot == snapshot);
            index.is_some_and(|index| !state.done.contains(&index))
        };
        let ready = (0..self.list.len()).filter(open).find(|index| {
            let item = &self.list[*index];
            item.needs.iter().all(|id| !undone(id, item.snapshot))
                && state.running.iter().all(|other| !item.conflicts(&self.list[*other]))
        });
        match ready {
            Some(index) => {
                state.running.insert(index);
                Next::Run(index)
            }
            None if state.running.is_empty() => Next::Nothing,
            None => Next::Wait,
        }
    }
}

async fn worker(work: Arc<Work>) {
    let mut wire: Option<Prepared> = None;
    loop {
        let changed = work.changed.notified();
        let index = match work.next() {
            Next::Run(index) => index,
            Next::Wait => {
                changed.await;
                continue;
            }
            Next::Nothing => break,
        };
        let result = attempts(&work, &mut wire, &work.list[index]).await;
        {
            let mut state = work.state();
            state.running.remove(&index);
            match result {
                Ok(()) => drop(state.done.insert(index)),
                Err(error) if error.kind() == Kind::Transient => drop(state.lost.get_or_insert(error)),
                Err(error) => {
                    tracing::error!("{error}");
                    state.failed.push((index, error));
                }
            }
        }
        work.changed.notify_waiters();
    }
    work.changed.notify_waiters();
    if let Some(Prepared { wire, .. }) = wire {
        wire.close().await;
    }
}

/// Runs one statement; a lost connection or a deadlock is no reason to give up.
async fn attempts(work: &Work, wire: &mut Option<Prepared>, item: &Pending) -> Result<()> {
    let mut failed = 0;
    loop {
        let error = match once(work, wire, item).await {
            Ok(()) => return Ok(()),
            Err(error) => schema::explain(&item.kind, &item.name, error),
        };
        *wire = None;
        failed += 1;
        if error.kind() != Kind::Transient || failed >= MOST_ATTEMPTS {
            return Err(error);
        }
        crate::retry::wait(std::time::Duration::from_millis(200) * failed).await;
    }
}

async fn once(work: &Work, wire: &mut Option<Prepared>, item: &Pending) -> Result<()> {
    if wire.as_ref().is_some_and(|open| open.snapshot != item.snapshot) {
        *wire = None;
    }
    let open = match wire {
        Some(open) => &mut open.wire,
        None => &mut wire.insert(Prepared { wire: connect(work, item).await?, snapshot: item.snapshot }).wire,
    };
    let key = format!("snapshot = {} and id = {}", item.snapshot, item.id);
    let waits = format!("select '1' from pgstream_sink.pending where {key}");
    if open.simple_query(&waits).await?.is_empty() {
        return Ok(()); // committed by an attempt whose answer was lost
    }
    // The statement first: the note holds no lock while it runs.
    let sql = format!(
        "begin; {}; delete from pgstream_sink.pending where {key}; commit",
        item.sql.trim_end().trim_end_matches(';')
    );
    open.simple_query(&sql).await.map(drop)
}

/// A session prepared for the statements of a snapshot.
struct Prepared {
    wire: Wire,
    snapshot: i64,
}

async fn connect(work: &Work, item: &Pending) -> Result<Wire> {
    let mut wire = Wire::connect(&work.target.url, Purpose::Sql).await?;
    wire.simple_query(session::SETTINGS).await?;
    wire.simple_query(&item.session).await?;
    wire.simple_query(MAINTENANCE).await?;
    for (name, value) in &work.settings {
        let sql = format!("select pg_catalog.set_config({}, {}, false)", literal(name), literal(value));
        wire.simple_query(&sql)
            .await
            .map_err(|error| error.context(format_args!("index_constraint_session_settings: {name}")))?;
    }
    Ok(wire)
}

/// Statistics for the tables, so that the target's plans are right from the first query on. What fails is only a warning.
pub(super) async fn analyze(target: &PostgresTarget, tables: &[Asked], workers: usize) -> Result<()> {
    let sql = |table: &Asked| format!("analyze {}.{}", ident(&table.schema), ident(&table.name));
    // Of a partitioned table all partitions are looked at with it.
    let tables: Vec<String> = tables.iter().filter(|table| !table.within).rev().map(sql).collect();
    let workers = workers.min(tables.len());
    let queue = Arc::new(Mutex::new(tables));
    let tasks = Tasks::start((0..workers).map(|_| analyst(target.clone(), Arc::clone(&queue))));
    tasks.all().await?.into_iter().collect()
}

/// Runs what is in the queue.
async fn analyst(target: PostgresTarget, queue: Arc<Mutex<Vec<String>>>) -> Result<()> {
    let mut wire = Wire::connect(&target.url, Purpose::Sql).await?;
    wire.simple_query(session::SETTINGS).await?;
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    while let Some(sql) = next() {
        match wire.simple_query(&sql).await {
            Err(error) if error.kind() == Kind::Transient => return Err(error),
            Err(error) => tracing::warn!("{}", error.context(sql)),
            Ok(_) => {}
        }
    }
    wire.close().await;
    Ok(())
}
