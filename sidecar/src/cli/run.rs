//! `pgstream run`: streams until it is told to stop.

use clap::Args;
use tokio::sync::oneshot;

use super::signals::Signals;
use super::{given, init, output, Failure, Global};
use crate::config::{Chosen, Flag, Problems};
use crate::error::{Error, Kind};

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgstream run -c pg2pg.env
  pgstream run --source postgres --source-url postgres://postgres@localhost:5432/app \\
               --target postgres --target-url postgres://postgres@localhost:7654/app
  pgstream run --source postgres --source-url postgres://postgres@localhost:5432/app | jq")]
pub(super) struct Arguments {
    /// Kind of source: postgres
    #[arg(long, value_name = "KIND")]
    source: Option<String>,
    /// URL of the source
    #[arg(long, alias = "postgres-url", alias = "pgurl", value_name = "URL")]
    source_url: Option<String>,
    /// Kind of target: postgres, stdout
    #[arg(long, value_name = "KIND")]
    target: Option<String>,
    /// URL of the target
    #[arg(long, value_name = "URL")]
    target_url: Option<String>,
    /// Replication slot; by default `pgstream_<dbname>_slot`, or the only one `init` made
    #[arg(long, value_name = "NAME")]
    replication_slot: Option<String>,
    /// Prepare the source first, as `pgstream init` does
    #[arg(long)]
    init: bool,
    /// Tables to copy first (not in this build)
    #[arg(long, value_name = "TABLES", hide = true)]
    snapshot_tables: Option<String>,
    /// Empty the target first (not in this build)
    #[arg(long, hide = true)]
    reset: bool,
    /// Keep the schema's dump in a file (not in this build)
    #[arg(long, value_name = "FILE", hide = true)]
    dump_file: Option<String>,
    /// Serve profiles (not in this build)
    #[arg(long, hide = true)]
    profile: bool,
}

const SOURCES: &[(&str, &str)] = &[("postgres", "source.postgres.url"), ("kafka", "source.kafka.servers")];
const TARGETS: &[(&str, &str)] = &[
    ("postgres", "target.postgres.url"),
    ("kafka", "target.kafka.servers"),
    ("opensearch", "target.search.url"),
    ("elasticsearch", "target.search.elasticsearch_url"),
    ("stdout", ""),
];

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
            (
                "--dump-file",
                "source.postgres.snapshot.schema.pgdump_pgrestore.dump_file",
                self.dump_file.clone(),
            ),
        ]);
        flags.extend(source_url);
        flags.extend(target_url);
        for (name, given, what) in
            [("--reset", self.reset, "snapshots"), ("--profile", self.profile, "profiles")]
        {
            if given {
                problems.push(format!("{name}: this build does not have {what}"));
            }
        }
        (Chosen { source, target }, flags)
    }
}

/// One side: the kind named, or read off the URL, and the URL as that kind's setting.
fn side(
    name: &'static str,
    kind: Option<&str>,
    url: Option<String>,
    kinds: &[(&'static str, &'static str)],
    problems: &mut Vec<String>,
) -> (Option<&'static str>, Option<Flag>) {
    let looks_postgres = |url: &str| url.starts_with("postgres") || !url.contains("://") && url.contains('=');
    let kind = match (kind, &url) {
        (Some(kind), _) => kind,
        (None, Some(url)) if looks_postgres(url) => "postgres",
        (None, Some(_)) => {
            problems.push(format!("{name}-url: say of which kind it is by {name}"));
            return (None, None);
        }
        (None, None) => return (None, None),
    };
    let Some((kind, key)) = kinds.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<&str> = kinds.iter().map(|(known, _)| *known).collect();
        problems.push(format!("{name}: {kind:?} is not one of {}", known.join(", ")));
        return (None, None);
    };
    let url_name = if name == "--source" { "--source-url" } else { "--target-url" };
    let flag = match url {
        Some(_) if key.is_empty() => {
            problems.push(format!("{url_name}: {kind} has no URL"));
            None
        }
        Some(value) => Some(Flag { name: url_name, key, value }),
        None => None,
    };
    (Some(kind), flag)
}

/// Streams; a signal ends it in order, a second one at once.
pub(super) async fn execute(global: Global, arguments: Arguments) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let (chosen, flags) = arguments.flags(&mut problems);
    let settings = global.settings(chosen, flags);
    let plan = match settings.plan() {
        Ok(plan) if problems.is_empty() => plan,
        Ok(_) => return Err(Problems(problems).into()),
        Err(Problems(others)) => {
            problems.extend(others);
            return Err(Problems(problems).into());
        }
    };
    for warning in settings.missing() {
        output::warning(warning);
    }
    let mut signals = Signals::install()?;
    if arguments.init {
        init::prepare(&settings.setup()?, &init::Options::default()).await?;
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let mut pipeline = Box::pin(crate::run::run(plan, async move {
        // A sender that just goes is no request: then the pipeline has ended by itself.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    }));
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
