//! `modifiers.injector`: stable ids of tables and columns in events.

use pgstream_tests::{wait_until, Database, Sidecar, LONG, SOON};
use serde_json::{json, Value as Json};

use super::{init, table_id};

/// The sidecar with the injector on, streaming.
fn stream(source: &Database) -> Sidecar {
    let url = source.url();
    let sidecar =
        Sidecar::new(["run", "--source-url", &url]).env("PGSTREAM_INJECTOR_STORE_POSTGRES_URL", &url);
    let sidecar = sidecar.start();
    sidecar.wait_for_line("streaming", SOON);
    sidecar
}

/// Rows of users, as they were printed.
fn rows(sidecar: &Sidecar) -> Vec<Json> {
    let stdout = sidecar.stdout();
    let events = stdout.lines().map(|line| serde_json::from_str::<Json>(line).expect(line));
    events.filter(|event| !matches!(event["schema"].as_str(), Some("pgstream" | ""))).collect()
}

/// What was printed once all that is committed now is.
fn arrived(source: &Database, sidecar: &Sidecar) -> Vec<Json> {
    let mark = format!("after {}", source.value("select pg_current_wal_lsn()"));
    source.value(&format!("select pg_logical_emit_message(true, 'test', '{mark}')"));
    sidecar.wait_for_line(&mark, SOON);
    rows(sidecar)
}

/// Id of the newest version of a schema.
fn version(source: &Database, schema: &str) -> String {
    let sql = format!(
        "select id from pgstream.schema_log where schema_name = '{schema}' order by version desc limit 1"
    );
    source.value(&sql)
}

/// `[[name, id], ..]` of columns or identity.
fn columns(part: &Json) -> Json {
    part.as_array().into_iter().flatten().map(|column| json!([column["name"], column["id"]])).collect()
}

/// Numbers of a table's columns as their ids.
fn numbered(table: &str, numbers: &[u32]) -> Json {
    numbers.iter().map(|number| json!(format!("{table}-{number}"))).collect()
}

/// One of each action, field by field: the form of a file recorded from release 0.8.1.
#[test]
fn an_event_with_ids_has_the_known_form() {
    let source = Database::on_source();
    init(&source);
    let sidecar = stream(&source);
    source.execute("create table test (id serial primary key, name text)");
    source.execute("insert into test (name) values ('alice')");
    source.execute("update test set name = 'a'; delete from test; truncate test");
    let seen = arrived(&source, &sidecar);
    let (id, schema) = (table_id(&source, "test"), version(&source, "public"));

    let stdout = sidecar.stdout();
    let lines: Vec<&str> = stdout.lines().filter(|line| line.contains(r#""table":"test""#)).collect();
    let end = format!(
        r#""metadata":{{"schema_id":"{schema}","table_pgstream_id":"{id}","id_col_pgstream_id":["{id}-1"],"version_col_pgstream_id":""}}}}"#
    );
    let key = format!(r#"{{"id":"{id}-1","name":"id","type":"integer","value":1}}"#);
    let row =
        |name: &str| format!(r#"[{key},{{"id":"{id}-2","name":"name","type":"text","value":"{name}"}}]"#);
    let parts = [
        ("I", row("alice"), "null".to_owned()),
        ("U", row("a"), format!("[{key}]")),
        ("D", "null".to_owned(), format!("[{key}]")),
        ("T", "null".to_owned(), "null".to_owned()),
    ];
    assert_eq!(lines.len(), parts.len(), "{stdout}");
    for ((line, event), (action, columns, identity)) in lines.iter().zip(&seen).zip(parts) {
        let (timestamp, lsn) =
            (event["timestamp"].as_str().expect("a time"), event["lsn"].as_str().expect("a position"));
        let expected = format!(
            r#"{{"action":"{action}","timestamp":"{timestamp}","lsn":"{lsn}","schema":"public","table":"test","columns":{columns},"identity":{identity},{end}"#
        );
        assert_eq!(*line, expected);
    }
    let ours: Vec<&str> = stdout.lines().filter(|line| line.contains(r#""table":"schema_log""#)).collect();
    assert!(
        ours.len() == 1 && ours[0].ends_with(r#""metadata":{"schema_id":null,"table_pgstream_id":"","id_col_pgstream_id":null,"version_col_pgstream_id":""}}"#),
        "{ours:?}"
    );
    assert_eq!(sidecar.stop().code(), Some(0));
}

#[test]
fn nothing_is_added_unless_asked_for() {
    let source = Database::on_source();
    source.execute("create table t (id int primary key)");
    init(&source);
    let sidecar = Sidecar::new(["run", "--source-url", &source.url()]).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("insert into t values (1)");
    let seen = arrived(&source, &sidecar);
    assert_eq!(seen[0]["metadata"]["table_pgstream_id"], "");
    assert_eq!(seen[0]["columns"][0]["id"], "");
}

#[test]
fn ids_stay_the_same_whatever_a_table_is_called() {
    let source = Database::on_source();
    source.execute("create table t (id int primary key, v text)");
    init(&source);
    let sidecar = stream(&source);
    let before = version(&source, "public");
    source.execute("insert into t values (1, 'a')");
    source.execute("alter table t rename v to w; alter table t add x int; alter table t rename to u; insert into u values (2, 'b', 3)");
    source.execute("create schema s; alter table u set schema s; alter table s.u drop w; alter table s.u add w text; insert into s.u values (3, 4, 'c')");
    // A table of the same name is another one.
    source.execute("create table t (id int primary key); insert into t values (1)");
    let seen = arrived(&source, &sidecar);
    let (id, other) = (table_id(&source, "s.u"), table_id(&source, "t"));
    assert_ne!(id, other);
    let of = |event: &Json| (event["metadata"]["table_pgstream_id"].clone(), columns(&event["columns"]));
    let name = |n: u32| format!("{id}-{n}");
    let expected = [
        (json!(id), json!([["id", name(1)], ["v", name(2)]])),
        (json!(id), json!([["id", name(1)], ["w", name(2)], ["x", name(3)]])),
        (json!(id), json!([["id", name(1)], ["x", name(3)], ["w", name(4)]])),
        (json!(other), json!([["id", format!("{other}-1")]])),
    ];
    assert_eq!(seen.iter().map(of).collect::<Vec<_>>(), expected);
    let schemas: Vec<&str> =
        seen.iter().filter_map(|event| event["metadata"]["schema_id"].as_str()).collect();
    assert_eq!(schemas[0], before);
    assert_eq!(schemas[2..], [version(&source, "s"), version(&source, "public")]);
    assert!(schemas[1] != before && schemas[1] != schemas[3], "each version has its own");
}

#[test]
fn what_identifies_a_row() {
    let source = Database::on_source();
    init(&source);
    let sidecar = stream(&source);
    for (definition, row) in [
        ("a (x int, y int, z int, primary key (z, x))", "1, 2, 3"),
        ("b (v text unique, w int not null unique, x int not null unique)", "null, 1, 2"),
        ("c (v text, w int unique)", "'a', 1"),
        ("d (v int)", "1"),
    ] {
        let name = &definition[..1];
        source.execute(&format!("create table {definition}; insert into {name} values ({row})"));
    }
    // A key comes and goes.
    source.execute("alter table d add primary key (v); insert into d values (2)");
    source.execute("alter table a replica identity full; update a set y = 5; delete from a");
    let seen = arrived(&source, &sidecar);
    let ids: Vec<String> = ["a", "b", "c", "d"].map(|name| table_id(&source, name)).into();
    let keys: Vec<&Json> = seen.iter().map(|event| &event["metadata"]["id_col_pgstream_id"]).collect();
    let a = numbered(&ids[0], &[3, 1]);
    let expected =
        [a.clone(), numbered(&ids[1], &[2]), Json::Null, Json::Null, numbered(&ids[3], &[1]), a.clone(), a];
    assert_eq!(keys, expected.iter().collect::<Vec<_>>());
    let whole = json!([
        ["x", format!("{}-1", ids[0])],
        ["y", format!("{}-2", ids[0])],
        ["z", format!("{}-3", ids[0])]
    ]);
    assert!(seen[5..].iter().all(|event| columns(&event["identity"]) == whole), "{seen:#?}");
    assert!(!sidecar.stderr().contains("WARN"), "{}", sidecar.stderr());
}

/// The source is ahead of the stream when it starts again: a row has the ids of its own position, not those of now.
#[test]
fn a_restart_knows_the_ids_of_its_position() {
    let source = Database::on_source();
    source.execute(
        "create table t (id int primary key, a text, b text); create table gone (id int primary key)",
    );
    init(&source);
    let (id, gone) = (table_id(&source, "t"), table_id(&source, "gone"));
    let mut sidecar = stream(&source);
    source.execute("alter table t add c int; insert into t values (1, 'a', 'b', 1)");
    let first = version(&source, "public");
    arrived(&source, &sidecar);
    for kill in [false, true] {
        if kill {
            sidecar.kill();
        } else {
            sidecar.stop();
        }
        source.execute("insert into t values (2, 'a', 'b', 1)");
        if !kill {
            // The names of two columns are swapped: only in time is it known which is which.
            source.execute("insert into gone values (1); drop table gone");
            source.execute("begin; alter table t rename a to x; alter table t rename b to a; alter table t rename x to b; insert into t values (3, 'a', 'b', 1); commit");
            source.execute(
                "alter table t drop c; alter table t rename to u; create table t (id int primary key, v int)",
            );
            source.execute("insert into u values (4, 'a', 'b'); insert into t values (5, 6); alter table t rename to w; alter table u rename to t; truncate t, w");
        }
        sidecar.start_again();
        if !kill {
            let seen = arrived(&source, &sidecar);
            let other = table_id(&source, "w");
            let of = |event: &Json| {
                let names = columns(&event["columns"]);
                (event["metadata"]["table_pgstream_id"].clone(), names)
            };
            let names = |id: &str, names: &[(&str, u32)]| -> Json {
                names.iter().map(|(name, number)| json!([name, format!("{id}-{number}")])).collect()
            };
            let old = names(&id, &[("id", 1), ("a", 2), ("b", 3), ("c", 4)]);
            let expected = [
                (json!(id), old.clone()),
                (json!(id), old),
                (json!(gone), names(&gone, &[("id", 1)])),
                (json!(id), names(&id, &[("id", 1), ("b", 2), ("a", 3), ("c", 4)])),
                (json!(id), names(&id, &[("id", 1), ("b", 2), ("a", 3)])),
                (json!(other), names(&other, &[("id", 1), ("v", 2)])),
                (json!(id), json!([])),
                (json!(other), json!([])),
            ];
            assert_eq!(seen.iter().map(of).collect::<Vec<_>>(), expected);
            let schema = |n: usize| seen[n]["metadata"]["schema_id"].as_str().expect("a schema");
            assert!(schema(0) == first && schema(1) == first && schema(3) != first);
            assert_eq!(schema(7), version(&source, "public"));
            source.execute("delete from t; alter table t rename a to y; alter table t add c int");
            arrived(&source, &sidecar);
        }
    }
    source.execute("insert into t values (9)");
    let last = arrived(&source, &sidecar).pop().expect("a row");
    let expected = json!([
        ["id", format!("{id}-1")],
        ["b", format!("{id}-2")],
        ["y", format!("{id}-3")],
        ["c", format!("{id}-5")]
    ]);
    assert_eq!(columns(&last["columns"]), expected);
}

/// Two transactions at the same time: the document that is committed last does not show what the other has changed.
#[test]
fn commands_at_the_same_time_do_not_hide_each_other() {
    let source = Database::on_source();
    source.execute("create table t (id int primary key, a text, b text)");
    init(&source);
    let mut sidecar = stream(&source);
    let (mut one, mut two) = (source.session(), source.session());
    one.execute("begin; alter table t drop b; alter table t add b text; create table made_by_one (id int primary key)");
    two.execute("begin; create table made_by_two (id int primary key)");
    one.execute("commit");
    two.execute("commit");
    let work = "insert into t values (1, 'a', 'b'); insert into made_by_one values (1); insert into made_by_two values (1)";
    source.execute(work);
    arrived(&source, &sidecar);
    sidecar.stop();
    source.execute(&work.replace('1', "2"));
    sidecar.start_again();
    let seen = arrived(&source, &sidecar);
    let tables = ["t", "made_by_one", "made_by_two"].map(|name| table_id(&source, name));
    let found: Vec<&str> =
        seen.iter().filter_map(|event| event["metadata"]["table_pgstream_id"].as_str()).collect();
    assert_eq!(found, [tables.clone(), tables.clone()].concat());
    let name = |number| format!("{}-{number}", tables[0]);
    let expected = json!([["id", name(1)], ["a", name(2)], ["b", name(4)]]);
    assert_eq!((columns(&seen[0]["columns"]), columns(&seen[3]["columns"])), (expected.clone(), expected));
    assert!(!sidecar.stderr().contains("WARN"), "{}", sidecar.stderr());
}

/// What was changed unlogged is known again once its schema is logged anew.
#[test]
fn a_table_nothing_was_logged_of_goes_on_without_ids() {
    let source = Database::on_source();
    init(&source);
    let sidecar = stream(&source);
    source.execute(
        "set pgstream.skip_log = 'TRUE'; create table t (id int primary key); insert into t values (1), (2)",
    );
    source.execute("select pgstream.refresh_schema('public'); insert into t values (3)");
    source.execute("create table made as select 1 as v; insert into made values (2)");
    let seen = arrived(&source, &sidecar);
    let found: Vec<&str> =
        seen.iter().filter_map(|event| event["metadata"]["table_pgstream_id"].as_str()).collect();
    let (t, made) = (table_id(&source, "t"), table_id(&source, "made"));
    // The rows of `create table as` stand before the command.
    assert_eq!(found, ["", "", &t, "", &made]);
    assert_eq!(seen[0]["columns"], json!([{"id": "", "name": "id", "type": "integer", "value": 1}]));
    for name in ["public.t", "public.made"] {
        let warning = format!("{name}: no ids are known of this table");
        assert_eq!(sidecar.stderr().matches(&warning).count(), 1, "{}", sidecar.stderr());
    }
}

#[test]
fn rows_of_a_copy_have_the_ids_of_the_stream() {
    let source = Database::on_source();
    source.execute("create schema s; create table t (id int primary key, v text); create table s.u (a int, b int not null unique)");
    source.execute("alter table t add w int; alter table t drop v; insert into t values (1, 2); insert into s.u values (1, 2)");
    init(&source);
    let url = source.url();
    let ids = |event: &Json| json!([event["table"], event["metadata"], columns(&event["columns"])]);
    let by_name = |rows: Vec<Json>| {
        let mut found: Vec<Json> = rows.iter().map(ids).collect();
        found.sort_by_key(|row| row[0].to_string());
        found
    };
    let yaml =
        format!("source:\n  postgres:\n    url: \"{url}\"\nmodifiers:\n  injector:\n    enabled: true\n");
    let copied = |more: &[&str]| {
        let args = [&["snapshot", "-c", "x.yaml", "--target", "stdout", "--tables", "*.*"], more].concat();
        let finished = Sidecar::new(args).file("x.yaml", &yaml).finish();
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let events = finished.stdout.lines().map(|line| serde_json::from_str::<Json>(line).expect(line));
        by_name(events.filter(|event| event["schema"] != "pgstream").collect())
    };
    let (t, u) = (table_id(&source, "t"), table_id(&source, "s.u"));
    let metadata = |schema: &str, table: &str, key: &str| {
        json!({"schema_id": version(&source, schema), "table_pgstream_id": table, "id_col_pgstream_id": [format!("{table}-{key}")],
            "version_col_pgstream_id": ""})
    };
    let expected = [
        json!(["t", metadata("public", &t, "1"), [["id", format!("{t}-1")], ["w", format!("{t}-3")]]]),
        json!(["u", metadata("s", &u, "2"), [["a", format!("{u}-1")], ["b", format!("{u}-2")]]]),
    ];
    assert_eq!(copied(&[]), expected);

    // Copied first and then streamed; then copied again, on request.
    let args = ["run", "-c", "x.yaml", "--snapshot-tables", "*.*"];
    let sidecar = Sidecar::new(args).file("x.yaml", &yaml).start();
    sidecar.wait_for_line("streaming", LONG);
    assert_eq!(by_name(rows(&sidecar)), expected);
    source.execute("insert into t values (2, 3); insert into s.u values (3, 4)");
    assert_eq!(by_name(arrived(&source, &sidecar)[2..].to_vec()), expected);
    source.execute("select pgstream.request_snapshot('{*.*}')");
    wait_until("the rows of a copy that was asked for", LONG, || (rows(&sidecar).len() >= 8).then_some(()));
    assert!(
        rows(&sidecar)[4..].iter().all(|row| row["lsn"] == "0/0" && expected.contains(&ids(row))),
        "{}",
        sidecar.stdout()
    );
}

#[test]
fn a_login_that_may_not_read_the_ids_is_told() {
    let source = Database::on_source();
    source.execute("create table t (id int primary key)");
    init(&source);
    let role = format!("ids_{}", std::process::id());
    source.execute(&format!("create role {role} login replication"));
    let url = source.url().replace("postgres@", &format!("{role}@"));
    let run = || Sidecar::new(["run", "--source-url", &url]).env("PGSTREAM_TRANSLATOR_ENABLED", "true");
    let finished = run().finish();
    let grant = "grant usage on schema pgstream and select on pgstream.schema_log, pgstream.schema_log_acks";
    source.execute(&format!("grant select on pgstream.schema_log, pgstream.schema_log_acks to {role}"));
    let sidecar = run().start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("insert into t values (1)");
    let seen = arrived(&source, &sidecar);
    sidecar.stop();
    source.execute(&format!("drop owned by {role}; drop role {role}"));
    assert!(finished.code != Some(0) && finished.stderr.contains(grant), "{}", finished.stderr);
    assert_eq!(seen[0]["metadata"]["table_pgstream_id"], table_id(&source, "t"));
}
