//! A copy of existing data, from its source to whichever sink.
//!
//! ```text
//! source::snapshot   export, tables, schema, ranges       the same for all sinks
//! PostgreSQL         sinks::postgres::copy                rows as they are, by COPY, many at a time
//! others             source::snapshot::rows               schema events, then rows as inserts, through the sink itself
//! ```

pub mod again;
pub mod live;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{interval, MissedTickBehavior};

use crate::config::plan::{Plan, Source, Target};
use crate::config::snapshot::{Parts, Snapshot};
use crate::error::{Error, Kind, Result};
use crate::pipeline::batch::Batcher;
use crate::pipeline::channel::{bounded, Sender};
use crate::pipeline::inject::Injector;
use crate::pipeline::seen::Seen;
use crate::pipeline::Run;
use crate::retry::{self, Attempts};
use crate::run::{background, joined, limits, CHANNEL_BYTES};
use crate::sinks::postgres::copy::Copy;
use crate::sinks::Sink;
use crate::source::documents;
use crate::source::slot;
use crate::source::snapshot::export::Export;
use crate::source::snapshot::progress::Progress;
use crate::source::snapshot::ranges::Ranges;
use crate::source::snapshot::requests::Requests;
use crate::source::snapshot::rows::{self, Reader};
use crate::source::snapshot::tables::{self, Found, Patterns};
use crate::source::snapshot::work::Work;

/// What came of a copy.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Tables copied now.
    pub copied: usize,
    /// Tables that an earlier copy had completed.
    pub before: usize,
    /// What failed: table or object, and why.
    pub failed: Vec<(String, Error)>,
    /// What the copy holds of the stream, for sinks that do not remember it themselves.
    pub seen: Seen,
    /// Tables copied now, by oid.
    pub done: HashSet<u32>,
    /// The schema was copied now.
    pub schema: bool,
    /// What the target had was replaced, where that was asked for.
    pub again: bool,
}

/// How often a request is told how far its copy is, and asked whether it is still wanted.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Copies what the plan asks for, and records it where the plan says.
///
/// # Errors
/// As [`copy_unrecorded`]; fatal when the request was cancelled.
pub async fn copy(plan: &Plan, slot: Option<u64>, progress: Arc<Progress>) -> Result<Outcome> {
    let snapshot = &plan.snapshot;
    let recorder = |error: Error| error.context("snapshot recorder");
    let requests = match &snapshot.recorder {
        None => None,
        Some(url) => match Requests::begin(url, &snapshot.tables, snapshot.repeat).await {
            Ok(requests) => Some(requests),
            // Where a stream follows, the record is for people; a login that may only read can do without.
            Err(error) if slot.is_some() && error.code() == Some("42501") => {
                tracing::warn!("not recorded in pgstream.snapshot_requests: {error}");
                None
            }
            Err(error) => return Err(recorder(error)),
        },
    };
    let mut copying = pin!(copy_unrecorded(plan, snapshot, slot, Arc::clone(&progress)));
    let mut tick = interval(NOTE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let copied = loop {
        tokio::select! {
            copied = &mut copying => break copied,
            _ = tick.tick() => {
                progress.log();
                // That it cannot be told just now is no reason to stop copying.
                if let Some(requests) = &requests {
                    if let Ok(false) = requests.progress(progress.totals()).await {
                        return Err(Error::fatal("the snapshot was cancelled"));
                    }
                }
            }
        }
    };
    let Some(requests) = requests else { return copied };
    let failed = match &copied {
        Ok(outcome) => {
            outcome.failed.iter().map(|(table, error)| (table.clone(), error.to_string())).collect()
        }
        Err(error) => vec![("snapshot".to_owned(), error.to_string())],
    };
    requests.end(progress.totals(), &failed).await.map_err(recorder)?;
    copied
}

/// Copies what the plan asks for; what is lost on the way is taken up again. `slot`: a stream follows, and the transaction id that was next
/// when its slot was made (see [`Export::take`]).
///
/// # Errors
/// What concerns the copy as a whole; what concerns single tables is in the outcome.
async fn copy_unrecorded(
    plan: &Plan,
    snapshot: &Snapshot,
    slot: Option<u64>,
    progress: Arc<Progress>,
) -> Result<Outcome> {
    let Target::Postgres(target) = &plan.target else { return events(plan, snapshot, slot, progress).await };
    let mut attempts = Attempts::new(plan.retry);
    let mut outcome = Outcome::default();
    loop {
        // Once the schema was made anew, what is left goes on as in any copy.
        let again = plan.resnapshot && !outcome.again && !outcome.schema;
        let tried =
            match Copy::open(&plan.source, target, snapshot, Arc::clone(&progress), &mut outcome).await {
                Ok(copy) => {
                    attempts.established();
                    if again {
                        copy.again(slot).await
                    } else {
                        copy.run(slot).await
                    }
                }
                Err(error) => Err(error),
            };
        let Err(error) = tried else { return Ok(outcome) };
        if error.kind() != Kind::Transient {
            return Err(error);
        }
        let text = error.to_string();
        let pause = attempts.after(error)?;
        tracing::warn!("{text}; next attempt in {pause:.1?}");
        retry::wait(pause).await;
    }
}

/// Copies into a sink that takes events.
async fn events(
    plan: &Plan,
    snapshot: &Snapshot,
    slot: Option<u64>,
    progress: Arc<Progress>,
) -> Result<Outcome> {
    let source = |error: Error| error.context("source");
    // The stream that follows brings everything from the slot's position on, and nothing of it is passed over.
    let before = match plan.target.takes_again() {
        true => Some(slot::reached(&plan.source, slot.is_some()).await.map_err(source)?),
        false => None,
    };
    let after = slot.max(before.map(|(_, xid)| xid));
    let mut export = Export::take(&plan.source.url, after, None).await.map_err(source)?;
    if let Some((at, _)) = before {
        export.at = at;
    }
    let patterns = Patterns::new(snapshot)?;
    let found = tables::find(&export.client, &patterns).await.map_err(source)?;
    let identity = slot::without_slot(&export.client).await.map_err(source)?;
    let mut sink = Sink::open(&plan.target, &identity).await.map_err(|error| error.context("target"))?;
    export.settle().await.map_err(source)?;
    let mut seen = Seen::default();
    if before.is_none() {
        seen.schema(patterns, export.view.clone());
    }
    let outcome = rows_as_events(plan, snapshot, export, found, &mut sink, &progress).await?;
    sink.close().await?;
    Ok(Outcome { seen, ..outcome })
}

/// Gives a sink what a snapshot shows: schema events, then rows.
async fn rows_as_events(
    plan: &Plan,
    snapshot: &Snapshot,
    export: Export,
    found: Found,
    sink: &mut Sink,
    progress: &Arc<Progress>,
) -> Result<Outcome> {
    let source = |error: Error| error.context("source");
    let mut injector = match plan.wants_ids() {
        true => {
            Some(Injector::new(&documents::newest(&export.client, &found.schemas).await.map_err(source)?)?)
        }
        false => None,
    };
    let (runs_in, runs_out) = bounded(CHANNEL_BYTES);
    let at = export.at;
    if snapshot.parts != Parts::Data {
        schema_events(&export, &found, &runs_in).await.map_err(source)?;
    }
    let progress = Arc::clone(progress);
    let readers = background(read(plan.source.clone(), snapshot.clone(), export, found, runs_in, progress));
    let mut batches = Batcher::new(runs_out, limits(&plan.target));
    while let Some(mut gathered) = batches.next().await {
        if let Some(injector) = &mut injector {
            gathered.batch.events.iter_mut().for_each(|event| injector.mark(event));
        }
        sink.write(gathered.batch).await.map_err(|error| error.context("target"))?;
    }
    let outcome = joined(readers.await)??;
    sink.copied(&outcome.done, at).await.map_err(|error| error.context("target"))?;
    Ok(outcome)
}

/// The newest document of each schema, as the stream would bring it; nothing where pgstream is not installed.
async fn schema_events(export: &Export, found: &Found, out: &Sender<Run>) -> Result<()> {
    let documents = tables::schema_documents(&export.client, &found.schemas).await?;
    if documents.is_empty() {
        return Ok(());
    }
    let bytes = documents.iter().map(|(_, row)| row.size()).sum();
    let events = rows::transaction(documents, export.at);
    out.send(Run { events, ..Run::default() }, bytes).await.map_err(|_| Error::stopped())
}

/// Reads all rows. The snapshot ends with this task.
async fn read(
    source: Source,
    snapshot: Snapshot,
    export: Export,
    mut found: Found,
    out: Sender<Run>,
    progress: Arc<Progress>,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    if snapshot.parts == Parts::Schema {
        return Ok(outcome);
    }
    found.tables.retain(|table| match &table.unreadable {
        None => true,
        Some(why) => {
            outcome.failed.push((table.relation.to_string(), Error::fatal(why.clone())));
            false
        }
    });
    progress.expect(found.tables.iter());
    let ranges = Ranges::new(&found.tables, snapshot.range, snapshot.workers, export.cuts().await?);
    let reader = || Reader::new(&source.url, &export, out.clone(), Arc::clone(&progress));
    let readers = (0..snapshot.workers.all).map(|_| reader()).collect();
    let done = Work::new(found.tables.clone(), ranges, Arc::clone(&progress)).run(readers).await?;
    if let Some(error) = done.lost {
        return Err(error);
    }
    outcome.copied = done.complete.len();
    outcome.done = done.complete.iter().map(|index| found.tables[*index].relation.oid).collect();
    let name = |index: usize| found.tables[index].relation.to_string();
    outcome.failed.extend(done.failed.into_iter().map(|(index, error)| (name(index), error)));
    outcome.failed.extend(done.aside.into_iter().map(|index| {
        let changed = Error::fatal("it was changed after the snapshot was taken");
        (name(index), changed.hint("copy it again"))
    }));
    Ok(outcome)
}
