//! When to try again.

use std::time::Duration;

use crate::config::plan::Backoff;
use crate::error::{Error, Kind, Result};

/// The attempts made since something last worked.
#[derive(Debug)]
pub struct Attempts {
    backoff: Backoff,
    failed: u32,
    /// The stream ran at least once: from then on a lost connection is waited out.
    established: bool,
}

/// Attempts for what may pass within seconds of a start or a failover: a slot or origin still held, a server starting, a read-only target.
const SHORT_WAIT: u32 = 5;

/// The code of an error that no broker has answered: the SQLSTATE for a connection that cannot be made.
pub const NO_BROKER: &str = "08001";

impl Attempts {
    /// No attempt yet.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, failed: 0, established: false }
    }

    /// The stream has begun: from now on a lost connection is waited out.
    pub fn established(&mut self) {
        self.established = true;
    }

    /// Something was delivered: counting begins anew.
    pub fn progressed(&mut self) {
        self.failed = 0;
    }

    /// How long to wait before the next attempt.
    ///
    /// # Errors
    /// The error itself when another attempt is of no use, or there were enough.
    pub fn after(&mut self, error: Error) -> Result<Duration> {
        let limit = match error.kind() {
            Kind::Fatal | Kind::Rejected | Kind::Stopped => return Err(error),
            Kind::Transient => match error.code() {
                // A standby may be promoted within seconds; one that is not stays what it is.
                Some("25006") => SHORT_WAIT,
                _ if self.established => self.backoff.attempts,
                Some("55006" | "57P03") => SHORT_WAIT,
                // Brokers take long to start, and are often started together with us.
                Some(NO_BROKER) => SHORT_WAIT.min(self.backoff.attempts.wrapping_sub(1)),
                // A first connection that fails is a wrong URL more often than a passing trouble: say so at once.
                Some(_) | None => 0,
            },
        };
        self.failed += 1;
        let unlimited = self.established && limit == 0; // as configured; the limits above are never 0 then
        if !unlimited && self.failed > limit {
            return Err(error);
        }
        let doubled =
            self.backoff.initial.saturating_mul(1 << (self.failed - 1).min(20)).min(self.backoff.max);
        // Jitter: between half and all of it, so that many readers do not come back at once.
        Ok(doubled.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

/// Waits between attempts. The one door for sleeping.
#[allow(clippy::disallowed_methods)]
pub async fn wait(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts() -> Attempts {
        Attempts::new(Backoff {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(1),
            attempts: 0,
        })
    }

    #[test]
    fn permission_errors_are_never_retried() {
        let mut attempts = attempts();
        attempts.established();
        assert!(attempts.after(Error::fatal("permission denied").with_code("42501")).is_err());
    }

    #[test]
    fn an_unreachable_server_is_said_at_once_at_start_and_waited_out_later() {
        let mut attempts = attempts();
        assert!(attempts.after(Error::transient("refused")).is_err());
        attempts.established();
        for _ in 0..100 {
            let wait = attempts.after(Error::transient("refused")).expect("waited out");
            assert!(wait <= Duration::from_secs(1), "{wait:?}");
        }
    }

    #[test]
    fn a_target_that_stays_read_only_is_given_up() {
        let mut attempts = attempts();
        attempts.established();
        let read_only = || Error::transient("read-only").with_code("25006");
        for _ in 0..SHORT_WAIT {
            assert!(attempts.after(read_only()).is_ok());
            attempts.established();
        }
        assert!(attempts.after(read_only()).is_err(), "connecting alone is no progress");
    }

    #[test]
    fn a_broker_is_waited_for_a_while_unless_retries_are_off() {
        let away = || Error::transient("refused").with_code(NO_BROKER);
        let mut patient = attempts();
        for _ in 0..SHORT_WAIT {
            assert!(patient.after(away()).is_ok());
        }
        assert!(patient.after(away()).is_err());
        let once = Backoff { attempts: 1, ..patient.backoff };
        assert!(Attempts::new(once).after(away()).is_err());
    }

    #[test]
    fn a_slot_in_use_is_waited_for_a_while() {
        let mut attempts = attempts();
        let in_use = || Error::transient("in use").with_code("55006");
        for _ in 0..SHORT_WAIT {
            assert!(attempts.after(in_use()).is_ok());
        }
        assert!(attempts.after(in_use()).is_err());
    }
}
