//! Git repositories, made by the real git.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::canary::clean;
use crate::program::{Bench, token};

/// A repository inside a bench.
struct Repository<'b> {
    bench: &'b Bench,
    name: &'b str,
    clock: std::cell::Cell<u32>,
}

impl<'b> Repository<'b> {
    fn new(bench: &'b Bench, name: &'b str) -> Self {
        std::fs::create_dir_all(bench.path(name)).unwrap();
        let repository = Self { bench, name, clock: std::cell::Cell::new(0) };
        repository.git(&["init", "-q", "-b", "main", "."]);
        repository
    }

    /// Runs git; each run is a day after the one before.
    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        self.clock.set(self.clock.get() + 1);
        let date = format!("2024-01-{:02}T12:00:00Z", self.clock.get().min(31));
        let output = git(&self.bench.path(self.name), &date, arguments);
        String::from_utf8(output).unwrap().trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        self.bench.write(&format!("{}/{path}", self.name), text);
    }

    #[track_caller]
    fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}

#[track_caller]
fn git(folder: &Path, date: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("git")
        .args(["-c", "protocol.file.allow=always", "-c", "gc.auto=0"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", folder)
        .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")])
        .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.com")])
        .envs([("GIT_AUTHOR_DATE", date), ("GIT_COMMITTER_DATE", date)])
        .output()
        .expect("git is needed to build this project");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn secret(seed: u64) -> String {
    format!("GITHUB_TOKEN={}\n", token(seed))
}

/// Scans, and returns the report with the exit code.
#[track_caller]
fn scan(bench: &Bench, arguments: &[&str]) -> (Value, i32) {
    let run = bench.run(&[&["scan", "--format", "json"], arguments].concat());
    assert!(!run.stdout.is_empty(), "{}", run.stderr);
    (run.json(), run.code)
}

/// Every place: path, state, first and last commit.
fn places(report: &Value) -> Vec<(String, String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let mut places: Vec<_> = findings
        .flat_map(|finding| finding["locations"].as_array().unwrap())
        .map(|at| {
            (
                text(&at["path"]),
                text(&at["state"]),
                text(&at["git"]["first"]["id"]),
                text(&at["git"]["last"]["id"]),
            )
        })
        .collect();
    places.sort();
    places
}

fn reasons(report: &Value, list: &str) -> Vec<String> {
    let entries = report["coverage"][list]["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["reason"].as_str().unwrap().to_owned()).collect()
}

fn place(path: &str, state: &str, first: &str, last: &str) -> (String, String, String, String) {
    (path.to_owned(), state.to_owned(), first.to_owned(), last.to_owned())
}

#[test]
fn a_secret_is_told_with_its_commits_whether_or_not_it_is_still_there() {
    let bench = Bench::new();
    bench.keep_key();
    let r = Repository::new(&bench, "r");
    r.write("app/kept.env", &secret(1));
    let one = r.commit("one");
    r.write("app/gone.env", &secret(2));
    r.write("app/changed.env", &secret(3));
    let two = r.commit("two");
    r.write("readme", "x");
    let three = r.commit("three");
    std::fs::remove_file(bench.path("r/app/gone.env")).unwrap();
    r.write("app/changed.env", "clean\n");
    std::fs::rename(bench.path("r/app/kept.env"), bench.path("r/moved.env")).unwrap();
    let four = r.commit("four");
    r.write("readme", "y");
    let five = r.commit("five");
    let expected = vec![
        place("app/changed.env", "overwritten", &two, &three),
        place("app/gone.env", "deleted", &two, &three),
        place("app/kept.env", "deleted", &one, &three),
        place("moved.env", "visible", &four, &five),
    ];
    let (loose, code) = scan(&bench, &["git:r"]);
    assert_eq!((places(&loose), code), (expected, 1));
    let kept = &loose["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["locations"][0]["path"] == "app/kept.env")
        .unwrap();
    assert_eq!(kept["locations"][0]["git"]["first"]["author_date"], "2024-01-03T12:00:00Z");
    assert_eq!(kept["locations"][1]["git"]["at_head"], true);
    r.git(&["gc", "-q", "--prune=now"]);
    let (packed, _) = scan(&bench, &["git:r"]);
    assert_eq!(packed["findings"], loose["findings"], "packed or loose, the same is found");
    // Each content was searched once, however many commits have it.
    let text = bench.run(&["scan", "git:r"]).stdout;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("deleted since, but everyone who clones still gets it"), "{text}");
    clean("the report", &text, &[token(1), token(2), token(3)]);
}

#[test]
fn every_branch_tag_stash_worktree_and_what_none_of_them_reaches() {
    let bench = Bench::new();
    let r = Repository::new(&bench, "r");
    r.write("a", "x");
    r.commit("one");
    r.git(&["checkout", "-q", "-b", "side"]);
    r.write("side.env", &secret(1));
    let side = r.commit("side");
    r.git(&["checkout", "-q", "main"]);
    r.write("a", &secret(2));
    r.git(&["stash", "-q"]);
    r.git(&["tag", "-a", "v1", "-m", &format!("token {}", token(3))]);
    r.git(&["commit", "-q", "--allow-empty", "-m", &format!("use {}", token(4))]);
    r.git(&["worktree", "add", "-q", "--detach", "../other"]);
    r.bench.write("other/tree.env", secret(5));
    git(&bench.path("other"), "2024-02-01T12:00:00Z", &["add", "-A"]);
    git(&bench.path("other"), "2024-02-01T12:00:00Z", &["commit", "-q", "-m", "in the worktree"]);
    r.write("lost.env", &secret(6));
    r.commit("lost");
    r.git(&["reset", "-q", "--hard", "HEAD~1"]);
    r.git(&["remote", "add", "origin", &format!("https://x:{}@example.com/r.git", token(7))]);
    let (report, code) = scan(&bench, &["git:r"]);
    assert_eq!(code, 1);
    let found = places(&report);
    let by_path = |path: &str| {
        found.iter().find(|place| place.0.starts_with(path)).unwrap_or_else(|| panic!("{path}: {found:#?}"))
    };
    assert_eq!(by_path("side.env"), &place("side.env", "deleted", &side, &side));
    assert_eq!(by_path("a").1, "overwritten", "the stash");
    assert_eq!(by_path("tag:").1, "visible");
    assert_eq!(by_path("commit:").1, "visible");
    assert_eq!(by_path("tree.env").1, "deleted", "not at HEAD of the main worktree");
    assert_eq!((by_path("object:").1.as_str(), by_path("object:").2.as_str()), ("orphan", ""));
    assert_eq!(by_path(".git/config").1, "visible");
    // The linked worktree is the same repository, with another HEAD.
    let (other, _) = scan(&bench, &["git:other"]);
    let at_head = places(&other).into_iter().find(|place| place.0 == "tree.env").unwrap();
    assert_eq!(at_head.1, "visible");
}

#[test]
fn a_range_is_what_its_commits_brought() {
    let bench = Bench::new();
    let r = Repository::new(&bench, "r");
    r.write("old.env", &secret(1));
    let base = r.commit("one");
    r.write("new.env", &secret(2));
    let two = r.commit("two");
    std::fs::remove_file(bench.path("r/new.env")).unwrap();
    let three = r.commit("three");
    let (report, code) = scan(&bench, &["git:r", "--range", &format!("{base}..HEAD")]);
    assert_eq!((places(&report), code), (vec![place("new.env", "deleted", &two, &two)], 1));
    let (report, code) = scan(&bench, &["git:r", "--range", &format!("{two}..{three}")]);
    assert_eq!((places(&report), code), (vec![], 0));
    let run = bench.run(&["scan", "git:r", "--range", "nosuch..HEAD"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(
        run.stderr.contains("--range nosuch..HEAD") && run.stderr.contains("main..HEAD"),
        "{}",
        run.stderr
    );
    let run = bench.run(&["scan", "r", "--range", "a..b"]);
    assert!(run.code == 2 && run.stderr.contains("git:PATH"), "{}", run.stderr);
    // The wrong way round holds nothing, and nothing seen is not a pass.
    let (_, code) = scan(&bench, &["git:r", "--range", &format!("HEAD..{base}")]);
    assert_eq!(code, 3);
}

#[test]
fn what_is_staged_is_what_the_next_commit_brings() {
    let bench = Bench::new();
    let r = Repository::new(&bench, "r");
    assert_eq!(scan(&bench, &["git:r", "--staged"]).1, 0, "nothing staged yet");
    r.write("old.env", &secret(1));
    r.commit("one");
    assert_eq!(scan(&bench, &["git:r", "--staged"]).1, 0);
    r.write("dir/new.env", &secret(2));
    r.write("unstaged.env", &secret(3));
    r.git(&["add", "dir"]);
    // What is staged counts, not what the file holds now.
    r.write("dir/new.env", "clean\n");
    let (report, code) = scan(&bench, &["git:r", "--staged"]);
    assert_eq!((places(&report), code), (vec![place("dir/new.env", "visible", "", "")], 1));
    // A hook gets the index of its commit in the environment.
    r.git(&["reset", "-q"]);
    let other = bench.path("other-index");
    let mut add = Command::new("git");
    add.args(["add", "unstaged.env"]).current_dir(bench.path("r")).env("GIT_INDEX_FILE", &other);
    assert!(add.status().unwrap().success());
    let run = bench.command(&["scan", "git:r", "--staged"]).env("GIT_INDEX_FILE", &other).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
}

#[test]
fn submodules_are_searched_where_they_were_fetched() {
    let bench = Bench::new();
    let inner = Repository::new(&bench, "inner");
    inner.write("lib.env", &secret(1));
    inner.commit("one");
    let r = Repository::new(&bench, "r");
    r.git(&["submodule", "--quiet", "add", "../inner", "libs/inner"]);
    r.commit("with a submodule");
    let (report, code) = scan(&bench, &["git:r"]);
    assert_eq!(
        places(&report).iter().map(|place| place.0.as_str()).collect::<Vec<_>>(),
        ["libs/inner/lib.env"]
    );
    assert_eq!(code, 1);
    // One that cannot be opened, and one that lies too deep.
    std::fs::create_dir_all(bench.path("r/.git/modules/broken/objects")).unwrap();
    std::fs::create_dir_all(bench.path("r/.git/modules/a/b/c/d/e/f/g/h/i/objects")).unwrap();
    let (report, _) = scan(&bench, &["git:r", "--fail-on", "never"]);
    let mut gaps = reasons(&report, "skipped");
    gaps.sort();
    assert_eq!(gaps, ["corrupt", "limit"]);
    git(&bench.path("."), "2024-02-01T12:00:00Z", &["clone", "-q", "r", "clone"]);
    let (report, code) = scan(&bench, &["git:clone"]);
    assert_eq!((reasons(&report, "excluded"), code), (vec!["submodule".to_owned()], 0));
}

#[test]
fn a_repository_that_is_cut_off_or_broken_is_incomplete() {
    let bench = Bench::new();
    let r = Repository::new(&bench, "r");
    r.write("a.env", "one\n");
    r.commit("one");
    r.write("dir/b.txt", "two\n");
    r.commit("two");
    let url = format!("file://{}", bench.path("r").display());
    let here = bench.path(".");
    git(&here, "2024-02-01T12:00:00Z", &["clone", "-q", "--depth", "1", &url, "shallow"]);
    let (report, code) = scan(&bench, &["git:shallow"]);
    assert_eq!((reasons(&report, "skipped"), code), (vec!["shallow".to_owned()], 3));
    // An object that is gone: a blob, a tree, a commit.
    for (what, reason) in
        [("HEAD:a.env", "missing-object"), ("HEAD:dir", "missing-object"), ("HEAD~1", "missing-object")]
    {
        let id = r.git(&["rev-parse", what]);
        let path = bench.path(&format!("r/.git/objects/{}/{}", &id[..2], &id[2..]));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (report, code) = scan(&bench, &["git:r"]);
        assert_eq!(code, 3, "{what}: {report:#}");
        assert!(reasons(&report, "skipped").contains(&reason.to_owned()), "{what}: {report:#}");
        // One that is damaged.
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let (report, code) = scan(&bench, &["git:r"]);
        assert_eq!(code, 3, "{what}: {report:#}");
        assert!(reasons(&report, "skipped").contains(&"corrupt".to_owned()), "{what}: {report:#}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(scan(&bench, &["git:r"]).1, 0);
    let run = bench.run(&["scan", "git:nosuch"]);
    assert!(run.code == 2 && run.stderr.contains("git:nosuch: there is no git repository"), "{}", run.stderr);
}

#[test]
fn a_folder_of_a_million_names_ends() {
    let bench = Bench::new();
    let r = Repository::new(&bench, "r");
    // Ten names for the same folder, ten levels deep: ten thousand million paths to one secret.
    r.write("secret", &secret(1));
    let mut entry = format!("100644 blob {}", r.git(&["hash-object", "-w", "secret"]));
    for _ in 0..10 {
        let lines: String = (0..10).map(|name| format!("{entry}\tn{name}\n")).collect();
        bench.write("r/tree", &lines);
        let made = Command::new("sh")
            .args(["-c", "git mktree < tree"])
            .current_dir(bench.path("r"))
            .output()
            .unwrap();
        entry = format!("040000 tree {}", String::from_utf8(made.stdout).unwrap().trim());
    }
    let tree = entry.rsplit(' ').next().unwrap().to_owned();
    let commit = r.git(&["commit-tree", &tree, "-m", "bomb"]);
    r.git(&["update-ref", "refs/heads/main", &commit]);
    let (report, code) = scan(&bench, &["git:r"]);
    assert_eq!(code, 1, "{report:#}");
    assert!(report["findings"][0]["locations"].as_array().unwrap().len() >= 1000);
    assert!(reasons(&report, "skipped").contains(&"limit".to_owned()), "what is not listed is said");
}
