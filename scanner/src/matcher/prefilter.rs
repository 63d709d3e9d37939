//! The first pass over every byte: where a string stands of which every match of some rule contains one.
//!
//! Replaceable: whatever finds the same occurrences in the same order serves. [`Prefilter::find`] is the whole
//! of what the matcher knows of it.

use aho_corasick::AhoCorasick;
use std::ops::Range;

use crate::rules::{Problem, RuleIndex, RuleSet, RulesError};

/// A string of a rule stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// In the haystack given to [`Prefilter::find`].
    pub at: usize,
    /// Which string.
    pub literal: u32,
}

/// A string, with the rules whose matches contain it.
#[derive(Debug)]
pub struct Entry {
    /// Its bytes, lower case where `folded`.
    pub bytes: Vec<u8>,
    /// Any case matches.
    pub folded: bool,
    /// The rules.
    pub rules: Vec<RuleIndex>,
}

/// Finds the strings of all rules.
pub struct Prefilter {
    automaton: AhoCorasick,
    entries: Vec<Entry>,
    bytes_max: usize,
}

impl Prefilter {
    /// For the strings of a set of rules.
    ///
    /// # Errors
    /// When they are too many.
    pub fn new(rules: &RuleSet) -> Result<Self, RulesError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for (index, rule) in rules.iter() {
            for (text, folded) in &rule.anchors.literals {
                // Loading made each byte one character.
                let bytes: Vec<u8> = text.chars().filter_map(|letter| u8::try_from(letter).ok()).collect();
                let at = *known.entry((bytes.clone(), *folded)).or_insert_with(|| {
                    entries.push(Entry { bytes, folded: *folded, rules: Vec::new() });
                    entries.len() - 1
                });
                entries[at].rules.push(index);
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(entries.iter().map(|entry| &entry.bytes))
            .map_err(|error| {
                let message = format!("the rules have too many fixed texts: {error}");
                RulesError(vec![Problem { file: "rules".into(), line: 1, column: 1, fatal: true, message }])
            })?;
        let bytes_max = entries.iter().map(|entry| entry.bytes.len()).max().unwrap_or(0);
        Ok(Self { automaton, entries, bytes_max })
    }

    /// The string of a candidate.
    pub fn entry(&self, literal: u32) -> &Entry {
        &self.entries[literal as usize]
    }

    /// All strings that start in `range`, by place. They may end behind it, but not behind `bytes`.
    pub fn find(&self, bytes: &[u8], range: Range<usize>, candidates: &mut Vec<Candidate>) {
        candidates.clear();
        let end = bytes.len().min(range.end + self.bytes_max.saturating_sub(1));
        let haystack = &bytes[range.start.min(end)..end];
        for found in self.automaton.find_overlapping_iter(haystack) {
            let at = range.start + found.start();
            let entry = &self.entries[found.pattern().as_usize()];
            if at < range.end && (entry.folded || bytes[at..].starts_with(&entry.bytes)) {
                candidates.push(Candidate { at, literal: found.pattern().as_u32() });
            }
        }
        candidates.sort_unstable();
    }
}
