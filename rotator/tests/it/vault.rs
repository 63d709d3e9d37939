//! The Vault client against real OpenBao servers, and against servers that misbehave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotator::provider::{Absence, Key, Provider, ReadError, VersionState, WriteError};
use rotator::vault::{Auth, Client, KvVersion, Limits, Token, VaultConfig};
use serde_json::{Value, json};
use shared::require;
use shared::retry::{Backoff, Retry};
use shared::secret::Secret;
use shared::testkit::{Kube, OpenBao};

use crate::misbehaving::{self, Listener};

const READ_ALL: &str = r#"path "secret/*" { capabilities = ["read", "list"] }"#;
const WRITE_ALL: &str = r#"path "secret/*" { capabilities = ["create", "read", "update", "list"] }"#;

fn secret(text: &str) -> Secret {
    Secret::copy_of(text.as_bytes())
}

fn text(secret: &Secret) -> String {
    secret.expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

fn config(server: &str, auth: Auth) -> VaultConfig {
    VaultConfig {
        name: "SecretStore shop/vault".to_owned(),
        server: server.to_owned(),
        path: Some("secret".to_owned()),
        version: KvVersion::V2,
        namespace: None,
        auth_namespace: None,
        headers: Vec::new(),
        ca_pem: None,
        client_identity: None,
        auth,
        read_your_writes: false,
        forward_inconsistent: false,
        limits: Limits::default(),
    }
}

fn connect(config: VaultConfig) -> (Provider, Arc<Client>) {
    let client = Arc::new(Client::new(config).unwrap());
    (Provider::Vault(Arc::clone(&client)), client)
}

fn as_root(bao: &OpenBao) -> Provider {
    connect(config(bao.url(), Auth::Token(secret(bao.token())))).0
}

/// A user of the server itself, whose token lives for `ttl`.
fn user(bao: &OpenBao, policy: &str, ttl: &str) -> Auth {
    bao.policy("of-the-user", policy);
    if bao.api("GET", "sys/auth", None).pointer("/data/userpass~1").is_none() {
        bao.api("POST", "sys/auth/userpass", Some(json!({ "type": "userpass" })));
    }
    let wish = json!({ "password": "Corr3ct-horse", "token_policies": ["of-the-user"], "token_ttl": ttl,
        "token_max_ttl": "1h" });
    bao.api("POST", "auth/userpass/users/ada", Some(wish));
    Auth::UserPass {
        mount: "userpass".to_owned(),
        username: "ada".to_owned(),
        password: secret("Corr3ct-horse"),
    }
}

fn put(bao: &OpenBao, path: &str, data: Value) {
    bao.api("PUT", &format!("secret/data/{path}"), Some(json!({ "data": data })));
}

/// How many requests for paths that begin so came over the network, by the server's own audit log.
fn requests(bao: &OpenBao, operation: &str, path: &str) -> usize {
    let is_one = |entry: &Value| {
        let request = &entry["request"];
        entry["type"] == "request"
            && request["operation"] == operation
            && request["remote_address"].is_string()
            && request["path"].as_str().is_some_and(|found| found.starts_with(path))
    };
    bao.audit().iter().filter(|entry| is_one(entry)).count()
}

fn impatient() -> Backoff {
    Backoff { first: Duration::from_millis(50), retries: 3, ..Backoff::NETWORK }
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_2_reads_writes_versions_and_metadata() {
    let bao = require!(OpenBao::dev());
    let store = as_root(&bao);
    assert_eq!(store.write("shop/db", secret(r#"{"user":"app"}"#), Some(0)).await.unwrap(), 1);
    assert_eq!(store.write("shop/db", secret(r#"{"user":"app","n":7}"#), Some(1)).await.unwrap(), 2);
    let metadata = json!({ "custom_metadata": { "owner": "shop" }, "max_versions": 5 });
    bao.api("POST", "secret/metadata/shop/db", Some(metadata));

    let document = store.read(&Key::latest("shop/db")).await.unwrap();
    let json: Value = serde_json::from_str(&text(document.json())).unwrap();
    assert_eq!(json, json!({ "user": "app", "n": 7 }));
    assert_eq!(document.version, Some(2));
    assert!(document.created_time.is_some());
    assert_eq!(document.custom_metadata, BTreeMap::from([("owner".to_owned(), "shop".to_owned())]));
    let first = store.read(&Key { path: "secret/data/shop/db".to_owned(), version: Some(1) }).await.unwrap();
    assert_eq!(text(first.json()), r#"{"user":"app"}"#);

    // The access can be found in the server's own log.
    let request_id = document.access.request_id.clone().unwrap();
    assert!(bao.audit().iter().any(|entry| entry["request"]["id"] == json!(request_id)));

    bao.api("DELETE", "secret/data/shop/db", None);
    let deleted = store.read(&Key::latest("shop/db")).await.unwrap_err();
    assert!(matches!(deleted, ReadError::NotFound { why: Absence::Deleted, .. }), "{deleted}");
    bao.api("PUT", "secret/destroy/shop/db", Some(json!({ "versions": [1] })));
    let metadata = store.metadata("shop/db").await.unwrap();
    assert_eq!((metadata.current_version, metadata.max_versions), (2, 5));
    assert_eq!(metadata.versions[&1], VersionState::Destroyed);
    assert!(matches!(metadata.versions[&2], VersionState::Deleted { .. }));
    let absent = store.read(&Key::latest("shop/none")).await.unwrap_err();
    assert_eq!(absent.to_string(), "SecretStore shop/vault: shop/none: nothing is stored there");
    assert!(matches!(store.metadata("shop/none").await, Err(ReadError::NotFound { .. })));

    store.write("shop/sp ace+&?#é%2f", secret(r#"{"k":"v"}"#), None).await.unwrap();
    put(&bao, "shop/deep/er", json!({ "k": "v" }));
    assert_eq!(store.list("shop").await.unwrap(), ["db", "deep/", "sp ace+&?#é%2f"]);
    assert!(store.list("nothing").await.unwrap().is_empty());
    let special = store.read(&Key::latest("shop/sp ace+&?#é%2f")).await.unwrap();
    assert_eq!(text(special.json()), r#"{"k":"v"}"#);
    let out = store.read(&Key::latest("../../sys/mounts")).await.unwrap_err();
    assert!(out.to_string().contains("a key has no `.` or `..` as a part"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_noticed() {
    let bao = require!(OpenBao::dev());
    let store = as_root(&bao);
    assert_eq!(store.write("a", secret("{}"), Some(0)).await.unwrap(), 1);
    let taken = store.write("a", secret(r#"{"x":1}"#), Some(0)).await.unwrap_err();
    assert!(matches!(taken, WriteError::Cas { expected: 0, .. }), "{taken}");
    assert_eq!(taken.retry(), Retry::Never);
    bao.api("POST", "secret/metadata/a", Some(json!({ "cas_required": true })));
    let blind = store.write("a", secret("{}"), None).await.unwrap_err();
    assert!(matches!(blind, WriteError::CasRequired { .. }), "{blind}");
    let list = store.write("a", secret("[]"), Some(1)).await.unwrap_err();
    assert!(matches!(list, WriteError::NotAnObject { .. }), "{list}");
    assert_eq!(store.write("a", secret("{}"), Some(1)).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_1_keeps_the_text_of_numbers_and_has_no_versions() {
    let bao = require!(OpenBao::dev());
    bao.api("POST", "sys/mounts/old", Some(json!({ "type": "kv", "options": { "version": "1" } })));
    let settings = VaultConfig {
        path: Some("old".to_owned()),
        version: KvVersion::V1,
        ..config(bao.url(), Auth::Token(secret(bao.token())))
    };
    let (store, _) = connect(settings);
    let number = r#"{"n":12345678901234567890}"#;
    assert_eq!(store.write("app/x", secret(number), None).await.unwrap(), 0);
    let document = store.read(&Key::latest("old/app/x")).await.unwrap();
    assert_eq!(text(document.json()), number);
    assert_eq!(document.version, None);
    assert_eq!(store.list("app").await.unwrap(), ["x"]);
    assert!(matches!(store.metadata("app/x").await, Err(ReadError::Unsupported { .. })));
    let cas = store.write("app/x", secret("{}"), Some(1)).await.unwrap_err();
    assert!(matches!(cas, WriteError::Refused(ReadError::Unsupported { .. })), "{cas}");
    // The wrong version for the engine says nothing wrong.
    let (wrong, _) = connect(VaultConfig {
        path: Some("old".to_owned()),
        ..config(bao.url(), Auth::Token(secret(bao.token())))
    });
    assert!(matches!(wrong.read(&Key::latest("app/x")).await, Err(ReadError::NotFound { .. })));
    let (nowhere, _) = connect(VaultConfig {
        path: Some("nowhere".to_owned()),
        ..config(bao.url(), Auth::Token(secret(bao.token())))
    });
    let no_engine = nowhere.read(&Key::latest("x")).await.unwrap_err();
    assert!(matches!(no_engine, ReadError::NotFound { why: Absence::NoEngine, .. }), "{no_engine}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_and_a_missing_policy_are_told_apart() {
    let bao = require!(OpenBao::dev());
    put(&bao, "a", json!({ "k": "v" }));
    let made_up = "canary-token-0123456789";
    let (wrong, _) = connect(config(bao.url(), Auth::Token(secret(made_up))));
    let refused = wrong.read(&Key::latest("a")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "SecretStore shop/vault: login refused (token): the token is not valid (any more); put a new one in its place"
    );
    bao.policy("other", r#"path "secret/data/other" { capabilities = ["read"] }"#);
    let (denied, _) = connect(config(bao.url(), Auth::Token(secret(&bao.token_with(&["other"], "5m")))));
    let denied = denied.read(&Key::latest("a")).await.unwrap_err();
    assert!(matches!(denied, ReadError::Denied { .. }), "{denied}");
    assert_eq!((refused.retry(), denied.retry()), (Retry::Never, Retry::Never));
    // A token that may not even look itself up reads what it may read.
    bao.policy("read", READ_ALL);
    let wish = json!({ "policies": ["read"], "no_default_policy": true, "ttl": "5m" });
    let made = bao.api("POST", "auth/token/create", Some(wish));
    let bare = made["auth"]["client_token"].as_str().unwrap();
    let (bare, _) = connect(config(bao.url(), Auth::Token(secret(&format!("{bare}\n")))));
    assert_eq!(text(bare.read(&Key::latest("a")).await.unwrap().json()), r#"{"k":"v"}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_readers_log_in_once_and_read_each_path_once() {
    let bao = require!(OpenBao::dev());
    for number in 0..10 {
        put(&bao, &format!("app/{number}"), json!({ "k": "v".repeat(1000) }));
    }
    let (store, client) = connect(config(bao.url(), user(&bao, READ_ALL, "10m")));
    let pass = Arc::new(rotator::provider::Pass::new(store.clone()));
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..100 {
        let pass = Arc::clone(&pass);
        readers.spawn(async move { pass.read(&Key::latest(format!("app/{}", reader % 10))).await });
    }
    while let Some(read) = readers.join_next().await {
        read.unwrap().unwrap();
    }
    assert_eq!(requests(&bao, "update", "auth/userpass/login"), 1);
    assert_eq!(requests(&bao, "read", "secret/data/app"), 10);

    // Without a pass, simultaneous reads of one path still share one request; later ones see fresh bytes.
    bao.pause();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let store = store.clone();
        readers.spawn(async move { store.read(&Key::latest("app/1")).await });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    bao.resume();
    while let Some(read) = readers.join_next().await {
        read.unwrap().unwrap();
    }
    assert_eq!(requests(&bao, "read", "secret/data/app/1"), 2);
    put(&bao, "app/1", json!({ "k": "new" }));
    assert_eq!(text(store.read(&Key::latest("app/1")).await.unwrap().json()), r#"{"k":"new"}"#);

    let accessor = store.read(&Key::latest("app/2")).await.unwrap().access.accessor.clone().unwrap();
    client.close().await;
    let lookup =
        bao.api_as(bao.token(), "POST", "auth/token/lookup-accessor", Some(json!({ "accessor": accessor })));
    assert!(lookup.0 >= 400, "the token still lives: {}", lookup.0);
    assert_eq!(requests(&bao, "update", "auth/token/revoke-self"), 1);
    let closed = store.read(&Key::latest("app/1")).await.unwrap_err();
    assert!(closed.to_string().ends_with("the client is closed"), "{closed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_token_is_not_revoked() {
    let bao = require!(OpenBao::dev());
    put(&bao, "a", json!({ "k": "v" }));
    bao.policy("read", READ_ALL);
    let token = bao.token_with(&["read"], "5m");
    let (store, client) = connect(config(bao.url(), Auth::Token(secret(&token))));
    store.read(&Key::latest("a")).await.unwrap();
    client.close().await;
    assert_eq!(bao.api_as(&token, "GET", "auth/token/lookup-self", None).0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_renewed_at_two_thirds_of_its_life() {
    let bao = require!(OpenBao::dev());
    put(&bao, "a", json!({ "k": "v" }));
    let (store, _) = connect(config(bao.url(), user(&bao, READ_ALL, "6s")));
    store.read(&Key::latest("a")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(requests(&bao, "update", "auth/token/renew-self"), 0, "too early");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(requests(&bao, "update", "auth/token/renew-self"), 1);
    // The first life is over by now.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(requests(&bao, "update", "auth/userpass/login"), 1);
    // Nobody asked for longer than the token lives: a new login, unnoticed.
    tokio::time::sleep(Duration::from_secs(7)).await;
    store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(requests(&bao, "update", "auth/userpass/login"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_revoked_by_somebody_else_is_made_anew() {
    let bao = require!(OpenBao::dev());
    put(&bao, "a", json!({ "k": "v" }));
    let (store, _) = connect(config(bao.url(), user(&bao, READ_ALL, "10m")));
    let accessor = store.read(&Key::latest("a")).await.unwrap().access.accessor.clone().unwrap();
    bao.api("POST", "auth/token/revoke-accessor", Some(json!({ "accessor": accessor })));
    store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(requests(&bao, "update", "auth/userpass/login"), 2);
    // A policy that is taken away is no reason to log in again and again.
    bao.policy("of-the-user", r#"path "nothing" { capabilities = ["deny"] }"#);
    for _ in 0..10 {
        let denied = store.read(&Key::latest("a")).await.unwrap_err();
        assert!(matches!(denied, ReadError::Denied { .. }), "{denied}");
    }
    assert_eq!(requests(&bao, "update", "auth/userpass/login"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_not_tried_by_everybody() {
    let bao = require!(OpenBao::dev());
    user(&bao, READ_ALL, "10m");
    let wrong = Auth::UserPass {
        mount: "userpass".to_owned(),
        username: "ada".to_owned(),
        password: secret("canary-wrong-password"),
    };
    let (store, _) = connect(config(bao.url(), wrong));
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..50 {
        let store = store.clone();
        readers.spawn(async move { store.read(&Key::latest(format!("app/{reader}"))).await });
    }
    while let Some(read) = readers.join_next().await {
        let refused = read.unwrap().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "SecretStore shop/vault: login refused (userpass user ada): see that the user and the password are right"
        );
    }
    assert_eq!(requests(&bao, "update", "auth/userpass/login"), 1);
    let elsewhere =
        Auth::UserPass { mount: "users".to_owned(), username: "ada".to_owned(), password: secret("x") };
    let (store, client) = connect(config(bao.url(), elsewhere));
    let absent = client.log_in().await.unwrap_err().to_string();
    assert!(
        absent.contains("no auth method is enabled at auth/users") || absent.contains("login refused"),
        "{absent}"
    );
    drop(store);
}

#[tokio::test(flavor = "multi_thread")]
async fn app_roles_log_in() {
    let bao = require!(OpenBao::dev());
    put(&bao, "a", json!({ "k": "v" }));
    bao.policy("read", READ_ALL);
    bao.api("POST", "sys/auth/approle", Some(json!({ "type": "approle" })));
    bao.api("POST", "auth/approle/role/web", Some(json!({ "token_policies": ["read"], "token_ttl": "5m" })));
    let id = bao.api("GET", "auth/approle/role/web/role-id", None);
    let made = bao.api("POST", "auth/approle/role/web/secret-id", Some(json!({})));
    let role_id = id["data"]["role_id"].as_str().unwrap().to_owned();
    let secret_id = secret(made["data"]["secret_id"].as_str().unwrap());
    let auth = |secret_id| Auth::AppRole { mount: "approle".to_owned(), role_id: role_id.clone(), secret_id };
    let (store, _) = connect(config(bao.url(), auth(secret_id)));
    store.read(&Key::latest("a")).await.unwrap();
    let (store, _) = connect(config(bao.url(), auth(secret("canary-wrong-secret-id"))));
    let refused = store.read(&Key::latest("a")).await.unwrap_err();
    assert!(matches!(refused, ReadError::LoginRefused { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_asked_for() {
    let bao = require!(OpenBao::dev());
    bao.api("POST", "sys/namespaces/team", Some(json!({})));
    bao.api("POST", "team/sys/mounts/secret", Some(json!({ "type": "kv", "options": { "version": "2" } })));
    let settings = || VaultConfig {
        namespace: Some("team".to_owned()),
        auth_namespace: Some(String::new()),
        ..config(bao.url(), Auth::Token(secret(bao.token())))
    };
    let (store, _) = connect(settings());
    let written = tokio::time::timeout(Duration::from_secs(20), async {
        // A new engine of KV 2 upgrades itself first.
        while store.write("a", secret(r#"{"where":"team"}"#), None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    written.await.unwrap();
    assert_eq!(text(store.read(&Key::latest("a")).await.unwrap().json()), r#"{"where":"team"}"#);
    assert!(as_root(&bao).read(&Key::latest("a")).await.is_err(), "it is in the namespace alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_in_the_middle_and_unsealed_again() {
    let mut bao = require!(OpenBao::raft());
    put(&bao, "a", json!({ "k": "v" }));
    let mut settings = config(bao.url(), Auth::Token(secret(bao.token())));
    settings.limits.backoff = impatient();
    let (hasty, _) = connect(settings);
    let (patient, _) = connect(config(bao.url(), Auth::Token(secret(bao.token()))));
    hasty.read(&Key::latest("a")).await.unwrap();
    patient.read(&Key::latest("a")).await.unwrap();
    bao.seal();
    let sealed = hasty.read(&Key::latest("a")).await.unwrap_err();
    assert_eq!(sealed.to_string(), "SecretStore shop/vault: a: the server is sealed; unseal it");
    assert_eq!(sealed.retry(), Retry::Backoff);
    // What follows is told at once, also to a thousand.
    let start = Instant::now();
    for _ in 0..1000 {
        assert!(matches!(hasty.read(&Key::latest("a")).await, Err(ReadError::Sealed { .. })));
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // Who waits gets it as soon as it is unsealed.
    let waiting = tokio::spawn(async move { patient.read(&Key::latest("a")).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    bao.unseal();
    waiting.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    hasty.read(&Key::latest("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_restarted() {
    let mut bao = require!(OpenBao::raft());
    put(&bao, "a", json!({ "k": "v" }));
    let (store, _) = connect(config(bao.url(), user(&bao, WRITE_ALL, "10m")));
    store.read(&Key::latest("a")).await.unwrap();
    bao.restart_sealed();
    let reader = store.clone();
    let waiting = tokio::spawn(async move { reader.read(&Key::latest("a")).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    bao.unseal();
    waiting.await.unwrap().unwrap();
    assert_eq!(requests(&bao, "update", "auth/userpass/login"), 1, "the login outlives the restart");
    assert_eq!(store.write("a", secret("{}"), Some(1)).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_waited_for() {
    let bao = require!(OpenBao::dev());
    for number in 0..12 {
        put(&bao, &format!("app/{number}"), json!({ "k": "v" }));
    }
    let store = as_root(&bao);
    store.read(&Key::latest("app/0")).await.unwrap();
    // Without this there is no Retry-After.
    bao.api("POST", "sys/quotas/config", Some(json!({ "enable_rate_limit_response_headers": true })));
    let quota = json!({ "path": "secret/", "rate": 5, "interval": "1s" });
    bao.api("POST", "sys/quotas/rate-limit/slow", Some(quota));
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..12 {
        let store = store.clone();
        readers.spawn(async move { store.read(&Key::latest(format!("app/{number}"))).await });
    }
    while let Some(read) = readers.join_next().await {
        read.unwrap().unwrap();
    }
    let mut settings = config(bao.url(), Auth::Token(secret(bao.token())));
    settings.limits.backoff = Backoff { retries: 0, ..Backoff::NETWORK };
    let (hasty, _) = connect(settings);
    let mut limited = None;
    for number in 0..12 {
        if let Err(error) = hasty.read(&Key::latest(format!("app/{number}"))).await {
            limited = Some(error);
        }
    }
    let limited = limited.expect("a quota that limits");
    assert!(matches!(limited, ReadError::RateLimited { .. }), "{limited}");
    assert!(matches!(limited.retry(), Retry::After(_)), "{limited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_costs_one_wait() {
    let bao = require!(OpenBao::dev());
    let mut settings = config(bao.url(), Auth::Token(secret(bao.token())));
    settings.limits.backoff = Backoff { retries: 1, first: Duration::from_millis(50), ..Backoff::NETWORK };
    settings.limits.timeout = Duration::from_secs(1);
    let (store, _) = connect(settings);
    store.write("a", secret("{}"), None).await.unwrap();
    bao.pause();
    let start = Instant::now();
    let lost = store.write("a", secret("{}"), Some(1)).await.unwrap_err();
    assert!(matches!(lost, WriteError::Unknown { .. }), "{lost}");
    assert_eq!(lost.retry(), Retry::Never);
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..200 {
        let store = store.clone();
        readers.spawn(async move { store.read(&Key::latest(format!("app/{reader}"))).await });
    }
    while let Some(read) = readers.join_next().await {
        let silent = read.unwrap().unwrap_err();
        assert!(silent.to_string().ends_with("does not answer: no answer within 1 s"), "{silent}");
    }
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    bao.resume();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(store.read(&Key::latest("a")).await.unwrap().version.is_some(), true);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let mut settings = config("http://127.0.0.1:1", Auth::Token(secret("canary-token")));
    settings.limits.backoff = Backoff { retries: 1, first: Duration::from_millis(10), ..Backoff::NETWORK };
    let (store, _) = connect(settings);
    let refused = store.read(&Key::latest("a")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "SecretStore shop/vault: a: http://127.0.0.1:1 does not answer: cannot connect: Connection refused (os error 111)"
    );
    // It cannot have happened, so a write may be tried again.
    let refused = store.write("a", secret("{}"), None).await.unwrap_err();
    assert_eq!(refused.retry(), Retry::Backoff);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_accounts_log_in_with_real_tokens() {
    let bao = require!(OpenBao::dev());
    let kube = require!(Kube::start());
    put(&bao, "a", json!({ "k": "v" }));
    bao.policy("read", READ_ALL);
    let role = kube.with_openbao_auth(&bao, "web", ("shop", "web"), "read");
    let auth = |role: &str, jwt: String| Auth::Kubernetes {
        mount: "kubernetes".to_owned(),
        role: role.to_owned(),
        jwt: Token::Fixed(Secret::from_string(jwt)),
    };
    let jwt = kube.token_of(&role.namespace, &role.service_account, &[]);
    let (store, client) = connect(config(bao.url(), auth("web", jwt)));
    let document = store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(text(document.json()), r#"{"k":"v"}"#);
    assert!(document.access.accessor.is_some());
    client.close().await;
    assert_eq!(requests(&bao, "update", "auth/token/revoke-self"), 1);

    // A projected token: read anew at each login.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let from_file = || Auth::Kubernetes {
        mount: "kubernetes".to_owned(),
        role: "web".to_owned(),
        jwt: Token::File(file.clone()),
    };
    let (store, _) = connect(config(bao.url(), from_file()));
    let missing = store.read(&Key::latest("a")).await.unwrap_err();
    assert!(missing.to_string().contains("cannot read"), "{missing}");
    std::fs::write(&file, kube.token_of("shop", "web", &[]) + "\n").unwrap();
    let (store, _) = connect(config(bao.url(), from_file()));
    store.read(&Key::latest("a")).await.unwrap();

    kube.service_account("shop", "other");
    for (role, account) in [("nobody", "web"), ("web", "other")] {
        let jwt = kube.token_of("shop", account, &[]);
        let (store, _) = connect(config(bao.url(), auth(role, jwt)));
        let refused = store.read(&Key::latest("a")).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "SecretStore shop/vault: login refused (kubernetes role {role}): see that the role exists at \
                 auth/kubernetes and is bound to this service account, namespace and audience"
            )
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_follow_a_redirect() {
    let elsewhere = Listener::start(|_| misbehaving::ok("{}"));
    let target = format!("{}/v1/secret/data/a", elsewhere.url());
    let server = Listener::start(move |_| {
        format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n")
            .into_bytes()
    });
    let (store, _) = connect(config(server.url(), Auth::Token(secret("canary-token"))));
    let redirected = store.read(&Key::latest("a")).await.unwrap_err();
    assert!(redirected.to_string().contains("the server redirects elsewhere"), "{redirected}");
    assert_eq!(elsewhere.requests(), 0);
    assert!(server.requests() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_and_endless_answers_are_refused_in_one_line() {
    for (answer, said) in [
        (misbehaving::ok("<html>canary-body</html>"), "the server does not say what it knows of the token"),
        (misbehaving::ok(""), "the server does not say what it knows of the token"),
        (misbehaving::ok(&"x".repeat(9_000_000)), "the answer is longer than 8388608 bytes"),
        (misbehaving::status(418, "canary-body"), "the server answered 418"),
        (b"canary-body\r\n\r\n".to_vec(), "the connection broke"),
    ] {
        let server = Listener::start(move |_| answer.clone());
        let mut settings = config(server.url(), Auth::Token(secret("canary-token")));
        settings.limits.backoff = Backoff { retries: 0, ..Backoff::NETWORK };
        let (store, _) = connect(settings);
        let error = store.read(&Key::latest("a")).await.unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
        assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_go_along_and_indexes_come_back() {
    let seen = |request: &str, name: &str| {
        request.lines().any(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))
    };
    let server = Listener::start(|_| {
        // `v1:cluster:1:2:mac`, as HashiCorp Vault Enterprise sends it.
        misbehaving::with_header(
            "X-Vault-Index: djE6Y2x1c3RlcjoxOjI6bWFj",
            r#"{"data":{"data":{},"metadata":{"version":1}}}"#,
        )
    });
    let settings = VaultConfig {
        headers: vec![("X-Proxy-Pass".to_owned(), secret("canary-header"))],
        namespace: Some("team/a".to_owned()),
        read_your_writes: true,
        forward_inconsistent: true,
        ..config(server.url(), Auth::Token(secret("canary-token")))
    };
    let (store, client) = connect(settings);
    assert!(!format!("{client:?}").contains("canary"));
    store.read(&Key::latest("a")).await.unwrap();
    store.read(&Key::latest("b")).await.unwrap();
    let last = server.last();
    for header in [
        "x-vault-request",
        "x-vault-token",
        "x-proxy-pass",
        "x-vault-namespace",
        "x-vault-inconsistent",
        "x-vault-index",
    ] {
        assert!(seen(&last, header), "{header} is missing");
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let token = || Auth::Token(secret("canary-token"));
    let bad = |change: &dyn Fn(&mut VaultConfig)| {
        let mut settings = config("https://vault.example:8200", token());
        change(&mut settings);
        Client::new(settings).unwrap_err().to_string()
    };
    let said = bad(&|settings| settings.server = "vault.example".to_owned());
    assert_eq!(
        said,
        "SecretStore shop/vault: server: relative URL without a base; write it as https://HOST:PORT"
    );
    assert!(
        bad(&|settings| settings.server = "ftp://x".to_owned()).contains("\"ftp\" is no way to a server")
    );
    assert!(
        bad(&|settings| settings.server = "https://u:canary@x".to_owned())
            .contains("must not hold credentials")
    );
    assert!(bad(&|settings| settings.path = Some("a/../b".to_owned())).contains("path: a key has no"));
    assert!(bad(&|settings| settings.ca_pem = Some(b"nonsense".to_vec())).contains("caBundle or caProvider"));
    let said = bad(&|settings| settings.headers = vec![("a b".to_owned(), secret("canary"))]);
    assert!(said.contains("\"a b\" is no header's name"), "{said}");
    let said = bad(&|settings| settings.headers = vec![("a".to_owned(), secret("canary\n"))]);
    assert!(said.contains("the value of a is no header's") && !said.contains("canary"), "{said}");
}
