//! What goes wrong while `rotator run` works: each failure is told by condition, event and metric, and ends by itself.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, Missing, OpenBao};

use crate::cluster::{create, install_definitions, secret, wait_until};
use crate::run_cluster::{Staying, free_address, get, holds, path, put, ready, reasons_of_events};
use crate::workshop::Workshop;

/// A namespace with a store that is ours and uses this token.
fn site(kube: &Kube, bao: &OpenBao, token: &str) -> String {
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    kube.create(
        &format!("api/v1/namespaces/{namespace}/secrets"),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" }, "stringData": { "token": token } }),
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

fn external_secret(name: &str, interval: &str) -> Value {
    json!({ "kind": "ExternalSecret", "metadata": { "name": name }, "spec": {
        "secretStoreRef": { "name": "vault", "kind": "SecretStore" }, "refreshInterval": interval,
        "data": [{ "secretKey": "password", "remoteRef": { "key": format!("app/{name}"), "property": "password" } }] } })
}

fn number(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0.0)
}

/// Each kind of failure beside a healthy one.
#[test]
fn every_failure_is_told_by_condition_event_and_metric() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    let namespace = site(kube, &bao, bao.token());
    let names = ["property", "template", "size", "healthy"];
    for name in names {
        put(&bao, name, "old");
        create(kube, &namespace, external_secret(name, "1h"));
    }
    let (workshop, address) = (Workshop::new(), free_address());
    let staying = Staying::start(&workshop, kube, &namespace, &["--listen", &address]);
    for name in names {
        wait_until(name, || holds(kube, &namespace, name, "old"));
    }
    bao.api("POST", "secret/data/app/property", Some(json!({ "data": { "other": "x" } })));
    put(&bao, "size", &"x".repeat(1_100_000));
    let template = json!({ "spec": { "target": { "template": { "data": { "password": "{{ .gone }}" } } } } });
    kube.api("PATCH", &path(&namespace, "externalsecrets", "template"), Some(template));
    put(&bao, "healthy", "new");
    for name in ["property", "template", "size"] {
        let at = path(&namespace, "externalsecrets", name);
        wait_until(&format!("{name} fails"), || {
            ready(kube, &at) == Some(("False".to_owned(), "SecretSyncedError".to_owned()))
        });
        assert!(holds(kube, &namespace, name, "old"), "{name}: the old Secret stays");
    }
    wait_until("the healthy one is served", || holds(kube, &namespace, "healthy", "new"));
    wait_until("events are told", || reasons_of_events(kube, &namespace).contains("UpdateFailed"));
    wait_until("metrics say why", || {
        let metrics = get(&address, "/metrics");
        ["store", "template", "api_server"].iter().all(|reason| {
            number(&metrics, &format!("keyturn_sync_errors_total{{reason=\"{reason}\"}}")) >= 1.0
        }) && number(&metrics, "keyturn_external_secrets{outcome=\"failed\"}") == 3.0
    });
    // Mended: a new manifest is tried at once, a new value when its turn comes.
    let mended =
        json!({ "spec": { "target": { "template": { "data": { "password": "{{ .password }}" } } } } });
    kube.api("PATCH", &path(&namespace, "externalsecrets", "template"), Some(mended));
    put(&bao, "size", "small");
    put(&bao, "property", "back");
    for (name, value) in [("size", "small"), ("property", "back")] {
        wait_until(&format!("{name} is served again"), || holds(kube, &namespace, name, value));
    }
    let at = path(&namespace, "externalsecrets", "template");
    wait_until("the template is served again", || ready(kube, &at).is_some_and(|ready| ready.0 == "True"));
    wait_until("none fails", || {
        number(&get(&address, "/metrics"), "keyturn_external_secrets{outcome=\"failed\"}") == 0.0
    });
    let said = staying.end();
    assert!(!said.contains("xxxx"), "values never show");
}

/// Away, sealed, back: nothing is lost, and what changed meanwhile arrives.
#[test]
fn a_store_that_is_sealed_and_killed_is_served_again() {
    let (kube, mut bao) = (require!(Kube::shared()), require!(OpenBao::raft()));
    let namespace = site(kube, &bao, bao.token());
    put(&bao, "a", "one");
    create(kube, &namespace, external_secret("a", "2s"));
    let (workshop, address) = (Workshop::new(), free_address());
    let staying = Staying::start(&workshop, kube, &namespace, &["--listen", &address]);
    wait_until("it is served", || holds(kube, &namespace, "a", "one"));
    let at = path(&namespace, "externalsecrets", "a");
    bao.seal();
    wait_until("it is said", || ready(kube, &at).is_some_and(|ready| ready.0 == "False"));
    assert!(holds(kube, &namespace, "a", "one"), "the old Secret stays");
    bao.restart();
    put(&bao, "a", "two");
    wait_until("the change arrives", || holds(kube, &namespace, "a", "two"));
    let metrics = get(&address, "/metrics");
    assert!(number(&metrics, "keyturn_sync_errors_total{reason=\"store\"}") >= 1.0, "{metrics}");
    staying.end();
}

/// Where Debian keeps the library that tells a program another time.
fn other_time() -> Result<PathBuf, Missing> {
    let found = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = found.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    libraries.find(|file| file.is_file()).ok_or_else(|| Missing::new("libfaketime", "Debian's faketime"))
}

/// A process whose wall clock a file moves; how much time passes is not touched, as when somebody sets the clock.
fn start_with_clock(
    workshop: &Workshop,
    kube: &Kube,
    namespace: &str,
    library: &Path,
    file: &Path,
) -> Staying {
    let mut command =
        workshop.rotator(&["run", "--cluster", "--target", "cluster", "--namespace", namespace]);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", file);
    command
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let child = command.env("KUBECONFIG", kube.kubeconfig()).stdout(Stdio::piped()).spawn();
    Staying::of(child.expect("start rotator"))
}

#[test]
fn a_clock_that_is_moved_by_an_hour_moves_neither_lead_nor_secrets() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    let library = require!(other_time());
    let namespace = site(kube, &bao, bao.token());
    put(&bao, "a", "one");
    create(kube, &namespace, external_secret("a", "30m"));
    let workshop = Workshop::new();
    let clocks = ["first", "second"].map(|name| workshop.write(name, "+0"));
    let lease = format!("apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/keyturn-rotator");
    let holder = || kube.api("GET", &lease, None).1["spec"].clone();
    let first = start_with_clock(&workshop, kube, &namespace, &library, &clocks[0]);
    wait_until("it is served", || holds(kube, &namespace, "a", "one"));
    let second = start_with_clock(&workshop, kube, &namespace, &library, &clocks[1]);
    let leader = holder()["holderIdentity"].clone();
    assert!(leader.as_str().is_some_and(|leader| !leader.is_empty()));
    let asked = |path: &str| {
        let log = bao.audit();
        log.iter().filter(|e| e["type"] == "request" && e["request"]["path"] == path).count()
    };
    let reads = || asked("secret/data/app/a");
    // The first look compares the store's clock with ours; every later one compares versions.
    wait_until("it is followed", || asked("secret/metadata/app/a") > 0);
    let uid = secret(kube, &namespace, "a").expect("a Secret")["metadata"]["uid"].clone();
    for (number, shift) in ["+1h", "-1h", "+0"].into_iter().enumerate() {
        let before = reads();
        let renewed = holder()["renewTime"].clone();
        // The leader's clock moves, and the other one's the other way.
        std::fs::write(&clocks[0], shift).expect("a clock");
        std::fs::write(&clocks[1], if shift == "+1h" { "-1h" } else { "+0" }).expect("a clock");
        // An hour later it is due; an hour before its refresh it is too: that refresh was told by a wrong clock.
        wait_until(&format!("it is read again with {shift}"), || reads() > before);
        let value = format!("value-{number}");
        put(&bao, "a", &value);
        wait_until(&format!("a change arrives with {shift}"), || holds(kube, &namespace, "a", &value));
        wait_until("the lease is renewed", || holder()["renewTime"] != renewed);
        let held = holder();
        assert_eq!(
            (&held["holderIdentity"], &held["leaseTransitions"]),
            (&leader, &json!(0)),
            "with {shift}"
        );
    }
    assert_eq!(secret(kube, &namespace, "a").expect("a Secret")["metadata"]["uid"], uid);
    first.end();
    second.end();
}
