//! The tutorial `postgres to postgres`, literally: its commands, variables and SQL, in its order.

use pgstream_tests::{wait_until, Database, Sidecar, SOON};

const SLOT: &str = "pgstream_tutorial_slot";

fn environment(source: &str, target: &str) -> String {
    format!(
        r#"# Listener config
PGSTREAM_POSTGRES_LISTENER_URL="{source}"
PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME={SLOT}

# Processor config
PGSTREAM_POSTGRES_WRITER_TARGET_URL="{target}"
PGSTREAM_POSTGRES_WRITER_BATCH_SIZE=25
PGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=5s
PGSTREAM_POSTGRES_WRITER_SCHEMALOG_STORE_URL="{source}"
PGSTREAM_POSTGRES_WRITER_DISABLE_TRIGGERS=true
PGSTREAM_POSTGRES_WRITER_ON_CONFLICT_ACTION=update
"#
    )
}

fn yaml(source: &str, target: &str) -> String {
    format!(
        "source:\n  postgres:\n    url: \"{source}\"\n    mode: replication # options are replication, snapshot or snapshot_and_replication\n    \
         replication:\n      replication_slot: {SLOT}\ntarget:\n  postgres:\n    url: \"{target}\"\n    batch:\n      timeout: 5000 # milliseconds\n      \
         size: 25\n    disable_triggers: true\n    on_conflict_action: \"update\"\n    schema_log_store_url: \"{source}\"\nmodifiers:\n  injector:\n    enabled: true\n"
    )
}

fn walk(config: &str, content: fn(&str, &str) -> String) {
    let (source, target) = (Database::on_source(), Database::on_target());
    let said = |args: &[&str], words: &str| {
        let finished = Sidecar::new(args).finish();
        assert_eq!(finished.code, Some(0), "{args:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{args:?}: {}", finished.stderr);
    };
    said(
        &["init", "--pgurl", &source.url(), "--replication-slot", SLOT],
        "SUCCESS  pgstream initialisation complete",
    );
    let slot = source.rows(
        "SELECT slot_name,plugin,slot_type,database,restart_lsn,confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()",
    );
    assert_eq!((slot[0][0].as_str(), slot[0][2].as_str()), (SLOT, "logical"));
    let columns = source.rows(
        "select attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid) from pg_attribute \
         left join pg_attrdef on adrelid = attrelid and adnum = attnum \
         where attrelid = 'pgstream.schema_log'::regclass and attnum > 0 order by attnum",
    );
    let expected = [
        ["id", "pgstream.xid", "t", "pgstream.xid()"],
        ["version", "bigint", "t", ""],
        ["schema_name", "text", "t", ""],
        ["schema", "jsonb", "t", ""],
        ["created_at", "timestamp without time zone", "t", "now()"],
        ["acked", "boolean", "t", "false"],
    ];
    assert_eq!(columns, expected.map(|column| column.map(str::to_owned).to_vec()));
    let mut indexes = source
        .rows("select indexrelid::regclass from pg_index where indrelid = 'pgstream.schema_log'::regclass ");
    indexes.sort();
    assert_eq!(
        indexes.concat(),
        ["schema_log_name_acked", "schema_log_pkey", "schema_log_version_uniq"]
            .map(|name| format!("pgstream.{name}"))
    );

    let sidecar = Sidecar::new(["run", "-c", config, "--log-level", "trace"])
        .file(config, &content(&source.url(), &target.url()))
        .start();
    let mut there = target.session();
    let mut arrives = |sql: &str, condition: &str| {
        source.execute(sql);
        wait_until(sql, SOON, || {
            assert!(sidecar.process().exit_status().is_none(), "{}", sidecar.stderr());
            there.holds(condition).then_some(())
        });
    };
    let columns_are = |table: &str, columns: &str| {
        format!(
            "(select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum) from pg_attribute \
             where attrelid = to_regclass('{table}') and attnum > 0 and not attisdropped) = '{columns}'"
        )
    };
    arrives(
        "CREATE TABLE test(id SERIAL PRIMARY KEY, name TEXT);",
        &columns_are("test", "id integer, name text"),
    );
    arrives(
        "INSERT INTO test(name) VALUES('alice'),('bob'),('charlie');",
        "(select string_agg(name, ',' order by id) from test) = 'alice,bob,charlie'",
    );
    arrives(
        "ALTER TABLE test RENAME TO tutorial_test;",
        &columns_are("tutorial_test", "id integer, name text"),
    );
    arrives(
        "ALTER TABLE tutorial_test ADD COLUMN age INT DEFAULT 0;",
        &columns_are("tutorial_test", "id integer, name text, age integer"),
    );
    arrives(
        "ALTER TABLE tutorial_test ALTER COLUMN age TYPE bigint;",
        &columns_are("tutorial_test", "id integer, name text, age bigint"),
    );
    arrives(
        "ALTER TABLE tutorial_test RENAME COLUMN age TO new_age;",
        &columns_are("tutorial_test", "id integer, name text, new_age bigint"),
    );
    arrives(
        "ALTER TABLE tutorial_test DROP COLUMN new_age;",
        &columns_are("tutorial_test", "id integer, name text"),
    );
    arrives("DROP TABLE tutorial_test;", "to_regclass('tutorial_test') is null");
    assert_eq!(sidecar.stop().code(), Some(0));

    said(
        &["tear-down", "--pgurl", &source.url(), "--replication-slot", SLOT],
        "SUCCESS  pgstream tear down complete",
    );
    assert_eq!(
        source.value("select count(*) from pg_replication_slots where database = current_database()"),
        "0"
    );
    assert_eq!(source.value("select to_regnamespace('pgstream') is null"), "t");
}

/// One after the other: the tutorial's slot has one name, and slots belong to the server.
#[test]
fn the_tutorial_with_variables_and_with_yaml() {
    walk("pg2pg_tutorial.env", environment);
    walk("pg2pg_tutorial.yaml", yaml);
    copies_first("pg2pg_tutorial.env", initial_snapshot, "test_schema");
    copies_first("pg2pg_tutorial.yaml", snapshot_and_replication, "second_schema");
}

#[test]
fn init_by_variables_alone() {
    let source = Database::on_source();
    let finished = Sidecar::new(["init"])
        .env("PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME", "by_variables_slot")
        .env("PGSTREAM_POSTGRES_LISTENER_URL", &source.url())
        .finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(super::slot(&source), "by_variables_slot");
}

/// The older variables of a first copy, and the same in yaml: what is there is copied, what comes is streamed.
fn copies_first(config: &str, content: fn(&str, &str) -> String, schema: &str) {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(&format!(
        "create schema {schema}; create table {schema}.a (id int primary key, v text); create table test (id serial primary key, name text);
         create table other (id int primary key); insert into {schema}.a select g, 'a' from generate_series(1, 500) g;
         insert into test (name) values ('alice'), ('bob'); insert into other values (1)"
    ));
    let url = source.url();
    let init = Sidecar::new(["init", "--pgurl", &url, "--replication-slot", SLOT]).finish();
    assert_eq!(init.code, Some(0), "{}", init.stderr);
    let sidecar = Sidecar::new(["run", "-c", config, "--log-level", "trace"])
        .file(config, &content(&url, &target.url()).replace("test_schema", schema))
        .start();
    sidecar.wait_for_line("streaming", SOON);
    let rows = |database: &Database| {
        let sums = "(select count(*) || coalesce(max(v), '') from SCHEMA.a) || ' ' || (select string_agg(name, ',' order by id) from test)";
        database.value(&format!("select {}", sums.replace("SCHEMA", schema)))
    };
    assert_eq!(rows(&target), "500a alice,bob", "copied before the stream");
    assert_eq!(target.value("select to_regclass('other') is null"), "t", "not asked for");
    let requests =
        "select schema_name, table_names, status, errors from pgstream.snapshot_requests order by 1";
    assert_eq!(
        source.rows(requests),
        [["public", "{test}", "completed", ""], [schema, "{*}", "completed", ""]]
    );
    source.execute(&format!("insert into test (name) values ('charlie'); update {schema}.a set v = 'b'; delete from {schema}.a where id = 1"));
    source.wait_confirmed(SLOT);
    assert_eq!(rows(&target), "499b alice,bob,charlie");
    assert_eq!(rows(&source), rows(&target));
    assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
    let gone = Sidecar::new(["tear-down", "--pgurl", &url, "--replication-slot", SLOT]).finish();
    assert_eq!(gone.code, Some(0), "{}", gone.stderr);
}

fn initial_snapshot(source: &str, target: &str) -> String {
    environment(source, target)
        + &format!(
            r#"PGSTREAM_POSTGRES_LISTENER_INITIAL_SNAPSHOT_ENABLED=true
# URL of the PostgreSQL database we want to snapshot
PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_STORE_URL="{source}"
# List of tables we want to snapshot. If the tables are not schema qualified, the public schema will be assumed.
# Wildcards are supported.
PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_TABLES="test_schema.* test"
PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_SCHEMA_WORKERS=4
PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_TABLE_WORKERS=4
PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_BATCH_PAGE_SIZE=1000
PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_WORKERS=1
"#
        )
}

fn snapshot_and_replication(source: &str, target: &str) -> String {
    yaml(source, target).replace("mode: replication #", "mode: snapshot_and_replication #").replace(
        "    replication:\n",
        &format!(
            "    snapshot:\n      mode: full # options are full, schema or data\n      tables: [\"test_schema.*\", \"test\"]\n      \
             recorder:\n        postgres_url: \"{source}\"\n      snapshot_workers: 4\n      data:\n        schema_workers: 4\n        \
             table_workers: 4\n        batch_bytes: 83886080\n      schema:\n        mode: pgdump_pgrestore\n        pgdump_pgrestore:\n          \
             clean_target_db: false\n    replication:\n"
        ),
    )
}
