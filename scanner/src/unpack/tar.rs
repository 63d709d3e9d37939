//! Tar archives, walked header by header: on slices without copying, and on streams.
//!
//! The crate `tar` reads the fields of a header; the walk is ours because an image's layers are searched in place,
//! because nothing must be missed when an archive is damaged, and because it has to agree with what container
//! runtimes see: they use Go's `archive/tar`, which takes PAX records over GNU names over the header, ignores sizes
//! of links and folders, and accepts base-256 numbers. Formats: POSIX.1-2017 pax, and the GNU tar manual, "Basic Tar
//! Format" and "Storing Sparse Files".

mod header;

use std::io::{self, Read};

pub(crate) use self::header::is_header;
use self::header::{Assembler, Step};

/// Size of a header and unit of all lengths.
pub(crate) const BLOCK: usize = 512;

/// What an entry is, as far as it matters to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    HardLink,
    /// Symbolic links, devices, FIFOs.
    Other,
}

/// One entry, extended headers applied.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// From 0, counting entries, not extended headers.
    pub(crate) ordinal: u32,
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// Where a link leads.
    pub(crate) link: Vec<u8>,
    /// Stored bytes.
    pub(crate) size: u64,
    /// Records of extended headers that describe nothing we know: comments, extended attributes.
    pub(crate) records: Vec<u8>,
    /// Old GNU sparse files may have further headers before their data.
    more_sparse_headers: bool,
}

/// Why a walk ended early.
#[derive(Debug)]
pub(crate) enum TarError {
    /// The archive ends inside an entry.
    Truncated,
    /// It is no tar archive from here on.
    Corrupt(&'static str),
    /// The reader below failed.
    Read(io::Error),
}

/// Walks an archive that lies in memory.
pub(crate) struct SliceWalk<'a> {
    bytes: &'a [u8],
    at: usize,
    assembler: Assembler,
    ended: bool,
    failed: bool,
}

/// An entry and its data; less than `entry.size` if the archive is cut off, and then an error comes next.
pub(crate) struct Member<'a> {
    pub(crate) entry: Entry,
    pub(crate) data: &'a [u8],
}

impl<'a> SliceWalk<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, assembler: Assembler::default(), ended: false, failed: false }
    }

    /// What was not understood, after an error that is not a truncation.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Whether the archive's end marker was seen.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    fn block(&mut self) -> Result<Option<&'a [u8]>, TarError> {
        let left = &self.bytes[self.at..];
        if left.is_empty() {
            return Ok(None);
        }
        let block = left.get(..BLOCK).ok_or(TarError::Truncated)?;
        self.at += BLOCK;
        Ok(Some(block))
    }

    /// The data of an entry, and the walk behind its padding. What is missing is missing: `failed` says so.
    fn data(&mut self, size: u64) -> &'a [u8] {
        let left = &self.bytes[self.at..];
        let wanted = usize::try_from(size).unwrap_or(usize::MAX);
        if wanted > left.len() {
            self.at = self.bytes.len();
            self.failed = true;
            return left;
        }
        let padded = wanted.checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX);
        // A missing padding at the very end loses nothing.
        self.at = self.at.saturating_add(padded).min(self.bytes.len());
        &left[..wanted]
    }

    fn step(&mut self) -> Result<Option<Member<'a>>, TarError> {
        if self.failed {
            return Err(TarError::Truncated);
        }
        loop {
            let Some(block) = self.block()? else { return Ok(None) };
            if block.iter().all(|&byte| byte == 0) {
                self.ended = true;
                continue;
            }
            match self.assembler.header(block) {
                Ok(Step::Extension(extension, size)) => {
                    let data = self.data(size);
                    if self.failed {
                        return Err(TarError::Truncated);
                    }
                    self.assembler.extension(extension, data);
                }
                Ok(Step::Entry(entry)) => {
                    let mut more = entry.more_sparse_headers;
                    while more {
                        let block = self.block()?.ok_or(TarError::Truncated)?;
                        more = block[504] != 0;
                    }
                    let data = self.data(entry.size);
                    return Ok(Some(Member { entry, data }));
                }
                Err(error) => {
                    self.at -= BLOCK;
                    return Err(error);
                }
            }
        }
    }
}

impl<'a> Iterator for SliceWalk<'a> {
    type Item = Result<Member<'a>, TarError>;

    /// The next entry. After an error the walk is over.
    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// Walks an archive that arrives once, front to back. Reading from the walk reads the data of the current entry.
pub(crate) struct StreamWalk<R> {
    reader: R,
    assembler: Assembler,
    /// Data of the current entry that was not read.
    left: u64,
    padding: u64,
    ended: bool,
}

impl<R: Read> StreamWalk<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, assembler: Assembler::default(), left: 0, padding: 0, ended: false }
    }

    /// Whether the archive's end marker was seen.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Passes over what is left of the current entry and reads up to the next one's data.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        let skip = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        self.skip(skip)?;
        loop {
            let mut block = [0; BLOCK];
            match read_full(&mut self.reader, &mut block).map_err(TarError::Read)? {
                0 => return Ok(None),
                BLOCK => {}
                _ => return Err(TarError::Truncated),
            }
            if block.iter().all(|&byte| byte == 0) {
                self.ended = true;
                continue;
            }
            match self.assembler.header(&block)? {
                Step::Extension(extension, size) => {
                    // At most EXTENSION_BYTES_MAX.
                    let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
                    self.reader.read_exact(&mut data).map_err(truncated)?;
                    self.assembler.extension(extension, &data);
                    self.skip(padding(size))?;
                }
                Step::Entry(entry) => {
                    let mut more = entry.more_sparse_headers;
                    while more {
                        self.reader.read_exact(&mut block).map_err(truncated)?;
                        more = block[504] != 0;
                    }
                    self.left = entry.size;
                    self.padding = padding(entry.size);
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// Reads to the end of the stream below: behind the end marker there may be padding, which a digest covers.
    pub(crate) fn into_inner(self) -> R {
        self.reader
    }

    fn skip(&mut self, bytes: u64) -> Result<(), TarError> {
        let skipped =
            io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink()).map_err(TarError::Read)?;
        // A missing padding at the very end loses nothing.
        if bytes - skipped >= BLOCK as u64 { Err(TarError::Truncated) } else { Ok(()) }
    }
}

impl<R: Read> Read for StreamWalk<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn truncated(error: io::Error) -> TarError {
    if error.kind() == io::ErrorKind::UnexpectedEof { TarError::Truncated } else { TarError::Read(error) }
}

/// Reads until the buffer is full or the stream ends.
pub(crate) fn read_full(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
