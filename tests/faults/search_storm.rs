//! Rows and schema changes of every kind, while node and sidecar die: the index comes to equal the tables, document by document.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pgstream_tests::{sample, wait_until, Database, Document, Engine, Node, LONG, SOON};
use serde_json::Value as Json;

use crate::flows::init;
use crate::flows::search::indexer;
use crate::flows::table_id;

const TABLES: &str =
    "create table a (id int primary key, v int, t text); create table b (id int primary key, v text);
    create table c (id int primary key, v numeric)";
/// Rows come, go, change and move, in all tables that are there by their name just now, in all columns.
const ROWS: &str = "do $$ declare name text; col text; key int; begin
    for name in select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace loop
        execute format('insert into %I (id) select (random() * 200)::int from generate_series(1, 8) on conflict do nothing', name);
        execute format('delete from %I where id = %s', name, (random() * 200)::int);
        key := (random() * 200)::int;
        execute format('update %I set id = id + 1000 where id = %s and not exists (select from %1$I where id = %2$s + 1000)', name, key);
        for col in select attname from pg_attribute where attrelid = name::regclass and attnum > 1 and not attisdropped loop
            execute format('update %I set %I = %L where id %% 10 = %s', name, col, (random() * 1000)::int, (random() * 9)::int);
        end loop;
    end loop;
end $$";
/// In turns; each after the other can be run again.
const SCHEMA: [&str; 12] = [
    "alter table a add x int",
    "alter table b rename to other",
    "alter table a alter x type text",
    "alter table a rename v to w",
    "alter table other rename to b",
    "truncate b",
    "alter table a drop x",
    "drop table c",
    "alter table a rename w to v",
    "create table c (id int primary key, v numeric)",
    "begin; alter table b add y text; update b set y = 'y'; alter table b drop y; commit",
    "begin; truncate a; insert into a values (1, 1, 'first'); commit",
];

#[test]
fn the_index_equals_the_tables_after_a_storm() {
    let node = Node::start(Engine::OpenSearch, &[]);
    let source = Database::on_source();
    source.execute(TABLES);
    init(&source);
    let mut sidecar = indexer(&source, &node).start();
    sidecar.wait_for_line("streaming", SOON);
    let (rounds, time, start) =
        (AtomicU32::new(0), sample(Duration::from_secs(30), Duration::from_secs(600)), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut session = source.session();
            while start.elapsed() < time {
                let round = rounds.fetch_add(1, Ordering::Relaxed) as usize;
                session.execute(ROWS);
                if round.is_multiple_of(8) {
                    session.execute(SCHEMA[round / 8 % SCHEMA.len()]);
                }
                // No backlog that takes longer than the test.
                session.execute("select pg_sleep(0.03)");
            }
        });
        for kill in 0.. {
            let next = rounds.load(Ordering::Relaxed) + 40;
            let more = wait_until("the storm goes on", LONG, || {
                let over = start.elapsed() >= time;
                (over || rounds.load(Ordering::Relaxed) >= next).then_some(!over)
            });
            if !more {
                break;
            }
            if kill % 2 == 0 {
                sidecar.kill();
                sidecar = indexer(&source, &node).start();
            } else {
                node.kill();
                node.start_again();
            }
        }
    });
    let tables = ["a", "b", "c", "other"];
    let tables =
        tables.iter().filter(|table| !source.value(&format!("select to_regclass('{table}')")).is_empty());
    let expected: BTreeMap<String, Json> = tables.flat_map(|table| rows(&source, table)).collect();
    assert!(expected.len() > 50, "a storm leaves rows");
    // After the last of the stream there may be a copy.
    let what = "the rows as documents";
    wait_until(what, LONG, || (known(&node.documents("public"), &expected) == expected).then_some(()));
}

/// A table's rows as they should be in the index, by the documents' ids.
fn rows(source: &Database, table: &str) -> Vec<(String, Json)> {
    let id = table_id(source, table);
    let sql = format!(
        "select '{id}_' || id, (select coalesce(jsonb_object_agg('{id}-' || attnum, to_jsonb(r) -> attname), '{{}}') from pg_attribute
            where attrelid = '{table}'::regclass and attnum > 1 and not attisdropped)::text from {table} r"
    );
    let parsed = |text: &str| serde_json::from_str(text).expect("JSON");
    source.rows(&sql).into_iter().map(|row| (row[0].clone(), parsed(&row[1]))).collect()
}

/// Documents with the fields that their rows have; one that is not in a document is NULL, and those of columns that are gone stay.
fn known(documents: &BTreeMap<String, Document>, rows: &BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    let fields = |id: &String, document: &Document| -> Json {
        let columns = rows.get(id).and_then(Json::as_object).into_iter().flatten();
        columns.map(|(name, _)| (name.clone(), document.source[name].clone())).collect()
    };
    documents.iter().map(|(id, document)| (id.clone(), fields(id, document))).collect()
}
