//! By what requests to servers are counted: operation and code. Never by path, of which there is no end.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::traces;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Metadata,
    List,
    Write,
    Login,
    LookUp,
    Renew,
    Revoke,
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Metadata => "metadata",
            Self::List => "list",
            Self::Write => "write",
            Self::Login => "login",
            Self::LookUp => "look_up",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TraceLabel {
    trace_id: String,
}

type Times = HistogramWithExemplars<TraceLabel>;

/// Counts requests and logins. All clones count together.
#[derive(Clone, Debug)]
pub struct Meter {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<OperationLabel, Times>,
    logins: Gauge,
    exemplars: bool,
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Meter {
    /// With `exemplars` the time of a request names the trace that it belongs to, if there is one.
    pub fn new(exemplars: bool) -> Self {
        let times: fn() -> Times =
            || Times::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0].into_iter());
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(times),
            logins: Gauge::default(),
            exemplars,
        }
    }

    /// Puts its numbers among those of the program.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "vault_requests",
            "Requests to Vault or OpenBao, by operation and HTTP code; `none` without an answer",
            self.requests.clone(),
        );
        registry.register(
            "vault_request_seconds",
            "From sending a request to the end of its answer",
            self.seconds.clone(),
        );
        registry.register(
            "vault_leases",
            "Logins of ours that are neither revoked nor over: each is a lease at the server",
            self.logins.clone(),
        );
    }

    /// One request was answered with this code, or with nothing at all.
    pub(super) fn count(&self, operation: Operation, code: Option<u16>, took: Duration) {
        let operation = operation.name();
        // A server could otherwise make labels without end.
        let code = match code {
            Some(code @ 100..=599) => code.to_string(),
            Some(_) => "other".to_owned(),
            None => "none".to_owned(),
        };
        self.requests.get_or_create(&RequestLabels { operation, code }).inc();
        let trace = if self.exemplars { traces::current_id() } else { None };
        let trace = trace.map(|trace_id| TraceLabel { trace_id });
        self.seconds.get_or_create(&OperationLabel { operation }).observe(took.as_secs_f64(), trace, None);
    }

    /// A login of ours, counted until it is dropped.
    pub(super) fn login(&self) -> Held {
        self.logins.inc();
        Held(self.logins.clone())
    }
}

/// A login that is counted.
#[derive(Debug)]
pub(super) struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
