//! The policies of `deploy/vault` on a real server: enough for the work, and no more.

use serde_json::{Value, json};
use shared::require;
use shared::testkit::OpenBao;

use crate::postgres::Shop;

const ROTATOR: &str = include_str!("../../../deploy/vault/rotator.hcl");
const SYNC: &str = include_str!("../../../deploy/vault/sync.hcl");
const CLUSTER: &str = include_str!("../../../deploy/vault/cluster.hcl");

fn token(bao: &OpenBao, name: &str, policy: &str) -> String {
    bao.policy(name, policy);
    bao.token_with(&[name], "1h")
}

#[test]
fn a_rotator_can_do_its_work_and_hide_nothing() {
    let mut shop = require!(Shop::small());
    let token = token(&shop.bao, "rotator", ROTATOR);
    shop.store_token = Some(token.clone());
    shop.write();
    shop.first_run();
    let ended = shop.rotate(&["--now"]);
    assert!(ended.code == 0 && ended.out.contains("proven     run 2"), "{ended:?}");
    assert!(!ended.err.contains("not guarded"), "{ended:?}");
    for command in [&["status", "--config", "config"][..], &["plan", "--config", "config", "--now"]] {
        let ended = shop.workshop.run(command);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let known = ["known", "--config", "config", "--out", "known", "--key-file", "known.key"];
    shop.workshop.write("known.key", &format!("{}\n", "5a".repeat(32)));
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(shop.workshop.path("known.key"), private).unwrap();
    let known = shop.workshop.run(&[&known[..], &["--receipt-key", "keys/receipts.pem"]].concat());
    assert_eq!(known.code, 0, "{known:?}");

    let journal = "keyturn/journal/shop/orders";
    let metadata = shop.bao.api("GET", &format!("secret/metadata/{journal}"), None);
    assert_eq!(
        (&metadata["data"]["cas_required"], &metadata["data"]["max_versions"]),
        (&json!(true), &json!(16))
    );
    let blind = json!({ "data": { "phase": "Proven" } });
    let versions = json!({ "versions": [1] });
    let refused: [(&str, String, Option<Value>); 8] = [
        ("DELETE", format!("secret/data/{journal}"), None),
        ("POST", format!("secret/delete/{journal}"), Some(versions.clone())),
        ("POST", format!("secret/undelete/{journal}"), Some(versions.clone())),
        ("POST", format!("secret/destroy/{journal}"), Some(versions)),
        ("DELETE", format!("secret/metadata/{journal}"), None),
        ("POST", format!("secret/metadata/{journal}"), Some(json!({ "max_versions": 1 }))),
        ("POST", format!("secret/metadata/{journal}"), Some(json!({ "cas_required": false }))),
        ("POST", "secret/data/keyturn/acks/shop/orders/berlin".into(), Some(blind.clone())),
    ];
    for (method, path, body) in refused {
        let (status, answer) = shop.bao.api_as(&token, method, &path, body.clone());
        assert_eq!(status, 403, "{method} {path} {body:?}: {answer}");
    }
    let (status, answer) = shop.bao.api_as(&token, "POST", &format!("secret/data/{journal}"), Some(blind));
    assert!(status == 400 && answer.to_string().contains("check-and-set"), "{status} {answer}");
}

#[test]
fn syncs_and_other_clusters_see_no_journal() {
    let shop = require!(Shop::small());
    shop.first_run();
    let (sync, cluster) = (token(&shop.bao, "sync", SYNC), token(&shop.bao, "cluster", CLUSTER));
    let word = json!({ "data": { "version": 1 } });
    let may = |token: &str, method: &str, path: &str| {
        let body = (method == "POST").then(|| word.clone());
        shop.bao.api_as(token, method, &format!("secret/data/{path}"), body).0 < 300
    };
    for token in [&sync, &cluster] {
        assert!(may(token, "GET", "shop/orders") && !may(token, "POST", "shop/orders"));
        assert!(!may(token, "GET", "keyturn/journal/shop/orders") && !may(token, "GET", "pg/admin"));
        assert!(!may(token, "POST", "keyturn/freeze"));
    }
    assert!(may(&cluster, "POST", "keyturn/acks/shop/orders/berlin"));
    assert!(
        !may(&cluster, "POST", "keyturn/acks/shop/orders/oslo")
            && !may(&sync, "POST", "keyturn/acks/shop/orders/berlin")
    );
}
