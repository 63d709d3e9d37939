//! The parts of the engine, each on its own: `cargo bench -p scanner`.
//!
//! Whole programs on real trees are measured by `benches/run.py`; these figures say which part a change touched.

#![allow(missing_docs)] // criterion's macro makes a function without.

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use data_encoding::BASE64;
use scanner::blob::Content;
use scanner::decode::{Allowance, Part, Progress, Totals};
use scanner::matcher::Engine;
use scanner::matcher::survey::Survey;
use scanner::rules::RuleSet;
use scanner::rules::example::{make, seeded};
use shared::fingerprint::FingerprintKey;

/// What is searched in one round: more than the second-level cache holds.
const BYTES: usize = 4 << 20;

/// This crate's own source, over and over.
fn source() -> Vec<u8> {
    let mut text = Vec::new();
    gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    text.iter().copied().cycle().take(BYTES).collect()
}

fn gather(folder: &Path, text: &mut Vec<u8>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            gather(&path, text);
        } else {
            text.extend(std::fs::read(path).unwrap_or_default());
        }
    }
}

/// Lines with a secret each.
fn secrets() -> Vec<u8> {
    let mut random = seeded(1);
    let mut text = String::new();
    while text.len() < BYTES / 16 {
        let token = make("{base62:30}{crc32:6}", &mut random).unwrap_or_default();
        text.push_str(&format!("token = \"ghp_{token}\"\npassword = \"{token}\"\n"));
    }
    text.into_bytes()
}

fn engine(criterion: &mut Criterion) {
    let rules = RuleSet::embedded().unwrap_or_default();
    let Ok(engine) = Engine::new(rules, FingerprintKey::from_bytes([1; 32])) else { return };
    let (source, secrets) = (source(), secrets());
    let encoded = BASE64.encode(&source).into_bytes();
    let mut scratch = engine.scratch();
    for (name, text) in [("source", &source), ("secrets", &secrets), ("base64", &encoded)] {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("search", |bencher| {
            bencher.iter(|| engine.search(Content::Slice(text), &mut scratch).map(|found| found.hits.len()));
        });
        let mut part = |of: fn(&Survey) -> Duration| {
            let mut survey = Survey::default();
            engine.survey(text, &mut scratch, &mut survey);
            of(&survey)
        };
        group.bench_function("prefilter", |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| part(|survey| survey.prefilter)).sum());
        });
        group.bench_function("verify", |bencher| {
            bencher.iter_custom(|rounds| {
                let rules = |survey: &Survey| survey.rules.values().map(|cost| cost.time).sum();
                (0..rounds).map(|_| part(rules)).sum()
            });
        });
        group.bench_function("decode", |bencher| {
            let mut buffer = Vec::new();
            bencher.iter(|| {
                let mut decoded = 0;
                let part = Part { bytes: text, base: 0, owned: 0..text.len() };
                let totals = Totals::new(250);
                let allowance = Allowance { totals: &totals, is_outermost: true };
                Progress::default()
                    .decode(&part, allowance, &mut buffer, &mut |piece| decoded += piece.bytes.len());
                decoded
            });
        });
        group.finish();
    }
}

criterion_group!(benches, engine);
criterion_main!(benches);
