//! Copies that are struck at random moments: afterwards both sides are equal, and a table without key has every row exactly once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgstream_tests::{
    assert_same, sample, wait_until, Database, Options, Server, Sidecar, Signal, LONG, SOON,
};

use super::snapshot::{data_only, snapshot};
use crate::flows::{init, slot};

/// Copies struck in one test, each [`KILLS`] times.
fn copies() -> u32 {
    sample(1, 10)
}

/// Kills of one copy. There are seven kinds.
const KILLS: u32 = 3;

/// Keys, no key, foreign keys in both directions, indexes, and values of every length.
const TABLES: &str = "
create table customer (id int primary key, name text unique, favourite int);
create table orders (id int primary key, customer int references customer, note jsonb, at timestamptz default '2026-01-01');
alter table customer add foreign key (favourite) references orders deferrable initially deferred;
create table log (n bigint, text text); create sequence counter;
create table files (id int primary key, content bytea, about text);
create index on orders (customer, at); create index on log (n); create table empty (id int primary key);
insert into customer select g, 'c' || g, null from generate_series(1, 2000) g;
insert into orders select g, g % 2000 + 1, jsonb_build_object('g', g, 'text', repeat('x', g % 300)) from generate_series(1, 6000) g;
update customer set favourite = id;
insert into log select nextval('counter'), repeat('l', 100) from generate_series(1, 10000);
insert into files select g, decode(repeat(md5(g::text), 600), 'hex'), repeat('ä', 50) from generate_series(1, 200) g;
vacuum analyze;";

/// Numbers without a pattern: moments to strike at.
struct Moments(u64);

impl Moments {
    fn new() -> Moments {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Moments(now.as_nanos() as u64 | 1)
    }

    /// A moment between now and `most` later.
    fn pass(&mut self, most: Duration) {
        // xorshift
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let until = Instant::now() + most.mul_f64((self.0 % 1000) as f64 / 1000.0);
        while Instant::now() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Who is struck.
#[derive(Clone, Copy)]
enum Strike {
    Sidecar,
    Target,
    SourceSessions,
    TargetSessions,
}

impl Strike {
    fn at(self, sidecar: &mut Sidecar, source: &Database, target: &Database) {
        let end =
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() \
            and application_name = 'pgstream' and pid <> pg_backend_pid()";
        match self {
            Strike::Sidecar => {
                sidecar.kill();
                sidecar.start_again();
            }
            Strike::Target => {
                target.server.kill();
                target.server.start_again();
            }
            Strike::SourceSessions => drop(source.rows(end)),
            Strike::TargetSessions => drop(target.rows(end)),
        }
    }
}

fn source_and_target(server: &Arc<Server>) -> (Database, Database) {
    let (source, target) = (Database::on_source(), server.database());
    for statement in TABLES.split(';').filter(|statement| !statement.trim().is_empty()) {
        source.execute(statement);
    }
    (source, target)
}

fn small_ranges(sidecar: Sidecar) -> Sidecar {
    sidecar
        .env("PGSTREAM_POSTGRES_SNAPSHOT_BATCH_BYTES", "128KiB")
        .env("PGSTREAM_POSTGRES_SNAPSHOT_WORKERS", "1")
        .env("PGSTREAM_POSTGRES_SNAPSHOT_SCHEMA_WORKERS", "2")
        .env("PGSTREAM_POSTGRES_SNAPSHOT_TABLE_WORKERS", "2")
}

/// Something was copied that is not struck away by the next kill, or the copy is at its end.
fn wait_for_progress(sidecar: &Sidecar, target: &Database, seen: &mut String) {
    wait_until("progress of the copy", LONG, || {
        if sidecar.process().exit_status().is_some() {
            return Some(());
        }
        let now = target.session().rows(
            "select coalesce(sum(cardinality(ranges)), 0)::text || ' ' || count(*) filter (where complete) || ' ' \
             || max(updated_at) || ' ' || (select count(*) from pgstream_sink.pending) from pgstream_sink.copies",
        );
        let now = now.concat().concat();
        (std::mem::replace(seen, now.clone()) != now).then_some(())
    });
}

fn assert_once(source: &Database, target: &Database) {
    assert_same(source, target);
    let twice = "select count(*) - count(distinct n) from log";
    assert_eq!((source.value(twice), target.value(twice)), ("0".to_owned(), "0".to_owned()));
}

/// Strikes a copy that has begun; starts it again when it gives up. What strikes last may come when all is copied.
fn strike_often(strike: Strike, sidecar: &mut Sidecar, source: &Database, target: &Database) {
    let (mut moments, mut seen) = (Moments::new(), String::new());
    wait_until("the schema at the target", LONG, || {
        target.session().holds("to_regclass('pgstream_sink.pending') is not null").then_some(())
    });
    for _ in 0..KILLS {
        if sidecar.process().exit_status().is_some_and(|status| !status.success()) {
            sidecar.start_again();
        }
        wait_for_progress(sidecar, target, &mut seen);
        moments.pass(Duration::from_millis(60));
        strike.at(sidecar, source, target);
    }
}

/// `snapshot`, run again until it succeeds.
fn snapshot_survives(strike: Strike, server: &Arc<Server>) {
    for _ in 0..copies() {
        let (source, target) = source_and_target(server);
        let (from, to) = (source.url(), target.url());
        let args = ["snapshot", "--postgres-url", &from, "--target-url", &to, "--tables", "*.*"];
        let mut sidecar = small_ranges(Sidecar::new(args)).start();
        strike_often(strike, &mut sidecar, &source, &target);
        wait_until("a run that succeeds", LONG, || {
            let status = sidecar.process().exit_status()?;
            if !status.success() {
                sidecar.start_again();
            }
            status.success().then_some(())
        });
        assert_once(&source, &target);
    }
}

/// Writes rows of every table until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(source: &Database) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, mut session) = (Arc::clone(&stop), source.session());
        let step = "do $$ declare x int := (random() * 1500)::int; begin
            insert into log select nextval('counter'), 'load' from generate_series(1, 3);
            insert into customer values (10000 + currval('counter'), null, null);
            insert into orders select 20000 + currval('counter'), x + 1, '{}';
            update orders set note = note || '{\"n\": 1}', id = case when random() < 0.1 then id + 1000000 else id end where id between x and x + 3 and id > 6000;
            update files set about = about || '.' where id = x; delete from files where id = x + 1;
            end $$; select pg_sleep(0.005)";
        let thread = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                session.rows(step);
            }
        });
        Load { stop, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the load failed");
        }
    }
}

/// `run` that copies first, under writes.
fn run_survives(strike: Strike, server: &Arc<Server>) {
    for _ in 0..copies() {
        let (source, target) = source_and_target(server);
        init(&source);
        let load = Load::start(&source);
        let sidecar = Sidecar::replicate(&source, &target).arg("--snapshot-tables").arg("*.*");
        let mut sidecar = small_ranges(sidecar).start();
        strike_often(strike, &mut sidecar, &source, &target);
        sidecar.wait_for_line("streaming", LONG);
        drop(load);
        source.wait_confirmed(&slot(&source));
        assert_once(&source, &target);
        assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
    }
}

/// A worker that is gone may leave a transaction that is still committed. Whoever begins anew waits for it, so that its rows go with the others.
#[test]
fn what_a_lost_worker_left_comes_once() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("create table t (n int); insert into t select generate_series(1, 1000)");
    let (role, name) = (format!("writer_{}", target.name), &target.name);
    // Without the right to truncate, rows are deleted: and a delete does not wait for rows that it does not see.
    target.execute(&format!(
        "create table t (n int); create role \"{role}\" login; grant create on database \"{name}\" to \"{role}\";
         grant select, insert, update, delete on t to \"{role}\""
    ));
    let to = target.url().replace("postgres@", &format!("{role}@"));
    let copy = || data_only(snapshot(&source.url(), &to, "t"));
    let (mut rows, mut notes, mut there) = (target.session(), target.session(), target.session());
    let mut wait_for_waiters = |number: u32| {
        let waiting = format!(
            "(select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()) = {number}"
        );
        wait_until("those who wait", SOON, || there.holds(&waiting).then_some(()));
    };
    rows.execute("begin; lock table t in share mode");
    let lost = copy().start();
    wait_for_waiters(1);
    notes.execute("begin; select from pgstream_sink.copies for no key update");
    rows.execute("commit");
    let noting = "exists (select from pg_stat_activity where query like '%update pgstream_sink.copies%commit' and wait_event_type = 'Lock')";
    wait_until("the rows are there, the note waits", SOON, || rows.holds(noting).then_some(()));
    lost.process().signal(Signal::STOP);
    // All its sessions are gone but the one that is about to commit.
    let idle = "select count(pg_terminate_backend(pid)) > 0 from pg_stat_activity where application_name = 'pgstream' \
        and datname = current_database() and state = 'idle'";
    assert_eq!(target.value(idle), "t");
    let next = copy().start();
    wait_for_waiters(2);
    notes.execute("rollback");
    assert_eq!(next.wait(LONG).code(), Some(0), "{}", next.stderr());
    assert_eq!(target.value("select count(*) || ' ' || count(distinct n) from t"), "1000 1000");
    lost.kill();
    target.execute(&format!("drop owned by \"{role}\" cascade; drop role \"{role}\""));
}

#[test]
fn a_snapshot_survives_kills_of_the_sidecar() {
    snapshot_survives(Strike::Sidecar, Server::target());
}

#[test]
fn a_snapshot_survives_kills_of_the_target() {
    let server = Server::start("copy_killed", &Options::default());
    snapshot_survives(Strike::Target, &server);
}

#[test]
fn a_snapshot_survives_lost_sessions() {
    snapshot_survives(Strike::SourceSessions, Server::target());
    snapshot_survives(Strike::TargetSessions, Server::target());
}

#[test]
fn a_copy_before_a_stream_survives_kills_of_the_sidecar() {
    run_survives(Strike::Sidecar, Server::target());
}

#[test]
fn a_copy_before_a_stream_survives_kills_of_the_target() {
    let server = Server::start("copy_stream_killed", &Options::default());
    run_survives(Strike::Target, &server);
}

#[test]
fn a_copy_before_a_stream_survives_lost_sessions() {
    run_survives(Strike::SourceSessions, Server::target());
}
