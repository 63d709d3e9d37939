//! What runs in a cluster with a Secret, and whether it runs with the new one. Pure.
//!
//! | what | has moved when |
//! |---|---|
//! | Deployment, StatefulSet, DaemonSet | its template bears our mark of this version, its controller has seen that, and every replica is new and ready |
//! | the same, paused or with `OnDelete` | never by itself: somebody unpauses it or deletes its pods |
//! | the same, without replicas | it bears the mark: what starts later reads the new Secret |
//! | one that crashed before already | when it is ready; until then a person is called after `spreadTimeout` |
//! | CronJob | at once: its next Job reads the new Secret; a Job that runs is a pod of its own |
//! | any other pod | it has ended, or was made after the Secret was changed |

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};

/// The mark of one Rotation on what was restarted for a version of its path.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The annotation: one for each Rotation, so that two with a common consumer do not restart it in turn for ever.
    pub key: String,
    /// The version.
    pub version: u64,
}

impl Mark {
    /// The mark of the Rotation with this uid.
    pub fn new(uid: &str, version: u64) -> Self {
        let hash = blake3::derive_key("keyturn 2026 restart annotation/1", uid.as_bytes());
        Self { key: format!("rotation.keyturn.dev/{}", data_encoding::HEXLOWER.encode(&hash[..8])), version }
    }

    /// Whether pods of the template were restarted for this version or a later one.
    pub fn is_on(&self, template: &PodTemplateSpec) -> bool {
        let annotations = template.metadata.as_ref().and_then(|meta| meta.annotations.as_ref());
        let found = annotations.and_then(|all| all.get(&self.key)).and_then(|text| text.parse::<u64>().ok());
        found.is_some_and(|version| version >= self.version)
    }
}

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It runs with the new secret, and is ready.
    Moved,
    /// Not yet, and why.
    Moving(&'static str),
}

/// Whether a pod reads any of these Secrets of its namespace.
pub fn uses(pod: &PodSpec, secrets: &BTreeSet<&str>) -> bool {
    let named = |name: Option<&str>| name.is_some_and(|name| secrets.contains(name));
    let volumes = pod.volumes.iter().flatten().any(|volume| {
        let projected = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
        named(volume.secret.as_ref().and_then(|secret| secret.secret_name.as_deref()))
            || projected
                .filter_map(|source| source.secret.as_ref())
                .any(|s| secrets.contains(s.name.as_str()))
    });
    let pulls = pod.image_pull_secrets.iter().flatten().any(|pull| secrets.contains(pull.name.as_str()));
    let containers = pod.containers.iter().chain(pod.init_containers.iter().flatten());
    volumes || pulls || containers.into_iter().any(|container| reads(container, secrets))
}

fn reads(container: &Container, secrets: &BTreeSet<&str>) -> bool {
    let env = container.env.iter().flatten().any(|variable| {
        let reference = variable.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
        reference.is_some_and(|reference| secrets.contains(reference.name.as_str()))
    });
    let from = container.env_from.iter().flatten().any(|from| {
        from.secret_ref.as_ref().is_some_and(|reference| secrets.contains(reference.name.as_str()))
    });
    env || from
}

/// Whether the numbers say that every replica is new and ready.
fn settled(seen: bool, wanted: i32, numbers: [Option<i32>; 3]) -> Stand {
    if !seen {
        return Stand::Moving("its controller has not seen the change");
    }
    if numbers.iter().all(|number| number.unwrap_or(0) == wanted) {
        Stand::Moved
    } else {
        Stand::Moving("not every replica is new and ready")
    }
}

fn unless_settled(stand: Stand, why: &'static str) -> Stand {
    if stand == Stand::Moved { stand } else { Stand::Moving(why) }
}

/// Where a marked Deployment stands.
pub fn deployment(object: &Deployment) -> Stand {
    let (Some(spec), Some(status)) = (&object.spec, &object.status) else {
        return Stand::Moving("its controller has not seen it");
    };
    let wanted = spec.replicas.unwrap_or(1);
    let seen = status.observed_generation >= object.metadata.generation;
    // `replicas` counts old ones too: they must be gone.
    let numbers = [status.replicas, status.updated_replicas, status.available_replicas];
    let stand = settled(seen, wanted, numbers);
    if spec.paused.unwrap_or(false) && wanted > 0 {
        return unless_settled(stand, "it is paused: `kubectl rollout resume`");
    }
    stand
}

/// Where a marked StatefulSet stands.
pub fn stateful_set(object: &StatefulSet) -> Stand {
    let (Some(spec), Some(status)) = (&object.spec, &object.status) else {
        return Stand::Moving("its controller has not seen it");
    };
    let wanted = spec.replicas.unwrap_or(1);
    let seen = status.observed_generation >= object.metadata.generation;
    // Where nothing was ever rolled out, every replica is of the one revision and `updatedReplicas` counts them.
    let numbers = [Some(status.replicas), status.updated_replicas, status.ready_replicas];
    let stand = settled(seen, wanted, numbers);
    let strategy = spec.update_strategy.as_ref();
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
        return unless_settled(stand, "OnDelete: delete its pods");
    }
    let partition = strategy.and_then(|s| s.rolling_update.as_ref()?.partition).unwrap_or(0);
    if partition > 0 {
        return unless_settled(stand, "its partition holds pods back");
    }
    stand
}

/// Where a marked DaemonSet stands.
pub fn daemon_set(object: &DaemonSet) -> Stand {
    let Some(status) = &object.status else { return Stand::Moving("its controller has not seen it") };
    let seen = status.observed_generation >= object.metadata.generation;
    let numbers =
        [Some(status.current_number_scheduled), status.updated_number_scheduled, status.number_available];
    let stand = settled(seen, status.desired_number_scheduled, numbers);
    let strategy = object.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
        return unless_settled(stand, "OnDelete: delete its pods");
    }
    stand
}

/// Whether a pod is of a Deployment, StatefulSet or DaemonSet, which are looked at themselves.
pub fn is_of_a_rollout(pod: &Pod) -> bool {
    let owners = pod.metadata.owner_references.iter().flatten();
    let of_deployment = pod.metadata.labels.as_ref().is_some_and(|all| all.contains_key("pod-template-hash"));
    owners.filter(|owner| owner.controller == Some(true)).any(|owner| match owner.kind.as_str() {
        "StatefulSet" | "DaemonSet" => true,
        "ReplicaSet" => of_deployment,
        _ => false,
    })
}

/// Where a pod stands that nothing rolls out; `changed` is when its Secrets were changed, once that is known.
pub fn pod(object: &Pod, changed: Option<Timestamp>) -> Stand {
    let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Stand::Moved;
    }
    let made = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
    match (made, changed) {
        // Whole seconds: one that was made in the same second may have read the old Secret.
        (Some(made), Some(changed)) if made > changed => Stand::Moved,
        _ => Stand::Moving("it began with the old Secret: make it anew, or wait for its end"),
    }
}

#[cfg(test)]
mod tests;
