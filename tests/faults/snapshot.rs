//! Copies that cannot go well, as a whole or in part: every failure is said, and nothing that failed counts as copied.

use pgstream_tests::{assert_same, wait_until, Auth, Database, Options, Server, Sidecar, SOON};

/// `pgstream snapshot` between those URLs.
pub(super) fn snapshot(source: &str, target: &str, tables: &str) -> Sidecar {
    Sidecar::new(["snapshot", "--postgres-url", source, "--target-url", target, "--tables", tables])
}

/// Only rows, into tables that are there.
pub(super) fn data_only(sidecar: Sidecar) -> Sidecar {
    sidecar.env("PGSTREAM_POSTGRES_SNAPSHOT_MODE", "data")
}

pub(super) fn succeeds(sidecar: Sidecar) {
    let finished = sidecar.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

/// Exit 1, one line that says all of `parts`, and no noise.
fn refused(sidecar: Sidecar, parts: &[&str]) -> String {
    let finished = sidecar.finish();
    let said = finished.stderr;
    assert_eq!(finished.code, Some(1), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("ERROR")).collect();
    assert_eq!(errors.len(), 1, "one line of error: {said}");
    for part in parts {
        assert!(errors[0].contains(part), "{part:?} is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Nothing of a copy was made there.
fn assert_untouched(target: &Database) {
    let made = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace where nspname !~ '^pg_' and nspname <> 'information_schema'";
    assert_eq!(target.value(made), "0");
    assert_eq!(target.value("select to_regnamespace('pgstream_sink') is null"), "t");
}

/// A login of one test at one server; it goes with the value.
struct Role<'a> {
    database: &'a Database,
    name: String,
}

impl Role<'_> {
    fn new<'a>(database: &'a Database, kind: &str, grants: &str) -> Role<'a> {
        let name = format!("{kind}_{}", database.name);
        database.execute(&format!(
            "create role \"{name}\" login; {}",
            grants.replace("ROLE", &format!("\"{name}\""))
        ));
        Role { database, name }
    }

    fn url(&self) -> String {
        self.database.url().replace("postgres@", &format!("{}@", self.name))
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        let name = &self.name;
        self.database.execute(&format!("drop owned by \"{name}\" cascade; drop role \"{name}\""));
    }
}

const EVERYTHING: &str =
    "create schema s; create type s.mood as enum ('ok'); create table s.t (id serial primary key, m s.mood, v text unique);
     insert into s.t (m, v) select 'ok', g from generate_series(1, 100) g; create table plain (n int); insert into plain values (1), (1);
     create view s.v as select * from s.t; create materialized view mv as select count(*) from s.t; create index on plain (n);
     create function f() returns int language sql as 'select 1'; create sequence alone start 7;";

/// Neither `init` nor any right to write is needed.
#[test]
fn a_role_that_may_only_read_copies_everything() {
    for grants in [
        "grant pg_read_all_data to ROLE",
        "grant usage on schema s to ROLE; grant select on all tables in schema s, public to ROLE; grant select on all sequences in schema s, public to ROLE",
    ] {
        let (source, target) = (Database::on_source(), Database::on_target());
        source.execute(EVERYTHING);
        let written = "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) from pg_stat_all_tables where schemaname <> 'pg_catalog'";
        let reader = Role::new(&source, "reader", grants);
        let objects = "select count(*) from pg_class";
        let before = (source.value(objects), source.value(written));
        succeeds(snapshot(&reader.url(), &target.url(), "*.*").env("PGSTREAM_POSTGRES_SNAPSHOT_NO_PRIVILEGES", "true"));
        assert_eq!((source.value(objects), source.value(written)), before, "nothing is made at the source");
        drop(reader);
        if grants.contains("schema s") {
            // Revoking leaves the owner's rights spelled out.
            source.execute("grant usage on schema s to postgres");
            assert_eq!(target.rows("select * from s.t order by id"), source.rows("select * from s.t order by id"));
        } else {
            assert_same(&source, &target);
        }
    }
}

#[test]
fn a_target_login_that_may_not_create() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("create table t (id int)");
    let writer = Role::new(&target, "writer", "");
    refused(snapshot(&source.url(), &writer.url(), "*.*"), &["permission denied", "grant create on"]);
    assert_untouched(&target);
}

/// Rows that a policy hides are never just left out.
#[test]
fn a_policy_that_hides_rows_is_an_error() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(
        "create table hidden (id int primary key, who text); insert into hidden values (1, 'a'), (2, 'b'); create table open (id int primary key);
         insert into open values (1); alter table hidden enable row level security; create policy few on hidden using (who = 'a')",
    );
    let reader = Role::new(&source, "reader", "grant select on hidden, open to ROLE");
    let run = || {
        snapshot(&reader.url(), &target.url(), "*.*").env("PGSTREAM_POSTGRES_SNAPSHOT_NO_PRIVILEGES", "true")
    };
    refused(run(), &["public.hidden", "row-level security", "bypassrls"]);
    assert_eq!(
        target.rows("select (select count(*) from hidden), (select count(*) from open)"),
        [["0", "1"]]
    );
    let printed =
        Sidecar::new(["snapshot", "--postgres-url", &reader.url(), "--target", "stdout", "--tables", "*.*"])
            .finish();
    assert_eq!(printed.code, Some(1), "{}", printed.stderr);
    assert!(!printed.stdout.contains("\"table\":\"hidden\""), "{}", printed.stdout);
    source.execute(&format!("alter role \"{}\" bypassrls", reader.name));
    succeeds(run());
    assert_eq!(target.value("select count(*) from hidden"), "2");
}

/// What one table meets at the target is its own affair: the others are copied, it is named, and copied when it can be.
#[test]
fn a_table_that_the_target_refuses() {
    for (refuses, says, helps) in [
        (
            "alter table bad add check (id < 90)",
            "violates check constraint",
            "alter table bad drop constraint bad_id_check",
        ),
        ("alter table bad alter id type smallint", "out of range", "alter table bad alter id type int"),
        ("create unique index once on bad (v)", "duplicate key", "drop index once"),
        ("alter table bad alter v type varchar(1)", "too long", "alter table bad alter v type text"),
        ("alter table bad drop v", "no column v", "alter table bad add v text"),
    ] {
        let (source, target) = (Database::on_source(), Database::on_target());
        let tables = "create table bad (id int, v text); create table good (id int primary key); create table other (id int primary key);";
        source.execute(&format!("{tables} insert into bad select g * 1000, 'same' from generate_series(1, 100) g; insert into good values (1); insert into other values (1)"));
        target.execute(&format!("{tables} {refuses}"));
        let run = || {
            data_only(snapshot(&source.url(), &target.url(), "*.*"))
                .env("PGSTREAM_POSTGRES_SNAPSHOT_STORE_URL", &source.url())
        };
        refused(run(), &["public.bad", says]);
        let request = "select status, errors -> 'tables' ? 'public.bad' from pgstream.snapshot_requests";
        assert_eq!(source.rows(request), [["failed", "t"]], "{says}");
        let counts = "select (select count(*) from bad) || ' ' || (select count(*) from good) || ' ' || (select count(*) from other)";
        assert_eq!(target.value(counts), "0 1 1", "{says}");
        target.execute(helps);
        succeeds(run());
        assert_eq!(source.rows(request), [["completed", ""]], "{says}");
        assert_eq!(target.value(counts), "100 1 1", "{says}");
    }
}

/// A foreign key or index that the rows do not allow is named as well, and made by the next run once they do.
#[test]
fn an_index_that_cannot_be_made() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("create table t (id int primary key, v text); insert into t select g, 'x' from generate_series(1, 100) g; create index fine on t (id); create table u (id int primary key)");
    // Like an index that was corrupt at the source: what it forbids is there.
    source.execute("create unique index wrong on t (v) where id < 0; update pg_index set indpred = null where indexrelid = 'wrong'::regclass");
    let run = || snapshot(&source.url(), &target.url(), "*.*");
    refused(run(), &["wrong", "could not create unique index"]);
    assert_eq!(
        target.rows(
            "select count(*), to_regclass('fine') is not null, to_regclass('u_pkey') is not null from t"
        ),
        [["100", "t", "t"]]
    );
    target.execute("update t set v = id");
    succeeds(run());
    assert_eq!(target.value("select to_regclass('wrong') is not null"), "t");
}

#[test]
fn input_that_cannot_work_is_refused_at_once() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute("create table t (id int primary key); insert into t values (1)");
    let (from, to) = (source.url(), target.url());
    let nowhere = "postgres://u:hunter2@127.0.0.1:1/d";
    let run = |from: &str, to: &str, tables: &str| snapshot(from, to, tables).arg("--log-level").arg("trace");
    let mut said = vec![
        refused(run(&from, &to, "public.nosuch"), &["public.nosuch"]),
        refused(run(&from, &to, "a.b.c"), &["a.b.c", "--tables"]),
        refused(run(&from, &to, "\"open"), &["double quote", "--tables"]),
        refused(run(nowhere, &to, "t"), &["source", "127.0.0.1:1"]),
        refused(run(&from, nowhere, "t"), &["target", "127.0.0.1:1"]),
        refused(run(&from, &target.server.url("no_such_database"), "t"), &["target", "no_such_database"]),
        refused(
            run(&from, &to, "t").arg("--dump-file").arg("no/such/folder/dump.sql"),
            &["no/such/folder/dump.sql"],
        ),
        refused(
            run(&from, &to, "t").env("PGSTREAM_POSTGRES_SNAPSHOT_INCLUDE_OBJECT_TYPES", "tables,tabels"),
            &["tabels", "INCLUDE_OBJECT_TYPES"],
        ),
    ];
    let options = Options { auth: Auth::Scram, password: Some("right"), ..Options::default() };
    let server = Server::start("copy_refused", &options);
    let wrong = format!("postgres://postgres:hunter2@127.0.0.1:{}/postgres", server.port);
    said.push(refused(run(&wrong, &to, "t"), &["source", "password"]));
    said.push(refused(run(&from, &wrong, "t"), &["target", "password"]));
    for said in said {
        assert!(!said.contains("hunter2"), "{said}");
    }
    // The ledger may have been made before the dump file could not: no table was.
    assert_eq!(target.value("select to_regclass('t') is null"), "t");
    assert_eq!(source.value("select to_regnamespace('pgstream') is null"), "t");
}

#[test]
fn a_missing_target_database_is_made_when_asked_for() {
    let (source, beside) = (Database::on_source(), Database::on_target());
    source.execute("create table t (id int primary key); insert into t values (1)");
    let name = format!("{}_made", beside.name);
    let url = beside.server.url(&name);
    succeeds(snapshot(&source.url(), &url, "*.*").env("PGSTREAM_POSTGRES_SNAPSHOT_CREATE_TARGET_DB", "true"));
    let made = Database { server: beside.server.clone(), name };
    assert_same(&source, &made);
}

/// The command lines of the processes that `parent` started.
fn children(parent: i32) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("read /proc").flatten();
    let child = |path: std::path::PathBuf| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let of: i32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        let line = std::fs::read(path.join("cmdline")).ok()?;
        (of == parent).then(|| String::from_utf8_lossy(&line).replace('\0', " "))
    };
    entries.filter_map(|entry| child(entry.path())).collect()
}

/// Any user of the machine can read the arguments of its processes.
#[test]
fn a_password_is_on_no_command_line() {
    const PASSWORD: &str = "right-and-secret";
    let options = Options { auth: Auth::Scram, password: Some(PASSWORD), ..Options::default() };
    let server = Server::start("copy_secret", &options);
    let (source, target) = (server.database(), Database::on_target());
    source.execute("create table t (id int primary key); create schema pgstream_sink; create table pgstream_sink.beside (id int)");
    let url = format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{}", server.port, source.name);
    let mut lock = source.session();
    // Only pg_dump looks at this one.
    lock.execute("begin; lock table pgstream_sink.beside in access exclusive mode");
    // Given by the environment: what the user types himself is his own affair.
    let sidecar =
        Sidecar::new(["snapshot", "--target-url", &target.url(), "--tables", "t", "--log-level", "trace"])
            .env("PGSTREAM_POSTGRES_SNAPSHOT_LISTENER_URL", &url)
            .start();
    let mut there = source.session();
    wait_until("pg_dump waits", SOON, || {
        assert!(sidecar.process().exit_status().is_none(), "{}", sidecar.stderr());
        there
            .holds("exists (select from pg_locks where not granted and relation = 'pgstream_sink.beside'::regclass)")
            .then_some(())
    });
    let lines = children(sidecar.process().id());
    assert!(lines.iter().any(|line| line.contains("pg_dump") && line.contains("--snapshot")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains(PASSWORD)), "{lines:?}");
    lock.execute("rollback");
    assert_eq!(sidecar.wait(SOON).code(), Some(0), "{}", sidecar.stderr());
    assert!(!sidecar.stderr().contains(PASSWORD), "{}", sidecar.stderr());
    assert!(!server.log().contains(PASSWORD), "{}", server.log());
}
