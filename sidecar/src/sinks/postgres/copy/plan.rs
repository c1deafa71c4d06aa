//! What the target makes of the tables to copy: which go on, which are done, which cannot be written and why.

use std::collections::HashMap;

use tokio_postgres::{Client, Row};

use super::ledger::Copied;
use crate::config::plan::OnConflict;
use crate::error::Result;
use crate::postgres::sql;
use crate::sinks::postgres::statement::ident;
use crate::source::snapshot::ranges::Range;
use crate::source::snapshot::tables::Table;

/// A table on its way: which statements copy a range of it.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) table: Table,
    /// Quoted, qualified.
    pub(crate) name: String,
    columns: Vec<String>,
    binary: bool,
    /// Columns that find a row that is there already, when such rows are to be replaced or kept.
    merge: Option<Merge>,
    /// It holds nothing but what we bring, and may be truncated: where it is copied in one go, its rows are written frozen, and nothing
    /// has to be written a second time when they are first read.
    freezes: bool,
    /// What removes the rows of an earlier attempt.
    pub(super) remove: Option<String>,
    /// Only rows that meet this are copied.
    pub(super) filter: Option<String>,
}

/// How copied rows meet rows that are there.
#[derive(Debug, Clone)]
struct Merge {
    key: Vec<String>,
    replace: bool,
}

/// What becomes of a table.
pub(super) enum Verdict {
    /// It is copied.
    Copy(Box<Planned>),
    /// It was copied before.
    Done,
    /// The target does not have it.
    Missing,
    /// It was made by us, and has other columns than the source's by now.
    Other,
    /// It cannot be copied.
    Cannot(String),
}

/// What decides about tables.
pub(super) struct Rules {
    /// Copy again what was copied before.
    pub(super) repeat: bool,
    /// The target's table must have exactly the columns of the source's: it was made by us.
    pub(super) exact: bool,
    pub(super) on_conflict: OnConflict,
    /// Only rows that meet this condition are copied.
    pub(super) filter: Option<String>,
    /// What the target has goes in the same transaction.
    pub(super) replace: bool,
}

/// Tables of the target by name, in the order of the question.
const TARGETS: &str = "select w.n, c.relkind::text, \
    exists (select from pg_catalog.pg_constraint f where f.confrelid = c.oid and f.conrelid <> c.oid and f.contype = 'f') \
        or not pg_catalog.has_table_privilege(c.oid, 'truncate'), \
    array(select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 \
        and not a.attisdropped and a.attgenerated = '' order by a.attnum), \
    array(select pg_catalog.format_type(a.atttypid, a.atttypmod) from pg_catalog.pg_attribute a where a.attrelid = c.oid \
        and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum), \
    array(select a.attname::text from pg_catalog.pg_index i join pg_catalog.pg_attribute a \
        on a.attrelid = i.indrelid and a.attnum = any (i.indkey::smallint[]) where i.indrelid = c.oid and i.indisprimary) \
    from unnest($1::text[], $2::text[]) with ordinality w (schema, name, n) \
    join pg_catalog.pg_namespace s on s.nspname = w.schema \
    join pg_catalog.pg_class c on c.relnamespace = s.oid and c.relname = w.name and c.relkind in ('r', 'p', 'f')";

/// A table as the target has it.
struct Target {
    kind: String,
    by_delete: bool,
    columns: HashMap<String, String>,
    primary_key: Vec<String>,
}

/// Judges all tables.
pub(super) async fn judge(
    client: &Client,
    tables: &[Table],
    copied: &HashMap<u32, Copied>,
    rules: &Rules,
) -> Result<Vec<Verdict>> {
    let mut targets = targets(client, tables).await?;
    let mut verdicts = Vec::with_capacity(tables.len());
    for (index, table) in tables.iter().enumerate() {
        let verdict = match (targets.remove(&index), &table.unreadable) {
            (_, Some(why)) => Verdict::Cannot(why.clone()),
            (None, None) => Verdict::Missing,
            (Some(target), None) => {
                one(client, table, target, copied.get(&table.relation.oid), rules).await?
            }
        };
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

async fn targets(client: &Client, tables: &[Table]) -> Result<HashMap<usize, Target>> {
    let schemas: Vec<&str> = tables.iter().map(|table| &*table.relation.schema).collect();
    let names: Vec<&str> = tables.iter().map(|table| &*table.relation.name).collect();
    let rows = client.query(TARGETS, &[&schemas, &names]).await.map_err(sql::of)?;
    let target = |row: &Row| {
        let index = usize::try_from(row.get::<_, i64>(0)).ok()?.checked_sub(1)?;
        let (names, types): (Vec<String>, Vec<String>) = (row.get(3), row.get(4));
        let columns = names.into_iter().zip(types).collect();
        Some((index, Target { kind: row.get(1), by_delete: row.get(2), columns, primary_key: row.get(5) }))
    };
    Ok(rows.iter().filter_map(target).collect())
}

async fn one(
    client: &Client,
    table: &Table,
    target: Target,
    copied: Option<&Copied>,
    rules: &Rules,
) -> Result<Verdict> {
    let relation = &table.relation;
    if copied.is_some_and(|copied| copied.complete) && !rules.repeat {
        return Ok(Verdict::Done);
    }
    if target.kind != "r" {
        return Ok(Verdict::Cannot(format!("{relation} is no plain table at the target")));
    }
    let names = || relation.columns.iter().map(|column| &*column.name);
    let lacks = names().find(|name| !target.columns.contains_key(*name));
    let same = |(name, declared): (&str, &String)| target.columns.get(name) == Some(declared);
    let equal = names().zip(&table.type_names).all(same);
    if rules.exact && copied.is_some() && (!equal || target.columns.len() != relation.columns.len()) {
        return Ok(Verdict::Other);
    }
    if let Some(column) = lacks {
        return Ok(Verdict::Cannot(format!("{relation} has no column {column} at the target: {REMEDY}")));
    }
    let name = format!("{}.{}", ident(&relation.schema), ident(&relation.name));
    let (mut merge, mut remove) = (None, None);
    if rules.replace {
        // Nothing is left of them.
    } else if copied.is_some() {
        let (delete, truncate) = (format!("delete from only {name}"), format!("truncate table only {name}"));
        remove = Some(if target.by_delete { delete } else { truncate });
    } else if client
        .query_one(&format!("select exists (select from only {name})"), &[])
        .await
        .map_err(sql::of)?
        .get(0)
    {
        merge = match rules.on_conflict {
            OnConflict::Error => {
                return Ok(Verdict::Cannot(format!(
                    "{relation} has rows at the target that no copy brought there: empty it, start with --reset, \
                     or set on_conflict_action to \"update\" or \"nothing\""
                )))
            }
            OnConflict::Update if target.primary_key.is_empty() => {
                return Ok(Verdict::Cannot(format!(
                    "{relation} has rows at the target and no primary key to update them by: empty it or start with --reset"
                )))
            }
            OnConflict::Update => Some(Merge { key: target.primary_key, replace: true }),
            OnConflict::Nothing => Some(Merge { key: Vec::new(), replace: false }),
        };
    }
    let binary = table.binary && equal;
    let freezes = !rules.replace && merge.is_none() && !target.by_delete;
    let columns = names().map(ident).collect();
    Ok(Verdict::Copy(Box::new(Planned {
        table: table.clone(),
        name,
        columns,
        binary,
        merge,
        remove,
        freezes,
        filter: rules.filter.clone(),
    })))
}

pub(super) const REMEDY: &str =
    "its definition is not that of the source; start with --reset to make it anew";

impl Planned {
    /// The COPY that reads a range.
    pub(super) fn out(&self, range: Range) -> String {
        self.table.copy_out(range, self.format(), self.filter.as_deref())
    }

    /// Removes what the target has, or of that what the filter chooses.
    pub(super) fn delete(&self) -> String {
        let place = self.filter.as_ref().map(|filter| format!(" where ({filter})")).unwrap_or_default();
        format!("delete from only {}{place}", self.name)
    }

    /// Opens the target's transaction for a range.
    pub(super) fn begin(&self, range: Range) -> String {
        // Ranges are flushed by the note that the table is complete.
        let begin = "begin; set local synchronous_commit = off";
        let (name, columns) = (&self.name, self.columns.join(", "));
        if self.merge.is_some() {
            return format!("{begin}; create temporary table pgstream_range on commit drop as select {columns} from only {name} limit 0");
        }
        if self.is_frozen(range) {
            return format!("{begin}; truncate table only {name}");
        }
        begin.to_owned()
    }

    /// The COPY that writes a range.
    pub(super) fn into(&self, range: Range) -> String {
        let name = if self.merge.is_some() { "pg_temp.pgstream_range" } else { &self.name };
        // A list of no columns cannot be written, and without one all are meant: then there are none.
        let columns =
            if self.columns.is_empty() { String::new() } else { format!(" ({})", self.columns.join(", ")) };
        let freeze = if self.is_frozen(range) { ", freeze" } else { "" };
        format!("copy {name}{columns} from stdin (format {}{freeze})", self.format())
    }

    fn is_frozen(&self, range: Range) -> bool {
        self.freezes && range.from == 0 && range.to.is_none()
    }

    /// What follows the COPY within the transaction.
    pub(super) fn finish(&self) -> String {
        let Some(merge) = &self.merge else { return String::new() };
        let columns = self.columns.join(", ");
        let action = if merge.replace {
            let key: Vec<String> = merge.key.iter().map(|name| ident(name)).collect();
            let set: Vec<String> = self
                .columns
                .iter()
                .filter(|column| !key.contains(column))
                .map(|column| format!("{column} = excluded.{column}"))
                .collect();
            let set =
                if set.is_empty() { "nothing".to_owned() } else { format!("update set {}", set.join(", ")) };
            format!("({}) do {set}", key.join(", "))
        } else {
            "do nothing".to_owned()
        };
        format!(
            "insert into {} ({columns}) overriding system value select {columns} from pg_temp.pgstream_range on conflict {action};",
            self.name
        )
    }

    fn format(&self) -> &'static str {
        if self.binary {
            "binary"
        } else {
            "text"
        }
    }
}
