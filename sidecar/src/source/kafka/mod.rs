//! A topic as source: a member of a consumer group that takes the partitions it is given.
//!
//! Nothing is committed by itself: [`Reader::commit`] is called with what is durable at the target.

pub mod dead;
pub mod decode;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::config::plan::{KafkaSource, StartOffset};
use crate::error::{Error, Kind, Result};
use crate::kafka::{self, blocking, Voice, PATIENCE};
use decode::Headers;

/// How soon a topic is found that is made later, and a new partition of it.
const LOOK_EVERY_MS: &str = "2000";
/// Memory for messages that were fetched and wait.
const QUEUE_KIB: &str = "16384";

/// A member of a consumer group.
pub struct Reader {
    consumer: Arc<StreamConsumer<Voice<Membership>>>,
    topic: String,
    cluster: String,
}

/// Counts the changes of what this member is given.
#[derive(Default)]
struct Membership {
    generation: AtomicU64,
}

impl ConsumerContext for Voice<Membership> {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.own.generation.fetch_add(1, Ordering::AcqRel);
        if let Rebalance::Assign(partitions) = rebalance {
            // The client remembers what was paused before.
            if let Err(error) = consumer.resume(partitions) {
                tracing::warn!(%error, "partitions that were held back may stay so");
            }
            let partitions: Vec<i32> = partitions.elements().iter().map(|one| one.partition()).collect();
            tracing::info!(?partitions, "partitions given to this process");
        }
    }
}

/// A message as the stream needs it.
#[derive(Debug)]
pub struct Received {
    /// Its partition.
    pub partition: i32,
    /// Where it stands there.
    pub offset: i64,
    /// The event.
    pub value: Vec<u8>,
    /// What it says beside.
    pub headers: Headers,
    /// What keeps its order.
    pub key: Option<Vec<u8>>,
}

impl Reader {
    /// Joins the group. A topic that is not there yet is waited for.
    ///
    /// # Errors
    /// Transient when no broker answers; fatal for a login that is refused.
    pub async fn join(source: &KafkaSource) -> Result<Self> {
        let known = kafka::ask(&source.cluster, &source.topic).await?;
        let nameless = || Error::transient("the brokers do not name their cluster");
        let cluster = known.cluster.ok_or_else(nameless)?;
        if known.partitions.is_none() {
            tracing::warn!(topic = source.topic, "there is no such topic yet: waiting for it");
        }
        let mut config = kafka::client(&source.cluster);
        config
            .set("group.id", &source.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", "read_committed")
            .set("session.timeout.ms", source.session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", (source.session_timeout.as_millis() / 5).to_string())
            .set("topic.metadata.refresh.interval.ms", LOOK_EVERY_MS)
            .set("queued.max.messages.kbytes", QUEUE_KIB)
            .set(
                "auto.offset.reset",
                match source.start {
                    StartOffset::Earliest => "earliest",
                    StartOffset::Latest => "latest",
                },
            );
        let consumer: StreamConsumer<Voice<Membership>> =
            config.create_with_context(Voice::default()).map_err(kafka::error)?;
        consumer.subscribe(&[&source.topic]).map_err(kafka::error)?;
        Ok(Self { consumer: Arc::new(consumer), topic: source.topic.clone(), cluster })
    }

    /// What the cluster calls itself.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Changes whenever this member is given other partitions.
    pub fn generation(&self) -> u64 {
        self.consumer.context().own.generation.load(Ordering::Acquire)
    }

    /// The partitions this member has.
    pub fn partitions(&self) -> Result<Vec<i32>> {
        let assigned = self.consumer.assignment().map_err(kafka::error)?;
        Ok(assigned.elements().iter().map(|one| one.partition()).collect())
    }

    /// The next message. Cancel-safe.
    ///
    /// # Errors
    /// Fatal for missing rights. What passes is waited out.
    pub async fn receive(&self) -> Result<Received> {
        loop {
            match self.consumer.recv().await {
                Ok(message) => return Ok(received(&message)),
                Err(error) => match error.rdkafka_error_code() {
                    // It is looked for again and again.
                    Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
                    _ => {
                        let error = self.consumer.context().explain(error);
                        if error.kind() != Kind::Transient {
                            return Err(error.context(&self.topic));
                        }
                        tracing::warn!("{error}");
                    }
                },
            }
        }
    }

    /// The first offset that a partition still has, and the next one it will give out.
    pub async fn bounds(&self, partition: i32) -> Result<(i64, i64)> {
        let bounds =
            self.blocking(move |consumer, topic| consumer.fetch_watermarks(topic, partition, PATIENCE));
        bounds.await.map_err(|error| error.context(format_args!("{} {partition}", self.topic)))
    }

    /// Goes on at that offset.
    pub async fn seek(&self, partition: i32, offset: i64) -> Result<()> {
        self.blocking(move |consumer, topic| {
            consumer.seek(topic, partition, Offset::Offset(offset), PATIENCE)
        })
        .await
    }

    /// A partition gives nothing until it is resumed.
    pub fn pause(&self, partition: i32) -> Result<()> {
        self.consumer.pause(&self.one(partition)).map_err(kafka::error)
    }

    /// It gives again.
    pub fn resume(&self, partition: i32) -> Result<()> {
        self.consumer.resume(&self.one(partition)).map_err(kafka::error)
    }

    fn one(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, partition);
        list
    }

    /// Whether the topic has more than one partition.
    pub async fn has_several(&self) -> Result<bool> {
        let metadata = self.blocking(|consumer, topic| {
            Ok(consumer
                .fetch_metadata(Some(topic), PATIENCE)?
                .topics()
                .iter()
                .map(|topic| topic.partitions().len())
                .sum::<usize>())
        });
        metadata.await.map(|partitions| partitions > 1)
    }

    /// Notes for the group what is durable: by partition, the next offset.
    pub async fn commit(&self, next: impl Iterator<Item = (i32, i64)>, wait: bool) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))
                .map_err(kafka::error)?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        let mode = if wait { CommitMode::Sync } else { CommitMode::Async };
        self.blocking(move |consumer, _| consumer.commit(&list, mode)).await
    }

    /// Asks the consumer what waits for a broker.
    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&StreamConsumer<Voice<Membership>>, &str) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        blocking(move || ask(&consumer, &topic).map_err(kafka::error)).await
    }
}

fn received(message: &BorrowedMessage<'_>) -> Received {
    let mut headers = Headers::default();
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        if let Some(Ok(value)) = header.value.map(std::str::from_utf8) {
            headers.add(header.key, value);
        }
    }
    Received {
        partition: message.partition(),
        offset: message.offset(),
        value: message.payload().unwrap_or_default().to_vec(),
        headers,
        key: message.key().map(<[u8]>::to_vec),
    }
}

/// Says where a message stands.
pub fn place(topic: &str, partition: i32, offset: i64) -> impl std::fmt::Display + use<'_> {
    format!("{topic}, partition {partition}, offset {offset}")
}

/// The error for messages that are gone before they were read.
pub fn lost(topic: &str, partition: i32, next: i64, (low, high): (i64, i64)) -> Error {
    let place = place(topic, partition, next);
    if next > high {
        Error::fatal(format!(
            "{place}: the target has more than the topic, which ends at {high}: it was made anew"
        ))
        .hint("read it by another consumer group, into a target without its rows")
    } else {
        Error::fatal(format!(
            "{place}: the topic only has messages from {low} on: those before were never read"
        ))
        .hint("raise the topic's retention; copy the tables again, and read by another consumer group")
    }
}
