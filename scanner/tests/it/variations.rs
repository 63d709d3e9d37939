//! How the rules do on text that nobody tuned them to: some 4,500 files made from templates, by kind.
//!
//! `variations/positives.txt` and `surroundings.txt` hold credentials as people and programs write them, `negatives.txt`
//! and `ordinary.txt` what only looks like one. A line `:= NAME = a | b` is a list of templates for values (as in rules' examples), `:: name = a | b` a list of
//! plain alternatives; `«NAME»` takes one. In the positives, what is drawn from a name in capitals is the secret: a
//! finding must lie on one of its lines. `== kind xN` begins a kind, each of whose texts is made N times with other
//! words; `---` parts texts; a text may begin with `>> NAME`, the name of its file. The seed is fixed; `KEYTURN_VARIATIONS_SEED` takes another, and
//! `KEYTURN_VARIATIONS_KEEP=FOLDER` keeps the files and a list of what was missed.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use scanner::rules::example;

use crate::program::Bench;

/// The least share found of each kind of credential, in percent, and of all together.
const FOUND_MIN: &[(&str, usize)] = &[("all", 97)];
/// The largest share of files without a credential in which something is reported, in percent.
const REPORTED_MAX: usize = 1;

#[test]
fn credentials_in_many_forms_are_found_and_what_looks_like_one_is_left_alone() {
    let bench = Bench::new();
    let seed = std::env::var("KEYTURN_VARIATIONS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11);
    let cases = |sheets: [&str; 2], seed: u64| -> Vec<Case> {
        sheets.iter().flat_map(|sheet| Sheet::read(sheet).cases(seed)).collect()
    };
    let positives = cases(["positives.txt", "surroundings.txt"], seed);
    let negatives = cases(["negatives.txt", "ordinary.txt"], seed + 1);
    let folder = bench.path("files");
    for (set, cases) in [("positive", &positives), ("negative", &negatives)] {
        for (index, case) in cases.iter().enumerate() {
            bench.write(&format!("files/{}", case.path(set, index)), &case.text);
        }
    }
    let run = bench.run(&["scan", "files", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let mut found: HashMap<String, Vec<(usize, String)>> = HashMap::new();
    for finding in report["findings"].as_array().unwrap() {
        for place in finding["locations"].as_array().unwrap() {
            let path = place["path"].as_str().unwrap();
            let lines =
                (place["line"].as_u64().unwrap() as usize, finding["rule"].as_str().unwrap().to_owned());
            found.entry(path.to_owned()).or_default().push(lines);
        }
    }
    let nothing = Vec::new();
    let hits = |set: &str, index: usize, case: &Case| found.get(&case.path(set, index)).unwrap_or(&nothing);
    let mut table: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    let mut list = String::new();
    for (set, cases) in [("positive", &positives), ("negative", &negatives)] {
        for (index, case) in cases.iter().enumerate() {
            let hit = hits(set, index, case).iter().find(|(line, _)| set == "negative" || case.holds(*line));
            for kind in [case.kind.as_str(), "all"] {
                let count = table.entry((set, kind)).or_default();
                count.0 += usize::from(hit.is_some());
                count.1 += 1;
            }
            match (set, hit) {
                ("positive", None) => writeln!(list, "missed {index:04} {}: {}", case.kind, case.text.trim()),
                ("negative", Some((_, rule))) => {
                    writeln!(list, "false {index:04} {rule} {}: {}", case.kind, case.text.trim())
                }
                _ => Ok(()),
            }
            .unwrap();
        }
    }
    if let Some(keep) = std::env::var_os("KEYTURN_VARIATIONS_KEEP").map(PathBuf::from) {
        let _ = std::fs::remove_dir_all(keep.join("files"));
        std::fs::create_dir_all(&keep).unwrap();
        std::fs::rename(&folder, keep.join("files")).unwrap();
        std::fs::write(keep.join("list.txt"), &list).unwrap();
        let lines = |set: &str, cases: &[Case]| -> String {
            let line = |(index, case): (usize, &Case)| {
                format!("{}\t{}\t{}\t{}\n", case.path(set, index), case.kind, case.lines.0, case.lines.1)
            };
            cases.iter().enumerate().map(line).collect()
        };
        std::fs::write(
            keep.join("cases.tsv"),
            lines("positive", &positives) + &lines("negative", &negatives),
        )
        .unwrap();
    }
    for ((set, kind), (hit, all)) in &table {
        eprintln!("{set:9} {kind:32} {hit:5} of {all:5}  {:5.1} %", *hit as f64 * 100.0 / *all as f64);
    }
    for (kind, least) in FOUND_MIN {
        let (hit, all) = table[&("positive", *kind)];
        assert!(
            hit * 100 >= least * all,
            "{kind}: {hit} of {all} found, which is less than {least} %\n{list}"
        );
    }
    let (reported, all) = table[&("negative", "all")];
    assert!(
        reported * 100 <= REPORTED_MAX * all,
        "{reported} of {all} without a credential are reported\n{list}"
    );
}

/// One file, and the lines where its secret stands (from 1, both included; 0 for none).
struct Case {
    kind: String,
    /// Its file's name, if that matters.
    name: Option<String>,
    text: String,
    lines: (usize, usize),
}

impl Case {
    /// Where it lies in the folder.
    fn path(&self, set: &str, index: usize) -> String {
        match &self.name {
            Some(name) => format!("{set}{index:04}/{name}"),
            None => format!("{set}{index:04}.txt"),
        }
    }

    fn holds(&self, line: usize) -> bool {
        (self.lines.0..=self.lines.1).contains(&line)
    }
}

/// A file of templates.
struct Sheet {
    /// Alternatives by name; whether they are templates of values.
    lists: HashMap<String, (bool, Vec<String>)>,
    /// Kind, rounds, text.
    texts: Vec<(String, usize, String)>,
}

impl Sheet {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/variations").join(name);
        let written = std::fs::read_to_string(path).unwrap();
        let mut sheet = Self { lists: HashMap::new(), texts: Vec::new() };
        let (head, kinds) = written.split_once("\n== ").unwrap();
        for line in head.lines().filter(|line| line.starts_with(':')) {
            let (name, items) = line[2..].split_once(" = ").unwrap();
            let items = items.split(" | ").map(|item| item.trim().to_owned()).collect();
            sheet.lists.insert(name.trim().to_owned(), (line.starts_with(":="), items));
        }
        for kind in kinds.split("\n== ") {
            let (title, texts) = kind.split_once('\n').unwrap();
            let (title, rounds) = title.rsplit_once(" x").unwrap();
            for text in texts.trim_end().split("\n---\n") {
                sheet.texts.push((title.to_owned(), rounds.parse().unwrap(), text.to_owned()));
            }
        }
        sheet
    }

    fn cases(&self, seed: u64) -> Vec<Case> {
        let mut random = example::seeded(seed);
        let mut cases = Vec::new();
        for (kind, rounds, text) in &self.texts {
            let named = text.strip_prefix(">> ").and_then(|named| named.split_once('\n'));
            let (name, text) =
                named.map_or((None, text.as_str()), |(name, text)| (Some(name.to_owned()), text));
            for _ in 0..*rounds {
                let mut made = String::new();
                let mut lines = None;
                self.expand(text, &mut random, &mut made, &mut lines);
                cases.push(Case {
                    kind: kind.clone(),
                    name: name.clone(),
                    text: made + "\n",
                    lines: lines.unwrap_or((0, 0)),
                });
            }
        }
        cases
    }

    /// Replaces each name by one of its alternatives, and notes the lines of those in capitals.
    fn expand(
        &self,
        text: &str,
        random: &mut impl FnMut() -> u64,
        made: &mut String,
        lines: &mut Option<(usize, usize)>,
    ) {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('«') {
            made.push_str(before);
            let (name, after) = after.split_once('»').unwrap();
            let (template, items) = self.lists.get(name).unwrap_or_else(|| panic!("no list {name}"));
            let item = &items[(random() % items.len() as u64) as usize];
            let line = made.lines().count().max(1) + usize::from(made.ends_with('\n'));
            if name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit()) {
                let (first, _) = lines.unwrap_or((line, line));
                *lines = Some((first, line));
            }
            if *template {
                made.push_str(&example::make(item, random).unwrap_or_else(|error| panic!("{item}: {error}")));
            } else {
                // Boxed by the stack only: lists of lists are two deep.
                let inner = self.inner(item, random);
                made.push_str(&inner);
            }
            rest = after;
        }
        made.push_str(rest);
    }

    fn inner(&self, item: &str, random: &mut impl FnMut() -> u64) -> String {
        let Some((before, after)) = item.split_once('«') else { return item.to_owned() };
        let (name, after) = after.split_once('»').unwrap();
        let (_, items) = &self.lists[name];
        let template = &items[(random() % items.len() as u64) as usize];
        format!("{before}{}{after}", example::make(template, random).unwrap())
    }
}
