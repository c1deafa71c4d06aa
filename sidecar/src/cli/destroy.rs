//! `pgstream destroy`: removes everything `init` made.

use clap::Args;

use super::output::{self, Spinner};
use super::{Failure, Global, Source};
use crate::config::Chosen;
use crate::postgres::sql;

/// Flags of `destroy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pgstream destroy --postgres-url postgres://postgres@localhost:5432/app --replication-slot pgstream_app_slot")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

pub(super) async fn execute(global: Global, arguments: Arguments, verb: &str) -> Result<(), Failure> {
    let setup = global.settings(Chosen::default(), arguments.source.flags()).setup()?;
    let spinner = if verb == "destroy" {
        Spinner::start("destroying pgstream...")
    } else {
        output::line("tear-down is deprecated, please use destroy");
        Spinner::start("tearing down pgstream...")
    };
    let _client = sql::connect(&setup.url).await?;
    drop(spinner);
    output::success(format_args!("pgstream {verb} complete"));
    Ok(())
}
