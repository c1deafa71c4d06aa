//! Where frames come from.

pub mod slot;
