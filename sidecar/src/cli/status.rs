//! `pgstream status`: whether a database is prepared and the configuration is valid.

use clap::Args;
use serde::Serialize;
use tokio_postgres::Client;

use super::output::{self, Spinner};
use super::{Failure, Global, Source as SourceFlags};
use crate::config::resolve::{Setup, NO_TRANSFORMERS};
use crate::config::{Chosen, Problems, Settings};
use crate::error::{Error, Result};
use crate::install;
use crate::postgres::sql;
use crate::source::slot;

/// Flags of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgstream status -c pg2pg.env
  pgstream status --postgres-url postgres://postgres@localhost:5432/app --json | jq .Init")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: SourceFlags,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

/// The report; its names are an interface.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    init: Init,
    config: Verdict,
    transformation_rules: Option<Verdict>,
    source: Reachability,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Init {
    pgstream_schema: Schema,
    migration: Migration,
    replication_slot: Slot,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Schema {
    schema_exists: bool,
    schema_log_table_exists: bool,
    errors: Errors,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Migration {
    version: i64,
    dirty: bool,
    errors: Errors,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Slot {
    name: String,
    plugin: String,
    database: String,
    errors: Errors,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Verdict {
    valid: bool,
    errors: Errors,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reachability {
    reachable: bool,
    errors: Errors,
}

/// None or at least one.
type Errors = Option<Vec<String>>;

fn add(errors: &mut Errors, error: impl Into<String>) {
    errors.get_or_insert_default().push(error.into());
}

pub(super) async fn execute(global: Global, arguments: Arguments) -> std::result::Result<(), Failure> {
    let settings = global.settings(Chosen::default(), arguments.source.flags());
    let spinner = Spinner::start("checking pgstream status...");
    let (report, unreachable) = look(&settings).await?;
    drop(spinner);
    let issues = report.issues();
    if issues.is_empty() {
        output::success("pgstream status check encountered no issues");
    } else {
        output::warning(format_args!("pgstream status check identified issues with {}", issues.join(", ")));
    }
    output::report(if arguments.json { report.json()? } else { report.text() });
    match unreachable {
        Some(error) => Err(error.into()),
        None if issues.is_empty() => Ok(()),
        None => Err(Failure::Reported),
    }
}

/// Looks at everything. An unreachable source is part of the report, and the error besides.
async fn look(settings: &Settings) -> Result<(Report, Option<Error>)> {
    let mut report = Report { config: config(settings), ..Report::default() };
    if settings.has_rules() {
        let errors = Some(vec![NO_TRANSFORMERS.to_owned()]);
        report.transformation_rules = Some(Verdict { valid: false, errors });
    }
    let Some(setup) = settings.source() else {
        report.source.errors = Some(vec!["source not provided".into()]);
        report.init.cannot_be_validated("source not provided");
        return Ok((report, None));
    };
    match sql::connect(&setup.url).await {
        Ok(client) => {
            report.source.reachable = true;
            report.init = init(&client, &setup).await?;
            Ok((report, None))
        }
        Err(error) => {
            report.source.errors = Some(vec![format!("source postgres not reachable: {error}")]);
            report.init.cannot_be_validated("source postgres not reachable");
            Ok((report, Some(error)))
        }
    }
}

fn config(settings: &Settings) -> Verdict {
    let Problems(mut problems) = settings.work().err().unwrap_or(Problems(Vec::new()));
    // These have a section of their own.
    problems.retain(|problem| problem != NO_TRANSFORMERS);
    Verdict { valid: problems.is_empty(), errors: (!problems.is_empty()).then_some(problems) }
}

async fn init(client: &Client, setup: &Setup) -> Result<Init> {
    let query = "select exists (select from pg_catalog.pg_namespace where nspname = 'pgstream'), \
        pg_catalog.to_regclass('pgstream.schema_log') is not null, \
        pg_catalog.to_regclass('pgstream.schema_migrations') is not null, \
        pg_catalog.to_regclass('pgstream.slots') is not null";
    let row = client.query_one(query, &[]).await.map_err(sql::of)?;
    let mut schema = Schema { schema_exists: row.get(0), schema_log_table_exists: row.get(1), errors: None };
    if !schema.schema_exists {
        add(&mut schema.errors, "pgstream schema does not exist in the configured postgres database");
    } else if !schema.schema_log_table_exists {
        add(
            &mut schema.errors,
            "pgstream schema_log table does not exist in the configured postgres database",
        );
    }
    let migration = migration(client, row.get(2)).await;
    let mut replication_slot = replication_slot(client, setup, row.get(3)).await?;
    if row.get(3) {
        details(client, &mut schema, &mut replication_slot).await;
    }
    Ok(Init { pgstream_schema: schema, migration, replication_slot })
}

async fn migration(client: &Client, exists: bool) -> Migration {
    let mut migration = Migration::default();
    if !exists {
        let error = "pgstream schema_migrations table does not exist in the configured postgres database";
        add(&mut migration.errors, error);
        return migration;
    }
    let table = "select version, dirty from pgstream.schema_migrations order by version desc limit 1";
    // Only the owner reads the table; whoever may ask the function reads it there.
    let function =
        "select pg_catalog.substring(value, 'migration (\\d+)')::bigint, not ok from pgstream.status() \
        where name = 'install'";
    let row = match client.query_opt(table, &[]).await {
        Err(_) => client.query_opt(function, &[]).await,
        row => row,
    };
    match row {
        Ok(Some(row)) => (migration.version, migration.dirty) = (row.get(0), row.get(1)),
        Ok(None) => {}
        Err(error) => add(&mut migration.errors, sql::of(error).to_string()),
    }
    let (version, newest) = (migration.version, install::newest());
    if migration.dirty {
        add(&mut migration.errors, format!("migration version {version} is dirty"));
    }
    if migration.errors.is_none() && version != newest {
        let error =
            format!("migration version ({version}) does not match the number of migration files ({newest})");
        add(&mut migration.errors, error);
    }
    migration
}

/// The slot a `run` would take: the named one, the default one, else the only one that was set up here.
async fn replication_slot(client: &Client, setup: &Setup, has_slots: bool) -> Result<Slot> {
    let name = setup.slot.clone().unwrap_or_else(|| slot::default_slot(&setup.url.dbname));
    let query = "select slot_name::text, coalesce(plugin::text, ''), coalesce(database::text, ''), \
        coalesce(wal_status, '') from pg_catalog.pg_replication_slots where slot_name = $1";
    let mut found = client.query_opt(query, &[&name]).await.map_err(sql::of)?;
    if found.is_none() && setup.slot.is_none() && has_slots {
        let rows = client.query("select slot_name from pgstream.slots", &[]).await.unwrap_or_default();
        if let [only] = rows.as_slice() {
            found = client.query_opt(query, &[&only.get::<_, String>(0)]).await.map_err(sql::of)?;
        }
    }
    let mut slot = Slot::default();
    let missing = format!("replication slot {name} does not exist in the configured database");
    let Some(row) = found else {
        add(&mut slot.errors, missing);
        return Ok(slot);
    };
    (slot.name, slot.plugin, slot.database) = (row.get(0), row.get(1), row.get(2));
    if slot.database != setup.url.dbname {
        add(&mut slot.errors, missing);
    } else if slot.plugin != "pgoutput" {
        add(&mut slot.errors, format!("replication slot {} is not using the pgoutput plugin", slot.name));
    } else if row.get::<_, String>(3) == "lost" {
        add(
            &mut slot.errors,
            format!("replication slot {} is lost: the server removed WAL it needs", slot.name),
        );
    }
    Ok(slot)
}

/// What the database itself finds wrong.
async fn details(client: &Client, schema: &mut Schema, slot: &mut Slot) {
    let query =
        "select name, concat_ws(': ', name, value), coalesce(hint, '') from pgstream.status() where not ok";
    let rows = match client.query(query, &[]).await {
        Ok(rows) => rows,
        Err(error) => return add(&mut schema.errors, sql::of(error).to_string()),
    };
    for row in rows {
        let (name, text, hint): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let text = if hint.is_empty() { text } else { format!("{text} ({hint})") };
        if name == format!("slot {}", slot.name) && slot.errors.is_none() {
            add(&mut slot.errors, text);
        } else if !name.starts_with("slot") {
            add(&mut schema.errors, text);
        }
    }
}

impl Init {
    fn cannot_be_validated(&mut self, why: &str) {
        add(&mut self.pgstream_schema.errors, format!("cannot validate schema status: {why}"));
        add(&mut self.migration.errors, format!("cannot validate migration status: {why}"));
        add(&mut self.replication_slot.errors, format!("cannot validate replication slot status: {why}"));
    }

    fn is_fine(&self) -> bool {
        self.pgstream_schema.errors.is_none()
            && self.migration.errors.is_none()
            && self.replication_slot.errors.is_none()
    }
}

impl Report {
    /// The sections that have issues, in their order.
    fn issues(&self) -> Vec<&'static str> {
        let rules = self.transformation_rules.as_ref().is_none_or(|rules| rules.valid);
        [
            ("init", self.init.is_fine()),
            ("config", self.config.valid),
            ("transformation_rules", rules),
            ("source", self.source.reachable),
        ]
        .into_iter()
        .filter_map(|(name, fine)| (!fine).then_some(name))
        .collect()
    }

    fn json(&self) -> Result<String> {
        let mut out = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        self.serialize(&mut serde_json::Serializer::with_formatter(&mut out, format))
            .map_err(|error| Error::fatal("the report cannot be written").because(error))?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn text(&self) -> String {
        let Init { pgstream_schema: schema, migration, replication_slot: slot } = &self.init;
        let mut lines = vec!["Initialisation status:".to_owned()];
        let mut item =
            |label: &str, value: &str| lines.push(format!(" - {label}: {value}").trim_end().to_owned());
        let list = |errors: &Errors| errors.as_ref().map(|errors| format!("[{}]", errors.join(", ")));
        let yes_no = |yes: bool| if yes { "true" } else { "false" };
        item("Pgstream schema exists", yes_no(schema.schema_exists));
        item("Pgstream schema_log table exists", yes_no(schema.schema_log_table_exists));
        list(&schema.errors).iter().for_each(|errors| item("Pgstream schema errors", errors));
        item("Migration current version", &migration.version.to_string());
        item("Migration status", if migration.dirty { "failed" } else { "success" });
        list(&migration.errors).iter().for_each(|errors| item("Migration errors", errors));
        item("Replication slot name", &slot.name);
        item("Replication slot plugin", &slot.plugin);
        item("Replication slot database", &slot.database);
        list(&slot.errors).iter().for_each(|errors| item("Replication slot errors", errors));

        let no_rules = Verdict { valid: true, errors: None };
        let rules = self.transformation_rules.as_ref().unwrap_or(&no_rules);
        for (title, label, yes, errors) in [
            ("Config status:", "Valid", self.config.valid, &self.config.errors),
            ("Transformation rules status:", "Valid", rules.valid, &rules.errors),
            ("Source status:", "Reachable", self.source.reachable, &self.source.errors),
        ] {
            lines.push(title.to_owned());
            lines.push(format!(" - {label}: {yes}"));
            lines.extend(list(errors).map(|errors| format!(" - Errors: {errors}")));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> Report {
        Report {
            init: Init {
                pgstream_schema: Schema { schema_exists: true, schema_log_table_exists: true, errors: None },
                migration: Migration { version: 8, dirty: false, errors: None },
                replication_slot: Slot {
                    name: "pgstream_tutorial_slot".into(),
                    plugin: "pgoutput".into(),
                    database: "postgres".into(),
                    errors: None,
                },
            },
            config: Verdict { valid: true, errors: None },
            transformation_rules: None,
            source: Reachability { reachable: true, errors: None },
        }
    }

    #[test]
    fn text_of_a_prepared_database() {
        let expected = "Initialisation status:\n - Pgstream schema exists: true\n - Pgstream schema_log table exists: true\n \
            - Migration current version: 8\n - Migration status: success\n - Replication slot name: pgstream_tutorial_slot\n \
            - Replication slot plugin: pgoutput\n - Replication slot database: postgres\nConfig status:\n - Valid: true\n\
            Transformation rules status:\n - Valid: true\nSource status:\n - Reachable: true";
        assert_eq!(prepared().text(), expected);
        assert_eq!(prepared().issues(), Vec::<&str>::new());
    }

    #[test]
    fn issues_in_a_fixed_order() {
        let mut report = Report::default();
        report.init.cannot_be_validated("source not provided");
        assert_eq!(report.issues(), ["init", "config", "source"]);
        assert!(report.text().contains(
            " - Replication slot name:\n - Replication slot plugin:\n - Replication slot database:\n \
             - Replication slot errors: [cannot validate replication slot status: source not provided]\n"
        ));
    }

    #[test]
    fn json_as_others_read_it() {
        let json = prepared().json().expect("json");
        assert!(
            json.starts_with("{\n\t\"Init\": {\n\t\t\"PgstreamSchema\": {\n\t\t\t\"SchemaExists\": true,"),
            "{json}"
        );
        assert!(json.ends_with("\t\"TransformationRules\": null,\n\t\"Source\": {\n\t\t\"Reachable\": true,\n\t\t\"Errors\": null\n\t}\n}"), "{json}");
    }
}
