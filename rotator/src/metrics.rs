//! Metrics in Prometheus' text, and health that tells the truth: live is a program that still turns its loop, ready is
//! one that leads or waits to lead and reaches its API server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::sync::outcome::{Report, SyncError};
use crate::vault::Meter;

/// A loop that has not turned for so long hangs: every request that it waits for ends sooner.
const STALLED_AFTER: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    syncs: Family<OutcomeLabel, Counter>,
    errors: Family<ReasonLabel, Counter>,
    last_success: Gauge,
    external_secrets: Family<OutcomeLabel, Gauge>,
    oldest_refresh: Gauge,
    lag: Histogram,
    poll: Gauge<f64, AtomicU64>,
    restarts: Family<OutcomeLabel, Counter>,
    meter: Meter,
    leads: Gauge,
    turned: AtomicI64,
    reaches: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Metrics {
    /// With `exemplars` times of requests name their traces.
    pub fn new(exemplars: bool) -> Self {
        let mut registry = Registry::with_prefix("keyturn");
        let syncs = Family::<OutcomeLabel, Counter>::default();
        registry.register("sync", "ExternalSecrets that were worked on, by how it ended", syncs.clone());
        let errors = Family::<ReasonLabel, Counter>::default();
        registry.register("sync_errors", "Syncs that failed, by why", errors.clone());
        let last_success = Gauge::default();
        registry.register(
            "last_success_timestamp_seconds",
            "When a sync last ended well, in seconds since 1970",
            last_success.clone(),
        );
        let external_secrets = Family::<OutcomeLabel, Gauge>::default();
        registry.register("external_secrets", "ExternalSecrets by their state", external_secrets.clone());
        let oldest_refresh = Gauge::default();
        registry.register(
            "oldest_refresh_timestamp_seconds",
            "The oldest refresh of all ExternalSecrets that are ready, in seconds since 1970",
            oldest_refresh.clone(),
        );
        let lag = Histogram::new([0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0]);
        registry.register(
            "vault_lag_seconds",
            "From a change in Vault to the sync that brought it, by polling",
            lag.clone(),
        );
        let poll = Gauge::default();
        registry.register(
            "vault_poll_seconds",
            "From one look at a path's metadata to the next, at worst: so long a change may stay unseen",
            poll.clone(),
        );
        let restarts = Family::<OutcomeLabel, Counter>::default();
        registry.register(
            "restarts",
            "Workloads that read a changed Secret: restarted, ready again, not ready in time, put off",
            restarts.clone(),
        );
        let meter = Meter::new(exemplars);
        meter.register(&mut registry);
        let leads = Gauge::default();
        registry.register("leader", "1 while this one leads", leads.clone());
        Self {
            registry,
            syncs,
            errors,
            last_success,
            external_secrets,
            oldest_refresh,
            lag,
            poll,
            restarts,
            meter,
            leads,
            turned: AtomicI64::new(Timestamp::now().as_second()),
            reaches: AtomicU64::new(0),
        }
    }
}

fn reason(error: &SyncError) -> &'static str {
    match error {
        SyncError::Manifest(_) | SyncError::Window { .. } => "manifest",
        SyncError::Gather(_) => "store",
        SyncError::Templates(_) => "template",
        SyncError::Render(_) | SyncError::DeleteNeedsOwner => "target",
        SyncError::Target(_) | SyncError::Status(_) => "api_server",
    }
}

impl Metrics {
    /// Counts a round.
    pub fn count(&self, reports: &[Report]) {
        for report in reports {
            self.syncs.get_or_create(&OutcomeLabel { outcome: report.word() }).inc();
            match &report.result {
                Ok(_) => {
                    self.last_success.set(Timestamp::now().as_second());
                }
                Err(error) => {
                    self.errors.get_or_create(&ReasonLabel { reason: reason(error) }).inc();
                }
            }
        }
    }

    /// How many ExternalSecrets there are in each state, and when the oldest was refreshed.
    pub fn states(&self, ready: usize, failed: usize, waiting: usize, oldest: Option<Timestamp>) {
        for (outcome, number) in [("ready", ready), ("failed", failed), ("waiting", waiting)] {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            self.external_secrets.get_or_create(&OutcomeLabel { outcome }).set(number);
        }
        if let Some(oldest) = oldest {
            self.oldest_refresh.set(oldest.as_second());
        }
    }

    /// A change in Vault that was seen so late.
    pub fn lag(&self, lag: Duration) {
        self.lag.observe(lag.as_secs_f64());
    }

    /// What became of a workload that reads a changed Secret.
    pub fn restart(&self, outcome: &'static str) {
        self.restarts.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// How long after a look at a path the next one comes.
    pub fn polled(&self, apart: Duration) {
        self.poll.set(apart.as_secs_f64());
    }

    /// By what requests to servers are counted.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether this one leads.
    pub fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// The loop has turned; whether the API server was reached.
    pub fn turned(&self, reaches: bool) {
        self.turned.store(Timestamp::now().as_second(), Ordering::Relaxed);
        self.reaches.store(u64::from(reaches), Ordering::Relaxed);
    }

    fn is_live(&self) -> bool {
        let since = Timestamp::now().as_second() - self.turned.load(Ordering::Relaxed);
        since < i64::try_from(STALLED_AFTER.as_secs()).unwrap_or(i64::MAX)
    }

    fn is_ready(&self) -> bool {
        self.is_live() && self.reaches.load(Ordering::Relaxed) == 1
    }

    /// All of it in Prometheus' text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A String takes everything.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Serves `/metrics`, `/healthz` and `/readyz` until the program ends.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Result<SocketAddr, String> {
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("{address} cannot be listened on: {}", error.kind()))?;
    let bound = listener.local_addr().unwrap_or(address);
    let said = |good: bool, word: &'static str| {
        let code = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (code, if good { "ok\n" } else { word })
    };
    let router = Router::new()
        .route("/metrics", get(exposition))
        .route(
            "/healthz",
            get(move |State(metrics): State<Arc<Metrics>>| async move {
                said(metrics.is_live(), "the loop has not turned for two minutes\n")
            }),
        )
        .route(
            "/readyz",
            get(move |State(metrics): State<Arc<Metrics>>| async move {
                said(metrics.is_ready(), "the API server is not reached\n")
            }),
        )
        .with_state(metrics);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(why = %error.kind(), "metrics are not served any more");
        }
    });
    Ok(bound)
}

async fn exposition(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.text())
}
