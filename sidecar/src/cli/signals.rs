//! The signals that ask a run to stop.

use tokio::signal::unix::{signal, Signal, SignalKind};

use crate::error::{Error, Result};

/// SIGINT, SIGTERM, SIGHUP and SIGQUIT.
pub(super) struct Signals([Signal; 4]);

impl Signals {
    /// From now on they no longer end the process by themselves.
    pub(super) fn install() -> Result<Self> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Error::fatal(format!("cannot listen for signals: {error}")).because(error))
        };
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::quit())?,
        ]))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        let [interrupt, terminate, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}
