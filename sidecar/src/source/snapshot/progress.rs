//! How far a copy is: counted by the workers, shown as bars on a terminal, and written to `pgstream.snapshot_requests`.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tables::Table;

/// What was copied so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Tables copied completely.
    pub tables: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes that passed.
    pub bytes: u64,
    /// Estimate of all bytes that will.
    pub expected: u64,
}

/// Progress of one copy.
#[derive(Debug)]
pub struct Progress {
    state: Mutex<State>,
    bars: MultiProgress,
    total: ProgressBar,
    /// Nobody sees the bars: now and then a line is logged.
    logs: bool,
    begun: Instant,
}

#[derive(Debug, Default)]
struct State {
    totals: Totals,
    expected: HashSet<u32>,
    tables: HashMap<u32, ProgressBar>,
    logged: Option<Instant>,
}

const LOG_EVERY: Duration = Duration::from_secs(10);
const TOTAL: &str = "{prefix:.bold} {bar:30} {decimal_bytes:>10} of about {decimal_total_bytes} {decimal_bytes_per_sec:>12}, {eta} left";
const TABLE: &str = "  {bar:30} {decimal_bytes:>10} {decimal_bytes_per_sec:>12} {prefix}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

impl Progress {
    /// Nothing yet. `bars`: draw on standard error, where it is a terminal.
    #[must_use]
    pub fn new(bars: bool) -> Self {
        let draw = if bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(draw);
        let total = bars.add(ProgressBar::new(0).with_style(style(TOTAL)).with_prefix("copying"));
        let logs = bars.is_hidden();
        Self { state: Mutex::default(), bars, total, logs, begun: Instant::now() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These tables are to be copied. One that was expected before, in an attempt that failed, counts once.
    pub fn expect<'a>(&self, tables: impl Iterator<Item = &'a Table>) {
        let mut state = self.state();
        let new = tables.filter(|table| state.expected.insert(table.relation.oid));
        let expected: u64 = new.map(|table| table.bytes).sum();
        state.totals.expected += expected;
        self.total.inc_length(expected);
    }

    /// Bytes of a table passed.
    pub fn passed(&self, table: &Table, bytes: u64) {
        let mut state = self.state();
        state.totals.bytes += bytes;
        self.total.inc(bytes);
        let bar = state.tables.entry(table.relation.oid).or_insert_with(|| {
            let bar = ProgressBar::new(table.bytes)
                .with_style(style(TABLE))
                .with_prefix(table.relation.to_string());
            self.bars.add(bar)
        });
        bar.inc(bytes);
    }

    /// A range was copied.
    pub fn copied(&self, rows: u64) {
        self.state().totals.rows += rows;
    }

    /// A table is complete.
    pub fn complete(&self, table: &Table) {
        let mut state = self.state();
        state.totals.tables += 1;
        if let Some(bar) = state.tables.remove(&table.relation.oid) {
            bar.finish_and_clear();
        }
    }

    /// Logs how far it is, where there are no bars: at most every ten seconds.
    pub fn log(&self) {
        let mut state = self.state();
        let last = state.logged.unwrap_or(self.begun);
        if !self.logs || last.elapsed() < LOG_EVERY {
            return;
        }
        state.logged = Some(Instant::now());
        let Totals { tables, rows, bytes, expected } = state.totals;
        let percent = (bytes * 100).checked_div(expected).unwrap_or(100).min(100);
        tracing::info!(tables, rows, bytes, percent, "copying");
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        self.state().totals
    }

    /// Since when.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        self.total.finish_and_clear();
        let _ = self.bars.clear();
    }
}
