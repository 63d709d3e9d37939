//! What the API server holds, followed by watches: stores and ExternalSecrets whole, Secrets of ours by their metadata
//! alone, so that other people's Secrets cost neither memory nor rights.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::restarts::decide::Managed;
use crate::manifest::cluster::live_from;
use crate::manifest::external_secret::StoreRef;
use crate::manifest::load::GROUP;
use crate::manifest::object::full_name;
use crate::sync::Wanted;

mod entry;
mod secrets;

use entry::{Entry, entry};

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

fn watch_words(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => {
            crate::target::cluster::words(error)
        }
        _ => "the connection ended".to_owned(),
    }
}
