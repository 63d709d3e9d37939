//! What blocks, what is accepted, and what the shell is told.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::program::{Bench, image_archive, program, tar_of, token};

fn leaky() -> Bench {
    let bench = Bench::new();
    bench.keep_key();
    bench.write("t/app/.env", format!("GITHUB_TOKEN={}\n", token(1)));
    bench
}

fn fingerprint(bench: &Bench) -> (String, String) {
    let report = bench.run(&["scan", "t", "--format", "json"]).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&report["findings"][0]["fingerprint"]), text(&report["key_id"]))
}

fn policy(bench: &Bench, expires: &str) -> String {
    let (fingerprint, key_id) = fingerprint(bench);
    format!(
        "version = 1\nkey_id = \"{key_id}\"\n[[suppress]]\nfingerprint = \"{fingerprint}\"\nowner = \"team-a\"\n\
         reason = \"revoked\"\nexpires = {expires}\n"
    )
}

#[test]
fn a_token_blocks_and_a_clean_tree_passes() {
    let bench = leaky();
    assert_eq!(bench.run(&["scan", "t"]).code, 1);
    bench.write("clean/a", "nothing here");
    let run = bench.run(&["scan", "clean"]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    assert!(run.stdout.starts_with("Pass: nothing found"), "{}", run.stdout);
}

#[test]
fn the_user_decides_what_blocks_and_with_which_code() {
    let bench = leaky();
    assert_eq!(bench.run(&["scan", "t", "--fail-on", "never"]).code, 0);
    assert_eq!(bench.run(&["scan", "t", "--fail-on", "known"]).code, 0);
    assert_eq!(bench.run(&["scan", "t", "--fail-on", "checked"]).code, 1);
    assert_eq!(bench.run(&["scan", "t", "--exit-code", "42"]).code, 42);
    assert_eq!(bench.run(&["scan", "t", "--exit-code", "3"]).code, 2);
}

#[test]
fn a_suppression_lets_one_secret_pass_and_a_new_one_on_the_same_line_blocks() {
    let bench = leaky();
    bench.write("policy.toml", policy(&bench, "2999-01-01"));
    let arguments = ["scan", "t", "--policy", "policy.toml"];
    let run = bench.run(&arguments);
    assert_eq!(run.code, 0, "{}", run.stdout);
    assert!(run.stdout.contains("Pass: 1 suppressed"), "{}", run.stdout);
    bench.write("t/app/.env", format!("GITHUB_TOKEN={} {}\n", token(1), token(2)));
    let run = bench.run(&arguments);
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(run.stdout.contains("1 finding blocks, 1 suppressed"), "{}", run.stdout);
}

#[test]
fn an_expired_suppression_blocks_again_and_says_so() {
    let bench = leaky();
    bench.write("policy.toml", policy(&bench, "2020-01-01"));
    let run = bench.run(&["scan", "t", "--policy", "policy.toml"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("expired on 2020-01-01"), "{}", run.stdout);
}

#[test]
fn fingerprints_of_another_key_are_refused() {
    let bench = leaky();
    let policy =
        policy(&bench, "2999-01-01").replace("key_id = \"", "key_id = \"0000000").replacen("00", "", 0);
    let other =
        policy.lines().map(|line| if line.starts_with("key_id") { "key_id = \"00000000\"" } else { line });
    bench.write("policy.toml", other.collect::<Vec<_>>().join("\n"));
    let run = bench.run(&["scan", "t", "--policy", "policy.toml"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("made under key 00000000"), "{}", run.stderr);
}

#[test]
fn a_baseline_accepts_what_is_there_and_nothing_else() {
    let bench = leaky();
    assert_eq!(bench.run(&["scan", "t", "--write-baseline", "baseline.toml"]).code, 1);
    let run = bench.run(&["scan", "t", "--baseline", "baseline.toml"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    bench.write("t/new", format!("token: {}\n", token(3)));
    assert_eq!(bench.run(&["scan", "t", "--baseline", "baseline.toml"]).code, 1);
}

#[test]
fn a_baseline_without_a_kept_key_is_refused() {
    let bench = Bench::new();
    bench.write("t/a", "nothing");
    let run = bench.run(&["scan", "t", "--write-baseline", "baseline.toml"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("openssl rand -hex 32"), "{}", run.stderr);
}

#[test]
fn without_a_kept_key_fingerprints_say_that_they_do_not_last() {
    let bench = Bench::new();
    bench.write("t/a", format!("token = \"{}\"\n", token(1)));
    let reports = [0, 1].map(|_| bench.run(&["scan", "t", "--format", "json"]).json());
    assert_eq!(reports[0]["stable"], false);
    assert_ne!(reports[0]["findings"][0]["fingerprint"], reports[1]["findings"][0]["fingerprint"]);
    bench.keep_key();
    let reports = [0, 1].map(|_| bench.run(&["scan", "t", "--format", "json"]).json());
    assert_eq!(reports[0]["stable"], true);
    assert_eq!(reports[0]["findings"][0]["fingerprint"], reports[1]["findings"][0]["fingerprint"]);
}

#[test]
fn the_number_of_threads_leaves_no_trace() {
    let bench = Bench::new();
    bench.keep_key();
    for index in 0..200 {
        bench.write(&format!("t/{}/f{index}", index % 7), format!("a\ntoken = \"{}\"\n", token(index % 60)));
    }
    let report = |threads| bench.run(&["scan", "t", "--format", "json", "--threads", threads]).stdout;
    let one = report("1");
    assert!(one.contains("ghp_"));
    for threads in ["2", "7", "16"] {
        assert_eq!(report(threads), one, "{threads} threads");
    }
}

#[test]
fn a_reader_that_goes_away_changes_nothing() {
    let bench = Bench::new();
    for index in 0..2000 {
        bench.write(&format!("t/f{index}"), format!("token = \"{}\"\n", token(index)));
    }
    let mut child = bench
        .command(&["scan", "t", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn what_comes_from_the_base_image_is_marked_and_the_policy_decides() {
    let bench = Bench::new();
    bench.keep_key();
    let base = tar_of(&[("etc/base.env", format!("GITHUB_TOKEN={}\n", token(1)).as_bytes())]);
    let own = tar_of(&[("app/.env", format!("GITHUB_TOKEN={}\n", token(2)).as_bytes())]);
    bench.write("base.tar", image_archive(std::slice::from_ref(&base), serde_json::json!({}), "base:1"));
    bench.write("app.tar", image_archive(&[base, own], serde_json::json!({}), "app:1"));
    bench.run(&["scan", "base.tar", "--format", "json=base.json"]);
    let report = bench.run(&["scan", "app.tar", "--base", "base.json", "--format", "json"]).json();
    let inherited = |path: &str| {
        let findings = report["findings"].as_array().unwrap();
        let mut places = findings.iter().flat_map(|finding| finding["locations"].as_array().unwrap());
        places.find(|place| place["path"] == path).unwrap()["inherited"].clone()
    };
    assert_eq!((inherited("etc/base.env"), inherited("app/.env")), (true.into(), false.into()));
    bench.write(
        "policy.toml",
        "version = 1\n[[override]]\nwhen = { inherited = true }\naction = \"report\"\nreason = \"the base's team\"\n",
    );
    let arguments = ["scan", "app.tar", "--base", "base.json", "--policy", "policy.toml"];
    let run = bench.run(&arguments);
    assert!(run.code == 1 && run.stdout.contains("1 finding blocks, 1 reported"), "{}", run.stdout);
    bench.write("t/base.json", "{}");
    let run = bench.run(&["scan", "t", "--base", "t/base.json"]);
    assert!(run.code == 2 && run.stderr.contains("inside the target t"), "{}", run.stderr);
    bench.write("tree/a", "x");
    bench.run(&["scan", "tree", "--format", "json=tree.json"]);
    let run = bench.run(&["scan", "app.tar", "--base", "tree.json"]);
    assert!(run.code == 2 && run.stderr.contains("names no layers"), "{}", run.stderr);
}

#[test]
fn completions_and_the_schema_are_printed() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(bench.run(&["completions", shell]).stdout.contains("scanner"), "{shell}");
    }
    let schema: serde_json::Value = bench.run(&["schema"]).json();
    let report: serde_json::Value = leaky().run(&["scan", "t", "--format", "json"]).json();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&report));
    assert!(!validator.is_valid(&serde_json::json!({ "version": 1 })));
    assert!(program().exists());
}

#[test]
fn bars_are_drawn_when_asked_for_and_not_otherwise() {
    let bench = Bench::new();
    bench.write("clean/a", "nothing here");
    assert_eq!(bench.run(&["scan", "clean"]).stderr, "");
    let run = bench.run(&["scan", "clean", "--progress", "always"]);
    assert!(run.stderr.contains("clean"), "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), 2, "{}", run.stdout);
}

#[test]
fn quiet_says_nothing_but_the_report() {
    let bench = leaky();
    let run = bench.run(&["scan", "t", "--quiet", "--format", "json"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    assert_eq!(run.json()["verdict"]["blocking"], 1);
}

#[test]
fn a_target_speaks_for_itself_only_where_it_is_trusted() {
    let bench = Bench::new();
    bench.keep_key();
    let line = |seed: u64, comment: &str| format!("GITHUB_TOKEN={} {comment}\n", token(seed));
    bench.write("repo/ours.env", line(1, "# keyturn:allow"));
    bench.write("repo/theirs.env", format!("\n{}", line(2, "# gitleaks:allow")));
    bench.write("repo/listed.env", format!("\n\n{}", line(3, "")));
    bench.write("repo/other.env", format!("# keyturn:allow\n{}", line(4, "")));
    // Another scanner's name for the rule, a rule of ours that is not this one, another line.
    let ignored = "# why\nlisted.env:some-other-scanners-name:3\nother.env:jwt:2\nother.env:github-pat:9\n";
    bench.write("repo/.gitleaksignore", ignored);

    let run = bench.run(&["scan", "repo", "--format", "json"]);
    let report = run.json();
    assert_eq!((run.code, &report["verdict"]["blocking"]), (1, &4.into()), "{}", run.stdout);
    let why = |report: &serde_json::Value, path: &str| {
        let all = report["findings"].as_array().unwrap().clone();
        let one = all.iter().find(|finding| finding["locations"][0]["path"] == path).unwrap().clone();
        (one["action"].as_str().unwrap().to_owned(), one["why"].as_str().unwrap().to_owned())
    };
    for (path, by) in
        [("ours.env", "a comment"), ("theirs.env", "a comment"), ("listed.env", ".gitleaksignore")]
    {
        let (action, why) = why(&report, path);
        assert!(action == "block" && why.contains(&format!("asks to be allowed, by {by}")), "{path}: {why}");
    }
    assert!(!why(&report, "other.env").1.contains("allowed"));
    let notice = report["notices"].to_string();
    assert!(notice.contains("3 places ask to be allowed from inside the target"), "{notice}");

    let trusted = bench.run(&["scan", "repo", "--format", "json", "--trust-target"]);
    let report = trusted.json();
    assert_eq!((trusted.code, &report["verdict"]["blocking"]), (1, &1.into()), "{}", trusted.stdout);
    for path in ["ours.env", "theirs.env", "listed.env"] {
        let (action, why) = why(&report, path);
        assert!(action == "suppressed" && why.contains("--trust-target lets that count"), "{path}: {why}");
    }
    assert!(report["notices"].to_string().contains("--trust-target let that count"));
    for text in [&run.stdout, &trusted.stdout] {
        assert!((1..5).all(|seed| !text.contains(&token(seed))));
    }
}
