//! What the Kafka sink and the Kafka source share: how a client is set up, what its errors mean, and where its log lines go.
//!
//! The client is librdkafka. It works in threads of its own and is asked in ways that block: what waits for a broker runs beside the
//! runtime ([`blocking`]).

mod admin;
mod login;
mod voice;

use std::future::Future;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::plan::KafkaCluster;
use crate::error::{Error, Kind, Result};
use crate::run;
pub use admin::{ask, Admin, Answer, Facts};
pub use voice::Voice;

/// How long a question to the cluster may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A client of that cluster, not yet producer or consumer.
pub fn client(cluster: &KafkaCluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.servers.join(",")).set("client.id", "pgstream");
    // A request does not wait until the one before is answered.
    config.set("socket.nagle.disable", "true");
    // A broker that is down is asked again soon.
    config.set("reconnect.backoff.max.ms", "1000");
    login::secure(&mut config, cluster);
    config
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
pub fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> + Send {
    let work = tokio::task::spawn_blocking(work);
    async move { run::joined(work.await)? }
}
