//! Questions to a cluster, and topics that are made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};

use super::{blocking, client, coded, error, Voice, PATIENCE};
use crate::config::plan::{KafkaCluster, Topic};
use crate::error::{Error, Kind, Result};
use crate::retry;

/// How long the first try of a question may take.
const FIRST_ASK: Duration = Duration::from_millis(500);
/// How often a new topic is looked for until the brokers know it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Keeps a topic small: all but the last message of each key goes, in pieces of this size.
const COMPACTED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.bytes", "4194304"), ("min.cleanable.dirty.ratio", "0.1")];
/// What to do about a topic that is missing.
const MAKE_IT: &str = "make it, or set topic.auto_create (PGSTREAM_KAFKA_TOPIC_AUTO_CREATE=true)";

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

/// Finds and makes topics.
pub struct Admin {
    asking: Asking,
    client: AdminClient<Voice>,
    has_login: bool,
}

impl Admin {
    /// Connects with the first question.
    pub fn new(cluster: &KafkaCluster) -> Result<Self> {
        let client = client(cluster).create_with_context(Voice::default()).map_err(error)?;
        Ok(Self { asking: Asking::new(cluster)?, client, has_login: cluster.login.is_some() })
    }

    /// Looks at a topic, which is made when it is missing and may be made.
    ///
    /// # Errors
    /// Transient when no broker answers; fatal when the topic is not there, or must not be made.
    pub async fn topic(&self, topic: &Topic) -> Result<Facts> {
        let partitions = match self.asking.ask(&topic.name).await?.partitions {
            Some(partitions) => partitions,
            None if topic.auto_create => {
                let made = self.made(topic).await;
                made.map_err(|error| error.context(format_args!("cannot make the topic {}", topic.name)))?
            }
            None => {
                let error =
                    Error::fatal(format!("{}: there is no topic {}", self.asking.brokers, topic.name));
                return Err(if self.has_login {
                    error.hint(format!("{MAKE_IT}; if it is there, grant this user DESCRIBE on it"))
                } else {
                    error.hint(MAKE_IT)
                });
            }
        };
        Ok(Facts { partitions, largest: self.largest(&topic.name).await })
    }

    /// Makes a topic, and waits until the brokers know it; its partitions.
    async fn made(&self, topic: &Topic) -> Result<i32> {
        let replication = TopicReplication::Fixed(i32::from(topic.replication_factor));
        let mut new = NewTopic::new(&topic.name, i32::from(topic.partitions), replication);
        if topic.compacted {
            for (name, value) in COMPACTED {
                new = new.set(name, value);
            }
        }
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for answer in self.client.create_topics([&new], &options).await.map_err(error)? {
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
            if let Some(partitions) = self.asking.ask(&topic.name).await?.partitions {
                return Ok(partitions);
            }
            if tokio::time::Instant::now() > until {
                return Err(Error::transient("the brokers do not know it yet"));
            }
            retry::wait(LOOK_EVERY).await;
        }
    }

    /// The largest batch that a topic takes, where this login may know.
    async fn largest(&self, topic: &str) -> Option<usize> {
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let answer = self.client.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await.ok()?;
        let described = answer.into_iter().next()?.ok()?;
        described.get("max.message.bytes")?.value.as_ref()?.parse().ok()
    }
}
