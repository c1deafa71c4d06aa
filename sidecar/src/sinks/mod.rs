//! Destinations. A sink gets batches of events and answers when they are durable; everything else is its own affair.
//!
//! ```text
//! pipeline --Batch--> Sink::write --Ok--> checkpoint (the batch's end may be confirmed)
//! ```
//!
//! The contract, on which the promise "nothing is lost" rests:
//! - `write` returns `Ok` only when every *whole transaction* of the batch is durable at the destination (written and flushed).
//! - Batches come in stream order; a batch may end inside a transaction, which then goes on in the next one. A sink that is
//!   transactional keeps its transaction open meanwhile. Until the commit has come nothing of it counts as delivered.
//! - After an error the sink is dropped and made anew, and the stream starts again from `start()`.
//! - A new sink is one file here, one variant of [`Sink`] and one arm in each of its matches.

pub mod kafka;
pub mod postgres;
pub mod stdout;

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
}

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
        })
    }

    /// The end of the last transaction that is durable here, if the destination remembers it; otherwise the slot's own position counts.
    pub fn progress(&self) -> Option<Lsn> {
        match self {
            Self::Stdout(_) => None,
            Self::Kafka(sink) => sink.progress(),
            Self::Postgres(sink) => sink.progress(),
        }
    }

    /// What copies hold of the changes that come now, if the destination remembers it: they are passed over.
    pub async fn seen(&mut self, source: &Identity) -> Result<Option<Seen>> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) => Ok(None),
            Self::Postgres(sink) => sink.seen(source).await.map(Some),
        }
    }

    /// Tables whose copy was begun and not completed, by their oid at the source.
    pub async fn begun(&mut self, source: &Identity) -> Result<Vec<u32>> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) => Ok(Vec::new()),
            Self::Postgres(sink) => sink.begun(source).await,
        }
    }

    /// Tables that were rewritten with values that no stream carries, since the last call: their rows are to be copied again.
    pub fn rewritten(&mut self) -> Vec<u32> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) => Vec::new(),
            Self::Postgres(sink) => sink.rewritten(),
        }
    }

    /// Writes a batch; `Ok` means durable.
    pub async fn write(&mut self, batch: Batch) -> Result<()> {
        match self {
            Self::Stdout(sink) => sink.write(batch).await,
            Self::Kafka(sink) => sink.write(batch).await,
            Self::Postgres(sink) => sink.write(batch).await,
        }
    }

    /// Remembers a position reached without writes (`at` is past every transaction written so far), or the position a new slot starts at.
    pub async fn advance(&mut self, at: Lsn) -> Result<()> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::Kafka(sink) => sink.advance(at).await,
            Self::Postgres(sink) => sink.advance(at).await,
        }
    }

    /// Moves sequences forward to the source's values, never back. Sequences the destination does not have are passed over.
    pub async fn sequences(&mut self, values: &SequenceValues) -> Result<()> {
        match self {
            Self::Stdout(_) | Self::Kafka(_) => Ok(()),
            Self::Postgres(sink) => sink.sequences(values).await,
        }
    }

    /// Ends the session cleanly; an open transaction is rolled back and will come again.
    pub async fn close(self) -> Result<()> {
        match self {
            Self::Stdout(sink) => sink.close().await,
            Self::Kafka(sink) => sink.close().await,
            Self::Postgres(sink) => sink.close().await,
        }
    }
}
