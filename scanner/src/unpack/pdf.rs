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
        match found.filter {
            Filter::Flate => {}
            Filter::None => continue,
            Filter::Unread(what) => {
                walk.opaque(&Place::Blob(&member(at, found.name)), Opaque::Unsupported, what.to_owned());
                continue;
            }
        }
        walk.count_entry()?;
        let inner = member(at, found.name);
        let data = &bytes[found.start..found.end];
        let Grant::Now(window) = ask(walk, Codec::Zlib, data) else { continue };
        let error = match decode(walk, (&inner, Codec::Zlib), data, window, nesting) {
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
    filter: Filter,
}

/// What has to be undone first.
enum Filter {
    /// Nothing, or what makes pictures.
    None,
    Flate,
    /// What may hold text, and is not read: why.
    Unread(&'static str),
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
            filter: if object.is_none() && keyword - from > DICTIONARY_BYTES_MAX {
                Filter::Unread("a stream whose dictionary is longer than 4 KiB")
            } else {
                first_filter(dictionary)
            },
        })
    }
}

/// `/Filter /FlateDecode`, `/Filter [/FlateDecode …]`, or its abbreviation.
fn first_filter(dictionary: &[u8]) -> Filter {
    let Some(at) = memmem::rfind(dictionary, b"/Filter") else { return Filter::None };
    let value = dictionary[at + b"/Filter".len()..].trim_ascii_start();
    let value = value.strip_prefix(b"[").unwrap_or(value).trim_ascii_start();
    let Some(name) = value.strip_prefix(b"/") else {
        // `[]`, or a reference to another object.
        let is_empty = value.starts_with(b"]");
        return if is_empty { Filter::None } else { Filter::Unread("a filter that another object names") };
    };
    let end = name.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(name.len());
    match &name[..end] {
        b"FlateDecode" | b"Fl" => Filter::Flate,
        b"LZWDecode" | b"LZW" => Filter::Unread("the filter LZW is not read"),
        b"ASCII85Decode" | b"A85" => Filter::Unread("the filter ASCII85 is not read"),
        b"ASCIIHexDecode" | b"AHx" => Filter::Unread("the filter ASCIIHex is not read"),
        b"RunLengthDecode" | b"RL" => Filter::Unread("the filter RunLength is not read"),
        b"BrotliDecode" => Filter::Unread("the filter Brotli is not read"),
        b"Crypt" => Filter::Unread("the filter Crypt is not read"),
        _ => Filter::None,
    }
}
