//! `rotator sync` against a real API server and a real OpenBao.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions, secret, wait_until};
use crate::workshop::{Ended, Workshop};

const READ: &str = "path \"secret/*\" { capabilities = [\"read\", \"list\"] }";

fn external_secret(name: &str, path: &str) -> Value {
    json!({ "kind": "ExternalSecret", "metadata": { "name": name }, "spec": {
        "secretStoreRef": { "name": "vault", "kind": "SecretStore" }, "refreshInterval": "1h",
        "data": [{ "secretKey": "password", "remoteRef": { "key": path, "property": "password" } }] } })
}

fn token_store(bao: &OpenBao) -> Value {
    json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "provider": { "vault": {
        "server": bao.url(), "path": "secret", "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } })
}

fn put_token(kube: &Kube, namespace: &str, token: &str) {
    kube.apply(
        &format!("api/v1/namespaces/{namespace}/secrets/token"),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token", "namespace": namespace },
            "stringData": { "token": token } }),
    );
}

fn sync(kube: &Kube, namespace: &str, more: &[&str]) -> Ended {
    let mut arguments = vec!["sync", "--cluster", "--namespace", namespace];
    arguments.extend(more);
    Workshop::new().run_with(&kube.kubeconfig(), &arguments)
}

/// The resourceVersion of every managed Secret.
fn versions(kube: &Kube, namespace: &str) -> BTreeMap<String, String> {
    let path = format!(
        "api/v1/namespaces/{namespace}/secrets?labelSelector=reconcile.external-secrets.io%2Fmanaged%3Dtrue"
    );
    let (_, list) = kube.api("GET", &path, None);
    let items = list["items"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    items.iter().map(|s| (text(&s["metadata"]["name"]), text(&s["metadata"]["resourceVersion"]))).collect()
}

fn ready(kube: &Kube, namespace: &str, name: &str) -> (String, String) {
    let path = format!("apis/external-secrets.io/v1/namespaces/{namespace}/externalsecrets/{name}");
    let (_, object) = kube.api("GET", &path, None);
    let condition =
        object["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready");
    let condition = condition.unwrap_or_else(|| panic!("no condition on {name}"));
    let text = |field: &str| condition[field].as_str().expect("text").to_owned();
    (text("status"), text("reason"))
}

#[test]
fn fifty_secrets_follow_vault_through_kubernetes_auth() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    bao.policy("read", READ);
    let role = kube.with_openbao_auth(&bao, "sync", (&namespace, "sync"), "read");
    create(
        kube,
        &namespace,
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "provider": {
        "vault": { "server": bao.url(), "path": "secret", "version": "v2", "auth": { "kubernetes": {
            "mountPath": role.mount, "role": role.role,
            "serviceAccountRef": { "name": role.service_account } } } } } } }),
    );
    for number in 0..50 {
        let body = json!({ "data": { "password": format!("first-{number}") } });
        bao.api("POST", &format!("secret/data/app/{number}"), Some(body));
        create(kube, &namespace, external_secret(&format!("es-{number}"), &format!("app/{number}")));
    }

    let first = sync(kube, &namespace, &[]);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.out.ends_with("50 created, 0 changed, 0 unchanged, 0 failed\n"), "{}", first.out);
    let made = secret(kube, &namespace, "es-7").expect("a Secret");
    assert_eq!(made["data"]["password"], "Zmlyc3QtNw==");
    assert_eq!(made["metadata"]["ownerReferences"][0]["kind"], "ExternalSecret");
    assert_eq!(ready(kube, &namespace, "es-7"), ("True".into(), "SecretSynced".into()));
    let logins = bao
        .audit()
        .iter()
        .filter(|entry| entry["type"] == "response" && entry["request"]["path"] == "auth/kubernetes/login")
        .count();
    assert_eq!(logins, 1, "one login serves all");

    // Nothing changed: nothing is written, whether due or not.
    let before = versions(kube, &namespace);
    assert_eq!(before.len(), 50);
    for more in [&[][..], &["--now"]] {
        let again = sync(kube, &namespace, more);
        assert!(again.out.ends_with("0 created, 0 changed, 50 unchanged, 0 failed\n"), "{}", again.out);
        assert_eq!(versions(kube, &namespace), before);
    }

    // A Secret that was edited by hand is put back, though its hour is not over.
    let path = format!("api/v1/namespaces/{namespace}/secrets/es-7");
    let mut edited = made;
    edited["data"] = json!({ "password": "aGFuZA==", "mine": "eA==" });
    edited["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
    kube.api("PUT", &path, Some(edited));
    let repaired = sync(kube, &namespace, &[]);
    assert!(
        repaired.out.contains(&format!("changed    {namespace}/es-7: mine, password\n")),
        "{}",
        repaired.out
    );
    assert_eq!(
        secret(kube, &namespace, "es-7").expect("a Secret")["data"],
        json!({ "password": "Zmlyc3QtNw==" })
    );

    // So is one that was deleted; the rest is untouched.
    kube.api("DELETE", &path, None);
    assert!(
        sync(kube, &namespace, &[]).out.contains("1 created, 0 changed, 49 unchanged"),
        "deleted by hand"
    );

    // A new value arrives with --now.
    bao.api("POST", "secret/data/app/7", Some(json!({ "data": { "password": "second" } })));
    let now = sync(kube, &namespace, &["--now"]);
    assert!(now.out.contains("0 created, 1 changed, 49 unchanged, 0 failed"), "{}", now.out);
    for ended in [first, repaired, now] {
        assert!(!ended.out.contains("first-") && !ended.err.contains("first-"), "values never show");
    }
}

#[test]
fn a_server_sealed_in_the_middle_names_what_was_not_done() {
    let (kube, mut bao) = (require!(Kube::shared()), require!(OpenBao::raft()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    put_token(kube, &namespace, bao.token());
    create(kube, &namespace, token_store(&bao));
    for number in 0..60 {
        let body = json!({ "data": { "password": format!("value-{number}") } });
        bao.api("POST", &format!("secret/data/app/{number}"), Some(body));
        create(kube, &namespace, external_secret(&format!("es-{number:02}"), &format!("app/{number}")));
    }
    let workshop = Workshop::new();
    let running = workshop
        .rotator(&["sync", "--cluster", "--namespace", &namespace, "--concurrency", "1"])
        .env("KUBECONFIG", kube.kubeconfig())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("start rotator");
    wait_until("some Secrets are made", || versions(kube, &namespace).len() >= 5);
    bao.seal();
    let ended: Ended = running.wait_with_output().expect("an end").into();
    assert_eq!(ended.code, 1, "{ended:?}");
    let made = versions(kube, &namespace);
    assert!(made.len() < 60, "sealed in the middle");
    assert_eq!(ended.out.matches("FAILED").count(), 60 - made.len(), "{}", ended.out);
    assert!(ended.out.contains(&format!("FAILED     {namespace}/es-59: ")), "{}", ended.out);
    assert!(ended.out.contains("the server is sealed; unseal it"), "{}", ended.out);
    assert_eq!(ready(kube, &namespace, "es-59"), ("False".into(), "SecretSyncedError".into()));

    bao.unseal();
    let next = sync(kube, &namespace, &[]);
    assert_eq!(next.code, 0, "{next:?}");
    assert_eq!(versions(kube, &namespace).len(), 60);
    for (name, version) in made {
        assert_eq!(versions(kube, &namespace)[&name], version, "what was done is not done again");
    }
}

#[test]
fn a_refused_login_is_one_clear_line_and_one_login() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    bao.policy("read", READ);
    let role = kube.with_openbao_auth(&bao, "sync", (&namespace, "sync"), "read");
    create(
        kube,
        &namespace,
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "provider": {
        "vault": { "server": bao.url(), "path": "secret", "auth": { "kubernetes": { "mountPath": role.mount,
            "role": "another", "serviceAccountRef": { "name": role.service_account } } } } } } }),
    );
    for number in 0..5 {
        create(kube, &namespace, external_secret(&format!("es-{number}"), "app/x"));
    }
    let ended = sync(kube, &namespace, &["--concurrency", "1"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.out.matches("login refused").count(), 5, "{}", ended.out);
    assert!(ended.out.contains(&format!("SecretStore {namespace}/vault")), "{}", ended.out);
    assert_eq!(ready(kube, &namespace, "es-0"), ("False".into(), "SecretSyncedError".into()));
    assert!(versions(kube, &namespace).is_empty());
}

#[test]
fn an_api_server_that_is_not_there_is_said_at_once() {
    let workshop = Workshop::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let kubeconfig = workshop.write(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n\
             clusters: [{{name: x, cluster: {{server: \"http://{address}\"}}}}]\nusers: [{{name: x, user: {{token: t}}}}]\n"
        ),
    );
    let start = Instant::now();
    let ended = workshop.run_with(&kubeconfig, &["sync", "--cluster"]);
    // The client's own defaults wait for five minutes.
    assert!(start.elapsed() < Duration::from_secs(120));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    assert!(ended.err.starts_with("error: nothing was synced: "), "{}", ended.err);
    assert!(ended.err.contains("the API server does not answer; check its address"), "{}", ended.err);
}

#[test]
fn secrets_of_others_are_never_touched() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    put_token(kube, &namespace, bao.token());
    create(kube, &namespace, token_store(&bao));
    bao.api("POST", "secret/data/app/x", Some(json!({ "data": { "password": "v" } })));
    for (name, owner) in [("a", "ExternalSecret"), ("b", "Certificate")] {
        let version = if owner == "ExternalSecret" { "external-secrets.io/v1" } else { "cert-manager.io/v1" };
        kube.create(
            &format!("api/v1/namespaces/{namespace}/secrets"),
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "ownerReferences": [
                { "apiVersion": version, "kind": owner, "name": "other", "uid": "00000000-0000-0000-0000-000000000001",
                  "controller": true }] }, "stringData": { "password": "theirs" } }),
        );
        create(kube, &namespace, external_secret(name, "app/x"));
    }
    let before: Vec<_> = ["a", "b"].map(|name| secret(kube, &namespace, name)).into();
    let ended = sync(kube, &namespace, &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.out.contains("the Secret belongs to ExternalSecret other; give this one another target name"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("the Secret belongs to Certificate other"), "{}", ended.out);
    assert_eq!(before, Vec::from(["a", "b"].map(|name| secret(kube, &namespace, name))));
}

#[test]
fn an_object_that_cannot_be_read_hides_no_other() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    put_token(kube, &namespace, bao.token());
    create(kube, &namespace, token_store(&bao));
    bao.api("POST", "secret/data/app/x", Some(json!({ "data": { "password": "v" } })));
    let mut bad = external_secret("bad", "app/x");
    bad["spec"]["refreshInterval"] = json!("soon");
    create(kube, &namespace, bad);
    create(kube, &namespace, external_secret("good", "app/x"));
    let ended = sync(kube, &namespace, &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("/bad: spec.refreshInterval: this is not a duration"), "{}", ended.out);
    assert!(ended.out.contains("1 created, 0 changed, 0 unchanged, 1 failed"), "{}", ended.out);
    assert_eq!(ready(kube, &namespace, "bad"), ("False".into(), "SecretSyncedError".into()));
}
