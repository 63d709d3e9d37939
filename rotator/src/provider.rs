//! One face for every store that secrets come from.
//!
//! A [`Provider`] reads, lists and writes JSON objects at paths, whether a Vault or OpenBao server or the encrypted
//! local file holds them; callers never ask which one it is. A [`Document`] is what a path holds, wiped when the last
//! reader drops it. Simultaneous reads of one path and version are one request, and a [`Pass`] keeps that promise for
//! a whole round of syncs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use shared::secret::Secret;

use crate::{file_store, vault};

mod coalesce;
mod error;

pub(crate) use coalesce::Coalesced;
pub use coalesce::Pass;
pub use error::{Absence, Place, ReadError, WriteError};

/// What to read: a path, and which version of it.
///
/// For Vault the path is what a manifest's `remoteRef.key` says; the client adds the mount and `data/` itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The path, as the manifest gives it.
    pub path: String,
    /// A version, or `None` for the latest.
    pub version: Option<u64>,
}

impl Key {
    /// The latest version at a path.
    pub fn latest(path: impl Into<String>) -> Self {
        Self { path: path.into(), version: None }
    }
}

/// What a store holds at one path.
#[derive(Debug)]
pub struct Document {
    json: Secret,
    /// The version that was read; `None` where the store keeps none (KV v1).
    pub version: Option<u64>,
    /// When this version was written; `None` where the store does not say.
    pub created_time: Option<Timestamp>,
    /// The path's custom metadata, as far as the read itself tells it; never secret.
    pub custom_metadata: BTreeMap<String, String>,
    /// How it was read, for the audit record.
    pub access: Access,
}

impl Document {
    /// A document of a store that tells nothing else about it.
    pub fn new(json: Secret, access: Access) -> Self {
        Self { json, version: None, created_time: None, custom_metadata: BTreeMap::new(), access }
    }

    /// The JSON object in UTF-8, as the store gave it: the text of numbers and the order of keys are kept.
    pub fn json(&self) -> &Secret {
        &self.json
    }
}

/// How a document was read: what an audit record says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// The server's id of the request, to find it in the server's own audit log.
    pub request_id: Option<String>,
    /// The accessor of the token that was used. An accessor names a token and cannot be used to log in.
    pub accessor: Option<String>,
}

/// What a store says about a path without giving its value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The newest version; 0 when there is none yet.
    pub current_version: u64,
    /// When the path was first written: RFC 3339, the store's own text.
    pub created_time: String,
    /// When the path was last written: RFC 3339, the store's own text.
    pub updated_time: String,
    /// After how long a version deletes itself: the store's own text, such as `0s`.
    pub delete_version_after: String,
    /// How many versions are kept; 0 is the store's default.
    pub max_versions: u64,
    /// Whether each write must name the version that it replaces.
    pub cas_required: bool,
    /// Custom metadata; never secret.
    pub custom_metadata: BTreeMap<String, String>,
    /// Every version that is kept.
    pub versions: BTreeMap<u64, VersionState>,
}

/// A part of a folder: the metadata of secrets directly in it, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// By the name in the folder.
    pub entries: BTreeMap<String, Metadata>,
    /// The name after which the next page begins; none if this is the last one.
    pub next: Option<String>,
}

/// What became of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionState {
    /// It can be read.
    Live {
        /// RFC 3339, the store's own text.
        created_time: String,
    },
    /// It is hidden and can be undeleted.
    Deleted {
        /// RFC 3339, the store's own text.
        deletion_time: String,
    },
    /// Its bytes are gone.
    Destroyed,
}

/// A store. The choice is closed: whoever adds a kind is shown every place that must know of it.
#[derive(Debug, Clone)]
pub enum Provider {
    /// A Vault or OpenBao server.
    Vault(Arc<vault::Client>),
    /// The encrypted local file.
    File(Arc<file_store::FileStore>),
}

impl Provider {
    /// Reads the JSON object at a path. Simultaneous reads of one path and version are one request.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] when nothing is there or the version was deleted; else what kept the store from
    /// answering.
    pub async fn read(&self, key: &Key) -> Result<Arc<Document>, ReadError> {
        match self {
            Self::Vault(client) => client.read(key).await,
            Self::File(store) => store.read(key).await,
        }
    }

    /// Reads a path's metadata, never its value.
    ///
    /// # Errors
    /// As [`Self::read`]; [`ReadError::Unsupported`] for KV v1, which keeps no metadata.
    pub async fn metadata(&self, path: &str) -> Result<Metadata, ReadError> {
        match self {
            Self::Vault(client) => client.metadata(path).await,
            Self::File(store) => store.metadata(path).await,
        }
    }

    /// The folder and the name of a path, where [`Self::page`] may list it.
    pub fn split(&self, path: &str) -> Option<(String, String)> {
        match self {
            Self::Vault(client) => client.split(path),
            Self::File(_) => None,
        }
    }

    /// A page of a folder with the metadata of its secrets, after a name; none where the store does not tell them
    /// together, or does not let us.
    ///
    /// # Errors
    /// When the store does not answer at all.
    pub async fn page(&self, folder: &str, after: &str, limit: usize) -> Result<Option<Page>, ReadError> {
        match self {
            Self::Vault(client) => client.page(folder, after, limit).await,
            Self::File(_) => Ok(None),
        }
    }

    /// Waits for its turn to ask the server for metadata: all stores of a server together ask fifty times a second.
    pub async fn turn(&self) {
        if let Self::Vault(client) = self {
            client.server().turn().await;
        }
    }

    /// The names directly below a folder, sorted; a name that ends in `/` is a folder itself. An absent folder is
    /// empty.
    ///
    /// # Errors
    /// What kept the store from answering.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, ReadError> {
        match self {
            Self::Vault(client) => client.list(prefix).await,
            Self::File(store) => store.list(prefix).await,
        }
    }

    /// Writes a new version of a path and returns its number (0 for KV v1, which counts none).
    ///
    /// `json` is a JSON object. With `cas` the write happens only while that version is the newest; 0 means that the
    /// path must not exist.
    ///
    /// # Errors
    /// [`WriteError::Cas`] when another version is there; else what kept the store from writing.
    pub async fn write(&self, path: &str, json: Secret, cas: Option<u64>) -> Result<u64, WriteError> {
        match self {
            Self::Vault(client) => client.write(path, json, cas).await,
            Self::File(store) => store.write(path, json, cas).await,
        }
    }

    /// Has a path take writes by check-and-set alone and keep exactly so many versions, whoever writes.
    ///
    /// # Errors
    /// As [`Self::write`]; [`ReadError::Unsupported`] for KV v1.
    pub async fn guard(&self, path: &str, versions: u64) -> Result<(), WriteError> {
        match self {
            Self::Vault(client) => client.guard(path, versions).await,
            Self::File(store) => {
                let change = file_store::MetadataChange {
                    cas_required: Some(true),
                    max_versions: Some(versions),
                    ..file_store::MetadataChange::default()
                };
                store.change_metadata(path, change).await
            }
        }
    }

    /// The store's name in messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Vault(client) => client.name(),
            Self::File(store) => store.name(),
        }
    }
}
