//! One partition's way to the target: its messages as transactions, and the position behind them.
//!
//! A transaction here is what a partition holds of one of the source. It ends where the source's ends, where the next one begins, or in front of
//! a [`Barrier`].

use std::collections::BTreeMap;

use crate::config::plan::Target;
use crate::error::{Error, Result};
use crate::event::{Commit, Event, Lsn, Timestamp, Transaction};
use crate::sinks::{Barrier, Batch, Passage, Sink};
use crate::source::kafka::decode::{Decoder, Headers};
use crate::source::slot::Identity;

/// Of each source, commit position and ordinal of the last event that passed.
type Mark = BTreeMap<String, (u64, u64)>;

/// A partition in hand.
pub(super) struct Stream {
    sink: Sink,
    decoder: Decoder,
    /// The offset after the last message that came.
    next: i64,
    /// The offset after what is durable at the target.
    durable: i64,
    /// What the group was told last.
    told: Option<i64>,
    /// A writer that failed sends what it is not sure of again, in the same order.
    mark: Mark,
    transaction: Option<Open>,
    events: Vec<Event>,
    /// By the end of each transaction in hand, the mark there.
    marks: Vec<(Lsn, String)>,
}

/// The transaction in hand.
#[derive(Clone, Copy)]
struct Open {
    commit_lsn: Lsn,
    /// The offset of its first message.
    first: i64,
    /// Its first event in hand.
    begins: usize,
}

impl Stream {
    /// Opens the way. It goes on where the target ended, or at `first` where that says nothing.
    ///
    /// # Errors
    /// As the sink's.
    pub(super) async fn open(target: &Target, identity: &Identity, first: i64) -> Result<Self> {
        let sink = Sink::open(target, identity).await?;
        let stored = sink.progress().and_then(|at| i64::try_from(at.0).ok()).unwrap_or(0);
        let mark = match sink.mark() {
            Some(text) => serde_json::from_str(text).map_err(|error| {
                Error::fatal(format!("the target stores `{text}` as mark, which is none")).because(error)
            })?,
            None => Mark::new(),
        };
        let next = if stored > 0 { stored } else { first };
        Ok(Self {
            sink,
            decoder: Decoder::default(),
            next,
            durable: next,
            told: None,
            mark,
            transaction: None,
            events: Vec::new(),
            marks: Vec::new(),
        })
    }

    /// The offset of the message it waits for.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// The offset after what is durable.
    pub(super) fn durable(&self) -> i64 {
        self.durable
    }

    /// A transaction has not come to its end.
    pub(super) fn is_open(&self) -> bool {
        self.transaction.is_some()
    }

    /// What the group has not been told yet, and is now.
    pub(super) fn untold(&mut self) -> Option<i64> {
        let new = self.told.replace(self.durable) != Some(self.durable);
        new.then_some(self.durable)
    }

    /// Whether an event has passed already.
    pub(super) fn has(&self, headers: &Headers) -> bool {
        let name = headers.ordinal.map(|ordinal| (headers.commit_lsn.0, ordinal));
        name.is_some_and(|name| self.mark.get(&headers.source).is_some_and(|last| name <= *last))
    }

    /// The event of a message.
    pub(super) fn decode(&mut self, value: &[u8], headers: &Headers) -> Result<Event> {
        self.decoder.decode(value, headers)
    }

    /// Takes what came of a message at that offset: nothing, or an event that is to be written.
    pub(super) fn take(&mut self, offset: i64, headers: &Headers, event: Option<Event>) {
        if self.transaction.is_some_and(|open| open.commit_lsn != headers.commit_lsn) {
            self.end();
        }
        let first = std::mem::replace(&mut self.next, offset + 1);
        if let Some(ordinal) = headers.ordinal {
            self.mark.insert(headers.source.clone(), (headers.commit_lsn.0, ordinal));
        }
        if let Some(event) = event {
            if self.transaction.is_none() {
                let (commit_lsn, time) = (headers.commit_lsn, Timestamp::now());
                self.transaction = Some(Open { commit_lsn, first, begins: self.events.len() });
                self.events.push(Event::Begin(Transaction { xid: 0, commit_lsn, time }));
            }
            self.events.push(event);
        }
        if headers.last {
            self.end();
        }
    }

    /// Passes over a message.
    pub(super) fn skip(&mut self, offset: i64) {
        self.next = offset + 1;
    }

    /// The transaction in hand ends here.
    pub(super) fn end(&mut self) {
        if self.transaction.take().is_some() {
            let end = self.position();
            self.events.push(Event::Commit(Commit { end, time: Timestamp::now() }));
            self.marks.push((end, serde_json::to_string(&self.mark).unwrap_or_default()));
        }
    }

    /// How many events of a transaction in hand wait for its end.
    pub(super) fn waiting(&self) -> usize {
        self.transaction.map_or(0, |open| self.events.len() - open.begins)
    }

    fn position(&self) -> Lsn {
        position(self.next)
    }

    /// Writes what is in hand, and the position behind it where a transaction ends there; whether anything became durable. What has begun is open
    /// at the target afterwards.
    pub(super) async fn write(&mut self) -> Result<bool> {
        if let Some(open) = &mut self.transaction {
            open.begins = 0;
            let events = std::mem::take(&mut self.events);
            let marks = std::mem::take(&mut self.marks);
            self.sink.write(Batch { events, end: None, marks }).await?;
            return Ok(false);
        }
        self.write_ended(self.next, Vec::new()).await
    }

    /// The same, but what has begun waits here for its end: nothing is open at the target, where another stream could wait for it.
    pub(super) async fn write_whole(&mut self) -> Result<bool> {
        let Some(open) = &mut self.transaction else { return self.write().await };
        let tail = self.events.split_off(std::mem::take(&mut open.begins));
        let end = open.first;
        self.write_ended(end, tail).await
    }

    /// Writes what is in hand, which ends before that offset.
    async fn write_ended(&mut self, end: i64, tail: Vec<Event>) -> Result<bool> {
        let (events, at) = (std::mem::replace(&mut self.events, tail), position(end));
        if end == self.durable {
            return Ok(false);
        }
        let marks = std::mem::take(&mut self.marks);
        self.sink.write(Batch { events, end: Some(at), marks }).await?;
        self.sink.advance(at).await?;
        self.durable = end;
        Ok(true)
    }

    /// Says at the target that a barrier is reached; everything before it is written.
    pub(super) async fn reach(&mut self, barrier: &Barrier) -> Result<Passage> {
        self.sink.reach(barrier).await
    }

    /// Ends the way; an open transaction will come again.
    pub(super) async fn close(self) -> Result<()> {
        self.sink.close().await
    }
}

/// An offset as the target stores it.
pub(super) fn position(offset: i64) -> Lsn {
    Lsn(u64::try_from(offset).unwrap_or(0))
}
