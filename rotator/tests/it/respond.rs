//! The loop with nothing but files: what leaks is recognised, rotated once, and proven dead.

use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::known::{Freshness, KnownIndex, KnownKey, ValueState};
use shared::receipt::Signed;
use shared::secret::{Redacted, Secret};
use shared::signing::TrustedKeys;

use crate::rotate::{MANIFESTS, Site};
use crate::workshop::Ended;

/// A site whose password is known to scanners.
struct Leaky {
    site: Site,
    password: String,
}

/// A value that nobody guesses, new at each run.
fn random() -> String {
    let mut bytes = [0_u8; 33];
    getrandom::fill(&mut bytes).unwrap();
    data_encoding::BASE64URL_NOPAD.encode(&bytes)
}

impl Leaky {
    fn new(on_leak: &str) -> Self {
        Self::with(on_leak, random())
    }

    fn with(on_leak: &str, password: String) -> Self {
        let site = Site::new(&password);
        let manifests =
            MANIFESTS.replacen("  grace:", &format!("  onLeak: {{action: {on_leak}}}\n  grace:"), 1);
        site.workshop.write("config/all.yaml", &manifests);
        site.workshop.write("known.key", &"6b".repeat(32));
        std::fs::set_permissions(site.path("known.key"), PermissionsExt::from_mode(0o600)).unwrap();
        Self { site, password }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let ended = self.site.workshop.run(arguments);
        self.hold_no_value(&ended);
        ended
    }

    /// The canary: nothing that was printed, and no file that others get, has a value in it.
    fn hold_no_value(&self, ended: &Ended) {
        let now = self.password_now();
        let files = ["known.bin", "known.key.rotator", "findings.json"].map(|name| self.site.path(name));
        let receipts = std::fs::read_dir(self.site.path("receipts"));
        let receipts = receipts.into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut texts = vec![ended.out.clone(), ended.err.clone()];
        texts.extend(
            files
                .into_iter()
                .chain(receipts)
                .filter_map(|path| Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned())),
        );
        for text in texts {
            assert!(!text.contains(&self.password) && !text.contains(&now), "a value was written: {text}");
        }
    }

    fn known(&self, more: &[&str]) -> Ended {
        let all = ["known", "--config", "config", "--out", "known.bin", "--key-file", "known.key"];
        let keys = ["--receipt-key", "keys/receipts.pem"];
        self.run(&all.into_iter().chain(keys).chain(more.iter().copied()).collect::<Vec<_>>())
    }

    fn respond(&self, more: &[&str]) -> Ended {
        let all = ["respond", "findings.json", "--config", "config", "--target", "dir:out"];
        let keys = ["--known-key", "known.key", "--fingerprint-key", "keys/fingerprint.key"];
        let receipts = ["--receipt-key", "keys/receipts.pem", "--receipts", "receipts"];
        let all = all.into_iter().chain(keys).chain(receipts).chain(more.iter().copied());
        self.run(&all.collect::<Vec<_>>())
    }

    fn receipts(&self, command: &str, more: &[&str]) -> Ended {
        let all = ["receipts", command, "--receipts", "receipts", "--receipt-key", "keys/receipts.pub.pem"];
        self.run(&all.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    }

    fn index(&self) -> KnownIndex {
        let key = KnownKey::read(&self.site.path("known.key")).unwrap();
        let trusted = TrustedKeys::read(&self.site.path("keys/receipts.pub.pem")).unwrap();
        let freshness = Freshness { now: Timestamp::now(), generation_seen: 0 };
        KnownIndex::open(&std::fs::read(self.site.path("known.bin")).unwrap(), &key, &trusted, freshness)
            .unwrap()
    }

    /// The states of what the known file recognises.
    fn states(&self, text: &str) -> Vec<ValueState> {
        let mut states = Vec::new();
        self.index().scan(text.as_bytes(), &mut |hit| states.push(hit.state));
        states
    }

    /// What the scanner does: a report about a file with this text.
    fn scan(&self, text: &str) -> Value {
        let index = self.index();
        let mut findings = Vec::new();
        index.scan(text.as_bytes(), &mut |hit| {
            let place = json!({"target": "app", "path": "src/.env", "line": 1, "column": 1,
                "byte_start": hit.start, "byte_end": hit.end, "state": "visible", "inherited": false});
            let value = Redacted::new(&text.as_bytes()[hit.start..hit.end]);
            let known = index.prove(&hit, value, &place_digest(&place));
            findings.push(json!({"id": format!("f{}", findings.len() + 1), "rule": "known-secret",
                "confidence": "known", "action": "block", "locations": [place], "known": known}));
        });
        // Other findings, and fields that this program does not know, change nothing.
        findings.push(json!({"id": "guess", "rule": "generic", "locations": [], "later": {"x": 1}}));
        let report = json!({"version": 1, "findings": findings, "later": []});
        self.write_report(&report);
        report
    }

    fn write_report(&self, report: &Value) {
        self.site.workshop.write("findings.json", &report.to_string());
    }

    fn password_now(&self) -> String {
        self.site.published()["password"].as_str().unwrap().to_owned()
    }

    /// Everything that a rotation changes.
    fn state(&self) -> (Vec<u8>, Value, usize, bool) {
        let htpasswd = std::fs::read(self.site.path("htpasswd")).unwrap();
        (htpasswd, self.site.published(), self.site.receipts().len(), self.site.path("out").exists())
    }
}

fn place_digest(place: &Value) -> String {
    let mut hasher = Sha256::new();
    for name in ["target", "path"] {
        let text = place[name].as_str().unwrap();
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    hasher.update(place["byte_start"].as_u64().unwrap().to_le_bytes());
    hasher.update(place["byte_end"].as_u64().unwrap().to_le_bytes());
    format!("place:{}", data_encoding::HEXLOWER.encode(&hasher.finalize()))
}

#[test]
fn a_leaked_value_is_rotated_once_and_proven_dead() {
    let leaky = Leaky::new("Rotate");
    let old = leaky.password.clone();
    let known = leaky.known(&[]);
    assert_eq!(known.code, 0, "{known:?}");
    assert!(
        known.out.contains("generation 1,") && known.out.contains("left out: 2 (too short 2,"),
        "{known:?}"
    );
    assert_eq!(leaky.states(&format!("x={old};")), [ValueState::Current]);
    let report = leaky.scan(&format!("PASSWORD={old}\nAGAIN={old}\n"));
    assert_eq!(report["findings"].as_array().unwrap().len(), 3);

    let ended = leaky.respond(&[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for says in [
        "finding f1, f2",
        "SecretStore shop/local: shop/site, property password: current",
        "Secrets that use it: shop/site",
        "Rotation shop/site: account demo; onLeak Rotate",
        "proven     run 1",
    ] {
        assert!(ended.out.contains(says), "{says}: {ended:?}");
    }
    let new = leaky.password_now();
    assert!(new != old && leaky.site.opens(&new) && !leaky.site.opens(&old));
    let receipts = leaky.site.receipts();
    let [receipt] = receipts.as_slice() else { panic!("{} receipts", receipts.len()) };
    let trigger = serde_json::to_value(&receipt.receipt().trigger).unwrap();
    assert_eq!((&trigger["kind"], &trigger["findingId"]), (&json!("Leak"), &json!("f1")));

    // The same report again, and again after another known file: the value is not current any more.
    let after = leaky.state();
    for _ in 0..2 {
        let again = leaky.respond(&[]);
        assert_eq!(again.code, 0, "{again:?}");
        assert!(again.out.contains("already replaced and proven dead"), "{again:?}");
        assert_eq!(leaky.state(), after);
        let known = leaky.known(&[]);
        assert_eq!(known.code, 0, "{known:?}");
    }
    // The new known file knows the old value as dead, and the new one as live.
    assert_eq!(leaky.states(&old), [ValueState::Dead]);
    assert_eq!(leaky.states(&new), [ValueState::Current]);
}

#[test]
fn what_died_earlier_stays_dead_by_its_receipt() {
    let leaky = Leaky::new("Rotate");
    for _ in 0..2 {
        assert_eq!(leaky.site.rotate(&["--now"]).code, 0);
    }
    assert_eq!(leaky.known(&[]).code, 0);
    assert_eq!(leaky.states(&leaky.password), [ValueState::Previous], "the journal knows the last run alone");
    let with = ["--receipts", "receipts", "--fingerprint-key", "keys/fingerprint.key"];
    assert_eq!(leaky.known(&with).code, 0);
    assert_eq!(leaky.states(&leaky.password), [ValueState::Dead]);
    // Somebody brings the old value back: it is live, whatever was proven before.
    let back = json!({"username": "demo", "password": leaky.password}).to_string();
    leaky
        .site
        .runtime()
        .block_on(leaky.site.provider().write("shop/site", Secret::from_string(back), None))
        .unwrap();
    assert_eq!(leaky.known(&with).code, 0);
    assert_eq!(leaky.states(&leaky.password), [ValueState::Current]);
}

#[test]
fn forged_moved_stale_and_broken_reports_are_refused_whole() {
    let leaky = Leaky::new("Rotate");
    assert_eq!(leaky.known(&[]).code, 0);
    let report = leaky.scan(&format!("PASSWORD={}\n", leaky.password));
    let before = leaky.state();
    let refused = |what: &str, change: &dyn Fn(&mut Value), says: &str| {
        let mut changed = report.clone();
        change(&mut changed);
        leaky.write_report(&changed);
        let ended = leaky.respond(&[]);
        assert_eq!(ended.code, 1, "{what}: {ended:?}");
        assert!(ended.err.contains(says), "{what}: {ended:?}");
        assert!(ended.err.contains("nothing was done") && ended.out.is_empty(), "{what}: {ended:?}");
        assert_eq!(leaky.state(), before, "{what}");
    };
    let finding = |report: &mut Value, with: &dyn Fn(&mut Value)| with(&mut report["findings"][0]);
    let zeros = json!("0".repeat(64));
    refused(
        "proof",
        &|r| r["findings"][0]["known"]["proof"] = zeros.clone(),
        "finding f1: its proof is wrong",
    );
    refused(
        "one good, one forged",
        &|r| {
            let mut second = r["findings"][0].clone();
            second["known"]["proof"] = zeros.clone();
            r["findings"].as_array_mut().unwrap().push(second);
        },
        "its proof is wrong",
    );
    refused("moved", &|r| finding(r, &|f| f["locations"][0]["path"] = json!("other")), "its proof is wrong");
    refused("no place", &|r| finding(r, &|f| f["locations"] = json!([])), "its proof is wrong");
    refused(
        "another image",
        &|r| finding(r, &|f| f["locations"][0]["image"] = json!({"digest": "sha256:00"})),
        "its proof is wrong",
    );
    refused("never issued", &|r| r["findings"][0]["known"]["generation"] = json!(7), "known file 7");
    refused(
        "other key",
        &|r| r["findings"][0]["known"]["keyId"] = json!("00000000"),
        "with the known key 00000000",
    );
    refused("version", &|r| r["version"] = json!(2), "it has version 2");
    refused("not a match", &|r| r["findings"][0]["known"]["id"] = json!("x"), "not a report of the scanner");
    refused("an id with controls", &|r| r["findings"][0]["id"] = json!("f1\u{1b}[2J"), "finding 1: its id");
    refused("no report", &|r| *r = json!([]), "line 1");

    // An unknown value cannot be checked; it is refused alone.
    let mut unknown = report.clone();
    unknown["findings"][0]["known"]["id"] = json!("0".repeat(16));
    leaky.write_report(&unknown);
    let ended = leaky.respond(&[]);
    assert!(
        ended.code == 1 && ended.err.contains("finding f1: refused: no store holds its value"),
        "{ended:?}"
    );
    assert_eq!(leaky.state(), before);
}

#[test]
fn a_report_is_stale_when_its_known_file_has_expired() {
    let leaky = Leaky::new("Rotate");
    assert_eq!(leaky.known(&["--valid-for", "2s"]).code, 0);
    leaky.scan(&leaky.password);
    let before = leaky.state();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let ended = leaky.respond(&[]);
    assert!(ended.code == 1 && ended.err.contains("has expired"), "{ended:?}");
    assert_eq!(leaky.state(), before);
}

#[test]
fn a_dry_run_and_policies_without_rotate_change_nothing() {
    for (on_leak, arguments, code, says) in [
        ("Rotate", &["--dry-run"][..], 0, "would be rotated (dry run"),
        ("Alert", &[][..], 0, "ALERT: its current value leaked"),
        (
            "Approve",
            &[][..],
            3,
            "NEEDS A PERSON: its current value leaked; approve with `rotator rotate shop/site --now`",
        ),
    ] {
        let leaky = Leaky::new(on_leak);
        assert_eq!(leaky.known(&[]).code, 0);
        leaky.scan(&leaky.password);
        let before = leaky.state();
        let ended = leaky.respond(arguments);
        assert_eq!(ended.code, code, "{on_leak}: {ended:?}");
        assert!(
            ended.out.contains(says) && ended.out.contains("Secrets that use it: shop/site"),
            "{ended:?}"
        );
        assert_eq!(leaky.state(), before, "{on_leak}");
        assert!(!leaky.site.path("receipts").exists(), "{on_leak}");
    }
}

#[test]
fn too_many_leaks_only_alert() {
    let leaky = Leaky::new("Rotate");
    assert_eq!(leaky.known(&[]).code, 0);
    leaky.scan(&leaky.password);
    let before = leaky.state();
    let broken = leaky.respond(&["--breaker", "0"]);
    assert!(broken.code == 1 && broken.out.contains("NOT ROTATED: the breaker holds it"), "{broken:?}");
    assert_eq!(leaky.state(), before);
    assert_eq!(leaky.respond(&[]).code, 0);

    // The new value leaks at once: the Rotation has to cool down first.
    assert_eq!(leaky.known(&[]).code, 0);
    leaky.scan(&leaky.password_now());
    let before = leaky.state();
    let hot = leaky.respond(&[]);
    assert!(hot.code == 1 && hot.out.contains("NOT ROTATED: the cooldown holds it until"), "{hot:?}");
    let spent = leaky.respond(&["--cooldown", "0s", "--daily-budget", "1"]);
    assert!(spent.code == 1 && spent.out.contains("NOT ROTATED: the daily budget holds it"), "{spent:?}");
    assert_eq!(leaky.state(), before);
    let cool = leaky.respond(&["--cooldown", "0s"]);
    assert!(cool.code == 0 && cool.out.contains("proven     run 2"), "{cool:?}");
}

#[test]
fn two_responders_at_once_rotate_once() {
    let leaky = Leaky::new("Rotate");
    assert_eq!(leaky.known(&[]).code, 0);
    leaky.scan(&leaky.password);
    let both = std::thread::scope(|scope| {
        let one = || leaky.respond(&["--cooldown", "0s"]);
        [scope.spawn(one), scope.spawn(one)].map(|thread| thread.join().unwrap())
    });
    assert!(both.iter().any(|ended| ended.out.contains("proven     run 1")), "{both:?}");
    assert_eq!(leaky.site.receipts().len(), 1, "{both:?}");
    let last = leaky.respond(&["--cooldown", "0s"]);
    assert!(last.code == 0 && last.out.contains("already replaced"), "{last:?}");
    assert_eq!(leaky.site.receipts().len(), 1);
}

#[test]
fn a_live_value_without_a_rotation_is_named_with_its_users() {
    let leaky = Leaky::new("Rotate");
    let inner = random();
    let document = json!({"username": "demo", "password": leaky.password,
        "url": format!("postgres://app:{inner}@db/orders")});
    let write = leaky.site.provider();
    let write = write.write("shop/site", Secret::from_string(document.to_string()), None);
    leaky.site.runtime().block_on(write).unwrap();
    assert_eq!(leaky.known(&[]).code, 0);
    leaky.scan(&format!("DB_PASSWORD={inner}"));
    let before = leaky.state();
    let ended = leaky.respond(&[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.out.contains("property url: current") && ended.out.contains("NOT ROTATED: no Rotation"),
        "{ended:?}"
    );
    assert!(!ended.out.contains(&inner) && !ended.err.contains(&inner));
    assert_eq!(leaky.state(), before);
}

#[test]
fn a_known_file_replaces_only_known_files_and_needs_every_store() {
    let leaky = Leaky::new("Rotate");
    for generation in 1..=3 {
        let ended = leaky.known(&[]);
        assert!(ended.out.contains(&format!("generation {generation},")), "{ended:?}");
    }
    for name in ["known.bin", "known.key.rotator"] {
        let mode = std::fs::metadata(leaky.site.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // Without the rotator's own half the file that is there still counts.
    std::fs::remove_file(leaky.site.path("known.key.rotator")).unwrap();
    assert!(leaky.known(&[]).out.contains("generation 4,"));

    let there = std::fs::read(leaky.site.path("known.bin")).unwrap();
    std::fs::rename(leaky.site.path("store"), leaky.site.path("gone")).unwrap();
    let arguments = [
        "known",
        "--config",
        "config",
        "--out",
        "known.bin",
        "--key-file",
        "known.key",
        "--receipt-key",
        "keys/receipts.pem",
    ];
    let ended = leaky.site.workshop.run(&arguments);
    assert!(ended.code == 1 && ended.err.contains("no known file was written"), "{ended:?}");
    assert_eq!(std::fs::read(leaky.site.path("known.bin")).unwrap(), there);
    std::fs::rename(leaky.site.path("gone"), leaky.site.path("store")).unwrap();

    leaky.site.workshop.write("known.bin", "precious");
    let ended = leaky.known(&[]);
    assert!(ended.code == 2 && ended.err.contains("this is not a known file"), "{ended:?}");
    assert_eq!(std::fs::read(leaky.site.path("known.bin")).unwrap(), b"precious");
}

/// A policy of 190 bits says nothing about a password that a person chose.
#[test]
fn the_policy_counts_only_for_what_a_run_made() {
    let leaky = Leaky::with("Rotate", "passwordpasswordpasswordpassword".to_owned());
    let ended = leaky.known(&[]);
    assert!(ended.code == 0 && ended.out.contains("too weak 1,"), "{ended:?}");
    assert!(leaky.states(&leaky.password).is_empty());
    assert_eq!(leaky.site.rotate(&["--now"]).code, 0);
    assert_eq!(leaky.known(&[]).code, 0);
    assert!(leaky.states(&leaky.password).is_empty());
    assert_eq!(leaky.states(&leaky.password_now()), [ValueState::Current]);
}

#[test]
fn one_flipped_byte_in_a_receipt_shows() {
    let leaky = Leaky::new("Rotate");
    for _ in 0..2 {
        assert_eq!(leaky.site.rotate(&["--now"]).code, 0);
    }
    let good = leaky.receipts("verify", &[]);
    assert!(good.code == 0 && good.out.starts_with("2 receipts: every signature"), "{good:?}");
    let known = leaky.receipts("verify", &["--config", "config"]);
    assert!(known.code == 0 && known.out.ends_with(", which the stores know\n"), "{known:?}");
    let list = leaky.receipts("list", &[]);
    assert!(
        list.code == 0 && list.out.lines().count() == 2 && list.out.contains("shop/site run 2"),
        "{list:?}"
    );
    let receipts: Vec<Signed> = leaky.site.receipts();
    let id = receipts[0].receipt().id.to_string();
    let show = leaky.receipts("show", &[&id]);
    assert_eq!(serde_json::from_str::<Value>(&show.out).unwrap()["id"], json!(id), "{show:?}");
    assert_eq!(leaky.receipts("show", &["nothing"]).code, 1);

    let first = receipts.iter().find(|signed| signed.receipt().seq == 1).unwrap();
    let path = leaky.site.path("receipts").join(first.file_name());
    for at in (0..first.as_bytes().len()).step_by(first.as_bytes().len() / 7) {
        let mut bytes = first.as_bytes().to_vec();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let bad = leaky.receipts("verify", &[]);
        assert_eq!(bad.code, 1, "{at}: {bad:?}");
        assert!(bad.err.lines().count() == 1 && bad.err.contains(&first.file_name()), "{at}: {bad:?}");
    }
    // Without its end a chain looks whole; the store knows better.
    std::fs::write(&path, first.as_bytes()).unwrap();
    let last = receipts.iter().find(|signed| signed.receipt().seq == 2).unwrap();
    std::fs::remove_file(leaky.site.path("receipts").join(last.file_name())).unwrap();
    assert_eq!(leaky.receipts("verify", &[]).code, 0);
    let cut = leaky.receipts("verify", &["--config", "config"]);
    let why = "error: a chain ends at receipt 1; its store knows 2: the newest were taken away\n";
    assert!(cut.code == 1 && cut.err == why, "{cut:?}");

    std::fs::write(leaky.site.path("receipts").join(last.file_name()), last.as_bytes()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let gap = leaky.receipts("verify", &[]);
    assert!(gap.code == 1 && gap.err == "error: receipt 1 is missing\n", "{gap:?}");
}
