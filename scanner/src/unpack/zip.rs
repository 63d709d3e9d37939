//! Zip archives: jar, war, whl, apk, docx and all their kin.
//!
//! The central directory says what there is, as every reader of zip files believes it. Members are found through it
//! in place, and whatever lies between them is searched too: that is where self-extracting programs, signatures
//! and deleted members lie. Format: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5.

use std::io::{self, Read};

use shared::coverage::{Opaque, Skipped};

use super::compression::{decode, limit_reached};
use super::format::Codec;
use super::window::{Grant, Window, ask, too_large};
use super::{Nesting, SMALL_MEMBER_BYTES, label, member, slice as search, stream as search_stream};
use crate::blob::Provenance;
use crate::walk::{Over, Place, Walk};

const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
/// What is shorter holds no secret.
const COMMENT_BYTES_MIN: usize = 12;
/// Times, owners, 64-bit sizes and keys' parameters take less.
const EXTRA_BYTES_MIN: usize = 64;
/// A comment of at most 64 KiB may follow the end record.
const END_SEARCH_BYTES: usize = END_BYTES + 0xffff;

/// Searches the members of an archive that lies in memory.
pub(crate) fn slice(
    walk: &Walk<'_>,
    at: &Provenance,
    bytes: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    let Some(directory) = Directory::find(bytes) else {
        let detail = "the zip archive has no directory: it is cut off or none; searched raw";
        super::broken(walk, at, nesting, detail, None);
        return walk.emit_slice(at.clone(), bytes);
    };
    if directory.overlaps(bytes.len()) {
        let detail = "its members overlap, as those of a zip bomb do; searched raw";
        walk.skip(&Place::Blob(at), Skipped::Limit, detail.to_owned());
        return walk.emit_slice(at.clone(), bytes);
    }
    let mut members = directory.members;
    // Where the last member's data ended: what is before the next one is no member's.
    let mut gaps = Gaps::default();
    let mut whole = true;
    while !members.is_empty() {
        walk.count_entry()?;
        let Some((found, rest)) = Member::next(members, bytes, directory.shift) else {
            whole = false;
            break;
        };
        members = rest;
        gaps.cover(found.start, found.end);
        for text in &found.beside {
            walk.emit_slice(member(&member(at, label::path(found.name)), "zip header".to_owned()), text)?;
        }
        if found.name.ends_with(b"/") && found.data.is_empty() {
            continue;
        }
        self::found(walk, member(at, label::path(found.name)), &found, nesting.inner())?;
    }
    if !whole {
        super::broken(walk, at, nesting, "the zip archive's directory is damaged; searched raw", None);
        return walk.emit_slice(at.clone(), bytes);
    }
    for gap in gaps.within(directory.start) {
        walk.emit_slice(at.clone(), &bytes[gap])?;
    }
    walk.emit_slice(at.clone(), directory.comment)
}

fn found(walk: &Walk<'_>, at: Provenance, found: &Member<'_>, nesting: Nesting<'_>) -> Result<(), Over> {
    const ENCRYPTED: u16 = 1;
    if found.flags & ENCRYPTED != 0 {
        walk.opaque(&Place::Blob(&at), Opaque::Encrypted, "encrypted in a zip archive".to_owned());
        return walk.emit_slice(at, found.data);
    }
    let codec = match found.method {
        0 => return search(walk, at, found.data, nesting),
        8 => Codec::Deflate,
        12 => Codec::Bzip2,
        20 | 93 => Codec::Zstd,
        95 => Codec::Xz,
        method => {
            let detail = format!("compression method {method} of zip is not read");
            walk.opaque(&Place::Blob(&at), Opaque::Unsupported, detail);
            return walk.emit_slice(at, found.data);
        }
    };
    packed(walk, at, Packed { codec, size: found.size }, found.data, nesting)
}

/// How a member is compressed.
#[derive(Clone, Copy)]
struct Packed {
    codec: Codec,
    /// Of the uncompressed data; a claim.
    size: u64,
}

fn packed(
    walk: &Walk<'_>,
    at: Provenance,
    packed: Packed,
    data: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    let window = match ask(walk, packed.codec, data) {
        Grant::Now(window) => window,
        Grant::Later => {
            let (place, kept) = (at.clone(), nesting.kept());
            let later =
                move |walk: &Walk<'_>, data: &[u8]| self::packed(walk, place, packed, data, kept.nesting());
            walk.put_aside(&at, data, Box::new(later));
            return Ok(());
        }
        Grant::Never(needed) => {
            too_large(walk, &at, packed.codec, needed);
            return walk.emit_slice(at, data);
        }
    };
    let error = inflate(walk, &at, packed, data, window, nesting)?;
    let Some(error) = error else { return Ok(()) };
    walk.check_stopped()?;
    match limit_reached(&error) {
        Some(limit) => walk.skip(&Place::Blob(&at), Skipped::Limit, limit),
        None => {
            let detail = "does not decode to its end; its raw bytes were searched";
            walk.opaque(&Place::Blob(&at), Opaque::Corrupt, detail.to_owned());
        }
    }
    walk.emit_slice(at, data)
}

/// Searches what comes out of a member; small ones as a slice. Returns the decoder's error, if it failed.
fn inflate(
    walk: &Walk<'_>,
    at: &Provenance,
    packed: Packed,
    data: &[u8],
    window: Window,
    nesting: Nesting<'_>,
) -> Result<Option<io::Error>, Over> {
    let mut decoded = match decode(walk, (at, packed.codec), data, window, nesting) {
        Ok(decoded) => decoded,
        Err(error) => return Ok(Some(error)),
    };
    if packed.size > SMALL_MEMBER_BYTES {
        return search_stream(walk, at.clone(), &mut decoded, Some(packed.size), nesting);
    }
    let mut bytes = Vec::new();
    // The size is a claim: one byte more tells that it lies.
    let read = (&mut decoded).take(SMALL_MEMBER_BYTES + 1).read_to_end(&mut bytes);
    if read.is_err() || bytes.len() as u64 <= SMALL_MEMBER_BYTES {
        search(walk, at.clone(), &bytes, nesting)?;
        return Ok(read.err());
    }
    search_stream(walk, at.clone(), &mut bytes.chain(decoded), None, nesting)
}

/// The central directory and what surrounds it.
struct Directory<'a> {
    members: &'a [u8],
    /// Where it begins in the file.
    start: usize,
    /// What has to be added to its offsets: programs put before an archive do not correct them.
    shift: usize,
    comment: &'a [u8],
}

impl<'a> Directory<'a> {
    fn find(bytes: &'a [u8]) -> Option<Self> {
        let from = bytes.len().saturating_sub(END_SEARCH_BYTES);
        let ends = memchr::memmem::rfind_iter(&bytes[from..], b"PK\x05\x06");
        ends.map(|end| from + end).find_map(|end| Self::at(bytes, end))
    }

    fn at(bytes: &'a [u8], end: usize) -> Option<Self> {
        let record = bytes.get(end..)?.get(..END_BYTES)?;
        let mut length = u64::from(u32_at(record, 12)?);
        let mut offset = u64::from(u32_at(record, 16)?);
        let comment_length = usize::from(u16_at(record, 20)?);
        let comment = bytes.get(end + END_BYTES..)?.get(..comment_length)?;
        // Where the directory ends: before the end record, or before the 64-bit one.
        let mut directory_end = end;
        if let Some(locator) = end.checked_sub(20).and_then(|at| bytes.get(at..end))
            && locator.starts_with(b"PK\x06\x07")
            && let Some((at, record)) = end64(bytes, end, u64_at(locator, 8)?)
        {
            length = u64_at(record, 40)?;
            offset = u64_at(record, 48)?;
            directory_end = at;
        }
        let length = usize::try_from(length).ok()?;
        let start = directory_end.checked_sub(length)?;
        let shift = start.checked_sub(usize::try_from(offset).ok()?)?;
        let members = bytes.get(start..directory_end)?;
        (members.is_empty() || members.starts_with(b"PK\x01\x02")).then_some(Self {
            members,
            start,
            shift,
            comment,
        })
    }
}

impl Directory<'_> {
    /// Whether members claim more stored bytes than there are.
    fn overlaps(&self, length: usize) -> bool {
        let mut members = self.members;
        let mut packed = 0_u64;
        while let Some((header, [name, extra, comment])) = central(members) {
            packed = packed.saturating_add(sizes(header, extra).map_or(0, |sizes| sizes[1]));
            members = &members[CENTRAL_BYTES + name.len() + extra.len() + comment.len()..];
        }
        packed > length as u64
    }
}

/// An entry's fixed part; its name, extra fields and comment.
fn central(directory: &[u8]) -> Option<(&[u8], [&[u8]; 3])> {
    let header = directory.get(..CENTRAL_BYTES)?;
    if !header.starts_with(b"PK\x01\x02") {
        return None;
    }
    let [name, extra, comment] =
        [u16_at(header, 28)?, u16_at(header, 30)?, u16_at(header, 32)?].map(usize::from);
    let (name, rest) = directory[CENTRAL_BYTES..].split_at_checked(name)?;
    let (extra, rest) = rest.split_at_checked(extra)?;
    Some((header, [name, extra, rest.get(..comment)?]))
}

/// The 64-bit end record: where the locator says, or right before the locator when the file was moved.
fn end64(bytes: &[u8], end: usize, said: u64) -> Option<(usize, &[u8])> {
    const RECORD_BYTES: usize = 56;
    let before = (end - 20).checked_sub(RECORD_BYTES);
    let candidates = [usize::try_from(said).ok(), before];
    candidates.into_iter().flatten().find_map(|at| {
        let record = bytes.get(at..)?.get(..RECORD_BYTES)?;
        record.starts_with(b"PK\x06\x06").then_some((at, record))
    })
}

/// One entry of the directory, and its data.
struct Member<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    /// Of the uncompressed data; a claim.
    size: u64,
    data: &'a [u8],
    /// Comment and extra fields, where they hold more than numbers.
    beside: Vec<&'a [u8]>,
    /// Local header and data.
    start: usize,
    end: usize,
}

impl<'a> Member<'a> {
    fn next(directory: &'a [u8], bytes: &'a [u8], shift: usize) -> Option<(Self, &'a [u8])> {
        let (header, [name, extra, comment]) = central(directory)?;
        let rest = &directory[CENTRAL_BYTES + name.len() + extra.len() + comment.len()..];
        let [size, packed, offset] = sizes(header, extra)?;
        let start = usize::try_from(offset).ok()?.checked_add(shift)?;
        let local = bytes.get(start..)?.get(..LOCAL_BYTES)?;
        if !local.starts_with(b"PK\x03\x04") {
            return None;
        }
        let own_name = LOCAL_BYTES + usize::from(u16_at(local, 26)?);
        let own_extra = bytes.get(start + own_name..)?.get(..usize::from(u16_at(local, 28)?))?;
        let from = start + own_name + own_extra.len();
        let data = bytes.get(from..)?.get(..usize::try_from(packed).ok()?)?;
        let (flags, method) = (u16_at(header, 8)?, u16_at(header, 10)?);
        let texts = [(comment, COMMENT_BYTES_MIN), (extra, EXTRA_BYTES_MIN), (own_extra, EXTRA_BYTES_MIN)];
        let beside =
            texts.into_iter().filter(|(text, least)| text.len() >= *least).map(|text| text.0).collect();
        Some((Self { name, flags, method, size, data, beside, start, end: from + data.len() }, rest))
    }
}

/// Uncompressed size, stored size and offset of an entry. The 64-bit extra field holds only those numbers that did
/// not fit, in this order.
fn sizes(header: &[u8], mut extra: &[u8]) -> Option<[u64; 3]> {
    let mut numbers = [u32_at(header, 24)?, u32_at(header, 20)?, u32_at(header, 42)?].map(u64::from);
    while let (Some(kind), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        // Aligners and packers write stray bytes here; they are no reason to give up the member.
        let Some(mut field) = extra[4..].get(..usize::from(length)) else { break };
        extra = &extra[4 + field.len()..];
        if kind == 1 {
            for number in numbers.iter_mut().filter(|number| **number == u64::from(u32::MAX)) {
                *number = u64_at(field, 0)?;
                field = &field[8..];
            }
        }
    }
    Some(numbers)
}

/// Which parts of a file members cover.
#[derive(Default)]
struct Gaps {
    covered: Vec<(usize, usize)>,
}

impl Gaps {
    fn cover(&mut self, start: usize, end: usize) {
        // Members usually follow each other: one range for all of them.
        match self.covered.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => self.covered.push((start, end)),
        }
    }

    /// Ranges before `end` that no member covers, longer than a data descriptor.
    fn within(mut self, end: usize) -> Vec<std::ops::Range<usize>> {
        const DESCRIPTOR_BYTES: usize = 24;
        self.covered.sort_unstable();
        self.covered.push((end, end));
        let mut gaps = Vec::new();
        let mut at = 0;
        for (start, end) in self.covered {
            if start > at + DESCRIPTOR_BYTES {
                gaps.push(at..start);
            }
            at = at.max(end);
        }
        gaps
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}
