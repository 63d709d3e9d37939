//! The commands besides `scan`: rules, explanations, baselines, schema, completions, man pages. Each writes to
//! standard output and ends.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use shared::exit::Exit;
use shared::finding::Report;

use crate::attest::{AttestArgs, AttestError};
use crate::baseline::commands::{BaselineCommand, BaselineError};
use crate::cli::{Cli, RuleSource, RulesCommand};
use crate::report::destination::{Destination, DestinationError};
use crate::report::read::{self, ReadError};
use crate::rules::definition::{self, Definition};
use crate::rules::{Rule, RuleSet, RulesError, foreign, proof};
use crate::suggest::did_you_mean;
use crate::{attest, baseline, console, explain};

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The rules are wrong.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// There is no such rule.
    #[error("there is no rule `{name}`{near}; `scanner rules list` names them all")]
    UnknownRule {
        /// What was typed.
        name: String,
        /// What was probably meant, as the end of the sentence.
        near: String,
    },
    /// The report that was named.
    #[error(transparent)]
    Report(#[from] ReadError),
    /// An attestation.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// A baseline.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// The output could not be written.
    #[error(transparent)]
    Output(#[from] DestinationError),
    /// The man pages could not be written.
    #[error("the man pages could not be written to {}: {source}", folder.display())]
    ManPages {
        /// The folder that was named.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Runs a command on rules.
///
/// # Errors
/// When the rules or the output fail.
pub fn rules(command: &RulesCommand) -> Result<Exit, CommandError> {
    match command {
        RulesCommand::List(source) => {
            let rules = load(source)?;
            let lines = rules.iter().map(|(_, rule)| list_line(rule)).collect::<String>();
            print(&lines)
        }
        RulesCommand::Show { rule, source } => {
            let rules = load(source)?;
            let Some((_, found)) = rules.find(rule) else {
                let names = rules.iter().map(|(_, rule)| rule.id.0.as_str());
                let near = did_you_mean(rule, names);
                return Err(CommandError::UnknownRule { name: rule.clone(), near });
            };
            print(&file_of([&found.definition]))
        }
        RulesCommand::Check { paths } => {
            let rules = with_warnings(RuleSet::load(paths, false)?);
            print(&format!("{} rules, no mistake\n", rules.len()))
        }
        RulesCommand::Import { paths } => import(paths),
        RulesCommand::Test { paths } => test(paths),
    }
}

fn load(source: &RuleSource) -> Result<RuleSet, RulesError> {
    RuleSet::load(&source.rules, !source.no_default_rules).map(with_warnings)
}

fn with_warnings(rules: RuleSet) -> RuleSet {
    for warning in &rules.warnings {
        console::say(&warning.to_string());
    }
    rules
}

fn list_line(rule: &Rule) -> String {
    let (severity, confidence) = (rule.severity.word(), rule.confidence.word());
    format!("{:<36} {severity:<8} {confidence:<7} {}\n", rule.id.0, rule.definition.description)
}

/// Rules as a file of ours: what it says can be loaded again.
fn file_of<'r>(rules: impl IntoIterator<Item = &'r Definition>) -> String {
    #[derive(serde::Serialize)]
    struct File<'r> {
        version: u32,
        rule: Vec<&'r Definition>,
    }
    let file = File { version: definition::VERSION, rule: rules.into_iter().collect() };
    // Tables of strings and numbers: they always serialise.
    toml::to_string_pretty(&file).unwrap_or_default()
}

/// The rules of other programs' files as a file of ours, on standard output; what is lost on standard error.
fn import(paths: &[PathBuf]) -> Result<Exit, CommandError> {
    let mut rules = Vec::new();
    for path in paths {
        let imported = foreign::import(path)?;
        for problem in &imported.problems {
            console::say(&problem.to_string());
        }
        console::say(&format!(
            "{}: {} of {} rules carried over",
            path.display(),
            imported.rules.len(),
            imported.seen
        ));
        rules.extend(imported.rules.into_iter().map(|loaded| loaded.definition));
    }
    print(&file_of(&rules))
}

fn test(paths: &[PathBuf]) -> Result<Exit, CommandError> {
    let rules = with_warnings(RuleSet::load(paths, false)?);
    let mut wanting = String::new();
    for (_, rule) in rules.iter() {
        if let Some(what) = proof::wanting(rule) {
            let _ = writeln!(wanting, "{}: {what}", rule.id);
        }
    }
    let count = rules.len();
    let engine = proof::engine(rules)?;
    let failures = proof::prove(&engine);
    let mut text = wanting;
    for failure in &failures {
        let _ = writeln!(text, "{failure}");
    }
    let _ = writeln!(text, "{count} rules, {} failures", failures.len());
    print(&text)?;
    Ok(if failures.is_empty() { Exit::Done } else { Exit::Blocked })
}

/// Tells of one finding of a report.
///
/// # Errors
/// When the report, the rules or the output fail, or there is no such finding.
pub fn explain(name: &str, report: &Path, source: &RuleSource) -> Result<Exit, CommandError> {
    let rules = load(source)?;
    let read = read::report(report)?;
    let findings = read::pick(&read, name)?;
    print(&explain::text(&read, &findings, &rules, &report.display().to_string()))
}

/// Signs what a scan saw, or checks such a signature.
///
/// # Errors
/// When a file cannot be used, or an attestation proves nothing.
pub fn attest(args: &AttestArgs) -> Result<Exit, CommandError> {
    let (text, exit) = attest::run(args)?;
    print(&text)?;
    Ok(exit)
}

/// Works on a baseline.
///
/// # Errors
/// When a file or the output fails.
pub fn baseline(command: &BaselineCommand) -> Result<Exit, CommandError> {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let said = baseline::commands::run(command, today)?;
    for note in &said.notes {
        console::say(note);
    }
    print(&said.out)
}

/// Prints the JSON Schema of the report.
///
/// # Errors
/// When the output fails.
pub fn schema() -> Result<Exit, CommandError> {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("title".to_owned(), "Report of the Keyturn scanner, version 1".into());
    // A schema is JSON already.
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    print(&format!("{text}\n"))
}

/// Prints completions for a shell.
///
/// # Errors
/// When the output fails.
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, CommandError> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "scanner", &mut text);
    Ok(written(Destination::Stdout.write(|out| out.write_all(&text)))?)
}

/// Prints the man page, or writes one for each command into a folder.
///
/// # Errors
/// When the output fails.
pub fn man(folder: Option<&Path>) -> Result<Exit, CommandError> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        // Writing to memory cannot fail.
        let _ = clap_mangen::Man::new(Cli::command()).render(&mut page);
        return Ok(written(Destination::Stdout.write(|out| out.write_all(&page)))?);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|source| CommandError::ManPages { folder: folder.to_owned(), source })?;
    Ok(Exit::Done)
}

fn print(text: &str) -> Result<Exit, CommandError> {
    Ok(written(Destination::Stdout.write(|out| out.write_all(text.as_bytes())))?)
}

/// A reader that has seen enough (`| head`) is no failure.
fn written(result: Result<(), DestinationError>) -> Result<Exit, DestinationError> {
    match result {
        Ok(()) | Err(DestinationError::BrokenPipe) => Ok(Exit::Done),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::file_of;
    use crate::rules::RuleSet;

    #[test]
    fn what_is_shown_of_rules_can_be_loaded_again() {
        let rules = RuleSet::embedded().unwrap();
        let text = file_of(rules.iter().map(|(_, rule)| &rule.definition));
        let again = RuleSet::from_text("shown", &text).unwrap();
        assert_eq!(again.len(), rules.len());
        for ((_, rule), (_, shown)) in rules.iter().zip(again.iter()) {
            assert_eq!(format!("{:?}", shown.definition), format!("{:?}", rule.definition));
        }
    }
}
