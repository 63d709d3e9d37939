//! The expressions of one rule, each compiled when it is first needed.

use std::sync::OnceLock;

use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::meta::{Cache, Config, Regex};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::Hir;

use super::guard::Guard;
use crate::rules::Rule;
use crate::rules::definition::{AllowOn, Group};
use crate::rules::{literals, load, tail};

/// A larger automaton is a rule that means harm, or a mistake; the search falls back to slower engines.
const AUTOMATON_BYTES_MAX: usize = 1024 * 1024;
/// Expressions that compile to more than this are refused.
const PROGRAM_BYTES_MAX: usize = 16 * 1024 * 1024;
/// With so few possible starts each is tried; with more, one search runs over them all.
const STARTS_MAX: usize = 3;

/// Rounds of a class that the guard of a head counts.
const ROUNDS_OF_HEADS: u32 = 2;

/// What decides whether a candidate is a match.
pub struct Expression {
    hir: Hir,
    whole: OnceLock<Option<Regex>>,
    /// The part from the anchor on, where matches may start at many places before it: it refuses most
    /// candidates after a few bytes.
    tail: Option<Cut<Regex>>,
    /// The part up to the anchor, run backwards from there, where a match is a head that ends where a tail begins.
    head: Option<Cut<DFA>>,
    /// The head, loosely.
    guard: OnceLock<Guard>,
    /// The group of the secret is in the tail.
    secret_in_tail: bool,
    /// The group of the secret.
    group: usize,
    groups: usize,
    before_min: usize,
    before_max: usize,
    after: usize,
    allow: Vec<(AllowOn, Vec<String>, OnceLock<Vec<Regex>>)>,
    context: Option<(String, OnceLock<Option<Regex>>)>,
}

/// A part of an expression.
struct Cut<T> {
    hir: Hir,
    compiled: OnceLock<Option<T>>,
}

/// Where a match stands, in the window's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The whole match.
    pub start: usize,
    /// One past its end.
    pub end: usize,
    /// The secret.
    pub secret_start: usize,
    /// One past its end.
    pub secret_end: usize,
}

/// What a thread keeps for an expression.
#[derive(Default)]
pub struct Memory {
    whole: Option<Cache>,
    tail: Option<Cache>,
    head: Option<dfa::Cache>,
    slots: Vec<Option<NonMaxUsize>>,
}

impl Memory {
    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        let of = |cache: &Option<Cache>| cache.as_ref().map_or(0, Cache::memory_usage);
        of(&self.whole) + of(&self.tail) + self.head.as_ref().map_or(0, dfa::Cache::memory_usage)
    }
}

fn compile(hir: &Hir) -> Option<Regex> {
    let config = Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(PROGRAM_BYTES_MAX))
        .hybrid_cache_capacity(AUTOMATON_BYTES_MAX)
        // The anchor is found already; what helps to find it costs time to build.
        .auto_prefilter(false);
    Regex::builder().configure(config).build_from_hir(hir).ok()
}

/// An automaton that goes backwards from where the expression ends, to its furthest start.
fn backwards(hir: &Hir) -> Option<DFA> {
    let config = thompson::Config::new()
        .utf8(false)
        .reverse(true)
        .which_captures(thompson::WhichCaptures::None)
        .nfa_size_limit(Some(PROGRAM_BYTES_MAX));
    let program = thompson::Compiler::new().configure(config).build_from_hir(hir).ok()?;
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .cache_capacity(AUTOMATON_BYTES_MAX)
        // A head with large counts needs more to work at all, and dies after a byte or two all the same.
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(8));
    DFA::builder().configure(config).build_from_nfa(program).ok()
}

fn compile_all<'p>(patterns: impl IntoIterator<Item = &'p String>) -> Vec<Regex> {
    patterns.into_iter().filter_map(|pattern| compile(&load::parse(pattern).ok()?)).collect()
}

impl<T> Cut<T> {
    fn new(hir: Hir) -> Self {
        Self { hir, compiled: OnceLock::new() }
    }

    fn compiled(&self, compile: impl FnOnce(&Hir) -> Option<T>) -> Option<&T> {
        self.compiled.get_or_init(|| compile(&self.hir)).as_ref()
    }
}

impl Expression {
    /// Prepares a rule's expressions. None when the rule is not what loading would let pass.
    pub fn new(rule: &Rule) -> Option<Self> {
        let definition = &rule.definition;
        let hir = load::parse(&definition.regex).ok()?;
        let parts = literals::parts(&hir);
        let anchors = &rule.anchors;
        let spread = anchors.before_max - anchors.before_min > STARTS_MAX;
        let part = literals::best(&parts).filter(|_| spread);
        let names = load::group_names(&definition.regex);
        let group = match &definition.secret {
            Some(Group::Number(number)) => *number,
            Some(Group::Name(name)) => names.iter().position(|group| group.as_ref() == Some(name))?,
            None => names.iter().position(|group| group.as_deref() == Some("secret")).unwrap_or(0),
        };
        let in_tail = |hir: &Hir| group > 0 && literals::has_group(hir, group);
        let secret_in_tail = part.and_then(|part| part.tail.as_ref()).is_some_and(in_tail);
        let allow =
            definition.allow.iter().map(|allow| (allow.on, allow.regex.clone(), OnceLock::new())).collect();
        Some(Self {
            groups: names.len(),
            whole: OnceLock::new(),
            tail: part.and_then(|part| part.tail.clone()).map(Cut::new),
            head: part.and_then(|part| part.head.clone()).map(Cut::new),
            guard: OnceLock::new(),
            secret_in_tail,
            group,
            before_min: anchors.before_min,
            before_max: anchors.before_max,
            after: anchors.after,
            allow,
            context: definition.context.as_ref().map(|context| (context.regex.clone(), OnceLock::new())),
            hir,
        })
    }

    /// Whether every expression is small enough to run.
    pub fn runs(&self) -> bool {
        let context = self.context.as_ref().is_none_or(|(pattern, _)| compile_all([pattern]).len() == 1);
        context && self.whole().is_some()
    }

    fn whole(&self) -> Option<&Regex> {
        self.whole.get_or_init(|| compile(&self.hir)).as_ref()
    }

    /// Expressions that say what is no secret, by what they are held against.
    pub fn allow(&self) -> impl Iterator<Item = (AllowOn, &[Regex])> {
        self.allow
            .iter()
            .map(|(on, patterns, compiled)| (*on, compiled.get_or_init(|| compile_all(patterns)).as_slice()))
    }

    /// The expression that, seen nearby, makes a guess a shape.
    pub fn context(&self) -> Option<&Regex> {
        let (pattern, compiled) = self.context.as_ref()?;
        compiled.get_or_init(|| compile(&load::parse(pattern).ok()?)).as_ref()
    }

    /// Whether the head may end at the anchor, said loosely: it dies within a few bytes in ordinary text, whatever
    /// the counts in the expression.
    fn may_begin(&self, head: &Hir, before: &[u8]) -> bool {
        self.guard
            .get_or_init(|| Guard::backwards(tail::relaxed(head, ROUNDS_OF_HEADS)))
            .ask_backwards(before)
    }

    /// The match that covers the anchor, if there is one.
    ///
    /// Assumptions: unless the haystack ends there, `bytes` reaches further than the longest match after the
    /// anchor and the longest beginning before it, so that the answer depends on the content alone.
    pub fn find(&self, bytes: &[u8], anchor: usize, memory: &mut Memory) -> Option<Match> {
        let end = bytes.len().min(anchor + self.after);
        let first = anchor.saturating_sub(self.before_max);
        let last = anchor.checked_sub(self.before_min)?;
        if self.before_max - self.before_min <= STARTS_MAX {
            return (first..=last).find_map(|start| self.at(bytes, start, anchor, end, memory));
        }
        if let Some(head) = &self.head
            && !self.may_begin(&head.hir, &bytes[first..anchor])
        {
            return None;
        }
        if let Some(tail) = &self.tail
            && let Some(regex) = tail.compiled(compile)
        {
            let cache = memory.tail.get_or_insert_with(|| regex.create_cache());
            let input = Input::new(bytes).span(anchor..end).anchored(Anchored::Yes).earliest(true);
            regex.search_half_with(cache, &input)?;
        }
        if let Some(head) = &self.head
            && let Some(automaton) = head.compiled(backwards)
        {
            let cache = memory.head.get_or_insert_with(|| automaton.create_cache());
            let input = Input::new(bytes).span(first..anchor).anchored(Anchored::Yes);
            // An automaton that gives up leaves the question to the whole expression.
            if let Ok(start) = automaton.try_search_rev(cache, &input) {
                let start = start?.offset();
                return if self.secret_in_tail {
                    self.in_tail(bytes, start, anchor, end, memory)
                } else {
                    self.at(bytes, start, anchor, end, memory)
                };
            }
        }
        let whole = self.whole()?;
        let mut from = first;
        while from <= last {
            let input = Input::new(bytes).span(from..end);
            let cache = memory.whole.get_or_insert_with(|| whole.create_cache());
            let found = whole.search_with(cache, &input)?;
            if found.start() > last {
                return None;
            }
            if found.end() > anchor {
                return self.at(bytes, found.start(), anchor, end, memory);
            }
            from = found.end().max(found.start() + 1);
        }
        None
    }

    /// The match whose head starts here and whose tail, with the secret, starts at the anchor.
    fn in_tail(
        &self,
        bytes: &[u8],
        start: usize,
        anchor: usize,
        end: usize,
        memory: &mut Memory,
    ) -> Option<Match> {
        let tail = self.tail.as_ref()?.compiled(compile)?;
        let cache = memory.tail.get_or_insert_with(|| tail.create_cache());
        let input = Input::new(bytes).span(anchor..end).anchored(Anchored::Yes);
        // A branch of the expression may leave later groups out; the slots of those stay empty.
        memory.slots.clear();
        memory.slots.resize(2 * self.groups, None);
        // Groups keep their numbers in the tail, those that were cut off included.
        let length = memory.slots.len().min(tail.group_info().slot_len());
        tail.search_slots_with(cache, &input, &mut memory.slots[..length])?;
        let slot = |index: usize| memory.slots.get(index).copied().flatten().map(NonMaxUsize::get);
        let group =
            |index: usize| slot(2 * index).zip(slot(2 * index + 1)).filter(|(start, end)| start < end);
        let end = slot(1)?;
        let other = || (1..self.groups).find_map(group);
        let (secret_start, secret_end) = group(self.group).or_else(other).unwrap_or((start, end));
        Some(Match { start, end, secret_start, secret_end })
    }

    /// The match that starts here and covers the anchor.
    fn at(
        &self,
        bytes: &[u8],
        start: usize,
        anchor: usize,
        end: usize,
        memory: &mut Memory,
    ) -> Option<Match> {
        let input = Input::new(bytes).span(start..end).anchored(Anchored::Yes);
        let whole = self.whole()?;
        let cache = memory.whole.get_or_insert_with(|| whole.create_cache());
        memory.slots.clear();
        memory.slots.resize(2 * self.groups, None);
        whole.search_slots_with(cache, &input, &mut memory.slots)?;
        let group = |index: usize| {
            let start = (*memory.slots.get(2 * index)?)?.get();
            let end = (*memory.slots.get(2 * index + 1)?)?.get();
            Some((start, end))
        };
        let (start, end) = group(0)?;
        if end <= anchor {
            return None;
        }
        // An expression with choices may leave the group out: then the first that took part is the secret.
        let secret = group(self.group).filter(|(start, end)| start < end);
        let other = || (1..self.groups).find_map(|index| group(index).filter(|(start, end)| start < end));
        let (secret_start, secret_end) = secret.or_else(other).unwrap_or((start, end));
        Some(Match { start, end, secret_start, secret_end })
    }
}
