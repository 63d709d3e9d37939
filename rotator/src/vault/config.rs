//! What a client needs to know: resolved, so that no manifest, file or cluster is asked again.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use shared::retry::Backoff;
use shared::secret::Secret;

/// One store of a Vault or OpenBao server. Made from a manifest, with every referenced secret already fetched.
#[derive(Debug)]
pub struct VaultConfig {
    /// How messages and audit records call the store, such as `SecretStore shop/vault`.
    pub name: String,
    /// The server's address, such as `https://vault.example:8200`.
    pub server: String,
    /// The mount of the KV engine (`provider.vault.path`); without it each key starts with its own mount.
    pub path: Option<String>,
    /// The KV engine's version.
    pub version: KvVersion,
    /// The namespace of the secrets; also of the login unless `auth_namespace` names another.
    pub namespace: Option<String>,
    /// The namespace of the login, where it differs.
    pub auth_namespace: Option<String>,
    /// Extra headers of each request. Proxies are passed with secret ones, hence the type.
    pub headers: Vec<(String, Secret)>,
    /// Certificates to trust, PEM. `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// The client's certificate for mutual TLS, and for the `cert` login.
    pub client_identity: Option<ClientIdentity>,
    /// How to log in.
    pub auth: Auth,
    /// Ask the server to answer no read from a state older than what we have seen (`X-Vault-Index`).
    pub read_your_writes: bool,
    /// Ask a standby that lags to forward to the active node (`X-Vault-Inconsistent`).
    pub forward_inconsistent: bool,
    /// What no server may make us exceed.
    pub limits: Limits,
}

/// Which KV engine is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvVersion {
    /// No versions.
    V1,
    /// Versions, metadata and check-and-set.
    #[default]
    V2,
}

/// A client certificate.
#[derive(Debug)]
pub struct ClientIdentity {
    /// The certificate and its chain, PEM.
    pub certificate_pem: Vec<u8>,
    /// Its private key, PEM.
    pub key_pem: Secret,
}

/// A way to log in. `mount` is the auth method's path, without `auth/`.
#[derive(Debug)]
pub enum Auth {
    /// A token that somebody else made. It is not renewed and not revoked.
    Token(Secret),
    /// A Kubernetes service account's token, which the server checks by TokenReview.
    Kubernetes {
        /// Usually `kubernetes`.
        mount: String,
        /// The role at that mount.
        role: String,
        /// The service account's token.
        jwt: Token,
    },
    /// A role id and a secret id.
    AppRole {
        /// Usually `approle`.
        mount: String,
        /// The role's id.
        role_id: String,
        /// The secret id.
        secret_id: Secret,
    },
    /// A JWT that the server checks by itself.
    Jwt {
        /// Usually `jwt`.
        mount: String,
        /// The role; empty for the mount's default.
        role: String,
        /// The JWT.
        jwt: Token,
    },
    /// A user of a directory.
    Ldap {
        /// Usually `ldap`.
        mount: String,
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A user of the server itself.
    UserPass {
        /// Usually `userpass`.
        mount: String,
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// The client certificate of [`VaultConfig::client_identity`].
    Cert {
        /// Usually `cert`.
        mount: String,
        /// The role; `None` lets the server choose by the certificate.
        role: Option<String>,
    },
}

/// Where a login's token comes from. Asked at each login, so that a long-running process has a fresh one.
pub enum Token {
    /// This one; good for one-shot runs.
    Fixed(Secret),
    /// A file that its owner keeps fresh, such as a pod's projected service account token.
    File(PathBuf),
    /// Made on demand, such as by a TokenRequest.
    Minted(Arc<dyn Mint>),
}

/// Makes a token for a login.
pub trait Mint: Send + Sync {
    /// A fresh token.
    fn mint(&self) -> BoxFuture<'_, Result<Secret, CredentialError>>;
}

/// Why a login's token could not be had. The text is the maker's own and holds no secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CredentialError(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(secret) => f.debug_tuple("Fixed").field(secret).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Minted(_) => f.write_str("Minted"),
        }
    }
}

/// Bounds on what one store may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests in flight at once.
    pub in_flight_max: usize,
    /// One request, from connecting to the last byte.
    pub timeout: Duration,
    /// One answer.
    pub answer_bytes_max: usize,
    /// When one call is tried again.
    pub backoff: Backoff,
    /// How long after its start a call is tried again, time spent waiting for answers included.
    pub total_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A thousand syncs at once keep a small server busy without queueing on it: its default database pool and
            // CPU count are of this order.
            in_flight_max: 32,
            timeout: Duration::from_secs(10),
            // Vault's own default limit on a request, and so on a secret, is 32 MiB; a Kubernetes Secret holds 1 MiB.
            answer_bytes_max: 8 * 1024 * 1024,
            backoff: Backoff::NETWORK,
            total_timeout: Duration::from_secs(40),
        }
    }
}
