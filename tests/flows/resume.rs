//! Stopping, restarting, and an idle source.

use std::time::Duration;

use pgstream_tests::{wait_until, LONG, SOON};

use super::{slot, Stream};

#[test]
fn a_clean_stop_delivers_all_and_a_restart_goes_on() {
    let mut stream = Stream::start("create table t (id int primary key); create table log (n int)");
    for round in 0..3 {
        stream.source.execute(&format!(
            "insert into t select generate_series({round} * 1000 + 1, {round} * 1000 + 1000)"
        ));
        stream.source.execute(&format!("insert into log select {round} from generate_series(1, 100)"));
        assert_eq!(stream.sidecar.stop().code(), Some(0), "{}", stream.sidecar.stderr());
        stream.source.execute(&format!("insert into log values ({round})"));
        stream.sidecar.start_again();
    }
    stream.assert_arrived();
}

/// failure-modes: an idle slot must not retain WAL that other databases write.
#[test]
fn an_idle_slot_moves_on() {
    let stream = Stream::start("create table t (id int primary key)");
    stream.check("insert into t values (1)");
    let other = pgstream_tests::Database::on_source();
    other.execute("create table noise (v text); insert into noise select repeat('x', 1000) from generate_series(1, 5000)");
    let now = other.value("select pg_current_wal_lsn()");
    let name = slot(&stream.source);
    let mut session = stream.source.session();
    wait_until("the idle slot past another database's WAL", LONG, || {
        let confirmed = format!(
            "(select confirmed_flush_lsn >= '{now}' from pg_replication_slots where slot_name = '{name}')"
        );
        session.holds(&confirmed).then_some(())
    });
    let stored = stream.target.value("select max(lsn) from pgstream_sink.progress");
    let confirmed = stream
        .source
        .value(&format!("select confirmed_flush_lsn from pg_replication_slots where slot_name = '{name}'"));
    let ahead = stream.source.value(&format!("select '{confirmed}'::pg_lsn <= '{stored}'::pg_lsn"));
    assert_eq!(ahead, "t", "the slot ({confirmed}) is never confirmed past what the sink stored ({stored})");
}

/// failure-modes: a slot made anew must not go unnoticed.
#[test]
fn a_slot_made_anew_stops_loudly() {
    let mut stream = Stream::start("create table t (id int primary key)");
    stream.check("insert into t values (1)");
    stream.sidecar.stop();
    let name = slot(&stream.source);
    stream.source.execute(&format!("select pg_drop_replication_slot('{name}')"));
    stream.source.execute("insert into t values (2)");
    stream.source.execute(&format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')"));
    stream.sidecar.start_again();
    let status = stream.sidecar.wait(SOON);
    assert_eq!(status.code(), Some(1));
    let said = stream.sidecar.stderr();
    assert!(said.contains("resnapshot"), "{said}");
    assert_eq!(stream.target.value("select count(*) from t"), "1", "nothing was applied over the gap");
}

#[test]
fn the_stored_position_holds_for_one_source_only() {
    let stream = Stream::start("create table t (id int primary key)");
    stream.check("insert into t values (1)");
    assert_eq!(stream.sidecar.stop().code(), Some(0));
    stream.target.execute("update pgstream_sink.progress set system_identifier = '1'");
    let mut stream = stream;
    stream.sidecar.start_again();
    assert_eq!(stream.sidecar.wait(SOON).code(), Some(1), "{}", stream.sidecar.stderr());
}

#[test]
fn a_source_restart_is_waited_out() {
    use pgstream_tests::{assert_same, Database, Options, Server, Sidecar, Stop};
    let server = Server::start("restarted", &Options::default());
    let (source, target) = (server.database(), Database::on_target());
    for side in [&source, &target] {
        side.execute("create table t (id int primary key)");
    }
    super::init(&source);
    let sidecar = Sidecar::replicate(&source, &target).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("insert into t values (1)");
    let begun = std::time::Instant::now();
    server.stop(Stop::Fast);
    assert!(begun.elapsed() < Duration::from_secs(9), "a fast shutdown of the source waits for nobody");
    server.start_again();
    source.execute("insert into t values (2)");
    assert_same(&source, &target);
    assert_eq!(sidecar.stop().code(), Some(0));
}
