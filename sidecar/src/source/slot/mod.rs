//! One logical replication slot: which one it is, the stream of frames that comes out of it, and the source's own records of it.
//!
//! ```text
//! server --CopyBoth--> reader --Vec<Frame>--> decode
//!    ^                   |
//!    +---- feedback -----+<-- confirmed position (watch)
//! ```
//!
//! Why nothing is lost: a position is only ever sent as *flushed* when the checkpoint confirmed it, and on a new connection the stream starts at
//! the position the sink stored. Why the source is not hurt: feedback is sent from the reader itself also while it waits for room, so a slow sink
//! never looks like a dead client, and the server holds back by TCP.

mod cork;
mod identity;
mod reader;
mod records;

pub use cork::cork;
pub use identity::{default_slot, find, next_xid, reached, without_slot, Identity};
pub use reader::{open, Frame, Slot};
pub use records::Records;
