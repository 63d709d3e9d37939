//! Memory that all threads of a walk share: what is not free is not taken.
//!
//! Nobody waits here. A thread that waited could be the one that holds the memory, further down on its stack; whoever
//! gets none does something else first, or does it in a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many bytes, to be taken and given back.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    free: AtomicU64,
}

impl Budget {
    /// All of it free.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { total: bytes, free: AtomicU64::new(bytes) })
    }

    /// What there is when nobody has any, in bytes.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Takes so many bytes; none if they are not free now.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let less = |free: u64| free.checked_sub(bytes);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less).ok()?;
        Some(Share { budget: Arc::clone(self), bytes })
    }
}

/// Bytes of a budget, given back on drop.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn what_is_not_free_is_not_taken_and_what_is_dropped_is_free_again() {
        let budget = Budget::new(10);
        let first = budget.take(6).unwrap();
        assert!(budget.take(5).is_none());
        let second = budget.take(4).unwrap();
        drop(first);
        assert!(budget.take(6).is_some());
        drop(second);
        assert!(budget.take(10).is_some());
        assert!(budget.take(11).is_none());
    }
}
