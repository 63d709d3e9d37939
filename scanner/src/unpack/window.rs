//! What a decoder has to remember, and where it may keep it.
//!
//! All decoders of a walk share `decoder-memory`. A zstd window that finds no room there lies in an unlinked file;
//! other decoders have to wait, which nobody does in place: what waits is put aside with its stored bytes, and comes
//! when the rest of the target is done ([`Walk::put_aside`]).

use shared::coverage::Skipped;

use super::compression::memory_needed;
use super::format::Codec;
use crate::blob::Provenance;
use crate::budget::Share;
use crate::walk::{Place, Walk};

/// Tables, buffers and state of a decoder beside its window.
const OVERHEAD_BYTES: u64 = 1 << 20;

/// Decoders that need no more than this do not count: they are many, and small.
const UNCOUNTED_BYTES: u64 = 256 << 10;

/// Leave to decode one stream.
#[derive(Debug)]
pub(crate) struct Window {
    /// What may lie in memory, in bytes.
    pub(crate) memory: u64,
    /// What may lie in a file instead, in bytes.
    pub(crate) file: u64,
    /// Given back when the decoder is dropped.
    _share: Option<Share>,
}

/// The answer to a decoder that wants memory.
#[derive(Debug)]
pub(crate) enum Grant {
    Now(Window),
    /// Others hold what it needs.
    Later,
    /// There never is as much; what it needs, in bytes.
    Never(u64),
}

/// Asks for the memory of a decoder, told from the first bytes of its stream.
pub(crate) fn ask(walk: &Walk<'_>, codec: Codec, head: &[u8]) -> Grant {
    let window = memory_needed(codec, head);
    let file = if codec == Codec::Zstd { walk.limits.spill } else { 0 };
    if window <= UNCOUNTED_BYTES {
        return Grant::Now(Window { memory: UNCOUNTED_BYTES, file, _share: None });
    }
    let needed = window.saturating_add(OVERHEAD_BYTES);
    match walk.decoders.take(needed) {
        Some(share) => Grant::Now(Window { memory: window, file, _share: Some(share) }),
        None if window <= file => Grant::Now(Window { memory: UNCOUNTED_BYTES, file, _share: None }),
        None if needed <= walk.decoders.total() => Grant::Later,
        None => Grant::Never(needed),
    }
}

/// Says that a stream stays closed because its window is larger than what there is.
pub(crate) fn too_large(walk: &Walk<'_>, at: &Provenance, codec: Codec, needed: u64) {
    let mib = needed.div_ceil(1 << 20);
    let limits =
        if codec == Codec::Zstd { "limits `decoder-memory` and `spill`" } else { "limit `decoder-memory`" };
    let detail = format!("its {} window of {mib} MiB is larger than the {limits}: raise one", codec.name());
    let detail = if codec == Codec::Zstd { detail } else { detail.replace("raise one", "raise it") };
    walk.skip(&Place::Blob(at), Skipped::Limit, detail);
}

/// The window at once, for what comes by only once and cannot be put aside.
pub(crate) fn now_or_never(walk: &Walk<'_>, at: &Provenance, codec: Codec, head: &[u8]) -> Option<Window> {
    match ask(walk, codec, head) {
        Grant::Now(window) => Some(window),
        Grant::Later => {
            too_large(walk, at, codec, memory_needed(codec, head) + OVERHEAD_BYTES);
            None
        }
        Grant::Never(needed) => {
            too_large(walk, at, codec, needed);
            None
        }
    }
}
