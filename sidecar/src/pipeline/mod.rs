//! What happens between source and sink, one stage a file, in order.
//!
//! ```text
//! Frame --decode--> Event --capture--> Event --seen, filter--> Event --inject--> Event --batch--> Batch --> sink --> checkpoint
//!                     +------ inject learns, where it is on ----------------^
//! ```
//!
//! Between tasks travel *runs* of consecutive events, through channels bounded in bytes ([`channel`]): a slow sink is felt by the slot reader,
//! memory stays bounded, and no event is sent alone when others are ready.

pub mod batch;
pub mod capture;
pub mod channel;
pub mod checkpoint;
pub mod decode;
pub mod filter;
pub mod inject;
pub mod seen;

use crate::event::Event;

/// Consecutive events of the stream.
#[derive(Debug, Default)]
pub struct Run {
    /// The events.
    pub events: Vec<Event>,
    /// Versions of schemas that they log; with the later events of the same transactions, or before those.
    pub logged: Vec<capture::Logged>,
    /// A copy was asked for, or taken back.
    pub requested: bool,
    /// The source waits for our position (it is shutting down, or near its timeout).
    pub urgent: bool,
}
