//! Rows and schema changes into OpenSearch and Elasticsearch: an index that follows its tables.

use std::collections::BTreeMap;

use pgstream_tests::{wait_until, Database, Document, Engine, Node, Sidecar, LONG, SOON};
use serde_json::{json, Value as Json};

use super::{init, slot, table_id};

const ENGINES: [Engine; 2] = [Engine::OpenSearch, Engine::Elasticsearch];

/// A source whose schema of that name goes to an engine.
pub(crate) struct ToIndex {
    pub(crate) source: Database,
    pub(crate) node: &'static Node,
    /// Also the alias of its index: nodes are shared.
    pub(crate) schema: String,
    pub(crate) sidecar: Sidecar,
}

/// The sidecar from that source to that node.
pub(crate) fn indexer(source: &Database, node: &Node) -> Sidecar {
    indexer_at(source, node.engine, &node.url())
}

/// The sidecar from that source to whatever is at that address.
pub(crate) fn indexer_at(source: &Database, engine: Engine, url: &str) -> Sidecar {
    let from = ["run", "--source", "postgres", "--source-url", &source.url()];
    Sidecar::new(from.into_iter().chain(["--target", engine.name(), "--target-url", url]))
}

impl ToIndex {
    /// With `prepare` run before, where `SCHEMA` stands for the schema; a search path of it is set.
    pub(crate) fn start(engine: Engine, prepare: &str) -> ToIndex {
        ToIndex::with(engine, prepare, |sidecar| sidecar)
    }

    pub(crate) fn with(engine: Engine, prepare: &str, configure: impl FnOnce(Sidecar) -> Sidecar) -> ToIndex {
        let (source, node) = (Database::on_source(), Node::shared(engine));
        let schema = source.name.to_lowercase();
        source.execute(&format!(
            "create schema \"{schema}\"; alter database \"{}\" set search_path = \"{schema}\", public",
            source.name
        ));
        source.execute(&prepare.replace("SCHEMA", &schema));
        init(&source);
        let sidecar = configure(indexer(&source, node)).start();
        sidecar.wait_for_line("streaming", SOON);
        ToIndex { source, node, schema, sidecar }
    }

    /// Runs `sql`, and waits until all of it is in the index.
    pub(crate) fn run(&self, sql: &str) {
        self.source.execute(&sql.replace("SCHEMA", &self.schema));
        self.settle();
    }

    pub(crate) fn settle(&self) {
        self.source.wait_confirmed(&slot(&self.source));
    }

    /// A table's id.
    pub(crate) fn id(&self, table: &str) -> String {
        table_id(&self.source, table)
    }

    /// The sources of a table's documents, by their key, with names of columns instead of their ids.
    pub(crate) fn documents(&self, table: &str) -> BTreeMap<String, Json> {
        self.documents_in(&self.schema, table)
    }

    pub(crate) fn documents_in(&self, index: &str, table: &str) -> BTreeMap<String, Json> {
        let id = self.id(table);
        let names = self.source.value(&format!(
            "select coalesce(json_object_agg('{id}-' || attnum, attname), '{{}}') from pg_attribute where attrelid = '{table}'::regclass and attnum > 0 and not attisdropped"
        ));
        let names: Json = serde_json::from_str(&names).expect("JSON");
        let named = |document: Document| -> Json {
            let fields = document.source.as_object().expect("an object").clone().into_iter();
            let name = |id: String| names[&id].as_str().map_or(id.clone(), str::to_owned);
            fields.filter(|(id, _)| id != "_table").map(|(id, value)| (name(id), value)).collect()
        };
        let of_table = self
            .node
            .documents(index)
            .into_iter()
            .filter(|(_, document)| document.source["_table"] == id.as_str());
        of_table.map(|(key, document)| (key[id.len() + 1..].to_owned(), named(document))).collect()
    }

    /// Documents by key, as JSON.
    #[track_caller]
    pub(crate) fn assert(&self, table: &str, expected: Json) {
        let documents: Json = self.documents(table).into_iter().collect::<serde_json::Map<_, _>>().into();
        assert_eq!(documents, expected, "{}", self.sidecar.stderr());
    }
}

#[test]
fn rows_come_change_and_go() {
    for engine in ENGINES {
        let index = ToIndex::start(engine, "create table t (id serial primary key, name text, n int)");
        index.run("insert into t (name, n) values ('a', 1), ('b', null), ('c', 3)");
        index.assert("t", json!({ "1": { "name": "a", "n": 1 }, "2": { "name": "b", "n": null }, "3": { "name": "c", "n": 3 } }));
        index.run("update t set name = 'A' where id = 1; delete from t where id = 2; update t set id = 30 where id = 3");
        index.assert("t", json!({ "1": { "name": "A", "n": 1 }, "30": { "name": "c", "n": 3 } }));
        index.run("begin; truncate t; insert into t values (1, 'again', 7); commit");
        index.assert("t", json!({ "1": { "name": "again", "n": 7 } }));
        index.run("delete from t; insert into t values (1, 'once more', 8)");
        index.assert("t", json!({ "1": { "name": "once more", "n": 8 } }));
        index.run("truncate t");
        index.assert("t", json!({}));
    }
}

#[test]
fn renames_change_nothing_and_columns_come_and_go() {
    let index = ToIndex::start(Engine::OpenSearch, "create table t (id int primary key, a text)");
    index.run("insert into t values (1, 'x')");
    let before = index.node.documents(&index.schema);
    index.run("alter table t rename a to b; alter table t rename to u");
    assert_eq!(index.node.documents(&index.schema), before);
    index.run("alter table u add c int default 5; insert into u values (2, 'y', 6)");
    index.assert("u", json!({ "1": { "b": "x" }, "2": { "b": "y", "c": 6 } }));
    index.run("update u set b = 'z' where id = 1");
    index.assert("u", json!({ "1": { "b": "z", "c": 5 }, "2": { "b": "y", "c": 6 } }));
}

#[test]
fn what_is_dropped_leaves_nothing_behind() {
    let index = ToIndex::start(
        Engine::OpenSearch,
        "create table t (id int primary key); create table u (id int primary key)",
    );
    index.run("insert into t values (1), (2); insert into u values (1)");
    assert_eq!(index.node.documents(&index.schema).len(), 3);
    index.run("drop table t");
    assert_eq!(index.node.documents(&index.schema).len(), 1);
    index.run("drop schema \"SCHEMA\" cascade");
    assert_eq!(index.node.request("GET", &index.schema, None).0, 404);
    let log = index.node.documents("pgstream");
    assert!(log.values().all(|version| version.source["schema_name"] != index.schema.as_str()));
}

#[test]
fn keys_of_every_kind() {
    let index = ToIndex::start(
        Engine::OpenSearch,
        "create table pair (a int, b text, c jsonb, primary key (a, b)); create table u (k uuid primary key);
         create table big (k bigint primary key); create table long (k text primary key, v int);
         create table uniq (v int, k text not null unique); create table none (v int)",
    );
    index.run(
        "insert into pair values (1, 'x-y', '{}'), (-1, '2', null); insert into u values ('0e37df36-f698-11e6-8dd4-cb9ced3df976');
         insert into big values (9007199254740993), (9007199254740992), (-9223372036854775808);
         insert into long values (repeat('é', 600), 1), ('short', 2); insert into uniq values (1, 'k'); insert into none values (1)",
    );
    index.assert(
        "pair",
        json!({ "1-x\\-y": { "a": 1, "b": "x-y", "c": "{}" }, "-1-2": { "a": -1, "b": "2", "c": null } }),
    );
    index.assert("u", json!({ "0e37df36-f698-11e6-8dd4-cb9ced3df976": {} }));
    assert_eq!(index.documents("big").len(), 3);
    let long = index.documents("long");
    assert_eq!(long["short"], json!({ "v": 2 }));
    let hashed = long.iter().find(|(key, _)| key.len() == 64).expect("a digest").1;
    assert_eq!(hashed["k"].as_str().map(|k| k.chars().count()), Some(600));
    index.assert("uniq", json!({ "k": { "v": 1 } }));
    index.sidecar.wait_for_line("its rows are not indexed", SOON);
    index.run("delete from long where v = 1; delete from pair where a = 1");
    assert_eq!((index.documents("long").len(), index.documents("pair").len()), (1, 1));
}

#[test]
fn unchanged_large_values_stay() {
    let index = ToIndex::start(
        Engine::OpenSearch,
        "create table t (id int primary key, n int, v text); alter table t alter v set storage external",
    );
    let large = "md5(repeat('x', 1)) || repeat('y', 100000)";
    index.run(&format!("insert into t values (1, 1, {large}), (2, 2, {large})"));
    let before = index.documents("t")["1"]["v"].clone();
    assert!(before.as_str().is_some_and(|text| text.len() > 100_000));
    index.run("update t set n = 10 where id = 1");
    assert_eq!(index.documents("t")["1"], json!({ "n": 10, "v": before }));
    index.run("begin; update t set n = 11 where id = 1; update t set id = 3 where id = 1; update t set n = 12 where id = 3; commit");
    assert_eq!(index.documents("t")["3"], json!({ "n": 12, "v": before }));
    index.run("update t set id = 4 where id = 2");
    assert_eq!(index.documents("t")["4"], json!({ "n": 2, "v": before }));
    assert_eq!(index.documents("t").len(), 2);
}

#[test]
fn tables_move_between_schemas() {
    let index = ToIndex::start(Engine::OpenSearch, "create table t (id int primary key, v text)");
    let other = format!("{}_other", index.schema);
    index.run(&format!("create schema {other}; insert into t values (1, 'a'), (2, 'b')"));
    index.run(&format!("begin; alter table t set schema {other}; insert into {other}.t values (3, 'c'); delete from {other}.t where id = 1; commit"));
    assert!(index.documents_in(&index.schema, &format!("{other}.t")).is_empty());
    let there: Vec<String> = index.documents_in(&other, &format!("{other}.t")).into_keys().collect();
    assert_eq!(there, ["2", "3"]);
}

#[test]
fn a_type_that_the_index_cannot_take() {
    for engine in ENGINES {
        let index = ToIndex::start(
            engine,
            "create table t (id int primary key, n int, v text); create table other (id int primary key)",
        );
        index.run("insert into t select g, g, 'v' || g from generate_series(1, 1200) g; insert into other values (1)");
        index.run(
            "alter table t alter n type text using 'number ' || n; insert into t values (2000, 'new', '')",
        );
        let complete = || {
            index.documents("t").values().all(|document| {
                document["n"].as_str().is_some_and(|n| n == "new" || n.starts_with("number "))
            })
        };
        wait_until("the values of the new type", LONG, || complete().then_some(()));
        assert_eq!(index.documents("t").len(), 1201);
        assert_eq!(index.documents("other").len(), 1);
        let alias = index.node.get(&format!("_alias/{}", index.schema));
        assert!(alias[format!("{}-2", index.schema)].is_object(), "{alias}");
    }
}

#[test]
fn a_copy_before_the_stream_and_one_on_request() {
    let prepare = "create table t (id int primary key, v text); insert into t select g, 'copied' from generate_series(1, 3000) g";
    let index =
        ToIndex::with(Engine::OpenSearch, prepare, |sidecar| sidecar.arg("--snapshot-tables").arg("*.*"));
    index.run("update t set v = 'streamed' where id = 7; delete from t where id = 8");
    let documents = index.documents("t");
    assert_eq!((documents.len(), &documents["7"]["v"]), (2999, &json!("streamed")));
    // What is stale is mended, what is not there any more goes.
    let id = index.id("t");
    let put = |key: &str, v: &str| {
        let source = json!({ "_table": id, format!("{id}-2"): v });
        let path = format!("{}/_doc/{id}_{key}?version=1&version_type=external_gte", index.schema);
        let (status, answer) = index.node.request("PUT", &path, Some(&source));
        assert!(status < 300, "{answer}");
    };
    put("99999", "never there");
    index.source.execute(&format!("select pgstream.request_snapshot('{{{}.t}}')", index.schema));
    wait_until("the copy", LONG, || (!index.documents("t").contains_key("99999")).then_some(()));
    assert_eq!(index.documents("t").len(), 2999);
}

/// What PostgreSQL has, and what is found of it.
#[test]
fn types_of_every_kind() {
    for engine in ENGINES {
        let index = ToIndex::start(
            engine,
            "create type mood as enum ('sad', 'ok'); create domain positive as int check (value > 0); create type pair as (a int, b text);
             create table t (id int primary key, i8 bigint, n numeric, f float8, b boolean, bin bytea, j jsonb, d date, ts timestamp, ts3 timestamp(3),
                tz timestamptz, ti time, tiz timetz, iv interval, e mood, dom positive, c pair, r int4range, mr int4multirange, u uuid, ip inet, m money,
                bits bit(3), ints int[], texts text[], times timestamptz[], moods mood[], x xml, ch char(3), v varchar(5), pt point, tsv tsvector)",
        );
        index.run(
            "insert into t values (1, 9223372036854775807, 12345678901234567890.123456789, 1.5, true, '\\xdeadbeef', '{\"a\": [1]}', '2026-11-21', '2026-11-21 10:03:18.424456',
                '2026-11-21 10:03:18.424', '2026-11-21 10:03:18.424456+02', '10:03:18.42', '10:03:18.5+02', '1 year 2 days', 'ok', 7, '(1,x)', '[1,5)', '{[1,5)}',
                '0e37df36-f698-11e6-8dd4-cb9ced3df976', '10.0.0.1/8', 12.5, '101', '{1,NULL,3}', '{a,NULL,\"b c\"}', '{2026-11-21 10:03:18+00}', '{sad,ok}', '<a/>', 'ab', 'vw', '(1,2)', 'a b');
             insert into t (id, n, f, d, ts, tz, ti) values (2, 'NaN', '-Infinity', 'infinity', '-infinity', '0044-03-15 10:00:00+00 BC', '24:00:00'),
                (3, 1e400::numeric, 'NaN', '10000-01-01', '12345-01-01 00:00:00', 'infinity', '23:59:59.999999')",
        );
        let documents = index.documents("t");
        let full = &documents["1"];
        assert_eq!(full["i8"].to_string(), "9223372036854775807");
        assert_eq!(full["n"].to_string(), "12345678901234567890.123456789");
        let expected = json!({ "bin": "deadbeef", "j": "{\"a\": [1]}", "d": "2026-11-21", "ts": "2026-11-21T10:03:18.424456",
            "tz": "2026-11-21T08:03:18.424456Z", "ti": "10:03:18.42", "tiz": "08:03:18.5Z", "iv": "1 year 2 days", "e": "ok", "dom": 7, "c": "(1,x)",
            "r": "[1,5)", "mr": "{[1,5)}", "ints": [1, null, 3], "texts": ["a", null, "b c"], "times": ["2026-11-21T10:03:18Z"], "moods": ["sad", "ok"],
            "bits": "101", "ch": "ab ", "pt": "(1,2)", "tsv": "'a' 'b'" });
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(full[name], *value, "{engine:?} {name}");
        }
        let edges = json!({ "n": "NaN", "f": "-Infinity", "d": "infinity", "ts": "-infinity", "tz": "0044-03-15 10:00:00+00 BC", "ti": "24:00:00" });
        for (name, value) in edges.as_object().expect("an object") {
            assert_eq!(documents["2"][name], *value, "{engine:?} {name}");
        }
        assert_eq!(documents["3"]["n"].to_string().len(), 401);
        // They are found by their fields.
        let id = index.id("t");
        let number = |name: &str| {
            index.source.value(&format!(
                "select attnum from pg_attribute where attrelid = 't'::regclass and attname = '{name}'"
            ))
        };
        let found = |query: &str, name: &str, suffix: &str, value: Json| {
            let field = format!("{id}-{}{suffix}", number(name));
            let query = json!({ "query": { query: { field: value } } });
            let (status, answer) =
                index.node.request("POST", &format!("{}/_search", index.schema), Some(&query));
            assert_eq!(status, 200, "{answer}");
            answer["hits"]["total"]["value"].as_u64().expect("a count")
        };
        assert_eq!(found("term", "i8", "", json!(9_223_372_036_854_775_807_i64)), 1);
        assert_eq!(found("term", "n", ".exact", json!("12345678901234567890.123456789")), 1);
        assert_eq!(
            found("range", "tz", "", json!({ "gte": "2026-11-21T08:03:18Z", "lt": "2026-11-21T08:03:19Z" })),
            1
        );
        assert_eq!(found("range", "ti", "", json!({ "gt": "10:00:00", "lt": "11:00:00" })), 1);
        assert_eq!(found("term", "dom", "", json!(7)), 1);
        assert_eq!(found("match", "texts", ".text", json!("c")), 1);
        assert_eq!(found("term", "moods", "", json!("sad")), 1);
        index.run("insert into t (id, v, texts) values (4, 'x', array[repeat('é', 20000)]), (5, repeat('é', 5), null)");
        assert_eq!(index.documents("t").len(), 5, "{}", index.sidecar.stderr());
    }
}
