//! `pgstream snapshot`: copies what is there, and ends.

use std::sync::Arc;

use clap::Args;

use super::side::{side, TARGETS};
use super::signals::Signals;
use super::{checked, given, output, Failure, Global};
use crate::config::plan::Plan;
use crate::config::{Chosen, Flag};
use crate::source::snapshot::progress::Progress;

/// Flags of `snapshot`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgstream snapshot -c snapshot.env
  pgstream snapshot --postgres-url postgres://postgres@localhost:5432/app --tables '*.*' \\
                    --target postgres --target-url postgres://postgres@localhost:7654/app")]
pub(super) struct Arguments {
    /// URL of the database to copy
    #[arg(long, alias = "source-url", alias = "pgurl", value_name = "URL")]
    postgres_url: Option<String>,
    /// Kind of target: postgres, kafka, stdout
    #[arg(long, value_name = "KIND")]
    target: Option<String>,
    /// URL of the target
    #[arg(long, value_name = "URL")]
    target_url: Option<String>,
    /// Tables to copy, separated by commas or spaces: schema.table, table, schema.*, *
    #[arg(long, value_name = "TABLES")]
    tables: Option<String>,
    /// Drop at the target what is copied, first
    #[arg(long)]
    reset: bool,
    /// Also write the copied schema to this file
    #[arg(long, value_name = "FILE")]
    dump_file: Option<String>,
    /// Serve profiles (not in this build)
    #[arg(long, hide = true)]
    profile: bool,
}

/// The setting of `--reset`.
pub(super) const RESET: &str = "source.postgres.snapshot.schema.pgdump_pgrestore.clean_target_db";
/// The setting of `--dump-file`.
pub(super) const DUMP_FILE: &str = "source.postgres.snapshot.schema.pgdump_pgrestore.dump_file";

/// Copies once.
pub(super) async fn execute(global: Global, arguments: Arguments) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let (target, target_url) =
        side("--target", arguments.target.as_deref(), arguments.target_url, TARGETS, &mut problems);
    let mut flags = given([
        ("--postgres-url", "source.postgres.url", arguments.postgres_url),
        ("--tables", "source.postgres.snapshot.tables", arguments.tables),
        ("--reset", RESET, arguments.reset.then(|| "true".into())),
        ("--dump-file", DUMP_FILE, arguments.dump_file),
    ]);
    flags.push(Flag { name: "snapshot", key: "source.postgres.mode", value: "snapshot".into() });
    flags.extend(target_url);
    if arguments.profile {
        problems.push("--profile: this build does not have profiles".into());
    }
    let settings = global.settings(Chosen { source: None, target }, flags);
    copy(&checked(&settings, problems, settings.plan())?).await
}

/// Copies what the plan says; a signal ends it at once, and the next run goes on.
pub(super) async fn copy(plan: &Plan) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let progress = Arc::new(Progress::new(plan.snapshot.bars));
    let outcome = tokio::select! {
        outcome = crate::snapshot::copy(plan, None, Arc::clone(&progress)) => outcome,
        () = signals.next() => return Err(Failure::Interrupted),
    };
    progress.clear();
    let outcome = outcome?;
    let (totals, took) = (progress.totals(), progress.elapsed());
    if outcome.copied == 0 && outcome.failed.is_empty() && outcome.before > 0 {
        output::success(format_args!(
            "nothing to copy: {} tables were copied before (--reset copies them again)",
            outcome.before
        ));
        return Ok(());
    }
    for (what, error) in &outcome.failed {
        output::error(format_args!("{what}: {error}"));
    }
    let copied = format_args!(
        "{} tables, {} rows, {} MB in {:.1} s",
        outcome.copied,
        totals.rows,
        totals.bytes / 1_000_000,
        took.as_secs_f64()
    )
    .to_string();
    if outcome.failed.is_empty() {
        output::success(format_args!("snapshot complete: {copied}"));
        return Ok(());
    }
    output::line(format_args!(
        "copied {copied}; {} failed and will be tried again by the next run",
        outcome.failed.len()
    ));
    Err(Failure::Reported)
}
