//! The roles of `deploy/kubernetes` on a real API server: enough for one namespace, and nothing in another.

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions, secret, wait_until};
use crate::run_cluster::{Staying, holds, path, put, ready, reasons_of_events};
use crate::workshop::Workshop;

const ROLES: &str = include_str!("../../../deploy/kubernetes/namespace.yaml");

fn place(object: &Value) -> String {
    let kind = object["kind"].as_str().expect("a kind");
    let (group, plural) = match kind {
        "ServiceAccount" => ("api/v1".to_owned(), "serviceaccounts".to_owned()),
        kind => ("apis/rbac.authorization.k8s.io/v1".to_owned(), format!("{}s", kind.to_lowercase())),
    };
    let name = object["metadata"]["name"].as_str().expect("a name");
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("{group}/{plural}/{name}"),
    }
}

#[test]
fn one_namespace_is_served_with_the_rights_of_one_namespace() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let (namespace, other) = (kube.fresh_namespace(), kube.fresh_namespace());
    let roles: Vec<Value> = serde_saphyr::from_multiple(&ROLES.replace("shop", &namespace)).expect("YAML");
    assert_eq!(roles.len(), 5);
    for role in roles {
        kube.apply(&place(&role), role);
    }
    // The store logs in as a service account of the namespace, whose token the rotator asks for.
    bao.policy("read", "path \"secret/*\" { capabilities = [\"read\", \"list\"] }");
    let role = kube.with_openbao_auth(&bao, "sync", (&namespace, "sync"), "read");
    let vault = json!({ "server": bao.url(), "path": "secret", "auth": { "kubernetes": { "mountPath": role.mount,
        "role": role.role, "serviceAccountRef": { "name": role.service_account } } } });
    for namespace in [&namespace, &other] {
        create(
            kube,
            namespace,
            json!({ "kind": "SecretStore", "metadata": { "name": "vault" },
                "spec": { "controller": "keyturn", "provider": { "vault": vault } } }),
        );
    }
    put(&bao, "a", "one");
    for namespace in [&namespace, &other] {
        create(
            kube,
            namespace,
            json!({ "kind": "ExternalSecret", "metadata": { "name": "a" }, "spec": {
                "secretStoreRef": { "name": "vault", "kind": "SecretStore" }, "refreshInterval": "1h",
                "data": [{ "secretKey": "password", "remoteRef": { "key": "app/a", "property": "password" } }] } }),
        );
    }
    let token = kube.token_of(&namespace, "keyturn-rotator", &[]);
    let kubeconfig = kube.kubeconfig_for(&token);
    let staying = Staying::start_as(&Workshop::new(), &kubeconfig, &namespace, &["--interval", "1s"]);
    wait_until("the Secret is made", || holds(kube, &namespace, "a", "one"));
    put(&bao, "a", "two");
    wait_until("a change arrives", || holds(kube, &namespace, "a", "two"));
    let told = ("True".to_owned(), "SecretSynced".to_owned());
    wait_until("it is reported", || {
        ready(kube, &path(&namespace, "externalsecrets", "a")) == Some(told.clone())
    });
    let valid = ("True".to_owned(), "Valid".to_owned());
    wait_until("the store too", || {
        ready(kube, &path(&namespace, "secretstores", "vault")) == Some(valid.clone())
    });
    wait_until("and by events", || reasons_of_events(kube, &namespace).contains("Updated"));
    assert!(secret(kube, &other, "a").is_none(), "the other namespace is not served");
    for path in [format!("api/v1/namespaces/{other}/secrets"), "api/v1/secrets".to_owned()] {
        assert_eq!(kube.api_as(&token, "GET", &path, None).0, 403, "{path}");
    }
    let said = staying.end();
    assert!(!said.contains("error"), "nothing was refused: {said}");
}
