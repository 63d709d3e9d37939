//! The fixtures themselves: they come up, keep what they promise, and never outlive their test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::json;
use shared::require;
use shared::testkit::{Kube, OpenBao};

fn is_running(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn openbao_in_dev_mode_keeps_a_secret_and_audits_it_without_its_value() {
    let bao = require!(OpenBao::dev());
    bao.api("PUT", "secret/data/app", Some(json!({ "data": { "password": "correct horse" } })));

    let read = bao.api("GET", "secret/data/app", None);

    assert_eq!(read["data"]["data"]["password"], "correct horse");
    let audit = bao.audit();
    assert!(audit.iter().any(|entry| entry["request"]["path"] == "secret/data/app"));
    assert!(!json!(audit).to_string().contains("correct horse"));
}

#[test]
fn openbao_on_raft_is_sealed_unsealed_and_restarted_with_its_data_kept() {
    let mut bao = require!(OpenBao::raft());
    bao.api("PUT", "secret/data/app", Some(json!({ "data": { "user": "ada" } })));

    bao.seal();
    let (status, _) = bao.api_as(bao.token(), "GET", "secret/data/app", None);
    assert_eq!(status, 503, "a sealed server gives nothing");

    bao.unseal();
    assert_eq!(bao.api("GET", "secret/data/app", None)["data"]["data"]["user"], "ada");

    let before = bao.id();
    bao.restart();
    assert_ne!(bao.id(), before);
    assert_eq!(bao.api("GET", "secret/data/app", None)["data"]["data"]["user"], "ada");
}

#[test]
fn openbao_limits_a_token_to_its_policy() {
    let bao = require!(OpenBao::dev());
    bao.api("PUT", "secret/data/app", Some(json!({ "data": { "user": "ada" } })));
    bao.policy("reader", r#"path "secret/data/app" { capabilities = ["read"] }"#);

    let token = bao.token_with(&["reader"], "5m");

    assert_eq!(bao.api_as(&token, "GET", "secret/data/app", None).0, 200);
    assert_eq!(bao.api_as(&token, "GET", "secret/data/other", None).0, 403);
}

#[test]
fn kubernetes_stores_a_secret_and_refuses_a_service_account_without_a_role() {
    let kube = require!(Kube::start());
    kube.service_account("team-a", "app");
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "db" },
        "stringData": { "user": "ada" } });
    let path = "api/v1/namespaces/team-a/secrets";

    kube.create(path, secret);

    let stored = kube.api("GET", &format!("{path}/db"), None).1;
    assert_eq!(stored["data"]["user"], "YWRh");
    let token = kube.token_of("team-a", "app", &[]);
    assert_eq!(kube.api_as(&token, "GET", &format!("{path}/db"), None).0, 403);
}

#[test]
fn kubernetes_keeps_its_objects_over_a_restart() {
    let mut kube = require!(Kube::start());
    kube.namespace("kept");

    kube.restart();

    assert_eq!(kube.api("GET", "api/v1/namespaces/kept", None).0, 200);
}

#[test]
fn controllers_collect_what_a_deleted_owner_leaves() {
    let kube = require!(Kube::start_with_controllers());
    let path = "api/v1/namespaces/default/configmaps";
    let owner = kube
        .create(path, json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owner" } }));
    let reference = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
        "uid": owner["metadata"]["uid"] });
    kube.create(
        path,
        json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "owned", "ownerReferences": [reference] } }),
    );

    kube.api("DELETE", &format!("{path}/owner"), None);

    let start = std::time::Instant::now();
    while kube.api("GET", &format!("{path}/owned"), None).0 != 404 {
        assert!(start.elapsed().as_secs() < 60, "the owned object was not collected");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_service_account_logs_in_to_openbao_with_its_own_token() {
    let (bao, kube) = (require!(OpenBao::dev()), require!(Kube::start()));
    bao.api("PUT", "secret/data/app", Some(json!({ "data": { "user": "ada" } })));
    bao.policy("app", r#"path "secret/data/app" { capabilities = ["read"] }"#);
    let role = kube.with_openbao_auth(&bao, "app", ("team-a", "app"), "app");

    let token = role.login(&kube, &bao);

    assert_eq!(bao.api_as(&token, "GET", "secret/data/app", None).1["data"]["data"]["user"], "ada");
    kube.service_account("team-a", "stranger");
    let stranger = kube.token_of("team-a", "stranger", &[]);
    let refused =
        bao.api_as("", "POST", "auth/kubernetes/login", Some(json!({ "role": "app", "jwt": stranger })));
    assert_eq!(refused.0, 403, "{}", refused.1);
}

#[test]
fn two_of_each_run_side_by_side() {
    let (one, two) = (require!(OpenBao::dev()), require!(OpenBao::raft()));
    let (left, right) = (require!(Kube::start()), require!(Kube::start()));
    one.api("PUT", "secret/data/app", Some(json!({ "data": { "user": "one" } })));
    left.namespace("left");

    assert_eq!(two.api_as(two.token(), "GET", "secret/data/app", None).0, 404);
    assert_eq!(right.api("GET", "api/v1/namespaces/left", None).0, 404);
}

#[test]
fn a_dropped_fixture_leaves_no_process_and_no_folder() {
    let (bao, kube) = (require!(OpenBao::dev()), require!(Kube::start()));
    let mut ids = kube.ids();
    ids.push(bao.id());
    let folders = [bao.folder().path().to_owned(), kube.folder().to_owned()];
    assert!(ids.iter().all(|id| is_running(*id)) && folders.iter().all(|folder| folder.exists()));

    drop((bao, kube));

    assert!(!ids.iter().any(|id| is_running(*id)));
    assert!(!folders.iter().any(|folder| folder.exists()));
}

#[test]
fn a_panicking_test_leaves_no_process() {
    let bao = require!(OpenBao::dev());
    let id = bao.id();

    let failed = catch_unwind(AssertUnwindSafe(move || {
        let _bao = bao;
        panic!("the test fails");
    }));

    assert!(failed.is_err());
    assert!(!is_running(id));
}
