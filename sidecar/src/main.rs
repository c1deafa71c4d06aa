//! The `pgstream` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Also librdkafka's, which asks for memory for each message and each of its headers: that was a fifth of all time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pgstream::cli::main()
}
