//! Where a copy of existing data comes from: one snapshot, the tables it shows, and ranges of them handed to workers.
//!
//! ```text
//! export   the snapshot and what it sees (view)      tables   which ones, as of it      schema   how they are made (hold: meanwhile unchanged)
//! ranges   who copies what next                      work     the workers               session  one that reads
//! rows     ranges as events, for sinks that take events         progress   how far
//! ```
//!
//! What a sink does with a range is its own affair (see [`work::Copier`]).

pub mod export;
pub mod hold;
pub mod progress;
pub mod ranges;
pub mod requests;
pub mod rows;
pub mod schema;
pub mod session;
pub mod tables;
pub mod view;
pub mod work;
