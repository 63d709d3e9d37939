//! JSON and JSON Lines.

use std::io::{self, Write};

use serde::Serialize;
use shared::coverage::Coverage;
use shared::finding::{Finding, Report, Tool, VerdictReport};
use shared::fingerprint::KeyId;

/// Writes the whole report, version 1, indented, with a line feed at its end.
///
/// # Errors
/// The writer's own.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

/// One line of JSON Lines.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    /// One finding.
    Finding(&'a Finding),
    /// The last line: a file without it was cut off.
    Summary {
        version: u32,
        tool: &'a Tool,
        key_id: KeyId,
        stable: bool,
        targets: &'a [String],
        verdict: &'a VerdictReport,
        coverage: &'a Coverage,
        notices: &'a [String],
    },
}

/// Writes one object a line: each finding, then the summary.
///
/// # Errors
/// The writer's own.
pub fn write_lines(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let summary = Line::Summary {
        version: report.version,
        tool: &report.tool,
        key_id: report.key_id,
        stable: report.stable,
        targets: &report.targets,
        verdict: &report.verdict,
        coverage: &report.coverage,
        notices: &report.notices,
    };
    for line in report.findings.iter().map(Line::Finding).chain(std::iter::once(summary)) {
        serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
