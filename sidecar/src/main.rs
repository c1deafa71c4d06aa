//! The `pgstream` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    pgstream::cli::main()
}
