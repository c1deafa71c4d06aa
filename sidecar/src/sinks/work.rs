//! What a sink has begun and does not wait for: it goes on while the next batch is made.
//!
//! ```text
//! Work::begin ──> Work, for all who wait for it
//!            └──> End, for whoever does it: told how it went, or dropped
//! ```
//!
//! Why nobody takes a failure for success: only a good end is told as such. Who does it may tell from any thread.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Underway;
use crate::error::{Error, Result};

/// Something that was begun.
#[derive(Debug, Clone)]
pub(super) struct Work {
    /// True after a good end, closed after any.
    done: watch::Receiver<bool>,
    failed: Failure,
}

/// Its end.
#[derive(Debug)]
pub(super) struct End {
    done: watch::Sender<bool>,
    failed: Failure,
}

/// For the first who asks.
type Failure = Arc<Mutex<Option<Error>>>;

impl Work {
    pub(super) fn begin() -> (Self, End) {
        let (tell, done) = watch::channel(false);
        let failed = Failure::default();
        (Self { done, failed: Arc::clone(&failed) }, End { done: tell, failed })
    }

    /// It has come to a good end.
    pub(super) fn is_done(&self) -> bool {
        *self.done.borrow()
    }

    /// Waits for its end. The first who waits for one that fails gets the reason.
    pub(super) async fn wait(mut self) -> Result<()> {
        let good = self.done.wait_for(|done| *done).await.is_ok();
        if good {
            return Ok(());
        }
        let why = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(why.unwrap_or_else(|| Error::transient("what was sent before has failed")))
    }

    /// The same, for whoever the batch came from.
    pub(super) fn underway(&self) -> Underway {
        Box::pin(self.clone().wait())
    }
}

impl End {
    /// Tells all who wait.
    pub(super) fn tell(self, result: Result<()>) {
        match result {
            Ok(()) => {
                self.done.send_replace(true);
            }
            Err(error) => *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_good_end_is_one() {
        let (work, end) = Work::begin();
        assert!(!work.is_done());
        end.tell(Ok(()));
        assert!(work.is_done() && work.clone().wait().await.is_ok() && work.wait().await.is_ok());

        let (work, end) = Work::begin();
        end.tell(Err(Error::fatal("no room")));
        assert!(!work.is_done());
        assert_eq!(work.clone().wait().await.expect_err("a failure").to_string(), "no room");
        assert!(work.wait().await.is_err(), "nobody takes it for success later");

        let (work, end) = Work::begin();
        drop(end);
        assert!(work.wait().await.is_err());
    }
}
