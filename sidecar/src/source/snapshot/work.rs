//! The workers of a copy: each takes a range after the other until none is left, whatever the sink does with it.
//!
//! What goes wrong is sorted by what it costs: a lost connection costs the range, a changed table waits for another snapshot, a
//! table that cannot be copied is given up while the others go on, and a lost snapshot ends the round.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::progress::Progress;
use super::ranges::{Next, Range, Ranges};
use super::tables::Table;
use crate::error::{Error, Result};
use crate::postgres::relay::Passed;
use crate::retry;
use crate::run::Tasks;

/// Connections lost in a row before the round is given up.
const MOST_LOST: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);

/// Why a range was not copied.
#[derive(Debug)]
pub enum Trouble {
    /// A connection was lost.
    Connection(Error),
    /// The snapshot is gone.
    Snapshot(Error),
    /// The table is not what the snapshot knew.
    Changed,
    /// This table cannot be copied.
    Table(Error),
}

/// What a sink does with ranges. Each worker has one of its own.
pub trait Copier: Send + 'static {
    /// Copies a range; `Ok` when it will not have to be copied again.
    fn copy(
        &mut self,
        table: &Table,
        range: Range,
    ) -> impl Future<Output = std::result::Result<Passed, Trouble>> + Send;

    /// All ranges of a table were copied.
    fn complete(&mut self, table: &Table) -> impl Future<Output = Result<()>> + Send;

    /// Gives up its connections: one of them was lost.
    fn disconnect(&mut self);
}

/// What all workers of a round share.
pub struct Work {
    tables: Vec<Table>,
    progress: Arc<Progress>,
    board: Mutex<Board>,
    changed: Notify,
}

/// Who does what, and what came of it.
struct Board {
    ranges: Ranges,
    failed: BTreeMap<usize, Error>,
    aside: BTreeSet<usize>,
    lost: Option<Error>,
}

/// What came of a round.
#[derive(Debug, Default)]
pub struct Done {
    /// Tables of which everything was copied: their index.
    pub complete: Vec<usize>,
    /// Tables that cannot be copied, and why.
    pub failed: Vec<(usize, Error)>,
    /// Tables that changed after the snapshot was taken.
    pub aside: Vec<usize>,
    /// Why no more could be done under this snapshot.
    pub lost: Option<Error>,
}

impl Work {
    /// Ranges of those tables.
    pub fn new(tables: Vec<Table>, ranges: Ranges, progress: Arc<Progress>) -> Arc<Self> {
        let board = Board { ranges, failed: BTreeMap::new(), aside: BTreeSet::new(), lost: None };
        Arc::new(Self { tables, progress, board: Mutex::new(board), changed: Notify::new() })
    }

    /// Lets the copiers work until nothing is left to do.
    pub async fn run<C: Copier>(self: Arc<Self>, copiers: Vec<C>) -> Result<Done> {
        Tasks::start(copiers.into_iter().map(|copier| Arc::clone(&self).worker(copier))).all().await?;
        let mut board = self.board();
        Ok(Done {
            complete: board.ranges.complete().collect(),
            failed: std::mem::take(&mut board.failed).into_iter().collect(),
            aside: std::mem::take(&mut board.aside).into_iter().collect(),
            lost: board.lost.take(),
        })
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Next {
        let mut board = self.board();
        if board.lost.is_some() {
            return Next::Nothing;
        }
        board.ranges.hand_out()
    }

    async fn worker<C: Copier>(self: Arc<Self>, mut copier: C) {
        let mut lost = 0;
        loop {
            let changed = self.changed.notified();
            let range = match self.next() {
                Next::Range(range) => range,
                Next::Wait => {
                    changed.await;
                    continue;
                }
                Next::Nothing => break,
            };
            let table = &self.tables[range.table];
            match copier.copy(table, range).await {
                Ok(passed) => {
                    lost = 0;
                    self.progress.copied(passed.rows);
                    let complete = self.board().ranges.done(range);
                    if complete {
                        self.complete(&mut copier, range.table).await;
                    }
                }
                Err(trouble) => {
                    if matches!(trouble, Trouble::Connection(_)) {
                        copier.disconnect();
                        lost += 1;
                    }
                    self.give_back(range, trouble, lost > MOST_LOST);
                }
            }
            self.changed.notify_waiters();
            if lost > 0 {
                retry::wait(PAUSE * lost).await;
            }
        }
    }

    async fn complete<C: Copier>(&self, copier: &mut C, index: usize) {
        let table = &self.tables[index];
        match copier.complete(table).await {
            Ok(()) => {
                tracing::debug!(table = %table.relation, "copied");
                self.progress.complete(table);
            }
            // Without its note it is not copied: the target may have lost ranges that were not on disk yet.
            Err(error) => {
                let mut board = self.board();
                board.ranges.disown(index);
                board.lost.get_or_insert(error);
            }
        }
    }

    fn give_back(&self, range: Range, trouble: Trouble, enough: bool) {
        let table = &self.tables[range.table].relation;
        let mut board = self.board();
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
                    tracing::info!(%table, "changed after the snapshot was taken: it is copied from another one");
                }
            }
            Trouble::Table(error) => {
                board.ranges.close(range);
                if let Entry::Vacant(first) = board.failed.entry(range.table) {
                    tracing::error!(%table, "{error}");
                    first.insert(error);
                }
            }
        }
    }
}
