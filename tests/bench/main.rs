//! `make bench`: pgstream against what PostgreSQL brings itself, and against pgcopydb and Debezium Server where these
//! are installed, on one machine, in one run, on the same WAL or rows.
//!
//! ```text
//! slot -> nowhere        pgstream run > file           pg_recvlogical -f /dev/null
//! slot -> PostgreSQL     pgstream run                  a subscription
//! one commit -> seen     the same two, at 100 transactions a second
//! slot -> Kafka          pgstream run                  Debezium Server
//! slot -> OpenSearch     pgstream run                  a loader of ready requests
//! copy                   pgstream snapshot             pgcopydb clone; pg_dump, then pg_restore
//! ```
//! Ratios are what counts: all parts share this machine's cores. `PGSTREAM_BENCH_SCALE` (1) multiplies the work;
//! `PGSTREAM_BENCH` chooses `stream` (the first three), `kafka`, `search` or `snapshot` (the copies).

mod apply;
mod decode;
mod kafka;
mod latency;
mod report;
mod search;
mod snapshot;
mod workload;

use std::process::ExitCode;
use std::sync::Arc;

use pgstream_tests::{Options, Server};

use crate::report::Report;
use crate::workload::Workload;

fn main() -> ExitCode {
    match std::panic::catch_unwind(bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn bench() {
    let chosen = setting("PGSTREAM_BENCH");
    let chosen = chosen.as_deref();
    if let Some(other) = chosen.filter(|part| !["stream", "kafka", "search", "snapshot"].contains(part)) {
        panic!("PGSTREAM_BENCH is stream, kafka, search or snapshot, not {other}");
    }
    let wanted = |part: &str| chosen.is_none_or(|chosen| chosen == part);
    let scale = setting("PGSTREAM_BENCH_SCALE").and_then(|scale| scale.parse().ok()).unwrap_or(1.0);
    let conf = [
        "fsync = on",
        "shared_buffers = '512MB'",
        "max_wal_size = '16GB'",
        "checkpoint_timeout = '1h'",
        "autovacuum = off",
        "wal_retrieve_retry_interval = '100ms'",
    ];
    let options = || Options { conf: conf.map(str::to_owned).to_vec(), ..Options::default() };
    let source = Server::start("source", &options());
    let mut report = Report::default();
    if wanted("kafka") {
        kafka::run(&source, scale, &mut report);
    }
    if wanted("search") {
        search::run(&source, scale, &mut report);
    }
    let mut copied = true;
    if wanted("stream") || wanted("snapshot") {
        let target = Server::start("target", &options());
        if wanted("stream") {
            stream(&source, &target, scale, &mut report);
        }
        copied = !wanted("snapshot") || snapshot::run(&source, &target, scale, &mut report);
    }
    report.print();
    assert!(copied, "pgstream did not copy all that it should");
}

/// The parts from a slot to PostgreSQL or nowhere.
fn stream(source: &Arc<Server>, target: &Arc<Server>, scale: f64, report: &mut Report) {
    for workload in [Workload::inserts(scale), Workload::tpcb(scale)] {
        eprintln!("bench: {} ...", workload.name);
        report.line(decode::run(source, &workload));
        let (line, most) = apply::run(source, target, &workload);
        report.line(line);
        report.memory(format!("at most, {} -> PostgreSQL", workload.name), most);
    }
    eprintln!("bench: latency ...");
    let (latency, idle) = latency::run(source, target, scale);
    latency.into_iter().for_each(|line| report.line(line));
    report.memory("after a quiet 100 tx/s".to_owned(), idle);
}

fn setting(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}
