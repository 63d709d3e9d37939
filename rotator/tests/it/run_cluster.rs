//! `rotator run --cluster` against a real API server and a real OpenBao.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions, secret, wait_until};
use crate::workshop::Workshop;

const READ: &str = "path \"secret/*\" { capabilities = [\"read\", \"list\"] }";

/// The program that stays.
pub struct Staying {
    child: Child,
}

impl Staying {
    pub fn start(workshop: &Workshop, kube: &Kube, namespace: &str, more: &[&str]) -> Self {
        Self::start_as(workshop, &kube.kubeconfig(), namespace, more)
    }

    pub fn start_as(workshop: &Workshop, kubeconfig: &Path, namespace: &str, more: &[&str]) -> Self {
        let mut words = vec!["run", "--cluster", "--target", "cluster", "--namespace", namespace];
        words.extend(more);
        let mut command = workshop.rotator(&words);
        let child = command.env("KUBECONFIG", kubeconfig).stdout(Stdio::piped()).spawn();
        Self::of(child.expect("start rotator"))
    }

    pub fn of(child: Child) -> Self {
        Self { child }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
    }

    /// Tells it to stop, and gives what it said.
    pub fn end(mut self) -> String {
        self.signal(Signal::TERM);
        assert!(self.child.wait().expect("an end").success());
        let mut said = String::new();
        self.child.stdout.take().expect("standard output").read_to_string(&mut said).expect("UTF-8");
        said
    }
}

/// A store that logs in through Kubernetes auth, marked as ours.
fn store(kube: &Kube, bao: &OpenBao, namespace: &str, controller: &str) {
    bao.policy("read", READ);
    let role = kube.with_openbao_auth(bao, "sync", (namespace, "sync"), "read");
    let mut spec = json!({ "provider": { "vault": { "server": bao.url(), "path": "secret", "auth": { "kubernetes": {
        "mountPath": role.mount, "role": role.role, "serviceAccountRef": { "name": role.service_account } } } } } });
    if !controller.is_empty() {
        spec["controller"] = json!(controller);
    }
    create(kube, namespace, json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": spec }));
}

fn external_secret(name: &str) -> Value {
    json!({ "kind": "ExternalSecret", "metadata": { "name": name }, "spec": {
        "secretStoreRef": { "name": "vault", "kind": "SecretStore" }, "refreshInterval": "1h",
        "data": [{ "secretKey": "password", "remoteRef": { "key": format!("app/{name}"), "property": "password" } }] } })
}

pub fn put(bao: &OpenBao, name: &str, value: &str) {
    bao.api("POST", &format!("secret/data/app/{name}"), Some(json!({ "data": { "password": value } })));
}

pub fn holds(kube: &Kube, namespace: &str, name: &str, value: &str) -> bool {
    use base64::Engine;
    let wanted = base64::prelude::BASE64_STANDARD.encode(value);
    secret(kube, namespace, name).is_some_and(|secret| secret["data"]["password"] == json!(wanted))
}

pub fn path(namespace: &str, plural: &str, name: &str) -> String {
    format!("apis/external-secrets.io/v1/namespaces/{namespace}/{plural}/{name}")
}

pub fn ready(kube: &Kube, path: &str) -> Option<(String, String)> {
    let (_, object) = kube.api("GET", path, None);
    let conditions = object["status"]["conditions"].as_array()?.clone();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    Some((ready["status"].as_str()?.to_owned(), ready["reason"].as_str()?.to_owned()))
}

pub fn reasons_of_events(kube: &Kube, namespace: &str) -> BTreeSet<String> {
    let (_, list) = kube.api("GET", &format!("apis/events.k8s.io/v1/namespaces/{namespace}/events"), None);
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|event| event["reason"].as_str().map(str::to_owned)).collect()
}

pub fn get(address: &str, path: &str) -> String {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(address).expect("connect");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

pub fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn manifests_secrets_and_vault_are_followed_and_all_of_it_is_told() {
    let (mut kube, bao) = (require!(Kube::start()), require!(OpenBao::dev()));
    install_definitions(&kube);
    let namespace = kube.fresh_namespace();
    store(&kube, &bao, &namespace, "keyturn");
    put(&bao, "a", "one");
    create(&kube, &namespace, external_secret("a"));
    let mut held = external_secret("held");
    held["metadata"]["finalizers"] = json!(["externalsecrets.external-secrets.io/externalsecret-cleanup"]);
    put(&bao, "held", "x");
    create(&kube, &namespace, held);
    create(&kube, &namespace, external_secret("missing"));

    let workshop = Workshop::new();
    let (trail, address) = (workshop.path("audit.jsonl"), free_address());
    let more = ["--listen", &address, "--audit", trail.to_str().expect("UTF-8")];
    let staying = Staying::start(&workshop, &kube, &namespace, &more);
    wait_until("the Secret is made", || holds(&kube, &namespace, "a", "one"));

    // What is changed in Vault arrives though its hour is not over; so does what is changed by hand.
    wait_until("it is reported", || {
        ready(&kube, &path(&namespace, "externalsecrets", "a"))
            == Some(("True".into(), "SecretSynced".into()))
    });
    put(&bao, "a", "two");
    wait_until("the new value arrives", || holds(&kube, &namespace, "a", "two"));
    let at = format!("api/v1/namespaces/{namespace}/secrets/a");
    kube.api("PATCH", &at, Some(json!({ "data": { "password": "aGFuZA==", "mine": "eA==" } })));
    wait_until("the edit is put back", || holds(&kube, &namespace, "a", "two"));
    wait_until("and nothing is left of it", || {
        secret(&kube, &namespace, "a").is_some_and(|secret| secret["data"]["mine"].is_null())
    });
    kube.api("DELETE", &at, None);
    wait_until("the Secret is made again", || holds(&kube, &namespace, "a", "two"));
    put(&bao, "b", "new");
    create(&kube, &namespace, external_secret("b"));
    wait_until("a new manifest is served", || holds(&kube, &namespace, "b", "new"));
    // One that failed is served when its secret is there.
    assert_eq!(
        ready(&kube, &path(&namespace, "externalsecrets", "missing")),
        Some(("False".into(), "SecretSyncedError".into()))
    );
    put(&bao, "missing", "found");
    wait_until("what was missing is found", || holds(&kube, &namespace, "missing", "found"));
    // The operator's finalizer holds nothing back.
    let held = path(&namespace, "externalsecrets", "held");
    kube.api("DELETE", &held, None);
    wait_until("it is let go", || kube.api("GET", &held, None).0 == 404);

    // An API server that was away is followed again.
    kube.restart();
    put(&bao, "b", "newer");
    wait_until("changes arrive after a restart", || holds(&kube, &namespace, "b", "newer"));

    let store_state = ready(&kube, &path(&namespace, "secretstores", "vault"));
    assert_eq!(store_state, Some(("True".into(), "Valid".into())));
    wait_until("events are told", || {
        let reasons = reasons_of_events(&kube, &namespace);
        ["Created", "Updated", "UpdateFailed"].iter().all(|reason| reasons.contains(*reason))
    });
    let metrics = get(&address, "/metrics");
    for line in [
        "keyturn_sync_total{outcome=\"created\"}",
        "keyturn_sync_errors_total{reason=\"store\"}",
        "keyturn_leader 1",
        "keyturn_vault_requests_total{operation=\"read\",code=\"200\"}",
        "keyturn_vault_requests_total{operation=\"read\",code=\"404\"}",
        "keyturn_vault_requests_total{operation=\"metadata\",code=\"200\"}",
        "keyturn_vault_requests_total{operation=\"login\",code=\"200\"} 1\n",
        "keyturn_vault_request_seconds_count{operation=\"read\"}",
        "keyturn_vault_leases 1\n",
        "keyturn_vault_poll_seconds 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(!metrics.contains("keyturn_vault_lag_seconds_count 0"), "{metrics}");
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(!metrics.contains("trace_id"), "exemplars are off");
    let said = staying.end();
    assert!(said.ends_with("stopped\n"), "{said}");
    for value in ["two", "newer", "found"] {
        assert!(!said.contains(value) && !metrics.contains(value), "values never show");
    }
    // What may be bearable to lose is not lost: the login is revoked at the end.
    let revoked = bao.audit().iter().any(|entry| entry["request"]["path"] == "auth/token/revoke-self");
    assert!(revoked, "the login is revoked");
    audit_matches(&bao, &trail);
}

/// Our trail and the audit device of the server name the same requests.
fn audit_matches(bao: &OpenBao, trail: &PathBuf) {
    let text = std::fs::read_to_string(trail).expect("the trail");
    assert!(rotator::audit::verify(&text, rotator::audit::start()).is_ok(), "the chain holds");
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let served: Vec<&Value> = records.iter().filter(|record| record["requestId"].is_string()).collect();
    let ours: BTreeSet<&str> = served.iter().filter_map(|record| record["requestId"].as_str()).collect();
    assert_eq!(ours.len(), served.len(), "each object reads a path of its own, so each request stands once");
    let log = bao.audit();
    let reads: Vec<&Value> = log
        .iter()
        .filter(|entry| {
            let path = entry["request"]["path"].as_str().unwrap_or_default();
            let good = entry["error"].is_null() && !entry["response"].is_null();
            entry["type"] == "response"
                && entry["request"]["operation"] == "read"
                && path.starts_with("secret/data/")
                && good
        })
        .filter(|entry| entry["response"]["data"].is_object())
        .collect();
    let theirs: BTreeSet<&str> = reads.iter().filter_map(|entry| entry["request"]["id"].as_str()).collect();
    assert_eq!(ours, theirs, "one record for each read, one read for each record");
    for record in served {
        let entry =
            reads.iter().find(|entry| entry["request"]["id"] == record["requestId"]).expect("an entry");
        let path = format!("secret/data/{}", record["path"].as_str().expect("a path"));
        assert_eq!(entry["request"]["path"], json!(path));
        assert_eq!(record["outcome"], "read");
        assert!(record["object"].as_str().is_some_and(|object| object.starts_with("ExternalSecret ")));
        assert!(record["accessor"].is_string() && record["identity"].is_string(), "{record}");
    }
    assert!(records.iter().any(|record| record["outcome"] == "absent"), "what failed is on record too");
    assert!(!text.contains("newer") && !text.contains("hvs."), "no value and no token");
}

#[test]
fn stores_that_are_not_marked_are_left_alone_until_they_are_adopted() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    store(kube, &bao, &namespace, "");
    put(&bao, "a", "one");
    create(kube, &namespace, external_secret("a"));
    let workshop = Workshop::new();
    let staying = Staying::start(&workshop, kube, &namespace, &[]);
    let lease = format!("apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/keyturn-rotator");
    let holder = || kube.api("GET", &lease, None).1["spec"]["holderIdentity"].as_str().map(str::to_owned);
    wait_until("it leads", || holder().is_some_and(|holder| !holder.is_empty()));
    // A marked one beside it shows that the work is done, and the other is not.
    let mut own = json!({ "kind": "SecretStore", "metadata": { "name": "own" } });
    let (_, unmarked) = kube.api("GET", &path(&namespace, "secretstores", "vault"), None);
    own["spec"] = unmarked["spec"].clone();
    own["spec"]["controller"] = json!("keyturn");
    create(kube, &namespace, own);
    put(&bao, "b", "two");
    let mut beside = external_secret("b");
    beside["spec"]["secretStoreRef"]["name"] = json!("own");
    create(kube, &namespace, beside);
    wait_until("the marked one is served", || holds(kube, &namespace, "b", "two"));
    assert!(secret(kube, &namespace, "a").is_none(), "nobody gave us this store");
    assert!(staying.end().ends_with("stopped\n"));

    // While the operator runs its stores are not taken.
    let deployments = format!("apis/apps/v1/namespaces/{namespace}/deployments");
    let labels = json!({ "app.kubernetes.io/name": "external-secrets" });
    kube.create(
        &deployments,
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "eso", "labels": labels },
            "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "eso", "image": "x" }] } } } }),
    );
    let words = ["run", "--cluster", "--target", "cluster", "--namespace", &namespace, "--adopt"];
    let refused = workshop.run_with(&kube.kubeconfig(), &words);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.err.contains(&format!("External Secrets Operator runs (Deployment {namespace}/eso)")),
        "{refused:?}"
    );
    let scaled = json!({ "spec": { "replicas": 0 } });
    kube.api("PATCH", &format!("{deployments}/eso"), Some(scaled));
    let staying = Staying::start(&workshop, kube, &namespace, &["--adopt"]);
    wait_until("it is adopted", || holds(kube, &namespace, "a", "one"));
    staying.end();
}

#[test]
fn a_leader_that_was_paused_past_its_lease_writes_no_more() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    store(kube, &bao, &namespace, "keyturn");
    put(&bao, "a", "one");
    create(kube, &namespace, external_secret("a"));
    let workshop = Workshop::new();
    let lease = format!("apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/keyturn-rotator");
    let holder = || kube.api("GET", &lease, None).1["spec"]["holderIdentity"].as_str().map(str::to_owned);
    let first = Staying::start(&workshop, kube, &namespace, &[]);
    wait_until("the first one works", || holds(kube, &namespace, "a", "one"));
    let leader = holder();
    let second = Staying::start(&workshop, kube, &namespace, &[]);
    first.signal(Signal::STOP);
    wait_until("the second one leads", || holder() != leader);
    put(&bao, "b", "two");
    create(kube, &namespace, external_secret("b"));
    wait_until("the second one works", || holds(kube, &namespace, "b", "two"));
    let new_leader = holder();
    first.signal(Signal::CONT);
    // The first one finds out, and waits: whatever happens the lease stays where it is.
    put(&bao, "a", "three");
    wait_until("the change arrives", || holds(kube, &namespace, "a", "three"));
    assert_eq!(holder(), new_leader);
    let said = first.end();
    assert!(said.contains("the lease was lost") || said.contains("another rotator leads"), "{said}");
    second.end();
    assert_eq!(holder().unwrap_or_default(), "", "the lease is given back");
}
