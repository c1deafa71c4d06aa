//! Copies that are asked for while the stream runs.
//!
//! ```text
//! requested --> preparing --> ready --> copying --> done
//!               snapshot S    the stream      the target's rows are replaced by those
//!               is taken      reaches S       of S, in one transaction a table
//! ```
//!
//! The stream goes on all the time, also for the tables of the request, until it comes to a change of one of them that S does not see: that one
//! waits for the copy. So when a copy begins, the target has all of the table that S sees and nothing more, its definition
//! included, and replacing the rows by those of S changes nothing but what was wrong. Why nothing is lost by a crash: until the copy is
//! committed the table is as the stream left it, and the request is not completed; afterwards the note of the copy is there with it.
//!
//! A table that the target does not have yet, or has without its rows, cannot follow the stream: its changes that S sees are passed over, since they
//! are in the copy, and the copy is done again after a crash.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Outcome, NOTE_EVERY};
use crate::config::plan::{Plan, PostgresTarget, Target};
use crate::config::snapshot::{Parts, Snapshot};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Lsn};
use crate::pipeline::seen::Seen;
use crate::run::{background, joined};
use crate::sinks::postgres::copy::Copy;
use crate::sinks::{Batch, Sink};
use crate::source::snapshot::export::Export;
use crate::source::snapshot::progress::Progress;
use crate::source::snapshot::requests::{Asked, Requests};
use crate::source::snapshot::tables::{self, Found, Patterns};
use crate::source::snapshot::view::View;

/// How often a copy at work is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A request that is not seen after this long is none: it was taken back.
const PATIENCE: Duration = Duration::from_secs(60);
/// Snapshots taken for one request because a table was changed before it was copied.
const MOST_ROUNDS: u32 = 20;

/// The copies of a running stream.
pub struct Live {
    plan: Arc<Plan>,
    slot: String,
    next_xid: u64,
    woken: bool,
    state: State,
    /// Tables without all their rows, by oid.
    begun: HashSet<u32>,
    /// Those of them that nothing is done about yet.
    left: HashSet<u32>,
    /// What copies made here hold of changes still to come.
    seen: Seen,
    looked: Instant,
    /// Until when, and after which pause, a request is looked for that was said to be there.
    said: Option<(Instant, Duration)>,
    /// The stream is within a transaction.
    inside: bool,
    /// Everything before it is durable at the sink.
    reached: Lsn,
}

enum State {
    Idle,
    Preparing(Work, JoinHandle<Result<Prepared>>),
    Ready(Work, Box<Prepared>),
    Copying(Work, View, JoinHandle<Result<Outcome>>),
}

/// A request that is worked on.
struct Work {
    /// `None`: nobody asked, it was left over.
    requests: Option<Requests>,
    snapshot: Arc<Snapshot>,
    filter: Option<String>,
    /// Tables it means, by oid.
    tables: HashSet<u32>,
    progress: Arc<Progress>,
    rounds: u32,
    noted: Instant,
}

impl Work {
    /// Notes how far the copy is; false when it was cancelled.
    async fn is_wanted(&mut self) -> bool {
        if self.noted.elapsed() < NOTE_EVERY {
            return true;
        }
        self.noted = Instant::now();
        // That it cannot be told just now is no reason to stop copying.
        match &self.requests {
            Some(requests) => requests.progress(self.progress.totals()).await.unwrap_or(true),
            None => true,
        }
    }
}

/// A snapshot, and what it shows of the request.
struct Prepared {
    export: Export,
    found: Found,
    /// Tables that the target does not have at all.
    missing: HashSet<u32>,
}

/// What is to be done about an event.
#[derive(Debug, PartialEq, Eq)]
enum Touch {
    /// It goes on.
    Pass,
    /// The copy holds it.
    Drop,
    /// It comes after the copy.
    Wait,
}

impl Live {
    /// Nothing is copied yet; requests left from before are looked for at once.
    pub fn new(plan: &Arc<Plan>, slot: &str, next_xid: u64) -> Self {
        Self {
            plan: Arc::clone(plan),
            slot: slot.to_owned(),
            next_xid,
            woken: true,
            state: State::Idle,
            begun: HashSet::new(),
            left: HashSet::new(),
            seen: Seen::default(),
            looked: Instant::now(),
            said: None,
            inside: false,
            reached: Lsn::ZERO,
        }
    }

    /// Copies tables that have not the rows they should: left over when the stream began, because they were changed after their schema was copied,
    /// or rewritten with values that no stream carries. Until then changes of their rows are passed over.
    pub fn complete(&mut self, oids: &[u32]) {
        self.begun.extend(oids);
        self.left.extend(oids);
        self.woken |= !oids.is_empty();
    }

    /// Begins with the tables that are left.
    async fn take_left(&mut self) -> Result<()> {
        let left: Vec<u32> = std::mem::take(&mut self.left).into_iter().collect();
        let client = crate::postgres::sql::connect(&self.plan.source.url)
            .await
            .map_err(|error| error.context("source"))?;
        let tables = tables::names(&client, &left).await.map_err(|error| error.context("source"))?;
        if tables.is_empty() {
            return Ok(());
        }
        let work = self.work(None, tables, None);
        self.prepare(work).await
    }

    fn work(&self, requests: Option<Requests>, tables: Vec<String>, filter: Option<String>) -> Work {
        let snapshot = Snapshot {
            tables,
            excluded: Vec::new(),
            schema_only: self.plan.filter.schema_only.clone(),
            parts: Parts::Full,
            ..self.plan.snapshot.clone()
        };
        Work {
            requests,
            snapshot: Arc::new(snapshot),
            filter,
            tables: HashSet::new(),
            progress: Arc::new(Progress::new(false)),
            rounds: 0,
            noted: Instant::now(),
        }
    }

    /// There is a new request, which others may not see yet: the stream can be ahead of them.
    pub fn wake(&mut self) {
        self.woken = true;
        self.said = Some((Instant::now() + PATIENCE, LOOK_EVERY));
    }

    /// When it wants to be looked at again.
    pub fn due(&self) -> Option<Instant> {
        if self.woken || !matches!(self.state, State::Idle) {
            return Some(self.looked + LOOK_EVERY);
        }
        self.said.map(|(_, pause)| self.looked + pause)
    }

    /// It is time to look for a request.
    fn looks(&mut self) -> bool {
        let woken = std::mem::take(&mut self.woken);
        woken || self.said.is_some()
    }

    /// Goes on with what is at work. `reached`: everything before it is durable at the sink.
    pub async fn turn(&mut self, sink: &mut Sink, reached: Lsn) -> Result<()> {
        self.looked = Instant::now();
        self.reached = self.reached.max(reached);
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle if !self.left.is_empty() => {
                self.woken = true;
                self.take_left().await?;
            }
            State::Idle if self.looks() => self.take().await?,
            State::Idle => {}
            State::Preparing(work, task) if task.is_finished() => self.prepared(work, task).await?,
            State::Ready(work, prepared) if prepared.export.view.end <= reached && self.may_begin() => {
                self.begin(sink, work, *prepared).await?
            }
            State::Copying(work, view, task) if task.is_finished() => {
                self.copied(work, view, joined(task.await).flatten()).await?
            }
            State::Copying(mut work, view, task) => {
                if work.is_wanted().await {
                    self.state = State::Copying(work, view, task);
                } else {
                    task.abort();
                    tracing::info!("the copy was cancelled");
                    self.woken = true;
                }
            }
            state => self.state = state,
        }
        Ok(())
    }

    /// Copied rows that are events themselves do not come into a transaction.
    fn may_begin(&self) -> bool {
        self.plan.target.is_postgres() || !self.inside
    }

    /// Lets those events of a batch pass that may; writes what comes before one that must wait, and waits. Answers the rest.
    pub async fn admit(&mut self, sink: &mut Sink, batch: Batch) -> Result<Batch> {
        let bound = |event: &Event| match event {
            Event::Begin(_) => Some(true),
            Event::Commit(_) => Some(false),
            _ => None,
        };
        self.inside = batch.events.iter().rev().find_map(bound).unwrap_or(self.inside);
        if matches!(self.state, State::Idle) && self.seen.is_empty() && self.begun.is_empty() {
            // A copy may be asked for in the middle of it.
            let begin = |event: &Event| match event {
                Event::Begin(transaction) => Some(*transaction),
                _ => None,
            };
            if let Some(transaction) = batch.events.iter().rev().find_map(begin) {
                self.seen.begins(transaction);
            }
            return Ok(batch);
        }
        let Batch { events, end, marks } = batch;
        let mut rest = Vec::with_capacity(events.len());
        for event in events {
            let Some(event) = self.seen.apply(event) else { continue };
            match self.touch(&event).await? {
                Touch::Drop => {}
                Touch::Pass => rest.push(event),
                Touch::Wait => {
                    let before = Batch { events: std::mem::take(&mut rest), ..Batch::default() };
                    sink.write(before).await.map_err(|error| error.context("target"))?;
                    self.finish(sink).await?;
                    rest.extend(self.seen.apply(event));
                }
            }
        }
        Ok(Batch { events: rest, end, marks })
    }

    /// What is to be done about an event. Where it matters, waits until the snapshot is taken.
    async fn touch(&mut self, event: &Event) -> Result<Touch> {
        let (State::Preparing(work, _) | State::Ready(work, _) | State::Copying(work, ..)) = &self.state
        else {
            return Ok(self.without_rows(event));
        };
        // Where copied rows are events themselves they come at once, and not in the middle of a transaction: one that they do not hold waits as a whole.
        let begins = matches!(event, Event::Begin(_)) && !self.plan.target.is_postgres();
        let table = touched(event, &work.tables);
        if table.is_none() && !begins {
            return Ok(self.without_rows(event));
        }
        if let State::Preparing(..) = &self.state {
            let State::Preparing(work, task) = std::mem::replace(&mut self.state, State::Idle) else {
                return Ok(Touch::Pass);
            };
            self.prepared(work, task).await?;
        }
        let sees = |view: &View| {
            self.seen.current().is_some_and(|current| view.sees(current.xid, current.commit_lsn))
        };
        let Some(table) = table else {
            return Ok(match &self.state {
                State::Ready(_, prepared) if !sees(&prepared.export.view) => Touch::Wait,
                _ => Touch::Pass,
            });
        };
        Ok(match &self.state {
            State::Ready(_, prepared) if !sees(&prepared.export.view) => Touch::Wait,
            State::Ready(_, prepared) if prepared.missing.contains(&table) => Touch::Drop,
            // It has not all its rows, but its definition.
            State::Ready(..) if self.begun.contains(&table) => self.without_rows(event),
            State::Copying(_, view, _) if !sees(view) => Touch::Wait,
            // Committed before the copy began, written after it: the copy holds it.
            State::Copying(..) => Touch::Drop,
            State::Idle | State::Preparing(..) | State::Ready(..) => Touch::Pass,
        })
    }

    /// Tables without all their rows cannot follow the changes of rows, only those of their definition. What is dropped at the source by now will
    /// never have them.
    fn without_rows(&self, event: &Event) -> Touch {
        let rows = !matches!(event, Event::Ddl(_));
        if rows && touched(event, &self.begun).is_some() {
            Touch::Drop
        } else {
            Touch::Pass
        }
    }

    /// Takes the next request up.
    async fn take(&mut self) -> Result<()> {
        let Some(Asked { requests, tables, filter }) =
            Requests::take(&self.plan.source.url, &self.slot).await?
        else {
            let now = Instant::now();
            self.said = self.said.filter(|(until, _)| *until > now).map(|(until, pause)| (until, pause * 2));
            return Ok(());
        };
        self.said = None;
        tracing::info!(tables = %tables.join(" "), "a copy was requested");
        let work = self.work(Some(requests), tables, filter);
        self.prepare(work).await
    }

    /// Takes a snapshot for it, in the background. Which tables are meant is known before: their changes wait from now on.
    async fn prepare(&mut self, mut work: Work) -> Result<()> {
        work.rounds += 1;
        let url = self.plan.source.url.clone();
        let patterns = Patterns::new(&work.snapshot)?;
        let client = crate::postgres::sql::connect(&url).await?;
        let found = match tables::find(&client, &patterns).await {
            Ok(found) => found,
            Err(error) if error.kind() == Kind::Transient => return Err(error),
            Err(error) => return self.end(work, vec![("snapshot".to_owned(), error)]).await,
        };
        work.tables = found.selection.tables.iter().copied().collect();
        let (after, target, meant) = (self.next_xid, self.plan.target.clone(), work.tables.clone());
        let sees = self.seen.current().map(|transaction| transaction.xid);
        let task = background(async move {
            let export = Export::take(&url, Some(after), sees).await?;
            let mut found = tables::find(&export.client, &patterns).await?;
            found.keep(&meant);
            let missing = match &target {
                Target::Postgres(target) => Copy::missing(target, &found).await?,
                Target::Stdout | Target::Kafka(_) | Target::Search(_) => meant,
            };
            export.settle().await?;
            Ok(Prepared { export, found, missing })
        });
        self.state = State::Preparing(work, task);
        Ok(())
    }

    async fn prepared(&mut self, work: Work, task: JoinHandle<Result<Prepared>>) -> Result<()> {
        let prepared = joined(task.await).flatten().map_err(|error| error.context("source"))?;
        self.state = State::Ready(work, Box::new(prepared));
        Ok(())
    }

    /// Begins to copy: the sink has what the snapshot sees.
    async fn begin(&mut self, sink: &mut Sink, work: Work, prepared: Prepared) -> Result<()> {
        let view = prepared.export.view.clone();
        work.progress.expect(prepared.found.tables.iter());
        let Prepared { mut export, found, .. } = prepared;
        if self.plan.target.takes_again() {
            // What is written so far is shown, and all that comes is later.
            export.at = self.seen.current().map_or(self.reached, |current| current.commit_lsn);
        }
        let task = match &self.plan.target {
            Target::Postgres(target) => {
                let copy = replace(Arc::clone(&self.plan), target.clone(), &work, export, found);
                background(copy)
            }
            Target::Stdout | Target::Kafka(_) | Target::Search(_) => {
                let outcome =
                    super::rows_as_events(&self.plan, &work.snapshot, export, found, sink, &work.progress)
                        .await;
                background(std::future::ready(outcome))
            }
        };
        self.state = State::Copying(work, view, task);
        Ok(())
    }

    /// Waits for the copy at work, beginning it if it has not begun.
    async fn finish(&mut self, sink: &mut Sink) -> Result<()> {
        loop {
            match std::mem::replace(&mut self.state, State::Idle) {
                State::Ready(work, prepared) => self.begin(sink, work, *prepared).await?,
                State::Copying(work, view, mut task) => {
                    if let Ok(ended) = tokio::time::timeout(NOTE_EVERY, &mut task).await {
                        return self.copied(work, view, joined(ended).flatten()).await;
                    }
                    self.state = State::Copying(work, view, task);
                    self.turn(sink, Lsn::ZERO).await?;
                }
                state @ (State::Idle | State::Preparing(..)) => {
                    self.state = state;
                    return Ok(());
                }
            }
        }
    }

    async fn copied(&mut self, work: Work, view: View, outcome: Result<Outcome>) -> Result<()> {
        self.woken = true;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            // A table was changed before it was copied: another snapshot shows it as it is now.
            Err(error) if error.kind() == Kind::Transient && work.rounds < MOST_ROUNDS => {
                tracing::info!("{error}: copying from another snapshot");
                return self.prepare(work).await;
            }
            Err(error) => return self.end(work, vec![("snapshot".to_owned(), error)]).await,
        };
        for oid in &outcome.done {
            self.begun.remove(oid);
            if work.filter.is_none() && !self.plan.target.takes_again() {
                self.seen.table(*oid, view.clone());
            }
        }
        if !outcome.done.is_empty() {
            let totals = work.progress.totals();
            tracing::info!(tables = outcome.done.len(), rows = totals.rows, "copied as requested");
        }
        self.end(work, outcome.failed).await
    }

    /// Ends a request, as completed when nothing failed.
    async fn end(&mut self, work: Work, failed: Vec<(String, Error)>) -> Result<()> {
        self.woken = true;
        for (what, error) in &failed {
            tracing::error!("requested copy of {what}: {error}");
        }
        let failed: Vec<(String, String)> =
            failed.into_iter().map(|(what, error)| (what, error.to_string())).collect();
        match work.requests {
            Some(requests) => requests.end(work.progress.totals(), &failed).await,
            None => {
                match failed.into_iter().next() {
                    Some((what, why)) => Err(Error::fatal(format!("{what}: {why}"))
                        .hint("the stream cannot go on without its rows")),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The table of `tables` that an event touches.
fn touched(event: &Event, tables: &HashSet<u32>) -> Option<u32> {
    let known = |oid: &u32| tables.contains(oid);
    match event {
        Event::Change(change) => Some(change.relation.oid).filter(known),
        Event::Truncate(truncate) => truncate.relations.iter().map(|relation| relation.oid).find(known),
        Event::Ddl(ddl) => ddl.table_oids().find(known),
        Event::Begin(_) | Event::Message(_) | Event::Commit(_) | Event::Keepalive(_) => None,
    }
}

fn replace(
    plan: Arc<Plan>,
    target: Box<PostgresTarget>,
    work: &Work,
    export: Export,
    found: Found,
) -> impl std::future::Future<Output = Result<Outcome>> + Send + 'static {
    let (snapshot, filter, progress) =
        (Arc::clone(&work.snapshot), work.filter.clone(), Arc::clone(&work.progress));
    async move {
        let mut outcome = Outcome::default();
        let copy = Copy::open(&plan.source, &target, &snapshot, progress, &mut outcome).await?;
        copy.replace(export, found, filter).await?;
        Ok(outcome)
    }
}
