//! `run` without a target: one JSON object a line.

use pgstream_tests::{Database, Sidecar, SOON};
use serde_json::Value as Json;

use super::init;

fn lines(sidecar: &Sidecar) -> Vec<Json> {
    sidecar.stdout().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn events_come_out_as_ndjson() {
    let source = Database::on_source();
    init(&source);
    let sidecar = Sidecar::new(["run", "--source", "postgres", "--source-url", &source.url()]).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("create table test (id serial primary key, name text, big int8)");
    source.execute("insert into test (name, big) values ('alice', 9007199254740993)");
    source.execute("update test set name = 'a'; delete from test; truncate test");
    sidecar.wait_for_line("\"action\":\"T\"", SOON);
    let events = lines(&sidecar);
    let actions: String = events.iter().filter_map(|event| event["action"].as_str()).collect();
    assert_eq!(actions.replace("MI", "IM"), "IMIUDT", "schema change both ways, then the rows: {events:#?}");

    let ddl = events.iter().find(|event| event["action"] == "M").expect("a DDL message");
    assert_eq!(ddl["prefix"], "pgstream.ddl");
    let content: Json = serde_json::from_str(ddl["content"].as_str().expect("text")).expect("JSON");
    assert_eq!(content["ddl"], "create table test (id serial primary key, name text, big int8)");
    assert_eq!(
        (&content["command_tag"], &content["schema_name"]),
        (&Json::from("CREATE TABLE"), &Json::from("public"))
    );

    let logged = events.iter().find(|event| event["table"] == "schema_log").expect("a schema_log row");
    let column = |name: &str| {
        let columns = logged["columns"].as_array().expect("columns");
        columns.iter().find(|column| column["name"] == name).expect(name)["value"].clone()
    };
    assert_eq!((column("version"), column("schema_name")), (Json::from(1), Json::from("public")));
    let document: Json = serde_json::from_str(column("schema").as_str().expect("text")).expect("JSON");
    assert_eq!(document["tables"][0]["primary_key_columns"], serde_json::json!(["id"]));

    let text = sidecar.stdout();
    assert!(text.contains(r#"{"id":"","name":"big","type":"bigint","value":9007199254740993}"#), "{text}");
    assert_eq!(sidecar.stop().code(), Some(0));
}

#[test]
fn a_stopped_reader_goes_on_where_it_was() {
    let source = Database::on_source();
    source.execute("create table t (id int primary key)");
    init(&source);
    let mut sidecar = Sidecar::new(["run", "--source-url", &source.url()]).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("insert into t values (1)");
    sidecar.wait_for_line("\"value\":1}", SOON);
    assert_eq!(sidecar.stop().code(), Some(0));
    source.execute("insert into t values (2)");
    sidecar.start_again();
    sidecar.wait_for_line("\"value\":2}", SOON);
    let inserts = lines(&sidecar).iter().filter(|event| event["table"] == "t").count();
    assert_eq!(inserts, 2, "after a clean stop nothing comes twice");
}

#[test]
fn only_what_the_filter_lets_through() {
    let source = Database::on_source();
    source.execute("create table a (id int primary key); create table b (id int primary key)");
    init(&source);
    let sidecar = Sidecar::new(["run", "--source-url", &source.url()])
        .env("PGSTREAM_FILTER_INCLUDE_TABLES", "b")
        .start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("insert into a values (1); alter table a add x int; insert into b values (2)");
    sidecar.wait_for_line("\"table\":\"b\"", SOON);
    assert!(
        lines(&sidecar).iter().all(|event| event["table"] != "a" && event["action"] != "M"),
        "{}",
        sidecar.stdout()
    );
    source.wait_confirmed(&super::slot(&source));
}
