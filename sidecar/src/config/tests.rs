//! The whole way from what was typed to a plan.

use std::path::PathBuf;
use std::time::Duration;

use super::plan::Mode;
use super::plan::{
    DisableTriggers, KafkaSource, OnConflict, SearchEngine, SearchLogin, StartOffset, Target, Work,
};
use super::*;

const SOURCE: &str = "postgres://postgres:hunter2@localhost:5432?sslmode=disable";
const TARGET: &str = "postgres://postgres:hunter2@localhost:7654?sslmode=disable";

/// A file that is removed with its folder.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let unique = format!("pgstream-config-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(unique.replace(['(', ')'], ""));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = self.0.parent().map(std::fs::remove_dir_all);
    }
}

fn env(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn flag(name: &'static str, key: &'static str, value: &str) -> Flag {
    Flag { name, key, value: value.to_owned() }
}

fn from_file(name: &str, text: &str) -> Settings {
    let file = File::new(name, text);
    read(Some(&file.0), &Environment::new(), Chosen::default(), Vec::new())
}

fn from_env(pairs: &[(&str, &str)]) -> Settings {
    read(None, &env(pairs), Chosen::default(), Vec::new())
}

fn problems(settings: &Settings) -> Vec<String> {
    let problems = settings.plan().expect_err("a plan was made").0;
    assert!(problems.iter().all(|problem| !problem.contains("hunter2")), "{problems:?}");
    let folder = std::env::temp_dir().display().to_string();
    let short = |problem: String| match problem.strip_prefix(&folder) {
        Some(rest) => rest.splitn(3, '/').nth(2).unwrap_or_default().to_owned(),
        None => problem,
    };
    problems.into_iter().map(short).collect()
}

#[test]
fn the_tutorial_as_env_and_as_yaml_is_one_plan() {
    let as_env = from_file(
        "pg2pg.env",
        &format!(
            "# Listener config\nPGSTREAM_POSTGRES_LISTENER_URL=\"{SOURCE}\"\n\
             PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME=pgstream_tutorial_slot\n\n\
             PGSTREAM_POSTGRES_WRITER_TARGET_URL=\"{TARGET}\"\nPGSTREAM_POSTGRES_WRITER_BATCH_SIZE=25\n\
             PGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=5s\nPGSTREAM_POSTGRES_WRITER_DISABLE_TRIGGERS=true\n\
             PGSTREAM_POSTGRES_WRITER_ON_CONFLICT_ACTION=update\n\
             PGSTREAM_POSTGRES_WRITER_SCHEMALOG_STORE_URL=\"{SOURCE}\"\n"
        ),
    );
    let as_yaml = from_file(
        "pg2pg.yaml",
        &format!(
            "source:\n  postgres:\n    url: \"{SOURCE}\"\n    mode: replication\n    replication:\n      \
             replication_slot: \"pgstream_tutorial_slot\"\ntarget:\n  postgres:\n    url: \"{TARGET}\"\n    batch:\n      \
             timeout: 5000 # milliseconds\n      size: 25\n    disable_triggers: true\n    on_conflict_action: \"update\"\n    \
             schema_log_store_url: \"{SOURCE}\"\n"
        ),
    );
    let [as_env, as_yaml] = [as_env, as_yaml].map(|settings| settings.plan().expect("a plan"));
    assert_eq!(format!("{as_env:?}"), format!("{as_yaml:?}"));
    assert!(!format!("{as_env:?}").contains("hunter2"));
    assert_eq!(as_env.source.slot.as_deref(), Some("pgstream_tutorial_slot"));
    let Target::Postgres(target) = as_env.target else { panic!("another target") };
    assert_eq!(target.batch.size, 25);
    assert_eq!(target.on_conflict, OnConflict::Update);
    assert_eq!(target.disable_triggers, DisableTriggers::Always);
}

#[test]
fn flags_win_over_environment_over_file() {
    let file = File::new(
        "a.env",
        &format!(
            "PGSTREAM_POSTGRES_LISTENER_URL={SOURCE}\nPGSTREAM_POSTGRES_REPLICATION_SLOT_NAME=file\nPGSTREAM_LOG_LEVEL=warn\n"
        ),
    );
    let environment =
        env(&[("PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME", "environment"), ("PGSTREAM_LOG_LEVEL", "debug")]);
    let flags = vec![flag("--log-level", "logging.level", "trace")];
    let settings = read(Some(&file.0), &environment, Chosen::default(), flags);
    assert_eq!(settings.logging().level, "trace");
    assert_eq!(settings.plan().expect("a plan").source.slot.as_deref(), Some("environment"));
}

#[test]
fn an_empty_variable_counts_as_not_given() {
    let settings =
        from_env(&[("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE), ("PGSTREAM_POSTGRES_WRITER_TARGET_URL", "")]);
    assert!(matches!(settings.plan().expect("a plan").target, Target::Stdout));
    let flags = vec![flag("--source-url", "source.postgres.url", "")];
    let settings = read(None, &Environment::new(), Chosen::default(), flags);
    assert_eq!(problems(&settings)[0], "--source-url: the value is empty");
}

#[test]
fn all_problems_of_a_file_at_once() {
    let settings = from_file(
        "bad.env",
        "PGSTREAM_POSTGRES_LISTENR_URL=postgres://u:hunter2@h/d\nPGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=5 parsecs\nnot a line\n\
         PGSTREAM_POSTGRES_WRITER_BATCH_BYTES=5 apples\nPGSTREAM_POSTGRES_WRITER_TARGET_URL=mysql://u:hunter2@h\nFOO=1\n",
    );
    let expected = [
        "bad.env:1: unknown variable PGSTREAM_POSTGRES_LISTENR_URL (did you mean PGSTREAM_POSTGRES_LISTENER_URL?)",
        "bad.env:3: expected NAME=value",
        "bad.env:6: unknown variable FOO",
        "bad.env:2: PGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT: \"5 parsecs\" is not a duration (5s, 250ms, 1m30s; a bare number is milliseconds)",
        "bad.env:4: PGSTREAM_POSTGRES_WRITER_BATCH_BYTES: \"5 apples\" is not a size (64MiB, 1MB; a bare number is bytes)",
        "bad.env:5: PGSTREAM_POSTGRES_WRITER_TARGET_URL: not a PostgreSQL URL: it must start with postgres:// or postgresql://",
        "need at least one listener configured: give --source-url, PGSTREAM_POSTGRES_LISTENER_URL or source.postgres.url",
    ];
    let found = problems(&settings);
    for line in expected {
        assert!(found.iter().any(|problem| problem == line), "missing: {line}\nin {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn two_sources_and_two_targets_are_both_named() {
    let settings = from_env(&[
        ("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE),
        ("PGSTREAM_KAFKA_READER_SERVERS", "localhost:9092"),
        ("PGSTREAM_POSTGRES_WRITER_TARGET_URL", TARGET),
        ("PGSTREAM_OPENSEARCH_STORE_URL", "http://admin:hunter2@localhost:9200"),
    ]);
    let expected = [
        "only one listener can be configured at a time, found 2: postgres, kafka",
        "only one processor can be configured at a time, found 2: postgres, opensearch",
    ];
    assert_eq!(problems(&settings), expected);
}

#[test]
fn a_flag_chooses_among_what_a_file_names() {
    let variables = env(&[
        ("PGSTREAM_KAFKA_READER_SERVERS", "localhost:9092"),
        ("PGSTREAM_OPENSEARCH_STORE_URL", "http://localhost:9200"),
    ]);
    let chosen = Chosen { source: Some("postgres"), target: Some("stdout") };
    let flags = vec![flag("--source-url", "source.postgres.url", SOURCE)];
    let plan = read(None, &variables, chosen, flags).plan().expect("a plan");
    assert!(matches!(plan.target, Target::Stdout));
}

#[test]
fn what_this_build_does_not_have_is_said_in_a_line() {
    let source = ("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE);
    for (variable, value, line) in [
        (
            "PGSTREAM_TRANSFORMER_RULES_FILE",
            "x.yaml",
            "this build does not have transformers: leave the transformation rules out",
        ),
        (
            "PGSTREAM_WEBHOOK_SUBSCRIPTION_STORE_URL",
            TARGET,
            "this build does not have webhooks as a target: use postgres, kafka, opensearch, elasticsearch or stdout",
        ),
    ] {
        assert_eq!(problems(&from_env(&[source, (variable, value)])), [line], "{variable}");
    }
}

#[test]
fn a_topic_is_a_source_of_run_alone() {
    let settings = from_env(&[
        ("PGSTREAM_KAFKA_SERVERS", "k:9092"),
        ("PGSTREAM_POSTGRES_WRITER_TARGET_URL", TARGET),
        ("PGSTREAM_KAFKA_READER_CONSUMER_GROUP_START_OFFSET", "latest"),
    ]);
    let Ok(Work::Topic(plan)) = settings.work() else { panic!("{:?}", settings.work()) };
    let KafkaSource { cluster, topic, group, start, dead_letters, session_timeout } = plan.source;
    assert_eq!(session_timeout, Duration::from_secs(10));
    assert_eq!(dead_letters, None);
    assert_eq!((cluster.servers, topic.as_str()), (vec!["k:9092".to_owned()], "pgstream"));
    assert_eq!((group.as_str(), start), ("pgstream-postgres-consumer-group", StartOffset::Latest));
    assert!(matches!(plan.target, Target::Postgres(_)));
    assert_eq!(problems(&settings), ["only `run` reads a topic: use postgres as source"]);
}

#[test]
fn a_topic_by_either_name_of_its_brokers() {
    let source = ("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE);
    for servers in ["PGSTREAM_KAFKA_WRITER_SERVERS", "PGSTREAM_KAFKA_SERVERS"] {
        let plan = from_env(&[source, (servers, "k1:9092 k2:9092")]).plan().expect("a plan");
        let Target::Kafka(target) = plan.target else { panic!("{:?}", plan.target) };
        assert_eq!(target.cluster.servers, ["k1:9092", "k2:9092"]);
        assert_eq!((target.topic.name.as_str(), target.topic.auto_create), ("pgstream", false));
    }
}

fn mode(pairs: &[(&str, &str)]) -> (Mode, Vec<String>) {
    let plan = from_env(pairs).plan().expect("a plan");
    let tables = if plan.mode == Mode::Replication { Vec::new() } else { plan.snapshot.tables };
    (plan.mode, tables)
}

#[test]
fn what_is_asked_for_decides_the_mode() {
    let listener = ("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE);
    assert_eq!(mode(&[listener]), (Mode::Replication, vec![]));
    let tables = ("PGSTREAM_POSTGRES_SNAPSHOT_TABLES", "test_schema.* test");
    let both = (Mode::SnapshotAndReplication, vec!["test_schema.*".to_owned(), "test".to_owned()]);
    assert_eq!(mode(&[listener, tables]), both);
    let older = [
        listener,
        ("PGSTREAM_POSTGRES_LISTENER_INITIAL_SNAPSHOT_ENABLED", "true"),
        ("PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_TABLES", "test_schema.* test"),
    ];
    assert_eq!(mode(&older), both);
    let off = [listener, tables, ("PGSTREAM_POSTGRES_LISTENER_INITIAL_SNAPSHOT_ENABLED", "false")];
    assert_eq!(mode(&off), (Mode::Replication, vec![]));
    let alone =
        [("PGSTREAM_POSTGRES_SNAPSHOT_LISTENER_URL", SOURCE), ("PGSTREAM_POSTGRES_SNAPSHOT_TABLES", "*")];
    assert_eq!(mode(&alone), (Mode::Snapshot, vec!["*".to_owned()]));
}

#[test]
fn a_snapshot_says_all_that_is_wrong_with_it() {
    let settings = from_env(&[
        ("PGSTREAM_POSTGRES_SNAPSHOT_LISTENER_URL", SOURCE),
        ("PGSTREAM_POSTGRES_WRITER_TARGET_URL", TARGET),
        ("PGSTREAM_POSTGRES_SNAPSHOT_TABLES", "a.b.c"),
        ("PGSTREAM_POSTGRES_SNAPSHOT_INCLUDE_OBJECT_TYPES", "tables tabels"),
        ("PGSTREAM_POSTGRES_SNAPSHOT_INDEX_CONSTRAINT_SESSION_SETTINGS", "jit"),
    ]);
    let problems = problems(&settings);
    assert_eq!(problems.len(), 3, "{problems:?}");
    for (problem, part) in
        problems.iter().zip(["\"a.b.c\" is not understood", "tabels is not one of tables,", "name=value"])
    {
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn snapshot_settings_next_to_mode_replication_are_of_no_concern() {
    let text = format!(
        "source:\n  postgres:\n    url: \"{SOURCE}\"\n    mode: replication\n\tsnapshot:\n      mode: full\n      tables: [\"*\"]\n      \
         recorder:\n        repeatable_snapshots: true\n        postgres_url: \"{SOURCE}\"\nmodifiers:\n  injector:\n    enabled: true\n"
    );
    assert!(from_file("x.yml", &text).plan().is_ok());
}

#[test]
fn unknown_variables_of_the_process_are_warnings() {
    let settings = from_env(&[
        ("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE),
        ("PGSTREAM_POSTGRES_LISTENER_URI", "x"),
        ("HOME", "/"),
    ]);
    assert!(settings.plan().is_ok());
    let expected =
        "unknown variable PGSTREAM_POSTGRES_LISTENER_URI (did you mean PGSTREAM_POSTGRES_LISTENER_URL?)";
    assert_eq!(settings.warnings(), [expected]);
}

#[test]
fn every_variable_of_the_tutorials_is_known() {
    for name in [
        "POSTGRES_LISTENER_INITIAL_SNAPSHOT_ENABLED",
        "POSTGRES_INITIAL_SNAPSHOT_STORE_URL",
        "POSTGRES_INITIAL_SNAPSHOT_TABLES",
        "KAFKA_WRITER_BATCH_BYTE",
        "KAFKA_COMMIT_BACKOFF_INITIAL_INTERVAL",
        "KAFKA_COMMIT_BACKOFF_MAX_INTERVAL",
        "SEARCH_STORE_URL",
        "TRANSLATOR_ENABLED",
        "TRANSLATOR_STORE_POSTGRES_URL",
        "POSTGRES_SNAPSHOT_BATCH_PAGE_SIZE",
        "SEARCH_INDEXER_CLEANUP_EXP_BACKOFF_INITIAL_INTERVAL",
        "SEARCH_INDEXER_CLEANUP_BACKOFF_MAX_RETRIES",
        "KAFKA_SERVERS",
    ] {
        assert!(setting::is_variable(&format!("{PREFIX}{name}")), "{name}");
    }
}

#[test]
fn the_injector_is_on_however_it_is_asked_for() {
    let injector = |pairs: &[(&str, &str)]| {
        let mut all = vec![("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE)];
        all.extend(pairs);
        from_env(&all).plan().expect("a plan").wants_ids()
    };
    assert!(!injector(&[]));
    for (name, value) in [
        ("PGSTREAM_INJECTOR_STORE_POSTGRES_URL", SOURCE),
        ("PGSTREAM_TRANSLATOR_STORE_POSTGRES_URL", SOURCE),
        ("PGSTREAM_TRANSLATOR_ENABLED", "true"),
        ("PGSTREAM_TRANSLATOR_ENABLED", SOURCE),
    ] {
        assert!(injector(&[(name, value)]), "{name}={value}");
        assert!(!injector(&[(name, value), ("PGSTREAM_POSTGRES_WRITER_TARGET_URL", TARGET)]), "no use there");
    }
    assert!(!injector(&[
        ("PGSTREAM_TRANSLATOR_ENABLED", "false"),
        ("PGSTREAM_INJECTOR_STORE_POSTGRES_URL", SOURCE)
    ]));
    let kafka = |format| {
        injector(&[("PGSTREAM_KAFKA_WRITER_SERVERS", "k:9092"), ("PGSTREAM_KAFKA_WRITER_FORMAT", format)])
    };
    assert!(kafka("debezium") && !kafka("json"), "keys in Debezium's form are made by ids");
    let yaml = |key: &str, value: &str| {
        let source = format!("source:\n  postgres:\n    url: \"{SOURCE}\"\n");
        let text = format!("{source}modifiers:\n  injector:\n    {key}: {value}\n");
        from_file("x.yaml", &text).plan().expect("a plan").wants_ids()
    };
    assert!(yaml("enabled", "true") && !yaml("enabled", "false"));
    for key in ["schemalog_url", "source_url", "url"] {
        assert!(yaml(key, SOURCE), "{key}");
    }
}

#[test]
fn include_and_exclude_exclude_each_other() {
    let settings = from_env(&[
        ("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE),
        ("PGSTREAM_FILTER_INCLUDE_TABLES", "a b.*"),
        ("PGSTREAM_FILTER_EXCLUDE_TABLES", "c"),
    ]);
    assert_eq!(
        problems(&settings),
        ["PGSTREAM_FILTER_EXCLUDE_TABLES: not together with modifiers.filter.include_tables: give one of the two"]
    );
}

#[test]
fn a_login_at_kafka_is_whole_or_none() {
    let login = |pairs: &[(&str, &str)]| {
        let mut all = vec![
            ("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE),
            ("PGSTREAM_KAFKA_WRITER_SERVERS", "localhost:9092"),
        ];
        all.extend(pairs);
        from_env(&all).plan().err().map(|problems| problems.0).unwrap_or_default()
    };
    let (mechanism, user) = ("PGSTREAM_KAFKA_SASL_MECHANISM", ("PGSTREAM_KAFKA_SASL_USERNAME", "me"));
    let (word, file) =
        (("PGSTREAM_KAFKA_SASL_PASSWORD", "word"), ("PGSTREAM_KAFKA_SASL_TOKEN_FILE", "/dev/null"));
    assert!(login(&[]).is_empty());
    assert!(login(&[user, word]).is_empty());
    assert!(login(&[user, word, (mechanism, "plain")]).is_empty());
    assert!(login(&[file]).is_empty());
    assert!(login(&[file, (mechanism, "OAUTHBEARER")]).is_empty());
    for (given, part) in [
        (&[user][..], "a user and a password belong together"),
        (&[(mechanism, "PLAIN")], "give target.kafka.sasl.username and target.kafka.sasl.password"),
        (&[(mechanism, "PLAIN"), word], "a user and a password belong together"),
        (&[(mechanism, "OAUTHBEARER")], "give target.kafka.sasl.token_file"),
        (&[(mechanism, "OAUTHBEARER"), user, word], "give target.kafka.sasl.token_file"),
        (&[file, user, word], "a token is for OAUTHBEARER"),
        (&[file, (mechanism, "PLAIN")], "a token is for OAUTHBEARER"),
        (
            &[("PGSTREAM_KAFKA_SASL_TOKEN_FILE", "/nonexistent")],
            "PGSTREAM_KAFKA_SASL_TOKEN_FILE: cannot be read",
        ),
        (&[(mechanism, "GSSAPI"), user, word], "one of PLAIN"),
    ] {
        let told = login(given);
        assert!(
            told.len() == 1 && told[0].contains(part) && !told[0].contains("word\""),
            "{given:?}: {told:?}"
        );
    }
}

#[test]
fn tables_without_rows_are_copied_without_rows() {
    let settings = from_env(&[
        ("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE),
        ("PGSTREAM_POSTGRES_SNAPSHOT_TABLES", "*"),
        ("PGSTREAM_POSTGRES_SNAPSHOT_SCHEMA_ONLY_TABLES", "a"),
        ("PGSTREAM_FILTER_SCHEMA_ONLY_TABLES", "b.*"),
    ]);
    assert_eq!(settings.plan().expect("a plan").snapshot.schema_only, ["a", "b.*"]);
}

#[test]
fn retries() {
    let backoff = |pairs: &[(&str, &str)]| {
        let mut all = vec![("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE)];
        all.extend(pairs);
        from_env(&all).plan().expect("a plan").retry
    };
    assert_eq!(backoff(&[]).attempts, 0);
    assert_eq!(backoff(&[("PGSTREAM_POSTGRES_LISTENER_DISABLE_RETRIES", "true")]).attempts, 1);
    let target = backoff(&[("PGSTREAM_POSTGRES_WRITER_EXP_BACKOFF_MAX_RETRIES", "3")]);
    assert_eq!(target.attempts, 3);
    let constant = backoff(&[
        ("PGSTREAM_POSTGRES_LISTENER_BACKOFF_INTERVAL", "2s"),
        ("PGSTREAM_POSTGRES_LISTENER_BACKOFF_MAX_RETRIES", "7"),
    ]);
    assert_eq!(
        (constant.initial, constant.max, constant.attempts),
        (Duration::from_secs(2), Duration::from_secs(2), 7)
    );
}

#[test]
fn files_that_are_none() {
    assert_eq!(problems(&from_file("x.yaml", "source: [unclosed\n")).len(), 1);
    assert!(from_file("x.toml", "").problems()[0].ends_with("the name must end in .env, .yaml or .yml"));
    let missing =
        read(Some(Path::new("/nonexistent/x.env")), &Environment::new(), Chosen::default(), Vec::new());
    assert!(missing.problems()[0].starts_with("/nonexistent/x.env: cannot be read"));
}

#[test]
fn a_search_engine_is_told_by_its_url() {
    let source = ("PGSTREAM_POSTGRES_LISTENER_URL", SOURCE);
    let plan = |variables: &[(&str, &str)]| {
        let all: Vec<_> = std::iter::once(source).chain(variables.iter().copied()).collect();
        match from_env(&all).plan() {
            Ok(plan) => match plan.target {
                Target::Search(target) => Ok(*target),
                other => panic!("{other:?}"),
            },
            Err(problems) => Err(problems.0),
        }
    };
    let target = plan(&[("PGSTREAM_OPENSEARCH_STORE_URL", "https://me:p%40ss@host:9200/")]).expect("a plan");
    assert_eq!((target.engine, target.cluster.url.as_str()), (SearchEngine::OpenSearch, "https://host:9200"));
    let Some(SearchLogin::Basic { user, password }) = &target.cluster.login else { panic!("no login") };
    assert_eq!((user.as_str(), password.reveal()), ("me", "p@ss"));
    assert!(target.cluster.tls.is_some() && !format!("{target:?}").contains("p@ss"));
    let target =
        plan(&[("PGSTREAM_ELASTICSEARCH_STORE_URL", "http://host:9200"), ("PGSTREAM_SEARCH_API_KEY", "k")]);
    let target = target.expect("a plan");
    assert!(matches!(target.cluster.login, Some(SearchLogin::ApiKey(_))));
    assert_eq!(target.engine, SearchEngine::Elasticsearch);
    for (variables, problem) in [
        (
            &[("PGSTREAM_OPENSEARCH_STORE_URL", "host:9200")][..],
            "expected http://host:port or https://host:port",
        ),
        (
            &[("PGSTREAM_OPENSEARCH_STORE_URL", "http://a:b@host"), ("PGSTREAM_SEARCH_API_KEY", "k")],
            "not together with a user in the URL",
        ),
        (
            &[
                ("PGSTREAM_OPENSEARCH_STORE_URL", "http://host"),
                ("PGSTREAM_ELASTICSEARCH_STORE_URL", "http://host"),
            ],
            "only one processor can be configured at a time",
        ),
    ] {
        let problems = plan(variables).expect_err("a problem");
        assert!(problems.len() == 1 && problems[0].contains(problem), "{problems:?}");
    }
}
