//! `pgstream init`: prepares a database.
//!
//! ```text
//! install + setup_check | publications | wait for older transactions | lists | slot | first schema documents
//! ```
//!
//! Each step is a transaction of its own, because the server looks publications up as of each change: the slot must not be older than
//! they are. What is there already is kept, so a second `init`, or one after a failure, goes on where the first one was.

use std::time::Duration;

use clap::Args;
use tokio::time::{interval, timeout_at, Instant};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::output::{self, Spinner};
use super::{Failure, Global, Source};
use crate::config::resolve::Setup;
use crate::config::Chosen;
use crate::error::{Error, Result};
use crate::install;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::sql;

/// Flags of `init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pgstream init --postgres-url postgres://postgres@localhost:5432/app --replication-slot pgstream_app_slot")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Set REPLICA IDENTITY FULL on tables without a usable identity, so that their updates and deletes are captured
    #[arg(long)]
    replica_identity_full: bool,
    /// How long to wait for other transactions
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    timeout: String,
}

/// What can be chosen.
pub(super) struct Options {
    replica_identity_full: bool,
    timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { replica_identity_full: false, timeout: Duration::from_secs(60) }
    }
}

pub(super) async fn execute(global: Global, arguments: Arguments) -> std::result::Result<(), Failure> {
    let settings = global.settings(Chosen::default(), arguments.source.flags());
    let timeout = crate::config::value::duration(&arguments.timeout, Duration::from_secs(1));
    let timeout =
        timeout.ok_or_else(|| Error::fatal("--timeout: not a duration").hint("examples: 30s, 5m"))?;
    let options = Options { replica_identity_full: arguments.replica_identity_full, timeout };
    prepare(&settings.setup()?, &options).await?;
    output::success("pgstream initialisation complete");
    Ok(())
}

/// Installs what is missing and runs the steps of setting up.
pub(super) async fn prepare(setup: &Setup, options: &Options) -> Result<()> {
    let spinner = Spinner::start("initialising pgstream...");
    let mut client = sql::connect(&setup.url).await?;
    // Other settings of the login or database would only get in the way.
    let quiet = "set lock_timeout = 0; set statement_timeout = 0; set client_min_messages = warning; \
        set default_transaction_isolation = 'read committed'; set default_transaction_read_only = off";
    client.batch_execute(quiet).await.map_err(sql::of)?;
    let turn = "select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('pgstream.init', 0))";
    let deadline = Instant::now() + options.timeout;
    let pid: i32 = client.query_one("select pg_catalog.pg_backend_pid()", &[]).await.map_err(sql::of)?.get(0);
    let watch = Watch { url: &setup.url, pid, deadline, spinner: &spinner };
    watch.run("wait for another init", &client, turn, &[]).await?;

    let slot = install_and_check(&mut client, setup).await?;
    let step = async |doing: &str, query: &str, values: &[&(dyn ToSql + Sync)]| {
        watch.run(doing, &client, query, values).await
    };
    step("make the publications", "select pgstream.setup_publications()", &[]).await?;
    wait_for_older(&client, &watch).await?;
    step("fill the publications", "select pgstream.setup_lists($1)", &[&options.replica_identity_full])
        .await?;
    step("make the slot", "select pgstream.setup_slot($1, $2)::text", &[&slot, &setup.plugin]).await?;
    step("log the schemas", "select pgstream.setup_schemas($1)", &[&slot]).await?;
    tracing::debug!(%slot, database = %setup.url.dbname, "initialised");
    Ok(())
}

/// Either everything is installed and the checks have passed, or nothing was changed. Answers the name of the slot.
async fn install_and_check(client: &mut Client, setup: &Setup) -> Result<String> {
    let transaction = client.transaction().await.map_err(sql::of)?;
    install::install(&transaction).await?;
    let row =
        transaction.query_one("select pgstream.setup_check($1, $2)", &[&setup.slot, &setup.plugin]).await;
    let slot = row.map_err(sql::of)?.get(0);
    transaction.commit().await.map_err(sql::of)?;
    Ok(slot)
}

/// Waits until no transaction runs that is older than the publications.
async fn wait_for_older(client: &Client, watch: &Watch<'_>) -> Result<()> {
    let query = "select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text";
    let before: String = client.query_one(query, &[]).await.map_err(sql::of)?.get(0);
    let query =
        "select coalesce('pid ' || pid, query) || ' since ' || pg_catalog.date_trunc('second', since) \
        from pgstream.setup_blockers($1::text::xid8)";
    let mut tick = interval(Duration::from_millis(50));
    let mut said = String::new();
    loop {
        let rows = client.query(query, &[&before]).await.map_err(sql::of)?;
        if rows.is_empty() {
            return Ok(());
        }
        let blockers = rows.iter().map(|row| row.get(0)).collect::<Vec<String>>().join(", ");
        if Instant::now() >= watch.deadline {
            return Err(timed_out("wait for older transactions", &blockers));
        }
        if blockers != said {
            watch.spinner.note(&format!("waiting for older transactions: {blockers}"));
            said = blockers;
        }
        tick.tick().await;
    }
}

fn timed_out(doing: &str, blockers: &str) -> Error {
    let who = if blockers.is_empty() { "the server" } else { blockers };
    Error::fatal(format!("{doing}: still waiting for {who}")).hint(
        "end these transactions or wait longer (--timeout), and run init again: it goes on where it was",
    )
}

/// Runs a statement under the deadline and says who is in the way.
struct Watch<'a> {
    url: &'a ConnInfo,
    pid: i32,
    deadline: Instant,
    spinner: &'a Spinner,
}

impl Watch<'_> {
    async fn run(
        &self,
        doing: &str,
        client: &Client,
        query: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Row> {
        let mut running = Box::pin(client.query_one(query, values));
        let soon = Instant::now() + Duration::from_secs(1);
        if let Ok(result) = timeout_at(soon.min(self.deadline), &mut running).await {
            return result.map_err(|error| sql::of(error).context(doing));
        }
        let observer = sql::connect(self.url).await?;
        let mut tick = interval(Duration::from_millis(500));
        let mut said = String::new();
        loop {
            tokio::select! {
                result = &mut running => return result.map_err(|error| sql::of(error).context(doing)),
                _ = tick.tick() => {}
            }
            let blockers = self.blockers(&observer).await?;
            if Instant::now() >= self.deadline {
                let end = "select pg_catalog.pg_cancel_backend($1)";
                observer.execute(end, &[&self.pid]).await.map_err(sql::of)?;
                // Only once it has given up is nothing left behind.
                let _ = running.await;
                return Err(timed_out(doing, &blockers));
            }
            if blockers != said && !blockers.is_empty() {
                self.spinner.note(&format!("waiting for {blockers} to {doing}"));
                said = blockers;
            }
        }
    }

    async fn blockers(&self, observer: &Client) -> Result<String> {
        let query = "select coalesce(pg_catalog.string_agg(coalesce('pid ' || a.pid || ' since ' \
            || pg_catalog.date_trunc('second', a.xact_start), 'a prepared transaction'), ', '), '') \
            from pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) as b(pid) \
            left join pg_catalog.pg_stat_activity as a on a.pid = b.pid";
        Ok(observer.query_one(query, &[&self.pid]).await.map_err(sql::of)?.get(0))
    }
}
