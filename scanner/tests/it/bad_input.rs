//! What is wrong is told in one clear line that names the thing, with the right code, and nothing is half-written.

use crate::program::{Bench, Run, token};

/// One line on standard error, nothing on standard output, code 2.
#[track_caller]
fn refused(run: &Run, parts: &[&str]) {
    assert_eq!(run.code, 2, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.stdout, "");
    assert_eq!(run.stderr.trim_end().lines().count(), 1, "{}", run.stderr);
    for part in parts {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
}

#[test]
fn an_unknown_option_is_refused_with_the_one_that_was_meant() {
    let run = Bench::new().run(&["scan", ".", "--polcy", "x"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("--polcy") && run.stderr.contains("'--policy'"), "{}", run.stderr);
}

#[test]
fn a_target_that_is_not_there_is_named() {
    refused(&Bench::new().run(&["scan", "nosuch.tar"]), &["nosuch.tar", "check the path"]);
}

#[test]
fn an_unknown_rule_is_refused_with_the_one_that_was_meant() {
    let run = Bench::new().run(&["rules", "show", "github-pta"]);
    refused(&run, &["`github-pta`", "did you mean", "rules list"]);
}

#[test]
fn every_mistake_of_a_policy_and_of_the_options_is_told_at_once() {
    let bench = Bench::new();
    bench.write("t/a", "nothing");
    bench.write("policy.toml", "version = 1\nblok = 1\n[[suppress]]\nfingerprint = 7\n");
    let run =
        bench.run(&["scan", "t", "--policy", "policy.toml", "--limit", "depth=deep", "--format", "pdf"]);
    assert_eq!(run.code, 2);
    let mut lines: Vec<&str> = run.stderr.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 4, "{}", run.stderr);
    assert!(lines[0].contains("--format pdf"), "{}", run.stderr);
    assert!(lines[1].contains("--limit"), "{}", run.stderr);
    assert!(lines[2].contains("policy.toml:2:1: unknown key `blok`"), "{}", run.stderr);
    assert!(lines[3].contains("policy.toml:4:15:"), "{}", run.stderr);
}

#[test]
fn a_policy_inside_the_target_is_refused() {
    let bench = Bench::new();
    bench.write("t/policy.toml", "version = 1\n");
    refused(
        &bench.run(&["scan", "t", "--policy", "t/policy.toml"]),
        &["t/policy.toml", "inside the target t"],
    );
}

#[test]
fn broken_rules_are_named_with_their_place() {
    let bench = Bench::new();
    bench.write("t/a", "nothing");
    bench.write("r.toml", "version = 1\n[[rule]]\nid = \"a\"\ndescription = \"b\"\nregex = '(unclosed'\n");
    refused(&bench.run(&["scan", "t", "--rules", "r.toml"]), &["r.toml:5:"]);
}

#[test]
fn an_unwritable_report_is_told_and_the_verdict_still_said() {
    let bench = Bench::new();
    bench.write("t/a", format!("token = \"{}\"\n", token(1)));
    let run = bench.run(&["scan", "t", "--format", "json=nowhere/report.json", "--format", "sarif=ok.sarif"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("nowhere/report.json"), "{}", run.stderr);
    assert!(run.stderr.contains("Blocked: 1 finding blocks"), "{}", run.stderr);
    assert!(bench.path("ok.sarif").exists(), "one report that fails keeps no other back");
    assert!(!bench.path("nowhere").exists());
}

#[test]
fn a_full_disk_is_told_and_the_verdict_still_said() {
    let bench = Bench::new();
    bench.write("t/a", format!("token = \"{}\"\n", token(1)));
    let run = bench.run(&["scan", "t", "--format", "json=/dev/full"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("/dev/full") && run.stderr.contains("Blocked: 1"), "{}", run.stderr);
}

#[test]
fn two_reports_for_one_place_are_refused() {
    let bench = Bench::new();
    bench.write("t/a", "nothing");
    refused(&bench.run(&["scan", "t", "-f", "json", "-f", "sarif"]), &["sarif=out.sarif"]);
    refused(&bench.run(&["scan", "t", "-f", "json=a", "-f", "sarif=a"]), &["two reports would go to a"]);
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let bench = Bench::new();
    bench.write("t/a", "nothing");
    bench.write("key", "5a".repeat(32));
    refused(&bench.run(&["scan", "t", "--fingerprint-key", "key"]), &["chmod 600 key"]);
}

#[test]
fn an_empty_target_is_incomplete() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("t")).unwrap();
    let run = bench.run(&["scan", "t"]);
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("t: empty"), "{}", run.stdout);
}

#[test]
fn a_file_without_content_is_a_pass() {
    let bench = Bench::new();
    bench.write("t/empty", "");
    assert_eq!(bench.run(&["scan", "t"]).code, 0);
}
