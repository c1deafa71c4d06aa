//! `ddl_log`: one row for each DDL command, whatever issued it.

use pgstream_tests::Database;
use serde_json::Value;

use super::{on_both_installs, Install};

on_both_installs!(
    each_command_is_one_row,
    objects_name_what_changed,
    tables_show_the_state_after,
    stored_defaults_are_told,
    rewrites_are_told,
    settings_and_path_are_kept,
    what_is_not_ours_to_tell_is_left_out,
    a_broken_capture_never_breaks_ddl,
);

/// The exact text of each command, nested ones too, in the order they ended.
fn texts(database: &Database) -> Vec<[String; 3]> {
    let rows = database
        .rows("select command_tag, depth, case when exact then sql end from pgstream.ddl_log order by id");
    rows.into_iter().map(|row| row.try_into().expect("three columns")).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The newest row's value of a JSON column.
fn newest(database: &Database, column: &str) -> Value {
    json(&database.value(&format!("select {column} from pgstream.ddl_log order by id desc limit 1")))
}

#[test]
fn the_library_tells_the_exact_text() {
    let database = Install::Extension.database();
    let mut session = database.session();
    session.execute(
        "create table a (id int); /* between */ alter table a add v text ; comment on table a is 'x;y'",
    );
    session.execute("do $$ begin create table b (id int); execute 'alter table b add v text'; end $$");
    session.execute("create function f() returns void language sql as 'drop table b'; select f()");
    session.execute("create schema s create table t (id int) create view v as select id from t");
    session.execute("create table c as select 1 one; select 2 two into d");
    let expected = [
        ["CREATE TABLE", "0", "create table a (id int)"],
        ["ALTER TABLE", "0", "/* between */ alter table a add v text"],
        ["COMMENT", "0", "comment on table a is 'x;y'"],
        ["CREATE TABLE", "0", "create table b (id int)"],
        ["ALTER TABLE", "0", "alter table b add v text"],
        ["CREATE FUNCTION", "0", "create function f() returns void language sql as 'drop table b'"],
        ["DROP TABLE", "0", "drop table b"],
        ["CREATE SCHEMA", "0", "create schema s create table t (id int) create view v as select id from t"],
        ["CREATE TABLE AS", "0", "create table c as select 1 one"],
        ["SELECT INTO", "0", "select 2 two into d"],
    ];
    let texts = texts(&database).into_iter().map(|[tag, depth, sql]| [tag, depth, sql.trim().to_owned()]);
    assert_eq!(texts.collect::<Vec<_>>(), expected.map(|row| row.map(str::to_owned)));
}

#[test]
fn the_plain_install_tells_the_whole_string() {
    let database = Install::Plain.database();
    database.execute("create table a (id int); alter table a add v text");
    let rows = database.rows("select command_tag, exact, sql from pgstream.ddl_log order by id");
    let whole = "create table a (id int); alter table a add v text";
    assert_eq!(rows, [["CREATE TABLE", "f", whole], ["ALTER TABLE", "f", whole]]);
}

fn each_command_is_one_row(database: Database) {
    database.execute("create schema s");
    database.execute("create table s.t (id serial primary key, v text unique)");
    database.execute("alter table s.t add w int, drop column v");
    database.execute("create index on s.t (w)");
    database.execute("create type s.mood as enum ('a')");
    database.execute("alter type s.mood add value 'b'");
    database
        .execute("create sequence s.q; create view s.v as select id from s.t; alter table s.t rename w to x");
    database
        .execute("alter table s.t set schema public; alter sequence s.q increment 2; drop schema s cascade");
    let rows = database.rows("select command_tag from pgstream.ddl_log order by id");
    let tags = rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>();
    let expected = [
        "CREATE SCHEMA",
        "CREATE TABLE",
        "ALTER TABLE",
        "CREATE INDEX",
        "CREATE TYPE",
        "ALTER TYPE",
        "CREATE SEQUENCE",
        "CREATE VIEW",
        "ALTER TABLE",
        "ALTER TABLE",
        "ALTER SEQUENCE",
        "DROP SCHEMA",
    ];
    assert_eq!(tags, expected);
    assert_eq!(database.value("select count(*) from pgstream.ddl_log where error is not null"), "0");
    database.execute("create table if not exists t (id int)");
    assert_eq!(database.value("select count(*) from pgstream.ddl_log"), expected.len().to_string());
}

fn objects_name_what_changed(database: Database) {
    database.execute("create table \"Odd name\" (id int primary key)");
    let objects = newest(&database, "objects");
    let table = &objects.as_array().expect("objects")[0];
    assert_eq!(table["type"], "table");
    assert_eq!(table["identity"], "public.\"Odd name\"");
    assert_eq!((&table["schema"], &table["name"]), (&"public".into(), &"Odd name".into()));
    assert_eq!(
        table["oid"].to_string().trim_matches('"'),
        database.value("select '\"Odd name\"'::regclass::oid")
    );
    assert_eq!(table["pgstream_id"], database.value("select id from pgstream.table_ids"));
    assert_eq!(table["dropped"], false);
    assert_eq!(table["owner"], "postgres");
    let definition = table["definition"].as_str().expect("a definition");

    // The definition alone makes the same table again.
    let before = database.value("select pgstream.get_schema('public') #> '{tables,0,columns}'");
    database.execute("drop table \"Odd name\"");
    let dropped = newest(&database, "objects");
    let dropped = dropped.as_array().expect("objects").iter().find(|object| object["type"] == "table");
    let dropped = dropped.expect("the dropped table");
    assert_eq!((&dropped["dropped"], &dropped["original"]), (&true.into(), &true.into()));
    assert_eq!(dropped["pgstream_id"], table["pgstream_id"]);
    database.execute(definition);
    let again = json(&database.value("select pgstream.get_schema('public') #> '{tables,0,columns}'"));
    assert_eq!(again[0]["name"], json(&before)[0]["name"]);
    assert_eq!(again[0]["unique"], true);
}

fn tables_show_the_state_after(database: Database) {
    database.execute(
        "create table t (id int generated always as identity primary key, v text not null default 'x')",
    );
    database.execute("alter table t rename v to w");
    let tables = newest(&database, "tables");
    let table = &tables.as_array().expect("tables")[0];
    assert_eq!((&table["name"], &table["kind"]), (&"t".into(), &"r".into()));
    assert_eq!(table["primary_key_columns"], json(r#"["id"]"#));
    let columns = table["columns"].as_array().expect("columns");
    assert_eq!(
        columns.iter().map(|column| column["name"].as_str()).collect::<Vec<_>>(),
        [Some("id"), Some("w")]
    );
    assert_eq!((&columns[1]["attnum"], &columns[1]["nullable"]), (&2.into(), &false.into()));
    assert_eq!(columns[1]["default"], "'x'::text");
    let id = table["pgstream_id"].as_str().expect("an id");
    assert_eq!(columns[1]["pgstream_id"], format!("{id}-2"));
}

/// Rows from before get the value of the moment at the source, so the event must carry it.
fn stored_defaults_are_told(database: Database) {
    database.execute(
        "create table t (id int); insert into t values (1); alter table t add at timestamptz default now()",
    );
    let stored = newest(&database, "tables #> '{0,columns,1}'");
    let stored = stored["stored"].as_str().expect("the stored value").trim_matches(['{', '}', '"']);
    assert_eq!(database.value(&format!("select at = '{stored}' from t")), "t");
}

fn rewrites_are_told(database: Database) {
    database.execute("create table t (id int); insert into t values (1)");
    for (statement, rewrite) in [
        ("alter table t add a int default 1", "f"),
        ("alter table t add b uuid default gen_random_uuid()", "t"),
        ("alter table t alter id type bigint", "t"),
    ] {
        database.execute(statement);
        let told =
            database.value("select coalesce(rewrite, false) from pgstream.ddl_log order by id desc limit 1");
        assert_eq!(told, rewrite, "{statement}");
    }
}

fn settings_and_path_are_kept(database: Database) {
    let mut session = database.session();
    session.execute(
        "create schema s; set search_path = s, public; set datestyle = 'German'; set timezone = 'Asia/Tokyo'",
    );
    session.execute("create table t (d date default '31.12.2024')");
    let row = database.rows(
        "select search_path, settings ->> 'DateStyle', settings ->> 'TimeZone', settings ->> 'standard_conforming_strings'
           from pgstream.ddl_log order by id desc limit 1",
    );
    assert_eq!(row, [["s, public", "German, DMY", "Asia/Tokyo", "on"]]);
}

fn what_is_not_ours_to_tell_is_left_out(database: Database) {
    database.execute("create temp table t (id int); create extension hstore; create publication p");
    database.execute("create table pgstream.mine (id int); drop table pgstream.mine");
    let rows = database
        .rows("select command_tag, objects from pgstream.ddl_log where command_tag <> 'CREATE EXTENSION'");
    assert_eq!(rows, Vec::<Vec<String>>::new());
    let members = "select count(*) from pgstream.ddl_log, jsonb_array_elements(objects) o where o ->> 'type' <> 'extension'";
    assert_eq!(database.value(members), "0");
}

fn a_broken_capture_never_breaks_ddl(database: Database) {
    database.execute("create table t (id int); alter table pgstream.table_ids rename to away");
    database.execute("create table u (id int); alter table u add v text; drop table t");
    let marked = database.value("select count(*) from pgstream.ddl_log where error is not null");
    assert_ne!(marked, "0", "a failure is marked");
    database.execute("alter table pgstream.ddl_log rename to away2");
    database.execute("create table w (id int); drop table w");
}
