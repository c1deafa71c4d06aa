//! Where the target is in the source's log. The position is stored in the very transaction that writes the rows, so that after
//! any crash rows and position agree: each transaction of the source is applied exactly once.
//!
//! It lives in a replication origin where the login may use one (costs nothing, and marks our rows as replicated), else in a row
//! of `pgstream_sink.progress`. The row is there in both cases: it identifies the source, and takes positions reached without writes.
//! What counts is the greater of the two.

use super::session::{Session, Step};
use super::statement::{guarded, ident};
use crate::config::plan::Origin;
use crate::error::{Error, Result};
use crate::event::{Commit, Lsn, Value};
use crate::postgres::sql;
use crate::source::slot::Identity;
use tokio_postgres::Client;

const EXISTS: &str =
    "select 't' from pg_catalog.pg_tables where schemaname = 'pgstream_sink' and tablename = 'progress'";

const CREATE: [&str; 3] = [
    "create schema if not exists pgstream_sink",
    "create table if not exists pgstream_sink.progress (
  slot text not null,
  system_identifier text not null,
  database text not null,
  lsn pg_catalog.pg_lsn not null,
  origin text,
  updated_at timestamptz not null default pg_catalog.clock_timestamp(),
  primary key (system_identifier, database, slot)
) with (fillfactor = 10)",
    "comment on table pgstream_sink.progress is 'Up to where each source has been applied here. With origin set, the position is that of \
the replication origin of this name, if greater.'",
];

const ROWS: &str = "select system_identifier, lsn::text, origin from pgstream_sink.progress where slot = $1 and database = $2";

const INSERT: &str = "insert into pgstream_sink.progress (slot, system_identifier, database, lsn) values ($1, $2, $3, $4::pg_catalog.pg_lsn)";

/// The guard of the row: it must hold the position we last saw.
const UPDATE: &str = "update pgstream_sink.progress set lsn = $5::pg_catalog.pg_lsn, updated_at = pg_catalog.clock_timestamp() \
where slot = $1 and system_identifier = $2 and database = $3 and lsn = $4::pg_catalog.pg_lsn returning 1";

const XACT_SETUP: &str =
    "select pg_catalog.pg_replication_origin_xact_setup($1::pg_catalog.pg_lsn, $2::timestamptz)";

/// Also flushes the last commit that moved it.
const ORIGIN_PROGRESS: &str = "select pg_catalog.pg_replication_origin_session_progress(true)::text";

/// The position and how it is stored.
pub(super) struct Progress {
    source: Identity,
    update: String,
    /// What the row holds when everything queued has been done.
    row: Lsn,
    /// Positions are stored by replication origin.
    by_origin: bool,
    /// What is stored and flushed.
    durable: Lsn,
}

impl Progress {
    /// Makes sure that we are alone, and reads where the target is.
    pub(super) async fn open(session: &mut Session, source: &Identity, wish: Origin) -> Result<Self> {
        lock(session, source).await?;
        create(session).await?;
        let (row, origin) = match read(session, source).await? {
            Some(found) => found,
            None => {
                let (slot, system, database) = key(source);
                let start = source.confirmed.to_string();
                session.rows(INSERT, &[slot, system, database, &start]).await?;
                (source.confirmed, None)
            }
        };
        let mut progress =
            Self { source: source.clone(), update: guarded(UPDATE), row, by_origin: false, durable: row };
        let stored = progress.origin(session, wish, origin).await?;
        progress.durable = row.max(stored);
        source.check_stored(progress.durable, "the target")?;
        Ok(progress)
    }

    /// Where the stream comes from.
    pub(super) fn source(&self) -> &Identity {
        &self.source
    }

    /// What is stored and flushed at the target.
    pub(super) fn durable(&self) -> Lsn {
        self.durable
    }

    /// Queues the storing of a transaction's end, inside the transaction that writes it.
    pub(super) fn store(&mut self, session: &mut Session, commit: Commit) -> Result<()> {
        if self.by_origin {
            let (end, time) = (commit.end.to_string(), commit.time.to_string());
            return session.execute(Step::Own, XACT_SETUP, [text(&end), text(&time)]);
        }
        self.move_row(session, commit.end)
    }

    /// Queues the moving of the row.
    pub(super) fn move_row(&mut self, session: &mut Session, to: Lsn) -> Result<()> {
        let (slot, system, database) = key(&self.source);
        let (from, at) = (self.row.to_string(), to.to_string());
        let values = [text(slot), text(system), text(database), text(&from), text(&at)];
        session.execute(Step::Progress, &self.update, values)?;
        self.row = to;
        Ok(())
    }

    /// Sends what is queued; afterwards everything committed in it is flushed. `end` is the end of the last transaction in it,
    /// `open` says that another one has begun.
    pub(super) async fn flush(&mut self, session: &mut Session, end: Lsn, open: bool) -> Result<()> {
        let mut stored = self.row;
        if self.by_origin {
            stored = stored.max(lsn(session.rows(ORIGIN_PROGRESS, &[]).await?)?);
        } else {
            session.sync().await?;
        }
        // Transactions that found nothing to change write no commit record, which is what moves an origin.
        if stored < end && !open {
            self.move_row(session, end)?;
            session.sync().await?;
            stored = end;
        }
        self.durable = self.durable.max(stored);
        Ok(())
    }

    /// Takes the replication origin into use, if it may and should be; the position it holds.
    async fn origin(&mut self, session: &mut Session, wish: Origin, known: Option<String>) -> Result<Lsn> {
        let name = format!("pgstream_{}_{}", self.source.system, self.source.slot);
        let stored = match &known {
            Some(known) => self.left_by(session, known).await?,
            None => Lsn::ZERO,
        };
        self.by_origin = wish == Origin::Auto && set_up(session, &name).await?;
        if self.by_origin != known.is_some() {
            // From here on the position is found elsewhere: say so in the row, together with where we are.
            self.row = self.row.max(stored);
            let now = self.by_origin.then_some(name.as_str());
            let (slot, system, database) = key(&self.source);
            let sql = "update pgstream_sink.progress set origin = $5, lsn = $4::pg_catalog.pg_lsn \
                       where slot = $1 and system_identifier = $2 and database = $3";
            let at = self.row.to_string();
            let values = [text(slot), text(system), text(database), text(&at), now.map_or(Value::Null, text)];
            session.execute(Step::Own, sql, values)?;
            session.sync().await?;
        }
        if !self.by_origin {
            return Ok(stored);
        }
        Ok(stored.max(lsn(session.rows(ORIGIN_PROGRESS, &[]).await?)?))
    }

    /// The position of an origin that was in use before.
    async fn left_by(&self, session: &mut Session, name: &str) -> Result<Lsn> {
        let sql = "select pg_catalog.pg_replication_origin_progress(o.roname, true)::text
                   from pg_catalog.pg_replication_origin o where o.roname = $1::text";
        let found = session.rows(sql, &[name]).await.map_err(|error| {
            let login = ident(&session.login.name);
            error
                .context(format_args!("cannot read the position, which is stored in replication origin {name}"))
                .hint(format!(
                    "run once as the login used before, or grant execute on function pg_catalog.pg_replication_origin_progress(text, boolean) to {login}"
                ))
        })?;
        if found.is_empty() {
            return Err(Error::fatal(format!("replication origin {name} is gone, and with it the position of the target"))
                .hint("the target was restored from a dump or the origin dropped: copy the tables again with --resnapshot"));
        }
        lsn(found)
    }
}

/// Forgets where a slot's stream is, wherever that is stored.
pub(super) async fn forget(client: &Client, slot: &str, database: &str) -> Result<()> {
    let there = "select pg_catalog.to_regclass('pgstream_sink.progress') is not null";
    if !client.query_one(there, &[]).await.map_err(sql::of)?.get::<_, bool>(0) {
        return Ok(());
    }
    let origins =
        "select pg_catalog.pg_replication_origin_drop(o.roname) from pg_catalog.pg_replication_origin o \
        join pgstream_sink.progress p on p.origin = o.roname where p.slot = $1 and p.database = $2";
    client.query(origins, &[&slot, &database]).await.map_err(sql::of)?;
    let rows = "delete from pgstream_sink.progress where slot = $1 and database = $2";
    client.execute(rows, &[&slot, &database]).await.map_err(sql::of).map(drop)
}

fn key(source: &Identity) -> (&str, &str, &str) {
    (&source.slot, &source.system, &source.database)
}

fn text(value: &str) -> Value<'_> {
    Value::Text(value.as_bytes())
}

/// The one position in an answer; none = before everything.
fn lsn(rows: Vec<Vec<Option<String>>>) -> Result<Lsn> {
    match rows.into_iter().flatten().next().flatten() {
        None => Ok(Lsn::ZERO),
        Some(text) => text.parse().map_err(|error| {
            Error::fatal(format!("the target stores `{text}` as position, which is none")).because(error)
        }),
    }
}

/// Only one sidecar at a time writes a slot's stream to a target.
async fn lock(session: &mut Session, source: &Identity) -> Result<()> {
    let (slot, system, database) = key(source);
    let sql = "select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended($1, 0))::text";
    let rows = session.rows(sql, &[&format!("pgstream {system} {database} {slot}")]).await?;
    match rows.into_iter().flatten().next().flatten().as_deref() {
        Some("true") => Ok(()),
        // Its session may only be the rest of one that was killed: object_in_use, as the server says of slots and origins.
        _ => Err(Error::transient(format!("another pgstream session writes slot {slot} to this target"))
            .with_code("55006")
            .hint("stop the other sidecar")),
    }
}

async fn create(session: &mut Session) -> Result<()> {
    let rows = session.rows(EXISTS, &[]).await?;
    if !rows.is_empty() {
        return Ok(());
    }
    session.own("begin")?;
    for sql in CREATE {
        session.once(Step::Own, sql)?;
    }
    session.own("commit")?;
    let made = session.sync().await;
    made.map(drop).map_err(|error| {
        let (database, login) = (ident(&session.login.database), ident(&session.login.name));
        let permission = error.code() == Some("42501");
        let error =
            error.context("cannot create pgstream_sink.progress, the table that holds the target's position");
        if permission {
            error.hint(format!("grant create on database {database} to {login}"))
        } else {
            error
        }
    })
}

/// The row of this source.
async fn read(session: &mut Session, source: &Identity) -> Result<Option<(Lsn, Option<String>)>> {
    let rows = session.rows(ROWS, &[&source.slot, &source.database]).await.map_err(|error| {
        let login = ident(&session.login.name);
        match error.code() {
            Some("42501") => error.hint(format!(
                "grant usage on schema pgstream_sink to {login}; grant select, insert, update on pgstream_sink.progress to {login}"
            )),
            _ => error,
        }
    })?;
    let mut other = None;
    for mut row in rows {
        let [Some(system), Some(at), origin] = row.as_mut_slice() else { continue };
        if *system == source.system {
            return Ok(Some((lsn(vec![vec![Some(at.clone())]])?, origin.take())));
        }
        other = Some(system.clone());
    }
    match other {
        None => Ok(None),
        Some(system) => Err(Error::fatal(format!(
            "this target was filled by slot {} of database {} of another server (system identifier {system}, now {})",
            source.slot, source.database, source.system
        ))
        .hint(
            "connect to that server, or use a slot of another name; to start over from this server, copy the tables again \
             with --resnapshot, or remove that row of pgstream_sink.progress if both hold the same data",
        )),
    }
}

/// Takes the replication origin into use; false when this login or server cannot.
async fn set_up(session: &mut Session, name: &str) -> Result<bool> {
    let sql = "select pg_catalog.pg_replication_origin_create($1) where pg_catalog.pg_replication_origin_oid($1) is null";
    let tried = match session.rows(sql, &[name]).await {
        Ok(_) => session.rows("select pg_catalog.pg_replication_origin_session_setup($1)", &[name]).await,
        Err(error) => Err(error),
    };
    match tried {
        Ok(_) => Ok(true),
        Err(error) => match error.code() {
            // not granted; max_replication_slots = 0; no free slot; an old server that asks for a superuser
            Some("42501" | "55000" | "53400") => {
                tracing::debug!(%error, "no replication origin: the position is stored in a row");
                Ok(false)
            }
            _ => Err(error),
        },
    }
}
