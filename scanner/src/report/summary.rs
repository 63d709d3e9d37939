//! The run in one line: the end of the text report, and what standard error says when the report goes elsewhere.

use indicatif::{BinaryBytes, HumanCount};
use shared::finding::{Action, Report};

/// The decision and what it rests on, as a person would say it.
pub fn verdict(report: &Report) -> String {
    let verdict = &report.verdict;
    let findings = counts(report);
    let unseen = match verdict.skipped {
        0 => String::new(),
        skipped => format!("; {} not seen", parts(skipped)),
    };
    match verdict.status.as_str() {
        "pass" => format!("Pass: {findings}"),
        "block" => format!("Blocked: {findings}{unseen}"),
        _ => format!("Incomplete: {findings}{unseen}"),
    }
}

/// How many findings there are of each action.
fn counts(report: &Report) -> String {
    let count = |action| report.findings.iter().filter(|finding| finding.action == action).count();
    let mut counts = Vec::new();
    match count(Action::Block) {
        0 => {}
        1 => counts.push("1 finding blocks".to_owned()),
        many => counts.push(format!("{} findings block", HumanCount(many as u64))),
    }
    for (action, word) in [(Action::Report, "reported"), (Action::Suppressed, "suppressed")] {
        match count(action) {
            0 => {}
            many => counts.push(format!("{} {word}", HumanCount(many as u64))),
        }
    }
    if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") }
}

/// What was searched and what was not.
pub fn coverage(report: &Report) -> String {
    let coverage = &report.coverage;
    let mut line = format!(
        "Searched {} ({} stored, {} after unpacking)",
        parts(coverage.blobs),
        BinaryBytes(coverage.bytes_stored),
        BinaryBytes(coverage.bytes_decoded)
    );
    let skipped = coverage.skipped.total;
    let allowed = report.verdict.skipped_allowed;
    for (total, word) in
        [(skipped, "skipped"), (coverage.opaque.total, "opaque"), (coverage.excluded.total, "excluded")]
    {
        if total > 0 {
            line.push_str(&format!(", {} {word}", HumanCount(total)));
        }
    }
    if allowed > 0 {
        line.push_str(&format!(", {} of them allowed by the policy", HumanCount(allowed)));
    }
    line
}

fn parts(count: u64) -> String {
    if count == 1 { "1 part".to_owned() } else { format!("{} parts", HumanCount(count)) }
}
