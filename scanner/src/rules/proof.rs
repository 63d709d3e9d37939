//! Rules held to what they say of themselves: each example is found, by its rule, with the right bytes as the
//! secret; each near miss is not.

use shared::fingerprint::FingerprintKey;

use crate::blob::Content;
use crate::matcher::Engine;

use super::definition::{Example, Negative};
use super::{Rule, RuleIndex, RulesError, example};

/// How many samples are drawn from each template: a format with a rare letter shows it within a few.
const SAMPLES: u64 = 8;

/// A rule that does not do what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule `{rule}`: {what} {number}: {why}")]
pub struct Failure {
    /// The rule.
    pub rule: String,
    /// `example` or `negative`.
    pub what: &'static str,
    /// Which of them, from 1.
    pub number: usize,
    /// What happened instead; never a sample's bytes, which look like secrets.
    pub why: String,
}

/// Holds every rule of a set to its examples and near misses, each text searched with all rules.
///
/// # Errors
/// When the set cannot be searched at all.
pub fn prove(engine: &Engine) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (index, rule) in engine.rules().iter() {
        for (number, example) in rule.definition.example.iter().enumerate() {
            if let Err(why) = (0..SAMPLES).try_for_each(|seed| found(engine, index, example, seed)) {
                failures.push(Failure { rule: rule.id.0.clone(), what: "example", number: number + 1, why });
            }
        }
        for (number, negative) in rule.definition.negative.iter().enumerate() {
            if let Err(why) = (0..SAMPLES).try_for_each(|seed| refused(engine, index, negative, seed)) {
                failures.push(Failure { rule: rule.id.0.clone(), what: "negative", number: number + 1, why });
            }
        }
    }
    failures
}

/// The engine for a proof: fingerprints are not compared, so any key does.
///
/// # Errors
/// As [`Engine::new`].
pub fn engine(rules: super::RuleSet) -> Result<Engine, RulesError> {
    Engine::new(rules, FingerprintKey::from_bytes([0; 32]))
}

/// A text made from an example, and where its secret stands in it.
pub fn text_of(example: &Example, seed: u64) -> Result<(String, Vec<std::ops::Range<usize>>), String> {
    let mut random = example::seeded(seed);
    let made =
        |template: &str, random: &mut _| example::make(template, random).map_err(|error| error.to_string());
    let secret = made(&example.make, &mut random)?;
    let mut text = example.text.clone().unwrap_or_else(|| "{secret}".to_owned());
    if !text.contains("{secret}") {
        return Err("its text has no `{secret}`".to_owned());
    }
    for (name, template) in &example.with {
        let value = made(template, &mut random)?;
        text = text.replace(&format!("{{{name}}}"), &value);
    }
    let mut spans = Vec::new();
    while let Some(at) = text.find("{secret}") {
        text.replace_range(at..at + "{secret}".len(), &secret);
        spans.push(at..at + secret.len());
    }
    Ok((text, spans))
}

fn found(engine: &Engine, index: RuleIndex, example: &Example, seed: u64) -> Result<(), String> {
    let (text, spans) = text_of(example, seed)?;
    let hits = search(engine, &text)?;
    for span in spans {
        let wanted = span.start as u64..span.end as u64;
        let over: Vec<_> =
            hits.iter().filter(|hit| hit.span.start < wanted.end && wanted.start < hit.span.end).collect();
        let name = |rule: RuleIndex| engine.rules().rule(rule).id.to_string();
        match over.iter().find(|hit| hit.rule == index) {
            Some(hit) if hit.span == wanted => {}
            Some(hit) => {
                return Err(format!(
                    "the secret found is at {}..{} instead of {}..{} (sample {seed})",
                    hit.span.start, hit.span.end, wanted.start, wanted.end
                ));
            }
            None => {
                return Err(match over.first() {
                    Some(other) => format!("`{}` takes it (sample {seed})", name(other.rule)),
                    None => format!("not found (sample {seed})"),
                });
            }
        }
    }
    Ok(())
}

fn refused(engine: &Engine, index: RuleIndex, negative: &Negative, seed: u64) -> Result<(), String> {
    let mut text = negative.text.clone();
    if let Some(template) = &negative.make {
        let secret =
            example::make(template, &mut example::seeded(seed)).map_err(|error| error.to_string())?;
        text = text.replace("{secret}", &secret);
    }
    match search(engine, &text)?.iter().find(|hit| hit.rule == index) {
        Some(hit) => Err(format!("found at {}..{} (sample {seed})", hit.span.start, hit.span.end)),
        None => Ok(()),
    }
}

fn search(engine: &Engine, text: &str) -> Result<Vec<crate::matcher::Hit>, String> {
    let searched = engine.search(Content::Slice(text.as_bytes()), &mut engine.scratch());
    searched.map(|searched| searched.hits).map_err(|error| error.to_string())
}

/// What is wanting in a rule that is not wrong: a rule of ours has an example and a near miss.
pub fn wanting(rule: &Rule) -> Option<&'static str> {
    // A format of bytes has no sample that a text could hold: tests make such files with the tools that people use.
    if rule.definition.regex.starts_with("(?s-u)") {
        return None;
    }
    match (rule.definition.example.is_empty(), rule.definition.negative.is_empty()) {
        (true, true) => Some("no example and no near miss; add `[[rule.example]]` and `[[rule.negative]]`"),
        (true, false) => Some("no example; add `[[rule.example]]` with `make`"),
        (false, true) => Some("no near miss; add `[[rule.negative]]` with `text` and `why`"),
        (false, false) => None,
    }
}
