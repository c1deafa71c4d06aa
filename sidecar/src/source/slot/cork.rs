//! Asks the source to send in large pieces, before the stream begins. What arrives is the same, and the server works less for it
//! (`extension/src/cork.rs`).

use tokio_postgres::Client;

use crate::error::Result;
use crate::postgres::sql;
use crate::postgres::wire::Wire;

/// Major versions of PostgreSQL on which our tests have run it.
const TESTED: [i32; 1] = [15];

/// Whether this source can: the function is in the extension's library only.
const CAN: &str = "select pg_catalog.current_setting('server_version_num')::integer / 10000 = any ($1) \
    and pg_catalog.to_regprocedure('pgstream.cork_on()') is not null";

/// Asks, where it can be asked. The stream goes on without it: a connection that is lost over it shows with the next command.
pub async fn cork(wire: &mut Wire, client: &Client) {
    match ask(wire, client).await {
        Ok(true) => tracing::debug!("the source sends in large pieces"),
        Ok(false) => tracing::debug!("the source sends message by message"),
        Err(error) => tracing::debug!("the source sends message by message: {error}"),
    }
}

async fn ask(wire: &mut Wire, client: &Client) -> Result<bool> {
    let can: bool = client.query_one(CAN, &[&&TESTED[..]]).await.map_err(sql::of)?.get(0);
    if !can {
        return Ok(false);
    }
    let rows = wire.simple_query("select pgstream.cork_on()").await?;
    Ok(rows.into_iter().flatten().next().flatten().as_deref() == Some("t"))
}
