//! SARIF 2.1.0 (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/>), as GitHub, GitLab and Azure read it.
//!
//! One result for each location, under a relative URI that opens in the repository where there is one; image,
//! layer and archive member are logical locations. Columns count UTF-16 code units. What was not seen is a
//! notification of level `error`, so that no reader takes an incomplete run for a clean one.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use shared::finding::{Action, Confidence, Finding, Location, RuleId, Severity, State};

use super::{Context, RuleInfo, advice, place};

/// What GitHub takes in one file; the strictest of those who read SARIF. More results go into further runs, and what
/// does not fit at all is said in a notification.
/// <https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning>
const RESULTS_A_RUN: usize = 25_000;
const RUNS_MAX: usize = 20;
/// Ten megabytes, less what the compressor there does worse than the one here.
const GZIP_BYTES_MAX: u64 = 9_500_000;
/// Of each run, that many results are shown.
const RESULTS_SHOWN: usize = 5_000;
const TAGS_MAX: usize = 20;
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Writes the report.
///
/// # Errors
/// The writer's own.
pub fn write(context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::new(&mut *out);
    Log(context).serialize(&mut serializer).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

/// The document; results are made one by one while it is written, so that fifty thousand take no memory.
struct Log<'a>(&'a Context<'a>);

impl Serialize for Log<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut results = results(self.0);
        let total = results.len();
        results.truncate(fitting(self.0, &results));
        let left_out = total - results.len();
        let run = |index, results| Run { context: self.0, results, index, total, left_out };
        let mut runs: Vec<_> =
            results.chunks(RESULTS_A_RUN).enumerate().map(|(index, part)| run(index, part)).collect();
        if runs.is_empty() {
            runs.push(run(0, &[]));
        }
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("$schema", SCHEMA)?;
        map.serialize_entry("version", "2.1.0")?;
        map.serialize_entry("runs", &runs)?;
        map.end()
    }
}

/// One location of one finding, with its id.
struct Place<'a> {
    finding: &'a Finding,
    location: &'a Location,
    id: String,
}

/// Every place, the worst first: what is cut off at the end matters least.
fn results<'a>(context: &'a Context<'a>) -> Vec<Place<'a>> {
    let findings = &context.report.findings;
    let ids = place::ids(findings);
    let places = findings.iter().zip(ids).flat_map(|(finding, ids)| {
        finding.locations.iter().zip(ids).map(move |(location, id)| Place { finding, location, id })
    });
    let mut places: Vec<_> = places.collect();
    places.sort_by_key(|place| {
        let Finding { action, severity, confidence, .. } = place.finding;
        (rank(*action), std::cmp::Reverse((*severity, *confidence)))
    });
    places
}

fn rank(action: Action) -> u8 {
    match action {
        Action::Block => 0,
        Action::Report => 1,
        Action::Suppressed => 2,
    }
}

/// How many results, from the first, fit into a file that is accepted.
fn fitting(context: &Context<'_>, results: &[Place<'_>]) -> usize {
    let folder = std::env::current_dir().ok();
    let mut file = GzEncoder::new(Counted(0), Compression::default());
    for (index, place) in results.iter().take(RUNS_MAX * RESULTS_A_RUN).enumerate() {
        // Neither compressing nor counting fails.
        if index % RESULTS_A_RUN == 0 {
            let _ = serde_json::to_writer(&mut file, &invocation(context, &[]));
        }
        let _ = serde_json::to_writer(&mut file, &result(context, place, 0, folder.as_deref()));
        if file.get_ref().0 > GZIP_BYTES_MAX {
            return index;
        }
    }
    results.len().min(RUNS_MAX * RESULTS_A_RUN)
}

/// Counts bytes and keeps none.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Run<'a> {
    context: &'a Context<'a>,
    results: &'a [Place<'a>],
    index: usize,
    /// Of all runs, and of those that were left out.
    total: usize,
    left_out: usize,
}

impl Run<'_> {
    /// What a reader of the file would miss.
    fn limits(&self) -> Vec<Value> {
        let mut said = Vec::new();
        if self.left_out > 0 {
            said.push(json!({
                "level": "warning",
                "message": { "text": format!(
                    "{} of {} results are left out, the least severe: a file may hold {RUNS_MAX} runs of \
                     {RESULTS_A_RUN} results and 10 MB compressed. The JSON report has all.",
                    self.left_out, self.total
                ) },
                "descriptor": { "id": "results-left-out" },
            }));
        }
        if self.results.len() > RESULTS_SHOWN {
            said.push(json!({
                "level": "note",
                "message": { "text": format!(
                    "GitHub shows the first {RESULTS_SHOWN} of the {} results of this run; the most severe come first.",
                    self.results.len()
                ) },
                "descriptor": { "id": "results-not-shown" },
            }));
        }
        said
    }
}

impl Serialize for Run<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.context.report;
        let mut rules: Vec<&RuleId> = self.results.iter().map(|place| &place.finding.rule).collect();
        rules.sort();
        rules.dedup();
        let folder = std::env::current_dir().ok();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "tool",
            &json!({ "driver": {
                "name": report.tool.name,
                "version": report.tool.version,
                "semanticVersion": report.tool.version,
                "rules": rules.iter().map(|id| rule(self.context, id)).collect::<Vec<_>>(),
                "properties": { "rulesHash": report.tool.rules },
            }}),
        )?;
        map.serialize_entry("invocations", &[invocation(self.context, &self.limits())])?;
        map.serialize_entry("columnKind", "utf16CodeUnits")?;
        // The category under which code hosts keep the runs of one file apart.
        map.serialize_entry("automationDetails", &json!({ "id": format!("keyturn/{}/", self.index) }))?;
        map.serialize_entry("results", &Results { run: self, rules: &rules, folder: folder.as_deref() })?;
        map.serialize_entry(
            "properties",
            &json!({
                "verdict": report.verdict,
                "keyId": report.key_id,
                "fingerprintsStable": report.stable,
                "targets": report.targets,
            }),
        )?;
        map.end()
    }
}

struct Results<'a> {
    run: &'a Run<'a>,
    rules: &'a [&'a RuleId],
    folder: Option<&'a Path>,
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let results = self.run.results.iter().map(|place| {
            let rule = self.rules.binary_search(&&place.finding.rule).unwrap_or_default();
            result(self.run.context, place, rule, self.folder)
        });
        serializer.collect_seq(results)
    }
}

fn result(context: &Context<'_>, place: &Place<'_>, rule_index: usize, folder: Option<&Path>) -> Value {
    let (finding, location) = (place.finding, place.location);
    let mut fingerprints = json!({ "keyturnPlace/v1": place.id });
    if context.report.stable {
        fingerprints["keyturnSecret/v1"] = json!(finding.fingerprint);
    }
    let mut result = json!({
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": level(finding.action),
        "message": { "text": plain(&message(context, finding, location)) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": place::uri(location, folder) },
                "region": {
                    "startLine": location.line,
                    "startColumn": location.column_utf16.unwrap_or(location.column),
                },
            },
            "logicalLocations": logical(location),
        }],
        "partialFingerprints": fingerprints,
        "properties": {
            "confidence": finding.confidence,
            "severity": finding.severity,
            "credential": finding.credential,
            "state": location.state,
            "inherited": location.inherited,
            "byteStart": location.byte_start,
            "byteEnd": location.byte_end,
            "decoded": location.decoded,
        },
    });
    if let Some(git) = &location.git {
        result["properties"]["git"] = json!(git);
    }
    if finding.action == Action::Suppressed {
        result["suppressions"] =
            json!([{ "kind": "external", "status": "accepted", "justification": finding.why }]);
    }
    result
}

fn message(context: &Context<'_>, finding: &Finding, location: &Location) -> String {
    let mut message = format!(
        "{} ({}): {}.",
        context.description(&finding.rule),
        finding.confidence.word(),
        finding.preview
    );
    if let Some(layer) = &location.layer {
        message.push_str(&format!(" In layer {}", layer.index));
        if let Some(step) = &layer.created_by {
            message.push_str(&format!(", made by: {}", super::printable::shortened(step.trim(), 200)));
        }
        message.push('.');
    }
    if location.state != State::Visible || location.git.is_some() {
        message.push_str(&place::state_sentence(location).map(|s| format!(" {s}")).unwrap_or_default());
    }
    for step in advice::steps(finding, context.rule(&finding.rule)) {
        message.push(' ');
        message.push_str(&step);
    }
    message
}

/// In a message, brackets make a link and braces a placeholder: text of a target must make neither.
fn plain(text: &str) -> String {
    let text = super::printable::printable(text);
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace('{', "{{").replace('}', "}}")
}

fn logical(location: &Location) -> Vec<Value> {
    let mut logical = Vec::new();
    let mut qualified = location.target.clone();
    let mut push = |kind: &str, name: &str| {
        qualified.push_str("::");
        qualified.push_str(name);
        logical.push(json!({ "name": name, "kind": kind, "fullyQualifiedName": qualified }));
    };
    if let Some(image) = &location.image {
        push("image", image.tags.first().unwrap_or(&image.digest));
    }
    if let Some(layer) = &location.layer {
        push("layer", &layer.digest);
    }
    push("resource", &location.path);
    for entry in &location.entries {
        push("member", entry);
    }
    logical
}

fn rule(context: &Context<'_>, id: &RuleId) -> Value {
    let Some(info) = context.rule(id) else {
        return json!({ "id": id });
    };
    let best = context.report.findings.iter().filter(|finding| finding.rule == *id);
    let precision = match best.map(|finding| finding.confidence).max() {
        Some(Confidence::Known | Confidence::Checked) => "very-high",
        Some(Confidence::Shaped) => "high",
        Some(Confidence::Guessed) | None => "medium",
    };
    let mut tags = vec!["security".to_owned(), "secret".to_owned()];
    tags.extend(info.tags.iter().cloned());
    tags.dedup();
    tags.truncate(TAGS_MAX);
    let help = help(info);
    let mut rule = json!({
        "id": id,
        "name": id,
        "shortDescription": { "text": info.description },
        "fullDescription": { "text": info.description },
        "help": { "text": help.0, "markdown": help.1 },
        "defaultConfiguration": { "level": "error" },
        "properties": {
            "tags": tags,
            "precision": precision,
            "security-severity": security_severity(info.severity),
        },
    });
    if let Some(reference) = &info.reference {
        rule["helpUri"] = json!(reference);
    }
    rule
}

/// The help of a rule as text and as markdown.
fn help(info: &RuleInfo) -> (String, String) {
    let mut text =
        format!("{}. Revoke it, issue a new one, and take it out of the file or layer.", info.description);
    let mut markdown = format!(
        "**{}**\n\n1. Revoke it and issue a new one.\n2. Take it out of the file; in an image, build the layer \
         again without it (a later layer that deletes it does not help).\n",
        info.description
    );
    for (word, link) in [("Revoke", &info.revoke), ("Format", &info.reference)] {
        if let Some(link) = link {
            text.push_str(&format!(" {word}: {link}"));
            markdown.push_str(&format!("\n{word}: <{link}>\n"));
        }
    }
    (text, markdown)
}

/// The numbers by which GitHub sorts: critical above 9, high from 7, medium from 4.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.0",
        Severity::Low => "3.0",
    }
}

fn level(action: Action) -> &'static str {
    match action {
        Action::Block => "error",
        Action::Report => "warning",
        Action::Suppressed => "note",
    }
}

fn invocation(context: &Context<'_>, limits: &[Value]) -> Value {
    let coverage = &context.report.coverage;
    let notification = |level: &str, id: &str, at: &str, detail: Option<&str>| {
        let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
        json!({
            "level": level,
            "message": { "text": plain(&format!("{at}: {id}{detail}")) },
            "descriptor": { "id": id },
        })
    };
    let mut notifications: Vec<Value> = coverage
        .skipped
        .entries
        .iter()
        .map(|e| notification("error", e.reason.word(), &e.at, e.detail.as_deref()))
        .collect();
    let opaque = coverage.opaque.entries.iter();
    notifications
        .extend(opaque.map(|e| notification("warning", e.reason.word(), &e.at, e.detail.as_deref())));
    let notices = context.report.notices.iter();
    notifications
        .extend(notices.map(|notice| json!({ "level": "note", "message": { "text": plain(notice) } })));
    notifications.extend_from_slice(limits);
    json!({
        "executionSuccessful": context.report.verdict.skipped == 0,
        "startTimeUtc": context.times.0,
        "endTimeUtc": context.times.1,
        "toolExecutionNotifications": notifications,
    })
}
