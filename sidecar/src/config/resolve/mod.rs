//! From settings to what a command needs: the checks that look at more than one value.

mod kafka;
mod kafka_message;
mod search;
mod snapshot;

use std::time::Duration;

use super::plan::{
    Backoff, BatchLimits, DdlConflict, DdlRole, DisableTriggers, Filter, Mode, OnConflict, Origin, Plan,
    PostgresTarget, Source, Target, TopicPlan, Work,
};
use super::setting::{Feature, Scope};
use super::table::SETTINGS;
use super::value::Value;
use super::{Problems, Settings};
use crate::postgres::conninfo::ConnInfo;

/// Where `init` and `destroy` go when nothing says otherwise.
pub const DEFAULT_URL: &str = "postgres://postgres:postgres@localhost?sslmode=disable";

const SOURCE_URL: &str = "--source-url, PGSTREAM_POSTGRES_LISTENER_URL or source.postgres.url";
const TARGET_URL: &str = "--target-url, PGSTREAM_POSTGRES_WRITER_TARGET_URL or target.postgres.url";

/// Said where transformation rules are given.
pub const NO_TRANSFORMERS: &str = "this build does not have transformers: leave the transformation rules out";

/// What `init`, `destroy` and `status` need.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The source database.
    pub url: ConnInfo,
    /// The slot named by the user.
    pub slot: Option<String>,
    /// Output plugin of a new slot.
    pub plugin: String,
}

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// trace .. panic
    pub level: String,
    /// One JSON object a line.
    pub json: bool,
    /// Colours, where the terminal has them.
    pub color: bool,
}

impl Settings {
    fn value(&self, key: &str) -> Option<&Value> {
        self.given.get(key).map(|given| &given.value)
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        match self.value(key)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    fn list(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }

    fn url(&self, key: &str) -> Option<&ConnInfo> {
        match self.value(key)? {
            Value::Postgres(url) => Some(url),
            _ => None,
        }
    }

    /// How to log; usable even when something else is wrong.
    pub fn logging(&self) -> Logging {
        Logging {
            level: self.text("logging.level").unwrap_or("info").to_owned(),
            json: self.text("logging.format.type") == Some("json"),
            color: self.flag("logging.format.no_color") != Some(true),
        }
    }

    /// What `init` and `destroy` need: a URL, by default [`DEFAULT_URL`].
    pub fn setup(&self) -> Result<Setup, Problems> {
        if !self.problems.is_empty() {
            return Err(Problems(self.problems.clone()));
        }
        let default = || DEFAULT_URL.parse().map_err(|error| Problems(vec![format!("{error}")]));
        self.source().map_or_else(|| default().map(|url| self.setup_at(url)), Ok)
    }

    /// The source as far as it was given.
    pub fn source(&self) -> Option<Setup> {
        let url = self.url("source.postgres.url").or_else(|| self.url("source.postgres.snapshot.url"))?;
        Some(self.setup_at(url.clone()))
    }

    fn setup_at(&self, url: ConnInfo) -> Setup {
        Setup {
            url,
            slot: self.text("source.postgres.replication.replication_slot").map(str::to_owned),
            plugin: self.text("source.postgres.replication.plugin.name").unwrap_or("auto").to_owned(),
        }
    }

    /// What `run` needs, or everything that is wrong.
    pub fn work(&self) -> Result<Work, Problems> {
        if self.reads_topic() {
            return self.topic_plan().map(|plan| Work::Topic(Box::new(plan)));
        }
        self.plan().map(|plan| Work::Database(Box::new(plan)))
    }

    /// Whether the source is a topic: it was chosen, or is the only one given.
    fn reads_topic(&self) -> bool {
        match self.chosen.source {
            Some(chosen) => chosen == "kafka",
            None => self.source().is_none() && self.kafka("source.kafka.servers", true),
        }
    }

    /// What `run` needs that reads a topic.
    fn topic_plan(&self) -> Result<TopicPlan, Problems> {
        let mut problems = self.problems.clone();
        if self.unread {
            return Err(Problems(problems));
        }
        let target = self.plan_target(&mut problems);
        let source = self.kafka_source(target.as_ref(), &mut problems);
        if let Some(Target::Kafka(_)) = target {
            problems.push("from a topic into a topic: give another target".into());
        }
        self.refuse_features(&mut problems);
        let filter = self.plan_filter(&mut problems);
        match (source, target) {
            (Some(source), Some(target)) if problems.is_empty() => {
                Ok(TopicPlan { source, target, filter, retry: self.backoff() })
            }
            _ => Err(Problems(problems)),
        }
    }

    fn plan_filter(&self, problems: &mut Vec<String>) -> Filter {
        let filter = Filter {
            include: self.list("modifiers.filter.include_tables"),
            exclude: self.list("modifiers.filter.exclude_tables"),
            schema_only: self.list("modifiers.filter.schema_only_tables"),
        };
        if !filter.include.is_empty() && !filter.exclude.is_empty() {
            problems.push(format!(
                "{}: not together with modifiers.filter.include_tables: give one of the two",
                self.origin("modifiers.filter.exclude_tables")
            ));
        }
        filter
    }

    /// What a command needs that reads a database, or everything that is wrong.
    pub fn plan(&self) -> Result<Plan, Problems> {
        let mut problems = self.problems.clone();
        if self.unread {
            return Err(Problems(problems));
        }
        let source = self.plan_source(&mut problems);
        let target = self.plan_target(&mut problems);
        let mode = self.mode();
        let mut own = Vec::new();
        let mut snapshot = self.plan_snapshot(mode, target.as_ref(), &mut own);
        if mode != Mode::Replication {
            problems.extend(own);
        }
        self.refuse_features(&mut problems);
        let filter = self.plan_filter(&mut problems);
        match (source, target) {
            (Some(source), Some(target)) if problems.is_empty() => {
                let grace = self.duration("grace_period").unwrap_or(Duration::from_secs(30));
                // What is copied has no rows of these either.
                snapshot.schema_only.extend_from_slice(&filter.schema_only);
                Ok(Plan {
                    source,
                    target,
                    mode,
                    snapshot,
                    resnapshot: false,
                    filter,
                    injector: self.injector(),
                    retry: self.backoff(),
                    grace,
                })
            }
            _ => Err(Problems(problems)),
        }
    }

    /// Settings that ask for something harmless that this build does not have.
    pub fn missing(&self) -> Vec<String> {
        self.asked()
            .filter_map(|(scope, origin)| match scope {
                Scope::Missing(what) => {
                    Some(format!("{origin}: this build does not have {what}; it has no effect"))
                }
                _ => None,
            })
            .collect()
    }

    /// Settings that were given and are not off, in the table's order.
    fn asked(&self) -> impl Iterator<Item = (Scope, &str)> {
        SETTINGS.iter().filter_map(|setting| {
            let given = self.given.get(setting.key)?;
            let off = match &given.value {
                Value::Bool(on) => !on,
                Value::List(list) => list.is_empty(),
                _ => false,
            };
            (!off).then_some((setting.scope, given.origin.as_str()))
        })
    }

    fn origin(&self, key: &str) -> String {
        self.given.get(key).map(|given| given.origin.clone()).unwrap_or_default()
    }

    /// Whether a Kafka side is given. `PGSTREAM_KAFKA_SERVERS` names both sides: `shared` says whether it counts for this one.
    fn kafka(&self, key: &str, shared: bool) -> bool {
        self.given.get(key).is_some_and(|given| shared || !given.origin.ends_with("PGSTREAM_KAFKA_SERVERS"))
    }

    fn plan_source(&self, problems: &mut Vec<String>) -> Option<Source> {
        let postgres = self.source();
        let kafka = self.kafka("source.kafka.servers", postgres.is_none());
        let mut found = Vec::new();
        found.extend(postgres.is_some().then_some("postgres"));
        found.extend(kafka.then_some("kafka"));
        match (self.chosen.source, found.as_slice()) {
            _ if self.reads_topic() => {
                problems.push("only `run` reads a topic: use postgres as source".into());
            }
            (None, []) => problems.push(format!("need at least one listener configured: give {SOURCE_URL}")),
            (Some(_), _) if postgres.is_none() => {
                problems.push(format!("--source postgres: no URL: give {SOURCE_URL}"))
            }
            (None, [_, _, ..]) => {
                problems.push(too_many("listener", &found));
            }
            (Some(_), _) | (None, [_]) => {}
        }
        let cork = self.text("source.postgres.replication.cork") != Some("off");
        postgres.map(|setup| Source { url: setup.url, slot: setup.slot, cork })
    }

    fn plan_target(&self, problems: &mut Vec<String>) -> Option<Target> {
        let others = [
            "target.postgres.url",
            "target.search.url",
            "target.search.elasticsearch_url",
            "target.webhooks.subscriptions.store.url",
        ];
        let shared = self.source().is_some() && others.iter().all(|key| self.value(key).is_none());
        let found: Vec<&str> = [
            ("postgres", self.value(others[0]).is_some()),
            ("kafka", self.kafka("target.kafka.servers", shared)),
            ("opensearch", self.value(others[1]).is_some()),
            ("elasticsearch", self.value(others[2]).is_some()),
            ("webhooks", self.value(others[3]).is_some()),
            ("stdout", self.flag("target.stdout") == Some(true)),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        let target = match (self.chosen.target, found.as_slice()) {
            (Some(chosen), _) => chosen,
            (None, []) => "stdout",
            (None, [one]) => one,
            (None, _) => {
                problems.push(format!(
                    "only one processor can be configured at a time, found {}: {}",
                    found.len(),
                    found.join(", ")
                ));
                return None;
            }
        };
        match target {
            "stdout" => return Some(Target::Stdout),
            "postgres" => match self.url("target.postgres.url") {
                Some(url) => return Some(Target::Postgres(Box::new(self.postgres_target(url.clone())))),
                None => problems.push(format!("--target postgres: no URL: give {TARGET_URL}")),
            },
            "kafka" => return self.kafka_target(problems).map(|target| Target::Kafka(Box::new(target))),
            "webhooks" => problems.push(lacks(Feature::Webhooks)),
            engine => {
                return self.search_target(engine, problems).map(|target| Target::Search(Box::new(target)))
            }
        }
        None
    }

    fn postgres_target(&self, url: ConnInfo) -> PostgresTarget {
        let limit = |key, default: usize| {
            self.number(key)
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| *number > 0)
                .unwrap_or(default)
        };
        PostgresTarget {
            url,
            batch: BatchLimits {
                size: limit("target.postgres.batch.size", 5000),
                bytes: limit("target.postgres.batch.max_bytes", 4 << 20),
            },
            on_conflict: match self.text("target.postgres.on_conflict_action") {
                Some("update") => OnConflict::Update,
                Some("nothing") => OnConflict::Nothing,
                _ => OnConflict::Error,
            },
            disable_triggers: match self.flag("target.postgres.disable_triggers") {
                Some(true) => DisableTriggers::Always,
                Some(false) => DisableTriggers::Never,
                None => DisableTriggers::Auto,
            },
            origin: if self.text("target.postgres.origin") == Some("none") {
                Origin::None
            } else {
                Origin::Auto
            },
            ddl_role: if self.text("target.postgres.ddl_role") == Some("self") {
                DdlRole::Login
            } else {
                DdlRole::Source
            },
            ddl_conflict: match self.text("target.postgres.ddl_conflict") {
                Some("skip-if-equal") => DdlConflict::SkipIfEqual,
                _ => DdlConflict::Stop,
            },
            ignore_ddl: self.flag("target.postgres.ignore_ddl") == Some(true),
        }
    }

    /// The retry policy: the source's, else the target's, else the default.
    fn backoff(&self) -> Backoff {
        let key = |rest: &str| {
            let [source, target] =
                ["source", "target"].map(|side| format!("{side}.postgres.retry_policy.{rest}"));
            if self.given.contains_key(source.as_str()) {
                source
            } else {
                target
            }
        };
        self.backoff_of(key)
    }

    /// A retry policy, of which `key` gives the names of its settings.
    fn backoff_of(&self, key: impl Fn(&str) -> String) -> Backoff {
        let attempts =
            |rest: &str| self.number(&key(rest)).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        let mut backoff = Backoff {
            initial: self
                .duration(&key("exponential.initial_interval"))
                .unwrap_or(Duration::from_millis(200)),
            max: self.duration(&key("exponential.max_interval")).unwrap_or(Duration::from_secs(10)),
            attempts: attempts("exponential.max_retries").unwrap_or(0),
        };
        if let Some(interval) =
            self.duration(&key("constant.interval")).filter(|interval| !interval.is_zero())
        {
            backoff.initial = interval;
            backoff.max = interval;
            backoff.attempts = attempts("constant.max_retries").unwrap_or(backoff.attempts);
        }
        if self.flag(&key("disable_retries")) == Some(true) {
            backoff.attempts = 1;
        }
        backoff.max = backoff.max.max(backoff.initial);
        backoff
    }

    /// The PostgreSQL target, when one is given.
    pub fn target_url(&self) -> Option<&ConnInfo> {
        self.url("target.postgres.url")
    }

    /// Whether events get ids: as `enabled` says, else by a URL being given, or both sides by flags and the
    /// target a topic: what reads it may need them.
    fn injector(&self) -> bool {
        self.flag("modifiers.injector.enabled").unwrap_or(
            (self.chosen.source, self.chosen.target) == (Some("postgres"), Some("kafka"))
                || self.value("modifiers.injector.enabled").is_some()
                || self.value("modifiers.injector.schemalog_url").is_some(),
        )
    }

    /// Whether transformation rules are given.
    pub fn has_rules(&self) -> bool {
        ["modifiers.transformations.rules_file", "modifiers.transformations.table_transformers"]
            .iter()
            .any(|key| !matches!(self.value(key), None | Some(Value::Tree(false))))
    }

    /// Our certificate and its key: both or none.
    fn pair(&self, cert: &str, key: &str, problems: &mut Vec<String>) -> Option<(String, String)> {
        let lacks = |there: &str, what: &str, missing: &str| {
            format!("{}: its {what} is missing: give {missing}", self.origin(there))
        };
        match (self.text(cert), self.text(key)) {
            (Some(certificate), Some(key)) => return Some((certificate.to_owned(), key.to_owned())),
            (None, None) => {}
            (Some(_), None) => problems.push(lacks(cert, "key", key)),
            (None, Some(_)) => problems.push(lacks(key, "certificate", cert)),
        }
        None
    }

    /// Whether these files, where they are given, can be opened.
    fn readable(&self, keys: &[&str], problems: &mut Vec<String>) {
        for key in keys {
            if let Some(Err(error)) = self.text(key).map(std::fs::File::open) {
                problems.push(format!("{}: cannot be read: {error}", self.origin(key)));
            }
        }
    }

    fn refuse_features(&self, problems: &mut Vec<String>) {
        if self.has_rules() {
            problems.push(NO_TRANSFORMERS.into());
        }
        for (scope, origin) in self.asked() {
            if let Scope::Refused(what) = scope {
                problems.push(format!("{origin}: this build does not have {what}"));
            }
        }
    }
}

fn too_many(what: &str, found: &[&str]) -> String {
    format!("only one {what} can be configured at a time, found {}: {}", found.len(), found.join(", "))
}

fn lacks(feature: Feature) -> String {
    format!(
        "this build does not have {} as a target: use postgres, kafka, opensearch, elasticsearch or stdout",
        feature.name()
    )
}
