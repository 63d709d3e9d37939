//! Files as memory, without the two dangers of it. The only module with `unsafe` besides the vector matcher.
//!
//! A map is the fastest way to look at a large archive, and the only one that needs no memory for it. Two things can
//! go wrong when another process changes the file meanwhile:
//!
//! * **The file shrinks**, or its disk fails: touching a page that is gone raises SIGBUS, which kills the process.
//!   A handler puts zero pages where the rest of the map was, and marks the map as changed. The search goes on over
//!   zeros, and [`Mapped::changed`] makes the caller report a skip, so that the verdict is never clean.
//! * **The bytes change** under a reference that Rust believes to be immutable. Nothing in this crate relies on
//!   reading the same value twice for memory safety: offsets are checked against lengths that are held outside the
//!   map, and mapped bytes become a `&str` only after they were copied. The language still calls this undefined;
//!   like every program that maps files we accept it, and [`Mapped::changed`] tells that it happened (size, change
//!   time and modification time are compared).

#![allow(unsafe_code)]

mod places;
pub(crate) mod xz;
pub(crate) mod zstd;

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{Advice, Mmap, MmapOptions};

/// A file as memory.
#[derive(Debug)]
pub struct Mapped {
    /// Before `map`, so that the range is forgotten before it is unmapped.
    watched: Option<Watched>,
    /// None for an empty file, which cannot be mapped.
    map: Option<Mmap>,
    file: File,
    before: Stamp,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// What it is now.
    ///
    /// # Errors
    /// Those of the system.
    pub fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

impl Mapped {
    /// Maps the whole of a regular file.
    ///
    /// # Errors
    /// Those of the system, and [`io::ErrorKind::ResourceBusy`] when [`WATCHED_MAX`] files are mapped already:
    /// read the file as a stream then.
    pub fn new(file: File) -> io::Result<Self> {
        let before = Stamp::of(&file)?;
        let length = usize::try_from(before.length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if length == 0 {
            return Ok(Self { watched: None, map: None, file, before });
        }
        install_handler()?;
        let mut options = MmapOptions::new();
        options.len(length);
        // SAFETY: the file is open for reading. That nobody changes it cannot be ensured; the module's
        // documentation says what follows and how it is told.
        let map = unsafe { options.map(&file)? };
        let watched = Watched::new(map.as_ptr() as usize, length)?;
        // Advice is a hint: where the kernel does not know it, reading works all the same.
        let _ = map.advise(Advice::Sequential);
        Ok(Self { watched: Some(watched), map: Some(map), file, before })
    }

    /// Reads a file into one without a name, and maps that: for files that are better not mapped. It has changed when
    /// the file that was read has.
    ///
    /// # Errors
    /// Those of the system, among them a full disk.
    pub fn copy_of(mut file: File) -> io::Result<Self> {
        let before = Stamp::of(&file)?;
        let mut copy = tempfile::tempfile()?;
        io::copy(&mut file, &mut copy)?;
        Ok(Self { file, before, ..Self::new(copy)? })
    }

    /// The bytes. Zeros from where the file was cut off, if it was.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    /// Brings a window into memory, so that the threads that search it do not fault page by page. A hint.
    pub fn populate(&self, offset: usize, length: usize) {
        if let Some(map) = &self.map {
            let length = length.min(map.len().saturating_sub(offset));
            if length > 0 {
                let _ = map.advise_range(Advice::PopulateRead, offset, length);
            }
        }
    }

    /// Whether the file was cut off, failed to be read, or has another size or time than when it was mapped.
    pub fn changed(&self) -> bool {
        let cut = self.watched.as_ref().is_some_and(Watched::faulted);
        cut || Stamp::of(&self.file).ok() != Some(self.before)
    }
}

/// Whether a file lies on a network, or comes from another process: a map of such a file waits inside a fault that
/// nothing can interrupt, and shows what other machines write at any time. It is read instead.
pub fn is_remote(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|system| REMOTE.contains(&system.f_type))
}

/// The `f_type` of FUSE, NFS, SMB (three of them), AFS, Ceph, 9P, Coda, OCFS2, GFS2 and Lustre (linux/magic.h).
const REMOTE: [i64; 12] = [
    0x6573_5546,
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x5346_414f,
    0x00c3_6400,
    0x0102_1997,
    0x7375_7245,
    0x7461_636f,
    0x0116_1970,
    0x0bd0_0bd0,
];

/// How many files can be mapped at one time. Threads map one file each, and an image layout one a layer.
pub const WATCHED_MAX: usize = 4096;

/// A range of addresses that the handler may replace by zero pages. `end` is zero while the slot is free.
struct Range {
    start: AtomicUsize,
    end: AtomicUsize,
    taken: AtomicBool,
    faulted: AtomicBool,
}

#[expect(clippy::declare_interior_mutable_const, reason = "only the pattern for the array below")]
const FREE: Range = Range {
    start: AtomicUsize::new(0),
    end: AtomicUsize::new(0),
    taken: AtomicBool::new(false),
    faulted: AtomicBool::new(false),
};

/// A signal handler can neither lock nor allocate: a fixed table of atomics is what it can read.
static RANGES: [Range; WATCHED_MAX] = [FREE; WATCHED_MAX];

/// What handled SIGBUS before: the runtime's detector of stack overflows, usually.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A slot of [`RANGES`], given back on drop.
#[derive(Debug)]
struct Watched {
    slot: usize,
}

impl Watched {
    fn new(start: usize, length: usize) -> io::Result<Self> {
        for (slot, range) in RANGES.iter().enumerate() {
            if range.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                range.faulted.store(false, Ordering::Relaxed);
                range.start.store(start, Ordering::Relaxed);
                // Last, with release: a handler that sees the end sees the start that belongs to it.
                range.end.store(start + length, Ordering::Release);
                return Ok(Self { slot });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn faulted(&self) -> bool {
        RANGES[self.slot].faulted.load(Ordering::Acquire)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let range = &RANGES[self.slot];
        range.end.store(0, Ordering::Release);
        range.taken.store(false, Ordering::Release);
    }
}

/// Installs the handler once for the process. It stays: other handlers of SIGBUS are called for other addresses.
fn install_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    INSTALLED.get_or_init(install).map_err(io::Error::from_raw_os_error)
}

fn install() -> Result<(), i32> {
    PAGE_BYTES.store(rustix::param::page_size(), Ordering::Release);
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only reads the old one into memory of the right type.
    if unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), previous.as_mut_ptr()) } != 0 {
        return Err(last_error());
    }
    // SAFETY: zeroed and then written by the kernel; all bit patterns of its fields are valid.
    let previous = unsafe { previous.assume_init() };
    let _ = PREVIOUS.set(previous);

    // SAFETY: `sigaction` consists of integers and an optional function: zero is a valid value of each.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_bus_error as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: `action` is initialised, and `on_bus_error` has the signature that SA_SIGINFO asks for.
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(last_error());
    }
    Ok(())
}

fn last_error() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)
}

/// Replaces the rest of a watched map, from the page that faulted, by zero pages. Any other address goes to the
/// handler that was there before.
///
/// Runs inside a signal: it takes no lock, allocates nothing and calls only `mmap` and `sigaction`, which are plain
/// system calls on Linux. The replaced pages are one region, so that a large file cut to nothing does not exhaust
/// the number of regions that a process may have.
extern "C" fn on_bus_error(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid structure to handlers with SA_SIGINFO.
    let info = unsafe { &*info };
    // SAFETY: si_addr is the field of SIGBUS.
    let address = unsafe { info.si_addr() } as usize;
    if replace_rest(address) {
        return;
    }
    if let Some(previous) = PREVIOUS.get() {
        // SAFETY: `previous` was filled by the kernel. On return the instruction faults again and meets it.
        unsafe { libc::sigaction(libc::SIGBUS, std::ptr::from_ref(previous), std::ptr::null_mut()) };
    }
}

fn replace_rest(address: usize) -> bool {
    let page = PAGE_BYTES.load(Ordering::Acquire);
    if page == 0 {
        return false;
    }
    let found = RANGES.iter().find(|range| {
        let end = range.end.load(Ordering::Acquire);
        end != 0 && range.start.load(Ordering::Relaxed) <= address && address < end
    });
    let Some(range) = found else { return false };
    let from = address & !(page - 1);
    let end = range.end.load(Ordering::Acquire).next_multiple_of(page);
    if end <= from {
        return false;
    }
    // Marked before it is replaced: whoever reads a zero can see the mark.
    range.faulted.store(true, Ordering::Release);
    // SAFETY: the thread that faulted holds a reference into this map, so that it is neither unmapped nor reused
    // while we run, and the pages from `from` to `end` belong to it alone. Readers of other pages see either the
    // file's bytes or zeros; both are valid bytes.
    let mapped = unsafe {
        libc::mmap(
            from as *mut libc::c_void,
            end - from,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    mapped != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::Mapped;

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_file_that_shrinks_under_the_map_reads_as_zeros_and_says_so() {
        let file = file_of(&vec![7_u8; 3 << 20]);
        let mapped = Mapped::new(file.reopen().unwrap()).unwrap();
        assert_eq!(mapped.bytes()[1 << 20], 7);
        assert!(!mapped.changed());
        OpenOptions::new().write(true).open(file.path()).unwrap().set_len(4096).unwrap();
        let sum: u64 = mapped.bytes().iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, 7 * 4096);
        assert!(mapped.changed());
    }

    #[test]
    fn two_threads_meet_the_cut_at_different_pages() {
        for _ in 0..50 {
            let file = file_of(&vec![1_u8; 1 << 20]);
            let mapped = Mapped::new(file.reopen().unwrap()).unwrap();
            file.as_file().set_len(0).unwrap();
            let (low, high) = mapped.bytes().split_at(1 << 19);
            std::thread::scope(|scope| {
                for half in [low, high] {
                    scope.spawn(move || assert!(half.iter().all(|&byte| byte == 0)));
                }
            });
            assert!(mapped.changed());
        }
    }

    #[test]
    fn a_rewritten_file_counts_as_changed_though_nothing_faults() {
        let mut file = file_of(b"before");
        let mapped = Mapped::new(file.reopen().unwrap()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        file.write_all(b" and after").unwrap();
        assert_eq!(mapped.bytes(), b"before");
        assert!(mapped.changed());
    }

    #[test]
    fn an_empty_file_is_an_empty_slice() {
        let file = file_of(b"");
        let mapped = Mapped::new(file.reopen().unwrap()).unwrap();
        assert!(mapped.bytes().is_empty());
        assert!(!mapped.changed());
        mapped.populate(0, 10);
    }
}
