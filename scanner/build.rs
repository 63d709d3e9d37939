//! Turns `rules/*.toml` into the table that the program carries: parsed, checked and analysed once, when the
//! program is built, so that its start costs neither TOML nor expressions. A bad rule stops the build.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[path = "src/rules/definition.rs"]
#[allow(dead_code)] // The build uses a part of what it shares with the program.
mod definition;
#[path = "src/rules/literals.rs"]
#[allow(dead_code)]
mod literals;
#[path = "src/rules/load.rs"]
#[allow(dead_code)]
mod load;
#[path = "src/rules/strings.rs"]
#[allow(dead_code)]
mod strings;
#[path = "src/rules/tail.rs"]
mod tail;

fn main() -> ExitCode {
    match table() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in problems {
                // The way in which a build script speaks to its user.
                #[allow(clippy::print_stdout)]
                {
                    println!("cargo::error={problem}");
                }
            }
            ExitCode::FAILURE
        }
    }
}

fn table() -> Result<(), Vec<String>> {
    let told = |error: &dyn std::fmt::Display| vec![error.to_string()];
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default().join("rules");
    #[allow(clippy::print_stdout)]
    {
        println!("cargo::rerun-if-changed=rules");
        println!("cargo::rerun-if-changed=src/rules");
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(&root)
        .map_err(|error| vec![format!("{}: {error}", root.display())])?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for file in &files {
        let name = format!("rules/{}", name_of(file));
        let text = std::fs::read_to_string(file).map_err(|error| vec![format!("{name}: {error}")])?;
        let (read, told) = load::read(&name, &text);
        rules.extend(read);
        problems.extend(told.into_iter().filter(|problem| problem.fatal).map(|problem| problem.to_string()));
    }
    let mut ids = std::collections::BTreeSet::new();
    for rule in &rules {
        if !ids.insert(rule.definition.id.as_str()) {
            problems.push(format!("rules: the id `{}` is used twice", rule.definition.id));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let deal = strings::deal(&strings::entries(rules.iter().map(|rule| &rule.anchors)));
    let table = serde_json::to_vec(&(&rules, &deal)).map_err(|error| told(&error))?;
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default().join("rules.json");
    std::fs::write(&out, table).map_err(|error| told(&error))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
