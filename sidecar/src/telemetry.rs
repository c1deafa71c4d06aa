//! Logging: lines for people or JSON objects, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::resolve::Logging;

/// Starts logging. Our own modules log at the level asked for, libraries from `warn` on.
pub fn start(logging: &Logging) {
    let ours = match logging.level.as_str() {
        "fatal" | "panic" => "error",
        level => level,
    };
    let others = if ours == "error" { "error" } else { "warn" };
    let filter = EnvFilter::new(format!("{others},pgstream={ours}"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only fails when logging was started before, as in tests.
    let _ = if logging.json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(logging.color && std::io::stderr().is_terminal()).try_init()
    };
}
