//! The event format.

use super::Event;

/// Writes events as lines of JSON.
#[derive(Debug, Default)]
pub struct Encoder {}

impl Encoder {
    /// Appends the line of one event, if it has one.
    pub fn write(&mut self, _event: &Event, _out: &mut Vec<u8>) {}
}
