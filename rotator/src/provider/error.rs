//! What can go wrong at a store, without a word of what the store answered.
//!
//! A server's error text can quote what was sent to it, so none is kept: an error says the store, the path, what
//! happened and what to do. The variants are what callers decide on; [`ReadError::retry`] says whether to try again.

use std::fmt;
use std::time::Duration;

use shared::retry::Retry;

use crate::file_store::FileStoreError;

/// Where something was tried: the store's name and the path in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The store, as its manifest names it, such as `SecretStore shop/vault`.
    pub store: String,
    /// The path in the store.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.store, self.path)
    }
}

/// Why nothing is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// The path or the version does not exist (or may not be seen).
    Missing,
    /// No engine is mounted where the path begins.
    NoEngine,
    /// The version was deleted and can be undeleted.
    Deleted,
    /// The version was destroyed.
    Destroyed,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "nothing is stored there",
            Self::NoEngine => "no secrets engine is mounted there",
            Self::Deleted => "this version was deleted",
            Self::Destroyed => "this version was destroyed",
        })
    }
}

/// Why a read gave nothing. Cheap to clone: a coalesced read fails for all who wait on it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The store answers, and nothing is there.
    #[error("{at}: {why}")]
    NotFound {
        /// Where.
        at: Place,
        /// In which way.
        why: Absence,
    },
    /// The login holds, but its policies do not allow this.
    #[error("{at}: permission denied (login: {login}); allow it in a policy of that login")]
    Denied {
        /// Where.
        at: Place,
        /// How we are logged in, such as `kubernetes role web`.
        login: String,
    },
    /// The store refuses the login itself.
    #[error("{store}: login refused ({login}): {hint}")]
    LoginRefused {
        /// The store's name.
        store: String,
        /// How we tried to log in.
        login: String,
        /// What to look at.
        hint: String,
    },
    /// The server is sealed or not initialised; a person must unseal it.
    #[error("{at}: the server is sealed; unseal it")]
    Sealed {
        /// Where.
        at: Place,
    },
    /// No answer, an incomplete one, or a 5xx.
    #[error("{at}: {server} does not answer: {reason}")]
    Unreachable {
        /// Where.
        at: Place,
        /// The server's address.
        server: String,
        /// Our own words, no payload.
        reason: String,
    },
    /// The server asks for patience.
    #[error("{at}: the server limits the rate of requests")]
    RateLimited {
        /// Where.
        at: Place,
        /// What `Retry-After` says.
        after: Option<Duration>,
    },
    /// The store answered something that cannot be what was asked for.
    #[error("{at}: {reason}")]
    Unexpected {
        /// Where.
        at: Place,
        /// Our own words, no payload.
        reason: String,
    },
    /// This kind of store cannot do this.
    #[error("{at}: {what} is not supported by this store")]
    Unsupported {
        /// Where.
        at: Place,
        /// What was asked.
        what: &'static str,
    },
    /// The local file store failed.
    #[error(transparent)]
    File(#[from] FileStoreError),
}

impl ReadError {
    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::LoginRefused { .. }
            | Self::Unexpected { .. }
            | Self::Unsupported { .. } => Retry::Never,
            Self::Sealed { .. } | Self::Unreachable { .. } => Retry::Backoff,
            Self::RateLimited { after, .. } => after.map_or(Retry::Backoff, Retry::After),
            Self::File(error) => error.retry(),
        }
    }
}

/// Why a write did not happen, or may not have happened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// Another version is the newest: somebody wrote in between.
    #[error("{at}: version {expected} was to be replaced, but {}; read it again", found_text(*found))]
    Cas {
        /// Where.
        at: Place,
        /// The version that the write named.
        expected: u64,
        /// The version that is there, where the store says it.
        found: Option<u64>,
    },
    /// The store asks for a version with each write.
    #[error("{at}: the store requires check-and-set; name the version that is replaced")]
    CasRequired {
        /// Where.
        at: Place,
    },
    /// The request was sent and no answer came: it may have happened. Read the path before you write again.
    #[error("{at}: no answer to a write; it may have happened: {reason}")]
    Unknown {
        /// Where.
        at: Place,
        /// Our own words, no payload.
        reason: String,
    },
    /// The value is not a JSON object.
    #[error("{at}: the value is not a JSON object")]
    NotAnObject {
        /// Where.
        at: Place,
    },
    /// The store did not take it, for a reason that reads have too.
    #[error(transparent)]
    Refused(#[from] ReadError),
}

impl WriteError {
    /// Whether the same write can be sent again as it is. [`Self::Unknown`] cannot: only a read tells what happened.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Cas { .. } | Self::CasRequired { .. } | Self::Unknown { .. } | Self::NotAnObject { .. } => {
                Retry::Never
            }
            Self::Refused(error) => error.retry(),
        }
    }
}

impl From<FileStoreError> for WriteError {
    fn from(error: FileStoreError) -> Self {
        Self::Refused(ReadError::File(error))
    }
}

fn found_text(found: Option<u64>) -> String {
    match found {
        Some(0) => "nothing is there".to_owned(),
        Some(version) => format!("version {version} is there"),
        None => "another one is there".to_owned(),
    }
}
