//! Existing rows into a topic: by themselves, and in the middle of the stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use pgstream_tests::{wait_until, Broker, Database, Message, Sidecar, LONG};

use super::kafka::{header, json, writer};
use super::{init, slot};

/// Number and content of each row of `t`, and whether it was copied.
fn rows(messages: &[Message]) -> Vec<(i64, i64, bool)> {
    let of_t = messages.iter().filter(|message| header(message, "table") == "public.t");
    of_t.map(|message| {
        let event = json(message);
        let column = |at: usize| event["columns"][at]["value"].as_i64().expect("a number");
        (column(0), column(1), header(message, "snapshot") == "true")
    })
    .collect()
}

#[test]
fn a_snapshot_by_itself() {
    let (source, broker) = (Database::on_source(), Broker::shared());
    source.execute("create table t (id bigint primary key, n bigint); insert into t select g, 0 from generate_series(1, 1000) g; create table other (id int)");
    let topic = broker.topic("snapshot");
    let finished =
        Sidecar::new(["snapshot", "--postgres-url", &source.url(), "--tables", "t", "--target", "kafka"])
            .arg("--target-url")
            .arg(broker.servers())
            .env("PGSTREAM_KAFKA_TOPIC_NAME", &topic)
            .finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let mut rows = rows(&broker.all(&topic));
    rows.sort_unstable();
    assert!(rows.into_iter().eq((1..=1000).map(|id| (id, 0, true))));
}

/// Each row counts its updates. Behind its copy comes the next count: none is lost, none comes again. Copied rows stand between transactions.
#[test]
fn a_copy_asked_for_under_continuous_writes() {
    const ROWS: i64 = 2000;
    let (source, broker) = (Database::on_source(), Broker::shared());
    source.execute(&format!("create table t (id bigint primary key, n bigint); insert into t select g, 0 from generate_series(1, {ROWS}) g"));
    init(&source);
    let topic = broker.topic("asked");
    let sidecar = writer(&source, broker, &topic).start();
    sidecar.wait_for_line("streaming", LONG);
    let stop = Arc::new(AtomicBool::new(false));
    let work = {
        let (mut session, stop) = (source.session(), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                session.execute(&format!("update t set n = n + 1 where id in (select (random() * {ROWS})::int from generate_series(1, 5))"));
            }
        })
    };
    let mut session = source.session();
    let done = "(select bool_and(status = 'completed') from pgstream.snapshot_requests)";
    for _ in 0..2 {
        session.execute("select pgstream.request_snapshot('{t}')");
        wait_until("the end of the copy", LONG, || {
            assert!(sidecar.process().exit_status().is_none(), "{}", sidecar.stderr());
            session.holds(done).then_some(())
        });
    }
    stop.store(true, Ordering::Relaxed);
    work.join().expect("the writer failed");
    source.execute("update t set n = n + 1");
    source.wait_confirmed(&slot(&source));

    let messages = broker.all(&topic);
    let mut open = false;
    for message in &messages {
        let copied = header(message, "snapshot") == "true";
        assert!(!(copied && open), "a copied row within a transaction: {message:?}");
        open = !copied && header(message, "last") != "true";
    }
    let mut known: HashMap<i64, i64> = HashMap::new();
    let mut copies = 0;
    for (id, n, copied) in rows(&messages) {
        let before = known.insert(id, n);
        copies += i64::from(copied);
        match before {
            Some(before) if copied => assert!(n >= before, "{id}: a copy of {n} behind {before}"),
            Some(before) => assert_eq!(n, before + 1, "{id}: {n} behind {before}"),
            None => {}
        }
    }
    assert_eq!(copies, 2 * ROWS);
    let sum: i64 = known.values().sum();
    assert_eq!(sum.to_string(), source.value("select sum(n) from t"));
}
