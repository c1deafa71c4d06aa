//! What the stream reads of the ledger: what copies hold of changes still to come, and which tables have not all their rows.

use std::collections::HashSet;

use tokio_postgres::Client;

use super::ledger::{exists, CREATE, EXISTS};
use crate::config::plan::Filter;
use crate::error::{Error, Result};
use crate::event::Lsn;
use crate::pipeline::seen::Seen;
use crate::postgres::sql;
use crate::sinks::postgres::session::{Session, Step};
use crate::sinks::postgres::statement::literal;
use crate::source::slot::Identity;
use crate::source::snapshot::tables::Patterns;
use crate::source::snapshot::view::View;

/// The number of the lock that transactions share which replace rows of tables in use, as SQL.
pub(super) fn replacing(system: &str, database: &str) -> String {
    let name = format!("pgstream replaces {system} {database}");
    format!("pg_catalog.hashtextextended({}, 0)", literal(&name))
}

/// The same as [`exists`], asked by the session of the stream.
async fn is_there(session: &mut Session) -> Result<bool> {
    Ok(session.rows(EXISTS, &[]).await?.into_iter().flatten().flatten().any(|exists| exists == "t"))
}

/// What copies to that target hold of changes after `from`, read by the session that will apply them.
pub(in crate::sinks::postgres) async fn seen(
    session: &mut Session,
    system: &str,
    database: &str,
    from: Lsn,
) -> Result<Seen> {
    let mut seen = Seen::default();
    if !is_there(session).await? {
        return Ok(seen);
    }
    // A replacement whose sidecar was killed may still be committed; what it holds must be known first.
    let lock = replacing(system, database);
    session.rows(&format!("select pg_catalog.pg_advisory_xact_lock({lock})"), &[]).await?;
    let of = "system_identifier = $1 and database = $2 and lsn > $3::pg_catalog.pg_lsn";
    let from = from.to_string();
    let broken = || Error::fatal("the tables of schema pgstream_sink are not what this version writes");
    let tables =
        format!("select oid::text, view, lsn::text from pgstream_sink.copies where complete and {of}");
    for row in session.rows(&tables, &[system, database, &from]).await? {
        let [Some(oid), Some(view), Some(end)] = row.as_slice() else { return Err(broken()) };
        seen.table(oid.parse().map_err(|_| broken())?, View::new(view, end.parse().map_err(|_| broken())?)?);
    }
    let schemas = format!(
        "select pg_catalog.to_json(tables)::text, pg_catalog.to_json(excluded)::text, view, lsn::text from pgstream_sink.snapshots where {of}"
    );
    for row in session.rows(&schemas, &[system, database, &from]).await? {
        let [Some(tables), Some(excluded), Some(view), Some(end)] = row.as_slice() else {
            return Err(broken());
        };
        let list = |text: &str| serde_json::from_str::<Vec<String>>(text).map_err(|_| broken());
        let patterns =
            Patterns::of(&Filter { include: list(tables)?, exclude: list(excluded)?, ..Filter::default() })?;
        seen.schema(patterns, View::new(view, end.parse().map_err(|_| broken())?)?);
    }
    Ok(seen)
}

/// Queues the note that a table's rows are not those of the source, in the transaction that rewrote it.
pub(in crate::sinks::postgres) fn rewritten(
    session: &mut Session,
    source: &Identity,
    oid: u32,
    name: &str,
) -> Result<()> {
    for sql in CREATE.split(";\n") {
        session.once(Step::Own, sql)?;
    }
    let sql = format!(
        "insert into pgstream_sink.copies (system_identifier, database, oid, name, view, lsn) values ({}, {}, {oid}, {}, '', '0/0') \
         on conflict (system_identifier, database, oid) do update set complete = false, ranges = '{{}}', \
         updated_at = pg_catalog.clock_timestamp()",
        literal(&source.system),
        literal(&source.database),
        literal(name)
    );
    session.once(Step::Own, &sql)
}

/// Forgets all copies from databases of that name.
pub(in crate::sinks::postgres) async fn forget(client: &Client, database: &str) -> Result<()> {
    if !exists(client).await? {
        return Ok(());
    }
    for table in ["snapshots", "copies"] {
        let sql = format!("delete from pgstream_sink.{table} where database = $1");
        client.execute(&sql, &[&database]).await.map_err(sql::of)?;
    }
    Ok(())
}

/// Tables that any copy has brought to that target, by their oid at the source.
pub(super) async fn known(client: &Client) -> Result<HashSet<u32>> {
    if !exists(client).await? {
        return Ok(HashSet::new());
    }
    let rows = client.query("select oid from pgstream_sink.copies", &[]).await.map_err(sql::of)?;
    Ok(rows.iter().filter_map(|row| u32::try_from(row.get::<_, i64>(0)).ok()).collect())
}

/// Tables whose copy was begun and not completed, by their oid at the source.
pub(in crate::sinks::postgres) async fn begun(
    session: &mut Session,
    system: &str,
    database: &str,
) -> Result<Vec<u32>> {
    if !is_there(session).await? {
        return Ok(Vec::new());
    }
    let sql = "select oid::text from pgstream_sink.copies where system_identifier = $1 and database = $2 and not complete";
    let rows = session.rows(sql, &[system, database]).await?;
    Ok(rows.iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect())
}
