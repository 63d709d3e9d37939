//! A thin client for the part of the Vault API that HashiCorp Vault and OpenBao share.

use std::sync::Arc;

use shared::secret::Secret;

use crate::provider::{Coalesced, Document, Key, Metadata, ReadError, WriteError};

mod config;

pub use config::{Auth, ClientIdentity, CredentialError, KvVersion, Limits, Mint, Token, VaultConfig};

/// A connection to one store with one login.
pub struct Client {
    config: VaultConfig,
    reads: Coalesced,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("store", &self.config.name).finish_non_exhaustive()
    }
}

impl Client {
    /// Checks the settings and prepares connections; logs in at the first call.
    ///
    /// # Errors
    /// When an address, header or certificate cannot be used.
    pub fn new(config: VaultConfig) -> Result<Self, ConfigError> {
        Ok(Self { config, reads: Coalesced::default() })
    }

    /// The store's name in messages.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Revokes the login that this client made. A token that was given is left alone.
    pub async fn close(&self) {}

    pub(crate) async fn read(&self, key: &Key) -> Result<Arc<Document>, ReadError> {
        let at = self.place(&key.path);
        self.reads.read(key, || Box::pin(async { Err(ReadError::Unsupported { at, what: "reading" }) })).await
    }

    pub(crate) async fn metadata(&self, path: &str) -> Result<Metadata, ReadError> {
        Err(ReadError::Unsupported { at: self.place(path), what: "metadata" })
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, ReadError> {
        Err(ReadError::Unsupported { at: self.place(prefix), what: "listing" })
    }

    pub(crate) async fn write(
        &self,
        path: &str,
        _json: Secret,
        _cas: Option<u64>,
    ) -> Result<u64, WriteError> {
        Err(ReadError::Unsupported { at: self.place(path), what: "writing" }.into())
    }

    fn place(&self, path: &str) -> crate::provider::Place {
        crate::provider::Place { store: self.config.name.clone(), path: path.to_owned() }
    }
}

/// Why a store's settings cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{store}: {problem}")]
pub struct ConfigError {
    /// The store's name.
    pub store: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}
