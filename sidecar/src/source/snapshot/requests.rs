//! `pgstream.snapshot_requests`: what was asked for, how far it is, and what came of it.
//!
//! ```text
//! requested -> in progress -> completed          a row is never completed that has errors
//!                  |  ^
//!                  v  |  the next run
//!                failed         cancelled   (by a user, any time before the end)
//! ```

use std::collections::BTreeMap;

use serde_json::{json, Value as Json};
use tokio_postgres::Client;

use super::progress::Totals;
use crate::error::{Kind, Result};
use crate::install;
use crate::pipeline::filter::Filter;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::sql;

/// The requests that one copy answers.
pub struct Requests {
    url: ConnInfo,
    client: Client,
    ids: Vec<i32>,
}

/// The one way to make the table without installing the rest.
const TABLE: &str = "tables/0005_snapshot_requests.sql";

/// A request that is not finished is taken up; a new one is made otherwise.
const TAKE: &str = "with known as (update pgstream.snapshot_requests set status = 'in progress', updated_at = now(), errors = null \
        where schema_name = $1 and table_names = $2 and status in ('requested', 'in progress', 'failed') returning req_id), \
    made as (insert into pgstream.snapshot_requests (schema_name, table_names, created_at, updated_at, status) \
        select $1, $2, now(), now(), 'in progress' where not exists (select from known) and ($3 or not exists ( \
            select from pgstream.snapshot_requests where schema_name = $1 and table_names = $2 and status = 'completed')) \
        returning req_id) \
    select req_id from known union all select req_id from made";

const PROGRESS: &str =
    "update pgstream.snapshot_requests set rows = $2, bytes = $3, total_bytes = $4, updated_at = now() \
    where req_id = any ($1) and status = 'in progress'";

const END: &str = "update pgstream.snapshot_requests set status = $2, errors = $3, rows = $4, bytes = $5, total_bytes = $6, \
    updated_at = now() where req_id = $1 and status = 'in progress'";

/// What patterns ask for, by schema.
fn by_schema(tables: &[String]) -> Result<BTreeMap<String, Vec<String>>> {
    let mut schemas = BTreeMap::<String, Vec<String>>::new();
    for (schema, table) in Filter::parts(tables)? {
        let tables = schemas.entry(schema).or_default();
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    schemas.values_mut().for_each(|tables| tables.sort());
    Ok(schemas)
}

/// A request that a running stream has taken up.
pub struct Asked {
    /// Its record.
    pub requests: Requests,
    /// Patterns of the tables it means.
    pub tables: Vec<String>,
    /// Only rows that meet this condition.
    pub filter: Option<String>,
}

/// The oldest request that waits for this slot or for any, or that this slot was at when it was interrupted.
const NEXT: &str = "update pgstream.snapshot_requests set status = 'in progress', slot_name = $1, updated_at = now(), errors = null \
    where req_id = (select req_id from pgstream.snapshot_requests \
        where status = 'requested' and (slot_name is null or slot_name = $1) or status = 'in progress' and slot_name = $1 \
        order by req_id limit 1 for update skip locked) \
    returning req_id, coalesce(schema_name, 'public'), coalesce(table_names, '{*}'), row_filter";

impl Requests {
    /// Takes up the next request. `None`: there is none, or this login may not answer any.
    pub async fn take(url: &ConnInfo, slot: &str) -> Result<Option<Asked>> {
        let client = sql::connect(url).await.map_err(|error| error.context("source"))?;
        let row = match client.query_opt(NEXT, &[&slot]).await.map_err(sql::of) {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == Kind::Transient => return Err(error.context("source")),
            Err(error) => {
                tracing::debug!(%error, "requests for copies are not answered");
                return Ok(None);
            }
        };
        let (schema, tables): (String, Vec<String>) = (row.get(1), row.get(2));
        let part = |name: &str| if name == "*" { name.to_owned() } else { sql::ident(name) };
        let tables = tables.iter().map(|table| format!("{}.{}", part(&schema), part(table))).collect();
        let requests = Self { url: url.clone(), client, ids: vec![row.get(0)] };
        Ok(Some(Asked { requests, tables, filter: row.get(3) }))
    }

    /// Notes that a copy of those tables begins. Makes the table where it is missing.
    ///
    /// A request that is completed is not made again, unless `repeat` asks for it.
    pub async fn begin(url: &ConnInfo, tables: &[String], repeat: bool) -> Result<Self> {
        let client = sql::connect(url).await?;
        let there = "select pg_catalog.to_regclass('pgstream.snapshot_requests') is not null \
            and exists (select from pg_catalog.pg_attribute where attrelid = pg_catalog.to_regclass('pgstream.snapshot_requests') \
                and attname = 'total_bytes')";
        if !client.query_one(there, &[]).await.map_err(sql::of)?.get::<_, bool>(0) {
            make(&client).await?;
        }
        let mut ids = Vec::new();
        for (schema, tables) in by_schema(tables)? {
            let rows = client.query(TAKE, &[&schema, &tables, &repeat]).await.map_err(sql::of)?;
            ids.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
        }
        Ok(Self { url: url.clone(), client, ids })
    }

    /// Notes how far the copy is. Answers whether it is still wanted.
    pub async fn progress(&self, totals: Totals) -> Result<bool> {
        if self.ids.is_empty() {
            return Ok(true);
        }
        let [rows, bytes, expected] = numbers(totals);
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [&self.ids, &rows, &bytes, &expected];
        let noted = self.client.execute(PROGRESS, &values).await.map_err(sql::of)?;
        Ok(noted > 0)
    }

    /// Notes the end: completed only without errors.
    pub async fn end(mut self, totals: Totals, failed: &[(String, String)]) -> Result<()> {
        if self.client.is_closed() {
            self.client = sql::connect(&self.url).await?;
        }
        let [rows, bytes, expected] = numbers(totals);
        let errors = errors(failed);
        let status = if errors.is_none() { "completed" } else { "failed" };
        for id in &self.ids {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [id, &status, &errors, &rows, &bytes, &expected];
            self.client.execute(END, &values).await.map_err(sql::of)?;
        }
        Ok(())
    }
}

async fn make(client: &Client) -> Result<()> {
    let failed = |error| {
        sql::of(error).context("cannot make pgstream.snapshot_requests, where snapshots are recorded")
    };
    client.batch_execute("create schema if not exists pgstream").await.map_err(failed)?;
    let text = install::file(TABLE).unwrap_or_default();
    client.batch_execute(text).await.map_err(failed)
}

fn numbers(totals: Totals) -> [i64; 3] {
    [totals.rows, totals.bytes, totals.expected].map(|number| i64::try_from(number).unwrap_or(i64::MAX))
}

/// `{"tables": {"public.t": ["why"]}}`; nothing when nothing failed.
fn errors(failed: &[(String, String)]) -> Option<Json> {
    if failed.is_empty() {
        return None;
    }
    let mut tables = serde_json::Map::new();
    for (table, error) in failed {
        let errors = tables.entry(table.clone()).or_insert_with(|| json!([]));
        if let Some(list) = errors.as_array_mut() {
            list.push(json!(error));
        }
    }
    Some(json!({ "tables": tables }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_recorded_by_schema() {
        let of = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|&text| text.to_owned()).collect();
            by_schema(&list).expect("patterns").into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of(&["*"]), [("public".to_owned(), vec!["*".to_owned()])]);
        assert_eq!(
            of(&["test_schema.*", "b", "a", "a", "\"S 1\".\"T.2\""]),
            [
                ("S 1".to_owned(), vec!["T.2".to_owned()]),
                ("public".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
                ("test_schema".to_owned(), vec!["*".to_owned()]),
            ]
        );
    }

    #[test]
    fn errors_name_the_table() {
        assert_eq!(errors(&[]), None);
        let failed = [("public.t".to_owned(), "no".to_owned()), ("public.t".to_owned(), "nor".to_owned())];
        assert_eq!(errors(&failed), Some(json!({"tables": {"public.t": ["no", "nor"]}})));
    }
}
