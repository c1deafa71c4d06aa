//! Copies of existing data into PostgreSQL: what arrives is what was there, and a second run goes on where the first stopped.

use pgstream_tests::{assert_same, wait_until, Database, Finished, Sidecar, SOON};

/// `pgstream snapshot` of `tables` with more arguments.
fn copy(source: &Database, target: &Database, tables: &str, more: &[&str]) -> Finished {
    let (from, to) = (source.url(), target.url());
    let args = [
        "snapshot",
        "--postgres-url",
        &from,
        "--target",
        "postgres",
        "--target-url",
        &to,
        "--tables",
        tables,
    ];
    Sidecar::new([&args, more].concat()).finish()
}

fn succeeds(finished: &Finished) {
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

/// Copies everything of a new source that `sql` fills to a new target, and compares.
fn arrives(sql: &str) -> (Database, Database) {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(sql);
    succeeds(&copy(&source, &target, "*.*", &[]));
    assert_same(&source, &target);
    (source, target)
}

/// The tutorial `snapshot`, literally, and the replication tutorial after it on the same database.
#[test]
fn the_tutorial() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("CREATE TABLE test(id SERIAL PRIMARY KEY, name TEXT); INSERT INTO test(name) VALUES('alice'),('bob'),('charlie')");
    let (from, to) = (source.url(), target.url());
    let environment = format!(
        r#"# Listener config
PGSTREAM_POSTGRES_SNAPSHOT_LISTENER_URL="{from}"
PGSTREAM_POSTGRES_SNAPSHOT_TABLES="*"
PGSTREAM_POSTGRES_SNAPSHOT_SCHEMA_WORKERS=4
PGSTREAM_POSTGRES_SNAPSHOT_TABLE_WORKERS=4
PGSTREAM_POSTGRES_SNAPSHOT_BATCH_PAGE_SIZE=1000
PGSTREAM_POSTGRES_SNAPSHOT_WORKERS=1
PGSTREAM_POSTGRES_SNAPSHOT_STORE_URL="{from}"

# Processor config
PGSTREAM_POSTGRES_WRITER_TARGET_URL="{to}"
PGSTREAM_POSTGRES_WRITER_BATCH_SIZE=25
PGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=5s
"#
    );
    let run = || {
        let args = ["run", "-c", "snapshot2pg_tutorial.env", "--log-level", "trace"];
        Sidecar::new(args).file("snapshot2pg_tutorial.env", &environment).finish()
    };
    succeeds(&run());
    assert_same(&source, &target);
    let requests = "SELECT req_id, schema_name, table_names, created_at <= updated_at, status, errors FROM pgstream.snapshot_requests";
    assert_eq!(source.rows(requests), [["1", "public", "{*}", "t", "completed", ""]]);

    let again = run();
    succeeds(&again);
    assert!(again.stderr.contains("nothing to copy"), "{}", again.stderr);
    assert_eq!(source.value("select count(*) from pgstream.snapshot_requests"), "1");

    super::init(&source);
    assert_eq!(source.rows(requests).len(), 1, "init keeps the requests");
    let sidecar = Sidecar::replicate(&source, &target).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("insert into test (name) values ('dora'); alter table test add column age int default 7");
    source.wait_confirmed(&super::slot(&source));
    assert_same(&source, &target);
    drop(sidecar);
    succeeds(&run());
    assert_same(&source, &target);
}

#[test]
fn every_kind_of_table() {
    arrives(
        "create type mood as enum ('sad', 'ok'); create domain percent as int check (value between 0 and 100);
         create type pair as (a int, m mood);
         create table plain (id int primary key, v text, n numeric, j jsonb, b bytea, t timestamptz, m mood, ms mood[], p percent, c pair, r int4range);
         insert into plain select g, repeat('ä', g), g / 7.0, jsonb_build_object('g', g), decode(md5(g::text), 'hex'), 'infinity',
             'ok', array['sad', null]::mood[], g % 100, row(g, 'sad')::pair, int4range(g, null) from generate_series(1, 500) g;
         insert into plain values (0, '', 'NaN', 'null', '', '-infinity', null, '{}', null, null, 'empty');
         create table generated (id int generated always as identity primary key, a int, b int generated always as (a * 2) stored, c text default 'x');
         insert into generated (a) select g from generate_series(1, 50) g;
         create table dropped (a int, b text, c int); insert into dropped select g, 'x', g from generate_series(1, 20) g; alter table dropped drop column b;
         create table nothing (); insert into nothing select from generate_series(1, 7);
         create table only_identity (id int generated always as identity); insert into only_identity select from generate_series(1, 5);
         create table empty (id int); create table without_key (v text); insert into without_key select 'same' from generate_series(1, 30);
         create schema \"S 1\"; create table \"S 1\".\"T \"\"2\"\"\" (\"Id\" serial primary key, \"a.b\" text); insert into \"S 1\".\"T \"\"2\"\"\" (\"a.b\") values ('x'), (null);
         create unlogged table unlogged (id int primary key); insert into unlogged values (1);",
    );
}

#[test]
fn partitions_and_inheritance() {
    let (source, target) = arrives(
        "create table parent (id int, at date, primary key (id, at)) partition by range (at);
         create table y1 partition of parent for values from ('2025-01-01') to ('2026-01-01');
         create table y2 partition of parent for values from ('2026-01-01') to ('2027-01-01') partition by list (id);
         create table y2a partition of y2 for values in (1, 2); create table y2b partition of y2 default;
         create index on parent (at); insert into parent select g, '2025-06-01'::date + g * 10 from generate_series(1, 40) g;
         create table base (id int, v text); create table derived (w text) inherits (base);
         insert into base values (1, 'b'); insert into derived values (2, 'd', 'w');",
    );
    assert_eq!(
        target.value("select count(*) from only base"),
        source.value("select count(*) from only base")
    );
}

/// A partitioned table holds no rows: naming it alone copies its leaves.
#[test]
fn a_partitioned_table_named_alone() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(
        "create table p (id int primary key) partition by range (id); create table p1 partition of p for values from (0) to (10);
         create table p2 partition of p default; insert into p select generate_series(1, 30); create table other (id int); insert into other values (1)",
    );
    succeeds(&copy(&source, &target, "p", &[]));
    assert_eq!(target.value("select count(*) from p"), "30");
    assert_eq!(target.value("select to_regclass('other') is null"), "t");
}

#[test]
fn keys_triggers_and_views_in_any_order() {
    arrives(
        "create table a (id int primary key, b int); create table b (id int primary key, a int references a);
         insert into a values (1, 2), (2, null); insert into b values (2, 1); alter table a add foreign key (b) references b deferrable;
         create table log (what text); create function note() returns trigger language plpgsql as $$ begin insert into log values ('fired'); return new; end $$;
         create trigger t after insert on a for each row execute function note(); create view v as select a.id, b.a from a join b on b.id = a.b;
         create materialized view m as select count(*) from a; create index on a (b) where b is not null; create unique index on b (a, id);
         create table self (id int primary key, parent int references self); insert into self select g, nullif(g - 1, 0) from generate_series(1, 100) g;
         create sequence s start 5 increment 5; select nextval('s'), nextval('s'); create table withseq (id serial); insert into withseq select from generate_series(1, 9);
         alter table a add check (id > 0) not valid; cluster b using b_pkey;",
    );
}

#[test]
fn patterns_choose_and_exclude() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(
        "create schema s; create table s.a (id int primary key); create table s.b (id int primary key references s.a); create table test (id int primary key); create table rest (id int);
         insert into s.a values (1); insert into s.b values (1); insert into test values (1); insert into rest values (1); create type unused as enum ('x');",
    );
    let finished = copy(&source, &target, "s.* test", &["-c", "x.env"]);
    assert_eq!(finished.code, Some(1), "there is no such file");
    succeeds(&copy(&source, &target, "s.*,test", &[]));
    let tables = "select string_agg(schemaname || '.' || tablename, ' ' order by 1) from (select * from pg_tables where schemaname in ('s', 'public') order by 1, 2) t";
    assert_eq!(
        target.value(tables),
        "s.a s.b public.test"
            .split(' ')
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
    );
    assert_eq!(target.value("select (select count(*) from s.b) + (select count(*) from test)"), "2");
    let unknown = copy(&source, &target, "nosuch", &[]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("there is no table public.nosuch"), "{}", unknown.stderr);
}

/// One table that cannot be read does not stop the others; it is named, recorded, and copied once it can be.
#[test]
fn a_missing_right_names_the_table() {
    let (source, target) = (Database::on_source(), Database::on_target());
    let role = format!("reader_{}", source.name);
    source.execute(&format!(
        "create table open (id int primary key); create table closed (id int primary key); insert into open values (1); insert into closed values (1), (2);
         create role \"{role}\" login; grant usage on schema public to \"{role}\"; grant select on open to \"{role}\"",
    ));
    let url = source.url().replace("postgres@", &format!("{role}@"));
    let store = source.url();
    let run = || {
        let args = ["snapshot", "--postgres-url", &url, "--target-url", &target.url(), "--tables", "*.*"];
        Sidecar::new(args).env("PGSTREAM_POSTGRES_SNAPSHOT_STORE_URL", &store).finish()
    };
    let finished = run();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("permission denied for table public.closed"), "{}", finished.stderr);
    let request = "select status, errors -> 'tables' ? 'public.closed' from pgstream.snapshot_requests";
    assert_eq!(source.rows(request), [["failed", "t"]]);
    assert_eq!(target.value("select count(*) from open"), "1");
    source.execute(&format!("grant select on closed to \"{role}\""));
    succeeds(&run());
    assert_eq!(source.rows(request), [["completed", ""]]);
    assert_same(&source, &target);
    source.execute(&format!("drop owned by \"{role}\"; drop role \"{role}\""));
}

/// Rows that no copy brought are never mixed with copied ones unless asked for.
#[test]
fn rows_that_are_there() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source
        .execute("create table t (id int primary key, v text); insert into t values (1, 'new'), (2, 'new')");
    target
        .execute("create table t (id int primary key, v text); insert into t values (1, 'old'), (3, 'old')");
    let finished = copy(&source, &target, "t", &[]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("has rows at the target"), "{}", finished.stderr);
    let with = |action: &str| {
        let args =
            ["snapshot", "--postgres-url", &source.url(), "--target-url", &target.url(), "--tables", "t"];
        succeeds(&Sidecar::new(args).env("PGSTREAM_POSTGRES_WRITER_ON_CONFLICT_ACTION", action).finish());
        target.value("select string_agg(id || v, ' ' order by id) from t")
    };
    assert_eq!(with("nothing"), "1old 2new 3old");
    target.execute("delete from pgstream_sink.copies");
    assert_eq!(with("update"), "1new 2new 3old");
    succeeds(&copy(&source, &target, "t", &["--reset"]));
    assert_same(&source, &target);
}

/// A table changed between the snapshot and its copy is copied from another snapshot, never read half.
#[test]
fn tables_that_change_before_they_are_copied() {
    for change in [
        "alter table t alter column v type text",
        "alter table t add column w int default 5; alter table t drop column w",
        "truncate t",
        "alter table t rename to u; alter table u rename to t",
    ] {
        let (source, target) = (Database::on_source(), Database::on_target());
        let table = "create table t (id int primary key, v varchar(20)); create table first (id int)";
        source.execute(&format!("{table}; insert into t select g, 'v' || g from generate_series(1, 2000) g"));
        target.execute("create table t (id int primary key, v text); create table first (id int)");
        let mut session = source.session();
        session.execute("begin; lock table t in access exclusive mode");
        let sidecar = Sidecar::new([
            "snapshot",
            "--postgres-url",
            &source.url(),
            "--target-url",
            &target.url(),
            "--tables",
            "*.*",
        ])
        .file("data.yaml", "source:\n  postgres:\n    snapshot:\n      mode: data\n")
        .arg("-c")
        .arg("data.yaml")
        .start();
        let waits = "select count(*) from pg_locks where not granted and relation = 't'::regclass";
        wait_until("a worker waits for the table", SOON, || (source.value(waits) != "0").then_some(()));
        session.execute(&format!("{change}; commit"));
        let status = wait_until("the end of the copy", SOON, || sidecar.process().exit_status());
        assert_eq!(status.code(), Some(0), "{change}: {}", sidecar.stderr());
        let rows = "select count(*) || ' ' || coalesce(sum(id), 0) || ' ' || coalesce(max(v), '') from t";
        assert_eq!(target.value(rows), source.value(rows), "{change}: {}", sidecar.stderr());
    }
}

/// A table that is dropped meanwhile is no reason to fail.
#[test]
fn a_table_dropped_before_it_is_copied() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("create table t (id int); create table keeps (id int); insert into keeps values (1)");
    target.execute("create table t (id int); create table keeps (id int)");
    let mut session = source.session();
    session.execute("begin; drop table t");
    let sidecar = Sidecar::new([
        "snapshot",
        "--postgres-url",
        &source.url(),
        "--target-url",
        &target.url(),
        "--tables",
        "*.*",
    ])
    .file("data.yaml", "source:\n  postgres:\n    snapshot:\n      mode: data\n")
    .arg("-c")
    .arg("data.yaml")
    .start();
    let waits = "select count(*) from pg_locks where not granted and mode = 'AccessShareLock'";
    wait_until("a worker waits for the table", SOON, || (source.value(waits) != "0").then_some(()));
    session.execute("commit");
    let status = wait_until("the end of the copy", SOON, || sidecar.process().exit_status());
    assert_eq!(status.code(), Some(0), "{}", sidecar.stderr());
    assert_eq!(target.value("select count(*) from keeps"), "1");
}

/// Only what is to be copied is waited for. (`pg_dump` waits for every table, so this is of rows alone.)
#[test]
fn a_table_somebody_holds_delays_no_copy_of_others() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source
        .execute("create table held (id int); create table t (id int primary key); insert into t values (1)");
    target.execute("create table t (id int primary key)");
    let mut session = source.session();
    session.execute("begin; lock table held in access exclusive mode");
    let (from, to) = (source.url(), target.url());
    let args = ["snapshot", "--postgres-url", &from, "--target-url", &to, "--tables", "t"];
    succeeds(&Sidecar::new(args).env("PGSTREAM_POSTGRES_SNAPSHOT_MODE", "data").finish());
    assert_eq!(target.value("select count(*) from t"), "1");
}

/// Large values are packed by the cheaper method, unless somebody has chosen one.
#[test]
fn large_values_are_packed_by_lz4_where_nobody_chose() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("create table t (id int primary key, v text); insert into t values (1, repeat('again and again ', 1000))");
    let packed = "select pg_column_compression(v) from t";
    succeeds(&copy(&source, &target, "t", &[]));
    assert_eq!((source.value(packed), target.value(packed)), ("pglz".to_owned(), "lz4".to_owned()));
    let database = target.value("select quote_ident(current_database())");
    target
        .execute(&format!("drop table t; alter database {database} set default_toast_compression = 'pglz'"));
    succeeds(&copy(&source, &target, "t", &["--reset"]));
    assert_eq!(target.value(packed), "pglz");
}

/// Where an unused sequence stands is not where it started.
#[test]
fn sequences_go_on_where_they_stand() {
    let (source, target) = arrives(
        "create schema \"S 2\"; create sequence \"S 2\".\"it's\" start 7; create sequence fresh; create sequence used;
         select setval('\"S 2\".\"it''s\"', 40, false), nextval('used'), nextval('used')",
    );
    let next = "select nextval('\"S 2\".\"it''s\"') || ' ' || nextval('fresh') || ' ' || nextval('used')";
    assert_eq!((source.value(next), target.value(next)), ("40 1 3".to_owned(), "40 1 3".to_owned()));
}

/// `--reset` and repeatable snapshots copy again; otherwise nothing is copied twice.
#[test]
fn again_only_when_asked() {
    let (source, target) = arrives("create table t (id int primary key, v text); insert into t select g, 'a' from generate_series(1, 100) g");
    source.execute("update t set v = 'b'; insert into t values (101, 'c')");
    let again = copy(&source, &target, "*.*", &[]);
    succeeds(&again);
    assert!(again.stderr.contains("nothing to copy"), "{}", again.stderr);
    assert_eq!(target.value("select count(*) from t where v = 'a'"), "100");
    let args =
        ["snapshot", "--postgres-url", &source.url(), "--target-url", &target.url(), "--tables", "*.*"];
    succeeds(&Sidecar::new(args).env("PGSTREAM_POSTGRES_SNAPSHOT_STORE_REPEATABLE", "true").finish());
    assert_same(&source, &target);
    source.execute(
        "alter table t add column w int default 1; create table u (id int); insert into u values (1)",
    );
    succeeds(&copy(&source, &target, "*.*", &["--reset"]));
    assert_same(&source, &target);
}

/// Two copies into one target do not undo each other's work.
#[test]
fn a_second_copy_at_the_same_time_is_refused() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("create table t (id int primary key); insert into t values (1)");
    let mut lock = source.session();
    lock.execute("begin; lock table t in access exclusive mode");
    let args =
        ["snapshot", "--postgres-url", &source.url(), "--target-url", &target.url(), "--tables", "*.*"];
    let first = Sidecar::new(args).start();
    let mut there = target.session();
    let locked = "exists (select from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database()))";
    wait_until("the first copy has begun", SOON, || there.holds(locked).then_some(()));
    let second = Sidecar::new(args).env("PGSTREAM_POSTGRES_LISTENER_DISABLE_RETRIES", "true").finish();
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains("another pgstream copies into this target"), "{}", second.stderr);
    lock.execute("rollback");
    let ended = wait_until("the end of the first", SOON, || first.process().exit_status());
    assert_eq!(ended.code(), Some(0), "{}", first.stderr());
    assert_same(&source, &target);
}
