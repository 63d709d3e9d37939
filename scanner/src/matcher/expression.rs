//! The expressions of one rule, compiled at its first candidate.

use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::meta::{Cache, Config, Regex};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::Hir;

use crate::rules::Rule;
use crate::rules::definition::{AllowOn, Group};
use crate::rules::{literals, load};

/// A larger automaton is a rule that means harm, or a mistake; the search falls back to slower engines.
const AUTOMATON_BYTES_MAX: usize = 1024 * 1024;
/// Expressions that compile to more than this are refused.
const PROGRAM_BYTES_MAX: usize = 16 * 1024 * 1024;
/// With so few possible starts each is tried; with more, one search runs over them all.
pub const STARTS_MAX: usize = 3;

/// What decides whether a candidate is a match.
pub struct Expression {
    whole: Regex,
    /// The part from the anchor on, where matches may start at many places before it: it refuses most
    /// candidates after a few bytes.
    tail: Option<Regex>,
    /// The part up to the anchor, run backwards from there, where a match is a head that ends where a tail begins.
    head: Option<DFA>,
    /// The group of the secret is in the tail.
    secret_in_tail: bool,
    /// The group of the secret.
    group: usize,
    groups: usize,
    before_min: usize,
    before_max: usize,
    after: usize,
    /// Expressions that say what is no secret, by what they are held against.
    pub allow: Vec<(AllowOn, Vec<Regex>)>,
    /// The expression that, seen nearby, makes a guess a shape.
    pub context: Option<Regex>,
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
pub struct Memory {
    whole: Cache,
    tail: Option<Cache>,
    head: Option<dfa::Cache>,
    slots: Vec<Option<NonMaxUsize>>,
}

impl Memory {
    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        let tail = self.tail.as_ref().map_or(0, Cache::memory_usage);
        self.whole.memory_usage() + tail + self.head.as_ref().map_or(0, dfa::Cache::memory_usage)
    }
}

fn compile(hir: &Hir) -> Option<Regex> {
    let config = Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(PROGRAM_BYTES_MAX))
        .hybrid_cache_capacity(AUTOMATON_BYTES_MAX);
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

fn compile_all(patterns: &[String]) -> Vec<Regex> {
    patterns.iter().filter_map(|pattern| compile(&load::parse(pattern).ok()?)).collect()
}

impl Expression {
    /// Compiles a rule's expressions. None when one is too large, which loading refuses.
    pub fn new(rule: &Rule) -> Option<Self> {
        let hir = load::parse(&rule.definition.regex).ok()?;
        let whole = compile(&hir)?;
        let parts = literals::parts(&hir);
        let anchors = &rule.anchors;
        let spread = anchors.before_max - anchors.before_min > STARTS_MAX;
        let part = literals::best(&parts).filter(|_| spread);
        let tail = part.and_then(|part| compile(part.tail.as_ref()?));
        let head = part.and_then(|part| backwards(part.head.as_ref()?));
        let names = load::group_names(&rule.definition.regex);
        let group = match &rule.definition.secret {
            Some(Group::Number(number)) => *number,
            Some(Group::Name(name)) => names.iter().position(|group| group.as_ref() == Some(name))?,
            None => names.iter().position(|group| group.as_deref() == Some("secret")).unwrap_or(0),
        };
        let allow = rule.definition.allow.iter().map(|allow| (allow.on, compile_all(&allow.regex))).collect();
        let context = match &rule.definition.context {
            Some(context) => Some(compile(&load::parse(&context.regex).ok()?)?),
            None => None,
        };
        let in_tail = |hir: &Hir| group > 0 && literals::has_group(hir, group);
        let secret_in_tail = part.and_then(|part| part.tail.as_ref()).is_some_and(in_tail);
        Some(Self {
            groups: whole.captures_len(),
            whole,
            tail,
            head,
            secret_in_tail,
            group,
            before_min: anchors.before_min,
            before_max: anchors.before_max,
            after: anchors.after,
            allow,
            context,
        })
    }

    /// Memory for one thread.
    pub fn memory(&self) -> Memory {
        Memory {
            whole: self.whole.create_cache(),
            tail: self.tail.as_ref().map(Regex::create_cache),
            head: self.head.as_ref().map(DFA::create_cache),
            slots: vec![None; 2 * self.groups],
        }
    }

    /// The match that covers the anchor, if there is one.
    ///
    /// Assumptions: unless the haystack ends there, `bytes` reaches further than the longest match after the
    /// anchor and the longest beginning before it, so that the answer depends on the content alone.
    ///
    /// `asked` says that the tail was held against the anchor already.
    pub fn find(&self, bytes: &[u8], anchor: usize, asked: bool, memory: &mut Memory) -> Option<Match> {
        let end = bytes.len().min(anchor + self.after);
        let first = anchor.saturating_sub(self.before_max);
        let last = anchor.checked_sub(self.before_min)?;
        if self.before_max - self.before_min <= STARTS_MAX {
            return (first..=last).find_map(|start| self.at(bytes, start, anchor, end, memory));
        }
        if let (false, Some(tail), Some(cache)) = (asked, &self.tail, &mut memory.tail) {
            let input = Input::new(bytes).span(anchor..end).anchored(Anchored::Yes).earliest(true);
            tail.search_half_with(cache, &input)?;
        }
        if let (Some(head), Some(cache)) = (&self.head, &mut memory.head) {
            let input = Input::new(bytes).span(first..anchor).anchored(Anchored::Yes);
            // An automaton that gives up leaves the question to the whole expression.
            if let Ok(start) = head.try_search_rev(cache, &input) {
                let start = start?.offset();
                return if self.secret_in_tail {
                    self.in_tail(bytes, start, anchor, end, memory)
                } else {
                    self.at(bytes, start, anchor, end, memory)
                };
            }
        }
        let mut from = first;
        while from <= last {
            let input = Input::new(bytes).span(from..end);
            let found = self.whole.search_with(&mut memory.whole, &input)?;
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
        let (tail, cache) = (self.tail.as_ref()?, memory.tail.as_mut()?);
        let input = Input::new(bytes).span(anchor..end).anchored(Anchored::Yes);
        // A branch of the expression may leave later groups out; the slots of those stay empty.
        memory.slots.fill(None);
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
        self.whole.search_slots_with(&mut memory.whole, &input, &mut memory.slots)?;
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
