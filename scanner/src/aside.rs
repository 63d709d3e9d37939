//! What has to wait for memory: its stored bytes lie in an unlinked file until the rest of the target is done.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use crate::mmap::Mapped;
use crate::walk::{Over, Walk};

/// What is done with the bytes, when there is memory.
pub(crate) type Later = Box<dyn FnOnce(&Walk<'_>, &[u8]) -> Result<(), Over> + Send>;

/// Waiting work, and the file with its bytes.
#[derive(Default)]
pub(crate) struct Aside(Mutex<Round>);

/// Work that was put aside while other work was done.
#[derive(Default)]
pub(crate) struct Round {
    file: Option<File>,
    length: u64,
    waiting: Vec<(Range<u64>, Later)>,
}

impl Aside {
    /// Keeps bytes; the error says why not.
    pub(crate) fn keep(&self, bytes: &[u8], most: u64, later: Later) -> Result<(), String> {
        let mut round = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = round.length.saturating_add(bytes.len() as u64);
        if end > most {
            return Err(
                "it has to wait for memory, and the limit `spill` is reached: raise `decoder-memory` or it"
                    .to_owned(),
            );
        }
        let refused =
            |error: io::Error| format!("it has to wait for memory, and no temporary file: {}", error.kind());
        if round.file.is_none() {
            round.file = Some(tempfile::tempfile().map_err(refused)?);
        }
        let start = round.length;
        if let Some(file) = &round.file {
            file.write_all_at(bytes, start).map_err(refused)?;
        }
        round.length = end;
        round.waiting.push((start..end, later));
        Ok(())
    }

    /// What waits; none if nothing does.
    pub(crate) fn round(&self) -> Option<Round> {
        let mut round = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!round.waiting.is_empty()).then(|| std::mem::take(&mut *round))
    }
}

impl Round {
    /// Does it all, one after the other, so that each finds all memory free.
    ///
    /// # Errors
    /// When the file cannot be mapped.
    pub(crate) fn run(self, walk: &Walk<'_>) -> io::Result<()> {
        let Some(file) = self.file else { return Ok(()) };
        let mapped = Mapped::new(file)?;
        for (range, later) in self.waiting {
            let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
            let bytes = range.and_then(|(start, end)| mapped.bytes().get(start..end));
            let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
            // Over: the walk remembers why it ended.
            if later(walk, bytes).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
