//! The one table of settings. Files, variables, checks and `docs/configuration.md` are all read off it.

use super::setting::Feature::{Search, Transformers, Webhooks};
use super::setting::Kind::{
    Bool, BoolOrAuto, BoolOrUrl, Choice, Count, List, Millis, PostgresUrl, Presence, Ratio, Seconds, Size,
    Text, Tree, Url,
};
use super::setting::Scope::{Missing, NoEffect, Of, Refused, Used};
use super::setting::{Kind, Scope, Setting};

const fn set(
    key: &'static str,
    env: &'static [&'static str],
    kind: Kind,
    scope: Scope,
    default: &'static str,
    about: &'static str,
) -> Setting {
    Setting { key, env, flags: "", kind, scope, default, about }
}

const fn flag(flags: &'static str, setting: Setting) -> Setting {
    Setting { flags, ..setting }
}

const LEVELS: Kind = Choice(&["trace", "debug", "info", "warn", "error", "fatal", "panic"]);
const AT_ONCE: Scope = NoEffect("what has arrived is written at once, however little it is");
const OWN_QUEUE: Scope = NoEffect("memory is bounded by the size of a batch");
const ONE_WAY: Scope = NoEffect("the fastest safe way to write is chosen by what a batch holds");
const NO_LENIENCY: Scope = Refused("going on after a failed write");
const OBJECT_TYPES: Scope = Refused("choosing schema changes by object type");
const OWN_COMMITS: Scope =
    NoEffect("offsets are committed every second; one that fails is committed with the next");

/// Every setting there is.
#[rustfmt::skip]
pub static SETTINGS: &[Setting] = &[
    // ---- logging and instrumentation
    flag("--log-level", set("logging.level", &["LOG_LEVEL"], LEVELS, Used, "info", "What is logged.")),
    flag("--log-format", set("logging.format.type", &["LOG_FORMAT"], Choice(&["console", "json"]), Used, "console", "How log lines look.")),
    flag("--no-color", set("logging.format.no_color", &["LOG_NO_COLOR"], Bool, Used, "false", "No colours in the log.")),
    set("instrumentation.metrics.endpoint", &["METRICS_ENDPOINT"], Text, Missing("metrics"), "", "OTLP endpoint for metrics."),
    set("instrumentation.metrics.collection_interval", &["METRICS_COLLECTION_INTERVAL"], Seconds, Missing("metrics"), "", "How often metrics are collected."),
    set("instrumentation.metrics.prometheus.enabled", &["METRICS_PROMETHEUS_ENABLED"], Bool, Missing("metrics"), "false", "Serve metrics for Prometheus."),
    set("instrumentation.metrics.prometheus.endpoint", &["METRICS_PROMETHEUS_ENDPOINT"], Text, Missing("metrics"), "", "Path of these metrics."),
    set("instrumentation.traces.endpoint", &["TRACES_ENDPOINT"], Text, Missing("traces"), "", "OTLP endpoint for traces."),
    set("instrumentation.traces.sample_ratio", &["TRACES_SAMPLE_RATIO"], Ratio, Missing("traces"), "", "Share of traces kept, 0 to 1."),
    set("instrumentation.health.enabled", &["HEALTH_CHECK_ENABLED"], Bool, Missing("the health server"), "false", "Serve /health, /ready and /status."),
    set("instrumentation.health.address", &["HEALTH_CHECK_ADDRESS"], Text, Missing("the health server"), "", "Address it listens on."),
    set("grace_period", &["GRACE_PERIOD"], Seconds, Used, "30s", "How long a shutdown may take before it is cut off."),

    // ---- source: PostgreSQL
    flag("--source-url, --postgres-url, --pgurl", set("source.postgres.url", &["POSTGRES_LISTENER_URL"], PostgresUrl, Used, "", "The database to read from.")),
    set("source.postgres.mode", &[], Choice(&["replication", "snapshot", "snapshot_and_replication"]), Used, "replication", "Stream, copy what is there (`snapshot`), or copy and then stream. Without it: what the settings of snapshots ask for."),
    flag("--replication-slot", set("source.postgres.replication.replication_slot", &["POSTGRES_REPLICATION_SLOT_NAME"], Text, Used, "pgstream_<dbname>_slot", "The slot.")),
    set("source.postgres.replication.plugin.name", &["POSTGRES_REPLICATION_PLUGIN"], Choice(&["auto", "pgoutput"]), Used, "auto", "Output plugin of a slot that `init` makes."),
    set("source.postgres.replication.plugin.include_xids", &["POSTGRES_REPLICATION_PLUGIN_INCLUDE_XIDS"], Bool, NoEffect("an option of wal2json"), "", "Option of wal2json."),
    set("source.postgres.replication.plugin.add_tables", &["POSTGRES_REPLICATION_PLUGIN_ADD_TABLES"], List, NoEffect("an option of wal2json; use modifiers.filter"), "", "Option of wal2json."),
    set("source.postgres.replication.plugin.filter_tables", &["POSTGRES_REPLICATION_PLUGIN_FILTER_TABLES"], List, NoEffect("an option of wal2json; use modifiers.filter"), "", "Option of wal2json."),
    set("source.postgres.retry_policy.exponential.initial_interval", &["POSTGRES_LISTENER_EXP_BACKOFF_INITIAL_INTERVAL"], Millis, Used, "200ms", "Wait before the first new attempt after a lost connection; doubled each time."),
    set("source.postgres.retry_policy.exponential.max_interval", &["POSTGRES_LISTENER_EXP_BACKOFF_MAX_INTERVAL"], Millis, Used, "10s", "Longest wait."),
    set("source.postgres.retry_policy.exponential.max_retries", &["POSTGRES_LISTENER_EXP_BACKOFF_MAX_RETRIES"], Count, Used, "0", "Attempts in a row before giving up, once the stream has run; 0 = never."),
    set("source.postgres.retry_policy.exponential.max_elapsed_time", &["POSTGRES_LISTENER_EXP_BACKOFF_MAX_ELAPSED_TIME"], Millis, NoEffect("attempts are bounded by max_retries"), "", "Bound of all attempts together."),
    set("source.postgres.retry_policy.constant.interval", &["POSTGRES_LISTENER_BACKOFF_INTERVAL"], Millis, Used, "", "The same wait each time, instead of a growing one."),
    set("source.postgres.retry_policy.constant.max_retries", &["POSTGRES_LISTENER_BACKOFF_MAX_RETRIES"], Count, Used, "", "Attempts in a row with that wait."),
    set("source.postgres.retry_policy.disable_retries", &["POSTGRES_LISTENER_DISABLE_RETRIES"], Bool, Used, "false", "Stop at the first lost connection."),

    // ---- source: snapshots
    set("source.postgres.snapshot.enabled", &["POSTGRES_LISTENER_INITIAL_SNAPSHOT_ENABLED"], Bool, Used, "false", "Copy first, then stream."),
    set("source.postgres.snapshot.url", &["POSTGRES_SNAPSHOT_LISTENER_URL"], PostgresUrl, Used, "", "Copy this database, without a stream."),
    set("source.postgres.snapshot.mode", &["POSTGRES_SNAPSHOT_MODE"], Choice(&["full", "schema", "data"]), Used, "full", "Schema, rows (data), or both (full)."),
    flag("--snapshot-tables, --tables", set("source.postgres.snapshot.tables", &["POSTGRES_SNAPSHOT_TABLES", "POSTGRES_INITIAL_SNAPSHOT_TABLES"], List, Used, "*.* when only others of these are given", "Tables to copy: `schema.table`, `table` (of public), with `*`.")),
    set("source.postgres.snapshot.excluded_tables", &["POSTGRES_SNAPSHOT_EXCLUDED_TABLES"], List, Used, "", "Tables among them not to copy."),
    set("source.postgres.snapshot.schema_only_tables", &["POSTGRES_SNAPSHOT_SCHEMA_ONLY_TABLES"], List, Used, "", "Tables among them to make without rows."),
    set("source.postgres.snapshot.snapshot_workers", &["POSTGRES_SNAPSHOT_WORKERS", "POSTGRES_INITIAL_SNAPSHOT_WORKERS"], Count, Used, "as many as there are", "Schemas copied at a time."),
    set("source.postgres.snapshot.max_connections", &["POSTGRES_SNAPSHOT_MAX_CONNECTIONS"], Count, Used, "50", "Connections to each server at a time, at most; 4 or more."),
    set("source.postgres.snapshot.disable_progress_tracking", &["POSTGRES_SNAPSHOT_DISABLE_PROGRESS_TRACKING"], Bool, Used, "false", "No progress bars."),
    set("source.postgres.snapshot.data.schema_workers", &["POSTGRES_SNAPSHOT_SCHEMA_WORKERS", "POSTGRES_INITIAL_SNAPSHOT_SCHEMA_WORKERS"], Count, Used, "4", "Tables of a schema copied at a time."),
    set("source.postgres.snapshot.data.table_workers", &["POSTGRES_SNAPSHOT_TABLE_WORKERS", "POSTGRES_INITIAL_SNAPSHOT_TABLE_WORKERS"], Count, Used, "4", "Ranges of a table copied at a time. All workers together: as many as this machine has processors, from 2 to 8, where none of these three is given."),
    set("source.postgres.snapshot.data.batch_bytes", &["POSTGRES_SNAPSHOT_BATCH_BYTES"], Size, Used, "80MiB", "Size of a range: what a worker copies in one go."),
    set("source.postgres.snapshot.data.batch_page_size", &["POSTGRES_SNAPSHOT_BATCH_PAGE_SIZE", "POSTGRES_INITIAL_SNAPSHOT_BATCH_PAGE_SIZE"], Count, Used, "", "The same in pages of 8 KiB."),
    set("source.postgres.snapshot.recorder.postgres_url", &["POSTGRES_SNAPSHOT_STORE_URL", "POSTGRES_INITIAL_SNAPSHOT_STORE_URL"], PostgresUrl, Used, "the source, in mode snapshot_and_replication", "Where requests and their state are noted, in pgstream.snapshot_requests."),
    set("source.postgres.snapshot.recorder.repeatable_snapshots", &["POSTGRES_SNAPSHOT_STORE_REPEATABLE"], Bool, Used, "false", "Copy again what was copied."),
    set("source.postgres.snapshot.schema.mode", &[], Choice(&["schemalog", "pgdump_pgrestore"]), Used, "by target", "How the schema is made at the target: by pg_dump and pg_restore (PostgreSQL), by schema events (all others)."),
    set("source.postgres.snapshot.schema.use_schemalog", &["POSTGRES_SNAPSHOT_USE_SCHEMALOG", "POSTGRES_INITIAL_SNAPSHOT_USE_SCHEMALOG"], Bool, Used, "", "The same as mode schemalog."),
    flag("--reset", set("source.postgres.snapshot.schema.pgdump_pgrestore.clean_target_db", &["POSTGRES_SNAPSHOT_CLEAN_TARGET_DB"], Bool, Used, "false", "Drop at the target what is copied, first.")),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.create_target_db", &["POSTGRES_SNAPSHOT_CREATE_TARGET_DB"], Bool, Used, "false", "Make the target database."),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.include_global_db_objects", &["POSTGRES_SNAPSHOT_INCLUDE_GLOBAL_DB_OBJECTS"], Bool, Used, "false", "All roles and tablespaces of the server, not only those needed."),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.role", &["POSTGRES_SNAPSHOT_ROLE"], Text, Used, "", "Role that restores (SET ROLE), and so owns what has no owner."),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.roles_snapshot_mode", &["POSTGRES_SNAPSHOT_ROLES_SNAPSHOT_MODE"], Choice(&["enabled", "disabled", "no_passwords"]), Used, "no_passwords", "Whether roles that are needed are made at the target, and with their passwords."),
    flag("--dump-file", set("source.postgres.snapshot.schema.pgdump_pgrestore.dump_file", &["POSTGRES_SNAPSHOT_SCHEMA_DUMP_FILE"], Text, Used, "", "Also write the schema to this file, as SQL.")),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.no_owner", &["POSTGRES_SNAPSHOT_NO_OWNER"], Bool, Used, "false", "Leave owners out."),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.no_privileges", &["POSTGRES_SNAPSHOT_NO_PRIVILEGES"], Bool, Used, "false", "Leave grants out."),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.excluded_security_labels", &["POSTGRES_SNAPSHOT_EXCLUDED_SECURITY_LABELS"], List, Used, "", "Providers of security labels to leave out; `*` = all."),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.refresh_materialized_views", &["POSTGRES_SNAPSHOT_REFRESH_MATERIALIZED_VIEWS"], Bool, Used, "true", "Fill materialized views at the end."),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.index_constraint_session_settings", &["POSTGRES_SNAPSHOT_INDEX_CONSTRAINT_SESSION_SETTINGS"], List, Used, "maintenance_work_mem=256MB", "Settings of the sessions that make indexes and constraints: `name=value`."),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.include_object_types", &["POSTGRES_SNAPSHOT_INCLUDE_OBJECT_TYPES"], List, Used, "", "Only objects of these types."),
    set("source.postgres.snapshot.schema.pgdump_pgrestore.exclude_object_types", &["POSTGRES_SNAPSHOT_EXCLUDE_OBJECT_TYPES"], List, Used, "", "No objects of these types."),

    // ---- source: Kafka
    set("source.kafka.servers", &["KAFKA_READER_SERVERS", "KAFKA_SERVERS"], List, Used, "", "Brokers to begin with: `host:port`."),
    set("source.kafka.topic.name", &["KAFKA_TOPIC_NAME"], Text, Used, "pgstream", "The topic. One that is not there yet is waited for."),
    set("source.kafka.consumer_group.id", &["KAFKA_READER_CONSUMER_GROUP_ID"], Text, Used, "pgstream-consumer-group", "The consumer group: one for each target."),
    set("source.kafka.consumer_group.start_offset", &["KAFKA_READER_CONSUMER_GROUP_START_OFFSET"], Choice(&["earliest", "latest"]), Used, "earliest", "Where a new group starts."),
    set("source.kafka.tls.enabled", &["KAFKA_TLS_ENABLED"], Bool, Used, "false", "Use TLS; the brokers' names are verified. A certificate below turns it on as well."),
    set("source.kafka.tls.ca_cert", &["KAFKA_TLS_CA_CERT_FILE"], Text, Used, "the system's", "File of the certificate authorities, PEM."),
    set("source.kafka.tls.client_cert", &["KAFKA_TLS_CLIENT_CERT_FILE"], Text, Used, "", "File of our certificate, PEM."),
    set("source.kafka.tls.client_key", &["KAFKA_TLS_CLIENT_KEY_FILE"], Text, Used, "", "File of its key, PEM."),
    set("source.kafka.sasl.mechanism", &["KAFKA_SASL_MECHANISM"], Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]), Used, "SCRAM-SHA-512 with a user, OAUTHBEARER with a token file", "How we log in."),
    set("source.kafka.sasl.username", &["KAFKA_SASL_USERNAME"], Text, Used, "", "The user."),
    set("source.kafka.sasl.password", &["KAFKA_SASL_PASSWORD"], Text, Used, "", "The user's password."),
    set("source.kafka.sasl.token_file", &["KAFKA_SASL_TOKEN_FILE"], Text, Used, "", "File of a token, for OAUTHBEARER. It is read again each minute."),
    set("source.kafka.backoff.exponential.initial_interval", &["KAFKA_COMMIT_EXP_BACKOFF_INITIAL_INTERVAL", "KAFKA_COMMIT_BACKOFF_INITIAL_INTERVAL"], Millis, OWN_COMMITS, "", "First wait after a failed commit."),
    set("source.kafka.backoff.exponential.max_interval", &["KAFKA_COMMIT_EXP_BACKOFF_MAX_INTERVAL", "KAFKA_COMMIT_BACKOFF_MAX_INTERVAL"], Millis, OWN_COMMITS, "", "Longest wait."),
    set("source.kafka.backoff.exponential.max_retries", &["KAFKA_COMMIT_EXP_BACKOFF_MAX_RETRIES"], Count, OWN_COMMITS, "", "Attempts."),
    set("source.kafka.backoff.exponential.max_elapsed_time", &["KAFKA_COMMIT_EXP_BACKOFF_MAX_ELAPSED_TIME"], Millis, OWN_COMMITS, "", "Bound of all attempts."),
    set("source.kafka.backoff.constant.interval", &["KAFKA_COMMIT_BACKOFF_INTERVAL"], Millis, OWN_COMMITS, "", "Fixed wait."),
    set("source.kafka.backoff.constant.max_retries", &["KAFKA_COMMIT_BACKOFF_MAX_RETRIES"], Count, OWN_COMMITS, "", "Attempts."),
    set("source.kafka.backoff.disable_retries", &["KAFKA_COMMIT_DISABLE_RETRIES"], Bool, OWN_COMMITS, "", "No new attempts."),

    // ---- target: standard output
    flag("--target stdout", set("target.stdout", &["STDOUT_WRITER_ENABLED"], Presence, Used, "true when there is no other target", "One line of JSON per event on standard output.")),

    // ---- target: PostgreSQL
    flag("--target-url", set("target.postgres.url", &["POSTGRES_WRITER_TARGET_URL"], PostgresUrl, Used, "", "The database to write to.")),
    set("target.postgres.batch.size", &["POSTGRES_WRITER_BATCH_SIZE"], Count, Used, "5000", "Events written in one go, at most; a source transaction is never split."),
    set("target.postgres.batch.max_bytes", &["POSTGRES_WRITER_BATCH_BYTES"], Size, Used, "4MiB", "Bytes written in one go, at most."),
    set("target.postgres.batch.timeout", &["POSTGRES_WRITER_BATCH_TIMEOUT"], Millis, AT_ONCE, "", "Longest wait for a batch to fill."),
    set("target.postgres.batch.max_queue_bytes", &["POSTGRES_WRITER_MAX_QUEUE_BYTES", "POSTGRES_WRITER_BATCH_MAX_QUEUE_BYTES"], Size, OWN_QUEUE, "", "Memory for waiting batches."),
    set("target.postgres.batch.ignore_send_errors", &["POSTGRES_WRITER_BATCH_IGNORE_SEND_ERRORS"], Bool, NO_LENIENCY, "false", "Go on after a failed write."),
    set("target.postgres.batch.auto_tune.enabled", &["POSTGRES_WRITER_BATCH_AUTO_TUNE_ENABLE", "POSTGRES_WRITER_BATCH_AUTO_TUNE_ENABLED"], Bool, ONE_WAY, "", "Look for the best batch size."),
    set("target.postgres.batch.auto_tune.min_batch_bytes", &["POSTGRES_WRITER_BATCH_AUTO_TUNE_MIN_BYTES"], Size, ONE_WAY, "", "Smallest batch tried."),
    set("target.postgres.batch.auto_tune.max_batch_bytes", &["POSTGRES_WRITER_BATCH_AUTO_TUNE_MAX_BYTES"], Size, ONE_WAY, "", "Largest batch tried."),
    set("target.postgres.batch.auto_tune.convergence_threshold", &["POSTGRES_WRITER_BATCH_AUTO_TUNE_CONVERGENCE_THRESHOLD"], Ratio, ONE_WAY, "", "When to stop looking."),
    set("target.postgres.bulk_ingest.enabled", &["POSTGRES_WRITER_BULK_INGEST_ENABLED"], Bool, ONE_WAY, "", "Write by COPY."),
    set("target.postgres.bulk_ingest.copy_workers", &["POSTGRES_WRITER_BULK_INGEST_COPY_WORKERS"], Count, ONE_WAY, "", "COPY sessions."),
    set("target.postgres.max_connections", &["POSTGRES_WRITER_MAX_CONNECTIONS"], Count, ONE_WAY, "", "Connections to the target."),
    set("target.postgres.schema_log_store_url", &["POSTGRES_WRITER_SCHEMALOG_STORE_URL"], PostgresUrl, NoEffect("schema changes travel in the stream itself"), "", "Where the schema log is read."),
    set("target.postgres.disable_triggers", &["POSTGRES_WRITER_DISABLE_TRIGGERS"], BoolOrAuto, Used, "auto", "Triggers and foreign keys of the target off while we write; auto = where the login may do it."),
    set("target.postgres.on_conflict_action", &["POSTGRES_WRITER_ON_CONFLICT_ACTION"], Choice(&["error", "update", "nothing"]), Used, "error", "A row that is already there: stop, take the source's, keep the target's."),
    set("target.postgres.origin", &["POSTGRES_WRITER_ORIGIN"], Choice(&["auto", "none"]), Used, "auto", "Mark our rows by a replication origin where the login may use one."),
    set("target.postgres.ignore_ddl", &["POSTGRES_WRITER_IGNORE_DDL"], Bool, Used, "false", "Leave schema changes out."),
    set("target.postgres.ddl_role", &["POSTGRES_WRITER_DDL_ROLE"], Choice(&["source", "self"]), Used, "source", "Who runs a schema change at the target: the role of the source, or our own login."),
    set("target.postgres.ddl_conflict", &["POSTGRES_WRITER_DDL_CONFLICT"], Choice(&["stop", "skip-if-equal"]), Used, "stop", "A schema change the target refuses because the object is already there, or gone."),
    set("target.postgres.strict_mode", &["POSTGRES_WRITER_STRICT_MODE"], Bool, NoEffect("writing is always strict: nothing is dropped in silence"), "", "Stop at what cannot be written."),
    set("target.postgres.include_ddl_object_types", &["POSTGRES_WRITER_INCLUDE_DDL_OBJECT_TYPES"], List, OBJECT_TYPES, "", "Only schema changes of these objects."),
    set("target.postgres.exclude_ddl_object_types", &["POSTGRES_WRITER_EXCLUDE_DDL_OBJECT_TYPES"], List, OBJECT_TYPES, "", "No schema changes of these objects."),
    set("target.postgres.retry_policy.exponential.initial_interval", &["POSTGRES_WRITER_EXP_BACKOFF_INITIAL_INTERVAL"], Millis, Used, "the source's", "As source.postgres.retry_policy; the source's counts when both are given."),
    set("target.postgres.retry_policy.exponential.max_interval", &["POSTGRES_WRITER_EXP_BACKOFF_MAX_INTERVAL"], Millis, Used, "the source's", "Likewise."),
    set("target.postgres.retry_policy.exponential.max_retries", &["POSTGRES_WRITER_EXP_BACKOFF_MAX_RETRIES"], Count, Used, "the source's", "Likewise."),
    set("target.postgres.retry_policy.exponential.max_elapsed_time", &["POSTGRES_WRITER_EXP_BACKOFF_MAX_ELAPSED_TIME"], Millis, NoEffect("attempts are bounded by max_retries"), "", "Bound of all attempts together."),
    set("target.postgres.retry_policy.constant.interval", &["POSTGRES_WRITER_BACKOFF_INTERVAL"], Millis, Used, "the source's", "Likewise."),
    set("target.postgres.retry_policy.constant.max_retries", &["POSTGRES_WRITER_BACKOFF_MAX_RETRIES"], Count, Used, "the source's", "Likewise."),
    set("target.postgres.retry_policy.disable_retries", &["POSTGRES_WRITER_DISABLE_RETRIES"], Bool, Used, "false", "Likewise."),

    // ---- target: Kafka
    set("target.kafka.servers", &["KAFKA_WRITER_SERVERS", "KAFKA_SERVERS"], List, Used, "", "Brokers to begin with: `host:port`."),
    set("target.kafka.topic.name", &["KAFKA_TOPIC_NAME"], Text, Used, "pgstream", "The topic."),
    set("target.kafka.topic.partitions", &["KAFKA_TOPIC_PARTITIONS"], Count, Used, "1", "Partitions of a topic that is made."),
    set("target.kafka.topic.replication_factor", &["KAFKA_TOPIC_REPLICATION_FACTOR"], Count, Used, "1", "Replicas of a topic that is made."),
    set("target.kafka.topic.auto_create", &["KAFKA_TOPIC_AUTO_CREATE"], Bool, Used, "false; true with --target kafka", "Make the topic when it does not exist."),
    set("target.kafka.topic.dead_letters", &["KAFKA_TOPIC_DEAD_LETTERS"], Text, Used, "", "Topic for key and position of a message that is too large for the brokers; without it such a message stops the stream."),
    set("target.kafka.topic.partition_key", &["KAFKA_TOPIC_PARTITION_KEY"], Choice(&["schema", "table", "primary_key"]), Used, "schema", "The key of a message: what keeps its order."),
    set("target.kafka.compression", &["KAFKA_WRITER_COMPRESSION"], Choice(&["none", "gzip", "snappy", "lz4", "zstd"]), Used, "lz4", "How messages are packed."),
    set("target.kafka.tls.enabled", &["KAFKA_TLS_ENABLED"], Bool, Used, "false", "Use TLS; the brokers' names are verified. A certificate below turns it on as well."),
    set("target.kafka.tls.ca_cert", &["KAFKA_TLS_CA_CERT_FILE"], Text, Used, "the system's", "File of the certificate authorities, PEM."),
    set("target.kafka.tls.client_cert", &["KAFKA_TLS_CLIENT_CERT_FILE"], Text, Used, "", "File of our certificate, PEM."),
    set("target.kafka.tls.client_key", &["KAFKA_TLS_CLIENT_KEY_FILE"], Text, Used, "", "File of its key, PEM."),
    set("target.kafka.sasl.mechanism", &["KAFKA_SASL_MECHANISM"], Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]), Used, "SCRAM-SHA-512 with a user, OAUTHBEARER with a token file", "How we log in."),
    set("target.kafka.sasl.username", &["KAFKA_SASL_USERNAME"], Text, Used, "", "The user."),
    set("target.kafka.sasl.password", &["KAFKA_SASL_PASSWORD"], Text, Used, "", "The user's password."),
    set("target.kafka.sasl.token_file", &["KAFKA_SASL_TOKEN_FILE"], Text, Used, "", "File of a token, for OAUTHBEARER. It is read again each minute."),
    set("target.kafka.batch.timeout", &["KAFKA_WRITER_BATCH_TIMEOUT"], Millis, AT_ONCE, "", "Longest wait for a batch to fill."),
    set("target.kafka.batch.size", &["KAFKA_WRITER_BATCH_SIZE"], Count, ONE_WAY, "", "Events in a batch."),
    set("target.kafka.batch.max_bytes", &["KAFKA_WRITER_BATCH_BYTES", "KAFKA_WRITER_BATCH_BYTE"], Size, ONE_WAY, "", "Bytes in a batch."),
    set("target.kafka.batch.max_queue_bytes", &["KAFKA_WRITER_MAX_QUEUE_BYTES", "KAFKA_WRITER_BATCH_MAX_QUEUE_BYTES"], Size, OWN_QUEUE, "", "Memory for waiting batches."),
    set("target.kafka.batch.ignore_send_errors", &["KAFKA_WRITER_BATCH_IGNORE_SEND_ERRORS"], Bool, NO_LENIENCY, "false", "Go on after a failed write."),
    set("target.kafka.batch.auto_tune.enabled", &["KAFKA_WRITER_BATCH_AUTO_TUNE_ENABLE", "KAFKA_WRITER_BATCH_AUTO_TUNE_ENABLED"], Bool, ONE_WAY, "", "Look for the best batch size."),
    set("target.kafka.batch.auto_tune.min_batch_bytes", &["KAFKA_WRITER_BATCH_AUTO_TUNE_MIN_BYTES"], Size, ONE_WAY, "", "Smallest batch tried."),
    set("target.kafka.batch.auto_tune.max_batch_bytes", &["KAFKA_WRITER_BATCH_AUTO_TUNE_MAX_BYTES"], Size, ONE_WAY, "", "Largest batch tried."),
    set("target.kafka.batch.auto_tune.convergence_threshold", &["KAFKA_WRITER_BATCH_AUTO_TUNE_CONVERGENCE_THRESHOLD"], Ratio, ONE_WAY, "", "When to stop looking."),

    // ---- target: OpenSearch, Elasticsearch
    set("target.search.engine", &[], Choice(&["opensearch", "elasticsearch"]), Of(Search), "", "Which of the two."),
    set("target.search.url", &["OPENSEARCH_STORE_URL", "SEARCH_STORE_URL"], Url, Of(Search), "", "Its address."),
    set("target.search.elasticsearch_url", &["ELASTICSEARCH_STORE_URL"], Url, Of(Search), "", "Address of an Elasticsearch."),
    set("target.search.batch.timeout", &["SEARCH_INDEXER_BATCH_TIMEOUT"], Millis, Of(Search), "", "Longest wait for a batch to fill."),
    set("target.search.batch.size", &["SEARCH_INDEXER_BATCH_SIZE"], Count, Of(Search), "", "Events in a batch."),
    set("target.search.batch.max_bytes", &["SEARCH_INDEXER_BATCH_BYTES"], Size, Of(Search), "", "Bytes in a batch."),
    set("target.search.batch.max_queue_bytes", &["SEARCH_INDEXER_MAX_QUEUE_BYTES", "SEARCH_INDEXER_BATCH_MAX_QUEUE_BYTES"], Size, Of(Search), "", "Memory for waiting batches."),
    set("target.search.batch.ignore_send_errors", &["SEARCH_INDEXER_BATCH_IGNORE_SEND_ERRORS"], Bool, Of(Search), "", "Go on after a failed write."),
    set("target.search.batch.auto_tune.enabled", &["SEARCH_INDEXER_BATCH_AUTO_TUNE_ENABLE", "SEARCH_INDEXER_BATCH_AUTO_TUNE_ENABLED"], Bool, Of(Search), "", "Look for the best batch size."),
    set("target.search.batch.auto_tune.min_batch_bytes", &["SEARCH_INDEXER_BATCH_AUTO_TUNE_MIN_BYTES"], Size, Of(Search), "", "Smallest batch tried."),
    set("target.search.batch.auto_tune.max_batch_bytes", &["SEARCH_INDEXER_BATCH_AUTO_TUNE_MAX_BYTES"], Size, Of(Search), "", "Largest batch tried."),
    set("target.search.batch.auto_tune.convergence_threshold", &["SEARCH_INDEXER_BATCH_AUTO_TUNE_CONVERGENCE_THRESHOLD"], Ratio, Of(Search), "", "When to stop looking."),
    set("target.search.backoff.exponential.initial_interval", &["SEARCH_STORE_EXP_BACKOFF_INITIAL_INTERVAL", "SEARCH_INDEXER_CLEANUP_EXP_BACKOFF_INITIAL_INTERVAL"], Millis, Of(Search), "", "First wait."),
    set("target.search.backoff.exponential.max_interval", &["SEARCH_STORE_EXP_BACKOFF_MAX_INTERVAL", "SEARCH_INDEXER_CLEANUP_EXP_BACKOFF_MAX_INTERVAL"], Millis, Of(Search), "", "Longest wait."),
    set("target.search.backoff.exponential.max_retries", &["SEARCH_STORE_EXP_BACKOFF_MAX_RETRIES", "SEARCH_INDEXER_CLEANUP_EXP_BACKOFF_MAX_RETRIES"], Count, Of(Search), "", "Attempts."),
    set("target.search.backoff.exponential.max_elapsed_time", &["SEARCH_STORE_EXP_BACKOFF_MAX_ELAPSED_TIME"], Millis, Of(Search), "", "Bound of all attempts."),
    set("target.search.backoff.constant.interval", &["SEARCH_STORE_BACKOFF_INTERVAL", "SEARCH_INDEXER_CLEANUP_BACKOFF_INTERVAL"], Millis, Of(Search), "", "Fixed wait."),
    set("target.search.backoff.constant.max_retries", &["SEARCH_STORE_BACKOFF_MAX_RETRIES", "SEARCH_INDEXER_CLEANUP_BACKOFF_MAX_RETRIES"], Count, Of(Search), "", "Attempts."),
    set("target.search.backoff.disable_retries", &["SEARCH_STORE_DISABLE_RETRIES", "SEARCH_INDEXER_DISABLE_RETRIES"], Bool, Of(Search), "", "No new attempts."),
    set("target.search.hash_doc_ids", &["SEARCH_INDEXER_HASH_DOC_IDS"], Bool, Of(Search), "", "Hash document ids."),
    set("target.search.tls.enabled", &["SEARCH_TLS_ENABLED"], Bool, Of(Search), "", "Use TLS."),
    set("target.search.tls.ca_cert", &["SEARCH_TLS_CA_CERT_FILE"], Text, Of(Search), "", "Certificate authority."),
    set("target.search.tls.client_cert", &["SEARCH_TLS_CLIENT_CERT_FILE"], Text, Of(Search), "", "Client certificate."),
    set("target.search.tls.client_key", &["SEARCH_TLS_CLIENT_KEY_FILE"], Text, Of(Search), "", "Its key."),
    set("target.search.tls.insecure_skip_verify", &["SEARCH_TLS_INSECURE_SKIP_VERIFY"], Bool, Of(Search), "", "Do not verify the server."),

    // ---- target: webhooks
    set("target.webhooks.subscriptions.store.url", &["WEBHOOK_SUBSCRIPTION_STORE_URL"], PostgresUrl, Of(Webhooks), "", "Where subscriptions are kept."),
    set("target.webhooks.subscriptions.store.cache.enabled", &["WEBHOOK_SUBSCRIPTION_STORE_CACHE_ENABLED"], Bool, Of(Webhooks), "", "Keep them in memory."),
    set("target.webhooks.subscriptions.store.cache.refresh_interval", &["WEBHOOK_SUBSCRIPTION_STORE_CACHE_REFRESH_INTERVAL"], Seconds, Of(Webhooks), "", "How often they are read again."),
    set("target.webhooks.subscriptions.server.address", &["WEBHOOK_SUBSCRIPTION_SERVER_ADDRESS"], Text, Of(Webhooks), "", "Address of the subscription server."),
    set("target.webhooks.subscriptions.server.read_timeout", &["WEBHOOK_SUBSCRIPTION_SERVER_READ_TIMEOUT"], Seconds, Of(Webhooks), "", "Limit for reading a request."),
    set("target.webhooks.subscriptions.server.write_timeout", &["WEBHOOK_SUBSCRIPTION_SERVER_WRITE_TIMEOUT"], Seconds, Of(Webhooks), "", "Limit for answering."),
    set("target.webhooks.notifier.worker_count", &["WEBHOOK_NOTIFIER_WORKER_COUNT"], Count, Of(Webhooks), "", "Requests at a time."),
    set("target.webhooks.notifier.client_timeout", &["WEBHOOK_NOTIFIER_CLIENT_TIMEOUT"], Millis, Of(Webhooks), "", "Limit for a request."),
    set("target.webhooks.notifier.max_queue_bytes", &["WEBHOOK_NOTIFIER_MAX_QUEUE_BYTES"], Size, Of(Webhooks), "", "Memory for waiting requests."),
    set("target.webhooks.notifier.strict_mode", &["WEBHOOK_NOTIFIER_STRICT_MODE"], Bool, Of(Webhooks), "", "Stop at what cannot be delivered."),
    set("target.webhooks.notifier.backoff.exponential.initial_interval", &["WEBHOOK_NOTIFIER_EXP_BACKOFF_INITIAL_INTERVAL"], Millis, Of(Webhooks), "", "First wait."),
    set("target.webhooks.notifier.backoff.exponential.max_interval", &["WEBHOOK_NOTIFIER_EXP_BACKOFF_MAX_INTERVAL"], Millis, Of(Webhooks), "", "Longest wait."),
    set("target.webhooks.notifier.backoff.exponential.max_retries", &["WEBHOOK_NOTIFIER_EXP_BACKOFF_MAX_RETRIES"], Count, Of(Webhooks), "", "Attempts."),
    set("target.webhooks.notifier.backoff.exponential.max_elapsed_time", &["WEBHOOK_NOTIFIER_EXP_BACKOFF_MAX_ELAPSED_TIME"], Millis, Of(Webhooks), "", "Bound of all attempts."),
    set("target.webhooks.notifier.backoff.constant.interval", &["WEBHOOK_NOTIFIER_BACKOFF_INTERVAL"], Millis, Of(Webhooks), "", "Fixed wait."),
    set("target.webhooks.notifier.backoff.constant.max_retries", &["WEBHOOK_NOTIFIER_BACKOFF_MAX_RETRIES"], Count, Of(Webhooks), "", "Attempts."),
    set("target.webhooks.notifier.backoff.disable_retries", &["WEBHOOK_NOTIFIER_DISABLE_RETRIES"], Bool, Of(Webhooks), "", "No new attempts."),

    // ---- modifiers
    set("modifiers.injector.enabled", &["TRANSLATOR_ENABLED"], BoolOrUrl, Used, "true when a URL is given", "Add stable ids of tables and columns to events. A PostgreSQL target does not need them."),
    set("modifiers.injector.schemalog_url", &["INJECTOR_STORE_POSTGRES_URL", "TRANSLATOR_STORE_POSTGRES_URL"], PostgresUrl, Used, "", "Only says that ids are wanted (also source_url, url): they travel in the stream itself, and come from the source."),
    set("modifiers.filter.include_tables", &["FILTER_INCLUDE_TABLES"], List, Used, "", "Only these tables: `schema.table`, `table` (of public), with `*`."),
    set("modifiers.filter.exclude_tables", &["FILTER_EXCLUDE_TABLES"], List, Used, "", "All but these tables. Not together with include_tables."),
    set("modifiers.filter.schema_only_tables", &["FILTER_SCHEMA_ONLY_TABLES"], List, Used, "", "Schema changes but no rows of these tables, in the stream and in copies; also when include_tables does not name them. What is excluded stays so."),
    set("modifiers.sanitize.strip_null_char_bytes", &["PROCESSOR_SANITIZE_STRIP_NULL_CHAR_BYTES"], Bool, Refused("removing NUL characters"), "false", "Remove NUL characters from text."),
    set("modifiers.transformations.rules_file", &["TRANSFORMER_RULES_FILE"], Text, Of(Transformers), "", "A yaml file of rules."),
    set("modifiers.transformations.validation_mode", &[], Choice(&["relaxed", "strict", "table_level"]), Of(Transformers), "", "How complete the rules must be."),
    set("modifiers.transformations.table_transformers", &[], Tree, Of(Transformers), "", "The rules."),
    set("modifiers.transformations.on_error", &[], Choice(&["null", "pass-through", "fail"]), Of(Transformers), "", "A value that cannot be transformed."),
    set("modifiers.transformations.infer_from_security_labels", &[], Bool, Of(Transformers), "", "Rules from security labels."),
    set("modifiers.transformations.dump_inferred_rules", &[], Text, Of(Transformers), "", "Write these rules to a file."),
];
