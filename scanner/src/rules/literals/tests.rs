//! What must be in a match, and where.

use super::{Literal, always_contains, best, parts};
use crate::rules::load::parse;

fn derive(pattern: &str) -> (Vec<String>, usize, Option<usize>) {
    let parts = parts(&parse(pattern).unwrap());
    let best = best(&parts).unwrap();
    let text = |literal: &Literal| String::from_utf8(literal.bytes.clone()).unwrap();
    (best.literals.iter().map(text).collect(), best.before_min, best.before_max)
}

#[test]
fn a_prefix_stands_at_the_start() {
    let (literals, min, max) = derive(r"\b(?P<secret>ghp_[0-9A-Za-z]{36})\b");
    assert_eq!((literals, min, max), (vec!["ghp_".to_owned()], 0, Some(0)));
}

#[test]
fn choices_multiply() {
    let (literals, ..) = derive(r"sk_(?:live|test)_[a-z]{24}");
    assert_eq!(literals, ["sk_live_", "sk_test_"]);
    let (literals, ..) = derive(r"xox[bp]-[0-9]{10}");
    assert_eq!(literals, ["xoxb-", "xoxp-"]);
}

#[test]
fn letters_of_any_case_fold() {
    let parts = parts(&parse("(?i)datadog[a-z]{3}").unwrap());
    assert_eq!(best(&parts).unwrap().literals, [Literal { bytes: b"datadog".to_vec(), folded: true }]);
}

#[test]
fn a_name_in_the_middle_keeps_its_distance() {
    let (literals, min, max) = derive(r#"[a-z]{0,20}(?:password|secret)[ ]*=[ ]*[a-z]{10}"#);
    assert_eq!((literals, min, max), (vec!["password".to_owned(), "secret".to_owned()], 0, Some(20)));
}

#[test]
fn branches_each_give_their_own() {
    let (literals, ..) = derive(r"(?:abc[0-9]{9}|[0-9]{3}xyz[0-9]{9})");
    assert_eq!(literals, ["abc", "xyz"]);
}

#[test]
fn keywords_are_held_to_the_expression() {
    let hir = parse(r"(?i)(?:aws|amazon)[a-z_]{0,10}=[0-9A-Z]{40}").unwrap();
    assert!(always_contains(&hir, &[b"aws".to_vec(), b"amazon".to_vec()]));
    assert!(!always_contains(&hir, &[b"aws".to_vec()]));
}

#[test]
fn nothing_fixed_gives_nothing() {
    assert!(best(&parts(&parse("[0-9a-f]{32}").unwrap())).is_none());
}
