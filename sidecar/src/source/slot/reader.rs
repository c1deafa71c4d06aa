//! Reads the slot's stream and tells the server how far we are.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use postgres_protocol::message::frontend;
use tokio::sync::watch;
use tokio::time::{interval, timeout, Interval, MissedTickBehavior};

use super::Identity;
use crate::error::{Error, Result};
use crate::event::{Lsn, Timestamp};
use crate::pipeline::channel::Sender;
use crate::postgres::wire::{server_message, Frame as Raw, ServerMessage, Wire};

/// Raw bytes with their position, or the server's word that nothing is missing before a position.
#[derive(Debug, Clone)]
pub enum Frame {
    /// One message of the output plugin.
    Data {
        /// Where it stands in the log.
        lsn: Lsn,
        /// The message.
        payload: Bytes,
    },
    /// Everything before `end` has been sent.
    Keepalive {
        /// The position.
        end: Lsn,
        /// The server waits for an answer.
        reply: bool,
    },
}

/// A slot whose stream has begun.
pub struct Slot {
    wire: Wire,
    received: Lsn,
    flushed: Lsn,
}

/// Publications the stream is made of: see `sql/functions/setup_publications.sql`.
const PUBLICATIONS: &str =
    "pgstream_inserts,pgstream_changes_1,pgstream_changes_2,pgstream_changes_3,pgstream_changes_4,\
    pgstream_changes_5,pgstream_changes_6,pgstream_changes_7,pgstream_changes_8";
/// Feedback at the latest. While the sink stands still we do not read the server's requests for a sign of life, so this must be well below
/// any `wal_sender_timeout`.
const FEEDBACK_EVERY: Duration = Duration::from_secs(1);
/// Feedback at most this often when progress is quick.
const FEEDBACK_PAUSE: Duration = Duration::from_millis(100);
/// How long the server may take to answer our goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Starts the stream at `start`.
///
/// # Errors
/// Transient while another process reads the slot; fatal when the login may not replicate.
pub async fn open(mut wire: Wire, identity: &Identity, start: Lsn) -> Result<Slot> {
    let slot = identity.slot.replace('"', "\"\"");
    let command = format!(
        "START_REPLICATION SLOT \"{slot}\" LOGICAL {start} (proto_version '1', publication_names '{PUBLICATIONS}', messages 'true')"
    );
    frontend::query(&command, &mut wire.writer.buffer)
        .map_err(|error| Error::fatal(error.to_string()).because(error))?;
    wire.writer.flush().await?;
    loop {
        let frame = wire.reader.next().await?;
        match frame.tag {
            b'W' => return Ok(Slot { wire, received: start, flushed: start }),
            b'E' => {
                return Err(server_message(&frame).context(format_args!("cannot read slot {}", identity.slot)))
            }
            b'N' => notice(&frame),
            b'S' => {}
            _ => return Err(crate::postgres::wire::out_of_order()),
        }
    }
}

impl Slot {
    /// Reads until `stop` turns true, the receiver of frames goes away, or an error; then waits until `confirmed` is closed (everything was
    /// drained), tells the server the last position and says goodbye.
    pub async fn read(
        mut self,
        out: Sender<Vec<Frame>>,
        mut confirmed: watch::Receiver<Lsn>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let result = self.stream(&out, &mut confirmed, &mut stop).await;
        drop(out);
        if result.is_ok() {
            self.drain(&mut confirmed).await?;
        }
        result
    }

    async fn stream(
        &mut self,
        out: &Sender<Vec<Frame>>,
        confirmed: &mut watch::Receiver<Lsn>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<()> {
        let mut feedback = Feedback::new();
        loop {
            let (frames, bytes, reply) = self.buffered()?;
            if reply {
                self.tell(confirmed).await?;
            }
            if !frames.is_empty() {
                loop {
                    tokio::select! {
                        room = out.reserve(bytes) => match room {
                            Ok(room) => {
                                if out.send_in(room, frames).is_err() {
                                    return Ok(());
                                }
                                break;
                            }
                            Err(_) => return Ok(()),
                        },
                        () = feedback.due(confirmed) => self.tell(confirmed).await?,
                    }
                }
            }
            tokio::select! {
                biased;
                () = stopped(stop) => return Ok(()),
                // Before reading: under load the socket always has more, and feedback must not starve.
                () = feedback.due(confirmed) => self.tell(confirmed).await?,
                filled = self.wire.reader.fill() => filled?,
            }
        }
    }

    /// Everything that was received, and whether the server waits for an answer.
    fn buffered(&mut self) -> Result<(Vec<Frame>, usize, bool)> {
        let (mut frames, mut bytes, mut waits) = (Vec::new(), 0, false);
        while let Some(raw) = self.wire.reader.buffered()? {
            match raw.tag {
                b'd' => {
                    bytes += raw.body.len() + std::mem::size_of::<Frame>();
                    let frame = parse(raw.body).ok_or_else(crate::postgres::wire::out_of_order)?;
                    if let Frame::Keepalive { end, reply } = frame {
                        self.received = self.received.max(end);
                        waits |= reply;
                    }
                    if let Frame::Data { lsn, .. } = frame {
                        self.received = self.received.max(lsn);
                    }
                    frames.push(frame);
                }
                b'N' => notice(&raw),
                b'E' => return Err(server_message(&raw).context("the source ended the stream")),
                b'c' => return Err(Error::transient("the source ended the stream")),
                b'S' | b'C' | b'Z' => {}
                _ => return Err(crate::postgres::wire::out_of_order()),
            }
        }
        Ok((frames, bytes, waits))
    }

    /// After the last frame: keeps the server informed until all is drained, then says goodbye. The answer to `CopyDone` proves that the
    /// server has read the last position.
    async fn drain(&mut self, confirmed: &mut watch::Receiver<Lsn>) -> Result<()> {
        let mut feedback = interval(FEEDBACK_EVERY);
        loop {
            tokio::select! {
                changed = confirmed.changed() => if changed.is_err() { break },
                _ = feedback.tick() => {}
            }
            self.tell(confirmed).await?;
        }
        self.tell(confirmed).await?;
        frontend::copy_done(&mut self.wire.writer.buffer);
        self.wire.writer.flush().await?;
        let answered = timeout(GOODBYE, async {
            while let Ok(frame) = self.wire.reader.next().await {
                if matches!(frame.tag, b'c' | b'C' | b'Z' | b'E') {
                    break;
                }
            }
        });
        if answered.await.is_err() {
            tracing::debug!("the source did not answer our goodbye in {GOODBYE:?}");
        }
        frontend::terminate(&mut self.wire.writer.buffer);
        let _ = self.wire.writer.flush().await;
        Ok(())
    }

    /// Standby status update: received so far, and durable up to `confirmed`.
    async fn tell(&mut self, confirmed: &mut watch::Receiver<Lsn>) -> Result<()> {
        self.flushed = self.flushed.max(*confirmed.borrow_and_update());
        let out = &mut self.wire.writer.buffer;
        out.put_u8(b'd');
        out.put_u32(4 + 1 + 8 * 4 + 1);
        out.put_u8(b'r');
        out.put_u64(self.received.max(self.flushed).0);
        out.put_u64(self.flushed.0);
        out.put_u64(self.flushed.0);
        out.put_i64(Timestamp::now().0);
        out.put_u8(0);
        self.wire.writer.flush().await
    }
}

/// Completes when we are asked to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// When feedback is sent: within a pause after new progress, and on a timer.
struct Feedback {
    timer: Interval,
    pause: Interval,
}

impl Feedback {
    fn new() -> Self {
        let mut pause = interval(FEEDBACK_PAUSE);
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { timer: interval(FEEDBACK_EVERY), pause }
    }

    /// Completes when feedback is due. A closed `confirmed` leaves only the timer.
    async fn due(&mut self, confirmed: &mut watch::Receiver<Lsn>) {
        let progress = async {
            if confirmed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            confirmed.mark_changed();
            self.pause.tick().await;
        };
        tokio::select! {
            () = progress => self.timer.reset(),
            _ = self.timer.tick() => {}
        }
    }
}

fn parse(mut body: Bytes) -> Option<Frame> {
    match body.try_get_u8().ok()? {
        b'w' => {
            let lsn = Lsn(body.try_get_u64().ok()?);
            body.try_get_u64().ok()?;
            body.try_get_i64().ok()?;
            Some(Frame::Data { lsn, payload: body })
        }
        b'k' => {
            let end = Lsn(body.try_get_u64().ok()?);
            body.try_get_i64().ok()?;
            Some(Frame::Keepalive { end, reply: body.try_get_u8().ok()? == 1 })
        }
        _ => None,
    }
}

fn notice(raw: &Raw) {
    let notice = ServerMessage::read(&raw.body);
    tracing::warn!(severity = %notice.severity, "source: {}", notice.message);
}
