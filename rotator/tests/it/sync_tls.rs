//! Stores whose server speaks TLS: whom they trust, how they show themselves, and how they log in with a certificate;
//! and logins by JWT and in namespaces of the server. All on a real OpenBao.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Authority, Issued, Kube, OpenBao};

use crate::cluster::{create, install_definitions, secret};
use crate::misbehaving::{self, Listener};
use crate::workshop::{Ended, Workshop};

/// The namespace of the ExternalSecret. What lies there under the names that a ClusterSecretStore looks up elsewhere is
/// wrong on purpose.
const SHOP: &str = "shop";
const PLATFORM: &str = "platform";

fn object(kind: &str, namespace: &str, name: &str, field: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "namespace": namespace }, field: data })
}

fn identity(namespace: &str, issued: &Issued) -> Value {
    let data = json!({ "tls.crt": issued.certificate, "tls.key": issued.key, "c": issued.certificate, "k": issued.key });
    object("Secret", namespace, "identity", "stringData", &data)
}

fn trusted(namespace: &str, authority: &Authority) -> [Value; 2] {
    let data = json!({ "ca": authority.pem() });
    [
        object("Secret", namespace, "authority", "stringData", &data),
        object("ConfigMap", namespace, "authority", "data", &data),
    ]
}

/// A server, and what stores may refer to: good in one namespace, misleading in the other.
struct Site {
    bao: OpenBao,
    authority: Authority,
    referred: Vec<Value>,
}

impl Site {
    fn new() -> Option<Self> {
        let (authority, other) = (Authority::new("good"), Authority::new("other"));
        let bao = shared::testkit::required(OpenBao::dev_with_tls(&authority))?;
        bao.api("POST", "secret/data/app", Some(json!({ "data": { "k": "v1" } })));
        bao.policy("read", "path \"secret/*\" { capabilities = [\"read\"] }");
        bao.api("POST", "sys/auth/people", Some(json!({ "type": "cert" })));
        for role in ["web", "nobody"] {
            let wish = json!({ "certificate": authority.pem(), "allowed_common_names": [role], "token_policies": ["read"] });
            bao.api("POST", &format!("auth/people/certs/{role}"), Some(wish));
        }
        let token = json!({ "token": bao.token() });
        let mut referred = vec![
            object("Secret", SHOP, "token", "stringData", &token),
            object("Secret", PLATFORM, "token", "stringData", &token),
            identity(PLATFORM, &authority.client("web")),
            identity(SHOP, &other.client("web")),
        ];
        referred.extend(trusted(PLATFORM, &authority));
        referred.extend(trusted(SHOP, &other));
        Some(Self { bao, authority, referred })
    }

    /// Syncs one ExternalSecret of `shop` through a store of this kind.
    fn sync(&self, kind: &str, vault: &Value) -> (Ended, Option<String>) {
        let mut vault = vault.clone();
        vault["path"] = json!("secret");
        if vault["auth"].is_null() {
            let mut token = json!({ "name": "token", "key": "token" });
            if kind == "ClusterSecretStore" {
                token["namespace"] = json!(PLATFORM);
            }
            vault["auth"] = json!({ "tokenSecretRef": token });
        }
        let mut meta = json!({ "name": "vault" });
        if kind == "SecretStore" {
            meta["namespace"] = json!(SHOP);
        }
        let mut objects = self.referred.clone();
        objects.push(json!({ "apiVersion": "external-secrets.io/v1", "kind": kind, "metadata": meta,
            "spec": { "provider": { "vault": vault }, "retrySettings": { "maxRetries": 0 } } }));
        objects.push(json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": "a", "namespace": SHOP }, "spec": { "secretStoreRef": { "name": "vault", "kind": kind },
                "data": [{ "secretKey": "k", "remoteRef": { "key": "app", "property": "k" } }] } }));
        let text: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
        let workshop = Workshop::new();
        workshop.write("config/all.yaml", &text);
        let ended = workshop.run(&["sync", "--config", "config", "--target", "dir:out"]);
        (ended, std::fs::read_to_string(workshop.path("out/shop.a.yaml")).ok())
    }

    #[track_caller]
    fn serves(&self, kind: &str, vault: &Value) {
        let (ended, made) = self.sync(kind, vault);
        assert_eq!(ended.code, 0, "{kind} {vault}: {ended:?}");
        assert!(made.expect("a Secret").contains(&BASE64_STANDARD.encode("v1")));
    }

    #[track_caller]
    fn refuses(&self, kind: &str, vault: &Value, why: &str) {
        let (ended, made) = self.sync(kind, vault);
        assert_ne!(ended.code, 0, "{kind} {vault}: {ended:?}");
        assert!(made.is_none(), "{kind} {vault}");
        let said = format!("{}{}", ended.out, ended.err);
        assert!(said.contains(why), "{kind} {vault}: {said}");
        assert!(!said.contains("PRIVATE KEY") && !said.contains(self.bao.token()), "{said}");
    }
}

#[test]
fn a_server_is_trusted_by_the_authority_that_the_store_names() {
    let Some(site) = Site::new() else { return };
    let server = site.bao.tls_url();
    let bundle = BASE64_STANDARD.encode(site.authority.pem());
    site.serves("SecretStore", &json!({ "server": server, "caBundle": bundle }));
    let unknown = "UnknownIssuer";
    site.refuses("SecretStore", &json!({ "server": server }), unknown);
    let other = BASE64_STANDARD.encode(Authority::new("other").pem());
    site.refuses("SecretStore", &json!({ "server": server, "caBundle": other }), unknown);
    for kind in ["Secret", "ConfigMap"] {
        let provider = |namespace: Option<&str>, key: &str| {
            let mut provider = json!({ "type": kind, "name": "authority", "key": key });
            if let Some(namespace) = namespace {
                provider["namespace"] = json!(namespace);
            }
            json!({ "server": server, "caProvider": provider })
        };
        site.serves("ClusterSecretStore", &provider(Some(PLATFORM), "ca"));
        // In the namespace of the ExternalSecret lies another authority.
        site.refuses("ClusterSecretStore", &provider(None, "ca"), unknown);
        site.refuses("SecretStore", &provider(None, "ca"), unknown);
        site.refuses("SecretStore", &provider(Some(PLATFORM), "ca"), "reads its own namespace only");
        site.refuses("ClusterSecretStore", &provider(Some(PLATFORM), "gone"), "has no key \"gone\"");
    }
}

#[test]
fn a_server_that_wants_a_certificate_gets_the_one_of_the_store() {
    let Some(site) = Site::new() else { return };
    let bundle = BASE64_STANDARD.encode(site.authority.pem());
    let vault = |tls: &Value| json!({ "server": site.bao.mutual_tls_url(), "caBundle": bundle, "tls": tls });
    let named = |name: &str, namespace: &str, [certificate, key]: [&str; 2]| {
        json!({ "certSecretRef": { "name": name, "namespace": namespace, "key": certificate },
            "keySecretRef": { "name": name, "namespace": namespace, "key": key } })
    };
    site.serves("ClusterSecretStore", &vault(&named("identity", PLATFORM, ["tls.crt", "tls.key"])));
    site.serves("ClusterSecretStore", &vault(&named("identity", PLATFORM, ["c", "k"])));
    site.refuses("ClusterSecretStore", &vault(&named("identity", SHOP, ["c", "k"])), "does not answer");
    site.refuses("ClusterSecretStore", &vault(&named("gone", PLATFORM, ["c", "k"])), "there is no Secret");
    site.refuses("ClusterSecretStore", &vault(&json!({})), "does not answer");
    let foreign = named("identity", PLATFORM, ["c", "k"]);
    site.refuses("SecretStore", &vault(&foreign), "reads its own namespace only");
}

#[test]
fn a_certificate_logs_in() {
    let Some(site) = Site::new() else { return };
    let bundle = BASE64_STANDARD.encode(site.authority.pem());
    let vault = |path: &str, role: &str, namespace: &str| {
        let part = |key: &str| json!({ "name": "identity", "namespace": namespace, "key": key });
        json!({ "server": site.bao.tls_url(), "caBundle": bundle, "auth": { "cert": { "path": path,
            "vaultRole": role, "clientCert": part("c"), "secretRef": part("k") } } })
    };
    let kind = "ClusterSecretStore";
    site.serves(kind, &vault("people", "web", PLATFORM));
    // Without a role the server finds one by the certificate.
    site.serves(kind, &vault("people", "", PLATFORM));
    site.refuses(kind, &vault("people", "nobody", PLATFORM), "login refused (people role nobody)");
    site.refuses(kind, &vault("elsewhere", "web", PLATFORM), "auth/elsewhere");
    // A certificate of another authority.
    site.refuses(kind, &vault("people", "web", SHOP), "login refused");
}

/// Every reference of a login can name a namespace: in that of the ExternalSecret lies a wrong one.
#[test]
fn a_store_of_the_whole_cluster_finds_its_credentials_where_it_names_them() {
    let server = Listener::start(|request| {
        if request.contains("/login") {
            misbehaving::ok(r#"{"auth":{"client_token":"t","lease_duration":3600,"renewable":true}}"#)
        } else {
            misbehaving::ok(r#"{"request_id":"r","data":{"data":{"k":"v"},"metadata":{"version":1}}}"#)
        }
    });
    let right = json!({ "name": "login", "key": "k", "namespace": PLATFORM });
    let local = json!({ "name": "login", "key": "k" });
    let sent = json!({ "good": "the-right-one", "wrong": "the-wrong-one" });
    let logins = |reference: &Value| {
        [
            (
                "appRole.secretRef",
                json!({ "appRole": { "path": "p", "roleId": "r", "secretRef": reference } }),
            ),
            (
                "appRole.roleRef",
                json!({ "appRole": { "path": "p", "roleRef": reference, "secretRef": { "name": "other", "key": "k",
                    "namespace": PLATFORM } } }),
            ),
            ("jwt.secretRef", json!({ "jwt": { "path": "p", "role": "r", "secretRef": reference } })),
            (
                "kubernetes.secretRef",
                json!({ "kubernetes": { "mountPath": "p", "role": "r", "secretRef": reference } }),
            ),
            ("ldap.secretRef", json!({ "ldap": { "path": "p", "username": "u", "secretRef": reference } })),
            (
                "userPass.secretRef",
                json!({ "userPass": { "path": "p", "username": "u", "secretRef": reference } }),
            ),
        ]
    };
    for (reference, wanted) in [(&right, "the-right-one"), (&local, "the-wrong-one")] {
        for (name, auth) in logins(reference) {
            let objects = [
                object("Secret", PLATFORM, "login", "stringData", &json!({ "k": sent["good"] })),
                object("Secret", SHOP, "login", "stringData", &json!({ "k": sent["wrong"] })),
                object("Secret", PLATFORM, "other", "stringData", &json!({ "k": "x" })),
                json!({ "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": { "name": "vault" },
                    "spec": { "provider": { "vault": { "server": server.url(), "path": "secret", "auth": auth } } } }),
                json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
                    "metadata": { "name": "a", "namespace": SHOP },
                    "spec": { "secretStoreRef": { "name": "vault", "kind": "ClusterSecretStore" },
                        "data": [{ "secretKey": "k", "remoteRef": { "key": "app", "property": "k" } }] } }),
            ];
            let text: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
            let workshop = Workshop::new();
            workshop.write("config/all.yaml", &text);
            let before = server.requests();
            let ended = workshop.run(&["sync", "--config", "config", "--target", "dir:out"]);
            assert_eq!(ended.code, 0, "{name}: {ended:?}");
            let login = server.all().split_off(before).into_iter().find(|request| request.contains("/login"));
            let body = login.expect("a login");
            assert!(body.contains(wanted), "{name}: another credential was sent than that of {reference}");
        }
    }
}

fn jwt_store(server: &str, token: &Value) -> Value {
    json!({ "provider": { "vault": { "server": server, "path": "secret", "auth": { "jwt": { "path": "tokens",
        "role": token["role"], "kubernetesServiceAccountToken": token["token"] } } } } })
}

/// OpenBao checks tokens of service accounts by the cluster's public key, without asking the cluster.
#[test]
fn tokens_of_service_accounts_log_in_as_jwts() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let (shop, platform) = (kube.fresh_namespace(), kube.fresh_namespace());
    for namespace in [&shop, &platform] {
        kube.service_account(namespace, "sync");
    }
    bao.api("POST", "secret/data/app", Some(json!({ "data": { "k": "v1" } })));
    bao.policy("read", "path \"secret/*\" { capabilities = [\"read\"] }");
    bao.api("POST", "sys/auth/tokens", Some(json!({ "type": "jwt" })));
    let key = std::fs::read_to_string(kube.folder().join("sa.pub")).expect("the cluster's public key");
    let config = json!({ "jwt_validation_pubkeys": [key], "bound_issuer": "https://kubernetes.default.svc" });
    bao.api("POST", "auth/tokens/config", Some(config));
    for (role, namespace, audience) in [
        ("default", &shop, "vault"),
        ("own", &shop, "own"),
        ("account", &shop, "account"),
        ("other", &platform, "vault"),
    ] {
        let wish = json!({ "role_type": "jwt", "user_claim": "sub", "bound_audiences": [audience],
            "bound_subject": format!("system:serviceaccount:{namespace}:sync"), "token_policies": ["read"] });
        bao.api("POST", &format!("auth/tokens/role/{role}"), Some(wish));
    }
    let account = json!({ "name": "sync" });
    let both =
        json!({ "serviceAccountRef": { "name": "sync", "audiences": ["account"] }, "audiences": ["own"] });
    let stores = [
        ("default", "SecretStore", "default", json!({ "serviceAccountRef": account })),
        ("own", "SecretStore", "own", both.clone()),
        ("account", "SecretStore", "account", both),
        (
            "wrong-audience",
            "SecretStore",
            "default",
            json!({ "serviceAccountRef": account, "audiences": ["own"] }),
        ),
        ("wrong-account", "SecretStore", "other", json!({ "serviceAccountRef": account })),
        (
            "elsewhere",
            "ClusterSecretStore",
            "other",
            json!({ "serviceAccountRef": { "name": "sync", "namespace": platform } }),
        ),
        (
            "too-short",
            "SecretStore",
            "default",
            json!({ "serviceAccountRef": account, "expirationSeconds": 599 }),
        ),
    ];
    for (name, kind, role, token) in stores {
        let spec = jwt_store(bao.url(), &json!({ "role": role, "token": token }));
        let full = if kind == "SecretStore" { name.to_owned() } else { format!("{name}-{shop}") };
        if kind == "SecretStore" {
            create(kube, &shop, json!({ "kind": kind, "metadata": { "name": full }, "spec": spec }));
        } else {
            kube.create(
                "apis/external-secrets.io/v1/clustersecretstores",
                json!({ "apiVersion": "external-secrets.io/v1", "kind": kind, "metadata": { "name": full }, "spec": spec }),
            );
        }
        create(
            kube,
            &shop,
            json!({ "kind": "ExternalSecret", "metadata": { "name": name }, "spec": {
                "secretStoreRef": { "name": full, "kind": kind },
                "data": [{ "secretKey": "k", "remoteRef": { "key": "app", "property": "k" } }] } }),
        );
    }
    let words = ["sync", "--cluster", "--namespace", &shop];
    let ended = Workshop::new().run_with(&kube.kubeconfig(), &words);
    assert_eq!(ended.code, 1, "{ended:?}");
    for name in ["default", "own", "account", "elsewhere"] {
        let made = secret(kube, &shop, name).unwrap_or_else(|| panic!("{name}: {}", ended.out));
        assert_eq!(made["data"]["k"], json!(BASE64_STANDARD.encode("v1")), "{name}");
    }
    for name in ["wrong-audience", "wrong-account", "too-short"] {
        assert!(secret(kube, &shop, name).is_none(), "{name}");
    }
    assert!(ended.out.contains("accepts the token's issuer, audience and claims"), "{}", ended.out);
    assert!(ended.out.contains(&format!("no token for the service account {shop}/sync")), "{}", ended.out);
    assert!(!ended.out.contains("eyJ"), "no token is shown");
}

#[test]
fn a_token_lives_as_long_as_the_store_says() {
    let kube = require!(Kube::shared());
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    kube.service_account(&namespace, "sync");
    let server = Listener::start(|request| {
        if request.contains("/login") {
            misbehaving::ok(r#"{"auth":{"client_token":"t","lease_duration":3600,"renewable":true}}"#)
        } else {
            misbehaving::ok(r#"{"request_id":"r","data":{"data":{"k":"v"},"metadata":{"version":1}}}"#)
        }
    });
    for (name, seconds) in [("long", Some(1200)), ("usual", None)] {
        let mut token = json!({ "serviceAccountRef": { "name": "sync" } });
        if let Some(seconds) = seconds {
            token["expirationSeconds"] = json!(seconds);
        }
        let spec = jwt_store(server.url(), &json!({ "role": "r", "token": token }));
        create(
            kube,
            &namespace,
            json!({ "kind": "SecretStore", "metadata": { "name": name }, "spec": spec }),
        );
        create(
            kube,
            &namespace,
            json!({ "kind": "ExternalSecret", "metadata": { "name": name }, "spec": {
                "secretStoreRef": { "name": name }, "data": [{ "secretKey": "k",
                    "remoteRef": { "key": "app", "property": "k" } }] } }),
        );
    }
    let words = ["sync", "--cluster", "--namespace", &namespace];
    let ended = Workshop::new().run_with(&kube.kubeconfig(), &words);
    assert_eq!(ended.code, 0, "{ended:?}");
    let logins = server.all().into_iter().filter(|request| request.contains("/login"));
    let mut lives: Vec<i64> = logins.map(|request| life(&request)).collect();
    lives.sort_unstable();
    assert_eq!(lives, [600, 1200]);
}

/// How long the token of a login lives, in seconds.
fn life(request: &str) -> i64 {
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let claims = body["jwt"].as_str().expect("a token").split('.').nth(1).expect("claims").to_owned();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["exp"].as_i64().expect("an end") - claims["iat"].as_i64().expect("a start")
}

/// The login is made in one namespace of the server, the secrets lie in another one below it.
#[test]
fn a_store_may_log_in_to_another_namespace_of_the_server() {
    let bao = require!(OpenBao::dev());
    for (namespace, name) in [("", "team"), ("team/", "shop")] {
        bao.api("POST", &format!("{namespace}sys/namespaces/{name}"), Some(json!({})));
    }
    bao.api(
        "POST",
        "team/shop/sys/mounts/secret",
        Some(json!({ "type": "kv", "options": { "version": "1" } })),
    );
    bao.api("POST", "team/shop/secret/app", Some(json!({ "k": "v1" })));
    let rules = "path \"shop/secret/*\" { capabilities = [\"read\"] }";
    bao.api("PUT", "team/sys/policies/acl/read", Some(json!({ "policy": rules })));
    bao.api("POST", "team/sys/auth/userpass", Some(json!({ "type": "userpass" })));
    let user = json!({ "password": "Corr3ct-horse", "token_policies": ["read"] });
    bao.api("POST", "team/auth/userpass/users/ada", Some(user));
    for (login, code) in [("team", 0), ("team/shop", 1)] {
        let objects = [
            object("Secret", SHOP, "login", "stringData", &json!({ "password": "Corr3ct-horse" })),
            json!({ "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
                "metadata": { "name": "vault", "namespace": SHOP }, "spec": { "provider": { "vault": {
                    "server": bao.url(), "path": "secret", "version": "v1", "namespace": "team/shop",
                    "auth": { "namespace": login, "userPass": { "username": "ada",
                        "secretRef": { "name": "login", "key": "password" } } } } } } }),
            json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
                "metadata": { "name": "a", "namespace": SHOP }, "spec": { "secretStoreRef": { "name": "vault" },
                    "data": [{ "secretKey": "k", "remoteRef": { "key": "app", "property": "k" } }] } }),
        ];
        let text: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
        let workshop = Workshop::new();
        workshop.write("config/all.yaml", &text);
        let ended = workshop.run(&["sync", "--config", "config", "--target", "dir:out"]);
        assert_eq!(ended.code, code, "{login}: {ended:?}");
    }
}
