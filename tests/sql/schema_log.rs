//! `get_schema` and `schema_log`: what tutorials and their readers rely on.

use pgstream_tests::Database;
use serde_json::{json, Value};

use super::on_both_installs;

on_both_installs!(
    get_schema_tells_all_of_a_table,
    ids_outlive_renames,
    versions_follow_each_other,
    rollback_leaves_nothing,
    skip_log_skips_until_refresh,
    concurrent_ddl_never_waits,
);

fn schema_of(database: &Database) -> Value {
    serde_json::from_str(&database.value("select pgstream.get_schema('public')")).expect("JSON")
}

fn get_schema_tells_all_of_a_table(database: Database) {
    assert_eq!(schema_of(&database), json!({ "tables": null }));
    database.execute(
        "create domain filled as text not null;
         create table t (
             id bigint, \"Name\" varchar(10) not null default 'x', price numeric(10,2), at timestamptz unique,
             tags integer[], twice numeric generated always as (price * 2) stored, d filled, gone int,
             primary key (price, id));
         alter table t drop column gone;
         create unique index on t (lower(\"Name\"));
         comment on column t.tags is 'labels';
         create view v as select 1 one",
    );
    let schema = schema_of(&database);
    let table = &schema["tables"][0];
    let id = table["pgstream_id"].as_str().expect("an id").to_owned();
    assert_eq!(table["oid"], database.value("select 't'::regclass::oid"));
    assert_eq!(
        table["oid"],
        database.value(&format!("select oid from pgstream.table_ids where id = '{id}'"))
    );
    let column = |attnum: u32, name: &str, kind: &str, default: Value, nullable: bool, unique: bool| {
        json!({
            "pgstream_id": format!("{id}-{attnum}"), "name": name, "type": kind, "default": default, "nullable": nullable,
            "generated": name == "twice", "unique": unique,
            "metadata": if name == "tags" { json!("labels") } else { Value::Null },
        })
    };
    let expected = json!({ "tables": [{
        "oid": table["oid"], "pgstream_id": id, "name": "t", "primary_key_columns": ["price", "id"],
        "columns": [
            column(1, "id", "bigint", Value::Null, false, false),
            column(2, "Name", "character varying(10)", json!("'x'::character varying"), false, false),
            column(3, "price", "numeric(10,2)", Value::Null, false, false),
            column(4, "at", "timestamp with time zone", Value::Null, true, true),
            column(5, "tags", "integer[]", Value::Null, true, false),
            column(6, "twice", "numeric", json!("(price * (2)::numeric)"), true, false),
            column(7, "d", "public.filled", Value::Null, false, false),
        ],
    }]});
    assert_eq!(schema, expected);
}

fn ids_outlive_renames(database: Database) {
    let ids = |database: &Database, name: &str| {
        let schema = schema_of(database);
        let tables = schema["tables"].as_array().expect("tables");
        let table = tables
            .iter()
            .find(|table| table["name"] == name)
            .unwrap_or_else(|| panic!("no {name}: {schema}"));
        (table["pgstream_id"].clone(), table["columns"][0]["pgstream_id"].clone())
    };
    database.execute("create table t (a int)");
    let before = ids(&database, "t");
    database
        .execute("alter table t rename to u; alter table u rename a to b; alter table u alter b type bigint");
    assert_eq!(ids(&database, "u"), before);
    database.execute("drop table u; create table u (b bigint)");
    assert_ne!(ids(&database, "u"), before);
    let mappings = "select count(*) from pgstream.table_ids where oid not in (select oid from pg_class)";
    assert_eq!(database.value(mappings), "0");
}

/// Schema, whether it was dropped, and the tables, of each row; versions must ascend.
fn log(database: &Database) -> Vec<String> {
    let ascending = "select bool_and(version > previous) from (select version, lag(version, 1, 0::bigint) \
                     over (partition by schema_name order by created_at, version) previous from pgstream.schema_log) v";
    assert_ne!(database.value(ascending), "f");
    let rows = database.rows(
        "select l.schema_name || coalesce(' dropped ' || (l.schema ->> 'dropped'), '') || coalesce(': ' ||
                (select string_agg(t ->> 'name', ',' order by t ->> 'name')
                   from jsonb_array_elements(nullif(l.schema -> 'tables', 'null')) t), '')
           from pgstream.schema_log l order by pgstream.xid_time(l.id), l.version",
    );
    rows.into_iter().flatten().collect()
}

fn versions_follow_each_other(database: Database) {
    database.execute("create table a (id int)");
    assert_eq!(database.value("select version from pgstream.schema_log"), "1");
    for statement in
        ["alter table a add v text", "create table b (id int)", "alter table a rename to c", "drop table b"]
    {
        database.execute(statement);
    }
    assert_eq!(log(&database), ["public: a", "public: a", "public: a,b", "public: b,c", "public: c"]);

    // One statement, two schemas: a row for each.
    database.execute("create schema s; create table s.x (id int)");
    let rows = log(&database).len();
    database.execute("drop table c, s.x");
    let latest = log(&database).split_off(rows);
    assert_eq!(latest.len(), 2, "{latest:?}");
    database.execute("drop schema s");
    assert!(log(&database).contains(&"s dropped true".to_owned()), "{:?}", log(&database));

    let document = |version: &str| {
        database.value(&format!(
            "select schema from pgstream.schema_log where schema_name = 'public' order by {version}"
        ))
    };
    database.execute("create table fresh (id int primary key, v text default 'a')");
    assert_eq!(document("version desc limit 1"), database.value("select pgstream.get_schema('public')"));
}

fn rollback_leaves_nothing(database: Database) {
    database.execute("create table kept (id int)");
    let counts = "select (select count(*) from pgstream.schema_log), (select count(*) from pgstream.ddl_log)";
    let before = database.rows(counts);
    database.execute("begin; create table t (id int); rollback");
    database.execute("begin; savepoint s; create table t (id int); rollback to s; commit");
    assert_eq!(database.rows(counts), before);
}

fn skip_log_skips_until_refresh(database: Database) {
    let mut session = database.session();
    session.execute("set pgstream.skip_log = 'TRUE'");
    session.execute("create table a (id int); create table b (id int)");
    assert_eq!(log(&database).len(), 0);
    session.execute("select pgstream.refresh_schema('public'), pgstream.refresh_schema('pgstream')");
    assert_eq!(log(&database), ["public: a,b"]);
    assert_eq!(session.value("select current_setting('pgstream.skip_log', true)"), "");
    session.execute("set pgstream.skip_log = 'on'; create table c (id int)");
    assert_eq!(log(&database).len(), 2);
}

/// Two open transactions create tables in one schema; the lock timeout makes waiting an error.
fn concurrent_ddl_never_waits(database: Database) {
    database.execute("select pgstream.setup_publications(); select pgstream.setup_lists()");
    let (mut first, mut second) = (database.session(), database.session());
    first.execute("begin; create table a (id int primary key)");
    second.execute("set lock_timeout = '100ms'; begin; create table b (id int primary key); commit");
    first.execute("create table c (id int primary key); commit");
    let listed =
        "select tablename from pg_publication_tables where pubname like 'pgstream_changes_%' order by 1";
    assert_eq!(database.rows(listed), [["a"], ["b"], ["c"]]);
    assert_eq!(database.value("select count(distinct version) from pgstream.schema_log"), "3");
}
