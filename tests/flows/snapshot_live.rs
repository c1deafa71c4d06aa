//! Copies asked for while the stream runs: they replace what the target has, and the stream goes on as if nothing had happened.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use pgstream_tests::{wait_until, Database, LONG, SOON};

use super::{init, Stream};

const TABLE: &str = "create table t (id int primary key, v text)";

/// Waits until the request has ended; its status and errors.
fn ended(source: &Database, request: &str) -> String {
    let mut session = source.session();
    let state = format!("select status || coalesce(' ' || errors::text, '') from pgstream.snapshot_requests where req_id = {request}");
    wait_until("the end of the request", LONG, || {
        let state = session.value(&state);
        (!matches!(state.as_str(), "requested" | "in progress")).then_some(state)
    })
}

#[test]
fn a_request_replaces_what_the_target_has() {
    let stream = Stream::start(TABLE);
    stream.check("insert into t select g, 'v' from generate_series(1, 1000) g; create table other (id int primary key)");
    stream.target.execute("delete from t where id > 500; update t set v = 'wrong' where id < 10; insert into t values (-1, 'extra')");
    let request = stream.source.value("select pgstream.request_snapshot('{public.t}')");
    assert_eq!(ended(&stream.source, &request), "completed");
    stream.assert_arrived();
    let rows = format!("select rows, bytes > 0, total_bytes > 0, slot_name is not null from pgstream.snapshot_requests where req_id = {request}");
    assert_eq!(stream.source.rows(&rows), [["1000", "t", "t", "t"]]);
    stream.check("update t set v = 'later' where id = 3; alter table t add column w int default 1; insert into other values (1)");
    // Also by hand, and again.
    stream.target.execute("truncate t");
    stream.source.execute(
        "insert into pgstream.snapshot_requests (schema_name, table_names) values ('public', '{t,other}')",
    );
    let request = stream.source.value("select max(req_id) from pgstream.snapshot_requests");
    assert_eq!(ended(&stream.source, &request), "completed");
    stream.assert_arrived();
}

/// A table that was there before and that the target lacks comes with all it has.
#[test]
fn a_table_the_target_lacks() {
    let stream = {
        let (source, target) = (Database::on_source(), Database::on_target());
        source.execute("create type mood as enum ('ok'); create table old (id int primary key, m mood, v text unique); insert into old select g, 'ok', g from generate_series(1, 300) g");
        init(&source);
        let sidecar = pgstream_tests::Sidecar::replicate(&source, &target).start();
        sidecar.wait_for_line("streaming", LONG);
        Stream { source, target, sidecar }
    };
    let request = stream.source.value("select pgstream.request_snapshot('{old}')");
    assert_eq!(ended(&stream.source, &request), "completed");
    stream.assert_arrived();
    stream.check("insert into old values (1000, 'ok', 'new'); delete from old where id = 5; alter table old drop column v");
}

#[test]
fn a_request_under_continuous_writes() {
    let stream = Stream::start(
        "create table t (id int primary key, n int); create table keyless (n bigint); create sequence s",
    );
    stream.check("insert into t select g, 0 from generate_series(1, 20000) g");
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (mut session, stop) = (stream.source.session(), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    session.execute("insert into keyless select nextval('s') from generate_series(1, 3)");
                    session.execute("update t set n = n + 1 where id = (random() * 20000)::int");
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let request = stream.source.value("select min(r) from pgstream.request_snapshot('{t,keyless}') r");
        assert_eq!(ended(&stream.source, &request), "completed", "{}", stream.sidecar.stderr());
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().expect("a writer failed");
    }
    stream.assert_arrived();
    assert_eq!(stream.target.value("select count(*) - count(distinct n) from keyless"), "0");
}

/// The transaction that asks is still being delivered when the copy is prepared: its rows are in the copy, so they come once.
#[test]
fn a_request_taken_up_in_the_middle_of_a_transaction() {
    let stream = Stream::start("create table keyless (n int); create table filler (n int)");
    stream.check("insert into keyless values (0)");
    stream.source.execute(
        "begin; insert into keyless select generate_series(1, 100); select pgstream.request_snapshot('{keyless}'); \
         insert into filler select generate_series(1, 400000); insert into keyless select generate_series(101, 300); commit",
    );
    let request = stream.source.value("select max(req_id) from pgstream.snapshot_requests");
    assert_eq!(ended(&stream.source, &request), "completed", "{}", stream.sidecar.stderr());
    stream.assert_arrived();
    assert_eq!(stream.target.value("select count(*) || ' ' || count(distinct n) from keyless"), "301 301");
}

/// A killed sidecar's last transaction may still be committed after the next one has started: what it replaced is known before a change is applied.
#[test]
fn a_start_waits_for_a_replacement_that_is_still_committed() {
    let mut stream = Stream::start("create table keyless (n int)");
    stream.check("insert into keyless select generate_series(1, 10)");
    let request = stream.source.value("select pgstream.request_snapshot('{keyless}')");
    assert_eq!(ended(&stream.source, &request), "completed");
    stream.assert_arrived();
    stream.sidecar.stop();
    stream.source.execute("insert into keyless select generate_series(11, 20)");
    let view = stream.source.value("select pg_current_snapshot()");
    let end = stream.source.value("select pg_current_wal_insert_lsn()");
    let replaces = "select 'pgstream replaces ' || system_identifier || ' ' || current_database() from pg_control_system()";
    let lock = stream.source.value(replaces);
    let mut replacing = stream.target.session();
    replacing.execute(&format!(
        "begin; select pg_advisory_xact_lock_shared(hashtextextended('{lock}', 0));
         delete from keyless; insert into keyless select generate_series(1, 20);
         update pgstream_sink.copies set view = '{view}', lsn = '{end}'"
    ));
    stream.sidecar.start_again();
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())";
    wait_until("the start waits", SOON, || (stream.target.value(waits) == "1").then_some(()));
    replacing.execute("commit");
    stream.check("insert into keyless values (21)");
}

#[test]
fn a_filter_chooses_rows() {
    let stream = Stream::start(TABLE);
    stream.check("insert into t select g, 'v' from generate_series(1, 100) g");
    stream.target.execute("update t set v = 'wrong'");
    let request = stream.source.value("select pgstream.request_snapshot('{t}', 'id <= 50')");
    assert_eq!(ended(&stream.source, &request), "completed");
    assert_eq!(
        stream.target.value("select count(*) filter (where v = 'v') || ' ' || count(*) from t"),
        "50 100"
    );
}

#[test]
fn a_request_can_be_taken_back_or_fail_without_harm() {
    let stream = Stream::start(TABLE);
    stream.check("insert into t select g, 'v' from generate_series(1, 100) g");
    let mut lock = stream.target.session();
    lock.execute("begin; lock table t in share row exclusive mode");
    let request = stream.source.value("select pgstream.request_snapshot('{t}')");
    let waits = "exists (select from pg_locks where not granted and relation = 't'::regclass)";
    let mut there = stream.target.session();
    wait_until("the copy waits at the target", LONG, || there.holds(waits).then_some(()));
    assert_eq!(stream.source.value(&format!("select pgstream.cancel_snapshot({request})")), "t");
    wait_until("the copy is given up", LONG, || (!there.holds(waits)).then_some(()));
    lock.execute("rollback");
    stream.check("update t set v = 'w'");
    assert_eq!(ended(&stream.source, &request), "cancelled");
    let request = stream.source.value("select pgstream.request_snapshot('{t}', 'nonsense')");
    let state = ended(&stream.source, &request);
    assert!(state.starts_with("failed") && state.contains("nonsense"), "{state}");
    stream.check("delete from t where id = 1");
}
