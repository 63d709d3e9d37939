//! The xz decoder, with a dictionary that lies in a file when it is large.
//!
//! `xz -9` asks for 64 MiB. As for zstd, a decoder written in Rust would do, if one let us choose where its dictionary
//! lies; liblzma does.

use std::ffi::c_void;
use std::io::{self, BufRead, Read};
use std::ptr::NonNull;

use liblzma_sys::{
    LZMA_BUF_ERROR, LZMA_CONCATENATED, LZMA_FINISH, LZMA_MEM_ERROR, LZMA_MEMLIMIT_ERROR, LZMA_OK, LZMA_RUN,
    LZMA_STREAM_END, lzma_allocator, lzma_code, lzma_end, lzma_ret, lzma_stream, lzma_stream_decoder,
};

use super::places::{Places, free};

/// What the library's smaller parts take beside the dictionary: state, and a margin behind the dictionary.
const SMALL_BYTES: u64 = 512 << 10;

/// `alloc` of `lzma_allocator`: null when there is no memory, as the library expects.
extern "C" fn allocate(opaque: *mut c_void, count: usize, size: usize) -> *mut c_void {
    count.checked_mul(size).map_or(std::ptr::null_mut(), |bytes| super::places::allocate(opaque, bytes))
}

/// Decompresses all streams of a file, one after the other.
///
/// The reader's errors: [`io::ErrorKind::UnexpectedEof`] when it is cut off, [`io::ErrorKind::OutOfMemory`] when its
/// dictionary is larger than both limits, anything else when it is damaged.
pub(crate) struct XzReader<R> {
    reader: R,
    /// Boxed: the library keeps pointers to both.
    stream: Box<lzma_stream>,
    _allocator: Box<lzma_allocator>,
    /// Freed after the decoder, in `drop`.
    places: NonNull<Places>,
    ended: bool,
}

impl<R: BufRead> XzReader<R> {
    /// Dictionaries up to `heap_bytes` lie in memory, larger ones in a file of at most `file_bytes`.
    ///
    /// # Errors
    /// [`io::ErrorKind::OutOfMemory`].
    pub(crate) fn new(reader: R, heap_bytes: u64, file_bytes: u64) -> io::Result<Self> {
        let heap = heap_bytes.saturating_add(SMALL_BYTES);
        let places = Places::lend(heap, file_bytes);
        let allocator = Box::new(lzma_allocator {
            alloc: Some(allocate),
            free: Some(free),
            opaque: places.as_ptr().cast(),
        });
        // SAFETY: zeros are `LZMA_STREAM_INIT`.
        let mut stream: Box<lzma_stream> = unsafe { Box::new(std::mem::zeroed()) };
        stream.allocator = &raw const *allocator;
        let mut made = Self { reader, stream, _allocator: allocator, places, ended: false };
        let most = heap.max(file_bytes).saturating_add(SMALL_BYTES);
        // SAFETY: the stream is initialised, and stays where it is: it is boxed.
        let code = unsafe { lzma_stream_decoder(&raw mut *made.stream, most, LZMA_CONCATENATED) };
        if code == LZMA_OK { Ok(made) } else { Err(error(code)) }
    }
}

impl<R> Drop for XzReader<R> {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, ended once; it calls `free` with `places`, which is still alive.
        unsafe { lzma_end(&raw mut *self.stream) };
        // SAFETY: made by `lend` in `new`; the decoder that held it is gone.
        unsafe { Places::take_back(self.places) };
    }
}

impl<R: BufRead> Read for XzReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.ended {
            return Ok(0);
        }
        loop {
            let bytes = self.reader.fill_buf()?;
            let last = bytes.is_empty();
            self.stream.next_in = bytes.as_ptr();
            self.stream.avail_in = bytes.len();
            self.stream.next_out = buffer.as_mut_ptr();
            self.stream.avail_out = buffer.len();
            // SAFETY: the decoder is initialised and ours alone (`&mut self`); both buffers say their true lengths,
            // and live through the call.
            let code = unsafe { lzma_code(&raw mut *self.stream, if last { LZMA_FINISH } else { LZMA_RUN }) };
            let taken = bytes.len() - self.stream.avail_in;
            let made = buffer.len() - self.stream.avail_out;
            self.reader.consume(taken);
            match code {
                LZMA_STREAM_END => self.ended = true,
                LZMA_OK => {}
                // No progress, which is an error only when there is nothing more to read.
                LZMA_BUF_ERROR if !last => {}
                // What was made before stands; the next call meets the error again.
                _ if made > 0 => {}
                code => return Err(error(code)),
            }
            if made > 0 || self.ended {
                return Ok(made);
            }
        }
    }
}

fn error(code: lzma_ret) -> io::Error {
    match code {
        LZMA_BUF_ERROR => io::ErrorKind::UnexpectedEof.into(),
        LZMA_MEM_ERROR | LZMA_MEMLIMIT_ERROR => io::ErrorKind::OutOfMemory.into(),
        _ => io::Error::new(io::ErrorKind::InvalidData, "the xz stream is damaged"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use testdata::archive::Compression;

    use super::XzReader;

    const MIB: u64 = 1 << 20;

    fn read(packed: &[u8], heap: u64, file: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        XzReader::new(packed, heap, file)?.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn a_dictionary_larger_than_the_memory_lies_in_a_file() {
        let text = testdata::random::Random::new(5).prose(3 << 20);
        let packed = Compression::XzNine.pack(&text).unwrap();
        assert!(read(&packed, MIB, 128 * MIB).unwrap() == text);
        assert!(read(&packed, 128 * MIB, 0).unwrap() == text);
        let refused = read(&packed, MIB, 16 * MIB).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn streams_follow_each_other_and_a_cut_is_told() {
        let packed =
            [Compression::Xz.pack(b"one ").unwrap(), Compression::XzNine.pack(b"two").unwrap()].concat();
        assert_eq!(read(&packed, MIB, 128 * MIB).unwrap(), b"one two");
        for length in [packed.len() - 1, packed.len() - 13, 20] {
            let cut = read(&packed[..length], MIB, 128 * MIB).unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
        let junk = [packed.as_slice(), b"junk and more junk"].concat();
        assert_eq!(read(&junk, MIB, 128 * MIB).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut damaged = packed;
        damaged[30] ^= 0x55;
        assert_eq!(read(&damaged, MIB, 128 * MIB).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
