//! Into an index of OpenSearch: `pgstream run`, and a loader that does nothing but post requests that are ready.
//!
//! ```text
//! backlog   WAL of one table, written first ──pgstream──> index      documents/s, memory
//! loader    the same documents, as requests in memory ──> another    documents/s
//! steady    1000 rows a second ──pgstream──> index until a row is there by its id    ms
//! ```
//! The loader posts as many documents a request as pgstream does, over as many connections as are best for it. Both write documents by
//! their ids into an index of one shard without replicas; the node is warmed up before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgstream_tests::{Database, Engine, Node, Server, Sidecar, LONG};
use serde_json::json;

use crate::latency::quantile;
use crate::report::{Better, Line, Report};
use crate::workload::{init, write_events, EVENTS};

/// Not the small and quickly started one of the tests.
const MACHINE: &str = "-Xms1g -Xmx1g";
/// Documents of a request: pgstream's default.
const TOGETHER: usize = 1000;
/// Connections that the loader tries.
const CONNECTIONS: [usize; 3] = [1, 2, 4];
/// A look at the count costs the node something.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(900);
/// Rows a second, of the steady load.
const RATE: usize = 1000;

/// All that is measured into an index.
pub(crate) fn run(source: &Arc<Server>, scale: f64, report: &mut Report) {
    let node = Node::on_machine(Engine::OpenSearch, &[], MACHINE);
    let database = source.database();
    let transactions = ((5000.0 * scale) as u64).max(100);
    let rows = transactions * 100;
    eprintln!("bench: OpenSearch, a backlog of {:.1}M rows ...", rows as f64 / 1e6);
    database.execute(EVENTS);
    let slots = ["warm", "ours"].map(|name| format!("{}_{name}", database.name));
    slots.iter().for_each(|slot| init(&database, slot));
    write_events(&database, transactions);
    let backlog = |slot: &str| {
        let sidecar = sidecar(&database, slot, &node).start();
        let rate = rate(&node, "public", rows, &sidecar);
        let memory = sidecar.process().memory("VmHWM");
        assert!(sidecar.stop().success(), "{}", sidecar.stderr());
        eprintln!("bench:   pgstream: {rate:.0} documents/s");
        (rate, memory)
    };
    // Its Java machine translates itself while it works: whoever came first would pay for it.
    backlog(&slots[0]);
    let theirs = CONNECTIONS.map(|connections| load(&node, connections)).into_iter().fold(0.0, f64::max);
    node.request("DELETE", "public-1", None);
    let (ours, memory) = backlog(&slots[1]);
    report.line(Line {
        what: "-> OpenSearch, a loader of ready requests".to_owned(),
        ours: Some(ours),
        theirs: Some(theirs),
        unit: "documents/s",
        better: Better::More,
    });
    report.memory("at most, -> OpenSearch".to_owned(), memory);
    steady(source, &node, scale, report);
}

fn sidecar(source: &Database, slot: &str, node: &Node) -> Sidecar {
    Sidecar::new(["run", "--source", "postgres", "--source-url", &source.url(), "--replication-slot", slot])
        .arg("--target")
        .arg(node.engine.name())
        .arg("--target-url")
        .arg(node.url())
}

/// Documents that were written into an index.
fn written(node: &Node, index: &str) -> u64 {
    let (_, stats) = node.request("GET", &format!("{index}/_stats/indexing"), None);
    stats["_all"]["primaries"]["indexing"]["index_total"].as_u64().unwrap_or(0)
}

/// Documents a second, from the first seen to the last.
fn rate(node: &Node, index: &str, all: u64, sidecar: &Sidecar) -> f64 {
    let start = Instant::now();
    let mut first = None;
    loop {
        let written = written(node, index);
        let (begun, at) = match first {
            Some(first) => first,
            None if written == 0 => (Instant::now(), 0),
            None => *first.insert((Instant::now(), written)),
        };
        if written >= all {
            return (all - at) as f64 / begun.elapsed().as_secs_f64();
        }
        assert!(start.elapsed() < DEADLINE, "{written} of {all}: {}", sidecar.stderr());
        assert!(sidecar.process().exit_status().is_none(), "{}", sidecar.stderr());
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The documents that are in the index, posted into a new one with the same fields.
fn load(node: &Node, connections: usize) -> f64 {
    let index = format!("raw-{connections}");
    let requests = requests(node, &index);
    let mappings = node.get("public-1/_mapping")["public-1"]["mappings"].clone();
    let body =
        json!({ "settings": { "number_of_shards": 1, "number_of_replicas": 1 }, "mappings": mappings });
    assert_eq!(node.request("PUT", &index, Some(&body)).0, 200);
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    node.bulk(request);
                }
            });
        }
    });
    let rate = (requests.len() * TOGETHER) as f64 / start.elapsed().as_secs_f64();
    eprintln!("bench:   the loader, {connections} connections: {rate:.0} documents/s");
    node.request("DELETE", &index, None);
    rate
}

/// Ready requests of all documents; the last few, that are no whole request, are left out.
fn requests(node: &Node, index: &str) -> Vec<String> {
    let (mut requests, mut request, mut count) = (Vec::new(), String::new(), 0);
    let query = json!({ "size": 5000, "sort": ["_doc"] });
    let (_, mut page) = node.request("POST", "public/_search?scroll=5m", Some(&query));
    while let Some(hits) = page["hits"]["hits"].as_array().filter(|hits| !hits.is_empty()) {
        for hit in hits {
            let action = json!({ "index": { "_index": index, "_id": hit["_id"] } });
            request.push_str(&format!("{action}\n{}\n", hit["_source"]));
            count += 1;
            if count % TOGETHER == 0 {
                requests.push(std::mem::take(&mut request));
            }
        }
        let next = json!({ "scroll": "5m", "scroll_id": page["_scroll_id"] });
        page = node.request("POST", "_search/scroll", Some(&next)).1;
    }
    requests
}

/// From the return of a commit until its row is in the index by its id; others are written all the time.
fn steady(source: &Arc<Server>, node: &Node, scale: f64, report: &mut Report) {
    let time = Duration::from_secs_f64((20.0 * scale).max(5.0));
    eprintln!("bench: OpenSearch, {RATE} rows/s for {} s ...", time.as_secs());
    let database = source.database();
    database.execute("create schema steady; create table steady.ticks (id bigserial primary key, note text)");
    let slot = format!("{}_steady", database.name);
    init(&database, &slot);
    let sidecar = sidecar(&database, &slot, node).start();
    let id = database.value("select id from pgstream.table_ids where oid = 'steady.ticks'::regclass::oid");
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| database.execute(&ticks(time)));
        let (mut session, start) = (database.session(), Instant::now());
        while start.elapsed() < time {
            let key = session.value("insert into steady.ticks (note) values ('looked for') returning id");
            let committed = Instant::now();
            while node.request("GET", &format!("steady/_doc/{id}_{key}?_source=false"), None).0 != 200 {
                assert!(committed.elapsed() < LONG, "row {key} does not arrive: {}", sidecar.stderr());
            }
            times.push(committed.elapsed().as_secs_f64() * 1000.0);
        }
    });
    assert!(sidecar.stop().success(), "{}", sidecar.stderr());
    times.sort_by(f64::total_cmp);
    let figures = [0.5, 0.9, 0.99, 1.0].map(|part| quantile(&times, part));
    eprintln!("bench:   {} rows; p50, p90, p99, most: {figures:.1?} ms", times.len());
    for (part, name) in [(0.5, "p50"), (0.99, "p99")] {
        report.figure(format!("commit -> OpenSearch, {RATE} rows/s, {name}"), quantile(&times, part), "ms");
    }
}

/// Ten rows a transaction, at an even pace.
fn ticks(time: Duration) -> String {
    let (together, note) = (10, " a note of some length, written by nobody,".repeat(4));
    let count = time.as_secs() as usize * RATE / together;
    format!(
        "do $$ declare due timestamptz := clock_timestamp(); begin
           for i in 1..{count} loop
             due := due + interval '{} s';
             perform pg_sleep(extract(epoch from due - clock_timestamp()));
             insert into steady.ticks (note) select '{note}' from generate_series(1, {together});
             commit;
           end loop;
         end $$",
        together as f64 / RATE as f64
    )
}
