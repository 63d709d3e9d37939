//! A cluster with our definitions, and its objects.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use kube::CustomResourceExt;
use rotator::manifest::external_secret::{ClusterExternalSecret, ExternalSecret};
use rotator::manifest::rotation::{ClusterRotationTarget, Rotation};
use rotator::manifest::store::{ClusterSecretStore, SecretStore};
use serde_json::{Value, json};
use shared::testkit::Kube;

/// Installs our own definitions in a cluster, once.
pub fn install_definitions(kube: &Kube) {
    static DONE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut done = DONE.lock().expect("no test failed while it installed");
    if done.insert(kube.url().to_owned()) {
        install(kube);
    }
}

fn install(kube: &Kube) {
    let crds = [
        SecretStore::crd(),
        ClusterSecretStore::crd(),
        ExternalSecret::crd(),
        ClusterExternalSecret::crd(),
        ClusterRotationTarget::crd(),
        Rotation::crd(),
    ];
    for crd in crds {
        let name = crd.metadata.name.clone().expect("a name");
        let path = format!("apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        kube.apply(&path, serde_json::to_value(crd).expect("JSON"));
        let established = || {
            let conditions = kube.api("GET", &path, None).1["status"]["conditions"].clone();
            let conditions = conditions.as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True")
        };
        wait_until(&format!("{name} is established"), established);
        let (plural, group) = name.split_once('.').expect("a plural and a group");
        let version = if group == "keyturn.dev" { "v1alpha1" } else { "v1" };
        let served = || kube.api("GET", &format!("apis/{group}/{version}/{plural}"), None).0 == 200;
        wait_until(&format!("{name} is served"), served);
    }
}

/// Waits two minutes, which a busy machine may need, for what should come at once.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("not in time: {what}");
}

/// Makes an object of our API group.
#[track_caller]
pub fn create(kube: &Kube, namespace: &str, mut object: Value) {
    let kind = object["kind"].as_str().expect("a kind").to_owned();
    object["apiVersion"] = json!("external-secrets.io/v1");
    object["metadata"]["namespace"] = json!(namespace);
    let plural = format!("{}s", kind.to_lowercase());
    kube.create(&format!("apis/external-secrets.io/v1/namespaces/{namespace}/{plural}"), object);
}

/// A Secret's object.
pub fn secret(kube: &Kube, namespace: &str, name: &str) -> Option<Value> {
    let (status, answer) = kube.api("GET", &format!("api/v1/namespaces/{namespace}/secrets/{name}"), None);
    match status {
        200 => Some(answer),
        404 => None,
        other => panic!("GET secret {namespace}/{name}: {other}"),
    }
}
