//! The whole loop with both programs: a live password leaks into an image, the scan blocks, exactly that credential is
//! turned at a real PostgreSQL, the old one is dead, and the same image passes. The responder is killed at a random
//! moment each time, and started again.
//!
//! `KEYTURN_LEAKS=50 cargo test -p rotator --all-features --test it leak_loop -- --nocapture` leaks 50 times and prints
//! how long each leak lived.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use shared::require;
use shared::testkit::{Kube, Missing};
use testdata::archive::{Compression, Tar};
use testdata::image::{Image, Layer};
use testdata::pack::{Packaging, pack};

use crate::cluster::{secret, wait_until};
use crate::postgres::Shop;
use crate::rotate_cluster::run_pods;
use crate::workshop::Ended;

/// How many leaks a run of all tests can wait for.
const LEAKS: usize = 4;
/// A responder that is not killed is done by then.
const LONGEST: Duration = Duration::from_secs(120);
/// How often a responder that was killed, or that met the lease of one that was, is started again.
const TRIES_MAX: usize = 10;

/// The other program, which the same build puts beside ours.
fn scanner() -> Result<PathBuf, Missing> {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_rotator")).with_file_name("scanner");
    if path.is_file() {
        Ok(path)
    } else {
        Err(Missing::new("scanner", "everything that `make test` builds (alone: cargo build -p scanner)"))
    }
}

/// A number below `limit`; which one does not matter to anybody.
fn below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % limit.max(1)
}

struct Loop {
    shop: Shop,
    scanner: PathBuf,
    /// Where the application runs, if it does; else a folder is the consumer.
    kube: Option<Kube>,
}

impl Loop {
    fn new(shop: Shop, scanner: PathBuf, kube: Option<Kube>) -> Self {
        let manifests = shop.manifests();
        let with = "  onLeak: {action: Rotate, deadline: 45s, atDeadline: Wait}\n  grace:";
        shop.workshop.write("config/all.yaml", &manifests.replace("  grace:", with));
        std::fs::write(shop.workshop.path("known.key"), format!("{}\n", "5a".repeat(32))).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(shop.workshop.path("known.key"), private).unwrap();
        std::fs::create_dir(shop.workshop.path("receipts")).unwrap();
        Self { shop, scanner, kube }
    }

    fn target(&self) -> &'static str {
        if self.kube.is_some() { "cluster" } else { "dir:out" }
    }

    /// The program, with the cluster if there is one.
    fn rotator(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.shop.workshop.rotator(arguments);
        if let Some(kube) = &self.kube {
            command.env("KUBECONFIG", kube.kubeconfig());
        }
        command
    }

    /// The first secret, and in a cluster the application that uses it.
    fn begin(&self) {
        let keys = ["--fingerprint-key", "keys/fingerprint.key", "--receipt-key", "keys/receipts.pem"];
        let all =
            ["rotate", "--now", "--config", "config", "--target", self.target(), "--receipts", "receipts"];
        let first: Ended = self.rotator(&[&all[..], &keys[..]].concat()).output().unwrap().into();
        assert!(first.code == 0 && first.out.contains("the first secret works"), "{first:?}");
        let Some(kube) = &self.kube else { return };
        let container =
            json!({ "name": "app", "image": "none", "envFrom": [{ "secretRef": { "name": "orders" } }] });
        let labels = json!({ "app": "orders" });
        kube.create(
            "apis/apps/v1/namespaces/shop/deployments",
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "orders" }, "spec": {
                "replicas": 2, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } } } }),
        );
        wait_until("the application runs", || {
            let path = "apis/apps/v1/namespaces/shop/deployments/orders";
            kube.api("GET", path, None).1["status"]["availableReplicas"] == 2
        });
    }

    /// What the application reads is what is published, and it was restarted for it.
    fn has_moved(&self, runs: usize, password: &str) {
        let Some(kube) = &self.kube else { return };
        let found = secret(kube, "shop", "orders").expect("the Secret");
        assert_eq!(found["data"]["password"], data_encoding::BASE64.encode(password.as_bytes()));
        let path = "apis/apps/v1/namespaces/shop/deployments/orders";
        let deployment = kube.api("GET", path, None).1;
        assert_eq!(
            deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
            (runs + 1).to_string()
        );
        assert_eq!(deployment["status"]["updatedReplicas"], 2);
    }

    /// An OCI image with the password in a file that a later layer deletes.
    fn build(&self, name: &str, (account, password): (&str, &str)) {
        let address = self.shop.primary.address();
        let file = format!("DATABASE_URL=postgres://{account}:{password}@{address}/orders\n");
        let leaked = Tar::new().folder("app/").file("app/.env", file.as_bytes());
        let image = Image::new("shop/orders:1")
            .layer(Layer::new("ADD rootfs.tar /", Tar::new().file("etc/os-release", b"ID=shop\n")))
            .layer(Layer::new("COPY . /app", leaked))
            .layer(Layer::new("RUN rm /app/.env", Tar::new().file("app/.wh..env", b"")));
        let files = pack(&[image], Packaging::Oci(Compression::Gzip)).unwrap();
        std::fs::write(self.shop.workshop.path(name), files.tar()).unwrap();
    }

    fn known(&self) {
        let all = ["known", "--config", "config", "--out", "known", "--key-file", "known.key"];
        let keys = ["--receipt-key", "keys/receipts.pem", "--receipts", "receipts"];
        let names = ["--fingerprint-key", "keys/fingerprint.key"];
        let ended = self.shop.workshop.run(&[&all[..], &keys[..], &names[..]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
    }

    fn scan(&self, image: &str) -> Ended {
        let known = ["--known", "known", "--known-key", "known.key", "--receipts", "receipts"];
        let keys = ["--receipt-key", "keys/receipts.pub.pem", "--fingerprint-key", "keys/fingerprint.key"];
        let reports = ["--format", "text", "--format", "json=findings.json"];
        let mut command = std::process::Command::new(&self.scanner);
        command.arg("scan").arg(image).args(known).args(keys).args(reports);
        command.env_clear().current_dir(self.shop.workshop.path(""));
        command.output().unwrap().into()
    }

    fn respond(&self) -> std::process::Command {
        let all = ["respond", "findings.json", "--config", "config", "--target", self.target()];
        let keys = ["--known-key", "known.key", "--fingerprint-key", "keys/fingerprint.key"];
        let receipts = ["--receipt-key", "keys/receipts.pem", "--receipts", "receipts"];
        // The limits have tests of their own.
        let limits = ["--cooldown", "0s", "--daily-budget", "1000", "--breaker", "1000"];
        let mut command = self.rotator(&[&all[..], &keys[..], &receipts[..], &limits[..]].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Kills one responder after a while, then starts others until one says that all is done.
    fn answer(&self, kill_after: Duration) -> bool {
        let mut child = self.respond().spawn().unwrap();
        std::thread::sleep(kill_after);
        let was_running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        for _ in 0..TRIES_MAX {
            let ended: Ended = self.respond().output().unwrap().into();
            if ended.code == 0 && !self.shop.receipts().is_empty() && self.is_proven() {
                return was_running;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("never proven: {}", self.shop.journal());
    }

    fn is_proven(&self) -> bool {
        self.shop.journal()["phase"] == "Proven"
    }
}

#[test]
fn what_leaks_is_blocked_turned_proven_dead_and_let_through() {
    let (shop, scanner) = (require!(Shop::small()), require!(scanner()));
    let loop_ = Loop::new(shop, scanner, None);
    println!("{}", leak(&loop_, LEAKS));
    // Who administers the server has a password too.
    let admin = format!("PGPASSWORD={}\n", loop_.shop.admin);
    loop_.shop.workshop.write("history/.bash_history", &admin);
    let found = loop_.scan("history");
    assert!(found.code == 1 && found.out.contains("equals a live secret"), "{found:?}");
    assert!(!found.out.contains(&loop_.shop.admin));
}

#[test]
fn in_a_cluster_the_application_is_restarted_before_the_old_one_dies() {
    let (shop, scanner) = (require!(Shop::small()), require!(scanner()));
    let kube = require!(Kube::start_with_controllers());
    kube.namespace("shop");
    let account = || kube.api("GET", "api/v1/namespaces/shop/serviceaccounts/default", None).0 == 200;
    wait_until("pods can be made", account);
    let over = AtomicBool::new(false);
    let loop_ = Loop::new(shop, scanner, Some(kube));
    std::thread::scope(|scope| {
        let kube = loop_.kube.as_ref().unwrap();
        // Nothing runs pods here: this says of each that it is ready.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                run_pods(kube);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| leak(&loop_, LEAKS)));
        over.store(true, Ordering::Relaxed);
        match done {
            Ok(told) => println!("{told}"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
}

/// Leaks so often; says how long each leak lived.
fn leak(loop_: &Loop, leaks: usize) -> String {
    loop_.begin();
    let leaks = std::env::var("KEYTURN_LEAKS").ok().and_then(|text| text.parse().ok()).unwrap_or(leaks);
    let (mut times, mut killed) = (Vec::new(), 0);
    let mut longest = LONGEST;
    for leak in 0..leaks {
        let (account, password) = loop_.shop.published();
        loop_.build("app.tar", (&account, &password));
        loop_.known();
        let blocked = loop_.scan("app.tar");
        assert_eq!(blocked.code, 1, "{blocked:?}");
        assert!(
            blocked.out.contains("app/.env") && blocked.out.contains("Deleted by layer"),
            "{}",
            blocked.out
        );

        let start = Instant::now();
        if leak == 0 {
            // The first one is left alone, to know how long the others take.
            let ended: Ended = loop_.respond().output().unwrap().into();
            assert_eq!(ended.code, 0, "{ended:?}");
            longest = start.elapsed();
        } else {
            let after = Duration::from_micros(below(u64::try_from(longest.as_micros()).unwrap()));
            killed += usize::from(loop_.answer(after));
        }
        times.push(start.elapsed());

        let now = loop_.shop.published();
        assert_ne!(now.1, password, "it was turned");
        assert!(loop_.shop.lets_in((&now.0, &now.1)) && !loop_.shop.lets_in((&account, &password)));
        assert_eq!(loop_.shop.receipts().len(), leak + 1, "one value, one rotation");
        loop_.has_moved(leak + 1, &now.1);
        loop_.known();
        let passed = loop_.scan("app.tar");
        assert_eq!(passed.code, 0, "{passed:?}");
        assert!(passed.out.contains("proves it dead"), "{}", passed.out);
        for ended in [blocked, passed] {
            assert!(!ended.out.contains(&password) && !ended.err.contains(&password));
        }
        let answered: Ended = loop_.respond().output().unwrap().into();
        assert_eq!(answered.code, 0, "answering again changes nothing: {answered:?}");
        assert_eq!(loop_.shop.published(), now);
    }
    times.sort_unstable();
    let seconds = |time: &Duration| time.as_secs_f64();
    format!(
        "{leaks} leaks, {killed} responders killed at work; from leak to proven dead: median {:.2} s, worst {:.2} s",
        seconds(&times[times.len() / 2]),
        times.last().map_or(0.0, seconds),
    )
}
