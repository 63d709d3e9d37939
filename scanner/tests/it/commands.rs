//! The commands that work on a report: `explain` and `baseline`; man pages and completions.

use crate::canary::clean;
use crate::program::{Bench, Run, token};

/// A tree with two secrets, scanned.
fn scanned() -> Bench {
    let bench = Bench::new();
    bench.keep_key();
    bench.write("t/app/.env", format!("GITHUB_TOKEN={}\n", token(1)));
    bench.write("t/copy.env", format!("x\nGITHUB_TOKEN={}\n", token(1)));
    bench.write("t/other.env", format!("GITHUB_TOKEN={}\n", token(2)));
    scan(&bench);
    bench
}

fn scan(bench: &Bench) {
    let run = bench.run(&["scan", "t", "--format", "json=report.json", "--quiet"]);
    assert!(run.stderr.is_empty(), "{}", run.stderr);
}

fn fingerprints(bench: &Bench) -> Vec<String> {
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bench.path("report.json")).unwrap()).unwrap();
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["fingerprint"].as_str().unwrap().to_owned()).collect()
}

/// Runs `baseline COMMAND` and holds it to its exit code.
#[track_caller]
fn baseline(bench: &Bench, arguments: &[&str], code: i32) -> Run {
    let run = bench.run(&[&["baseline"], arguments].concat());
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    run
}

const SIGNED: [&str; 6] = ["--owner", "team-a", "--reason", "turned on Monday", "--expires", "30d"];

fn accept(bench: &Bench, what: &[&str], code: i32) -> Run {
    let files = ["--report", "report.json", "--baseline", "b.toml"];
    baseline(bench, &[&["accept"], what, &files, &SIGNED].concat(), code)
}

#[test]
fn a_finding_is_explained_without_its_value() {
    let bench = scanned();
    let name = &fingerprints(&bench)[0];
    let run = bench.run(&["explain", name, "--report", "report.json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for part in [
        "github-pat",
        "Check github-crc32: the CRC-32 at the end; it holds.",
        "app/.env:1:14",
        "copy.env:2:14",
        "1. Revoke it at https://",
        "scanner baseline accept k1:",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    clean("the explanation", &run.stdout, &[token(1)]);
    let short = bench.run(&["explain", &name[3..11], "--report", "report.json"]);
    assert_eq!(short.stdout, run.stdout, "a beginning is enough");
}

#[test]
fn a_finding_that_is_not_there_is_named() {
    let bench = scanned();
    let run = bench.run(&["explain", "k1:00000000", "--report", "report.json"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("`k1:00000000`"), "{}", run.stderr);
    let run = bench.run(&["explain", "k1:00000000", "--report", "t/other.env"]);
    assert!(run.stderr.contains("t/other.env: line 1, column 1: this is no JSON report"), "{}", run.stderr);
    clean("the error", &run.stderr, &[token(2)]);
}

#[test]
fn a_finding_is_accepted_and_only_that_one() {
    let bench = scanned();
    let names = fingerprints(&bench);
    let run = accept(&bench, &[&names[0]], 0);
    assert!(run.stdout.contains(&format!(": {} github-pat", names[0])), "{}", run.stdout);
    let run = bench.run(&["scan", "t", "--baseline", "b.toml"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("1 finding blocks, 1 suppressed"), "{}", run.stdout);
    accept(&bench, &["--rule", "github-pat"], 0);
    assert_eq!(bench.run(&["scan", "t", "--baseline", "b.toml"]).code, 0);
    let text = std::fs::read_to_string(bench.path("b.toml")).unwrap();
    assert_eq!(text.matches("[[suppress]]").count(), 2, "renewed, not doubled: {text}");
    clean("the baseline", &text, &[token(1), token(2)]);
}

#[test]
fn comments_of_a_person_stay() {
    let bench = scanned();
    accept(&bench, &["--all"], 0);
    let text = std::fs::read_to_string(bench.path("b.toml")).unwrap();
    bench.write("b.toml", text.replacen("[[suppress]]", "# asked Ada about it\n[[suppress]]", 1));
    accept(&bench, &["--rule", "github-pat"], 0);
    let text = std::fs::read_to_string(bench.path("b.toml")).unwrap();
    assert!(text.contains("# asked Ada about it\n[[suppress]]"), "{text}");
    assert!(text.starts_with("# Accepted findings."), "{text}");
}

#[test]
fn what_cannot_be_accepted_is_refused_and_nothing_is_written() {
    let bench = scanned();
    let name = fingerprints(&bench)[0].clone();
    let files = ["accept", &name, "--report", "report.json", "--baseline", "b.toml"];
    for (options, part) in [
        (["--owner", " ", "--reason", "r", "--expires", "30d"], "--owner: it is empty"),
        (["--owner", "o", "--reason", "", "--expires", "30d"], "--reason: it is empty"),
        (["--owner", "o", "--reason", "r", "--expires", "2020-01-01"], "--expires 2020-01-01"),
        (["--owner", "o", "--reason", "r", "--expires", "soon"], "--expires soon"),
    ] {
        let run = baseline(&bench, &[&files[..], &options].concat(), 2);
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    let run = accept(&bench, &["--rule", "no-such"], 2);
    assert!(run.stderr.contains("--rule no-such"), "{}", run.stderr);
    assert!(!bench.path("b.toml").exists());
}

#[test]
fn a_report_without_a_kept_key_accepts_nothing() {
    let bench = Bench::new();
    bench.write("t/a", format!("token = \"{}\"\n", token(1)));
    scan(&bench);
    let run = accept(&bench, &["--all"], 2);
    assert!(run.stderr.contains("--fingerprint-key"), "{}", run.stderr);
}

#[test]
fn a_baseline_of_another_key_is_refused() {
    let bench = scanned();
    bench.write("b.toml", "version = 1\nkey_id = \"00000000\"\n");
    let run = accept(&bench, &["--all"], 2);
    assert!(run.stderr.contains("under key 00000000"), "{}", run.stderr);
}

#[test]
fn what_no_longer_matches_is_pruned() {
    let bench = scanned();
    accept(&bench, &["--all"], 0);
    std::fs::remove_file(bench.path("t/other.env")).unwrap();
    scan(&bench);
    let files = ["prune", "--report", "report.json", "--baseline", "b.toml"];
    let before = std::fs::read_to_string(bench.path("b.toml")).unwrap();
    let run = baseline(&bench, &[&files[..], &["--dry-run"]].concat(), 0);
    assert!(run.stdout.contains("1 of 2 entries would be taken out"), "{}", run.stdout);
    assert_eq!(std::fs::read_to_string(bench.path("b.toml")).unwrap(), before);
    let run = baseline(&bench, &files, 0);
    assert!(run.stdout.contains("1 of 2 entries taken out"), "{}", run.stdout);
    let after = std::fs::read_to_string(bench.path("b.toml")).unwrap();
    assert!(
        after.contains(&fingerprints(&bench)[0]) && after.matches("[[suppress]]").count() == 1,
        "{after}"
    );
    assert!(!after.contains("other.env"), "the comment goes with its entry: {after}");
}

#[test]
fn an_incomplete_report_prunes_nothing() {
    let bench = scanned();
    accept(&bench, &["--all"], 0);
    std::fs::create_dir(bench.path("empty")).unwrap();
    let run = bench.run(&["scan", "empty", "--format", "json=report.json"]);
    assert_eq!(run.code, 3);
    let files = ["prune", "--report", "report.json", "--baseline", "b.toml"];
    let run = baseline(&bench, &files, 2);
    assert!(run.stderr.contains("--incomplete-too"), "{}", run.stderr);
    let run = baseline(&bench, &[&files[..], &["--incomplete-too"]].concat(), 0);
    assert!(run.stdout.contains("2 of 2"), "{}", run.stdout);
}

fn entry(fingerprint: &str, owner: &str, expires: &str) -> String {
    format!(
        "\n[[suppress]]\nfingerprint = \"{fingerprint}\"\nowner = \"{owner}\"\nreason = \"r\"\nexpires = {expires}\n"
    )
}

#[test]
fn two_baselines_become_one_and_conflicts_are_said() {
    let bench = Bench::new();
    let (a, b, c) = (
        format!("k1:{}", "a".repeat(32)),
        format!("k1:{}", "b".repeat(32)),
        format!("k1:{}", "c".repeat(32)),
    );
    let head = "version = 1\nkey_id = \"0a0a0a0a\"\n";
    let first = [head, &entry(&a, "ada", "2999-01-01"), &entry(&b, "ada", "2999-01-01")].concat();
    let second =
        [head, "\n# theirs", &entry(&c, "bob", "2999-01-01"), &entry(&b, "bob", "2998-01-01")].concat();
    bench.write("first.toml", first);
    bench.write("second.toml", second);
    let run = baseline(&bench, &["merge", "first.toml", "second.toml", "--output", "both.toml"], 0);
    assert!(run.stderr.contains(&format!("conflict: {b}: until 2998-01-01 by bob")), "{}", run.stderr);
    let run = baseline(&bench, &["explain", "both.toml"], 0);
    assert!(run.stdout.contains("3 accepted, 0 of them expired"), "{}", run.stdout);
    assert!(run.stdout.contains(&format!("{b}\n  bob until 2998-01-01")), "{}", run.stdout);
    let text = std::fs::read_to_string(bench.path("both.toml")).unwrap();
    assert!(text.find(&a) < text.find(&c) && text.contains("# theirs"), "{text}");
    bench.write("other.toml", "version = 1\nkey_id = \"0b0b0b0b\"\n");
    let run = baseline(&bench, &["merge", "first.toml", "other.toml"], 2);
    assert!(run.stderr.contains("0b0b0b0b"), "{}", run.stderr);
    // The same two the other way round: what stands does not depend on the order.
    let run = baseline(&bench, &["merge", "second.toml", "first.toml"], 0);
    assert!(
        run.stdout.contains("2998-01-01") && run.stdout.matches("[[suppress]]").count() == 3,
        "{}",
        run.stdout
    );
}

#[test]
fn a_baseline_is_explained_with_what_it_matches() {
    let bench = scanned();
    accept(&bench, &["--all"], 0);
    let text = std::fs::read_to_string(bench.path("b.toml")).unwrap();
    let key = text.lines().find(|line| line.starts_with("key_id")).unwrap().to_owned();
    let old = entry(&format!("k1:{}", "d".repeat(32)), "eve", "2020-01-01");
    bench.write("b.toml", [text, old].concat());
    let run = baseline(&bench, &["explain", "b.toml", "--report", "report.json"], 0);
    for part in [
        "team-a until ",
        "(30 days left)",
        "matches github-pat: app/.env:1:14 and 1 more places",
        "eve until 2020-01-01 (expired, it no longer holds)",
        "matches nothing in the report: prune it",
        "3 accepted, 1 of them expired",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    bench.write("broken.toml", format!("version = 1\n{key}\n[[suppress]]\nfingerprint = \"x\"\n"));
    let run = baseline(&bench, &["explain", "broken.toml"], 2);
    assert!(run.stderr.contains("broken.toml:3"), "{}", run.stderr);
}

#[test]
fn every_command_has_a_man_page() {
    let bench = Bench::new();
    let page = bench.run(&["man"]).stdout;
    assert!(page.contains(".TH scanner 1") && page.contains("EXTRA"), "{page}");
    assert_eq!(bench.run(&["man", "pages/man1"]).code, 0);
    for name in
        ["scanner", "scanner-scan", "scanner-explain", "scanner-baseline-accept", "scanner-rules-show"]
    {
        let page = std::fs::read_to_string(bench.path(&format!("pages/man1/{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    bench.write("file", "");
    let run = bench.run(&["man", "file"]);
    assert!(run.code == 2 && run.stderr.contains("file"), "{}", run.stderr);
}

#[test]
fn a_shell_takes_its_completions() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.write("script", bench.run(&["completions", shell]).stdout);
        // `-n` reads without running, in all three.
        match std::process::Command::new(shell).arg("-n").arg(&script).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(error) => eprintln!("SKIPPED: {shell} is not there: {error}"),
        }
    }
    let script = bench.path("script.bash");
    std::fs::write(&script, bench.run(&["completions", "bash"]).stdout).unwrap();
    // What a person gets for `scanner baseline ac<TAB>`.
    let ask = "source \"$1\"; COMP_WORDS=(scanner baseline ac); COMP_CWORD=2; _scanner scanner ac baseline; echo \"${COMPREPLY[@]}\"";
    let output = std::process::Command::new("bash").args(["-c", ask, "bash"]).arg(&script).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "accept", "{:?}", output.stderr);
}

#[test]
fn a_mistyped_option_command_or_value_is_answered_with_the_right_one() {
    let bench = Bench::new();
    for (arguments, right) in [
        (&["scna", "t"][..], "'scan'"),
        (&["baseline", "acept"], "'accept'"),
        (&["scan", "t", "--fail-on", "shapd"], "'shaped'"),
        (&["scan", "t", "--formt", "json"], "'--format'"),
        (&["completions", "bsh"], "'bash'"),
    ] {
        let run = bench.run(arguments);
        assert!(run.code == 2 && run.stderr.contains(right), "{arguments:?}: {}", run.stderr);
    }
    let run = bench.run(&["scan", "t", "--format", "sarf"]);
    assert!(run.stderr.contains("did you mean `sarif`?"), "{}", run.stderr);
    bench.write("t/a", "x");
    bench.write(
        "policy.toml",
        "version = 1\n[[override]]\nwhen = { rule = \"github-pta\" }\naction = \"report\"\nreason = \"r\"\n",
    );
    let run = bench.run(&["scan", "t", "--policy", "policy.toml"]);
    assert_eq!(run.code, 2, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("no rule `github-pta`: did you mean `github-pat`?"), "{}", run.stderr);
}
