//! Many statements in flight under one Sync.
//!
//! ```text
//! Parse? Bind Execute  Bind Execute  ...  Sync   ->   results in order, one per statement
//! ```
//!
//! The server skips everything after an error up to the Sync. So several *transactions* can be sent at once and stay ordered: when
//! one fails, those behind it are not run. Statements are parsed once per session and text (parameters in text form, types inferred by the
//! server), and reading goes on while writing, so neither side can block the other with full buffers.

use std::collections::HashMap;

use bytes::{BufMut, BytesMut};
use postgres_protocol::message::frontend;

use super::wire::{data_row, out_of_order, server_message, ServerMessage, Wire};
use crate::error::{Error, Result};
use crate::event::Value;

/// A parsed statement of this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementId(u32);

/// What one statement did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Rows inserted, updated, deleted or returned.
    pub affected: u64,
    /// The rows it returned, in text form.
    pub rows: Vec<Vec<Option<String>>>,
}

/// The statement that failed and what the server said.
#[derive(Debug)]
pub struct Failure {
    /// Index of the statement among those of this round; `None` when the connection itself failed.
    pub statement: Option<usize>,
    /// The error, classified.
    pub error: Error,
    /// The server's own fields, when it was the server.
    pub server: Option<Box<ServerMessage>>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { statement: None, error, server: None }
    }
}

/// Statements to be sent in one round over a session.
pub struct Pipeline {
    wire: Wire,
    parsed: HashMap<Box<str>, StatementId>,
    next: u32,
    queued: usize,
}

impl Pipeline {
    /// Takes over a session.
    pub fn new(wire: Wire) -> Self {
        Self { wire, parsed: HashMap::new(), next: 0, queued: 0 }
    }

    /// How many statements wait to be run.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes that wait to be sent.
    pub fn buffered(&self) -> usize {
        self.wire.writer.buffer.len()
    }

    /// The statement of that text, parsed at its first use.
    pub fn statement(&mut self, sql: &str) -> Result<StatementId> {
        if let Some(id) = self.parsed.get(sql) {
            return Ok(*id);
        }
        let id = StatementId(self.next);
        self.next += 1;
        frontend::parse(&name(id), sql, [], &mut self.wire.writer.buffer).map_err(unencodable)?;
        self.parsed.insert(sql.into(), id);
        Ok(id)
    }

    /// Queues one run of a parsed statement.
    ///
    /// # Errors
    /// When a value is `Unchanged`: there is nothing to send for it.
    pub fn bind<'a>(&mut self, id: StatementId, values: impl IntoIterator<Item = Value<'a>>) -> Result<()> {
        let out = &mut self.wire.writer.buffer;
        bind_message(out, &name(id), values)?;
        frontend::execute("", 0, out).map_err(unencodable)?;
        self.queued += 1;
        Ok(())
    }

    /// Queues a statement without parameters that is not worth keeping parsed.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        let out = &mut self.wire.writer.buffer;
        frontend::parse("", sql, [], out).map_err(unencodable)?;
        bind_message(out, "", [])?;
        frontend::execute("", 0, out).map_err(unencodable)?;
        self.queued += 1;
        Ok(())
    }

    /// Queues a statement of that text, kept parsed, with its values.
    pub fn execute<'a>(&mut self, sql: &str, values: impl IntoIterator<Item = Value<'a>>) -> Result<()> {
        let id = self.statement(sql)?;
        self.bind(id, values)
    }

    /// Forgets all parsed statements, as needed after a change of the tables they use (a parameter's type is fixed when parsed).
    pub fn forget(&mut self) -> Result<()> {
        for (_, id) in self.parsed.drain() {
            frontend::close(b'S', &name(id), &mut self.wire.writer.buffer).map_err(unencodable)?;
        }
        Ok(())
    }

    /// Sends everything and waits for all results, in order.
    ///
    /// # Errors
    /// The first failure. Nothing behind it was run; the transaction it was in is aborted and still open.
    pub async fn sync(&mut self) -> std::result::Result<Vec<Outcome>, Failure> {
        frontend::sync(&mut self.wire.writer.buffer);
        let expected = std::mem::take(&mut self.queued);
        let Wire { reader, writer, .. } = &mut self.wire;
        let mut collected = Collected { outcomes: Vec::with_capacity(expected), ..Collected::default() };
        let mut sending = true;
        loop {
            while let Some(frame) = reader.buffered()? {
                if collected.take(frame)? {
                    return self.finish(collected);
                }
            }
            if sending {
                tokio::select! {
                    sent = writer.flush() => { sent?; sending = false; }
                    filled = reader.fill() => filled?,
                }
            } else {
                reader.fill().await?;
            }
        }
    }

    fn finish(&mut self, collected: Collected) -> std::result::Result<Vec<Outcome>, Failure> {
        match collected.failed {
            None => Ok(collected.outcomes),
            Some((error, server)) => {
                // Statements whose Parse was skipped do not exist at the server: forget them all, here only.
                self.parsed.clear();
                Err(Failure { statement: Some(collected.outcomes.len()), error, server: Some(server) })
            }
        }
    }

    /// Runs statements at once and returns the rows of the last one.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.run(sql)?;
        let mut outcomes = self.sync().await.map_err(|failure| failure.error)?;
        Ok(outcomes.pop().map(|outcome| outcome.rows).unwrap_or_default())
    }

    /// Ends the session.
    pub async fn close(self) {
        self.wire.close().await;
    }
}

/// The results of one round as they come in.
#[derive(Default)]
struct Collected {
    outcomes: Vec<Outcome>,
    rows: Vec<Vec<Option<String>>>,
    failed: Option<(Error, Box<ServerMessage>)>,
}

impl Collected {
    /// Takes one message; true when the round is over.
    fn take(&mut self, frame: super::wire::Frame) -> Result<bool> {
        match frame.tag {
            b'Z' => return Ok(true),
            b'C' => {
                let affected = affected(&frame.body);
                self.outcomes.push(Outcome { affected, rows: std::mem::take(&mut self.rows) });
            }
            b'I' => self.outcomes.push(Outcome::default()),
            b'D' => self.rows.push(data_row(frame)?),
            b'E' => {
                let message = ServerMessage::read(&frame.body);
                self.failed.get_or_insert((server_message(&frame), Box::new(message)));
            }
            b'N' => tracing::debug!(notice = %ServerMessage::read(&frame.body).message, "server notice"),
            b'1' | b'2' | b'3' | b'n' | b'T' | b'S' | b's' | b'A' => {}
            _ => return Err(out_of_order()),
        }
        Ok(false)
    }
}

/// The number at the end of a command tag: `INSERT 0 5`, `UPDATE 1`.
fn affected(body: &[u8]) -> u64 {
    let tag = body.strip_suffix(b"\0").unwrap_or(body);
    let digits = tag.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn name(id: StatementId) -> String {
    format!("s{}", id.0)
}

/// A Bind with values in their own forms, written straight into the output buffer.
fn bind_message<'a>(
    out: &mut BytesMut,
    statement: &str,
    values: impl IntoIterator<Item = Value<'a>>,
) -> Result<()> {
    out.put_u8(b'B');
    let length_at = out.len();
    out.put_u32(0);
    out.put_u8(0); // the unnamed portal
    out.put_slice(statement.as_bytes());
    out.put_u8(0);
    out.put_u16(0); // every parameter in text form
    let count_at = out.len();
    out.put_u16(0);
    let mut count: u16 = 0;
    for value in values {
        count = count.checked_add(1).ok_or_else(|| Error::rejected("a row of more than 65535 values"))?;
        match value {
            Value::Null => out.put_i32(-1),
            Value::Text(bytes) => {
                let length =
                    i32::try_from(bytes.len()).map_err(|_| Error::rejected("a value of more than 2 GiB"))?;
                out.put_i32(length);
                out.put_slice(bytes);
            }
            Value::Unchanged | Value::Binary(_) => {
                return Err(Error::fatal("a value without a text form cannot be bound"))
            }
        }
    }
    out.put_u16(0); // results in text form
    out[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
    let length =
        u32::try_from(out.len() - length_at).map_err(|_| Error::rejected("a row of more than 4 GiB"))?;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn unencodable(error: std::io::Error) -> Error {
    Error::rejected(format!("cannot be sent to the server: {error}")).because(error)
}
