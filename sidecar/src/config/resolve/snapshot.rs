//! Whether existing rows are copied, which and how.

use crate::config::plan::{Mode, Target};
use crate::config::snapshot::{
    DumpOptions, Parts, RangeSize, Roles, SchemaSource, Snapshot, Workers, OBJECT_TYPES,
};
use crate::config::Settings;
use crate::pipeline::filter::Filter;

const PREFIX: &str = "source.postgres.snapshot.";
const DUMP: &str = "schema.pgdump_pgrestore.";
/// Size of a range where none is given.
const RANGE: u64 = 80 << 20;
/// Connections where no limit is given.
const CONNECTIONS: usize = 50;
/// Sessions at the source while the schema is dumped: the books, the snapshot, the tables' locks and `pg_dump`.
const FEWEST: u64 = 4;

fn key(rest: &str) -> String {
    format!("{PREFIX}{rest}")
}

impl Settings {
    /// What `run` copies, and how.
    pub(super) fn plan_snapshot(
        &self,
        mode: Mode,
        target: Option<&Target>,
        problems: &mut Vec<String>,
    ) -> Snapshot {
        let postgres = target.is_none_or(Target::is_postgres);
        let [tables, excluded, schema_only] =
            ["tables", "excluded_tables", "schema_only_tables"].map(|rest| self.patterns(rest, problems));
        let text = |rest: &str| self.text(&key(rest));
        let snapshot = Snapshot {
            parts: match text("mode") {
                Some("schema") => Parts::Schema,
                Some("data") => Parts::Data,
                _ => Parts::Full,
            },
            tables: if tables.is_empty() { vec!["*.*".into()] } else { tables },
            excluded,
            schema_only,
            workers: self.workers(),
            range: match (self.number(&key("data.batch_bytes")), self.number(&key("data.batch_page_size"))) {
                (Some(bytes), _) if bytes > 0 => RangeSize::Bytes(bytes),
                (_, Some(pages)) if pages > 0 => RangeSize::Pages(pages),
                _ => RangeSize::Bytes(RANGE),
            },
            schema: if postgres {
                SchemaSource::Dump(Box::new(self.dump_options(problems)))
            } else {
                SchemaSource::SchemaLog
            },
            recorder: self
                .url(&key("recorder.postgres_url"))
                .or_else(|| self.url("source.postgres.url").filter(|_| mode == Mode::SnapshotAndReplication))
                .cloned(),
            repeat: self.flag(&key("recorder.repeatable_snapshots")) == Some(true),
            bars: self.flag(&key("disable_progress_tracking")) != Some(true),
        };
        if let Some(few) = self.number(&key("max_connections")).filter(|number| (1..FEWEST).contains(number))
        {
            problems.push(format!(
                "{}: {few} connections are not enough: a snapshot needs {FEWEST}",
                self.origin(&key("max_connections"))
            ));
        }
        if !postgres && text("schema.mode") == Some("pgdump_pgrestore") {
            problems.push(format!(
                "{}: pgdump_pgrestore is for a PostgreSQL target: use schemalog",
                self.origin(&key("schema.mode"))
            ));
        }
        snapshot
    }

    /// The mode that is named, or else the one that the settings of snapshots ask for.
    pub(super) fn mode(&self) -> Mode {
        let streams = self.value("source.postgres.url").is_some();
        let named = |rest: &str| {
            self.given.get(key(rest).as_str()).is_some_and(|given| given.origin.starts_with("--"))
        };
        match self.text("source.postgres.mode") {
            Some("snapshot") => Mode::Snapshot,
            Some("replication") if !named("tables") => Mode::Replication,
            Some(_) => Mode::SnapshotAndReplication,
            None if self.value(&key("url")).is_some() && !streams => Mode::Snapshot,
            None => {
                let enabled = self.flag(&key("enabled"));
                let asked =
                    ["url", "tables", "excluded_tables"].iter().any(|rest| self.value(&key(rest)).is_some());
                match enabled.unwrap_or(asked) {
                    true => Mode::SnapshotAndReplication,
                    false => Mode::Replication,
                }
            }
        }
    }

    fn patterns(&self, rest: &str, problems: &mut Vec<String>) -> Vec<String> {
        let patterns = self.list(&key(rest));
        let include = crate::config::plan::Filter { include: patterns.clone(), ..Default::default() };
        if let Err(error) = Filter::new(&include) {
            problems.push(format!("{}: {error}", self.origin(&key(rest))));
        }
        patterns
    }

    /// What runs at a time. Where nothing is said: as much as this machine has processors for, since it passes all rows on.
    fn workers(&self) -> Workers {
        let number = |rest: &str| {
            self.number(&key(rest))
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| *number > 0)
        };
        let [schemas, tables, ranges] =
            ["snapshot_workers", "data.schema_workers", "data.table_workers"].map(number);
        let most = number("max_connections").unwrap_or(CONNECTIONS);
        let wished = if schemas.or(tables).or(ranges).is_some() {
            schemas.unwrap_or(1).saturating_mul(tables.unwrap_or(4)).saturating_mul(ranges.unwrap_or(4))
        } else {
            std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8)
        };
        // Beside the workers: one session holds the snapshot, one keeps the books.
        let all = wished.min(most.saturating_sub(2)).max(1);
        Workers {
            schemas: schemas.unwrap_or(if tables.or(ranges).is_some() { 1 } else { all }),
            tables: tables.unwrap_or(4),
            ranges: ranges.unwrap_or(4),
            all,
        }
    }

    fn dump_options(&self, problems: &mut Vec<String>) -> DumpOptions {
        let name = |rest: &str| key(&format!("{DUMP}{rest}"));
        let flag = |rest: &str| self.flag(&name(rest)) == Some(true);
        let mut types = |rest: &str| {
            let types = self.list(&name(rest));
            for unknown in types.iter().filter(|kind| !OBJECT_TYPES.contains(&kind.as_str())) {
                problems.push(format!(
                    "{}: {unknown} is not one of {}",
                    self.origin(&name(rest)),
                    OBJECT_TYPES.join(", ")
                ));
            }
            types
        };
        let (include_types, exclude_types) = (types("include_object_types"), types("exclude_object_types"));
        let mut index_settings = Vec::new();
        for setting in self.list(&name("index_constraint_session_settings")) {
            match setting.split_once('=') {
                Some((key, value)) => index_settings.push((key.trim().to_owned(), value.trim().to_owned())),
                None => problems.push(format!(
                    "{}: {setting} is not of the form name=value",
                    self.origin(&name("index_constraint_session_settings"))
                )),
            }
        }
        DumpOptions {
            clean: flag("clean_target_db"),
            create_database: flag("create_target_db"),
            roles: match self.text(&name("roles_snapshot_mode")) {
                Some("enabled") => Roles::Enabled,
                Some("disabled") => Roles::Disabled,
                _ => Roles::NoPasswords,
            },
            all_globals: flag("include_global_db_objects"),
            role: self.text(&name("role")).map(str::to_owned),
            no_owner: flag("no_owner"),
            no_privileges: flag("no_privileges"),
            excluded_security_labels: self.list(&name("excluded_security_labels")),
            refresh_views: self.flag(&name("refresh_materialized_views")) != Some(false),
            index_settings,
            include_types,
            exclude_types,
            dump_file: self.text(&name("dump_file")).map(Into::into),
        }
    }
}
