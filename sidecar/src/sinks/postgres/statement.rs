//! The texts of the statements that write rows. Nothing here does I/O.
//!
//! Every parameter is cast to the target column's type (without its length: assignment then applies it as an INSERT would), so
//! its type never depends on where it stands. Names are always quoted and qualified, operators of other schemas too.

use std::fmt::Write;

use super::session::NO_ROW;
use super::table::{Identity, Table};
pub(super) use crate::postgres::sql::{ident, literal};

/// Which of a row's columns take part in a statement, by index.
pub(super) type Columns = Vec<usize>;

/// How the row to change is found: each column with whether its old value is NULL.
#[derive(Debug, Clone)]
pub(super) struct Match {
    /// Columns compared with a parameter each.
    pub(super) equal: Columns,
    /// Columns that must be NULL.
    pub(super) null: Columns,
    /// Several rows may match, and one of them is meant.
    pub(super) any: bool,
}

/// Makes a statement fail when it changed no row, without a round trip to look: `change` must end in `returning 1`.
pub(super) fn guarded(change: &str) -> String {
    format!("with done as ({change}) {}", unless_empty("done"))
}

/// A SELECT that fails when `rows` is empty and returns nothing otherwise. The text depends on the count so that it is not
/// evaluated when planned.
fn unless_empty(rows: &str) -> String {
    format!(
        "select 1 from {rows} having case when pg_catalog.count(*) = 0 \
         then ('{NO_ROW} ' || pg_catalog.count(*))::pg_catalog.int4 = 0 end"
    )
}

/// What an INSERT does when the row is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Fails,
    IsReplaced,
    Stays,
}

/// INSERT of all columns of `columns`.
pub(super) fn insert(table: &Table, columns: &[usize], existing: Existing) -> String {
    let mut sql = format!("insert into {} ", table.name);
    if columns.is_empty() {
        sql.push_str("default values");
    } else {
        let values: Vec<String> = (1..).zip(columns).map(|(n, &index)| parameter(table, index, n)).collect();
        let _ =
            write!(sql, "({}) {}values ({})", names(table, columns), overriding(table), values.join(", "));
    }
    sql.push_str(&on_conflict(table, columns, existing));
    sql
}

/// UPDATE of `set`; parameters: the new values, then those of `row.equal`.
pub(super) fn update(table: &Table, set: &[usize], row: &Match) -> String {
    format!("{} returning 1", update_body(table, set, row, (set.len() + 1) as u16, &sequence(set)))
}

/// DELETE; parameters: the values of `row.equal`.
pub(super) fn delete(table: &Table, row: &Match) -> String {
    format!("delete from {} t where {}", table.rows(), condition(table, row, 1))
}

/// UPDATE, or INSERT of the whole row when there is none; parameters: `all` new values, then those of `row.equal`.
pub(super) fn upsert(table: &Table, all: &[usize], set: &[usize], row: &Match) -> String {
    let places = sequence(all);
    let update = update_body(table, set, row, (all.len() + 1) as u16, &places);
    let values: Vec<String> = places.iter().map(|&(index, n)| parameter(table, index, n)).collect();
    format!(
        "with done as ({update} returning 1) insert into {} ({}) {}select {} where not exists (select from done){}",
        table.name,
        names(table, all),
        overriding(table),
        values.join(", "),
        on_conflict(table, all, Existing::IsReplaced)
    )
}

/// UPDATE of a row whose GENERATED ALWAYS identity may have changed, which SET cannot express: where it did not, `set` is
/// updated, else the row is made anew with all that was `sent`, the rest kept. Parameters: `sent` new values, then `row.equal`.
pub(super) fn update_identity(
    table: &Table,
    sent: &[usize],
    set: &[usize],
    row: &Match,
    may_miss: bool,
) -> String {
    let places = sequence(sent);
    let first = (sent.len() + 1) as u16;
    let found = condition(table, row, first);
    let same: Vec<String> = places
        .iter()
        .filter(|(index, _)| table.column(*index).identity == Identity::Always)
        .map(|&(index, n)| format!("t.{} = {}", table.column(index).name, parameter(table, index, n)))
        .collect();
    let same = same.join(" and ");
    let updated = match set {
        [] => format!("select 1 from {} t where {found} and {same}", table.rows()),
        set => {
            let assignments = assignments(table, set, &places);
            format!("update {} t set {assignments} where {found} and {same} returning 1", table.rows())
        }
    };
    let all: Columns = (0..table.relation.columns.len()).filter(|&index| table.writable(index)).collect();
    let mut values: Vec<String> = Vec::with_capacity(all.len() + table.extra.len());
    values.extend(all.iter().map(|index| match places.iter().find(|(sent, _)| sent == index) {
        Some(&(index, n)) => parameter(table, index, n),
        None => format!("gone.{}", table.column(*index).name),
    }));
    values.extend(table.extra.iter().map(|name| format!("gone.{name}")));
    let mut names: Vec<&str> = all.iter().map(|&index| table.column(index).name.as_str()).collect();
    names.extend(table.extra.iter().map(String::as_str));
    let done = "(select 1 from updated union all select 1 from made) done";
    let end = if may_miss { format!("select 1 from {done}") } else { unless_empty(done) };
    format!(
        "with updated as ({updated}), gone as (delete from {rows} t where {found} and not ({same}) returning *), \
         made as (insert into {table} ({names}) overriding system value select {values} from gone returning 1) {end}",
        rows = table.rows(),
        table = table.name,
        names = names.join(", "),
        values = values.join(", "),
    )
}

fn update_body(table: &Table, set: &[usize], row: &Match, first: u16, places: &[(usize, u16)]) -> String {
    format!(
        "update {} t set {} where {}",
        table.rows(),
        assignments(table, set, places),
        condition(table, row, first)
    )
}

fn assignments(table: &Table, set: &[usize], places: &[(usize, u16)]) -> String {
    let assigned: Vec<String> = places
        .iter()
        .filter(|(index, _)| set.contains(index))
        .map(|&(index, n)| format!("{} = {}", table.column(index).name, parameter(table, index, n)))
        .collect();
    assigned.join(", ")
}

/// The parameters of columns sent in that order.
fn sequence(columns: &[usize]) -> Vec<(usize, u16)> {
    columns.iter().copied().zip(1..).collect()
}

fn condition(table: &Table, row: &Match, first: u16) -> String {
    let equal = row.equal.iter().zip(first..).map(|(&index, n)| {
        let column = table.column(index);
        let (name, operator) = (&column.name, column.operator.as_deref());
        match operator {
            Some(operator) => format!("t.{name} {operator} {}", parameter(table, index, n)),
            None if !row.any => format!("t.{name} operator(pg_catalog.=) {}", parameter(table, index, n)),
            None => format!("t.{name}::pg_catalog.text = ${n}::pg_catalog.text"),
        }
    });
    let null = row.null.iter().map(|&index| format!("t.{} is null", table.column(index).name));
    let mut found: Vec<String> = equal.chain(null).collect();
    if found.is_empty() {
        found.push("true".to_owned());
    }
    let found = found.join(" and ");
    if !row.any {
        return found;
    }
    format!("(t.tableoid, t.ctid) = (select t.tableoid, t.ctid from {} t where {found} limit 1)", table.name)
}

fn on_conflict(table: &Table, columns: &[usize], existing: Existing) -> String {
    match (existing, &table.arbiter) {
        (Existing::Fails, _) => String::new(),
        (Existing::Stays, _) => " on conflict do nothing".to_owned(),
        (Existing::IsReplaced, arbiter) if arbiter.is_empty() => String::new(),
        (Existing::IsReplaced, arbiter) => {
            let set: Vec<String> = columns
                .iter()
                .filter(|&&index| !arbiter.contains(&index) && table.settable(index))
                .map(|&index| {
                    let name = &table.column(index).name;
                    format!("{name} = excluded.{name}")
                })
                .collect();
            match set.is_empty() {
                true => " on conflict do nothing".to_owned(),
                false => {
                    format!(" on conflict ({}) do update set {}", names(table, arbiter), set.join(", "))
                }
            }
        }
    }
}

fn overriding(table: &Table) -> &'static str {
    if table.has_identity() {
        "overriding system value "
    } else {
        ""
    }
}

fn names(table: &Table, columns: &[usize]) -> String {
    let names: Vec<&str> = columns.iter().map(|&index| table.column(index).name.as_str()).collect();
    names.join(", ")
}

fn parameter(table: &Table, index: usize, n: u16) -> String {
    format!("${n}::{}", table.column(index).type_name)
}
