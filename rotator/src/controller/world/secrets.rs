//! Secrets of ours, by their metadata alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{TryStreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::mpsc::UnboundedSender;

use super::{Change, World, watch_words};
use crate::controller::restarts::changed_at;
use crate::controller::restarts::decide::{Managed, WANTED};
use crate::sync::mark;

impl World {
    /// Follows Secrets of ours; never ends.
    pub(super) async fn follow_secrets(
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

    /// Waits until all Secrets of ours were listed once.
    pub(in crate::controller) async fn wait_until_secrets_are_known(&self) {
        while !self.lock().complete.contains("Secret") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the values of a Secret change.
    pub(in crate::controller) async fn something_changed(&self) {
        self.news.notified().await;
    }

    /// The namespaces where that happened since they were last taken.
    pub(in crate::controller) fn take_changed(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.lock().changed)
    }

    /// Every namespace with a Secret of ours.
    pub(in crate::controller) fn namespaces_of_secrets(&self) -> Vec<String> {
        self.lock().secrets.keys().cloned().collect()
    }

    /// The Secrets of ours in a namespace.
    pub(in crate::controller) fn managed(&self, namespace: &str) -> BTreeMap<String, Managed> {
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
}

/// The uid of a Secret, and the hash of its values as its mark says it.
fn marked(secret: &PartialObjectMeta<Secret>) -> (String, String) {
    let hash = secret.annotations().get(mark::DATA_HASH).cloned().unwrap_or_default();
    (secret.uid().unwrap_or_default(), hash)
}
