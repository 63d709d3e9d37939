//! Workloads that read a Secret of ours are restarted when it has changed, if they or its ExternalSecret want it.
//!
//! At most one in two seconds and ten at once; none whose PodDisruptionBudget has no room; each is watched until it is
//! ready again, and both are told by events.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::world::World;
use super::{Settings, tell};
use crate::rotation::workloads::{self, Stand};
use crate::target::cluster::words;

pub mod decide;

use decide::{Managed, RESTARTED_FOR, SEEN, Step, Workload, forbidding};

/// Workloads asked for at once.
const PAGE: u32 = 500;
/// From one restart to the next.
const APART: Duration = Duration::from_secs(2);
/// Restarts that are not ready yet.
const UNDER_WAY_MAX: usize = 10;
/// How often namespaces are looked at where something is under way or was put off.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// How often all are looked at: workloads may be new, or want it now.
const SWEEPS_EVERY: Duration = Duration::from_secs(300);
/// What is not ready after this long is said so, and not watched any more.
const READY_WITHIN: Duration = Duration::from_secs(1800);

/// What became of a workload.
#[derive(Clone, Copy)]
enum Fate {
    Postponed,
    Restarted,
    Ready,
    NotReady,
}

impl Fate {
    /// One word for metrics, and the event.
    fn words(self) -> (&'static str, EventType, &'static str) {
        match self {
            Self::Postponed => ("postponed", EventType::Normal, "RestartPostponed"),
            Self::Restarted => ("restarted", EventType::Normal, "Restarted"),
            Self::Ready => ("ready", EventType::Normal, "RestartReady"),
            Self::NotReady => ("not_ready", EventType::Warning, "RestartNotReady"),
        }
    }
}

/// What can be restarted.
trait Restarted:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug
{
    const KIND: &'static str;
    fn template(&self) -> Option<&PodTemplateSpec>;
    fn stand(&self) -> Stand;
}

impl Restarted for Deployment {
    const KIND: &'static str = "Deployment";
    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref().map(|spec| &spec.template)
    }
    fn stand(&self) -> Stand {
        workloads::deployment(self)
    }
}

impl Restarted for StatefulSet {
    const KIND: &'static str = "StatefulSet";
    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref().map(|spec| &spec.template)
    }
    fn stand(&self) -> Stand {
        workloads::stateful_set(self)
    }
}

impl Restarted for DaemonSet {
    const KIND: &'static str = "DaemonSet";
    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref().map(|spec| &spec.template)
    }
    fn stand(&self) -> Stand {
        workloads::daemon_set(self)
    }
}

struct Restarts<'a> {
    settings: &'a Settings,
    say: &'a UnboundedSender<String>,
    recorder: Recorder,
    /// What was restarted and is not ready, and since when.
    under_way: BTreeMap<String, Instant>,
    next: Instant,
    /// Who was told that it has to wait.
    put_off: BTreeSet<String>,
}

/// Restarts what is to be restarted; never ends.
pub(super) async fn follow(settings: &Settings, world: &World, say: &UnboundedSender<String>) {
    let reporter = Reporter { controller: "keyturn".to_owned(), instance: None };
    let mut restarts = Restarts {
        settings,
        say,
        recorder: Recorder::new(settings.client.clone(), reporter),
        under_way: BTreeMap::new(),
        next: Instant::now(),
        put_off: BTreeSet::new(),
    };
    let mut pending: BTreeSet<String> = BTreeSet::new();
    let mut sweep = Instant::now();
    world.wait_until_secrets_are_known().await;
    loop {
        let mut namespaces = std::mem::take(&mut pending);
        namespaces.extend(world.take_changed());
        if Instant::now() >= sweep {
            sweep = Instant::now() + SWEEPS_EVERY;
            namespaces.extend(world.namespaces_of_secrets());
        }
        for namespace in namespaces {
            match restarts.look(&namespace, &world.managed(&namespace)).await {
                Ok(false) => {}
                Ok(true) => {
                    pending.insert(namespace);
                }
                // The sweep comes back to it.
                Err(why) => tracing::warn!(namespace, why, "workloads were not looked at"),
            }
        }
        let wait = if pending.is_empty() { sweep } else { Instant::now() + LOOKS_EVERY };
        tokio::select! {
            () = world.something_changed() => tokio::time::sleep(Duration::from_millis(500)).await,
            () = tokio::time::sleep_until(wait.min(sweep)) => {}
        }
    }
}

impl Restarts<'_> {
    /// Whether something is left to be done in a namespace.
    async fn look(&mut self, namespace: &str, secrets: &BTreeMap<String, Managed>) -> Result<bool, String> {
        if secrets.is_empty() {
            return Ok(false);
        }
        let mut left = self.kind::<Deployment>(namespace, secrets).await?;
        left |= self.kind::<StatefulSet>(namespace, secrets).await?;
        left |= self.kind::<DaemonSet>(namespace, secrets).await?;
        Ok(left)
    }

    async fn kind<K: Restarted>(
        &mut self,
        namespace: &str,
        secrets: &BTreeMap<String, Managed>,
    ) -> Result<bool, String> {
        let api: Api<K> = Api::namespaced(self.settings.client.clone(), namespace);
        let mut params = ListParams::default().limit(PAGE);
        let mut left = false;
        loop {
            let page = api.list(&params).await.map_err(|error| words(&error))?;
            for object in page.items {
                left |= self.one(&api, &object, secrets).await?;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(left),
            }
        }
    }

    async fn one<K: Restarted>(
        &mut self,
        api: &Api<K>,
        object: &K,
        secrets: &BTreeMap<String, Managed>,
    ) -> Result<bool, String> {
        let Some(template) = object.template() else { return Ok(false) };
        let Some(pod) = &template.spec else { return Ok(false) };
        let meta = object.meta();
        let workload = Workload {
            pod,
            annotations: meta.annotations.as_ref(),
            template_annotations: template.metadata.as_ref().and_then(|meta| meta.annotations.as_ref()),
            made_at: meta.creation_timestamp.as_ref().map(|at| at.0),
        };
        let full = format!("{} {}/{}", K::KIND, object.namespace().unwrap_or_default(), object.name_any());
        match workload.step(secrets) {
            Step::Nothing => Ok(false),
            Step::Remember(digest) => {
                self.patch(api, object, json!({ SEEN: digest }), None).await.map(|()| false)
            }
            Step::Watch => Ok(self.watch(object, &full).await),
            Step::Restart(digest) => {
                let labels = template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
                if let Some(why) = self.hindered(object, labels).await? {
                    if self.put_off.insert(full.clone()) {
                        self.told(object, &full, Fate::Postponed, why).await;
                    }
                    return Ok(true);
                }
                let marks = (json!({ SEEN: digest }), Some(json!({ RESTARTED_FOR: digest })));
                self.patch(api, object, marks.0, marks.1).await?;
                self.next = Instant::now() + APART;
                self.put_off.remove(&full);
                self.under_way.insert(full.clone(), Instant::now());
                let note = "restarted: a Secret that it reads has changed".to_owned();
                self.told(object, &full, Fate::Restarted, note).await;
                Ok(true)
            }
        }
    }

    /// Why it must wait, if it must.
    async fn hindered<K: Restarted>(
        &self,
        object: &K,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Result<Option<String>, String> {
        if Instant::now() < self.next || self.under_way.len() >= UNDER_WAY_MAX {
            tokio::time::sleep_until(self.next.min(Instant::now() + APART)).await;
        }
        if self.under_way.len() >= UNDER_WAY_MAX {
            return Ok(Some(format!("{UNDER_WAY_MAX} others are restarted first")));
        }
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.settings.client.clone(), &namespace);
        let budgets = api.list(&ListParams::default()).await.map_err(|error| words(&error))?;
        Ok(forbidding(&budgets.items, labels)
            .map(|budget| format!("the PodDisruptionBudget {budget} allows no disruption now")))
    }

    /// Whether it is not ready yet.
    async fn watch<K: Restarted>(&mut self, object: &K, full: &str) -> bool {
        // Of an earlier leader's restarts nobody needs to be told.
        let Some(since) = self.under_way.get(full).copied() else { return false };
        match object.stand() {
            Stand::Moved => {
                self.under_way.remove(full);
                let note = "every replica runs with the new Secret and is ready".to_owned();
                self.told(object, full, Fate::Ready, note).await;
                false
            }
            Stand::Moving(why) if since.elapsed() > READY_WITHIN => {
                self.under_way.remove(full);
                let note =
                    format!("not ready {} minutes after its restart: {why}", READY_WITHIN.as_secs() / 60);
                self.told(object, full, Fate::NotReady, note).await;
                false
            }
            Stand::Moving(_) => true,
        }
    }

    /// Against the version that was read: somebody who changes it at the same time loses nothing, and we look again.
    async fn patch<K: Restarted>(
        &self,
        api: &Api<K>,
        object: &K,
        annotations: serde_json::Value,
        template: Option<serde_json::Value>,
    ) -> Result<(), String> {
        let mut patch = json!({ "metadata": { "annotations": annotations, "resourceVersion": object.resource_version() } });
        if let Some(template) = template {
            patch["spec"] = json!({ "template": { "metadata": { "annotations": template } } });
        }
        let done = api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await;
        done.map(drop).map_err(|error| words(&error))
    }

    async fn told<K: Restarted>(&self, object: &K, full: &str, fate: Fate, note: String) {
        let (outcome, kind, reason) = fate.words();
        self.settings.metrics.restart(outcome);
        tell(self.say, format!("{outcome:<10} {full}: {note}"));
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Restart".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(object = full, why = %words(&error), "an event was not told");
        }
    }
}

/// When a hash was seen to change, for [`Managed`].
pub(super) fn changed_at(before: Option<&Managed>, hash: &str) -> Option<Timestamp> {
    match before {
        Some(before) if before.hash == hash => before.changed_at,
        Some(_) => Some(Timestamp::now()),
        None => None,
    }
}
