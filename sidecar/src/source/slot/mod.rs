//! One logical replication slot.

use crate::event::Lsn;

/// Which database the stream comes from: what a sink stores beside its position, so that a stream from elsewhere is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `system_identifier` of the server.
    pub system: String,
    /// Database name.
    pub database: String,
    /// Slot name.
    pub slot: String,
    /// The slot's `confirmed_flush_lsn` when we looked.
    pub confirmed: Lsn,
}
