//! The commands besides `scan`: rules, schema, completions. Each writes to standard output and ends.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::CommandFactory;
use shared::exit::Exit;
use shared::finding::Report;

use crate::cli::{Cli, RuleSource, RulesCommand};
use crate::console;
use crate::report::destination::{Destination, DestinationError};
use crate::rules::{Rule, RuleSet, RulesError, proof};

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The rules are wrong.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// There is no such rule.
    #[error("there is no rule `{name}`{}; `scanner rules list` names them all", .near.as_ref().map(|near| format!(": did you mean `{near}`?")).unwrap_or_default())]
    UnknownRule {
        /// What was typed.
        name: String,
        /// The nearest name.
        near: Option<String>,
    },
    /// The output could not be written.
    #[error(transparent)]
    Output(#[from] DestinationError),
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
                return Err(CommandError::UnknownRule { name: rule.clone(), near: nearest(rule, names) });
            };
            print(&show(found))
        }
        RulesCommand::Check { paths } => {
            let rules = with_warnings(RuleSet::load(paths, false)?);
            print(&format!("{} rules, no mistake\n", rules.len()))
        }
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

fn show(rule: &Rule) -> String {
    // A definition is tables of strings and numbers: it always serialises.
    let mut text = String::from("[[rule]]\n");
    let _ = write!(text, "{}", toml::to_string_pretty(&rule.definition).unwrap_or_default());
    text
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

/// The name that was probably meant.
fn nearest<'n>(typed: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let scored = names.map(|name| (strsim::jaro_winkler(typed, name), name));
    // Below this, a suggestion puzzles more than it helps.
    let near = scored.filter(|(score, _)| *score > 0.8);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name.to_owned())
}
