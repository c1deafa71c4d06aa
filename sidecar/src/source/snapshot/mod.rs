//! Where a copy of existing data comes from.

pub mod export;
pub mod progress;
pub mod ranges;
pub mod schema;
pub mod tables;
pub mod view;
