//! Partitions that receive nothing for a while: in front of a schema change that all must come to, or after a failure that may be because another
//! partition has not come as far.

use std::time::Duration;

use tokio::time::Instant;

use super::stream::position;
use super::{slot, source, target, Streams};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::sinks::{Barrier, Passage};
use crate::source::kafka::decode::Headers;
use crate::source::kafka::Received;

/// How often it is looked whether the others are there.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A barrier that is waited for longer is said.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a partition rests, doubled with each failure at one place, and how often.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
const MOST_RESTS: u32 = 12;
/// What to do when that is not enough.
const UNIQUE: &str = "partitions are not in step: where a unique value moves from row to row, write the topic with partition_key table or schema";

/// Why a partition is held, and until when.
pub(super) enum Held {
    /// It stands at a barrier.
    At(Box<Standing>),
    /// It failed behind this offset.
    Rests { durable: i64, until: Instant },
}

/// A partition in front of a message that is in others too.
pub(super) struct Standing {
    offset: i64,
    headers: Headers,
    event: Event,
    barrier: Barrier,
    look_at: Instant,
    warn_at: Instant,
}

impl Held {
    /// When it is to be looked at.
    pub(super) fn due(&self) -> Instant {
        match self {
            Self::At(standing) => standing.look_at,
            Self::Rests { until, .. } => *until,
        }
    }
}

impl Streams<'_> {
    /// Writes what comes before a message that is in several partitions, and holds it until all have come to it.
    pub(super) async fn hold(&mut self, message: Received, event: Event) -> Result<()> {
        let Received { partition, offset, headers, .. } = message;
        let Some(stream) = self.open.get_mut(&partition) else { return Ok(()) };
        stream.end();
        if let Err(error) = stream.write().await {
            return self.rest(partition, error).await;
        }
        let barrier = Barrier {
            source: headers.source.clone(),
            commit_lsn: headers.commit_lsn,
            ordinal: headers.ordinal.unwrap_or(0),
            streams: (0..headers.copies).map(|partition| slot(&self.plan.source.group, partition)).collect(),
            at: position(offset),
        };
        self.reader.pause(partition).map_err(source)?;
        let look_at = Instant::now();
        let standing = Standing { offset, headers, event, barrier, look_at, warn_at: look_at + PATIENCE };
        self.held.insert(partition, Held::At(Box::new(standing)));
        Ok(())
    }

    /// Looks after those that are held and due.
    pub(super) async fn look(&mut self) -> Result<()> {
        let now = Instant::now();
        let due: Vec<i32> =
            self.held.iter().filter(|(_, held)| held.due() <= now).map(|(partition, _)| *partition).collect();
        for partition in due {
            match self.held.remove(&partition) {
                Some(Held::Rests { durable, .. }) => self.go_on(partition, durable).await?,
                Some(Held::At(standing)) => self.at_barrier(partition, standing).await?,
                None => {}
            }
        }
        Ok(())
    }

    async fn at_barrier(&mut self, partition: i32, mut standing: Box<Standing>) -> Result<()> {
        let Some(stream) = self.open.get_mut(&partition) else { return Ok(()) };
        let event = match stream.reach(&standing.barrier).await.map_err(target)? {
            Passage::Wait => {
                let now = Instant::now();
                if standing.warn_at <= now {
                    let (of, commit_lsn) = (standing.barrier.streams.len(), standing.barrier.commit_lsn);
                    tracing::warn!(partition, of, %commit_lsn, "waiting for a schema change that not all partitions have come to: is each of them read?");
                    standing.warn_at = now + PATIENCE;
                }
                standing.look_at = now + LOOK_EVERY;
                self.held.insert(partition, Held::At(standing));
                return Ok(());
            }
            Passage::Write => Some(standing.event),
            Passage::Pass => None,
        };
        stream.take(standing.offset, &standing.headers, event);
        stream.end();
        match stream.write().await {
            Ok(_) => self.go_on(partition, standing.offset + 1).await,
            Err(error) => self.rest(partition, error).await,
        }
    }

    /// Lets a partition receive from that offset on.
    async fn go_on(&mut self, partition: i32, offset: i64) -> Result<()> {
        self.reader.seek(partition, offset).await.map_err(source)?;
        self.reader.resume(partition).map_err(source)
    }

    /// A partition failed. Where it may be because another one has not come as far, it begins again later from what is durable.
    pub(super) async fn rest(&mut self, partition: i32, error: Error) -> Result<()> {
        let Some(stream) = self.open.remove(&partition) else { return Ok(()) };
        let durable = stream.durable();
        if !(may_pass(&error) && self.reader.has_several().await.map_err(source)?) {
            return Err(target(error));
        }
        let (at, count) = self.failures.get(&partition).copied().unwrap_or((durable, 0));
        let count = if at == durable { count + 1 } else { 1 };
        if count > MOST_RESTS {
            let unique = error.code() == Some("23505");
            return Err(target(if unique { error.hint(UNIQUE) } else { error }));
        }
        self.failures.insert(partition, (durable, count));
        tracing::warn!(partition, "{error}; trying again, since another partition may not have come as far");
        drop(stream);
        self.reader.pause(partition).map_err(source)?;
        let pause = REST.0.saturating_mul(1 << (count - 1).min(10)).min(REST.1);
        self.held.insert(partition, Held::Rests { durable, until: Instant::now() + pause });
        Ok(())
    }
}

/// Whether what is missing or in the way may be another partition's to bring or to take away.
fn may_pass(error: &Error) -> bool {
    // no such table, schema, type, function, column
    const MISSING: [&str; 5] = ["42P01", "3F000", "42704", "42883", "42703"];
    error.kind() == Kind::Rejected || error.code().is_some_and(|code| MISSING.contains(&code))
}
