//! Matches that passed their rule, before they are held against each other.

use std::collections::BTreeMap;
use std::ops::Range;

use shared::finding::Confidence;
use shared::fingerprint::Fingerprint;

use crate::rules::{RuleIndex, RuleSet};

use super::Hit;

/// A match that passed its rule.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Its rule.
    pub rule: RuleIndex,
    /// Belief so far.
    pub confidence: Confidence,
    /// The name of the decoded secret.
    pub fingerprint: Fingerprint,
    /// The whole match.
    pub match_span: Range<u64>,
    /// The secret.
    pub span: Range<u64>,
    /// Where the secret starts, once counted.
    pub line: u64,
    /// Where the secret starts, once counted.
    pub column: u64,
    /// The same in UTF-16 code units.
    pub column_utf16: u64,
    /// What was decoded, outermost first.
    pub decoded: Vec<&'static str>,
    /// The public prefix and the length.
    pub preview: String,
    /// What the check said.
    pub note: Option<String>,
    /// A comment in its lines asks to allow it, once looked at.
    pub allowed: bool,
}

/// Applies the rules' `near` conditions, resolves overlaps, and gives what stands, by position.
///
/// Guarantees: the outcome depends on the set of matches, not on their order.
pub fn settle(rules: &RuleSet, mut raws: Vec<Raw>) -> Vec<Hit> {
    plain_first(&mut raws);
    known_once(&mut raws);
    near(rules, &mut raws);
    raws.retain(|raw| !rules.rule(raw.rule).definition.helper);
    raws.sort_by(|left, right| strength(rules, right).cmp(&strength(rules, left)));
    // Spans that stand, by start; they never overlap, so the neighbour below is the only one to look at.
    let mut standing: BTreeMap<u64, u64> = BTreeMap::new();
    let mut hits = Vec::new();
    for raw in raws {
        // Whether a rule with a path holds is only known per place: it hides nothing here, and meets the others there.
        let of_some_paths = !rules.rule(raw.rule).definition.path.is_empty();
        let mut covered = raw.span.clone();
        if raw.confidence == Confidence::Known {
            // What is known comes first and falls to nothing: a dead value must not hide a live one in it.
            while let Some(other) = overlapping(&standing, &covered) {
                standing.remove(&other.start);
                covered = covered.start.min(other.start)..covered.end.max(other.end);
            }
        } else if !of_some_paths && overlapping(&standing, &covered).is_some() {
            continue;
        }
        if !of_some_paths {
            standing.insert(covered.start, covered.end);
        }
        hits.push(Hit {
            rule: raw.rule,
            confidence: raw.confidence,
            fingerprint: raw.fingerprint,
            match_span: raw.match_span,
            span: raw.span,
            line: raw.line,
            column: raw.column,
            column_utf16: raw.column_utf16,
            decoded: raw.decoded,
            preview: raw.preview,
            note: raw.note,
            allowed: raw.allowed,
        });
    }
    hits.sort_by_key(|hit| (hit.span.start, hit.rule));
    hits
}

/// The last span among `standing` that shares a byte with this one.
fn overlapping(standing: &BTreeMap<u64, u64>, span: &Range<u64>) -> Option<Range<u64>> {
    let (&start, &end) = standing.range(..span.end).next_back()?;
    (end > span.start).then_some(start..end)
}

/// Drops what was seen in decoded text and stands there without decoding too: a text decoded for an escape
/// elsewhere in it.
fn plain_first(raws: &mut Vec<Raw>) {
    if raws.iter().all(|raw| raw.decoded.is_empty()) {
        return;
    }
    raws.sort_by_key(|raw| (raw.rule, raw.span.start, raw.span.end, raw.fingerprint, raw.decoded.len()));
    raws.dedup_by(|next, kept| {
        (next.rule, &next.span, next.fingerprint) == (kept.rule, &kept.span, kept.fingerprint)
    });
}

/// Drops a known value that was seen twice in one place: a piece of decoded text may begin inside an escape whose
/// last digit is the letter that it stands for (`%31`).
fn known_once(raws: &mut Vec<Raw>) {
    let known = |raw: &Raw| raw.confidence == Confidence::Known;
    if !raws.iter().any(known) {
        return;
    }
    raws.sort_by_key(|raw| (raw.rule, raw.fingerprint, raw.span.start, std::cmp::Reverse(raw.span.end)));
    raws.dedup_by(|next, kept| {
        known(next)
            && (next.rule, next.fingerprint) == (kept.rule, kept.fingerprint)
            && next.span.start < kept.span.end
    });
}

/// What wins an overlap: belief; then what was decoded over its encoding; then a rule for a format over a guess;
/// then the longer secret; then, so that the outcome is one, place and rule.
fn strength(rules: &RuleSet, raw: &Raw) -> impl Ord {
    (
        raw.confidence,
        raw.decoded.len(),
        rules.rule(raw.rule).confidence,
        raw.span.end - raw.span.start,
        std::cmp::Reverse((raw.span.start, raw.rule, raw.match_span.start, raw.match_span.end)),
    )
}

/// Rules that want another one nearby: required and not there, the match falls; there, a guess is a shape.
fn near(rules: &RuleSet, raws: &mut Vec<Raw>) {
    if !raws.iter().any(|raw| !rules.rule(raw.rule).definition.near.is_empty()) {
        return;
    }
    let mut lines: BTreeMap<RuleIndex, Vec<u64>> = BTreeMap::new();
    for raw in raws.iter() {
        lines.entry(raw.rule).or_default().push(raw.line);
    }
    lines.values_mut().for_each(|lines| lines.sort_unstable());
    let seen = |name: &str, line: u64, away: u64| {
        let lines = rules.find(name).and_then(|(index, _)| lines.get(&index));
        lines.is_some_and(|lines| {
            let first = lines.partition_point(|other| *other < line.saturating_sub(away));
            lines.get(first).is_some_and(|other| *other <= line.saturating_add(away))
        })
    };
    raws.retain_mut(|raw| {
        for near in &rules.rule(raw.rule).definition.near {
            if seen(&near.rule, raw.line, near.lines) {
                raw.confidence = raw.confidence.max(Confidence::Shaped);
            } else if near.required {
                return false;
            }
        }
        true
    });
}
