//! Where the decoders of C libraries keep what they remember: in memory while it is small, else in a map of an unlinked
//! file, whose pages the kernel can write out.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use memmap2::{MmapMut, MmapOptions};

/// The memory of one decoder.
pub(super) struct Places {
    heap_max: usize,
    file_max: usize,
    files: Vec<MmapMut>,
}

impl Places {
    /// Pieces of up to `heap_bytes` come from the heap, larger ones from files of up to `file_bytes`. The library keeps
    /// the pointer; [`Places::take_back`] frees what it points to.
    pub(super) fn lend(heap_bytes: u64, file_bytes: u64) -> NonNull<Self> {
        let clamp = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let places = Self { heap_max: clamp(heap_bytes), file_max: clamp(file_bytes), files: Vec::new() };
        NonNull::from(Box::leak(Box::new(places)))
    }

    /// Frees what [`Places::lend`] made.
    ///
    /// # Safety
    /// Once for each, when no library holds the pointer any more.
    pub(super) unsafe fn take_back(places: NonNull<Self>) {
        // SAFETY: it came from a box, and the caller gives it back once.
        drop(unsafe { Box::from_raw(places.as_ptr()) });
    }

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

/// Memory for a library; null when there is none.
pub(super) fn allocate(opaque: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: `opaque` is the `Places` that the decoder was made with. It lives as long as the decoder, and the
    // library calls this function only from inside a call on that decoder, which one thread makes at a time.
    let places = unsafe { &mut *opaque.cast::<Places>() };
    if size <= places.heap_max {
        // SAFETY: malloc takes any size.
        return unsafe { libc::malloc(size) };
    }
    places.file(size).map_or(std::ptr::null_mut(), NonNull::as_ptr)
}

/// Takes memory back, as libraries call it. Null is nothing.
pub(super) extern "C" fn free(opaque: *mut c_void, address: *mut c_void) {
    // SAFETY: as in `allocate`.
    let places = unsafe { &mut *opaque.cast::<Places>() };
    match places.files.iter().position(|map| map.as_ptr().cast() == address.cast_const()) {
        Some(index) => drop(places.files.swap_remove(index)),
        // SAFETY: what is no file came from malloc, and a library frees nothing twice.
        None => unsafe { libc::free(address) },
    }
}
