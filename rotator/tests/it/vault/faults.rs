//! Servers that are sealed, killed, slow, absent or lying.

use std::time::{Duration, Instant};

use rotator::provider::{Key, ReadError, WriteError};
use rotator::vault::{Auth, Client, VaultConfig};
use serde_json::json;
use shared::require;
use shared::retry::{Backoff, Retry};
use shared::testkit::OpenBao;

use super::{WRITE_ALL, as_root, config, connect, impatient, put, requests, secret, user};
use crate::misbehaving::{self, Listener};

#[tokio::test(flavor = "multi_thread")]
async fn sealed_in_the_middle_and_unsealed_again() {
    let mut bao = require!(OpenBao::raft());
    put(&bao, "a", &json!({ "k": "v" }));
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
    // Each waiting for itself would take hours.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
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
    put(&bao, "a", &json!({ "k": "v" }));
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
        put(&bao, &format!("app/{number}"), &json!({ "k": "v" }));
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
    // One after the other they would wait for more than six minutes.
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
    bao.resume();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(store.read(&Key::latest("a")).await.unwrap().version.is_some());
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
