//! Workloads that read a changed Secret, on a real API server and its controllers. Nothing runs pods here: the test does
//! a kubelet's part.

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions, wait_until};
use crate::rotate_cluster::{run_pods, workload};
use crate::run_cluster::{Staying, free_address, get, holds, reasons_of_events};
use crate::workshop::Workshop;

const RESTARTED_FOR: &str = "keyturn.dev/restarted-for";

fn at(kind: &str, name: &str) -> String {
    format!("apis/apps/v1/namespaces/shop/{}s/{name}", kind.to_lowercase())
}

fn object(kube: &Kube, kind: &str, name: &str) -> Value {
    kube.api("GET", &at(kind, name), None).1
}

fn mark(kube: &Kube, kind: &str, name: &str) -> Option<String> {
    let found = object(kube, kind, name);
    found["spec"]["template"]["metadata"]["annotations"][RESTARTED_FOR].as_str().map(str::to_owned)
}

fn seen(kube: &Kube, kind: &str, name: &str) -> bool {
    object(kube, kind, name)["metadata"]["annotations"]["keyturn.dev/secrets-seen"].is_string()
}

fn ask(kube: &Kube, kind: &str, name: &str) {
    let wish = json!({ "metadata": { "annotations": { "keyturn.dev/restart": "true" } } });
    assert_eq!(kube.api("PATCH", &at(kind, name), Some(wish)).0, 200);
}

fn put(bao: &OpenBao, value: &str) {
    bao.api("POST", "secret/data/site", Some(json!({ "data": { "password": value } })));
}

#[test]
fn workloads_that_want_it_are_restarted_once_for_a_change_and_waited_for() {
    let (kube, bao) = (require!(Kube::start_with_controllers()), require!(OpenBao::dev()));
    install_definitions(&kube);
    kube.namespace("shop");
    put(&bao, "one");
    kube.create(
        "api/v1/namespaces/shop/secrets",
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" }, "stringData": { "token": bao.token() } }),
    );
    create(
        &kube,
        "shop",
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "controller": "keyturn",
            "provider": { "vault": { "server": bao.url(), "path": "secret",
                "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } }),
    );
    create(
        &kube,
        "shop",
        json!({ "kind": "ExternalSecret", "metadata": { "name": "site" }, "spec": {
            "secretStoreRef": { "name": "vault", "kind": "SecretStore" },
            "dataFrom": [{ "extract": { "key": "site" } }] } }),
    );
    workload(&kube, "Deployment", "api", &json!({ "replicas": 2 }));
    workload(&kube, "Deployment", "guarded", &json!({ "replicas": 1 }));
    workload(&kube, "Deployment", "unasked", &json!({ "replicas": 1 }));
    workload(&kube, "StatefulSet", "queue", &json!({ "replicas": 1, "serviceName": "queue" }));
    for (kind, name) in [("Deployment", "api"), ("Deployment", "guarded"), ("StatefulSet", "queue")] {
        ask(&kube, kind, name);
    }
    let budget = "apis/policy/v1/namespaces/shop/poddisruptionbudgets";
    kube.create(
        budget,
        json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "keep" },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "guarded" } } } }),
    );
    let (workshop, address) = (Workshop::new(), free_address());
    let staying = Staying::start(&workshop, &kube, "shop", &["--listen", &address]);
    wait_until("the Secret is made", || holds(&kube, "shop", "site", "one"));
    let all = [("Deployment", "api"), ("Deployment", "guarded"), ("StatefulSet", "queue")];
    for (kind, name) in all {
        wait_until(&format!("{name} is seen"), || seen(&kube, kind, name));
        assert_eq!(mark(&kube, kind, name), None, "{name}: what starts with it needs no restart");
    }
    wait_until("pods run, and the budget counts them", || {
        run_pods(&kube);
        let (_, budget) = kube.api("GET", &format!("{budget}/keep"), None);
        budget["status"]["expectedPods"] == 1 && budget["status"]["currentHealthy"] == 1
    });
    let generation =
        |name: &str| object(&kube, "Deployment", name)["metadata"]["generation"].as_i64().unwrap_or(0);
    let before = generation("api");

    put(&bao, "two");
    wait_until("both are restarted", || {
        mark(&kube, "Deployment", "api").is_some() && mark(&kube, "StatefulSet", "queue").is_some()
    });
    wait_until("one is put off", || reasons_of_events(&kube, "shop").contains("RestartPostponed"));
    assert_eq!(mark(&kube, "Deployment", "guarded"), None, "its budget has no room");
    kube.api("DELETE", &format!("{budget}/keep"), None);
    wait_until("it is restarted when there is room", || mark(&kube, "Deployment", "guarded").is_some());
    wait_until("each is ready again", || {
        run_pods(&kube);
        get(&address, "/metrics").contains("keyturn_restarts_total{outcome=\"ready\"} 3")
    });
    assert!(reasons_of_events(&kube, "shop").contains("RestartReady"));
    assert_eq!(generation("api"), before + 1, "once");
    assert_eq!((mark(&kube, "Deployment", "unasked"), seen(&kube, "Deployment", "unasked")), (None, false));
    let said = staying.end();
    assert!(said.contains("restarted  Deployment shop/api"), "{said}");
    assert!(!said.contains("two"), "values never show");

    // What changed while nobody looked is caught up with, once.
    put(&bao, "three");
    let first = mark(&kube, "Deployment", "api");
    let staying = Staying::start(&workshop, &kube, "shop", &[]);
    wait_until("the change arrives", || holds(&kube, "shop", "site", "three"));
    wait_until("it is restarted", || mark(&kube, "Deployment", "api") != first);
    // An edit of the Secret that is put back is no change.
    let path = "api/v1/namespaces/shop/secrets/site";
    kube.api("PATCH", path, Some(json!({ "data": { "password": "aGFuZA==" } })));
    wait_until("the edit is put back", || holds(&kube, "shop", "site", "three"));
    put(&bao, "four");
    let second = mark(&kube, "Deployment", "api");
    wait_until("the next one too", || mark(&kube, "Deployment", "api") != second);
    assert_eq!(generation("api"), before + 3, "once for each change");
    staying.end();
}
