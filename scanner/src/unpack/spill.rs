//! Streams that need random access: in memory while they are small, else in a file without a name.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::tar::read_full;
use crate::budget::Share;
use crate::mmap::Mapped;
use crate::walk::{Over, Walk};

/// What is kept in memory, if the walk's buffers have as much.
const MEMORY_BYTES_MAX: u64 = 2 << 20;

/// What is kept in memory in any case, and copied at once.
const CHUNK_BYTES: usize = 128 << 10;

/// The whole of a stream, in one place.
pub(crate) enum Spilled {
    Memory(Vec<u8>, Option<Share>),
    /// A temporary file that was unlinked before it was written: no other process finds it, and it ends with us.
    File(Mapped),
    /// Larger than the limit, or the file could not be made; these are the bytes that were read already.
    TooLarge(Box<dyn Read>),
}

/// Reads a stream to its end, or to the limit. If the stream fails, what came before is kept; the reader has to be
/// one that remembers its error.
pub(crate) fn spill(walk: &Walk<'_>, reader: &mut dyn Read) -> Result<Spilled, Over> {
    let share = walk.buffers.take(MEMORY_BYTES_MAX);
    // Without files there is nothing but memory: as much as with a share, so that the answer is always the same.
    let most = if share.is_some() || walk.limits.spill <= MEMORY_BYTES_MAX {
        MEMORY_BYTES_MAX
    } else {
        CHUNK_BYTES as u64
    };
    let mut memory = Vec::new();
    let failed = (&mut *reader).take(most).read_to_end(&mut memory).is_err();
    walk.check_stopped()?;
    if failed || (memory.len() as u64) < most {
        memory.shrink_to_fit();
        return Ok(Spilled::Memory(memory, share));
    }
    let file = if walk.limits.spill > MEMORY_BYTES_MAX { tempfile::tempfile().ok() } else { None };
    let Some(mut file) = file else {
        return Ok(Spilled::TooLarge(Box::new(io::Cursor::new(memory))));
    };
    // What is in memory and not in the file.
    let mut pending = memory;
    let mut length = 0;
    loop {
        length += pending.len() as u64;
        let written = file.write_all(&pending).and_then(|()| file.stream_position());
        if length > walk.limits.spill || written.ok() != Some(length) {
            return Ok(Spilled::TooLarge(rejoin(file, length - pending.len() as u64, pending)));
        }
        pending.resize(CHUNK_BYTES, 0);
        // After an error the stream counts as ended.
        let count = read_full(reader, &mut pending).unwrap_or(0);
        walk.check_stopped()?;
        if count == 0 {
            break;
        }
        pending.truncate(count);
    }
    match file.try_clone().and_then(Mapped::new) {
        Ok(mapped) => Ok(Spilled::File(mapped)),
        Err(_) => Ok(Spilled::TooLarge(rejoin(file, length, Vec::new()))),
    }
}

/// What was written for certain, and what was not.
fn rejoin(mut file: File, written: u64, pending: Vec<u8>) -> Box<dyn Read> {
    let _ = file.rewind();
    Box::new(file.take(written).chain(io::Cursor::new(pending)))
}
