//! All tests against real servers, in one binary: build once, share two servers, run each alone by name:
//! `cargo test -p pgstream-tests name`.

mod faults;
mod flows;
mod harness;
