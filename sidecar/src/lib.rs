//! The pgstream sidecar: reads one logical replication slot and delivers rows and schema changes, in commit order, to a sink.
//!
//! ```text
//! source --Frame--> decode --Event--> capture > filter --> batch --Batch--> sink
//!    ^                                                                        | Ack
//!    +--------- feedback <-- checkpoint (highest durable commit end) <--------+
//! ```
//!
//! Data goes down, acknowledgements come up, nothing else crosses. Modules in the order of the flow:
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod delivery;
pub mod error;
pub mod event;
pub mod install;
pub mod kafka;
pub mod percent;
pub mod pipeline;
pub mod postgres;
pub mod retry;
pub mod run;
pub mod sinks;
pub mod snapshot;
pub mod source;
pub mod telemetry;
pub mod topic;
