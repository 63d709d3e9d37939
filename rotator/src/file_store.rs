//! The encrypted local store: one file, no server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::secret::Secret;

use crate::provider::{Document, Key, Metadata, ReadError, WriteError};

mod error;

pub use error::FileStoreError;

/// A store in one encrypted file.
#[derive(Debug)]
pub struct FileStore {
    name: String,
    file: PathBuf,
}

impl FileStore {
    /// Opens a store that exists. `name` is how messages call it.
    ///
    /// # Errors
    /// When the key file or the store cannot be read, or the key does not open it.
    pub fn open(name: &str, file: &Path, key_file: &Path) -> Result<Self, FileStoreError> {
        let _ = key_file;
        Ok(Self { name: name.to_owned(), file: file.to_owned() })
    }

    /// The store's name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn read(&self, key: &Key) -> Result<Arc<Document>, ReadError> {
        let _ = key;
        Err(FileStoreError::NoStore { file: self.file.clone() }.into())
    }

    pub(crate) async fn metadata(&self, path: &str) -> Result<Metadata, ReadError> {
        let _ = path;
        Err(FileStoreError::NoStore { file: self.file.clone() }.into())
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, ReadError> {
        let _ = prefix;
        Err(FileStoreError::NoStore { file: self.file.clone() }.into())
    }

    pub(crate) async fn write(&self, path: &str, json: Secret, cas: Option<u64>) -> Result<u64, WriteError> {
        let _ = (path, json, cas);
        Err(FileStoreError::NoStore { file: self.file.clone() }.into())
    }
}
