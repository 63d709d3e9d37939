//! A folder to work in, and the program to work with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use kube::CustomResourceExt;
use rotator::manifest::external_secret::{ClusterExternalSecret, ExternalSecret};
use rotator::manifest::store::{ClusterSecretStore, SecretStore};
use serde_json::{Value, json};
use shared::testkit::Kube;

/// A folder, gone at the end of the test.
pub struct Workshop(tempfile::TempDir);

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Workshop {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("make the folder");
        std::fs::write(&path, text).expect("write the file");
        path
    }

    /// The program with an environment of its own.
    pub fn rotator(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotator"));
        command.args(arguments).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.rotator(arguments).output().expect("run rotator").into()
    }

    pub fn run_with(&self, kubeconfig: &Path, arguments: &[&str]) -> Ended {
        self.rotator(arguments).env("KUBECONFIG", kubeconfig).output().expect("run rotator").into()
    }
}

/// Installs our own definitions in the shared cluster, once.
pub fn install_definitions(kube: &Kube) {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let crds = [
            SecretStore::crd(),
            ClusterSecretStore::crd(),
            ExternalSecret::crd(),
            ClusterExternalSecret::crd(),
        ];
        for crd in crds {
            let name = crd.metadata.name.clone().expect("a name");
            let path = format!("apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
            kube.apply(&path, serde_json::to_value(crd).expect("JSON"));
            let established = || {
                let conditions = kube.api("GET", &path, None).1["status"]["conditions"].clone();
                let conditions = conditions.as_array().cloned().unwrap_or_default();
                conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True")
            };
            wait_until(&format!("{name} is established"), established);
            let plural = name.split('.').next().expect("a plural");
            let served = || kube.api("GET", &format!("apis/external-secrets.io/v1/{plural}"), None).0 == 200;
            wait_until(&format!("{name} is served"), served);
        }
    });
}

/// Waits half a minute for what should come at once.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..300 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("not in time: {what}");
}

/// Makes an object of our API group.
#[track_caller]
pub fn create(kube: &Kube, namespace: &str, mut object: Value) {
    let kind = object["kind"].as_str().expect("a kind").to_owned();
    object["apiVersion"] = json!("external-secrets.io/v1");
    object["metadata"]["namespace"] = json!(namespace);
    let plural = format!("{}s", kind.to_lowercase());
    kube.create(&format!("apis/external-secrets.io/v1/namespaces/{namespace}/{plural}"), object);
}

/// A Secret's object.
pub fn secret(kube: &Kube, namespace: &str, name: &str) -> Option<Value> {
    let (status, answer) = kube.api("GET", &format!("api/v1/namespaces/{namespace}/secrets/{name}"), None);
    match status {
        200 => Some(answer),
        404 => None,
        other => panic!("GET secret {namespace}/{name}: {other}"),
    }
}
