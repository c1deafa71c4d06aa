//! Makes the target's database where it is missing, as the source's is: encoding, locale and its provider. And tablespaces, if asked for.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Client;

use super::Schema;
use crate::error::{Error, Result};
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::sql;

const SOURCE: &str = "
    select pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate::text, d.datctype::text, coalesce(j ->> 'datlocprovider', 'c'),
        coalesce(j ->> 'datlocale', j ->> 'daticulocale')
    from pg_catalog.pg_database d cross join lateral pg_catalog.to_jsonb(d) j where d.datname = pg_catalog.current_database()";

/// Makes the database of `target` unless it is there; `client` is a session at the source. Returns whether it was made.
///
/// # Errors
/// Fatal: this login may not, or the target's system lacks the locale. Transient: the server cannot be reached.
pub async fn create_database(client: &Client, target: &ConnInfo) -> Result<bool> {
    match sql::connect(target).await {
        Ok(_) => return Ok(false),
        Err(error) if error.code() == Some("3D000") => {}
        Err(error) => return Err(error),
    }
    let statement = statement(client, &target.dbname).await?;
    let mut error = None;
    for name in ["postgres", "template1"] {
        let elsewhere = ConnInfo { dbname: name.to_owned(), ..target.clone() };
        match sql::connect(&elsewhere).await {
            Ok(session) => return create(&session, &statement, &target.dbname).await,
            Err(refused) => error = Some(refused),
        }
    }
    let error = error.unwrap_or_else(|| Error::fatal("no database to connect to"));
    Err(error.context(format_args!("create database {}", target.dbname)))
}

/// Makes the tablespaces of `schema.tablespaces` that the target does not have. Not within a transaction; the directories, named as at the
/// source, must be there. Returns a line for each that could not be made: what is in it goes to the default one.
///
/// # Errors
/// Those of the session.
pub async fn create_tablespaces(session: &Client, schema: &Schema) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (name, location) in &schema.tablespaces {
        let there = "select exists (select from pg_catalog.pg_tablespace where spcname = $1::text)";
        if session.query_one(there, &[name]).await.map_err(sql::of)?.get(0) {
            continue;
        }
        let statement =
            format!("create tablespace {} location {}", escape_identifier(name), escape_literal(location));
        match session.batch_execute(&statement).await.map_err(sql::of) {
            Ok(()) => {}
            Err(error) if error.code().is_none() => return Err(error),
            Err(error) => warnings.push(format!("tablespace {name} is not made at the target: {error}")),
        }
    }
    Ok(warnings)
}

/// The source's own tablespaces, each with its directory.
pub(super) async fn tablespaces(client: &Client) -> Result<Vec<(String, String)>> {
    let query = "select spcname::text, pg_catalog.pg_tablespace_location(oid) from pg_catalog.pg_tablespace \
        where spcname not like 'pg\\_%' order by 1";
    let rows = client.query(query, &[]).await.map_err(sql::of)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn create(session: &Client, statement: &str, name: &str) -> Result<bool> {
    match session.batch_execute(statement).await.map_err(sql::of) {
        Ok(()) => Ok(true),
        // Somebody else was faster.
        Err(error) if error.code() == Some("42P04") => Ok(false),
        Err(error) => {
            let hint = match error.code() {
                Some("42501") => "give the target's login CREATEDB, or make the database by hand",
                _ => "make the database by hand, with a locale that the target's system has",
            };
            Err(error.context(format_args!("create database {name}")).hint(hint))
        }
    }
}

async fn statement(client: &Client, name: &str) -> Result<String> {
    let row = client.query_one(SOURCE, &[]).await.map_err(sql::of)?;
    let text = |index: usize| escape_literal(row.get::<_, &str>(index));
    let mut statement = format!(
        "create database {} template template0 encoding {} lc_collate {} lc_ctype {}",
        escape_identifier(name),
        text(0),
        text(1),
        text(2)
    );
    let locale = row.get::<_, Option<&str>>(4).map(escape_literal);
    match (row.get::<_, &str>(3), locale) {
        ("i", Some(locale)) => statement += &format!(" locale_provider icu icu_locale {locale}"),
        ("b", Some(locale)) => statement += &format!(" locale_provider builtin builtin_locale {locale}"),
        _ => {}
    }
    Ok(statement)
}
