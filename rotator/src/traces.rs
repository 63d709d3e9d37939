//! Traces for OpenTelemetry, if they are asked for: one span for each sync of an ExternalSecret, below it one for each
//! request to a store's server.
//!
//! A span says names, paths, operations, codes and outcomes in one word, never a value, a token or a server's words. Only
//! spans of this module are sent, and no log line with them. Without `--traces` they cost nothing.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use shared::telemetry::Extra;
use tracing::field::Empty;
use tracing::{Level, Span, span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The target of our spans: no log shows it.
const TARGET: &str = "keyturn_traces";
/// A collector that takes longer than this loses what was to be sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the program waits for what is not sent yet.
const GOODBYE: Duration = Duration::from_secs(5);
/// A collector answers in a few bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The sync of one ExternalSecret.
pub fn sync(object: &str) -> Span {
    span!(target: TARGET, Level::INFO, "sync", object, outcome = Empty, otel.status_code = Empty)
}

/// How it ended, in one word.
pub fn ended(span: &Span, outcome: &str, failed: bool) {
    span.record("outcome", outcome);
    if failed {
        span.record("otel.status_code", "ERROR");
    }
}

/// A request to a store's server.
pub fn request(operation: &str, server: &str, path: &str) -> Span {
    span!(
        target: TARGET, Level::INFO, "vault request", otel.kind = "client", operation, server, path,
        http.response.status_code = Empty, otel.status_code = Empty
    )
}

/// With which code it was answered, if it was.
pub fn answered(span: &Span, code: Option<u16>) {
    if let Some(code) = code {
        span.record("http.response.status_code", code);
    }
    // That a path is not there is an answer, not an error.
    if code.is_none_or(|code| code >= 400 && code != 404) {
        span.record("otel.status_code", "ERROR");
    }
}

/// The id of the trace that is under way, if there is one.
pub fn current_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| context.trace_id().to_string())
}

/// Sends spans until it is ended.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends to a collector: OTLP in protobuf over HTTP, at `URL/v1/traces`. Gives what the log must be started with.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn start(collector: &str) -> Result<(Self, Extra), String> {
        let bad = |why: String| format!("--traces {collector}: {why}; write it as http://HOST:4318");
        if !collector.starts_with("http://") && !collector.starts_with("https://") {
            return Err(bad("it is no address of HTTP".to_owned()));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(SEND_TIMEOUT)
            .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
            .build()
            .map_err(|error| bad(error.to_string()))?;
        let resource = Resource::builder_empty().with_service_name("keyturn-rotator").build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("keyturn"))
            // Neither source files nor threads: they say something about the program, not about the work.
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, Level::INFO));
        Ok((Self(provider), layer.boxed()))
    }

    /// Sends what is left; what cannot be sent in time is lost.
    pub fn end(self) {
        if self.0.shutdown_with_timeout(GOODBYE).is_err() {
            tracing::warn!("not every trace was sent");
        }
    }
}

/// Blocking HTTP: the exporter works in a thread of its own.
#[derive(Debug)]
struct Sender(ureq::Agent);

impl Sender {
    fn new() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let roots: Vec<_> =
            found.certs.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(SEND_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Self(config.new_agent())
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.run(request.map(|body| body.to_vec()))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, Bytes::from(body)))
    }
}
