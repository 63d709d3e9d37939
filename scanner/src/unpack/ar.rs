//! Unix `ar` archives: static libraries and Debian packages. Format: `ar(5)` of BSD and System V.

use shared::coverage::Opaque;

use super::{Nesting, label, member, slice as search};
use crate::blob::Provenance;
use crate::walk::{Over, Place, Walk};

const MAGIC_BYTES: usize = 8;
const HEADER_BYTES: usize = 60;

/// Searches the members of an archive that lies in memory.
pub(crate) fn slice(
    walk: &Walk<'_>,
    at: &Provenance,
    bytes: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    let mut rest = bytes.get(MAGIC_BYTES..).unwrap_or_default();
    // System V keeps long names in a member of its own.
    let mut names: &[u8] = &[];
    while !rest.is_empty() {
        let Some((name, data, after)) = next(rest, names) else {
            walk.opaque(
                &Place::Blob(at),
                Opaque::Corrupt,
                "the ar archive is damaged; its rest is searched raw".to_owned(),
            );
            return walk.emit_slice(at.clone(), rest);
        };
        rest = after;
        walk.count_entry()?;
        match name {
            Name::Table => names = data,
            Name::Member(name) => search(walk, member(at, label::path(&name)), data, nesting.inner())?,
        }
    }
    Ok(())
}

enum Name {
    Table,
    Member(Vec<u8>),
}

fn next<'a>(bytes: &'a [u8], names: &[u8]) -> Option<(Name, &'a [u8], &'a [u8])> {
    let header = bytes.get(..HEADER_BYTES)?;
    if &header[58..] != b"`\n" {
        return None;
    }
    let size = number(&header[48..58])?;
    let mut data = bytes[HEADER_BYTES..].get(..size)?;
    let after = bytes.get(HEADER_BYTES + size.checked_next_multiple_of(2)?..).unwrap_or_default();
    let field = header[..16].trim_ascii_end();
    let name = if field == b"//" {
        Name::Table
    } else if let Some(length) = field.strip_prefix(b"#1/") {
        // BSD puts a long name before the data.
        let (name, behind) = data.split_at_checked(number(length)?)?;
        data = behind;
        Name::Member(name.split(|&byte| byte == 0).next().unwrap_or_default().to_vec())
    } else if let Some(offset) = field.strip_prefix(b"/").and_then(number) {
        let name = names.get(offset..).unwrap_or_default();
        Name::Member(name.split(|&byte| matches!(byte, b'\n' | b'/')).next().unwrap_or_default().to_vec())
    } else {
        Name::Member(field.strip_suffix(b"/").unwrap_or(field).to_vec())
    };
    Some((name, data, after))
}

fn number(field: &[u8]) -> Option<usize> {
    std::str::from_utf8(field.trim_ascii()).ok()?.parse().ok()
}
