//! One error type whose kinds are *reactions*: what the pipeline does next, not what went wrong.
//!
//! An error is classified once, where a client library or the operating system hands it to us. From there on only the kind
//! decides: there is no wildcard arm in any policy, and nobody inspects messages.
//!
//! The text is one line for the operator: what happened, where, and what to do. Causes are attached as `source()`.

use std::fmt;

/// What the pipeline does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It may pass by itself (connection lost, server restarting): retry with backoff, acknowledge nothing.
    Transient,
    /// This event can never be written (bad value, missing row): dead-letter or stop, as configured.
    Rejected,
    /// A human is needed; the text says what to do.
    Fatal,
    /// Not a failure: the operator asked us to stop.
    Stopped,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error as the operator reads it: `what`, an optional hint (`what to do`), an optional cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    what: String,
    hint: Option<String>,
    code: Option<String>,
    cause: Option<Cause>,
}

/// Shorthand used throughout the sidecar.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, what: what.into(), hint: None, code: None, cause: None }))
    }

    /// May pass by itself: the caller retries with backoff.
    pub fn transient(what: impl Into<String>) -> Self {
        Self::new(Kind::Transient, what)
    }

    /// This event can never be written.
    pub fn rejected(what: impl Into<String>) -> Self {
        Self::new(Kind::Rejected, what)
    }

    /// A human is needed.
    pub fn fatal(what: impl Into<String>) -> Self {
        Self::new(Kind::Fatal, what)
    }

    /// The operator asked us to stop.
    pub fn stopped() -> Self {
        Self::new(Kind::Stopped, "stopped")
    }

    /// Adds what the operator should do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Records the SQLSTATE the server gave.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Puts `doing` before the text: `apply 0/1A2B: relation "x" does not exist`.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.what = format!("{doing}: {}", self.0.what);
        self
    }

    /// The same error under another reaction.
    #[must_use]
    pub fn into_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What the pipeline does about it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The SQLSTATE, when a server reported one.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What the operator should do, when we know.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { what, hint, .. } = &*self.0;
        f.write_str(&what.replace('\n', " "))?;
        match hint {
            Some(hint) => write!(f, " ({})", hint.replace('\n', " ")),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match &self.0.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}
