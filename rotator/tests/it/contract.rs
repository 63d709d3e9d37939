//! Every row of the contract with External Secrets has a test that exists, or says why it has none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kube::CustomResourceExt;
use rotator::manifest::external_secret::ExternalSecret;
use rotator::manifest::store::SecretStore;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    cases: Vec<String>,
    #[serde(default)]
    tests: Vec<String>,
    missing: Option<String>,
}

type Rows = BTreeMap<String, BTreeMap<String, Row>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Rows {
    toml::from_str(&std::fs::read_to_string(root().join("externalsecrets.toml")).expect("the rows"))
        .expect("TOML")
}

/// The tests of a folder of sources, by module and name as `cargo test` shows them.
fn tests_of(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("sources").map(|entry| entry.expect("an entry").path()) {
        let stem = entry.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8").to_owned();
        let module = if matches!(stem.as_str(), "main" | "lib") {
            prefix.to_owned()
        } else {
            format!("{prefix}{stem}::")
        };
        if entry.is_dir() {
            tests_of(&entry, &module, found);
        } else if entry.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&entry).expect("a source");
            let lines: Vec<&str> = text.lines().collect();
            for (index, line) in lines.iter().enumerate() {
                let name = line.trim_start().trim_start_matches("async ").strip_prefix("fn ");
                let Some(name) = name.and_then(|rest| rest.split(['(', '<']).next()) else { continue };
                let before = lines.get(index.saturating_sub(3)..index).unwrap_or_default();
                if before.iter().any(|line| line.contains("#[test]") || line.contains("#[tokio::test")) {
                    // A module of tests inside of its source, or one of its own.
                    let inner = if line.starts_with(' ') { "tests::" } else { "" };
                    found.insert(format!("{module}{inner}{name}"));
                }
            }
        }
    }
}

fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    tests_of(&root().join("src"), "", &mut found);
    tests_of(&root().join("tests/it"), "", &mut found);
    found
}

/// The fields of a kind, each to its last level.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let array = schema["items"]["properties"].as_object().map(|properties| (properties, "[]"));
    let Some((properties, end)) =
        schema["properties"].as_object().map(|properties| (properties, "")).or(array)
    else {
        found.insert(path.to_owned());
        return;
    };
    for (name, inner) in properties {
        fields(inner, &format!("{path}{end}.{name}"), found);
    }
}

#[test]
fn every_row_names_tests_and_cases_that_exist() {
    let tests = tests();
    let cases = root().join("../testdata/externalsecrets");
    let mut wrong = Vec::new();
    for (table, rows) in rows() {
        for (name, row) in rows {
            let at = format!("[{table}] {name}");
            wrong.extend(
                row.tests
                    .iter()
                    .filter(|test| !tests.contains(*test))
                    .map(|test| format!("{at}: no test {test}")),
            );
            let no_case = |case: &&String| !cases.join(format!("{case}.json")).exists();
            wrong.extend(row.cases.iter().filter(no_case).map(|case| format!("{at}: no case {case}")));
            let says_why = row.missing.as_ref().is_some_and(|why| why.len() > 20);
            if row.tests.is_empty() && row.cases.is_empty() && !says_why {
                wrong.push(format!("{at}: neither a test nor a reason"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_field_of_the_definitions_has_a_row_and_every_row_a_field() {
    let rows = rows();
    for (kind, crd) in [("SecretStore", SecretStore::crd()), ("ExternalSecret", ExternalSecret::crd())] {
        let crd = serde_json::to_value(crd).expect("JSON");
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut expected = BTreeSet::new();
        fields(schema, "spec", &mut expected);
        let named: BTreeSet<String> = rows[kind].keys().cloned().collect();
        assert_eq!(named, expected, "{kind}");
    }
}
