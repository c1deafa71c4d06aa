//! What goes wrong: processes that die at any moment, and input that cannot work.

mod bad_input;
mod connections;
mod kafka;
mod kills;
mod search;
mod search_storm;
mod snapshot;
mod snapshot_kills;
mod snapshot_limits;
