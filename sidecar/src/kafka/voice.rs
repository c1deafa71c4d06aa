//! What a client says beside its answers: log lines go to the log, and the last reason for trouble is kept.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::login::token;
use super::{error, error_kind, of};
use crate::error::{Error, Kind};

/// The context of every client, with what is its own: what a producer counts, what a member of a group is given.
#[derive(Debug, Default)]
pub struct Voice<T = ()> {
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
    /// What only this kind of client has.
    pub own: T,
}

impl<T: Send + Sync + 'static> ClientContext for Voice<T> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, file: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        token(file)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::trace!(facility, "{line}"),
            // What matters of these comes as an error as well.
            _ => tracing::debug!(facility, "{line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match error.rdkafka_error_code() {
            // That all are gone says less than why one of them is.
            Some(RDKafkaErrorCode::AllBrokersDown) if last.is_some() => {}
            Some(code) => *last = Some((code, reason.to_owned())),
            None => {}
        }
    }
}

/// A producer with it only asks.
impl ProducerContext for Voice {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

impl ConsumerContext for Voice {}

impl<T> Voice<T> {
    /// With what is this client's own.
    pub fn with(own: T) -> Self {
        Self { last: Mutex::default(), own }
    }

    /// An error of the client, told by the reason behind it where one is known.
    pub fn explain(&self, error: KafkaError) -> Error {
        let reason = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((code, reason)) = reason else { return self::error(error) };
        let why = of(code, reason.trim());
        let tells_more = why.kind() == Kind::Fatal || error_kind(&error) == Kind::Transient;
        if tells_more {
            why.because(error)
        } else {
            self::error(error)
        }
    }
}
