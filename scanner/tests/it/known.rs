//! Live secrets: found wherever they lie, never let through while they live, let through once proven dead.

use std::os::unix::fs::PermissionsExt;

use jiff::{SignedDuration, Timestamp};
use scanner::rules::example;
use shared::finding::{Action, Confidence, Finding, Report};
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::journal::{PhaseName, ProofKind, Trigger};
use shared::known::proof::ProofOfValue;
use shared::known::{IdKey, Issue, KnownFileBuilder, KnownKey, Nonce, Strength, ValueState};
use shared::receipt::{
    Answer, EndpointProof, Folder, Part, PhaseAt, Proof, Receipt, ReceiptId, RotationRef, Signed,
};
use shared::secret::{Redacted, Secret};
use shared::signing::PrivateKey;

use crate::canary::clean;
use crate::program::{Bench, Run, image_archive, tar_of, token};

mod anywhere;

const NONCE: Nonce = Nonce([3; 24]);

fn known_key() -> KnownKey {
    KnownKey::from_bytes([7; 32])
}

fn signer() -> PrivateKey {
    PrivateKey::from_seed(&[9; 32])
}

/// What `Bench::keep_key` writes.
fn fingerprint(value: &str) -> Fingerprint {
    FingerprintKey::from_bytes([0x5a; 32]).fingerprint(Redacted::new(value.as_bytes()))
}

fn value(seed: u64, length: usize) -> String {
    example::make(&format!("{{base62:{length}}}"), &mut example::seeded(seed)).unwrap()
}

fn issue() -> Issue {
    let now = Timestamp::now();
    Issue { generation: 5, created: now, expires: now + SignedDuration::from_hours(1), nonce: NONCE }
}

fn known_file(values: &[(&str, ValueState)], issue: Issue, signer: &PrivateKey) -> Vec<u8> {
    let (key, id_key) = (known_key(), IdKey::from_bytes([8; 32]));
    let mut builder = KnownFileBuilder::new(&key, &id_key);
    for (value, state) in values {
        let secret = Secret::copy_of(value.as_bytes());
        assert_eq!(builder.add(&secret, *state, Strength::Generated { bits: 180.0 }), None);
    }
    let built = builder.build(issue, signer).unwrap();
    assert_eq!(built.header.count as usize, values.len());
    built.file
}

/// A bench with all keys, a known file and an empty folder of receipts.
fn bench(values: &[(&str, ValueState)]) -> Bench {
    let bench = Bench::new();
    bench.keep_key();
    let key = bench.write("known.key", "07".repeat(32));
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    bench.write("rotator.pem", signer().public().to_pem());
    bench.write("known", known_file(values, issue(), &signer()));
    std::fs::create_dir(bench.path("receipts")).unwrap();
    bench
}

const KNOWN: [&str; 6] = ["--known", "known", "--known-key", "known.key", "--receipt-key", "rotator.pem"];

fn scan(bench: &Bench, target: &str, more: &[&str]) -> Run {
    bench.run(&[&["scan", target], &KNOWN[..], more].concat())
}

fn report(bench: &Bench, target: &str, more: &[&str]) -> Report {
    let run = scan(bench, target, &[&["--format", "json"], more].concat());
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", run.stdout, run.stderr))
}

/// The text report, without its line breaks.
fn unwrapped(run: &Run) -> String {
    run.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn with_receipts(bench: &Bench, target: &str) -> Run {
    scan(bench, target, &["--receipts", "receipts"])
}

fn receipt(old: &str) -> Receipt {
    let at = |second: i64| Timestamp::from_second(1_772_330_400 + second).unwrap();
    let part = |value| vec![Part { part: "password".into(), fingerprint: fingerprint(value) }];
    Receipt {
        version: shared::receipt::RECEIPT_VERSION,
        id: ReceiptId::new("r-4711").unwrap(),
        seq: 1,
        previous_hash: None,
        rotation: RotationRef { namespace: "shop".into(), name: "orders".into(), uid: "u-1".into() },
        revision: 3,
        trigger: Trigger::Schedule,
        forced: None,
        key_id: FingerprintKey::from_bytes([0x5a; 32]).key_id(),
        old: part(old),
        new: part(&value(99, 32)),
        phases: PhaseName::ALL.iter().zip(0..).map(|(&phase, n)| PhaseAt { phase, at: at(n) }).collect(),
        proof: Proof {
            kind: ProofKind::Refused,
            endpoints: vec![EndpointProof {
                name: "rw".into(),
                old: Answer::Refused,
                new: Answer::Accepted,
                control: Answer::Refused,
                at: at(7),
            }],
            sessions_left: Some(0),
        },
        issued_at: at(9),
    }
}

fn put(bench: &Bench, receipt: Receipt) -> std::path::PathBuf {
    let signed = Signed::new(receipt, &signer()).unwrap();
    Folder::write(&bench.path("receipts"), &signed).unwrap();
    bench.path(&format!("receipts/{}", signed.file_name()))
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\u{byte:04x}")).collect()
}

#[test]
fn a_live_secret_is_found_in_every_form_without_a_rule() {
    let value = value(1, 40);
    let bench = bench(&[(&value, ValueState::Current)]);
    let noise: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let forms: [(&str, Vec<u8>, &[&str]); 9] = [
        ("text", format!("it is {value} here\n").into_bytes(), &[]),
        ("binary", [&noise[..1001], value.as_bytes(), &noise].concat(), &[]),
        ("base64", data_encoding::BASE64.encode(value.as_bytes()).into_bytes(), &["base64"]),
        ("hex", data_encoding::HEXLOWER.encode(value.as_bytes()).into_bytes(), &["hex"]),
        ("little", utf16(&value, false), &["utf-16le"]),
        ("big", utf16(&value, true), &["utf-16be"]),
        ("percent", percent(&value).into_bytes(), &["percent"]),
        ("escape", format!("\"{}\"", escaped(&value)).into_bytes(), &["escape"]),
        (
            "twice",
            data_encoding::BASE64.encode(format!("x: {}", percent(&value)).as_bytes()).into_bytes(),
            &["base64", "percent"],
        ),
    ];
    for (name, content, _) in &forms {
        bench.write(&format!("t/{name}"), content);
    }
    let report = report(&bench, "t", &[]);
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.rule.0, "known-secret");
    assert_eq!(finding.confidence, Confidence::Known);
    assert_eq!(finding.action, Action::Block);
    assert_eq!(finding.severity.word(), "critical");
    assert_eq!(finding.fingerprint, fingerprint(&value));
    assert_eq!(finding.preview, "… (40 bytes)");
    for (name, _, decoded) in &forms {
        let place = finding.locations.iter().find(|place| place.path == *name);
        let place = place.unwrap_or_else(|| panic!("not found in {name}"));
        assert_eq!(place.decoded, *decoded, "{name}");
    }
    assert_eq!(finding.locations.len(), forms.len());
    proof_holds(finding, &value);
    assert_eq!(scan(&bench, "t", &[]).code, 1);
    bench.write("clean/a", "nothing");
    assert_eq!(scan(&bench, "clean", &[]).code, 0);
}

/// As the rotator checks it: from the report and the value alone.
#[track_caller]
fn proof_holds(finding: &Finding, value: &str) {
    let known = finding.known.as_ref().unwrap();
    let of = |value: &str, target: &str| {
        ProofOfValue::of(&known_key(), Redacted::new(value.as_bytes()), &NONCE, target)
    };
    assert_eq!(known.generation, 5);
    assert_eq!(known.proof, of(value, &finding.target_digest()));
    assert_ne!(known.proof, of(&format!("{value}x"), &finding.target_digest()));
    let mut moved = finding.clone();
    for location in &mut moved.locations {
        location.path.push('x');
        if let Some(image) = &mut location.image {
            image.digest.push('0');
        }
    }
    assert_ne!(known.proof, of(value, &moved.target_digest()), "a proof cannot be moved to another target");
}

#[test]
fn a_deleted_file_of_an_image_blocks_and_its_proof_names_the_image() {
    let value = value(2, 32);
    let bench = bench(&[(&value, ValueState::Current)]);
    let layers = [tar_of(&[("app/.pgpass", value.as_bytes())]), tar_of(&[("app/.wh..pgpass", b"")])];
    let config = serde_json::json!({ "config": { "Env": [format!("LOGIN=app:{value}@db")] } });
    bench.write("image.tar", image_archive(&layers, config, "shop/api:1"));
    let report = report(&bench, "image.tar", &[]);
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    let states: Vec<&str> = finding.locations.iter().map(|location| location.state.word()).collect();
    assert!(states.contains(&"deleted") && states.contains(&"config"), "{states:?}");
    let image = finding.locations[0].image.as_ref().unwrap();
    assert_eq!(finding.target_digest(), image.digest);
    proof_holds(finding, &value);
}

#[test]
fn a_known_secret_wins_over_what_a_rule_sees_and_test_data_does_not_lower_it() {
    let token = token(3);
    let bench = bench(&[(&token, ValueState::Current)]);
    bench.write("t/tests/fixtures/a", format!("GITHUB_TOKEN={token}\n"));
    let report = report(&bench, "t", &[]);
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((finding.rule.0.as_str(), finding.confidence), ("known-secret", Confidence::Known));
    assert!(!finding.why.contains("less sure"), "{}", finding.why);
}

#[test]
fn a_dead_secret_does_not_hide_a_live_one_inside_it() {
    let live = value(4, 32);
    let dead = format!("{}{live}{}", value(5, 20), value(6, 20));
    let bench = bench(&[(&live, ValueState::Current), (&dead, ValueState::Dead)]);
    put(&bench, receipt(&dead));
    bench.write("t/plain", &dead);
    assert_eq!(with_receipts(&bench, "t").code, 1);
    bench.write("t/plain", data_encoding::BASE64.encode(dead.as_bytes()));
    assert_eq!(with_receipts(&bench, "t").code, 1);
}

#[test]
fn a_known_file_that_is_not_believed_makes_the_verdict_incomplete() {
    let value = value(7, 32);
    let values = [(value.as_str(), ValueState::Current)];
    let bench = bench(&values);
    bench.write("t/a", &value);
    let file = known_file(&values, issue(), &signer());
    let now = Timestamp::now();
    let old = Issue {
        created: now - SignedDuration::from_hours(48),
        expires: now - SignedDuration::from_hours(1),
        ..issue()
    };
    let mut flipped = file.clone();
    flipped[200] ^= 1;
    let bad: [(&str, Vec<u8>, &str); 5] = [
        ("forged", known_file(&values, issue(), &PrivateKey::from_seed(&[1; 32])), "is not trusted here"),
        ("changed", flipped, "signature is wrong"),
        ("expired", known_file(&values, old, &signer()), "expired at"),
        ("cut", file[..file.len() - 9].to_vec(), "cut short"),
        ("empty", Vec::new(), "cut short"),
    ];
    for (name, content, why) in bad {
        bench.write("known", content);
        let run = scan(&bench, "t", &[]);
        assert_eq!(run.code, 3, "{name}: {}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains("known: known-file"), "{name}: {}", run.stdout);
        assert!(run.stdout.contains(why), "{name}: {}", run.stdout);
    }
    bench.write("known", &file);
    let run = scan(&bench, "t", &["--known-generation", "6"]);
    assert_eq!(run.code, 3, "{}", run.stdout);
    assert!(run.stdout.contains("generation 5, and 6 was seen"), "{}", run.stdout);
    assert_eq!(scan(&bench, "t", &["--known-generation", "5"]).code, 1);
    // What a rule finds still blocks.
    bench.write("known", b"x");
    bench.write("t/b", format!("GITHUB_TOKEN={}\n", token(8)));
    assert_eq!(scan(&bench, "t", &[]).code, 1);
}

#[test]
fn a_missing_or_misplaced_key_is_a_usage_error() {
    let value = value(9, 32);
    let bench = bench(&[(&value, ValueState::Current)]);
    bench.write("t/a", &value);
    let refused = |arguments: &[&str], why: &str| {
        let run = bench.run(&[&["scan", "t"], arguments].concat());
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stdout);
        assert!(run.stderr.contains(why), "{arguments:?}: {}", run.stderr);
    };
    refused(&["--known", "known"], "--known-key");
    refused(&["--known", "known", "--known-key", "known.key"], "--receipt-key");
    refused(&["--receipts", "receipts"], "--receipt-key");
    refused(&["--known", "known", "--known-key", "nosuch", "--receipt-key", "rotator.pem"], "nosuch");
    refused(&["--known", "nosuch", "--known-key", "known.key", "--receipt-key", "rotator.pem"], "nosuch");
    refused(&["--known", "known", "--known-key", "known.key", "--receipt-key", "known.key"], "public keys");
    bench.write("t/rotator.pem", signer().public().to_pem());
    refused(
        &["--known", "known", "--known-key", "known.key", "--receipt-key", "t/rotator.pem"],
        "inside the target",
    );
}

#[test]
fn a_receipt_lets_a_dead_secret_pass_and_one_flipped_byte_blocks_again() {
    let value = value(10, 32);
    let bench = bench(&[(&value, ValueState::Dead)]);
    bench.write("t/a", &value);
    assert_eq!(with_receipts(&bench, "t").code, 1, "dead by word alone");
    let path = put(&bench, receipt(&value));
    assert_eq!(scan(&bench, "t", &[]).code, 1, "nobody named the receipts");
    let run = with_receipts(&bench, "t");
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("r-4711"), "{}", run.stdout);
    let dead = report(&bench, "t", &["--receipts", "receipts"]);
    assert_eq!(dead.findings[0].action, Action::Report);
    assert!(dead.findings[0].why.contains("receipt r-4711 proves it dead"), "{}", dead.findings[0].why);
    let whole = std::fs::read(&path).unwrap();
    for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        let run = with_receipts(&bench, "t");
        assert_eq!(run.code, 1, "byte {at}: {}{}", run.stdout, run.stderr);
        assert!(unwrapped(&run).contains("it does not count"), "{}", run.stdout);
    }
}

#[test]
fn only_a_proof_of_refusal_of_this_very_value_counts() {
    let value = value(11, 32);
    let bench = bench(&[(&value, ValueState::Dead)]);
    bench.write("t/a", &value);
    let mut absent = receipt(&value);
    absent.proof.kind = ProofKind::Absent;
    let mut sessions = receipt(&value);
    sessions.proof.sessions_left = Some(1);
    for wrong in [absent, sessions, receipt(&self::value(12, 32))] {
        let path = put(&bench, wrong);
        assert_eq!(with_receipts(&bench, "t").code, 1);
        std::fs::remove_file(path).unwrap();
    }
    put(&bench, receipt(&value));
    assert_eq!(with_receipts(&bench, "t").code, 0);
}

#[test]
fn a_live_secret_blocks_whatever_receipts_and_suppressions_say() {
    for state in [ValueState::Current, ValueState::Previous] {
        let value = value(13, 32);
        let bench = bench(&[(&value, state)]);
        bench.write("t/a", &value);
        put(&bench, receipt(&value));
        let key = FingerprintKey::from_bytes([0x5a; 32]).key_id();
        let suppression = format!(
            "version = 1\nkey_id = \"{key}\"\n[[suppress]]\nfingerprint = \"{}\"\nowner = \"team-a\"\n\
             reason = \"accepted\"\nexpires = 2999-01-01\n[[override]]\nwhen = {{ rule = \"known-secret\" }}\n\
             action = \"report\"\nreason = \"never mind\"\n",
            fingerprint(&value)
        );
        bench.write("policy.toml", suppression);
        let run = scan(&bench, "t", &["--receipts", "receipts", "--policy", "policy.toml"]);
        assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
        assert!(unwrapped(&run).contains("does not hold: the secret is live"), "{}", run.stdout);
        assert_eq!(scan(&bench, "t", &["--fail-on", "known"]).code, 1);
        // Nor does what the target says about itself, trusted or not.
        bench.write("t/a", format!("{value} # keyturn:allow\n"));
        bench.write("t/.gitleaksignore", "a:known-secret:1\n");
        let trusted = scan(&bench, "t", &["--trust-target"]);
        assert_eq!(trusted.code, 1, "{}{}", trusted.stdout, trusted.stderr);
    }
}

#[test]
fn receipts_under_another_fingerprint_key_are_a_usage_error() {
    let value = value(14, 32);
    let bench = bench(&[(&value, ValueState::Dead)]);
    bench.write("t/a", &value);
    let other = FingerprintKey::from_bytes([1; 32]).key_id();
    put(&bench, Receipt { key_id: other, ..receipt(&value) });
    let run = with_receipts(&bench, "t");
    let own = FingerprintKey::from_bytes([0x5a; 32]).key_id();
    assert_eq!(run.code, 2, "{}", run.stdout);
    assert!(
        run.stderr.contains(&other.to_string()) && run.stderr.contains(&own.to_string()),
        "{}",
        run.stderr
    );
}

#[test]
fn no_report_holds_a_known_value() {
    let (live, dead) = (value(15, 32), value(16, 48));
    let bench = bench(&[(&live, ValueState::Current), (&dead, ValueState::Dead)]);
    put(&bench, receipt(&dead));
    bench.write(&format!("t/{live}/{dead}.txt"), format!("{live} {dead}\n"));
    bench.write(&format!("t/{}", data_encoding::BASE64URL_NOPAD.encode(live.as_bytes())), percent(&dead));
    bench.write("t/b", utf16(&live, false));
    let formats = ["text", "json", "jsonl", "sarif", "junit", "gitlab", "github"];
    let arguments: Vec<String> =
        formats.iter().map(|format| format!("--format={format}=out.{format}")).collect();
    let mut more = vec!["--receipts", "receipts", "-vvv", "--write-baseline", "baseline.toml"];
    more.extend(arguments.iter().map(String::as_str));
    let run = scan(&bench, "t", &more);
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    let values = [live, dead];
    clean("standard output", &run.stdout, &values);
    clean("standard error", &run.stderr, &values);
    for name in formats.iter().map(|format| format!("out.{format}")).chain(["baseline.toml".to_owned()]) {
        let text = std::fs::read_to_string(bench.path(&name)).unwrap();
        assert!(text.len() > 50, "{name} is empty");
        clean(&name, &text, &values);
    }
}
