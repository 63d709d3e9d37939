//! How far one run reaches: requests are counted, times and memory are printed and not judged here.
//!
//! `KEYTURN_REACH=1000 KEYTURN_REACH_ROTATOR=target/release/rotator cargo test --release --test it sync_reach -- --nocapture`

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions};

/// Few by default: each debug build would wait for a thousand.
fn number() -> usize {
    std::env::var("KEYTURN_REACH").ok().and_then(|number| number.parse().ok()).unwrap_or(60)
}

fn program() -> PathBuf {
    std::env::var_os("KEYTURN_REACH_ROTATOR")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_rotator")), PathBuf::from)
}

struct Run {
    took: Duration,
    memory_kib: u64,
    out: String,
}

fn sync(kube: &Kube, namespace: &str) -> Run {
    let mut command = Command::new(program());
    command.args(["sync", "--cluster", "--namespace", namespace, "--concurrency", "32"]);
    let start = Instant::now();
    // A line for each Secret is more than a pipe holds.
    let mut output = tempfile::tempfile().expect("a file");
    let copy = output.try_clone().expect("the file");
    let mut child = command.env("KUBECONFIG", kube.kubeconfig()).stdout(copy).spawn().expect("start");
    let status = format!("/proc/{}/status", child.id());
    let mut memory_kib = 0;
    while child.try_wait().expect("a state").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
        let now = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
        memory_kib = now.max(memory_kib);
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = start.elapsed();
    let mut out = String::new();
    output.rewind().expect("the start");
    output.read_to_string(&mut out).expect("UTF-8");
    Run { took, memory_kib, out }
}

/// Requests of the store, by operation and kind of path.
fn requests(bao: &OpenBao, from: usize) -> (BTreeMap<String, usize>, usize) {
    let log = bao.audit();
    let mut counts = BTreeMap::new();
    for entry in log.iter().skip(from).filter(|entry| entry["type"] == "response") {
        let path = entry["request"]["path"].as_str().unwrap_or_default();
        let kind = path.split('/').take(2).collect::<Vec<_>>().join("/");
        *counts
            .entry(format!("{} {kind}", entry["request"]["operation"].as_str().unwrap_or_default()))
            .or_default() += 1;
    }
    (counts, log.len())
}

fn versions(kube: &Kube, namespace: &str) -> Vec<Value> {
    let (_, list) = kube.api("GET", &format!("api/v1/namespaces/{namespace}/secrets"), None);
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["metadata"]["resourceVersion"].clone()).collect()
}

#[test]
fn one_login_one_read_a_path_and_no_write_where_nothing_changed() {
    let (kube, bao) = (require!(Kube::start()), require!(OpenBao::dev()));
    install_definitions(&kube);
    let number = number();
    let namespace = kube.fresh_namespace();
    bao.policy("read", "path \"secret/*\" { capabilities = [\"read\"] }");
    let role = kube.with_openbao_auth(&bao, "sync", (&namespace, "sync"), "read");
    create(
        &kube,
        &namespace,
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "provider": { "vault": {
            "server": bao.url(), "path": "secret", "auth": { "kubernetes": { "mountPath": role.mount,
                "role": role.role, "serviceAccountRef": { "name": role.service_account } } } } } } }),
    );
    let shared_paths = number.div_ceil(10);
    for index in 0..number {
        let body = json!({ "data": { "username": format!("u{index}"), "password": format!("p{index}-0") } });
        bao.api("POST", &format!("secret/data/bench/{index}"), Some(body));
        create(
            &kube,
            &namespace,
            json!({ "kind": "ExternalSecret", "metadata": { "name": format!("s{index}") }, "spec": {
                "refreshInterval": "1h", "secretStoreRef": { "name": "vault", "kind": "SecretStore" },
                "dataFrom": [{ "extract": { "key": format!("bench/{index}") } }] } }),
        );
    }
    let (_, seen) = requests(&bao, 0);
    let first = sync(&kube, &namespace);
    let (asked, seen) = requests(&bao, seen);
    assert!(first.out.contains(&format!("{number} created")), "{}", first.out);
    assert_eq!(asked["read secret/data"], number, "one read a path: {asked:?}");
    assert_eq!(asked["update auth/kubernetes"], 1, "one login for all: {asked:?}");
    let before = versions(&kube, &namespace);

    let again = sync(&kube, &namespace);
    let (asked, seen) = requests(&bao, seen);
    assert!(again.out.contains(&format!("{number} unchanged")), "{}", again.out);
    assert!(asked.is_empty(), "nothing is due, so nothing is asked: {asked:?}");
    assert_eq!(versions(&kube, &namespace), before, "nothing is written");

    // Ten ExternalSecrets a path: the number of paths counts.
    let shared = kube.fresh_namespace();
    kube.service_account(&shared, "sync");
    bao.api(
        "POST",
        &format!("auth/{}/role/shared", role.mount),
        Some(json!({ "bound_service_account_names": "sync", "bound_service_account_namespaces": shared, "policies": "read" })),
    );
    create(
        &kube,
        &shared,
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "provider": { "vault": {
            "server": bao.url(), "path": "secret", "auth": { "kubernetes": { "mountPath": role.mount,
                "role": "shared", "serviceAccountRef": { "name": "sync" } } } } } } }),
    );
    for index in 0..number {
        create(
            &kube,
            &shared,
            json!({ "kind": "ExternalSecret", "metadata": { "name": format!("s{index}") }, "spec": {
                "refreshInterval": "1h", "secretStoreRef": { "name": "vault", "kind": "SecretStore" },
                "dataFrom": [{ "extract": { "key": format!("bench/{}", index % shared_paths) } }] } }),
        );
    }
    let (_, seen) = requests(&bao, seen);
    let coalesced = sync(&kube, &shared);
    let (asked, _) = requests(&bao, seen);
    assert_eq!(asked["read secret/data"], shared_paths, "{asked:?}");
    for (what, run) in [("first", &first), ("again", &again), ("shared paths", &coalesced)] {
        println!("{number} ExternalSecrets, {what}: {:.2} s, {} KiB", run.took.as_secs_f64(), run.memory_kib);
    }
}
