//! The parts of a policy as they are written, and what they mean.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use shared::coverage::{Opaque, Skipped};
use shared::finding::{Confidence, Severity, State};
use toml::Spanned;

use super::pattern::Patterns;
use super::{AcceptLive, Acceptance, AllowSkip, Override, OverrideAction, Suppression, Threshold, When};

/// The reasons of skips and opaque parts, for a message that helps.
const REASONS: [&str; 17] = [
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
    "shallow",
    "missing-object",
    "empty",
    "known-file",
    "interrupted",
];

/// Mistakes of an element: an offset where one is known, and what is wrong.
pub(super) type Mistakes = Vec<(Option<usize>, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BlockText {
    pub(super) confidence: ThresholdWord,
    pub(super) severity: Severity,
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
pub(super) struct OverrideText {
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
    pub(super) fn resolve(self, mistakes: &mut Mistakes) -> Option<Override> {
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
pub(super) struct AllowSkipText {
    reason_is: Spanned<String>,
    path: Option<Spanned<OneOrMany<String>>>,
    owner: String,
    #[serde(default)]
    reason: Option<String>,
    expires: Spanned<toml::value::Datetime>,
}

impl AllowSkipText {
    pub(super) fn resolve(self, mistakes: &mut Mistakes) -> Option<AllowSkip> {
        let known = mistakes.len();
        if !is_reason(self.reason_is.get_ref()) {
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
pub(super) struct SuppressText {
    fingerprint: Spanned<String>,
    path: Option<Spanned<OneOrMany<String>>>,
    owner: String,
    reason: String,
    expires: Spanned<toml::value::Datetime>,
}

impl SuppressText {
    pub(super) fn resolve(self, mistakes: &mut Mistakes) -> Option<Suppression> {
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

/// How many owners a live secret needs.
const OWNERS_OF_LIVE: usize = 2;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptLiveText {
    fingerprint: Spanned<String>,
    path: Option<Spanned<OneOrMany<String>>>,
    owners: Spanned<Vec<String>>,
    reason: String,
    expires: Spanned<toml::value::Datetime>,
}

impl AcceptLiveText {
    pub(super) fn resolve(self, mistakes: &mut Mistakes) -> Option<AcceptLive> {
        let known = mistakes.len();
        not_empty("reason", &self.reason, mistakes);
        let path = patterns(self.path, mistakes);
        let fingerprint = self.fingerprint.get_ref().parse();
        if let Err(error) = &fingerprint {
            mistakes.push((Some(self.fingerprint.span().start), format!("{error}")));
        }
        let at = self.owners.span().start;
        let owners = self.owners.into_inner();
        let owners: BTreeSet<&str> = owners.iter().map(|owner| owner.trim()).collect();
        if owners.len() < OWNERS_OF_LIVE || owners.contains("") {
            let message =
                "a live secret needs two owners who answer for it: write owners = [\"team-a\", \"security\"]";
            mistakes.push((Some(at), message.to_owned()));
            return None;
        }
        let owners = owners.into_iter().collect::<Vec<_>>().join(" and ");
        let acceptance = acceptance(&owners, &self.reason, &self.expires, mistakes);
        let accepted = AcceptLive { fingerprint: fingerprint.ok()?, path, acceptance: acceptance? };
        (mistakes.len() == known).then_some(accepted)
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

/// Whether a word is the reason of a skip or of an opaque part.
fn is_reason(word: &str) -> bool {
    let word =
        || -> serde::de::value::StrDeserializer<'_, serde::de::value::Error> { word.into_deserializer() };
    Skipped::deserialize(word()).is_ok() || Opaque::deserialize(word()).is_ok()
}
