//! The only writer of progress: decides which position may be confirmed to the source.
//!
//! ```text
//! batch end  --reached-->  pending  --the sink stored it-->  confirmed  --watch-->  slot feedback
//! ```
//!
//! Why it is right: a position enters as the end of a batch that the sink called durable, and batches come in order, so everything before it is
//! durable. Where the sink remembers its own position, the slot is never confirmed past *that*: a target restored from a backup, or a slot made anew,
//! is then always noticed at the next start. Stretches without writes (keepalives, filtered or empty transactions) only reach `pending`; they
//! are stored at least every [`STORE_EVERY`], at once when the source asks for it, and at the end, so that an idle database retains no WAL.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::event::Lsn;

/// How long a position reached without writes may wait before it is stored at the sink.
pub const STORE_EVERY: Duration = Duration::from_secs(10);
/// The same after [`Checkpoint::hurry`], for [`HURRY`].
const STORE_SOON: Duration = Duration::from_millis(50);
const HURRY: Duration = Duration::from_secs(1);

/// Progress of one stream.
pub struct Checkpoint {
    pending: Lsn,
    confirmed: Lsn,
    stored_at: Instant,
    hurry_until: Instant,
    feedback: watch::Sender<Lsn>,
}

impl Checkpoint {
    /// A stream that starts at `start`, and where its confirmed position can be watched.
    pub fn new(start: Lsn) -> (Self, watch::Receiver<Lsn>) {
        let (feedback, watcher) = watch::channel(start);
        (
            Self {
                pending: start,
                confirmed: start,
                stored_at: Instant::now(),
                hurry_until: Instant::now(),
                feedback,
            },
            watcher,
        )
    }

    /// The sink called everything up to `end` durable. `stored` is the position it remembers itself, if it does.
    pub fn reached(&mut self, end: Lsn, stored: Option<Lsn>) {
        self.pending = self.pending.max(end);
        // Stored positions are commit ends or advanced ones; both are at most `pending`.
        self.confirm(stored.map_or(self.pending, |stored| stored.min(self.pending)));
    }

    /// What may be confirmed to the source.
    pub fn confirmed(&self) -> Lsn {
        self.confirmed
    }

    /// Everything before it is durable at the sink.
    pub fn pending(&self) -> Lsn {
        self.pending
    }

    /// The position to store at the sink, when there is one that it does not know yet.
    pub fn unstored(&self) -> Option<Lsn> {
        (self.pending > self.confirmed).then_some(self.pending)
    }

    /// When [`unstored`](Self::unstored) is to be stored at the latest.
    pub fn deadline(&self) -> Instant {
        self.stored_at + if self.stored_at < self.hurry_until { STORE_SOON } else { STORE_EVERY }
    }

    /// We have written to the source ourselves. That comes back as a position without writes, and whoever waits for the slot to reach
    /// the end of the log should not wait for the whole interval.
    pub fn hurry(&mut self) {
        self.hurry_until = Instant::now() + HURRY;
    }

    /// The sink was asked to store [`unstored`](Self::unstored), and now remembers `at`. If that is not all, the next time is a whole
    /// interval away.
    pub fn stored(&mut self, at: Lsn) {
        self.confirm(at.min(self.pending));
        self.stored_at = Instant::now();
    }

    fn confirm(&mut self, at: Lsn) {
        if at > self.confirmed {
            self.confirmed = at;
            self.feedback.send_replace(at);
        }
        if self.unstored().is_none() {
            self.stored_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn a_sink_without_memory_confirms_what_it_wrote() {
        let (mut checkpoint, watcher) = Checkpoint::new(Lsn(10));
        checkpoint.reached(Lsn(20), None);
        assert_eq!((*watcher.borrow(), checkpoint.unstored()), (Lsn(20), None));
    }

    #[tokio::test]
    async fn nothing_is_confirmed_past_what_the_sink_stored() {
        let (mut checkpoint, watcher) = Checkpoint::new(Lsn(10));
        checkpoint.reached(Lsn(30), Some(Lsn(20)));
        assert_eq!((*watcher.borrow(), checkpoint.unstored()), (Lsn(20), Some(Lsn(30))));
        checkpoint.stored(Lsn(30));
        assert_eq!((*watcher.borrow(), checkpoint.unstored()), (Lsn(30), None));
    }

    #[tokio::test]
    async fn our_own_writes_are_stored_soon_and_once() {
        let (mut checkpoint, _watcher) = Checkpoint::new(Lsn(10));
        checkpoint.hurry();
        checkpoint.reached(Lsn(30), Some(Lsn(20)));
        assert!(checkpoint.deadline() <= Instant::now() + STORE_SOON);
        checkpoint.stored_at = checkpoint.hurry_until;
        assert!(checkpoint.deadline() > Instant::now() + STORE_SOON);
    }

    #[tokio::test]
    async fn a_sink_that_cannot_store_now_is_asked_again_later() {
        let (mut checkpoint, watcher) = Checkpoint::new(Lsn(10));
        checkpoint.reached(Lsn(30), Some(Lsn(20)));
        let deadline = checkpoint.deadline();
        checkpoint.stored(Lsn(20));
        assert_eq!((*watcher.borrow(), checkpoint.unstored()), (Lsn(20), Some(Lsn(30))));
        assert!(checkpoint.deadline() >= deadline);
    }

    proptest! {
        /// Whatever the order of calls: the confirmed position never goes back, never passes what was reached, and with a sink that
        /// remembers never passes what it stored.
        #[test]
        fn confirmed_is_monotonic_and_proven(steps in proptest::collection::vec((0..100u64, proptest::option::of(0..100u64)), 1..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
            let _guard = runtime.enter();
            let (mut checkpoint, watcher) = Checkpoint::new(Lsn(0));
            let (mut reached, mut proven, mut last) = (0, 0, Lsn(0));
            for (end, stored) in steps {
                checkpoint.reached(Lsn(end), stored.map(Lsn));
                reached = reached.max(end);
                proven = proven.max(stored.unwrap_or(reached).min(reached));
                let confirmed = *watcher.borrow();
                prop_assert!(confirmed >= last);
                prop_assert!(confirmed.0 <= proven);
                last = confirmed;
            }
        }
    }
}
