//! Who uses a Secret, and who has moved.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Mark, Stand, daemon_set, deployment, is_of_a_rollout, pod, stateful_set, uses};

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[test]
fn every_way_to_read_a_secret_is_found() {
    let secrets = BTreeSet::from(["db"]);
    let container = |more: Value| {
        let mut all = json!({ "name": "app" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([all])
    };
    for (pod, expected) in [
        (json!({ "containers": [], "volumes": [{ "name": "v", "secret": { "secretName": "db" } }] }), true),
        (
            json!({ "containers": [], "volumes": [{ "name": "v", "secret": { "secretName": "other" } }] }),
            false,
        ),
        (
            json!({ "containers": [], "volumes": [{ "name": "v", "projected": { "sources": [
            { "secret": { "name": "db" } }] } }] }),
            true,
        ),
        (json!({ "containers": [], "imagePullSecrets": [{ "name": "db" }] }), true),
        (
            json!({ "containers": container(json!({ "env": [{ "name": "P", "valueFrom":
            { "secretKeyRef": { "name": "db", "key": "password" } } }] })) }),
            true,
        ),
        (json!({ "containers": container(json!({ "envFrom": [{ "secretRef": { "name": "db" } }] })) }), true),
        (
            json!({ "containers": [], "initContainers": container(json!({ "envFrom": [{ "secretRef": { "name": "db" } }] })) }),
            true,
        ),
        (
            json!({ "containers": container(json!({ "envFrom": [{ "configMapRef": { "name": "db" } }] })) }),
            false,
        ),
    ] {
        assert_eq!(uses(&object::<PodSpec>(pod.clone()), &secrets), expected, "{pod}");
    }
}

#[test]
fn a_mark_counts_for_its_version_and_earlier_ones() {
    let mark = Mark::new("uid-1", 7);
    assert_ne!(mark.key, Mark::new("uid-2", 7).key);
    let template = |value: &str| -> PodTemplateSpec {
        object(json!({ "metadata": { "annotations": { mark.key.clone(): value } } }))
    };
    for (value, expected) in [("6", false), ("7", true), ("8", true), ("", false), ("x", false)] {
        assert_eq!(mark.is_on(&template(value)), expected, "{value}");
    }
    assert!(!mark.is_on(&PodTemplateSpec::default()));
}

fn moved(stand: Stand) -> bool {
    stand == Stand::Moved
}

#[test]
fn a_deployment_has_moved_when_every_replica_is_new_and_ready() {
    let made = |spec: Value, seen: i64, [all, new, ready]: [i32; 3]| -> Deployment {
        let mut whole = json!({ "selector": {}, "template": {} });
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object(
            json!({ "metadata": { "generation": 4 }, "spec": whole, "status": { "observedGeneration": seen,
            "replicas": all, "updatedReplicas": new, "availableReplicas": ready } }),
        )
    };
    for (spec, seen, numbers, expected) in [
        (json!({ "replicas": 2 }), 4, [2, 2, 2], true),
        (json!({ "replicas": 2 }), 3, [2, 2, 2], false),
        (json!({ "replicas": 2 }), 4, [3, 2, 2], false),
        (json!({ "replicas": 2 }), 4, [2, 1, 2], false),
        (json!({ "replicas": 2 }), 4, [2, 2, 1], false),
        (json!({}), 4, [1, 1, 1], true),
        (json!({ "replicas": 0 }), 4, [0, 0, 0], true),
        (json!({ "replicas": 0 }), 4, [1, 0, 1], false),
        (json!({ "replicas": 0, "paused": true }), 4, [0, 0, 0], true),
    ] {
        assert_eq!(
            moved(deployment(&made(spec.clone(), seen, numbers))),
            expected,
            "{spec} {seen} {numbers:?}"
        );
    }
    let paused = deployment(&made(json!({ "paused": true }), 4, [1, 0, 1]));
    assert!(matches!(paused, Stand::Moving(why) if why.contains("paused")), "{paused:?}");
    assert!(!moved(deployment(&Deployment::default())));
}

#[test]
fn sets_say_whom_they_wait_for() {
    let set = |strategy: Value, [all, new, ready]: [i32; 3]| -> StatefulSet {
        object(json!({ "metadata": { "generation": 2 },
            "spec": { "replicas": 2, "selector": {}, "serviceName": "s", "template": {}, "updateStrategy": strategy },
            "status": { "observedGeneration": 2, "replicas": all, "updatedReplicas": new, "readyReplicas": ready } }))
    };
    assert!(moved(stateful_set(&set(json!({ "type": "RollingUpdate" }), [2, 2, 2]))));
    assert!(!moved(stateful_set(&set(json!({ "type": "RollingUpdate" }), [2, 2, 1]))));
    assert_eq!(
        stateful_set(&set(json!({ "type": "OnDelete" }), [2, 1, 2])),
        Stand::Moving("OnDelete: delete its pods")
    );
    assert!(moved(stateful_set(&set(json!({ "type": "OnDelete" }), [2, 2, 2]))));
    let held = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } });
    assert_eq!(stateful_set(&set(held, [2, 1, 2])), Stand::Moving("its partition holds pods back"));

    let daemons = |strategy: &str, seen: i64, [all, new, ready]: [i32; 3]| -> DaemonSet {
        object(json!({ "metadata": { "generation": 2 },
            "spec": { "selector": {}, "template": {}, "updateStrategy": { "type": strategy } },
            "status": { "observedGeneration": seen, "desiredNumberScheduled": 3, "currentNumberScheduled": all,
                "numberMisscheduled": 0, "numberReady": ready, "updatedNumberScheduled": new, "numberAvailable": ready } }))
    };
    assert!(moved(daemon_set(&daemons("RollingUpdate", 2, [3, 3, 3]))));
    assert!(!moved(daemon_set(&daemons("RollingUpdate", 1, [3, 3, 3]))));
    assert!(!moved(daemon_set(&daemons("RollingUpdate", 2, [3, 2, 3]))));
    assert_eq!(daemon_set(&daemons("OnDelete", 2, [3, 0, 3])), Stand::Moving("OnDelete: delete its pods"));
}

#[test]
fn a_pod_of_its_own_has_moved_when_it_ended_or_began_later() {
    let made = |phase: &str, at: &str| -> Pod {
        object(json!({ "metadata": { "name": "p", "creationTimestamp": at }, "status": { "phase": phase } }))
    };
    let changed = Some("2026-03-01T02:00:00.5Z".parse().unwrap());
    assert!(!moved(pod(&made("Running", "2026-03-01T02:00:00Z"), changed)), "the same second");
    assert!(moved(pod(&made("Running", "2026-03-01T02:00:01Z"), changed)));
    assert!(!moved(pod(&made("Running", "2026-03-01T02:00:01Z"), None)), "not known yet");
    assert!(moved(pod(&made("Succeeded", "2026-03-01T01:00:00Z"), changed)));
    let owned = |kind: &str, labels: Value| -> Pod {
        object(
            json!({ "metadata": { "labels": labels, "ownerReferences": [{ "apiVersion": "v1", "kind": kind,
            "name": "o", "uid": "u", "controller": true }] } }),
        )
    };
    assert!(is_of_a_rollout(&owned("ReplicaSet", json!({ "pod-template-hash": "x" }))));
    assert!(!is_of_a_rollout(&owned("ReplicaSet", json!({}))), "a ReplicaSet without a Deployment");
    assert!(
        is_of_a_rollout(&owned("StatefulSet", json!({}))) && is_of_a_rollout(&owned("DaemonSet", json!({})))
    );
    assert!(!is_of_a_rollout(&owned("Job", json!({}))) && !is_of_a_rollout(&Pod::default()));
}
