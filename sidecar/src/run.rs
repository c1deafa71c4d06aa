//! A run of the pipeline: connects both ends, starts the tasks, and takes a lost connection up again.
//!
//! ```text
//! task 1 reader:  slot frames           --8 MiB-->
//! task 2 stages:  decode capture seen filter inject --8 MiB, or what a batch may hold-->
//! task 3 (here):  batch, sink, checkpoint
//! ```
//!
//! Stopping needs no manager: the reader stops and drops its sender, each stage drains and drops its own, the last batch is written, the checkpoint
//! is dropped, and the reader, which watches it, tells the source the last position and leaves. After an error the whole stream is made anew from the
//! position the sink stored: there is no state that could be half right.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio_postgres::Client;

use crate::config::plan::{Backoff, BatchLimits, Mode, Plan, Target};
use crate::delivery::Delivery;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Lsn};
use crate::pipeline::batch::Batcher;
use crate::pipeline::capture::Capture;
use crate::pipeline::channel::{bounded, Receiver, Sender};
use crate::pipeline::checkpoint::Checkpoint;
use crate::pipeline::decode::Decoder;
use crate::pipeline::filter::Filter;
use crate::pipeline::inject::Injector;
use crate::pipeline::seen::Seen;
use crate::pipeline::Run;
use crate::postgres::sql;
use crate::postgres::wire::{Purpose, Wire};
use crate::retry::{self, Attempts};
use crate::sinks::Sink;
use crate::snapshot::{self, live::Live};
use crate::source::documents;
use crate::source::slot::{self, Frame, Identity, Records, Slot};
use crate::source::snapshot::progress::Progress;

/// Room of each channel.
pub(crate) const CHANNEL_BYTES: u32 = 8 << 20;
/// A run is not made longer than this from frames that wait.
const RUN_BYTES: usize = 256 << 10;

/// Starts a task. The one door for `tokio::spawn`, so that nothing runs that nobody knows of.
#[allow(clippy::disallowed_methods)]
pub fn background<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(task)
}

/// What a task answered.
///
/// # Errors
/// Fatal when it was aborted or panicked.
pub fn joined<T>(answer: std::result::Result<T, JoinError>) -> Result<T> {
    answer.map_err(|error| Error::fatal(format!("a task failed: {error}")).because(error))
}

/// Tasks that end with whoever waits for them.
pub struct Tasks<T>(Vec<JoinHandle<T>>);

impl<T> Tasks<T> {
    /// Starts them.
    pub fn start<F>(tasks: impl Iterator<Item = F>) -> Self
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        Self(tasks.map(background).collect())
    }

    /// Waits for all; their answers, in order.
    ///
    /// # Errors
    /// As [`joined`].
    pub async fn all(mut self) -> Result<Vec<T>> {
        let mut answers = Vec::with_capacity(self.0.len());
        for task in &mut self.0 {
            answers.push(joined(task.await)?);
        }
        Ok(answers)
    }
}

impl<T> Drop for Tasks<T> {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Streams from source to target until `stop` completes or an error asks for a human.
///
/// # Errors
/// Fatal or rejected ones at once; transient ones when they do not pass (see [`Attempts`]).
pub async fn run(plan: Plan, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let plan = Arc::new(plan);
    let filter = Filter::new(&plan.filter)?;
    let mut copied = (plan.mode == Mode::Replication).then(Seen::default);
    until_stopped(plan.retry, stop, async |stopped, attempts| {
        stream(&plan, &filter, &mut copied, stopped, attempts).await
    })
    .await
}

/// Does it once, and again after errors that pass, until `stop` completes. `once` sees by the receiver that it is to end.
///
/// # Errors
/// Fatal or rejected ones at once; transient ones when they do not pass (see [`Attempts`]).
pub(crate) async fn until_stopped(
    retry: Backoff,
    stop: impl Future<Output = ()> + Send + 'static,
    mut once: impl AsyncFnMut(watch::Receiver<bool>, &mut Attempts) -> Result<()>,
) -> Result<()> {
    let (stopper, stopped) = watch::channel(false);
    background(async move {
        stop.await;
        tracing::info!("stopping: what was received is delivered first");
        let _ = stopper.send(true);
        std::future::pending::<()>().await;
    });
    let mut attempts = Attempts::new(retry);
    loop {
        let error = match once(stopped.clone(), &mut attempts).await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == Kind::Stopped => return Ok(()),
            Err(error) => error,
        };
        if *stopped.borrow() {
            return Err(error);
        }
        let text = error.to_string();
        let pause = attempts.after(error)?;
        tracing::warn!("{text}; next attempt in {pause:.1?}");
        let mut stopped = stopped.clone();
        tokio::select! {
            () = retry::wait(pause) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
        }
    }
}

/// One connection's life.
async fn stream(
    plan: &Arc<Plan>,
    filter: &Filter,
    copied: &mut Option<Seen>,
    stop: watch::Receiver<bool>,
    attempts: &mut Attempts,
) -> Result<()> {
    if copied.is_none() {
        *copied = Some(copy(plan, stop.clone()).await?);
        attempts.established();
    }
    let client = sql::connect(&plan.source.url).await.map_err(|error| error.context("source"))?;
    let (identity, mut wire) =
        connect_source(plan, &client).await.map_err(|error| error.context("source"))?;
    let mut sink = Sink::open(&plan.target, &identity).await.map_err(|error| error.context("target"))?;
    let remembered = sink.seen(&identity).await.map_err(|error| error.context("target"))?;
    let seen = remembered.or_else(|| copied.clone()).unwrap_or_default();
    let start = sink.progress().unwrap_or(identity.confirmed);
    let records = Records::open(&client, &identity, start, sink.progress().is_some()).await?;
    let injector = match plan.wants_ids() {
        true => {
            let documents = documents::as_of(&client, &identity.slot, start).await;
            Some(Injector::new(&documents.map_err(|error| error.context("source"))?)?)
        }
        false => None,
    };
    if plan.source.cork {
        slot::cork(&mut wire, &client).await;
    }
    let slot = slot::open(wire, &identity, start).await.map_err(|error| error.context("source"))?;
    tracing::info!(slot = %identity.slot, database = %identity.database, %start, "streaming");
    attempts.established();

    let (frames_in, frames_out) = bounded(CHANNEL_BYTES);
    let (runs_in, runs_out) = bounded(room(limits(&plan.target)));
    let (checkpoint, confirmed) = Checkpoint::new(start);
    let progress = confirmed.clone();
    let reader = background(read(slot, frames_in, confirmed, stop.clone()));
    let capture = Capture::new(!plan.target.is_postgres());
    let stages = Stages { capture, seen, filter: filter.clone(), injector };
    let stages = background(decode_and_filter(frames_out, runs_in, stages));

    let next_xid = slot::next_xid(&client, &identity.slot).await.map_err(|error| error.context("source"))?;
    let mut live = Live::new(plan, &identity.slot, next_xid);
    live.complete(&sink.begun(&identity).await.map_err(|error| error.context("target"))?);
    let batches = Batcher::new(runs_out, limits(&plan.target));
    let delivery = Delivery::new(live, batches, checkpoint, records, client);
    let written = tokio::select! {
        written = delivery.run(&mut sink) => written,
        () = grace_over(stop, plan.grace) => {
            Err(Error::transient(format!("not everything was delivered within {:?}", plan.grace)).hint("it will be after the next start"))
        }
    };
    if *progress.borrow() > start {
        attempts.progressed();
    }
    let closed = if written.is_ok() { sink.close().await } else { Ok(()) };
    if written.is_err() {
        reader.abort();
    }
    // The first cause wins: a failed sink ends the other tasks, not the other way round.
    written?;
    joined(stages.await)??;
    joined(reader.await)??;
    closed
}

/// Copies what is there, before the stream begins. Stopping ends it at once; the next run goes on.
async fn copy(plan: &Plan, mut stop: watch::Receiver<bool>) -> Result<Seen> {
    let slot = oldest_xid(plan).await.map_err(|error| error.context("source"))?;
    let progress = Arc::new(Progress::new(plan.snapshot.bars));
    let outcome = tokio::select! {
        outcome = snapshot::copy(plan, Some(slot), Arc::clone(&progress)) => outcome,
        _ = stop.wait_for(|stop| *stop) => Err(Error::stopped()),
    };
    progress.clear();
    let outcome = outcome?;
    if outcome.copied > 0 {
        let totals = progress.totals();
        tracing::info!(tables = outcome.copied, rows = totals.rows, bytes = totals.bytes, "copied");
    }
    match outcome.failed.into_iter().next() {
        None => Ok(outcome.seen),
        Some((what, error)) => Err(error
            .context(what)
            .into_kind(Kind::Fatal)
            .hint("the stream begins when everything is copied: the next run tries again")),
    }
}

/// The transaction id that was next when the slot was made. Its sessions end here: a copy may take longer than an idle session lives.
async fn oldest_xid(plan: &Plan) -> Result<u64> {
    let client = sql::connect(&plan.source.url).await?;
    let (identity, _) = connect_source(plan, &client).await?;
    slot::next_xid(&client, &identity.slot).await
}

async fn connect_source(plan: &Plan, client: &Client) -> Result<(Identity, Wire)> {
    let mut wire = Wire::connect(&plan.source.url, Purpose::Replication).await?;
    let system = wire.simple_query("IDENTIFY_SYSTEM").await?;
    let system =
        system.into_iter().flatten().next().flatten().ok_or_else(crate::postgres::wire::out_of_order)?;
    Ok((slot::find(client, &plan.source, &system).await?, wire))
}

/// Bounds of a batch for that target.
pub(crate) fn limits(target: &Target) -> BatchLimits {
    match target {
        Target::Stdout => BatchLimits { size: 10_000, bytes: 1 << 20 },
        Target::Postgres(target) => target.batch,
        // Ending a transaction of Kafka takes as long as it does, however much is in it.
        Target::Kafka(target) if target.exactly_once.is_some() => {
            BatchLimits { size: 100_000, bytes: 14 << 20 }
        }
        Target::Kafka(_) => BatchLimits { size: 50_000, bytes: 6 << 20 },
        Target::Search(_) => BatchLimits { size: 20_000, bytes: 8 << 20 },
    }
}

/// Room of the channel that batches of such a size come out of: its events are there until their batch is written.
fn room(limits: BatchLimits) -> u32 {
    u32::try_from(limits.bytes).unwrap_or(u32::MAX).saturating_add(CHANNEL_BYTES / 4).max(CHANNEL_BYTES)
}

async fn grace_over(mut stop: watch::Receiver<bool>, grace: Duration) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
    retry::wait(grace).await;
}

async fn read(
    slot: Slot,
    out: Sender<Vec<Frame>>,
    confirmed: watch::Receiver<Lsn>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    slot.read(out, confirmed, stop).await.map_err(|error| error.context("source"))
}

/// What an event goes through once it is decoded.
struct Stages {
    capture: Capture,
    seen: Seen,
    filter: Filter,
    injector: Option<Injector>,
}

impl Stages {
    fn apply(&mut self, event: Event) -> Result<Option<Event>> {
        if let Some(injector) = &mut self.injector {
            injector.learn(&event)?;
        }
        let event = self.capture.apply(event)?.and_then(|event| self.seen.apply(event));
        let mut event = event.and_then(|event| self.filter.apply(event));
        if let (Some(injector), Some(event)) = (&mut self.injector, &mut event) {
            injector.mark(event);
        }
        Ok(event)
    }
}

/// Decode, and the stages behind it: frames in, runs out. What waits is taken together, up to a run's size.
async fn decode_and_filter(
    mut frames: Receiver<Vec<Frame>>,
    out: Sender<Run>,
    mut stages: Stages,
) -> Result<()> {
    let mut decoder = Decoder::default();
    while let Some(first) = frames.receive().await {
        let (mut next, mut run, mut bytes) = (Some(first), Run::default(), 0);
        while let Some(held) = next {
            for frame in held.item {
                let event = match frame {
                    Frame::Data { lsn, payload } => decoder.decode(lsn, payload)?,
                    Frame::Keepalive { end, reply } => {
                        run.urgent |= reply;
                        decoder.keepalive(end)
                    }
                };
                let Some(event) = event else { continue };
                let Some(event) = stages.apply(event)? else { continue };
                bytes += event.size();
                run.events.push(event);
            }
            next = if bytes < RUN_BYTES { frames.try_receive() } else { None };
        }
        run.requested = stages.capture.requested();
        if run.events.is_empty() && !run.requested {
            continue;
        }
        run.logged = stages.capture.logged();
        if out.send(run, bytes).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
