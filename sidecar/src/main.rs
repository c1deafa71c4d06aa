//! The `pgstream` binary.
#![forbid(unsafe_code)]
fn main() {}
