//! The command line: one file a command.
//!
//! Reports go to standard output, everything for people to standard error: `SUCCESS`, `WARNING` and `ERROR` lines, the log.
//! Exit code 0 when what was asked for is done, 130 when a signal interrupted it, 1 otherwise.

mod check;
mod destroy;
mod init;
mod output;
mod run;
mod side;
mod signals;
mod snapshot;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{self, Chosen, Flag, Problems, Settings};
use crate::error::Error;
use crate::telemetry;

/// Change data capture for PostgreSQL: rows and schema changes in one ordered stream.
#[derive(Debug, Parser)]
#[command(name = "pgstream", version = concat!("version ", env!("CARGO_PKG_VERSION")), after_help = "\
Example:
  pgstream init --postgres-url postgres://postgres:postgres@localhost:5432?sslmode=disable
  pgstream run --source postgres --source-url postgres://postgres:postgres@localhost:5432?sslmode=disable | jq")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of every command.
#[derive(Debug, Args)]
struct Global {
    /// Configuration file (.env, .yaml)
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is logged: trace, debug, info, warn, error, fatal, panic
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How log lines look: console, json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// No colours in the log
    #[arg(long, global = true)]
    no_color: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prepare a database: schema, triggers, publications, replication slot
    Init(init::Arguments),
    /// Remove everything `init` made
    Destroy(destroy::Arguments),
    /// The former name of `destroy`
    #[command(hide = true)]
    TearDown(destroy::Arguments),
    /// Stream changes from the source to the target
    Run(Box<run::Arguments>),
    /// Copy existing schema and rows once
    Snapshot(Box<snapshot::Arguments>),
    /// Show whether a database is prepared and the configuration is valid
    Status(status::Arguments),
    /// Look for what would stand in the way of a stream
    Check(check::Arguments),
}

/// Flags that name the source database.
#[derive(Debug, Args)]
struct Source {
    /// URL of the source database
    #[arg(long, alias = "pgurl", value_name = "URL")]
    postgres_url: Option<String>,
    /// Replication slot; by default `pgstream_<dbname>_slot`
    #[arg(long, value_name = "NAME")]
    replication_slot: Option<String>,
}

impl Source {
    fn flags(self) -> Vec<Flag> {
        let flags = [
            ("--postgres-url", "source.postgres.url", self.postgres_url),
            ("--replication-slot", "source.postgres.replication.replication_slot", self.replication_slot),
        ];
        given(flags)
    }
}

/// The flags that were typed.
fn given<const N: usize>(flags: [(&'static str, &'static str, Option<String>); N]) -> Vec<Flag> {
    flags.into_iter().filter_map(|(name, key, value)| Some(Flag { name, key, value: value? })).collect()
}

impl Global {
    /// Reads the configuration and starts logging by it.
    fn settings(self, chosen: Chosen, mut flags: Vec<Flag>) -> Settings {
        flags.extend(given([
            ("--log-level", "logging.level", self.log_level),
            ("--log-format", "logging.format.type", self.log_format),
            ("--no-color", "logging.format.no_color", self.no_color.then(|| "true".into())),
        ]));
        if let Some(file) = &self.config {
            output::line(format_args!("using config file: {}", file.display()));
        }
        let settings = config::read(self.config.as_deref(), &config::environment(), chosen, flags);
        telemetry::start(&settings.logging());
        for warning in settings.warnings() {
            output::warning(warning);
        }
        settings
    }
}

/// Why a command did not do what was asked for.
enum Failure {
    /// An error.
    Error(Error),
    /// Everything that is wrong with the configuration.
    Configuration(Problems),
    /// The report has said it.
    Reported,
    /// A signal ended what was asked for.
    Interrupted,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems)
    }
}

/// The plan, when neither it nor what was typed is wrong; all that is wrong otherwise. Warns of what has no effect.
fn checked<T>(
    settings: &Settings,
    mut problems: Vec<String>,
    plan: Result<T, Problems>,
) -> Result<T, Failure> {
    match plan {
        Ok(plan) if problems.is_empty() => {
            settings.missing().iter().for_each(output::warning);
            Ok(plan)
        }
        Ok(_) => Err(Problems(problems).into()),
        Err(Problems(others)) => {
            problems.extend(others);
            Err(Problems(problems).into())
        }
    }
}

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    output::report_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // A closed standard output is no reason to fail.
            let _ = answer.print();
            return ExitCode::from(u8::from(answer.use_stderr()));
        }
    };
    let Some(command) = cli.command else {
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    };
    // One thread: the tasks wait for each other far more than they work, and waking another thread costs more than the work handed over.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Error::fatal(format!("cannot start: {error}")).into()),
    };
    let result = runtime.block_on(Box::pin(dispatch(cli.global, command)));
    // Nothing is waited for: what had to be finished was finished by the command.
    runtime.shutdown_background();
    result.map_or_else(fail, |()| ExitCode::SUCCESS)
}

async fn dispatch(global: Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Init(arguments) => init::execute(global, arguments).await,
        Command::Destroy(arguments) => destroy::execute(global, arguments, "destroy").await,
        Command::TearDown(arguments) => destroy::execute(global, arguments, "tear down").await,
        Command::Run(arguments) => run::execute(global, *arguments).await,
        Command::Snapshot(arguments) => snapshot::execute(global, *arguments).await,
        Command::Status(arguments) => status::execute(global, arguments).await,
        Command::Check(arguments) => check::execute(global, arguments).await,
    }
}

fn fail(failure: Failure) -> ExitCode {
    match failure {
        Failure::Error(error) => output::error(&error),
        Failure::Configuration(Problems(problems)) => problems.iter().for_each(output::error),
        Failure::Reported => {}
        Failure::Interrupted => {
            output::warning("interrupted: the next run goes on from here");
            return ExitCode::from(130);
        }
    }
    ExitCode::FAILURE
}
