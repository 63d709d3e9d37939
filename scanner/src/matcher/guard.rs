//! One look behind a string that was found: which of its rules could match here at all?
//!
//! Dozens of rules look for the same few words, and most places of such a word are ordinary text. A guard is one
//! small automaton over the relaxed tails of all rules of a string; in ordinary text it dies after a few bytes, at
//! about a nanosecond each. It lets pass what the rules match, and more.
//!
//! Its states are worked out when a text first leads to them, and all threads and all strings with the same rules
//! share them. What finds no room passes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use regex_automata::nfa::thompson::{self, NFA, State};
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::Hir;

use crate::collect::lock;

/// More rules with one string than this always pass.
pub const RULES_MAX: usize = 64;
/// States of one program: with sixty classes of bytes that is 256 KB, of which a text visits a few lines.
const STATES_MAX: usize = 2048;
/// States for each rule of the string.
const STATES_PER_RULE: usize = 64;
/// A tail's program that is larger is not worth a guard.
const PROGRAM_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that are looked at; a tail that lives longer passes.
const LOOK_MAX: usize = 256;

/// Nobody went there yet.
const UNKNOWN: u16 = 0;
/// No rule matches any more.
const DEAD: u16 = 1;
/// There was no room for the state.
const BEYOND: u16 = 2;

/// One look for the rules of one string.
pub struct Guard {
    /// None when there is nothing to look for.
    program: Option<Arc<Program>>,
    start: u16,
}

/// The tails of some rules, as one automaton: many strings have the same rules.
///
/// A state is published by the entry of `next` that leads to it (`Release`, read with `Acquire`), after its facts.
pub struct Program {
    nfa: NFA,
    /// By state of `nfa`: the bit of its rule.
    bits: Vec<u64>,
    /// Rules that the automaton does not know.
    always: u64,
    classes: Box<[u8; 256]>,
    /// By class: one of its bytes.
    members: Vec<u8>,
    /// By state and class: the next state. A state has two to the power of this many entries.
    next: Box<[AtomicU16]>,
    shift: u32,
    /// By state.
    facts: Box<[Facts]>,
    subsets: Mutex<Subsets>,
}

/// What a state means, one bit a rule.
#[derive(Default)]
struct Facts {
    /// Rules whose tail is complete here.
    matched: AtomicU64,
    /// Rules that may still match.
    alive: AtomicU64,
}

impl Guard {
    /// For a string whose rules have these tails. `text` are the bytes that stand at the anchor, and `folded` says that
    /// their case may differ.
    pub fn new(program: Option<Arc<Program>>, text: &[u8], folded: bool) -> Self {
        let start = program.as_ref().map_or(BEYOND, |program| program.start(text, folded));
        Self { program, start }
    }

    /// For one head, read backwards from the anchor.
    pub fn backwards(head: Hir) -> Self {
        Self::new(Program::build(&[Some(head)], true).map(Arc::new), &[], false)
    }

    /// How many states its program has so far, and whether some did not fit.
    pub fn size(&self) -> (usize, bool) {
        let Some(program) = &self.program else { return (0, false) };
        let states = lock(&program.subsets).sets.len();
        (states, states >= program.facts.len())
    }

    /// The rules that may match, one bit each by their place among the string's, given what follows the string.
    #[inline]
    pub fn ask(&self, behind: &[u8]) -> u64 {
        self.walk(behind.iter(), behind.len())
    }

    /// Whether the head may end where `before` ends.
    pub fn ask_backwards(&self, before: &[u8]) -> bool {
        self.walk(before.iter().rev(), before.len()) & 1 != 0
    }

    #[inline]
    fn walk<'b>(&self, bytes: impl Iterator<Item = &'b u8>, length: usize) -> u64 {
        let Some(program) = self.program.as_deref().filter(|_| self.start != BEYOND) else { return u64::MAX };
        let mut state = self.start;
        let mut open = program.always | program.matched(state);
        for byte in bytes.take(LOOK_MAX) {
            let entry = program.entry(state, program.classes[usize::from(*byte)]);
            let mut next = program.next[entry].load(Ordering::Acquire);
            if next == UNKNOWN {
                next = program.work_out(state, *byte);
            }
            if next <= BEYOND {
                return if next == DEAD { open } else { open | program.alive(state) };
            }
            state = next;
            open |= program.matched(state);
            if program.alive(state) & !open == 0 {
                return open;
            }
        }
        if length > LOOK_MAX { open | program.alive(state) } else { open }
    }
}

impl Program {
    /// For the relaxed tails of rules, `None` for those that have none. None when that is too large, or nothing.
    pub fn new(tails: &[Option<Hir>]) -> Option<Self> {
        Self::build(tails, false)
    }

    fn build(tails: &[Option<Hir>], reverse: bool) -> Option<Self> {
        let known: Vec<(usize, &Hir)> = tails
            .iter()
            .take(RULES_MAX)
            .enumerate()
            .filter_map(|(rule, tail)| Some((rule, tail.as_ref()?)))
            .collect();
        if known.is_empty() {
            return None;
        }
        let config = thompson::Config::new()
            .utf8(false)
            .reverse(reverse)
            .which_captures(thompson::WhichCaptures::None)
            .nfa_size_limit(Some(PROGRAM_BYTES_MAX));
        let hirs: Vec<&Hir> = known.iter().map(|(_, hir)| *hir).collect();
        let nfa = thompson::Compiler::new().configure(config).build_many_from_hir(&hirs).ok()?;
        let mut bits = vec![0; nfa.states().len()];
        for (pattern, (rule, _)) in known.iter().enumerate() {
            let start = regex_automata::PatternID::new(pattern).ok().and_then(|id| nfa.start_pattern(id));
            let mut pending: Vec<StateID> = start.into_iter().collect();
            while let Some(state) = pending.pop() {
                let mark: &mut u64 = &mut bits[state.as_usize()];
                if *mark & 1 << rule == 0 {
                    *mark |= 1 << rule;
                    each_next(nfa.state(state), &mut |next| pending.push(next));
                }
            }
        }
        let all = u64::MAX >> (RULES_MAX - tails.len().clamp(1, RULES_MAX));
        let always = known.iter().fold(all, |always, (rule, _)| always & !(1 << rule));
        let byte_classes = nfa.byte_classes();
        let classes: [u8; 256] = std::array::from_fn(|byte| byte_classes.get(byte as u8));
        // Classes are numbered in the order of their bytes.
        let mut members: Vec<u8> = Vec::new();
        for byte in 0..=255_u8 {
            if usize::from(classes[usize::from(byte)]) == members.len() {
                members.push(byte);
            }
        }
        let shift = members.len().next_power_of_two().trailing_zeros();
        let states = STATES_MAX.min(STATES_PER_RULE * (1 + nfa.pattern_len()));
        Some(Self {
            subsets: Mutex::new(Subsets::new(nfa.states().len())),
            nfa,
            bits,
            always,
            classes: Box::new(classes),
            members,
            next: std::iter::repeat_with(|| AtomicU16::new(UNKNOWN)).take(states << shift).collect(),
            shift,
            facts: std::iter::repeat_with(Facts::default).take(states).collect(),
        })
    }

    #[inline(always)]
    fn entry(&self, state: u16, class: u8) -> usize {
        (usize::from(state) << self.shift) + usize::from(class)
    }

    #[inline(always)]
    fn matched(&self, state: u16) -> u64 {
        self.facts[usize::from(state)].matched.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn alive(&self, state: u16) -> u64 {
        self.facts[usize::from(state)].alive.load(Ordering::Relaxed)
    }

    /// The state behind the bytes of a string.
    fn start(&self, text: &[u8], folded: bool) -> u16 {
        let subsets = &mut *lock(&self.subsets);
        let mut set = subsets.closed(&self.nfa, &[self.nfa.start_anchored()]);
        for &byte in text {
            let mut next = self.step(&set, byte);
            if folded && byte.is_ascii_alphabetic() {
                next.append(&mut self.step(&set, byte ^ 0x20));
            }
            set = subsets.closed(&self.nfa, &next);
        }
        self.number(subsets, set)
    }

    /// Where a byte leads that nobody has met in this state before.
    #[cold]
    #[inline(never)]
    fn work_out(&self, state: u16, byte: u8) -> u16 {
        let class = self.classes[usize::from(byte)];
        let subsets = &mut *lock(&self.subsets);
        let next = self.step(&subsets.sets[usize::from(state)], self.members[usize::from(class)]);
        let set = subsets.closed(&self.nfa, &next);
        let number = self.number(subsets, set);
        self.next[self.entry(state, class)].store(number, Ordering::Release);
        number
    }

    /// Where a byte leads from a set, not closed yet.
    fn step(&self, set: &[StateID], byte: u8) -> Vec<StateID> {
        let next = |state: &StateID| match self.nfa.state(*state) {
            State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
            State::Sparse(sparse) => sparse.matches_byte(byte),
            State::Dense(dense) => dense.matches_byte(byte),
            State::Look { .. }
            | State::Union { .. }
            | State::BinaryUnion { .. }
            | State::Capture { .. }
            | State::Fail
            | State::Match { .. } => None,
        };
        set.iter().filter_map(next).collect()
    }

    /// The number of a set, if there is room for it.
    fn number(&self, subsets: &mut Subsets, set: Vec<StateID>) -> u16 {
        if set.is_empty() {
            return DEAD;
        }
        if let Some(number) = subsets.known.get(set.as_slice()) {
            return *number;
        }
        let Some(facts) = self.facts.get(subsets.sets.len()) else { return BEYOND };
        for state in &set {
            let to = match self.nfa.state(*state) {
                State::Match { .. } => &facts.matched,
                State::ByteRange { .. }
                | State::Sparse(_)
                | State::Dense(_)
                | State::Look { .. }
                | State::Union { .. }
                | State::BinaryUnion { .. }
                | State::Capture { .. }
                | State::Fail => &facts.alive,
            };
            to.fetch_or(self.bits[state.as_usize()], Ordering::Relaxed);
        }
        // There are fewer than 2^16 states.
        let number = subsets.sets.len() as u16;
        let set: Arc<[StateID]> = set.into();
        subsets.sets.push(Arc::clone(&set));
        subsets.known.insert(set, number);
        number
    }
}

/// The subset construction, as far as it is.
struct Subsets {
    /// By state: the states of the program that it stands for.
    sets: Vec<Arc<[StateID]>>,
    known: HashMap<Arc<[StateID]>, u16>,
    /// Marks of the closure under way.
    seen: Vec<u32>,
    round: u32,
}

impl Subsets {
    fn new(states: usize) -> Self {
        // The first numbers are no states.
        let sets = vec![Arc::default(); usize::from(BEYOND) + 1];
        Self { sets, known: HashMap::new(), seen: vec![0; states], round: 0 }
    }

    /// The states that are reached from some, nothing read. Places between bytes hold everywhere.
    fn closed(&mut self, nfa: &NFA, states: &[StateID]) -> Vec<StateID> {
        // When the count begins anew, no old mark may look like a new one.
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.seen.fill(0);
            1
        });
        let mut set = Vec::new();
        let mut pending = states.to_vec();
        while let Some(state) = pending.pop() {
            let mark = &mut self.seen[state.as_usize()];
            if *mark == self.round {
                continue;
            }
            *mark = self.round;
            match nfa.state(state) {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Match { .. } => {
                    set.push(state);
                }
                State::Look { .. }
                | State::Union { .. }
                | State::BinaryUnion { .. }
                | State::Capture { .. } => {
                    each_next(nfa.state(state), &mut |next| pending.push(next));
                }
                State::Fail => {}
            }
        }
        set.sort_unstable();
        set
    }
}

/// What is reached from a state, with or without a byte.
fn each_next(state: &State, found: &mut dyn FnMut(StateID)) {
    match state {
        State::ByteRange { trans } => found(trans.next),
        State::Sparse(sparse) => sparse.transitions.iter().for_each(|trans| found(trans.next)),
        // Zero stands for no transition.
        State::Dense(dense) => {
            dense.transitions.iter().filter(|next| next.as_usize() != 0).for_each(|next| found(*next));
        }
        State::Look { next, .. } | State::Capture { next, .. } => found(*next),
        State::Union { alternates } => alternates.iter().for_each(|next| found(*next)),
        State::BinaryUnion { alt1, alt2 } => [alt1, alt2].into_iter().for_each(|next| found(*next)),
        State::Fail | State::Match { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Guard, Program};
    use crate::rules::load::parse;
    use crate::rules::tail::relaxed;

    fn guard(patterns: &[&str], text: &str) -> Guard {
        let tails: Vec<_> =
            patterns.iter().map(|pattern| Some(relaxed(&parse(pattern).unwrap(), 4))).collect();
        Guard::new(Program::new(&tails).map(Arc::new), text.as_bytes(), true)
    }

    #[test]
    fn it_tells_the_rules_apart() {
        let guard = guard(&[r#"(?i)token\w{0,9}\s?=\s?"[a-z]{4,}"#, r"(?i)token[0-9]{3}"], "token");
        assert_eq!(guard.ask(b"_a = \"abcd"), 1);
        assert_eq!(guard.ask(b"123"), 2);
        assert_eq!(guard.ask(b"12"), 0);
        assert_eq!(guard.ask(b"123=\"abcdefgh\""), 3);
        assert_eq!(guard.ask(b"ized text"), 0);
    }

    #[test]
    fn what_it_cannot_decide_passes() {
        let program = Program::new(&[None, Some(parse("key=[a-z]{4}").unwrap())]).map(Arc::new);
        let guard = Guard::new(program, b"key", false);
        assert_eq!(guard.ask(b"") & 3, 1);
        assert_eq!(guard.ask(b"=abcd") & 3, 3);
        let endless = guard_of_anything();
        assert_eq!(endless.ask(&[b'a'; 5000]), 1);
        assert_eq!(endless.ask(b"aaaa"), 0);
    }

    fn guard_of_anything() -> Guard {
        guard(&["(?s)begin.{0,60000}end"], "begin")
    }

    #[test]
    fn heads_are_read_backwards() {
        let guard = Guard::backwards(relaxed(&parse(r"\bmysql[^\n]{0,300}\s").unwrap(), 4));
        assert!(guard.ask_backwards(b"mysql -u root "));
        assert!(!guard.ask_backwards(b"mysql\n -u root "));
        assert!(!guard.ask_backwards(b"mysql"));
    }
}
