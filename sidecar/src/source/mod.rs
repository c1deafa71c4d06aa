//! Where frames come from.

pub mod slot;
pub mod snapshot;

use tokio_postgres::Client;

use crate::error::Result;
use crate::postgres::sql;
use crate::sinks::SequenceValues;

/// Last values of all sequences that were used. The stream does not carry `nextval`, and a snapshot does not see it.
pub async fn sequences(client: &Client) -> Result<SequenceValues> {
    let sql = "select pg_catalog.format('%I.%I', schemaname, sequencename), last_value from pg_catalog.pg_sequences \
        where last_value is not null and schemaname not in ('pgstream', 'pgstream_sink')";
    let rows = client.query(sql, &[]).await.map_err(sql::of)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
