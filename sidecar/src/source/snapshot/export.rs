//! The snapshot all parts of a copy are read under: exported by one session, taken over by the others.
//!
//! ```text
//! export session   begin, pg_export_snapshot ................................................ end
//! worker sessions        begin, set transaction snapshot, copy a range, commit   (again and again)
//! ```
//!
//! A plain transaction exports it: that needs no slot, no replication right, and waits for nobody. Which transactions of the stream
//! are in the copy is decided by their ids (see [`View`]).

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use super::session::Handed;
use super::view::View;
use crate::error::{Error, Result};
use crate::event::Lsn;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::sql;
use crate::retry;

/// A snapshot, held for as long as this value lives.
pub struct Export {
    /// The session that holds it: repeatable read, read only, within the snapshot.
    pub client: Client,
    /// The name other sessions take it over by.
    pub id: String,
    /// What it sees.
    pub view: View,
    /// The position that events of the copy carry: it shows everything that commits before it.
    pub at: Lsn,
}

/// Settings of every session that reads for a copy: nothing cuts it short, and rows that a policy hides are an error.
pub const READ_SETTINGS: &str = "select pg_catalog.set_config(s.name, v.value, false) from (values
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('row_security', 'off'), ('DateStyle', 'ISO'),
    ('client_connection_check_interval', '1s'))
    v (name, value) join pg_catalog.pg_settings s using (name)";

const EXPORT: &str = "select pg_catalog.pg_export_snapshot(), pg_catalog.pg_current_snapshot()::text, (case \
    when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() \
    else pg_catalog.pg_current_wal_insert_lsn() end)::text";

const FLUSHED: &str =
    "select pg_catalog.pg_is_in_recovery() or pg_catalog.pg_current_wal_flush_lsn() >= $1::text::pg_lsn";

/// Sessions that hold transactions older than that one.
const OLDER: &str = "select pg_catalog.string_agg(pg_catalog.format('%s (%s, %s)', pid, usename, state), ', ') \
    from pg_catalog.pg_stat_activity where backend_xid::text::bigint < ($1::text::numeric % 4294967296)::bigint";

const WAL_PAGE: u64 = 8192;
const PAUSE: Duration = Duration::from_millis(100);
const TELL_EVERY: Duration = Duration::from_secs(10);

impl Export {
    /// As workers take it over.
    pub fn handed(&self) -> Handed {
        Handed { id: self.id.clone(), view: self.view.to_string() }
    }

    /// Waits until nothing that the snapshot shows can be lost by a crash of the source: commits that did not wait for the disk are on it.
    pub async fn settle(&self) -> Result<()> {
        while !self.is_flushed().await? {
            retry::wait(PAUSE / 5).await;
        }
        Ok(())
    }

    async fn is_flushed(&self) -> Result<bool> {
        // Where the next record will be is behind the header of its page; what is flushed ends before it.
        let next = self.view.end.0;
        let header = next % WAL_PAGE;
        let end = if matches!(header, 24 | 40) { Lsn(next - header) } else { Lsn(next) };
        Ok(self.client.query_one(FLUSHED, &[&end.to_string()]).await.map_err(sql::of)?.get(0))
    }

    /// Whether the server reads a range of pages without reading the whole table (PostgreSQL 14).
    pub async fn cuts(&self) -> Result<bool> {
        let sql = "select pg_catalog.current_setting('server_version_num')::int >= 140000";
        Ok(self.client.query_one(sql, &[]).await.map_err(sql::of)?.get(0))
    }

    /// Takes a snapshot. `after`: the transaction id that was next when the slot was made; the snapshot is taken when all
    /// transactions older than it have ended, since the slot may not show them. `sees`: also one that shows this transaction of the stream,
    /// which may have been streamed before others can see it.
    ///
    /// # Errors
    /// Transient when the source cannot be reached.
    pub async fn take(url: &ConnInfo, after: Option<u64>, sees: Option<u32>) -> Result<Self> {
        let client = sql::connect(url).await?;
        client.batch_execute(READ_SETTINGS).await.map_err(sql::of)?;
        let mut told = None;
        loop {
            client.batch_execute("begin isolation level repeatable read read only").await.map_err(sql::of)?;
            let row = client.query_one(EXPORT, &[]).await.map_err(sql::of)?;
            let end: String = row.get(2);
            let end: Lsn = end.parse().map_err(|error| Error::fatal(format!("{error}")))?;
            let view = View::new(row.get(1), end)?;
            let after = after.max(sees.map(|xid| view.whole(xid) + 1));
            let Some(after) = after.filter(|after| view.waits_for_older_than(*after)) else {
                let export = Self { client, id: row.get(0), view, at: end };
                if !export.is_flushed().await? {
                    // A commit that does not wait for the disk makes the server write the log up to it, within moments.
                    let nudge = sql::connect(url).await?;
                    nudge.batch_execute("select pg_catalog.pg_current_xact_id()").await.map_err(sql::of)?;
                }
                return Ok(export);
            };
            client.batch_execute("rollback").await.map_err(sql::of)?;
            if told.is_none_or(|told: Instant| told.elapsed() > TELL_EVERY) {
                let whom = client.query_one(OLDER, &[&after.to_string()]).await.map_err(sql::of)?;
                let whom: Option<String> = whom.get(0);
                tracing::info!(
                    sessions = whom.as_deref().unwrap_or("prepared transactions"),
                    "waiting for transactions older than the slot to end"
                );
                told = Some(Instant::now());
            }
            retry::wait(PAUSE).await;
        }
    }
}
