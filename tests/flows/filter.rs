//! Tables without their rows: `schema_only_tables`.

use pgstream_tests::{wait_until, Database, Sidecar, SOON};

use super::{init, slot, Stream};

const TABLES: &str =
    "create table open (id int primary key); create table \"Big\" (id int primary key, v text); \
    create schema logs; create table logs.day (id int)";

const SCHEMA_ONLY: &str = "\"Big\" logs.*";

/// Into a database: its tables follow, empty; others are as they were.
#[test]
fn schema_only_tables_stay_empty() {
    let stream =
        Stream::with(TABLES, |sidecar| sidecar.env("PGSTREAM_FILTER_SCHEMA_ONLY_TABLES", SCHEMA_ONLY));
    stream.source.execute(
        "insert into open values (1); insert into \"Big\" values (1, 'a'); insert into logs.day values (1);
        update \"Big\" set v = 'b'; delete from logs.day; insert into logs.day values (2);
        alter table \"Big\" add column w int default 7; create table logs.night as select * from logs.day;
        truncate logs.day; insert into logs.night values (3)",
    );
    // A rewrite with values of its own has the table copied again: that brings no rows either.
    stream.source.execute("alter table \"Big\" add column u uuid not null default gen_random_uuid()");
    stream.source.execute("insert into open values (2); insert into \"Big\" (id) values (2)");
    stream.settle();
    let seen = "select (select string_agg(id::text, ' ' order by id) from open), (select count(*) from \"Big\"), (select count(*) from logs.day), \
        (select count(*) from logs.night), (select string_agg(attname, ' ' order by attnum) from pg_attribute where attrelid = '\"Big\"'::regclass and attnum > 0)";
    assert_eq!(stream.target.rows(seen), [["1 2", "0", "0", "0", "id v w u"]]);
}

/// To standard output, with the existing rows first; together with tables that are included.
#[test]
fn schema_changes_without_rows() {
    let source = Database::on_source();
    source.execute(&format!("{TABLES}; insert into open values (1); insert into \"Big\" values (1, 'a')"));
    source.execute("create table other (id int); insert into other values (1)");
    init(&source);
    let sidecar = Sidecar::new(["run", "--source-url", &source.url(), "--snapshot-tables", "open \"Big\""])
        .env("PGSTREAM_FILTER_INCLUDE_TABLES", "open")
        .env("PGSTREAM_FILTER_SCHEMA_ONLY_TABLES", SCHEMA_ONLY)
        .start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("insert into \"Big\" values (2, 'b'); alter table \"Big\" add w int; insert into \"Big\" values (3, 'c'); truncate \"Big\"");
    source.execute("alter table other add w int; insert into other values (2); insert into open values (2)");
    source.wait_confirmed(&slot(&source));
    let lines = sidecar.stdout();
    let count = |part: &str| lines.lines().filter(|line| line.contains(part)).count();
    assert_eq!(count("\"table\":\"open\""), 2, "{lines}");
    assert_eq!(count("\"table\":\"Big\""), 0, "{lines}");
    assert_eq!(count("\"action\":\"M\""), 1, "{lines}");
    assert!(count("alter table \\\\\\\"Big\\\\\\\" add w int") == 1, "{lines}");
}

/// Into a database, copied before it is streamed.
#[test]
fn schema_only_tables_are_copied_empty() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(&format!("{TABLES}; insert into open values (1); insert into \"Big\" values (1, 'a')"));
    init(&source);
    let sidecar = Sidecar::replicate(&source, &target)
        .arg("--snapshot-tables")
        .arg("*.*")
        .env("PGSTREAM_FILTER_SCHEMA_ONLY_TABLES", SCHEMA_ONLY)
        .start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("select pgstream.request_snapshot(array['\"Big\"']); insert into \"Big\" values (2, 'b'); insert into open values (2)");
    let mut session = source.session();
    wait_until("the end of the copy", SOON, || {
        let done = "(select bool_and(status = 'completed') from pgstream.snapshot_requests)";
        session.holds(done).then_some(())
    });
    source.wait_confirmed(&slot(&source));
    let seen =
        "select (select count(*) from open), (select count(*) from \"Big\"), (select count(*) from logs.day)";
    assert_eq!(target.rows(seen), [["2", "0", "0"]]);
    drop(sidecar);
}
