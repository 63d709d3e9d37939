//! One request, one answer.
//!
//! Guarantees: no more requests in flight than allowed; an answer is read up to a limit; no redirect is followed, so
//! a token goes to no other host; a body, of a request or an answer, lies in memory that is wiped.
//! Caveat: the HTTP and TLS libraries below copy what they send and receive through buffers of their own, which are
//! reused and freed without wiping.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use shared::retry::retry_after;
use shared::secret::Secret;
use tokio::time::Instant;
use tracing::Instrument as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::answer::{self, Complaint};
use super::consistency::Indexes;
use super::failure::Failure;
use super::meter::{Meter, Operation};
use super::paths::ServerPath;
use super::servers::Server;
use super::{ConfigError, VaultConfig};

use crate::traces;
use crate::wiped::WipedBuffer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer's start: most secrets are shorter.
const ANSWER_BYTES_EXPECTED: usize = 4096;

/// What is asked.
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) path: ServerPath,
    pub(super) version: Option<u64>,
    /// Of a listing: so many names after this one.
    pub(super) page: Option<(usize, String)>,
    pub(super) body: Option<Secret>,
    pub(super) namespace: Option<String>,
}

/// A token as a header, wiped when its last holder drops it, and not shown by `Debug`.
#[derive(Clone)]
pub(super) struct TokenHeader(HeaderValue);

impl TokenHeader {
    /// `None` if the bytes cannot be a header.
    pub(super) fn new(token: &Secret) -> Option<Self> {
        secret_header(token).map(Self)
    }
}

/// What one answer said.
pub(super) struct Answer {
    pub(super) body: Secret,
}

/// A server, as one store sees it.
pub(super) struct Transport {
    http: reqwest::Client,
    base: Url,
    headers: HeaderMap,
    shared: Server,
    meter: Meter,
    answer_bytes_max: usize,
    timeout: Duration,
    /// Which state of the server we have seen, if we insist on seeing no older one.
    indexes: Option<Mutex<Indexes>>,
}

impl Transport {
    pub(super) fn new(config: &VaultConfig, shared: &Server, meter: &Meter) -> Result<Self, ConfigError> {
        let bad = |problem: String| ConfigError { store: config.name.clone(), problem };
        let base = parse_server(&config.server).map_err(bad)?;
        let mut headers = HeaderMap::new();
        // Vault answers requests without it too, unless `require_request_header` protects an agent from SSRF.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if config.forward_inconsistent {
            headers.insert("x-vault-inconsistent", HeaderValue::from_static("forward-active-node"));
        }
        for (name, value) in &config.headers {
            let name: HeaderName =
                name.parse().map_err(|_| bad(format!("headers: {name:?} is no header's name")))?;
            let value = secret_header(value)
                .ok_or_else(|| bad(format!("headers: the value of {name} is no header's")))?;
            headers.insert(name, value);
        }
        let http = build_http(config, &base).map_err(bad)?;
        Ok(Self {
            http,
            base,
            headers,
            shared: shared.clone(),
            meter: meter.clone(),
            answer_bytes_max: config.limits.answer_bytes_max,
            timeout: config.limits.timeout,
            indexes: config.read_your_writes.then(Mutex::default),
        })
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) fn shared(&self) -> &Server {
        &self.shared
    }

    /// The server's address, for messages.
    pub(super) fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Sends a request once, and waits for a place among those in flight first.
    pub(super) async fn send(
        &self,
        request: &Request,
        token: Option<&TokenHeader>,
    ) -> Result<Answer, Failure> {
        let Ok(_place) = self.shared.in_flight().acquire().await else {
            return Err(Failure::Unexpected("the client is closed".to_owned()));
        };
        let span = traces::request(request.operation.name(), self.server(), &request.path.to_string());
        let started = Instant::now();
        let mut code = None;
        let sent = self.exchange(request, token, &mut code).instrument(span.clone()).await;
        span.in_scope(|| self.meter.count(request.operation, code, started.elapsed()));
        traces::answered(&span, code);
        sent
    }

    /// Sends it, and says with which code the server answered as soon as that is known.
    async fn exchange(
        &self,
        request: &Request,
        token: Option<&TokenHeader>,
        code: &mut Option<u16>,
    ) -> Result<Answer, Failure> {
        let method = match request.operation {
            // `LIST` is a method of Vault's own, which proxies refuse; GET is its documented equal.
            Operation::Read | Operation::Metadata | Operation::List | Operation::LookUp => Method::GET,
            Operation::Write | Operation::Login | Operation::Renew | Operation::Revoke => Method::POST,
        };
        let mut builder = self.http.request(method, self.url(request)?).headers(self.headers.clone());
        if let Some(token) = token {
            builder = builder.header("x-vault-token", token.0.clone());
        }
        if let Some(namespace) = request.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            builder = builder.header("x-vault-namespace", namespace);
        }
        if let Some(indexes) = &self.indexes {
            for index in lock(indexes).headers() {
                builder = builder.header("x-vault-index", index);
            }
        }
        if let Some(body) = &request.body {
            let owned = Zeroizing::new(body.expose(<[u8]>::to_vec));
            builder = builder.header("content-type", "application/json").body(Bytes::from_owner(owned));
        }
        let response = builder.send().await.map_err(|error| self.unreachable(&error))?;
        if let Some(indexes) = &self.indexes {
            let mut indexes = lock(indexes);
            let seen = response.headers().get_all("x-vault-index").iter();
            seen.filter_map(|value| value.to_str().ok()).for_each(|value| indexes.saw(value));
        }
        let status = response.status();
        *code = Some(status.as_u16());
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|value| retry_after(value, Timestamp::now()));
        let body = self.read_body(response).await?;
        if status.is_success() { Ok(Answer { body }) } else { Err(failure(status, asked, &body)) }
    }

    fn url(&self, request: &Request) -> Result<Url, Failure> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::Unexpected("the server's address takes no path".to_owned()))?
            .pop_if_empty()
            .push("v1")
            .extend(request.path.parts());
        if request.operation == Operation::List || request.page.is_some() {
            url.query_pairs_mut().append_pair("list", "true");
        }
        if let Some((limit, after)) = &request.page {
            url.query_pairs_mut().append_pair("limit", &limit.to_string()).append_pair("after", after);
        }
        if let Some(version) = request.version {
            url.query_pairs_mut().append_pair("version", &version.to_string());
        }
        Ok(url)
    }

    /// Reads an answer to its end or its limit.
    async fn read_body(&self, mut response: reqwest::Response) -> Result<Secret, Failure> {
        let mut buffer = WipedBuffer::with_capacity(ANSWER_BYTES_EXPECTED, self.answer_bytes_max);
        loop {
            let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? else {
                return Ok(buffer.into_secret());
            };
            let fits = std::io::Write::write_all(&mut buffer, &chunk).is_ok();
            // Where the library shares its buffer with nobody, it can be wiped at once.
            if let Ok(mut own) = chunk.try_into_mut() {
                own.zeroize();
            }
            if !fits {
                let limit = self.answer_bytes_max;
                return Err(Failure::Unexpected(format!("the answer is longer than {limit} bytes")));
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let sent = !error.is_connect() && !error.is_builder();
        let reason = if error.is_connect() && !error.is_timeout() {
            format!("cannot connect: {}", innermost(error))
        } else if error.is_connect() {
            format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())
        } else if error.is_timeout() {
            format!("no answer within {} s", self.timeout.as_secs())
        } else {
            format!("the connection broke: {}", innermost(error))
        };
        Failure::Unreachable { reason, sent }
    }
}

/// The words of the operating system or the TLS library; both are local and quote no payload.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

/// What a refusal means. The body is looked at for known sentences and then dropped.
fn failure(status: StatusCode, asked: Option<Duration>, body: &Secret) -> Failure {
    let complaint = || answer::complaint(body);
    match status.as_u16() {
        300..=399 => Failure::Unexpected(
            "the server redirects elsewhere, and a token is not sent on; name the active server's address in the store"
                .to_owned(),
        ),
        400 => match complaint() {
            Some(Complaint::OtherVersion) => Failure::Cas,
            Some(Complaint::CasRequired) => Failure::CasRequired,
            _ => Failure::BadRequest,
        },
        401 => Failure::BadToken,
        403 if complaint() == Some(Complaint::BadToken) => Failure::BadToken,
        403 => Failure::Denied,
        404 => Failure::NotFound(answer::absence(body)),
        // Required by the read-your-writes header: this server has not seen our last write yet.
        412 => Failure::Unreachable { reason: "it lags behind our last write (412)".to_owned(), sent: false },
        413 => Failure::Unexpected("the server takes no request of this size (413)".to_owned()),
        429 => Failure::RateLimited(asked),
        // 501: not initialised.
        501 => Failure::Sealed,
        503 if complaint() == Some(Complaint::Sealed) => Failure::Sealed,
        // 472, 473: standby nodes; 502, 504: proxies.
        code @ (408 | 472 | 473 | 500..=599) => {
            Failure::Unreachable { reason: format!("it answered {code}"), sent: code != 503 }
        }
        code => Failure::Unexpected(format!("the server answered {code}")),
    }
}

fn secret_header(value: &Secret) -> Option<HeaderValue> {
    let owned = Zeroizing::new(value.expose(<[u8]>::to_vec));
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(owned)).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn parse_server(server: &str) -> Result<Url, String> {
    let hint = "write it as https://HOST:PORT";
    let url = Url::parse(server).map_err(|error| format!("server: {error}; {hint}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("server: {:?} is no way to a server; {hint}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("server: an address must not hold credentials; {hint}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("server: an address has no query; {hint}"));
    }
    Ok(url)
}

fn build_http(config: &VaultConfig, base: &Url) -> Result<reqwest::Client, String> {
    // It fails only when a provider is set already, and then ring is that provider: no other is built in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("keyturn-rotator/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(config.limits.timeout)
        .pool_max_idle_per_host(config.limits.in_flight_max);
    if let Some(pem) = &config.ca_pem {
        let authorities = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|_| "caBundle or caProvider: not certificates in PEM".to_owned())?;
        if authorities.is_empty() {
            return Err("caBundle or caProvider: no certificate in it".to_owned());
        }
        builder = builder.tls_certs_only(authorities);
    } else if base.scheme() == "http" {
        // Nothing is verified, so the system's certificates need not be read, nor be there at all.
        builder = builder.tls_certs_only([]);
    }
    if let Some(identity) = &config.client_identity {
        let pem = identity.key_pem.expose(|key| {
            let mut pem = Zeroizing::new(Vec::with_capacity(identity.certificate_pem.len() + key.len() + 1));
            pem.extend_from_slice(&identity.certificate_pem);
            pem.push(b'\n');
            pem.extend_from_slice(key);
            pem
        });
        let identity = reqwest::Identity::from_pem(&pem)
            .map_err(|_| "the client certificate or its key is not in PEM".to_owned())?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|error| format!("TLS cannot be set up: {}", innermost(&error)))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each change of what these guard is a single step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
