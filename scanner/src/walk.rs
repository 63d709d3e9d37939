//! One run over one target: where blobs go, what they have cost so far, and what was not seen.
//!
//! Everything that walks shares a [`Walk`] by reference, from many threads. It is the only place that calls the
//! sink and writes the ledger, so that counting and limits cannot be forgotten.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shared::coverage::{Coverage, Excluded, Opaque, Skipped};

use crate::aside::{Aside, Later};
use crate::blob::{Blob, Content, Flow, Provenance, Sink};
use crate::budget::Budget;
use crate::limits::{BUFFER_BYTES, Limits};
use crate::tasks::Tasks;

pub(crate) struct Walk<'a> {
    sink: &'a dyn Sink,
    pub(crate) limits: &'a Limits,
    /// How the target is called in the ledger.
    target: &'a str,
    ledger: Mutex<Coverage>,
    blobs: AtomicU64,
    entries: AtomicU64,
    expanded: AtomicU64,
    stored: AtomicU64,
    stopped: AtomicBool,
    deadline: Option<Instant>,
    /// For windows of decoders.
    pub(crate) decoders: Arc<Budget>,
    /// For archives inside streams while they are small.
    pub(crate) buffers: Arc<Budget>,
    /// All layers of a target share them: what waits is memory.
    pub(crate) tasks: Tasks,
    aside: Aside,
}

/// The sink asked to stop, or a limit of the whole target was reached: nothing more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over;

impl<'a> Walk<'a> {
    pub(crate) fn new(sink: &'a dyn Sink, limits: &'a Limits, target: &'a str) -> Self {
        Self {
            sink,
            limits,
            target,
            ledger: Mutex::default(),
            blobs: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            expanded: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            deadline: Instant::now().checked_add(limits.time),
            decoders: Budget::new(limits.decoder_memory),
            buffers: Budget::new(BUFFER_BYTES),
            tasks: Tasks::default(),
            aside: Aside::default(),
        }
    }

    /// Keeps the stored bytes of something whose decoder finds no memory now, for [`Walk::finish`].
    pub(crate) fn put_aside(&self, at: &Provenance, bytes: &[u8], later: Later) {
        match self.aside.keep(bytes, self.limits.spill, later) {
            Ok(()) => {}
            Err(why) => self.skip(&Place::Blob(at), Skipped::Limit, why),
        }
    }

    /// Does what was put aside. What it puts aside itself comes in the next round; archives nest only so deep.
    fn catch_up(&self) {
        while self.check_stopped().is_ok() {
            let Some(round) = self.aside.round() else { return };
            if round.run(self).is_err() {
                self.skip(&Place::Target, Skipped::Unreadable, "a temporary file cannot be read".to_owned());
            }
        }
    }

    /// Does what was put aside, and gives the ledger of the run.
    pub(crate) fn finish(self) -> Coverage {
        self.catch_up();
        let mut coverage = self.ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        coverage.blobs = self.blobs.into_inner();
        coverage.bytes_stored = self.stored.into_inner();
        if coverage.blobs == 0 && coverage.skipped.total == 0 {
            coverage.skipped.push(
                self.target.to_owned(),
                Skipped::Empty,
                Some("there is nothing in it".to_owned()),
            );
        }
        coverage.excluded.sort();
        coverage.opaque.sort();
        coverage.skipped.sort();
        coverage
    }

    /// Hands a blob to the sink.
    pub(crate) fn emit(&self, provenance: Provenance, content: Content<'_>) -> Result<(), Over> {
        self.check_time()?;
        self.blobs.fetch_add(1, Ordering::Relaxed);
        match self.sink.blob(Blob { provenance, content }) {
            Flow::Continue => Ok(()),
            Flow::Stop => {
                self.stopped.store(true, Ordering::Relaxed);
                Err(Over)
            }
        }
    }

    /// Hands a slice to the sink; empty ones are counted and not searched.
    pub(crate) fn emit_slice(&self, provenance: Provenance, bytes: &[u8]) -> Result<(), Over> {
        if bytes.is_empty() {
            self.blobs.fetch_add(1, Ordering::Relaxed);
            return self.check_stopped();
        }
        self.emit(provenance, Content::Slice(bytes))
    }

    /// Counts an entry of an archive or a folder against the limit.
    pub(crate) fn count_entry(&self) -> Result<(), Over> {
        if self.entries.fetch_add(1, Ordering::Relaxed) >= self.limits.entries {
            return Err(self.trip(&format!("the limit `entries` of {} is reached", self.limits.entries)));
        }
        self.check_stopped()
    }

    /// Counts bytes that a decoder produced against the limit.
    pub(crate) fn count_expanded(&self, bytes: u64) -> Result<(), Over> {
        if self.expanded.fetch_add(bytes, Ordering::Relaxed) > self.limits.expanded_bytes {
            let limit = self.limits.expanded_bytes;
            return Err(self.trip(&format!("the limit `expanded-bytes` of {limit} is reached")));
        }
        self.check_time()
    }

    /// Counts bytes of the target that are done.
    pub(crate) fn count_stored(&self, bytes: u64) {
        self.stored.fetch_add(bytes, Ordering::Relaxed);
        self.sink.progress(bytes);
    }

    pub(crate) fn check_stopped(&self) -> Result<(), Over> {
        if self.stopped.load(Ordering::Relaxed) { Err(Over) } else { Ok(()) }
    }

    fn check_time(&self) -> Result<(), Over> {
        self.check_stopped()?;
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let seconds = self.limits.time.as_secs();
            return Err(self.trip(&format!("the limit `time` of {seconds} s is reached")));
        }
        Ok(())
    }

    /// Ends the run for a limit of the whole target, and says so once.
    fn trip(&self, detail: &str) -> Over {
        if !self.stopped.swap(true, Ordering::Relaxed) {
            self.push(|coverage| {
                coverage.skipped.push(
                    self.target.to_owned(),
                    Skipped::Limit,
                    Some(format!("{detail}; the rest was not read")),
                );
            });
        }
        Over
    }

    pub(crate) fn skip(&self, place: &Place<'_>, reason: Skipped, detail: impl Into<Option<String>>) {
        let (at, detail) = (self.at(place), detail.into());
        self.push(|coverage| coverage.skipped.push(at, reason, detail));
    }

    pub(crate) fn opaque(&self, place: &Place<'_>, reason: Opaque, detail: impl Into<Option<String>>) {
        let (at, detail) = (self.at(place), detail.into());
        self.push(|coverage| coverage.opaque.push(at, reason, detail));
    }

    pub(crate) fn exclude(&self, place: &Place<'_>, reason: Excluded) {
        let at = self.at(place);
        self.push(|coverage| coverage.excluded.push(at, reason, None));
    }

    fn push(&self, add: impl FnOnce(&mut Coverage)) {
        add(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn at(&self, place: &Place<'_>) -> String {
        let mut at = self.target.to_owned();
        let (path, entries): (&str, &[Arc<str>]) = match place {
            Place::Target => ("", &[]),
            Place::Path(path) => (path, &[]),
            Place::Blob(provenance) => (&provenance.path, &provenance.entries),
        };
        if !path.is_empty() {
            at.push_str(": ");
            at.push_str(path);
        }
        for entry in entries {
            at.push_str(" > ");
            at.push_str(entry);
        }
        at
    }
}

/// A line of the ledger: what it is about.
pub(crate) enum Place<'a> {
    /// The whole target.
    Target,
    /// A file of it.
    Path(&'a str),
    /// A blob.
    Blob(&'a Provenance),
}

/// A reader that remembers its error after someone else, who may drop it, has met it.
pub(crate) struct Watched<R> {
    reader: R,
    pub(crate) error: Option<io::Error>,
}

impl<R: Read> Watched<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, error: None }
    }

    /// The reader and its error.
    pub(crate) fn into_parts(self) -> (R, Option<io::Error>) {
        (self.reader, self.error)
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            return match self.reader.read(buffer) {
                Ok(count) => Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let copy = io::Error::from(error.kind());
                    self.error.get_or_insert(error);
                    Err(copy)
                }
            };
        }
    }
}
