//! `pgstream run`: streams until it is told to stop.

use std::future::Future;
use std::pin::Pin;

use clap::Args;
use tokio::sync::oneshot;

use super::side::{side, SOURCES, TARGETS};
use super::signals::Signals;
use super::snapshot::{DUMP_FILE, RESET};
use super::{checked, given, init, snapshot, Failure, Global};
use crate::config::plan::{Mode, Work};
use crate::config::resolve::Setup;
use crate::config::{Chosen, Flag};
use crate::error::{Error, Kind};

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgstream run -c pg2pg.env
  pgstream run --source postgres --source-url postgres://postgres@localhost:5432/app \\
               --target postgres --target-url postgres://postgres@localhost:7654/app
  pgstream run --source postgres --source-url postgres://postgres@localhost:5432/app \\
               --target kafka --target-url localhost:9092
  pgstream run --source postgres --source-url postgres://postgres@localhost:5432/app | jq")]
pub(super) struct Arguments {
    /// Kind of source: postgres, kafka
    #[arg(long, value_name = "KIND")]
    source: Option<String>,
    /// URL of the source; brokers of Kafka: host:port, separated by commas
    #[arg(long, alias = "postgres-url", alias = "pgurl", value_name = "URL")]
    source_url: Option<String>,
    /// Kind of target: postgres, kafka, stdout
    #[arg(long, value_name = "KIND")]
    target: Option<String>,
    /// URL of the target; brokers of Kafka: host:port, separated by commas
    #[arg(long, value_name = "URL")]
    target_url: Option<String>,
    /// Replication slot; by default `pgstream_<dbname>_slot`, or the only one `init` made
    #[arg(long, value_name = "NAME")]
    replication_slot: Option<String>,
    /// Prepare the source first, as `pgstream init` does
    #[arg(long)]
    init: bool,
    /// Tables to copy first, separated by commas or spaces: schema.table, table, schema.*, *
    #[arg(long, value_name = "TABLES")]
    snapshot_tables: Option<String>,
    /// Drop at the target what is copied, first
    #[arg(long)]
    reset: bool,
    /// Start over after a lost slot or a restored target: copy everything anew, then stream
    #[arg(long)]
    resnapshot: bool,
    /// Also write the copied schema to this file
    #[arg(long, value_name = "FILE")]
    dump_file: Option<String>,
    /// Serve profiles (not in this build)
    #[arg(long, hide = true)]
    profile: bool,
}

impl Arguments {
    /// The flags as settings, and the kinds they name. What cannot be understood goes to `problems`.
    fn flags(&self, problems: &mut Vec<String>) -> (Chosen, Vec<Flag>) {
        let (source, source_url) =
            side("--source", self.source.as_deref(), self.source_url.clone(), SOURCES, problems);
        let (target, target_url) =
            side("--target", self.target.as_deref(), self.target_url.clone(), TARGETS, problems);
        let mut flags = given([
            (
                "--replication-slot",
                "source.postgres.replication.replication_slot",
                self.replication_slot.clone(),
            ),
            ("--snapshot-tables", "source.postgres.snapshot.tables", self.snapshot_tables.clone()),
            ("--dump-file", DUMP_FILE, self.dump_file.clone()),
            ("--reset", RESET, self.reset.then(|| "true".into())),
        ]);
        flags.extend(source_url);
        flags.extend(target_url);
        if self.profile {
            problems.push("--profile: this build does not have profiles".into());
        }
        (Chosen { source, target }, flags)
    }
}

/// Streams; a signal ends it in order, a second one at once.
pub(super) async fn execute(global: Global, arguments: Arguments) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let (chosen, flags) = arguments.flags(&mut problems);
    let settings = global.settings(chosen, flags);
    let work = checked(&settings, problems, settings.work())?;
    let mut plan = match work {
        Work::Database(plan) => *plan,
        Work::Topic(plan) => {
            return until_signal(Signals::install()?, |stop| crate::topic::run(*plan, stop)).await
        }
    };
    if plan.mode == Mode::Snapshot {
        return snapshot::copy(&plan).await;
    }
    if arguments.resnapshot {
        plan.mode = Mode::SnapshotAndReplication;
        plan.resnapshot = true;
        plan.source.slot = Some(crate::snapshot::again::forget(&plan).await?);
    }
    let signals = Signals::install()?;
    if arguments.init || arguments.resnapshot {
        let setup = Setup { slot: plan.source.slot.clone(), ..settings.setup()? };
        init::prepare(&setup, &init::Options::default()).await?;
    }
    until_signal(signals, |stop| crate::run::run(plan, stop)).await
}

/// Runs a pipeline that ends when `stop` does: by a signal in order, by a second one at once.
async fn until_signal<F: Future<Output = crate::error::Result<()>>>(
    mut signals: Signals,
    run: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
) -> Result<(), Failure> {
    let (stop, stopped) = oneshot::channel::<()>();
    let mut pipeline = Box::pin(run(Box::pin(async move {
        // A sender that just goes is no request: then the pipeline has ended by itself.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    })));
    tokio::select! {
        result = &mut pipeline => return finish(result),
        () = signals.next() => {}
    }
    let _ = stop.send(());
    tokio::select! {
        result = &mut pipeline => finish(result),
        () = signals.next() => Err(Error::fatal("stopped at once by a second signal; what was not confirmed comes again").into()),
    }
}

fn finish(result: crate::error::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == Kind::Stopped => Ok(()),
        result => Ok(result?),
    }
}
