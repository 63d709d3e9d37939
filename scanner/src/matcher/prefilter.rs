//! The first pass over every byte: where a string stands of which every match of some rule contains one.
//!
//! Of each string the four bytes in a row are looked for that are rarest in ordinary text. The windows are dealt
//! into sixteen sets such that the sets' false alarms cost least; [`simd`](super::simd) finds the places at which
//! some set may have a window, and a small hash table and then the string itself confirm them.
//!
//! Replaceable: whatever finds the same occurrences in the same order serves. [`Prefilter::find`] is the whole
//! of what the matcher knows of it.

use std::collections::HashMap;
use std::ops::Range;

use crate::rules::{RuleIndex, RuleSet};

use super::gate;
use super::simd::{Classes, Scanner};

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
    /// Several of them want the gate.
    pub shared: bool,
}

/// The buffers of one search.
#[derive(Default)]
pub struct Found {
    places: Vec<usize>,
    /// By place.
    pub candidates: Vec<Candidate>,
}

/// Finds the strings of all rules.
pub struct Prefilter {
    entries: Vec<Entry>,
    scanner: Scanner,
    /// By hash: one more than the first group with this hash, or zero.
    heads: Vec<u32>,
    groups: Vec<Group>,
    members: Vec<Member>,
    /// The lengths of windows that there are: strings of two and three bytes have no four.
    lengths: Vec<usize>,
    /// How far into its string a window may begin.
    offset_max: usize,
}

/// All windows with the same bytes, but for case.
struct Group {
    length: usize,
    key: u32,
    /// One more than the next group with this hash, or zero.
    next: u32,
    members: Range<usize>,
}

/// A window as part of its string.
struct Member {
    literal: u32,
    offset: usize,
}

const WINDOW: usize = 4;
const SETS: usize = 16;
/// Entries of the hash table; its bits come from the top of a 32-bit product.
const HEADS_BITS: u32 = 13;
/// What is scanned before its places are confirmed: they and the bytes stay in the first-level cache.
const BLOCK: usize = 16 * 1024;

/// A window's bytes without regard to case, and to some other differences that cost a comparison at most.
fn key(four: u32, length: usize) -> u32 {
    (four | 0x2020_2020) & u32::MAX >> (8 * (WINDOW - length))
}

fn hash(key: u32, length: usize) -> usize {
    ((key ^ length as u32).wrapping_mul(0x9E37_79B1) >> (32 - HEADS_BITS)) as usize
}

fn four(bytes: &[u8]) -> u32 {
    let mut four = [0; WINDOW];
    let length = bytes.len().min(WINDOW);
    four[..length].copy_from_slice(&bytes[..length]);
    u32::from_le_bytes(four)
}

/// How often a byte stands in source text, in thousandths, roughly.
fn frequency(byte: u8) -> f32 {
    match byte {
        b' ' => 160.0,
        b'e' => 65.0,
        b't' | b'r' | b'a' | b'i' | b'n' | b'o' | b's' => 45.0,
        b'\n' | b'l' | b'c' | b'd' | b'u' | b'p' => 25.0,
        b'm' | b'f' | b'g' | b'h' | b'b' | b'y' | b'_' | b'.' | b'0' | b'(' | b')' | b',' => 14.0,
        b'a'..=b'z' | b'1' | b'2' | b'/' | b'-' | b'"' | b'=' | b';' | b'*' | b':' => 8.0,
        b'A' | b'C' | b'E' | b'I' | b'R' | b'S' | b'T' | b'N' | b'O' | b'L' | b'P' | b'D' => 5.0,
        b'A'..=b'Z' | b'0'..=b'9' | b'\t' | b'>' | b'<' | b'{' | b'}' | b'\'' | b'[' | b']' | b'#' | 0 => 3.5,
        0x21..=0x7E => 1.5,
        _ => 0.6,
    }
}

/// The bytes that a window takes at each of its places.
fn taken(entry: &Entry, offset: usize) -> [Vec<u8>; WINDOW] {
    std::array::from_fn(|place| match entry.bytes.get(offset + place) {
        None => (0..=255).collect(),
        Some(byte) if entry.folded && byte.is_ascii_alphabetic() => {
            vec![byte.to_ascii_lowercase(), byte.to_ascii_uppercase()]
        }
        Some(byte) => vec![*byte],
    })
}

/// The chance of a place taken by what four positions take.
fn chance(sums: &[f32; WINDOW]) -> f32 {
    sums.iter().map(|sum| (sum / 1000.0).min(1.0)).product()
}

fn sums(taken: &[Vec<u8>; WINDOW]) -> [f32; WINDOW] {
    std::array::from_fn(|place| taken[place].iter().map(|byte| frequency(*byte)).sum())
}

/// Windows dealt into sets, one by one: each goes where it adds least to the chance of a false alarm.
#[derive(Default)]
struct Sets {
    classes: Classes,
    has: Vec<[[bool; 256]; WINDOW]>,
    sums: Vec<[f32; WINDOW]>,
}

impl Sets {
    fn add(&mut self, taken: &[Vec<u8>; WINDOW]) {
        if self.has.is_empty() {
            self.has = vec![[[false; 256]; WINDOW]; SETS];
            self.sums = vec![[0.0; WINDOW]; SETS];
        }
        let with = |set: usize| -> [f32; WINDOW] {
            std::array::from_fn(|place| {
                let new = taken[place].iter().filter(|byte| !self.has[set][place][usize::from(**byte)]);
                self.sums[set][place] + new.map(|byte| frequency(*byte)).sum::<f32>()
            })
        };
        let added = |set: usize| chance(&with(set)) - chance(&self.sums[set]);
        let best = (0..SETS).min_by(|left, right| added(*left).total_cmp(&added(*right))).unwrap_or(0);
        self.sums[best] = with(best);
        for (place, bytes) in taken.iter().enumerate() {
            for byte in bytes {
                self.has[best][place][usize::from(*byte)] = true;
                self.classes.add(best, place, *byte);
            }
        }
    }
}

impl Prefilter {
    /// For the strings of a set of rules.
    pub fn new(rules: &RuleSet) -> Self {
        let entries = entries(rules);
        let mut windows: HashMap<(usize, u32), Vec<Member>> = HashMap::new();
        let mut dealt: Vec<([f32; WINDOW], [Vec<u8>; WINDOW])> = Vec::new();
        let mut offset_max = 0;
        for (literal, entry) in entries.iter().enumerate() {
            let length = entry.bytes.len().min(WINDOW);
            let rarest = (0..=entry.bytes.len() - length)
                .map(|offset| (offset, chance(&sums(&taken(entry, offset)))))
                .min_by(|left, right| left.1.total_cmp(&right.1));
            let offset = rarest.map_or(0, |(offset, _)| offset);
            let bytes = taken(entry, offset);
            dealt.push((sums(&bytes), bytes));
            offset_max = offset_max.max(offset);
            let key = key(four(&entry.bytes[offset..]), length);
            windows.entry((length, key)).or_default().push(Member { literal: literal as u32, offset });
        }
        // The commonest first: the rare ones then find sets in which they change little.
        dealt.sort_by(|left, right| chance(&right.0).total_cmp(&chance(&left.0)));
        let mut sets = Sets::default();
        for (_, bytes) in &dealt {
            sets.add(bytes);
        }
        let mut filter = Self {
            entries,
            scanner: Scanner::new(sets.classes),
            heads: vec![0; 1 << HEADS_BITS],
            groups: Vec::with_capacity(windows.len()),
            members: Vec::new(),
            lengths: Vec::new(),
            offset_max,
        };
        let mut windows: Vec<_> = windows.into_iter().collect();
        windows.sort_by_key(|(window, _)| *window);
        for ((length, key), members) in windows {
            let head = &mut filter.heads[hash(key, length)];
            let first = filter.members.len();
            filter.members.extend(members);
            filter.groups.push(Group { length, key, next: *head, members: first..filter.members.len() });
            *head = filter.groups.len() as u32;
            if !filter.lengths.contains(&length) {
                filter.lengths.push(length);
            }
        }
        filter
    }

    /// All strings.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The string of a candidate.
    pub fn entry(&self, literal: u32) -> &Entry {
        &self.entries[literal as usize]
    }

    /// All strings that start in `range`, by place. They may end behind it, but not behind `bytes`.
    pub fn find(&self, bytes: &[u8], range: Range<usize>, found: &mut Found) {
        let Found { places, candidates } = found;
        candidates.clear();
        let last = bytes.len().min(range.end.saturating_add(self.offset_max));
        let mut from = range.start;
        while from < last {
            let to = last.min(from + BLOCK);
            places.clear();
            self.scanner.find(bytes, from, to, places);
            for &place in places.iter() {
                self.confirm(bytes, place, &range, candidates);
            }
            from = to;
        }
        candidates.sort_unstable();
    }

    #[inline]
    fn confirm(&self, bytes: &[u8], place: usize, range: &Range<usize>, candidates: &mut Vec<Candidate>) {
        let four = match bytes.get(place..place + WINDOW).and_then(|four| four.try_into().ok()) {
            Some(four) => u32::from_le_bytes(four),
            None => four(&bytes[place..]),
        };
        for &length in &self.lengths {
            let key = key(four, length);
            let mut next = self.heads[hash(key, length)];
            while let Some(group) = next.checked_sub(1).and_then(|index| self.groups.get(index as usize)) {
                if group.key == key && group.length == length {
                    for member in &self.members[group.members.clone()] {
                        let Some(at) = place.checked_sub(member.offset) else { continue };
                        if range.contains(&at) && self.stands(member.literal, &bytes[at..]) {
                            candidates.push(Candidate { at, literal: member.literal });
                        }
                    }
                }
                next = group.next;
            }
        }
    }

    fn stands(&self, literal: u32, text: &[u8]) -> bool {
        let entry = self.entry(literal);
        text.get(..entry.bytes.len()).is_some_and(|text| match entry.folded {
            true => text.eq_ignore_ascii_case(&entry.bytes),
            false => text == entry.bytes,
        })
    }
}

fn entries(rules: &RuleSet) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut known = HashMap::new();
    for (index, rule) in rules.iter() {
        for (text, folded) in &rule.anchors.literals {
            // Loading made each byte one character.
            let bytes: Vec<u8> = text.chars().filter_map(|letter| u8::try_from(letter).ok()).collect();
            let at = *known.entry((bytes.clone(), *folded)).or_insert_with(|| {
                entries.push(Entry { bytes, folded: *folded, rules: Vec::new(), shared: false });
                entries.len() - 1
            });
            entries[at].rules.push(index);
        }
    }
    for entry in &mut entries {
        entry.shared = gate::is_shared(rules, entry);
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Found, Prefilter};
    use crate::rules::RuleSet;
    use proptest::prelude::*;

    const RULES: &str = r"
version = 1
[[rule]]
id = 'a'
description = 'x'
regex = 'ghp_[a-z]{4}'
[[rule]]
id = 'b'
description = 'x'
regex = '(?i)(?:key|token|password)=[a-z]{4}'
[[rule]]
id = 'c'
description = 'x'
regex = 's\.[a-z]{4}'
[[rule]]
id = 'd'
description = 'x'
regex = '-----BEGIN (?:RSA|DSA) PRIVATE KEY-----'
";

    proptest! {
        #[test]
        fn it_finds_what_an_automaton_finds(
            pieces in prop::collection::vec(prop_oneof![
                Just("ghp_".to_owned()), Just("kEy".to_owned()), Just("toKen".to_owned()), Just("s.".to_owned()),
                Just("-----BEGIN RSA PRIVATE KEY-----".to_owned()), "[a-z]{0,9}", Just("S.GHP_".to_owned()), "\\PC{0,90}",
            ], 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let rules = RuleSet::from_text("test", RULES).unwrap();
            let filter = Prefilter::new(&rules);
            let automaton = aho_corasick::AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(filter.entries().iter().map(|entry| &entry.bytes))
                .unwrap();
            let text = pieces.concat().into_bytes();
            let mut wanted: Vec<Candidate> = automaton
                .find_overlapping_iter(&text)
                .filter(|found| {
                    let entry = filter.entry(found.pattern().as_u32());
                    entry.folded || text[found.start()..].starts_with(&entry.bytes)
                })
                .map(|found| Candidate { at: found.start(), literal: found.pattern().as_u32() })
                .collect();
            wanted.sort_unstable();
            let middle = cut.index(text.len() + 1);
            let mut got = Vec::new();
            let mut found = Found::default();
            for range in [0..middle, middle..text.len()] {
                filter.find(&text, range, &mut found);
                got.extend_from_slice(&found.candidates);
            }
            prop_assert_eq!(got, wanted);
        }
    }
}
