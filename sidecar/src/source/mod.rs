//! Where frames come from.

pub mod documents;
pub mod kafka;
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

/// Where sequences stand that were never used and do not begin at their start: `setval(.., false)`, `restart with`.
pub async fn unused_sequences(client: &Client) -> Result<SequenceValues> {
    let sql = "select pg_catalog.format('select %L, last_value from %I.%I where not is_called and last_value <> %s', \
        pg_catalog.format('%I.%I', schemaname, sequencename), schemaname, sequencename, start_value) from pg_catalog.pg_sequences \
        where last_value is null and schemaname not in ('pgstream', 'pgstream_sink') \
        and pg_catalog.has_sequence_privilege(pg_catalog.format('%I.%I', schemaname, sequencename), 'select')";
    let questions: Vec<String> =
        client.query(sql, &[]).await.map_err(sql::of)?.iter().map(|row| row.get(0)).collect();
    let mut values = SequenceValues::new();
    for some in questions.chunks(100) {
        let rows = client.query(&some.join(" union all "), &[]).await.map_err(sql::of)?;
        values.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
    }
    Ok(values)
}
