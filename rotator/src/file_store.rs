//! The encrypted local store: one file, no server.
//!
//! It behaves as Vault's KV engine version 2: versions with times, check-and-set, a bounded number of versions,
//! custom metadata. The file is encrypted under a key file, replaced as a whole in one step, and locked while it is
//! rewritten, so that two processes lose no write and a crash leaves the old store or the new one.
//!
//! Guarantees: plaintext and keys lie in wiped buffers alone; a write that returned is on the disk; a failed one
//! changed nothing, unless its error says otherwise.
//! Assumptions: a local file system (the lock is `flock`).
//! Caveats: the paths' names and counts show in the file's length; an older copy of the file is not told from the
//! newest.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use shared::clock::{Clock, SystemClock};
use shared::secret::Secret;

use crate::provider::{Access, Document, Key, Metadata, Place, ReadError, WriteError};

mod contents;
mod disk;
mod error;
mod key_file;
mod sealed;

pub use contents::MetadataChange;
pub use error::FileStoreError;

use contents::{Contents, NotWritten};
use key_file::StoreKey;
use sealed::{HEADER_BYTES, Header, Unsealable};

/// What fits a Kubernetes Secret, which is where values go.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// As Vault's KV engine; a path is not a place for data.
const PATH_BYTES_MAX: usize = 512;

/// A store in one encrypted file.
#[derive(Debug, Clone)]
pub struct FileStore {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    file: PathBuf,
    key: StoreKey,
    clock: Box<dyn Clock>,
    /// The last generation that was decrypted: ten thousand reads decrypt once.
    read: Mutex<Option<(Header, Arc<Contents>)>>,
}

impl FileStore {
    /// Makes an empty store, and its key file unless there is one. Both are for their owner alone; neither is ever
    /// overwritten.
    ///
    /// # Errors
    /// [`FileStoreError::Exists`] when the store exists; else what the key file or the operating system refuses.
    pub fn init(file: &Path, key_file: &Path) -> Result<(), FileStoreError> {
        if file.symlink_metadata().is_ok() {
            // Said before a key file is made that nothing needs.
            return Err(FileStoreError::Exists { file: file.to_owned() });
        }
        disk::create_folder_of(file)?;
        if key_file.symlink_metadata().is_err() {
            disk::create_folder_of(key_file)?;
            StoreKey::create(key_file)?;
        }
        let key = StoreKey::load(key_file)?;
        let (_, bytes) = seal(file, &key, 1, &Contents::default())?;
        disk::create(file, &bytes)
    }

    /// Opens a store that exists. `name` is how messages call it.
    ///
    /// # Errors
    /// When the key file or the store cannot be read, or the key does not open it.
    pub fn open(name: &str, file: &Path, key_file: &Path) -> Result<Self, FileStoreError> {
        Self::open_at(name, file, key_file, Box::new(SystemClock::new()))
    }

    /// As [`Self::open`], with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_at(
        name: &str,
        file: &Path,
        key_file: &Path,
        clock: Box<dyn Clock>,
    ) -> Result<Self, FileStoreError> {
        let key = StoreKey::load(key_file)?;
        // A link to the store stays a link when the store is replaced.
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let inner = Inner { name: name.to_owned(), file, key, clock, read: Mutex::default() };
        inner.latest()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store's name in messages.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    pub(crate) async fn read(&self, key: &Key) -> Result<Arc<Document>, ReadError> {
        let key = key.clone();
        self.run(move |inner| inner.read(&key)).await
    }

    pub(crate) async fn metadata(&self, path: &str) -> Result<Metadata, ReadError> {
        let path = path.to_owned();
        self.run(move |inner| inner.metadata(&path)).await
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, ReadError> {
        let prefix = prefix.to_owned();
        self.run(move |inner| inner.list(&prefix)).await
    }

    pub(crate) async fn write(&self, path: &str, json: Secret, cas: Option<u64>) -> Result<u64, WriteError> {
        let path = path.to_owned();
        self.run(move |inner| inner.write(&path, json, cas)).await
    }

    /// Changes a path's settings; makes the path, without a version, if it is not there.
    ///
    /// # Errors
    /// As a write.
    pub async fn change_metadata(&self, path: &str, change: MetadataChange) -> Result<(), WriteError> {
        let path = path.to_owned();
        self.run(move |inner| {
            let path = inner.path(&path)?;
            inner.change(|contents, now| {
                contents.change_metadata(&path, change, now);
                Ok(())
            })
        })
        .await
    }

    /// Hides the latest version of a path, as KV version 2 deletes.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] when there is none; else as a write.
    pub async fn delete(&self, path: &str) -> Result<(), WriteError> {
        let path = path.to_owned();
        self.run(move |inner| inner.remove(&path, Contents::delete_latest)).await
    }

    /// Removes a path with all its versions and its metadata, for good.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] when it is not there; else as a write.
    pub async fn destroy(&self, path: &str) -> Result<(), WriteError> {
        let path = path.to_owned();
        self.run(move |inner| inner.remove(&path, |contents, path, _| contents.destroy(path))).await
    }

    /// Disks block; the caller's thread must not.
    async fn run<T, E>(&self, work: impl FnOnce(&Inner) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<FileStoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(_) => Err(FileStoreError::Io {
                file: self.inner.file.clone(),
                doing: "work on the store",
                reason: "the program is ending".to_owned(),
            }
            .into()),
        }
    }
}

impl Inner {
    fn read(&self, key: &Key) -> Result<Arc<Document>, ReadError> {
        let path = self.path(&key.path)?;
        let contents = self.latest()?;
        let found = contents
            .read(&path, key.version)
            .map_err(|why| ReadError::NotFound { at: self.place(&key.path), why })?;
        let mut document = Document::new(found.json.duplicate(), Access::default());
        document.version = Some(found.version);
        document.created_time = Some(found.created_time);
        document.custom_metadata = found.custom_metadata.clone();
        Ok(Arc::new(document))
    }

    fn metadata(&self, path: &str) -> Result<Metadata, ReadError> {
        let known = self.path(path)?;
        self.latest()?.metadata(&known).ok_or_else(|| self.missing(path))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, ReadError> {
        let folder = prefix.trim_matches('/');
        let folder = if folder.is_empty() { String::new() } else { format!("{}/", self.path(folder)?) };
        Ok(self.latest()?.list(&folder))
    }

    fn write(&self, path: &str, json: Secret, cas: Option<u64>) -> Result<u64, WriteError> {
        let known = self.path(path)?;
        if json.len() > DOCUMENT_BYTES_MAX {
            let problem =
                format!("{path}: {} bytes are more than the {DOCUMENT_BYTES_MAX} allowed", json.len());
            return Err(self.refused(problem).into());
        }
        if !contents::is_object(&json) {
            return Err(WriteError::NotAnObject { at: self.place(path) });
        }
        self.change(|contents, now| {
            contents.write(&known, json, cas, now).map_err(|why| match why {
                NotWritten::OtherVersion { found } => WriteError::Cas {
                    at: self.place(path),
                    expected: cas.unwrap_or_default(),
                    found: Some(found),
                },
                NotWritten::CasRequired => WriteError::CasRequired { at: self.place(path) },
            })
        })
    }

    fn remove(
        &self,
        path: &str,
        remove: impl FnOnce(&mut Contents, &str, Timestamp) -> bool,
    ) -> Result<(), WriteError> {
        let known = self.path(path)?;
        self.change(
            |contents, now| {
                if remove(contents, &known, now) { Ok(()) } else { Err(self.missing(path).into()) }
            },
        )
    }

    /// Reads the newest generation under the lock, changes it and replaces the file; a failed change writes nothing.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Contents, Timestamp) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        let lock = disk::Lock::acquire(&self.file)?;
        let (header, mut contents) = self.decrypt(disk::read(&self.file)?)?;
        let result = change(&mut contents, self.clock.now())?;
        // 2^64 writes do not happen; a generation that stands still would only cost the cache its use.
        let (header, bytes) = seal(&self.file, &self.key, header.generation.saturating_add(1), &contents)?;
        lock.replace(&bytes)?;
        self.remember(header, contents);
        Ok(result)
    }

    /// The newest generation, from memory if the file's header is the one that we know.
    fn latest(&self) -> Result<Arc<Contents>, FileStoreError> {
        let start = disk::read_start(&self.file, HEADER_BYTES)?;
        let header = Header::parse(&start).map_err(|why| self.unsealable(why))?;
        if let Some((known, contents)) = self.known().as_ref()
            && *known == header
        {
            return Ok(Arc::clone(contents));
        }
        let (header, contents) = self.decrypt(disk::read(&self.file)?)?;
        Ok(self.remember(header, contents))
    }

    fn decrypt(&self, bytes: Vec<u8>) -> Result<(Header, Contents), FileStoreError> {
        let (header, opened) = sealed::open(&self.key, bytes).map_err(|why| self.unsealable(why))?;
        let contents = Contents::parse(opened.plaintext()).ok_or_else(|| FileStoreError::Damaged {
            file: self.file.clone(),
            problem: "it was encrypted with this key, but holds no store",
        })?;
        Ok((header, contents))
    }

    fn remember(&self, header: Header, contents: Contents) -> Arc<Contents> {
        let contents = Arc::new(contents);
        *self.known() = Some((header, Arc::clone(&contents)));
        contents
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<(Header, Arc<Contents>)>> {
        // It is set in one step: a panic elsewhere leaves it whole.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path as it is stored: no slash at its ends.
    fn path(&self, path: &str) -> Result<String, FileStoreError> {
        let known = path.trim_matches('/');
        let problem = if known.is_empty() {
            "a path must have a name in it"
        } else if known.len() > PATH_BYTES_MAX {
            "a path has at most 512 bytes"
        } else if known.chars().any(char::is_control) {
            "a path has no control characters"
        } else if known.split('/').any(|part| matches!(part, "" | "." | "..")) {
            "a path has no empty part and no `.` or `..`"
        } else {
            return Ok(known.to_owned());
        };
        Err(self.refused(format!("{:?}: {problem}", shortened(path))))
    }

    fn place(&self, path: &str) -> Place {
        Place { store: self.name.clone(), path: path.to_owned() }
    }

    fn missing(&self, path: &str) -> ReadError {
        ReadError::NotFound { at: self.place(path), why: crate::provider::Absence::Missing }
    }

    fn refused(&self, problem: String) -> FileStoreError {
        FileStoreError::Refused { file: self.file.clone(), problem }
    }

    fn unsealable(&self, why: Unsealable) -> FileStoreError {
        let file = self.file.clone();
        let problem = match why {
            Unsealable::NotAStore => "this is no store",
            Unsealable::Truncated => "the store is truncated",
            Unsealable::TooLong => "the store has bytes after its end",
            Unsealable::Altered => "the store was altered or damaged",
            Unsealable::Newer(version) => {
                return FileStoreError::Newer { file, version, supported: sealed::VERSION };
            }
            Unsealable::OtherKey(store_key) => {
                return FileStoreError::WrongKey {
                    file,
                    key_file: self.key.file().to_owned(),
                    store_key_id: store_key.to_string(),
                    key_id: self.key.id().to_string(),
                };
            }
        };
        FileStoreError::Damaged { file, problem }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStore")
            .field("name", &self.name)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn seal(
    file: &Path,
    key: &StoreKey,
    generation: u64,
    contents: &Contents,
) -> Result<(Header, Vec<u8>), FileStoreError> {
    let bytes_max = disk::FILE_BYTES_MAX - 2 * HEADER_BYTES;
    let plaintext = contents.to_plaintext(bytes_max).map_err(|_| FileStoreError::Refused {
        file: file.to_owned(),
        problem: format!("the store would exceed {bytes_max} bytes; keep fewer versions or split it"),
    })?;
    sealed::seal(key, generation, plaintext)
        .map_err(|error| FileStoreError::io(file, "encrypt the store", &error))
}

/// A path that is too long is not repeated whole.
fn shortened(path: &str) -> String {
    path.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
