//! `--resnapshot`: starts over after the stream broke for good (a lost slot, a slot made anew, a restored target), and keeps what still fits.
//!
//! ```text
//! slot lost or gone -> made anew by the steps of init          position and notes of the target: forgotten
//! then as any copy that is followed by a stream; tables whose definition is still that of the source have their rows replaced
//! ```
//!
//! Deleted rows are gone afterwards because rows are replaced as a whole, never merged.

use tokio_postgres::Client;

use crate::config::plan::{Plan, Target};
use crate::error::{Error, Result};
use crate::postgres::sql;
use crate::sinks::postgres;
use crate::source::slot;

/// Drops the slot if the server no longer has what it needs, and makes the target forget where it was. Answers the slot's name, which the
/// steps of `init` then make if it is not there.
///
/// # Errors
/// Fatal when a right is missing; transient when a server cannot be reached.
pub async fn forget(plan: &Plan) -> Result<String> {
    let source = |error: Error| error.context("source");
    let client = sql::connect(&plan.source.url).await.map_err(source)?;
    let row = client.query_one("select pg_catalog.current_database()::text", &[]).await.map_err(sql::of)?;
    let database: String = row.get(0);
    let name = plan.source.slot.clone().unwrap_or_else(|| slot::default_slot(&database));
    drop_lost(&client, &name).await.map_err(source)?;
    if let Target::Postgres(target) = &plan.target {
        postgres::forget(target, &name, &database).await.map_err(|error| error.context("target"))?;
    }
    Ok(name)
}

async fn drop_lost(client: &Client, name: &str) -> Result<()> {
    let lost = "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots \
        where slot_name = $1 and database = pg_catalog.current_database() and wal_status = 'lost'";
    if !client.query(lost, &[&name]).await.map_err(sql::of)?.is_empty() {
        tracing::info!(slot = name, "the lost slot was dropped");
    }
    // Where the source keeps the position, it begins anew as well.
    let there = "select pg_catalog.to_regprocedure('pgstream.move_slot(text, pg_lsn)') is not null";
    if client.query_one(there, &[]).await.map_err(sql::of)?.get(0) {
        client.execute("select pgstream.move_slot($1, null)", &[&name]).await.map_err(sql::of)?;
    }
    Ok(())
}
