//! Opens what is packed, and hands everything that is inside to the sink.
//!
//! Content that cannot be opened is searched as it is and listed as opaque; content that is opened is searched
//! through its members, so that nothing is found twice. Slices are opened in place. A stream that holds an archive
//! is first brought into memory, or into an unlinked file when it is large: a damaged archive must be searched
//! raw, and a stream cannot be read twice.

mod ar;
pub(crate) mod compression;
mod cpio;
pub(crate) mod format;
mod frames;
mod git;
pub(crate) mod label;
mod lz4;
mod pack;
mod pdf;
mod pyc;
mod rpm;
mod spill;
mod sqlite;
pub(crate) mod tar;
pub(crate) mod window;
mod zip;

use std::io::{self, Read};
use std::sync::Arc;

use shared::coverage::{Opaque, Skipped};

use self::compression::{Expansion, decode, limit_reached};
use self::format::{Codec, Format, HEAD_BYTES};
use self::spill::{Spilled, spill};
use self::tar::{Kind, SliceWalk, StreamWalk, TarError, read_full};
use self::window::{Grant, Window, ask, too_large};
use crate::blob::{Content, Provenance};
use crate::walk::{Over, Place, Walk, Watched};

/// Members of streams up to this size are read into memory and searched as slices.
pub(crate) const SMALL_MEMBER_BYTES: u64 = 1 << 20;

/// How deep we are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nesting<'a> {
    /// 0 for the target itself.
    depth: u32,
    /// Of the outermost archive; none outside of archives, and in layers.
    expansion: Option<&'a Arc<Expansion>>,
}

impl<'a> Nesting<'a> {
    /// The target itself.
    pub(crate) const TARGET: Self = Self { depth: 0, expansion: None };

    /// One level further in.
    pub(crate) fn inner(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    fn within(self, expansion: &'a Arc<Expansion>) -> Self {
        Self { expansion: Some(self.expansion.unwrap_or(expansion)), ..self }
    }

    fn expansion(self) -> Option<&'a Expansion> {
        self.expansion.map(|expansion| &**expansion)
    }

    /// The same, for later.
    fn kept(self) -> Kept {
        Kept { depth: self.depth, expansion: self.expansion.cloned() }
    }
}

/// A [`Nesting`] that outlives the archives around it.
struct Kept {
    depth: u32,
    expansion: Option<Arc<Expansion>>,
}

impl Kept {
    fn nesting(&self) -> Nesting<'_> {
        Nesting { depth: self.depth, expansion: self.expansion.as_ref() }
    }
}

/// The provenance of a member.
pub(crate) fn member(outer: &Provenance, name: String) -> Provenance {
    let mut entries = Vec::with_capacity(outer.entries.len() + 1);
    entries.extend_from_slice(&outer.entries);
    entries.push(Arc::from(name));
    Provenance { entries, ..outer.clone() }
}

/// Searches bytes that lie in memory, and what is packed in them.
pub(crate) fn slice(walk: &Walk<'_>, at: Provenance, bytes: &[u8], nesting: Nesting<'_>) -> Result<(), Over> {
    let format = Format::of(&bytes[..bytes.len().min(HEAD_BYTES)]);
    match format {
        Format::Plain => return walk.emit_slice(at, bytes),
        // Nothing is inside.
        Format::Pyc => return pyc::slice(walk, at, bytes),
        _ => {}
    }
    if nesting.depth >= walk.limits.depth {
        let detail =
            format!("nested deeper than the limit `depth` of {}; searched unopened", walk.limits.depth);
        walk.skip(&Place::Blob(&at), Skipped::Limit, detail);
        return walk.emit_slice(at, bytes);
    }
    let expansion = Arc::new(Expansion::new(bytes.len()));
    let nesting = nesting.within(&expansion);
    match format {
        Format::Plain => walk.emit_slice(at, bytes),
        Format::Tar => tar_slice(walk, &at, bytes, nesting),
        Format::Zip => zip::slice(walk, &at, bytes, nesting),
        Format::Ar => ar::slice(walk, &at, bytes, nesting),
        Format::Cpio => cpio::slice(walk, &at, bytes, nesting),
        Format::Rpm => rpm::slice(walk, &at, bytes, nesting),
        Format::Sqlite => sqlite::slice(walk, &at, bytes, nesting),
        Format::Pdf => pdf::slice(walk, &at, bytes, nesting),
        Format::GitObject => git::slice(walk, &at, bytes, nesting),
        Format::Pyc => pyc::slice(walk, at, bytes),
        Format::GitPack => pack::slice(walk, &at, bytes, nesting),
        Format::Compressed(codec) => compressed_slice(walk, &at, codec, bytes, nesting),
        Format::Foreign(name) => {
            walk.opaque(&Place::Blob(&at), Opaque::Unsupported, format!("{name} archives are not opened"));
            walk.emit_slice(at, bytes)
        }
    }
}

/// Searches a stream, and what is packed in it. An error of the reader is returned: the caller knows what it means.
pub(crate) fn stream(
    walk: &Walk<'_>,
    at: Provenance,
    reader: &mut dyn Read,
    size_hint: Option<u64>,
    nesting: Nesting<'_>,
) -> Result<Option<io::Error>, Over> {
    let mut head = [0; HEAD_BYTES];
    let count = match read_full(reader, &mut head) {
        Ok(count) => count,
        Err(error) => return Ok(Some(error)),
    };
    let head = &head[..count];
    let mut whole = Watched::new(head.chain(reader));
    if Format::of(head) == Format::Plain {
        walk.emit(at, Content::Stream { reader: &mut whole, size_hint })?;
        return Ok(whole.error);
    }
    match spill(walk, &mut whole)? {
        Spilled::Memory(bytes, _share) => slice(walk, at, &bytes, nesting)?,
        Spilled::File(mapped) => slice(walk, at, mapped.bytes(), nesting)?,
        Spilled::TooLarge(beginning) => {
            let detail = "an archive inside a stream, larger than the limit `spill`";
            walk.opaque(&Place::Blob(&at), Opaque::NeedsSeek, detail.to_owned());
            let mut all = beginning.chain(&mut whole);
            walk.emit(at, Content::Stream { reader: &mut all, size_hint })?;
        }
    }
    Ok(whole.error)
}

/// Says that an archive or a compressed stream could not be read to its end: a skip for the target itself, opaque
/// for what lies inside. A limit is a skip everywhere.
pub(crate) fn broken(
    walk: &Walk<'_>,
    at: &Provenance,
    nesting: Nesting<'_>,
    what: &str,
    error: Option<&io::Error>,
) {
    if let Some(limit) = error.and_then(limit_reached) {
        walk.skip(&Place::Blob(at), Skipped::Limit, limit);
        return;
    }
    let truncated = error.is_none_or(|error| error.kind() == io::ErrorKind::UnexpectedEof);
    if nesting.depth > 0 {
        walk.opaque(&Place::Blob(at), Opaque::Corrupt, what.to_owned());
    } else if truncated {
        walk.skip(&Place::Blob(at), Skipped::Truncated, what.to_owned());
    } else {
        walk.skip(&Place::Blob(at), Skipped::Corrupt, what.to_owned());
    }
}

fn tar_slice(walk: &Walk<'_>, at: &Provenance, bytes: &[u8], nesting: Nesting<'_>) -> Result<(), Over> {
    let mut members = SliceWalk::new(bytes);
    while let Some(next) = members.next() {
        match next {
            Ok(next) => {
                walk.count_entry()?;
                let inner = member(at, label::path(&next.entry.path));
                records(walk, &inner, &next.entry)?;
                if next.entry.kind == Kind::File {
                    slice(walk, inner, next.data, nesting.inner())?;
                }
            }
            Err(error) => {
                tar_broken(walk, at, nesting, &error);
                return walk.emit_slice(at.clone(), members.rest());
            }
        }
    }
    if !members.ended() && nesting.depth == 0 {
        broken(walk, at, nesting, "the tar archive has no end marker: it may be cut off", None);
    }
    Ok(())
}

/// Searches what stands in the extended headers of an entry beside what describes it.
pub(crate) fn records(walk: &Walk<'_>, at: &Provenance, entry: &tar::Entry) -> Result<(), Over> {
    if entry.records.is_empty() {
        return Ok(());
    }
    walk.emit_slice(member(at, "extended header".to_owned()), &entry.records)
}

pub(crate) fn tar_broken(walk: &Walk<'_>, at: &Provenance, nesting: Nesting<'_>, error: &TarError) {
    match error {
        TarError::Truncated => broken(walk, at, nesting, "the tar archive is cut off", None),
        TarError::Corrupt(why) => {
            let error = io::Error::from(io::ErrorKind::InvalidData);
            broken(walk, at, nesting, &format!("the tar archive is damaged: {why}"), Some(&error));
        }
        TarError::Read(error) => broken(walk, at, nesting, "the stream is damaged", Some(error)),
    }
}

fn compressed_slice(
    walk: &Walk<'_>,
    at: &Provenance,
    codec: Codec,
    bytes: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    match ask(walk, codec, bytes) {
        Grant::Now(window) => decode_slice(walk, at, codec, bytes, window, nesting),
        Grant::Later => {
            let (place, kept) = (at.clone(), nesting.kept());
            let later = move |walk: &Walk<'_>, bytes: &[u8]| {
                compressed_slice(walk, &place, codec, bytes, kept.nesting())
            };
            walk.put_aside(at, bytes, Box::new(later));
            Ok(())
        }
        Grant::Never(needed) => {
            too_large(walk, at, codec, needed);
            walk.emit_slice(at.clone(), bytes)
        }
    }
}

fn decode_slice(
    walk: &Walk<'_>,
    at: &Provenance,
    codec: Codec,
    bytes: &[u8],
    window: Window,
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    let error = match decode(walk, (at, codec), bytes, window, nesting) {
        Ok(mut decoded) => decompressed(walk, at, codec, &mut decoded, nesting)?,
        Err(error) => Some(error),
    };
    if let Some(error) = error {
        walk.check_stopped()?;
        let what = format!("the {} stream does not decode to its end; searched raw", codec.name());
        broken(walk, at, nesting, &what, Some(&error));
        return walk.emit_slice(at.clone(), bytes);
    }
    Ok(())
}

/// Searches what comes out of a decoder: the members of a tar archive directly, anything else as one member.
/// Returns the decoder's error, if it failed.
pub(crate) fn decompressed(
    walk: &Walk<'_>,
    at: &Provenance,
    codec: Codec,
    decoded: &mut dyn Read,
    nesting: Nesting<'_>,
) -> Result<Option<io::Error>, Over> {
    let mut head = [0; HEAD_BYTES];
    let count = match read_full(decoded, &mut head) {
        Ok(count) => count,
        Err(error) => return Ok(Some(error)),
    };
    let head = &head[..count];
    let mut whole = head.chain(decoded);
    if Format::of(head) == Format::Tar {
        return tar_stream(walk, at, &mut whole, nesting);
    }
    let name = at.entries.last().unwrap_or(&at.path);
    let inner = member(at, codec.inner_name(name).to_owned());
    stream(walk, inner, &mut whole, None, nesting.inner())
}

/// Searches the members of a tar archive that arrives as a stream. Returns the reader's error, if it failed.
pub(crate) fn tar_stream(
    walk: &Walk<'_>,
    at: &Provenance,
    reader: &mut dyn Read,
    nesting: Nesting<'_>,
) -> Result<Option<io::Error>, Over> {
    let mut members = StreamWalk::new(reader);
    loop {
        let entry = match members.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(TarError::Read(error)) => return Ok(Some(error)),
            Err(error) => {
                tar_broken(walk, at, nesting, &error);
                return Ok(drain(members.into_inner()));
            }
        };
        walk.count_entry()?;
        let inner = member(at, label::path(&entry.path));
        records(walk, &inner, &entry)?;
        if entry.kind != Kind::File {
            continue;
        }
        if let Some(error) = stream_member(walk, inner, &mut members, entry.size, nesting.inner())? {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                tar_broken(walk, at, nesting, &TarError::Truncated);
                return Ok(None);
            }
            return Ok(Some(error));
        }
    }
    if !members.ended() && nesting.depth == 0 {
        broken(walk, at, nesting, "the tar archive has no end marker: it may be cut off", None);
    }
    Ok(None)
}

/// Searches one member of known size; small ones as a slice.
pub(crate) fn stream_member(
    walk: &Walk<'_>,
    at: Provenance,
    reader: &mut dyn Read,
    size: u64,
    nesting: Nesting<'_>,
) -> Result<Option<io::Error>, Over> {
    if size > SMALL_MEMBER_BYTES {
        return stream(walk, at, reader, Some(size), nesting);
    }
    let mut bytes = Vec::new();
    let result = reader.take(size).read_to_end(&mut bytes);
    slice(walk, at, &bytes, nesting)?;
    Ok(result.err())
}

/// Reads a stream to its end, so that an error behind a damaged archive is still met.
fn drain(mut reader: impl Read) -> Option<io::Error> {
    io::copy(&mut reader, &mut io::sink()).err()
}
