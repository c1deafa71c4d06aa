//! Slot to nowhere: how fast changes leave the server, with nothing to hold them up.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use pgstream_tests::{wait_until, Process, Server, Sidecar, LONG};

use crate::report::{Better, Line};
use crate::workload::{init, init_native, median, Workload};

const ROUNDS: usize = 3;

/// Each program reads the same WAL three times, in turn, each time from a slot of its own; the median counts.
pub(crate) fn run(source: &Arc<Server>, workload: &Workload) -> Line {
    let database = source.database();
    workload.prepare(&database);
    let our_slots: Vec<String> = (0..ROUNDS).map(|n| format!("{}_ours_{n}", database.name)).collect();
    our_slots.iter().for_each(|slot| init(&database, slot));
    let their_slot = format!("{}_theirs", database.name);
    init_native(&database, &their_slot);
    workload.play(&database);
    // The last thing in the stream. That a position is confirmed comes later, and is no measure: standard output remembers none.
    database.execute("select pg_logical_emit_message(true, 'bench', 'the end')");
    let end = database.value("select pg_current_wal_flush_lsn()");

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for slot in our_slots {
        let start = Instant::now();
        let sidecar = Sidecar::new(["run", "--source", "postgres", "--source-url", &database.url()]);
        let sidecar = sidecar.arg("--replication-slot").arg(&slot).start();
        sidecar.time_until_printed("the end");
        ours.push(workload.changes() / start.elapsed().as_secs_f64());
        assert!(sidecar.stop().success(), "pgstream did not stop cleanly");

        let copy = format!("{slot}_copy");
        database.execute(&format!("select pg_copy_logical_replication_slot('{their_slot}', '{copy}')"));
        let mut recvlogical = database.client("pg_recvlogical");
        recvlogical.args(["-S", &copy, "--start", "-f", "/dev/null", "--endpos", &end, "--no-loop"]);
        recvlogical.args(["-d", &database.name, "-h", "127.0.0.1", "-o", "proto_version=1"]);
        recvlogical.args(["-o", "publication_names=native"]).stderr(Stdio::null());
        let start = Instant::now();
        let recvlogical = Process::spawn(&mut recvlogical);
        let status = wait_until("end of pg_recvlogical", LONG, || recvlogical.exit_status());
        theirs.push(workload.changes() / start.elapsed().as_secs_f64());
        assert!(status.success(), "pg_recvlogical failed");
    }
    Line {
        what: format!("slot -> nowhere, {}", workload.name),
        ours: Some(median(ours)),
        theirs: Some(median(theirs)),
        unit: "rows/s",
        better: Better::More,
    }
}
