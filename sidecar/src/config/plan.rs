//! What the program needs, checked and typed. Made from what the user typed by [`super::load`]; nothing here is optional that is needed.

use std::time::Duration;

use super::snapshot::Snapshot;
use super::topic_template::TopicTemplate;
use crate::postgres::conninfo::{ConnInfo, Secret};

/// A `run`: where from, where to, and what happens in between.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The source.
    pub source: Source,
    /// The target.
    pub target: Target,
    /// Copy, stream, or both.
    pub mode: Mode,
    /// What is copied, in the modes that copy; and how, when a copy is asked for while the stream runs.
    pub snapshot: Snapshot,
    /// Start over: what the target has is replaced.
    pub resnapshot: bool,
    /// Which tables.
    pub filter: Filter,
    /// Events get stable ids.
    pub injector: bool,
    /// How a lost connection is taken up again.
    pub retry: Backoff,
    /// How long a shutdown may take before it is cut off.
    pub grace: Duration,
}

impl Plan {
    /// Whether events need ids. Rows of a PostgreSQL target have no place for them; Debezium's keys and documents are made by them.
    pub fn wants_ids(&self) -> bool {
        match &self.target {
            Target::Postgres(_) => false,
            Target::Kafka(target) if matches!(target.format, KafkaFormat::Debezium(_)) => true,
            Target::Search(_) => true,
            Target::Kafka(_) | Target::Stdout => self.injector,
        }
    }
}

/// Where a `run` reads.
#[derive(Debug, Clone)]
pub enum Work {
    /// From a database.
    Database(Box<Plan>),
    /// From a topic.
    Topic(Box<TopicPlan>),
}

/// A `run` from a topic.
#[derive(Debug, Clone)]
pub struct TopicPlan {
    /// The topic and our group.
    pub source: KafkaSource,
    /// The target.
    pub target: Target,
    /// Which tables.
    pub filter: Filter,
    /// How a lost connection is taken up again.
    pub retry: Backoff,
}

/// A topic that is read by a consumer group.
#[derive(Debug, Clone)]
pub struct KafkaSource {
    /// How to reach the cluster.
    pub cluster: KafkaCluster,
    /// The topic's name.
    pub topic: String,
    /// The topic for messages that are no events; `None` = stop.
    pub dead_letters: Option<String>,
    /// The consumer group's id.
    pub group: String,
    /// Where a new group begins.
    pub start: StartOffset,
    /// How soon other members take over what one had that no longer answers.
    pub session_timeout: Duration,
}

/// Where a consumer group begins that has read nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOffset {
    /// With the oldest message.
    Earliest,
    /// With what comes from now on.
    Latest,
}

/// What a `run` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It streams.
    Replication,
    /// It copies what is there, and ends.
    Snapshot,
    /// It copies what is there, and then streams.
    SnapshotAndReplication,
}

/// One replication slot of a PostgreSQL server.
#[derive(Debug, Clone)]
pub struct Source {
    /// How to reach the server.
    pub url: ConnInfo,
    /// The slot named by the user. `None`: the default `pgstream_<dbname>_slot`, else the only slot `init` made in that database.
    pub slot: Option<String>,
    /// It is asked to send in large pieces, if it can.
    pub cork: bool,
}

/// Where the stream goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// NDJSON on standard output.
    Stdout,
    /// A PostgreSQL database.
    Postgres(Box<PostgresTarget>),
    /// A topic of a Kafka cluster.
    Kafka(Box<KafkaTarget>),
    /// An OpenSearch or Elasticsearch.
    Search(Box<SearchTarget>),
}

impl Target {
    /// A database: it takes rows and commands, all others take events.
    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// What comes again changes nothing there: it is given all that the stream brings, and copies are told by positions from it.
    pub fn takes_again(&self) -> bool {
        matches!(self, Self::Search(_))
    }

    /// As `--target` names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Postgres(_) => "postgres",
            Self::Kafka(_) => "kafka",
            Self::Search(target) => match target.engine {
                SearchEngine::OpenSearch => "opensearch",
                SearchEngine::Elasticsearch => "elasticsearch",
            },
        }
    }
}

/// Settings of the Kafka sink.
#[derive(Debug, Clone)]
pub struct KafkaTarget {
    /// How to reach the cluster.
    pub cluster: KafkaCluster,
    /// Where messages go.
    pub topic: Topic,
    /// Where rows and truncates of each table go instead, if they do.
    pub tables: Option<TopicTemplate>,
    /// What keeps its order.
    pub key: PartitionKey,
    /// What messages look like.
    pub format: KafkaFormat,
    /// A delete is followed by a message of the same key without a value.
    pub tombstones: bool,
    /// Messages tell their transaction.
    pub transaction_metadata: bool,
    /// How messages are packed, as librdkafka names it.
    pub compression: String,
    /// The topic for key and position of what is too large; `None` = stop.
    pub dead_letters: Option<String>,
    /// Transactions of Kafka, when they are used.
    pub exactly_once: Option<ExactlyOnce>,
}

/// Transactions of Kafka.
#[derive(Debug, Clone)]
pub struct ExactlyOnce {
    /// The topic of positions.
    pub positions: String,
    /// How long the brokers leave one open.
    pub timeout: Duration,
}

/// What a message looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KafkaFormat {
    /// Our own: `docs/event-format.md`.
    Json,
    /// The same inside an envelope of CloudEvents 1.0.
    CloudEvents,
    /// As Debezium's connector for PostgreSQL writes it.
    Debezium(DebeziumForm),
}

/// Settings of messages in Debezium's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebeziumForm {
    /// What Debezium calls `topic.prefix`: the source's name.
    pub name: String,
    /// What a numeric looks like.
    pub decimals: Decimals,
}

/// What a numeric looks like: Debezium's `decimal.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decimals {
    /// The unscaled number's bytes in base64, with its scale where the type has none.
    Precise,
    /// Its digits as a text.
    String,
    /// A number that may have lost digits.
    Double,
}

/// A Kafka cluster and how we log in there.
#[derive(Debug, Clone, Default)]
pub struct KafkaCluster {
    /// Brokers to begin with: `host:port`.
    pub servers: Vec<String>,
    /// TLS, when it is used.
    pub tls: Option<KafkaTls>,
    /// Login, when there is one.
    pub login: Option<KafkaLogin>,
}

/// Files in PEM form.
#[derive(Debug, Clone, Default)]
pub struct KafkaTls {
    /// Certificate authorities; `None` = the system's.
    pub ca_cert: Option<String>,
    /// Our certificate and its key.
    pub client: Option<(String, String)>,
}

/// A SASL login.
#[derive(Debug, Clone)]
pub enum KafkaLogin {
    /// By user and password.
    Password {
        /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`.
        mechanism: String,
        /// The user.
        user: String,
        /// The user's password.
        password: Secret,
    },
    /// By a token: `OAUTHBEARER`.
    Token {
        /// The file it is read from, again and again.
        file: String,
    },
}

/// A topic, and how it is made when it is not there.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Partitions of a new one.
    pub partitions: u16,
    /// Replicas of a new one.
    pub replication_factor: u16,
    /// Make it.
    pub auto_create: bool,
    /// A new one keeps the last message of each key, and of these only.
    pub compacted: bool,
}

/// The key of a message. Messages with one key keep their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKey {
    /// `public`: everything in a schema.
    Schema,
    /// `public.t`: each table by itself.
    Table,
    /// `public.t:17`: each row by itself.
    PrimaryKey,
}

/// Settings of the search sink.
#[derive(Debug, Clone)]
pub struct SearchTarget {
    /// How to reach it.
    pub cluster: SearchCluster,
    /// Which of the two it is.
    pub engine: SearchEngine,
    /// Documents and bytes in one request.
    pub batch: BatchLimits,
    /// Requests at a time.
    pub parallel: usize,
    /// How a request is tried again that it was too busy for.
    pub backoff: Backoff,
    /// Document ids are digests.
    pub hash_ids: bool,
}

/// A search engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchEngine {
    /// OpenSearch.
    OpenSearch,
    /// Elasticsearch.
    Elasticsearch,
}

/// A search engine's address and how we log in there.
#[derive(Debug, Clone)]
pub struct SearchCluster {
    /// `http://host:port`, without login.
    pub url: String,
    /// TLS, when it is used.
    pub tls: Option<SearchTls>,
    /// Login, when there is one.
    pub login: Option<SearchLogin>,
}

/// Files in PEM form.
#[derive(Debug, Clone, Default)]
pub struct SearchTls {
    /// Certificate authorities; `None` = the system's.
    pub ca_cert: Option<String>,
    /// Our certificate and its key.
    pub client: Option<(String, String)>,
    /// The server is not verified.
    pub insecure: bool,
}

/// A login.
#[derive(Debug, Clone)]
pub enum SearchLogin {
    /// User and password.
    Basic {
        /// The user.
        user: String,
        /// The user's password.
        password: Secret,
    },
    /// An API key.
    ApiKey(Secret),
}

/// Settings of the PostgreSQL sink.
#[derive(Debug, Clone)]
pub struct PostgresTarget {
    /// How to reach the server.
    pub url: ConnInfo,
    /// Events that may be written in one go.
    pub batch: BatchLimits,
    /// What to do about a row that conflicts with what the target has.
    pub on_conflict: OnConflict,
    /// Whether the target's own triggers and foreign keys are off while we write.
    pub disable_triggers: DisableTriggers,
    /// Whether to mark our rows by a replication origin.
    pub origin: Origin,
    /// Under which role DDL is replayed when the source's role cannot be taken.
    pub ddl_role: DdlRole,
    /// What to do when a DDL command fails because the target already is as it would make it.
    pub ddl_conflict: DdlConflict,
    /// Leave DDL out.
    pub ignore_ddl: bool,
}

/// Bounds of one batch. A batch never waits for more while the source is idle.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Events.
    pub size: usize,
    /// Bytes.
    pub bytes: usize,
}

/// What to do about a row that conflicts with what the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Stop. Also when a row to update is missing.
    Error,
    /// The source's row wins; a missing row is made.
    Update,
    /// The target's row wins; an update of a missing row is passed over.
    Nothing,
}

/// Whether triggers and foreign keys of the target are off while we write (`session_replication_role = replica`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableTriggers {
    /// Where the login may do it; a warning otherwise.
    Auto,
    /// Always; an error otherwise.
    Always,
    /// Never.
    Never,
}

/// Use of a replication origin at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Where the login may use one.
    Auto,
    /// Never.
    None,
}

/// Under which role DDL is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DdlRole {
    /// The role that ran it at the source.
    Source,
    /// Our own login.
    Login,
}

/// What to do about a DDL command that the target refuses because the object is already there, or already gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DdlConflict {
    /// Stop.
    Stop,
    /// Go on when the object it would make is already as it would make it.
    SkipIfEqual,
}

/// Which tables pass: `schema.table` patterns with `*`, quoted names allowed. At most one of include and exclude is given.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these.
    pub include: Vec<String>,
    /// All but these.
    pub exclude: Vec<String>,
    /// Of these no rows, but schema changes; also when they are not among those included.
    pub schema_only: Vec<String>,
}

/// Exponential backoff between attempts, with jitter.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Before the first new attempt.
    pub initial: Duration,
    /// Never more than this.
    pub max: Duration,
    /// Attempts in a row before giving up; 0 = never give up.
    pub attempts: u32,
}
