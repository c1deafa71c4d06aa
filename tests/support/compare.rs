//! Two databases side by side: rows, schema, sequences. Nothing of pgstream itself counts.

use std::collections::BTreeMap;

use crate::server::run_checked;
use crate::{wait_for, Database, LONG};

const OURS: &str = "('pgstream', 'pgstream_sink', 'pg_catalog', 'information_schema')";

/// For each table, by its qualified name: how many rows it has, and the md5 of all of them in order.
pub fn row_sums(database: &Database) -> BTreeMap<String, String> {
    let mut session = database.session();
    session.execute("set timezone = 'UTC'; set extra_float_digits = 3; set row_security = off");
    let tables = session.rows(&format!(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = relnamespace \
         where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname not in {OURS}"
    ));
    let mut sum = |table: &str| {
        session.value(&format!(
            r"select count(*) || ' rows, md5 ' || coalesce(md5(string_agg(t::text, E'\n' order by t::text)), '-')
              from only {table} t"
        ))
    };
    tables.into_iter().flatten().map(|table| (table.clone(), sum(&table))).collect()
}

/// What `pg_dump -s` says, one piece for each object, in a stable order.
pub fn schema(database: &Database) -> Vec<String> {
    let mut pg_dump = database.client("pg_dump");
    let flags = ["-s", "--no-publications", "--no-subscriptions", "-N", "pgstream", "-N", "pgstream_sink"];
    let output = run_checked(pg_dump.args(flags));
    let dump = String::from_utf8(output.stdout).expect("pg_dump writes UTF-8");
    // Each object is headed by a comment block: `-- Name: t; Type: TABLE; Schema: public; Owner: postgres`.
    let mut objects: Vec<String> =
        dump.split("--\n-- Name: ").skip(1).filter(|object| !is_ours(object)).map(strip_end).collect();
    objects.sort();
    objects
}

fn is_ours(object: &str) -> bool {
    let header = object.lines().next().unwrap_or_default();
    let (name, kind) = header.split_once("; Type: ").unwrap_or((header, ""));
    name == "EXTENSION pgstream"
        || name == "pgstream"
        || (kind.starts_with("EVENT TRIGGER") && name.contains("pgstream"))
}

fn strip_end(object: &str) -> String {
    // Settings for the objects that follow stand behind an object; which one depends on the order of oids.
    let object = object.split("--\n-- PostgreSQL database dump complete").next().unwrap_or_default();
    let lines = object.lines().filter(|line| !line.starts_with("SET default_table"));
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// For each sequence, by its qualified name: where it stands.
pub fn sequences(database: &Database) -> BTreeMap<String, String> {
    let mut session = database.session();
    let names = session.rows(&format!(
        "select format('%I.%I', schemaname, sequencename) from pg_sequences where schemaname not in {OURS}"
    ));
    let mut state = |name: &str| session.value(&format!("select last_value || ',' || is_called from {name}"));
    names.into_iter().flatten().map(|name| (name.clone(), state(&name))).collect()
}

/// The first things that differ in rows or schema; none: both are the same.
pub fn difference(source: &Database, target: &Database) -> Option<String> {
    let (here, there) = (schema(source), schema(target));
    let only = |a: &[String], b: &[String], name: &str| {
        let missing = a.iter().filter(|object| !b.contains(object)).take(3);
        missing.map(|object| format!("only at the {name}: {object}")).collect::<Vec<_>>()
    };
    let mut found = only(&here, &there, "source");
    found.extend(only(&there, &here, "target"));
    if found.is_empty() {
        let (here, there) = (row_sums(source), row_sums(target));
        let differ = here.iter().filter(|(table, sum)| there.get(*table) != Some(sum));
        found.extend(differ.map(|(table, sum)| {
            format!("{table}: {sum} at the source, {:?} at the target", there.get(table))
        }));
    }
    (!found.is_empty()).then(|| found.join("\n"))
}

/// Waits until both databases are the same; what still differs after the deadline is in the panic.
#[track_caller]
pub fn assert_same(source: &Database, target: &Database) {
    wait_for(LONG, || match difference(source, target) {
        None => Ok(()),
        Some(difference) => Err(format!("source and target differ:\n{difference}")),
    });
}
