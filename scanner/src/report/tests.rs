use std::collections::BTreeMap;

use jiff::Timestamp;
use shared::coverage::{Coverage, Skipped};
use shared::finding::{
    Action, Confidence, Finding, Image, Layer, Location, Report, RuleId, Severity, State, Tool, VerdictReport,
};
use shared::fingerprint::{Fingerprint, FingerprintKey};

use super::{Catalogue, Context, Format, Look, RuleInfo, write};

pub fn in_tree(target: &str, path: &str) -> Location {
    Location {
        target: target.into(),
        image: None,
        layer: None,
        path: path.into(),
        entries: vec![],
        line: 4,
        column: 9,
        column_utf16: None,
        byte_start: 80,
        byte_end: 120,
        decoded: vec![],
        state: State::Visible,
        hidden_by: None,
        inherited: false,
        git: None,
    }
}

pub fn in_layer(path: &str) -> Location {
    Location {
        image: Some(Image {
            digest: format!("sha256:{}", "0f".repeat(32)),
            tags: vec!["shop/api:1.2".into()],
            platform: Some("linux/amd64".into()),
        }),
        layer: Some(Layer {
            index: 3,
            digest: format!("sha256:1a2b3c4d{}", "0".repeat(56)),
            diff_id: None,
            created_by: Some("COPY . /app # buildkit".into()),
        }),
        ..in_tree("app.tar", path)
    }
}

pub fn finding(rule: &str, action: Action, locations: Vec<Location>) -> Finding {
    let mut bytes = [7; 16];
    bytes[..2].copy_from_slice(&blake3::hash(rule.as_bytes()).as_bytes()[..2]);
    Finding {
        id: "00112233445566778899".into(),
        fingerprint: Fingerprint::from_bytes(bytes),
        rule: RuleId(rule.into()),
        credential: "example/token".into(),
        severity: Severity::Critical,
        confidence: Confidence::Checked,
        action,
        why: "Its checksum holds; the policy blocks from shaped on.".into(),
        preview: "ex_... (40 characters)".into(),
        locations,
        locations_omitted: 0,
        known: None,
    }
}

pub fn report(findings: Vec<Finding>) -> Report {
    let blocking = findings.iter().filter(|finding| finding.action == Action::Block).count();
    Report {
        version: 1,
        tool: Tool { name: "keyturn-scanner".into(), version: "0.1.0".into(), rules: "abc".into() },
        key_id: FingerprintKey::from_bytes([1; 32]).key_id(),
        stable: true,
        targets: vec!["app.tar".into()],
        verdict: VerdictReport {
            status: if blocking > 0 { "block".into() } else { "pass".into() },
            blocking,
            skipped: 0,
            skipped_allowed: 0,
        },
        images: vec![],
        coverage: Coverage {
            blobs: 1200,
            bytes_stored: 5 << 20,
            bytes_decoded: 1 << 30,
            ..Coverage::default()
        },
        notices: vec![],
        findings,
    }
}

pub fn catalogue() -> Catalogue {
    let info = RuleInfo {
        description: "Example token".into(),
        severity: Severity::Critical,
        tags: vec!["vcs".into()],
        reference: Some("https://docs.example.com/tokens".into()),
        revoke: Some("https://example.com/settings/tokens".into()),
    };
    BTreeMap::from([(RuleId("example-token".into()), info)])
}

pub fn rendered(format: Format, report: &Report, width: usize) -> String {
    let rules = catalogue();
    let times = (Timestamp::UNIX_EPOCH, Timestamp::from_second(2).unwrap());
    let context = Context { report, rules: &rules, look: Look { styled: false, width }, times };
    let mut out = Vec::new();
    write(format, &context, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn busy() -> Report {
    let mut deleted = in_layer("app/deploy/credentials.json");
    deleted.state = State::Deleted;
    deleted.hidden_by = Some(format!("sha256:5e5e5e5e{}", "0".repeat(56)));
    deleted.entries = vec!["inner.zip".into(), "a/b.txt".into()];
    deleted.decoded = vec!["base64".into()];
    let mut config = in_layer("config:Env[3]");
    config.layer = None;
    config.state = State::Config;
    let mut report = report(vec![
        finding("example-token", Action::Block, vec![in_layer("app/.env"), deleted]),
        finding("unlisted-rule", Action::Report, vec![config]),
        finding("accepted-rule", Action::Suppressed, vec![in_layer("app/.env")]),
    ]);
    report.coverage.skipped.push("app.tar, layer 4".into(), Skipped::Truncated, Some("ends at 512".into()));
    report.verdict.skipped = 1;
    report.notices.push("the suppression of k1:00 expired on 2026-01-31: it blocks again".into());
    report
}

#[test]
fn the_text_report_says_where_what_and_what_to_do() {
    insta::assert_snapshot!(rendered(Format::Text, &busy(), 80));
}

#[test]
fn forty_columns_are_enough_for_prose() {
    let text = rendered(Format::Text, &busy(), 40);
    insta::assert_snapshot!(text);
    let unbreakable = ["http", "k1:", "app/"];
    for line in text.lines().filter(|line| !unbreakable.iter().any(|word| line.contains(word))) {
        assert!(line.chars().count() <= 60, "{line}");
    }
}

#[test]
fn a_clean_run_is_two_lines() {
    insta::assert_snapshot!(rendered(Format::Text, &report(vec![]), 80));
}

#[test]
fn names_from_a_target_cannot_break_any_format() {
    let hostile = "a\x1b[31m\n::error::b<script>]]>&\"'\u{202e}[x](1){0},:%0A\u{1}\u{ffff}";
    let mut location = in_layer(hostile);
    location.entries = vec![hostile.into()];
    if let Some(layer) = &mut location.layer {
        layer.created_by = Some(hostile.into());
    }
    let report = report(vec![finding("example-token", Action::Block, vec![location])]);
    for format in [Format::Text, Format::Github] {
        let text = rendered(format, &report, 80);
        assert!(!text.contains('\x1b') && !text.contains('\u{202e}'), "{format:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::error::b")), "{format:?}");
    }
    for format in [Format::Json, Format::Sarif, Format::Gitlab] {
        serde_json::from_str::<serde_json::Value>(&rendered(format, &report, 80)).unwrap();
    }
    assert_eq!(rendered(Format::Jsonl, &report, 80).lines().count(), 2);
    let xml = rendered(Format::Junit, &report, 80);
    let mut reader = quick_xml::Reader::from_str(&xml);
    while reader.read_event().unwrap() != quick_xml::events::Event::Eof {}
    assert!(!xml.contains("<script>") && !xml.contains('\u{1}') && !xml.contains('\u{ffff}'));
}

#[test]
fn a_report_reads_back_as_it_was_written() {
    let report = busy();
    assert_eq!(serde_json::from_str::<Report>(&rendered(Format::Json, &report, 80)).unwrap(), report);
}

#[test]
fn sarif_has_one_result_for_each_place() {
    insta::assert_snapshot!(pretty(&rendered(Format::Sarif, &busy(), 80)));
}

#[test]
fn sarif_is_valid_against_the_official_schema() {
    let schema = official_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for report in [busy(), report(vec![])] {
        let sarif: serde_json::Value = serde_json::from_str(&rendered(Format::Sarif, &report, 80)).unwrap();
        let errors: Vec<String> = validator.iter_errors(&sarif).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        serde_json::from_value::<serde_sarif::sarif::Sarif>(sarif).unwrap();
    }
}

/// The schema as OASIS publishes it, from the package that ships it; cargo has it because we depend on it.
fn official_schema() -> serde_json::Value {
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "serde-sarif").unwrap();
    let manifest = std::path::Path::new(package["manifest_path"].as_str().unwrap());
    let schema = std::fs::read_to_string(manifest.with_file_name("src/schema.json")).unwrap();
    let mut schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    // The published pattern of `language` has a bracket too many and is no regular expression; we do not
    // write that property.
    for holder in ["run", "toolComponent"] {
        let language = schema["definitions"][holder]["properties"]["language"].as_object_mut().unwrap();
        language.remove("pattern");
    }
    schema
}

/// The results of all runs of a SARIF file.
fn sarif_results(sarif: &serde_json::Value) -> Vec<&serde_json::Value> {
    let runs = sarif["runs"].as_array().unwrap().iter();
    runs.flat_map(|run| run["results"].as_array().unwrap()).collect()
}

/// What the first run says of itself under this name.
fn said<'s>(sarif: &'s serde_json::Value, id: &str) -> Option<&'s str> {
    let said = sarif["runs"][0]["invocations"][0]["toolExecutionNotifications"].as_array().unwrap();
    said.iter().find(|said| said["descriptor"]["id"] == id)?["message"]["text"].as_str()
}

#[test]
fn more_results_than_a_run_may_hold_go_into_further_runs_the_worst_first() {
    let places = |count: usize| (0..count).map(|index| in_layer(&format!("f{index}"))).collect();
    let mut worst = finding("worst-token", Action::Block, places(1));
    worst.severity = Severity::Critical;
    let mut report = report(vec![
        finding("quiet-token", Action::Suppressed, places(10)),
        Finding { severity: Severity::Low, ..finding("example-token", Action::Block, places(25_000)) },
        worst,
    ]);
    let sarif: serde_json::Value = serde_json::from_str(&rendered(Format::Sarif, &report, 80)).unwrap();
    let runs = sarif["runs"].as_array().unwrap();
    assert_eq!(
        runs.iter().map(|run| run["results"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [25_000, 11]
    );
    let results = sarif_results(&sarif);
    assert_eq!(results[0]["ruleId"], "worst-token");
    assert_eq!(results[25_010]["ruleId"], "quiet-token");
    let ids: std::collections::HashSet<&str> = results
        .iter()
        .map(|result| result["partialFingerprints"]["keyturnPlace/v1"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 25_011);
    assert!(said(&sarif, "results-not-shown").unwrap().contains("first 5000 of the 25000"));
    assert_eq!(said(&sarif, "results-left-out"), None);
    report.findings.truncate(1);
    let sarif: serde_json::Value = serde_json::from_str(&rendered(Format::Sarif, &report, 80)).unwrap();
    assert_eq!(said(&sarif, "results-not-shown"), None);
}

#[test]
fn what_no_upload_takes_is_left_out_and_said() {
    // Names that do not compress: 4 KB each, three times in a result.
    let mut random = blake3::Hasher::new().update(b"names").finalize_xof();
    let mut name = || {
        let mut bytes = [0; 2000];
        random.fill(&mut bytes);
        data_encoding::HEXLOWER.encode(&bytes)
    };
    let mut findings = Vec::new();
    for (rule, action, count) in
        [("quiet-token", Action::Suppressed, 3_000), ("example-token", Action::Block, 3_000)]
    {
        findings.push(finding(rule, action, (0..count).map(|_| in_layer(&name())).collect()));
    }
    let text = rendered(Format::Sarif, &report(findings), 80);
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut zipped, text.as_bytes()).unwrap();
    let bytes = zipped.finish().unwrap().len();
    assert!((8_000_000..10_000_000).contains(&bytes), "{bytes}");
    let sarif: serde_json::Value = serde_json::from_str(&text).unwrap();
    let results = sarif_results(&sarif);
    assert!(results[..3_000].iter().all(|result| result["ruleId"] == "example-token"));
    let left_out = 6_000 - results.len();
    assert!(
        left_out > 0
            && said(&sarif, "results-left-out").unwrap().starts_with(&format!("{left_out} of 6000 "))
    );
}

#[test]
fn junit_gitlab_and_annotations_say_the_same() {
    insta::assert_snapshot!("junit", rendered(Format::Junit, &busy(), 80));
    insta::assert_snapshot!("gitlab", rendered(Format::Gitlab, &busy(), 80));
    insta::assert_snapshot!("github", rendered(Format::Github, &busy(), 80));
}

fn pretty(json: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(json).unwrap()).unwrap()
}
