//! Input that cannot work: one clear line, exit 1, nothing changed, no secret shown.

use pgstream_tests::{wait_until, Auth, Database, Options, Server, Sidecar, SOON};

use crate::flows::{init, slot, Stream};

/// Runs it and checks the manners of a failure; gives back what was said.
fn refused(sidecar: Sidecar, parts: &[&str]) -> String {
    let finished = sidecar.finish();
    let said = finished.stderr;
    assert_eq!(finished.code, Some(1), "{said}");
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("ERROR")).count(), 1, "one line of error: {said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    said
}

fn run(source: &str) -> Sidecar {
    Sidecar::new(["run", "--source", "postgres", "--source-url", source])
}

#[test]
fn an_unreachable_or_wrong_host() {
    for command in ["init", "status", "destroy"] {
        refused(
            Sidecar::new([command, "--postgres-url", "postgres://u:hunter2@127.0.0.1:1/d"]),
            &["127.0.0.1:1"],
        );
    }
    let said = refused(run("postgres://u:hunter2@127.0.0.1:1/d"), &["127.0.0.1:1"]);
    assert!(!said.contains("hunter2"), "{said}");
    refused(run("postgres://u@no-such-host.invalid/d"), &["no-such-host.invalid"]);
}

#[test]
fn a_refused_password_is_never_printed() {
    let options = Options { auth: Auth::Scram, password: Some("right"), ..Options::default() };
    let server = Server::start("scram_refused", &options);
    let url = format!("postgres://postgres:hunter2@127.0.0.1:{}/postgres", server.port);
    for command in ["init", "destroy"] {
        let said =
            refused(Sidecar::new([command, "--postgres-url", &url, "--log-level", "trace"]), &["password"]);
        assert!(!said.contains("hunter2"), "{said}");
    }
    let said = refused(run(&url).arg("--log-level").arg("trace"), &["password"]);
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn an_unknown_database() {
    let url = Server::source().url("no_such_database");
    refused(Sidecar::new(["init", "--postgres-url", &url]), &["no_such_database"]);
    refused(run(&url), &["no_such_database"]);
}

#[test]
fn a_server_without_logical_wal() {
    let server = Server::start(
        "replica_wal",
        &Options { conf: vec!["wal_level = replica".into()], ..Options::default() },
    );
    let database = server.database();
    refused(Sidecar::new(["init", "--postgres-url", &database.url()]), &["wal_level", "logical"]);
    assert_eq!(database.value("select to_regnamespace('pgstream') is null"), "t", "nothing was made");
}

#[test]
fn no_free_slot() {
    let server = Server::start(
        "no_slot",
        &Options { conf: vec!["max_replication_slots = 1".into()], ..Options::default() },
    );
    let database = server.database();
    database.execute("select pg_create_physical_replication_slot('taken')");
    refused(Sidecar::new(["init", "--postgres-url", &database.url()]), &["max_replication_slots"]);
    assert_eq!(database.value("select to_regnamespace('pgstream') is null"), "t", "nothing was made");
}

#[test]
fn a_login_without_the_right_to_replicate() {
    let source = Database::on_source();
    init(&source);
    let role = format!("reader_{}", std::process::id());
    source.execute(&format!("create role {role} login"));
    let url = source.url().replace("postgres@", &format!("{role}@"));
    let said = refused(run(&url), &["REPLICATION"]);
    source.execute(&format!("drop role {role}"));
    assert!(said.contains(&role), "{said}");
}

#[test]
fn a_slot_that_is_missing_in_use_or_elsewhere() {
    let source = Database::on_source();
    refused(run(&source.url()), &["not initialised", "pgstream init"]);
    init(&source);
    refused(
        run(&source.url()).arg("--replication-slot").arg("no_such_slot"),
        &["no_such_slot", "pgstream init"],
    );

    let other = Database::on_source();
    init(&other);
    let elsewhere = slot(&other);
    refused(run(&source.url()).arg("--replication-slot").arg(&elsewhere), &[&elsewhere, &other.name]);

    let reader = run(&source.url()).start();
    reader.wait_for_line("streaming", SOON);
    refused(run(&source.url()), &["in use"]);
    assert_eq!(reader.stop().code(), Some(0));
}

#[test]
fn every_problem_of_a_file_at_once() {
    let yaml = "source:\n  postgres:\n    urll: postgres://h/d\n  kafka:\n    servers: [a]\ntarget:\n  postgres:\n    url: postgres://h/d\n    batch:\n      \
        timeout: soon\n      max_bytes: 3 parrots\n  stdout: {}\n";
    let finished = Sidecar::new(["run", "-c", "bad.yaml"]).file("bad.yaml", yaml).finish();
    assert_eq!(finished.code, Some(1));
    for part in
        ["urll", "url", "soon", "3 parrots", "only one processor can be configured at a time, found 2"]
    {
        assert!(finished.stderr.contains(part), "{part:?} is not in: {}", finished.stderr);
    }
    let env = "PGSTREAM_POSTGRES_LISTENER_URLL=x\nPGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=5 parrots\n";
    let finished = Sidecar::new(["run", "-c", "bad.env"]).file("bad.env", env).finish();
    assert_eq!(finished.code, Some(1));
    for part in ["PGSTREAM_POSTGRES_LISTENER_URLL", "PGSTREAM_POSTGRES_LISTENER_URL", "5 parrots"] {
        assert!(finished.stderr.contains(part), "{part:?} is not in: {}", finished.stderr);
    }
    for (name, content) in [("a.yaml", "source: [unclosed\n"), ("b.env", "no equals sign\n"), ("c.toml", "x")]
    {
        let finished = Sidecar::new(["run", "-c", name]).file(name, content).finish();
        assert_eq!(finished.code, Some(1), "{name}");
        assert!(finished.stderr.contains(name), "{}", finished.stderr);
    }
    refused(Sidecar::new(["run", "-c", "missing.yaml"]), &["missing.yaml"]);
}

#[test]
fn a_table_that_is_not_at_the_target() {
    let source = Database::on_source();
    source.execute("create table old (id int primary key)");
    init(&source);
    let target = Database::on_target();
    source.execute("insert into old values (1)");
    refused(Sidecar::replicate(&source, &target), &["public.old", "snapshot"]);
}

#[test]
fn a_target_login_without_rights() {
    let stream = Stream::start("create table t (id int primary key)");
    assert_eq!(stream.sidecar.stop().code(), Some(0));
    let role = format!("writer_{}", std::process::id());
    stream.target.execute(&format!("create role {role} login; grant usage on schema pgstream_sink to {role}; grant all on all tables in schema pgstream_sink to {role}"));
    stream.source.execute("insert into t values (1)");
    let target = stream.target.url().replace("postgres@", &format!("{role}@"));
    let args = [
        "run",
        "--source",
        "postgres",
        "--source-url",
        &stream.source.url(),
        "--target",
        "postgres",
        "--target-url",
        &target,
    ];
    let said = refused(Sidecar::new(args), &["permission denied"]);
    assert!(said.contains("t"), "{said}");
    stream.target.execute(&format!("drop owned by {role}; drop role {role}"));
    assert_eq!(stream.target.value("select count(*) from t"), "0");
}

#[test]
fn a_read_only_target_is_retried_and_then_said() {
    let stream = Stream::start("create table t (id int primary key)");
    let name = &stream.target.name;
    stream.target.execute(&format!("alter database \"{name}\" set default_transaction_read_only = on"));
    assert_eq!(stream.sidecar.stop().code(), Some(0));
    stream.source.execute("insert into t values (1)");
    let args = [
        "run",
        "--source-url",
        &stream.source.url(),
        "--target",
        "postgres",
        "--target-url",
        &stream.target.url(),
    ];
    let said = refused(Sidecar::new(args), &["read-only"]);
    assert!(said.contains("next attempt"), "it was retried: {said}");
}

#[test]
fn init_and_destroy_twice_are_fine() {
    let source = Database::on_source();
    source.execute("create table t (id int primary key)");
    for _ in 0..2 {
        init(&source);
    }
    assert_eq!(source.value("select count(*) from pgstream.schema_log"), "1");
    for _ in 0..2 {
        let finished = Sidecar::new(["destroy", "--postgres-url", &source.url()]).finish();
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert!(finished.stderr.contains("SUCCESS  pgstream destroy complete"), "{}", finished.stderr);
    }
    let left = "select (select count(*) from pg_publication) + (select count(*) from pg_replication_slots where database = current_database()) \
        + (select count(*) from pg_event_trigger) + (select count(*) from pg_namespace where nspname = 'pgstream')";
    assert_eq!(source.value(left), "0");
    wait_until("a database to work in as before", SOON, || {
        source.execute("create table after (id int); drop table after");
        Some(())
    });
}
