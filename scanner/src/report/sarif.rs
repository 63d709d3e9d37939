//! SARIF 2.1.0 (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/>), as GitHub, GitLab and Azure read it.
//!
//! One result for each location, under a relative URI that opens in the repository where there is one; image,
//! layer and archive member are logical locations. Columns count UTF-16 code units. What was not seen is a
//! notification of level `error`, so that no reader takes an incomplete run for a clean one.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use shared::finding::{Action, Confidence, Finding, Location, RuleId, Severity, State};

use super::{Context, RuleInfo, advice, place};

/// GitHub takes this many results in one run; the rest goes into further runs of the same file.
/// <https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning>
const RESULTS_A_RUN: usize = 25_000;
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
        let results = results(self.0);
        let runs: Vec<_> = if results.is_empty() {
            vec![Run { context: self.0, results: &[], index: 0 }]
        } else {
            let chunks = results.chunks(RESULTS_A_RUN).enumerate();
            chunks.map(|(index, results)| Run { context: self.0, results, index }).collect()
        };
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

fn results<'a>(context: &'a Context<'a>) -> Vec<Place<'a>> {
    let findings = &context.report.findings;
    let ids = place::ids(findings);
    findings
        .iter()
        .zip(ids)
        .flat_map(|(finding, ids)| {
            finding.locations.iter().zip(ids).map(move |(location, id)| Place { finding, location, id })
        })
        .collect()
}

struct Run<'a> {
    context: &'a Context<'a>,
    results: &'a [Place<'a>],
    index: usize,
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
        map.serialize_entry("invocations", &[invocation(self.context)])?;
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
    folder: Option<&'a std::path::Path>,
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.run.results.iter().map(|place| self.result(place)))
    }
}

impl Results<'_> {
    fn result(&self, place: &Place<'_>) -> Value {
        let (finding, location) = (place.finding, place.location);
        let context = self.run.context;
        let mut fingerprints = json!({ "keyturnPlace/v1": place.id });
        if context.report.stable {
            fingerprints["keyturnSecret/v1"] = json!(finding.fingerprint);
        }
        let mut result = json!({
            "ruleId": finding.rule,
            "ruleIndex": self.rules.binary_search(&&finding.rule).unwrap_or_default(),
            "level": level(finding.action),
            "message": { "text": plain(&message(context, finding, location)) },
            "locations": [{
                "physicalLocation": {
                    "artifactLocation": { "uri": place::uri(location, self.folder) },
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
        if finding.action == Action::Suppressed {
            result["suppressions"] =
                json!([{ "kind": "external", "status": "accepted", "justification": finding.why }]);
        }
        result
    }
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
    if location.state != State::Visible {
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

fn invocation(context: &Context<'_>) -> Value {
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
    json!({
        "executionSuccessful": context.report.verdict.skipped == 0,
        "startTimeUtc": context.times.0,
        "endTimeUtc": context.times.1,
        "toolExecutionNotifications": notifications,
    })
}
