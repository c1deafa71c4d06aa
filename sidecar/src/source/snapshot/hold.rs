//! Keeps tables as the snapshot knows them while their schema is dumped.
//!
//! A dump reads the catalogue as of the snapshot, but the definitions of indexes, constraints and views as they are at that moment. So the tables
//! are locked first, against nothing but a change of their definition, and then compared with what the snapshot shows.

use tokio_postgres::Client;

use super::export::READ_SETTINGS;
use super::tables::{self, Found, Patterns};
use crate::error::Result;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::sql::{self, ident};

/// Tables that cannot change until this goes.
pub struct Held {
    _session: Client,
}

/// Locks the tables that were found and looks again. `None`: something was changed since the snapshot was taken.
pub async fn tables(url: &ConnInfo, patterns: &Patterns, found: &Found) -> Result<Option<Held>> {
    let session = sql::connect(url).await?;
    session.batch_execute(READ_SETTINGS).await.map_err(sql::of)?;
    session.batch_execute("begin").await.map_err(sql::of)?;
    let readable = found.asked.iter().filter(|table| table.readable);
    let names: Vec<String> =
        readable.map(|table| format!("only {}.{}", ident(&table.schema), ident(&table.name))).collect();
    // One statement per hundred, so that none grows beyond measure.
    for names in names.chunks(100) {
        let lock = format!("lock table {} in access share mode", names.join(", "));
        match session.batch_execute(&lock).await.map_err(sql::of) {
            Ok(()) => {}
            // Dropped or renamed.
            Err(error) if matches!(error.code(), Some("42P01" | "3F000")) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let now = tables::find(&session, patterns).await?;
    Ok(now.is_as(found).then_some(Held { _session: session }))
}
