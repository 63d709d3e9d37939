//! What can go wrong with the local store, each in one line that names the file and what to do.

use std::path::{Path, PathBuf};

use shared::retry::Retry;

/// Why the local store could not be used. Unless it says otherwise, nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FileStoreError {
    /// There is no store yet.
    #[error("{}: there is no store; make one with `rotator store init`", file.display())]
    NoStore {
        /// The store's file.
        file: PathBuf,
    },
    /// The key file is not one.
    #[error("{}: {problem}", file.display())]
    KeyFile {
        /// The key file.
        file: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// `init` found something there already.
    #[error("{}: exists already and is left as it is; choose another path", file.display())]
    Exists {
        /// The file that exists.
        file: PathBuf,
    },
    /// The store was made with another key.
    #[error("{}: made with key {store_key_id}, but {} holds key {key_id}; use the key file that belongs to it",
        file.display(), key_file.display())]
    WrongKey {
        /// The store's file.
        file: PathBuf,
        /// The key file that was used.
        key_file: PathBuf,
        /// Names the key that the store wants; it tells nothing about the key.
        store_key_id: String,
        /// Names the key in the key file.
        key_id: String,
    },
    /// A newer program wrote it.
    #[error("{}: format version {version} is newer than this program's {supported}; use a newer rotator", file.display())]
    Newer {
        /// The store's file.
        file: PathBuf,
        /// The format that it has.
        version: u32,
        /// The newest format that we know.
        supported: u32,
    },
    /// It is truncated, altered, or no store at all.
    #[error("{}: {problem}; restore it from a backup", file.display())]
    Damaged {
        /// The store's file.
        file: PathBuf,
        /// In which way.
        problem: &'static str,
    },
    /// Another process kept the store locked.
    #[error("{}: another process has been writing for {waited_seconds} s; try again", file.display())]
    Locked {
        /// The store's file.
        file: PathBuf,
        /// How long we waited.
        waited_seconds: u64,
    },
    /// A path, document or store exceeds what is allowed.
    #[error("{}: {problem}", file.display())]
    Refused {
        /// The store's file.
        file: PathBuf,
        /// What is not allowed and what is.
        problem: String,
    },
    /// The operating system refused something.
    #[error("{}: cannot {doing}: {reason}", file.display())]
    Io {
        /// The file in question.
        file: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The operating system's words.
        reason: String,
    },
}

impl FileStoreError {
    pub(super) fn io(file: &Path, doing: &'static str, error: &std::io::Error) -> Self {
        Self::Io { file: file.to_owned(), doing, reason: error.to_string() }
    }

    /// For a file that must not exist yet.
    pub(super) fn exists_or(file: &Path, doing: &'static str, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => Self::Exists { file: file.to_owned() },
            _ => Self::io(file, doing, error),
        }
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Locked { .. } => Retry::Backoff,
            Self::NoStore { .. }
            | Self::KeyFile { .. }
            | Self::Exists { .. }
            | Self::WrongKey { .. }
            | Self::Newer { .. }
            | Self::Damaged { .. }
            | Self::Refused { .. }
            | Self::Io { .. } => Retry::Never,
        }
    }
}
