//! GitHub workflow commands: annotations in the log of a job.
//!
//! Format: <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>. A line feed in a
//! message would let a file name start a command of its own; it is escaped as the format asks.

use std::io::{self, Write};

use shared::finding::Action;

use super::printable::printable;
use super::{Context, advice, place, summary};

/// GitHub shows ten annotations of each level a step; more only fill the log.
const ANNOTATIONS_MAX: usize = 50;

/// Writes one annotation for each finding that is not suppressed, then the verdict.
///
/// # Errors
/// The writer's own.
pub fn write(context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = context.report;
    let folder = std::env::current_dir().ok();
    let shown = report.findings.iter().filter(|finding| finding.action != Action::Suppressed);
    for finding in shown.take(ANNOTATIONS_MAX) {
        let Some(location) = finding.locations.first() else { continue };
        let level = if finding.action == Action::Block { "error" } else { "warning" };
        let message = format!(
            "{} in {}. {}",
            finding.preview,
            place::phrase(location),
            advice::steps(finding, context.rule(&finding.rule)).join(" ")
        );
        writeln!(
            out,
            "::{level} file={},line={},col={},title={}::{}",
            property(&place::relative_path(location, folder.as_deref())),
            location.line,
            location.column,
            property(context.description(&finding.rule)),
            data(&printable(&message))
        )?;
    }
    let skips = report.coverage.skipped.entries.iter().take(ANNOTATIONS_MAX);
    for skip in skips {
        let message = format!("not scanned: {}: {}", skip.at, skip.reason.word());
        writeln!(out, "::warning title=Not scanned::{}", data(&printable(&message)))?;
    }
    writeln!(out, "::notice title=Keyturn::{}", data(&summary::verdict(report)))
}

/// Escapes a message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property, which ends at a comma or colon.
fn property(text: &str) -> String {
    data(&printable(text)).replace(':', "%3A").replace(',', "%2C")
}
