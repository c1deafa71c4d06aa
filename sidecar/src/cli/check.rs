//! `pgstream check`: looks for what would stand in the way of a stream. Changes nothing: where pgstream is not installed, its
//! checks are installed, asked and rolled back, which also tells whether `init` may do it.

use clap::Args;
use serde_json::{json, Value};

use super::{given, output, Failure, Global, Source};
use crate::config::Chosen;
use crate::error::Error;
use crate::install;
use crate::postgres::sql;

/// Flags of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pgstream check --postgres-url postgres://postgres@localhost:5432/app --target-url postgres://postgres@localhost:7654/app")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// URL of a PostgreSQL target
    #[arg(long, value_name = "URL")]
    target_url: Option<String>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

/// One line of the report.
struct Finding {
    name: String,
    value: String,
    ok: bool,
    hint: Option<String>,
}

pub(super) async fn execute(global: Global, arguments: Arguments) -> Result<(), Failure> {
    let mut flags = arguments.source.flags();
    flags.extend(given([("--target-url", "target.postgres.url", arguments.target_url)]));
    let settings = global.settings(Chosen::default(), flags);
    let setup = settings.setup()?;
    let mut findings = Vec::new();
    let mut client = sql::connect(&setup.url).await?;
    findings.push(Finding { name: "source".into(), value: setup.url.to_string(), ok: true, hint: None });
    let transaction = client.transaction().await.map_err(sql::of)?;
    install::install(&transaction).await?;
    let query = "select name, coalesce(value, ''), ok, hint from pgstream.check()";
    let rows = transaction.query(query, &[]).await.map_err(sql::of)?;
    findings.extend(rows.iter().map(|row| Finding {
        name: row.get(0),
        value: row.get(1),
        ok: row.get(2),
        hint: row.get(3),
    }));
    transaction.rollback().await.map_err(sql::of)?;
    if let Some(url) = settings.target_url() {
        findings.push(match sql::connect(url).await {
            Ok(_) => Finding { name: "target".into(), value: url.to_string(), ok: true, hint: None },
            Err(error) => {
                let hint = error.advice().map(str::to_owned);
                Finding { name: "target".into(), value: error.to_string(), ok: false, hint }
            }
        });
    }
    output::report(if arguments.json { as_json(&findings)? } else { as_text(&findings) });
    let issues: Vec<&str> =
        findings.iter().filter(|finding| !finding.ok).map(|finding| finding.name.as_str()).collect();
    if issues.is_empty() {
        output::success("pgstream check encountered no issues");
        return Ok(());
    }
    output::warning(format_args!("pgstream check identified issues with {}", issues.join(", ")));
    Err(Failure::Reported)
}

fn as_text(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let mark = match (finding.ok, &finding.hint) {
            (false, _) => "issue",
            (true, Some(_)) => "note",
            (true, None) => "ok",
        };
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{mark:<5}  {}: {}{hint}", finding.name, finding.value)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn as_json(findings: &[Finding]) -> Result<String, Error> {
    let object = |finding: &Finding| json!({"name": finding.name, "value": finding.value, "ok": finding.ok, "hint": finding.hint});
    let list: Vec<Value> = findings.iter().map(object).collect();
    serde_json::to_string_pretty(&list)
        .map_err(|error| Error::fatal("the report cannot be written").because(error))
}
