//! GitLab's secret-detection report, version 15
//! (<https://gitlab.com/gitlab-org/security-products/security-report-schemas>).
//!
//! GitLab asks for a commit and has no place for image layers: files of layers stand under the same relative
//! names as in SARIF. The field for the source text stays empty; a report holds no secret.

use std::io::{self, Write};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use shared::finding::{Action, Finding, Location, Severity};

use super::printable::printable;
use super::{Context, advice, place};

const VERSION: &str = "15.2.1";
/// What GitLab's own analyzer writes where there is no commit.
const NO_COMMIT: &str = "0000000";

/// Writes the report. Suppressed findings are left out: GitLab keeps its own list of dismissed ones.
///
/// # Errors
/// The writer's own.
pub fn write(context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = context.report;
    let tool = json!({
        "id": report.tool.name,
        "name": "Keyturn",
        "version": report.tool.version,
        "vendor": { "name": "Keyturn" },
    });
    let skips = report.coverage.skipped.entries.iter();
    let messages: Vec<Value> = skips
        .map(|skip| {
            json!({ "level": "warn", "value": printable(&format!("not scanned: {}: {}", skip.at, skip.reason.word())) })
        })
        .collect();
    let document = Document {
        scan: json!({
            "analyzer": tool,
            "scanner": tool,
            "type": "secret_detection",
            "start_time": time(context.times.0),
            "end_time": time(context.times.1),
            "status": if report.verdict.skipped == 0 { "success" } else { "failure" },
            "messages": messages,
        }),
        version: VERSION,
        vulnerabilities: Vulnerabilities { context, folder: std::env::current_dir().ok() },
    };
    serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct Document<'a> {
    scan: Value,
    version: &'static str,
    vulnerabilities: Vulnerabilities<'a>,
}

/// One for each place of each finding, made while it is written: all of them together would be ten times the report.
struct Vulnerabilities<'a> {
    context: &'a Context<'a>,
    folder: Option<PathBuf>,
}

impl Serialize for Vulnerabilities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let findings = &self.context.report.findings;
        let ids = place::ids(findings);
        let wanted = findings.iter().zip(&ids).filter(|(finding, _)| finding.action != Action::Suppressed);
        serializer.collect_seq(wanted.flat_map(|(finding, ids)| {
            finding.locations.iter().zip(ids).map(move |(location, id)| {
                let file = place::relative_path(location, self.folder.as_deref());
                vulnerability(self.context, finding, location, &file, id)
            })
        }))
    }
}

fn vulnerability(
    context: &Context<'_>,
    finding: &Finding,
    location: &Location,
    file: &str,
    id: &str,
) -> Value {
    let line = location.line;
    let commit = location.git.as_ref().and_then(|git| git.last.as_ref());
    let rule = context.rule(&finding.rule);
    let mut vulnerability = json!({
        "id": uuid(id),
        "category": "secret_detection",
        "name": context.description(&finding.rule),
        "description": format!("{}. {}", finding.preview, finding.why),
        "severity": match finding.severity {
            Severity::Critical => "Critical",
            Severity::High => "High",
            Severity::Medium => "Medium",
            Severity::Low => "Low",
        },
        "solution": advice::steps(finding, rule).join(" "),
        "identifiers": [{
            "type": "keyturn_rule",
            "name": format!("Keyturn rule {}", finding.rule),
            "value": finding.rule,
        }],
        "location": {
            "file": file,
            "start_line": line,
            "end_line": line,
            "commit": { "sha": commit.map_or(NO_COMMIT, |commit| commit.id.as_str()) },
        },
    });
    let links: Vec<&String> =
        rule.into_iter().flat_map(|rule| rule.revoke.iter().chain(&rule.reference)).collect();
    if !links.is_empty() {
        vulnerability["links"] = links.iter().map(|link| json!({ "url": link })).collect();
    }
    vulnerability
}

/// An id in the form of a UUID, which importers expect, made from the place's own id.
fn uuid(id: &str) -> String {
    let hash = blake3::hash(id.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    // Version 8 of RFC 9562: bits of one's own choice.
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// UTC without a zone, as the schema's pattern wants it.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
