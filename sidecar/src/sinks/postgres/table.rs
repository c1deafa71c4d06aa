//! What the sink knows of a target table: looked up once per relation of the stream, forgotten when DDL passes.

use std::collections::HashMap;
use std::sync::Arc;

use super::session::Session;
use super::shape::Shapes;
use super::statement::ident;
use crate::error::{Error, Result};
use crate::event::Relation;

/// One row per column: name, type, identity, generated, equality operator; and, the same in each row: primary key, unique keys,
/// whether triggers or foreign keys are on. No row: no such table.
const COLUMNS: &str = "
with t as (
  select c.oid, c.relkind from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = $1::pg_catalog.name and c.relname = $2::pg_catalog.name and c.relkind in ('r', 'p', 'f')
), keys as (
  select i.indisprimary, (select pg_catalog.json_agg(a.attname order by k.n)
    from pg_catalog.unnest(i.indkey::pg_catalog.int2[]) with ordinality k (attnum, n)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where k.n <= i.indnkeyatts) as columns
  from t join pg_catalog.pg_index i on i.indrelid = t.oid
  where i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null
)
select a.attname, pg_catalog.format_type(b.oid, -1), a.attidentity, a.attgenerated,
  (select 'operator(' || pg_catalog.quote_ident(n.nspname) || '.' || o.oprname || ')'
   from pg_catalog.pg_opclass oc
   join pg_catalog.pg_amop ao on ao.amopfamily = oc.opcfamily and ao.amopstrategy = 3
     and ao.amoplefttype = oc.opcintype and ao.amoprighttype = oc.opcintype
   join pg_catalog.pg_operator o on o.oid = ao.amopopr
   join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
   where oc.opcdefault and oc.opcmethod = (select oid from pg_catalog.pg_am where amname = 'btree')
     and oc.opcintype = case b.oid when 'pg_catalog.varchar'::pg_catalog.regtype then 'pg_catalog.text'::pg_catalog.regtype else b.oid end),
  (select columns from keys where indisprimary),
  (select pg_catalog.json_agg(columns) from keys),
  exists (select from pg_catalog.pg_trigger g where g.tgrelid = t.oid and g.tgenabled in ('O', 'A'))::pg_catalog.text,
  t.relkind
from t left join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
left join lateral (
  with recursive d as (
    select y.oid, y.typbasetype from pg_catalog.pg_type y where y.oid = a.atttypid
    union all select y.oid, y.typbasetype from d join pg_catalog.pg_type y on y.oid = d.typbasetype)
  select d.oid from d where d.typbasetype = 0) b on true
order by a.attnum";

/// How a column's values come about at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    No,
    ByDefault,
    Always,
}

/// A column of the target.
#[derive(Debug, Clone)]
pub(super) struct TargetColumn {
    /// Quoted.
    pub(super) name: String,
    /// As a cast takes it: without length, and of a domain what it is made of, so that its checks are those of an assignment.
    pub(super) type_name: String,
    pub(super) identity: Identity,
    pub(super) generated: bool,
    /// Its type's own equality, qualified; `None` for types that have none of their own (arrays, json, ...).
    pub(super) operator: Option<String>,
}

/// A target table seen through one relation of the stream: columns are meant by their index in the relation.
pub(super) struct Table {
    pub(super) relation: Arc<Relation>,
    /// Quoted, qualified.
    pub(super) name: String,
    columns: Vec<TargetColumn>,
    /// Columns that only the target has and that take values, quoted.
    pub(super) extra: Vec<String>,
    /// The target's primary key, when every column of it is in the stream.
    pub(super) primary_key: Vec<usize>,
    /// A unique key by which INSERT can find the row it conflicts with.
    pub(super) arbiter: Vec<usize>,
    identity: bool,
    /// GENERATED ALWAYS identities: INSERT can give them, UPDATE cannot set them.
    pub(super) always: Vec<usize>,
    /// It has no rows of its own, its partitions have.
    partitioned: bool,
    /// Statements in use.
    pub(super) shapes: Shapes,
}

impl Table {
    pub(super) fn column(&self, index: usize) -> &TargetColumn {
        &self.columns[index]
    }

    /// The target takes a value for it.
    pub(super) fn writable(&self, index: usize) -> bool {
        !self.columns[index].generated
    }

    /// UPDATE can set it.
    pub(super) fn settable(&self, index: usize) -> bool {
        self.writable(index) && self.columns[index].identity != Identity::Always
    }

    /// The table as UPDATE, DELETE and TRUNCATE take it: without tables that inherit from it, whose rows come as their own.
    pub(super) fn rows(&self) -> String {
        let only = if self.partitioned { "" } else { "only " };
        format!("{only}{}", self.name)
    }

    pub(super) fn has_identity(&self) -> bool {
        self.identity
    }
}

/// The target tables in use, by the oid of the relation at the source.
#[derive(Default)]
pub(super) struct Tables {
    known: HashMap<u32, Table>,
    /// Tables warned of because of triggers we cannot turn off.
    warned: Vec<String>,
}

impl Tables {
    /// The table of a relation, if it has been looked up.
    pub(super) fn get(&mut self, relation: &Arc<Relation>) -> Option<&mut Table> {
        let table = self.known.get_mut(&relation.oid)?;
        if Arc::ptr_eq(&table.relation, relation) {
            return Some(table);
        }
        if table.relation != *relation {
            return None;
        }
        table.relation = Arc::clone(relation);
        Some(table)
    }

    /// Looks the table of a relation up; false when the target has no such table.
    pub(super) async fn find(&mut self, session: &mut Session, relation: &Arc<Relation>) -> Result<bool> {
        let rows = session.rows(COLUMNS, &[&relation.schema, &relation.name]).await?;
        let Some(first) = rows.first() else { return Ok(false) };
        let flag = first.get(7).cloned().flatten();
        if flag.as_deref() == Some("true") && !session.login.replica {
            self.warn_of_triggers(relation);
        }
        let table = read(relation, &rows)?;
        self.known.insert(relation.oid, table);
        Ok(true)
    }

    /// Forgets everything: the target's tables may have changed.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    fn warn_of_triggers(&mut self, relation: &Relation) {
        let name = relation.to_string();
        if !self.warned.contains(&name) {
            tracing::warn!(
                table = name,
                "the target's triggers and foreign keys fire for replicated rows: this login may not set session_replication_role"
            );
            self.warned.push(name);
        }
    }
}

/// The error for a relation that the target does not have.
pub(super) fn missing(relation: &Relation) -> Error {
    Error::fatal(format!("table {relation} does not exist at the target"))
        .with_code("42P01")
        .hint("copy it first with a snapshot (`pgstream snapshot`), or leave it out with a table filter")
}

fn read(relation: &Arc<Relation>, rows: &[Vec<Option<String>>]) -> Result<Table> {
    let text = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten();
    let mut found: HashMap<String, TargetColumn> = rows
        .iter()
        .filter_map(|row| {
            let name = text(row, 0)?;
            let identity = match text(row, 2).as_deref() {
                Some("a") => Identity::Always,
                Some("d") => Identity::ByDefault,
                _ => Identity::No,
            };
            let column = TargetColumn {
                name: ident(&name),
                type_name: text(row, 1)?,
                identity,
                generated: text(row, 3).is_some_and(|kind| !kind.is_empty()),
                operator: text(row, 4),
            };
            Some((name, column))
        })
        .collect();
    let identity = found.values().any(|column| column.identity != Identity::No);
    let (mut columns, mut absent) = (Vec::with_capacity(relation.columns.len()), Vec::new());
    for column in &relation.columns {
        match found.remove(&*column.name) {
            Some(found) => columns.push(found),
            None => absent.push(ident(&column.name)),
        }
    }
    if !absent.is_empty() {
        return Err(Error::fatal(format!(
            "table {relation} has no column {} at the target",
            absent.join(", ")
        ))
        .hint("add it there as it is at the source, or copy the table again with a snapshot"));
    }
    let always = (0..columns.len()).filter(|&index| columns[index].identity == Identity::Always).collect();
    let first = rows.first().map_or(&[][..], Vec::as_slice);
    let key: Vec<String> = json(text(first, 5))?.unwrap_or_default();
    let unique: Vec<Vec<String>> = json(text(first, 6))?.unwrap_or_default();
    let primary_key = indexes(relation, &key).unwrap_or_default();
    let arbiter = if primary_key.is_empty() { own_key(relation, &unique) } else { primary_key.clone() };
    Ok(Table {
        relation: Arc::clone(relation),
        name: format!("{}.{}", ident(&relation.schema), ident(&relation.name)),
        columns,
        extra: found.into_values().filter(|column| !column.generated).map(|column| column.name).collect(),
        primary_key,
        arbiter,
        identity,
        always,
        partitioned: text(first, 8).as_deref() == Some("p"),
        shapes: Shapes::default(),
    })
}

/// The relation's own key, if the target has a unique index on just these columns.
fn own_key(relation: &Relation, unique: &[Vec<String>]) -> Vec<usize> {
    let mut own: Vec<usize> = relation.key_columns().map(|(index, _)| index).collect();
    own.sort_unstable();
    let known = unique.iter().filter_map(|names| indexes(relation, names)).any(|mut indexes| {
        indexes.sort_unstable();
        indexes == own
    });
    if known {
        own
    } else {
        Vec::new()
    }
}

/// The places of the named columns in the relation, if it has them all.
fn indexes(relation: &Relation, names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| relation.column(name)).collect()
}

fn json<T: serde::de::DeserializeOwned>(text: Option<String>) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| Error::fatal("the target's catalogue answered something unexpected").because(error))
}
