//! Logging in, staying logged in, and being refused.

use std::time::Duration;

use rotator::provider::{Key, ReadError};
use rotator::vault::{Auth, Token};
use serde_json::json;
use shared::require;
use shared::retry::Retry;
use shared::secret::Secret;
use shared::testkit::{Kube, OpenBao};

use super::{READ_ALL, config, connect, put, requests, secret, text, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_and_a_missing_policy_are_told_apart() {
    let bao = require!(OpenBao::dev());
    put(&bao, "a", &json!({ "k": "v" }));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_given_token_is_not_revoked() {
    let bao = require!(OpenBao::dev());
    put(&bao, "a", &json!({ "k": "v" }));
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
    put(&bao, "a", &json!({ "k": "v" }));
    let (store, _) = connect(config(bao.url(), user(&bao, READ_ALL, "15s")));
    store.read(&Key::latest("a")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(requests(&bao, "update", "auth/token/renew-self"), 0, "too early");
    tokio::time::sleep(Duration::from_millis(9500)).await;
    store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(requests(&bao, "update", "auth/token/renew-self"), 1);
    // The first life is over by now.
    tokio::time::sleep(Duration::from_secs(6)).await;
    store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(requests(&bao, "update", "auth/userpass/login"), 1);
    // Nobody asked for longer than the token lives: a new login, unnoticed.
    tokio::time::sleep(Duration::from_secs(17)).await;
    store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(requests(&bao, "update", "auth/userpass/login"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_revoked_by_somebody_else_is_made_anew() {
    let bao = require!(OpenBao::dev());
    put(&bao, "a", &json!({ "k": "v" }));
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
    put(&bao, "a", &json!({ "k": "v" }));
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
async fn service_accounts_log_in_with_real_tokens() {
    let bao = require!(OpenBao::dev());
    let kube = require!(Kube::start());
    put(&bao, "a", &json!({ "k": "v" }));
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
