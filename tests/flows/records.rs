//! What the source keeps of a slot: acknowledged schema versions, and the position of sinks that store none.

use std::time::{Duration, Instant};

use pgstream_tests::{wait_until, Database, Options, Server, Sidecar, Stop, LONG, SOON};

use super::{init, slot, Stream};

/// Versions of the schema log without an ack of this slot, or not marked.
const UNACKED: &str = "select count(*) from pgstream.schema_log l where not acked or not exists (
    select from pgstream.schema_log_acks a where a.schema_name = l.schema_name and a.version = l.version)";

fn to_stdout(source: &Database) -> Sidecar {
    let sidecar = Sidecar::new(["run", "--source-url", &source.url()]).start();
    sidecar.wait_for_line("streaming", SOON);
    sidecar
}

fn confirmed_past(source: &Database, position: &str) -> bool {
    source.value(&format!(
        "select confirmed_flush_lsn >= '{position}' from pg_replication_slots where slot_name = '{}'",
        slot(source)
    )) == "t"
}

#[test]
fn versions_are_acknowledged_before_the_slot_is_confirmed_past_them() {
    let stream = Stream::start("create schema s; create table s.t (id int primary key)");
    let begin = stream.source.value("select pg_current_wal_lsn()");
    for round in 0..10 {
        stream.source.execute(&format!("alter table s.t add c{round} int; create table u{round} (id int)"));
        stream.settle();
        assert_eq!(stream.source.value(UNACKED), "0", "round {round}");
    }
    let in_order = "select count(*) = 10 and array_agg(version order by commit_lsn) = array_agg(version order by version)
        from pgstream.schema_log_acks where schema_name = 's'";
    let of_this_stream = format!("{in_order} and commit_lsn > '{begin}'");
    assert_eq!(stream.source.value(&of_this_stream), "t");
}

#[test]
fn versions_are_acknowledged_whatever_the_sink_is_given() {
    let source = Database::on_source();
    init(&source);
    let sidecar = Sidecar::new(["run", "--source-url", &source.url()])
        .env("PGSTREAM_FILTER_INCLUDE_TABLES", "nothing")
        .start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("create table t (id int primary key); alter table t add c int");
    source.wait_confirmed(&slot(&source));
    assert_eq!(source.value(UNACKED), "0");
}

/// A crash can come between the sink's transaction and ours.
#[test]
fn the_position_of_a_version_is_kept_before_the_sink_has_it() {
    let mut stream = Stream::start("create table t (id int primary key)");
    let mut blocker = stream.target.session();
    blocker.execute("begin; lock table t");
    stream.source.execute("alter table t add c int");
    let kept = "select count(*) = 1 and not bool_or(acked) from pgstream.schema_log_acks a
        join pgstream.schema_log l using (schema_name, version) where a.commit_lsn > (select start_lsn from pgstream.slots)";
    // A transaction that comes in two pieces blocks before its end is known: then it comes again.
    wait_until("the position of a version that the target has not", LONG, || {
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            if stream.source.value(kept) == "t" {
                return Some(());
            }
        }
        stream.sidecar.kill();
        stream.sidecar.start_again();
        None
    });
    stream.sidecar.kill();
    blocker.execute("rollback");
    stream.sidecar.start_again();
    stream.assert_arrived();
    assert_eq!(stream.source.value(UNACKED), "0");

    stream.sidecar.stop();
    stream.source.execute("update pgstream.schema_log set acked = false");
    stream.sidecar.start_again();
    wait_until("marks that a crash left out", SOON, || (stream.source.value(UNACKED) == "0").then_some(()));
}

/// With synchronous replication a commit is streamed before other sessions see it.
#[test]
fn a_version_that_cannot_be_seen_yet_is_waited_for_while_the_stream_goes_on() {
    let conf = ["synchronous_standby_names = 'nobody'", "synchronous_commit = local"].map(String::from);
    let server = Server::start("synchronous", &Options { conf: conf.into(), ..Options::default() });
    let (source, target) = (server.database(), Database::on_target());
    for side in [&source, &target] {
        side.execute("create table t (id int primary key)");
    }
    init(&source);
    let sidecar = Sidecar::replicate(&source, &target).start();
    sidecar.wait_for_line("streaming", SOON);

    let mut waiting = source.session();
    let pid = waiting.value("select pg_backend_pid()");
    let late = std::thread::spawn(move || {
        waiting.execute("set synchronous_commit = on; create table late (id int primary key)");
    });
    wait_until("the table at the target", SOON, || {
        (target.value("select to_regclass('late') is not null") == "t").then_some(())
    });
    assert_eq!(source.value("select to_regclass('late') is null"), "t", "nobody sees it at the source");
    source.execute("insert into t values (1)");
    wait_until("a later row at the target", SOON, || {
        (target.value("select count(*) from t") == "1").then_some(())
    });
    let end = source.value("select max(commit_lsn) from pgstream.schema_log_acks");
    assert!(!confirmed_past(&source, &end), "{end} is confirmed");

    source.rows(&format!("select pg_cancel_backend({pid})"));
    late.join().expect("the waiting session");
    source.wait_confirmed(&slot(&source));
    assert_eq!(source.value(UNACKED), "0");
    assert_eq!(sidecar.stop().code(), Some(0));
}

#[test]
fn a_login_that_may_not_record_is_told_once_and_streams() {
    let source = Database::on_source();
    init(&source);
    let role = format!("reader_{}", std::process::id());
    source.execute(&format!("create role {role} login replication"));
    let url = source.url().replace("postgres@", &format!("{role}@"));
    let sidecar = Sidecar::new(["run", "--source-url", &url]).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("create table t (id int primary key); create table u (id int); insert into t values (1)");
    sidecar.wait_for_line("\"value\":1}", SOON);
    source.wait_confirmed(&slot(&source));
    let told = sidecar.stderr().matches("grant execute on function pgstream.").count();
    sidecar.stop();
    // A position that it can read but not move is none.
    source.execute(&format!("grant execute on function pgstream.slot_position to {role}"));
    let sidecar = Sidecar::new(["run", "--source-url", &url]).start();
    sidecar.wait_for_line("streaming", SOON);
    sidecar.stop();
    let grant = "grant execute on function pgstream.slot_position, pgstream.move_slot, pgstream.acknowledge";
    source.execute(&format!("{grant} to {role}; update pgstream.slots set position = null"));
    let sidecar = Sidecar::new(["run", "--source-url", &url]).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("alter table t add c int");
    source.wait_confirmed(&slot(&source));
    let (said, left) =
        (sidecar.stderr(), source.value("select count(*) from pgstream.schema_log where acked"));
    sidecar.stop();
    source.execute(&format!("drop owned by {role}; drop role {role}"));
    assert_eq!(told, 1);
    assert!(!said.contains("grant execute"), "{said}");
    assert_eq!(left, "1");
}

#[test]
fn a_slot_made_anew_is_noticed_without_a_target_that_remembers() {
    for cleanly in [true, false] {
        let source = Database::on_source();
        source.execute("create table t (id int primary key, v text)");
        init(&source);
        let mut sidecar = to_stdout(&source);
        source.execute("insert into t values (1)");
        source.wait_confirmed(&slot(&source));
        if cleanly {
            assert_eq!(sidecar.stop().code(), Some(0));
        } else {
            sidecar.kill();
        }
        sidecar.start_again();
        sidecar.wait_for_line("streaming", SOON);
        source.execute("insert into t values (2)");
        sidecar.wait_for_line("\"value\":2}", SOON);
        let rows = if cleanly {
            sidecar.stop();
            1
        } else {
            sidecar.kill();
            2000
        };
        let name = slot(&source);
        source.execute(&format!("select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = '{name}' and active"));
        source.execute(&format!("select pg_drop_replication_slot('{name}')"));
        source.execute(&format!(
            "insert into t select n, repeat('x', 100) from generate_series(3, {rows} + 2) n"
        ));
        source.execute(&format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')"));
        sidecar.start_again();
        assert_eq!(sidecar.wait(SOON).code(), Some(1), "stopped cleanly: {cleanly}");
        assert!(sidecar.stderr().contains("made anew"), "{}", sidecar.stderr());

        // init is where a new beginning is asked for.
        source.execute(&format!("select pg_drop_replication_slot('{name}')"));
        init(&source);
        sidecar.start_again();
        source.execute("insert into t values (0)");
        sidecar.wait_for_line("\"value\":0}", SOON);
        assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
    }
}

#[test]
fn a_slot_of_another_server_is_refused() {
    let source = Database::on_source();
    init(&source);
    source.execute("update pgstream.slots set system_identifier = 1");
    let finished = Sidecar::new(["run", "--source-url", &source.url()]).finish();
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("another server"), "{}", finished.stderr);
}

/// Storing the position is itself written to the log.
#[test]
fn an_idle_database_becomes_quiet() {
    let server =
        Server::start("quiet", &Options { conf: vec!["autovacuum = off".into()], ..Options::default() });
    let (source, other) = (server.database(), server.database());
    init(&source);
    let sidecar = to_stdout(&source);
    source.execute("create table t (id int primary key); insert into t values (1)");
    source.wait_confirmed(&slot(&source));
    let written = || source.value("select xmin from pgstream.slots");
    let before = written();
    for _ in 0..20 {
        other.execute("select pg_logical_emit_message(true, 'somebody', 'else')");
        // Everything up to here includes our own last write, if there was one.
        source.wait_confirmed(&slot(&source));
    }
    assert_eq!(written(), before, "nothing is stored while there is room");
    let end = source.value("select position from pgstream.slots");
    assert!(!confirmed_past(&source, &end));

    assert_eq!(sidecar.stop().code(), Some(0));
    let exact = "select k.position = s.confirmed_flush_lsn from pgstream.slots k join pg_replication_slots s using (slot_name)";
    assert_eq!(source.value(exact), "t", "after a clean stop");
}

#[test]
fn a_target_that_remembers_leaves_no_position_at_the_source() {
    let stream = Stream::start("create table t (id int primary key)");
    stream.check("insert into t values (1)");
    assert_eq!(stream.source.value("select position from pgstream.slots"), "");
    assert_eq!(stream.sidecar.stop().code(), Some(0));
    let sidecar = to_stdout(&stream.source);
    stream.source.execute("insert into t values (2)");
    sidecar.wait_for_line("\"value\":2}", SOON);
}

/// The position cannot be stored at a source that shuts down.
#[test]
fn a_source_that_shuts_down_does_not_wait_for_us() {
    let server = Server::start("shut_down", &Options::default());
    let source = server.database();
    source.execute("create table t (id int primary key, v text)");
    init(&source);
    let sidecar = to_stdout(&source);
    for round in 0..3 {
        source.execute(&format!(
            "insert into t select {round} * 1000 + n, repeat('x', 100) from generate_series(1, 1000) n"
        ));
    }
    sidecar.wait_for_line("\"value\":3000}", SOON);
    let begun = std::time::Instant::now();
    server.stop(Stop::Fast);
    assert!(begun.elapsed() < Duration::from_secs(9), "it took {:?}", begun.elapsed());
    server.start_again();
    source.execute("insert into t values (0)");
    sidecar.wait_for_line("\"value\":0}", SOON);
    assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
}
