//! NDJSON on standard output: one line per event in the event format. The default sink, and the smallest one to imitate.

use tokio::io::AsyncWriteExt;

use super::Batch;
use crate::error::{Error, Result};
use crate::event::json::Encoder;

/// Standard output.
pub struct Stdout {
    out: tokio::io::Stdout,
    encoder: Encoder,
    lines: Vec<u8>,
}

impl Stdout {
    /// Nothing can fail before the first write.
    #[must_use]
    pub fn new() -> Self {
        Self { out: tokio::io::stdout(), encoder: Encoder::default(), lines: Vec::new() }
    }

    /// Writes a line per event and flushes. A reader that went away (`| head`) is a request to stop.
    pub async fn write(&mut self, batch: Batch) -> Result<()> {
        self.lines.clear();
        for event in &batch.events {
            self.encoder.write(event, &mut self.lines);
        }
        let write = async {
            self.out.write_all(&self.lines).await?;
            self.out.flush().await
        };
        write.await.map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Error::stopped(),
            _ => Error::fatal(format!("cannot write to standard output: {error}")).because(error),
        })
    }

    /// Nothing is open.
    pub async fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Default for Stdout {
    fn default() -> Self {
        Self::new()
    }
}
