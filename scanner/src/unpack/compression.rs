//! Compressed streams, each with a limit on the memory of its decoder and on what comes out of it.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::Nesting;
use super::format::Codec;
use super::frames::{Ahead, Beside};
use super::lz4::Lz4Reader;
use super::window::Window;
use crate::blob::Provenance;
use crate::limits::RATIO_FLOOR_BYTES;
use crate::mmap::xz::XzReader;
use crate::mmap::zstd::ZstdReader;
use crate::walk::Walk;

/// What is read from a stream at once, before it is decoded.
const INPUT_BUFFER_BYTES: usize = 64 << 10;

/// A stream came to one of our limits: not the fault of its bytes.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct LimitReached(String);

/// An error that stands for a limit.
pub(super) fn limit(what: &str) -> io::Error {
    io::Error::other(LimitReached(what.to_owned()))
}

/// The message, if an error of a decoder stands for a limit.
pub(crate) fn limit_reached(error: &io::Error) -> Option<String> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<LimitReached>()).map(ToString::to_string)
}

/// Starts to decode a stream, whose window lies where it was granted.
///
/// All members of gzip, all frames of zstd and lz4, and all streams of bzip2 and xz are read, one after the other; what
/// lies beside them is searched on the way, as members of `at`.
/// The reader's errors: [`io::ErrorKind::UnexpectedEof`] when the stream is cut off, [`LimitReached`] inside
/// [`io::ErrorKind::Other`], anything else when it is damaged.
pub(crate) fn decode<'a>(
    walk: &'a Walk<'a>,
    (at, codec): (&'a Provenance, Codec),
    reader: impl Read + 'a,
    window: Window,
    nesting: Nesting<'a>,
) -> io::Result<Box<dyn Read + 'a>> {
    let stored = Rc::new(Cell::new(0));
    let reader = BufReader::with_capacity(INPUT_BUFFER_BYTES, Counted { reader, count: Rc::clone(&stored) });
    let expansion = nesting.expansion();
    let mut beside = Beside::new(walk, at, nesting);
    let decoder: Box<dyn Read + 'a> = match codec {
        Codec::Gzip => Box::new(Gzip::new(reader, beside)),
        Codec::Deflate => Box::new(flate2::bufread::DeflateDecoder::new(reader)),
        Codec::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(reader)),
        Codec::Zstd => {
            let before = move |reader: &mut Ahead<_>| reader.pass(&mut beside);
            Box::new(ZstdReader::new(Ahead::new(reader), window.memory, window.file, before)?)
        }
        Codec::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Codec::Xz => Box::new(XzReader::new(reader, window.memory, window.file)?),
        Codec::Lz4 => Box::new(Lz4Reader::new(reader, beside)),
    };
    Ok(Box::new(Expanding { decoder, walk, expansion, stored, expanded: 0, _window: window }))
}

/// How much memory the window of a stream takes, in bytes, told from its first bytes.
pub(crate) fn memory_needed(codec: Codec, head: &[u8]) -> u64 {
    match codec {
        Codec::Gzip | Codec::Deflate | Codec::Zlib => 64 << 10,
        // 900 kB of block as 4-byte links; the reduced mode is not used.
        Codec::Bzip2 => 4 << 20,
        // A block of 4 MiB as it is stored, and two with their window as they become.
        Codec::Lz4 => (12 << 20) + (64 << 10),
        Codec::Zstd => zstd_window(head),
        Codec::Xz => xz_dictionary(head),
    }
}

/// RFC 8878, 3.1.1.1: the window descriptor, or the content size of a single segment.
fn zstd_window(mut head: &[u8]) -> u64 {
    const DEFAULT: u64 = 8 << 20;
    // Skippable frames before the first one that counts.
    while let [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, rest @ ..] = head {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        head = rest.get(length..).unwrap_or_default();
    }
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = head else { return DEFAULT };
    let single_segment = descriptor & 0x20 != 0;
    let mut window = None;
    let mut rest = rest;
    if !single_segment {
        let Some((&byte, after)) = rest.split_first() else { return DEFAULT };
        let base = 1_u64 << (10 + (byte >> 3));
        window = Some(base + base / 8 * u64::from(byte & 7));
        rest = after;
    }
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size_bytes = match descriptor >> 6 {
        0 if !single_segment => 0,
        flag => [1, 2, 4, 8][usize::from(flag)],
    };
    let size = rest.get(dictionary_bytes..dictionary_bytes + size_bytes).filter(|size| !size.is_empty());
    // A size of two bytes counts from 256.
    let size = size.map(|size| {
        size.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)).saturating_add(256)
    });
    // A frame that is smaller than its window is never remembered in more than its own size.
    match (window, size) {
        (Some(window), Some(size)) => window.min(size.max(1 << 10)),
        (Some(window), None) => window,
        (None, Some(size)) => size.max(1 << 10),
        (None, None) => DEFAULT,
    }
}

/// The .xz file format, 3.1: the first block's filters; LZMA2's only property is the size of its dictionary.
fn xz_dictionary(head: &[u8]) -> u64 {
    const DEFAULT: u64 = 8 << 20;
    xz_dictionary_of(head).unwrap_or(DEFAULT)
}

fn xz_dictionary_of(head: &[u8]) -> Option<u64> {
    const LZMA2: u64 = 0x21;
    let block = head.get(12..)?;
    let flags = *block.get(1)?;
    let mut rest = block.get(2..)?;
    for present in [0x40, 0x80] {
        if flags & present != 0 {
            variable_length(&mut rest)?;
        }
    }
    for _ in 0..=(flags & 3) {
        let id = variable_length(&mut rest)?;
        let length = usize::try_from(variable_length(&mut rest)?).ok()?;
        let properties = rest.get(..length)?;
        rest = &rest[length..];
        if id == LZMA2 {
            let bits = u32::from(*properties.first()? & 0x3f);
            return (bits <= 40).then(|| (2 | u64::from(bits & 1)) << (bits / 2 + 11));
        }
    }
    None
}

fn variable_length(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// What everything that is packed inside one file has become, all levels together: a bomb may be made of a million
/// archives that are harmless each.
#[derive(Debug)]
pub(crate) struct Expansion {
    stored: u64,
    expanded: AtomicU64,
}

impl Expansion {
    /// For a file of so many stored bytes.
    pub(crate) fn new(stored: usize) -> Self {
        Self { stored: stored as u64, expanded: AtomicU64::new(0) }
    }

    /// Whether so many bytes more are within the ratio.
    fn add(&self, bytes: u64, ratio: u64) -> bool {
        let before = self.expanded.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= self.stored.saturating_mul(ratio).max(RATIO_FLOOR_BYTES)
    }
}

/// Counts stored bytes for the ratio.
struct Counted<R> {
    reader: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// Holds what comes out to the limits.
struct Expanding<'a> {
    decoder: Box<dyn Read + 'a>,
    walk: &'a Walk<'a>,
    expansion: Option<&'a Expansion>,
    stored: Rc<Cell<u64>>,
    expanded: u64,
    /// After the decoder, whose memory it stands for.
    _window: Window,
}

impl Read for Expanding<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::OutOfMemory {
                limit("its window needs more than the limits `decoder-memory` and `spill` allow here")
            } else {
                error
            }
        })?;
        self.expanded += count as u64;
        if self.walk.count_expanded(count as u64).is_err() {
            return Err(limit("the target's limits are reached"));
        }
        let ratio = self.walk.limits.ratio;
        let alone = self.expanded <= self.stored.get().saturating_mul(ratio).max(RATIO_FLOOR_BYTES);
        let together = self.expansion.is_none_or(|expansion| expansion.add(count as u64, ratio));
        if !alone || !together {
            return Err(limit(&format!("it expands more than {ratio} times: see the limit `ratio`")));
        }
        Ok(count)
    }
}

/// All members of a gzip stream. Zero bytes behind the last one are padding; anything else is damage.
struct Gzip<'a, R: BufRead> {
    /// None between members.
    member: Option<flate2::bufread::GzDecoder<R>>,
    between: Option<R>,
    beside: Beside<'a>,
}

impl<'a, R: BufRead> Gzip<'a, R> {
    fn new(reader: R, beside: Beside<'a>) -> Self {
        Self { member: None, between: Some(reader), beside }
    }
}

impl<R: BufRead> Read for Gzip<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(member) = &mut self.member {
                let count = member.read(buffer)?;
                if count > 0 {
                    return Ok(count);
                }
                if let Some(header) = member.header() {
                    self.beside.header(header)?;
                }
                self.between = self.member.take().map(flate2::bufread::GzDecoder::into_inner);
            }
            let Some(mut reader) = self.between.take() else { return Ok(0) };
            // An empty stream never gets here: its first bytes told the format.
            match reader.fill_buf()?.first() {
                Some(0) => drain_zeros(&mut reader)?,
                Some(_) => {
                    self.member = Some(flate2::bufread::GzDecoder::new(reader));
                    continue;
                }
                None => {}
            }
            return Ok(0);
        }
    }
}

fn drain_zeros(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        if buffer.iter().any(|&byte| byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes behind the end of the stream"));
        }
        let length = buffer.len();
        reader.consume(length);
    }
}
