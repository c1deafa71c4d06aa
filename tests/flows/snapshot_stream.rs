//! A copy and the stream after it: together they have every change once, whenever the slot was made and whatever runs meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use pgstream_tests::{assert_same, wait_until, Database, Sidecar, LONG};

use super::{init, slot};

/// `run` that copies everything and then streams.
fn copy_and_stream(source: &Database, target: &Database) -> Sidecar {
    Sidecar::replicate(source, target).arg("--snapshot-tables").arg("*.*")
}

fn arrived(source: &Database, target: &Database) {
    source.wait_confirmed(&slot(source));
    assert_same(source, target);
}

#[test]
fn what_was_there_and_what_comes() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("create table t (id int primary key, v text); create table keyless (n int); insert into t select g, 'x' from generate_series(1, 1000) g");
    init(&source);
    // Between the slot and the snapshot: in the copy and in the stream.
    source.execute(
        "insert into t values (2000, 'y'); update t set v = 'z' where id < 10; delete from t where id = 20; insert into keyless values (1);
         create table between_both (id int primary key); insert into between_both values (1); alter table t add column w int default 3;
         create table short_lived (id int); insert into short_lived values (1); drop table short_lived",
    );
    let sidecar = copy_and_stream(&source, &target).start();
    sidecar.wait_for_line("streaming", LONG);
    arrived(&source, &target);
    source.execute("insert into keyless values (2); update t set w = 4; create table later (id int primary key); insert into later values (1); drop table between_both");
    arrived(&source, &target);
    assert_eq!(source.rows("select status, errors from pgstream.snapshot_requests"), [["completed", ""]]);
    // A new start copies nothing again.
    let mut sidecar = sidecar;
    assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
    source.execute("insert into keyless values (3); insert into later values (2)");
    sidecar.start_again();
    arrived(&source, &target);
}

/// A transaction open while the snapshot is taken, which the copy does not see, comes by the stream; one that ended just before is not
/// applied twice.
#[test]
fn transactions_open_while_the_snapshot_is_taken() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("create table keyless (n int); create table t (id int primary key)");
    init(&source);
    let (mut open, mut prepared) = (source.session(), source.session());
    open.execute("begin; insert into keyless values (1)");
    prepared.execute("insert into keyless values (2)");
    let sidecar = copy_and_stream(&source, &target).start();
    sidecar.wait_for_line("streaming", LONG);
    assert_eq!(target.value("select string_agg(n::text, ' ' order by n) from keyless"), "2");
    open.execute("insert into keyless values (3); commit");
    arrived(&source, &target);
    assert_eq!(target.value("select string_agg(n::text, ' ' order by n) from keyless"), "1 2 3");
}

/// Writers and schema changes that never pause, before, during and after the copy.
#[test]
fn under_continuous_writes_and_ddl() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(
        "create table keyless (n bigint); create sequence counter; create table t (id int primary key, v text, n int default 0);
         insert into t select g, repeat('x', 200) from generate_series(1, 20000) g; create table hot (id int primary key, c int); insert into hot select g, 0 from generate_series(1, 10) g",
    );
    init(&source);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (mut session, stop) = (source.session(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut step = 0;
                while !stop.load(Ordering::Relaxed) {
                    step += 1;
                    session.execute("insert into keyless select nextval('counter') from generate_series(1, 5)");
                    session.execute(&format!("update t set n = n + 1 where id % 1000 = {}; update hot set c = c + 1 where id = {}", step % 1000, step % 10 + 1));
                    session.execute(&format!("insert into t values ({}, 'new') on conflict do nothing; delete from t where id = {}", 100_000 + writer * 50_000 + step, step * 2 + writer));
                    if step % 40 == 0 {
                        session.execute(&format!("create table w{writer}_{step} (id int primary key, v text); insert into w{writer}_{step} values (1, 'x'); alter table w{writer}_{step} add column c int default 2"));
                    }
                }
            })
        })
        .collect();
    let sidecar = copy_and_stream(&source, &target).start();
    sidecar.wait_for_line("streaming", LONG);
    let seen = target.value("select max(n) from keyless");
    wait_until("the stream goes on", LONG, || {
        (target.value("select max(n) from keyless") != seen).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().expect("a writer failed");
    }
    arrived(&source, &target);
    let twice = "select count(*) - count(distinct n) from keyless";
    assert_eq!(target.value(twice), "0");
}

/// A copy that was killed goes on; what was complete stays, and the stream joins without gap or duplicate.
#[test]
fn a_killed_copy_goes_on() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(
        "create table first (id int primary key); insert into first values (1); create table big (id int primary key, v text);
         insert into big select g, repeat('y', 300) from generate_series(1, 30000) g; create table last (id int, primary key (id))",
    );
    init(&source);
    let mut sidecar =
        copy_and_stream(&source, &target).env("PGSTREAM_POSTGRES_SNAPSHOT_BATCH_BYTES", "64KiB").start();
    let mut there = target.session();
    wait_until("rows at the target", LONG, || {
        let begun = there.holds("to_regclass('pgstream_sink.copies') is not null");
        (begun && there.holds("(select sum(rows) > 0 from pgstream_sink.copies)")).then_some(())
    });
    sidecar.kill();
    source.execute("insert into big values (-1, 'while it was down'); delete from big where id = 5; create table meanwhile (id int primary key); insert into meanwhile values (1)");
    sidecar.start_again();
    sidecar.wait_for_line("streaming", LONG);
    arrived(&source, &target);
}

/// Tables whose definition changes after their schema was copied and before their rows were: the stream makes them what they are, and then the
/// rows come.
#[test]
fn tables_that_change_between_schema_and_rows() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(
        "create table ready (id int primary key); create table retyped (id int primary key, v varchar(10)); create table widened (id int primary key, v text);
         create table narrowed (id int primary key, v text, w int); create table renamed (id int primary key, v text); create table dropped (id int primary key);
         create table emptied (id int primary key); create table rekeyed (id int primary key, other int not null unique); create table same (id int primary key, v text);
         insert into retyped select g, g from generate_series(1, 500) g; insert into widened select g, g from generate_series(1, 500) g;
         insert into narrowed select g, g, g from generate_series(1, 500) g; insert into renamed select g, g from generate_series(1, 500) g;
         insert into dropped select generate_series(1, 500); insert into emptied select generate_series(1, 500);
         insert into rekeyed select g, -g from generate_series(1, 500) g; insert into same select g, g from generate_series(1, 500) g",
    );
    // What makes the ledger, which is then locked: the copy stands between its schema and its rows.
    let args =
        ["snapshot", "--postgres-url", &source.url(), "--target-url", &target.url(), "--tables", "ready"];
    assert_eq!(Sidecar::new(args).finish().code, Some(0));
    target.execute("drop table ready; delete from pgstream_sink.copies; delete from pgstream_sink.snapshots");
    init(&source);
    let mut lock = target.session();
    lock.execute("begin; lock table pgstream_sink.copies in share row exclusive mode");
    let sidecar = copy_and_stream(&source, &target).start();
    let mut there = target.session();
    let waits =
        "exists (select from pg_locks where not granted and relation = 'pgstream_sink.copies'::regclass)";
    wait_until("the schema is copied", LONG, || there.holds(waits).then_some(()));
    source.execute(
        "alter table retyped alter column v type bigint using v::bigint; update retyped set v = v + 1 where id < 10;
         insert into widened values (1000, 'before'); alter table widened add column w int default 7; insert into widened values (1001, 'after', 8); delete from widened where id = 1;
         alter table narrowed drop column v; alter table renamed rename to another; update another set v = 'x' where id = 3;
         update dropped set id = -id; drop table dropped; truncate emptied; insert into emptied values (1);
         alter table rekeyed drop constraint rekeyed_pkey, add primary key (other); update rekeyed set id = 0 where other = -5; delete from rekeyed where other = -6",
    );
    source.execute("vacuum full same");
    source.execute("update same set v = 'y' where id = 1");
    lock.execute("rollback");
    sidecar.wait_for_line("streaming", LONG);
    arrived(&source, &target);
    source.execute("update another set v = 'z'; update retyped set v = 0 where id = 1; delete from narrowed where id = 2; insert into same values (-1, '')");
    arrived(&source, &target);
}

/// A copy by itself, made after the slot: the stream passes over what the copy holds.
#[test]
fn a_copy_by_itself_after_init() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(
        "create table keyless (n int); insert into keyless values (1); create table t (id int primary key)",
    );
    init(&source);
    source
        .execute("insert into keyless values (2); insert into t values (1); alter table t add column v text");
    let args =
        ["snapshot", "--postgres-url", &source.url(), "--target-url", &target.url(), "--tables", "*.*"];
    let finished = Sidecar::new(args).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    source.execute("insert into keyless values (3); update t set v = 'x'");
    let sidecar = Sidecar::replicate(&source, &target).start();
    sidecar.wait_for_line("streaming", LONG);
    arrived(&source, &target);
    assert_eq!(target.value("select string_agg(n::text, ' ' order by n) from keyless"), "1 2 3");
}

/// A slot that is gone, and a target that went on or fell behind: everything is copied anew, what was deleted meanwhile is gone, and the stream goes on.
#[test]
fn starting_over_after_a_lost_slot() {
    for change in ["", "alter table t add column w int default 3; drop table gone; create table fresh (id int primary key); insert into fresh values (1)"] {
        let (source, target) = (Database::on_source(), Database::on_target());
        source.execute("create table t (id int primary key, v text unique); insert into t select g, g from generate_series(1, 300) g; create table gone (id int primary key)");
        init(&source);
        let mut sidecar = copy_and_stream(&source, &target).start();
        sidecar.wait_for_line("streaming", LONG);
        arrived(&source, &target);
        assert_eq!(sidecar.stop().code(), Some(0));
        source.execute(&format!("select pg_drop_replication_slot('{}')", slot(&source)));
        source.execute("delete from t where id > 100; update t set v = 'x' || v where id < 50; insert into t values (1000, 'new')");
        source.execute(change);
        let table = target.value("select 't'::regclass::oid");
        sidecar.start_again();
        let refused = wait_until("it stops", LONG, || sidecar.process().exit_status());
        assert_eq!(refused.code(), Some(1), "{}", sidecar.stderr());
        let sidecar = Sidecar::replicate(&source, &target).arg("--resnapshot").start();
        sidecar.wait_for_line("streaming", LONG);
        arrived(&source, &target);
        // Where nothing but rows differs, the tables stay and only their rows are replaced.
        assert_eq!(target.value("select 't'::regclass::oid") == table, change.is_empty());
        source.execute("update t set v = 'y' || v where id < 10; delete from t where id = 1000");
        arrived(&source, &target);
    }
}

/// To standard output as well: existing rows first, then exactly the changes that are not among them.
#[test]
fn to_standard_output() {
    let source = Database::on_source();
    source.execute("create table t (id int primary key, v text); insert into t select g, 'there' from generate_series(1, 50) g");
    init(&source);
    source.execute("insert into t values (51, 'between')");
    let args = ["run", "--source", "postgres", "--source-url", &source.url(), "--snapshot-tables", "*.*"];
    let sidecar = Sidecar::new(args).start();
    sidecar.wait_for_line("streaming", LONG);
    source.execute("insert into t values (52, 'after'); update t set v = 'changed' where id = 1");
    source.wait_confirmed(&slot(&source));
    assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
    let stdout = sidecar.stdout();
    let events: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let of = |table: &str, action: &str| {
        let wanted = |event: &&serde_json::Value| event["table"] == table && event["action"] == action;
        events.iter().filter(wanted).collect::<Vec<_>>()
    };
    let inserted = of("t", "I");
    assert_eq!((inserted.len(), of("t", "U").len()), (52, 1), "{stdout}");
    assert!(inserted[..51].iter().all(|event| event["lsn"] == "0/0") && inserted[51]["lsn"] != "0/0");
    assert!(
        !of("schema_log", "I").is_empty() && events[0]["table"] == "schema_log",
        "the schema comes first"
    );
}
