//! A COPY passed from one session to another, byte for byte.
//!
//! ```text
//! source  'd' 'd' 'd' ... 'c' 'C'      target  'd' 'd' 'd' ... 'c'  ->  'C'
//! ```
//!
//! CopyData messages are the same in both directions, so they are forwarded as they come, also in parts: a row of a gigabyte passes through a
//! small buffer. If the source fails in between, the target is told (`CopyFail`) where it stands between two messages, and else its
//! connection is given up; both roll back. A failure of the target comes out at the end: until then it ignores what it gets.

use postgres_protocol::message::frontend;

use super::wire::{out_of_order, server_message, Frame, Reader, Wire};
use crate::error::{Error, Result};

/// What went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Rows, as both sides counted them.
    pub rows: u64,
    /// Bytes of rows.
    pub bytes: u64,
}

/// Which side failed. What was copied so far is not committed at the target.
#[derive(Debug)]
pub enum Side {
    /// The source: its session is usable again when the error is not transient.
    Source(Error),
    /// The target.
    Target(Error),
}

/// Runs `out` at the source and `into` at the target, and passes the rows on. `seen` is told the bytes as they pass.
///
/// # Errors
/// By the side that failed. The target's transaction is to be rolled back; a session with a transient error is to be closed.
pub async fn copy(
    source: &mut Wire,
    out: &str,
    target: &mut Wire,
    into: &str,
    mut seen: impl FnMut(u64),
) -> std::result::Result<Passed, Side> {
    query(source, out).await.map_err(Side::Source)?;
    query(target, into).await.map_err(Side::Target)?;
    begun(&mut target.reader, b'G').await.map_err(Side::Target)?;
    if let Err(error) = begun(&mut source.reader, b'H').await {
        fail(target).await.map_err(Side::Target)?;
        return Err(Side::Source(error));
    }
    let bytes = forward(source, target, &mut seen).await?;
    let sent = match ended(&mut source.reader).await {
        Ok(rows) => rows,
        Err(error) => {
            fail(target).await.map_err(Side::Target)?;
            return Err(Side::Source(error));
        }
    };
    frontend::copy_done(&mut target.writer.buffer);
    target.writer.flush().await.map_err(Side::Target)?;
    let written = ended(&mut target.reader).await.map_err(Side::Target)?;
    if sent != written {
        return Err(Side::Target(Error::fatal(format!("{sent} rows were sent and {written} written"))));
    }
    Ok(Passed { rows: sent, bytes })
}

async fn query(wire: &mut Wire, sql: &str) -> Result<()> {
    frontend::query(sql, &mut wire.writer.buffer)
        .map_err(|error| Error::fatal(error.to_string()).because(error))?;
    wire.writer.flush().await
}

/// Waits for the COPY to begin; a refusal is read up to where the session is ready again.
async fn begun(reader: &mut Reader, tag: u8) -> Result<()> {
    loop {
        let frame = reader.next().await?;
        match frame.tag {
            b'E' => return Err(refused(reader, &frame).await?),
            b'N' | b'S' => {}
            other if other == tag => return Ok(()),
            _ => return Err(out_of_order()),
        }
    }
}

/// Everything up to the end of the rows, or to the source's error, which is left for [`ended`].
async fn forward(
    source: &mut Wire,
    target: &mut Wire,
    seen: &mut impl FnMut(u64),
) -> std::result::Result<u64, Side> {
    let (mut left, mut bytes) = (0, 0);
    loop {
        let chunk = source.reader.copy_data(&mut left).map_err(Side::Source)?;
        if !chunk.is_empty() {
            target.writer.pass(&chunk).await.map_err(Side::Target)?;
            bytes += chunk.len() as u64;
            seen(chunk.len() as u64);
        } else if left == 0 && source.reader.has_other() {
            return Ok(bytes);
        } else {
            source.reader.fill().await.map_err(Side::Source)?;
        }
    }
}

/// Reads up to where the session is ready again; the number of rows.
async fn ended(reader: &mut Reader) -> Result<u64> {
    let mut rows = None;
    loop {
        let frame = reader.next().await?;
        match frame.tag {
            b'E' => return Err(refused(reader, &frame).await?),
            b'C' => rows = count(&frame),
            b'Z' => return rows.ok_or_else(out_of_order),
            b'c' | b'N' | b'S' => {}
            _ => return Err(out_of_order()),
        }
    }
}

/// The server's error, once it is ready again.
async fn refused(reader: &mut Reader, frame: &Frame) -> Result<Error> {
    let error = server_message(frame);
    while reader.next().await?.tag != b'Z' {}
    Ok(error)
}

/// Takes the target's COPY back.
async fn fail(target: &mut Wire) -> Result<()> {
    let told = frontend::copy_fail("the source failed", &mut target.writer.buffer);
    told.map_err(|error| Error::fatal(error.to_string()).because(error))?;
    target.writer.flush().await?;
    while target.reader.next().await?.tag != b'Z' {}
    Ok(())
}

/// `COPY 123`
fn count(frame: &Frame) -> Option<u64> {
    let text = frame.body.strip_suffix(b"\0")?;
    std::str::from_utf8(text).ok()?.strip_prefix("COPY ")?.parse().ok()
}
