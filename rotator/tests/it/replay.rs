//! The recorded behaviour of External Secrets Operator, replayed: the same inputs give the same Secrets, condition
//! status and reason.
//!
//! `testdata/externalsecrets/README.md` says what a case holds. All cases run at once, each in its own namespace;
//! one run of `rotator sync --cluster` serves them all, and one more follows each step of the cases.

mod pending;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::install_definitions;
use crate::workshop::Workshop;

/// Longer than the interval of 2 s that some cases have, shorter than those of an hour.
const STEP: Duration = Duration::from_secs(3);

/// One recorded case.
pub struct Case {
    pub name: String,
    pub feature: String,
    pub namespace: String,
    pub json: Value,
}

impl Case {
    pub fn target(&self) -> String {
        let object = &self.json["externalSecret"];
        let own = object["metadata"]["name"].as_str().expect("a name");
        object["spec"]["target"]["name"].as_str().unwrap_or(own).to_owned()
    }

    pub fn external_secret(&self) -> &str {
        self.json["externalSecret"]["metadata"]["name"].as_str().expect("a name")
    }
}

pub fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/externalsecrets");
    let mut cases: Vec<Case> = std::fs::read_dir(folder)
        .expect("the recorded cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| {
            let json: Value = serde_json::from_slice(&std::fs::read(&path).expect("a case")).expect("JSON");
            let text = |field: &str| json[field].as_str().expect("text").to_owned();
            Case { name: text("name"), feature: text("feature"), namespace: text("namespace"), json }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// What stands against a case so far, the first difference for each step.
type Differences = BTreeMap<String, String>;

#[test]
fn recorded_behaviour_is_reproduced() {
    let (kube, bao) = (require!(Kube::start_with_controllers()), require!(OpenBao::dev()));
    let cases = cases();
    install_definitions(&kube);
    prepare(&kube, &bao);
    let mut differences = Differences::new();
    in_parallel(&cases, |case| set_up(&kube, &bao, case), &mut differences);
    sync(&kube);
    in_parallel(&cases, |case| compare(&kube, case, &case.json["expect"], "first"), &mut differences);
    for step in 0.. {
        let with_step: Vec<&Case> =
            cases.iter().filter(|case| case.json["steps"].get(step).is_some()).collect();
        if with_step.is_empty() {
            break;
        }
        for case in &with_step {
            change(&kube, &bao, case, &case.json["steps"][step]["change"]);
        }
        std::thread::sleep(STEP);
        sync(&kube);
        for case in &with_step {
            let expected = &case.json["steps"][step]["expect"];
            let is_pending = pending::PENDING.iter().any(|(name, _)| *name == case.name);
            if let Err(what) = in_time(is_pending, || compare(&kube, case, expected, &format!("step {step}")))
            {
                differences.entry(case.name.clone()).or_insert(what);
            }
        }
    }
    judge(&cases, &differences);
}

/// The list of what is not reproduced yet is exact: nothing fails that is not in it, and nothing in it passes.
fn judge(cases: &[Case], differences: &Differences) {
    let pending: BTreeMap<&str, &str> = pending::PENDING.iter().copied().collect();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    let mut wrong = Vec::new();
    for case in cases {
        match (differences.get(&case.name), pending.get(case.name.as_str())) {
            (Some(what), None) => wrong.push(format!("{} [{}]: {what}", case.name, case.feature)),
            (None, Some(_)) => wrong.push(format!("{}: passes now; take it off the list", case.name)),
            _ => {}
        }
    }
    wrong.extend(
        pending.keys().filter(|name| !names.contains(*name)).map(|name| format!("{name}: no such case")),
    );
    let passed = cases.len() - differences.len();
    assert!(
        wrong.is_empty(),
        "{passed} of {} recorded cases are reproduced; {} wrong:\n{}",
        cases.len(),
        wrong.len(),
        wrong.join("\n")
    );
}

/// What the cluster's own controllers do takes a moment, and the garbage collector learns of new kinds only every half
/// minute.
fn in_time(is_pending: bool, compare: impl Fn() -> Result<(), String>) -> Result<(), String> {
    for _ in 0..if is_pending { 0 } else { 120 } {
        if compare().is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    compare()
}

fn in_parallel(
    cases: &[Case],
    work: impl Fn(&Case) -> Result<(), String> + Sync,
    differences: &mut Differences,
) {
    let found = std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = cases
            .chunks(cases.len().div_ceil(8))
            .map(|chunk| {
                scope.spawn(move || {
                    let result = |case: &Case| work(case).err().map(|what| (case.name.clone(), what));
                    chunk.iter().filter_map(result).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect::<Vec<_>>()
    });
    for (name, what) in found {
        differences.entry(name).or_insert(what);
    }
}

/// What every case assumes.
pub fn prepare(kube: &Kube, bao: &OpenBao) {
    bao.api("POST", "auth/token/create", Some(json!({ "id": "root", "policies": ["root"] })));
    bao.api("POST", "sys/mounts/kv1", Some(json!({ "type": "kv", "options": { "version": "1" } })));
    bao.api("POST", "sys/mounts/deep/mount", Some(json!({ "type": "kv", "options": { "version": "2" } })));
    bao.policy("bench", "path \"secret/*\" { capabilities = [\"read\", \"list\"] }");
    kube.with_openbao_auth(bao, "bench", ("bench", "sync"), "bench");
}

fn sync(kube: &Kube) {
    let ended = Workshop::new().run_with(&kube.kubeconfig(), &["sync", "--cluster", "-v"]);
    assert!(ended.code < 2, "{}", ended.err);
}

fn set_up(kube: &Kube, bao: &OpenBao, case: &Case) -> Result<(), String> {
    kube.namespace(&case.namespace);
    let calls = case.json["vault"].as_array().expect("calls");
    let is_system = |call: &&Value| call["path"].as_str().is_some_and(|path| path.starts_with("sys/"));
    for call in calls.iter().filter(is_system).chain(calls.iter().filter(|call| !is_system(call))) {
        vault(bao, call);
    }
    for object in case.json["objects"].as_array().expect("objects") {
        let (status, answer) = create(kube, bao, &case.namespace, object);
        let refused = case.json["expect"]["objectErrors"].is_array();
        let known =
            ["SecretStore", "ClusterSecretStore", "Secret", "ConfigMap", "ServiceAccount", "Namespace"];
        let is_known = object["kind"].as_str().is_some_and(|kind| known.contains(&kind));
        if is_known && !refused && !matches!(status, 200 | 201 | 409) {
            return Err(format!("{} was refused: {status} {}", object["kind"], answer["message"]));
        }
    }
    let mut object = case.json["externalSecret"].clone();
    object["kind"] = json!("ExternalSecret");
    let (status, answer) = create(kube, bao, &case.namespace, &object);
    match (status, case.json["expect"]["admission"].is_null()) {
        (200 | 201, true) | (400 | 422, false) => Ok(()),
        (200 | 201, false) => Err("the API server took it, and refused it when recorded".to_owned()),
        _ => Err(format!("the ExternalSecret was refused: {status} {}", answer["message"])),
    }
}

pub fn path(kind: &str, namespace: &str) -> String {
    let plural = format!("{}s", kind.to_lowercase());
    match kind {
        "Namespace" => "api/v1/namespaces".to_owned(),
        "Secret" | "ConfigMap" | "ServiceAccount" => format!("api/v1/namespaces/{namespace}/{plural}"),
        "ClusterSecretStore" => format!("apis/external-secrets.io/v1/{plural}"),
        "Fake" => format!("apis/generators.external-secrets.io/v1alpha1/namespaces/{namespace}/{plural}"),
        _ => format!("apis/external-secrets.io/v1/namespaces/{namespace}/{plural}"),
    }
}

pub fn create(kube: &Kube, bao: &OpenBao, namespace: &str, object: &Value) -> (u16, Value) {
    let mut object = substitute(bao, object);
    let kind = object["kind"].as_str().expect("a kind").to_owned();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(namespace).to_owned();
    let version =
        if kind.ends_with("Store") || kind == "ExternalSecret" { "external-secrets.io/v1" } else { "v1" };
    object["apiVersion"] = json!(version);
    for owner in object["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
        let uid = owner["uid"].as_str().expect("a uid");
        if let Some((kind, name)) =
            uid.strip_prefix("${UID:").and_then(|rest| rest.trim_end_matches('}').split_once('/'))
        {
            let (_, found) = kube.api("GET", &format!("{}/{name}", path(kind, &namespace)), None);
            owner["uid"] = found["metadata"]["uid"].clone();
        }
    }
    kube.api("POST", &path(&kind, &namespace), Some(object))
}

fn substitute(bao: &OpenBao, object: &Value) -> Value {
    serde_json::from_str(&object.to_string().replace("${VAULT_ADDR}", bao.url())).expect("JSON")
}

/// One call to the store; its number text is kept where the case says so.
pub fn vault(bao: &OpenBao, call: &Value) {
    let text = |field: &str| call[field].as_str().expect("text");
    let body = call["bodyRaw"].as_str().map(str::to_owned);
    let body = body.or_else(|| call.get("body").map(Value::to_string)).unwrap_or_default();
    for _ in 0..20 {
        let (status, answer) = send(bao, text("method"), text("path"), &body);
        // A mount that was just made upgrades itself first.
        if !(matches!(status, 400 | 404 | 500) && answer.to_lowercase().contains("upgrad")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn send(bao: &OpenBao, method: &str, path: &str, body: &str) -> (u16, String) {
    let address = bao.url().trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("connect");
    let request = format!(
        "{method} /v1/{} HTTP/1.1\r\nHost: {address}\r\nX-Vault-Token: root\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        path.replace(' ', "%20"),
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer)
}

fn change(kube: &Kube, bao: &OpenBao, case: &Case, change: &Value) {
    let list = |field: &str| change[field].as_array().cloned().unwrap_or_default();
    for call in list("vault") {
        vault(bao, &call);
    }
    for object in list("create") {
        create(kube, bao, &case.namespace, &object);
    }
    let at = |item: &Value| {
        let kind = item["kind"].as_str().expect("a kind");
        format!("{}/{}", path(kind, &case.namespace), item["name"].as_str().expect("a name"))
    };
    for patch in list("patch") {
        kube.api("PATCH", &at(&patch), Some(substitute(bao, &patch["patch"])));
    }
    for item in list("delete") {
        kube.api("DELETE", &at(&item), None);
    }
}

/// Compares strictly: the Secret (all but its managers), and the condition's status and reason.
fn compare(kube: &Kube, case: &Case, expected: &Value, when: &str) -> Result<(), String> {
    if expected["admission"].is_string() || expected["admission"].is_array() {
        return Ok(());
    }
    let (status, secret) =
        kube.api("GET", &format!("{}/{}", path("Secret", &case.namespace), case.target()), None);
    let found = if status == 200 { shown(&secret) } else { Value::Null };
    let mut wanted = expected["secret"].clone();
    if let Some(wanted) = wanted.as_object_mut() {
        wanted.remove("managers");
    }
    let at = format!("{}/{}", path("ExternalSecret", &case.namespace), case.external_secret());
    let (_, object) = kube.api("GET", &at, None);
    let condition =
        object["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready");
    let message = condition.map_or(&Value::Null, |condition| &condition["message"]);
    if found != wanted {
        return Err(format!("{when}: Secret: {} ({message})", difference(&found, &wanted)));
    }
    for field in ["status", "reason"] {
        let found = condition.map_or(&Value::Null, |condition| &condition[field]);
        let wanted = &expected["condition"][field];
        if found != wanted {
            return Err(format!("{when}: condition {field}: {found} instead of {wanted} ({message})"));
        }
    }
    Ok(())
}

/// A Secret as the cases show it.
pub fn shown(secret: &Value) -> Value {
    let meta = &secret["metadata"];
    let or_empty = |value: &Value| if value.is_null() { json!({}) } else { value.clone() };
    let owners: Vec<Value> = meta["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|owner| {
            let fields = ["apiVersion", "kind", "name", "controller", "blockOwnerDeletion"];
            fields.iter().map(|field| ((*field).to_owned(), owner[*field].clone())).collect::<Value>()
        })
        .collect();
    json!({
        "type": secret["type"], "data": or_empty(&secret["data"]), "labels": or_empty(&meta["labels"]),
        "annotations": or_empty(&meta["annotations"]), "ownerReferences": owners,
        "finalizers": meta["finalizers"].as_array().cloned().unwrap_or_default(),
        "immutable": secret["immutable"].as_bool().unwrap_or(false),
    })
}

/// The fields that differ.
fn difference(found: &Value, wanted: &Value) -> String {
    let (Some(found), Some(wanted)) = (found.as_object(), wanted.as_object()) else {
        let word = |value: &Value| if value.is_null() { "absent" } else { "there" };
        return format!("{} instead of {}", word(found), word(wanted));
    };
    let keys: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let differs = keys.into_iter().filter(|key| found.get(*key) != wanted.get(*key));
    differs
        .map(|key| {
            let show = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
            format!("{key}: {} instead of {}", show(found), show(wanted))
        })
        .collect::<Vec<_>>()
        .join("; ")
}
