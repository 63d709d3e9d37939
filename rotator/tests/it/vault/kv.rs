//! Reading, writing, listing: KV version 2 and 1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rotator::provider::{Absence, Key, ReadError, VersionState, WriteError};
use rotator::vault::{Auth, KvVersion, VaultConfig};
use serde_json::{Value, json};
use shared::require;
use shared::retry::Retry;
use shared::testkit::OpenBao;

use super::{READ_ALL, as_root, config, connect, put, requests, secret, text, user};

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
    put(&bao, "shop/deep/er", &json!({ "k": "v" }));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_readers_log_in_once_and_read_each_path_once() {
    let bao = require!(OpenBao::dev());
    for number in 0..10 {
        put(&bao, &format!("app/{number}"), &json!({ "k": "v".repeat(1000) }));
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
    put(&bao, "app/1", &json!({ "k": "new" }));
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
    let written = tokio::time::timeout(Duration::from_secs(120), async {
        // A new engine of KV 2 upgrades itself first.
        while store.write("a", secret(r#"{"where":"team"}"#), None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    written.await.unwrap();
    assert_eq!(text(store.read(&Key::latest("a")).await.unwrap().json()), r#"{"where":"team"}"#);
    assert!(as_root(&bao).read(&Key::latest("a")).await.is_err(), "it is in the namespace alone");
}
