//! A PostgreSQL database: each transaction of the source becomes one transaction here, with the source's position in it.
//!
//! ```text
//! session    statements queued with what they are for, sent in one round
//! progress   the position, stored in the transaction that writes the rows
//! table      what the target's catalogue says of a table      shape      which statement a change needs
//! statement  the texts
//! ddl        schema changes replayed in the same transaction             held       rows that wait for their table
//! sequences  moved forward                                                barrier    where streams wait for each other
//! ```
//!
//! Several transactions travel in one round: the server skips all that follow a failure, so they stay ordered. Only the last
//! commit of a round waits for the disk, which makes all of them durable. A transaction that goes on in the next batch stays open here.

mod barrier;
pub mod copy;
mod ddl;
mod held;
mod progress;
mod sequences;
mod session;
mod shape;
mod statement;
mod table;

use std::collections::HashSet;
use std::sync::Arc;

use super::{Barrier, Batch, Passage, SequenceValues};
use crate::config::plan::PostgresTarget;
use crate::error::Result;
use crate::event::{Change, Commit, Ddl, Event, Lsn, Relation, Truncate};
use crate::pipeline::seen::Seen;
use crate::postgres::sql;
use crate::source::slot::Identity;

use ddl::Replay;
use held::Held;
use progress::Progress;
use session::{Session, Step};
use table::Tables;

/// Makes a target forget a slot's position and what was copied from its database.
pub async fn forget(target: &PostgresTarget, slot: &str, database: &str) -> Result<()> {
    let client = sql::connect(&target.url).await?;
    progress::forget(&client, slot, database).await?;
    copy::memory::forget(&client, database).await
}

/// A PostgreSQL target.
pub struct Postgres {
    target: PostgresTarget,
    session: Session,
    progress: Progress,
    tables: Tables,
    replay: Replay,
    held: Held,
    /// The transaction in hand has written something: it is open at the target.
    begun: bool,
    /// End of the last transaction committed in this round.
    committed: Option<Lsn>,
    /// Tables rewritten with values that no stream carries: they are noted as not copied, and changes of their rows are passed over.
    rewritten: HashSet<u32>,
}

impl Postgres {
    /// Connects, finds out what the login may do, and where the target is. Makes only pgstream's own progress table.
    pub async fn open(target: &PostgresTarget, source: &Identity) -> Result<Self> {
        let mut session = Session::open(target).await?;
        let progress = Progress::open(&mut session, source, target.origin).await?;
        Ok(Self {
            target: target.clone(),
            session,
            progress,
            tables: Tables::default(),
            replay: Replay::default(),
            held: Held::default(),
            begun: false,
            committed: None,
            rewritten: HashSet::new(),
        })
    }

    /// The position stored here. Transactions that had nothing for this target move it only by [`Postgres::advance`].
    #[allow(clippy::unnecessary_wraps)] // the contract of all sinks
    pub fn progress(&self) -> Option<Lsn> {
        Some(self.progress.durable())
    }

    /// What copies hold of the changes that come now.
    pub async fn seen(&mut self, source: &Identity) -> Result<Seen> {
        let from = self.progress.durable();
        copy::memory::seen(&mut self.session, &source.system, &source.database, from).await
    }

    /// Tables whose copy was begun and not completed, by their oid at the source.
    pub async fn begun(&mut self, source: &Identity) -> Result<Vec<u32>> {
        copy::memory::begun(&mut self.session, &source.system, &source.database).await
    }

    /// Tables rewritten since the last call. Whoever asks sees to their changes from here on.
    pub fn rewritten(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.rewritten).into_iter().collect()
    }

    /// Writes a batch; after Ok its whole transactions are flushed.
    pub async fn write(&mut self, batch: Batch) -> Result<()> {
        self.progress.remember(batch.marks);
        let last = batch.events.iter().rposition(|event| matches!(event, Event::Commit(_)));
        for (index, event) in batch.events.into_iter().enumerate() {
            match event {
                Event::Change(change) => self.change(change).await?,
                Event::Truncate(truncate) => self.truncate(&truncate).await?,
                Event::Ddl(ddl) => self.ddl(ddl).await?,
                Event::Commit(commit) => self.commit(commit, Some(index) == last).await?,
                Event::Begin(_) | Event::Message(_) | Event::Keepalive(_) => {}
            }
            if self.session.is_full() {
                self.session.sync().await?;
            }
        }
        match self.committed.take() {
            Some(end) => self.progress.flush(&mut self.session, end, self.begun).await,
            None => self.session.sync().await.map(drop),
        }
    }

    /// Stores a position reached without writes.
    pub async fn advance(&mut self, at: Lsn) -> Result<()> {
        if at <= self.progress.durable() || self.begun {
            return Ok(());
        }
        self.progress.flush(&mut self.session, at, false).await
    }

    /// What was stored with the position.
    pub fn mark(&self) -> Option<&str> {
        self.progress.mark()
    }

    /// Our stream has reached a barrier.
    pub async fn reach(&mut self, barrier: &Barrier) -> Result<Passage> {
        let passage = barrier::reach(&mut self.session, self.progress.source(), barrier).await?;
        if passage == Passage::Pass {
            // Another session has changed what we know of tables.
            self.tables.clear();
            self.session.forget()?;
        }
        Ok(passage)
    }

    /// Moves sequences forward, never back. Those the target does not have are passed over.
    pub async fn sequences(&mut self, values: &SequenceValues) -> Result<()> {
        sequences::set(&mut self.session, values).await
    }

    /// Ends the session; an open transaction is rolled back by the server.
    pub async fn close(self) -> Result<()> {
        self.session.close().await;
        Ok(())
    }

    /// Opens the target transaction, at the first statement that needs it.
    fn begin(&mut self) -> Result<()> {
        if !self.begun {
            self.session.own("begin")?;
            self.begun = true;
        }
        Ok(())
    }

    /// A transaction of the source ends. `last`: no other ends in this round.
    async fn commit(&mut self, commit: Commit, last: bool) -> Result<()> {
        for ddl in self.replay.rest() {
            self.replay(&ddl).await?;
        }
        self.release().await?;
        if let Some(relation) = self.held.first() {
            return Err(table::missing(relation));
        }
        if !std::mem::take(&mut self.begun) {
            return Ok(());
        }
        if !last {
            self.session.own("set local synchronous_commit = off")?;
        }
        self.progress.store(&mut self.session, commit)?;
        self.session.own("commit")?;
        self.committed = Some(commit.end);
        Ok(())
    }

    async fn change(&mut self, change: Change) -> Result<()> {
        if self.session.is_crowded() {
            self.tables.clear();
            self.session.forget()?;
        }
        if self.rewritten.contains(&change.relation.oid) {
            return Ok(());
        }
        if self.replay.is_waiting() || self.held.holds(&change.relation) {
            return self.held.push(change);
        }
        if self.tables.get(&change.relation).is_none()
            && !self.tables.find(&mut self.session, &change.relation).await?
        {
            return self.held.push(change);
        }
        self.apply(&change)
    }

    /// Queues a change of a table that is there.
    fn apply(&mut self, change: &Change) -> Result<()> {
        self.begin()?;
        let Some(table) = self.tables.get(&change.relation) else {
            return Err(table::missing(&change.relation));
        };
        shape::apply(&mut self.session, table, change, self.target.on_conflict)
    }

    async fn ddl(&mut self, ddl: Arc<Ddl>) -> Result<()> {
        if self.target.ignore_ddl {
            return Ok(());
        }
        for ddl in self.replay.take(ddl) {
            self.replay(&ddl).await?;
        }
        self.release().await
    }

    async fn replay(&mut self, ddl: &Ddl) -> Result<()> {
        self.begin()?;
        for (oid, name) in self.replay.run(&mut self.session, &self.target, ddl).await? {
            copy::memory::rewritten(&mut self.session, self.progress.source(), oid, &name)?;
            self.rewritten.insert(oid);
        }
        self.tables.clear();
        Ok(())
    }

    /// Writes the changes whose tables a schema change has just made; the others go on waiting.
    async fn release(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let mut released = self.held.take()?;
        while let Some(change) = released.next()? {
            self.change(change).await?;
            if self.session.is_full() {
                self.session.sync().await?;
            }
        }
        Ok(())
    }

    async fn look_up(&mut self, relation: &Arc<Relation>) -> Result<()> {
        if self.tables.find(&mut self.session, relation).await? {
            return Ok(());
        }
        Err(table::missing(relation))
    }

    /// All tables at once, as at the source: they may reference each other.
    async fn truncate(&mut self, truncate: &Truncate) -> Result<()> {
        let mut names = Vec::with_capacity(truncate.relations.len());
        for relation in &truncate.relations {
            if self.tables.get(relation).is_none() {
                self.look_up(relation).await?;
            }
            let Some(table) = self.tables.get(relation) else { return Err(table::missing(relation)) };
            names.push(table.rows());
        }
        if names.is_empty() {
            return Ok(());
        }
        let referenced = truncate.apart && self.is_referenced(&truncate.relations).await?;
        self.begin()?;
        let tables = names.join(", ");
        if referenced {
            // It takes all tables that refer to each other, or none.
            for table in names {
                let step = Step::Truncate { lsn: truncate.lsn, tables: tables.clone() };
                self.session.once(step, &format!("delete from {table}"))?;
            }
            return Ok(());
        }
        let restart = if truncate.restart_identity { " restart identity" } else { "" };
        let sql = format!("truncate table {tables}{restart}");
        self.session.once(Step::Truncate { lsn: truncate.lsn, tables }, &sql)
    }

    /// Whether other tables of the target refer to one of these.
    async fn is_referenced(&mut self, relations: &[Arc<Relation>]) -> Result<bool> {
        let sql = "select 't' from pg_catalog.pg_constraint where contype = 'f' and confrelid <> conrelid and confrelid = pg_catalog.to_regclass($1)";
        for relation in relations {
            if !self.session.rows(sql, &[&relation.to_string()]).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
