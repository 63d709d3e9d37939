//! A signing key that stays in a Vault or OpenBao: the transit engine signs, and this program never sees the key.
//!
//! The key is named as cosign names it, `hashivault://KEY`, and found by the same variables: `VAULT_ADDR`,
//! `VAULT_TOKEN` (or `~/.vault-token`), `VAULT_NAMESPACE`, `VAULT_CACERT`, `TRANSIT_SECRET_ENGINE_PATH`
//! (<https://docs.sigstore.dev/cosign/key_management/overview/>, <https://openbao.org/api-docs/secret/transit/>).

use std::env;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

/// How such a key begins.
pub const SCHEME: &str = "hashivault://";
/// The engine's usual mount.
const MOUNT: &str = "transit";
/// A server that is sealed or far away answers later than this, or not at all.
const TIMEOUT: Duration = Duration::from_secs(20);
/// More than any answer about one key.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// Why the server did not sign.
#[derive(Debug, thiserror::Error)]
#[error("the key {SCHEME}{key}: {why}")]
pub struct TransitError {
    key: String,
    why: String,
}

/// A key of a transit engine.
pub struct Transit {
    key: String,
    /// `ADDRESS/v1/MOUNT`.
    engine: String,
    namespace: Option<String>,
    token: Zeroizing<String>,
    agent: ureq::Agent,
}

impl Transit {
    /// Finds the server in the environment. Nothing is asked yet.
    ///
    /// # Errors
    /// When the key has no name, or a variable is missing or cannot be used.
    pub fn new(key: &str) -> Result<Self, TransitError> {
        let refused = |why: String| TransitError { key: key.to_owned(), why };
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !plain(key) {
            return Err(refused("write the key's name behind it, as in hashivault://scans".to_owned()));
        }
        let address = variable("VAULT_ADDR").ok_or_else(|| refused("VAULT_ADDR is not set".to_owned()))?;
        if !address.starts_with("https://") && !address.starts_with("http://") {
            return Err(refused("VAULT_ADDR is no address as in https://vault.example:8200".to_owned()));
        }
        let mount = variable("TRANSIT_SECRET_ENGINE_PATH").unwrap_or_else(|| MOUNT.to_owned());
        let mount = mount.trim_matches('/').to_owned();
        if !mount.split('/').all(plain) {
            return Err(refused("TRANSIT_SECRET_ENGINE_PATH is no path of an engine".to_owned()));
        }
        let token =
            token().ok_or_else(|| refused("VAULT_TOKEN is not set; log in first: bao login".to_owned()))?;
        let roots = roots().map_err(refused)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots).build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT));
        Ok(Self {
            key: key.to_owned(),
            engine: format!("{}/v1/{mount}", address.trim_end_matches('/')),
            namespace: variable("VAULT_NAMESPACE"),
            token,
            agent: config.build().into(),
        })
    }

    /// Signs SHA-256 of a message; the signature is DER.
    ///
    /// # Errors
    /// When the server does not answer, refuses, or has another kind of key.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TransitError> {
        let request = json!({
            "input": BASE64.encode(&Sha256::digest(message)),
            "prehashed": true,
            "marshaling_algorithm": "asn1",
        });
        let url = format!("{}/sign/{}/sha2-256", self.engine, self.key);
        let answer = self.agent.post(&url).header("X-Vault-Token", self.token.as_str());
        let answer = match &self.namespace {
            Some(namespace) => answer.header("X-Vault-Namespace", namespace),
            None => answer,
        };
        let answer = self.answer(answer.send(request.to_string()))?;
        let signature = answer["data"]["signature"].as_str().and_then(|text| text.rsplit(':').next());
        let signature = signature.and_then(|text| BASE64.decode(text.as_bytes()).ok());
        signature.ok_or_else(|| self.refused("the server's answer holds no signature"))
    }

    /// The public key in PEM, of the newest version.
    ///
    /// # Errors
    /// When the server does not answer, refuses, or has no such key.
    pub fn public_pem(&self) -> Result<String, TransitError> {
        let url = format!("{}/keys/{}", self.engine, self.key);
        let answer = self.agent.get(&url).header("X-Vault-Token", self.token.as_str());
        let answer = match &self.namespace {
            Some(namespace) => answer.header("X-Vault-Namespace", namespace),
            None => answer,
        };
        let answer = self.answer(answer.call())?;
        let data = &answer["data"];
        let newest = data["latest_version"].to_string();
        let pem = data["keys"][&newest]["public_key"].as_str();
        pem.map(str::to_owned)
            .ok_or_else(|| self.refused("the server has no public key of it: make it of the type ecdsa-p256"))
    }

    fn refused(&self, why: impl Into<String>) -> TransitError {
        TransitError { key: self.key.clone(), why: why.into() }
    }

    /// The server's JSON. Its own words are not repeated: they may quote what was sent.
    fn answer(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, TransitError> {
        let mut answer = answer.map_err(|error| match error {
            ureq::Error::Timeout(_) => self.refused("the server does not answer in time"),
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
                self.refused("the server's certificate is not trusted; name its authority in VAULT_CACERT")
            }
            _ => self.refused("the server of VAULT_ADDR cannot be reached"),
        })?;
        match answer.status().as_u16() {
            200..=299 => {}
            403 => return Err(self.refused("the server refuses the token; it needs the policy to update sign/ and read keys/ of the engine")),
            404 => return Err(self.refused("the server has no such key or engine")),
            503 => return Err(self.refused("the server is sealed")),
            400 => return Err(self.refused("the server has no such key that can sign: make one of the type ecdsa-p256")),
            status => return Err(self.refused(format!("the server answers {status}"))),
        }
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|_| self.refused("the server's answer was cut off, or is too long"))?;
        serde_json::from_slice(&body).map_err(|_| self.refused("the server's answer is not JSON"))
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn token() -> Option<Zeroizing<String>> {
    if let Some(token) = variable("VAULT_TOKEN") {
        return Some(Zeroizing::new(token));
    }
    let path = PathBuf::from(env::var_os("HOME")?).join(".vault-token");
    // Reserved at once, so that the text does not move and leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(TOKEN_BYTES_MAX).ok()?));
    std::fs::File::open(path).ok()?.take(TOKEN_BYTES_MAX).read_to_string(&mut text).ok()?;
    let token = Zeroizing::new(text.trim().to_owned());
    (!token.is_empty()).then_some(token)
}

/// The authorities of `VAULT_CACERT`, else those of the system.
fn roots() -> Result<RootCerts, String> {
    let certificates: Vec<Certificate<'static>> = match variable("VAULT_CACERT") {
        Some(path) => {
            let pem = std::fs::read(&path).map_err(|_| format!("VAULT_CACERT {path} cannot be read"))?;
            let items = parse_pem(&pem).filter_map(Result::ok);
            let found: Vec<_> = items
                .filter_map(|item| match item {
                    PemItem::Certificate(certificate) => Some(certificate),
                    _ => None,
                })
                .collect();
            if found.is_empty() {
                return Err(format!("VAULT_CACERT {path} holds no certificate in PEM"));
            }
            found
        }
        None => {
            let system = rustls_native_certs::load_native_certs().certs;
            system.into_iter().map(|certificate| Certificate::from_der(&certificate).to_owned()).collect()
        }
    };
    Ok(RootCerts::new_with_certs(&certificates))
}
