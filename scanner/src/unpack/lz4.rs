//! All frames of an lz4 stream. The crate's decoder ends with a frame, and takes a stream that is cut off between two
//! blocks for one that has ended; so the blocks are counted beside it. Format: "LZ4 Frame Format Description", 1.6.

use std::io::{self, BufRead, Read};

use lz4_flex::frame::FrameDecoder;

use super::frames::{Ahead, Beside};

/// Decompresses all frames.
pub(super) struct Lz4Reader<'a, R: BufRead> {
    /// None between frames.
    frame: Option<Box<FrameDecoder<Counted<Ahead<R>>>>>,
    between: Option<Ahead<R>>,
    beside: Beside<'a>,
}

impl<'a, R: BufRead> Lz4Reader<'a, R> {
    pub(super) fn new(reader: R, beside: Beside<'a>) -> Self {
        Self { frame: None, between: Some(Ahead::new(reader)), beside }
    }
}

impl<R: BufRead> Read for Lz4Reader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(buffer)?;
                if count > 0 {
                    return Ok(count);
                }
                let Some(frame) = self.frame.take() else { return Ok(0) };
                let Counted { reader, part, .. } = frame.into_inner();
                if part != Part::End {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.between = Some(reader);
            }
            let Some(mut reader) = self.between.take() else { return Ok(0) };
            reader.pass(&mut self.beside)?;
            if reader.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = Some(Box::new(FrameDecoder::new(Counted::new(reader))));
        }
    }
}

/// Which part of a frame comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Magic, flags and what they promise.
    Header,
    /// Four bytes that say how long a block is; zero is the end mark.
    Length,
    /// So many bytes of a block, its checksum included.
    Block(usize),
    /// So many bytes of the checksum of it all.
    Checksum(usize),
    End,
}

/// Tells where in its frame a reader is.
struct Counted<R> {
    reader: R,
    part: Part,
    /// The bytes of the part that came by, for headers and lengths.
    seen: Vec<u8>,
    flags: u8,
}

impl<R> Counted<R> {
    fn new(reader: R) -> Self {
        Self { reader, part: Part::Header, seen: Vec::new(), flags: 0 }
    }

    fn flag(&self, bit: u8) -> usize {
        usize::from(self.flags >> bit & 1)
    }

    /// Follows bytes that were given.
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = match self.part {
                Part::Header => match self.seen.get(4) {
                    // Magic, flags, block size, content size, dictionary, checksum of the header.
                    Some(flags) => {
                        self.flags = *flags;
                        7 + 8 * self.flag(3) + 4 * self.flag(0)
                    }
                    None => 5,
                },
                Part::Length => 4,
                Part::Block(left) | Part::Checksum(left) => {
                    let count = left.min(bytes.len());
                    bytes = &bytes[count..];
                    self.part = match self.part {
                        Part::Block(_) if left == count => Part::Length,
                        Part::Block(_) => Part::Block(left - count),
                        _ if left == count => Part::End,
                        _ => Part::Checksum(left - count),
                    };
                    continue;
                }
                Part::End => return,
            };
            let (taken, rest) = bytes.split_at(bytes.len().min(wanted - self.seen.len()));
            self.seen.extend_from_slice(taken);
            bytes = rest;
            if self.seen.len() < wanted || (self.part == Part::Header && wanted == 5) {
                continue;
            }
            self.part = match (self.part, self.seen.first_chunk()) {
                (Part::Length, Some(length)) => match u32::from_le_bytes(*length) {
                    0 if self.flag(2) == 1 => Part::Checksum(4),
                    0 => Part::End,
                    // The highest bit says that the block is not compressed.
                    length => Part::Block((length & 0x7fff_ffff) as usize + 4 * self.flag(4)),
                },
                _ => Part::Length,
            };
            self.seen.clear();
        }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.follow(&buffer[..count]);
        Ok(count)
    }
}
