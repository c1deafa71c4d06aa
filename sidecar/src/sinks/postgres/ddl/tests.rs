use super::*;
use crate::event::{DdlObject, Lsn};
use serde_json::json;

fn ddl(tag: &str, sql: &str, exact: bool) -> Ddl {
    Ddl {
        lsn: Lsn(1),
        id: 1,
        command_tag: tag.to_owned(),
        sql: Some(sql.to_owned()),
        exact,
        depth: 0,
        role: String::new(),
        search_path: "public".to_owned(),
        settings: Vec::new(),
        objects: Vec::new(),
        tables: json!([]),
        rewrite: false,
        error: None,
        partial: false,
    }
}

fn object(kind: &str, identity: &str, dropped: bool, original: bool) -> DdlObject {
    DdlObject {
        kind: kind.to_owned(),
        identity: identity.to_owned(),
        schema: "public".to_owned(),
        name: identity.rsplit('.').next().map(str::to_owned),
        oid: 1,
        pgstream_id: None,
        dropped,
        original,
        definition: None,
        owner: None,
    }
}

fn with_objects(mut ddl: Ddl, objects: Vec<DdlObject>) -> Ddl {
    ddl.objects = objects;
    ddl
}

fn one(sql: &str) -> text::Statement {
    text::parse(sql, &[]).and_then(|mut all| all.pop()).expect("parses")
}

#[test]
fn parents_come_before_what_was_nested_in_them() {
    let event = |id, depth| Arc::new(Ddl { id, depth, ..ddl("CREATE TABLE", "", true) });
    let events = vec![event(1, 2), event(2, 1), event(3, 1), event(4, 0)];
    let ids: Vec<i64> = parents_first(events).iter().map(|event| event.id).collect();
    assert_eq!(ids, [4, 2, 1, 3]);
    let orphans = vec![event(1, 1), event(2, 2), event(3, 1)];
    let ids: Vec<i64> = parents_first(orphans).iter().map(|event| event.id).collect();
    assert_eq!(ids, [1, 3, 2]);
}

#[test]
fn tags_are_the_servers() {
    for (sql, expected) in [
        ("create table t ()", "CREATE TABLE"),
        ("create table t as select 1", "CREATE TABLE AS"),
        ("select 1 into t", "SELECT INTO"),
        ("create materialized view m as select 1", "CREATE MATERIALIZED VIEW"),
        ("alter table t rename a to b", "ALTER TABLE"),
        ("alter view v rename to w", "ALTER VIEW"),
        ("alter table t rename constraint a to b", "ALTER TABLE"),
        ("alter type t rename attribute a to b", "ALTER TYPE"),
        ("alter type t add value 'x'", "ALTER TYPE"),
        ("drop foreign table t", "DROP FOREIGN TABLE"),
        ("drop text search configuration t", "DROP TEXT SEARCH CONFIGURATION"),
        ("create text search dictionary d (template = simple)", "CREATE TEXT SEARCH DICTIONARY"),
        ("alter default privileges grant select on tables to x", "ALTER DEFAULT PRIVILEGES"),
        ("drop operator class c using btree", "DROP OPERATOR CLASS"),
        ("create unique index on t (a)", "CREATE INDEX"),
        ("comment on table t is 'x'", "COMMENT"),
    ] {
        assert_eq!(tag::command_tag(&one(sql).node).as_deref(), Some(expected), "{sql}");
    }
    for sql in ["insert into t values (1)", "select 1", "begin", "vacuum"] {
        assert_eq!(tag::command_tag(&one(sql).node), None, "{sql}");
    }
}

#[test]
fn events_of_one_string_get_its_statements_in_order() {
    let sql =
        "create temp table x (a int); create table \"Y;\" (a text default ';'); insert into y values (1);
               alter table \"Y;\" add b int; alter table \"Y;\" add c int; drop table \"Y;\"";
    let event = |tag| with_objects(ddl(tag, sql, false), vec![object("table", "public.Y;", false, true)]);
    let mut script = Script::default();
    let mut next = |tag| script.statement(&event(tag)).map(|statement| statement.text);
    assert_eq!(next("CREATE TABLE").as_deref(), Some("create table \"Y;\" (a text default ';')"));
    assert_eq!(next("ALTER TABLE").as_deref(), Some("alter table \"Y;\" add b int"));
    assert_eq!(next("ALTER TABLE").as_deref(), Some("alter table \"Y;\" add c int"));
    assert_eq!(next("DROP TABLE").as_deref(), Some("drop table \"Y;\""));
    assert_eq!(next("CREATE VIEW"), None);
}

#[test]
fn a_function_call_is_not_taken_for_its_ddl() {
    let mut script = Script::default();
    for sql in ["select make_table()", "do $$ begin create table t (); end $$", "call p()"] {
        assert!(script.statement(&ddl("CREATE TABLE", sql, false)).is_none(), "{sql}");
    }
}

#[test]
fn concurrently_is_taken_out_and_nothing_else() {
    for (sql, expected) in [
        ("create index concurrently \"concurrently\" on t (a)", "create index  \"concurrently\" on t (a)"),
        ("drop index concurrently /* concurrently */ i", "drop index  /* concurrently */ i"),
        (
            "alter table t detach partition s.p concurrently",
            "do 'declare bounds text := pg_catalog.pg_get_partition_constraintdef(''\"s\".\"p\"''::pg_catalog.regclass); begin \
             execute ''alter table t detach partition s.p''; execute ''alter table \"s\".\"p\" add check ('' || bounds || '')''; end'",
        ),
        ("create index i on t (a)", "create index i on t (a)"),
    ] {
        assert_eq!(text::in_transaction(one(sql), &[]).text, expected);
    }
}

#[test]
fn an_added_column_gets_the_stored_value_before_its_default() {
    let tables = json!([{"oid": 1, "schema": "public", "name": "t", "kind": "r", "columns": [
        {"attnum": 2, "name": "c", "type": "timestamp with time zone", "default": "now()", "stored": "2024-01-01 00:00:00+00"},
        {"attnum": 3, "name": "d", "type": "integer", "default": "0", "stored": "0"}]}]);
    let made = |sql| stored::with_stored_values(&one(sql).node, &tables);
    assert_eq!(
        made("alter table t add column c timestamptz not null default now(), add d int default 0"),
        Some(vec![
            "ALTER TABLE t ADD COLUMN c timestamptz DEFAULT '2024-01-01 00:00:00+00'::timestamptz NOT NULL, ADD COLUMN d int DEFAULT 0".to_owned(),
            "alter table \"public\".\"t\" alter column \"c\" set default now()".to_owned(),
        ])
    );
    assert_eq!(made("alter table t add d int default 0"), None);
    assert_eq!(made("alter table t drop column c"), None);
}

#[test]
fn what_a_rewrite_calls_is_found() {
    let called = |sql| stored::functions_of_rewrite(&one(sql).node);
    assert_eq!(called("alter table t add u uuid default gen_random_uuid()"), ["gen_random_uuid"]);
    assert_eq!(called("alter table t alter a type int using (f(a) + 1)"), ["f"]);
    assert_eq!(called("alter table t add s serial"), [""]);
    assert_eq!(called("alter table t add i int generated always as identity"), [""]);
    assert!(called("alter table t alter a type bigint").is_empty());
    assert!(called("alter table t add n int default 5").is_empty());
}

#[test]
fn drops_are_made_from_objects() {
    let event = with_objects(
        ddl("DROP TABLE", "", false),
        vec![
            object("table", "public.a", true, true),
            object("index", "public.a_pkey", true, false),
            object("table constraint", "a_pkey on public.a", true, false),
        ],
    );
    let none = |_| None;
    assert_eq!(build::statements(&event, none).expect("made"), ["drop table public.a"]);
    let mut event = event;
    event.objects.push(object("view", "public.v", true, false));
    assert_eq!(build::statements(&event, none).expect("made"), ["drop table public.a cascade"]);
}

fn table(json: serde_json::Value) -> Table {
    Table::read(&json).expect("a table")
}

#[test]
fn tables_change_by_attribute_number() {
    let before = table(json!({"oid": 1, "schema": "public", "name": "t", "columns": [
        {"attnum": 1, "name": "a", "type": "integer", "nullable": true},
        {"attnum": 2, "name": "b", "type": "integer", "nullable": true},
        {"attnum": 3, "name": "c", "type": "integer", "nullable": true, "default": "1"}]}));
    let after = table(json!({"oid": 1, "schema": "s", "name": "u", "columns": [
        {"attnum": 1, "name": "x", "type": "integer", "nullable": false},
        {"attnum": 3, "name": "c", "type": "bigint", "nullable": true, "default": "2"},
        {"attnum": 4, "name": "b", "type": "text", "nullable": true, "default": "now()", "stored": "it's"}]}));
    assert_eq!(
        difference::statements(&before, &after).expect("told"),
        [
            "alter table \"public\".\"t\" set schema \"s\"",
            "alter table \"s\".\"t\" rename to \"u\"",
            "alter table \"s\".\"u\" drop column \"b\"",
            "alter table \"s\".\"u\" rename column \"a\" to \"x\"",
            "alter table \"s\".\"u\" alter column \"x\" set not null",
            "alter table \"s\".\"u\" alter column \"c\" drop default",
            "alter table \"s\".\"u\" alter column \"c\" type bigint using \"c\"::bigint",
            "alter table \"s\".\"u\" alter column \"c\" set default 2",
            "alter table \"s\".\"u\" add column \"b\" text default 'it''s'::text",
            "alter table \"s\".\"u\" alter column \"b\" set default now()",
        ]
    );
}

#[test]
fn a_rename_without_numbers_is_told_by_place_or_not_at_all() {
    let state = |names: &[&str]| {
        let columns: Vec<_> =
            names.iter().map(|name| json!({"name": name, "type": "text", "nullable": true})).collect();
        table(json!({"oid": 1, "schema": "s", "name": "t", "columns": columns}))
    };
    let made = |before: &[&str], after: &[&str]| difference::statements(&state(before), &state(after));
    assert_eq!(
        made(&["a", "b"], &["a", "c"]).expect("told"),
        ["alter table \"s\".\"t\" rename column \"b\" to \"c\""]
    );
    assert_eq!(made(&["a", "b"], &["b", "c"]), None);
    assert_eq!(made(&["a"], &["a", "b"]).expect("told"), ["alter table \"s\".\"t\" add column \"b\" text"]);
}
