//! What people read on standard error: labelled lines, and a spinner where there is a terminal.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line as it is.
pub(super) fn line(text: impl Display) {
    // Nobody left to read it is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// `SUCCESS  text`
pub(super) fn success(text: impl Display) {
    line(format_args!("SUCCESS  {text}"));
}

/// `WARNING  text`
pub(super) fn warning(text: impl Display) {
    line(format_args!("WARNING  {text}"));
}

/// `ERROR  text`
pub(super) fn error(text: impl Display) {
    line(format_args!("ERROR  {text}"));
}

/// A report on standard output.
pub(super) fn report(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Says what is being done until dropped: a spinner on a terminal, a plain line elsewhere.
pub(super) struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// Starts with a text such as `initialising pgstream...`.
    pub(super) fn start(text: &'static str) -> Self {
        if !std::io::stderr().is_terminal() {
            line(text);
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_message(text);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// Says what is being waited for.
    pub(super) fn note(&self, text: &str) {
        match &self.0 {
            Some(bar) => bar.set_message(text.to_owned()),
            None => line(text),
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A bug in our own code: one line that says where, no backtrace.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text =
            payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        error(format_args!("internal error{place}: {}", text.unwrap_or("no text").replace('\n', " ")));
    }));
}
