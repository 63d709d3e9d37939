//! Runs of bytes of one class.

use super::{OVERLAP, PIECE, Part};

/// How far a finder is in a haystack.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Runs that begin before this place are done.
    done: u64,
    /// A run that goes on: where its next piece begins.
    next: Option<u64>,
}

/// A piece of a run, in the part's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its first byte.
    pub start: usize,
    /// Where the next piece begins, or a little before, should the run go on.
    pub middle: usize,
    /// The place behind which it takes no byte.
    pub limit: usize,
}

/// What a finder took of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// One past the last byte that it took.
    pub end: usize,
    /// Where the next piece of the run begins, behind the start of this one.
    pub next: Option<usize>,
}

impl Taken {
    /// Of a run without breaks, whose groups have `group` bytes.
    pub fn plain(stretch: Stretch, end: usize, group: usize) -> Self {
        let middle = stretch.middle - (stretch.middle - stretch.start) % group;
        Self { end, next: (end > middle).then_some(middle) }
    }
}

impl Progress {
    /// Whether no run reaches beyond this place.
    pub fn ends_before(&self, place: u64) -> bool {
        self.next.is_none() && self.done <= place
    }

    /// Goes through the part. `first` finds the start of the first run that begins in a range, `take` works on
    /// one stretch.
    pub fn walk(
        &mut self,
        part: &Part<'_>,
        mut first: impl FnMut(&[u8], usize, usize) -> Option<usize>,
        mut take: impl FnMut(Stretch) -> Taken,
    ) {
        let local = |at: u64| usize::try_from(at.saturating_sub(part.base)).unwrap_or(usize::MAX);
        loop {
            let start = match self.next {
                Some(next) if local(next) >= part.owned.end => return,
                Some(next) => local(next),
                None => {
                    let from = local(self.done).max(part.owned.start);
                    let found = (from < part.owned.end).then(|| first(part.bytes, from, part.owned.end));
                    match found.flatten() {
                        Some(start) => start,
                        None => {
                            self.done = self.done.max(part.base + part.owned.end as u64);
                            return;
                        }
                    }
                }
            };
            let limit = part.bytes.len().min(start + PIECE + OVERLAP);
            let middle = start + PIECE;
            let taken = take(Stretch { start, middle, limit });
            self.next = taken.next.map(|next| part.base + next as u64);
            if self.next.is_none() {
                self.done = part.base + taken.end.max(start + 1) as u64;
            }
        }
    }
}
