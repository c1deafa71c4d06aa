//! Messages and position in one transaction of Kafka: who reads committed messages sees each change once.
//!
//! ```text
//! open    the transactions of whoever wrote this slot before us are ended, then its position is read
//! send    begins a transaction with its first message
//! commit  position ──> topic of positions, then all of it is committed, while the next messages are made
//! ```
//!
//! Why each change is seen once: messages of the source's transactions and the position behind them are committed together or not at all, and
//! the stream starts again from that position. A transaction of Kafka holds only whole ones of the source: it is committed where one ends,
//! and one that goes on in the next batch stays open with it. At most one commit is underway: the next message waits for it, so positions are
//! stored in their order. Why no second writer comes between: a transactional id belongs to the slot, and a new
//! producer of that id shuts out the one before. What ends without a commit is rolled back, by us or by the next producer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::message::Message;
use super::producer::{Flight, Producer};
use super::topics::Topics;
use crate::config::plan::{ExactlyOnce, KafkaCluster, KafkaTarget, Topic};
use crate::error::{Error, Kind, Result};
use crate::event::Lsn;
use crate::kafka::{self, blocking, Voice, PATIENCE};
use crate::sinks::work::Work;
use crate::sinks::Underway;
use crate::source::slot::Identity;

/// How long the topic of positions may take to be read.
const READING: Duration = Duration::from_secs(60);

/// A transactional producer and the position of its slot.
pub(super) struct Exact {
    producer: Producer,
    positions: String,
    /// Whose position: topic, server, database and slot.
    key: String,
    stored: Arc<AtomicU64>,
    /// A transaction has begun.
    open: bool,
    /// The last one; it may have ended.
    commit: Option<Work>,
    /// Nobody waits for it: a commit does.
    flight: Arc<Flight>,
}

impl Exact {
    /// Shuts out whoever wrote this slot before, and finds its position.
    ///
    /// # Errors
    /// Fatal when the slot stands behind the position, or when rights are missing; transient when no broker answers.
    pub(super) async fn open(
        target: &KafkaTarget,
        wish: &ExactlyOnce,
        topics: &Topics,
        source: &Identity,
    ) -> Result<Self> {
        let topic =
            Topic { name: wish.positions.clone(), partitions: 1, compacted: true, ..target.topic.clone() };
        let partitions = topics.admin().topic(&topic).await?.partitions;
        let producer = Producer::transactional(target, wish, topics.facts(), &transactional_id(source))?;
        producer.first_transaction().await?;
        let key = format!("{}/{}/{}/{}", target.topic.name, source.system, source.database, source.slot);
        let found = position(&target.cluster, &wish.positions, partitions, &key).await?;
        let stored = found.unwrap_or(source.confirmed);
        source.check_stored(stored, "the topic")?;
        let mut exact = Self {
            producer,
            positions: wish.positions.clone(),
            key,
            stored: Arc::new(AtomicU64::new(stored.0)),
            open: false,
            commit: None,
            flight: Arc::default(),
        };
        if found.is_none() {
            exact.store(stored).await?;
        }
        Ok(exact)
    }

    /// The position that is stored.
    pub(super) fn stored(&self) -> Lsn {
        Lsn(self.stored.load(Ordering::Acquire))
    }

    /// Whether something was sent that is not committed.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether a message would have to wait for a commit.
    pub(super) fn is_committing(&self) -> bool {
        self.commit.as_ref().is_some_and(|commit| !commit.is_done())
    }

    /// Sends a message of the source's log.
    pub(super) async fn send(&mut self, message: &Message, topic: &str, partitions: i32) -> Result<()> {
        self.begin().await?;
        self.producer.send(message, topic, partitions, &self.flight).await
    }

    /// Begins to commit what was sent, with the position behind it.
    pub(super) async fn commit(&mut self, end: Lsn) -> Result<()> {
        self.begin().await?;
        self.producer.dead_letters(&self.flight).await?;
        self.producer.record(&self.positions, &self.key, &end.to_string(), &self.flight).await?;
        let (commit, told) = Work::begin();
        let (producer, stored) = (self.producer.clone(), Arc::clone(&self.stored));
        drop(blocking(move || {
            let committed = producer.commit();
            match &committed {
                Ok(()) => stored.store(end.0, Ordering::Release),
                Err(_) => producer.abandon(),
            }
            told.tell(committed);
            Ok(())
        }));
        (self.commit, self.open) = (Some(commit), false);
        Ok(())
    }

    /// Completes when the last commit that was begun has ended.
    pub(super) fn underway(&self) -> Option<Underway> {
        self.commit.as_ref().map(Work::underway)
    }

    /// Stores a position reached without messages, between transactions, unless one behind it is stored.
    pub(super) async fn advance(&mut self, at: Lsn) -> Result<()> {
        self.committed().await?;
        if self.open || at <= self.stored() {
            return Ok(());
        }
        self.store(at).await
    }

    async fn store(&mut self, at: Lsn) -> Result<()> {
        self.commit(at).await?;
        self.committed().await
    }

    async fn begin(&mut self) -> Result<()> {
        if !self.open {
            self.committed().await?;
            self.producer.begin()?;
            self.open = true;
        }
        Ok(())
    }

    async fn committed(&mut self) -> Result<()> {
        match self.commit.take() {
            Some(commit) => commit.wait().await,
            None => Ok(()),
        }
    }
}

/// Readers of what is open wait for its end; it need not be the brokers' timeout.
impl Drop for Exact {
    fn drop(&mut self) {
        if self.open {
            self.producer.abandon();
        }
    }
}

fn transactional_id(source: &Identity) -> String {
    format!("pgstream/{}/{}/{}", source.system, source.database, source.slot)
}

/// The position stored under a key: the last committed one.
async fn position(cluster: &KafkaCluster, topic: &str, partitions: i32, key: &str) -> Result<Option<Lsn>> {
    let mut config = kafka::client(cluster);
    // Nobody joins the group; a consumer just has to have one.
    config.set("group.id", "pgstream").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let (name, key) = (topic.to_owned(), key.to_owned());
    let read = blocking(move || read(&config, &name, partitions, key.as_bytes()));
    read.await.map_err(|error| error.context(format_args!("the positions in topic {topic}")))
}

/// Reads all partitions to their ends.
fn read(config: &ClientConfig, topic: &str, partitions: i32, key: &[u8]) -> Result<Option<Lsn>> {
    let consumer: BaseConsumer<Voice> = config.create_with_context(Voice::default()).map_err(kafka::error)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).map_err(kafka::error)?;
    }
    consumer.assign(&list).map_err(kafka::error)?;
    let (mut open, until) = (partitions, Instant::now() + READING);
    let (mut last, mut why) = (None, None);
    while open > 0 {
        if Instant::now() > until {
            return Err(why.unwrap_or_else(|| Error::transient(format!("not read within {READING:?}"))));
        }
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) if message.key() == Some(key) => last = message.payload().map(<[u8]>::to_vec),
            Some(Ok(_)) | None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => {
                let error = consumer.context().explain(error);
                if error.kind() != Kind::Transient {
                    return Err(error);
                }
                why = Some(error);
            }
        }
    }
    let Some(text) = last else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    let unknown =
        |_| Error::fatal(format!("`{text}` is not a position")).hint("name another topic of positions");
    text.parse().map(Some).map_err(unknown)
}
