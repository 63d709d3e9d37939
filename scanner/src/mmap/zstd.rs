//! The zstd decoder, with a window that lies in a file when it is large.
//!
//! `zstd --long=27` makes frames whose decoder has to remember 128 MiB. That is more than all decoders together may
//! take, so that the library gets such memory from us: a map of an unlinked file, whose pages the kernel can write
//! out. The crate `zstd` does not let one choose the allocator; its `zstd-sys` does.

use std::ffi::c_void;
use std::io::{self, BufRead, Read};
use std::ptr::NonNull;

use memmap2::{MmapMut, MmapOptions};
use zstd_sys::{
    ZSTD_DCtx, ZSTD_DCtx_setParameter, ZSTD_ErrorCode, ZSTD_createDCtx_advanced, ZSTD_customMem,
    ZSTD_dParameter, ZSTD_decompressStream, ZSTD_freeDCtx, ZSTD_inBuffer, ZSTD_isError, ZSTD_outBuffer,
};

/// The format's largest window that the library reads on 64 bits: `ZSTD_WINDOWLOG_MAX`.
const WINDOW_LOG_MAX: u32 = 31;

/// What the library's smaller parts take beside the window: tables, and input up to a block.
const SMALL_BYTES: usize = 512 << 10;

/// Decompresses all frames of a stream, skippable ones passed over.
///
/// The reader's errors: [`io::ErrorKind::UnexpectedEof`] when the stream is cut off,
/// [`io::ErrorKind::OutOfMemory`] when its window is larger than both limits, anything else when it is damaged.
pub(crate) struct ZstdReader<R> {
    reader: R,
    context: NonNull<ZSTD_DCtx>,
    /// Lent to the context, which outlives none of it: freed after it, in `drop`.
    places: NonNull<Places>,
    /// Between two frames, or before the first one.
    between: bool,
}

/// Where the library's memory lies.
struct Places {
    heap_max: usize,
    file_max: usize,
    files: Vec<MmapMut>,
}

impl Places {
    /// A map of an unlinked file, all of which is on the disk already: a write to it cannot fail later.
    fn file(&mut self, size: usize) -> io::Result<NonNull<c_void>> {
        if size > self.file_max {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let file = tempfile::tempfile()?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size as u64)?;
        // SAFETY: nobody else can open the file, so that it neither shrinks nor changes but through this map.
        let mut map = unsafe { MmapOptions::new().len(size).map_mut(&file)? };
        let start = NonNull::from(&mut *map).cast();
        self.files.push(map);
        Ok(start)
    }
}

/// `ZSTD_allocFunction`: null when there is no memory, as the library expects.
extern "C" fn allocate(opaque: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: `opaque` is the `Places` that the context was made with. It lives as long as the context, and the
    // library calls this function only from inside a call on that context, which one thread makes at a time.
    let places = unsafe { &mut *opaque.cast::<Places>() };
    if size <= places.heap_max {
        // SAFETY: malloc takes any size.
        return unsafe { libc::malloc(size) };
    }
    places.file(size).map_or(std::ptr::null_mut(), NonNull::as_ptr)
}

/// `ZSTD_freeFunction`.
extern "C" fn free(opaque: *mut c_void, address: *mut c_void) {
    // SAFETY: as in `allocate`.
    let places = unsafe { &mut *opaque.cast::<Places>() };
    match places.files.iter().position(|map| map.as_ptr().cast() == address.cast_const()) {
        Some(index) => drop(places.files.swap_remove(index)),
        // SAFETY: what is no file came from malloc, and the library frees nothing twice.
        None => unsafe { libc::free(address) },
    }
}

impl<R: BufRead> ZstdReader<R> {
    /// Windows up to `heap_bytes` lie in memory, larger ones in a file of at most `file_bytes`.
    ///
    /// # Errors
    /// [`io::ErrorKind::OutOfMemory`].
    pub(crate) fn new(reader: R, heap_bytes: u64, file_bytes: u64) -> io::Result<Self> {
        let clamp = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let places = Box::new(Places {
            heap_max: clamp(heap_bytes).saturating_add(SMALL_BYTES),
            file_max: clamp(file_bytes),
            files: Vec::new(),
        });
        let places = NonNull::from(Box::leak(places));
        let memory = ZSTD_customMem {
            customAlloc: Some(allocate),
            customFree: Some(free),
            opaque: places.as_ptr().cast(),
        };
        // SAFETY: both functions keep the library's contract for them, and `places` lives until `drop`.
        let context = unsafe { ZSTD_createDCtx_advanced(memory) };
        let Some(context) = NonNull::new(context) else {
            // SAFETY: `places` came from a box, and no context holds it.
            drop(unsafe { Box::from_raw(places.as_ptr()) });
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let made = Self { reader, context, places, between: true };
        let largest = heap_bytes.max(file_bytes).max(1 << 10);
        let log = largest.ilog2().min(WINDOW_LOG_MAX).cast_signed();
        let parameter = ZSTD_dParameter::ZSTD_d_windowLogMax;
        // SAFETY: the context is alive, and a value out of range is an error code that is looked at.
        let code = unsafe { ZSTD_DCtx_setParameter(context.as_ptr(), parameter, log) };
        check(code).map(|_| made)
    }
}

impl<R> Drop for ZstdReader<R> {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once; it calls `free` with `places`, which is still alive.
        unsafe { ZSTD_freeDCtx(self.context.as_ptr()) };
        // SAFETY: made by `Box::leak` in `new`; the context that held it is gone.
        drop(unsafe { Box::from_raw(self.places.as_ptr()) });
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
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
        ZstdReader::new(packed, heap, file)?.read_to_end(&mut bytes).map(|_| bytes)
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
