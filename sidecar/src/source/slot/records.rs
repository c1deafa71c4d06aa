//! What the source itself keeps of this slot, in `pgstream.slots` and `pgstream.schema_log_acks`: schema versions it has passed, and, for a
//! sink that stores nothing, the position it is not confirmed past.
//!
//! ```text
//! batch --note--> acks (a fact of the log: before the sink) --sink--> acknowledge--> schema_log.acked (after it)
//! position reached --move_to--> slots.position --limit--> checkpoint
//! ```
//!
//! Why no version is lost: its ack is durable here before the sink is given the batch, and the slot is not confirmed past its transaction
//! until the flag is written as well. A row can be seen later than its commit is streamed (synchronous replication): the stream goes on,
//! unconfirmed, and the row is looked for again, up to [`PATIENCE`]; then it was removed, and only the flag is missing.
//!
//! Why a slot made anew is noticed: it stands further than the stored position. Why an idle database becomes quiet: the position is stored
//! [`AHEAD`] of what was reached, which is more than the writing of it adds to the log, so no write causes the next. At a
//! clean stop it is exact. What remains: after a crash, a slot made anew within those bytes is not told from the old one.
//!
//! All of this is bookkeeping: a login that may not write it is told once, and streams.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::types::PgLsn;
use tokio_postgres::Client;

use super::Identity;
use crate::error::{Error, Result};
use crate::event::Lsn;
use crate::pipeline::batch::PassedVersion;
use crate::postgres::sql;

/// A statement of ours must not wait for a standby, and a lock on our tables must not hold the stream up for long.
const SETTINGS: &str = "set synchronous_commit = local; set statement_timeout = '30s'";
const POSITION: &str = "select system_identifier::text, stored from pgstream.slot_position($1)";
const MOVE: &str = "select pgstream.move_slot($1, $2)";
const ACKNOWLEDGE: &str = "select pgstream.acknowledge($1, $2, $3, $4, $5)";

/// How far ahead of what was reached the position is stored: more than one write of it can add to the log (a few whole pages).
const AHEAD: u64 = 64 << 10;
/// The position is stored at most this often.
const MOVE_EVERY: Duration = Duration::from_secs(10);
/// A row not seen yet is looked for again after this, then after twice as long, and so on up to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// A row not seen after this long is taken for removed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The source's records of one slot.
pub struct Records {
    slot: String,
    /// They can be written.
    kept: bool,
    /// The slot is not confirmed past this; `None` when the sink knows its position itself.
    position: Option<Lsn>,
    moved: Option<Instant>,
    /// The position was not stored because that was just done.
    behind: bool,
    waiting: Vec<PassedVersion>,
    look: Look,
}

/// When rows that are waited for are looked for.
struct Look {
    since: Instant,
    next: Instant,
    pause: Duration,
}

impl Look {
    fn new() -> Self {
        let now = Instant::now();
        Self { since: now, next: now, pause: PAUSE.0 }
    }

    fn again(&mut self) {
        self.next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE.1);
    }
}

impl Records {
    /// Reads the records and makes good what a crash left undone. `start` is where the stream starts, `remembered` tells that the sink
    /// stored it.
    ///
    /// # Errors
    /// Fatal when the slot is not the one that was read last, as far as these records know.
    pub async fn open(client: &Client, identity: &Identity, start: Lsn, remembered: bool) -> Result<Self> {
        client.batch_execute(SETTINGS).await.map_err(|error| sql::of(error).context("source"))?;
        let slot = identity.slot.clone();
        let mut records = Self {
            slot,
            kept: true,
            position: None,
            moved: None,
            behind: false,
            waiting: Vec::new(),
            look: Look::new(),
        };
        let found = client.query_one(POSITION, &[&records.slot]).await;
        let Some(row) = records.tolerate(found)? else { return Ok(records) };
        let stored = row.get::<_, Option<PgLsn>>(1).map(|at| Lsn(at.into()));
        match row.get::<_, Option<String>>(0) {
            Some(system) if !remembered => {
                // Writes nothing, and tells whether it could: a position nobody could move says nothing about the slot.
                records.store(client, stored).await?;
                if records.kept {
                    check(identity, &system, stored)?;
                    records.position = Some(stored.unwrap_or(start));
                }
            }
            Some(_) if stored.is_some() => records.store(client, None).await?,
            Some(_) => {}
            None => {
                tracing::debug!(slot = %identity.slot, "not a slot of `pgstream init`: no position is stored for it")
            }
        }
        records.call(client, &[], Some(start)).await?;
        Ok(records)
    }

    /// Keeps where these versions stand, before the sink is given their batch.
    pub async fn note(&mut self, client: &Client, versions: &[PassedVersion]) -> Result<()> {
        if versions.is_empty() {
            return Ok(());
        }
        self.call(client, versions, None).await.map(drop)
    }

    /// The sink has them: flags their rows, or waits until they can be seen.
    pub async fn acknowledge(&mut self, client: &Client, versions: Vec<PassedVersion>) -> Result<()> {
        if versions.is_empty() || !self.kept {
            return Ok(());
        }
        if self.waiting.is_empty() {
            self.look = Look::new();
        }
        self.waiting.extend(versions);
        self.look(client).await
    }

    /// Looks for the rows that are waited for.
    pub async fn look(&mut self, client: &Client) -> Result<()> {
        let versions = std::mem::take(&mut self.waiting);
        let Some(last) = versions.last() else { return Ok(()) };
        let unseen = self.call(client, &versions, Some(last.end)).await?;
        if unseen == 0 {
            return Ok(());
        }
        if self.look.since.elapsed() >= PATIENCE {
            tracing::debug!(
                unseen,
                "rows of pgstream.schema_log are not there any more: not marked as acked"
            );
            return Ok(());
        }
        self.look.again();
        self.waiting = versions;
        Ok(())
    }

    /// When [`look`](Self::look) is to be called, or the position stored.
    pub fn due(&self) -> Option<Instant> {
        let look = (!self.waiting.is_empty()).then_some(self.look.next);
        let moved = self.moved.filter(|_| self.behind).map(|moved| moved + MOVE_EVERY);
        look.into_iter().chain(moved).min()
    }

    /// The slot must not be confirmed past this now, as far as the source's records are concerned.
    pub fn limit(&self) -> Option<Lsn> {
        let unseen = self.waiting.first().map(|version| version.after);
        self.position.into_iter().chain(unseen).min()
    }

    /// The position should be stored, now that `at` is reached.
    pub fn lags(&self, at: Lsn) -> bool {
        self.position.is_some_and(|stored| at > stored)
            && self.moved.is_none_or(|moved| moved.elapsed() >= MOVE_EVERY)
    }

    /// Stores that `at` is reached, with room for what comes until the next time. Nothing is written while there is room, nor shortly
    /// after the last time unless it is `urgent`.
    pub async fn move_to(&mut self, client: &Client, at: Lsn, urgent: bool) -> Result<()> {
        self.behind = self.position.is_some_and(|stored| at > stored);
        if !self.behind || !urgent && !self.lags(at) {
            return Ok(());
        }
        (self.moved, self.behind) = (Some(Instant::now()), false);
        self.store(client, Some(Lsn(at.0 + AHEAD))).await
    }

    /// Stores at the end where exactly the slot will be confirmed.
    pub async fn settle(&mut self, client: &Client, at: Lsn) -> Result<()> {
        if self.position.is_none_or(|stored| at == stored) {
            return Ok(());
        }
        self.store(client, Some(at)).await
    }

    async fn store(&mut self, client: &Client, at: Option<Lsn>) -> Result<()> {
        let value = at.map(|at| PgLsn::from(at.0));
        let stored = client.execute(MOVE, &[&self.slot, &value]).await;
        if self.tolerate(stored)?.is_some() {
            self.position = at;
        }
        Ok(())
    }

    /// How many of these versions have no row that can be seen.
    async fn call(
        &mut self,
        client: &Client,
        versions: &[PassedVersion],
        delivered: Option<Lsn>,
    ) -> Result<i32> {
        if !self.kept {
            return Ok(0);
        }
        let schemas: Vec<&str> = versions.iter().map(|version| version.schema.as_str()).collect();
        let numbers: Vec<i64> = versions.iter().map(|version| version.version).collect();
        let commits: Vec<PgLsn> = versions.iter().map(|version| version.end.0.into()).collect();
        let delivered = delivered.map(|at| PgLsn::from(at.0));
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&self.slot, &schemas, &numbers, &commits, &delivered];
        let unseen = client.query_one(ACKNOWLEDGE, &values).await;
        Ok(self.tolerate(unseen)?.map_or(0, |row| row.get(0)))
    }

    /// Where these records cannot be written, that is said once and the stream goes on without them.
    fn tolerate<T>(&mut self, result: std::result::Result<T, tokio_postgres::Error>) -> Result<Option<T>> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => sql::of(error),
        };
        match error.code() {
            // A standby, or a login whose transactions are read-only.
            Some("25006") => tracing::debug!(%error, "the source is read-only: nothing is recorded there"),
            Some("42501") => tracing::warn!(
                "positions and passed schema versions are not recorded at the source: grant execute on function \
                 pgstream.slot_position, pgstream.move_slot, pgstream.acknowledge to this login"
            ),
            Some("42883") => tracing::warn!(
                "positions and passed schema versions are not recorded at the source, its SQL side is older: run pgstream init"
            ),
            _ => return Err(error.context(format_args!("source: record the progress of slot {}", self.slot))),
        }
        (self.kept, self.position, self.behind) = (false, None, false);
        self.waiting.clear();
        Ok(None)
    }
}

fn check(identity: &Identity, system: &str, stored: Option<Lsn>) -> Result<()> {
    let Identity { slot, confirmed, .. } = identity;
    if *system != identity.system {
        return Err(Error::fatal(format!(
            "slot {slot} was set up on another server (system identifier {system}, now {}): this database is a copy",
            identity.system
        ))
        .hint("run pgstream init here, and copy the tables again"));
    }
    match stored {
        Some(stored) if *confirmed > stored => Err(Error::fatal(format!(
            "slot {slot} stands at {confirmed}, but was only read up to {stored}: it was made anew"
        ))
        .hint(
            "changes in between are lost for whoever reads this output: run pgstream destroy and pgstream init, and copy the tables \
             again with --resnapshot",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(confirmed: u64) -> Identity {
        Identity { system: "7".into(), database: "app".into(), slot: "s".into(), confirmed: Lsn(confirmed) }
    }

    #[test]
    fn a_slot_is_known_by_its_position_and_server() {
        assert!(check(&identity(10), "7", Some(Lsn(10))).is_ok());
        assert!(check(&identity(10), "7", None).is_ok(), "the sink kept it until now");
        assert!(check(&identity(11), "7", Some(Lsn(10))).is_err());
        assert!(check(&identity(10), "8", Some(Lsn(10))).is_err());
    }

    #[tokio::test]
    async fn the_slot_waits_for_the_position_and_for_rows_not_seen() {
        let version =
            |after, end| PassedVersion { schema: "s".into(), version: 1, after: Lsn(after), end: Lsn(end) };
        let waiting = vec![version(20, 30), version(30, 40)];
        let mut records = Records {
            slot: "s".into(),
            kept: true,
            position: Some(Lsn(25)),
            moved: None,
            behind: false,
            waiting,
            look: Look::new(),
        };
        assert_eq!(records.limit(), Some(Lsn(20)));
        assert!(records.due().is_some());
        records.waiting.clear();
        assert_eq!(records.limit(), Some(Lsn(25)));
        assert!(records.lags(Lsn(26)) && !records.lags(Lsn(25)));
        records.moved = Some(Instant::now());
        assert!(!records.lags(Lsn(26)), "not twice within ten seconds");
    }
}
