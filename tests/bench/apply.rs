//! PostgreSQL to PostgreSQL: how fast a backlog is worked off, ours and a subscription's.

use std::sync::Arc;
use std::time::Instant;

use pgstream_tests::{row_sums, Database, Server, Sidecar, LONG};

use crate::report::{Better, Line};
use crate::workload::{init, init_native, Workload};

/// True when all has come.
const MARKER: &str = "exists (select from marker)";

/// Both start on the same backlog, one after the other; what arrived is compared with the source. Gives the line
/// for the report, and the most memory the sidecar held.
pub(crate) fn run(source: &Arc<Server>, target: &Arc<Server>, workload: &Workload) -> (Line, u64) {
    let (database, ours, theirs) = (source.database(), target.database(), target.database());
    for each in [&database, &ours, &theirs] {
        workload.prepare(each);
    }
    let slot = format!("{}_ours", database.name);
    init(&database, &slot);
    let native_slot = format!("{}_theirs", database.name);
    init_native(&database, &native_slot);
    workload.play(&database);

    let start = Instant::now();
    let sidecar = Sidecar::replicate(&database, &ours).arg("--replication-slot").arg(&slot).start();
    sidecar.time_until(&mut ours.session(), MARKER);
    let our_rate = workload.changes() / start.elapsed().as_secs_f64();
    let memory = sidecar.process().memory("VmHWM");
    assert!(sidecar.stop().success(), "pgstream did not stop cleanly");

    subscribe(&database, &theirs, &native_slot);
    let start = Instant::now();
    theirs.execute("alter subscription native enable");
    theirs.session().time_until(MARKER, LONG);
    let their_rate = workload.changes() / start.elapsed().as_secs_f64();
    unsubscribe(&theirs);

    let expected = row_sums(&database);
    for (name, side) in [("pgstream", &ours), ("the subscription", &theirs)] {
        assert_eq!(row_sums(side), expected, "what came by {name} is not what was sent");
    }
    let what = format!("-> PostgreSQL, {}", workload.name);
    (
        Line { what, ours: Some(our_rate), theirs: Some(their_rate), unit: "rows/s", better: Better::More },
        memory,
    )
}

/// A subscription to an existing slot, not enabled yet.
pub(crate) fn subscribe(source: &Database, target: &Database, slot: &str) {
    let (port, name) = (source.server.port, &source.name);
    target.execute(&format!(
        "create subscription native connection 'host=127.0.0.1 port={port} user=postgres dbname={name}' \
         publication native with (create_slot = false, slot_name = '{slot}', copy_data = false, enabled = false, \
         binary = true)"
    ));
}

/// Leaves the slot to its database.
pub(crate) fn unsubscribe(target: &Database) {
    target.execute("alter subscription native disable");
    target.execute("alter subscription native set (slot_name = none)");
    target.execute("drop subscription native");
}
