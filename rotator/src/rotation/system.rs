//! Time and randomness of the operating system.

use std::time::Duration;

use jiff::Timestamp;
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::secret::{Redacted, Secret};

use crate::rotation::context::{Clock, Maker, NoAnswer};
use crate::rotation::generate::Policy;

/// The system's clock and tokio's timers.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(limit, future).await.ok()
    }
}

/// Secrets from the operating system's random source, named under the user's key.
pub struct SystemMaker {
    key: FingerprintKey,
}

impl SystemMaker {
    /// Names secrets under this key.
    pub fn new(key: FingerprintKey) -> Self {
        Self { key }
    }

    /// The key.
    pub fn key(&self) -> &FingerprintKey {
        &self.key
    }
}

impl Maker for SystemMaker {
    fn make(&self, policy: &Policy) -> Result<Secret, NoAnswer> {
        policy.make(getrandom::fill).map_err(|_| NoAnswer {
            what: "the operating system's random source".into(),
            class: "no random bytes".into(),
        })
    }

    fn name(&self, secret: &Secret) -> Fingerprint {
        secret.expose(|bytes| self.key.fingerprint(Redacted::new(bytes)))
    }
}
