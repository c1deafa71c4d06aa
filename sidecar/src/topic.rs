//! A run from a topic: a consumer group's messages into a sink, each partition a stream of its own.
//!
//! ```text
//! receive ──> by partition: decode, filter ──> batch ──> sink (stores the offset with the rows) ──> commit to the group
//! ```
//!
//! Why nothing is lost or doubled: a partition's position is kept by its sink as that of a slot is, with the next offset as position. A
//! target that stores it in the transaction of the rows applies each message once, whoever reads the partition: a second reader
//! waits for the first one's lock and goes on where it ended. The group's own offset is committed only behind that, and says where to begin when
//! the target says nothing. Messages that a writer sends again after a failure are known by their names and passed over.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{timeout, Instant};

use crate::config::plan::{KafkaSource, Origin, Target, TopicPlan};
use crate::error::{Error, Kind, Result};
use crate::event::{Commit, Event, Lsn, Timestamp, Transaction};
use crate::kafka;
use crate::pipeline::capture::is_ours;
use crate::pipeline::filter::Filter;
use crate::retry::Attempts;
use crate::run::{self, limits};
use crate::sinks::{Batch, Sink};
use crate::source::kafka::decode::{Decoder, Headers};
use crate::source::kafka::{lost, place, Reader, Received};
use crate::source::slot::Identity;

/// How often the group is told what is durable.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How long a transaction may stay open whose end was not said: it went to several partitions.
const OPEN_FOR: Duration = Duration::from_millis(100);

/// Reads until `stop` completes or an error asks for a human.
///
/// # Errors
/// As [`run::run`].
pub async fn run(mut plan: TopicPlan, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    if let Target::Postgres(target) = &mut plan.target {
        // Positions are kept in rows: a replication origin a partition would use them up.
        target.origin = Origin::None;
    }
    let filter = Filter::new(&plan.filter)?;
    run::until_stopped(plan.retry, stop, async |stopped, attempts| {
        read(&plan, &filter, stopped, attempts).await
    })
    .await
}

/// One membership in the group.
async fn read(
    plan: &TopicPlan,
    filter: &Filter,
    mut stop: watch::Receiver<bool>,
    attempts: &mut Attempts,
) -> Result<()> {
    let source = |error: Error| error.context("source");
    let reader = Reader::join(&plan.source).await.map_err(source)?;
    let KafkaSource { topic, group, .. } = &plan.source;
    tracing::info!(topic, group, "reading");
    attempts.established();
    let mut streams = Streams { plan, filter, open: BTreeMap::new(), one_partition: false, settle_at: None };
    let mut generation = reader.generation();
    let mut commit_at = Instant::now() + COMMIT_EVERY;
    loop {
        let first = tokio::select! {
            received = reader.receive() => Some(received.map_err(source)?),
            () = tokio::time::sleep_until(streams.settle_at.unwrap_or(commit_at).min(commit_at)) => None,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if reader.generation() != generation {
            generation = reader.generation();
            streams.keep(&reader.partitions().map_err(source)?).await?;
        }
        if let Some(first) = first {
            let progressed = streams.take(&reader, first).await?;
            if progressed {
                attempts.progressed();
            }
        }
        if streams.settle_at.is_some_and(|at| at <= Instant::now()) {
            streams.write(true).await?;
        }
        if commit_at <= Instant::now() {
            reader.commit(streams.untold(), false).await.map_err(source)?;
            commit_at = Instant::now() + COMMIT_EVERY;
        }
    }
    let last = reader.commit(streams.untold(), true).await;
    streams.keep(&[]).await?;
    last.map_err(source)
}

/// The partitions in hand.
struct Streams<'a> {
    plan: &'a TopicPlan,
    filter: &'a Filter,
    open: BTreeMap<i32, Stream>,
    /// The topic is known to have only one.
    one_partition: bool,
    /// When transactions without an end are ended.
    settle_at: Option<Instant>,
}

/// One partition's way to the target.
struct Stream {
    sink: Sink,
    decoder: Decoder,
    /// The offset after the last message that came.
    next: i64,
    /// The offset after what is durable at the target.
    durable: i64,
    /// What the group was told last.
    told: Option<i64>,
    /// The last event of each source that passed.
    seen: HashMap<String, (Lsn, u64)>,
    /// The transaction in hand.
    transaction: Option<Lsn>,
    events: Vec<Event>,
}

impl Streams<'_> {
    /// Takes what is ready, up to a batch, and writes it. Whether anything became durable.
    async fn take(&mut self, reader: &Reader, first: Received) -> Result<bool> {
        let limits = limits(&self.plan.target);
        let generation = reader.generation();
        let (mut next, mut count, mut bytes) = (Some(first), 0, 0);
        while let Some(message) = next {
            bytes += message.value.len();
            count += 1;
            if message.by_row {
                self.refuse_rows_apart().await?;
            }
            if self.stream(reader, &message).await? {
                self.add(message)?;
            }
            let full = count >= limits.size || bytes >= limits.bytes || reader.generation() != generation;
            next = match full {
                true => None,
                false => match timeout(Duration::ZERO, reader.receive()).await {
                    Ok(received) => Some(received.map_err(|error| error.context("source"))?),
                    Err(_) => None,
                },
            };
        }
        self.write(false).await
    }

    /// Writes what is in hand. `settle`: what is open ends here.
    async fn write(&mut self, settle: bool) -> Result<bool> {
        let (mut written, mut open) = (false, false);
        for stream in self.open.values_mut() {
            if settle {
                stream.end();
            }
            written |= stream.write().await.map_err(|error| error.context("target"))?;
            open |= stream.transaction.is_some();
        }
        self.settle_at = open.then(|| Instant::now() + OPEN_FOR);
        Ok(written)
    }

    /// Rows of one table in several partitions cannot go into a database: what empties or changes the table would not keep its place among them.
    async fn refuse_rows_apart(&mut self) -> Result<()> {
        let KafkaSource { cluster, topic, .. } = &self.plan.source;
        if self.one_partition || !self.plan.target.is_postgres() {
            return Ok(());
        }
        let known = kafka::ask(cluster, topic).await.map_err(|error| error.context("source"))?;
        self.one_partition = known.partitions == Some(1);
        if self.one_partition {
            return Ok(());
        }
        Err(Error::fatal(format!("{topic}: rows of a table are in several partitions, so that their order among schema changes and truncates is lost"))
            .hint("write the topic with partition_key schema or table, or with one partition"))
    }

    /// The stream of a message's partition, opened when it is new. False: the message is not for it.
    async fn stream(&mut self, reader: &Reader, message: &Received) -> Result<bool> {
        let KafkaSource { topic, group, .. } = &self.plan.source;
        if let Some(stream) = self.open.get(&message.partition) {
            return Ok(message.offset >= stream.next);
        }
        let identity = Identity {
            system: format!("kafka {}", reader.cluster()),
            database: topic.clone(),
            slot: format!("{group}/{}", message.partition),
            confirmed: Lsn::ZERO,
        };
        let sink = Sink::open(&self.plan.target, &identity).await;
        let sink = sink.map_err(|error| error.context("target"))?;
        let stored = sink.progress().and_then(|at| i64::try_from(at.0).ok()).unwrap_or(0);
        let next = if stored > 0 { stored } else { message.offset };
        self.open.insert(message.partition, Stream::new(sink, next));
        if next == message.offset {
            return Ok(true);
        }
        let bounds = reader.bounds(message.partition).await.map_err(|error| error.context("source"))?;
        if next < bounds.0 || next > bounds.1 {
            return Err(lost(topic, message.partition, next, bounds));
        }
        tracing::info!(partition = message.partition, offset = next, "going on where the target ended");
        reader.seek(message.partition, next).await.map_err(|error| error.context("source"))?;
        Ok(false)
    }

    fn add(&mut self, message: Received) -> Result<()> {
        let Received { partition, offset, value, headers, .. } = message;
        let Some(stream) = self.open.get_mut(&partition) else { return Ok(()) };
        if value.is_empty() || stream.came_before(&headers) {
            stream.next = offset + 1;
            return Ok(());
        }
        // A transaction in hand ends before this message, its own behind it.
        stream.begin(headers.commit_lsn);
        stream.next = offset + 1;
        let event = stream.decoder.decode(&value, &headers).map_err(|error| {
            let error =
                error.into_kind(Kind::Fatal).context(place(&self.plan.source.topic, partition, offset));
            error.hint("skip it by moving the group's offset, or fix what writes to this topic")
        })?;
        // For a database the schema changes themselves come as well.
        let logged = matches!(&event, Event::Change(change) if is_ours(&change.relation.schema));
        if !(logged && self.plan.target.is_postgres()) {
            stream.events.extend(self.filter.apply(event));
        }
        if headers.last {
            stream.end();
        }
        Ok(())
    }

    /// Ends the streams of all other partitions.
    async fn keep(&mut self, partitions: &[i32]) -> Result<()> {
        let gone: Vec<i32> = self.open.keys().filter(|open| !partitions.contains(open)).copied().collect();
        for partition in gone {
            if let Some(stream) = self.open.remove(&partition) {
                stream.sink.close().await.map_err(|error| error.context("target"))?;
            }
        }
        Ok(())
    }

    /// What the group has not been told, and is now.
    fn untold(&mut self) -> impl Iterator<Item = (i32, i64)> + use<'_> {
        self.open.iter_mut().filter_map(|(partition, stream)| {
            let new = stream.told.replace(stream.durable) != Some(stream.durable);
            new.then_some((*partition, stream.durable))
        })
    }
}

impl Stream {
    fn new(sink: Sink, next: i64) -> Self {
        let (decoder, seen, events) = (Decoder::default(), HashMap::new(), Vec::new());
        Self { sink, decoder, next, durable: next, told: None, seen, transaction: None, events }
    }

    /// Whether an event has passed already: a writer that failed sends what it is not sure of again, in the same order.
    fn came_before(&mut self, headers: &Headers) -> bool {
        let Some(ordinal) = headers.ordinal else { return false };
        let name = (headers.commit_lsn, ordinal);
        if let Some(seen) = self.seen.get_mut(&headers.source) {
            let known = name <= *seen;
            *seen = name.max(*seen);
            return known;
        }
        self.seen.insert(headers.source.clone(), name);
        false
    }

    /// The next event is of that transaction.
    fn begin(&mut self, commit_lsn: Lsn) {
        if self.transaction == Some(commit_lsn) {
            return;
        }
        self.end();
        self.transaction = Some(commit_lsn);
        self.events.push(Event::Begin(Transaction { xid: 0, commit_lsn, time: Timestamp::now() }));
    }

    fn end(&mut self) {
        if self.transaction.take().is_some() {
            let end = self.position();
            self.events.push(Event::Commit(Commit { end, time: Timestamp::now() }));
        }
    }

    fn position(&self) -> Lsn {
        Lsn(u64::try_from(self.next).unwrap_or(0))
    }

    /// Writes what is in hand, and the position behind it where a transaction ends there.
    async fn write(&mut self) -> Result<bool> {
        if self.next == self.durable {
            return Ok(false);
        }
        let (events, end) = (std::mem::take(&mut self.events), self.position());
        let whole = self.transaction.is_none();
        self.sink.write(Batch { events, end: whole.then_some(end) }).await?;
        if whole {
            self.sink.advance(end).await?;
            self.durable = self.next;
        }
        Ok(whole)
    }
}
