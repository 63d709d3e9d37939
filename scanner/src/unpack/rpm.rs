//! RPM packages: a lead, two headers, and a compressed cpio archive.
//!
//! The headers hold text too (scripts, descriptions), so that everything before the payload is searched as it is.
//! Format: RPM documentation, "RPM V4 Package format".

use super::{Nesting, member, slice as search};
use crate::blob::Provenance;
use crate::walk::{Over, Walk};

const LEAD_BYTES: usize = 96;

/// Searches a package that lies in memory.
pub(crate) fn slice(
    walk: &Walk<'_>,
    at: &Provenance,
    bytes: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    let Some(payload) = payload(bytes) else {
        super::broken(walk, at, nesting, "the RPM package is damaged or cut off; searched raw", None);
        return walk.emit_slice(at.clone(), bytes);
    };
    walk.emit_slice(at.clone(), &bytes[..payload])?;
    search(walk, member(at, "payload".to_owned()), &bytes[payload..], nesting.inner())
}

/// Where the payload begins: behind the signature header, aligned, and the main header.
fn payload(bytes: &[u8]) -> Option<usize> {
    let signature = header_end(bytes, LEAD_BYTES)?.checked_next_multiple_of(8)?;
    let end = header_end(bytes, signature)?;
    (end <= bytes.len()).then_some(end)
}

/// A header is a magic, the number of its 16-byte index entries and the length of its store.
fn header_end(bytes: &[u8], at: usize) -> Option<usize> {
    const INTRODUCTION_BYTES: usize = 16;
    let introduction = bytes.get(at..)?.get(..INTRODUCTION_BYTES)?;
    if !introduction.starts_with(&[0x8e, 0xad, 0xe8]) {
        return None;
    }
    let number = |from: usize| Some(u32::from_be_bytes(*introduction.get(from..)?.first_chunk()?) as usize);
    let (entries, store) = (number(8)?, number(12)?);
    at.checked_add(INTRODUCTION_BYTES)?.checked_add(entries.checked_mul(16)?)?.checked_add(store)
}
