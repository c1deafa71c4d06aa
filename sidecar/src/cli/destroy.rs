//! `pgstream destroy`: removes everything `init` made, the slot first: it keeps WAL.

use clap::Args;
use tokio_postgres::Client;

use super::output::{self, Spinner};
use super::{Failure, Global, Source};
use crate::config::resolve::Setup;
use crate::config::Chosen;
use crate::error::{Error, Result};
use crate::postgres::sql;
use crate::{install, source::slot};

/// Flags of `destroy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pgstream destroy --postgres-url postgres://postgres@localhost:5432/app --replication-slot pgstream_app_slot")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

pub(super) async fn execute(
    global: Global,
    arguments: Arguments,
    verb: &str,
) -> std::result::Result<(), Failure> {
    let setup = global.settings(Chosen::default(), arguments.source.flags()).setup()?;
    let spinner = if verb == "destroy" {
        Spinner::start("destroying pgstream...")
    } else {
        output::line("tear-down is deprecated, please use destroy");
        Spinner::start("tearing down pgstream...")
    };
    let left = remove(&setup).await?;
    drop(spinner);
    if let Some(left) = left {
        output::warning(format_args!("{left} (destroy without --replication-slot removes all)"));
    }
    output::success(format_args!("pgstream {verb} complete"));
    Ok(())
}

/// Removes the slot and, unless other slots of ours need them, everything else. Answers what is left, if anything.
async fn remove(setup: &Setup) -> Result<Option<String>> {
    let mut client = sql::connect(&setup.url).await?;
    client.batch_execute("set client_min_messages = warning").await.map_err(sql::of)?;
    let foreign = "select exists (select from pg_catalog.pg_namespace \
        where nspname = 'pgstream' and not pg_catalog.pg_has_role(nspowner, 'usage'))";
    if has(&client, foreign).await? {
        return Err(Error::fatal("schema pgstream belongs to another login").hint(install::OTHER_LOGIN));
    }
    if has(&client, "select pg_catalog.to_regprocedure('pgstream.destroy(text)') is not null").await? {
        let row = client.query_one("select pgstream.destroy($1)", &[&setup.slot]).await.map_err(sql::of)?;
        let published =
            "select exists (select from pg_catalog.pg_publication where pubname = 'pgstream_inserts')";
        if has(&client, published).await? {
            return Ok(Some(row.get(0)));
        }
    } else {
        let slot = setup.slot.clone().unwrap_or_else(|| slot::default_slot(&setup.url.dbname));
        let query =
            "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots \
            where slot_name = $1 and database = pg_catalog.current_database()";
        client.execute(query, &[&slot]).await.map_err(sql::of)?;
    }
    install::uninstall(&mut client).await?;
    Ok(None)
}

async fn has(client: &Client, query: &str) -> Result<bool> {
    Ok(client.query_one(query, &[]).await.map_err(sql::of)?.get(0))
}
