//! Replay of DDL events, inside the target transaction of the rows around them.
//!
//! ```text
//! event --nested ones wait for their parent--> plan: which statements  --> context: role, search_path, settings --> run
//!              text        the event's own text, aligned and made fit        build       from descriptions, without text
//!              stored      defaults that were evaluated at the source        difference  between two states of a table
//! ```

mod build;
mod context;
mod difference;
mod stored;
mod tag;
mod text;

use std::collections::HashMap;
use std::sync::Arc;

use pg_query::NodeEnum;

use super::session::{Session, Step};
use crate::config::plan::{DdlConflict, PostgresTarget};
use crate::error::{Error, Result};
use crate::event::Ddl;

use context::Context;
use difference::Table;
use text::Script;

/// The target says that the object is already there, or already gone.
const CONFLICTS: [&str; 11] = [
    "42P07", "42710", "42701", "42P06", "42723", "42P16", // duplicates
    "42P01", "42703", "42704", "42883", "3F000", // undefined ones
];

/// Columns of a table of the target, described as `ddl_log.tables` describes the source's.
const DESCRIBE: &str = "select pg_catalog.jsonb_build_object('oid', c.oid, 'schema', n.nspname, 'name', c.relname, 'columns',
  (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'nullable', not (a.attnotnull or (t.typtype = 'd' and t.typnotnull)), 'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
      'generated', a.attgenerated <> '', 'identity', case a.attidentity when 'a' then 'ALWAYS' when 'd' then 'BY DEFAULT' end)
    order by a.attnum)
   from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
   left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  'primary_key_columns', (select pg_catalog.jsonb_agg(a.attname order by k.n) from pg_catalog.pg_index i
   cross join pg_catalog.unnest(i.indkey::pg_catalog.int2[]) with ordinality k (attnum, n)
   join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
   where i.indrelid = c.oid and i.indisprimary and k.n <= i.indnkeyatts))::pg_catalog.text
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1::pg_catalog.name and c.relname = $2::pg_catalog.name and c.relkind in ('r', 'p')";

/// What replay remembers from event to event.
#[derive(Default)]
pub(super) struct Replay {
    nested: Vec<Arc<Ddl>>,
    script: Script,
    /// Tables as the last event left them, by their oid at the source.
    known: HashMap<u32, Table>,
    context: Context,
}

impl Replay {
    /// Takes an event and gives those that can be run now, in order. A command nested in another one comes before it in the stream but
    /// may need what it made: it waits, and runs behind it.
    pub(super) fn take(&mut self, ddl: Arc<Ddl>) -> Vec<Arc<Ddl>> {
        let outermost = ddl.depth <= 0;
        self.nested.push(ddl);
        if outermost {
            self.rest()
        } else {
            Vec::new()
        }
    }

    /// What waits for a parent, parents first.
    pub(super) fn rest(&mut self) -> Vec<Arc<Ddl>> {
        parents_first(std::mem::take(&mut self.nested))
    }

    /// Commands wait for their parent: rows that come now may need them.
    pub(super) fn is_waiting(&self) -> bool {
        !self.nested.is_empty()
    }

    /// Repeats one event in the open target transaction. Answers the tables it rewrote with values that differ from the source's: oid and name.
    pub(super) async fn run(
        &mut self,
        session: &mut Session,
        target: &PostgresTarget,
        ddl: &Ddl,
    ) -> Result<Vec<(u32, String)>> {
        let skip = target.ddl_conflict == DdlConflict::SkipIfEqual;
        let mut rewritten = Vec::new();
        match self.plan(session, ddl).await? {
            Some(statements) => {
                if ddl.rewrite {
                    rewritten = differing(session, ddl, &statements).await?;
                }
                self.execute(session, target, ddl, &statements, skip).await?;
            }
            None if skip => unless_equal(session, ddl, build::unrepeatable(ddl)).await?,
            None => return Err(build::unrepeatable(ddl)),
        }
        self.remember(ddl);
        // Parsed statements keep the types their tables had.
        session.forget()?;
        Ok(rewritten)
    }

    async fn execute(
        &mut self,
        session: &mut Session,
        target: &PostgresTarget,
        ddl: &Ddl,
        statements: &[String],
        skip: bool,
    ) -> Result<()> {
        if skip {
            session.own("savepoint pgstream_ddl")?;
        }
        self.context.enter(session, target, ddl).await?;
        for sql in statements {
            session.once(Step::Ddl { lsn: ddl.lsn, text: text::shown(ddl, sql) }, sql)?;
        }
        self.context.leave(session)?;
        if skip {
            session.own("release savepoint pgstream_ddl")?;
        }
        match session.sync().await {
            Ok(_) => tracing::info!(command = %ddl.command_tag, lsn = %ddl.lsn, "schema change replayed"),
            Err(error) if !error.code().is_some_and(|code| CONFLICTS.contains(&code)) => return Err(error),
            Err(error) if skip => {
                session.own("rollback to savepoint pgstream_ddl")?;
                session.sync().await?;
                unless_equal(session, ddl, error).await?;
            }
            Err(error) => {
                return Err(error.hint(
                    "the target is not as the source was: make it so by hand and start again, or set ddl_conflict to \"skip-if-equal\" \
                     if it already is as this command would make it",
                ))
            }
        }
        Ok(())
    }

    fn remember(&mut self, ddl: &Ddl) {
        for object in ddl.objects.iter().filter(|object| object.dropped && object.kind == "table") {
            self.known.remove(&object.oid);
        }
        let tables = ddl.tables.as_array().into_iter().flatten();
        self.known.extend(tables.filter_map(Table::read).map(|table| (table.oid, table)));
    }

    /// Decides what to run: nothing when it is not for us to do, `None` when we do not know how.
    async fn plan(&mut self, session: &mut Session, ddl: &Ddl) -> Result<Option<Vec<String>>> {
        let Some(sql) = ddl.sql.as_deref().filter(|_| !ddl.partial) else {
            return self.build(session, ddl).await;
        };
        let parsed = if ddl.exact {
            match text::parse(sql, &ddl.settings) {
                Some(mut statements) if statements.len() == 1 => statements.pop(),
                // A newer server's syntax, perhaps: the target will say.
                _ => return Ok(Some(vec![sql.to_owned()])),
            }
        } else {
            self.script.statement(ddl)
        };
        if parsed.is_none() && self.script.by_extension(ddl) {
            return Ok(Some(Vec::new()));
        }
        let Some(statement) = parsed else { return self.build(session, ddl).await };
        if text::is_made_from_query(&statement.node) {
            return Ok(build::tables_made(ddl));
        }
        if matches!(statement.node, NodeEnum::ReindexStmt(_)) {
            return Ok(Some(Vec::new()));
        }
        let statement = text::in_transaction(statement, &ddl.settings);
        let statements = stored::with_stored_values(&statement.node, &ddl.tables);
        Ok(Some(statements.unwrap_or_else(|| vec![statement.text])))
    }

    /// Makes the statements from the event's descriptions. What a table was before is known from earlier events, else the target tells.
    async fn build(&mut self, session: &mut Session, ddl: &Ddl) -> Result<Option<Vec<String>>> {
        for after in ddl.tables.as_array().into_iter().flatten().filter_map(Table::read) {
            let known = self.known.contains_key(&after.oid);
            let now = if known { None } else { describe(session, &after.schema, &after.table).await? };
            self.known.extend(now.map(|now| (after.oid, now)));
        }
        tracing::info!(command = %ddl.command_tag, lsn = %ddl.lsn, "the text is not known: made from the catalogue's description");
        Ok(build::statements(ddl, |oid| self.known.get(&oid)))
    }
}

/// A command that could not be repeated is passed over where the target's tables already are as it would make them.
async fn unless_equal(session: &mut Session, ddl: &Ddl, error: Error) -> Result<()> {
    for wanted in ddl.tables.as_array().into_iter().flatten().filter_map(Table::read) {
        let found = describe(session, &wanted.schema, &wanted.table).await?;
        if !found.is_some_and(|found| found.same_rows(&wanted)) {
            return Err(error.hint(format!(
                "and table {} is not as this command would make it: make it so by hand and start again",
                wanted.name()
            )));
        }
    }
    tracing::warn!(%error, "passed over: the target already is as this command would make it");
    Ok(())
}

async fn describe(session: &mut Session, schema: &str, table: &str) -> Result<Option<Table>> {
    let rows = session.rows(DESCRIBE, &[schema, table]).await?;
    let Some(text) = rows.into_iter().flatten().next().flatten() else { return Ok(None) };
    let json = serde_json::from_str(&text).map_err(|error| {
        Error::fatal("the target's catalogue answered something unexpected").because(error)
    })?;
    Ok(Table::read(&json))
}

/// Children come directly before their parent, one level deeper; gives each parent before its children, which stay in order.
fn parents_first(mut events: Vec<Arc<Ddl>>) -> Vec<Arc<Ddl>> {
    let mut ordered = Vec::with_capacity(events.len());
    while let Some(last) = events.last() {
        // The last event is a root; its descendants are the deeper ones directly before it.
        let depth = last.depth;
        let start =
            events[..events.len() - 1].iter().rposition(|event| event.depth <= depth).map_or(0, |at| at + 1);
        let mut tree = events.split_off(start);
        let root = tree.pop();
        let mut behind = std::mem::take(&mut ordered);
        // What an extension's script did, the target's own copy of the script does again.
        if root
            .as_ref()
            .is_some_and(|root| matches!(root.command_tag.as_str(), "CREATE EXTENSION" | "ALTER EXTENSION"))
        {
            tree.clear();
        }
        ordered.extend(root);
        ordered.extend(parents_first(tree));
        ordered.append(&mut behind);
    }
    ordered
}

/// Tables with rows for which a rewrite computes values that differ here: oid and name. No stream carries them.
async fn differing(session: &mut Session, ddl: &Ddl, statements: &[String]) -> Result<Vec<(u32, String)>> {
    let parsed = statements.iter().filter_map(|sql| text::parse(sql, &ddl.settings)).flatten();
    let functions: Vec<String> =
        parsed.flat_map(|statement| stored::functions_of_rewrite(&statement.node)).collect();
    let names: Vec<String> = functions.iter().map(|name| super::statement::literal(name)).collect();
    let varying = "select from pg_catalog.pg_proc where provolatile <> 'i' and proname in";
    let from_sequence = functions.iter().any(String::is_empty);
    if names.is_empty()
        || (!from_sequence
            && session.rows(&format!("{varying} ({})", names.join(", ")), &[]).await?.is_empty())
    {
        return Ok(Vec::new());
    }
    let mut tables = Vec::new();
    for json in ddl.tables.as_array().into_iter().flatten() {
        let Some(table) = Table::read(json) else { continue };
        if describe(session, &table.schema, &table.table).await?.is_none() {
            continue;
        }
        let filled = format!("select from only {} limit 1", table.name());
        session.once(Step::Own, &filled)?;
        let rows = session.sync().await?.pop().map_or(0, |outcome| outcome.affected);
        let oid = json.get("oid").and_then(|oid| oid.as_str()?.parse().ok());
        if let Some(oid) = oid.filter(|_| rows > 0) {
            tracing::info!(table = %table.name(), lsn = %ddl.lsn, "rewritten with values of its own: its rows are copied again");
            tables.push((oid, table.name()));
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests;
