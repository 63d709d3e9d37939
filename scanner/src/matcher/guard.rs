//! One look behind a string that was found: which of its rules could match here at all?
//!
//! Dozens of rules look for the same few words, and most places of such a word are ordinary text. A guard is one
//! small automaton over the relaxed tails of all rules of a string; in ordinary text it dies after a few bytes, at
//! about a nanosecond each. It lets pass what the rules match, and more.
//!
//! It is made at the first candidate of its string and kept small: what does not fit into it passes.

use std::collections::HashMap;

use regex_automata::nfa::thompson::{self, NFA, State};
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::Hir;

/// More rules with one string than this always pass.
pub const RULES_MAX: usize = 64;
/// States of one guard: with sixty classes of bytes that is 120 KB, of which a text visits a few lines.
const STATES_MAX: usize = 1024;
/// States for each rule of the string.
const STATES_PER_RULE: usize = 64;
/// A tail's program that is larger is not worth a guard.
const PROGRAM_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that are looked at; a tail that lives longer passes.
const LOOK_MAX: usize = 256;

const DEAD: usize = 0;
/// Where the automaton was not worked out further.
const BEYOND: usize = 1;

/// An automaton for the rules of one string.
pub struct Guard {
    classes: Box<[u8; 256]>,
    /// By state and class: the next state.
    next: Vec<u16>,
    stride: usize,
    facts: Vec<Facts>,
    start: usize,
    /// Rules that the automaton does not know.
    always: u64,
}

/// What a state means, one bit a rule.
#[derive(Clone, Copy, Default)]
struct Facts {
    /// Rules whose tail is complete here.
    matched: u64,
    /// Rules that may still match.
    alive: u64,
}

/// The tails of some rules, ready to make guards of: many strings have the same rules.
pub struct Program {
    nfa: NFA,
    /// By state: the bit of its rule.
    bits: Vec<u64>,
    always: u64,
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
        Some(Self { nfa, bits, always })
    }
}

impl Guard {
    /// For a string whose rules have these tails. `text` are the bytes that stand at the anchor, and `folded` says that
    /// their case may differ.
    pub fn new(program: Option<&Program>, text: &[u8], folded: bool) -> Self {
        match program {
            Some(program) => Subsets::new(program).guard(text, folded),
            None => Self {
                classes: Box::new([0; 256]),
                next: vec![DEAD as u16; 2],
                stride: 1,
                facts: vec![Facts::default(); 2],
                start: DEAD,
                always: u64::MAX,
            },
        }
    }

    /// For one head, read backwards from the anchor.
    pub fn backwards(head: Hir) -> Self {
        Self::new(Program::build(&[Some(head)], true).as_ref(), &[], false)
    }

    /// How many states it has, and whether some did not fit.
    pub fn size(&self) -> (usize, bool) {
        (self.facts.len(), self.next.iter().skip(2 * self.stride).any(|next| usize::from(*next) == BEYOND))
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
        let mut open = self.always | self.facts[self.start].matched;
        let mut state = self.start;
        for byte in bytes.take(LOOK_MAX) {
            let class = usize::from(self.classes[usize::from(*byte)]);
            let next = usize::from(self.next[state * self.stride + class]);
            if next <= BEYOND {
                return if next == DEAD { open } else { open | self.facts[state].alive };
            }
            state = next;
            let facts = &self.facts[state];
            open |= facts.matched;
            if facts.alive & !open == 0 {
                return open;
            }
        }
        if length > LOOK_MAX { open | self.facts[state].alive } else { open }
    }
}

/// The subset construction.
struct Subsets<'n> {
    program: &'n Program,
    /// The states of the program in each state.
    sets: Vec<Vec<StateID>>,
    known: HashMap<Vec<StateID>, usize>,
    states_max: usize,
    /// Marks of the closure under way.
    seen: Vec<u32>,
    round: u32,
}

impl<'n> Subsets<'n> {
    fn new(program: &'n Program) -> Self {
        let seen = vec![0; program.nfa.states().len()];
        let states_max = STATES_MAX.min(STATES_PER_RULE * (1 + program.nfa.pattern_len()));
        Self { program, sets: vec![Vec::new(); 2], known: HashMap::new(), states_max, seen, round: 0 }
    }

    /// Adds a state and what is reached from it without a byte. Places between bytes hold everywhere.
    fn close(&mut self, state: StateID, set: &mut Vec<StateID>) {
        let mut pending = vec![state];
        while let Some(state) = pending.pop() {
            let mark = &mut self.seen[state.as_usize()];
            if *mark == self.round {
                continue;
            }
            *mark = self.round;
            match self.program.nfa.state(state) {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Match { .. } => {
                    set.push(state);
                }
                State::Look { .. }
                | State::Union { .. }
                | State::BinaryUnion { .. }
                | State::Capture { .. } => {
                    each_next(self.program.nfa.state(state), &mut |next| pending.push(next));
                }
                State::Fail => {}
            }
        }
    }

    /// The states that are reached from some, nothing read.
    fn closed(&mut self, states: &[StateID]) -> Vec<StateID> {
        self.round += 1;
        let mut set = Vec::new();
        for &state in states {
            self.close(state, &mut set);
        }
        set.sort_unstable();
        set
    }

    /// By class of bytes: where its bytes lead from a set, not closed yet.
    fn steps(&self, set: &[StateID], classes: &[u8; 256], found: &mut [Vec<StateID>]) {
        found.iter_mut().for_each(Vec::clear);
        // Classes are numbered in the order of their bytes.
        let mut range = |first: u8, last: u8, next: StateID| {
            let classes = usize::from(classes[usize::from(first)])..=usize::from(classes[usize::from(last)]);
            found[classes].iter_mut().for_each(|states| states.push(next));
        };
        for state in set {
            match self.program.nfa.state(*state) {
                State::ByteRange { trans } => range(trans.start, trans.end, trans.next),
                State::Sparse(sparse) => {
                    sparse.transitions.iter().for_each(|trans| range(trans.start, trans.end, trans.next));
                }
                State::Dense(dense) => {
                    for byte in 0..=255 {
                        dense.matches_byte(byte).into_iter().for_each(|next| range(byte, byte, next));
                    }
                }
                State::Look { .. }
                | State::Union { .. }
                | State::BinaryUnion { .. }
                | State::Capture { .. }
                | State::Fail
                | State::Match { .. } => {}
            }
        }
    }

    fn facts(&self, set: &[StateID]) -> Facts {
        set.iter().fold(Facts::default(), |facts, state| {
            let bits = self.program.bits[state.as_usize()];
            match self.program.nfa.state(*state) {
                State::Match { .. } => Facts { matched: facts.matched | bits, ..facts },
                State::ByteRange { .. }
                | State::Sparse(_)
                | State::Dense(_)
                | State::Look { .. }
                | State::Union { .. }
                | State::BinaryUnion { .. }
                | State::Capture { .. }
                | State::Fail => Facts { alive: facts.alive | bits, ..facts },
            }
        })
    }

    /// The number of a set, if there is room for it.
    fn number(&mut self, set: Vec<StateID>) -> usize {
        if set.is_empty() {
            return DEAD;
        }
        if let Some(number) = self.known.get(&set) {
            return *number;
        }
        if self.sets.len() >= self.states_max {
            return BEYOND;
        }
        let number = self.sets.len();
        self.sets.push(set.clone());
        self.known.insert(set, number);
        number
    }

    fn guard(mut self, text: &[u8], folded: bool) -> Guard {
        let byte_classes = self.program.nfa.byte_classes();
        let classes: [u8; 256] = std::array::from_fn(|byte| byte_classes.get(byte as u8));
        let stride = classes.iter().map(|class| usize::from(*class)).max().unwrap_or(0) + 1;
        let mut steps = vec![Vec::new(); stride];
        let mut set = self.closed(&[self.program.nfa.start_anchored()]);
        for &byte in text {
            self.steps(&set, &classes, &mut steps);
            let mut next = std::mem::take(&mut steps[usize::from(classes[usize::from(byte)])]);
            if folded && byte.is_ascii_alphabetic() {
                next.append(&mut steps[usize::from(classes[usize::from(byte ^ 0x20)])]);
            }
            set = self.closed(&next);
        }
        let start = self.number(set);
        let mut next = vec![DEAD as u16; 2 * stride];
        let mut at = 2;
        while at < self.sets.len() {
            self.steps(&self.sets[at], &classes, &mut steps);
            for class in &steps {
                let after = if class.is_empty() { Vec::new() } else { self.closed(class) };
                // There are fewer than 2^16 states.
                next.push(self.number(after) as u16);
            }
            at += 1;
        }
        let facts = self.sets.iter().map(|set| self.facts(set)).collect();
        Guard { classes: Box::new(classes), next, stride, facts, start, always: self.program.always }
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
    use super::{Guard, Program};
    use crate::rules::load::parse;
    use crate::rules::tail::relaxed;

    fn guard(patterns: &[&str], text: &str) -> Guard {
        let tails: Vec<_> =
            patterns.iter().map(|pattern| Some(relaxed(&parse(pattern).unwrap(), 4))).collect();
        Guard::new(Program::new(&tails).as_ref(), text.as_bytes(), true)
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
        let guard =
            Guard::new(Program::new(&[None, Some(parse("key=[a-z]{4}").unwrap())]).as_ref(), b"key", false);
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
