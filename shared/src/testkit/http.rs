//! A small blocking HTTP client for the fixtures' JSON interfaces.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Request;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// A request that takes longer has failed: the slowest, OpenBao's first initialisation, takes two seconds alone, and longer beside builds.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A client of one server.
#[derive(Clone)]
pub struct Http {
    agent: ureq::Agent,
    base: String,
}

impl Http {
    /// A client for `base` (`http://127.0.0.1:1234`), which trusts `authority` (PEM) and nothing else.
    pub fn new(base: &str, authority: Option<&str>) -> Self {
        let roots: Vec<_> = authority
            .iter()
            .map(|pem| Certificate::from_pem(pem.as_bytes()).expect("an authority in PEM"))
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // OpenBao lists with the method LIST.
            .allow_non_standard_methods(true)
            // A server that restarts would leave dead connections in a pool.
            .max_idle_connections(0)
            .proxy(None)
            .build();
        Self { agent: config.new_agent(), base: base.trim_end_matches('/').to_owned() }
    }

    /// The server's address, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends one request and returns the status with the answer: JSON, or a string if it is none, or null if it
    /// is empty. `Err` says why no answer came.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let url = format!("{}/{}", self.base, path.trim_start_matches('/'));
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.agent.run(request.body(body.to_string()).map_err(|error| error.to_string())?),
            None => self.agent.run(request.body(()).map_err(|error| error.to_string())?),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        let value = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        };
        Ok((answer.status().as_u16(), value))
    }
}
