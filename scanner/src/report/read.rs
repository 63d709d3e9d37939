//! A JSON report, read back for the commands that work on one, and findings picked out of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use shared::finding::{Finding, REPORT_VERSION, Report};

use super::place;

/// The largest report that is read: a million findings, about. What is larger is another kind of file.
const BYTES_MAX: u64 = 1 << 30;
/// A shorter beginning of a name is a slip of the finger.
const PREFIX_MIN: usize = 4;
/// How many names an error lists.
const LISTED_MAX: usize = 5;

/// Why a report cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refuses it.
    #[error("the report {} cannot be read: {source}", path.display())]
    Io {
        /// The file as the user named it.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Larger than any report.
    #[error("the report {} is larger than {} MiB", path.display(), BYTES_MAX >> 20)]
    TooLarge {
        /// The file as the user named it.
        path: PathBuf,
    },
    /// Not a report.
    #[error("{}: line {line}, column {column}: this is no JSON report; write one with `scanner scan --format json=FILE`", path.display())]
    Malformed {
        /// The file as the user named it.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Written by another version.
    #[error("{}: a report of version {found}, and this program reads {REPORT_VERSION}: scan again", path.display())]
    Version {
        /// The file as the user named it.
        path: PathBuf,
        /// What it says.
        found: u64,
    },
    /// No such finding.
    #[error(
        "no finding of the report is named `{name}`: give a fingerprint (k1:...) or an id, or at least {PREFIX_MIN} characters of its beginning"
    )]
    NoFinding {
        /// What was typed.
        name: String,
    },
    /// Several secrets begin like this.
    #[error("`{name}` is the beginning of several names: {}", .all.join(", "))]
    Ambiguous {
        /// What was typed.
        name: String,
        /// Some of those that begin so.
        all: Vec<String>,
    },
}

/// Reads a report.
///
/// # Errors
/// When the file cannot be read or is no JSON report of this version. The message quotes nothing of it.
pub fn report(path: &Path) -> Result<Report, ReadError> {
    let named = || path.to_owned();
    let io = |source| ReadError::Io { path: named(), source };
    let file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(ReadError::TooLarge { path: named() });
    }
    let malformed = |error: &serde_json::Error| ReadError::Malformed {
        path: named(),
        line: error.line(),
        column: error.column(),
    };
    /// Read first, so that a newer report is told from a broken one.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u64,
    }
    let Version { version } = serde_json::from_slice(&bytes).map_err(|error| malformed(&error))?;
    if version != u64::from(REPORT_VERSION) {
        return Err(ReadError::Version { path: named(), found: version });
    }
    serde_json::from_slice(&bytes).map_err(|error| malformed(&error))
}

/// The findings of a secret or of a place: by fingerprint, by the id of any of its places, or by the beginning of
/// either.
///
/// # Errors
/// When there is none, or several secrets begin like this.
pub fn pick<'r>(report: &'r Report, name: &str) -> Result<Vec<&'r Finding>, ReadError> {
    let typed = name.trim().to_lowercase();
    let ids = place::ids(&report.findings);
    let exact = |finding: &Finding, ids: &[String]| {
        finding.fingerprint.to_string() == typed || finding.id == typed || ids.contains(&typed)
    };
    let begins = |finding: &Finding, ids: &[String]| {
        let fingerprint = finding.fingerprint.to_string();
        fingerprint.starts_with(&typed)
            || fingerprint.trim_start_matches("k1:").starts_with(&typed)
            || ids.iter().any(|id| id.starts_with(&typed))
    };
    let all = || report.findings.iter().zip(&ids);
    let mut found: Vec<&Finding> =
        all().filter(|(finding, ids)| exact(finding, ids)).map(|(finding, _)| finding).collect();
    if found.is_empty() && typed.trim_start_matches("k1:").len() >= PREFIX_MIN {
        found = all().filter(|(finding, ids)| begins(finding, ids)).map(|(finding, _)| finding).collect();
    }
    let secrets: BTreeSet<_> = found.iter().map(|finding| finding.fingerprint).collect();
    match secrets.len() {
        0 => Err(ReadError::NoFinding { name: name.to_owned() }),
        1 => Ok(found),
        _ => {
            let all = secrets.iter().take(LISTED_MAX).map(ToString::to_string).collect();
            Err(ReadError::Ambiguous { name: name.to_owned(), all })
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::finding::{Action, Report};

    use super::{ReadError, pick, report};
    use crate::report::place;
    use crate::report::tests::{finding, in_tree, report as report_of};

    fn two() -> Report {
        report_of(vec![
            finding("a-token", Action::Block, vec![in_tree(".", "a"), in_tree(".", "b")]),
            finding("b-token", Action::Block, vec![in_tree(".", "a")]),
        ])
    }

    #[test]
    fn a_finding_is_named_by_secret_by_place_or_by_a_beginning() {
        let report = two();
        let fingerprint = report.findings[0].fingerprint.to_string();
        let second_place = place::ids(&report.findings)[0][1].clone();
        for name in
            [&fingerprint[..], &fingerprint[..8], &fingerprint[3..9], &second_place, &second_place[..9]]
        {
            let found = pick(&report, name).unwrap();
            assert_eq!(found.iter().map(|f| f.rule.0.as_str()).collect::<Vec<_>>(), ["a-token"], "{name}");
        }
        assert!(matches!(pick(&report, "k1:"), Err(ReadError::NoFinding { .. })));
        assert!(matches!(pick(&report, "ffffffff"), Err(ReadError::NoFinding { .. })));
    }

    #[test]
    fn what_is_no_report_is_told_without_quoting_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        for (text, part) in [
            ("{\"version\": 1, \"tool\": \"hunter2-hunter2\"}", "no JSON report"),
            ("{\"version\": 2}", "version 2"),
            ("hunter2-hunter2", "line 1, column 1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = report(&path).unwrap_err().to_string();
            assert!(message.contains(part) && !message.contains("hunter2"), "{message}");
        }
        assert!(report(&folder.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
    }
}
