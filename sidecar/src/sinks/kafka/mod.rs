//! A topic of a Kafka cluster: one message per event, at least once, in the order of each key.
//!
//! ```text
//! batch ──message──> key, value, headers ──producer──> all delivered (acks=all) ──> Ok
//! ```
//!
//! Why nothing is lost or reordered: `write` answers only when every message of the batch is delivered, and the position moves only after
//! that. The producer keeps the order of each partition. After any failure all of it is made anew and sent again from the confirmed
//! position: readers may see a stretch twice, each time in order, and tell it by its headers (see [`message`]).
//!
//! Rows may go to a topic of their table's own ([`topics`]), in one of several forms ([`format`](mod@format)).
//!
//! What the brokers never take, because it is too large, stops the stream; or, where a topic for dead letters is named, goes there by key and
//! position, before the position moves.

mod format;
mod key;
mod message;
mod names;
mod producer;
mod topics;

use super::Batch;
use crate::config::plan::{KafkaTarget, Topic};
use crate::error::Result;
use crate::kafka;
use crate::source::slot::Identity;
use message::{Message, Writer};
use producer::Producer;
use topics::Topics;

/// A Kafka target.
pub struct Kafka {
    producer: Producer,
    topics: Topics,
    writer: Writer,
    messages: Vec<Message>,
}

impl Kafka {
    /// Finds the topic, or makes it.
    ///
    /// # Errors
    /// Transient when no broker answers; fatal when the topic is not there or this login may not write to it.
    pub async fn open(target: &KafkaTarget, source: &Identity) -> Result<Self> {
        let topics = Topics::open(target).await?;
        if let Some(name) = &target.dead_letters {
            let topic = Topic { name: name.clone(), partitions: 1, ..target.topic.clone() };
            kafka::topic(&target.cluster, &topic).await?;
        }
        let producer = Producer::new(target, topics.facts())?;
        let named = !source.system.is_empty();
        let source = if named { format!("{}/{}", source.system, source.database) } else { String::new() };
        Ok(Self { producer, topics, writer: Writer::new(target, &source), messages: Vec::new() })
    }

    /// Sends a batch; Ok means that the brokers have it.
    ///
    /// # Errors
    /// As the broker says it: rejected for what it never takes, fatal for missing rights, otherwise transient.
    pub async fn write(&mut self, batch: Batch) -> Result<()> {
        for event in &batch.events {
            self.messages.clear();
            self.writer.write(event, &mut self.messages);
            for message in &self.messages {
                let (topic, partitions) = self.topics.at(message.topic.as_ref()).await?;
                self.producer.send(message, topic, partitions).await?;
            }
        }
        self.producer.settled().await
    }

    /// Nothing is on its way: `write` has waited for it.
    pub async fn close(self) -> Result<()> {
        Ok(())
    }
}
