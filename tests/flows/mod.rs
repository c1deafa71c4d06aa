//! From a source to a sink, as a user has it: `init`, `run`, work on the source, look at the other side.

mod cork;
mod ddl;
mod debezium;
mod filter;
mod injector;
pub(crate) mod kafka;
mod kafka_broker;
mod kafka_exact;
mod kafka_forms;
mod kafka_members;
mod kafka_partitions;
mod kafka_reader;
mod kafka_security;
mod kafka_snapshot;
mod kafka_tutorial;
mod records;
mod resume;
mod rows;
pub(crate) mod search;
mod search_tutorial;
mod snapshot;
mod snapshot_live;
mod snapshot_stream;
mod snapshot_values;
mod stdout;
mod target;
mod tutorial;
mod types;

use pgstream_tests::{assert_same, Database, Sidecar, SOON};

/// A source and a target database with the sidecar between them.
pub(crate) struct Stream {
    pub(crate) source: Database,
    pub(crate) target: Database,
    pub(crate) sidecar: Sidecar,
}

impl Stream {
    /// Initialises a new source and streams it to a new target; `prepare` is run on both before.
    pub(crate) fn start(prepare: &str) -> Stream {
        Stream::with(prepare, |sidecar| sidecar)
    }

    /// The same with more arguments or variables.
    pub(crate) fn with(prepare: &str, configure: impl FnOnce(Sidecar) -> Sidecar) -> Stream {
        let (source, target) = (Database::on_source(), Database::on_target());
        source.execute(prepare);
        target.execute(prepare);
        init(&source);
        let sidecar = configure(Sidecar::replicate(&source, &target)).start();
        sidecar.wait_for_line("streaming", SOON);
        Stream { source, target, sidecar }
    }

    /// Waits until all that is committed at the source is durable at the target, then compares rows and schema.
    pub(crate) fn assert_arrived(&self) {
        self.settle();
        assert_same(&self.source, &self.target);
    }

    /// Waits until all that is committed at the source is confirmed.
    pub(crate) fn settle(&self) {
        self.source.wait_confirmed(&slot(&self.source));
    }

    /// Runs `sql` at the source and compares.
    pub(crate) fn check(&self, sql: &str) {
        self.source.execute(sql);
        self.assert_arrived();
    }
}

/// `pgstream init` with nothing but the URL.
pub(crate) fn init(source: &Database) {
    let finished = Sidecar::new(["init", "--postgres-url", &source.url()]).finish();
    assert_eq!(finished.code, Some(0), "init said: {}", finished.stderr);
}

/// The stable id of a table, by its name.
pub(crate) fn table_id(source: &Database, table: &str) -> String {
    source.value(&format!("select id from pgstream.table_ids where oid = '{table}'::regclass::oid"))
}

/// The slot `init` makes for a database when none is named.
pub(crate) fn slot(source: &Database) -> String {
    source.value("select slot_name from pg_replication_slots where database = current_database()")
}
