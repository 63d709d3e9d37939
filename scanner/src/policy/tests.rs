use jiff::civil::date;
use shared::config::Source;
use shared::finding::{Action, Confidence, Severity, State};

use super::load::parse_policy;
use super::{Judge, OpaqueMeans, Policy, Threshold};
use crate::report::tests::{finding, in_layer, in_tree};

const TODAY: jiff::civil::Date = date(2026, 11, 22);

fn parse(text: &str) -> Policy {
    parse_policy(&Source::from_text("policy.toml", text)).unwrap()
}

fn mistakes(text: &str) -> Vec<String> {
    let problems = parse_policy(&Source::from_text("policy.toml", text)).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn without_a_policy_every_format_blocks_and_a_guess_does_not() {
    let policy = Policy::default();
    let mut judge = Judge::new(&policy, TODAY);
    let one = finding("jwt", Action::Report, vec![]);
    let place = in_tree(".", "a");
    assert_eq!(judge.decide(&one, &place, Confidence::Shaped).action, Action::Block);
    assert_eq!(judge.decide(&one, &place, Confidence::Guessed).action, Action::Report);
}

#[test]
fn the_last_exception_that_matches_wins() {
    let policy = parse(
        r#"
        version = 1
        [[override]]
        when = { rule = "jwt", path = "tests/**" }
        action = "report"
        reason = "signed with a test key"
        [[override]]
        when = { state = ["deleted", "overwritten"] }
        action = "block"
        reason = "layers are public"
        [[override]]
        when = { rule = ["jwt", "aws-*"], path = "tests/old/**" }
        action = "report"
        reason = "gone soon."
        "#,
    );
    let mut judge = Judge::new(&policy, TODAY);
    let one = finding("jwt", Action::Report, vec![]);
    let mut place = in_layer("tests/a/b.env");
    assert_eq!(judge.decide(&one, &place, Confidence::Checked).action, Action::Report);
    place.state = State::Deleted;
    assert_eq!(judge.decide(&one, &place, Confidence::Guessed).action, Action::Block);
    place.path = "tests/old/x".into();
    let decision = judge.decide(&one, &place, Confidence::Checked);
    assert_eq!(decision.action, Action::Report);
    assert_eq!(decision.why, "By an exception it does not block: gone soon.");
    let other = finding("slack-token", Action::Report, vec![]);
    place.state = State::Visible;
    assert_eq!(judge.decide(&other, &place, Confidence::Checked).action, Action::Block);
}

fn suppressing(expires: &str) -> String {
    format!(
        "version = 1\nkey_id = \"9f2c41aa\"\n[[suppress]]\nfingerprint = \"{}\"\nowner = \"team-a\"\n\
         reason = \"revoked\"\nexpires = {expires}\npath = \"app/*\"\n",
        finding("jwt", Action::Report, vec![]).fingerprint
    )
}

#[test]
fn a_suppression_holds_until_its_day_and_for_its_path() {
    let policy = parse(&suppressing("2026-11-22"));
    let mut judge = Judge::new(&policy, TODAY);
    let one = finding("jwt", Action::Report, vec![]);
    let decision = judge.decide(&one, &in_layer("app/.env"), Confidence::Checked);
    assert_eq!(decision.action, Action::Suppressed);
    assert_eq!(decision.why, "Suppressed until 2026-11-22 by team-a: revoked.");
    assert_eq!(judge.decide(&one, &in_layer("etc/x"), Confidence::Checked).action, Action::Block);
    let other = finding("other", Action::Report, vec![]);
    assert_eq!(judge.decide(&other, &in_layer("app/.env"), Confidence::Checked).action, Action::Block);
    assert!(judge.notices().is_empty());
}

#[test]
fn an_expired_suppression_blocks_again_and_says_so() {
    let policy = parse(&suppressing("2026-11-21"));
    let mut judge = Judge::new(&policy, TODAY);
    let one = finding("jwt", Action::Report, vec![]);
    let decision = judge.decide(&one, &in_layer("app/.env"), Confidence::Checked);
    assert_eq!(decision.action, Action::Block);
    assert!(decision.why.contains("expired on 2026-11-21"), "{}", decision.why);
    assert!(judge.notices()[0].contains("expired on 2026-11-21"));
}

#[test]
fn a_suppression_that_matches_nothing_is_told() {
    let policy = parse(&suppressing("2027-01-01"));
    assert!(Judge::new(&policy, TODAY).notices()[0].contains("matches nothing"));
}

#[test]
fn an_allowed_skip_needs_its_reason_its_path_and_its_day() {
    let policy = parse(
        r#"
        version = 1
        [[allow_skip]]
        reason_is = "encrypted"
        path = "**/*.zip"
        owner = "team-a"
        expires = 2027-01-31
        [limits]
        opaque = "incomplete"
        decoder-memory = "96MiB"
        "#,
    );
    assert_eq!(policy.opaque, OpaqueMeans::Incomplete);
    assert_eq!(policy.limits, [("decoder-memory".to_owned(), "96MiB".to_owned())]);
    let mut judge = Judge::new(&policy, TODAY);
    assert!(judge.allows_skip("encrypted", "srv/a.zip"));
    assert!(!judge.allows_skip("corrupt", "srv/a.zip"));
    assert!(!judge.allows_skip("encrypted", "srv/a.rar"));
    assert!(!Judge::new(&policy, date(2027, 2, 1)).allows_skip("encrypted", "srv/a.zip"));
}

#[test]
fn thresholds_are_read() {
    let policy = parse("version = 1\n[block]\nconfidence = \"checked\"\nseverity = \"high\"\n");
    assert_eq!(policy.confidence, Threshold::From(Confidence::Checked));
    let mut judge = Judge::new(&policy, TODAY);
    let mut one = finding("jwt", Action::Report, vec![]);
    let place = in_tree(".", "a");
    assert_eq!(judge.decide(&one, &place, Confidence::Checked).action, Action::Block);
    one.severity = Severity::Medium;
    assert_eq!(judge.decide(&one, &place, Confidence::Checked).action, Action::Report);
    let never = parse("version = 1\n[block]\nconfidence = \"never\"\n");
    assert_eq!(Judge::new(&never, TODAY).decide(&one, &place, Confidence::Known).action, Action::Report);
}

#[test]
fn every_mistake_is_told_with_its_place() {
    insta::assert_snapshot!(
        mistakes(
            r#"
version = 2
key_id = "short"
blok = 1
[[override]]
when = {}
action = "report"
reason = ""
[[override]]
when = { rule = "[a" }
action = "allow"
reason = "x"
[[override]]
when = { path = "[a" }
action = "block"
reason = "x"
[[allow_skip]]
reason_is = "boring"
owner = "a"
expires = 2027-01-31
[[suppress]]
fingerprint = "k1:zz"
owner = "a"
reason = "b"
expires = "soon"
[[suppress]]
fingerprint = "k1:zz"
owner = "a"
reason = "b"
expires = 2027-01-31
colour = "red"
[[suppress]]
fingerprint = "k1:zz"
owner = " "
reason = "b"
expires = 10:00:00
[limits]
opaque = "maybe"
files = [1]
"#
        )
        .join("\n")
    );
    assert!(mistakes("version = 1\nkey_id = \n[block\n").len() >= 2);
    assert_eq!(mistakes("[block]"), ["policy.toml:1:1: no version: write version = 1 at the top"]);
}

fn accepting(owners: &str, expires: &str) -> String {
    format!(
        "version = 1\nkey_id = \"9f2c41aa\"\n[[accept_live]]\nfingerprint = \"{}\"\nowners = {owners}\n\
         reason = \"the vendor's key, replaced with release 4\"\nexpires = {expires}\npath = \"app/*\"\n",
        finding("known-secret", Action::Report, vec![]).fingerprint
    )
}

#[test]
fn a_live_secret_passes_only_by_two_owners_for_its_path_and_until_a_day() {
    let policy = parse(&accepting(r#"["team-a", "security"]"#, "2026-11-22"));
    let mut judge = Judge::new(&policy, TODAY);
    let one = finding("known-secret", Action::Report, vec![]);
    let decision = judge.decide_live(&one, &in_layer("app/.env"));
    assert_eq!(decision.action, Action::Suppressed);
    assert_eq!(
        decision.why,
        "It is live, and accepted until 2026-11-22 by security and team-a: the vendor's key, replaced with release 4."
    );
    assert_eq!(judge.decide_live(&one, &in_layer("etc/x")).action, Action::Block);
    let other = finding("other", Action::Report, vec![]);
    assert_eq!(judge.decide_live(&other, &in_layer("app/.env")).action, Action::Block);
    assert!(judge.notices().is_empty());

    let policy = parse(&accepting(r#"["team-a", "security"]"#, "2026-11-21"));
    let mut judge = Judge::new(&policy, TODAY);
    let decision = judge.decide_live(&one, &in_layer("app/.env"));
    assert_eq!(decision.action, Action::Block);
    assert!(
        decision.why.ends_with("Its acceptance by security and team-a expired on 2026-11-21."),
        "{decision:?}"
    );
    assert!(judge.notices()[0].contains("expired on 2026-11-21"));
    assert!(Judge::new(&policy, TODAY).notices()[0].contains("matches nothing"));
}

#[test]
fn one_owner_is_not_enough_for_a_live_secret() {
    for owners in [r#"["team-a"]"#, r#"["team-a", " team-a"]"#, r#"["team-a", ""]"#, "[]"] {
        let told = mistakes(&accepting(owners, "2027-01-01"));
        assert!(told.len() == 1 && told[0].contains("needs two owners"), "{owners}: {told:?}");
    }
}
