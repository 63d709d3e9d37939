//! One look for many rules: from a common word (`key`, `token`, `password`) on, which rules could match at all?
//!
//! Dozens of rules look for the same few words. Instead of asking each, one automaton over the tails of all of
//! them is run from the word's place; in ordinary text it dies after a few bytes.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input, MatchKind, PatternSet};
use regex_syntax::hir::Hir;

use crate::rules::{RuleIndex, RuleSet, literals, load};

use super::expression::STARTS_MAX;
use super::prefilter::Entry;

/// What one thread's automaton may hold. Its states are made as the texts need them.
const AUTOMATON_BYTES_MAX: usize = 8 * 1024 * 1024;
/// More than this is no set of rules for common words; each rule then asks for itself.
const PROGRAM_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The tails of all rules that share a string with another one.
pub struct Gate {
    automaton: Option<DFA>,
    /// By rule: its pattern in the automaton.
    slots: Vec<Option<usize>>,
    after: usize,
}

/// What a thread keeps for the gate.
pub struct Memory {
    cache: Option<Cache>,
    open: PatternSet,
}

/// Whether a rule's matches begin at many places before its strings, so that its tail decides faster.
fn is_spread(rules: &RuleSet, index: RuleIndex) -> bool {
    let anchors = &rules.rule(index).anchors;
    anchors.before_max - anchors.before_min > STARTS_MAX
}

/// Whether the gate is worth asking for a string.
pub fn is_shared(rules: &RuleSet, entry: &Entry) -> bool {
    entry.rules.iter().filter(|index| is_spread(rules, **index)).count() > 1
}

impl Gate {
    /// For the rules of the shared strings among the entries.
    pub fn new(rules: &RuleSet, entries: &[Entry]) -> Self {
        let mut slots = vec![None; rules.len()];
        let mut tails: Vec<Hir> = Vec::new();
        let mut after = 0;
        for entry in entries.iter().filter(|entry| is_shared(rules, entry)) {
            for &index in entry.rules.iter().filter(|index| is_spread(rules, **index)) {
                let slot = &mut slots[index.0 as usize];
                if slot.is_none()
                    && let Some(tail) = tail_of(rules, index)
                {
                    *slot = Some(tails.len());
                    tails.push(tail);
                    after = after.max(rules.rule(index).anchors.after);
                }
            }
        }
        Self { automaton: build(&tails), slots, after }
    }

    /// Memory for one thread.
    pub fn memory(&self) -> Memory {
        Memory {
            cache: self.automaton.as_ref().map(DFA::create_cache),
            open: PatternSet::new(self.automaton.as_ref().map_or(0, DFA::pattern_len)),
        }
    }

    /// Finds out which rules could match with this anchor.
    pub fn ask(&self, bytes: &[u8], anchor: usize, memory: &mut Memory) {
        memory.open.clear();
        let (Some(automaton), Some(cache)) = (&self.automaton, &mut memory.cache) else { return };
        let end = bytes.len().min(anchor + self.after);
        let input = Input::new(bytes).span(anchor..end).anchored(Anchored::Yes);
        if automaton.try_which_overlapping_matches(cache, &input, &mut memory.open).is_err() {
            // The automaton gave up: every rule asks for itself.
            for slot in self.slots.iter().flatten() {
                let pattern = regex_automata::PatternID::new(*slot);
                let _ = pattern.map(|pattern| memory.open.try_insert(pattern));
            }
        }
    }

    /// Whether the rule could match at the anchor last asked about. Rules that the gate does not know could.
    pub fn is_open(&self, index: RuleIndex, memory: &Memory) -> bool {
        if self.automaton.is_none() {
            return true;
        }
        let pattern = self.slots[index.0 as usize].and_then(|slot| regex_automata::PatternID::new(slot).ok());
        pattern.is_none_or(|pattern| memory.open.contains(pattern))
    }

    /// Whether the gate stands for the rule's own tail.
    pub fn knows(&self, index: RuleIndex) -> bool {
        self.automaton.is_some() && self.slots[index.0 as usize].is_some()
    }
}

fn tail_of(rules: &RuleSet, index: RuleIndex) -> Option<Hir> {
    let hir = load::parse(&rules.rule(index).definition.regex).ok()?;
    literals::best(&literals::parts(&hir))?.tail.clone()
}

fn build(tails: &[Hir]) -> Option<DFA> {
    if tails.is_empty() {
        return None;
    }
    let config = thompson::Config::new()
        .utf8(false)
        .which_captures(thompson::WhichCaptures::None)
        .nfa_size_limit(Some(PROGRAM_BYTES_MAX));
    let program = thompson::Compiler::new().configure(config).build_many_from_hir(tails).ok()?;
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .cache_capacity(AUTOMATON_BYTES_MAX)
        .minimum_cache_clear_count(Some(8))
        .minimum_bytes_per_state(Some(4));
    DFA::builder().configure(config).build_from_nfa(program).ok()
}
