//! Where frames come from.

pub mod slot;
pub mod snapshot;
