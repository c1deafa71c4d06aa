//! What flows through the pipeline: typed events with everything a sink needs to write them.
//!
//! ```text
//! Begin  (Change | Truncate | Ddl | Message)*  Commit     one transaction of the source, in commit order
//! Keepalive                                               between transactions only: nothing before it is missing
//! ```
//!
//! Nothing in here does I/O or is async. Values stay slices of the frame they came in ([`Tuple`]); the table travels with each change
//! ([`Relation`] behind an `Arc`).

pub mod array;
pub mod clock;
pub mod ddl;
pub mod ids;
pub mod json;
pub mod position;
pub mod relation;
pub mod tuple;
pub mod type_name;

use std::sync::Arc;

use bytes::Bytes;

pub use ddl::{Ddl, DdlObject};
pub use ids::{IdColumn, Ids};
pub use position::{Lsn, Timestamp};
pub use relation::{Column, Relation, ReplicaIdentity};
pub use tuple::{Tuple, Value};

/// One step of the stream.
#[derive(Debug, Clone)]
pub enum Event {
    /// A transaction of the source begins.
    Begin(Transaction),
    /// One row was inserted, updated or deleted.
    Change(Change),
    /// Tables were emptied by one TRUNCATE.
    Truncate(Truncate),
    /// One DDL command.
    Ddl(Arc<Ddl>),
    /// A logical message (`pg_logical_emit_message`) of a transaction.
    Message(Message),
    /// The transaction is complete.
    Commit(Commit),
    /// No transaction is open and everything before this position has been sent.
    Keepalive(Lsn),
}

/// The beginning of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Transaction {
    /// Transaction id at the source; 0 = rows of a copy.
    pub xid: u32,
    /// Where its commit record starts.
    pub commit_lsn: Lsn,
    /// When it committed.
    pub time: Timestamp,
}

impl Transaction {
    /// No transaction of the log, but rows of a copy.
    pub fn is_copy(&self) -> bool {
        self.xid == 0
    }
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Commit {
    /// Where its commit record ends: the only kind of position that is ever confirmed.
    pub end: Lsn,
    /// When it committed.
    pub time: Timestamp,
}

/// One row's change.
#[derive(Debug, Clone)]
pub struct Change {
    /// Where it stands in the log.
    pub lsn: Lsn,
    /// Its table.
    pub relation: Arc<Relation>,
    /// What happened to the row.
    pub row: RowChange,
    /// Stable ids of the table and its columns, where an injector adds them.
    pub ids: Option<Arc<Ids>>,
}

/// What happened to a row.
#[derive(Debug, Clone)]
pub enum RowChange {
    /// A new row.
    Insert {
        /// All its values.
        new: Tuple,
    },
    /// A changed row.
    Update {
        /// The old identity, sent only when it changed or the identity is full.
        old: Option<OldRow>,
        /// The new values; TOASTed values that did not change are `Unchanged`.
        new: Tuple,
    },
    /// A removed row.
    Delete {
        /// Its identity.
        old: OldRow,
    },
}

/// What the source sent of a row as it was before.
#[derive(Debug, Clone)]
pub enum OldRow {
    /// Only the key columns hold values, all others are NULL and mean nothing.
    Key(Tuple),
    /// The whole row.
    Full(Tuple),
}

impl OldRow {
    /// The values.
    pub fn tuple(&self) -> &Tuple {
        match self {
            Self::Key(tuple) | Self::Full(tuple) => tuple,
        }
    }
}

/// Tables emptied together.
#[derive(Debug, Clone)]
pub struct Truncate {
    /// Where it stands in the log.
    pub lsn: Lsn,
    /// All tables it emptied, those reached by CASCADE included.
    pub relations: Vec<Arc<Relation>>,
    /// RESTART IDENTITY was given.
    pub restart_identity: bool,
    /// Tables that were emptied with these, and may refer to them, come by themselves.
    pub apart: bool,
    /// Stable ids of each table, in the order of `relations`; none without an injector.
    pub ids: Vec<Option<Arc<Ids>>>,
}

/// A logical message inside a transaction.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it stands in the log.
    pub lsn: Lsn,
    /// The prefix its writer chose.
    pub prefix: Box<str>,
    /// Its content, any bytes.
    pub content: Bytes,
}

impl Event {
    /// About how many bytes it holds: what the bounded channels count.
    pub fn size(&self) -> usize {
        const BASE: usize = 64;
        BASE + match self {
            Self::Change(change) => match &change.row {
                RowChange::Insert { new } => new.size(),
                RowChange::Update { old, new } => {
                    new.size() + old.as_ref().map_or(0, |old| old.tuple().size())
                }
                RowChange::Delete { old } => old.tuple().size(),
            },
            Self::Ddl(ddl) => ddl.size(),
            Self::Message(message) => message.content.len(),
            Self::Begin(_) | Self::Truncate(_) | Self::Commit(_) | Self::Keepalive(_) => 0,
        }
    }
}
