//! A run from a topic: a consumer group's messages into a sink, each partition a stream of its own.
//!
//! ```text
//! receive ──> by partition: decode, filter ──> batch ──> sink (stores the offset with the rows) ──> commit to the group
//!                └─ barrier: held back until the streams of all partitions have come to it
//! ```
//!
//! Why nothing is lost or doubled: a partition's position is kept by its sink as that of a slot is, with the next offset as position. A
//! target that stores it in the transaction of the rows applies each message once, whoever reads the partition: a second reader
//! waits for the first one's lock and goes on where it ended. The group's own offset is committed only behind that, and says where to begin when
//! the target says nothing. Messages that a writer sends again after a failure are known by their names, which are stored with the position as
//! well, and passed over.
//!
//! Why schema changes are at the right place: one that concerns several partitions is in each of them, and none goes on behind it before it is
//! run (see [`Barrier`]). What remains is that partitions are not in step between those: a row can come that conflicts with one which
//! another partition is about to change. That partition rests, and tries again.

mod held;
mod stream;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{timeout, Instant};

use crate::config::plan::{KafkaSource, Origin, Target, TopicPlan};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Lsn};
use crate::pipeline::capture::is_ours;
use crate::pipeline::filter::Filter;
use crate::retry::Attempts;
use crate::run::{self, limits};
use crate::source::kafka::dead::DeadLetters;
use crate::source::kafka::{lost, place, Reader, Received};
use crate::source::slot::Identity;
use held::Held;
use stream::Stream;

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
    let reader = Reader::join(&plan.source).await.map_err(source)?;
    let dead_letters = match &plan.source.dead_letters {
        Some(topic) => Some(DeadLetters::open(&plan.source.cluster, topic).await.map_err(source)?),
        None => None,
    };
    let KafkaSource { topic, group, .. } = &plan.source;
    tracing::info!(topic, group, "reading");
    attempts.established();
    let mut streams = Streams {
        plan,
        filter,
        reader: &reader,
        dead_letters,
        open: BTreeMap::new(),
        held: BTreeMap::new(),
        failures: BTreeMap::new(),
        settle_at: None,
    };
    let mut generation = reader.generation();
    let mut commit_at = Instant::now() + COMMIT_EVERY;
    loop {
        let due = streams.due().map_or(commit_at, |due| due.min(commit_at));
        let first = tokio::select! {
            received = reader.receive() => Some(received.map_err(source)?),
            () = tokio::time::sleep_until(due) => None,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if reader.generation() != generation {
            generation = reader.generation();
            streams.keep(&reader.partitions().map_err(source)?).await?;
        }
        if let Some(first) = first {
            if streams.take(first).await? {
                attempts.progressed();
            }
        }
        if streams.settle_at.is_some_and(|at| at <= Instant::now()) {
            streams.write(true).await?;
        }
        streams.look().await?;
        if commit_at <= Instant::now() {
            reader.commit(streams.untold(), false).await.map_err(source)?;
            commit_at = Instant::now() + COMMIT_EVERY;
        }
    }
    let last = reader.commit(streams.untold(), true).await;
    streams.keep(&[]).await?;
    last.map_err(source)
}

fn source(error: Error) -> Error {
    error.context("source")
}

fn target(error: Error) -> Error {
    error.context("target")
}

/// The partitions in hand.
struct Streams<'a> {
    plan: &'a TopicPlan,
    filter: &'a Filter,
    reader: &'a Reader,
    dead_letters: Option<DeadLetters>,
    open: BTreeMap<i32, Stream>,
    /// Those of them that receive nothing now.
    held: BTreeMap<i32, Held>,
    /// Of partitions that rested: where they failed, and how often there.
    failures: BTreeMap<i32, (i64, u32)>,
    /// When transactions without an end are ended.
    settle_at: Option<Instant>,
}

impl Streams<'_> {
    /// When something is to be done without a message.
    fn due(&self) -> Option<Instant> {
        self.held.values().map(Held::due).chain(self.settle_at).min()
    }

    /// Takes what is ready, up to a batch, and writes it. Whether anything became durable.
    async fn take(&mut self, first: Received) -> Result<bool> {
        let limits = limits(&self.plan.target);
        let generation = self.reader.generation();
        let (mut next, mut count, mut bytes) = (Some(first), 0, 0);
        while let Some(message) = next {
            bytes += message.value.len();
            count += 1;
            if self.held.contains_key(&message.partition) {
                // A new assignment has forgotten that.
                self.reader.pause(message.partition).map_err(source)?;
            } else if self.stream(&message).await? {
                self.add(message).await?;
            }
            let full =
                count >= limits.size || bytes >= limits.bytes || self.reader.generation() != generation;
            next = match full {
                true => None,
                false => match timeout(Duration::ZERO, self.reader.receive()).await {
                    Ok(received) => Some(received.map_err(source)?),
                    Err(_) => None,
                },
            };
        }
        self.write(false).await
    }

    /// Writes what is in hand. `settle`: what is open ends here.
    async fn write(&mut self, settle: bool) -> Result<bool> {
        let (mut written, mut open, mut failed) = (false, false, Vec::new());
        let (several, most) = (self.open.len() > 1, limits(&self.plan.target).size);
        for (partition, stream) in &mut self.open {
            if settle || (several && stream.waiting() >= most) {
                stream.end();
            }
            let wrote = if several { stream.write_whole().await } else { stream.write().await };
            match wrote {
                Ok(progressed) => written |= progressed,
                Err(error) => failed.push((*partition, error)),
            }
            open |= stream.is_open();
        }
        self.settle_at = open.then(|| Instant::now() + OPEN_FOR);
        for (partition, error) in failed {
            self.rest(partition, error).await?;
        }
        Ok(written)
    }

    /// The stream of a message's partition, opened when it is new. False: the message is not for it.
    async fn stream(&mut self, message: &Received) -> Result<bool> {
        let KafkaSource { topic, group, .. } = &self.plan.source;
        if let Some(stream) = self.open.get(&message.partition) {
            return Ok(message.offset >= stream.next());
        }
        let identity = Identity {
            system: format!("kafka {}", self.reader.cluster()),
            database: topic.clone(),
            slot: slot(group, message.partition),
            confirmed: Lsn::ZERO,
        };
        let stream = Stream::open(&self.plan.target, &identity, message.offset).await.map_err(target)?;
        let next = stream.next();
        self.open.insert(message.partition, stream);
        if next == message.offset {
            return Ok(true);
        }
        let bounds = self.reader.bounds(message.partition).await.map_err(source)?;
        if next < bounds.0 || next > bounds.1 {
            return Err(lost(topic, message.partition, next, bounds));
        }
        tracing::info!(partition = message.partition, offset = next, "going on where the target ended");
        self.reader.seek(message.partition, next).await.map_err(source)?;
        Ok(false)
    }

    /// Adds a message to its stream, or holds it back.
    async fn add(&mut self, message: Received) -> Result<()> {
        let Some(stream) = self.open.get_mut(&message.partition) else { return Ok(()) };
        if message.value.is_empty() || stream.has(&message.headers) {
            stream.skip(message.offset);
            return Ok(());
        }
        let event = match stream.decode(&message.value, &message.headers) {
            Ok(event) => event,
            Err(error) => return self.undecodable(message, error).await,
        };
        match (self.passes(event), self.open.get_mut(&message.partition)) {
            (Some(event), _) if message.headers.copies > 1 && self.plan.target.is_postgres() => {
                self.hold(message, event).await
            }
            (event, Some(stream)) => {
                stream.take(message.offset, &message.headers, event);
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    /// The event, where it is to be written. For a database the schema changes themselves come as well as their log.
    fn passes(&self, event: Event) -> Option<Event> {
        let logged = matches!(&event, Event::Change(change) if is_ours(&change.relation.schema));
        (!(logged && self.plan.target.is_postgres())).then(|| self.filter.apply(event)).flatten()
    }

    /// A message that is no event goes to the dead letters, or stops the stream.
    async fn undecodable(&mut self, message: Received, error: Error) -> Result<()> {
        let error = error.into_kind(Kind::Fatal).context(place(
            &self.plan.source.topic,
            message.partition,
            message.offset,
        ));
        let Some(dead_letters) = &self.dead_letters else {
            return Err(error.hint("name a topic for such messages (dead_letters), skip it by moving the group's offset, or fix what writes to this topic"));
        };
        tracing::error!(dead_letters = dead_letters.topic(), "{error}");
        dead_letters.send(&message, &error).await.map_err(source)?;
        if let Some(stream) = self.open.get_mut(&message.partition) {
            stream.skip(message.offset);
        }
        Ok(())
    }

    /// Ends the streams of all other partitions.
    async fn keep(&mut self, partitions: &[i32]) -> Result<()> {
        self.held.retain(|partition, _| partitions.contains(partition));
        let gone: Vec<i32> = self.open.keys().filter(|open| !partitions.contains(open)).copied().collect();
        for partition in gone {
            if let Some(stream) = self.open.remove(&partition) {
                stream.close().await.map_err(target)?;
            }
        }
        Ok(())
    }

    /// What the group has not been told, and is now.
    fn untold(&mut self) -> impl Iterator<Item = (i32, i64)> + use<'_> {
        self.open.iter_mut().filter_map(|(partition, stream)| Some((*partition, stream.untold()?)))
    }
}

/// What a partition's position is stored under.
fn slot(group: &str, partition: i32) -> String {
    format!("{group}/{partition}")
}
