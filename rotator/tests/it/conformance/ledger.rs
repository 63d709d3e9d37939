//! Which test tells which story for which backend: `conformance.toml` and what is really run must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    /// Story: what it is about.
    stories: BTreeMap<String, String>,
    /// Backend: story: who tells it.
    backends: BTreeMap<String, BTreeMap<String, Told>>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Told {
    By { tests: Vec<String> },
    Not { not_applicable: String },
}

/// Tests of this binary: those that a plain run runs, or those that it leaves out.
fn listed(ignored: bool) -> BTreeSet<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--list", "--format", "terse"]);
    if ignored {
        command.arg("--ignored");
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// The variants of the closed enum: a backend that is not in the ledger is found here.
fn backends() -> BTreeSet<String> {
    let source = include_str!("../../../src/backend/any.rs");
    let (_, rest) = source.split_once("pub enum AnyBackend {").unwrap();
    let (inside, _) = rest.split_once("\n}").unwrap();
    let names = inside.lines().filter_map(|line| line.trim().split_once('('));
    names.map(|(name, _)| name.to_lowercase()).collect()
}

#[test]
fn every_backend_tells_every_story() {
    let ledger: Ledger = toml::from_str(include_str!("../../../conformance.toml")).unwrap();
    let (all, ignored) = (listed(false), listed(true));
    assert!(all.len() > 20, "the list of tests was not understood");
    assert_eq!(ledger.backends.keys().cloned().collect::<BTreeSet<_>>(), backends());
    let stories: BTreeSet<_> = ledger.stories.keys().collect();
    assert!(stories.len() >= 7, "{stories:?}");
    for (backend, told) in &ledger.backends {
        assert_eq!(told.keys().collect::<BTreeSet<_>>(), stories, "{backend}");
        for (story, told) in told {
            match told {
                Told::By { tests } => {
                    assert!(!tests.is_empty(), "{backend}: {story}: no test");
                    for test in tests {
                        assert!(all.contains(test), "{backend}: {story}: there is no test {test}");
                        assert!(!ignored.contains(test), "{backend}: {story}: {test} is ignored");
                    }
                }
                Told::Not { not_applicable } => {
                    assert!(not_applicable.len() > 20, "{backend}: {story}: say why it has no meaning");
                }
            }
        }
    }
}
