//! `rotator seal`, and syncs that seal what they write: opened with the library of the controller itself.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Missing, OpenBao, find};

use crate::workshop::{Ended, Workshop};

const VALUE: &str = "canary-value-to-be-sealed";

fn unsealer() -> Result<PathBuf, Missing> {
    find("openssl", "Debian's openssl")?;
    find("unseal", "the library of Sealed Secrets, built from its Go modules")
}

/// A folder with the controller's key and certificate.
struct Controller {
    unseal: PathBuf,
    workshop: Workshop,
}

impl Controller {
    fn new(unseal: PathBuf) -> Self {
        let controller = Self { unseal, workshop: Workshop::new() };
        controller.certificate("key.pem", "cert.pem", "10");
        controller
    }

    /// As the controller makes its own: RSA, self-signed.
    fn certificate(&self, key: &str, certificate: &str, days: &str) {
        let words =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=sealed-secret", "-days", days];
        let openssl = find("openssl", "Debian's openssl").expect("openssl");
        let made = Command::new(openssl)
            .args(words)
            .arg("-keyout")
            .arg(self.workshop.path(key))
            .arg("-out")
            .arg(self.workshop.path(certificate))
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{made:?}");
    }

    fn seal(&self, manifest: &Value, more: &[&str]) -> Ended {
        self.workshop.write("secret.json", &manifest.to_string());
        let words: Vec<&str> =
            ["seal", "secret.json", "--cert", "cert.pem"].into_iter().chain(more.iter().copied()).collect();
        self.workshop.run(&words)
    }

    /// The Secret that the controller makes of it, or why it makes none.
    fn open(&self, sealed: &Value) -> Result<Value, String> {
        self.workshop.write("sealed.json", &sealed.to_string());
        let ended = Command::new(&self.unseal)
            .args([self.workshop.path("key.pem"), self.workshop.path("sealed.json")])
            .output()
            .expect("unseal");
        if ended.status.success() {
            Ok(serde_json::from_slice(&ended.stdout).expect("JSON"))
        } else {
            Err(String::from_utf8_lossy(&ended.stderr).into_owned())
        }
    }
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("YAML")
}

fn manifest() -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth",
        "metadata": { "name": "db", "namespace": "shop", "labels": { "app": "shop",
            "reconcile.external-secrets.io/managed": "true" },
            "annotations": { "team": "a", "reconcile.external-secrets.io/data-hash": "00ff",
                "kubectl.kubernetes.io/last-applied-configuration": VALUE } },
        "data": { "username": BASE64_STANDARD.encode("ada"), "bytes": BASE64_STANDARD.encode([0, 255, 128]) },
        "stringData": { "password": VALUE } })
}

#[test]
fn the_controller_opens_what_was_sealed_within_its_scope_alone() {
    let controller = Controller::new(require!(unsealer()));
    for (scope, other_name, other_namespace) in
        [("strict", false, false), ("namespace-wide", true, false), ("cluster-wide", true, true)]
    {
        let ended = controller.seal(&manifest(), &["--scope", scope]);
        assert_eq!(ended.code, 0, "{scope}: {ended:?}");
        for text in [VALUE, "Y2FuYXJ5", "00ff", "last-applied", "reconcile.external-secrets.io"] {
            assert!(!ended.out.contains(text), "{scope}: {text} is in {}", ended.out);
        }
        let sealed = documents(&ended.out).remove(0);
        assert_eq!(
            (&sealed["kind"], &sealed["apiVersion"]),
            (&json!("SealedSecret"), &json!("bitnami.com/v1alpha1"))
        );
        let secret = controller.open(&sealed).expect("it opens");
        let value = |key: &str| {
            BASE64_STANDARD.decode(secret["data"][key].as_str().expect("a value")).expect("base64")
        };
        assert_eq!(value("password"), VALUE.as_bytes());
        assert_eq!((value("username"), value("bytes")), (b"ada".to_vec(), vec![0, 255, 128]));
        assert_eq!(secret["type"], "kubernetes.io/basic-auth");
        assert_eq!(secret["metadata"]["labels"], json!({ "app": "shop" }));
        assert_eq!(secret["metadata"]["annotations"]["team"], "a");

        for (field, moved, opens) in [("name", "other", other_name), ("namespace", "other", other_namespace)]
        {
            let mut elsewhere = sealed.clone();
            elsewhere["metadata"][field] = json!(moved);
            let opened = controller.open(&elsewhere);
            assert_eq!(opened.is_ok(), opens, "{scope}: another {field}: {opened:?}");
        }
        // A wider scope that somebody writes into the manifest opens nothing.
        if scope == "strict" {
            let mut wider = sealed.clone();
            wider["metadata"]["annotations"] = json!({ "sealedsecrets.bitnami.com/cluster-wide": "true" });
            assert!(controller.open(&wider).is_err());
        }
    }
    // The same value never looks the same.
    let [first, second] = [0, 1].map(|_| documents(&controller.seal(&manifest(), &[]).out).remove(0));
    assert_ne!(first["spec"]["encryptedData"], second["spec"]["encryptedData"]);
}

#[test]
fn what_cannot_be_sealed_is_named_and_nothing_is_written() {
    let controller = Controller::new(require!(unsealer()));
    let mut nameless = manifest();
    nameless["metadata"]["namespace"] = json!("");
    let ended = controller.seal(&nameless, &[]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{ended:?}");
    assert!(ended.err.contains("it has no namespace, which the scope needs"), "{ended:?}");
    assert_eq!(controller.seal(&nameless, &["--scope", "cluster-wide"]).code, 0);
    let other = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" }, "data": { "k": VALUE } });
    let ended = controller.seal(&other, &[]);
    assert!(ended.code == 2 && ended.err.contains("this is no Secret"), "{ended:?}");
    let mut broken = manifest();
    broken["data"]["username"] = json!(VALUE);
    let ended = controller.seal(&broken, &[]);
    assert!(ended.code == 2 && !ended.err.contains(VALUE), "{ended:?}");
    controller.workshop.write("cert.pem", "no certificate");
    let ended = controller.seal(&manifest(), &[]);
    assert!(ended.code == 2 && ended.err.contains("kubeseal --fetch-cert"), "{ended:?}");
}

#[test]
fn a_sync_seals_what_it_writes_and_leaves_alone_what_has_not_changed() {
    let controller = Controller::new(require!(unsealer()));
    let bao = require!(OpenBao::dev());
    let mut objects = vec![
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token", "namespace": "shop" },
            "stringData": { "token": bao.token() } }),
        json!({ "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
            "metadata": { "name": "vault", "namespace": "shop" }, "spec": { "provider": { "vault": {
                "server": bao.url(), "path": "secret",
                "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } }),
    ];
    for name in ["a", "b"] {
        bao.api("POST", &format!("secret/data/app/{name}"), Some(json!({ "data": { "k": VALUE } })));
        objects.push(json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": name, "namespace": "shop" }, "spec": { "secretStoreRef": { "name": "vault" },
                "dataFrom": [{ "extract": { "key": format!("app/{name}") } }] } }));
    }
    let workshop = &controller.workshop;
    let write = |objects: &[Value]| {
        workshop.write(
            "config/all.yaml",
            &objects.iter().map(|object| format!("---\n{object}\n")).collect::<String>(),
        )
    };
    write(&objects);
    let key = workshop.write("seal.key", &format!("{}\n", "5a".repeat(32)));
    std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    let sync = |more: &[&str]| {
        let words = ["sync", "--config", "config", "--target", "dir:out", "--seal", "cert.pem"];
        workshop.run(&[&words[..], more].concat())
    };
    let with_key = ["--seal-key", "seal.key"];
    let file = |name: &str| {
        std::fs::read_to_string(workshop.path(&format!("out/shop.{name}.yaml"))).expect("a file")
    };

    let first = sync(&with_key);
    assert!(first.code == 0 && first.out.contains("2 created"), "{first:?}");
    let before = file("a");
    for text in [VALUE, "Y2FuYXJ5", "data-hash"] {
        assert!(!before.contains(text), "{before}");
    }
    let secret = controller.open(&documents(&before).remove(0)).expect("it opens");
    assert_eq!(secret["data"]["k"], json!(BASE64_STANDARD.encode(VALUE)));
    let again = sync(&with_key);
    assert!(again.code == 0 && again.out.contains("2 unchanged"), "{again:?}");
    assert_eq!(file("a"), before, "git sees nothing");

    bao.api("POST", "secret/data/app/a", Some(json!({ "data": { "k": "another" } })));
    let changed = sync(&with_key);
    assert!(changed.out.contains("1 changed, 1 unchanged"), "{changed:?}");
    let secret = controller.open(&documents(&file("a")).remove(0)).expect("it opens");
    assert_eq!(secret["data"]["k"], json!(BASE64_STANDARD.encode("another")));
    // A new certificate seals everything anew; so does a run without the key.
    controller.certificate("key.pem", "cert.pem", "10");
    assert!(sync(&with_key).out.contains("2 changed"));
    assert!(sync(&[]).out.contains("2 changed"));
    let status = workshop.run(&["status", "--config", "config", "--target", "dir:out"]);
    assert_eq!((status.code, status.out.matches("in place").count()), (0, 2), "{status:?}");

    objects.pop();
    write(&objects);
    let removed = sync(&with_key);
    assert!(removed.code == 0 && removed.out.contains("removed"), "{removed:?}");
    assert!(!workshop.path("out/shop.b.yaml").exists());
    let cluster = workshop.run(&["sync", "--config", "config", "--target", "cluster", "--seal", "cert.pem"]);
    assert_eq!(cluster.code, 2, "{cluster:?}");
}
