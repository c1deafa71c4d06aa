//! Messages that are no events, in a topic of their own: as they were, and why they are there.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use super::Received;
use crate::config::plan::KafkaCluster;
use crate::error::{Error, Result};
use crate::kafka::{self, Voice};

/// The topic of dead letters.
pub struct DeadLetters {
    producer: FutureProducer<Voice>,
    topic: String,
}

impl DeadLetters {
    /// Finds the topic.
    ///
    /// # Errors
    /// Fatal when it is not there; transient when no broker answers.
    pub async fn open(cluster: &KafkaCluster, topic: &str) -> Result<Self> {
        if kafka::ask(cluster, topic).await?.partitions.is_none() {
            return Err(Error::fatal(format!("there is no topic {topic} for dead letters")).hint("make it"));
        }
        let mut config = kafka::client(cluster);
        config.set("enable.idempotence", "true").set("acks", "all");
        Ok(Self {
            producer: config.create_with_context(Voice::default()).map_err(kafka::error)?,
            topic: topic.to_owned(),
        })
    }

    /// Its name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Sends a message with its place and what is wrong with it as headers; Ok means that the brokers have it.
    ///
    /// # Errors
    /// As the broker says it.
    pub async fn send(&self, message: &Received, why: &Error) -> Result<()> {
        let (partition, offset, why) =
            (message.partition.to_string(), message.offset.to_string(), why.to_string());
        let mut headers = OwnedHeaders::new_with_capacity(3);
        for (key, value) in [("partition", &partition), ("offset", &offset), ("error", &why)] {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record = FutureRecord::to(&self.topic).payload(&message.value).headers(headers);
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        let sent = self.producer.send(record, Timeout::Never).await;
        sent.map(drop).map_err(|(error, _)| kafka::error(error).context(&self.topic))
    }
}
