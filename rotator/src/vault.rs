//! A thin client for the part of the Vault API that HashiCorp Vault and OpenBao share.
//!
//! One [`Client`] is one store: a server, a KV engine and a login. Its [session](session) logs in once for all who
//! ask; simultaneous reads of one path are one request; no more requests are in flight than a [`Server`] lets through;
//! what may pass (429, 5xx, a sealed server) is tried again with growing, jittered pauses, and an
//! [outage](outage) is found out once and not by every caller.

use std::sync::Arc;

use jiff::Timestamp;
use shared::secret::Secret;
use tokio::time::Instant;

use crate::provider::{
    Absence, Access, Coalesced, Document, Key, Metadata, Page, Place, ReadError, WriteError,
};
use crate::wiped::WipedBuffer;

mod answer;
mod config;
mod consistency;
mod failure;
mod login;
mod meter;
mod outage;
mod paths;
mod servers;
mod session;
mod transport;

pub use config::{Auth, ClientIdentity, CredentialError, KvVersion, Limits, Mint, Token, VaultConfig};
pub use meter::Meter;
pub use servers::{Server, Servers};

use failure::Failure;
use meter::Operation;
use outage::Outage;
use paths::{BadPath, Engine, ServerPath};
use session::{Denial, Login, Session};
use transport::{Answer, Request, Transport};

/// A connection to one store with one login.
///
/// Guarantees: neither `Debug` nor an error shows a token, a value or a word of the server's answers; a token goes to
/// the configured host alone.
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: VaultConfig,
    engine: Engine,
    transport: Transport,
    session: Session,
    outage: Outage,
    reads: Coalesced,
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

impl Client {
    /// Checks the settings and prepares connections; logs in at the first call.
    ///
    /// # Errors
    /// When an address, header or certificate cannot be used.
    pub fn new(config: VaultConfig) -> Result<Self, ConfigError> {
        let server = Server::new(config.limits.in_flight_max);
        Self::of(config, &server, &Meter::default())
    }

    /// As [`Self::new`], for a server that other stores have too, counted by this meter.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(mut config: VaultConfig, server: &Server, meter: &Meter) -> Result<Self, ConfigError> {
        let engine = Engine::new(config.path.as_deref(), config.version)
            .map_err(|why| ConfigError { store: config.name.clone(), problem: format!("path: {why}") })?;
        let transport = Transport::new(&config, server, meter)?;
        // The session owns the credentials from here on.
        let auth = std::mem::replace(&mut config.auth, Auth::Token(Secret::new(Vec::new())));
        let namespace = config.auth_namespace.clone().filter(|name| !name.is_empty());
        let session = Session::new(auth, namespace.or_else(|| config.namespace.clone()));
        let (outage, reads) = (Outage::default(), Coalesced::default());
        Ok(Self { inner: Arc::new(Inner { config, engine, transport, session, outage, reads }) })
    }

    /// The store's name in messages.
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// How the login is called: the method and the role or user, never a credential.
    pub fn identity(&self) -> String {
        self.inner.session.name()
    }

    /// Logs in if that has not happened yet, to find out whether it can.
    ///
    /// # Errors
    /// What a read would fail with.
    pub async fn log_in(&self) -> Result<(), ReadError> {
        let inner = &self.inner;
        let logged_in = inner.session.login(&inner.transport).await;
        logged_in.map(|_| ()).map_err(|failure| inner.read_error(failure, "login"))
    }

    /// Revokes the login that this client made, and ends it. A token that was given is left alone.
    pub async fn close(&self) {
        self.inner.session.close(&self.inner.transport).await;
    }

    /// What its store shares with the others of the server.
    pub fn server(&self) -> &Server {
        self.inner.transport.shared()
    }

    pub(crate) async fn read(&self, key: &Key) -> Result<Arc<Document>, ReadError> {
        let (inner, owned) = (Arc::clone(&self.inner), key.clone());
        self.inner.reads.read(key, move || Box::pin(async move { inner.read(&owned).await })).await
    }

    pub(crate) async fn metadata(&self, path: &str) -> Result<Metadata, ReadError> {
        let inner = &self.inner;
        if inner.config.version == KvVersion::V1 {
            return Err(ReadError::Unsupported {
                at: inner.place(path),
                what: "metadata (KV version 1 has none)",
            });
        }
        let at = inner.engine.metadata(path).map_err(|why| inner.bad_path(path, why))?;
        let asked = inner.get(Operation::Metadata, at, None).await;
        let (answer, _) = asked.map_err(|why| inner.read_error(why, path))?;
        answer::metadata(&answer.body, Timestamp::now()).ok_or_else(|| inner.not_understood(path))
    }

    pub(crate) fn split(&self, path: &str) -> Option<(String, String)> {
        self.inner.engine.split(path)
    }

    pub(crate) async fn page(
        &self,
        folder: &str,
        after: &str,
        limit: usize,
    ) -> Result<Option<Page>, ReadError> {
        let inner = &self.inner;
        let Some(at) = inner.engine.detailed_folder(folder) else { return Ok(None) };
        let mut request = inner.request(Operation::Metadata, at, None, None);
        request.page = Some((limit, after.to_owned()));
        match inner.call(&request, Failure::retry).await {
            Ok((answer, _)) => Ok(answer::detailed(&answer.body, limit, Timestamp::now())),
            // HashiCorp's server has no such listing, and a policy need not allow it.
            Err(failure) if !failure.is_outage() && !matches!(failure, Failure::RateLimited(_)) => Ok(None),
            Err(failure) => Err(inner.read_error(failure, folder)),
        }
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, ReadError> {
        let inner = &self.inner;
        let at = inner.engine.folder(prefix).map_err(|why| inner.bad_path(prefix, why))?;
        let (answer, _) = match inner.get(Operation::List, at, None).await {
            Ok(answered) => answered,
            // An empty folder does not exist.
            Err(Failure::NotFound(Absence::Missing)) => return Ok(Vec::new()),
            Err(failure) => return Err(inner.read_error(failure, prefix)),
        };
        let mut keys = answer::keys(&answer.body).ok_or_else(|| inner.not_understood(prefix))?;
        keys.sort_unstable();
        Ok(keys)
    }

    pub(crate) async fn guard(&self, path: &str, versions: u64) -> Result<(), WriteError> {
        let inner = &self.inner;
        if inner.config.version == KvVersion::V1 {
            let what = "metadata (KV version 1 has none)";
            return Err(ReadError::Unsupported { at: inner.place(path), what }.into());
        }
        let at = inner.engine.metadata(path).map_err(|why| inner.bad_path(path, why))?;
        // The number as text: a policy's `allowed_parameters` compares text, and no number ever matches.
        let body = Secret::from_string(format!(r#"{{"cas_required":true,"max_versions":"{versions}"}}"#));
        // Said twice it is the same, so that a lost answer is no reason not to try again.
        let request = inner.request(Operation::Write, at, None, Some(body));
        let done = inner.call(&request, Failure::retry).await;
        done.map(drop).map_err(|failure| inner.read_error(failure, path).into())
    }

    pub(crate) async fn write(&self, path: &str, json: Secret, cas: Option<u64>) -> Result<u64, WriteError> {
        self.inner.write(path, &json, cas).await
    }
}

impl Inner {
    async fn read(&self, key: &Key) -> Result<Arc<Document>, ReadError> {
        let at = self.engine.data(&key.path).map_err(|why| self.bad_path(&key.path, why))?;
        let version = key.version.filter(|_| self.config.version == KvVersion::V2);
        let (answer, login) =
            self.get(Operation::Read, at, version).await.map_err(|why| self.read_error(why, &key.path))?;
        let value = match self.config.version {
            KvVersion::V1 => answer::value_v1(&answer.body),
            KvVersion::V2 => answer::value_v2(&answer.body),
        };
        let value = value
            .ok_or_else(|| self.not_understood(&key.path))?
            .map_err(|why| ReadError::NotFound { at: self.place(&key.path), why })?;
        let access = Access { request_id: value.request_id, accessor: login.accessor.clone() };
        let mut document = Document::new(value.json, access);
        document.version = value.version;
        document.created_time = value.created_time;
        document.custom_metadata = value.custom_metadata;
        Ok(Arc::new(document))
    }

    async fn write(&self, path: &str, json: &Secret, cas: Option<u64>) -> Result<u64, WriteError> {
        let at = self.engine.data(path).map_err(|why| self.bad_path(path, why))?;
        if !json.expose(is_object) {
            return Err(WriteError::NotAnObject { at: self.place(path) });
        }
        let body = match self.config.version {
            KvVersion::V1 if cas.is_some() => {
                let what = "check-and-set (KV version 1 has none)";
                return Err(ReadError::Unsupported { at: self.place(path), what }.into());
            }
            KvVersion::V1 => json.duplicate(),
            KvVersion::V2 => {
                versioned(json, cas).ok_or_else(|| WriteError::NotAnObject { at: self.place(path) })?
            }
        };
        let request = self.request(Operation::Write, at, None, Some(body));
        let (answer, _) = self.call(&request, Failure::retry_write).await.map_err(|failure| {
            failure.into_write_error(self.place(path), &self.session.name(), self.transport.server(), cas)
        })?;
        match self.config.version {
            KvVersion::V1 => Ok(0),
            KvVersion::V2 => answer::written(&answer.body).ok_or_else(|| WriteError::Unknown {
                at: self.place(path),
                reason: "the server does not say which version it made".to_owned(),
            }),
        }
    }

    async fn get(
        &self,
        operation: Operation,
        path: ServerPath,
        version: Option<u64>,
    ) -> Result<(Answer, Arc<Login>), Failure> {
        self.call(&self.request(operation, path, version, None), Failure::retry).await
    }

    /// Sends a request until it is answered, refused, or has been tried often enough.
    async fn call(
        &self,
        request: &Request,
        retry: impl Fn(&Failure) -> shared::retry::Retry,
    ) -> Result<(Answer, Arc<Login>), Failure> {
        let limits = &self.config.limits;
        let mut attempts = limits.backoff.attempts(seed());
        let started = Instant::now();
        loop {
            self.outage.admit()?;
            let failure = match self.attempt(request).await {
                Ok(answered) => {
                    self.outage.ended();
                    return Ok(answered);
                }
                Err(failure) => failure,
            };
            if !failure.is_outage() {
                // Even a refusal is an answer.
                self.outage.ended();
            } else if self.outage.is_declared() {
                // This was the probe.
                return Err(failure);
            }
            let pause = attempts
                .after(retry(&failure))
                .filter(|pause| started.elapsed() + *pause < limits.total_timeout);
            let Some(pause) = pause else {
                if failure.is_outage() {
                    self.outage.declare(&failure);
                }
                return Err(failure);
            };
            tracing::debug!(store = self.config.name, failure = ?failure, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// One try, with a new login if the old one has ended.
    async fn attempt(&self, request: &Request) -> Result<(Answer, Arc<Login>), Failure> {
        let login = self.session.login(&self.transport).await?;
        match self.transport.send(request, Some(&login.header)).await {
            Ok(answer) => return Ok((answer, login)),
            Err(Failure::BadToken) => {}
            Err(failure) => return Err(failure),
        }
        match self.session.denied(&self.transport, &login).await? {
            Denial::Policy => Err(Failure::Denied),
            Denial::TryAgain => {
                let login = self.session.login(&self.transport).await?;
                let answer = self.transport.send(request, Some(&login.header)).await?;
                Ok((answer, login))
            }
        }
    }

    fn request(
        &self,
        operation: Operation,
        path: ServerPath,
        version: Option<u64>,
        body: Option<Secret>,
    ) -> Request {
        let page = None;
        Request { operation, path, version, page, body, namespace: self.config.namespace.clone() }
    }

    fn read_error(&self, failure: Failure, path: &str) -> ReadError {
        failure.into_read_error(self.place(path), &self.session.name(), self.transport.server())
    }

    fn bad_path(&self, path: &str, why: BadPath) -> ReadError {
        let shortened: String = path.chars().take(80).filter(|character| !character.is_control()).collect();
        ReadError::Unexpected { at: self.place(&shortened), reason: why.to_string() }
    }

    fn not_understood(&self, path: &str) -> ReadError {
        let reason = "the answer is not a KV engine's; see the store's path and version".to_owned();
        ReadError::Unexpected { at: self.place(path), reason }
    }

    fn place(&self, path: &str) -> Place {
        Place { store: self.config.name.clone(), path: path.to_owned() }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("store", &self.inner.config.name)
            .field("server", &self.inner.transport.server())
            .field("login", &self.inner.session.name())
            .finish_non_exhaustive()
    }
}

/// The body of a write to KV 2: `{"data": …, "options": {"cas": …}}`, with the object's text as it is.
fn versioned(json: &Secret, cas: Option<u64>) -> Option<Secret> {
    use std::io::Write as _;
    let mut body = WipedBuffer::with_capacity(json.len() + 64, json.len() + 64);
    json.expose(|object| -> std::io::Result<()> {
        body.write_all(b"{\"data\":")?;
        body.write_all(object)?;
        if let Some(cas) = cas {
            write!(body, ",\"options\":{{\"cas\":{cas}}}")?;
        }
        body.write_all(b"}")
    })
    .ok()?;
    Some(body.into_secret())
}

fn is_object(json: &[u8]) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(json).is_ok_and(|raw| raw.get().starts_with('{'))
}

/// Two programs that failed together must not try again together.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}
