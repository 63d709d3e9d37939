//! The whole program on the image of all traps, in every packaging and by standard input.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::Stdio;

use serde_json::Value;
use testdata::archive::Compression;
use testdata::pack::{Packaging, pack};
use testdata::traps::{self, TrapImage};

use crate::program::{Bench, Run};

type Place = (Option<u64>, String, Vec<String>, String);

/// Every place that the traps demand.
fn demanded(image: &TrapImage) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for trap in &image.traps {
        let entries = trap.entries.iter().map(ToString::to_string).collect();
        places.insert((
            trap.layer.map(|layer| layer as u64),
            trap.path.clone(),
            entries,
            trap.state.to_owned(),
        ));
        for (layer, path, state) in &trap.also_at {
            places.insert((Some(*layer as u64), path.clone(), Vec::new(), (*state).to_owned()));
        }
    }
    places
}

/// Every place of a GitHub token in a report.
fn reported(run: &Run) -> BTreeSet<Place> {
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut places = BTreeSet::new();
    for finding in report["findings"].as_array().unwrap() {
        if finding["rule"] != "github-pat" {
            continue;
        }
        for location in finding["locations"].as_array().unwrap() {
            let entries = location["entries"].as_array().into_iter().flatten().map(text).collect();
            let layer = location["layer"]["index"].as_u64();
            places.insert((layer, text(&location["path"]), entries, text(&location["state"])));
        }
    }
    places
}

#[test]
fn the_program_reports_every_trap_and_blocks() {
    let bench = Bench::new();
    let image = traps::build(21).unwrap();
    let demanded = demanded(&image);
    assert!(demanded.len() >= 60, "{}", demanded.len());
    let packagings = [
        Packaging::DockerLegacy,
        Packaging::DockerModern,
        Packaging::Oci(Compression::Gzip),
        Packaging::Oci(Compression::Zstd),
    ];
    for packaging in packagings {
        let files = pack(std::slice::from_ref(&image.image), packaging).unwrap();
        let archive = bench.write("image.tar", files.tar());
        let named = bench.run(&["scan", "--format", "json", "image.tar"]);
        let piped = bench
            .command(&["scan", "--format", "json", "-"])
            .stdin(Stdio::from(File::open(archive).unwrap()))
            .output()
            .map(Run::from)
            .unwrap();
        for run in [named, piped] {
            assert_eq!(run.code, 1, "{packaging:?} {}", run.stderr);
            let reported = reported(&run);
            let missing: Vec<_> = demanded.difference(&reported).collect();
            let more: Vec<_> = reported.difference(&demanded).collect();
            assert!(
                missing.is_empty() && more.is_empty(),
                "{packaging:?}\nmissing {missing:#?}\nmore {more:#?}"
            );
        }
    }
}
