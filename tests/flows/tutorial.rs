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
