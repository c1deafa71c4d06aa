//! `select pgstream.init()`: everything a stream needs from the database, made by one call.
//!
//! The steps (`sql/functions/setup_*.sql`) must be transactions of their own, in this order, because the server looks
//! publications up as of each change. One `select` cannot commit in between, so a background worker does them:
//!
//! ```text
//!   caller: check ── start ── pass on errors, look at cancel, timeout and deadlock ── slot is ready
//!   worker:            publications │ older transactions end │ lists │ slot │ schemas
//! ```
//!
//! The caller must not have written: the slot would wait for its transaction, and it waits for the worker.

use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use pgrx::bgworkers::BackgroundWorker;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;

use crate::pg::{self, Worker};

/// How often the caller looks whether it holds the worker up.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whom a caller and its worker wait for in a circle that the server does not see: the caller itself, or somebody
/// who waits for the caller's snapshot, holds a lock on a table that is still to be listed. Listing needs a lock that
/// goes with reading and writing; setting REPLICA IDENTITY needs the table alone.
const DEADLOCK: &str = "
    select l.pid, c.oid::pg_catalog.regclass::pg_catalog.text
    from pg_catalog.pg_locks l
    join pg_catalog.pg_class c on c.oid = l.relation and c.relkind in ('r', 'p')
    where l.locktype = 'relation' and l.granted
      and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
      and l.pid <> $1 and ($2 or l.mode in (
          'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
      and not pgstream.is_system_schema(c.relnamespace::pg_catalog.regnamespace::pg_catalog.text)
      and not exists (
          select from pg_catalog.pg_publication_rel r
          join pg_catalog.pg_publication p on p.oid = r.prpubid
          where r.prrelid = c.oid and p.pubname like 'pgstream\\_changes\\_%')
      and (l.pid = pg_catalog.pg_backend_pid()
           or pg_catalog.pg_backend_pid() = any (pg_catalog.pg_blocking_pids(l.pid)))
    limit 1";

/// What the worker tells that it does, and who holds a lock that it waits for.
const ACTIVITY: &str = "
    select a.query, (select pg_catalog.string_agg('pid ' || p, ', ') from pg_catalog.unnest(pg_catalog.pg_blocking_pids(a.pid)) p)
    from pg_catalog.pg_stat_get_activity($1) a";

/// What the worker is doing.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Stage {
    Starting,
    Publications,
    Transactions,
    Lists,
    Slot,
    Schemas,
    Done,
}

/// What the worker is to do and how far it is: shared by the two processes.
#[repr(C)]
pub(crate) struct Job {
    pub(crate) database: pg_sys::Oid,
    pub(crate) user: pg_sys::Oid,
    slot: Name,
    plugin: Name,
    replica_identity_full: bool,
    worker_pid: AtomicI32,
    stage: AtomicU32,
    slot_made: AtomicBool,
    /// Where the slot starts.
    position: AtomicU64,
}

/// A name in shared memory, ended by a zero byte.
struct Name([u8; pg_sys::NAMEDATALEN as usize]);

/// `pgstream.init(slot_name text, plugin text, replica_identity_full boolean, timeout interval) returns text`
#[pg_extern(sql = false)]
fn pgstream_init(
    slot_name: Option<&str>,
    plugin: Option<&str>,
    replica_identity_full: Option<bool>,
    timeout: Option<Interval>,
) -> Result<String, spi::Error> {
    if pg::transaction_has_written() {
        fail(
            PgSqlErrorCode::ERRCODE_ACTIVE_SQL_TRANSACTION,
            "pgstream.init() cannot run in a transaction that has written",
            "Commit first, then call it as a statement of its own.",
        );
    }
    let plugin = plugin.unwrap_or("auto");
    let check = "select pgstream.setup_check($1, $2)";
    let slot: String = read(check, &[slot_name.into(), plugin.into()])?.unwrap_or_default();
    let job = Job::new(&slot, plugin, replica_identity_full.unwrap_or(false));
    let Some(mut worker) = Worker::start(job) else {
        fail(
            PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            "no background worker is free",
            "Raise max_worker_processes, or run the command line's \"pgstream init\", which needs none.",
        )
    };
    await_worker(&mut worker, timeout)?;
    let Stage::Done = worker.job().stage() else {
        fail(
            PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
            "the background worker of pgstream.init() ended before it was done",
            "The server's log has the reason. What was made so far stays; call it again.",
        )
    };
    let position = worker.job().position.load(SeqCst);
    Ok(format!("slot {slot} ready at {:X}/{:X}", position >> 32, position & 0xFFFF_FFFF))
}

/// Returns when the worker has ended; its error, a cancel, the timeout or a deadlock end the call instead.
fn await_worker(worker: &mut Worker, timeout: Option<Interval>) -> Result<(), spi::Error> {
    let started = Instant::now();
    let limit = timeout.map(|limit| Duration::from_micros(limit.as_micros().try_into().unwrap_or(0)));
    let mut looked = started;
    while worker.runs() {
        let left = limit.map_or(LOOK_EVERY, |limit| limit.saturating_sub(started.elapsed()));
        if left.is_zero() {
            timed_out(worker.job(), limit.unwrap_or_default())?;
        }
        pg::wait(left.min(LOOK_EVERY));
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            refuse_deadlock(worker.job())?;
        }
    }
    Ok(())
}

fn timed_out(job: &Job, limit: Duration) -> Result<(), spi::Error> {
    read::<()>("select pg_catalog.pg_stat_clear_snapshot()", &[])?;
    let (doing, blockers) = read_two::<String, String>(ACTIVITY, &[job.worker_pid.load(SeqCst).into()])?;
    let doing = doing.unwrap_or_else(|| job.stage().doing().to_owned());
    let held_up = blockers.map(|blockers| format!(", held up by {blockers}")).unwrap_or_default();
    let message = format!("pgstream.init() was not done after {} s", limit.as_secs_f64());
    ErrorReport::new(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, message, "pgstream_init")
        .set_detail(format!("It was {doing}{held_up}. What was made so far stays, except the slot."))
        .set_hint("End what it waits for, or give it a longer timeout; then call it again.")
        .report(PgLogLevel::ERROR);
    Ok(())
}

fn refuse_deadlock(job: &Job) -> Result<(), spi::Error> {
    let Stage::Lists = job.stage() else { return Ok(()) };
    let arguments = [job.worker_pid.load(SeqCst).into(), job.replica_identity_full.into()];
    let (Some(pid), Some(table)) = read_two::<i32, String>(DEADLOCK, &arguments)? else { return Ok(()) };
    let code = PgSqlErrorCode::ERRCODE_T_R_DEADLOCK_DETECTED;
    if pid == pg::process_id() {
        let message = format!("pgstream.init() waits for a lock on {table} that its own transaction holds");
        fail(code, message, "Call it in a transaction of its own.");
    }
    let message =
        format!("pgstream.init() waits for process {pid}, which holds a lock on {table} and waits for init");
    fail(code, message, "Most likely it builds an index concurrently. Call it again when that is done.")
}

/// The worker.
#[pg_guard]
#[unsafe(no_mangle)]
extern "C-unwind" fn pgstream_init_worker(argument: Datum) {
    let Some(job) = pg::enter_worker(argument) else { return };
    job.worker_pid.store(pg::process_id(), SeqCst);
    settle();
    job.set_up();
}

/// Makes the session independent of what is set for the database and its owner.
fn settle() {
    let settings = [
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_isolation", c"read committed"),
        (c"session_replication_role", c"origin"),
        (c"statement_timeout", c"0"),
        (c"lock_timeout", c"0"),
        (c"idle_in_transaction_session_timeout", c"0"),
        // Below the lock timeout of setup_lists: only a deadlock check makes autovacuum give way.
        (c"deadlock_timeout", c"100ms"),
    ];
    for (name, value) in settings {
        pg::set(name, value);
    }
}

impl Job {
    fn new(slot: &str, plugin: &str, replica_identity_full: bool) -> Self {
        let (database, user) = pg::database_and_user();
        Self {
            database,
            user,
            slot: Name::new(slot),
            plugin: Name::new(plugin),
            replica_identity_full,
            worker_pid: AtomicI32::new(0),
            stage: AtomicU32::new(Stage::Starting as u32),
            slot_made: AtomicBool::new(false),
            position: AtomicU64::new(0),
        }
    }

    /// The slot to drop if the worker ends now.
    pub(crate) fn unready_slot(&self) -> Option<&CStr> {
        let unready = self.slot_made.load(SeqCst) && !matches!(self.stage(), Stage::Done);
        unready.then(|| self.slot.as_c_str())
    }

    /// The steps, in the worker.
    fn set_up(&self) {
        // One at a time in this database. Not a write: the one before would wait for this transaction.
        self.enter(Stage::Starting);
        let turn = "select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('pgstream.init', 0))";
        transaction(|| read::<()>(turn, &[]));

        self.enter(Stage::Publications);
        write::<()>("select pgstream.setup_publications()", &[]);

        // A new id, taken after the commit: every transaction that may not have seen the publications is below it.
        let newest: Option<i64> =
            write("select pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8", &[]);
        self.enter(Stage::Transactions);
        await_transactions(newest.unwrap_or_default());

        self.enter(Stage::Lists);
        write::<i32>("select pgstream.setup_lists($1)", &[self.replica_identity_full.into()]);

        self.enter(Stage::Slot);
        self.make_slot();

        self.enter(Stage::Schemas);
        write::<i32>("select pgstream.setup_schemas($1)", &[self.slot.as_str().into()]);
        self.stage.store(Stage::Done as u32, SeqCst);
    }

    /// Must not write: a slot cannot be made in a transaction that has.
    fn make_slot(&self) {
        let slot = self.slot.as_str();
        let exists = "select 1 from pg_catalog.pg_replication_slots where slot_name = $1";
        let existed = transaction(|| read::<i32>(exists, &[slot.into()])).is_some();
        let make = "select (pgstream.setup_slot($1, $2) - '0/0'::pg_catalog.pg_lsn)::pg_catalog.int8";
        transaction(|| {
            let position = read::<i64>(make, &[slot.into(), self.plugin.as_str().into()])?;
            self.slot_made.store(!existed, SeqCst);
            self.position.store(position.unwrap_or(0).unsigned_abs(), SeqCst);
            Ok(Some(()))
        });
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u32, SeqCst);
        pg::report_activity(stage.doing());
    }

    fn stage(&self) -> Stage {
        use Stage::{Done, Lists, Publications, Schemas, Slot, Starting, Transactions};
        let stages = [Starting, Publications, Transactions, Lists, Slot, Schemas, Done];
        stages.get(self.stage.load(SeqCst) as usize).copied().unwrap_or(Starting)
    }
}

/// Until all below that id have ended.
fn await_transactions(newest: i64) {
    let blockers = format!(
        "select pg_catalog.string_agg(coalesce('pid ' || pid, query), ', ') from pgstream.setup_blockers('{newest}')"
    );
    let mut pause = Duration::from_millis(5);
    while let Some(blockers) = transaction(|| read::<String>(&blockers, &[])) {
        pg::report_activity(&format!("{}: {blockers}", Stage::Transactions.doing()));
        pg::wait(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

impl Stage {
    const fn doing(self) -> &'static str {
        match self {
            Self::Starting => "waiting for its turn",
            Self::Publications => "making the publications",
            Self::Transactions => "waiting for transactions older than the publications",
            Self::Lists => "listing tables in the publications",
            Self::Slot => "making the slot, which waits for running transactions",
            Self::Schemas => "logging the schemas",
            Self::Done => "done",
        }
    }
}

impl Name {
    /// Names longer than the server's have been refused by `setup_check`.
    fn new(name: &str) -> Self {
        let mut bytes = [0; pg_sys::NAMEDATALEN as usize];
        let length = name.len().min(bytes.len() - 1);
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self(bytes)
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }

    fn as_str(&self) -> &str {
        self.as_c_str().to_str().unwrap_or_default()
    }
}

/// The first column of the first row. Does not count as a write.
fn read<T: FromDatum + IntoDatum>(sql: &str, arguments: &[DatumWithOid]) -> Result<Option<T>, spi::Error> {
    Spi::connect(|client| client.select(sql, Some(1), arguments)?.next().map_or(Ok(None), |row| row.get(1)))
}

/// Two columns of it.
fn read_two<A, B>(sql: &str, arguments: &[DatumWithOid]) -> Result<(Option<A>, Option<B>), spi::Error>
where
    A: FromDatum + IntoDatum,
    B: FromDatum + IntoDatum,
{
    Spi::connect(|client| match client.select(sql, Some(1), arguments)?.next() {
        Some(row) => Ok((row.get(1)?, row.get(2)?)),
        None => Ok((None, None)),
    })
}

/// Like `read`, in a writing transaction of its own.
fn write<T: FromDatum + IntoDatum>(sql: &str, arguments: &[DatumWithOid]) -> Option<T> {
    transaction(|| {
        Spi::connect_mut(|client| {
            client.update(sql, Some(1), arguments)?.next().map_or(Ok(None), |row| row.get(1))
        })
    })
}

fn transaction<T>(body: impl FnOnce() -> Result<Option<T>, spi::Error>) -> Option<T> {
    BackgroundWorker::transaction(AssertUnwindSafe(|| body().unwrap_or_else(|cause| error!("{cause}"))))
}

#[track_caller]
fn fail(code: PgSqlErrorCode, message: impl Into<std::borrow::Cow<'static, str>>, hint: &str) -> ! {
    ErrorReport::new(code, message, "pgstream_init").set_hint(hint).report(PgLogLevel::ERROR);
    unreachable!("an error does not return")
}
