//! ExternalSecrets of a cluster, kept up to date by watches: a changed manifest, an edited Secret and, by polling,
//! a changed value in Vault are acted on when they happen, everything else when its interval is over.
//!
//! [`world`] follows the API server, [`poll`] the stores' metadata, [`lease`] says who of several leads, [`restarts`]
//! has workloads take what changed. Each failure
//! is tried again at its own pace: one that fails delays no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use shared::clock::SystemClock;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::lease::Lease;
use self::world::{Change, World};
use crate::audit::Audit;
use crate::manifest::cluster::stores_from;
use crate::metrics::Metrics;
use crate::sync::events::Events;
use crate::sync::objects::Objects;
use crate::sync::outcome::Report;
use crate::sync::stores::Stores;
use crate::sync::{Round, Wanted, many, store_status};
use crate::target::Target;
use crate::target::cluster::Cluster;
use crate::vault::Servers;

pub mod adopt;
pub mod lease;
mod poll;
pub mod restarts;
mod world;

/// Changes that come together are worked on together.
const GATHERS: Duration = Duration::from_millis(20);
/// Nothing happens for longer than this without a look at what is due.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// How often ClusterExternalSecrets and the labels of namespaces are looked at.
const MANY_EVERY: Duration = Duration::from_secs(15);
/// The first wait after a failure; it doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// The longest wait after failures.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// How long a batch under way may go on after it was told to stop.
const GOODBYE: Duration = Duration::from_secs(20);

/// What the controller works with.
pub struct Settings {
    /// The cluster.
    pub client: Client,
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Whether stores without a controller's name are served too.
    pub adopt: bool,
    /// How many ExternalSecrets are worked on at once.
    pub concurrency: usize,
    /// The audit trail, if there is one.
    pub audit: Option<Arc<Audit>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who this is, among several.
    pub holder: String,
}

/// The audit trail of a command line's `--audit`: a file, or `-` for standard output.
///
/// # Errors
/// When the file cannot be used.
pub fn audit_of(path: Option<&PathBuf>) -> Result<Option<Arc<Audit>>, String> {
    match path {
        None => Ok(None),
        Some(path) if path.as_os_str() == "-" => Audit::open(None).map(Arc::new).map(Some),
        Some(path) => Audit::open(Some(path)).map(Arc::new).map(Some),
    }
}

/// Works until told to stop; leads while it has the lease.
pub async fn run(settings: &Settings, mut stop: watch::Receiver<bool>, say: mpsc::UnboundedSender<String>) {
    let lease = Lease::new(settings.client.clone(), settings.namespace.as_deref(), &settings.holder);
    let mut said_waiting = false;
    while !*stop.borrow() {
        let taken = lease.take().await;
        settings.metrics.turned(taken.is_ok());
        match taken {
            Ok(true) => {
                said_waiting = false;
                settings.metrics.leads(true);
                tell(&say, "leading".to_owned());
                lead(settings, &lease, &mut stop, &say).await;
                settings.metrics.leads(false);
            }
            Ok(false) if !said_waiting => {
                said_waiting = true;
                tell(&say, "another rotator leads".to_owned());
            }
            Ok(false) => {}
            Err(why) => tell(&say, format!("error: nobody knows who leads: {why}")),
        }
        tokio::select! {
            () = tokio::time::sleep(lease::RENEWS_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
    lease.give_back().await;
}

fn tell(say: &mpsc::UnboundedSender<String>, what: String) {
    // Who listens is gone only when the program ends.
    let _ = say.send(what);
}

/// Leads until the lease is lost or it is told to stop.
async fn lead(
    settings: &Settings,
    lease: &Lease,
    stop: &mut watch::Receiver<bool>,
    say: &mpsc::UnboundedSender<String>,
) {
    let (changes, mut changed) = mpsc::unbounded_channel();
    let world = World::default();
    let watches = world.watches(&settings.client, settings.namespace.as_deref(), &changes);
    let mut worker = Worker {
        settings,
        world: &world,
        dirty: BTreeSet::new(),
        forced: BTreeMap::new(),
        retries: BTreeMap::new(),
        refreshed_stores: false,
        servers: Servers::default(),
        say,
    };
    tokio::select! {
        () = watches => {}
        () = restarts::follow(settings, &world, say) => {}
        () = lease.keep() => tell(say, "error: the lease was lost; another rotator may lead now".to_owned()),
        () = worker.work(&mut changed, stop) => {}
    }
}

/// When a failed one is tried again.
struct Retry {
    at: Instant,
    wait: Duration,
}

struct Worker<'a> {
    settings: &'a Settings,
    world: &'a World,
    /// Names that something happened to.
    dirty: BTreeSet<String>,
    /// Names whose values changed in a store, and when.
    forced: BTreeMap<String, Timestamp>,
    retries: BTreeMap<String, Retry>,
    refreshed_stores: bool,
    /// Outlives the stores, which are opened anew when one changes.
    servers: Servers,
    say: &'a mpsc::UnboundedSender<String>,
}

impl Worker<'_> {
    async fn work(
        &mut self,
        changed: &mut mpsc::UnboundedReceiver<Change>,
        stop: &mut watch::Receiver<bool>,
    ) {
        self.world.wait_until_complete().await;
        let mut memory = poll::Memory::default();
        while !*stop.borrow() {
            let (stores, cluster_stores) = self.world.stores();
            memory.keep_for(&stores.iter().chain(&cluster_stores).collect::<Vec<_>>());
            let manifests = stores_from(stores, cluster_stores);
            let client = self.settings.client.clone();
            let stores = Stores::new(&manifests, Objects::new(&manifests, Some(client)))
                .audited(self.settings.audit.clone())
                .sharing(&self.servers)
                .metered(self.settings.metrics.meter())
                .marked_only(!self.settings.adopt);
            // A store that was mended is tried at once by whoever failed.
            self.dirty.extend(std::mem::take(&mut self.retries).into_keys());
            self.refreshed_stores = false;
            let (found, mut polled) = mpsc::unbounded_channel();
            let settings = self.settings;
            tokio::select! {
                () = make_many(settings, &stores) => {}
                () = poll::poll(self.world, &stores, &self.settings.metrics, &found, &mut memory) => {}
                () = self.serve(&stores, &manifests, changed, &mut polled, stop) => {}
            }
            // What was told and not yet taken would not be told again.
            while let Ok((name, since)) = polled.try_recv() {
                self.force(name, since);
            }
            stores.close().await;
        }
    }

    /// Works until stores change or it is told to stop.
    async fn serve(
        &mut self,
        stores: &Stores<'_>,
        manifests: &crate::manifest::Manifests,
        changed: &mut mpsc::UnboundedReceiver<Change>,
        polled: &mut mpsc::UnboundedReceiver<(String, Timestamp)>,
        stop: &mut watch::Receiver<bool>,
    ) {
        let target = Target::Cluster(Cluster::new(self.settings.client.clone()));
        let events = Events::new(self.settings.client.clone());
        let clock = SystemClock::new();
        loop {
            let batch = self.batch();
            self.settings.metrics.turned(true);
            if !batch.is_empty() {
                stores.begin_round().await;
                let round = Round {
                    stores,
                    target: &target,
                    reports_to: Some(self.settings.client.clone()),
                    events: Some(events.clone()),
                    clock: &clock,
                    concurrency: self.settings.concurrency,
                    everything: false,
                };
                let reports = tokio::select! {
                    reports = round.run(&batch) => reports,
                    () = goodbye(stop.clone()) => return,
                };
                self.learn(&reports);
                let standings = stores.standings().await;
                store_status::report(&self.settings.client, manifests, &standings, Timestamp::now()).await;
            }
            if *stop.borrow() {
                return;
            }
            let wait = self.next_retry().min(LOOKS_EVERY);
            tokio::select! {
                change = changed.recv() => {
                    let Some(change) = change else { return };
                    self.take(change);
                    tokio::time::sleep(GATHERS).await;
                    while let Ok(change) = changed.try_recv() {
                        self.take(change);
                    }
                    if std::mem::take(&mut self.refreshed_stores) {
                        return;
                    }
                }
                Some((name, since)) = polled.recv() => {
                    self.force(name, since);
                    while let Ok((name, since)) = polled.try_recv() {
                        self.force(name, since);
                    }
                }
                () = tokio::time::sleep(wait) => {}
                _ = stop.changed() => return,
            }
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Stores => self.refreshed_stores = true,
            Change::ExternalSecret(name) => {
                // Who failed need not wait any longer: its manifest is another one.
                self.retries.remove(&name);
                self.dirty.insert(name);
            }
            Change::Secret(namespace, name) => self.dirty.extend(self.world.readers(&namespace, &name)),
        }
    }

    /// Its value has changed: who failed before need not wait any longer.
    fn force(&mut self, name: String, since: Timestamp) {
        self.retries.remove(&name);
        self.forced.insert(name, since);
    }

    /// What is to be worked on now.
    fn batch(&mut self) -> Vec<Wanted> {
        let now = Instant::now();
        let mut names = std::mem::take(&mut self.dirty);
        names.extend(self.forced.keys().cloned());
        names.extend(self.world.due(Timestamp::now()));
        // Who failed waits for its time.
        let waits = |name: &String| self.retries.get(name).is_some_and(|retry| retry.at > now);
        names.retain(|name| !waits(name));
        names.extend(self.retries.iter().filter(|(_, retry)| retry.at <= now).map(|(name, _)| name.clone()));
        let batch = names.iter().filter_map(|name| self.world.wanted(name, self.forced.contains_key(name)));
        batch.collect()
    }

    fn learn(&mut self, reports: &[Report]) {
        self.settings.metrics.count(reports);
        for report in reports {
            let name = &report.external_secret;
            match &report.result {
                Ok(outcome) => {
                    self.retries.remove(name);
                    if let Some(since) = self.forced.remove(name) {
                        let lag = Timestamp::now().duration_since(since);
                        self.settings.metrics.lag(Duration::try_from(lag).unwrap_or_default());
                    }
                    if outcome.is_news() {
                        tell(self.say, report.to_string());
                    }
                }
                Err(_) => {
                    self.forced.remove(name);
                    let wait =
                        self.retries.get(name).map_or(RETRY_FIRST, |retry| (retry.wait * 2).min(RETRY_MAX));
                    if wait == RETRY_FIRST {
                        tell(self.say, report.to_string());
                    }
                    self.retries.insert(name.clone(), Retry { at: Instant::now() + jittered(wait), wait });
                }
            }
        }
        let (ready, failed, waiting, oldest) = self.world.states();
        self.settings.metrics.states(ready, failed, waiting, oldest);
        self.retries.retain(|name, _| self.world.has(name));
    }

    fn next_retry(&self) -> Duration {
        let next = self.retries.values().map(|retry| retry.at).min();
        next.map_or(LOOKS_EVERY, |at| at.saturating_duration_since(Instant::now()))
    }
}

/// ExternalSecrets of ClusterExternalSecrets, again and again; never ends.
async fn make_many(settings: &Settings, stores: &Stores<'_>) {
    loop {
        // Whoever serves one namespace makes nothing in others.
        if settings.namespace.is_none()
            && let Err(why) = many::reconcile(&settings.client, stores).await
        {
            tracing::warn!(%why, "ClusterExternalSecrets were left out");
        }
        tokio::time::sleep(MANY_EVERY).await;
    }
}

/// A batch under way gets a moment to finish after it was told to stop.
async fn goodbye(mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if stop.changed().await.is_err() {
            return;
        }
    }
    tokio::time::sleep(GOODBYE).await;
}

/// Up to a fifth longer, so that a thousand failures do not come back at once.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without random bytes there is no jitter, and nothing worse.
    let _ = getrandom::fill(&mut byte);
    wait + wait.mul_f64(f64::from(byte[0]) / 255.0 / 5.0)
}
