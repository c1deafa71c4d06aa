//! What a run prints at its end.

/// One line: ours and another's figure of the same kind. None: there is none, see the failures.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) ours: Option<f64>,
    pub(crate) theirs: Option<f64>,
    pub(crate) unit: &'static str,
    /// Which way is good.
    pub(crate) better: Better,
}

/// Which way is good.
pub(crate) enum Better {
    /// Rates.
    More,
    /// Times.
    Less,
}

/// All of it, in the order in which it came.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    figures: Vec<(String, f64, &'static str)>,
    memory: Vec<(String, u64)>,
    failures: Vec<String>,
}

impl Report {
    /// One more comparison.
    pub(crate) fn line(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// A figure that nothing else has.
    pub(crate) fn figure(&mut self, what: String, value: f64, unit: &'static str) {
        self.figures.push((what, value, unit));
    }

    /// The memory that the sidecar held, in bytes.
    pub(crate) fn memory(&mut self, what: String, bytes: u64) {
        self.memory.push((what, bytes));
    }

    /// Why a figure is missing.
    pub(crate) fn failure(&mut self, what: String) {
        self.failures.push(what);
    }

    /// To stdout.
    pub(crate) fn print(&self) {
        println!("{:<46}{:>16}{:>16}{:>30}", "", "pgstream", "the other", "ratio, > 1: pgstream ahead");
        self.lines.iter().for_each(print);
        for (what, value, unit) in &self.figures {
            println!("{what:<46}{:>16}", format!("{value:.2} {unit}"));
        }
        for (what, bytes) in &self.memory {
            println!("{:<46}{:>12} MiB", format!("memory, {what}"), bytes >> 20);
        }
        self.failures.iter().for_each(|failure| println!("{failure}"));
    }
}

fn print(line: &Line) {
    let figure = |value: Option<f64>| match value {
        None => "failed".to_owned(),
        Some(value) if value >= 1000.0 => format!("{:.0}k {}", value / 1000.0, line.unit),
        Some(value) => format!("{value:.2} {}", line.unit),
    };
    let ratio = match (line.ours, line.theirs, &line.better) {
        (Some(ours), Some(theirs), Better::More) => format!("{:.2}", ours / theirs),
        (Some(ours), Some(theirs), Better::Less) => {
            format!("{:.2} (in {:.2} of the time)", theirs / ours, ours / theirs)
        }
        _ => "-".to_owned(),
    };
    println!("{:<46}{:>16}{:>16}{:>30}", line.what, figure(line.ours), figure(line.theirs), ratio);
}
