//! Who of several leads: a Lease of the cluster, as Kubernetes' own controllers use it.
//!
//! Nobody's clock is trusted but one's own, and that only for how long it was: another one's lease is over when it was
//! seen unchanged for its whole length, whatever time stands in it. So a clock that is moved by an hour moves no lead.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as KubeLease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;

use crate::target::cluster::words;

/// The Lease's name.
const NAME: &str = "keyturn-rotator";
/// Where it lies when no namespace is named and none is known.
const NAMESPACE: &str = "default";
/// Where a pod finds its own namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// How often it is renewed, or looked at by those who wait.
pub const RENEWS_EVERY: Duration = Duration::from_secs(4);
/// How long it holds without being renewed.
const HOLDS: Duration = Duration::from_secs(15);
/// Whoever could not renew for so long stops before another one may begin.
const GIVES_UP_AFTER: Duration = Duration::from_secs(10);

/// The lease.
pub struct Lease {
    api: Api<KubeLease>,
    holder: String,
    seen: Mutex<Option<Seen>>,
}

/// Another one's lease, and since when it has been seen like this.
struct Seen {
    version: String,
    since: Instant,
}

impl Lease {
    /// In the namespace that is served, else in the pod's own.
    pub fn new(client: Client, namespace: Option<&str>, holder: &str) -> Self {
        let own = std::fs::read_to_string(OWN_NAMESPACE).ok();
        let namespace = namespace.or(own.as_deref().map(str::trim)).unwrap_or(NAMESPACE);
        Self { api: Api::namespaced(client, namespace), holder: holder.to_owned(), seen: Mutex::default() }
    }

    /// Takes or renews it; false while another one holds it.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, in our words.
    pub async fn take(&self) -> Result<bool, String> {
        self.write(&self.holder).await
    }

    async fn write(&self, holder: &str) -> Result<bool, String> {
        let found = self.api.get_opt(NAME).await.map_err(|error| words(&error))?;
        let now = Timestamp::now();
        let spec = |transitions: i32, acquired: Option<MicroTime>| LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(HOLDS.as_secs()).ok(),
            acquire_time: acquired.or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        let written = match found {
            None => {
                let meta = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
                let lease = KubeLease { metadata: meta, spec: Some(spec(0, None)) };
                self.api.create(&PostParams::default(), &lease).await
            }
            Some(mut lease) => {
                let old = lease.spec.take().unwrap_or_default();
                let held_by = old.holder_identity.clone().unwrap_or_default();
                let mine = held_by == self.holder;
                let length = u64::try_from(old.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
                let version = lease.metadata.resource_version.clone().unwrap_or_default();
                if !mine && !held_by.is_empty() && self.unchanged_for(&version) <= Duration::from_secs(length)
                {
                    return Ok(false);
                }
                let transitions = old.lease_transitions.unwrap_or(0) + i32::from(!mine);
                lease.spec = Some(spec(transitions, old.acquire_time.filter(|_| mine)));
                // Against the version that was read: of two who try at once one is refused.
                self.api.replace(NAME, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(words(&error)),
        }
    }

    /// For how long it has been seen in this version.
    fn unchanged_for(&self, version: &str) -> Duration {
        // It is replaced in one step.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &*seen {
            Some(seen) if seen.version == version => now.duration_since(seen.since),
            Some(_) | None => {
                *seen = Some(Seen { version: version.to_owned(), since: now });
                Duration::ZERO
            }
        }
    }

    /// Renews it again and again; ends when it is lost, or could not be renewed for too long.
    pub async fn keep(&self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEWS_EVERY).await;
            match tokio::time::timeout(RENEWS_EVERY, self.take()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(_)) | Err(_) if renewed.elapsed() > GIVES_UP_AFTER => return,
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }

    /// Ends it, so that the next one need not wait; what cannot be ended ends by itself.
    pub async fn give_back(&self) {
        if let Ok(Some(lease)) = self.api.get_opt(NAME).await
            && lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref())
                == Some(self.holder.as_str())
        {
            let _ = self.write("").await;
        }
    }
}
