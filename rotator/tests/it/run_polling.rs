//! How `rotator run --cluster` sees changes in a store: by metadata, never by values.

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions, wait_until};
use crate::run_cluster::{Staying, holds};
use crate::workshop::Workshop;

/// Who may list folders with their metadata, who may read metadata alone, and who may do neither.
const POLICY: &str = r#"
path "secret/data/*" { capabilities = ["read"] }
path "secret/metadata/*" { capabilities = ["read"] }
path "secret/metadata/closed/*" { capabilities = ["deny"] }
path "secret/detailed-metadata/listed/*" { capabilities = ["list"] }
path "secret/detailed-metadata/listed" { capabilities = ["list"] }
"#;

fn requests(bao: &OpenBao, from: usize, path: &str) -> usize {
    let begins =
        |entry: &Value| entry["request"]["path"].as_str().is_some_and(|found| found.starts_with(path));
    let log = bao.audit();
    log.iter().skip(from).filter(|entry| entry["type"] == "request" && begins(entry)).count()
}

fn put(bao: &OpenBao, path: &str, value: &str) {
    bao.api("POST", &format!("secret/data/{path}"), Some(json!({ "data": { "password": value } })));
}

#[test]
fn a_folder_is_looked_at_by_one_request_where_the_server_allows_it() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    bao.policy("some", POLICY);
    kube.create(
        &format!("api/v1/namespaces/{namespace}/secrets"),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" },
            "stringData": { "token": bao.token_with(&["some"], "1h") } }),
    );
    create(
        kube,
        &namespace,
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "controller": "keyturn",
            "provider": { "vault": { "server": bao.url(), "path": "secret",
                "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } }),
    );
    let folders = ["listed", "single", "closed"];
    for folder in folders {
        for number in 0..6 {
            put(&bao, &format!("{folder}/{number}"), "one");
            // The same secret in the operator's two ways to write it.
            let key =
                if number == 5 { format!("secret/data/{folder}/5") } else { format!("{folder}/{number}") };
            create(
                kube,
                &namespace,
                json!({ "kind": "ExternalSecret", "metadata": { "name": format!("{folder}{number}") }, "spec": {
                    "secretStoreRef": { "name": "vault", "kind": "SecretStore" }, "refreshInterval": "1h",
                    "data": [{ "secretKey": "password", "remoteRef": { "key": key, "property": "password" } }] } }),
            );
        }
    }
    let staying = Staying::start(&Workshop::new(), kube, &namespace, &[]);
    wait_until("all are there", || {
        folders.iter().all(|folder| (0..6).all(|n| holds(kube, &namespace, &format!("{folder}{n}"), "one")))
    });
    for folder in folders {
        put(&bao, &format!("{folder}/1"), "two");
        put(&bao, &format!("{folder}/5"), "two");
    }
    for name in ["listed1", "listed5", "single1", "single5"] {
        wait_until(&format!("the change arrives: {name}"), || holds(kube, &namespace, name, "two"));
    }
    // From here on looks are what they will be: a listing of one folder, one request a path for the other.
    let from = bao.audit().len();
    wait_until("some looks", || requests(&bao, from, "secret/detailed-metadata/listed") >= 3);
    assert_eq!(requests(&bao, from, "secret/metadata/listed/"), 0, "the listing tells all of them");
    assert_eq!(
        requests(&bao, from, "secret/detailed-metadata/single"),
        0,
        "what was refused is not asked again"
    );
    assert!(requests(&bao, from, "secret/metadata/single/") >= 6);
    assert_eq!(requests(&bao, from, "secret/metadata/closed/"), 0, "what was refused is not asked again");
    assert_eq!(requests(&bao, from, "secret/data/"), 0, "no value is read");
    // What may not be polled waits for its interval, and hinders nobody.
    assert!(holds(kube, &namespace, "closed1", "one"));
    assert!(staying.end().ends_with("stopped\n"));
}
