//! Destinations. A sink gets batches of events and answers when they are durable; everything else is its own affair.
//!
//! ```text
//! pipeline --Batch--> Sink::write --Ok--> checkpoint (the batch's end may be confirmed)
//! ```
//!
//! The contract, on which the promise "nothing is lost" rests:
//! - A batch counts as written only when every *whole transaction* of it is durable at the destination (written and flushed): when
//!   `write` returns, or what `send` answered completes. Batches that are underway at the same time become durable in their order.
//! - Batches come in stream order; a batch may end inside a transaction, which then goes on in the next one. A sink that is
//!   transactional keeps its transaction open meanwhile. Until the commit has come nothing of it counts as delivered.
//! - After an error the sink is dropped and made anew, and the stream starts again from `start()`.
//! - A new sink is one file here, one variant of [`Sink`] and one arm in each of its matches.

pub mod kafka;
pub mod postgres;
pub mod search;
pub mod stdout;
mod work;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

use crate::config::plan::Target;
use crate::error::Result;
use crate::event::{Event, Lsn};
use crate::pipeline::seen::Seen;
use crate::source::slot::Identity;

/// Events that are written together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Consecutive events of the stream; may begin and end inside a transaction.
    pub events: Vec<Event>,
    /// End of the last whole transaction (or the last keepalive) in it, if it holds one.
    pub end: Option<Lsn>,
    /// What is to be remembered with the ends of transactions, by these (see [`Sink::mark`]); in order.
    pub marks: Vec<(Lsn, String)>,
}

/// A message that is in several partitions of a topic, because all of them must know of it.
#[derive(Debug, Clone)]
pub struct Barrier {
    /// Whose log it is of.
    pub source: String,
    /// Its name there: where its transaction's commit starts.
    pub commit_lsn: Lsn,
    /// And which of that transaction's events it is.
    pub ordinal: u64,
    /// The streams of all these partitions (as [`Identity::slot`]). The first of them writes it.
    pub streams: Vec<String>,
    /// Where it stands in ours.
    pub at: Lsn,
}

/// What is to be done at a barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Others have not reached it, or it is not written yet.
    Wait,
    /// It is ours to write.
    Write,
    /// It is written: go on behind it.
    Pass,
}

/// A batch that was sent: completes when it is durable.
pub type Underway = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Values of the source's sequences: name (quoted, qualified) and last value.
pub type SequenceValues = Vec<(String, i64)>;

/// A destination in use.
pub enum Sink {
    /// NDJSON on standard output.
    Stdout(stdout::Stdout),
    /// A PostgreSQL database.
    Postgres(Box<postgres::Postgres>),
    /// A topic of a Kafka cluster.
    Kafka(Box<kafka::Kafka>),
    /// An OpenSearch or Elasticsearch.
    Search(Box<search::Search>),
}

impl Sink {
    /// Connects to the destination and checks that it can be written. Nothing is changed there but pgstream's own progress table.
    pub async fn open(target: &Target, source: &Identity) -> Result<Self> {
        Ok(match target {
            Target::Stdout => Self::Stdout(stdout::Stdout::new()),
            Target::Postgres(target) => {
                Self::Postgres(Box::new(postgres::Postgres::open(target, source).await?))
            }
            Target::Kafka(target) => Self::Kafka(Box::new(kafka::Kafka::open(target, source).await?)),
            Target::Search(target) => Self::Search(Box::new(search::Search::open(target).await?)),
        })
    }

    /// The end of the last transaction that is durable here, if the destination remembers it; otherwise the slot's own position counts.
    pub fn progress(&self) -> Option<Lsn> {
        match self {
            Self::Stdout(_) | Self::Search(_) => None,
            Self::Kafka(sink) => sink.progress(),
            Self::Postgres(sink) => sink.progress(),
        }
    }

    /// What copies hold of the changes that come now, if the destination remembers it: they are passed over.
    pub async fn seen(&mut self, source: &Identity) -> Result<Option<Seen>> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) => Ok(None),
            // What comes again changes nothing, and what a copy is older than has to come.
            Self::Search(_) => Ok(Some(Seen::default())),
            Self::Postgres(sink) => sink.seen(source).await.map(Some),
        }
    }

    /// Tables whose copy was begun and not completed, by their oid at the source.
    pub async fn begun(&mut self, source: &Identity) -> Result<Vec<u32>> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) => Ok(Vec::new()),
            Self::Search(sink) => sink.begun(source).await,
            Self::Postgres(sink) => sink.begun(source).await,
        }
    }

    /// Tables that were rewritten with values that no stream carries, since the last call: their rows are to be copied again.
    pub fn rewritten(&mut self) -> Vec<u32> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) => Vec::new(),
            Self::Search(sink) => sink.rewritten(),
            Self::Postgres(sink) => sink.rewritten(),
        }
    }

    /// Those tables, by their oid at the source, were copied whole by events that carried this position: what is older is gone at the source.
    pub async fn copied(&mut self, tables: &HashSet<u32>, at: Lsn) -> Result<()> {
        match self {
            Self::Search(sink) => sink.copied(tables, at).await,
            Self::Stdout(_) | Self::Kafka(_) | Self::Postgres(_) => Ok(()),
        }
    }

    /// Sends a batch; `None` when it and all before it are durable already.
    pub async fn send(&mut self, batch: Batch) -> Result<Option<Underway>> {
        match self {
            Self::Stdout(sink) => sink.write(batch).await.map(|()| None),
            Self::Kafka(sink) => sink.send(batch).await,
            Self::Search(sink) => sink.send(batch).await,
            Self::Postgres(sink) => sink.write(batch).await.map(|()| None),
        }
    }

    /// Writes a batch; `Ok` means durable.
    pub async fn write(&mut self, batch: Batch) -> Result<()> {
        match self.send(batch).await? {
            Some(underway) => underway.await,
            None => Ok(()),
        }
    }

    /// Remembers a position reached without writes (`at` is past every transaction written so far), or the position a new slot starts at.
    pub async fn advance(&mut self, at: Lsn) -> Result<()> {
        match self {
            Self::Stdout(_) | Self::Search(_) => Ok(()),
            Self::Kafka(sink) => sink.advance(at).await,
            Self::Postgres(sink) => sink.advance(at).await,
        }
    }

    /// What was stored with the position, if the destination remembers it: see [`Batch::marks`].
    pub fn mark(&self) -> Option<&str> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) | Self::Search(_) => None,
            Self::Postgres(sink) => sink.mark(),
        }
    }

    /// Our stream has reached a barrier, and everything before it is durable here. A destination that takes events takes every copy.
    pub async fn reach(&mut self, barrier: &Barrier) -> Result<Passage> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) | Self::Search(_) => Ok(Passage::Write),
            Self::Postgres(sink) => sink.reach(barrier).await,
        }
    }

    /// Moves sequences forward to the source's values, never back. Sequences the destination does not have are passed over.
    pub async fn sequences(&mut self, values: &SequenceValues) -> Result<()> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) | Self::Search(_) => Ok(()),
            Self::Postgres(sink) => sink.sequences(values).await,
        }
    }

    /// Ends the session cleanly; an open transaction is rolled back and will come again.
    pub async fn close(self) -> Result<()> {
        match self {
            Self::Stdout(sink) => sink.close().await,
            Self::Kafka(sink) => sink.close().await,
            Self::Search(sink) => sink.close().await,
            Self::Postgres(sink) => sink.close().await,
        }
    }
}
