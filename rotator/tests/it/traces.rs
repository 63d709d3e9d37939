//! Traces at a collector that listens here, and what they must not hold.

use serde_json::json;
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions, wait_until};
use crate::misbehaving::{self, Listener};
use crate::run_cluster::{Staying, free_address, get, holds};
use crate::workshop::Workshop;

const VALUE: &str = "canary-value-of-the-traces";

fn objects(bao: &OpenBao, token: &str) -> String {
    [
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token", "namespace": "shop" },
            "stringData": { "token": token } }),
        json!({ "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
            "metadata": { "name": "vault", "namespace": "shop" }, "spec": { "provider": { "vault": {
                "server": bao.url(), "path": "secret",
                "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } }),
        json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": "a", "namespace": "shop" }, "spec": { "secretStoreRef": { "name": "vault" },
                "dataFrom": [{ "extract": { "key": "app/a" } }] } }),
        json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": "b", "namespace": "shop" }, "spec": { "secretStoreRef": { "name": "vault" },
                "dataFrom": [{ "extract": { "key": "app/gone" } }] } }),
    ]
    .iter()
    .map(|object| format!("---\n{object}\n"))
    .collect()
}

#[test]
fn a_sync_and_its_requests_arrive_at_the_collector_without_a_secret() {
    let bao = require!(OpenBao::dev());
    bao.api("POST", "secret/data/app/a", Some(json!({ "data": { "k": VALUE } })));
    let collector = Listener::start(|_| misbehaving::ok(""));
    let workshop = Workshop::new();
    workshop.write("config/all.yaml", &objects(&bao, bao.token()));
    let words = ["--traces", collector.url(), "sync", "--config", "config", "--target", "dir:out"];
    let ended = workshop.run(&words);
    assert_eq!(ended.code, 1, "{ended:?}");
    let sent = collector.all();
    assert!(
        !sent.is_empty() && sent.iter().all(|request| request.starts_with("POST /v1/traces ")),
        "{sent:?}"
    );
    // Protobuf keeps texts as they are.
    let sent = sent.concat();
    for text in [
        "keyturn-rotator",
        "shop/a",
        "shop/b",
        "created",
        "error",
        "vault request",
        "look_up",
        "secret/data/app/a",
        "secret/data/app/gone",
        "http.response.status_code",
    ] {
        assert!(sent.contains(text), "{text} is not in the traces");
    }
    for secret in [VALUE, bao.token(), "Y2FuYXJ5"] {
        assert!(!sent.contains(secret), "a secret is in the traces");
    }
}

#[test]
fn a_collector_that_is_not_there_or_none_at_all_changes_nothing() {
    let bao = require!(OpenBao::dev());
    for name in ["a", "gone"] {
        bao.api("POST", &format!("secret/data/app/{name}"), Some(json!({ "data": { "k": VALUE } })));
    }
    let workshop = Workshop::new();
    workshop.write("config/all.yaml", &objects(&bao, bao.token()));
    let nobody = format!("http://{}", free_address());
    let ended = workshop.run(&["sync", "--config", "config", "--target", "dir:out", "--traces", &nobody]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.err.contains(VALUE));
    let refused =
        workshop.run(&["sync", "--config", "config", "--target", "dir:out", "--traces", "collector:4317"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("write it as http://HOST:4318"), "{refused:?}");
}

#[test]
fn exemplars_name_the_trace_of_a_request() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    bao.api("POST", "secret/data/app/a", Some(json!({ "data": { "password": VALUE } })));
    kube.create(
        &format!("api/v1/namespaces/{namespace}/secrets"),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" },
            "stringData": { "token": bao.token() } }),
    );
    let vault = json!({ "server": bao.url(), "path": "secret",
        "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } });
    create(
        kube,
        &namespace,
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" },
            "spec": { "controller": "keyturn", "provider": { "vault": vault } } }),
    );
    create(
        kube,
        &namespace,
        json!({ "kind": "ExternalSecret", "metadata": { "name": "a" }, "spec": {
            "secretStoreRef": { "name": "vault", "kind": "SecretStore" },
            "dataFrom": [{ "extract": { "key": "app/a" } }] } }),
    );
    let (collector, address) = (Listener::start(|_| misbehaving::ok("")), free_address());
    let more = ["--listen", &address, "--exemplars", "--traces", collector.url()];
    let staying = Staying::start(&Workshop::new(), kube, &namespace, &more);
    wait_until("the Secret is made", || holds(kube, &namespace, "a", VALUE));
    let metrics = get(&address, "/metrics");
    let named = metrics.lines().filter(|line| line.contains("# {trace_id=\""));
    assert!(named.clone().all(|line| line.starts_with("keyturn_vault_request_seconds_bucket")), "{metrics}");
    assert!(named.count() > 0, "{metrics}");
    staying.end();
    assert!(collector.all().concat().contains("secret/data/app/a"));
}
