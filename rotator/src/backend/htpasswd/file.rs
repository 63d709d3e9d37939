//! The file: read whole, changed by line, replaced in one step.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use shared::secret::Secret;

/// A hundred thousand accounts; the file is read whole.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A change takes milliseconds; who waits longer waits for a process that hangs.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
/// What stands for the hash of an account that may not log in: no hash has this form.
const DISABLED: &str = "!";

/// Why the file was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process holds the lock.
    #[error("another process has held the file's lock for {} s", LOCK_WAIT_MAX.as_secs())]
    Locked,
    /// The change comes after the end of its holder's lease.
    #[error("the lease was over before the file's lock was free")]
    LeaseOver,
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// The account has no line.
    #[error("the account `{0}` has no line; add it once with `htpasswd -B`")]
    NoAccount(String),
    /// The account's name cannot stand in such a file.
    #[error("the account `{0}` cannot stand in an htpasswd file: no colon, no control characters")]
    BadAccount(String),
    /// Larger than such files are.
    #[error("larger than {} MiB", BYTES_MAX / 1024 / 1024)]
    TooLarge,
    /// The password cannot be hashed.
    #[error("the password cannot be hashed")]
    Hash,
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> FileError {
    move |source| FileError::Io { what, source }
}

/// The lines of a file; those of other accounts, comments and blank lines stay as they are, byte for byte.
#[derive(Debug)]
pub struct Lines(Vec<Vec<u8>>);

impl Lines {
    /// Whether the account has a line.
    pub fn has(&self, account: &str) -> Result<(), FileError> {
        self.index(account).map(|_| ())
    }

    /// Gives the account another hash. Answers whether anything changed.
    pub fn set(&mut self, account: &str, hash: &str) -> Result<bool, FileError> {
        let index = self.index(account)?;
        self.0[index] = format!("{account}:{hash}").into_bytes();
        Ok(true)
    }

    /// Takes the account's hash away. Answers whether anything changed.
    pub fn disable(&mut self, account: &str) -> Result<bool, FileError> {
        let index = self.index(account)?;
        let disabled = format!("{account}:{DISABLED}").into_bytes();
        let changed = self.0[index] != disabled;
        self.0[index] = disabled;
        Ok(changed)
    }

    /// Whether the account's hash is that of the secret. Hashes other than bcrypt are not ours and match nothing.
    pub fn accepts(&self, account: &str, secret: &Secret) -> Result<bool, FileError> {
        let line = &self.0[self.index(account)?];
        let hash = std::str::from_utf8(&line[account.len() + 1..]).unwrap_or(DISABLED).trim_end();
        Ok(secret.expose(|bytes| bcrypt::verify(bytes, hash)).unwrap_or(false))
    }

    /// Servers take an account's first line, and so do we.
    fn index(&self, account: &str) -> Result<usize, FileError> {
        if account.is_empty() || account.contains(':') || account.chars().any(char::is_control) {
            return Err(FileError::BadAccount(account.escape_default().to_string()));
        }
        let prefix = format!("{account}:");
        self.0
            .iter()
            .position(|line| line.starts_with(prefix.as_bytes()))
            .ok_or_else(|| FileError::NoAccount(account.to_owned()))
    }
}

/// Reads the file.
pub fn read(path: &Path) -> Result<Lines, FileError> {
    lines_of(&open(path)?)
}

/// Reads the file when nobody is in the middle of a change: who changes it asks for the lease under the same lock.
pub fn read_unlocked(path: &Path) -> Result<Lines, FileError> {
    lines_of(&lock(&in_place(path)?)?)
}

/// What a symbolic link names is what counts, not the link.
fn in_place(path: &Path) -> Result<PathBuf, FileError> {
    fs::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => FileError::Missing,
        _ => io("find it")(error),
    })
}

fn open(path: &Path) -> Result<File, FileError> {
    // A FIFO in the file's place must not make us wait for a writer.
    let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => FileError::Missing,
        _ => io("open it")(error),
    })
}

fn lines_of(file: &File) -> Result<Lines, FileError> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io("read it"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(FileError::TooLarge);
    }
    Ok(Lines(bytes.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect()))
}

/// Changes the file under its lock; `change` answers whether there is anything to write.
pub fn change(
    path: &Path,
    change: impl FnOnce(&mut Lines) -> Result<bool, FileError>,
) -> Result<(), FileError> {
    let path = &in_place(path)?;
    let locked = lock(path)?;
    let mut lines = lines_of(&locked)?;
    if change(&mut lines)? {
        replace(path, &locked, &lines.0.join(&b'\n'))?;
    }
    Ok(())
}

/// Waits for the lock of the file that is in place: a writer before us may have replaced the one that we opened.
fn lock(path: &Path) -> Result<File, FileError> {
    let start = Instant::now();
    loop {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let held = file.metadata().map_err(io("look at it"))?;
                match fs::metadata(path) {
                    Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => return Ok(file),
                    Ok(_) | Err(_) => continue,
                }
            }
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io("lock it")(error.into())),
        }
        if start.elapsed() > LOCK_WAIT_MAX {
            return Err(FileError::Locked);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Replaces the file in one step, with its owner and mode.
fn replace(path: &Path, old: &File, bytes: &[u8]) -> Result<(), FileError> {
    let before = old.metadata().map_err(io("look at it"))?;
    let new = PathBuf::from(format!("{}.keyturn-new", path.display()));
    let written = write(&new, &before, bytes);
    if let Err(error) = written.and_then(|()| fs::rename(&new, path).map_err(io("replace it"))) {
        // The old file is untouched; what was half-written is of no use to anybody.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|f| f.sync_all()).map_err(io("write its folder to the disk"))
}

fn write(new: &Path, before: &fs::Metadata, bytes: &[u8]) -> Result<(), FileError> {
    // Under the lock nobody else uses this name: what lies there was left by a process that died.
    match fs::remove_file(new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("remove what an earlier run left")(error));
        }
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)
        .map_err(io("write beside it"))?;
    file.write_all(bytes).map_err(io("write beside it"))?;
    std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid())).map_err(io("keep its owner"))?;
    file.set_permissions(Permissions::from_mode(before.mode() & 0o7777)).map_err(io("keep its mode"))?;
    file.sync_all().map_err(io("write it to the disk"))
}
