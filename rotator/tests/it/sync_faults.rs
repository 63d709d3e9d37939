//! What can go wrong between a store and a cluster, on real servers: the old Secret stays as it was, and the condition
//! says why.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions, secret};
use crate::workshop::{Ended, Workshop};

fn sync(kube: &Kube, namespace: &str) -> Ended {
    let words = ["sync", "--cluster", "--namespace", namespace, "--now"];
    Workshop::new().run_with(&kube.kubeconfig(), &words)
}

/// A namespace with a store that uses this token.
fn site(kube: &Kube, bao: &OpenBao, token: &str) -> String {
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    kube.create(
        &format!("api/v1/namespaces/{namespace}/secrets"),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" }, "stringData": { "token": token } }),
    );
    create(
        kube,
        &namespace,
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "provider": { "vault": {
            "server": bao.url(), "path": "secret", "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } }),
    );
    namespace
}

fn external_secret(name: &str) -> Value {
    json!({ "kind": "ExternalSecret", "metadata": { "name": name }, "spec": {
        "secretStoreRef": { "name": "vault", "kind": "SecretStore" }, "refreshInterval": "1h",
        "data": [{ "secretKey": "k", "remoteRef": { "key": format!("app/{name}"), "property": "k" } }] } })
}

fn put(bao: &OpenBao, name: &str, data: &Value) {
    bao.api("POST", &format!("secret/data/app/{name}"), Some(json!({ "data": data })));
}

fn condition(kube: &Kube, namespace: &str, name: &str) -> Value {
    let path = format!("apis/external-secrets.io/v1/namespaces/{namespace}/externalsecrets/{name}");
    kube.api("GET", &path, None).1["status"]["conditions"][0].clone()
}

fn patch(kube: &Kube, namespace: &str, name: &str, spec: &Value) {
    let path = format!("apis/external-secrets.io/v1/namespaces/{namespace}/externalsecrets/{name}");
    let (status, answer) = kube.api("PATCH", &path, Some(json!({ "spec": spec })));
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn whatever_fails_the_old_secret_stays_and_the_condition_says_why() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    let namespace = site(kube, &bao, bao.token());
    let names = ["property", "template", "key", "size", "type", "absent", "undecodable"];
    for name in names {
        put(&bao, name, &json!({ "k": "old" }));
        create(kube, &namespace, external_secret(name));
    }
    assert_eq!(sync(kube, &namespace).code, 0);
    let before: BTreeMap<&str, Value> =
        names.map(|name| (name, secret(kube, &namespace, name).expect("a Secret"))).into();

    put(&bao, "property", &json!({ "other": "x" }));
    patch(
        kube,
        &namespace,
        "template",
        &json!({ "target": { "template": { "data": { "k": "{{ .k }}{{ .gone }}" } } } }),
    );
    put(&bao, "key", &json!({ "k": "new", "not a key/": "x" }));
    patch(
        kube,
        &namespace,
        "key",
        &json!({ "data": [], "dataFrom": [{ "extract": { "key": "app/key" },
            "rewrite": [{ "regexp": { "source": "^none$", "target": "x" } }] }] }),
    );
    put(&bao, "size", &json!({ "k": "x".repeat(1_100_000) }));
    put(&bao, "type", &json!({ "k": "new" }));
    patch(kube, &namespace, "type", &json!({ "target": { "template": { "type": "kubernetes.io/tls" } } }));
    bao.api("DELETE", "secret/data/app/absent", None);
    put(&bao, "undecodable", &json!({ "k": "%%%" }));
    let decoding = json!({ "data": [{ "secretKey": "k", "remoteRef": {
        "key": "app/undecodable", "property": "k", "decodingStrategy": "Base64" } }] });
    patch(kube, &namespace, "undecodable", &decoding);

    let ended = sync(kube, &namespace);
    assert_eq!(ended.code, 1, "{ended:?}");
    for (name, why) in [
        ("property", "there is no property \"k\""),
        ("template", "there is no key \"gone\""),
        ("key", "cannot be a key of a Secret"),
        ("size", "and the size"),
        ("type", "invalid"),
        ("absent", "deleted"),
        ("undecodable", "is not base64"),
    ] {
        let after = secret(kube, &namespace, name).expect("a Secret");
        assert_eq!(after["data"], before[name]["data"], "{name}");
        assert_eq!(after["type"], before[name]["type"], "{name}");
        let condition = condition(kube, &namespace, name);
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("False"), &json!("SecretSyncedError"))
        );
        let message = condition["message"].as_str().expect("a message");
        assert!(message.contains(why), "{name}: {message}");
    }
    assert!(!ended.out.contains("%%%") && !ended.err.contains("%%%"), "values never show");
}

#[test]
fn bytes_that_are_no_text_arrive_as_they_are() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    let namespace = site(kube, &bao, bao.token());
    put(&bao, "bytes", &json!({ "k": "AP/+gA==" }));
    let mut object = external_secret("bytes");
    object["spec"]["data"][0]["remoteRef"]["decodingStrategy"] = json!("Base64");
    object["spec"]["target"] =
        json!({ "template": { "data": { "same": "{{ .k }}", "length": "{{ len .k }}" } } });
    create(kube, &namespace, object);
    assert_eq!(sync(kube, &namespace).code, 0);
    let made = secret(kube, &namespace, "bytes").expect("a Secret");
    assert_eq!(made["data"], json!({ "same": "AP/+gA==", "length": "NA==" }));
}

#[test]
fn a_policy_that_is_taken_away_is_said_and_what_comes_back_is_served() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    bao.policy("app", "path \"secret/data/app/*\" { capabilities = [\"read\"] }");
    let token = bao.token_with(&["app"], "1h");
    let namespace = site(kube, &bao, &token);
    put(&bao, "a", &json!({ "k": "old" }));
    create(kube, &namespace, external_secret("a"));
    assert_eq!(sync(kube, &namespace).code, 0);
    let before = secret(kube, &namespace, "a").expect("a Secret");
    put(&bao, "a", &json!({ "k": "new" }));
    bao.policy("app", "path \"secret/data/other\" { capabilities = [\"read\"] }");
    let denied = sync(kube, &namespace);
    assert_eq!(denied.code, 1, "{denied:?}");
    assert!(denied.out.contains("denied"), "{}", denied.out);
    assert_eq!(secret(kube, &namespace, "a").expect("a Secret"), before);
    bao.policy("app", "path \"secret/data/app/*\" { capabilities = [\"read\"] }");
    assert_eq!(sync(kube, &namespace).code, 0);
    assert_eq!(secret(kube, &namespace, "a").expect("a Secret")["data"]["k"], json!("bmV3"));
}

#[test]
fn a_server_that_limits_requests_is_waited_for() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    let namespace = site(kube, &bao, bao.token());
    for number in 0..12 {
        put(&bao, &format!("n{number}"), &json!({ "k": "v" }));
        create(kube, &namespace, external_secret(&format!("n{number}")));
    }
    bao.api("POST", "sys/quotas/config", Some(json!({ "enable_rate_limit_audit_logging": true })));
    bao.api("POST", "sys/quotas/rate-limit/slow", Some(json!({ "path": "secret", "rate": 4 })));
    let ended = sync(kube, &namespace);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("12 created"), "{}", ended.out);
    let limited =
        bao.audit().iter().any(|entry| entry["error"].as_str().is_some_and(|why| why.contains("quota")));
    assert!(limited, "the limit was met");
}

#[test]
fn a_store_that_was_killed_fails_nothing_once_it_is_back() {
    let (kube, mut bao) = (require!(Kube::shared()), require!(OpenBao::raft()));
    let namespace = site(kube, &bao, bao.token());
    put(&bao, "a", &json!({ "k": "old" }));
    create(kube, &namespace, external_secret("a"));
    assert_eq!(sync(kube, &namespace).code, 0);
    let before = secret(kube, &namespace, "a").expect("a Secret");
    bao.restart_sealed();
    let sealed = sync(kube, &namespace);
    assert_eq!(sealed.code, 1, "{sealed:?}");
    assert_eq!(secret(kube, &namespace, "a").expect("a Secret"), before);
    bao.unseal();
    put(&bao, "a", &json!({ "k": "new" }));
    assert_eq!(sync(kube, &namespace).code, 0);
    assert_eq!(secret(kube, &namespace, "a").expect("a Secret")["data"]["k"], json!("bmV3"));
}

#[test]
fn a_second_writer_loses_no_key_of_its_own_and_stops_nobody() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    let namespace = site(kube, &bao, bao.token());
    put(&bao, "a", &json!({ "k": "v0" }));
    let mut object = external_secret("a");
    object["spec"]["target"] = json!({ "creationPolicy": "CreateOrMerge" });
    create(kube, &namespace, object);
    assert_eq!(sync(kube, &namespace).code, 0);
    let path = format!("api/v1/namespaces/{namespace}/secrets/a");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                let labels = json!({ "metadata": { "labels": { "storm": number.to_string() } } });
                kube.api("PATCH", &path, Some(labels));
            }
        });
        for round in 1..6 {
            put(&bao, "a", &json!({ "k": format!("v{round}") }));
            // A conflict that does not end in five tries is said, and the next run goes on.
            while sync(kube, &namespace).code != 0 {}
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let after = secret(kube, &namespace, "a").expect("a Secret");
    assert_eq!(after["data"]["k"], json!("djU="));
    assert!(after["metadata"]["labels"]["storm"].is_string(), "the other one's label stays");
}

/// A quota that is full, and a policy that wants no Secret of this name.
fn hinder(kube: &Kube, namespace: &str) {
    let quota = format!("api/v1/namespaces/{namespace}/resourcequotas");
    // The controller that counts does not run here: what it would say is said for it.
    let limits = json!({ "hard": { "count/secrets": "2" }, "used": { "count/secrets": "2" } });
    kube.create(
        &quota,
        json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few-secrets" },
            "spec": { "hard": { "count/secrets": "2" } } }),
    );
    let (status, answer) =
        kube.api("PATCH", &format!("{quota}/few-secrets/status"), Some(json!({ "status": limits })));
    assert_eq!(status, 200, "{answer}");
    let group = "apis/admissionregistration.k8s.io/v1";
    let name = format!("no-changes-{namespace}");
    let only = json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
        "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["secrets"] }] });
    kube.create(
        &format!("{group}/validatingadmissionpolicies"),
        json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": name }, "spec": { "matchConstraints": only, "validations": [{
                "expression": "object.metadata.name != 'admission'",
                "messageExpression": "'it holds ' + string(object.data['k'])" }] } }),
    );
    kube.create(
        &format!("{group}/validatingadmissionpolicybindings"),
        json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": { "name": name }, "spec": { "policyName": name, "validationActions": ["Deny"],
                "matchResources": { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } } } } }),
    );
    // The API server takes a moment to compile it.
    let path = format!("api/v1/namespaces/{namespace}/secrets/admission");
    crate::cluster::wait_until("the policy is in force", || {
        kube.api("PATCH", &path, Some(json!({ "metadata": { "labels": { "probe": "x" } } }))).0 == 422
    });
}

#[test]
fn a_quota_and_an_admission_policy_are_named_and_quote_no_value() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    let namespace = site(kube, &bao, bao.token());
    put(&bao, "admission", &json!({ "k": "old-canary" }));
    create(kube, &namespace, external_secret("admission"));
    assert_eq!(sync(kube, &namespace).code, 0);
    let before = secret(kube, &namespace, "admission").expect("a Secret");
    hinder(kube, &namespace);
    put(&bao, "admission", &json!({ "k": "new-canary" }));
    put(&bao, "quota", &json!({ "k": "new-canary" }));
    create(kube, &namespace, external_secret("quota"));
    let ended = sync(kube, &namespace);
    assert_eq!(ended.code, 1, "{ended:?}");
    for (name, why) in [
        ("quota", "the quota few-secrets of the namespace is full"),
        ("admission", &format!("the admission policy no-changes-{namespace} refuses it")),
    ] {
        let condition = condition(kube, &namespace, name);
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("False"), &json!("SecretSyncedError"))
        );
        let message = condition["message"].as_str().expect("a message");
        assert!(message.contains(why), "{name}: {message}");
        assert!(ended.out.contains(why), "{}", ended.out);
    }
    let said = format!(
        "{}{}{}",
        ended.out,
        ended.err,
        kube.api("GET", &format!("apis/events.k8s.io/v1/namespaces/{namespace}/events"), None).1
    );
    assert!(
        said.contains("UpdateFailed") && !said.contains("canary") && !said.contains("Y2FuYXJ5"),
        "{said}"
    );
    let after = secret(kube, &namespace, "admission").expect("a Secret");
    assert_eq!((&after["data"], &after["metadata"]["uid"]), (&before["data"], &before["metadata"]["uid"]));
    assert!(secret(kube, &namespace, "quota").is_none());
}
