//! ClusterExternalSecrets on a real API server.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{install_definitions, secret};
use crate::workshop::Workshop;

const GROUP: &str = "apis/external-secrets.io/v1";

fn names(list: &Value, pointer: &str) -> BTreeSet<String> {
    let items = list.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let name = |item: &Value| item.as_str().or(item["namespace"].as_str()).map(str::to_owned);
    items.iter().filter_map(name).collect()
}

#[test]
fn each_chosen_namespace_gets_one_and_loses_it_when_it_is_chosen_no_more() {
    let (kube, bao) = (require!(Kube::start()), require!(OpenBao::dev()));
    install_definitions(&kube);
    for (name, team) in [("one", "a"), ("two", "a"), ("taken", "a"), ("named", "b"), ("other", "b")] {
        let labels = json!({ "team": team });
        kube.create(
            "api/v1/namespaces",
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } }),
        );
    }
    kube.create(
        "api/v1/namespaces/default/secrets",
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" },
            "stringData": { "token": bao.token() } }),
    );
    let make = |plural: &str, kind: &str, name: &str, spec: Value| {
        kube.create(
            &format!("{GROUP}/{plural}"),
            json!({ "apiVersion": "external-secrets.io/v1", "kind": kind, "metadata": { "name": name }, "spec": spec }),
        );
    };
    make(
        "clustersecretstores",
        "ClusterSecretStore",
        "vault",
        json!({ "provider": { "vault": { "server": bao.url(), "path": "secret", "auth": {
            "tokenSecretRef": { "name": "token", "key": "token", "namespace": "default" } } } } }),
    );
    let spec = json!({ "secretStoreRef": { "name": "vault", "kind": "ClusterSecretStore" },
        "dataFrom": [{ "extract": { "key": "app" } }] });
    make("namespaces/taken/externalsecrets", "ExternalSecret", "es", spec.clone());
    make(
        "clusterexternalsecrets",
        "ClusterExternalSecret",
        "many",
        json!({ "externalSecretName": "es", "externalSecretSpec": spec, "namespaces": ["named"],
            "externalSecretMetadata": { "labels": { "from": "many" } },
            "namespaceSelector": { "matchLabels": { "team": "a" } } }),
    );
    bao.api("POST", "secret/data/app", Some(json!({ "data": { "k": "v" } })));
    let sync = || Workshop::new().run_with(&kube.kubeconfig(), &["sync", "--cluster"]);
    let status =
        || kube.api("GET", &format!("{GROUP}/clusterexternalsecrets/many"), None).1["status"].clone();

    assert_eq!(sync().code, 0);
    for (namespace, there) in [("one", true), ("two", true), ("named", true), ("other", false)] {
        assert_eq!(secret(&kube, namespace, "es").is_some(), there, "{namespace}");
    }
    let (_, made) = kube.api("GET", &format!("{GROUP}/namespaces/one/externalsecrets/es"), None);
    assert_eq!(made["metadata"]["labels"], json!({ "from": "many" }));
    assert_eq!(made["metadata"]["ownerReferences"][0]["kind"], "ClusterExternalSecret");
    let said = status();
    assert_eq!(names(&said, "/provisionedNamespaces"), ["named", "one", "two"].map(str::to_owned).into());
    assert_eq!(names(&said, "/failedNamespaces"), ["taken".to_owned()].into());
    assert_eq!(said["conditions"][0]["status"], "False");

    // Nothing changed: nothing is written. Chosen no more: it goes.
    assert_eq!(sync().code, 0);
    let (_, again) = kube.api("GET", &format!("{GROUP}/namespaces/two/externalsecrets/es"), None);
    assert_eq!(again["metadata"]["generation"], 1);
    kube.api("PATCH", "api/v1/namespaces/one", Some(json!({ "metadata": { "labels": { "team": "b" } } })));
    kube.api("DELETE", &format!("{GROUP}/namespaces/taken/externalsecrets/es"), None);
    assert_eq!(sync().code, 0);
    assert_eq!(kube.api("GET", &format!("{GROUP}/namespaces/one/externalsecrets/es"), None).0, 404);
    let said = status();
    assert_eq!(names(&said, "/provisionedNamespaces"), ["named", "taken", "two"].map(str::to_owned).into());
    assert!(names(&said, "/failedNamespaces").is_empty(), "{said}");
    assert_eq!(said["conditions"][0]["status"], "True");
}
