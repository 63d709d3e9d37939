//! One file that is always whole: locked while it is rewritten, replaced in one step, on the disk before we say so.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use rustix::fs::{FlockOperation, OFlags, flock};

use super::FileStoreError;

/// A store of ten thousand secrets of 4 KiB; it is read into memory whole.
pub(super) const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A write takes milliseconds; a process that holds the lock this long hangs or is stopped.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Reads the first bytes of a file, fewer if it is shorter.
pub(super) fn read_start(file: &Path, bytes: usize) -> Result<Vec<u8>, FileStoreError> {
    read_at_most(file, open(file)?, bytes)
}

/// Reads the whole file.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, FileStoreError> {
    let bytes = read_at_most(file, open(file)?, FILE_BYTES_MAX + 1)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(FileStoreError::Damaged { file: file.to_owned(), problem: "larger than any store" });
    }
    Ok(bytes)
}

/// The right to replace a file. Other processes wait for its end; the kernel takes it back if this one dies.
pub(super) struct Lock<'a> {
    file: &'a Path,
    _held: File,
}

impl<'a> Lock<'a> {
    /// Waits for the lock, for ten seconds at most.
    ///
    /// The lock lies on the file itself, so that no other file is left lying about. A writer replaces the file, and
    /// with it what the next one must lock: whoever gets the lock looks whether its file is still the one in place.
    pub(super) fn acquire(file: &'a Path) -> Result<Self, FileStoreError> {
        let start = Instant::now();
        loop {
            let held = open(file)?;
            match flock(&held, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_in_place(file, &held)? => return Ok(Self { file, _held: held }),
                Ok(()) => continue,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(FileStoreError::io(file, "lock the store", &error.into())),
            }
            if start.elapsed() >= LOCK_WAIT_MAX {
                let waited_seconds = LOCK_WAIT_MAX.as_secs();
                return Err(FileStoreError::Locked { file: file.to_owned(), waited_seconds });
            }
            std::thread::sleep(LOCK_PAUSE);
        }
    }

    /// Replaces the file: at any time, also after a crash, it is the old one or the new one.
    pub(super) fn replace(&self, bytes: &[u8]) -> Result<(), FileStoreError> {
        // One name is enough: only the holder of the lock uses it, and a leftover of a killed process goes away.
        let new = beside(self.file, "new")?;
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileStoreError::io(&new, "remove what an earlier run left", &error));
            }
            _ => {}
        }
        write_new(&new, bytes)?;
        fs::rename(&new, self.file).map_err(|error| {
            let _ = fs::remove_file(&new);
            FileStoreError::io(self.file, "replace the store", &error)
        })?;
        sync_folder(self.file)
    }
}

/// Makes a file that does not exist yet, in a folder that may not exist yet. Two at once: one is told so.
pub(super) fn create(file: &Path, bytes: &[u8]) -> Result<(), FileStoreError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|error| FileStoreError::io(file, "get random bytes", &std::io::Error::other(error)))?;
    let new = beside(file, &HEXLOWER.encode(&random))?;
    write_new(&new, bytes)?;
    // A link, unlike a rename, never replaces.
    let linked = fs::hard_link(&new, file);
    let _ = fs::remove_file(&new);
    linked.map_err(|error| FileStoreError::exists_or(file, "make the store", &error))?;
    sync_folder(file)
}

/// Makes the folder of a file, for its owner alone.
pub(super) fn create_folder_of(file: &Path) -> Result<(), FileStoreError> {
    let folder = folder_of(file);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| FileStoreError::io(folder, "make the folder", &error))
}

fn open(file: &Path) -> Result<File, FileStoreError> {
    let opened = open_without_waiting(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => FileStoreError::NoStore { file: file.to_owned() },
        _ => FileStoreError::io(file, "read the store", &error),
    })?;
    match opened.metadata() {
        Ok(found) if found.is_file() => Ok(opened),
        Ok(_) => Err(FileStoreError::Damaged { file: file.to_owned(), problem: "not a regular file" }),
        Err(error) => Err(FileStoreError::io(file, "read the store", &error)),
    }
}

/// Opens a file to read; a FIFO in its place does not make us wait for a writer.
pub(super) fn open_without_waiting(file: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(file)
}

fn read_at_most(file: &Path, opened: File, bytes_max: usize) -> Result<Vec<u8>, FileStoreError> {
    let mut bytes = Vec::new();
    opened
        .take(bytes_max as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| FileStoreError::io(file, "read the store", &error))?;
    Ok(bytes)
}

fn is_in_place(file: &Path, held: &File) -> Result<bool, FileStoreError> {
    let failed = |error| FileStoreError::io(file, "look at the store", &error);
    let held = held.metadata().map_err(failed)?;
    match fs::metadata(file) {
        Ok(placed) => Ok((placed.dev(), placed.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(FileStoreError::NoStore { file: file.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file for its owner alone, and removes it again if it cannot be written whole.
fn write_new(file: &Path, bytes: &[u8]) -> Result<(), FileStoreError> {
    let failed = |error| FileStoreError::io(file, "write the new store (the old one is unchanged)", &error);
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    made.write_all(bytes).and_then(|()| made.sync_all()).map_err(|error| {
        let _ = fs::remove_file(file);
        failed(error)
    })
}

/// A new name is durable when its folder is.
fn sync_folder(file: &Path) -> Result<(), FileStoreError> {
    let folder = folder_of(file);
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| FileStoreError::io(folder, "make sure of the change (it was written)", &error))
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A hidden name in the same folder: only within one file system is a rename one step.
fn beside(file: &Path, suffix: &str) -> Result<PathBuf, FileStoreError> {
    let Some(name) = file.file_name() else {
        let problem = "this is no file's name".to_owned();
        return Err(FileStoreError::Refused { file: file.to_owned(), problem });
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(suffix);
    Ok(folder_of(file).join(hidden))
}
