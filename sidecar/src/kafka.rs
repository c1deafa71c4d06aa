//! What the Kafka sink and the Kafka source share: how a client is set up, what its errors mean, and where its log lines go.
//!
//! The client is librdkafka. It works in threads of its own and is asked in ways that block: what waits for a broker runs beside the
//! runtime ([`blocking`]).

mod login;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};

use crate::config::plan::{KafkaCluster, Topic};
use crate::error::{Error, Kind, Result};
use crate::{retry, run};
pub use login::token;

/// How long a question to the cluster may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long the first try of such a question may take.
const FIRST_ASK: Duration = Duration::from_millis(500);
/// How often a new topic is looked for until the brokers know it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Keeps a topic small: all but the last message of each key goes, in pieces of this size.
const COMPACTED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.bytes", "4194304"), ("min.cleanable.dirty.ratio", "0.1")];
/// What to do about a topic that is missing.
const MAKE_IT: &str = "make it, or set topic.auto_create (PGSTREAM_KAFKA_TOPIC_AUTO_CREATE=true)";

/// A client of that cluster, not yet producer or consumer.
pub fn client(cluster: &KafkaCluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.servers.join(",")).set("client.id", "pgstream");
    // A broker that is down is asked again soon.
    config.set("reconnect.backoff.max.ms", "1000");
    login::secure(&mut config, cluster);
    config
}

/// What a client says beside its answers: log lines go to the log, and the last reason for trouble is kept.
#[derive(Debug, Default)]
pub struct Voice(Mutex<Option<(RDKafkaErrorCode, String)>>);

impl ClientContext for Voice {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        file: Option<&str>,
    ) -> std::result::Result<OAuthToken, Box<dyn std::error::Error>> {
        token(file)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::trace!(facility, "{line}"),
            // What matters of these comes as an error as well.
            _ => tracing::debug!(facility, "{line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match error.rdkafka_error_code() {
            // That all are gone says less than why one of them is.
            Some(RDKafkaErrorCode::AllBrokersDown) if last.is_some() => {}
            Some(code) => *last = Some((code, reason.to_owned())),
            None => {}
        }
    }
}

/// A producer with it only asks.
impl ProducerContext for Voice {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

impl ConsumerContext for Voice {}

impl Voice {
    /// An error of the client, told by the reason behind it where one is known.
    pub fn explain(&self, error: KafkaError) -> Error {
        let reason = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match reason {
            Some((code, reason)) => {
                let why = of(code, reason.trim());
                let tells_more = why.kind() == Kind::Fatal || error_kind(&error) == Kind::Transient;
                if tells_more {
                    why.because(error)
                } else {
                    self::error(error)
                }
            }
            _ => self::error(error),
        }
    }
}

/// What the pipeline does about it.
fn kind(code: RDKafkaErrorCode) -> Kind {
    use RDKafkaErrorCode as Code;
    match code {
        Code::MessageSizeTooLarge | Code::InvalidRecord | Code::InvalidMessageSize => Kind::Rejected,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::InvalidReplicationFactor
        | Code::InvalidPartitions
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout
        | Code::UnsupportedVersion => Kind::Fatal,
        // A broker that cannot be reached, has no leader, is full or slow.
        _ => Kind::Transient,
    }
}

fn error_kind(error: &KafkaError) -> Kind {
    match error {
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => Kind::Fatal,
        error => error.rdkafka_error_code().map_or(Kind::Transient, kind),
    }
}

fn of(code: RDKafkaErrorCode, text: &str) -> Error {
    use RDKafkaErrorCode as Code;
    let error = Error::transient(text).into_kind(kind(code));
    match code {
        Code::MessageTimedOut => Error::transient("not taken in time")
            .hint("the topic may have too few replicas in sync, or no leader: the brokers' logs tell"),
        Code::AllBrokersDown => Error::transient("no broker answers")
            .hint("check that they run, and whether they ask for TLS or a login"),
        // What one side's TLS does not accept of the other stays so. A connection that was cut passes.
        Code::SSL | Code::BrokerTransportFailure if is_refusal(text) => error
            .into_kind(Kind::Fatal)
            .hint("check tls.ca_cert, the names in the broker's certificate, and tls.client_cert"),
        Code::TopicAuthorizationFailed => {
            error.hint("grant this user rights on the topic: WRITE and DESCRIBE to write, READ to read")
        }
        Code::GroupAuthorizationFailed => error.hint("grant this user READ on the consumer group"),
        Code::ClusterAuthorizationFailed => error.hint(
            "grant this user WRITE on the topic (before Kafka 3.0 also IDEMPOTENT_WRITE on the cluster)",
        ),
        Code::TransactionalIdAuthorizationFailed => {
            error.hint("grant this user WRITE and DESCRIBE on the transactional id")
        }
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            error.hint("check mechanism, user and password, or the token")
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition => {
            error.hint("make the topic, or set topic.auto_create")
        }
        Code::InvalidTransactionTimeout => {
            error.hint("transaction_timeout must not exceed transaction.max.timeout.ms of the brokers")
        }
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            error.context("another sidecar has taken this slot's transactions over").hint("stop one of them")
        }
        Code::MessageSizeTooLarge => error.hint(
            "raise max.message.bytes of the topic, or name a topic for dead letters (topic.dead_letters)",
        ),
        Code::InvalidReplicationFactor => {
            error.hint("topic.replication_factor must not exceed the number of brokers")
        }
        _ => error,
    }
}

/// Whether TLS says no: librdkafka has no code for it, only the words of OpenSSL.
fn is_refusal(text: &str) -> bool {
    text.contains("SSL routines") && (text.contains("certificate") || text.contains(" alert "))
}

/// An error of the client.
pub fn error(error: KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(code) => coded(code).because(error),
        None => Error::transient(error.to_string()).into_kind(error_kind(&error)).because(error),
    }
}

fn coded(code: RDKafkaErrorCode) -> Error {
    of(code, &code.to_string())
}

/// Runs what blocks beside the runtime.
///
/// # Errors
/// Its own; fatal when it panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    run::joined(tokio::task::spawn_blocking(work).await)?
}

/// What the brokers say to whom does not know them yet.
#[derive(Debug)]
pub struct Answer {
    /// What the cluster calls itself.
    pub cluster: Option<String>,
    /// The partitions of the topic that was asked for; `None` = there is none of that name.
    pub partitions: Option<i32>,
}

/// Asks the brokers for themselves and for a topic.
///
/// # Errors
/// Transient when no broker answers; fatal for a login that is refused.
pub async fn ask(cluster: &KafkaCluster, topic: &str) -> Result<Answer> {
    Asking::new(cluster)?.ask(topic).await
}

/// A client that only asks.
struct Asking {
    client: Arc<BaseProducer<Voice>>,
    brokers: String,
}

impl Asking {
    fn new(cluster: &KafkaCluster) -> Result<Self> {
        let client = client(cluster).create_with_context(Voice::default()).map_err(error)?;
        Ok(Self { client: Arc::new(client), brokers: cluster.servers.join(",") })
    }

    /// All topics are asked for: a question for one would make brokers that may do so make it.
    async fn ask(&self, topic: &str) -> Result<Answer> {
        let (client, topic) = (Arc::clone(&self.client), topic.to_owned());
        let asked = blocking(move || {
            let metadata = patiently(&client, |limit| client.client().fetch_metadata(None, limit))?;
            let found =
                metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
            let partitions = found.and_then(|found| i32::try_from(found.partitions().len()).ok());
            let cluster = client.client().fetch_cluster_id(PATIENCE); // it came with the metadata
            Ok(Answer { cluster, partitions: partitions.filter(|count| *count > 0) })
        });
        asked.await.map_err(|error| error.context(&self.brokers))
    }
}

/// Asks until there is an answer, for longer each time. In between the client may say why there is none, and logs in anew: what is refused
/// is known at once, what may come is waited for.
fn patiently<T>(client: &BaseProducer<Voice>, ask: impl Fn(Duration) -> KafkaResult<T>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    let (mut limit, mut told) = (FIRST_ASK, false);
    loop {
        client.poll(LOOK_EVERY);
        let error = match ask(limit) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        client.poll(LOOK_EVERY);
        let error = client.context().explain(error);
        if error.kind() != Kind::Transient {
            return Err(error);
        }
        if Instant::now() >= until {
            return Err(error.with_code(retry::NO_BROKER));
        }
        if !told {
            tracing::warn!("{error}; waiting for a broker");
            told = true;
        }
        limit = (limit * 2).min(until.saturating_duration_since(Instant::now())).max(FIRST_ASK);
    }
}

/// What the brokers say of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its partitions.
    pub partitions: i32,
    /// The largest batch it takes, in bytes as it is sent; `None` = we may not know.
    pub largest: Option<usize>,
}

/// Looks at a topic, which is made when it is missing and may be made.
///
/// # Errors
/// Transient when no broker answers; fatal when the topic is not there, or must not be made.
pub async fn topic(cluster: &KafkaCluster, topic: &Topic) -> Result<Facts> {
    let asking = Asking::new(cluster)?;
    let admin: AdminClient<Voice> = client(cluster).create_with_context(Voice::default()).map_err(error)?;
    let partitions = match asking.ask(&topic.name).await?.partitions {
        Some(partitions) => partitions,
        None if topic.auto_create => {
            let made = made(&asking, &admin, topic).await;
            made.map_err(|error| error.context(format_args!("cannot make the topic {}", topic.name)))?
        }
        None => {
            let error = Error::fatal(format!("{}: there is no topic {}", asking.brokers, topic.name));
            return Err(match cluster.login {
                None => error.hint(MAKE_IT),
                Some(_) => error.hint(format!("{MAKE_IT}; if it is there, grant this user DESCRIBE on it")),
            });
        }
    };
    Ok(Facts { partitions, largest: largest(&admin, &topic.name).await })
}

/// Makes a topic, and waits until the brokers know it; its partitions.
async fn made(asking: &Asking, admin: &AdminClient<Voice>, topic: &Topic) -> Result<i32> {
    let replication = TopicReplication::Fixed(i32::from(topic.replication_factor));
    let mut new = NewTopic::new(&topic.name, i32::from(topic.partitions), replication);
    if topic.compacted {
        for (name, value) in COMPACTED {
            new = new.set(name, value);
        }
    }
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for answer in admin.create_topics([&new], &options).await.map_err(error)? {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((
                _,
                code @ (RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed),
            )) => {
                let hint = "grant this user CREATE on the topic; if it is there, DESCRIBE and WRITE";
                return Err(coded(code).hint(hint));
            }
            Err((_, code)) => return Err(coded(code)),
        }
    }
    tracing::info!(topic = topic.name, partitions = topic.partitions, "topic made");
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(partitions) = asking.ask(&topic.name).await?.partitions {
            return Ok(partitions);
        }
        if tokio::time::Instant::now() > until {
            return Err(Error::transient("the brokers do not know it yet"));
        }
        retry::wait(LOOK_EVERY).await;
    }
}

/// The largest batch that a topic takes, where this login may know.
async fn largest(admin: &AdminClient<Voice>, topic: &str) -> Option<usize> {
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let answer = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await.ok()?;
    let described = answer.into_iter().next()?.ok()?;
    described.get("max.message.bytes")?.value.as_ref()?.parse().ok()
}
