//! The Vault client against real OpenBao servers, and against servers that misbehave.

use std::sync::Arc;
use std::time::Duration;

use rotator::provider::Provider;
use rotator::vault::{Auth, Client, KvVersion, Limits, VaultConfig};
use serde_json::{Value, json};
use shared::retry::Backoff;
use shared::secret::Secret;
use shared::testkit::OpenBao;

mod faults;
mod kv;
mod login;

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

fn put(bao: &OpenBao, path: &str, data: &Value) {
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
