//! `pgstream destroy`: removes everything `init` made, the slot first: it keeps WAL.

use clap::Args;
use tokio_postgres::Client;

use super::output::{self, Spinner};
use super::{Failure, Global, Source};
use crate::config::resolve::Setup;
use crate::config::Chosen;
use crate::error::Result;
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
    let others = remove(&setup).await?;
    drop(spinner);
    if !others.is_empty() {
        output::warning(format_args!(
            "the rest stays for other slots of this database: {} (destroy without --replication-slot removes all)",
            others.join(", ")
        ));
    }
    output::success(format_args!("pgstream {verb} complete"));
    Ok(())
}

/// Removes slot and, unless other slots of ours need them, everything else. Answers these other slots.
async fn remove(setup: &Setup) -> Result<Vec<String>> {
    let mut client = sql::connect(&setup.url).await?;
    client.batch_execute("set client_min_messages = warning").await.map_err(sql::of)?;
    if has(&client, "pg_catalog.to_regprocedure('pgstream.destroy(text)')").await? {
        client.execute("select pgstream.destroy($1)", &[&setup.slot]).await.map_err(sql::of)?;
        let rows =
            client.query("select slot_name from pgstream.slots order by 1", &[]).await.map_err(sql::of)?;
        if !rows.is_empty() {
            return Ok(rows.iter().map(|row| row.get(0)).collect());
        }
    } else {
        let slot = setup.slot.clone().unwrap_or_else(|| slot::default_slot(&setup.url.dbname));
        let query =
            "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots \
            where slot_name = $1 and database = pg_catalog.current_database()";
        client.execute(query, &[&slot]).await.map_err(sql::of)?;
    }
    install::uninstall(&mut client).await?;
    Ok(Vec::new())
}

async fn has(client: &Client, object: &str) -> Result<bool> {
    let row = client.query_one(&format!("select {object} is not null"), &[]).await.map_err(sql::of)?;
    Ok(row.get(0))
}
