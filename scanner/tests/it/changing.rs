//! Files that change under the running program.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testdata::random::Random;

use crate::program::{Bench, Run, image_archive, tar_of, token};

/// More than a build for tests searches in the time between two looks at the process.
const BYTES: usize = 24 << 20;
const LONGEST: Duration = Duration::from_secs(60);

/// Runs the program, holds it once it has mapped the target, changes that, and lets it go on.
fn run_while(bench: &Bench, target: &str, change: impl FnOnce()) -> Run {
    let mut command = bench.command(&["scan", target, "--threads", "2", "--format", "json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let maps = format!("/proc/{}/maps", child.id());
    let start = Instant::now();
    while !std::fs::read_to_string(&maps).unwrap_or_default().contains(target) {
        assert!(start.elapsed() < LONGEST, "it maps its target");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(pid, Signal::STOP).unwrap();
    change();
    kill_process(pid, Signal::CONT).unwrap();
    child.wait_with_output().unwrap().into()
}

fn reasons(run: &Run) -> Vec<String> {
    let report = run.json();
    let entries = report["coverage"]["skipped"].as_array().cloned();
    let entries = entries.or_else(|| report["coverage"]["skipped"]["entries"].as_array().cloned());
    entries.unwrap_or_default().iter().map(|entry| entry["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_target_that_shrinks_is_neither_a_crash_nor_clean() {
    let bench = Bench::new();
    let noise = Random::new(7).bytes(BYTES);
    let image = image_archive(
        &[tar_of(&[
            ("usr/lib/big", &noise),
            ("app/.env", format!("GITHUB_TOKEN={}\n", token(1)).as_bytes()),
        ])],
        serde_json::json!({}),
        "shop/api:1",
    );
    for (name, content) in [("plain.bin", &noise), ("image.tar", &image)] {
        let path = bench.write(name, content);
        let shrink = || {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(8192).unwrap();
        };
        let run = run_while(&bench, name, shrink);
        assert_eq!(run.code, 3, "{name}: {} {}", run.stdout, run.stderr);
        assert!(reasons(&run).iter().any(|reason| reason == "changed-while-read"), "{name}: {}", run.stdout);
    }
}

#[test]
fn a_target_that_is_written_to_is_not_clean() {
    let bench = Bench::new();
    let path = bench.write("plain.bin", Random::new(8).bytes(BYTES));
    let run = run_while(&bench, "plain.bin", || {
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"other", 0).unwrap();
    });
    assert_eq!(run.code, 3, "{} {}", run.stdout, run.stderr);
    assert!(reasons(&run).iter().any(|reason| reason == "changed-while-read"), "{}", run.stdout);
}
