//! Ways to log in for which no server runs here, against a listener that writes down what it is asked; and fields that
//! the recorded cases leave out, on real servers.

use std::sync::{Arc, Mutex};

use serde_json::json;
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions, secret};
use crate::misbehaving::{self, Listener};
use crate::workshop::Workshop;

/// A manifest with a store that logs in like this, and one ExternalSecret.
fn manifests(server: &str, auth: &serde_json::Value) -> String {
    let objects = [
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "login", "namespace": "shop" },
            "stringData": { "password": "the-password\n", "jwt": "the.jwt.text", "id": "the-role-id" } }),
        json!({ "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
            "metadata": { "name": "vault", "namespace": "shop" },
            "spec": { "provider": { "vault": { "server": server, "path": "secret", "auth": auth } } } }),
        json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": "a", "namespace": "shop" }, "spec": { "secretStoreRef": { "name": "vault" },
                "data": [{ "secretKey": "k", "remoteRef": { "key": "app", "property": "k" } }] } }),
    ];
    objects.iter().map(|object| format!("---\n{object}\n")).collect()
}

#[test]
fn every_other_login_is_sent_as_the_server_wants_it() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    let server = Listener::start(move |request| {
        log.lock().unwrap().push(request.to_owned());
        if request.contains("/login") {
            misbehaving::ok(
                r#"{"auth":{"client_token":"t","accessor":"a","lease_duration":3600,"renewable":true}}"#,
            )
        } else {
            misbehaving::ok(r#"{"request_id":"r","data":{"data":{"k":"v"},"metadata":{"version":1}}}"#)
        }
    });
    let password = json!({ "name": "login", "key": "password" });
    let jwt = json!({ "name": "login", "key": "jwt" });
    for (auth, path) in [
        (json!({ "userPass": { "username": "ada", "secretRef": password } }), "/v1/auth/userpass/login/ada"),
        (
            json!({ "userPass": { "path": "people", "username": "ada", "secretRef": password } }),
            "/v1/auth/people/login/ada",
        ),
        (json!({ "ldap": { "username": "ada", "secretRef": password } }), "/v1/auth/ldap/login/ada"),
        (
            json!({ "ldap": { "path": "dir", "username": "ada", "secretRef": password } }),
            "/v1/auth/dir/login/ada",
        ),
        (json!({ "jwt": { "path": "jwt", "role": "r", "secretRef": jwt } }), "/v1/auth/jwt/login"),
        (json!({ "kubernetes": { "mountPath": "k", "role": "r", "secretRef": jwt } }), "/v1/auth/k/login"),
        (
            json!({ "appRole": { "path": "approle", "roleRef": { "name": "login", "key": "id" }, "secretRef": password } }),
            "/v1/auth/approle/login",
        ),
    ] {
        seen.lock().unwrap().clear();
        let workshop = Workshop::new();
        workshop.write("config/all.yaml", &manifests(server.url(), &auth));
        let ended = workshop.run(&["sync", "--config", "config", "--target", "dir:out"]);
        assert_eq!(ended.code, 0, "{auth}: {ended:?}");
        let requests = seen.lock().unwrap().clone();
        let login = requests.iter().find(|request| request.contains("/login")).expect("a login");
        assert!(login.starts_with(&format!("POST {path} ")), "{auth}: {login}");
        assert!(!ended.out.contains("the-password") && !ended.err.contains("the-password"));
    }
}

#[test]
fn fields_that_no_recorded_case_has_mean_what_they_say() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    let secrets = format!("api/v1/namespaces/{namespace}/secrets");
    for (name, data) in
        [("token", json!({ "token": bao.token() })), ("texts", json!({ "t": "user: '{{ .k }}'" }))]
    {
        kube.create(
            &secrets,
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data }),
        );
    }
    for name in ["vault", "other"] {
        create(
            kube,
            &namespace,
            json!({ "kind": "SecretStore", "metadata": { "name": name }, "spec": { "provider": { "vault": {
                "server": bao.url(), "path": "secret",
                "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } }),
        );
    }
    let put = |path: &str, data: serde_json::Value| {
        bao.api("POST", &format!("secret/data/{path}"), Some(json!({ "data": data })));
    };
    put("app", json!({ "k": "first" }));
    put("app", json!({ "k": "second" }));
    put("found/a", json!({ "v": "1" }));
    put("odd", json!({ "a/b": "x" }));
    put("parts", json!({ "one": "{\"x\":1}", "two": "{\"x\":2}" }));
    let key = |name: &str| json!({ "key": name });
    let cases = [
        ("version", json!({ "dataFrom": [{ "extract": { "key": "app", "version": "1" } }] })),
        (
            "find-decoded",
            json!({ "dataFrom": [{ "find": { "path": "found", "name": { "regexp": "a$" },
            "decodingStrategy": "Auto", "nullBytePolicy": "Fail" }, "rewrite": [
                { "regexp": { "source": "/", "target": "-" } }] }] }),
        ),
        (
            "source",
            json!({ "dataFrom": [{ "sourceRef": { "storeRef": { "name": "other", "kind": "SecretStore" } },
            "extract": key("app") }] }),
        ),
        (
            "priority",
            json!({ "dataFrom": [{ "extract": key("parts"), "rewrite": [{ "merge": {
            "priority": ["nope", "one"], "priorityPolicy": "IgnoreNotFound", "conflictPolicy": "Ignore" } }] }] }),
        ),
        (
            "converted",
            json!({ "data": [{ "secretKey": "x", "remoteRef": { "key": "app", "property": "k",
            "conversionStrategy": "Unicode" } }] }),
        ),
        (
            "texts",
            json!({ "data": [{ "secretKey": "k", "remoteRef": { "key": "app", "property": "k" } }],
            "target": { "name": "from-texts", "template": { "templateFrom": [{ "secret": { "name": "texts",
                "items": [{ "key": "t", "templateAs": "KeysAndValues" }] } }] } } }),
        ),
        (
            "generator",
            json!({ "data": [{ "secretKey": "x", "remoteRef": key("app"), "sourceRef": {
            "generatorRef": { "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password",
                "name": "p" } } }] }),
        ),
    ];
    for (name, mut spec) in cases {
        spec["secretStoreRef"] = json!({ "name": "vault", "kind": "SecretStore" });
        create(
            kube,
            &namespace,
            json!({ "kind": "ExternalSecret", "metadata": { "name": name }, "spec": spec }),
        );
    }
    let words = ["sync", "--cluster", "--namespace", &namespace];
    let ended = Workshop::new().run_with(&kube.kubeconfig(), &words);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.out.matches("FAILED").count(), 1, "only the generator fails: {}", ended.out);
    assert!(ended.out.contains("generators of values are not supported"), "{}", ended.out);
    let data = |name: &str| secret(kube, &namespace, name).expect("a Secret")["data"].clone();
    assert_eq!(data("version"), json!({ "k": "Zmlyc3Q=" }));
    assert_eq!(data("find-decoded"), json!({ "found-a": "eyJ2IjoiMSJ9" }));
    assert_eq!(data("source"), json!({ "k": "c2Vjb25k" }));
    assert_eq!(data("priority"), json!({ "x": "MQ==" }));
    assert_eq!(data("converted"), json!({ "x": "c2Vjb25k" }));
    assert_eq!(data("from-texts"), json!({ "user": "c2Vjb25k" }));
}
