//! `make bench`: pgstream against what PostgreSQL brings itself, on one machine, in one run, on the same WAL.
//!
//! ```text
//! slot -> nowhere        pgstream run > /dev/null      pg_recvlogical -f /dev/null
//! slot -> PostgreSQL     pgstream run                  a subscription
//! one commit -> seen     the same two, at 100 transactions a second
//! ```
//! Ratios are what counts: all parts share this machine's cores. `PGSTREAM_BENCH_SCALE` (1) multiplies the work.

mod apply;
mod decode;
mod latency;
mod workload;

use std::process::ExitCode;

use pgstream_tests::{Options, Server};

use crate::workload::Workload;

/// One line of the report. Both figures are of the same kind; `better` says which way is good.
pub(crate) struct Line {
    what: String,
    ours: f64,
    theirs: f64,
    unit: &'static str,
    better: Better,
}

/// Which way is good.
pub(crate) enum Better {
    /// Rates.
    More,
    /// Times.
    Less,
}

fn main() -> ExitCode {
    match std::panic::catch_unwind(bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn bench() {
    let scale = std::env::var_os("PGSTREAM_BENCH_SCALE")
        .and_then(|scale| scale.to_str()?.parse().ok())
        .unwrap_or(1.0);
    let conf = [
        "fsync = on",
        "shared_buffers = '512MB'",
        "max_wal_size = '16GB'",
        "checkpoint_timeout = '1h'",
        "autovacuum = off",
        "wal_retrieve_retry_interval = '100ms'",
    ];
    let options = || Options { conf: conf.map(str::to_owned).to_vec(), ..Options::default() };
    let (source, target) = (Server::start("source", &options()), Server::start("target", &options()));

    let mut lines = Vec::new();
    let mut memory = Vec::new();
    for workload in [Workload::inserts(scale), Workload::tpcb(scale)] {
        eprintln!("bench: {} ...", workload.name);
        lines.push(decode::run(&source, &workload));
        let (line, most) = apply::run(&source, &target, &workload);
        lines.push(line);
        memory.push((workload.name, most));
    }
    eprintln!("bench: latency ...");
    let (latency, idle) = latency::run(&source, &target, scale);
    lines.extend(latency);

    println!("{:<46}{:>16}{:>16}{:>30}", "", "pgstream", "PostgreSQL's", "ratio, > 1: pgstream ahead");
    lines.iter().for_each(print);
    for (name, most) in memory {
        println!("{:<46}{:>12} MiB", format!("memory, at most, {name} -> PostgreSQL"), most >> 20);
    }
    println!("{:<46}{:>12} MiB", "memory, after a quiet 100 tx/s", idle >> 20);
}

fn print(line: &Line) {
    let ratio = match line.better {
        Better::More => line.ours / line.theirs,
        Better::Less => line.theirs / line.ours,
    };
    let figure = |value: f64| match value {
        value if value >= 1000.0 => format!("{:.0}k {}", value / 1000.0, line.unit),
        value => format!("{value:.2} {}", line.unit),
    };
    println!("{:<46}{:>16}{:>16}{:>30.2}", line.what, figure(line.ours), figure(line.theirs), ratio);
}
