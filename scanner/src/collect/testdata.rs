//! Whether a path says that its content is made for tests or as an example.
//!
//! Such a place lowers the confidence of a finding by one step and never hides it: real keys end up in fixtures
//! too.

use shared::finding::Location;

/// Folders that hold test data.
const FOLDERS: [&str; 20] = [
    "test",
    "tests",
    "testing",
    "testdata",
    "test-data",
    "test_data",
    "test-resources",
    "__tests__",
    "__mocks__",
    "mock",
    "mocks",
    "fixture",
    "fixtures",
    "__fixtures__",
    "example",
    "examples",
    "sample",
    "samples",
    "spec",
    "specs",
];
/// Words that stand in the names of test and example files, between separators.
const WORDS: [&str; 14] = [
    "test", "tests", "testing", "testdata", "spec", "example", "examples", "sample", "samples", "fixture",
    "fixtures", "mock", "mocks", "dummy",
];

/// Whether a location lies among test data.
pub fn is_test_data(location: &Location) -> bool {
    in_test_data(&location.path, &location.entries)
}

/// Whether a path, or a member of an archive, lies among test data. Fields of an image's configuration do not.
pub fn in_test_data(path: &str, entries: &[String]) -> bool {
    !path.starts_with("config:")
        && std::iter::once(path).chain(entries.iter().map(String::as_str)).any(says_test)
}

fn says_test(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let equals_any = |text: &str, words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    folders.split('/').any(|folder| equals_any(folder, &FOLDERS))
        || name.split(['.', '_', '-']).any(|word| equals_any(word, &WORDS))
}

#[cfg(test)]
mod tests {
    use super::in_test_data;

    #[test]
    fn folders_and_names_tell() {
        for path in [
            "src/tests/a.rs",
            "Fixtures/key.pem",
            "a/__tests__/b.js",
            "pkg/main_test.go",
            "app.spec.ts",
            ".env.example",
            "config.sample.yml",
            "test_login.py",
            "apis/kms-2014.examples.json",
        ] {
            assert!(in_test_data(path, &[]), "{path}");
        }
        for path in ["src/latest/a.rs", "contest/a", "app/.env", "attestation.json", "config:Labels.test"] {
            assert!(!in_test_data(path, &[]), "{path}");
        }
        assert!(in_test_data("app.jar", &["tests/key.pem".to_owned()]));
    }
}
