//! A channel bounded in bytes. What was received keeps its room until it is dropped, so that data in work counts as well as data queued.

use std::sync::Arc;

use tokio::sync::{mpsc, OwnedSemaphorePermit, Semaphore};

/// An item together with the room it takes.
#[derive(Debug)]
pub struct Held<T> {
    /// The item.
    pub item: T,
    /// Gives the room back when dropped.
    pub room: Option<OwnedSemaphorePermit>,
}

/// The sending end.
pub struct Sender<T> {
    queue: mpsc::UnboundedSender<Held<T>>,
    room: Arc<Semaphore>,
    capacity: u32,
}

/// The receiving end.
pub struct Receiver<T> {
    queue: mpsc::UnboundedReceiver<Held<T>>,
    room: Arc<Semaphore>,
}

/// The other end is gone.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed;

/// A channel of `capacity` bytes. An item larger than that passes when it is alone.
#[allow(clippy::disallowed_methods)] // the queue itself has no bound because each item holds permits of the semaphore that is the bound
pub fn bounded<T>(capacity: u32) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(capacity as usize));
    (Sender { queue: sender, room: Arc::clone(&room), capacity }, Receiver { queue: receiver, room })
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), room: Arc::clone(&self.room), capacity: self.capacity }
    }
}

impl<T> Sender<T> {
    /// Waits until `bytes` have room. Cancel-safe: nothing is lost when dropped.
    pub async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Closed> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.capacity);
        Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| Closed)
    }

    /// Sends an item into reserved room.
    pub fn send_in(&self, room: OwnedSemaphorePermit, item: T) -> Result<(), Closed> {
        self.queue.send(Held { item, room: Some(room) }).map_err(|_| Closed)
    }

    /// Waits for room and sends.
    pub async fn send(&self, item: T, bytes: usize) -> Result<(), Closed> {
        let room = self.reserve(bytes).await?;
        self.send_in(room, item)
    }
}

impl<T> Receiver<T> {
    /// The next item; `None` once the sender is gone and everything was received. Cancel-safe.
    pub async fn receive(&mut self) -> Option<Held<T>> {
        self.queue.recv().await
    }

    /// The next item if one is there.
    pub fn try_receive(&mut self) -> Option<Held<T>> {
        self.queue.try_recv().ok()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // A sender that waits for room must learn that nobody will make any.
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn room_is_held_until_the_item_is_dropped() {
        let (sender, mut receiver) = bounded(10);
        sender.send("a", 8).await.expect("room");
        assert!(poll(sender.reserve(3)).is_pending());
        let held = receiver.receive().await.expect("item");
        assert!(poll(sender.reserve(3)).is_pending(), "received but still in work");
        drop(held);
        assert!(poll(sender.reserve(3)).is_ready());
    }

    #[tokio::test]
    async fn an_item_larger_than_the_channel_passes_alone() {
        let (sender, mut receiver) = bounded(10);
        sender.send("big", 1 << 40).await.expect("alone");
        assert!(poll(sender.reserve(1)).is_pending());
        drop(receiver.receive().await);
        assert!(poll(sender.reserve(1)).is_ready());
    }

    #[tokio::test]
    async fn a_waiting_sender_learns_that_the_receiver_is_gone() {
        let (sender, receiver) = bounded(1);
        sender.send("a", 1).await.expect("room");
        drop(receiver);
        assert_eq!(sender.send("b", 1).await, Err(Closed));
    }
}
