//! What a decoder has to remember, and where it may keep it.
//!
//! All decoders of a walk share `decoder-memory`. A window of zstd or xz that finds no room there lies in an unlinked
//! file; other decoders have to wait, which nobody does in place: what waits is put aside with its stored bytes, and comes
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
    let file = if has_file(codec) { walk.limits.spill } else { 0 };
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

/// Whether a window of the codec may lie in a file.
fn has_file(codec: Codec) -> bool {
    match codec {
        Codec::Zstd | Codec::Xz => true,
        Codec::Gzip | Codec::Deflate | Codec::Zlib | Codec::Bzip2 | Codec::Lz4 => false,
    }
}

/// Says that a stream stays closed because its window is larger than what there is.
pub(crate) fn too_large(walk: &Walk<'_>, at: &Provenance, codec: Codec, needed: u64) {
    let mib = needed.div_ceil(1 << 20);
    let (limits, raise) = if has_file(codec) {
        ("limits `decoder-memory` and `spill`", "raise one")
    } else {
        ("limit `decoder-memory`", "raise it")
    };
    let detail = format!("its {} window of {mib} MiB is larger than the {limits}: {raise}", codec.name());
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

#[cfg(test)]
mod tests {
    use testdata::archive::Compression;

    use super::{Grant, UNCOUNTED_BYTES, ask};
    use crate::blob::{Blob, Flow, Sink};
    use crate::limits::Limits;
    use crate::unpack::format::Codec;
    use crate::walk::Walk;

    struct Nobody;

    impl Sink for Nobody {
        fn blob(&self, _blob: Blob<'_>) -> Flow {
            Flow::Continue
        }
    }

    #[test]
    fn all_windows_together_are_within_the_limit_whatever_they_ask_for() {
        let kinds = [
            (Codec::Xz, Compression::XzNine),
            (Codec::Zstd, Compression::ZstdLong),
            (Codec::Lz4, Compression::Lz4),
            (Codec::Bzip2, Compression::Bzip2),
            (Codec::Xz, Compression::Xz),
            (Codec::Zstd, Compression::Zstd),
        ];
        for mib in [16, 48, 72, 1024] {
            let limits = Limits { decoder_memory: mib << 20, ..Limits::default() };
            let walk = Walk::new(&Nobody, &limits, "target");
            let (mut held, mut counted) = (Vec::new(), 0);
            for (codec, compression) in kinds.into_iter().chain(kinds) {
                let packed = compression.pack(&[b'x'; 100_000]).unwrap();
                match ask(&walk, codec, &packed) {
                    Grant::Now(window) => {
                        // What lies in memory is either counted, or as small as a file's decoder may keep.
                        let is_counted = window.memory > UNCOUNTED_BYTES;
                        counted += if is_counted { window.memory } else { 0 };
                        assert!(is_counted || window.file > 0, "{codec:?} {window:?}");
                        held.push(window);
                    }
                    // What has no file comes later.
                    Grant::Later => assert!(matches!(codec, Codec::Lz4 | Codec::Bzip2), "{codec:?}"),
                    Grant::Never(needed) => panic!("{codec:?} wants {needed}"),
                }
            }
            assert!(counted <= mib << 20, "{counted} of {mib} MiB");
            drop(held);
            assert!(walk.decoders.take(mib << 20).is_some(), "all of it comes back");
        }
    }
}
