//! Wire forms, byte for byte: what consumers parse must not change by accident.
//!
//! Each golden file holds what came out, with what differs from run to run replaced: ids by `<id 1>`, `<id 2>`... in
//! order of appearance, so that equal ids stay equal, and positions, times and oids by their kind.
//! `PGSTREAM_GOLDEN_WRITE=1 cargo test -p pgstream-tests golden` writes the files anew; read the difference then.

use std::fs;
use std::path::Path;

use pgstream_tests::{Database, Sidecar, SOON};
use serde_json::Value;

use crate::flows::init;

#[test]
fn standard_output() {
    let source = Database::on_source();
    init(&source);
    let sidecar = Sidecar::new(["run", "--source", "postgres", "--source-url", &source.url()]).start();
    sidecar.wait_for_line("streaming", SOON);
    for statement in [
        "create table test (id serial primary key, name text)",
        "insert into test (name) values ('alice'), (E'b\\to\"b\\\\ <&> \u{e9}'), (null)",
        "update test set name = 'a' where id = 1",
        "alter table test add column age int default 7",
        "update test set id = 20, age = 0 where id = 2",
        "alter table test replica identity full; update test set name = 'c' where id = 3; delete from test where id = 3",
        "create table comp (a int, b text, c jsonb, d numeric, e float8, f bytea, g bool, h timestamptz, primary key (b, a))",
        r#"insert into comp values (1, 'x', '{"k": 123456789012345678901}', 1.10, 'NaN', '\xdeadbeef', true, 'infinity')"#,
        "delete from comp; truncate test, comp",
        "select pg_logical_emit_message(true, 'outbox', '{\"order\": 1}')",
        "create schema s; create table s.t (x int); drop schema s cascade",
    ] {
        source.execute(statement);
    }
    sidecar.wait_for_line("DROP SCHEMA", SOON);
    assert!(sidecar.stop().success(), "{}", sidecar.stderr());
    compare("stdout.ndjson", &steady(&sidecar.stdout()), true);
}

/// Compares with a golden file, which `now` becomes when that is asked for and it is what the file is `written_by`.
pub(crate) fn compare(name: &str, now: &str, written_by: bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if written_by && std::env::var_os("PGSTREAM_GOLDEN_WRITE").is_some() {
        fs::write(&path, now).expect("write a golden file");
    }
    let golden = fs::read_to_string(&path).expect("read a golden file");
    for (number, (now, golden)) in now.lines().zip(golden.lines()).enumerate() {
        assert_eq!(now, golden, "{name}, line {}", number + 1);
    }
    assert_eq!(now.lines().count(), golden.lines().count(), "{name}: lines");
}

/// The same text with everything replaced that differs from run to run.
fn steady(text: &str) -> String {
    let mut ids = Vec::new();
    text.lines().map(|line| oids(&number_ids(&times_and_positions(line), &mut ids)) + "\n").collect()
}

fn times_and_positions(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let mut line = line.to_owned();
    let created =
        event["columns"].as_array().into_iter().flatten().find(|column| column["name"] == "created_at");
    let created = created.map(|column| &column["value"]);
    for (value, kind) in
        [(Some(&event["timestamp"]), "<time>"), (Some(&event["lsn"]), "<lsn>"), (created, "<time>")]
    {
        if let Some(value) = value.and_then(Value::as_str).filter(|value| !value.is_empty()) {
            line = line.replacen(&format!("\"{value}\""), &format!("\"{kind}\""), 1);
        }
    }
    line
}

/// Ids are the only words of twenty characters out of `0-9a-v`.
fn number_ids(line: &str, ids: &mut Vec<String>) -> String {
    let mut out = String::new();
    for word in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let id = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_id = id.len() == 20 && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='v'));
        if !is_id {
            out += word;
            continue;
        }
        let number = ids.iter().position(|known| known == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        out += &format!("<id {}>{}", number + 1, &word[id.len()..]);
    }
    out
}

/// `oid`, a few quotes and colons, digits: the digits go.
fn oids(line: &str) -> String {
    let mut parts = line.split("oid");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| c.is_ascii_digit()).filter(|at| *at <= 8).unwrap_or(part.len());
        let rest = part[digits..].trim_start_matches(|c: char| c.is_ascii_digit());
        out = out + "oid" + &part[..digits] + if digits < part.len() { "<oid>" } else { "" } + rest;
    }
    out
}
