//! The zstd decoder, with a window that lies in a file when it is large.
//!
//! `zstd --long=27` makes frames whose decoder has to remember 128 MiB. That is more than all decoders together may
//! take, so that the library gets such memory from us: a map of an unlinked file, whose pages the kernel can write
//! out. The crate `zstd` does not let one choose the allocator; its `zstd-sys` does.

use std::ffi::c_void;
use std::io::{self, BufRead, Read};
use std::ptr::NonNull;

use zstd_sys::{
    ZSTD_DCtx, ZSTD_DCtx_setParameter, ZSTD_ErrorCode, ZSTD_createDCtx_advanced, ZSTD_customMem,
    ZSTD_dParameter, ZSTD_decompressStream, ZSTD_freeDCtx, ZSTD_inBuffer, ZSTD_isError, ZSTD_outBuffer,
};

use super::places::{Places, free};

/// The format's largest window that the library reads on 64 bits: `ZSTD_WINDOWLOG_MAX`.
const WINDOW_LOG_MAX: u32 = 31;

/// What the library's smaller parts take beside the window: tables, and input up to a block.
const SMALL_BYTES: u64 = 512 << 10;

/// `ZSTD_allocFunction`: null when there is no memory, as the library expects.
extern "C" fn allocate(opaque: *mut c_void, size: usize) -> *mut c_void {
    super::places::allocate(opaque, size)
}

/// Decompresses all frames of a stream. Before each, `before` may take from the reader what is no frame of data;
/// skippable frames that it leaves there are passed over.
///
/// The reader's errors: [`io::ErrorKind::UnexpectedEof`] when the stream is cut off,
/// [`io::ErrorKind::OutOfMemory`] when its window is larger than both limits, anything else when it is damaged.
pub(crate) struct ZstdReader<R, F> {
    reader: R,
    before: F,
    context: NonNull<ZSTD_DCtx>,
    /// Lent to the context, which outlives none of it: freed after it, in `drop`.
    places: NonNull<Places>,
    /// Between two frames, or before the first one.
    between: bool,
    /// `before` was asked.
    looked: bool,
}

impl<R: BufRead, F: FnMut(&mut R) -> io::Result<()>> ZstdReader<R, F> {
    /// Windows up to `heap_bytes` lie in memory, larger ones in a file of at most `file_bytes`.
    ///
    /// # Errors
    /// [`io::ErrorKind::OutOfMemory`].
    pub(crate) fn new(reader: R, heap_bytes: u64, file_bytes: u64, before: F) -> io::Result<Self> {
        let places = Places::lend(heap_bytes.saturating_add(SMALL_BYTES), file_bytes);
        let memory = ZSTD_customMem {
            customAlloc: Some(allocate),
            customFree: Some(free),
            opaque: places.as_ptr().cast(),
        };
        // SAFETY: both functions keep the library's contract for them, and `places` lives until `drop`.
        let context = unsafe { ZSTD_createDCtx_advanced(memory) };
        let Some(context) = NonNull::new(context) else {
            // SAFETY: `places` came from `lend`, and no context holds it.
            unsafe { Places::take_back(places) };
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let made = Self { reader, before, context, places, between: true, looked: false };
        let largest = heap_bytes.max(file_bytes).max(1 << 10);
        let log = largest.ilog2().min(WINDOW_LOG_MAX).cast_signed();
        let parameter = ZSTD_dParameter::ZSTD_d_windowLogMax;
        // SAFETY: the context is alive, and a value out of range is an error code that is looked at.
        let code = unsafe { ZSTD_DCtx_setParameter(context.as_ptr(), parameter, log) };
        check(code).map(|_| made)
    }
}

impl<R, F> Drop for ZstdReader<R, F> {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once; it calls `free` with `places`, which is still alive.
        unsafe { ZSTD_freeDCtx(self.context.as_ptr()) };
        // SAFETY: made by `lend` in `new`; the context that held it is gone.
        unsafe { Places::take_back(self.places) };
    }
}

impl<R: BufRead, F: FnMut(&mut R) -> io::Result<()>> Read for ZstdReader<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.between && !self.looked {
                (self.before)(&mut self.reader)?;
                self.looked = true;
            }
            let bytes = self.reader.fill_buf()?;
            let ended = bytes.is_empty();
            if ended && self.between {
                return Ok(0);
            }
            let mut input = ZSTD_inBuffer { src: bytes.as_ptr().cast(), size: bytes.len(), pos: 0 };
            let mut output = ZSTD_outBuffer { dst: buffer.as_mut_ptr().cast(), size: buffer.len(), pos: 0 };
            // SAFETY: the context is alive and ours alone (`&mut self`); both buffers say their true lengths, and
            // live through the call.
            let code =
                unsafe { ZSTD_decompressStream(self.context.as_ptr(), &raw mut output, &raw mut input) };
            let (taken, made) = (input.pos, output.pos);
            self.reader.consume(taken);
            self.between = check(code)? == 0;
            self.looked = false;
            if made > 0 {
                return Ok(made);
            }
            if ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn check(code: usize) -> io::Result<usize> {
    // SAFETY: a pure function of its number.
    if unsafe { ZSTD_isError(code) } == 0 {
        return Ok(code);
    }
    // As `ZSTD_getErrorCode` does it; its enumeration in Rust would not hold a number that it does not know.
    let number = code.wrapping_neg();
    let memory = [
        ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge,
        ZSTD_ErrorCode::ZSTD_error_memory_allocation,
    ];
    Err(if memory.into_iter().any(|known| known as usize == number) {
        io::ErrorKind::OutOfMemory.into()
    } else {
        io::Error::new(io::ErrorKind::InvalidData, "the zstd stream is damaged")
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::ZstdReader;

    const MIB: u64 = 1 << 20;

    /// As `zstd --long` writes into a pipe: the length is not known beforehand, so that the window is as asked.
    fn long(bytes: &[u8], log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.long_distance_matching(true).unwrap();
        io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(packed: &[u8], heap: u64, file: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        ZstdReader::new(packed, heap, file, |_| Ok(()))?.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn a_window_larger_than_the_memory_lies_in_a_file() {
        let mut random = testdata::random::Random::new(5);
        let block = random.bytes(3 << 20);
        // The second copy is only found through a window that reaches back to the first.
        let text = [&block[..], &random.bytes(5 << 20), &block].concat();
        let packed = long(&text, 27);
        assert!(packed.len() < text.len() - (2 << 20));
        assert!(read(&packed, MIB, 256 * MIB).unwrap() == text);
        assert!(read(&packed, 256 * MIB, 0).unwrap() == text);
        let refused = read(&packed, MIB, 16 * MIB).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn frames_follow_each_other_and_a_cut_is_told() {
        let packed = [long(b"one ", 20), b"\x50\x2a\x4d\x18\x02\0\0\0xy".to_vec(), long(b"two", 24)].concat();
        assert_eq!(read(&packed, MIB, 64 * MIB).unwrap(), b"one two");
        let cut = read(&packed[..packed.len() - 2], MIB, 64 * MIB).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        let junk = [packed.as_slice(), b"junk"].concat();
        assert_eq!(read(&junk, MIB, 64 * MIB).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
