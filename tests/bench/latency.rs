//! From the commit at the source until the row is seen at the target, at 100 transactions a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgstream_tests::{Database, Server, Sidecar, LONG};

use crate::apply::{subscribe, unsubscribe};
use crate::report::{Better, Line};
use crate::workload::{init, init_native};

const EACH: Duration = Duration::from_millis(10);

/// Both stream from the same source, one after the other. Gives the lines for the report, and the memory the
/// sidecar holds at the end.
pub(crate) fn run(source: &Arc<Server>, target: &Arc<Server>, scale: f64) -> (Vec<Line>, u64) {
    let (database, ours, theirs) = (source.database(), target.database(), target.database());
    for each in [&database, &ours, &theirs] {
        each.execute("create table ticks (n int primary key, note text)");
    }
    let samples = ((1500.0 * scale) as i32).max(100);
    let slot = format!("{}_ours", database.name);
    init(&database, &slot);
    let sidecar = Sidecar::replicate(&database, &ours).arg("--replication-slot").arg(&slot).start();
    let our_times = measure(&database, &ours, 0, samples);
    let memory = sidecar.process().memory("VmRSS");
    assert!(sidecar.stop().success(), "pgstream did not stop cleanly");

    let native_slot = format!("{}_theirs", database.name);
    init_native(&database, &native_slot);
    subscribe(&database, &theirs, &native_slot);
    theirs.execute("alter subscription native enable");
    let their_times = measure(&database, &theirs, samples, samples);
    unsubscribe(&theirs);

    let line = |part: f64, name: &str| Line {
        what: format!("commit -> seen, 100 tx/s, {name}"),
        ours: Some(quantile(&our_times, part)),
        theirs: Some(quantile(&their_times, part)),
        unit: "ms",
        better: Better::Less,
    };
    (vec![line(0.5, "p50"), line(0.99, "p99")], memory)
}

/// Milliseconds, sorted. The first row waits until the stream runs and does not count.
fn measure(source: &Database, target: &Database, first: i32, samples: i32) -> Vec<f64> {
    let (mut source, mut target) = (source.session(), target.session());
    let insert = source.client().prepare("insert into ticks values ($1, 'tick')").expect("prepare an insert");
    let seen = target.client().prepare("select from ticks where n = $1").expect("prepare a look");
    let mut tick = |n: i32| {
        source.client().execute(&insert, &[&n]).expect("insert a tick");
        let committed = Instant::now();
        while target.client().query_opt(&seen, &[&n]).expect("look for a tick").is_none() {
            assert!(committed.elapsed() < LONG, "row {n} does not arrive");
        }
        committed.elapsed()
    };
    tick(first);
    let mut times = Vec::new();
    let start = Instant::now();
    for n in 1..samples {
        std::thread::sleep((start + EACH * n as u32).saturating_duration_since(Instant::now()));
        times.push(tick(first + n).as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    times
}

/// The value below which `part` of them lie.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}
