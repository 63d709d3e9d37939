//! Where a search spends its time: by string and by rule. For authors of rules and for measurements; a scan never
//! asks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::verify::Place;
use super::{Engine, Scratch, guard};
use crate::rules::RuleIndex;

/// What a string costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StringCost {
    /// How often it stands in the text.
    pub candidates: u64,
    /// How often something stood behind it with which a rule could match.
    pub passed: u64,
    /// States of the automaton that looks behind the string.
    pub states: usize,
    /// The automaton is not complete: what it does not know passes.
    pub is_cut: bool,
}

/// What a rule costs behind its strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCost {
    /// How often its expression was tried.
    pub tried: u64,
    /// How often it matched.
    pub matched: u64,
    /// How often the match stood.
    pub kept: u64,
    /// The time that all of this took.
    pub time: Duration,
}

/// The costs of a search.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// By string; those that match in any case are in lower case.
    pub strings: BTreeMap<String, StringCost>,
    /// By rule.
    pub rules: BTreeMap<String, RuleCost>,
    /// Bytes that were searched.
    pub bytes: u64,
    /// Places that the vector search let through.
    pub places: u64,
    /// The time of the first pass over all bytes.
    pub prefilter: Duration,
    /// The time of the looks behind the strings.
    pub guards: Duration,
}

impl Engine {
    /// Adds what a text costs, nothing decoded.
    pub fn survey(&self, bytes: &[u8], scratch: &mut Scratch, survey: &mut Survey) {
        let mut found = super::prefilter::Found::default();
        let begun = Instant::now();
        self.prefilter.find(bytes, 0..bytes.len(), &mut found);
        survey.prefilter += begun.elapsed();
        survey.bytes += bytes.len() as u64;
        survey.places += found.places_seen;
        for candidate in &found.candidates {
            let entry = self.prefilter.entry(candidate.literal);
            let behind = bytes.get(candidate.at + entry.bytes.len()..).unwrap_or_default();
            let begun = Instant::now();
            let open = self.guard(candidate.literal, entry).ask(behind);
            survey.guards += begun.elapsed();
            let string =
                survey.strings.entry(String::from_utf8_lossy(&entry.bytes).into_owned()).or_default();
            (string.states, string.is_cut) = self.guard(candidate.literal, entry).size();
            string.candidates += 1;
            string.passed += u64::from(open != 0);
            for (place, index) in entry.rules.iter().map(|index| RuleIndex(*index)).enumerate() {
                if place < guard::RULES_MAX && open >> place & 1 == 0 {
                    continue;
                }
                let rule = self.rules.rule(index);
                let place = Place { bytes, base: 0, anchor: candidate.at };
                let begun = Instant::now();
                let found = self.verifier.verify((index, rule), &self.key, &place, &mut scratch.memories);
                let cost = survey.rules.entry(rule.id.0.clone()).or_default();
                cost.time += begun.elapsed();
                cost.tried += 1;
                cost.matched += u64::from(found.is_some());
                cost.kept += u64::from(found.is_some_and(|(_, raw)| raw.is_some()));
            }
        }
    }
}
