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
