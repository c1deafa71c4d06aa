//! The producer: counts what is on its way, and keeps the first failure.
//!
//! ```text
//! send ──> librdkafka's queue (bounded) ──> broker ──acks=all──> delivery() counts down ──> Flight::landed
//! ```
//!
//! Idempotent: the broker takes each message once and in order, however often the client has to send it. What was not delivered fails
//! its flight, and with it the stream, which then starts again from the confirmed position with a new producer. Several flights may be
//! underway; they land in order for whoever waits for them in order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedHeaders, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;

use super::message::{Extra, Message, Place};
use crate::config::plan::{ExactlyOnce, KafkaTarget};
use crate::error::{Error, Kind, Result};
use crate::kafka::{self, Facts, Voice};

/// Memory for messages that wait for a broker.
const QUEUE_KIB: &str = "8192";
/// How long a message is tried before its batch fails.
const MESSAGE_TIMEOUT_MS: &str = "30000";
/// How long a message may wait for others to go with.
const LINGER_MS: &str = "1";

/// How long beginning and ending a transaction may take.
const TRANSACTION_PATIENCE: Duration = Duration::from_secs(60);

/// The same for one that nobody waits for.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// How often a commit looks whether everything is delivered.
const LOOK: Duration = Duration::from_millis(1);

const MOST_HEADERS: usize = 11;

type Record<'a> = BaseRecord<'a, [u8], [u8], Arc<Flight>>;

/// A producer.
#[derive(Clone)]
pub(super) struct Producer {
    inner: Arc<ThreadedProducer<Voice<Deliveries>>>,
    dead_letters: Option<String>,
}

/// Messages that are waited for together.
#[derive(Default)]
pub(super) struct Flight {
    open: AtomicUsize,
    landed: Notify,
}

impl Flight {
    fn one_more(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    fn one_less(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.landed.notify_one();
        }
    }

    /// Waits until none of it is on its way. Nothing may be added meanwhile.
    async fn landed(&self) {
        while self.open.load(Ordering::Acquire) > 0 {
            self.landed.notified().await;
        }
    }
}

/// What became of all.
#[derive(Default)]
struct Deliveries {
    /// Somebody waits for room in the queue.
    crowded: AtomicBool,
    failed: Mutex<Option<Error>>,
    /// Too large for the topic, and kept for dead letters.
    dead: Mutex<Vec<Dead>>,
    /// They are kept, and do not fail the batch.
    keeps_dead: bool,
    /// There is room again.
    room: Notify,
}

/// What is left of a message that no broker takes.
struct Dead {
    key: Vec<u8>,
    headers: OwnedHeaders,
    bytes: usize,
    error: Error,
}

impl ProducerContext for Voice<Deliveries> {
    type DeliveryOpaque = Arc<Flight>;

    fn delivery(&self, result: &DeliveryResult<'_>, flight: Arc<Flight>) {
        if let Err((error, message)) = result {
            let why = explained(self, error).context(place(message.topic(), message.key()));
            let headers = || message.headers().map(BorrowedHeaders::detach);
            if let Err(why) = self.own.bury(why, message.key(), headers, message.payload_len()) {
                self.own.fail(why);
            }
        }
        flight.one_less();
        if self.own.crowded.swap(false, Ordering::AcqRel) {
            self.own.room.notify_one();
        }
    }
}

impl Deliveries {
    /// A message was not taken: what is too large is kept for dead letters, where there are any.
    fn bury(
        &self,
        why: Error,
        key: Option<&[u8]>,
        headers: impl FnOnce() -> Option<OwnedHeaders>,
        bytes: usize,
    ) -> Result<()> {
        if why.kind() != Kind::Rejected || !self.keeps_dead {
            return Err(why);
        }
        let (key, headers) = (key.unwrap_or_default().to_vec(), headers().unwrap_or_default());
        let dead = Dead { key, headers, bytes, error: why };
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).push(dead);
        Ok(())
    }

    fn fail(&self, error: Error) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Why a message was not delivered. That its time was over, or that it was given up, says less than why nobody took it.
fn explained(voice: &Voice<Deliveries>, error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
            | RDKafkaErrorCode::Fatal,
        ) => voice.explain(error.clone()),
        _ => kafka::error(error.clone()),
    }
}

impl Producer {
    /// Connects lazily: nothing is sent before the first message.
    pub(super) fn new(target: &KafkaTarget, facts: Facts) -> Result<Self> {
        Self::configured(target, facts, |_| {})
    }

    /// One with transactions. What is too large must not fail one of these: it is told by its size before it is sent.
    pub(super) fn transactional(
        target: &KafkaTarget,
        wish: &ExactlyOnce,
        facts: Facts,
        id: &str,
    ) -> Result<Self> {
        Self::configured(target, facts, |config| {
            config.set("transactional.id", id);
            config.set("transaction.timeout.ms", wish.timeout.as_millis().to_string());
            if let Some(largest) = facts.largest {
                config.set("message.max.bytes", largest.to_string());
            }
        })
    }

    fn configured(target: &KafkaTarget, facts: Facts, more: impl FnOnce(&mut ClientConfig)) -> Result<Self> {
        let mut config = kafka::client(&target.cluster);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", &target.compression)
            .set("linger.ms", LINGER_MS)
            .set("message.timeout.ms", MESSAGE_TIMEOUT_MS)
            .set("queue.buffering.max.kbytes", QUEUE_KIB)
            // CRC32 of the key, as other clients of this format have it; how large a message may be is the broker's to say.
            .set("partitioner", "consistent_random")
            .set("message.max.bytes", "1000000000")
            .set("batch.size", batch_bytes(facts).to_string());
        more(&mut config);
        let dead_letters = target.dead_letters.clone();
        let deliveries = Deliveries { keeps_dead: dead_letters.is_some(), ..Deliveries::default() };
        let inner = config.create_with_context(Voice::with(deliveries)).map_err(kafka::error)?;
        let inner = Arc::new(inner);
        Ok(Self { inner, dead_letters })
    }

    fn deliveries(&self) -> &Deliveries {
        &self.inner.context().own
    }

    /// Sends a message into a topic of so many partitions, waiting while there is no room.
    pub(super) async fn send(
        &self,
        message: &Message,
        topic: &str,
        partitions: i32,
        flight: &Arc<Flight>,
    ) -> Result<()> {
        let mut record: Record<'_> =
            BaseRecord::with_opaque_to(topic, Arc::clone(flight)).payload(&*message.value);
        record.key = message.key.as_deref();
        record.partition = match message.place {
            Place::With(number) => {
                Some(i32::try_from(number % partitions.unsigned_abs().max(1)).unwrap_or(0))
            }
            Place::ByKey | Place::Everywhere => None,
        };
        let record = record.headers(headers(message));
        if message.place == Place::Everywhere {
            for partition in 0..partitions {
                let mut headers = record.headers.clone();
                if partitions > 1 {
                    let copies = ("copies", partitions.to_string().into_bytes());
                    headers = headers.map(|headers| with(headers, &copies));
                }
                let delivery_opaque = Arc::clone(flight);
                self.enqueue(BaseRecord { partition: Some(partition), headers, delivery_opaque, ..record })
                    .await?;
            }
        } else {
            self.enqueue(record).await?;
        }
        if let (true, Some(key)) = (message.tombstone, &message.key) {
            let record = BaseRecord::with_opaque_to(topic, Arc::clone(flight)).key(&**key);
            let headers = message.extra.as_ref().map(|extra| with(OwnedHeaders::new(), extra));
            self.enqueue(BaseRecord { headers, ..record }).await?;
        }
        Ok(())
    }

    async fn enqueue(&self, mut record: Record<'_>) -> Result<()> {
        let deliveries = self.deliveries();
        loop {
            record.delivery_opaque.one_more();
            let Err((error, refused)) = self.inner.send(record) else { return Ok(()) };
            refused.delivery_opaque.one_less();
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                let why = explained(self.inner.context(), &error).context(place(refused.topic, refused.key));
                let bytes = refused.payload.map_or(0, <[u8]>::len);
                return deliveries.bury(why, refused.key, || refused.headers, bytes);
            }
            record = refused;
            self.room().await?;
        }
    }

    /// Waits until something was delivered.
    async fn room(&self) -> Result<()> {
        let deliveries = self.deliveries();
        deliveries.crowded.store(true, Ordering::Release);
        if self.inner.in_flight_count() > 0 {
            deliveries.room.notified().await;
        }
        self.check()
    }

    /// Sends a key and a value to another topic.
    pub(super) async fn record(
        &self,
        topic: &str,
        key: &str,
        value: &str,
        flight: &Arc<Flight>,
    ) -> Result<()> {
        let record = BaseRecord::with_opaque_to(topic, Arc::clone(flight));
        self.enqueue(record.key(key.as_bytes()).payload(value.as_bytes())).await
    }

    /// Waits until everything of a flight was delivered, dead letters included.
    pub(super) async fn landed(self, flight: Arc<Flight>) -> Result<()> {
        flight.landed().await;
        self.check()?;
        if self.dead_letters(&flight).await? {
            flight.landed().await;
            self.check()?;
        }
        Ok(())
    }

    /// Sends what is left of messages that no broker takes; whether there were any.
    pub(super) async fn dead_letters(&self, flight: &Arc<Flight>) -> Result<bool> {
        let dead =
            std::mem::take(&mut *self.deliveries().dead.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(topic) = self.dead_letters.as_ref().filter(|_| !dead.is_empty()) else { return Ok(false) };
        for letter in dead {
            tracing::error!(
                bytes = letter.bytes,
                dead_letters = topic,
                "{}: only its key and position are kept",
                letter.error
            );
            let value = letter.text();
            let record = BaseRecord::with_opaque_to(topic, Arc::clone(flight));
            let record = record.key(&*letter.key).payload(value.as_bytes());
            self.enqueue(record.headers(letter.headers)).await?;
        }
        Ok(true)
    }

    /// Ends the transactions of an earlier producer of this id; it cannot write any more.
    pub(super) async fn first_transaction(&self) -> Result<()> {
        let producer = self.clone();
        kafka::blocking(move || {
            producer.transaction(|producer| producer.init_transactions(TRANSACTION_PATIENCE))
        })
        .await
    }

    /// Begins a transaction.
    pub(super) fn begin(&self) -> Result<()> {
        self.inner.begin_transaction().map_err(kafka::error)
    }

    /// Waits until everything was delivered, and commits it. Blocks, beside the runtime.
    pub(super) fn commit(&self) -> Result<()> {
        // The client would wait as well, but looks only ten times a second whether it still has to.
        while self.inner.in_flight_count() > 0 {
            self.check()?;
            std::thread::sleep(LOOK);
        }
        let committed = self.transaction(|producer| producer.commit_transaction(TRANSACTION_PATIENCE));
        // That a message was not taken says more than that therefore nothing is committed.
        self.check()?;
        committed
    }

    /// Tries to roll back. Where that fails, the next producer of this id does it, or the brokers when its time is over.
    pub(super) fn abandon(&self) {
        if let Err(error) = self.inner.abort_transaction(LAST_PATIENCE) {
            tracing::debug!(%error, "a transaction was left open");
        }
    }

    fn transaction(
        &self,
        work: impl FnOnce(&ThreadedProducer<Voice<Deliveries>>) -> KafkaResult<()>,
    ) -> Result<()> {
        work(&self.inner).map_err(|error| self.inner.context().explain(error))
    }

    fn check(&self) -> Result<()> {
        self.deliveries().failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl Dead {
    /// Why there is no more of it.
    fn text(&self) -> String {
        serde_json::json!({ "error": self.error.to_string(), "bytes": self.bytes }).to_string()
    }
}

/// The size of a batch, unpacked: the client fills batches by it, the broker counts what is left of them packed, with their frame.
fn batch_bytes(facts: Facts) -> usize {
    const MOST: usize = 1_000_000;
    const FRAME: usize = 512;
    facts.largest.map_or(MOST, |largest| largest.saturating_sub(FRAME).clamp(1, MOST))
}

/// Topic and key for a line of text.
fn place(topic: &str, key: Option<&[u8]>) -> String {
    const LONGEST: usize = 80;
    let key = String::from_utf8_lossy(key.unwrap_or_default());
    let key: String = key.chars().take(LONGEST).collect();
    format!("topic {topic}, key {key}")
}

fn with(headers: OwnedHeaders, (key, value): &Extra) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

fn headers(message: &Message) -> OwnedHeaders {
    let mut all = OwnedHeaders::new_with_capacity(MOST_HEADERS);
    if let Some(extra) = &message.extra {
        all = with(all, extra);
    }
    let Some(headers) = &message.headers else { return all };
    // Taken out and put back: an empty list in its place would be made and thrown away for each.
    let mut all = Some(all);
    let mut add = |key: &str, value: &str| {
        all = all.take().map(|all| all.insert(Header { key, value: Some(value) }));
    };
    if !headers.source.is_empty() {
        add("source", &headers.source);
    }
    if !headers.table.is_empty() {
        add("table", &headers.table);
        add("oid", &headers.oid.to_string());
    }
    if headers.last {
        add("last", "true");
    }
    if headers.whole_row {
        add("identity", "full");
    }
    if let Some(content_type) = headers.content_type {
        add("content-type", content_type);
    }
    if let Some(xid) = headers.xid {
        add("xid", &xid.to_string());
    }
    if let Some(count) = headers.count {
        add("count", &count.to_string());
    }
    add("lsn", &headers.lsn.to_string());
    add("commit_lsn", &headers.commit_lsn.to_string());
    match headers.ordinal {
        Some(ordinal) => add("ordinal", &ordinal.to_string()),
        None => add("snapshot", "true"),
    }
    all.unwrap_or_default()
}
