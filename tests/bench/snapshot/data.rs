//! What is copied: two databases, and how one sees that a copy is whole.

use std::collections::BTreeMap;

use pgstream_tests::{schema, Database};

use crate::workload::pgbench;

/// Forty tables of all sizes; see the file.
const MIXED: &str = include_str!("mixed.sql");

/// A database to copy.
pub(super) struct Data {
    /// For the report.
    pub(super) name: String,
    /// How often each program copies it.
    pub(super) rounds: usize,
    kind: Kind,
}

enum Kind {
    /// pgbench's tables at this scale: one that counts and three small ones.
    Accounts(usize),
    /// `mixed.sql` with its rows multiplied.
    Mixed(f64),
}

impl Data {
    /// One table of five million rows with its key.
    pub(super) fn accounts(scale: f64) -> Data {
        let hundred_thousands = ((50.0 * scale) as usize).max(1);
        let name = format!("one table, {:.1}M rows", hundred_thousands as f64 / 10.0);
        Data { name, rounds: rounds(scale, 3), kind: Kind::Accounts(hundred_thousands) }
    }

    /// Tables of all sizes, types and keys.
    pub(super) fn mixed(scale: f64) -> Data {
        Data { name: "40 mixed tables".to_owned(), rounds: rounds(scale, 2), kind: Kind::Mixed(scale) }
    }

    /// Makes it. What a first reader would have to do for all others, hint bits and dirty pages, is done as well.
    pub(super) fn fill(&self, database: &Database) {
        match self.kind {
            Kind::Accounts(scale) => pgbench(database, &["-i", "-q", "-s", &scale.to_string()]),
            Kind::Mixed(scale) => database.execute(&format!("set bench.scale = {scale};\n{MIXED}")),
        }
        database.execute("vacuum (freeze, analyze)");
        database.execute("checkpoint");
    }
}

fn rounds(scale: f64, full: usize) -> usize {
    if scale < 1.0 {
        1
    } else {
        full
    }
}

/// What must be the same after a copy: for each table rows and a sum over all of their text, and the schema.
#[derive(PartialEq)]
pub(super) struct Content {
    rows: BTreeMap<String, String>,
    schema: Vec<String>,
}

impl Content {
    /// Reads all of a database. The sum does not depend on the order of rows, so nothing is sorted.
    pub(super) fn of(database: &Database) -> Content {
        let mut session = database.session();
        session.execute("set timezone = 'UTC'; set extra_float_digits = 3");
        let tables = session.rows(
            "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = relnamespace \
             where c.relkind = 'r' and n.nspname not in ('pgstream', 'pgstream_sink', 'pg_catalog', 'information_schema')",
        );
        let mut sum = |table: &str| {
            session.value(&format!(
                "select count(*) || ' rows, sum ' || coalesce(sum(hashtextextended(t::text, 0)), 0) from only {table} t"
            ))
        };
        let rows = tables.into_iter().flatten().map(|table| (table.clone(), sum(&table))).collect();
        Content { rows, schema: schema(database) }
    }

    /// The first thing in which a copy differs.
    pub(super) fn difference(&self, copy: &Content) -> Option<String> {
        let rows = self.rows.iter().find(|(table, sum)| copy.rows.get(*table) != Some(sum));
        let missing = self.schema.iter().find(|object| !copy.schema.contains(object));
        let more = copy.schema.iter().find(|object| !self.schema.contains(object));
        let more_rows = copy.rows.keys().find(|table| !self.rows.contains_key(*table));
        let rows = rows.map(|(table, sum)| format!("{table}: {sum}, copied {:?}", copy.rows.get(table)));
        rows.or_else(|| more_rows.map(|table| format!("only in the copy: {table}")))
            .or_else(|| missing.map(|object| format!("not in the copy: {object}")))
            .or_else(|| more.map(|object| format!("only in the copy: {object}")))
    }
}
