//! The rules that the program carries, held to their examples; and what a bad rule file is told.

use std::path::PathBuf;

use super::{RuleSet, proof};

/// The carried rules with their examples, which the table in the program leaves out.
fn carried() -> RuleSet {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rules");
    RuleSet::load(&[folder], false).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_carried_rule_finds_its_examples_and_not_its_near_misses() {
    let engine = proof::engine(carried()).unwrap();
    let mut failures: Vec<String> = proof::prove(&engine).iter().map(ToString::to_string).collect();
    for (_, rule) in engine.rules().iter() {
        failures.extend(proof::wanting(rule).map(|what| format!("rule `{}`: {what}", rule.id)));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_table_in_the_program_is_the_files() {
    assert_eq!(RuleSet::embedded().unwrap().hash(), carried().hash());
    assert!(carried().warnings.is_empty(), "{:#?}", carried().warnings);
}

fn problems(text: &str) -> Vec<String> {
    match RuleSet::from_text("mine.toml", text) {
        Ok(set) => set.warnings.iter().map(ToString::to_string).collect(),
        Err(error) => error.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_problem_is_told_with_its_place() {
    let text = r"version = 1
[[rule]]
id = 'Upper Case'
description = 'x'
regex = 'acme_[a-z]{9'

[[rule]]
id = 'typo'
description = 'x'
regexp = 'acme_[a-z]{9}'

[[rule]]
id = 'wrong-keyword'
description = 'x'
regex = 'acme_[a-z]{9}'
keywords = ['other']
secret = 'nothing'
check = { name = 'no-such-check' }
";
    let told = problems(text);
    let has =
        |place: &str, what: &str| told.iter().any(|line| line.starts_with(place) && line.contains(what));
    assert!(has("mine.toml:3:1: error", "lower-case"), "{told:#?}");
    assert!(has("mine.toml:5:1: error", "does not parse"), "{told:#?}");
    assert!(has("mine.toml:10:1: error", "unknown field `regexp`"), "{told:#?}");
    assert!(has("mine.toml:16:1: error", "keywords"), "{told:#?}");
    assert!(has("mine.toml:17:1: error", "no group `nothing`"), "{told:#?}");
}

#[test]
fn a_rule_without_fixed_text_is_refused_and_an_endless_one_is_warned_of() {
    let told = problems("version = 1\n[[rule]]\nid='a'\ndescription='x'\nregex='[0-9a-f]{32}'\n");
    assert!(told[0].contains("no fixed text"), "{told:#?}");
    let told = problems("version = 1\n[[rule]]\nid='a'\ndescription='x'\nregex='acme_[0-9a-f]+'\n");
    assert!(told[0].starts_with("mine.toml:5:1: warning"), "{told:#?}");
}

#[test]
fn a_broken_file_and_a_missing_one_are_named() {
    assert!(problems("version = 1\n[[rule]\n")[0].starts_with("mine.toml:2:"));
    let missing = RuleSet::load(&[PathBuf::from("/nowhere/rules.toml")], false).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/rules.toml"), "{missing}");
}

#[test]
fn an_unknown_check_lists_the_known_ones() {
    let text =
        "version = 1\n[[rule]]\nid='a'\ndescription='x'\nregex='acme_[0-9a-f]{9}'\ncheck={name='nope'}\n";
    assert!(problems(text)[0].contains("github-crc32"));
}
