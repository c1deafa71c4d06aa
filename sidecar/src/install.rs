//! Puts pgstream's SQL into a database: as the extension where the server has its files, else the same files of `sql/` one by
//! one. Both leave the same objects; only `pg_extension` tells them apart. An install keeps its kind when it is brought up to date.

use tokio_postgres::{Client, Transaction};

use crate::error::{Error, Result};
use crate::postgres::sql;

/// The files of a plain install in their order: path below `sql/`, text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sql.rs"));

/// Removes a plain install, and what an extension leaves behind.
const UNINSTALL: &str = include_str!("../../sql/uninstall.sql");

/// How pgstream is, or can be, in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// As an extension.
    Extension {
        /// Its version.
        version: String,
        /// The version of the server's files.
        available: Option<String>,
    },
    /// By plain SQL; the newest file of `tables/` that was applied.
    Plain(i64),
    /// Not at all. The version of the extension's files, where the server has them.
    No {
        /// Version of the extension's files.
        available: Option<String>,
    },
}

/// Looks how pgstream is in this database.
pub async fn find(transaction: &Transaction<'_>) -> Result<Installed> {
    let query = "select (select extversion from pg_catalog.pg_extension where extname = 'pgstream'), \
        (select default_version from pg_catalog.pg_available_extensions where name = 'pgstream'), \
        pg_catalog.to_regclass('pgstream.schema_migrations') is not null";
    let row = transaction.query_one(query, &[]).await.map_err(sql::of)?;
    let (version, available, ledger): (Option<String>, Option<String>, bool) =
        (row.get(0), row.get(1), row.get(2));
    Ok(match version {
        Some(version) => Installed::Extension { version, available },
        None if ledger => Installed::Plain(ledger_version(transaction).await?),
        None => Installed::No { available },
    })
}

async fn ledger_version(transaction: &Transaction<'_>) -> Result<i64> {
    let query = "select coalesce(max(version), 0) from pgstream.schema_migrations";
    let row = transaction.query_one(query, &[]).await;
    Ok(row.map_err(|error| denied(sql::of(error), OTHER_LOGIN))?.get(0))
}

/// The number of the newest file of `tables/`.
pub fn newest() -> i64 {
    FILES.iter().filter_map(|(path, _)| table_number(path)).max().unwrap_or_default()
}

/// The text of a file of `sql/`.
pub fn file(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == path).map(|(_, text)| *text)
}

fn table_number(path: &str) -> Option<i64> {
    path.strip_prefix("tables/")?.split('_').next()?.parse().ok()
}

/// Installs pgstream or brings it up to date.
pub async fn install(transaction: &Transaction<'_>) -> Result<()> {
    match find(transaction).await? {
        Installed::Extension { version, available: Some(available) } if version != available => {
            let result = transaction.batch_execute("alter extension pgstream update").await;
            result.map_err(|error| denied(sql::of(error), EXTENSION_RIGHT).context("update the extension"))
        }
        Installed::Extension { .. } => Ok(()),
        Installed::No { available: Some(_) } => create_extension(transaction).await,
        Installed::No { available: None } => plain(transaction, 0).await,
        Installed::Plain(version) if version > newest() => Err(Error::fatal(format!(
            "the database has pgstream's tables in version {version}, this program knows {}",
            newest()
        ))
        .hint("use a newer pgstream")),
        Installed::Plain(version) => plain(transaction, version).await,
    }
}

/// What to do about a missing right on what is there already.
pub const OTHER_LOGIN: &str = "run it as the login that installed pgstream";
const EXTENSION_RIGHT: &str =
    "grant create on the database to this login, or run it as the owner of the database";
const TAKE_OVER_RIGHT: &str =
    "a superuser has to run init this once: it takes over the rows of pgstream.snapshot_requests";
const PLAIN_RIGHT: &str =
    "event triggers and publications for all tables need a superuser (or the provider's admin role); \
    with the extension's files on the server the owner of the database is enough";

/// A table of requests that an earlier snapshot has made is taken over: an extension cannot adopt it, so its rows move.
async fn create_extension(transaction: &Transaction<'_>) -> Result<()> {
    let query = "select pg_catalog.to_regclass('pgstream.snapshot_requests') is not null";
    let bare: bool = transaction.query_one(query, &[]).await.map_err(sql::of)?.get(0);
    let columns = "schema_name, table_names, created_at, updated_at, status, errors";
    let (before, after) = if bare {
        (
            format!(
                "create temporary table pgstream_requests on commit drop as select {columns} from pgstream.snapshot_requests; \
                 drop table pgstream.snapshot_requests;"
            ),
            format!("insert into pgstream.snapshot_requests ({columns}) select {columns} from pgstream_requests"),
        )
    } else {
        Default::default()
    };
    let result = transaction.batch_execute(&format!("{before} create extension pgstream; {after}")).await;
    let right = if bare { TAKE_OVER_RIGHT } else { EXTENSION_RIGHT };
    result.map_err(|error| denied(sql::of(error), right).context("create the extension"))
}

/// Runs what is newer of `tables/`, and everything else again: it can be.
async fn plain(transaction: &Transaction<'_>, version: i64) -> Result<()> {
    let failed =
        |error, path: &str| denied(sql::of(error), PLAIN_RIGHT).context(format_args!("install {path}"));
    let schema = "create schema if not exists pgstream";
    transaction.batch_execute(schema).await.map_err(|error| failed(error, "schema pgstream"))?;
    for (path, text) in FILES {
        if table_number(path).is_none_or(|number| number > version) {
            transaction.batch_execute(text).await.map_err(|error| failed(error, path))?;
        }
    }
    // All of it is one transaction, so nothing can be half done any more.
    let clean = "update pgstream.schema_migrations set dirty = false where dirty";
    transaction.batch_execute(clean).await.map_err(sql::of)
}

/// A missing right with what would give it.
fn denied(error: Error, hint: &str) -> Error {
    if error.code() == Some("42501") {
        error.hint(hint)
    } else {
        error
    }
}

/// Removes everything of ours but slots. Nothing there is fine.
pub async fn uninstall(client: &mut Client) -> Result<()> {
    let remove = async |client: &mut Client| {
        let transaction = client.transaction().await?;
        transaction.batch_execute("drop extension if exists pgstream").await?;
        transaction.batch_execute(UNINSTALL).await?;
        transaction.commit().await
    };
    remove(client).await.map_err(|error| denied(sql::of(error), OTHER_LOGIN).context("remove pgstream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_in_order_and_numbered_without_gaps() {
        let numbers: Vec<i64> = FILES.iter().filter_map(|(path, _)| table_number(path)).collect();
        assert_eq!(numbers, (1..=newest()).collect::<Vec<_>>());
        assert!(FILES.iter().all(|(path, _)| !path.starts_with("native/")));
        let ledger = format!("values ({}, false)", newest());
        let set = format!("set version = {}", newest());
        assert!(
            FILES.iter().any(|(_, text)| text.contains(&ledger) || text.contains(&set)),
            "the ledger is behind"
        );
    }
}
