//! `pgstream check`: looks for what would stand in the way of a stream.

use clap::Args;

use super::{Failure, Global, Source};
use crate::config::Chosen;

/// Flags of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pgstream check --postgres-url postgres://postgres@localhost:5432/app")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

pub(super) async fn execute(global: Global, arguments: Arguments) -> Result<(), Failure> {
    global.settings(Chosen::default(), arguments.source.flags()).setup()?;
    Ok(())
}
