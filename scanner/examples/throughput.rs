//! Searches files that are already in memory, on one thread, and says how fast.
//!
//! `cargo run --release --example throughput -- [--rules FILE] [--max-mb N] [--survey] [--hits] FOLDER…`
//!
//! `--survey` says what each string and each rule costs; `--hits` lists every hit with its place.
#![allow(clippy::print_stdout)] // A measuring program for a terminal.

use std::path::{Path, PathBuf};
use std::time::Instant;

use scanner::blob::Content;
use scanner::matcher::Engine;
use scanner::matcher::survey::Survey;
use scanner::rules::RuleSet;
use shared::fingerprint::FingerprintKey;

type Files = Vec<(PathBuf, Vec<u8>)>;

fn gather(path: &Path, files: &mut Files, total: &mut usize, bytes_max: usize) {
    if *total >= bytes_max {
        return;
    }
    let Ok(kind) = std::fs::symlink_metadata(path) else { return };
    if kind.is_dir() {
        let Ok(entries) = std::fs::read_dir(path) else { return };
        let mut inside: Vec<PathBuf> =
            entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        inside.sort();
        for path in inside {
            gather(&path, files, total, bytes_max);
        }
    } else if kind.is_file()
        && let Ok(bytes) = std::fs::read(path)
    {
        *total += bytes.len();
        files.push((path.to_owned(), bytes));
    }
}

/// Seconds of the processor that this thread has used: other programs do not count.
fn spent() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

fn main() -> anyhow::Result<()> {
    let mut rules = RuleSet::embedded()?;
    let mut folders = Vec::new();
    let mut bytes_max = 400_usize << 20;
    let (mut survey, mut list) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rules" => {
                let path = PathBuf::from(arguments.next().unwrap_or_default());
                rules = RuleSet::load(&[path], false)?;
            }
            "--max-mb" => bytes_max = arguments.next().unwrap_or_default().parse::<usize>()? << 20,
            "--survey" => survey = true,
            "--hits" => list = true,
            _ => folders.push(PathBuf::from(argument)),
        }
    }
    let begun = Instant::now();
    let engine = Engine::new(rules, FingerprintKey::from_bytes([1; 32]))?;
    println!("{} rules, engine ready in {:?}", engine.rules().len(), begun.elapsed());
    for folder in folders {
        let (mut files, mut total) = (Vec::new(), 0);
        gather(&folder, &mut files, &mut total, bytes_max);
        let mut best = f64::MAX;
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..4 {
            counts.clear();
            let mut scratch = engine.scratch();
            let begun = spent();
            for (_, file) in &files {
                let searched = engine.search(Content::Slice(file), &mut scratch)?;
                for hit in searched.hits {
                    let decoded = if hit.decoded.is_empty() {
                        String::new()
                    } else {
                        format!(" in {}", hit.decoded.join("/"))
                    };
                    *counts
                        .entry(format!("{}{decoded}", engine.rules().rule(hit.rule).id))
                        .or_insert(0_usize) += 1;
                }
            }
            best = best.min(spent() - begun);
        }
        let megabytes = total as f64 / 1e6;
        println!(
            "{}: {} files, {megabytes:.0} MB, {:.0} MB/s",
            folder.display(),
            files.len(),
            megabytes / best
        );
        for (rule, count) in counts {
            println!("    {count:6} {rule}");
        }
        if survey {
            print_survey(&engine, &files);
        }
        if list {
            print_hits(&engine, &files)?;
        }
    }
    Ok(())
}

fn print_survey(engine: &Engine, files: &Files) {
    let mut survey = Survey::default();
    let mut scratch = engine.scratch();
    for (_, file) in files {
        engine.survey(file, &mut scratch, &mut survey);
    }
    let megabytes = survey.bytes as f64 / 1e6;
    println!("{:.0} places/MB", survey.places as f64 / megabytes);
    println!("prefilter {:?}, guards {:?} (with the clock's own time)", survey.prefilter, survey.guards);
    let mut strings: Vec<_> = survey.strings.iter().collect();
    strings.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.candidates));
    println!("strings: candidates/MB, passed/MB");
    for (string, cost) in strings.iter().take(70) {
        let (candidates, passed) = (cost.candidates as f64 / megabytes, cost.passed as f64 / megabytes);
        let cut = if cost.is_cut { " cut" } else { "" };
        println!("    {candidates:9.2} {passed:9.2} {string:?} {} states{cut}", cost.states);
    }
    let mut rules: Vec<_> = survey.rules.iter().collect();
    rules.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.time));
    println!("rules: time, tried, matched, kept");
    for (rule, cost) in rules.iter().take(50) {
        println!("    {:10.1?} {:8} {:8} {:8} {rule}", cost.time, cost.tried, cost.matched, cost.kept);
    }
}

/// One line a hit, without the secret.
fn print_hits(engine: &Engine, files: &Files) -> anyhow::Result<()> {
    let mut scratch = engine.scratch();
    for (path, file) in files {
        for hit in engine.search(Content::Slice(file), &mut scratch)?.hits {
            let rule = engine.rules().rule(hit.rule);
            let span = &hit.span;
            let (path, decoded) = (path.display(), hit.decoded.join("/"));
            println!(
                "HIT {path}:{}:{}..{} {} {:?} {decoded}",
                hit.line, span.start, span.end, rule.id, hit.confidence
            );
        }
    }
    Ok(())
}
