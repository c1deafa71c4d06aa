//! From a commit to the consumer that has its rows, at 5000 rows a second in 500 transactions.
//!
//! Each row tells when the commit *before* its own had returned to its session; so the times of a transaction's rows are known with
//! the next one. All clocks are this machine's.

use std::sync::Arc;
use std::time::Duration;

use pgstream_tests::{Broker, Database, Server};

use super::program::{self, Aim, Running};
use super::topic::{Topic, TICK};
use crate::latency::quantile;
use crate::report::{Better, Line, Report};
use crate::workload::{init, init_native};

/// Rows a second.
const RATE: usize = 5000;
/// Rows of a transaction.
const TOGETHER: usize = 10;
/// Until then Java machines translate themselves.
const WARM: Duration = Duration::from_secs(10);
/// The writers go on for as long, so that the last row of the time is like all others.
const AFTER: Duration = Duration::from_secs(1);
/// That write: one alone would wait for the disk too often.
const SESSIONS: usize = 10;

/// The programs one after the other, each on a topic of its own.
pub(super) fn run(source: &Arc<Server>, broker: &Arc<Broker>, scale: f64, rival: bool, report: &mut Report) {
    let time = Duration::from_secs_f64((30.0 * scale).max(5.0));
    eprintln!("bench: Kafka, {RATE} rows/s for {} s ...", time.as_secs());
    let database = source.database();
    database.execute("create table ticks (id bigserial primary key, note text)");
    let slot = format!("{}_ours", database.name);
    init(&database, &slot);
    let topic = Topic::new(broker, &slot);
    let running = program::pgstream(&database, &slot, broker, &topic.name);
    let ours = measure(&database, &topic, time, running);
    let mut theirs = None;
    if rival {
        let slot = format!("{}_theirs", database.name);
        init_native(&database, &slot);
        let topic = Topic::new(broker, &format!("{slot}.public.ticks"));
        let running = program::debezium(&database, &slot, broker, &topic.name, Aim::Latency);
        theirs = Some(measure(&database, &topic, time, running));
    }
    for (part, name) in [(0.5, "p50"), (0.99, "p99")] {
        report.line(Line {
            what: format!("commit -> consumer, {RATE} rows/s, {name}"),
            ours: Some(quantile(&ours.times, part)),
            theirs: theirs.as_ref().map(|seen| quantile(&seen.times, part)),
            unit: "ms",
            better: Better::Less,
        });
    }
    for (name, seen) in [("pgstream", Some(ours)), ("Debezium Server", theirs)] {
        if let Some(rate) = seen.map(|seen| seen.rate).filter(|rate| *rate < RATE as f64 * 0.95) {
            report.failure(format!(
                "{name}: {rate:.0} of {RATE} rows/s came: its latency is that of another load"
            ));
        }
    }
}

/// What a consumer saw.
struct Seen {
    /// Milliseconds, sorted.
    times: Vec<f64>,
    /// Rows a second.
    rate: f64,
}

fn measure(database: &Database, topic: &Topic, time: Duration, running: Running) -> Seen {
    database.execute(&ticks(SESSIONS, 1));
    topic.begun(&running);
    let each = RATE * (WARM + time + AFTER).as_secs() as usize / SESSIONS / TOGETHER;
    let mut times = std::thread::scope(|scope| {
        for session in 0..SESSIONS {
            scope.spawn(move || database.execute(&ticks(session, each)));
        }
        topic.times(WARM);
        topic.times(time)
    });
    running.check();
    running.stop();
    let rate = times.len() as f64 / time.as_secs_f64();
    times.sort_by(f64::total_cmp);
    let figures = [0.5, 0.9, 0.99, 1.0].map(|part| quantile(&times, part));
    eprintln!("bench:   {rate:.0} rows/s; p50, p90, p99, most: {figures:.2?} ms");
    Seen { times, rate }
}

/// Transactions at the pace of one session. The server runs them by itself: a client's part in each would cost more than the
/// transaction, on cores that all of this shares. One that is late makes up for it.
fn ticks(session: usize, count: usize) -> String {
    let pause = (SESSIONS * TOGETHER) as f64 / RATE as f64;
    let note = " a note of some length, written by nobody,".repeat(4);
    format!(
        "do $$ declare due timestamptz := clock_timestamp(); committed timestamptz := due; begin
           for i in 1..{count} loop
             due := due + interval '{pause} s';
             perform pg_sleep(extract(epoch from due - clock_timestamp()));
             insert into ticks (note) select '{TICK}{session}:' || (extract(epoch from committed) * 1000000)::bigint || '{note}'
               from generate_series(1, {TOGETHER});
             commit;
             committed := clock_timestamp();
           end loop;
         end $$"
    )
}
