//! A PostgreSQL database.

use super::{Batch, SequenceValues};
use crate::config::plan::PostgresTarget;
use crate::error::Result;
use crate::event::Lsn;
use crate::source::slot::Identity;

/// A PostgreSQL target.
pub struct Postgres {}

impl Postgres {
    /// Connects.
    pub async fn open(_target: &PostgresTarget, _source: &Identity) -> Result<Self> {
        Ok(Self {})
    }
    /// Position.
    pub fn progress(&self) -> Option<Lsn> {
        None
    }
    /// Writes.
    pub async fn write(&mut self, _batch: Batch) -> Result<()> {
        Ok(())
    }
    /// Advances.
    pub async fn advance(&mut self, _at: Lsn) -> Result<()> {
        Ok(())
    }
    /// Sequences.
    pub async fn sequences(&mut self, _values: &SequenceValues) -> Result<()> {
        Ok(())
    }
    /// Closes.
    pub async fn close(self) -> Result<()> {
        Ok(())
    }
}
