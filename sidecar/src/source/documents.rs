//! Versions of schemas as the source keeps them: `pgstream.schema_log`, and where a slot passed them: `pgstream.schema_log_acks`.
//!
//! ```text
//! of a slot:      ... | acked up to the start, by position |  start  | later ones ...   the newest of the log
//!                                  third  second  first                                  last
//! of a snapshot:  ... versions it shows      second  first
//! ```
//!
//! The first of each schema is the one that counts. The others are what its reader falls back to where the first misses something; they
//! also stand in where a slot's positions were not recorded (a login that may not, a slot that `init` did not make).

use std::collections::BTreeSet;

use tokio_postgres::types::PgLsn;
use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::event::Lsn;
use crate::pipeline::inject::Document;
use crate::postgres::sql;

/// Ids are looked for by position first, texts (which are large) are read of few.
const READ: &str = "select l.id::text, l.schema_name::text, l.schema::text, n.passed is not null or $1 = '' from pgstream.schema_log l join ( \
        select p.id, p.passed, \
            pg_catalog.row_number() over (partition by p.schema_name order by p.passed desc nulls last, p.version desc) as place, \
            pg_catalog.row_number() over (partition by p.schema_name order by p.version desc) as age \
        from (select v.id, v.schema_name, v.version, a.commit_lsn as passed from pgstream.schema_log v \
            left join pgstream.schema_log_acks a on a.slot_name = $1 and a.schema_name = v.schema_name \
                and a.version = v.version and a.commit_lsn <= $2 \
            where $3::text[] is null or v.schema_name = any ($3)) p) n on n.id = l.id \
    where n.place <= 2 or n.age = 1 order by l.schema_name, n.place";

/// The versions as of a position of that slot.
///
/// # Errors
/// Fatal when this login may not read them.
pub async fn as_of(client: &Client, slot: &str, start: Lsn) -> Result<Vec<Document>> {
    read(client, slot, start, None).await
}

/// The newest versions of those schemas that `client` sees.
///
/// # Errors
/// As [`as_of`].
pub async fn newest(client: &Client, schemas: &BTreeSet<String>) -> Result<Vec<Document>> {
    let schemas = schemas.iter().map(String::as_str).collect();
    read(client, "", Lsn::ZERO, Some(schemas)).await
}

async fn read(client: &Client, slot: &str, start: Lsn, schemas: Option<Vec<&str>>) -> Result<Vec<Document>> {
    let failed = |error: Error| error.context("the ids of tables cannot be read");
    let sql = "select pg_catalog.to_regclass('pgstream.schema_log_acks') is not null";
    let installed: bool = client.query_one(sql, &[]).await.map_err(|error| failed(sql::of(error)))?.get(0);
    if !installed {
        tracing::warn!("events get no ids: there is no pgstream.schema_log here; run pgstream init");
        return Ok(Vec::new());
    }
    let rows = client.query(READ, &[&slot, &PgLsn::from(start.0), &schemas]).await.map_err(|error| {
        let error = failed(sql::of(error));
        match error.code() {
            Some("42501") => error.hint(
                "grant usage on schema pgstream and select on pgstream.schema_log, pgstream.schema_log_acks to this login, \
                 or leave modifiers.injector out",
            ),
            _ => error,
        }
    })?;
    let document = |row: &tokio_postgres::Row| Document {
        id: row.get(0),
        schema: row.get(1),
        text: row.get(2),
        past: row.get(3),
    };
    Ok(rows.iter().map(document).collect())
}
