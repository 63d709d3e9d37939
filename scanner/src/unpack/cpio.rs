//! cpio archives: initial RAM disks, and the payload of RPM packages.
//!
//! Formats: the "new ASCII" ones (`newc`, with or without checksum) and the portable ASCII one of POSIX.1-1997.
//! Several archives may follow each other, as early microcode and the RAM disk proper do.

use super::{Nesting, label, member, slice as search};
use crate::blob::Provenance;
use crate::walk::{Over, Walk};

const TRAILER: &[u8] = b"TRAILER!!!";

/// Searches the members of an archive that lies in memory.
pub(crate) fn slice(
    walk: &Walk<'_>,
    at: &Provenance,
    bytes: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    let mut rest = bytes;
    loop {
        let Some((name, data, after)) = next(rest) else {
            super::broken(
                walk,
                at,
                nesting,
                "the cpio archive is damaged or cut off; its rest was searched raw",
                None,
            );
            return walk.emit_slice(at.clone(), rest);
        };
        rest = after;
        walk.count_entry()?;
        if name == TRAILER {
            break;
        }
        if !data.is_empty() {
            search(walk, member(at, label::path(name)), data, nesting.inner())?;
        }
    }
    let padding = rest.iter().take_while(|&&byte| byte == 0).count();
    let rest = &rest[padding..];
    if rest.is_empty() {
        return Ok(());
    }
    // What follows may be compressed, or another archive.
    let name = at.entries.last().unwrap_or(&at.path);
    let name = name.rsplit('/').next().unwrap_or(name).to_owned();
    search(walk, member(at, name), rest, nesting.inner())
}

type Next<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn next(bytes: &[u8]) -> Option<Next<'_>> {
    match bytes.get(..6)? {
        b"070701" | b"070702" => newc(bytes),
        b"070707" => odc(bytes),
        _ => None,
    }
}

/// Thirteen numbers of eight hexadecimal digits; name and data each end at a multiple of four.
fn newc(bytes: &[u8]) -> Option<Next<'_>> {
    const HEADER_BYTES: usize = 110;
    let field = |index: usize| number(bytes.get(6 + 8 * index..)?.get(..8)?, 16);
    let (size, name_size) = (field(6)?, field(11)?);
    let name = bytes.get(HEADER_BYTES..)?.get(..name_size)?;
    let from = HEADER_BYTES.checked_add(name_size)?.checked_next_multiple_of(4)?;
    split(bytes, name, from, size, 4)
}

/// Octal numbers, nothing aligned.
fn odc(bytes: &[u8]) -> Option<Next<'_>> {
    const HEADER_BYTES: usize = 76;
    let name_size = number(bytes.get(59..65)?, 8)?;
    let size = number(bytes.get(65..76)?, 8)?;
    let name = bytes.get(HEADER_BYTES..)?.get(..name_size)?;
    split(bytes, name, HEADER_BYTES.checked_add(name_size)?, size, 1)
}

fn split<'a>(bytes: &'a [u8], name: &'a [u8], from: usize, size: usize, align: usize) -> Option<Next<'a>> {
    let data = bytes.get(from..)?.get(..size)?;
    let end = (from + size).checked_next_multiple_of(align)?;
    Some((name.strip_suffix(b"\0").unwrap_or(name), data, bytes.get(end..).unwrap_or_default()))
}

fn number(digits: &[u8], radix: u32) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}
