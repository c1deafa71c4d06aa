//! Waiting for a condition to be seen, never for time to pass.

use std::time::{Duration, Instant};

/// For what should happen at once.
pub const SOON: Duration = Duration::from_secs(20);
/// For what has real work to do first.
pub const LONG: Duration = Duration::from_secs(120);

/// How much of something a test does: a sample in `make test`, all of it in `make test-long`.
pub fn sample<T>(some: T, all: T) -> T {
    if is_long() {
        all
    } else {
        some
    }
}

/// Whether this is `make test-long`.
pub fn is_long() -> bool {
    std::env::var_os("PGSTREAM_TEST_LONG").is_some()
}

/// Looks until `seen` answers something, and gives that back; panics after `deadline`, saying `what` did not happen.
#[track_caller]
pub fn wait_until<T>(what: &str, deadline: Duration, mut seen: impl FnMut() -> Option<T>) -> T {
    wait_for(deadline, || seen().ok_or_else(|| format!("{what}: not seen")))
}

/// Looks until `seen` is content; panics after `deadline` with what it last complained about.
#[track_caller]
pub fn wait_for<T>(deadline: Duration, mut seen: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match seen() {
            Ok(answer) => return answer,
            Err(complaint) => assert!(start.elapsed() < deadline, "after {deadline:?}: {complaint}"),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
