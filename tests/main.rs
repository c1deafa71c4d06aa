//! All tests against real servers, in one binary: built once, two servers shared, each test runnable alone by
//! name: `cargo test -p pgstream-tests name`.
//!
//! ```text
//! sql/      what is in the database           faults/   kills, disconnects, slowness
//! flows/    each source to each sink          golden/   wire forms, byte for byte
//! ```

mod faults;
mod flows;
mod golden;
mod harness;
mod sql;
