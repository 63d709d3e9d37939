//! What is copied into pipelines: the generic step, the pre-commit hook, the comment on a pull request.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use shared::require;
use shared::testkit::find;

use crate::program::{Bench, program, token};

/// A file of this repository.
fn of_repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name)
}

fn step(bench: &Bench, target: &str, setting: (&str, &str)) -> Output {
    let mut step = Command::new(of_repository("deploy/ci/scan.sh"));
    step.arg(target).current_dir(bench.path(".")).env("KEYTURN_SCANNER", program()).env(setting.0, setting.1);
    step.env("XDG_CONFIG_HOME", bench.path("config")).output().unwrap()
}

#[test]
fn the_generic_step_leaves_reports_and_ends_with_the_scanners_code() {
    let bench = Bench::new();
    bench.write("t/.env", format!("GITHUB_TOKEN={}\n", token(1)));
    bench.write("clean/a", "nothing");
    let output = step(&bench, "t", ("KEYTURN_OUT", "out"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("Blocked: 1 finding blocks"));
    for name in ["keyturn.json", "keyturn.sarif", "keyturn.junit", "keyturn.html", "keyturn.gitlab"] {
        assert!(std::fs::metadata(bench.path(&format!("out/{name}"))).unwrap().len() > 100, "{name}");
    }
    assert_eq!(std::fs::read_to_string(bench.path("out/exit-code")).unwrap(), "1\n");
    assert_eq!(step(&bench, "clean", ("KEYTURN_OUT", "out")).status.code(), Some(0));
    assert_eq!(step(&bench, "t", ("KEYTURN_FAIL_ON", "never")).status.code(), Some(0));
    assert_eq!(step(&bench, "nosuch", ("KEYTURN_OUT", "out")).status.code(), Some(2));
    assert_eq!(step(&bench, "t", ("KEYTURN_POLICY", "nosuch.toml")).status.code(), Some(2));
}

#[test]
fn a_name_from_the_target_is_no_markdown() {
    let jq = require!(find("jq", "Debian's jq"));
    let bench = Bench::new();
    bench.write("t/`@team` [x](http:y)|\n# big/.env", format!("GITHUB_TOKEN={}\n", token(1)));
    bench.run(&["scan", "t", "--format", "json=report.json"]);
    let output = Command::new(jq)
        .args(["-r", "-f"])
        .arg(of_repository("deploy/ci/github/comment.jq"))
        .stdin(Stdio::from(std::fs::File::open(bench.path("report.json")).unwrap()))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("<!-- keyturn -->\n**Keyturn: block**, 1 blocking\n"), "{text}");
    assert_eq!(
        text.lines().last().unwrap(),
        "| critical | `github-pat` | `?@team? [x](http:y)¦?# big/.env:1` |"
    );
}

/// Runs git as a person with the hook would, with the scanner on PATH.
fn git(bench: &Bench, folder: &str, pre_commit: &Path, arguments: &[&str]) -> Output {
    std::fs::create_dir_all(bench.path("bin")).unwrap();
    let _ = std::os::unix::fs::symlink(program(), bench.path("bin/scanner"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [bench.path("bin"), pre_commit.parent().unwrap().to_owned()];
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path))).unwrap();
    Command::new(arguments[0])
        .args(&arguments[1..])
        .current_dir(bench.path(folder))
        .env_clear()
        .env("PATH", path)
        .env("HOME", bench.path("."))
        .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")])
        .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.com")])
        .output()
        .unwrap()
}

#[test]
fn pre_commit_stops_a_commit_that_brings_a_secret() {
    let pre_commit = require!(find("pre-commit", "PyPI's pre-commit"));
    let bench = Bench::new();
    let run = |folder: &str, arguments: &[&str]| git(&bench, folder, &pre_commit, arguments);
    #[track_caller]
    fn done(output: &Output) {
        assert!(output.status.success(), "{output:?}");
    }
    bench.write(
        "hooks/.pre-commit-hooks.yaml",
        std::fs::read(of_repository(".pre-commit-hooks.yaml")).unwrap(),
    );
    done(&run("hooks", &["git", "init", "-q", "."]));
    done(&run("hooks", &["git", "add", "-A"]));
    done(&run("hooks", &["git", "commit", "-q", "-m", "hooks"]));
    let revision = String::from_utf8(run("hooks", &["git", "rev-parse", "HEAD"]).stdout).unwrap();
    let hooks = bench.path("hooks");
    bench.write(
        "app/.pre-commit-config.yaml",
        format!(
            "repos:\n  - repo: {}\n    rev: {}    hooks:\n      - id: keyturn\n",
            hooks.display(),
            revision
        ),
    );
    done(&run("app", &["git", "init", "-q", "."]));
    done(&run("app", &["git", "add", "-A"]));
    done(&run("app", &["pre-commit", "install"]));
    done(&run("app", &["git", "commit", "-q", "-m", "clean"]));
    bench.write("app/.env", format!("GITHUB_TOKEN={}\n", token(1)));
    // Not staged: no business of this commit.
    done(&run("app", &["git", "commit", "-q", "--allow-empty", "-m", "still clean"]));
    done(&run("app", &["git", "add", ".env"]));
    let output = run("app", &["git", "commit", "-q", "-m", "leaky"]);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(".env") && said.contains("1:14 BLOCK critical github-pat"), "{said}");
    assert!(!said.contains(&token(1)));
}
