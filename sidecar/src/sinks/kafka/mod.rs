//! A topic of a Kafka cluster: one message per event, in the order of each key.
//!
//! ```text
//! batch ──message──> key, value, headers ──producer──> all delivered (acks=all) ──> durable     at least once
//!                                        └─exact─────> committed with the position ──> durable  exactly once, where asked for
//! ```
//!
//! Why nothing is lost or reordered: the position moves only when every message up to it is delivered, batch after batch. The producer keeps the order of each partition. After any failure all of it is made anew and sent again from the confirmed
//! position: readers may see a stretch twice, each time in order, and tell it by its headers (see [`message`]). With transactions (see
//! [`exact`]) they do not. Rows of a copy are outside of them: a copy begins again after a failure.
//!
//! Rows may go to a topic of their table's own ([`topics`]), in one of several forms ([`format`](mod@format)).
//!
//! What the brokers never take, because it is too large, stops the stream; or, where a topic for dead letters is named, goes there by key and
//! position, before the position moves.

mod exact;
mod format;
mod key;
mod message;
mod names;
mod producer;
mod topics;

use std::sync::Arc;

use super::{Batch, Underway};
use crate::config::plan::{KafkaTarget, Topic};
use crate::error::Result;
use crate::event::{Event, Lsn};
use crate::source::slot::Identity;
use exact::Exact;
use message::{Message, Writer};
use producer::{Flight, Producer};
use topics::Topics;

/// Messages made before they are sent: the client gets them faster than they are made, and so packs many into one request.
const TOGETHER: usize = 500;
/// And while a commit is underway, which no message can pass.
const MEANWHILE: usize = 4000;

/// A Kafka target.
pub struct Kafka {
    /// For all; with `exact` only for rows of copies.
    producer: Producer,
    exact: Option<Exact>,
    topics: Topics,
    writer: Writer,
    /// To be sent.
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
            topics.admin().topic(&topic).await?;
        }
        let named = !source.system.is_empty();
        let stream = !source.slot.is_empty();
        let exact = match target.exactly_once.as_ref().filter(|_| stream) {
            Some(wish) => Some(Exact::open(target, wish, &topics, source).await?),
            None => None,
        };
        let producer = Producer::new(target, topics.facts())?;
        let source = if named { format!("{}/{}", source.system, source.database) } else { String::new() };
        let writer = Writer::new(target, &source);
        Ok(Self { producer, exact, topics, writer, messages: Vec::new() })
    }

    /// Where transactions are used, the position stored with them.
    pub fn progress(&self) -> Option<Lsn> {
        self.exact.as_ref().map(Exact::stored)
    }

    /// Sends a batch. What is answered completes when the brokers have it; with transactions, when they have committed it.
    ///
    /// # Errors
    /// As the broker says it: rejected for what it never takes, fatal for missing rights, otherwise transient.
    pub async fn send(&mut self, batch: Batch) -> Result<Option<Underway>> {
        let flight = Arc::default();
        for event in batch.events {
            let copied = self.writer.in_copy();
            self.writer.write(&event, &mut self.messages);
            let end = end(&event).filter(|end| !copied && batch.end == Some(*end));
            let most = if self.has_to_wait() { MEANWHILE } else { TOGETHER };
            if end.is_some() || self.messages.len() >= most {
                self.enqueue(&flight).await?;
            }
            if let (Some(end), Some(exact)) = (end, self.exact.as_mut().filter(|exact| exact.is_open())) {
                exact.commit(end).await?;
            }
        }
        // The beginning of a transaction may as well be sent with the rest of it.
        if !self.has_to_wait() || self.messages.iter().any(Message::is_copied) {
            self.enqueue(&flight).await?;
        }
        let landed = self.producer.clone().landed(flight);
        match &self.exact {
            Some(exact) => {
                landed.await?;
                Ok(exact.underway())
            }
            None => Ok(Some(Box::pin(landed))),
        }
    }

    fn has_to_wait(&self) -> bool {
        self.exact.as_ref().is_some_and(Exact::is_committing)
    }

    async fn enqueue(&mut self, flight: &Arc<Flight>) -> Result<()> {
        for message in &self.messages {
            let (topic, partitions) = self.topics.at(message.topic.as_ref()).await?;
            match &mut self.exact {
                Some(exact) if !message.is_copied() => exact.send(message, topic, partitions).await?,
                _ => self.producer.send(message, topic, partitions, flight).await?,
            }
        }
        self.messages.clear();
        Ok(())
    }

    /// Stores a position reached without writes. In the middle of a transaction it is left to that one.
    pub async fn advance(&mut self, at: Lsn) -> Result<()> {
        match &mut self.exact {
            Some(exact) => exact.advance(at).await,
            None => Ok(()),
        }
    }

    /// Nothing is on its way: it was waited for. A transaction that has not come to its end is rolled back with the value.
    pub async fn close(self) -> Result<()> {
        Ok(())
    }
}

/// The position that an event reaches.
fn end(event: &Event) -> Option<Lsn> {
    match event {
        Event::Commit(commit) => Some(commit.end),
        Event::Keepalive(at) => Some(*at),
        _ => None,
    }
}
