//! The fixtures themselves: they come up, keep what they promise, and never outlive their test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use shared::require;
use shared::testkit::{Folder, Kube, Launch, OpenBao, Postgres, Server};

/// A zombie runs no more: it waits for whoever adopted it.
fn is_running(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    status.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(180), "{what}: not within three minutes");
        std::thread::sleep(Duration::from_millis(50));
    }
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
    let kube = require!(Kube::shared());
    let team = kube.fresh_namespace();
    kube.service_account(&team, "app");
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "db" },
        "stringData": { "user": "ada" } });
    let path = format!("api/v1/namespaces/{team}/secrets");

    kube.create(&path, secret);

    let stored = kube.api("GET", &format!("{path}/db"), None).1;
    assert_eq!(stored["data"]["user"], "YWRh");
    let token = kube.token_of(&team, "app", &[]);
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

    eventually("the owned object is collected", || kube.api("GET", &format!("{path}/owned"), None).0 == 404);
}

#[test]
fn a_service_account_logs_in_to_openbao_with_its_own_token() {
    let (bao, kube) = (require!(OpenBao::dev()), require!(Kube::shared()));
    bao.api("PUT", "secret/data/app", Some(json!({ "data": { "user": "ada" } })));
    bao.policy("app", r#"path "secret/data/app" { capabilities = ["read"] }"#);
    let role = kube.with_openbao_auth(&bao, "app", ("team-a", "app"), "app");

    let token = role.login(kube, &bao);

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
    let (bao, kube, postgres) =
        (require!(OpenBao::dev()), require!(Kube::start()), require!(Postgres::start()));
    let mut ids = kube.ids();
    ids.extend([bao.id(), postgres.id()]);
    let folders =
        [bao.folder().path(), kube.folder(), postgres.folder().path()].map(std::path::Path::to_owned);
    assert!(ids.iter().all(|id| is_running(*id)) && folders.iter().all(|folder| folder.exists()));

    drop((bao, kube, postgres));

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

#[test]
fn postgresql_takes_a_new_password_and_refuses_the_old_one_and_keeps_both_over_a_restart() {
    let mut postgres = require!(Postgres::start());
    postgres.sql("create role app login password 'first'");
    assert_eq!(postgres.sql_as("app", "first", "select current_user").as_deref(), Ok("app"));

    postgres.sql("alter role app password 'second'");
    postgres.restart();

    assert_eq!(postgres.sql_as("app", "second", "select current_user").as_deref(), Ok("app"));
    let refused = postgres.sql_as("app", "first", "select 1").expect_err("the old password");
    assert!(refused.contains("password authentication failed"), "{refused}");
}

#[test]
fn a_replica_of_postgresql_follows_and_takes_no_writes() {
    let primary = require!(Postgres::start());
    let replica = require!(primary.replica());

    primary.sql("create role app login password 'first'");

    eventually("the role is on the replica", || replica.sql_as("app", "first", "select 1").is_ok());
    assert!(replica.sql_as(replica.admin(), replica.password(), "drop role app").is_err());
}

#[test]
fn a_paused_server_does_not_answer_until_it_goes_on() {
    let bao = require!(OpenBao::dev());
    let url = format!("{}/v1/sys/health", bao.url());
    let answers = || {
        let wait = Some(Duration::from_millis(300));
        let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(wait).build().into();
        agent.get(&url).call().is_ok()
    };

    bao.pause();
    assert!(!answers());
    bao.resume();
    assert!(answers());
}

/// Set in the process that the test below starts, so that it does not start one itself.
const CHILD: &str = "KEYTURN_TEST_CHILD";

#[test]
fn a_killed_test_process_leaves_no_server_and_no_folder() {
    if std::env::var_os(CHILD).is_some() {
        let folder = Folder::new("killed");
        let user = rustix::process::geteuid().is_root().then_some((65_534, 65_534));
        let launch = |user| Launch {
            name: "sleep",
            program: "/bin/sleep".into(),
            arguments: vec!["300".into()],
            environment: Vec::new(),
            folder: folder.path().to_owned(),
            user,
            goodbye: None,
        };
        // Started by a thread that ends at once, as a fixture in a static may be.
        let servers = std::thread::scope(|scope| {
            scope
                .spawn(|| [Server::start(launch(None)), Server::start(launch(user))])
                .join()
                .expect("two servers")
        });
        println!("\nservers {} {} {}", servers[0].id(), servers[1].id(), folder.path().display());
        std::thread::sleep(Duration::from_secs(300));
        return;
    }
    let own_name = "testkit::a_killed_test_process_leaves_no_server_and_no_folder";
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", own_name, "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("start this program again");
    let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("servers ")).expect("its servers");
    let mut words = line.split(' ').skip(1);
    let ids = [(); 2].map(|()| words.next().and_then(|id| id.parse().ok()).expect("a process id"));
    let folder = std::path::PathBuf::from(words.next().expect("a folder"));
    std::thread::sleep(Duration::from_millis(500));
    assert!(ids.iter().all(|id| is_running(*id)), "a server outlives the thread that started it");

    process.kill().expect("kill it");
    process.wait().expect("wait for it");

    eventually("the servers are gone", || !ids.iter().any(|id| is_running(*id)));
    eventually("their folder is gone", || !folder.exists());
}
