//! How far one run reaches: requests are counted, times and memory are printed and not judged here.
//!
//! ```sh
//! export KEYTURN_REACH_ROTATOR=$PWD/target/release/rotator
//! KEYTURN_REACH=1000 cargo test -p rotator --all-features --test it sync_reach -- --nocapture --test-threads 1
//! KEYTURN_REACH=10000 KEYTURN_REACH_NAMESPACES=20 cargo test -p rotator --all-features --test it \
//!     sync_reach::many_namespaces -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions, wait_until};
use crate::run_cluster::{Staying, holds};
use crate::workshop::Workshop;

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
    run(kube, &["--namespace", namespace])
}

fn run(kube: &Kube, more: &[&str]) -> Run {
    let mut command = Command::new(program());
    command.args(["sync", "--cluster", "--concurrency", "32"]).args(more);
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

/// Objects are made by so many at once: one alone would take longer than what is measured.
const MAKERS: usize = 8;

fn in_parallel(number: usize, make: impl Fn(usize) + Sync) {
    let make = &make;
    std::thread::scope(|scope| {
        for maker in 0..MAKERS {
            scope.spawn(move || (maker..number).step_by(MAKERS).for_each(make));
        }
    });
}

fn put(bao: &OpenBao, name: &str, value: &str) {
    bao.api("POST", &format!("secret/data/app/{name}"), Some(json!({ "data": { "password": value } })));
}

fn external_secret(name: &str, path: &str) -> Value {
    json!({ "kind": "ExternalSecret", "metadata": { "name": name }, "spec": { "refreshInterval": "1h",
        "secretStoreRef": { "name": "vault", "kind": "SecretStore" },
        "data": [{ "secretKey": "password", "remoteRef": { "key": path, "property": "password" } }] } })
}

/// A namespace with a store that is ours.
fn site(kube: &Kube, bao: &OpenBao) -> String {
    let namespace = kube.fresh_namespace();
    kube.create(
        &format!("api/v1/namespaces/{namespace}/secrets"),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" }, "stringData": { "token": bao.token() } }),
    );
    create(
        kube,
        &namespace,
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "controller": "keyturn",
            "provider": { "vault": { "server": bao.url(), "path": "secret",
                "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } }),
    );
    namespace
}

/// A tenth of them first, then all: time and memory of both are printed.
#[test]
fn many_namespaces_are_served_by_one_run() {
    let (kube, bao) = (require!(Kube::start()), require!(OpenBao::dev()));
    install_definitions(&kube);
    let namespaces =
        std::env::var("KEYTURN_REACH_NAMESPACES").ok().and_then(|number| number.parse().ok()).unwrap_or(3);
    let namespaces: Vec<String> = (0..namespaces).map(|_| site(&kube, &bao)).collect();
    let number = number().max(10);
    let make = |index: usize| {
        let name = format!("s{index}");
        put(&bao, &name, &format!("value-{index}"));
        create(&kube, &namespaces[index % namespaces.len()], external_secret(&name, &format!("app/{name}")));
    };
    in_parallel(number / 10, make);
    let tenth = run(&kube, &[]);
    assert!(tenth.out.contains(&format!("{} created", number / 10)), "{}", tenth.out);
    in_parallel(number - number / 10, |index| make(index + number / 10));
    let rest = run(&kube, &[]);
    let created = format!("{} created, 0 changed, {} unchanged, 0 failed", number - number / 10, number / 10);
    assert!(rest.out.contains(&created), "{}", rest.out.lines().last().unwrap_or_default());
    let again = run(&kube, &["--now"]);
    assert!(
        again.out.contains(&format!("0 created, 0 changed, {number} unchanged, 0 failed")),
        "nothing is written"
    );
    for (what, run) in [("a tenth", &tenth), ("the rest", &rest), ("all again, all read", &again)] {
        let (took, memory) = (run.took.as_secs_f64(), run.memory_kib / 1024);
        println!("{number} in {} namespaces, {what}: {took:.2} s, {memory} MiB", namespaces.len());
    }
}

/// Values change one after another while `run` serves all of them; how late each arrives is printed.
#[test]
fn a_changed_value_arrives_while_all_are_served() {
    let (kube, bao) = (require!(Kube::start()), require!(OpenBao::dev()));
    install_definitions(&kube);
    let (namespace, number) = (site(&kube, &bao), number());
    in_parallel(number, |index| {
        let name = format!("s{index}");
        put(&bao, &name, "first");
        create(&kube, &namespace, external_secret(&name, &format!("app/{name}")));
    });
    let mut command = Command::new(program());
    command.args(["run", "--cluster", "--target", "cluster", "--namespace", &namespace]);
    let output = std::process::Stdio::piped();
    let workshop = Workshop::new();
    let child =
        command.current_dir(workshop.path(".")).env("KUBECONFIG", kube.kubeconfig()).stdout(output).spawn();
    let staying = Staying::of(child.expect("start"));
    wait_until("all are there", || {
        holds(&kube, &namespace, &format!("s{}", number - 1), "first") && count(&kube, &namespace) == number
    });
    let mut late: Vec<f64> = (0..number.min(20))
        .map(|turn| {
            // Not in step with the polling.
            std::thread::sleep(Duration::from_millis((turn as u64 * 37) % 500));
            let (name, value) = (format!("s{}", turn * 7 % number), format!("turn-{turn}"));
            put(&bao, &name, &value);
            let start = Instant::now();
            wait_until("the change arrives", || holds(&kube, &namespace, &name, &value));
            start.elapsed().as_secs_f64()
        })
        .collect();
    late.sort_by(f64::total_cmp);
    let at = |share: f64| late[((late.len() as f64 * share) as usize).min(late.len() - 1)];
    println!(
        "{number} ExternalSecrets, {} changes: p50 {:.2} s, p99 {:.2} s, at most {:.2} s",
        late.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    staying.end();
}

fn count(kube: &Kube, namespace: &str) -> usize {
    let path = format!(
        "api/v1/namespaces/{namespace}/secrets?labelSelector=reconcile.external-secrets.io%2Fmanaged%3Dtrue"
    );
    kube.api("GET", &path, None).1["items"].as_array().map_or(0, Vec::len)
}
