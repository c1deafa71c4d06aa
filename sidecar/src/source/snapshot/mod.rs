//! A consistent copy of existing data.

pub mod schema;
