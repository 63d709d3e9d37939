//! Policies and baselines as they are written, in TOML. Every mistake of a file is told at once, with its place.

use std::path::Path;

use serde::de::DeserializeOwned;
use shared::config::{Place, Problems, Source};
use shared::fingerprint::KeyId;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::written::{AcceptLiveText, AllowSkipText, BlockText, Mistakes, OverrideText, SuppressText};
use super::{OpaqueMeans, Policy};

/// The version that this code reads.
const VERSION: i64 = 1;
/// Reads a policy.
///
/// # Errors
/// Every mistake of the file.
pub fn policy(path: &Path) -> Result<Policy, Problems> {
    parse_policy(&read(path)?)
}

/// Reads a baseline: the suppressions that it holds, and the key of their fingerprints.
///
/// # Errors
/// Every mistake of the file.
pub fn baseline(path: &Path) -> Result<Policy, Problems> {
    parse_baseline(&read(path)?)
}

/// Parses a baseline.
///
/// # Errors
/// Every mistake of the text.
pub fn parse_baseline(source: &Source) -> Result<Policy, Problems> {
    let mut reader = Reader::new(source);
    let mut policy = Policy::default();
    for (key, value) in reader.entries(&["version", "key_id", "suppress"]) {
        reader.shared_entry(&mut policy, &key, value);
    }
    reader.finish(policy)
}

fn read(path: &Path) -> Result<Source, Problems> {
    let mut problems = Problems::new();
    Source::read(path, &mut problems).ok_or(problems)
}

/// Parses a policy.
///
/// # Errors
/// Every mistake of the text.
pub fn parse_policy(source: &Source) -> Result<Policy, Problems> {
    let mut reader = Reader::new(source);
    let mut policy = Policy::default();
    let known = ["version", "key_id", "block", "override", "allow_skip", "suppress", "accept_live", "limits"];
    for (key, value) in reader.entries(&known) {
        match key.as_str() {
            "block" => {
                if let Some(block) = reader.read::<BlockText>(value) {
                    policy.severity = block.severity;
                    policy.confidence = block.confidence.into();
                }
            }
            "override" => {
                for element in reader.elements(value, "[[override]]") {
                    let exception = reader.with_place(element, OverrideText::resolve);
                    policy.overrides.extend(exception);
                }
            }
            "allow_skip" => {
                for element in reader.elements(value, "[[allow_skip]]") {
                    policy.allow_skips.extend(reader.with_place(element, AllowSkipText::resolve));
                }
            }
            "accept_live" => {
                for element in reader.elements(value, "[[accept_live]]") {
                    policy.accepted_live.extend(reader.with_place(element, AcceptLiveText::resolve));
                }
            }
            "limits" => reader.limits(&mut policy, value),
            _ => reader.shared_entry(&mut policy, &key, value),
        }
    }
    reader.finish(policy)
}

/// Walks a document and collects what is wrong.
struct Reader<'t> {
    source: &'t Source,
    problems: Problems,
    has_version: bool,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl<'t> Reader<'t> {
    fn new(source: &'t Source) -> Self {
        Self { source, problems: Problems::new(), has_version: false }
    }

    fn mistake(&mut self, offset: usize, what: impl Into<String>) {
        let place = Place::of_byte(self.source.text(), offset);
        self.problems.push(self.source.problem(place, what, ""));
    }

    fn toml_mistake(&mut self, error: &toml::de::Error) {
        let offset = error.span().map_or(0, |span| span.start);
        self.mistake(offset, unquoted(error.message()));
    }

    /// The top of the document; keys that nobody knows are mistakes.
    fn entries(&mut self, known: &[&str]) -> Vec<(String, Value<'t>)> {
        let (table, errors) = DeTable::parse_recoverable(self.source.text());
        for error in &errors {
            self.toml_mistake(error);
        }
        let mut entries = Vec::new();
        for (key, value) in table.into_inner() {
            if known.contains(&key.get_ref().as_ref()) {
                entries.push((key.get_ref().to_string(), value));
            } else {
                let message =
                    format!("unknown key `{}`: expected one of {}", key.get_ref(), known.join(", "));
                self.mistake(key.span().start, message);
            }
        }
        entries
    }

    fn elements(&mut self, value: Value<'t>, example: &str) -> Vec<Value<'t>> {
        let offset = value.span().start;
        match value.into_inner() {
            DeValue::Array(array) => array.into_iter().collect(),
            _ => {
                self.mistake(offset, format!("expected an array of tables: write {example}"));
                Vec::new()
            }
        }
    }

    fn read<T: DeserializeOwned>(&mut self, value: Value<'t>) -> Option<T> {
        let start = value.span().start;
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(read) => Some(read),
            Err(error) => {
                let offset = error.span().map_or(start, |span| span.start);
                self.mistake(offset, unquoted(error.message()));
                None
            }
        }
    }

    /// Reads an element and makes it valid; each mistake stands where its element begins or more exactly.
    fn with_place<T: DeserializeOwned, V>(
        &mut self,
        value: Value<'t>,
        resolve: impl Fn(T, &mut Mistakes) -> Option<V>,
    ) -> Option<V> {
        let start = value.span().start;
        let read = self.read::<T>(value)?;
        let mut mistakes = Mistakes::new();
        let resolved = resolve(read, &mut mistakes);
        for (offset, message) in mistakes {
            self.mistake(offset.unwrap_or(start), message);
        }
        resolved
    }

    /// What policies and baselines have in common.
    fn shared_entry(&mut self, policy: &mut Policy, key: &str, value: Value<'t>) {
        let start = value.span().start;
        match key {
            "version" => {
                self.has_version = true;
                if let Some(version) = self.read::<i64>(value)
                    && version != VERSION
                {
                    self.mistake(start, format!("version {version} is not known: write version = {VERSION}"));
                }
            }
            "key_id" => match self.read::<String>(value).map(|text| text.parse::<KeyId>()) {
                Some(Ok(key_id)) => policy.key_id = Some(key_id),
                Some(Err(error)) => self.mistake(start, error.to_string()),
                None => {}
            },
            _ => {
                for element in self.elements(value, "[[suppress]]") {
                    policy.suppressions.extend(self.with_place(element, SuppressText::resolve));
                }
            }
        }
    }

    fn limits(&mut self, policy: &mut Policy, value: Value<'t>) {
        let offset = value.span().start;
        let DeValue::Table(table) = value.into_inner() else {
            return self.mistake(offset, "expected a table: write [limits]");
        };
        for (key, value) in table {
            let start = value.span().start;
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.as_str().to_owned(),
                _ => {
                    self.mistake(start, "expected a number or a text such as \"96MiB\"");
                    continue;
                }
            };
            match (key.get_ref().as_ref(), text.as_str()) {
                ("opaque", "report") => policy.opaque = OpaqueMeans::Report,
                ("opaque", "incomplete") => policy.opaque = OpaqueMeans::Incomplete,
                ("opaque", _) => self.mistake(start, "expected \"report\" or \"incomplete\""),
                (name, _) => policy.limits.push((name.to_owned(), text)),
            }
        }
    }

    fn finish(mut self, policy: Policy) -> Result<Policy, Problems> {
        if !self.has_version && self.problems.is_empty() {
            self.mistake(0, format!("no version: write version = {VERSION} at the top"));
        }
        let fingerprints = !policy.suppressions.is_empty() || !policy.accepted_live.is_empty();
        if fingerprints && policy.key_id.is_none() {
            self.mistake(
                0,
                "fingerprints need key_id, the key that they were made under; the report names it",
            );
        }
        self.problems.unless_any(policy)
    }
}

/// A parser's message without the value that it met: what was pasted into the wrong place may be a secret.
fn unquoted(message: &str) -> String {
    let message = message.replace('\n', " ");
    let quotes = ["invalid type: ", "invalid value: ", "unknown variant "];
    match message.find("expected ") {
        Some(at) if quotes.iter().any(|quote| message.starts_with(quote)) => message[at..].to_owned(),
        _ => message,
    }
}
