//! From a candidate to a match that passed its rule.

use std::ops::Range;
use std::sync::OnceLock;

use memchr::{memchr, memrchr};
use shared::finding::Confidence;
use shared::fingerprint::FingerprintKey;
use shared::secret::Redacted;

use crate::check::{self, Check, Outcome};
use crate::rules::definition::{AllowOn, Fails};
use crate::rules::{Rule, RuleIndex, RuleSet};

use super::expression::{Expression, Match, Memory};
use super::raw::Raw;

/// How far to either side of a match its lines reach.
pub const LINE_CONTEXT: usize = 16 * 1024;
/// A thread forgets its large automata when all of them hold more than this; the next candidate builds them anew.
/// With the decoders' budget this is what two threads need to stay near 150 MB.
const MEMORY_BYTES_MAX: usize = 5 * 1024 * 1024;
/// To forget what holds less is no gain.
const LARGE_BYTES_MIN: usize = 64 * 1024;

/// Decides candidates.
pub struct Verifier {
    /// By rule; None inside when the expression is too large.
    expressions: Vec<OnceLock<Option<Expression>>>,
    checks: Vec<Option<Check>>,
    stopwords: Vec<Vec<Vec<u8>>>,
}

/// What a thread keeps for all rules.
#[derive(Default)]
pub struct Memories {
    by_rule: Vec<Option<Box<Memory>>>,
    lower: Vec<u8>,
    /// Bytes that were searched since it was last looked at how much is held.
    searched: usize,
}

impl Memories {
    /// Keeps what a thread remembers small, however long the haystack is. Called before each window, with its length:
    /// many small ones count as a large one.
    pub fn trim(&mut self, window_bytes: usize) {
        self.searched += window_bytes;
        if self.searched < super::WINDOW_BYTES {
            return;
        }
        self.searched = 0;
        if self.held() <= MEMORY_BYTES_MAX {
            return;
        }
        for memory in &mut self.by_rule {
            memory.take_if(|memory| memory.bytes() > LARGE_BYTES_MIN);
        }
        if self.held() > MEMORY_BYTES_MAX / 2 {
            self.by_rule.clear();
        }
    }

    fn held(&self) -> usize {
        self.by_rule.iter().flatten().map(|memory| memory.bytes()).sum()
    }
}

/// Where a candidate stands.
pub struct Place<'h> {
    /// The bytes of the window.
    pub bytes: &'h [u8],
    /// Where they begin in the haystack.
    pub base: u64,
    /// The anchor, in `bytes`.
    pub anchor: usize,
}

impl Verifier {
    /// For a set of rules.
    pub fn new(rules: &RuleSet) -> Self {
        Self {
            expressions: rules.iter().map(|_| OnceLock::new()).collect(),
            checks: rules
                .iter()
                .map(|(_, rule)| rule.definition.check.as_ref().and_then(|check| check::find(&check.name)))
                .collect(),
            stopwords: rules
                .iter()
                .map(|(_, rule)| {
                    let words = &rule.definition.stopwords;
                    words.iter().map(|word| word.to_ascii_lowercase().into_bytes()).collect()
                })
                .collect(),
        }
    }

    /// Runs one rule at one candidate: the match in `place.bytes`, and what it is worth unless it is refused.
    pub fn verify(
        &self,
        (index, rule): (RuleIndex, &Rule),
        key: &FingerprintKey,
        place: &Place<'_>,
        memories: &mut Memories,
    ) -> Option<(Match, Option<Raw>)> {
        let slot = index.0 as usize;
        let expression = self.expressions[slot].get_or_init(|| Expression::new(rule)).as_ref()?;
        if memories.by_rule.len() <= slot {
            memories.by_rule.resize_with(self.expressions.len(), || None);
        }
        let memory = memories.by_rule[slot].get_or_insert_default();
        let found = expression.find(place.bytes, place.anchor, memory)?;
        let secret = &place.bytes[found.secret_start..found.secret_end];
        let matched = &place.bytes[found.start..found.end];
        // A checksum that holds is no accident, and outranks what the value looks like.
        let proof = self.checks[slot].filter(Check::is_checksum).map(|check| check.run(secret, matched));
        let proven = matches!(proof, Some(Outcome::Holds(_)));
        let looks_wrong = !proven
            && (rule.definition.entropy.is_some_and(|least| entropy(secret) <= least)
                || self.has_stopword(slot, secret, &mut memories.lower));
        if looks_wrong || allowed(expression, place.bytes, &found) {
            return Some((found, None));
        }
        let mut confidence = rule.confidence;
        let mut note = None;
        if let Some(outcome) = proof.or_else(|| Some(self.checks[slot]?.run(secret, matched))) {
            match outcome {
                Outcome::Holds(said) => {
                    confidence = Confidence::Checked;
                    note = said;
                }
                Outcome::Open => {}
                Outcome::Fails(why) => match rule.definition.check.as_ref().map(|check| check.fails) {
                    Some(Fails::Guessed) => {
                        confidence = Confidence::Guessed;
                        note = Some(why.to_owned());
                    }
                    Some(Fails::Discard) | None => return Some((found, None)),
                },
                Outcome::Weak(why) => {
                    confidence = one_down(confidence);
                    note = Some(why.to_owned());
                }
            }
        }
        if confidence == Confidence::Guessed
            && rule.confidence == Confidence::Guessed
            && in_context(expression, rule, place.bytes, &found)
        {
            confidence = Confidence::Shaped;
        }
        let outer = |range: Range<usize>| place.base + range.start as u64..place.base + range.end as u64;
        let raw = Raw {
            rule: index,
            confidence,
            fingerprint: key.fingerprint(Redacted::new(secret)),
            match_span: outer(found.start..found.end),
            span: outer(found.secret_start..found.secret_end),
            line: 0,
            column: 0,
            column_utf16: 0,
            decoded: Vec::new(),
            preview: preview(secret, rule.definition.preview),
            note,
            allowed: false,
        };
        Some((found, Some(raw)))
    }

    fn has_stopword(&self, slot: usize, secret: &[u8], lower: &mut Vec<u8>) -> bool {
        let words = &self.stopwords[slot];
        if words.is_empty() {
            return false;
        }
        lower.clear();
        lower.extend(secret.iter().map(u8::to_ascii_lowercase));
        let found = words.iter().any(|word| memchr::memmem::find(lower, word).is_some());
        zeroize::Zeroize::zeroize(lower);
        found
    }
}

fn one_down(confidence: Confidence) -> Confidence {
    match confidence {
        Confidence::Known => Confidence::Checked,
        Confidence::Checked => Confidence::Shaped,
        Confidence::Shaped | Confidence::Guessed => Confidence::Guessed,
    }
}

fn allowed(expression: &Expression, bytes: &[u8], found: &Match) -> bool {
    expression.allow().any(|(on, regexes)| {
        let text = match on {
            AllowOn::Secret => &bytes[found.secret_start..found.secret_end],
            AllowOn::Match => &bytes[found.start..found.end],
            AllowOn::Line => &bytes[lines(bytes, found, 0)],
            AllowOn::Path => return false,
        };
        regexes.iter().any(|regex| regex.is_match(text))
    })
}

fn in_context(expression: &Expression, rule: &Rule, bytes: &[u8], found: &Match) -> bool {
    let (Some(regex), Some(context)) = (expression.context(), &rule.definition.context) else { return false };
    regex.is_match(&bytes[lines(bytes, found, context.lines)])
}

/// The lines of a match and so many before and after, at most [`LINE_CONTEXT`] either side.
fn lines(bytes: &[u8], found: &Match, around: usize) -> Range<usize> {
    let first = found.start.saturating_sub(LINE_CONTEXT);
    let mut start = found.start;
    for round in 0..=around {
        match memrchr(b'\n', &bytes[first..start]) {
            Some(newline) if round == around => {
                start = first + newline + 1;
                break;
            }
            Some(newline) => start = first + newline,
            None => {
                start = first;
                break;
            }
        }
    }
    let last = bytes.len().min(found.end + LINE_CONTEXT);
    let mut end = found.end;
    for round in 0..=around {
        match memchr(b'\n', &bytes[end..last]) {
            Some(newline) if round == around => {
                end += newline;
                break;
            }
            Some(newline) => end += newline + 1,
            None => {
                end = last;
                break;
            }
        }
    }
    start..end
}

/// The lines in which a span of the haystack stands, as far as the window at `base` has them.
pub fn lines_of<'h>(bytes: &'h [u8], base: u64, span: &Range<u64>) -> &'h [u8] {
    let at = |place: u64| usize::try_from(place.saturating_sub(base)).unwrap_or(usize::MAX).min(bytes.len());
    let (start, end) = (at(span.start), at(span.end));
    let found = Match { start, end, secret_start: start, secret_end: end };
    &bytes[lines(bytes, &found, 0)]
}

/// Shannon entropy in bits a byte.
fn entropy(secret: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in secret {
        counts[usize::from(*byte)] += 1;
    }
    let length = secret.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

/// The format's public prefix, never more than half of the secret, and the length.
pub fn preview(secret: &[u8], public: usize) -> String {
    let shown = public.min(secret.len() / 2);
    let mut text: String = secret[..shown]
        .iter()
        .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' })
        .collect();
    text.push_str(&format!("… ({} bytes)", secret.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::{entropy, preview};

    #[test]
    fn a_preview_shows_the_public_prefix_alone() {
        assert_eq!(preview(b"ghp_0123456789", 4), "ghp_… (14 bytes)");
        assert_eq!(preview(b"abcd", 4), "ab… (4 bytes)");
    }

    #[test]
    fn entropy_is_bits_a_byte() {
        assert!((entropy(b"abcdabcd") - 2.0).abs() < 1e-9);
        assert!(entropy(b"aaaa").abs() < 1e-9);
    }
}
