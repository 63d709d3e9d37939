//! PDF files: as they lie, and each compressed stream as a member.
//!
//! Strings, dictionaries and uncompressed streams are plain bytes. Text and embedded files are mostly behind
//! `FlateDecode`. Format: ISO 32000-1, 7.3.8 and 7.4.4. Streams behind another filter first, and text whose letters
//! are placed one by one, are not put together.

use memchr::memmem;
use shared::coverage::Opaque;

use super::compression::decode;
use super::format::Codec;
use super::window::{Grant, ask};
use super::{Nesting, broken, member, stream as search_stream};
use crate::blob::Provenance;
use crate::walk::{Over, Place, Walk};

/// How far a stream's dictionary reaches back.
const DICTIONARY_BYTES_MAX: usize = 4 << 10;

/// Searches a file that lies in memory.
pub(crate) fn slice(
    walk: &Walk<'_>,
    at: &Provenance,
    bytes: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    walk.emit_slice(at.clone(), bytes)?;
    if memmem::rfind(bytes, b"/Encrypt").is_some() {
        walk.opaque(&Place::Blob(at), Opaque::Encrypted, "an encrypted PDF".to_owned());
        return Ok(());
    }
    let mut from = 0;
    while let Some(found) = Stream::next(bytes, from) {
        from = found.end;
        if !found.is_deflated {
            continue;
        }
        walk.count_entry()?;
        let inner = member(at, found.name);
        let data = &bytes[found.start..found.end];
        let Grant::Now(window) = ask(walk, Codec::Zlib, data) else { continue };
        let error = match decode(walk, Codec::Zlib, data, window, nesting.expansion()) {
            Ok(mut decoded) => search_stream(walk, inner.clone(), &mut decoded, None, nesting.inner())?,
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            walk.check_stopped()?;
            broken(walk, &inner, nesting.inner(), "the stream does not decode to its end", Some(&error));
        }
    }
    Ok(())
}

/// One stream of a file.
struct Stream {
    name: String,
    start: usize,
    end: usize,
    is_deflated: bool,
}

impl Stream {
    fn next(bytes: &[u8], from: usize) -> Option<Self> {
        let keyword = memmem::find_iter(&bytes[from..], b"stream")
            .map(|at| from + at)
            .find(|&at| !bytes[..at].ends_with(b"end"))?;
        let mut start = keyword + b"stream".len();
        for line_end in [b'\r', b'\n'] {
            start += usize::from(bytes.get(start) == Some(&line_end));
        }
        let end = memmem::find(&bytes[start..], b"endstream").map_or(bytes.len(), |at| start + at);
        let head = &bytes[keyword.saturating_sub(DICTIONARY_BYTES_MAX).max(from)..keyword];
        // Streams follow objects: what is before the last `obj` belongs to another one.
        let object = memmem::rfind(head, b" obj");
        let dictionary = &head[object.unwrap_or(0)..];
        let number = object.and_then(|at| {
            let mut words = head[..at].rsplit(|byte| byte.is_ascii_whitespace());
            let number = words.nth(1)?;
            std::str::from_utf8(number).ok()?.parse::<u32>().ok()
        });
        Some(Self {
            name: number.map_or_else(|| format!("stream at {start}"), |number| format!("object {number}")),
            start,
            end,
            is_deflated: first_filter_is_flate(dictionary),
        })
    }
}

/// `/Filter /FlateDecode`, `/Filter [/FlateDecode …]`, or its abbreviation.
fn first_filter_is_flate(dictionary: &[u8]) -> bool {
    let Some(at) = memmem::rfind(dictionary, b"/Filter") else { return false };
    let value = dictionary[at + b"/Filter".len()..].trim_ascii_start();
    let value = value.strip_prefix(b"[").unwrap_or(value).trim_ascii_start();
    value.starts_with(b"/Fl")
}
