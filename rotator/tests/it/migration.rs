//! From External Secrets Operator to this program and back, as `deploy/migration/README.md` says it: whatever the
//! operator left behind stays as it is.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{install_definitions, wait_until};
use crate::replay::{Case, cases, create, path, prepare, shown, vault};
use crate::run_cluster::free_address;
use crate::run_cluster::get as http_get;
use crate::workshop::Workshop;

const PAGE: &str = include_str!("../../../deploy/migration/README.md");
const FINALIZER: &str = "externalsecrets.external-secrets.io/externalsecret-cleanup";

/// Cases of these features leave a Secret behind that is worth keeping.
const FEATURES: [&str; 7] = ["policy", "target", "meta-copy", "type", "template", "whole", "conversion"];

fn worth_keeping(case: &Case) -> bool {
    let expected = &case.json["expect"];
    let by_token =
        case.json["objects"].as_array().into_iter().flatten().any(|object| object["kind"] == "SecretStore");
    FEATURES.contains(&case.feature.as_str())
        && by_token
        && expected["secret"].is_object()
        && expected["condition"]["status"] == "True"
        && expected["condition"]["reason"] == "SecretSynced"
        && case.name != "generator-fake"
}

/// A cluster as the operator leaves it: its ExternalSecrets with finalizer and status, and the Secrets that it made.
fn as_the_operator_left_it(kube: &Kube, bao: &OpenBao, case: &Case) {
    kube.namespace(&case.namespace);
    for call in case.json["vault"].as_array().expect("calls") {
        vault(bao, call);
    }
    // A Secret that was there before keeps what it had, and who had it.
    for object in case.json["objects"].as_array().expect("objects") {
        create(kube, bao, &case.namespace, object);
    }
    let mut object = case.json["externalSecret"].clone();
    object["kind"] = json!("ExternalSecret");
    object["metadata"]["finalizers"] = json!([FINALIZER]);
    let (code, made) = create(kube, bao, &case.namespace, &object);
    assert!(code < 300, "{}: {made}", case.name);

    let expected = &case.json["expect"];
    let mut secret = json!({ "apiVersion": "v1", "kind": "Secret", "type": expected["secret"]["type"],
        "data": expected["secret"]["data"], "immutable": expected["secret"]["immutable"],
        "metadata": { "name": case.target(), "labels": expected["secret"]["labels"],
            "annotations": expected["secret"]["annotations"], "finalizers": expected["secret"]["finalizers"],
            "ownerReferences": expected["secret"]["ownerReferences"] } });
    for owner in secret["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
        let at = path(owner["kind"].as_str().expect("a kind"), &case.namespace);
        let at = format!("{at}/{}", owner["name"].as_str().expect("a name"));
        owner["uid"] = kube.api("GET", &at, None).1["metadata"]["uid"].clone();
        assert!(owner["uid"].is_string(), "{}: {at}", case.name);
    }
    let manager = format!("externalsecrets.external-secrets.io/{}", case.external_secret());
    let (place, name) = (path("Secret", &case.namespace), case.target());
    let (code, found) = kube.api("GET", &format!("{place}/{name}"), None);
    let (method, at) = if code == 200 {
        secret["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
        ("PUT", format!("{place}/{name}"))
    } else {
        ("POST", place)
    };
    let (code, answer) = kube.api(method, &format!("{at}?fieldManager={manager}"), Some(secret));
    assert!(code < 300, "{}: {answer}", case.name);

    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let status = json!({ "status": { "refreshTime": now, "syncedResourceVersion": expected["syncedResourceVersion"],
        "binding": { "name": expected["binding"] }, "conditions": [{ "type": "Ready", "status": "True",
            "reason": "SecretSynced", "message": "secret synced", "lastTransitionTime": now }] } });
    let at = format!("{}/{}/status", path("ExternalSecret", &case.namespace), case.external_secret());
    let (code, answer) = kube.api("PATCH", &at, Some(status));
    assert_eq!(code, 200, "{}: {answer}", case.name);
}

fn secret(kube: &Kube, case: &Case) -> Value {
    let (code, secret) =
        kube.api("GET", &format!("{}/{}", path("Secret", &case.namespace), case.target()), None);
    assert_eq!(code, 200, "{}: its Secret is gone", case.name);
    secret
}

/// The operator's Deployment, as its chart labels it.
fn deployment(kube: &Kube, replicas: u32) {
    let labels = json!({ "app.kubernetes.io/name": "external-secrets" });
    kube.apply(
        "apis/apps/v1/namespaces/default/deployments/external-secrets",
        json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "external-secrets", "namespace": "default", "labels": labels },
            "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "eso", "image": "x" }] } } } }),
    );
}

fn scaled_to_nothing(kube: &Kube) {
    deployment(kube, 0);
    wait_until("no replica is left", || {
        let (_, found) =
            kube.api("GET", "apis/apps/v1/namespaces/default/deployments/external-secrets", None);
        found["status"]["replicas"].as_u64().unwrap_or(0) == 0
    });
}

#[test]
fn what_the_operator_left_survives_the_way_here_and_back() {
    // With controllers: the garbage collector would delete what loses its owner.
    let (kube, bao) = (require!(Kube::start_with_controllers()), require!(OpenBao::dev()));
    install_definitions(&kube);
    prepare(&kube, &bao);
    let cases: Vec<Case> = cases().into_iter().filter(worth_keeping).collect();
    assert!(cases.len() >= 25, "{} cases", cases.len());
    for case in &cases {
        as_the_operator_left_it(&kube, &bao, case);
    }
    let before: BTreeMap<&str, Value> =
        cases.iter().map(|case| (case.name.as_str(), secret(&kube, case))).collect();

    // Two writers never meet.
    deployment(&kube, 1);
    let workshop = Workshop::new();
    let words = ["run", "--cluster", "--target", "cluster", "--adopt"];
    let refused = workshop.run_with(&kube.kubeconfig(), &words);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("External Secrets Operator runs"), "{refused:?}");

    // The way here.
    scaled_to_nothing(&kube);
    let address = free_address();
    let mut child = workshop
        .rotator(&[&words[..], &["--listen", &address]].concat())
        .env("KUBECONFIG", kube.kubeconfig())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("start");
    wait_until("all were looked at", || {
        std::net::TcpStream::connect(&address).is_ok() && {
            let metrics = http_get(&address, "/metrics");
            let looked = metrics
                .lines()
                .find_map(|line| line.strip_prefix("keyturn_sync_total{outcome=\"unchanged\"} "));
            looked.and_then(|number| number.parse::<usize>().ok()).is_some_and(|number| number >= cases.len())
        }
    });
    for case in &cases {
        assert_eq!(secret(&kube, case), before[case.name.as_str()], "{}: nothing is written", case.name);
    }
    // From now on it is this program that serves them.
    let owned: Vec<&Case> = cases.iter().filter(|case| case.name == "create-owner-absent").collect();
    let served = owned.first().expect("a case");
    let changed = json!({ "data": { "k": "v2", "x": "y" } });
    bao.api("POST", "secret/data/create-owner-absent/app", Some(changed));
    wait_until("a change arrives", || secret(&kube, served)["data"]["k"] == json!("djI="));
    let after = secret(&kube, served);
    for field in ["uid", "ownerReferences", "creationTimestamp", "labels"] {
        assert_eq!(after["metadata"][field], before[served.name.as_str()]["metadata"][field], "{field}");
    }
    let bad =
        |metrics: &str| metrics.lines().any(|line| line.starts_with("keyturn_sync_total{outcome=\"error\"}"));
    assert!(!bad(&http_get(&address, "/metrics")));

    // And back.
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("a signal");
    assert!(child.wait().expect("an end").success());
    deployment(&kube, 1);
    let forced = workshop.run_with(&kube.kubeconfig(), &words);
    assert_eq!(forced.code, 2, "the operator is back: {forced:?}");
    for case in &cases {
        let now = secret(&kube, case);
        if case.name != served.name {
            assert_eq!(now, before[case.name.as_str()], "{}", case.name);
        }
        // What the operator goes by: its marks, its owner references, its finalizer, its status.
        let expected = &case.json["expect"];
        let marks = |secret: &Value| {
            let shown = shown(secret);
            (shown["labels"].clone(), shown["ownerReferences"].clone())
        };
        assert_eq!(
            marks(&now),
            (expected["secret"]["labels"].clone(), expected["secret"]["ownerReferences"].clone()),
            "{}",
            case.name
        );
        let at = format!("{}/{}", path("ExternalSecret", &case.namespace), case.external_secret());
        let (_, object) = kube.api("GET", &at, None);
        assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]), "{}", case.name);
        assert_eq!(
            object["status"]["syncedResourceVersion"], expected["syncedResourceVersion"],
            "{}",
            case.name
        );
    }
    let hash = "reconcile.external-secrets.io/data-hash";
    let of = |secret: &Value| secret["metadata"]["annotations"][hash].as_str().map(str::len);
    assert_eq!(of(&after), of(&before[served.name.as_str()]), "a mark of the operator's kind");
}

/// Each command of the page that can be tried is one that the tests try.
#[test]
fn the_page_names_every_definition_that_must_be_kept() {
    for name in [
        "externalsecrets.external-secrets.io",
        "clusterexternalsecrets.external-secrets.io",
        "secretstores.external-secrets.io",
        "clustersecretstores.external-secrets.io",
    ] {
        assert!(PAGE.contains(name), "{name}");
    }
    assert!(PAGE.contains("helm.sh/resource-policy=keep") && PAGE.contains("--adopt"));
}
