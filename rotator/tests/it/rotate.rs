//! `rotator rotate` with nothing but files: an htpasswd file is the lock, the local store holds the key, a folder
//! of manifests is the consumer.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use rotator::file_store::FileStore;
use rotator::provider::{Key, Provider};
use shared::fingerprint::FingerprintKey;
use shared::secret::{Redacted, Secret};
use shared::signing::TrustedKeys;

use crate::workshop::{Ended, Workshop};

pub const MANIFESTS: &str = r#"
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: local, namespace: shop}
spec: {provider: {file: {path: ../store, keyFile: ../store.key}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: site, namespace: shop}
spec:
  secretStoreRef: {name: local}
  dataFrom: [{extract: {key: shop/site}}]
---
apiVersion: keyturn.dev/v1alpha1
kind: ClusterRotationTarget
metadata: {name: site}
spec:
  allow: {namespaces: [shop], accounts: ["demo*"]}
  htpasswd: {path: ../htpasswd}
---
apiVersion: keyturn.dev/v1alpha1
kind: Rotation
metadata: {name: site, namespace: shop}
spec:
  targetRef: {name: site}
  schedule: "0 2 * * 0"
  strategy: {single: {account: demo, allowOutage: true}}
  publish:
    storeRef: {name: local, kind: SecretStore}
    key: shop/site
    properties: {username: username, password: password}
  grace: {duration: 0s, max: 0s}
"#;

pub struct Site {
    pub workshop: Workshop,
}

impl Site {
    pub fn new(password: &str) -> Self {
        let site = Self { workshop: Workshop::new() };
        site.workshop.write("config/all.yaml", MANIFESTS);
        FileStore::init(&site.path("store"), &site.path("store.key")).unwrap();
        let document = format!(r#"{{"username":"demo","password":"{password}","note":"kept"}}"#);
        site.runtime()
            .block_on(site.provider().write("shop/site", Secret::from_string(document), None))
            .unwrap();
        // The least cost that bcrypt takes: this test hashes once and is not attacked.
        let hash = bcrypt::hash(password, 4).unwrap();
        site.workshop.write("htpasswd", &format!("demo:{hash}\n"));
        let made = site.workshop.run(&["keys", "keys"]);
        assert_eq!(made.code, 0, "{made:?}");
        site
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.workshop.path(name)
    }

    pub fn runtime(&self) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    pub fn provider(&self) -> Provider {
        let store = FileStore::open("local", &self.path("store"), &self.path("store.key")).unwrap();
        Provider::File(std::sync::Arc::new(store))
    }

    pub fn arguments<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let all = [
            "rotate",
            "--config",
            "config",
            "--target",
            "dir:out",
            "--fingerprint-key",
            "keys/fingerprint.key",
        ];
        let keys = ["--receipt-key", "keys/receipts.pem", "--receipts", "receipts"];
        all.into_iter().chain(keys).chain(more.iter().copied()).collect()
    }

    pub fn rotate(&self, more: &[&str]) -> Ended {
        self.workshop.run(&self.arguments(more))
    }

    pub fn published(&self) -> serde_json::Value {
        let document = self.runtime().block_on(self.provider().read(&Key::latest("shop/site"))).unwrap();
        document.json().expose(|bytes| serde_json::from_slice(bytes)).unwrap()
    }

    pub fn opens(&self, password: &str) -> bool {
        let text = std::fs::read_to_string(self.path("htpasswd")).unwrap();
        let hash = text.lines().find_map(|line| line.strip_prefix("demo:")).unwrap();
        bcrypt::verify(password, hash).unwrap()
    }

    pub fn receipts(&self) -> Vec<shared::receipt::Signed> {
        let trusted = TrustedKeys::read(&self.path("keys/receipts.pub.pem")).unwrap();
        let Ok(entries) = std::fs::read_dir(self.path("receipts")) else { return Vec::new() };
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .map(|path| shared::receipt::Signed::verify(&std::fs::read(path).unwrap(), &trusted).unwrap())
            .collect()
    }
}

#[test]
fn a_rotation_turns_the_key_and_leaves_a_receipt() {
    let old = format!("first-{}-password", std::process::id());
    let site = Site::new(&old);
    let ended = site.rotate(&["--now"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("shop/site: proven     run 1"), "{ended:?}");

    let published = site.published();
    let new = published["password"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    assert_eq!((new.len(), published["note"].as_str()), (32, Some("kept")));
    assert!(site.opens(&new) && !site.opens(&old));

    let manifest = std::fs::read_dir(site.path("out")).unwrap().next().unwrap().unwrap().path();
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert!(
        manifest.contains(&data_encoding::BASE64.encode(new.as_bytes())),
        "the folder has the new password"
    );

    let receipts = site.receipts();
    let [receipt] = receipts.as_slice() else { panic!("{} receipts", receipts.len()) };
    let key = FingerprintKey::read(&site.path("keys/fingerprint.key")).unwrap();
    let dead = key.fingerprint(Redacted::new(old.as_bytes()));
    assert!(receipt.receipt().proves_dead(key.key_id(), &dead));
    for secret in [&old, &new] {
        assert!(!ended.out.contains(secret) && !ended.err.contains(secret), "{ended:?}");
        assert!(!String::from_utf8_lossy(receipt.as_bytes()).contains(secret));
    }

    let again = site.rotate(&[]);
    assert_eq!((again.code, site.receipts().len()), (0, 1), "not due: {again:?}");
}

/// The journal, the store and the file agree again after each death, whenever it comes.
#[test]
fn a_rotator_that_is_killed_at_any_moment_loses_nothing() {
    let site = Site::new("the-first-password");
    let (mut killed, mut under_way) = (0, 0);
    for round in 0..16_u64 {
        let before = site.published()["password"].as_str().unwrap().to_owned();
        let mut child = site
            .workshop
            .rotator(&site.arguments(&["--now"]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From before the first write to after the last one, whatever the machine's speed.
        std::thread::sleep(Duration::from_millis(10 * round * round / 2));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());

        let ended = site.rotate(&["--resume"]);
        assert_eq!(ended.code, 0, "round {round}: {ended:?}");
        let proven = ended.out.contains("proven");
        assert!(proven || ended.out.contains("idle"), "round {round}: {ended:?}");
        let now = site.published()["password"].as_str().unwrap().to_owned();
        under_way += u32::from(proven && now != before);
        assert!(site.opens(&now), "round {round}: {ended:?}");
        assert!(now == before || !site.opens(&before), "round {round}: {ended:?}");
    }
    assert!(killed > 0 && under_way > 0, "{killed} killed, {under_way} of them in the middle of a run");
    let mut numbers: Vec<u64> = site.receipts().iter().map(|signed| signed.receipt().seq).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "one receipt a run: {numbers:?}");
}

#[test]
fn what_cannot_be_rotated_is_refused_before_anything_happens() {
    let site = Site::new("unchanged-password");
    let htpasswd = std::fs::read(site.path("htpasswd")).unwrap();
    for (from, to, says) in [
        ("namespaces: [shop]", "namespaces: [other]", "site does not allow the namespace shop"),
        ("[\"demo*\"]", "[\"web*\"]", "site does not allow the account demo"),
        (", allowOutage: true", "", "allowOutage: true"),
        ("\"0 2 * * 0\"", "\"0 2 * *\"", "write five fields"),
        ("strategy: {single: {account: demo, allowOutage: true}}", "strategy: {}", "exactly one of"),
        (
            "targetRef: {name: site}",
            "targetRef: {name: nowhere}",
            "there is no ClusterRotationTarget nowhere",
        ),
        ("schedule:", "timeZone: Mars/Olympus\n  schedule:", "not a time zone"),
        ("grace: {duration: 0s, max: 0s}", "grace: {duration: 2h, max: 1h}", "shorter than duration"),
        ("publish:", "generate: {length: 8}\n  publish:", "at least 128 are needed"),
        ("publish:", "surprise: 1\n  publish:", "surprise"),
    ] {
        assert!(MANIFESTS.contains(from), "{from}");
        site.workshop.write("config/all.yaml", &MANIFESTS.replacen(from, to, 1));
        let ended = site.rotate(&["--now"]);
        assert_eq!(ended.code, 2, "{from}: {ended:?}");
        assert!(ended.err.contains(says) && ended.err.contains("all.yaml:"), "{from}: {ended:?}");
    }
    site.workshop.write("config/all.yaml", MANIFESTS);
    let unknown = site.rotate(&["--now", "nobody"]);
    assert!(unknown.code == 2 && unknown.err.contains("nobody: there is no such Rotation"), "{unknown:?}");
    assert_eq!(std::fs::read(site.path("htpasswd")).unwrap(), htpasswd);
    assert!(!site.path("receipts").exists());
}

#[test]
fn a_published_path_that_a_person_changed_is_left_alone() {
    let site = Site::new("the-first-password");
    assert_eq!(site.rotate(&["--now"]).code, 0);
    let by_hand = r#"{"username":"demo","password":"changed-by-hand"}"#;
    site.runtime()
        .block_on(site.provider().write("shop/site", Secret::from_string(by_hand.into()), None))
        .unwrap();
    let ended = site.rotate(&["--now"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("NEEDS A PERSON") && ended.out.contains("rotator adopt"), "{ended:?}");
    assert_eq!(site.published()["password"], "changed-by-hand");
}

#[test]
fn keys_are_made_once_and_kept_private() {
    let workshop = Workshop::new();
    let made = workshop.run(&["keys", "keys"]);
    assert_eq!(made.code, 0, "{made:?}");
    for (name, mode) in [
        ("fingerprint.key", 0o600),
        ("known.key", 0o600),
        ("receipts.pem", 0o600),
        ("receipts.pub.pem", 0o644),
    ] {
        let found = std::fs::metadata(workshop.path("keys").join(name)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
    let before = std::fs::read(workshop.path("keys/receipts.pem")).unwrap();
    let again = workshop.run(&["keys", "keys"]);
    assert!(again.code == 2 && again.err.contains("is there already"), "{again:?}");
    assert_eq!(std::fs::read(workshop.path("keys/receipts.pem")).unwrap(), before);
}
