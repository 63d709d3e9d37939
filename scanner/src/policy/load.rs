//! Policies and baselines as they are written, in TOML. Every mistake of a file is told at once, with its place.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::config::{Place, Problems, Source};
use shared::finding::{Confidence, Severity, State};
use shared::fingerprint::KeyId;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::pattern::Patterns;
use super::{
    Acceptance, AllowSkip, OpaqueMeans, Override, OverrideAction, Policy, Suppression, Threshold, When,
};

/// The version that this code reads.
const VERSION: i64 = 1;
/// Words of skips and opaque parts, for a message that helps.
const REASONS: [&str; 14] = [
    "encrypted",
    "corrupt",
    "unsupported",
    "needs-seek",
    "unreadable",
    "truncated",
    "digest-mismatch",
    "missing-layer",
    "foreign-layer",
    "limit",
    "changed-while-read",
    "outside-root",
    "empty",
    "interrupted",
];

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
    let source = read(path)?;
    let mut reader = Reader::new(&source);
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
    let known = ["version", "key_id", "block", "override", "allow_skip", "suppress", "limits"];
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
        resolve: impl Fn(T, &mut Vec<(Option<usize>, String)>) -> Option<V>,
    ) -> Option<V> {
        let start = value.span().start;
        let read = self.read::<T>(value)?;
        let mut mistakes = Vec::new();
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
        if !policy.suppressions.is_empty() && policy.key_id.is_none() {
            self.mistake(0, "suppressions need key_id, the key of their fingerprints; the report names it");
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

/// Mistakes of an element: an offset where one is known, and what is wrong.
type Mistakes = Vec<(Option<usize>, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BlockText {
    confidence: ThresholdWord,
    severity: Severity,
}

impl Default for BlockText {
    fn default() -> Self {
        Self { confidence: ThresholdWord::Shaped, severity: Severity::Low }
    }
}

/// The words of `--fail-on` and of `block.confidence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ThresholdWord {
    /// Only what equals a live secret.
    Known,
    /// What a checksum or an inner structure proves.
    Checked,
    /// A provider's format.
    Shaped,
    /// An assignment with enough randomness.
    Guessed,
    /// Nothing blocks.
    Never,
}

impl From<ThresholdWord> for Threshold {
    fn from(word: ThresholdWord) -> Self {
        match word {
            ThresholdWord::Known => Self::From(Confidence::Known),
            ThresholdWord::Checked => Self::From(Confidence::Checked),
            ThresholdWord::Shaped => Self::From(Confidence::Shaped),
            ThresholdWord::Guessed => Self::From(Confidence::Guessed),
            ThresholdWord::Never => Self::Never,
        }
    }
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

fn patterns(written: Option<Spanned<OneOrMany<String>>>, mistakes: &mut Mistakes) -> Option<Patterns> {
    let written = written?;
    let offset = written.span().start;
    match Patterns::new(&written.into_inner().into_vec()) {
        Ok(patterns) => Some(patterns),
        Err(message) => {
            mistakes.push((Some(offset), message));
            None
        }
    }
}

fn set<T: Ord>(written: Option<OneOrMany<T>>) -> Option<BTreeSet<T>> {
    written.map(|written| written.into_vec().into_iter().collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideText {
    when: Spanned<WhenText>,
    action: OverrideActionWord,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OverrideActionWord {
    Block,
    Report,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenText {
    rule: Option<Spanned<OneOrMany<String>>>,
    path: Option<Spanned<OneOrMany<String>>>,
    state: Option<OneOrMany<State>>,
    layer: Option<OneOrMany<String>>,
    severity: Option<OneOrMany<Severity>>,
    confidence: Option<OneOrMany<Confidence>>,
    inherited: Option<bool>,
}

impl WhenText {
    fn restricts(&self) -> bool {
        self.rule.is_some()
            || self.path.is_some()
            || self.state.is_some()
            || self.layer.is_some()
            || self.severity.is_some()
            || self.confidence.is_some()
            || self.inherited.is_some()
    }
}

impl OverrideText {
    fn resolve(self, mistakes: &mut Mistakes) -> Option<Override> {
        let known = mistakes.len();
        not_empty("reason", &self.reason, mistakes);
        let offset = self.when.span().start;
        let when = self.when.into_inner();
        let restricts = when.restricts();
        let when = When {
            rule: patterns(when.rule, mistakes),
            path: patterns(when.path, mistakes),
            state: set(when.state),
            layer: set(when.layer),
            severity: set(when.severity),
            confidence: set(when.confidence),
            inherited: when.inherited,
        };
        if !restricts {
            let message = "an empty condition is for everything: change [block] instead";
            mistakes.push((Some(offset), message.to_owned()));
        }
        let action = match self.action {
            OverrideActionWord::Block => OverrideAction::Block,
            OverrideActionWord::Report => OverrideAction::Report,
        };
        (mistakes.len() == known).then_some(Override { when, action, reason: trimmed(&self.reason) })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowSkipText {
    reason_is: Spanned<String>,
    path: Option<Spanned<OneOrMany<String>>>,
    owner: String,
    #[serde(default)]
    reason: Option<String>,
    expires: Spanned<toml::value::Datetime>,
}

impl AllowSkipText {
    fn resolve(self, mistakes: &mut Mistakes) -> Option<AllowSkip> {
        let known = mistakes.len();
        if !REASONS.contains(&self.reason_is.get_ref().as_str()) {
            let message = format!(
                "`{}` is no reason: expected one of {}",
                self.reason_is.get_ref(),
                REASONS.join(", ")
            );
            mistakes.push((Some(self.reason_is.span().start), message));
        }
        if self.path.is_none() && self.reason.is_none() {
            mistakes
                .push((None, "an allowed skip without a path is for every place: give a reason".to_owned()));
        }
        let path = patterns(self.path, mistakes);
        let reason = self.reason.unwrap_or_default();
        let acceptance = acceptance(&self.owner, &reason, &self.expires, mistakes);
        let allow = AllowSkip { reason_is: self.reason_is.into_inner(), path, acceptance: acceptance? };
        (mistakes.len() == known).then_some(allow)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuppressText {
    fingerprint: Spanned<String>,
    path: Option<Spanned<OneOrMany<String>>>,
    owner: String,
    reason: String,
    expires: Spanned<toml::value::Datetime>,
}

impl SuppressText {
    fn resolve(self, mistakes: &mut Mistakes) -> Option<Suppression> {
        let known = mistakes.len();
        not_empty("reason", &self.reason, mistakes);
        let path = patterns(self.path, mistakes);
        let fingerprint = self.fingerprint.get_ref().parse();
        if let Err(error) = &fingerprint {
            mistakes.push((Some(self.fingerprint.span().start), format!("{error}")));
        }
        let acceptance = acceptance(&self.owner, &self.reason, &self.expires, mistakes);
        let suppression = Suppression { fingerprint: fingerprint.ok()?, path, acceptance: acceptance? };
        (mistakes.len() == known).then_some(suppression)
    }
}

fn not_empty(name: &str, text: &str, mistakes: &mut Mistakes) {
    if text.trim().is_empty() {
        mistakes.push((None, format!("`{name}` is empty: say it for whoever reads the report")));
    }
}

/// A sentence ends with one full stop, ours.
fn trimmed(reason: &str) -> String {
    reason.trim().trim_end_matches('.').to_owned()
}

fn acceptance(
    owner: &str,
    reason: &str,
    expires: &Spanned<toml::value::Datetime>,
    mistakes: &mut Mistakes,
) -> Option<Acceptance> {
    not_empty("owner", owner, mistakes);
    let date = expires.get_ref().date.and_then(|date| {
        Date::new(
            i16::try_from(date.year).ok()?,
            i8::try_from(date.month).ok()?,
            i8::try_from(date.day).ok()?,
        )
        .ok()
    });
    if date.is_none() {
        mistakes.push((Some(expires.span().start), "expected a day: write expires = 2027-01-31".to_owned()));
    }
    Some(Acceptance { owner: owner.trim().to_owned(), reason: trimmed(reason), expires: date? })
}
