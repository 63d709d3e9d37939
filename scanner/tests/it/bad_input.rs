//! What is wrong is told in one clear line that names the thing, with the right code, and nothing is half-written.

use crate::program::{Bench, Run, tar_of, token};

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

#[test]
fn a_truncated_archive_is_incomplete_and_what_is_there_is_searched() {
    let bench = Bench::new();
    let clean = tar_of(&[("a.txt", &b"nothing here\n".repeat(1000)), ("b.txt", b"nothing")]);
    bench.write("cut.tar", &clean[..6000]);
    let run = bench.run(&["scan", "cut.tar"]);
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("cut.tar") && run.stdout.contains("truncated"), "{}", run.stdout);
    let leaky = tar_of(&[("a.env", format!("GITHUB_TOKEN={}\n", token(1)).as_bytes()), ("b", &[b'x'; 9000])]);
    bench.write("cut.tar", &leaky[..6000]);
    let run = bench.run(&["scan", "cut.tar"]);
    assert_eq!(run.code, 1, "a block outweighs a gap: {}", run.stdout);
    assert!(run.stdout.contains("1 finding blocks; 1 part not seen"), "{}", run.stdout);
}

#[test]
fn what_only_claims_to_be_an_archive_is_searched_as_it_is() {
    let bench = Bench::new();
    bench.write("not.tar", "just text\n");
    assert_eq!(bench.run(&["scan", "not.tar"]).code, 0);
    bench.write("not.tar", format!("GITHUB_TOKEN={}\n", token(1)));
    assert_eq!(bench.run(&["scan", "not.tar"]).code, 1);
}

#[test]
fn an_empty_file_as_target_is_incomplete() {
    let bench = Bench::new();
    bench.write("empty.tar", "");
    let run = bench.run(&["scan", "empty.tar"]);
    assert_eq!(run.code, 3);
    assert!(run.stdout.contains("empty.tar: empty"), "{}", run.stdout);
}

/// Root reads everything; without its two capabilities it is refused like anyone else.
fn without_capabilities(bench: &Bench, arguments: &[&str]) -> Option<Run> {
    if !rustix::process::geteuid().is_root() {
        return Some(bench.run(arguments));
    }
    let limited =
        bench.wrapped("setpriv", &["--bounding-set=-dac_override,-dac_read_search"], arguments).output();
    match limited {
        Ok(output) => Some(Run::from(output)),
        Err(error) => {
            eprintln!("SKIPPED: setpriv (package util-linux) is not there: {error}");
            None
        }
    }
}

#[test]
fn an_unreadable_file_is_a_gap_and_an_unreadable_target_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.write("t/open", "nothing");
    let closed = bench.write("t/closed", "nothing");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    let Some(run) = without_capabilities(&bench, &["scan", "t"]) else { return };
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("closed: unreadable"), "{}", run.stdout);
    let Some(run) = without_capabilities(&bench, &["scan", "t/closed"]) else { return };
    refused(&run, &["t/closed", "permission"]);
}

/// A scan that waits for more input; what it has read says that it is past its start.
fn reading(bench: &Bench) -> std::process::Child {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = bench
        .command(&["scan", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds: when it is written, the program reads, and listens.
    child.stdin.as_mut().unwrap().write_all(&b"nothing\n".repeat(64 * 1024)).unwrap();
    child
}

#[test]
fn an_interrupt_ends_the_walk_and_the_report_is_still_whole() {
    let mut child = reading(&Bench::new());
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    drop(child.stdin.take());
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, 130, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("Interrupted"), "{}", run.stderr);
    assert_eq!(run.json()["coverage"]["skipped"]["entries"][0]["reason"], "interrupted");
}

#[test]
fn a_crash_would_write_no_memory_to_a_disk() {
    let mut child = reading(&Bench::new());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn standard_input_is_read_once() {
    refused(&Bench::new().run(&["scan", "-", "-"]), &["name it once"]);
}
