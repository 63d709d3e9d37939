//! Small members of a stream, copied together and searched by whichever thread is free.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use crate::blob::Provenance;
use crate::unpack::{self, Nesting, SMALL_MEMBER_BYTES};
use crate::walk::Walk;

/// Bytes that one task searches.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// Members of one task: a layer may have a million empty ones.
pub(crate) const BATCH_ENTRIES: usize = 512;

/// Members in one piece of memory.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where each comes from, and where it ends.
    members: Vec<(Provenance, usize)>,
}

impl Batch {
    /// Whether a member of that size does not fit any more.
    pub(crate) fn is_full(&self, size: u64) -> bool {
        let after = (self.bytes.len() as u64).saturating_add(size.min(SMALL_MEMBER_BYTES));
        after > BATCH_BYTES as u64 && !self.members.is_empty() || self.members.len() >= BATCH_ENTRIES
    }

    /// Copies a member of at most [`SMALL_MEMBER_BYTES`].
    pub(crate) fn read(&mut self, at: Provenance, size: u64, reader: &mut impl Read) -> Option<io::Error> {
        // All that it ever holds, so that it does not grow by doubling.
        self.bytes.reserve_exact(BATCH_BYTES.max(self.bytes.capacity()) - self.bytes.len());
        let error = reader.take(size).read_to_end(&mut self.bytes).err();
        self.members.push((at, self.bytes.len()));
        error
    }

    /// Searches all members and comes back empty, with its memory.
    pub(crate) fn search(mut self, walk: &Walk<'_>, nesting: Nesting<'_>) -> Self {
        let mut start = 0;
        for (at, end) in self.members.drain(..) {
            // Over: the walk remembers why it ended.
            if unpack::slice(walk, at, &self.bytes[start..end], nesting).is_err() {
                break;
            }
            start = end;
        }
        self.bytes.clear();
        self
    }
}

/// Batches that were searched, for their memory.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<Batch>>);

impl Spare {
    pub(crate) fn take(&self) -> Batch {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, batch: Batch) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    }
}
