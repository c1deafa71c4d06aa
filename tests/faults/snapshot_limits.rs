//! What a copy may use while it runs: connections, memory, the source's snapshot; what it shows meanwhile; and how it is interrupted.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::Arc;

use pgstream_tests::{assert_same, home, sample, wait_until, Database, Session, Sidecar, Signal, LONG, SOON};

use super::snapshot::{data_only, snapshot, succeeds};

const SOME: &str = "create table big (id int primary key, v text); insert into big select g, repeat('x', 200) from generate_series(1, 20000) g;
    create index on big (v); create table log (n int); insert into log select generate_series(1, 20000); create index on log (n);
    create table held (id int primary key, v text); insert into held select g, 'x' from generate_series(1, 100) g;";

/// Sessions of others than the tests, in this database.
const OURS: &str = "from pg_stat_activity where datname = current_database() and application_name <> 'pgstream-tests' and backend_type = 'client backend'";

/// Counts sessions without pause, and keeps the most.
struct Watch {
    most: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn start(database: &Database) -> Watch {
        let (most, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (mut session, highest, flag) = (database.session(), Arc::clone(&most), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                let now = session.value(&format!("select count(*) {OURS}"));
                highest.fetch_max(now.parse().expect("a number"), Ordering::Relaxed);
            }
        });
        Watch { most, stop, thread: Some(thread) }
    }

    fn most(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the watch failed");
        }
        self.most.load(Ordering::Relaxed)
    }
}

#[test]
fn never_more_connections_than_allowed() {
    for (limit, workers) in [(4, None), (4, Some("3")), (7, Some("3"))] {
        let (source, target) = (Database::on_source(), Database::on_target());
        source.execute(SOME);
        let watches = [Watch::start(&source), Watch::start(&target)];
        let mut sidecar = snapshot(&source.url(), &target.url(), "*.*")
            .env("PGSTREAM_POSTGRES_SNAPSHOT_STORE_URL", &source.url())
            .env("PGSTREAM_POSTGRES_SNAPSHOT_BATCH_BYTES", "64KiB")
            .env("PGSTREAM_POSTGRES_SNAPSHOT_MAX_CONNECTIONS", &limit.to_string());
        for name in ["WORKERS", "SCHEMA_WORKERS", "TABLE_WORKERS"] {
            if let Some(workers) = workers {
                sidecar = sidecar.env(&format!("PGSTREAM_POSTGRES_SNAPSHOT_{name}"), workers);
            }
        }
        succeeds(sidecar);
        for (watch, side) in watches.into_iter().zip(["source", "target"]) {
            let most = watch.most();
            assert!(
                (limit - 1..=limit).contains(&most),
                "{most} of {limit} at the {side}, {workers:?} workers"
            );
        }
        assert_same(&source, &target);
    }
}

/// Statements that come after the rows, and so wait for this lock.
const AFTER: &str = "pgstream_sink.pending";

/// Lets rows into the tables of a copy, but no index or constraint on them be finished.
fn hold_indexes(target: &Database, table: &str) -> Session {
    let mut lock = target.session();
    let made = format!("to_regclass('{table}') is not null");
    wait_until("the table at the target", SOON, || lock.holds(&made).then_some(()));
    lock.execute(&format!("begin; lock table {AFTER} in share mode"));
    lock
}

fn wait_for_waiter(target: &Database, table: &str, sidecar: &Sidecar) {
    let mut there = target.session();
    let waits = format!("exists (select from pg_locks where not granted and relation = '{table}'::regclass)");
    wait_until("somebody waits for the table", LONG, || {
        assert!(sidecar.process().exit_status().is_none(), "{}", sidecar.stderr());
        there.holds(&waits).then_some(())
    });
}

/// Old rows of the whole database stay as long as a snapshot is held; indexes take their time.
#[test]
fn the_snapshot_is_let_go_before_indexes_are_made() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(SOME);
    let sidecar = snapshot(&source.url(), &target.url(), "*.*")
        .env("PGSTREAM_POSTGRES_SNAPSHOT_STORE_URL", &source.url())
        .env("PGSTREAM_POSTGRES_SNAPSHOT_BATCH_BYTES", "64KiB")
        .start();
    let mut lock = hold_indexes(&target, "big");
    wait_for_waiter(&target, AFTER, &sidecar);
    let holds =
        format!("select count(*) {OURS} and (backend_xmin is not null or state like 'idle in transaction%')");
    wait_until("no snapshot at the source", SOON, || (source.value(&holds) == "0").then_some(()));
    assert_eq!(sidecar.process().exit_status(), None);
    lock.execute("rollback");
    assert_eq!(sidecar.wait(LONG).code(), Some(0), "{}", sidecar.stderr());
    assert_same(&source, &target);
}

/// Tables at both sides, and a copy that stands still at `held`, which may be read at the target.
fn stand_still(more: &[(&str, &str)]) -> (Database, Database, Session, Sidecar) {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(SOME);
    target.execute(SOME);
    target.execute("truncate big, log, held");
    let mut lock = target.session();
    lock.execute("begin; lock table held in share mode");
    let mut sidecar = data_only(snapshot(&source.url(), &target.url(), "*.*"));
    for (name, value) in more {
        sidecar = sidecar.env(name, &value.replace("SOURCE", &source.url()));
    }
    let sidecar = sidecar.start();
    wait_for_waiter(&target, "held", &sidecar);
    (source, target, lock, sidecar)
}

#[test]
fn progress_is_seen_in_sql() {
    let (source, target, mut lock, sidecar) =
        stand_still(&[("PGSTREAM_POSTGRES_SNAPSHOT_STORE_URL", "SOURCE")]);
    let mut there = source.session();
    let request =
        "select status, rows, bytes > rows, total_bytes > bytes / 2, errors from pgstream.snapshot_requests";
    wait_until("progress", SOON, || {
        (there.rows(request) == [["in progress", "40000", "t", "t", ""]]).then_some(())
    });
    lock.execute("rollback");
    assert_eq!(sidecar.wait(SOON).code(), Some(0), "{}", sidecar.stderr());
    assert_eq!(there.rows(request), [["completed", "40100", "t", "t", ""]]);
    assert!(
        !sidecar.stderr().contains('━') && !sidecar.stderr().contains("left"),
        "no bars: {}",
        sidecar.stderr()
    );
    assert_same(&source, &target);
}

/// Bars are for people: on a terminal, and not when switched off.
#[test]
fn bars_are_drawn_on_a_terminal() {
    for (off, drawn) in [("false", true), ("true", false)] {
        let (source, target) = (Database::on_source(), Database::on_target());
        source.execute(SOME);
        let pgstream = home().pgstream.display().to_string();
        let command = format!(
            "stty cols 120; {pgstream} snapshot --tables '*.*' --postgres-url {} --target-url {}",
            source.url(),
            target.url()
        );
        let output = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("PGSTREAM_POSTGRES_SNAPSHOT_BATCH_BYTES", "16KiB")
            .env("PGSTREAM_POSTGRES_SNAPSHOT_DISABLE_PROGRESS_TRACKING", off)
            .env("TERM", "xterm")
            .current_dir(&home().folder)
            .output()
            .expect("run script");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("snapshot complete"), "{said}");
        assert_eq!(said.contains("copying"), drawn, "{off}: {said}");
        assert_eq!(said.contains("public.big") && said.contains("left"), drawn, "{off}: {said}");
    }
}

/// A signal ends a copy at once; the next run completes it.
#[test]
fn an_interrupted_copy_is_completed_by_the_next_run() {
    let (source, target, mut lock, mut sidecar) = stand_still(&[]);
    sidecar.process().signal(Signal::INT);
    assert_eq!(sidecar.wait(SOON).code(), Some(130), "{}", sidecar.stderr());
    assert!(sidecar.stderr().contains("interrupted"), "{}", sidecar.stderr());
    let mut there = target.session();
    let gone = format!("not exists (select {OURS})");
    wait_until("no session at the target", SOON, || there.holds(&gone).then_some(()));
    lock.execute("rollback");
    sidecar.start_again();
    assert_eq!(sidecar.wait(LONG).code(), Some(0), "{}", sidecar.stderr());
    assert_same(&source, &target);
}

/// The session that notes what is copied is lost just before the end: without its note a table does not count as copied.
#[test]
fn a_table_whose_note_is_lost_is_copied_again() {
    let (source, target, mut lock, sidecar) = stand_still(&[]);
    let idle = format!("select count(pg_terminate_backend(pid)) > 0 {OURS} and state = 'idle'");
    assert_eq!(target.value(&idle), "t");
    lock.execute("rollback");
    assert_eq!(sidecar.wait(LONG).code(), Some(0), "{}", sidecar.stderr());
    assert_eq!(
        target.rows("select name from pgstream_sink.copies where not complete"),
        Vec::<Vec<String>>::new()
    );
    assert_same(&source, &target);
}

/// A row is passed on in pieces, whatever its size.
#[test]
fn a_large_value_needs_little_memory() {
    let (size, most) = sample((32, 64), (300, 128));
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(&format!(
        "create table t (id int primary key, v bytea); alter table t alter v set storage external;
         insert into t select 1, decode(repeat('5a', {size} << 20), 'hex'); insert into t values (2, '')"
    ));
    let sidecar = snapshot(&source.url(), &target.url(), "*.*").start();
    let mut lock = hold_indexes(&target, "t");
    wait_for_waiter(&target, AFTER, &sidecar);
    let peak = sidecar.process().memory("VmHWM") >> 20;
    assert!(peak < most, "{peak} MiB");
    lock.execute("rollback");
    assert_eq!(sidecar.wait(LONG).code(), Some(0), "{}", sidecar.stderr());
    let sums = "select string_agg(id || ' ' || length(v) || ' ' || md5(v), ',' order by id) from t";
    assert_eq!(target.value(sums), source.value(sums));
}
