//! Git's loose objects. Format: `gitformat-loose(5)`: zlib over a kind, a length, a zero byte and the content.

use std::io::Read;

use super::compression::decode;
use super::format::Codec;
use super::window::{Grant, ask};
use super::{Nesting, broken, member, stream as search_stream};
use crate::blob::Provenance;
use crate::walk::{Over, Walk};

/// A kind, a length of 20 digits at most, and what stands between them.
const HEADER_BYTES_MAX: usize = 32;

/// Whether these are the first bytes of a loose object. Two bytes are a weak sign, so that it is decoded.
pub(crate) fn is_loose(head: &[u8]) -> bool {
    let [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] = head else { return false };
    let mut text = [0; HEADER_BYTES_MAX];
    let mut inflate = flate2::Decompress::new(true);
    let read = inflate.decompress(head, &mut text, flate2::FlushDecompress::Sync);
    read.is_ok() && kind(&text).is_some()
}

/// The kind that a header names, and the header's length.
fn kind(text: &[u8]) -> Option<(&'static str, usize)> {
    let kind =
        ["blob", "tree", "commit", "tag"].into_iter().find(|kind| text.starts_with(kind.as_bytes()))?;
    let rest = text[kind.len()..].strip_prefix(b" ")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0 && rest.get(digits) == Some(&0)).then_some((kind, kind.len() + digits + 2))
}

/// Searches an object that lies in memory.
pub(crate) fn slice(
    walk: &Walk<'_>,
    at: &Provenance,
    bytes: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    let Grant::Now(window) = ask(walk, Codec::Zlib, bytes) else { return walk.emit_slice(at.clone(), bytes) };
    let error = match decode(walk, (at, Codec::Zlib), bytes, window, nesting) {
        Ok(mut decoded) => {
            let mut text = [0; HEADER_BYTES_MAX];
            match super::tar::read_full(&mut decoded, &mut text) {
                Ok(count) => {
                    let (kind, header) = kind(&text[..count]).unwrap_or(("object", 0));
                    let mut content = text[header..count].chain(&mut decoded);
                    search_stream(walk, member(at, kind.to_owned()), &mut content, None, nesting.inner())?
                }
                Err(error) => Some(error),
            }
        }
        Err(error) => Some(error),
    };
    if let Some(error) = error {
        walk.check_stopped()?;
        broken(walk, at, nesting, "the git object does not decode to its end; searched raw", Some(&error));
        return walk.emit_slice(at.clone(), bytes);
    }
    Ok(())
}
