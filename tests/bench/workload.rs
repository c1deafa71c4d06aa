//! What is written at the source, and how one sees that all of it has come through.

use std::process::Stdio;

use pgstream_tests::{Database, Sidecar};

/// A way to write rows.
pub(crate) struct Workload {
    /// For the report.
    pub(crate) name: &'static str,
    transactions: u64,
    changes_each: u64,
    kind: Kind,
}

enum Kind {
    Inserts,
    TpcB,
}

impl Workload {
    /// Transactions of 100 inserted rows.
    pub(crate) fn inserts(scale: f64) -> Workload {
        Workload {
            name: "100-row transactions",
            transactions: count(3000.0 * scale),
            changes_each: 100,
            kind: Kind::Inserts,
        }
    }

    /// pgbench's own: three updates and an insert each.
    pub(crate) fn tpcb(scale: f64) -> Workload {
        Workload { name: "TPC-B", transactions: count(20_000.0 * scale), changes_each: 4, kind: Kind::TpcB }
    }

    /// Row changes in all.
    pub(crate) fn changes(&self) -> f64 {
        (self.transactions * self.changes_each) as f64
    }

    /// The tables, alike on every side.
    pub(crate) fn prepare(&self, database: &Database) {
        database.execute("create table marker (n int primary key)");
        match self.kind {
            Kind::Inserts => database.execute(
                "create table events (id bigint primary key, at timestamptz, kind int, amount numeric, note text)",
            ),
            Kind::TpcB => pgbench(database, &["-i", "-q", "-s", "5"]),
        }
    }

    /// All the work, and a marker after it.
    pub(crate) fn play(&self, database: &Database) {
        let transactions = self.transactions;
        match self.kind {
            Kind::Inserts => database.execute(&format!(
                "do $$ begin
                   for i in 1..{transactions} loop
                     insert into events select i * 100 + n, now(), n % 7, n * 1.25, 'a note of some length, number ' || n
                       from generate_series(1, 100) n;
                     commit;
                   end loop;
                 end $$"
            )),
            Kind::TpcB => pgbench(database, &["-n", "-c", "4", "-t", &(transactions / 4).to_string()]),
        }
        database.execute("insert into marker values (1)");
    }
}

/// A table for [`write_events`].
pub(crate) const EVENTS: &str =
    "create table events (id bigint primary key, at timestamptz, kind int, amount numeric, note text)";
/// In the last row.
pub(crate) const LAST: &str = "the last row of all";

/// Rows of about 200 bytes, in transactions of a hundred.
pub(crate) fn write_events(database: &Database, transactions: u64) {
    database.execute(&format!(
        "do $$ begin
           for i in 1..{transactions} loop
             insert into events select i * 100 + n, now(), n % 7, n * 1.25,
                 case when i = {transactions} and n = 100 then '{LAST}' else
                   'a note of some length, written by nobody, about ' || md5(n::text || i) || ' and then again, on the next day, about ' || md5(i::text || n)
                 end
               from generate_series(1, 100) n;
             commit;
           end loop;
         end $$"
    ));
}

fn count(exact: f64) -> u64 {
    (exact as u64).max(4)
}

/// Runs `pgbench` on a database.
pub(crate) fn pgbench(database: &Database, args: &[&str]) {
    let output = database.client("pgbench").args(args).stdout(Stdio::null()).output().expect("start pgbench");
    assert!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
}

/// Sets pgstream up on a database with one slot more.
pub(crate) fn init(database: &Database, slot: &str) {
    let finished =
        Sidecar::new(["init", "--postgres-url", &database.url(), "--replication-slot", slot]).finish();
    assert_eq!(finished.code, Some(0), "pgstream init: {}", finished.stderr);
}

/// Makes a slot and publication as a subscription would.
pub(crate) fn init_native(database: &Database, slot: &str) {
    database.execute("create publication native for tables in schema public");
    database.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
}

/// The middle one, or what is halfway between the middle two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}
