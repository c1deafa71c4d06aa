//! A copy of existing data, from its source to whichever sink.
//!
//! ```text
//! source::snapshot   export, tables, schema, ranges       the same for all sinks
//! PostgreSQL         sinks::postgres::copy                rows as they are, by COPY, many at a time
//! others             rows as insert events of one transaction per table
//! ```

use std::sync::Arc;

use crate::config::plan::{Plan, Target};
use crate::error::{Error, Result};
use crate::sinks::postgres::copy::{Copy, Outcome};
use crate::source::snapshot::progress::Progress;

/// Copies what the plan asks for. `after`: see [`crate::source::snapshot::export::Export::take`].
///
/// # Errors
/// What concerns the copy as a whole; what concerns single tables is in the outcome.
pub async fn copy(plan: &Plan, after: Option<u64>, progress: Arc<Progress>) -> Result<Outcome> {
    let Some(snapshot) = &plan.snapshot else { return Ok(Outcome::default()) };
    match &plan.target {
        Target::Postgres(target) => {
            Copy::open(&plan.source, target, snapshot, progress).await?.run(after).await
        }
        Target::Stdout => Err(Error::fatal("a snapshot to standard output is not there yet")),
    }
}
