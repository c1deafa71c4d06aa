//! The end of the stream: batches into the sink, what became durable into the checkpoint, and what is due now and then: sequences, the
//! records kept at the source, copies that were asked for.
//!
//! ```text
//! batch -> live copies (what must wait for one waits) -> sink -> flight -> records -> checkpoint -> confirmed
//! ```
//!
//! A sink may take the next batches before one is durable. They are waited for in their order, so a position still is reached only when everything
//! before it is durable.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{timeout, Instant};
use tokio_postgres::Client;

use crate::error::Result;
use crate::event::Lsn;
use crate::pipeline::batch::{Batcher, Gathered, PassedVersion};
use crate::pipeline::checkpoint::Checkpoint;
use crate::sinks::{Sink, Underway};
use crate::snapshot::live::Live;
use crate::source;
use crate::source::slot::Records;

/// Sequences are read again after this long without news, once, and at this interval while there are changes.
const SEQUENCES_IDLE: Duration = Duration::from_millis(500);
const SEQUENCES_BUSY: Duration = Duration::from_secs(10);
/// Batches that may be underway.
const MOST_FLIGHTS: usize = 16;

/// The last stage: batches into the sink, progress into the checkpoint, sequences now and then.
pub struct Delivery {
    live: Live,
    batches: Batcher,
    /// Batches that are not durable yet, in their order.
    flights: VecDeque<Flight>,
    checkpoint: Checkpoint,
    records: Records,
    source: Client,
    /// Changes were written since sequences were read; when they are to be read.
    sequences_due: Option<Instant>,
    sequences_read: Instant,
}

/// A batch that was sent.
struct Flight {
    underway: Underway,
    written: Written,
}

/// What is to be done about a batch once it is durable.
struct Written {
    end: Option<Lsn>,
    passed: Vec<PassedVersion>,
    changes: bool,
    urgent: bool,
}

/// What comes next.
enum Step {
    Batch(Option<Gathered>),
    Landed(Result<()>),
    Due,
}

impl Delivery {
    /// Of that stream's batches.
    pub fn new(
        live: Live,
        batches: Batcher,
        checkpoint: Checkpoint,
        records: Records,
        source: Client,
    ) -> Self {
        Self {
            live,
            batches,
            flights: VecDeque::new(),
            checkpoint,
            records,
            source,
            sequences_due: None,
            sequences_read: Instant::now(),
        }
    }

    /// Until the stream ends. Dropping `self` tells the reader that all is drained.
    pub async fn run(mut self, sink: &mut Sink) -> Result<()> {
        loop {
            let due = [
                self.checkpoint.unstored().map(|_| self.checkpoint.deadline()),
                self.sequences_due,
                self.records.due(),
                self.live.due(),
            ];
            match self.next(due.into_iter().flatten().min()).await {
                Step::Batch(Some(gathered)) => self.write(sink, gathered).await?,
                Step::Batch(None) => break,
                Step::Landed(landed) => self.landed(sink, landed).await?,
                Step::Due => self.when_due(sink).await?,
            }
        }
        while let Some(flight) = self.flights.front_mut() {
            let landed = (&mut flight.underway).await;
            self.landed(sink, landed).await?;
        }
        self.sequences(sink).await?;
        self.look(sink).await?;
        self.store(sink, true).await?;
        self.settle().await
    }

    /// Waits for a batch, or until the first of those underway is durable, or until something is due.
    async fn next(&mut self, due: Option<Instant>) -> Step {
        let takes_more = self.flights.len() < MOST_FLIGHTS;
        let first = self.flights.front_mut();
        let landed = async {
            match first {
                Some(flight) => (&mut flight.underway).await,
                None => std::future::pending().await,
            }
        };
        let step = async {
            tokio::select! {
                biased;
                landed = landed => Step::Landed(landed),
                gathered = self.batches.next(), if takes_more => Step::Batch(gathered),
            }
        };
        match due {
            Some(due) => tokio::time::timeout_at(due, step).await.unwrap_or(Step::Due),
            None => step.await,
        }
    }

    async fn write(&mut self, sink: &mut Sink, gathered: Gathered) -> Result<()> {
        let Gathered { batch, rooms, passed, requested, urgent } = gathered;
        let written = Written { end: batch.end, changes: batch.events.len() > 1, passed, urgent };
        self.records.note(&self.source, &written.passed).await?;
        if requested {
            self.live.wake();
        }
        let batch = self.live.admit(sink, batch).await?;
        let underway = sink.send(batch).await.map_err(|error| error.context("target"))?;
        self.live.complete(&sink.rewritten());
        drop(rooms);
        match underway {
            Some(underway) => {
                self.flights.push_back(Flight { underway, written });
                self.when_due(sink).await
            }
            None => self.written(sink, written).await,
        }
    }

    /// The first batch underway is durable, or failed.
    async fn landed(&mut self, sink: &mut Sink, landed: Result<()>) -> Result<()> {
        landed.map_err(|error| error.context("target"))?;
        match self.flights.pop_front() {
            Some(flight) => self.written(sink, flight.written).await,
            None => Ok(()),
        }
    }

    async fn written(&mut self, sink: &mut Sink, written: Written) -> Result<()> {
        let Written { end, passed, changes, urgent } = written;
        if !passed.is_empty() {
            self.checkpoint.hurry();
        }
        self.records.acknowledge(&self.source, passed).await?;
        if let Some(end) = end {
            self.checkpoint.reached(end, self.proven(sink));
        }
        if changes {
            let idle = Instant::now() + SEQUENCES_IDLE;
            self.sequences_due = Some(idle.min((self.sequences_read + SEQUENCES_BUSY).max(Instant::now())));
        }
        if urgent {
            self.store(sink, urgent).await?;
        }
        self.when_due(sink).await
    }

    /// The position stored at the sink or, for a sink that stores none, at the source; before any transaction whose records are still to come.
    fn proven(&self, sink: &Sink) -> Option<Lsn> {
        sink.progress().into_iter().chain(self.records.limit()).min()
    }

    async fn when_due(&mut self, sink: &mut Sink) -> Result<()> {
        if self.sequences_due.is_some_and(|due| due <= Instant::now()) {
            self.sequences(sink).await?;
        }
        if self.live.due().is_some_and(|due| due <= Instant::now()) {
            self.live.turn(sink, self.checkpoint.pending()).await?;
        }
        if self.records.due().is_some_and(|due| due <= Instant::now()) {
            self.look(sink).await?;
        }
        let lags = self.checkpoint.unstored().is_some_and(|at| self.records.lags(at));
        if lags || self.checkpoint.deadline() <= Instant::now() {
            self.store(sink, false).await?;
        }
        Ok(())
    }

    /// Looks for schema versions that the source did not show yet.
    async fn look(&mut self, sink: &Sink) -> Result<()> {
        self.records.look(&self.source).await?;
        self.checkpoint.reached(Lsn::ZERO, self.proven(sink));
        Ok(())
    }

    /// Stores a position reached without writes.
    async fn store(&mut self, sink: &mut Sink, urgent: bool) -> Result<()> {
        if let Some(at) = self.checkpoint.unstored() {
            sink.advance(at).await.map_err(|error| error.context("target"))?;
            self.records.move_to(&self.source, at, urgent).await?;
            // A sink in the middle of a transaction stores nothing now; what it did store is what counts.
            self.checkpoint.stored(self.proven(sink).map_or(at, |stored| stored.min(at)));
        }
        Ok(())
    }

    /// Leaves the exact position where a running stream keeps one that is ahead.
    async fn settle(&mut self) -> Result<()> {
        self.records.settle(&self.source, self.checkpoint.confirmed()).await
    }

    /// Moves the target's sequences up to the source's. The stream does not carry `nextval`.
    async fn sequences(&mut self, sink: &mut Sink) -> Result<()> {
        if self.sequences_due.take().is_none() || !matches!(sink, Sink::Postgres(_)) {
            return Ok(());
        }
        self.sequences_read = Instant::now();
        let values = match timeout(SEQUENCES_BUSY, source::sequences(&self.source)).await {
            Ok(Ok(values)) => values,
            // The stream itself is what must not stop; the next round reads them again.
            Ok(Err(error)) => {
                tracing::debug!(%error, "sequences not read");
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        sink.sequences(&values).await.map_err(|error| error.context("target"))
    }
}
