//! Handing out work without letting it pile up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bounds how many tasks of one walk wait: beyond that the caller does the work itself, so that memory stays
/// bounded and nobody waits for anybody.
#[derive(Default)]
pub(crate) struct Tasks {
    waiting: Arc<AtomicUsize>,
}

impl Tasks {
    /// Whether another task would be taken up soon.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < 2 * rayon::current_num_threads()
    }

    /// Runs a task on some thread, now or later.
    pub(crate) fn run<'scope>(
        &self,
        scope: &rayon::Scope<'scope>,
        task: impl FnOnce(&rayon::Scope<'scope>) + Send + 'scope,
    ) {
        if !self.has_room() {
            return task(scope);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Arc::clone(&self.waiting);
        scope.spawn(move |scope| {
            waiting.fetch_sub(1, Ordering::Relaxed);
            task(scope);
        });
    }
}
