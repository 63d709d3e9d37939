//! SQLite databases: searched as they lie, free pages and deleted rows included, and what lies in pieces put together.
//!
//! A row that is longer than its page goes on in a chain of overflow pages, so that a secret may be cut in two. Such
//! rows are read along their chain, as a member; the rest of the file is searched with them blanked out, so that
//! nothing is found twice. Format: "Database File Format" of sqlite.org, sections 1.3 to 1.6.

use std::io::{self, Read};
use std::iter::Peekable;
use std::ops::Range;

use super::{Nesting, broken, member};
use crate::blob::{Content, Provenance};
use crate::walk::{Over, Walk};

/// The first bytes of every database.
pub(crate) const MAGIC: &[u8; 16] = b"SQLite format 3\0";

const HEADER_BYTES: usize = 100;

/// Pieces of rows that are blanked out; those of larger databases may be found twice. 16 bytes each.
const PIECES_MAX: usize = 500_000;

/// Searches a database that lies in memory.
pub(crate) fn slice(
    walk: &Walk<'_>,
    at: &Provenance,
    bytes: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    let Some(database) = Database::of(bytes) else {
        broken(walk, at, nesting, "the SQLite database has no valid header; searched raw", None);
        return walk.emit_slice(at.clone(), bytes);
    };
    let mut seen = Seen { pages: vec![0; database.pages / 64 + 1], pieces: Vec::new() };
    for page in 1..=database.pages {
        for (cell, start) in database.cells(page) {
            let Some(row) = database.row(page, start) else { continue };
            if row.rest == 0 || !database.is_page(row.next) || seen.has(row.next) {
                continue;
            }
            walk.count_entry()?;
            let name = format!("page {page} cell {cell}");
            let mut chain = Chain { database: &database, seen: &mut seen, row };
            let content = Content::Stream { reader: &mut chain, size_hint: None };
            walk.emit(member(at, name), content)?;
        }
    }
    if database.is_short {
        broken(walk, at, nesting, "the SQLite database is cut off", None);
    }
    let mut pieces = seen.pieces;
    if pieces.is_empty() {
        return walk.emit_slice(at.clone(), bytes);
    }
    pieces.sort_unstable_by_key(|piece| piece.start);
    let mut blanked = Blanked { bytes, at: 0, pieces: pieces.into_iter().peekable() };
    walk.emit(at.clone(), Content::Stream { reader: &mut blanked, size_hint: Some(bytes.len() as u64) })
}

struct Database<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    /// Without what extensions reserve at the end of each page.
    usable: usize,
    pages: usize,
    /// The header says more pages than there are.
    is_short: bool,
}

/// What a cell holds of a row, and where it goes on.
#[derive(Clone)]
struct Row {
    /// In the file.
    local: Range<usize>,
    /// Bytes in overflow pages.
    rest: u64,
    next: usize,
}

impl<'a> Database<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?;
        let page_bytes = match be16(header, 16)? {
            1 => 65_536,
            size if size >= 512 && size.is_power_of_two() => size,
            _ => return None,
        };
        let usable = page_bytes.checked_sub(usize::from(header[20])).filter(|usable| *usable >= 480)?;
        let pages = bytes.len().div_ceil(page_bytes);
        // The count is right when the last program to write was a new one.
        let counted = header[24..28] == header[92..96];
        let is_short = counted && be32(header, 28)? > pages || !bytes.len().is_multiple_of(page_bytes);
        Some(Self { bytes, page_bytes, usable, pages, is_short })
    }

    fn is_page(&self, page: usize) -> bool {
        page >= 1 && page <= self.pages
    }

    fn start(&self, page: usize) -> usize {
        (page - 1) * self.page_bytes
    }

    /// Where the header of a page's tree node lies, and its kind.
    fn node(&self, page: usize) -> Option<(usize, u8)> {
        let header = self.start(page) + if page == 1 { HEADER_BYTES } else { 0 };
        Some((header, *self.bytes.get(header)?))
    }

    /// The cells that may hold rows: their number and place in the file.
    fn cells(&self, page: usize) -> impl Iterator<Item = (usize, usize)> {
        let (header, kind) = self.node(page).unwrap_or_default();
        let node_bytes = match kind {
            INDEX_LEAF | TABLE_LEAF => Some(8),
            INDEX_NODE => Some(12),
            _ => None,
        };
        let count = node_bytes.and_then(|_| be16(self.bytes, header + 3)).unwrap_or(0);
        let pointers = header + node_bytes.unwrap_or(0);
        let start = self.start(page);
        let bytes = self.bytes;
        let page_bytes = self.page_bytes;
        // No page has room for more pointers than this.
        (0..count.min(page_bytes / 2)).filter_map(move |cell| {
            let offset = be16(bytes, pointers + 2 * cell)?;
            (offset < page_bytes).then_some((cell, start + offset))
        })
    }

    /// The row in a cell, if it has overflow pages.
    fn row(&self, page: usize, mut at: usize) -> Option<Row> {
        let (_, kind) = self.node(page)?;
        if kind == INDEX_NODE {
            at += 4;
        }
        let payload = varint(self.bytes, &mut at)?;
        if kind == TABLE_LEAF {
            varint(self.bytes, &mut at)?;
        }
        let usable = self.usable as u64;
        let most = if kind == TABLE_LEAF { usable - 35 } else { (usable - 12) * 64 / 255 - 23 };
        if payload <= most {
            return None;
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let fitting = least + (payload - least) % (usable - 4);
        let local = if fitting <= most { fitting } else { least };
        let end = at.checked_add(usize::try_from(local).ok()?)?;
        if end + 4 > self.start(page) + self.page_bytes {
            return None;
        }
        Some(Row { local: at..end, rest: payload - local, next: be32(self.bytes, end)? })
    }
}

const INDEX_NODE: u8 = 2;
const INDEX_LEAF: u8 = 10;
const TABLE_LEAF: u8 = 13;

/// What was read along chains.
struct Seen {
    /// A bit a page.
    pages: Vec<u64>,
    pieces: Vec<Range<usize>>,
}

impl Seen {
    fn has(&self, page: usize) -> bool {
        self.pages.get(page / 64).is_none_or(|bits| bits >> (page % 64) & 1 == 1)
    }

    fn add(&mut self, page: usize) {
        if let Some(bits) = self.pages.get_mut(page / 64) {
            *bits |= 1 << (page % 64);
        }
    }

    fn piece(&mut self, piece: Range<usize>) {
        if self.pieces.len() < PIECES_MAX {
            self.pieces.push(piece);
        }
    }
}

/// Reads a row: what its cell holds, then its overflow pages. No page is read twice, so that a chain that leads back
/// into itself, or into another, ends.
struct Chain<'a> {
    database: &'a Database<'a>,
    seen: &'a mut Seen,
    row: Row,
}

impl Chain<'_> {
    /// The next page's part of the row.
    fn follow(&mut self) -> Option<()> {
        let page = self.row.next;
        if self.row.rest == 0 || !self.database.is_page(page) || self.seen.has(page) {
            return None;
        }
        self.seen.add(page);
        let start = self.database.start(page);
        let length = (self.database.usable as u64 - 4).min(self.row.rest);
        self.row.next = be32(self.database.bytes, start)?;
        self.row.rest -= length;
        let end = start + 4 + usize::try_from(length).ok()?;
        self.row.local = start + 4..end.min(self.database.bytes.len());
        Some(())
    }
}

impl Read for Chain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.row.local.is_empty() {
            if self.follow().is_none() {
                return Ok(0);
            }
        }
        let from = self.row.local.start;
        let Some(piece) = self.database.bytes.get(self.row.local.clone()) else { return Ok(0) };
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.seen.piece(from..from + count);
        self.row.local.start += count;
        Ok(count)
    }
}

/// The file with zeros in place of some of its bytes.
struct Blanked<'a, I: Iterator<Item = Range<usize>>> {
    bytes: &'a [u8],
    at: usize,
    /// Sorted by their starts.
    pieces: Peekable<I>,
}

impl<I: Iterator<Item = Range<usize>>> Read for Blanked<'_, I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        let end = self.at + count;
        while let Some(piece) = self.pieces.peek().filter(|piece| piece.start < end) {
            let (from, to) = (piece.start.max(self.at) - self.at, piece.end.min(end).saturating_sub(self.at));
            if let Some(inside) = buffer.get_mut(from..to) {
                inside.fill(0);
            }
            if piece.end > end {
                break;
            }
            self.pieces.next();
        }
        self.at = end;
        Ok(count)
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

/// Up to nine bytes, seven bits each, the ninth whole.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for index in 0..9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if index == 8 {
            return Some(value << 8 | u64::from(byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
