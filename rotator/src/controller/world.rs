//! What the API server holds, followed by watches: stores and ExternalSecrets whole, Secrets of ours by their metadata
//! alone, so that other people's Secrets cost neither memory nor rights.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject};
use kube::core::{GroupVersionKind, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::restarts::changed_at;
use super::restarts::decide::{Managed, WANTED};
use crate::manifest::cluster::live_from;
use crate::manifest::external_secret::{CreationPolicy, ExternalSecretSpec, RefreshPolicy, StoreRef};
use crate::manifest::load::GROUP;
use crate::manifest::object::{Object, full_name};
use crate::manifest::status::ExternalSecretStatus;
use crate::sync::gather::store_of;
use crate::sync::{Wanted, due, mark};

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// To a store.
    Stores,
    /// To an ExternalSecret, beyond what we report on it.
    ExternalSecret(String),
    /// To a Secret of ours: namespace and name.
    Secret(String, String),
}

/// A path that an ExternalSecret reads.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub store: StoreRef,
    pub namespace: String,
    pub path: String,
    /// The ExternalSecret.
    pub name: String,
    pub refreshed: Option<Timestamp>,
}

/// An ExternalSecret and what was found out about it once.
struct Entry {
    value: Value,
    /// Changes when it is to be looked at again: not with our own reports.
    stamp: String,
    target: String,
    namespace: String,
    paths: Vec<(StoreRef, String)>,
    refreshed: Option<Timestamp>,
    next: Option<Timestamp>,
    ready: Option<bool>,
}

#[derive(Default)]
struct State {
    stores: BTreeMap<String, Value>,
    cluster_stores: BTreeMap<String, Value>,
    external_secrets: BTreeMap<String, Entry>,
    /// Secrets of ours, by namespace and name.
    secrets: BTreeMap<String, BTreeMap<String, Managed>>,
    /// Namespaces where a Secret's values changed.
    changed: BTreeSet<String>,
    /// Kinds of which everything is known.
    complete: BTreeSet<&'static str>,
}

/// Clocks of two machines may differ so much without being wrong.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// What the API server holds.
#[derive(Default)]
pub(super) struct World {
    state: Mutex<State>,
    /// A Secret's values changed.
    news: Notify,
}

fn name_of(value: &Value) -> String {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    full_name(text("/metadata/namespace"), text("/metadata/name"))
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The maps are whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows everything; never ends.
    pub(super) async fn watches(
        &self,
        client: &Client,
        namespace: Option<&str>,
        changes: &UnboundedSender<Change>,
    ) {
        futures::join!(
            self.follow(client, "SecretStore", "secretstores", namespace, changes),
            self.follow(client, "ClusterSecretStore", "clustersecretstores", None, changes),
            self.follow(client, "ExternalSecret", "externalsecrets", namespace, changes),
            self.follow_secrets(client, namespace, changes),
        );
    }

    async fn follow(
        &self,
        client: &Client,
        kind: &'static str,
        plural: &'static str,
        namespace: Option<&str>,
        changes: &UnboundedSender<Change>,
    ) {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", kind), plural);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let stream = watcher::watcher(api, watcher::Config::default()).default_backoff();
        pin_mut!(stream);
        let mut listed = BTreeSet::new();
        loop {
            match stream.next().await {
                None => return,
                Some(Err(error)) => tracing::warn!(kind, why = %watch_words(&error), "a watch begins anew"),
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(object))) => {
                    listed.insert(full_name(&object.namespace().unwrap_or_default(), &object.name_any()));
                    self.apply(kind, object, changes);
                }
                Some(Ok(Event::Apply(object))) => self.apply(kind, object, changes),
                Some(Ok(Event::Delete(object))) => {
                    let name = full_name(&object.namespace().unwrap_or_default(), &object.name_any());
                    self.remove(kind, &name, changes);
                }
                Some(Ok(Event::InitDone)) => {
                    for name in self.names(kind) {
                        if !listed.contains(&name) {
                            self.remove(kind, &name, changes);
                        }
                    }
                    self.lock().complete.insert(kind);
                }
            }
        }
    }

    async fn follow_secrets(
        &self,
        client: &Client,
        namespace: Option<&str>,
        changes: &UnboundedSender<Change>,
    ) {
        let api: Api<PartialObjectMeta<Secret>> = match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let config = watcher::Config::default().labels(&format!("{}=true", mark::MANAGED));
        let stream = watcher::watcher(api, config).default_backoff();
        pin_mut!(stream);
        let tell = |(namespace, name): (String, String)| {
            // Who listens ends only together with this.
            let _ = changes.send(Change::Secret(namespace, name));
        };
        // The version of each, so that what was changed or deleted while a watch was broken is seen when it is whole again.
        let mut known: Option<BTreeMap<(String, String), String>> = None;
        let mut listed = BTreeMap::new();
        loop {
            let key = |secret: &PartialObjectMeta<Secret>| {
                (secret.namespace().unwrap_or_default(), secret.name_any())
            };
            let version = |secret: &PartialObjectMeta<Secret>| secret.resource_version().unwrap_or_default();
            match stream.try_next().await {
                Ok(None) => return,
                Ok(Some(Event::Apply(secret))) => {
                    if let Some(known) = &mut known {
                        known.insert(key(&secret), version(&secret));
                    }
                    self.keep(&key(&secret), Some(marked(&secret)));
                    tell(key(&secret));
                }
                Ok(Some(Event::Delete(secret))) => {
                    if let Some(known) = &mut known {
                        known.remove(&key(&secret));
                    }
                    self.keep(&key(&secret), None);
                    tell(key(&secret));
                }
                Ok(Some(Event::Init)) => listed.clear(),
                Ok(Some(Event::InitApply(secret))) => {
                    listed.insert(key(&secret), version(&secret));
                    self.keep(&key(&secret), Some(marked(&secret)));
                }
                Ok(Some(Event::InitDone)) => {
                    let now = std::mem::take(&mut listed);
                    // At the start everything is looked at anyway.
                    for (key, version) in known.iter().flatten() {
                        if now.get(key) != Some(version) {
                            tell(key.clone());
                        }
                        if !now.contains_key(key) {
                            self.keep(key, None);
                        }
                    }
                    known = Some(now);
                    self.lock().complete.insert("Secret");
                }
                Err(error) => {
                    tracing::warn!(kind = "Secret", why = %watch_words(&error), "a watch begins anew");
                }
            }
        }
    }

    fn names(&self, kind: &str) -> Vec<String> {
        let state = self.lock();
        match kind {
            "SecretStore" => state.stores.keys().cloned().collect(),
            "ClusterSecretStore" => state.cluster_stores.keys().cloned().collect(),
            _ => state.external_secrets.keys().cloned().collect(),
        }
    }

    fn apply(&self, kind: &str, object: DynamicObject, changes: &UnboundedSender<Change>) {
        let Ok(mut value) = serde_json::to_value(object) else { return };
        if let Some(meta) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            // Half of the object's size, and of no use here.
            meta.remove("managedFields");
        }
        let name = name_of(&value);
        let mut state = self.lock();
        let change = match kind {
            "SecretStore" | "ClusterSecretStore" => {
                let map = if kind == "SecretStore" { &mut state.stores } else { &mut state.cluster_stores };
                let old = map.insert(name, value.clone());
                // Our own reports are no change.
                let same = old.is_some_and(|old| {
                    old["spec"] == value["spec"]
                        && old["metadata"]["generation"] == value["metadata"]["generation"]
                });
                (!same).then_some(Change::Stores)
            }
            _ => {
                let entry = entry(value);
                let stamp = entry.stamp.clone();
                let old = state.external_secrets.insert(name.clone(), entry);
                let same = old.is_some_and(|old| old.stamp == stamp);
                (!same).then_some(Change::ExternalSecret(name))
            }
        };
        drop(state);
        if let Some(change) = change {
            // Who listens ends only together with this.
            let _ = changes.send(change);
        }
    }

    fn remove(&self, kind: &str, name: &str, changes: &UnboundedSender<Change>) {
        let mut state = self.lock();
        match kind {
            "SecretStore" | "ClusterSecretStore" => {
                let map = if kind == "SecretStore" { &mut state.stores } else { &mut state.cluster_stores };
                map.remove(name);
                let _ = changes.send(Change::Stores);
            }
            _ => {
                state.external_secrets.remove(name);
            }
        }
    }

    /// Waits until all Secrets of ours were listed once.
    pub(super) async fn wait_until_secrets_are_known(&self) {
        while !self.lock().complete.contains("Secret") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the values of a Secret change.
    pub(super) async fn something_changed(&self) {
        self.news.notified().await;
    }

    /// The namespaces where that happened since they were last taken.
    pub(super) fn take_changed(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.lock().changed)
    }

    /// Every namespace with a Secret of ours.
    pub(super) fn namespaces_of_secrets(&self) -> Vec<String> {
        self.lock().secrets.keys().cloned().collect()
    }

    /// The Secrets of ours in a namespace.
    pub(super) fn managed(&self, namespace: &str) -> BTreeMap<String, Managed> {
        let state = self.lock();
        let mut secrets = state.secrets.get(namespace).cloned().unwrap_or_default();
        for entry in state.external_secrets.values().filter(|entry| entry.namespace == namespace) {
            let wanted = entry.value["metadata"]["annotations"][WANTED] == "true";
            if let Some(secret) = secrets.get_mut(&entry.target).filter(|_| wanted) {
                secret.wanted = true;
            }
        }
        secrets
    }

    /// Keeps what is known of a Secret; none when it is gone.
    fn keep(&self, key: &(String, String), hash: Option<(String, String)>) {
        let mut state = self.lock();
        let (namespace, name) = key;
        let Some((uid, hash)) = hash else {
            if let Some(secrets) = state.secrets.get_mut(namespace) {
                secrets.remove(name);
                if secrets.is_empty() {
                    state.secrets.remove(namespace);
                }
            }
            return;
        };
        let secrets = state.secrets.entry(namespace.clone()).or_default();
        let before = secrets.get(name);
        let is_news = before.is_none_or(|before| before.hash != hash);
        let changed_at = changed_at(before, &hash);
        secrets.insert(name.clone(), Managed { uid, hash, changed_at, wanted: false });
        if is_news {
            state.changed.insert(namespace.clone());
            drop(state);
            self.news.notify_one();
        }
    }

    /// Waits until everything was listed once.
    pub(super) async fn wait_until_complete(&self) {
        let kinds = ["SecretStore", "ClusterSecretStore", "ExternalSecret"];
        while !kinds.iter().all(|kind| self.lock().complete.contains(kind)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn stores(&self) -> (Vec<Value>, Vec<Value>) {
        let state = self.lock();
        (state.stores.values().cloned().collect(), state.cluster_stores.values().cloned().collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.lock().external_secrets.contains_key(name)
    }

    /// The ExternalSecrets that a Secret is the target of.
    pub(super) fn readers(&self, namespace: &str, secret: &str) -> Vec<String> {
        let state = self.lock();
        let readers = state
            .external_secrets
            .iter()
            .filter(|(_, entry)| entry.namespace == namespace && entry.target == secret)
            .map(|(name, _)| name.clone());
        readers.collect()
    }

    /// The ExternalSecrets whose interval is over, or whose refresh lies in the future: that one was told by a wrong
    /// clock, or this one is wrong.
    pub(super) fn due(&self, now: Timestamp) -> Vec<String> {
        let state = self.lock();
        let ahead = now.checked_add(CLOCKS_APART).unwrap_or(Timestamp::MAX);
        let is_due = |entry: &Entry| {
            let from_ahead = entry.refreshed.is_some_and(|refreshed| refreshed > ahead);
            entry.next.is_some_and(|next| next <= now || from_ahead)
        };
        let due = state.external_secrets.iter().filter(|(_, entry)| is_due(entry));
        due.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn wanted(&self, name: &str, forced: bool) -> Option<Wanted> {
        let value = self.lock().external_secrets.get(name)?.value.clone();
        Some(Wanted { forced, ..Wanted::of_cluster(live_from(value)) })
    }

    /// Every path that is read now.
    pub(super) fn watched(&self) -> Vec<Watched> {
        let state = self.lock();
        // Also of what failed: a new value may mend it.
        let tried = state.external_secrets.iter().filter(|(_, entry)| entry.ready.is_some());
        let watched = tried.flat_map(|(name, entry)| {
            entry.paths.iter().map(|(store, path)| Watched {
                store: store.clone(),
                namespace: entry.namespace.clone(),
                path: path.clone(),
                name: name.clone(),
                refreshed: entry.refreshed,
            })
        });
        watched.collect()
    }

    /// How many are ready, failed and neither, and the oldest refresh of those that are ready.
    pub(super) fn states(&self) -> (usize, usize, usize, Option<Timestamp>) {
        let state = self.lock();
        let count =
            |ready: Option<bool>| state.external_secrets.values().filter(|e| e.ready == ready).count();
        let oldest =
            state.external_secrets.values().filter(|e| e.ready == Some(true)).filter_map(|e| e.refreshed);
        (count(Some(true)), count(Some(false)), count(None), oldest.min())
    }
}

fn entry(value: Value) -> Entry {
    let live = live_from(value.clone());
    let object = live.object.as_ref().ok();
    let deleting = if live.deleting { "deleting" } else { "" };
    let stamp = match object {
        Some(object) => format!("{}{deleting}", due::resource_version(object)),
        None => format!("{}{deleting}", value["metadata"]["generation"]),
    };
    let refreshed = live.status.refresh_time.as_deref().and_then(|time| time.parse().ok());
    let condition = live.status.conditions.iter().find(|condition| condition.kind == "Ready");
    Entry {
        stamp,
        target: object.map(|object| object.spec.target_name(object.name()).to_owned()).unwrap_or_default(),
        namespace: live.namespace.clone(),
        paths: object.map(paths).unwrap_or_default(),
        refreshed,
        next: object.and_then(|object| next(object, &live.status, refreshed)),
        ready: condition.map(|condition| condition.status == "True"),
        value,
    }
}

/// When its interval is over; none if it has none. Those of one hour do not all come in the same minute.
fn next(
    object: &Object<ExternalSecretSpec>,
    status: &ExternalSecretStatus,
    refreshed: Option<Timestamp>,
) -> Option<Timestamp> {
    let last = refreshed.filter(|_| status.synced_resource_version.is_some())?;
    let interval = due::interval(object)?;
    // Up to a twentieth later, by the name: the same each time, and below a minute.
    let share = mark::owner_hash(object.namespace(), object.name());
    let share = u8::from_str_radix(share.get(..2).unwrap_or("0"), 16).unwrap_or(0);
    let jitter = (interval / 20).min(Duration::from_secs(60)).mul_f64(f64::from(share) / 255.0);
    last.checked_add(interval + jitter).ok()
}

/// The paths of which a new version matters.
fn paths(object: &Object<ExternalSecretSpec>) -> Vec<(StoreRef, String)> {
    let spec = &object.spec;
    let follows = matches!(spec.refresh_policy, None | Some(RefreshPolicy::Periodic));
    if !follows || due::interval(object).is_none() || spec.target.creation_policy == CreationPolicy::None {
        return Vec::new();
    }
    let entries = spec.data.iter().map(|entry| (entry.source_ref.as_ref(), &entry.remote_ref));
    let extracts =
        spec.data_from.iter().filter_map(|from| Some((from.source_ref.as_ref(), from.extract.as_ref()?)));
    let mut found = BTreeSet::new();
    for (source, remote) in entries.chain(extracts) {
        // A version that is named does not change.
        let latest = matches!(remote.version.as_deref(), None | Some("" | "0"));
        if latest && let Ok(store) = store_of(object, source, "") {
            found.insert((store.clone(), remote.key.clone()));
        }
    }
    found.into_iter().collect()
}

/// The uid of a Secret, and the hash of its values as its mark says it.
fn marked(secret: &PartialObjectMeta<Secret>) -> (String, String) {
    let hash = secret.annotations().get(mark::DATA_HASH).cloned().unwrap_or_default();
    (secret.uid().unwrap_or_default(), hash)
}

fn watch_words(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => {
            crate::target::cluster::words(error)
        }
        _ => "the connection ended".to_owned(),
    }
}
