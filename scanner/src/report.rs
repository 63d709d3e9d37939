//! Reports: one run, written in any number of formats.
//!
//! Every format reads the same [`Report`], whose strings have passed the redactor; no writer sees the target
//! itself. What comes from a target is data in every format: control characters never reach a terminal, and
//! markup is escaped in HTML, XML, SARIF messages and workflow commands.

pub mod advice;
pub mod destination;
pub mod github;
pub mod gitlab;
pub mod html;
pub mod json;
pub mod junit;
pub mod place;
pub mod printable;
pub mod read;
pub mod sarif;
pub mod summary;
pub mod text;

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use shared::finding::{Report, RuleId, Severity};

use crate::rules::Rule;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: by layer and file, with what to do.
    Text,
    /// The whole report, version 1 (`scanner schema` prints its JSON Schema).
    Json,
    /// One finding a line, then one line with the verdict and the coverage.
    Jsonl,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// `JUnit` XML, for test views.
    Junit,
    /// GitLab's secret-detection report.
    Gitlab,
    /// GitHub workflow annotations, for the log of a job.
    Github,
    /// One page for a browser, with everything in it; it needs no network.
    Html,
}

/// What a report says about a rule besides its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// What the rule finds, in words.
    pub description: String,
    /// Harm, if valid.
    pub severity: Severity,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// The provider's page on the format.
    pub reference: Option<String>,
    /// The provider's page on which a credential is revoked.
    pub revoke: Option<String>,
}

impl RuleInfo {
    /// What a report says about this rule.
    pub fn of(rule: &Rule) -> Self {
        let definition = &rule.definition;
        Self {
            description: definition.description.clone(),
            severity: rule.severity,
            tags: definition.tags.clone(),
            reference: definition.reference.clone(),
            revoke: definition.revoke.clone(),
        }
    }
}

/// The rules that a report speaks of.
pub type Catalogue = BTreeMap<RuleId, RuleInfo>;

/// How text for people looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether colours and links may be written.
    pub styled: bool,
    /// Columns to wrap prose at; paths are never broken.
    pub width: usize,
}

/// Everything that a writer may use.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The run.
    pub report: &'a Report,
    /// The rules of its findings.
    pub rules: &'a Catalogue,
    /// For the text report.
    pub look: Look,
    /// When the run began and ended.
    pub times: (Timestamp, Timestamp),
}

impl Context<'_> {
    /// The rule of a finding, if the catalogue has it.
    pub fn rule(&self, id: &RuleId) -> Option<&RuleInfo> {
        self.rules.get(id)
    }

    /// What a rule finds, in words; its name where nothing better is known.
    pub fn description<'a>(&'a self, id: &'a RuleId) -> &'a str {
        self.rule(id).map_or(id.0.as_str(), |rule| rule.description.as_str())
    }
}

/// Writes a report in one format.
///
/// # Errors
/// The writer's own errors, unchanged: the caller knows whether a broken pipe matters.
pub fn write(format: Format, context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => text::write(context, out),
        Format::Json => json::write(context.report, out),
        Format::Jsonl => json::write_lines(context.report, out),
        Format::Sarif => sarif::write(context, out),
        Format::Junit => junit::write(context, out),
        Format::Gitlab => gitlab::write(context, out),
        Format::Github => github::write(context, out),
        Format::Html => html::write(context, out),
    }
}

#[cfg(test)]
pub(crate) mod tests;
