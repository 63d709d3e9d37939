//! Searches files that are already in memory, on one thread, and says how fast.
//!
//! `cargo run --release --example throughput -- [--rules FILE] [--max-mb N] FOLDER…`
#![allow(clippy::print_stdout)] // A measuring program for a terminal.

use std::path::{Path, PathBuf};
use std::time::Instant;

use scanner::blob::Content;
use scanner::matcher::Engine;
use scanner::rules::RuleSet;
use shared::fingerprint::FingerprintKey;

fn gather(path: &Path, files: &mut Vec<Vec<u8>>, total: &mut usize, bytes_max: usize) {
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
        files.push(bytes);
    }
}

fn main() -> anyhow::Result<()> {
    let mut rules = RuleSet::embedded()?;
    let mut folders = Vec::new();
    let mut bytes_max = 400_usize << 20;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rules" => {
                let path = PathBuf::from(arguments.next().unwrap_or_default());
                rules = RuleSet::load(&[path], false)?;
            }
            "--max-mb" => bytes_max = arguments.next().unwrap_or_default().parse::<usize>()? << 20,
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
        for _ in 0..3 {
            counts.clear();
            let mut scratch = engine.scratch();
            let begun = Instant::now();
            for file in &files {
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
            best = best.min(begun.elapsed().as_secs_f64());
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
    }
    Ok(())
}
