//! When a server is down, one caller finds out, and not a thousand one after the other.
//!
//! A call that used up its attempts declares an outage. While it lasts other calls fail at once, but for one every
//! two seconds, which tries once; the first answer ends the outage.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;

/// How soon somebody looks again. It delays the recovery by as much.
const PROBE_EVERY: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Outage(Mutex<Option<Declared>>);

struct Declared {
    failure: Failure,
    probe_at: Instant,
}

impl Outage {
    /// Whether a request may be sent. The one that may during an outage is its probe.
    pub(super) fn admit(&self) -> Result<(), Failure> {
        let mut declared = self.lock();
        let Some(outage) = declared.as_mut() else { return Ok(()) };
        let now = Instant::now();
        if now < outage.probe_at {
            return Err(outage.failure.clone());
        }
        outage.probe_at = now + PROBE_EVERY;
        Ok(())
    }

    /// The server answers.
    pub(super) fn ended(&self) {
        *self.lock() = None;
    }

    /// Nothing more is to be tried for now.
    pub(super) fn declare(&self, failure: &Failure) {
        *self.lock() = Some(Declared { failure: failure.clone(), probe_at: Instant::now() + PROBE_EVERY });
    }

    pub(super) fn is_declared(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Declared>> {
        // It is replaced in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
