//! What can go wrong with one request, before anybody knows which store and path it was for.

use std::time::Duration;

use shared::retry::Retry;

use crate::provider::{Absence, Place, ReadError, WriteError};

/// Why a request gave nothing. No variant holds a byte of what the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    NotFound(Absence),
    /// The token's policies do not allow it, or it is not valid.
    Denied,
    /// The server says that the token is not valid.
    BadToken,
    /// 400, for no reason that we know.
    BadRequest,
    /// The login is refused, or the token that we were given is no longer valid.
    LoginRefused(String),
    Sealed,
    /// Nothing was answered, or a 5xx. `sent` says whether the request may have been carried out.
    Unreachable {
        reason: String,
        sent: bool,
    },
    RateLimited(Option<Duration>),
    Cas,
    CasRequired,
    Unexpected(String),
}

impl Failure {
    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::Sealed | Self::Unreachable { .. } => Retry::Backoff,
            Self::RateLimited(after) => after.map_or(Retry::Backoff, Retry::After),
            Self::NotFound(_)
            | Self::Denied
            | Self::BadToken
            | Self::BadRequest
            | Self::LoginRefused(_)
            | Self::Cas
            | Self::CasRequired
            | Self::Unexpected(_) => Retry::Never,
        }
    }

    /// As [`Self::retry`], for a request that must not be carried out twice.
    pub(super) fn retry_write(&self) -> Retry {
        match self {
            Self::Unreachable { sent: true, .. } => Retry::Never,
            other => other.retry(),
        }
    }

    /// Whether the server as a whole is in trouble, and not this request alone.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Sealed | Self::Unreachable { .. })
    }

    pub(super) fn into_read_error(self, at: Place, login: &str, server: &str) -> ReadError {
        match self {
            Self::NotFound(why) => ReadError::NotFound { at, why },
            Self::BadToken => {
                let hint = "the server takes none of our tokens".to_owned();
                ReadError::LoginRefused { store: at.store, login: login.to_owned(), hint }
            }
            Self::BadRequest => {
                let reason = "the server refuses the request (400); look at its log".to_owned();
                ReadError::Unexpected { at, reason }
            }
            Self::Denied => ReadError::Denied { at, login: login.to_owned() },
            Self::LoginRefused(hint) => {
                ReadError::LoginRefused { store: at.store, login: login.to_owned(), hint }
            }
            Self::Sealed => ReadError::Sealed { at },
            Self::Unreachable { reason, .. } => {
                ReadError::Unreachable { at, server: server.to_owned(), reason }
            }
            Self::RateLimited(after) => ReadError::RateLimited { at, after },
            Self::Unexpected(reason) => ReadError::Unexpected { at, reason },
            // Only writes carry a version; a server that says so to a read is confused.
            Self::Cas | Self::CasRequired => {
                ReadError::Unexpected { at, reason: "the server spoke of check-and-set to a read".to_owned() }
            }
        }
    }

    pub(super) fn into_write_error(
        self,
        at: Place,
        login: &str,
        server: &str,
        cas: Option<u64>,
    ) -> WriteError {
        match self {
            Self::Cas => WriteError::Cas { at, expected: cas.unwrap_or_default(), found: None },
            Self::CasRequired => WriteError::CasRequired { at },
            Self::Unreachable { reason, sent: true } => WriteError::Unknown { at, reason },
            other => other.into_read_error(at, login, server).into(),
        }
    }
}
