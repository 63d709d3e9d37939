//! Compiled Python: strings stand between letters that say what comes next (`zghp_…N`), which blur where they end.
//!
//! Everything is searched as it lies, but for those letters: what says that a string follows, its length, and the
//! byte behind it become zeros, at the same places. Format: CPython's `Python/marshal.c`.

use std::io::{self, Read};
use std::ops::Range;

use crate::blob::{Content, Provenance};
use crate::walk::{Over, Walk};

/// Shorter strings are names of variables, and chance looks like them.
const STRING_BYTES_MIN: usize = 8;

/// Whether these are the first bytes: the magic number of Python 3.0 to 3.20 or so, and a line end.
pub(crate) fn is_compiled(head: &[u8]) -> bool {
    let [low, high, b'\r', b'\n', ..] = head else { return false };
    (3000..4000).contains(&u16::from_le_bytes([*low, *high]))
}

/// Searches a file that lies in memory.
pub(crate) fn slice(walk: &Walk<'_>, at: Provenance, bytes: &[u8]) -> Result<(), Over> {
    let mut reader = Separated { bytes, at: 0, parsed: 0, pending: None };
    let size_hint = Some(bytes.len() as u64);
    walk.emit(at, Content::Stream { reader: &mut reader, size_hint })
}

struct Separated<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Up to where strings were looked for.
    parsed: usize,
    /// A string that was found and not reached.
    pending: Option<Text>,
}

/// A string and what stands before it.
#[derive(Clone, Debug)]
struct Text {
    before: Range<usize>,
    end: usize,
}

impl Separated<'_> {
    /// The next string.
    fn text(&mut self) -> Option<Text> {
        while let Some(&kind) = self.bytes.get(self.parsed) {
            let start = self.parsed;
            let length = match kind & 0x7f {
                b'z' | b'Z' => self.bytes.get(start + 1).map(|length| (usize::from(*length), 2)),
                b'a' | b'A' | b's' | b't' | b'u' => {
                    let length = self.bytes.get(start + 1..).and_then(|rest| rest.first_chunk().copied());
                    length.map(|length| (u32::from_le_bytes(length) as usize, 5))
                }
                _ => None,
            };
            if let Some((length, prefix)) = length
                && length >= STRING_BYTES_MIN
                && let Some(end) = (start + prefix).checked_add(length).filter(|end| *end <= self.bytes.len())
                && self.is_text(start + prefix..end)
            {
                self.parsed = end;
                return Some(Text { before: start..start + prefix, end });
            }
            self.parsed += 1;
        }
        None
    }

    fn is_text(&self, range: Range<usize>) -> bool {
        // The beginning is enough: what says a length of a megabyte by chance is no text for long.
        let taste = &self.bytes[range.start..range.end.min(range.start + 256)];
        taste.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r' | 0x80..))
    }
}

impl Read for Separated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        let (from, to) = (self.at, self.at + count);
        while let Some(text) = self.pending.take().or_else(|| self.text()) {
            for place in text.before.clone().chain([text.end]) {
                if (from..to).contains(&place) {
                    buffer[place - from] = 0;
                }
            }
            if text.end >= to {
                self.pending = Some(text);
                break;
            }
        }
        self.at = to;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::Separated;

    #[test]
    fn strings_end_where_they_end_however_they_are_read() {
        let mut bytes = b"\xe3\0\0".to_vec();
        bytes.extend(b"z\x09some-textN\xda\x08variable\xa9\0a\x0a\0\0\0long-textsz\x80");
        let mut wanted = b"\xe3\0\0".to_vec();
        wanted.extend(b"\0\0some-text\0\0\0variable\0\0\0\0\0\0\0long-texts\0\x80");
        for size in 1..bytes.len() {
            let mut reader = Separated { bytes: &bytes, at: 0, parsed: 0, pending: None };
            let mut read = Vec::new();
            let mut buffer = vec![0; size];
            loop {
                let count = reader.read(&mut buffer).unwrap();
                if count == 0 {
                    break;
                }
                read.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(read, wanted, "{size}");
        }
    }
}
