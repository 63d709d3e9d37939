//! `rotator rotate --target cluster` against a real API server and its controllers. Nothing runs pods here: the test
//! does a kubelet's part and says that they are ready.

use serde_json::{Value, json};
use shared::require;
use shared::testkit::Kube;

use crate::cluster::{secret, wait_until};
use crate::rotate::Site;
use crate::workshop::Ended;

fn template(labels: &Value) -> Value {
    json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "app", "image": "none",
        "env": [{ "name": "P", "valueFrom": { "secretKeyRef": { "name": "site", "key": "password" } } }] }] } })
}

pub fn workload(kube: &Kube, kind: &str, name: &str, more: &Value) {
    let labels = json!({ "app": name });
    let mut spec = json!({ "selector": { "matchLabels": labels }, "template": template(&labels) });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    kube.create(
        &format!("apis/apps/v1/namespaces/shop/{}s", kind.to_lowercase()),
        json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name }, "spec": spec }),
    );
}

fn items(kube: &Kube, path: &str) -> Vec<Value> {
    kube.api("GET", path, None).1["items"].as_array().cloned().unwrap_or_default()
}

/// What a kubelet would say of every pod, but of those whose names begin with `crashing`.
pub fn run_pods(kube: &Kube) {
    for pod in items(kube, "api/v1/namespaces/shop/pods") {
        let name = pod["metadata"]["name"].as_str().unwrap();
        if name.starts_with("crashing") || pod["status"]["phase"] == "Running" {
            continue;
        }
        let ready =
            json!({ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        let status = json!({ "status": { "phase": "Running", "conditions": [ready] } });
        kube.api("PATCH", &format!("api/v1/namespaces/shop/pods/{name}/status"), Some(status));
    }
}

fn rotate(site: &Site, kube: &Kube, more: &[&str]) -> Ended {
    let mut words = site.arguments(more);
    for word in &mut words {
        if *word == "dir:out" {
            *word = "cluster";
        }
    }
    words.extend(["--wait", "0s"]);
    site.workshop.run_with(&kube.kubeconfig(), &words)
}

/// Goes on until the consumers that have not moved are exactly these.
fn until_only(site: &Site, kube: &Kube, waiting: &[&str]) {
    wait_until(&format!("{waiting:?} are waited for"), || {
        run_pods(kube);
        let ended = rotate(site, kube, &["--resume"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let status = site.workshop.run(&["status", "--config", "config", "--format", "json"]);
        let status: Value = serde_json::from_str(&status.out).unwrap();
        let line = &status["rotations"][0];
        let moved: Vec<&str> =
            line["consumers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        waiting.iter().all(|name| !moved.contains(name))
            && line["phase"] == "Published"
            && ["Deployment shop/api", "Deployment shop/idle", "StatefulSet shop/queue", "CronJob shop/night"]
                .iter()
                .filter(|name| !waiting.contains(name))
                .all(|name| moved.contains(name))
    });
}

#[test]
fn workloads_are_restarted_once_and_waited_for() {
    let kube = require!(Kube::start_with_controllers());
    kube.namespace("shop");
    let account = || kube.api("GET", "api/v1/namespaces/shop/serviceaccounts/default", None).0 == 200;
    wait_until("pods can be made", account);
    let site = Site::new("the-first-password");
    workload(&kube, "Deployment", "api", &json!({ "replicas": 2 }));
    workload(&kube, "Deployment", "idle", &json!({ "replicas": 0 }));
    workload(
        &kube,
        "StatefulSet",
        "queue",
        &json!({ "replicas": 1, "serviceName": "queue", "updateStrategy": { "type": "OnDelete" } }),
    );
    let job = json!({ "spec": { "template": { "metadata": {}, "spec": {
        "restartPolicy": "Never", "containers": template(&json!({}))["spec"]["containers"].clone() } } } });
    kube.create(
        "apis/batch/v1/namespaces/shop/cronjobs",
        json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "night" },
            "spec": { "schedule": "0 3 1 1 *", "jobTemplate": job } }),
    );
    let mut tool = template(&json!({}));
    tool["apiVersion"] = json!("v1");
    tool["kind"] = json!("Pod");
    tool["metadata"] = json!({ "name": "tool" });
    kube.create("api/v1/namespaces/shop/pods", tool);
    wait_until("the pods are there", || {
        run_pods(&kube);
        let deployment = kube.api("GET", "apis/apps/v1/namespaces/shop/deployments/api", None).1;
        let set = kube.api("GET", "apis/apps/v1/namespaces/shop/statefulsets/queue", None).1;
        deployment["status"]["availableReplicas"] == 2 && set["status"]["readyReplicas"] == 1
    });

    let plan = ["plan", "--config", "config", "--target", "cluster", "--now"];
    let plan = site.workshop.run_with(&kube.kubeconfig(), &plan);
    let named = "Deployment shop/api, Deployment shop/idle, StatefulSet shop/queue, CronJob shop/night, Pod shop/tool";
    assert!(plan.code == 0 && plan.out.contains(named), "{plan:?}");
    let template = "apis/apps/v1/namespaces/shop/deployments/api";
    assert_eq!(kube.api("GET", template, None).1["spec"]["template"]["metadata"]["annotations"], Value::Null);

    let begun = rotate(&site, &kube, &["--now"]);
    assert!(begun.code == 0 && begun.out.contains("Published  goes on at"), "{begun:?}");
    let made = secret(&kube, "shop", "site").expect("the Secret was made");
    let new = site.published()["password"].as_str().unwrap().to_owned();
    assert_eq!(made["data"]["password"], data_encoding::BASE64.encode(new.as_bytes()));

    // Whoever only people can move is waited for, however long the others have been ready.
    until_only(&site, &kube, &["StatefulSet shop/queue", "Pod shop/tool"]);
    kube.api("DELETE", "api/v1/namespaces/shop/pods/queue-0?gracePeriodSeconds=0", None);
    until_only(&site, &kube, &["Pod shop/tool"]);
    kube.api("DELETE", "api/v1/namespaces/shop/pods/tool?gracePeriodSeconds=0", None);
    let ended = rotate(&site, &kube, &["--resume"]);
    assert!(ended.code == 0 && ended.out.contains("proven     run 1"), "{ended:?}");
    assert_eq!(site.receipts().len(), 1);

    let sets = items(&kube, "apis/apps/v1/namespaces/shop/replicasets");
    let of_api = sets.iter().filter(|set| set["metadata"]["ownerReferences"][0]["name"] == "api").count();
    assert_eq!(of_api, 2, "one before and one after: restarted once");
    for text in [&begun.out, &begun.err, &ended.out, &ended.err] {
        assert!(!text.contains(&new) && !text.contains("the-first-password"));
    }
}

#[test]
fn a_workload_that_crashes_keeps_the_run_waiting_and_then_calls_a_person() {
    let kube = require!(Kube::start_with_controllers());
    kube.namespace("shop");
    let account = || kube.api("GET", "api/v1/namespaces/shop/serviceaccounts/default", None).0 == 200;
    wait_until("pods can be made", account);
    let site = Site::new("the-first-password");
    let impatient = crate::rotate::MANIFESTS.replace("  grace:", "  spreadTimeout: 3s\n  grace:");
    site.workshop.write("config/all.yaml", &impatient);
    workload(&kube, "Deployment", "crashing", &json!({ "replicas": 1 }));
    assert_eq!(rotate(&site, &kube, &["--now"]).code, 0);
    wait_until("a person is called", || {
        run_pods(&kube);
        let ended = rotate(&site, &kube, &["--resume"]);
        assert!(ended.code == 0 || ended.code == 3, "{ended:?}");
        ended.out.contains("consumers still use the old secret: Deployment shop/crashing; it stays alive")
    });
    let still = rotate(&site, &kube, &["--resume"]);
    assert!(still.code == 3 && still.out.contains("then `rotator retry shop/site`"), "{still:?}");
    assert_eq!(site.receipts().len(), 0);
}
