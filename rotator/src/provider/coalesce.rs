//! Many readers, one request.
//!
//! [`Coalesced`] lets simultaneous readers of one key share one run of a future and forgets its result when it is
//! done. A [`Pass`] remembers results as long as it lives, so that a round of a thousand syncs reads each path once.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::{Mutex, OnceCell};

use super::{Document, Key, Provider, ReadError};

type Outcome = Result<Arc<Document>, ReadError>;

/// Reads that are under way.
///
/// Guarantees: while one run for a key is under way nobody starts a second one; a reader that gives up does not stop
/// the run of the others; a run that every reader gave up is dropped.
#[derive(Default)]
pub(crate) struct Coalesced {
    under_way: std::sync::Mutex<HashMap<Key, WeakShared<BoxFuture<'static, Outcome>>>>,
}

impl Coalesced {
    /// Joins the run for `key`, or starts it with `read`.
    pub(crate) async fn read(
        &self,
        key: &Key,
        read: impl FnOnce() -> BoxFuture<'static, Outcome>,
    ) -> Outcome {
        let shared = self.join(key, read);
        let outcome = shared.await;
        self.forget_finished(key);
        outcome
    }

    fn join(
        &self,
        key: &Key,
        read: impl FnOnce() -> BoxFuture<'static, Outcome>,
    ) -> Shared<BoxFuture<'static, Outcome>> {
        let mut under_way = self.lock();
        // A finished run may still be held by readers that were not polled yet; whoever comes now wants fresh bytes.
        if let Some(shared) = under_way.get(key).and_then(WeakShared::upgrade)
            && shared.peek().is_none()
        {
            return shared;
        }
        let shared = read().shared();
        if let Some(weak) = shared.downgrade() {
            under_way.insert(key.clone(), weak);
        }
        shared
    }

    fn forget_finished(&self, key: &Key) {
        let mut under_way = self.lock();
        let finished = under_way
            .get(key)
            .is_some_and(|weak| weak.upgrade().is_none_or(|shared| shared.peek().is_some()));
        if finished {
            under_way.remove(key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, WeakShared<BoxFuture<'static, Outcome>>>> {
        // The map is whole after every statement, so a panic elsewhere leaves nothing half-done in it.
        self.under_way.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// One round of work over a store: each path and version is read once, however many ask for it and whenever.
///
/// Failures are remembered too, so that a thousand syncs of one missing path cost one request. Drop the pass when the
/// round ends: it holds the documents.
#[derive(Debug)]
pub struct Pass {
    provider: Provider,
    outcomes: Mutex<HashMap<Key, Arc<OnceCell<Outcome>>>>,
}

impl Pass {
    /// Starts a round with nothing read.
    pub fn new(provider: Provider) -> Self {
        Self { provider, outcomes: Mutex::default() }
    }

    /// The store behind it, for what is not a read.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// As [`Provider::read`], from memory if this pass did it before.
    ///
    /// # Errors
    /// As [`Provider::read`].
    pub async fn read(&self, key: &Key) -> Result<Arc<Document>, ReadError> {
        let cell = Arc::clone(self.outcomes.lock().await.entry(key.clone()).or_default());
        cell.get_or_init(|| self.provider.read(key)).await.clone()
    }
}
