//! Rotations that are objects of a cluster: read there, and told there where they stand.

use serde_json::{Value, json};
use shared::require;
use shared::testkit::Kube;

use crate::cluster::{install_definitions, secret};
use crate::postgres::Shop;
use crate::workshop::Ended;

const ROTATIONS: &str = "apis/keyturn.dev/v1alpha1/namespaces/shop/rotations";

/// The shop's manifests as objects.
fn create(kube: &Kube, shop: &Shop) {
    install_definitions(kube);
    kube.namespace("shop");
    kube.namespace("platform");
    for document in shop.manifests().split("---\n") {
        let mut object: Value = serde_saphyr::from_str(document).unwrap();
        let text = |field: &str| object[field].as_str().unwrap().to_owned();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let root = if version == "v1" { "api/v1".to_owned() } else { format!("apis/{version}") };
        let namespace = object["metadata"]["namespace"].as_str();
        let within = namespace.map_or_else(String::new, |namespace| format!("namespaces/{namespace}/"));
        // Cron fields and the like are text; what looks like a number in YAML is one for nobody here.
        object["metadata"]["labels"] = json!({ "from": "files" });
        kube.create(&format!("{root}/{within}{}s", kind.to_lowercase()), object);
    }
}

fn run(kube: &Kube, shop: &Shop, command: &str, more: &[&str]) -> Ended {
    let all = [command, "--cluster", "--target", "cluster", "--fingerprint-key", "keys/fingerprint.key"];
    let keys = ["--receipt-key", "keys/receipts.pem", "--receipts", "receipts"];
    let words: Vec<&str> = all.into_iter().chain(keys).chain(more.iter().copied()).collect();
    shop.workshop.run_with(&kube.kubeconfig(), &words)
}

fn object(kube: &Kube, name: &str) -> Value {
    kube.api("GET", &format!("{ROTATIONS}/{name}"), None).1
}

/// The status and the message of a condition.
fn condition(object: &Value, kind: &str) -> (String, String) {
    let all = object["status"]["conditions"].as_array().unwrap_or_else(|| panic!("{object}"));
    let one = all.iter().find(|condition| condition["type"] == kind).unwrap();
    let text = |field: &str| one[field].as_str().unwrap().to_owned();
    (text("status"), text("message"))
}

#[test]
fn objects_are_rotated_and_told_so_and_a_restored_journal_shows() {
    let (kube, shop) = (require!(Kube::start()), require!(Shop::small()));
    create(&kube, &shop);

    let first = run(&kube, &shop, "rotate", &["--now"]);
    assert!(first.code == 0 && first.out.contains("shop/orders: proven     run 1"), "{first:?}");
    let told = object(&kube, "orders");
    let status = &told["status"];
    assert_eq!((&status["phase"], &status["revision"]), (&json!("Proven"), &json!(1)), "{told}");
    assert_eq!(status["observedGeneration"], 1);
    assert!(status["nextRun"].as_str().unwrap().ends_with("T02:00:00Z"), "{told}");
    for (kind, is) in [("Ready", "True"), ("Progressing", "False"), ("NeedsPerson", "False")] {
        assert_eq!(condition(&told, kind).0, is, "{told}");
    }
    let (account, password) = shop.published();
    assert!(shop.lets_in((&account, &password)));
    let made = secret(&kube, "shop", "orders").expect("the Secret was made");
    assert_eq!(made["data"]["password"], data_encoding::BASE64.encode(password.as_bytes()));
    let again = run(&kube, &shop, "rotate", &["--resume"]);
    assert_eq!(again.code, 0, "{again:?}");
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&object(&kube, "orders")), version(&told), "nothing new is nothing to write");

    // A run, and then the journal as it was before it.
    let before = shop.journal();
    assert_eq!(run(&kube, &shop, "rotate", &["--now"]).code, 0);
    assert_eq!(object(&kube, "orders")["status"]["revision"], 2);
    let metadata = shop.bao.api("GET", "secret/metadata/keyturn/journal/shop/orders", None);
    let newest = metadata["data"]["current_version"].clone();
    let restored = json!({ "data": before, "options": { "cas": newest } });
    shop.bao.api("PUT", "secret/data/keyturn/journal/shop/orders", Some(restored));
    let restored = run(&kube, &shop, "rotate", &["--now"]);
    assert_eq!(restored.code, 3, "{restored:?}");
    assert!(restored.out.contains("the journal is at revision 1, the status has seen 2"), "{restored:?}");
    let told = object(&kube, "orders");
    assert_eq!(told["status"]["revision"], 2, "it never falls");
    let (needs, message) = condition(&told, "NeedsPerson");
    assert!(needs == "True" && message.contains("rotator reconcile shop/orders"), "{told}");
    assert_eq!(condition(&told, "Ready").0, "False");

    // What a person is told to do helps.
    let reconciled = run(&kube, &shop, "reconcile", &["orders"]);
    assert_eq!(reconciled.code, 0, "{reconciled:?}");
    let told = object(&kube, "orders");
    assert!(condition(&told, "NeedsPerson").0 == "False" && told["status"]["revision"] == 3, "{told}");
    let (account, now) = shop.published();
    assert!(shop.lets_in((&account, &now)));

    // Everything else that reads manifests reads objects too.
    let kubeconfig = kube.kubeconfig();
    // A Secret that a rotation wrote is one whose own sync is still to come.
    let lines = shop.workshop.run_with(&kubeconfig, &["status", "--cluster"]);
    assert!(lines.code == 1 && lines.out.contains("NEVER SYNCED"), "{lines:?}");
    let synced = shop.workshop.run_with(&kubeconfig, &["sync", "--cluster", "--target", "cluster"]);
    assert_eq!(synced.code, 0, "{synced:?}");
    let lines = shop.workshop.run_with(&kubeconfig, &["status", "--cluster"]);
    assert!(lines.code == 0 && lines.out.contains("shop/orders"), "{lines:?}");
    let plan = shop.workshop.run_with(&kubeconfig, &["plan", "--cluster", "--now"]);
    assert!(plan.code == 0 && plan.out.contains("ALTER ROLE"), "{plan:?}");
    let freeze = shop.workshop.run_with(&kubeconfig, &["freeze", "--cluster", "--reason", "maintenance"]);
    assert_eq!(freeze.code, 0, "{freeze:?}");
    let frozen = run(&kube, &shop, "rotate", &["--now"]);
    assert!(frozen.code == 1 && frozen.out.contains("maintenance"), "{frozen:?}");
    assert_eq!(
        condition(&object(&kube, "orders"), "Ready").1.split(' ').next(),
        Some("frozen"),
        "{frozen:?}"
    );
    for ended in [&first, &restored, &reconciled, &lines, &plan, &frozen] {
        for secret in [&password, &now] {
            assert!(!ended.out.contains(secret) && !ended.err.contains(secret));
        }
    }
    let all = kube.api("GET", ROTATIONS, None).1.to_string();
    assert!(!all.contains(&password) && !all.contains(&now));
}

#[test]
fn two_objects_of_one_account_are_both_told() {
    let (kube, shop) = (require!(Kube::start()), require!(Shop::small()));
    create(&kube, &shop);
    let mut twin = object(&kube, "orders");
    twin["metadata"] = json!({ "name": "twin" });
    twin["spec"]["publish"]["key"] = json!("shop/twin");
    kube.create(ROTATIONS, twin);
    let ended = run(&kube, &shop, "rotate", &["--now"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    for (name, other) in [("orders", "shop/twin"), ("twin", "shop/orders")] {
        let (ready, message) = condition(&object(&kube, name), "Ready");
        assert!(ready == "False" && message.contains(&format!("{other} rotates orders_")), "{message}");
    }
    let journal = "secret/data/keyturn/journal/shop/orders";
    assert_eq!(shop.bao.api_as(shop.bao.token(), "GET", journal, None).0, 404, "nothing was begun");
}
