//! The `pgstream` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Also librdkafka's, which asks for memory for each message and each of its headers: that was a fifth of all time.
/// Without huge pages: what is held for a while in many places would keep a whole one each (a third more memory under load).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pgstream::cli::main()
}
