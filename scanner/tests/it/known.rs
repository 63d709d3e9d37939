//! Live secrets: found wherever they lie, never let through while they live, let through once proven dead.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use scanner::blob::Content;
use scanner::matcher::Engine;
use scanner::rules::{RuleSet, example};
use shared::finding::{Action, Confidence, Finding, Report};
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::journal::{PhaseName, ProofKind, Trigger};
use shared::known::proof::ProofOfValue;
use shared::known::{
    Freshness, IdKey, Issue, KnownFileBuilder, KnownIndex, KnownKey, Nonce, Strength, ValueState,
};
use shared::receipt::{
    Answer, EndpointProof, Folder, Part, PhaseAt, Proof, Receipt, ReceiptId, RotationRef, Signed,
};
use shared::secret::{Redacted, Secret};
use shared::signing::{PrivateKey, TrustedKeys};

use crate::canary::clean;
use crate::program::{Bench, Run, image_archive, tar_of, token};

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

/// Gives as many bytes at a time as it likes.
struct Drops<'b>(&'b [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.1.min(buffer.len());
        self.0.read(&mut buffer[..length])
    }
}

fn encoded(value: &str, form: usize) -> Vec<u8> {
    match form {
        0 => value.as_bytes().to_vec(),
        1 => format!("\"{}\"", data_encoding::BASE64.encode(value.as_bytes())).into_bytes(),
        2 => format!("\"{}\"", data_encoding::BASE64URL_NOPAD.encode(value.as_bytes())).into_bytes(),
        3 => format!("\"{}\"", data_encoding::HEXUPPER.encode(value.as_bytes())).into_bytes(),
        4 => utf16(value, false),
        5 => percent(value).into_bytes(),
        // One escape in the middle of a longer text.
        6 => format!("{}{}{}", &value[..5], percent(&value[5..6]), &value[6..]).into_bytes(),
        _ => format!("\"{}\"", escaped(value)).into_bytes(),
    }
}

const FORMS: usize = 8;

/// What lies around a value: noise, words, or one long text full of escapes.
fn filler(kind: usize, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    match kind {
        0 => std::iter::repeat_with(|| noise() as u8).take(length).collect(),
        1 => b"some words, and then some more of them.\n".iter().copied().cycle().take(length).collect(),
        _ => {
            let mut text = Vec::with_capacity(length + 8);
            while text.len() < length {
                let plain = noise() % 700;
                text.extend(std::iter::repeat_n(b'~', plain as usize));
                text.extend(b"%41");
            }
            text.truncate(length);
            text
        }
    }
}

fn engine(value: &str) -> Engine {
    let file = known_file(&[(value, ValueState::Current)], issue(), &signer());
    let trusted = TrustedKeys::new(vec![signer().public()]);
    let freshness = Freshness { now: Timestamp::now(), generation_seen: 0 };
    let index = KnownIndex::open(&file, &known_key(), &trusted, freshness).unwrap();
    let rules = RuleSet::from_text("none", "version = 1\n").unwrap();
    Engine::new(rules, FingerprintKey::from_bytes([0x5a; 32])).unwrap().with_known(index)
}

/// The places where the engine finds a value, each checked.
fn places(value: &str, haystack: &[u8], window: usize, drops: Option<usize>) -> Vec<(u64, u64)> {
    let engine = engine(value);
    let mut scratch = engine.scratch();
    let mut reader = Drops(haystack, drops.unwrap_or(1));
    let content = match drops {
        None => Content::Slice(haystack),
        Some(_) => Content::Stream { reader: &mut reader, size_hint: None },
    };
    let found = engine.search_in_windows(content, &mut scratch, window).unwrap();
    let name = fingerprint(value);
    assert!(found.hits.iter().all(|hit| hit.fingerprint == name && hit.confidence == Confidence::Known));
    found.hits.iter().map(|hit| (hit.span.start, hit.span.end)).collect()
}

/// An escape begins a piece of decoded text; a value with an escape of its own lies across the piece's end, and no
/// other escape follows.
#[test]
fn no_value_is_missed_where_a_text_with_escapes_is_cut() {
    let value = value(20, 40);
    let text = encoded(&value, 6);
    for before in 8 * 1024 - 2 * text.len()..8 * 1024 + 10 {
        let plain = |length| std::iter::repeat_n(b'~', length);
        let haystack: Vec<u8> = b"%41"
            .iter()
            .copied()
            .chain(plain(before))
            .chain(text.iter().copied())
            .chain(plain(5000))
            .collect();
        assert_eq!(places(&value, &haystack, 300_000, None).len(), 1, "{before}");
    }
}

fn windows() -> impl Strategy<Value = usize> {
    prop_oneof![2_000_usize..20_000, 20_000_usize..400_000]
}

/// The sizes of a stream's reads; none for a slice.
fn reads() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![Just(None), (1_usize..50).prop_map(Some), (4_000_usize..70_000).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_value_is_missed_at_any_place_in_any_form(
        at in 0_usize..290_000,
        length in prop_oneof![17_usize..21, 17_usize..120],
        seed in any::<u64>(),
        form in 0..FORMS,
        kind in 0_usize..3,
        window in windows(),
        drops in reads(),
    ) {
        let value = value(seed, length);
        let mut haystack = filler(kind, 300_000);
        let text = encoded(&value, form);
        haystack.splice(at..at, text.iter().copied());
        let found = places(&value, &haystack, window, drops);
        prop_assert_eq!(found.len(), 1);
        let (start, end) = found[0];
        // A line break that was taken for an encoded one, and padding, may belong to the place.
        prop_assert!(at as u64 <= start && end <= (at + text.len()) as u64 + 2, "{start}..{end}, put at {at}");
    }

    /// Copies lie so close that every cut, of a window, a read, or a piece of decoded text, goes through one.
    #[test]
    fn no_value_is_missed_where_windows_and_pieces_are_cut(
        length in 17_usize..120,
        seed in any::<u64>(),
        form in 0..FORMS,
        window in windows(),
        drops in reads(),
    ) {
        let value = value(seed, length);
        let text = encoded(&value, form);
        let mut haystack = Vec::new();
        let mut copies = 0;
        while haystack.len() < 150_000 {
            haystack.extend(std::iter::repeat_n(b'~', copies % 23 + 1));
            haystack.extend(&text);
            copies += 1;
        }
        prop_assert_eq!(places(&value, &haystack, window, drops).len(), copies);
    }
}
