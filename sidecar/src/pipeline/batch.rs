//! Gathers runs into batches: everything that is ready, up to the limits. Nothing waits for more to come, so light load keeps its latency and
//! heavy load gets large batches by itself.

use std::collections::VecDeque;

use tokio::sync::OwnedSemaphorePermit;

use super::capture::Logged;
use super::channel::Receiver;
use super::Run;
use crate::config::plan::BatchLimits;
use crate::event::{Event, Lsn};
use crate::sinks::Batch;

/// The batch stage.
pub struct Batcher {
    runs: Receiver<Run>,
    limits: BatchLimits,
    in_transaction: bool,
    /// Versions whose transactions have not ended yet, in the order of these.
    logged: VecDeque<Logged>,
    /// The position reached by the last event that had one.
    reached: Lsn,
}

/// A version of a schema whose transaction is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedVersion {
    /// The schema, unquoted.
    pub schema: String,
    /// Its version.
    pub version: i64,
    /// The last position before its transaction.
    pub after: Lsn,
    /// The end of its transaction.
    pub end: Lsn,
}

/// A batch, the room its events hold in the channel, and whether the source waits for our position.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The batch.
    pub batch: Batch,
    /// Given back when the batch was written.
    pub rooms: Vec<OwnedSemaphorePermit>,
    /// Versions of schemas, of transactions that end in the batch.
    pub passed: Vec<PassedVersion>,
    /// A copy was asked for, or taken back.
    pub requested: bool,
    /// The source waits.
    pub urgent: bool,
}

impl Batcher {
    /// Batches of the runs that come out of `runs`.
    pub fn new(runs: Receiver<Run>, limits: BatchLimits) -> Self {
        Self { runs, limits, in_transaction: false, logged: VecDeque::new(), reached: Lsn::ZERO }
    }

    /// The next batch; `None` when the stream has ended. Cancel-safe: waiting takes nothing out.
    pub async fn next(&mut self) -> Option<Gathered> {
        let mut gathered = Gathered::default();
        let (mut next, mut bytes) = (Some(self.runs.receive().await?), 0);
        while let Some(held) = next {
            gathered.rooms.extend(held.room);
            gathered.urgent |= held.item.urgent;
            gathered.requested |= held.item.requested;
            self.logged.extend(held.item.logged);
            for event in held.item.events {
                bytes += event.size();
                if let Some(end) = self.end_at(&event) {
                    gathered.batch.end = Some(end);
                    gathered.passed.extend(self.passed(end));
                    self.reached = end;
                }
                gathered.batch.events.push(event);
            }
            let full = gathered.batch.events.len() >= self.limits.size || bytes >= self.limits.bytes;
            next = if full { None } else { self.runs.try_receive() };
        }
        Some(gathered)
    }

    /// The versions of the transaction that ends here. Transactions come one after the other: those of later ones start their commit behind it.
    fn passed(&mut self, end: Lsn) -> Vec<PassedVersion> {
        let count = self.logged.iter().take_while(|logged| logged.commit < end).count();
        let after = self.reached;
        let passed = |Logged { schema, version, .. }| PassedVersion { schema, version, after, end };
        self.logged.drain(..count).map(passed).collect()
    }

    /// The position that is reached once everything up to this event is durable. Within a transaction there is none.
    fn end_at(&mut self, event: &Event) -> Option<Lsn> {
        match event {
            Event::Begin(_) => {
                self.in_transaction = true;
                None
            }
            Event::Commit(commit) => {
                self.in_transaction = false;
                Some(commit.end)
            }
            Event::Keepalive(at) if !self.in_transaction => Some(*at),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Commit, Timestamp, Transaction};
    use crate::pipeline::channel::bounded;

    fn begin() -> Event {
        Event::Begin(Transaction { xid: 1, commit_lsn: Lsn(1), time: Timestamp(0) })
    }

    fn commit(end: u64) -> Event {
        Event::Commit(Commit { end: Lsn(end), time: Timestamp(0) })
    }

    #[tokio::test]
    async fn a_batch_ends_at_the_last_whole_transaction() {
        let (sender, receiver) = bounded(1 << 20);
        for events in [vec![begin(), commit(5), begin()], vec![commit(9), Event::Keepalive(Lsn(12)), begin()]]
        {
            sender.send(Run { events, ..Run::default() }, 1).await.expect("room");
        }
        drop(sender);
        let mut batcher = Batcher::new(receiver, BatchLimits { size: 3, bytes: 1 << 20 });
        let ends = [batcher.next().await, batcher.next().await].map(|batch| batch.expect("batch").batch.end);
        assert_eq!(ends, [Some(Lsn(5)), Some(Lsn(12))]);
        assert!(batcher.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_ready_goes_together() {
        let (sender, receiver) = bounded(1 << 20);
        for end in 1..4 {
            let run = Run { events: vec![begin(), commit(end)], urgent: end == 2, ..Run::default() };
            sender.send(run, 1).await.expect("room");
        }
        let mut batcher = Batcher::new(receiver, BatchLimits { size: 100, bytes: 1 << 20 });
        let gathered = batcher.next().await.expect("batch");
        assert_eq!(
            (gathered.batch.events.len(), gathered.batch.end, gathered.urgent),
            (6, Some(Lsn(3)), true)
        );
    }

    #[tokio::test]
    async fn a_version_passes_with_its_own_transaction() {
        let logged = |version, commit| Logged { schema: "s".into(), version, commit: Lsn(commit) };
        let (sender, receiver) = bounded(1 << 20);
        let runs = [
            // Two transactions in one run, and the beginning of a third.
            Run {
                events: vec![begin(), commit(5), begin(), commit(9), begin()],
                logged: vec![logged(1, 3), logged(2, 7), logged(3, 12)],
                urgent: false,
            },
            Run { events: vec![commit(14)], ..Run::default() },
        ];
        for run in runs {
            sender.send(run, 1).await.expect("room");
        }
        drop(sender);
        let mut batcher = Batcher::new(receiver, BatchLimits { size: 5, bytes: 1 << 20 });
        let first = batcher.next().await.expect("batch").passed;
        let second = batcher.next().await.expect("batch").passed;
        let passed = |version, after, end| PassedVersion {
            schema: "s".into(),
            version,
            after: Lsn(after),
            end: Lsn(end),
        };
        assert_eq!(first, [passed(1, 0, 5), passed(2, 5, 9)]);
        assert_eq!(second, [passed(3, 9, 14)]);
    }
}
