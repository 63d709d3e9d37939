//! Workloads of a cluster that use a published Secret: found, restarted once, and watched until they are ready.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::{Metadata, NamespaceResourceScope};
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use shared::journal::Moved;

use crate::rotation::context::{Consumer, ConsumerState, NoAnswer};
use crate::rotation::workloads::{
    Mark, Stand, daemon_set, deployment, is_of_a_rollout, pod, stateful_set, uses,
};
use crate::target::cluster::words;

/// Objects asked for at once.
const PAGE: u32 = 500;
const MANAGER: &str = "keyturn";

/// One look at a cluster.
pub struct Rollout<'a> {
    /// The cluster.
    pub client: &'a Client,
    /// What marks a restart.
    pub mark: Mark,
    /// Whether those without the mark are restarted; else they are only named.
    pub restart: bool,
    /// When each Secret was changed, as the journal has it; by `namespace/name`.
    pub changed: &'a BTreeMap<String, Moved>,
}

fn no_answer(what: &str, error: &kube::Error) -> NoAnswer {
    let class = match error {
        kube::Error::Api(status) if status.code == 403 => "denied",
        kube::Error::Api(status) if status.code == 409 => "conflict",
        _ => "unreachable",
    };
    NoAnswer { what: format!("{what}: {}", words(error)), class: class.to_owned() }
}

impl Rollout<'_> {
    /// Every workload that uses one of these Secrets (`namespace/name`); restarts those that were not yet.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn observe(&self, secrets: &[String]) -> Result<Vec<Consumer>, NoAnswer> {
        let mut by_namespace: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (namespace, name) in secrets.iter().filter_map(|secret| secret.split_once('/')) {
            by_namespace.entry(namespace).or_default().insert(name);
        }
        let mut all = Vec::new();
        for (namespace, names) in &by_namespace {
            all.extend(
                self.rolled_out("Deployment", namespace, names, template_of_deployment, deployment).await?,
            );
            all.extend(
                self.rolled_out("StatefulSet", namespace, names, template_of_set, stateful_set).await?,
            );
            all.extend(
                self.rolled_out("DaemonSet", namespace, names, template_of_daemons, daemon_set).await?,
            );
            self.cron_jobs(namespace, names, &mut all).await?;
            self.pods(namespace, names, &mut all).await?;
        }
        Ok(all)
    }

    async fn list<K>(&self, kind: &str, namespace: &str) -> Result<Vec<K>, NoAnswer>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let mut params = ListParams::default().limit(PAGE);
        let mut objects = Vec::new();
        loop {
            let what = format!("listing the {kind}s of {namespace}");
            let page = api.list(&params).await.map_err(|error| no_answer(&what, &error))?;
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(objects),
            }
        }
    }

    async fn rolled_out<K>(
        &self,
        kind: &str,
        namespace: &str,
        secrets: &BTreeSet<&str>,
        template: fn(&K) -> Option<&PodTemplateSpec>,
        stand: fn(&K) -> Stand,
    ) -> Result<Vec<Consumer>, NoAnswer>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Metadata<Ty = ObjectMeta>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let mut all = Vec::new();
        for object in self.list::<K>(kind, namespace).await? {
            let Some(template) = template(&object) else { continue };
            if !template.spec.as_ref().is_some_and(|pod| uses(pod, secrets)) {
                continue;
            }
            let name = object.name_any();
            let stand = if self.mark.is_on(template) {
                stand(&object)
            } else if self.restart {
                self.restart::<K>(namespace, &name).await?;
                Stand::Moving("it is being restarted")
            } else {
                Stand::Moving("it would be restarted")
            };
            all.push(consumer(kind, namespace, &name, stand));
        }
        Ok(all)
    }

    /// The mark in the template makes its controller replace every pod, as `kubectl rollout restart` does.
    async fn restart<K>(&self, namespace: &str, name: &str) -> Result<(), NoAnswer>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let annotations = json!({ self.mark.key.clone(): self.mark.version.to_string() });
        let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let done = api.patch(name, &params, &Patch::Merge(&patch)).await;
        done.map(drop).map_err(|error| no_answer(&format!("restarting {namespace}/{name}"), &error))
    }

    async fn cron_jobs(
        &self,
        namespace: &str,
        secrets: &BTreeSet<&str>,
        all: &mut Vec<Consumer>,
    ) -> Result<(), NoAnswer> {
        for object in self.list::<CronJob>("CronJob", namespace).await? {
            let pod = object.spec.job_template.spec.as_ref().and_then(|job| job.template.spec.as_ref());
            if pod.is_some_and(|pod| uses(pod, secrets)) {
                all.push(consumer("CronJob", namespace, &object.name_any(), Stand::Moved));
            }
        }
        Ok(())
    }

    async fn pods(
        &self,
        namespace: &str,
        secrets: &BTreeSet<&str>,
        all: &mut Vec<Consumer>,
    ) -> Result<(), NoAnswer> {
        let changed = self.changed_at(namespace, secrets);
        for object in self.list::<Pod>("Pod", namespace).await? {
            let using = object.spec.as_ref().is_some_and(|pod| uses(pod, secrets));
            if using && !is_of_a_rollout(&object) {
                all.push(consumer("Pod", namespace, &object.name_any(), pod(&object, changed)));
            }
        }
        Ok(())
    }

    /// When the last of the Secrets was changed; nothing, while one of them was not.
    fn changed_at(&self, namespace: &str, secrets: &BTreeSet<&str>) -> Option<Timestamp> {
        let times = secrets.iter().map(|name| {
            self.changed
                .get(&format!("{namespace}/{name}"))
                .filter(|m| m.version >= self.mark.version)
                .map(|m| m.at)
        });
        times.collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
    }
}

fn consumer(kind: &str, namespace: &str, name: &str, stand: Stand) -> Consumer {
    let name = format!("{kind} {namespace}/{name}");
    match stand {
        Stand::Moved => Consumer { name, state: ConsumerState::Moved },
        Stand::Moving(why) => {
            tracing::info!(consumer = %name, why, "not moved yet");
            Consumer { name, state: ConsumerState::Moving }
        }
    }
}

fn template_of_deployment(object: &Deployment) -> Option<&PodTemplateSpec> {
    object.spec.as_ref().map(|spec| &spec.template)
}

fn template_of_set(object: &StatefulSet) -> Option<&PodTemplateSpec> {
    object.spec.as_ref().map(|spec| &spec.template)
}

fn template_of_daemons(object: &DaemonSet) -> Option<&PodTemplateSpec> {
    object.spec.as_ref().map(|spec| &spec.template)
}
