//! What lies beside compressed content: skippable frames of zstd and lz4, comments and extra fields of gzip.
//!
//! No decoder reads them, and no program shows them; zstd:chunked keeps its table of contents there. They are searched
//! as members, so that nothing hides in them.

use std::io::{self, BufRead, Read};

use super::compression::limit;
use super::tar::read_full;
use super::{Nesting, member, stream as search_stream};
use crate::blob::Provenance;
use crate::walk::Walk;

/// What is shorter holds no secret. pzstd writes a frame of 4 bytes before every other.
const SEARCHED_BYTES_MIN: usize = 12;

/// Searches what lies beside the content of one compressed stream.
pub(crate) struct Beside<'a> {
    walk: &'a Walk<'a>,
    at: &'a Provenance,
    nesting: Nesting<'a>,
    count: u32,
}

impl<'a> Beside<'a> {
    /// For the stream at a place.
    pub(crate) fn new(walk: &'a Walk<'a>, at: &'a Provenance, nesting: Nesting<'a>) -> Self {
        Self { walk, at, nesting, count: 0 }
    }

    /// Takes a skippable frame from a reader that stands behind its header, and searches its content.
    fn frame(&mut self, reader: &mut impl Read, length: u32) -> io::Result<()> {
        let mut content = reader.take(u64::from(length));
        if length as usize >= SEARCHED_BYTES_MIN {
            self.search("skippable frame", &mut content)?;
        }
        io::copy(&mut content, &mut io::sink())?;
        if content.limit() > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Searches what stands in the header of a gzip member.
    pub(super) fn header(&mut self, header: &flate2::GzHeader) -> io::Result<()> {
        let parts = [header.extra(), header.filename(), header.comment()].into_iter().flatten();
        let text = parts.collect::<Vec<_>>().join(&b'\n');
        if text.len() < SEARCHED_BYTES_MIN {
            Ok(())
        } else {
            self.search("gzip header", &mut text.as_slice())
        }
    }

    fn search(&mut self, what: &str, mut content: &mut dyn Read) -> io::Result<()> {
        let over = |_| limit("the target's limits are reached");
        self.walk.count_entry().map_err(over)?;
        self.count += 1;
        let at = member(self.at, format!("{what} {}", self.count));
        let failed = search_stream(self.walk, at, &mut content, None, self.nesting.inner()).map_err(over)?;
        failed.map_or(Ok(()), Err)
    }
}

/// A reader that can look at the next frame's header before it gives it.
pub(super) struct Ahead<R> {
    reader: R,
    header: [u8; 8],
    /// The part of `header` that was looked at and not given.
    kept: std::ops::Range<usize>,
}

impl<R: BufRead> Ahead<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, header: [0; 8], kept: 0..0 }
    }

    /// Searches all skippable frames that come next.
    pub(super) fn pass(&mut self, beside: &mut Beside<'_>) -> io::Result<()> {
        while let Some(length) = self.skippable()? {
            beside.frame(&mut self.reader, length)?;
        }
        Ok(())
    }

    /// The length of the skippable frame that comes next (RFC 8878, 3.1.2), whose header is taken; none if another one
    /// comes, or none.
    fn skippable(&mut self) -> io::Result<Option<u32>> {
        self.header.copy_within(self.kept.clone(), 0);
        self.kept = 0..self.kept.len();
        self.kept.end += read_full(&mut self.reader, &mut self.header[self.kept.end..])?;
        match self.header {
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d] if self.kept.len() == self.header.len() => {
                self.kept = 0..0;
                Ok(Some(u32::from_le_bytes([a, b, c, d])))
            }
            _ => Ok(None),
        }
    }
}

impl<R: BufRead> Read for Ahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.kept.is_empty() { self.reader.fill_buf() } else { Ok(&self.header[self.kept.clone()]) }
    }

    fn consume(&mut self, count: usize) {
        if self.kept.is_empty() {
            self.reader.consume(count);
        } else {
            self.kept.start += count;
        }
    }
}
