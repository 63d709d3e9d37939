use std::sync::Arc;

use shared::coverage::Coverage;
use shared::finding::{Confidence, State};
use shared::fingerprint::Fingerprint;

use super::{Collected, Collector, HITS_MAX, REPEATS_IN_BLOB_MAX};
use crate::blob::{Origin, Provenance, Sink, Site, Source};
use crate::matcher::Hit;
use crate::rules::{RuleIndex, RuleSet};

/// A target whose blobs lie where the test says.
struct Places(Vec<Site>);

impl Source for Places {
    fn blobs(&self, _: &dyn Sink) -> Coverage {
        Coverage::default()
    }

    fn locate(&self, provenance: &Provenance) -> Vec<Site> {
        self.0.iter().filter(|site| site.path.starts_with(&*provenance.path)).cloned().collect()
    }
}

fn site(path: &str) -> Site {
    Site {
        image: None,
        layer: None,
        git: None,
        path: path.into(),
        entries: vec![],
        state: State::Visible,
        hidden_by: None,
    }
}

fn blob(path: &str) -> Provenance {
    Provenance { target: 0, origin: Origin::File, path: Arc::from(path), entries: vec![] }
}

fn hit(rule: u32, secret: u8, span: std::ops::Range<u64>, confidence: Confidence) -> Hit {
    Hit {
        rule: RuleIndex(rule),
        confidence,
        fingerprint: Fingerprint::from_bytes([secret; 16]),
        match_span: span.clone(),
        line: 1 + span.start / 10,
        column: 1,
        column_utf16: 1,
        span,
        decoded: vec![],
        preview: "ab... (12 characters)".into(),
        note: None,
        allowed: false,
    }
}

fn rules() -> RuleSet {
    let rule = |id: &str, more: &str| {
        format!("[[rule]]\nid = \"{id}\"\ndescription = \"d\"\nregex = '''{id}-[a-z]{{9}}'''\n{more}\n")
    };
    let text = format!(
        "version = 1\n{}{}{}",
        rule("aaaa", ""),
        rule("bbbb", "path = { include = ['\\.env$'] }"),
        rule("cccc", "[[rule.allow]]\non = \"path\"\nregex = ['vendor/']\nreason = \"r\"")
    );
    RuleSet::from_text("rules.toml", &text).unwrap()
}

fn collected(sites: &[&str], blobs: Vec<(&str, Vec<Hit>)>) -> Vec<Collected> {
    let collector = Collector::default();
    for (path, hits) in blobs {
        collector.add(&blob(path), hits);
    }
    let source: Box<dyn Source> = Box::new(Places(sites.iter().map(|path| site(path)).collect()));
    collector.findings(&[("t".to_owned(), source)], &rules())
}

fn summary(findings: &[Collected]) -> Vec<(String, Confidence, Vec<String>)> {
    findings
        .iter()
        .map(|c| {
            let paths = c.finding.locations.iter().map(|l| format!("{}@{}", l.path, l.byte_start)).collect();
            (c.finding.rule.0.clone(), c.finding.confidence, paths)
        })
        .collect()
}

#[test]
fn one_secret_under_one_rule_is_one_finding_with_all_its_places() {
    let one = || hit(0, 1, 10..20, Confidence::Shaped);
    let findings = collected(
        &["a", "b", "c"],
        vec![("b", vec![one(), hit(0, 1, 40..50, Confidence::Shaped)]), ("a", vec![one()])],
    );
    assert_eq!(
        summary(&findings),
        [("aaaa".into(), Confidence::Shaped, vec!["a@10".into(), "b@10".into(), "b@40".into()])]
    );
}

#[test]
fn a_weaker_or_equal_match_on_the_same_bytes_is_left_out() {
    let findings = collected(
        &["a"],
        vec![(
            "a",
            vec![
                hit(0, 1, 10..20, Confidence::Guessed),
                hit(2, 2, 12..18, Confidence::Checked),
                hit(0, 3, 30..40, Confidence::Shaped),
                hit(2, 3, 30..40, Confidence::Shaped),
                hit(0, 4, 50..60, Confidence::Shaped),
                hit(2, 5, 55..65, Confidence::Shaped),
            ],
        )],
    );
    let mut rules: Vec<_> =
        summary(&findings).into_iter().map(|(rule, _, at)| (rule, at[0].clone())).collect();
    rules.sort();
    let expected = [("aaaa", "a@30"), ("aaaa", "a@50"), ("cccc", "a@12"), ("cccc", "a@55")];
    assert_eq!(rules, expected.map(|(rule, at)| (rule.to_owned(), at.to_owned())));
}

#[test]
fn a_decoded_finding_beats_the_one_on_its_encoding() {
    let mut decoded = hit(2, 2, 10..50, Confidence::Shaped);
    decoded.decoded = vec!["base64"];
    let findings = collected(&["a"], vec![("a", vec![hit(0, 1, 12..48, Confidence::Shaped), decoded])]);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].finding.locations[0].decoded, ["base64"]);
}

#[test]
fn paths_count_at_each_place_and_a_winner_that_does_not_apply_leaves_room() {
    let hits = || vec![hit(0, 1, 10..20, Confidence::Guessed), hit(1, 1, 10..20, Confidence::Checked)];
    assert_eq!(summary(&collected(&["x.env"], vec![("x", hits())]))[0].0, "bbbb");
    assert_eq!(summary(&collected(&["x.txt"], vec![("x", hits())]))[0].0, "aaaa");
    let allowed = vec![hit(2, 1, 10..20, Confidence::Checked)];
    assert!(collected(&["vendor/x"], vec![("vendor", allowed)]).is_empty());
}

#[test]
fn test_data_lowers_by_one_step_and_never_hides() {
    let strongest = [Confidence::Known, Confidence::Checked, Confidence::Shaped, Confidence::Guessed];
    let lowered = [Confidence::Known, Confidence::Shaped, Confidence::Guessed, Confidence::Guessed];
    for (before, after) in strongest.into_iter().zip(lowered) {
        let findings = collected(&["tests/a"], vec![("tests", vec![hit(0, 1, 0..9, before)])]);
        assert_eq!(findings[0].finding.confidence, after);
    }
    let both = collected(
        &["tests/a", "src/a"],
        vec![
            ("tests", vec![hit(0, 1, 0..9, Confidence::Checked)]),
            ("src", vec![hit(0, 1, 0..9, Confidence::Checked)]),
        ],
    );
    assert_eq!(both[0].finding.confidence, Confidence::Checked);
    assert_eq!(
        both[0].standings.iter().map(|s| s.confidence).collect::<Vec<_>>(),
        [Confidence::Checked, Confidence::Shaped]
    );
}

#[test]
fn a_secret_on_every_line_is_counted_and_not_kept() {
    let hits = (0..1000).map(|n| hit(0, 1, n * 20..n * 20 + 9, Confidence::Shaped)).collect();
    let findings = collected(&["a"], vec![("a", hits)]);
    assert_eq!(findings[0].finding.locations.len(), REPEATS_IN_BLOB_MAX as usize);
    assert_eq!(findings[0].finding.locations_omitted, 1000 - u64::from(REPEATS_IN_BLOB_MAX));
}

#[test]
fn too_many_hits_are_dropped_and_said() {
    let collector = Collector::default();
    collector.kept.store(HITS_MAX, std::sync::atomic::Ordering::Relaxed);
    collector.add(&blob("a"), vec![hit(0, 1, 0..9, Confidence::Shaped)]);
    assert_eq!(collector.dropped(), 1);
}

#[test]
fn the_order_of_arrival_leaves_no_trace() {
    let blobs = || {
        let one = |secret| vec![hit(0, secret, 10..20, Confidence::Shaped)];
        vec![("a", one(1)), ("b", one(2)), ("c", one(1))]
    };
    let mut backwards = blobs();
    backwards.reverse();
    let sites = ["a", "b", "c"];
    assert_eq!(summary(&collected(&sites, blobs())), summary(&collected(&sites, backwards)));
}
