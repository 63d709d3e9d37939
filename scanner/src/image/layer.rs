//! Searches one layer, in parallel with hashing it.
//!
//! An uncompressed layer that lies in memory is searched in place: one thread walks the headers and hands out
//! batches of entries. A compressed one is decoded by one thread, which fills batches of its own; when every other
//! thread is busy the walking thread searches the batch itself, so that nothing waits and memory stays bounded.

use std::io::{self, Read};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use shared::coverage::{Opaque, Skipped};

use super::catalog::{MemberId, digest_text};
use super::index::{LayerIndex, Paths};
use crate::batch::{BATCH_BYTES, BATCH_ENTRIES, Batch, Spare};
use crate::blob::{Origin, Provenance};
use crate::unpack::compression::decode;
use crate::unpack::format::{Format, HEAD_BYTES};
use crate::unpack::tar::{Entry, Kind, SliceWalk, StreamWalk, TarError, read_full};
use crate::unpack::window::Window;
use crate::unpack::{self, Nesting, SMALL_MEMBER_BYTES, label};
use crate::walk::{Over, Place, Walk};

/// The ordinal of a member that is no archive, searched as a whole.
pub(crate) const WHOLE: u32 = u32::MAX;

/// What a member of an image turned out to be.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// The paths, if it was a tar archive.
    pub(crate) index: Option<LayerIndex>,
    /// `sha256:…` of the stored bytes, if it was read to its end.
    pub(crate) stored: Option<String>,
    /// `sha256:…` of the uncompressed bytes: the same for an uncompressed layer, else only on demand.
    pub(crate) diff_id: Option<String>,
}

/// One member that may be a layer.
pub(crate) struct LayerScan<'a> {
    pub(crate) walk: &'a Walk<'a>,
    pub(crate) paths: &'a Paths,
    pub(crate) target: u32,
    pub(crate) member: MemberId,
    /// The member's label.
    pub(crate) name: Arc<str>,
    /// A manifest says that it is a layer: then something else is an error.
    pub(crate) is_layer: bool,
    /// Hash what the decoder makes, too.
    pub(crate) verify_diff_id: bool,
    /// How deep the members are.
    pub(crate) nesting: Nesting<'static>,
}

impl LayerScan<'_> {
    /// Where the member lies.
    pub(crate) fn whole(&self) -> Provenance {
        let origin = Origin::Entry { blob: self.member, ordinal: WHOLE };
        Provenance { target: self.target, origin, path: Arc::clone(&self.name), entries: Vec::new() }
    }

    fn entry(&self, ordinal: u32, path: &Arc<str>) -> Provenance {
        let origin = Origin::Entry { blob: self.member, ordinal };
        Provenance {
            target: self.target,
            origin,
            path: Arc::clone(&self.name),
            entries: vec![Arc::clone(path)],
        }
    }

    /// Searches a member that lies in memory. A compressed one needs a window.
    pub(crate) fn slice(&self, bytes: &[u8], window: Option<Window>) -> Result<Scanned, Over> {
        let format = Format::of(&bytes[..bytes.len().min(HEAD_BYTES)]);
        let mut stored = None;
        let mut searched = Ok(Scanned::default());
        rayon::scope(|scope| {
            scope.spawn(|_| stored = hash(self.walk, bytes));
            searched = match (format, window) {
                (Format::Tar, _) => self.tar_slice(bytes),
                (Format::Compressed(codec), Some(window)) => {
                    let whole = self.whole();
                    match decode(self.walk, (&whole, codec), bytes, window, Nesting::TARGET) {
                        Ok(decoded) => self.decoded(decoded, Some(bytes)),
                        Err(error) => {
                            unpack::broken(
                                self.walk,
                                &self.whole(),
                                Nesting::TARGET,
                                "the layer does not decode",
                                Some(&error),
                            );
                            Ok(Scanned::default())
                        }
                    }
                }
                _ if bytes.iter().all(|&byte| byte == 0) => Ok(Scanned::default()),
                _ => self.other_slice(bytes),
            };
        });
        let mut scanned = searched?;
        if !matches!(format, Format::Compressed(_)) {
            scanned.diff_id.clone_from(&stored);
        }
        scanned.stored = stored;
        Ok(scanned)
    }

    /// A member that is no layer as we know them.
    fn other_slice(&self, bytes: &[u8]) -> Result<Scanned, Over> {
        if self.is_layer {
            self.not_a_layer();
        }
        unpack::slice(self.walk, self.whole(), bytes, Nesting::TARGET.inner())?;
        Ok(Scanned::default())
    }

    fn not_a_layer(&self) {
        let detail = "a manifest calls it a layer, and it is no tar archive; searched raw";
        self.walk.opaque(&Place::Blob(&self.whole()), Opaque::Unsupported, detail.to_owned());
    }

    /// Searches a tar archive that lies in memory.
    pub(crate) fn tar_slice(&self, bytes: &[u8]) -> Result<Scanned, Over> {
        let mut index = LayerIndex::default();
        let mut result = Ok(());
        rayon::in_place_scope(|scope| {
            let mut members = SliceWalk::new(bytes);
            let mut batch: Vec<(u32, Arc<str>, &[u8])> = Vec::new();
            let mut batch_bytes = 0;
            result = (|| {
                while let Some(next) = members.next() {
                    match next {
                        Ok(next) => {
                            let path = self.index(&mut index, &next.entry)?;
                            if next.entry.kind == Kind::File {
                                batch_bytes += next.data.len();
                                batch.push((next.entry.ordinal, path, next.data));
                            }
                        }
                        Err(error) => {
                            unpack::tar_broken(self.walk, &self.whole(), Nesting::TARGET, &error);
                            return self.walk.emit_slice(self.whole(), members.rest());
                        }
                    }
                    if batch_bytes >= BATCH_BYTES || batch.len() >= BATCH_ENTRIES {
                        let full = std::mem::take(&mut batch);
                        batch_bytes = 0;
                        self.walk.tasks.run(scope, move |_| self.slices(&full));
                    }
                }
                Ok(())
            })();
            self.slices(&batch);
        });
        result?;
        index.complete();
        Ok(Scanned { index: Some(index), ..Scanned::default() })
    }

    fn slices(&self, batch: &[(u32, Arc<str>, &[u8])]) {
        for (ordinal, path, bytes) in batch {
            // Over is remembered by the walk: the next check meets it.
            if unpack::slice(self.walk, self.entry(*ordinal, path), bytes, self.nesting).is_err() {
                return;
            }
        }
    }

    /// Counts and indexes an entry, and makes its label.
    fn index(&self, index: &mut LayerIndex, entry: &Entry) -> Result<Arc<str>, Over> {
        self.walk.count_entry()?;
        let path = label::path(&entry.path);
        index.add(self.paths, entry.ordinal, &path, entry.kind, &entry.link);
        let path: Arc<str> = path.into();
        if !entry.records.is_empty() {
            unpack::records(self.walk, &self.entry(entry.ordinal, &path), entry)?;
        }
        Ok(path)
    }

    /// Searches a decompressed member that arrives as a stream. `raw` is its stored form, if that can be searched
    /// when the stream is damaged.
    pub(crate) fn decoded(&self, mut decoded: impl Read, raw: Option<&[u8]>) -> Result<Scanned, Over> {
        let mut head = [0; HEAD_BYTES];
        let count = match read_full(&mut decoded, &mut head) {
            Ok(count) => count,
            Err(error) => return self.damaged(&error, raw).map(|()| Scanned::default()),
        };
        let head = &head[..count];
        let mut hashed = Hashed::new(head.chain(decoded), self.verify_diff_id);
        let mut scanned = Scanned::default();
        let error = if Format::of(head) == Format::Tar {
            let (index, error) = self.tar_stream(&mut hashed)?;
            scanned.index = Some(index);
            error
        } else {
            self.other_stream(&mut hashed)?
        };
        let error = error.or_else(|| io::copy(&mut hashed, &mut io::sink()).err());
        match error {
            Some(error) => self.damaged(&error, raw)?,
            None => scanned.diff_id = hashed.digest(),
        }
        Ok(scanned)
    }

    fn other_stream(&self, reader: &mut dyn Read) -> Result<Option<io::Error>, Over> {
        let mut zeros = vec![0; 64 << 10];
        let count = match read_full(reader, &mut zeros) {
            Ok(count) => count,
            Err(error) => return Ok(Some(error)),
        };
        zeros.truncate(count);
        // The end marker alone is an empty layer.
        if count < 64 << 10 && zeros.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if self.is_layer {
            self.not_a_layer();
        }
        let mut whole = zeros.chain(reader);
        unpack::stream(self.walk, self.whole(), &mut whole, None, Nesting::TARGET.inner())
    }

    fn damaged(&self, error: &io::Error, raw: Option<&[u8]>) -> Result<(), Over> {
        self.walk.check_stopped()?;
        unpack::broken(
            self.walk,
            &self.whole(),
            Nesting::TARGET,
            "the compressed layer is damaged or cut off",
            Some(error),
        );
        match raw {
            Some(raw) => self.walk.emit_slice(self.whole(), raw),
            None => Ok(()),
        }
    }

    /// Searches a layer that arrives as a stream of tar entries. Returns the reader's error, if it failed.
    pub(crate) fn tar_stream(&self, reader: impl Read) -> Result<(LayerIndex, Option<io::Error>), Over> {
        let mut index = LayerIndex::default();
        let spare = Spare::default();
        let mut result = Ok(None);
        rayon::in_place_scope(|scope| {
            let mut members = StreamWalk::new(reader);
            let mut batch = Batch::default();
            result = (|| loop {
                let entry = match members.next() {
                    Ok(Some(entry)) => entry,
                    Ok(None) => return Ok(None),
                    Err(TarError::Read(error)) => return Ok(Some(error)),
                    Err(error) => {
                        unpack::tar_broken(self.walk, &self.whole(), Nesting::TARGET, &error);
                        return Ok(None);
                    }
                };
                let path = self.index(&mut index, &entry)?;
                if entry.kind != Kind::File {
                    continue;
                }
                if batch.is_full(entry.size) {
                    let full = std::mem::replace(&mut batch, spare.take());
                    let spare = &spare;
                    self.walk.tasks.run(scope, move |_| spare.give(full.search(self.walk, self.nesting)));
                }
                let at = self.entry(entry.ordinal, &path);
                let error = if entry.size > SMALL_MEMBER_BYTES {
                    unpack::stream(self.walk, at, &mut members, Some(entry.size), self.nesting)?
                } else {
                    batch.read(at, entry.size, &mut members)
                };
                if let Some(error) = error {
                    return Ok(Some(error));
                }
            })();
            batch.search(self.walk, self.nesting);
        });
        let error = result?;
        index.complete();
        Ok((index, error))
    }
}

/// The digest of bytes in memory, which it counts as done; none if the walk ended meanwhile.
fn hash(walk: &Walk<'_>, bytes: &[u8]) -> Option<String> {
    let mut hasher = Sha256::new();
    for chunk in bytes.chunks(4 << 20) {
        walk.check_stopped().ok()?;
        hasher.update(chunk);
        walk.count_stored(chunk.len() as u64);
    }
    Some(digest_text(&hasher.finalize()))
}

/// Hashes what passes through.
pub(crate) struct Hashed<R> {
    reader: R,
    hasher: Option<Sha256>,
}

impl<R: Read> Hashed<R> {
    pub(crate) fn new(reader: R, wanted: bool) -> Self {
        Self { reader, hasher: wanted.then(Sha256::new) }
    }

    /// The digest of what was read.
    pub(crate) fn digest(self) -> Option<String> {
        self.hasher.map(|hasher| digest_text(&hasher.finalize()))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

/// Compares what a member hashed to with what manifests claim, and says every difference.
pub(crate) fn verify(walk: &Walk<'_>, at: &str, claims: &[super::catalog::Expected], scanned: &Scanned) {
    for claim in claims {
        let pairs =
            [("digest", &claim.stored, &scanned.stored), ("diff_id", &claim.diff_id, &scanned.diff_id)];
        for (what, claimed, is) in pairs {
            let (Some(claimed), Some(is)) = (claimed, is) else { continue };
            if !claimed.starts_with("sha256:") {
                let detail = format!("the manifest's {what} is not a SHA-256, and was not compared");
                walk.skip(&Place::Path(at), Skipped::Unsupported, detail);
            } else if claimed != is {
                let detail = format!("the manifest's {what} is {claimed}, and the bytes have {is}");
                walk.skip(&Place::Path(at), Skipped::DigestMismatch, detail);
            }
        }
    }
}
